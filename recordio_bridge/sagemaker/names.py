"""Which field is what of a Record; the drawing is in __init__.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..schema import INTEGERS, Field

FLOAT32, FLOAT64, INT32, BYTES = 2, 3, 7, 9  # what a Value holds: its field numbers
KIND_NAMES = {
    0: "nothing",
    FLOAT32: "float32_tensor",
    FLOAT64: "float64_tensor",
    INT32: "int32_tensor",
    BYTES: "bytes",
}
DTYPES = {FLOAT32: "float32", FLOAT64: "float64", INT32: "int32", BYTES: "bytes"}
VALUES, KEYS, SHAPE, CONTENT_TYPE = 1, 2, 3, 2  # parts: the field numbers of tensors and of Bytes
TEXT = 0  # no part of a Value, but a text of the Record
MAPS = {"features": b"\x01", "label": b"\x02"}  # the field numbers of Record, as names for the kernel begin
TEXTS = {"uid": b"\x03", "metadata": b"\x04", "configuration": b"\x05"}
FAULTS = {
    _kernels.BAD_MESSAGE: "this is no Record: the bytes are not protobuf's wire format",
    _kernels.BAD_LIST: "packed numbers are cut",
    _kernels.REPEATED_VALUE: "an entry of a map has two values",
    _kernels.UNKNOWN_FIELD: "a field that SageMaker's record.proto does not have",
}

Spans = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
"""(base, starts, lengths), as the kernels take them."""


class Place(NamedTuple):
    """What a field is in a Record: the name that find_values takes, and the part of its Value."""

    name: bytes
    part: int


def place_of(field: Field) -> Place | None:
    """Where a field belongs; None for one that is nothing of a Record. Decided by its name and dtype alone."""
    if field.name in TEXTS:
        return Place(TEXTS[field.name], TEXT)
    map_name, slash, key = field.name.partition("/")
    if not slash or map_name not in MAPS:
        return None
    stem, slash, last = key.rpartition("/")
    part = {("keys", "uint64"): KEYS, ("shape", "uint64"): SHAPE, ("content_type", "bytes"): CONTENT_TYPE}.get(
        (last, field.dtype) if slash else ("", "")
    )
    return Place(MAPS[map_name] + (key if part is None else stem).encode(), part or VALUES)


def kind_of(field: Field) -> int:
    """What a Value holds whose values are this field."""
    if field.dtype in INTEGERS:
        return INT32
    return {"bytes": BYTES, "float64": FLOAT64}.get(field.dtype, FLOAT32)


def title(name: bytes) -> str:
    """The field of the values that a name stands for."""
    for title, prefix in (MAPS | TEXTS).items():
        if name[:1] == prefix:
            return f"{title}/{name[1:].decode()}" if title in MAPS else title
    raise AssertionError(name)
