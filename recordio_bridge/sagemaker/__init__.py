"""SageMaker's Record <-> Batch, on the wire, whole batches at a time. Needs neither protobuf nor SageMaker's SDK.

    Record   { 1: features, map of Value   2: label, map of Value   3: uid   4: metadata   5: configuration }
    Value    { 2: Float32Tensor | 3: Float64Tensor | 7: Int32Tensor | 9: Bytes }
    tensor   { 1: packed values   2: packed keys, uint64   3: packed shape, uint64 }
    Bytes    { 1: bytes, for each value   2: content_type }

    field                            what it holds of a Record
    features/NAME, label/NAME        the values: float32, float64, int32 or bytes; SageMaker's algorithms want the NAME
                                     values
    features/NAME/keys, .../shape    uint64: where the values of a sparse tensor belong, and its shape; the values are
                                     (None,) then, also where each row has as many
    features/NAME/content_type       bytes: what a value of bytes is
    uid, metadata, configuration     bytes

Writing, float16 and bfloat16 become float32, bool and other integers int32 where each value fits, else an error; the
sidecar remembers the dtype. A field of two or more dimensions is written with its shape. Entries are written in the
order of their keys, numbers packed, so one Batch always gives the same bytes.

As in an Example, a row without anything has no entry, and a missing entry is read as such a row. What record.proto
does not have is an error, as no field could keep it.

Specification: sagemaker-python-sdk, src/sagemaker/amazon/record.proto; protobuf's encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..batch import Batch, Row
from ..schema import Schema
from .decoding import decode
from .encoding import check_encodable, encode, pieces
from .names import place_of
from .survey import Survey

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..messages import Serializable

__all__ = [
    "Survey",
    "check_encodable",
    "decode",
    "encode",
    "from_message",
    "from_messages",
    "pieces",
    "place_of",
    "to_message",
    "to_messages",
]


def to_message(row: Mapping[str, object], schema: Schema | None = None) -> Message:
    """A Record of one row, as a protobuf message (see messages.py).

    Args:
        row: as RecordFile and Batch.rows() give it; or any numbers, texts, bytes and lists of them.
        schema: what the fields are; None takes what the values say.

    Raises:
        MissingDependencyError: protobuf is not installed.
        SchemaError, LossyError: a value that a Record cannot hold.
    """
    from ..messages import RECORDS

    return RECORDS.to_message(row, schema)


def from_message(message: Serializable, schema: Schema | None = None) -> dict[str, Row]:
    """The row of a Record: of ours, or of the SDK's own; without a schema, a list of one value is that value."""
    from ..messages import RECORDS

    return RECORDS.from_message(message, schema)


def to_messages(batch: Batch) -> list[Message]:
    """A Record for each row, as protobuf messages."""
    from ..messages import RECORDS

    return RECORDS.to_messages(batch)


def from_messages(messages: Iterable[Serializable], schema: Schema | None = None) -> Batch:
    """The rows of Records, of ours or the SDK's own; without a schema it is inferred from all of them."""
    from ..messages import RECORDS

    return RECORDS.from_messages(messages, schema)
