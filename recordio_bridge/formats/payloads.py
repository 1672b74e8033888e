"""What framed records hold, whichever frame is around them: raw bytes, or serialized tf.train.Examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .. import example
from ..batch import Batch, Ragged
from ..errors import FormatError, SchemaError, numbered, placed, row_of
from ..schema import Field, Schema
from .base import Request
from .framed import Records

RAW_SCHEMA = Schema(Field("record", "bytes"))
NO_RAW = (
    "leave the payload away, or name a bytes field with --select record=FIELD"  # advice where that schema is needed
)
LOOKED_AT = 16  # records whose content decides what "auto" means


def raw_batch(records: Records, schema: Schema) -> Batch:
    """Undecoded records as a Batch."""
    return Batch({"record": records.payloads}, schema, num_rows=len(records), places=records.places)


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


def survey_examples(runs: Iterable[Records], request: Request) -> example.Survey:
    """Look at every record of a file, to infer its schema; where damage is skipped, at those that are Examples."""
    survey = example.Survey()
    for records in runs:
        payloads = records.payloads
        if request.on_bad_record == "raise":
            with numbered(records.places):
                survey.add(payloads)
            continue
        while len(payloads):
            try:
                survey.add(payloads)
                break
            except (FormatError, SchemaError) as err:
                row = row_of(err) or 0
                payloads = payloads[row + 1 :]
    return survey


def decode_examples(records: Records, request: Request) -> Batch:
    """The fields asked for out of serialized Examples; damaged ones raise, or are left out and reported."""
    if request.on_bad_record == "raise":
        with numbered(records.places):
            return example.decode(records.payloads, request.schema).read_at(records.places)
    sound = np.ones(len(records), dtype=np.bool_)

    def report(row: int, error: FormatError | SchemaError) -> None:
        sound[row] = False
        request.on_skip(records.skipped(row, str(placed(error, records.places[row]))))

    batch = example.decode_sound(records.payloads, request.schema, report)
    return batch.read_at(records.places if sound.all() else records.take(np.flatnonzero(sound)).places)
