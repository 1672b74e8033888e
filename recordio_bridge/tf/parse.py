"""parse_spec: what tf.io.parse_example needs to know of a schema."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import tensorflow as tf

from ..errors import SchemaError
from ..example import check_encodable
from ..parsing import stored
from ..schema import Field, Schema
from ..sources import Source

if TYPE_CHECKING:
    from ..sources import SourceArgument

Feature: TypeAlias = "tf.io.FixedLenFeature | tf.io.RaggedFeature"


def parse_spec(schema: Schema | SourceArgument, **options: object) -> dict[str, Feature]:
    """The features for tf.io.parse_example, or parse_single_example, of the Examples that hold this schema.

    What they give, by field:

        ()  or fixed shapes     a dense tensor: FixedLenFeature; bytes are tf.string
        (None,), any number     a RaggedTensor (of parse_single_example, a tensor): RaggedFeature; a row without
                                values has no feature, and reads as an empty one
        packing "raw"           tf.string, the bytes of each tensor, "" for an empty one. To decode them:
                                tf.reshape(tf.io.decode_raw(row["x"], tf.uint8), [28, 28]), or without a batch;
                                uint32 and uint64, which decode_raw lacks, by tf.bitcast from int32 and int64

    Integers come as tf.int64 and floats as tf.float32, as Examples have no others; tf.cast makes of them what they
    were. `recordio-bridge info FILE --parse-fn` prints a function that does all of this.

    Args:
        schema: a Schema, or files of Examples: their sidecar says it, or a look through them.
        options: of the format, as in inspect, for files.

    Raises:
        SchemaError: the files hold no Examples.
        LossyError: an Example cannot hold a field of this schema.
    """
    fields = schema if isinstance(schema, Schema) else _schema_of(schema, options)
    check_encodable(fields)
    return {field.name: _feature(field) for field in fields.values()}


def _schema_of(path: SourceArgument, options: dict[str, object]) -> Schema:
    source = Source.open(path, options)
    schema = source.schema()
    payloads = {source.format.payload(each, schema) for each in source.options}
    if payloads != {"example"}:
        what = " and ".join(sorted(payload or "none" for payload in payloads))
        raise SchemaError(
            f"{os.fspath(source.paths[0])}: parse_spec is for records that are tf.train.Examples, and these are of "
            f"format {source.format.name}, payload {what}; convert them to TFRecord first"
        )
    return schema


def _feature(field: Field) -> Feature:
    value = stored(field)
    kind = tf.dtypes.as_dtype(value.kind)
    if value.shape is None:
        return tf.io.RaggedFeature(kind, row_splits_dtype=tf.int64)
    return tf.io.FixedLenFeature(list(value.shape), kind, default_value="" if value.may_miss else None)
