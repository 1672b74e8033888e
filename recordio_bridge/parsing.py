"""How others parse the Examples that we write: what is stored for each field, and a Python function that reads it.

Nothing here imports TensorFlow: tf.py makes its objects of it, tfmd.py a schema.pbtxt, and the command line a function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .errors import SchemaError
from .example import check_encodable
from .schema import INTEGERS, Field, Schema

_NOT_DECODED = {"uint32": "int32", "uint64": "int64"}  # what tf.io.decode_raw lacks, and what has the same bits


@dataclass(frozen=True, slots=True)
class Stored:
    """What an Example holds of a field.

    kind: of the list, by the name of TensorFlow's dtype. shape: of a row, when it is fixed and has values; None for any
    number of values, none at all among them: then the feature is missing. is_raw: the one value is the little-endian
    bytes of a tensor; may_miss: where that is empty, it is missing.
    """

    kind: Literal["int64", "float32", "string"]
    shape: tuple[int, ...] | None
    is_raw: bool = False
    may_miss: bool = False


def stored(field: Field) -> Stored:
    """What an Example holds of a field."""
    if field.packing == "raw":
        return Stored("string", (), is_raw=True, may_miss=field.shape == (None,))
    fixed = tuple(n for n in field.shape if n is not None)
    shape = fixed if field.num_values and None not in field.shape else None
    if field.dtype == "bytes":
        return Stored("string", shape)
    return Stored("int64" if field.dtype in INTEGERS else "float32", shape)


def parse_function(schema: Schema, name: str, compression: str = "") -> str:
    """The source of a Python module that parses Examples of this schema: SPEC, parse(record) and dataset(files).

    Tensors that are stored as bytes are decoded and reshaped, dtypes cast back. name is of a file, for its text.

    Raises:
        LossyError: an Example cannot hold a field of this schema.
        SchemaError: there is no field.
    """
    check_encodable(schema)
    if not schema:
        raise SchemaError(f"{name}: there is no field to parse")
    lines = [
        '"""Parses the rows of ' + _in_docstring(name) + '."""',
        "",
        "import tensorflow as tf",
        "",
        "SPEC = {",
        *(f"    {field.name!r}: {_feature(stored(field))}," for field in schema.values()),
        "}",
        "",
        "",
        "def parse(record):",
        '    """A row, of one serialized tf.train.Example: a dict of tensors."""',
        "    row = tf.io.parse_single_example(record, SPEC)",
        *(f"    {line}" for field in schema.values() for line in _restored(field)),
        "    return row",
        "",
        "",
        "def dataset(files):",
        '    """The rows of TFRecord files, one after another: a tf.data.Dataset."""',
        f'    records = tf.data.TFRecordDataset(files, compression_type="{compression}")',
        "    return records.map(parse, num_parallel_calls=tf.data.AUTOTUNE)",
    ]
    return "\n".join(lines) + "\n"


def _in_docstring(text: str) -> str:
    return ascii(text)[1:-1].replace('"', "'")


def _feature(value: Stored) -> str:
    """The feature of a spec, as Python has it; the same that tf.parse_spec makes."""
    if value.shape is None:
        return f"tf.io.RaggedFeature(tf.{value.kind}, row_splits_dtype=tf.int64)"
    default = ', default_value=""' if value.may_miss else ""
    return f"tf.io.FixedLenFeature({list(value.shape)}, tf.{value.kind}{default})"


def _restored(field: Field) -> Iterable[str]:
    """The statements that make of a parsed feature what the field was."""
    here, value = f"row[{field.name!r}]", stored(field)
    expression = here
    if value.is_raw:
        expression = f"tf.io.decode_raw({here}, tf.{_NOT_DECODED.get(field.dtype, field.dtype)})"
        if field.dtype in _NOT_DECODED:
            expression = f"tf.bitcast({expression}, tf.{field.dtype})"
    elif field.dtype not in ("bytes", value.kind):
        expression = f"tf.cast({here}, tf.{field.dtype})"
    if field.shape != (None,) and (value.is_raw or value.shape is None):
        expression = f"tf.reshape({expression}, {list(field.shape)})"
    return [] if expression == here else [f"{here} = {expression}"]
