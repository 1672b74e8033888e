"""The schema of an output as TensorFlow Data Validation and Transform read it: tensorflow.metadata.v0.Schema, as text.

    feature { name: "x" type: FLOAT  presence { min_fraction: 1.0 min_count: 1 }  shape { dim { size: 3 } } }
    feature { name: "y" type: INT  value_count { min: 0 }  int_domain { min: 0 max: 255 } }
    tensor_representation_group { key: ""  value { tensor_representation { key: "x" value { dense_tensor { ... } } } } }

A feature whose rows may be empty is one that may be missing, so it has no presence.

Specification: tensorflow-metadata 1.21.0, proto/v0/schema.proto.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .parsing import Stored, stored
from .schema import Field, Schema

_TYPES = {"int64": "INT", "float32": "FLOAT", "string": "BYTES"}


def schema_text(schema: Schema) -> str:
    """The text of a schema.pbtxt."""
    lines = ["# proto-file: tensorflow_metadata/proto/v0/schema.proto", "# proto-message: Schema"]
    for field in schema.values():
        lines += _block("feature", _feature(field))
    groups = [line for field in schema.values() for line in _block("tensor_representation", _representation(field))]
    lines += _block("tensor_representation_group", ['key: ""', *_block("value", groups)])
    return "\n".join(lines) + "\n"


def _feature(field: Field) -> Iterable[str]:
    value = stored(field)
    yield f"name: {_quoted(field.name)}"
    yield f"type: {_TYPES[value.kind]}"
    if value.shape is None or value.may_miss:
        yield from _block("value_count", ["min: 0"])
    else:
        yield from _block("presence", ["min_fraction: 1.0", "min_count: 1"])
        yield from _shape(value)
    if value.kind == "int64":
        yield from _domain(field)
    if value.is_raw or field.dtype not in ("bytes", value.kind):
        yield from _block("annotation", [f"comment: {_quoted(_comment(field, value))}"])


def _domain(field: Field) -> list[str]:
    if field.dtype == "bool":
        return _block("bool_domain", [])
    info = np.iinfo(field.dtype)
    if info.max > np.iinfo(np.int64).max:
        return _block("int_domain", ["min: 0"])
    return [] if info.bits == 64 else _block("int_domain", [f"min: {info.min}", f"max: {info.max}"])


def _comment(field: Field, value: Stored) -> str:
    shape = str(list(field.shape)).replace("None", "*") if field.shape else ""
    return f"{field.dtype}{shape}" + (", as its little-endian bytes" if value.is_raw else "")


def _representation(field: Field) -> list[str]:
    value, name = stored(field), _quoted(field.name)
    if value.may_miss:
        how = _block("varlen_sparse_tensor", [f"column_name: {name}"])
    elif value.shape is None:
        how = _block("ragged_tensor", [*_block("feature_path", [f"step: {name}"]), "row_partition_dtype: INT64"])
    else:
        how = _block("dense_tensor", [f"column_name: {name}", *_shape(value)])
    return [f"key: {name}", *_block("value", how)]


def _shape(value: Stored) -> list[str]:
    return _block("shape", [line for size in value.shape or () for line in _block("dim", [f"size: {size}"])])


def _block(name: str, lines: Iterable[str]) -> list[str]:
    return [f"{name} {{", *(f"  {line}" for line in lines), "}"]


def _quoted(text: str) -> str:
    """A string of protobuf's text format: what is not plain is written as the octal of its bytes."""
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{plain}"'
