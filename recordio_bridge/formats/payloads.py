"""What framed records hold, whichever frame is around them: raw bytes, or serialized messages.

The messages are tf.train.Examples (payload "example") and, in a .rec, SageMaker's Records (payload "sagemaker").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol, TypeAlias, TypeGuard

import numpy as np

from .. import example, sagemaker
from ..batch import Batch, Ragged, concat
from ..errors import FormatError, SchemaError, numbered, placed, row_of
from ..schema import Field, Schema
from .base import Request
from .framed import Records

RAW_SCHEMA = Schema(Field("record", "bytes"))
NO_RAW = (
    "leave the payload away, or name a bytes field with --select record=FIELD"  # advice where that schema is needed
)
LOOKED_AT = 16  # records whose content decides what "auto" means

Messages: TypeAlias = Literal["example", "sagemaker"]
_WITHOUT_FEATURES = (b"", b"\n\0")
"""Examples, as protobuf writes them: without features, and with none in them. Neither tells of itself what it is."""


class Survey(Protocol):
    """Looks at messages to infer their schema; where one is at fault, those before it count."""

    num_rows: int

    def add(self, payloads: Ragged) -> None: ...
    def schema(self) -> Schema: ...


_Decode: TypeAlias = Callable[[Ragged, Schema], Batch]
_SURVEYS: dict[Messages, Callable[[], Survey]] = {"example": example.Survey, "sagemaker": sagemaker.Survey}
_DECODERS: dict[Messages, _Decode] = {"example": example.decode, "sagemaker": sagemaker.decode}


def are_messages(payload: str) -> TypeGuard[Messages]:
    """Whether a payload is one whose schema is inferred from the records."""
    return payload in _DECODERS


def raw_batch(records: Records, schema: Schema) -> Batch:
    """Undecoded records as a Batch."""
    return Batch({"record": records.payloads}, schema, num_rows=len(records), places=records.places)


def looks_like_example(payloads: Ragged) -> bool:
    """Whether the first records are Examples: each that has any bytes of features parses whole, and one does.

    A SequenceExample has feature_lists as its field 2, which an Example's reader would drop, so it is none.
    """
    first = payloads[:LOOKED_AT]
    if any(_has_field(payload, 2) for payload in first if isinstance(payload, bytes)):
        return False
    first = first.take(np.flatnonzero([payload not in _WITHOUT_FEATURES for payload in first]))
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
    """Whether each of the first records parses whole as SageMaker's Record, and any of them holds a tensor or bytes.

    An Example's field 1 holds entries where a Record's is one, so neither passes for the other.
    """
    surveys = [sagemaker.Survey() for _ in range(min(LOOKED_AT, len(payloads)))]
    try:
        for row, survey in enumerate(surveys):  # one for each: that a tensor changes its kind is to be said later
            survey.add(payloads[row : row + 1])
    except (FormatError, SchemaError):
        return False
    return any(survey.has_values for survey in surveys)


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


def survey_messages(payload: Messages, runs: Iterable[Records], request: Request) -> Survey:
    """Look at every record of a file, to infer its schema; where damage is skipped, at those that are such messages."""
    survey: Survey = _SURVEYS[payload]()
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


def decode_messages(payload: Messages, records: Records, request: Request) -> tuple[Records, Batch]:
    """The fields asked for out of serialized messages, and their records.

    Damaged ones raise, or are left out and reported.
    """
    decode = _DECODERS[payload]
    if request.on_bad_record == "raise":
        with numbered(records.places):
            return records, decode(records.payloads, request.schema).read_at(records.places)
    sound = np.ones(len(records), dtype=np.bool_)

    def report(row: int, error: FormatError | SchemaError) -> None:
        sound[row] = False
        request.on_skip(records.skipped(row, str(placed(error, records.places[row]))))

    batch = _decode_sound(decode, records.payloads, request.schema, report)
    kept = records if sound.all() else records.take(np.flatnonzero(sound))
    return kept, batch.read_at(kept.places)


def _decode_sound(
    decode: _Decode, payloads: Ragged, schema: Schema, on_bad: Callable[[int, FormatError | SchemaError], None]
) -> Batch:
    """Decode, but leave out rows that cannot be decoded, after telling on_bad."""
    parts: list[Batch] = []
    todo = [(first, min(first + 1024, len(payloads))) for first in range(0, len(payloads), 1024)][::-1]
    while todo:
        first, stop = todo.pop()
        try:
            parts.append(decode(payloads[first:stop], schema))
        except (FormatError, SchemaError) as err:
            row = row_of(err)
            if row is None:
                raise
            on_bad(first + row, err)
            todo += [(a, b) for a, b in ((first + row + 1, stop), (first, first + row)) if a < b]
    return concat(parts) if parts else decode(payloads[:0], schema)
