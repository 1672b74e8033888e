"""What framed records hold, whichever frame is around them: raw bytes, or serialized tf.train.Examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .. import example
from ..batch import Batch, Ragged
from ..errors import BridgeError, FormatError, SchemaError
from ..schema import Field, Schema
from .base import Request, Skipped
from .framed import Records

RAW_SCHEMA = Schema(Field("record", "bytes"))
NO_RAW = (
    "leave the payload away, or name a bytes field with --select record=FIELD"  # advice where that schema is needed
)
LOOKED_AT = 16  # records whose content decides what "auto" means


def raw_batch(payloads: Ragged, schema: Schema) -> Batch:
    """Undecoded records as a Batch."""
    return Batch({"record": payloads}, schema, num_rows=len(payloads))


def looks_like_example(payloads: Ragged) -> bool:
    """Whether each of the first records that is not empty parses whole as an Example with at least one feature.

    A SequenceExample has feature_lists as its field 2, which an Example's reader would drop, so it is none.
    """
    first = payloads[:LOOKED_AT]
    if any(_has_field(payload, 2) for payload in first if isinstance(payload, bytes)):
        return False
    first = first.take(np.flatnonzero(first.lengths))
    if not len(first):
        return len(payloads) == 0
    try:
        for row in range(len(first)):
            survey = example.Survey()
            survey.add(first[row : row + 1])
            if not survey.keys:
                return False
    except (FormatError, SchemaError):
        return False
    return True


def looks_like_sagemaker(payloads: Ragged) -> bool:
    """Whether each of the first records parses whole as SageMaker's Record (record.proto).

    Fields 1 and 2 are entries of maps, each with a key and a value that holds one tensor or bytes (2, 3, 7 or 9);
    3 to 5 are texts. An Example's field 1 holds entries where a Record's is one, so neither passes for the other.
    """
    first = [payload for payload in payloads[:LOOKED_AT] if isinstance(payload, bytes) and payload]
    return bool(first) and all(_is_sagemaker_record(payload) for payload in first)


def _is_sagemaker_record(payload: bytes) -> bool:
    try:
        fields = list(_wire_fields(payload))
        maps = [value for number, value in fields if number in (1, 2)]
        if not maps or any(number > 5 for number, _ in fields):
            return False
        for entry in maps:
            parts = dict(_wire_fields(entry))
            if set(parts) != {1, 2}:
                return False
            parts[1].decode()
            kinds = [number for number, _ in _wire_fields(parts[2])]
            if len(kinds) != 1 or kinds[0] not in (2, 3, 7, 9):
                return False
    except ValueError:
        return False
    return True


def _has_field(message: bytes, wanted: int) -> bool:
    try:
        return any(number == wanted for number, _ in _wire_fields(message))
    except ValueError:
        return False


def _wire_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each field of a message that has length-delimited fields only; ValueError for others."""
    at = 0
    while at < len(message):
        if message[at] & 7 != 2 or message[at] >= 128:
            raise ValueError("not a length-delimited field with a small number")
        number, length, shift = message[at] >> 3, 0, 0
        while True:
            at += 1
            if at >= len(message) or shift > 63:
                raise ValueError("cut")
            length |= (message[at] & 127) << shift
            shift += 7
            if message[at] < 128:
                break
        at += 1
        if length > len(message) - at:
            raise ValueError("cut")
        yield number, message[at : at + length]
        at += length


def placed(error: BridgeError, path: str, records: Records, row: int) -> BridgeError:
    """The same error with the place of its row in the file; the message gets both."""
    record, offset = records.number(row), int(records.offsets[row])
    message = f"{path}: record {record} at byte {offset}: " + str(error).partition(": ")[2]
    kind = type(error) if isinstance(error, FormatError) else FormatError
    located = kind(message, path=path, record=record, offset=offset)
    if not isinstance(error, SchemaError):
        return located
    misfit = type(error)(message, field=error.field, row=record)
    misfit.__cause__ = located  # where in the file, which a SchemaError has no attribute for
    return misfit


def survey_examples(runs: Iterable[Records], path: str, request: Request) -> example.Survey:
    """Look at every record of a file, to infer its schema; where damage is skipped, at those that are Examples."""
    survey = example.Survey()
    for records in runs:
        payloads = records.payloads
        while len(payloads):
            try:
                survey.add(payloads)
                break
            except (FormatError, SchemaError) as err:
                row = _row(err)
                if request.on_bad_record == "raise":
                    raise placed(err, path, records, row + len(records) - len(payloads))  # noqa: B904  # as below
                payloads = payloads[row + 1 :]
    return survey


def decode_examples(path: str, records: Records, request: Request) -> Batch:
    """The fields asked for out of serialized Examples; damaged ones raise, or are left out and reported."""
    if request.on_bad_record == "raise":
        try:
            return example.decode(records.payloads, request.schema)
        except (FormatError, SchemaError) as err:
            raise placed(err, path, records, _row(err))  # noqa: B904  # it has its own cause

    def report(row: int, error: BridgeError) -> None:
        report_row(path, records, row, str(placed(error, path, records, row)), request)

    return example.decode_sound(records.payloads, request.schema, report)


def _row(error: FormatError | SchemaError) -> int:
    return (error.record if isinstance(error, FormatError) else error.row) or 0


def report_row(path: str, records: Records, row: int, reason: str, request: Request) -> None:
    """Tell on_skip that a record with a sound frame is left out because of its content; the path is said apart."""
    start = int(records.offsets[row])
    stop = start + records.framing.header + int(records.payloads.lengths[row]) + records.framing.trailer
    request.on_skip(Skipped(path, start, stop, reason.removeprefix(f"{path}: ")))
