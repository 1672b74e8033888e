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

from ..codec import Codec
from .decoding import decode
from .encoding import check_encodable, encode, pieces
from .names import place_of
from .survey import Survey

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

_codec = Codec("Record", encode, decode, Survey)
to_message, from_message = _codec.to_message, _codec.from_message
to_messages, from_messages = _codec.to_messages, _codec.from_messages
