"""What the columns of a dataset are called, and what they hold.

A Schema is a list of Fields. A field's shape is () for one value a row, (28, 28) for a fixed tensor, and (None,) for
any number of values. Its packing says how a tensor goes into a tf.train.Example: "list" (int64_list, float_list) or
"raw" (the little-endian bytes, row-major, as one bytes value).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

import numpy as np

from .errors import MissingDependencyError, SchemaError

Packing: TypeAlias = Literal["list", "raw"]
Shape: TypeAlias = tuple[int | None, ...]

INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
DTYPES = (*INTEGERS, *FLOATS, "bytes")
LONGEST_NAME = (1 << 16) - 1
"""Bytes of a name: what a member of a .npz can have. Real ones have a hundred."""
MOST_DIMENSIONS = 31
"""Of a row: numpy 1 has 32, and the rows are one. Video in batches of crops has 6."""
LARGEST_DIMENSION = (1 << 64) - 1
"""What HDF5 can claim. Memory is taken by what is there; see framed.most_held."""
_SHOWN = 200  # letters of what a message quotes


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """The numpy dtype of a field's numbers. bfloat16 is not numpy's own and comes from ml_dtypes."""
    if name != "bfloat16":
        return np.dtype(name).newbyteorder("<")
    try:
        import ml_dtypes
    except ImportError as err:
        raise MissingDependencyError("bfloat16 needs ml_dtypes: pip install ml_dtypes") from err
    return np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True, slots=True)
class Field:
    """The declaration of one column.

    Args:
        name: any text; in an Example it is the feature's key.
        dtype: "bytes", or a numpy name among bool, int8..int64, uint8..uint64, float16, bfloat16, float32, float64.
        shape: of one row: (), fixed numbers, or (None,).
        packing: "list" or "raw"; None takes "raw" for uint8 tensors of two or more dimensions, else "list".

    Raises:
        SchemaError: the four do not make a field.
    """

    name: str
    dtype: str
    shape: Shape = ()
    packing: Packing = None  # type: ignore[assignment]  # always one of the two once the field exists

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.packing is None:
            raw = self.dtype == "uint8" and len(self.shape) >= 2
            object.__setattr__(self, "packing", "raw" if raw else "list")
        problem = self._problem()
        if problem:
            name = repr(self.name)  # which may be what is wrong with it
            shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
            raise SchemaError(f"field {shown}: {problem}", field=str(self.name))

    def _problem(self) -> str | None:
        if not isinstance(self.name, str):
            return f"a name is text, not {type(self.name).__name__}"
        if any("\ud800" <= char <= "\udfff" for char in self.name):
            return "a name is Unicode text, and this has a lone surrogate"
        if len(self.name) > LONGEST_NAME // 4 and len(self.name.encode()) > LONGEST_NAME:
            return f"a name of {len(self.name.encode())} bytes, expected at most {LONGEST_NAME}"
        if self.dtype not in DTYPES:
            return f"dtype {self.dtype!r} is unknown; known are {', '.join(DTYPES)}"
        if self.packing not in ("list", "raw"):
            return f"packing {self.packing!r} is unknown; known are 'list' and 'raw'"
        if self.packing == "raw" and self.dtype == "bytes":
            return "bytes are stored as they are; packing 'raw' is for numbers"
        if None in self.shape and self.shape != (None,):
            return f"shape {self.shape}: a variable length is written (None,), alone"
        if any(type(n) is not int or n < 0 for n in self.shape if n is not None):
            return f"shape {self.shape} is not made of sizes"
        if len(self.shape) > MOST_DIMENSIONS:
            return f"a shape of {len(self.shape)} dimensions, expected at most {MOST_DIMENSIONS}"
        if any(n > LARGEST_DIMENSION for n in self.shape if n is not None):
            return "a shape with a dimension of more than 64 bits"
        if self.dtype == "bytes" and len(self.shape) > 1:
            return f"shape {self.shape}: bytes come one a row, (), or as a list, (n,) or (None,)"
        return None

    @property
    def is_ragged(self) -> bool:
        """Whether rows differ in size, so that the column is a Ragged."""
        return self.dtype == "bytes" or self.shape == (None,)

    @property
    def num_values(self) -> int | None:
        """How many values a row has; None where rows differ."""
        return None if self.shape == (None,) else math.prod(cast("tuple[int, ...]", self.shape))

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The numpy dtype of the numbers (not for bytes)."""
        return numpy_dtype(self.dtype)

    def to_json(self) -> dict[str, object]:
        """The field as the sidecar holds it."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape), "packing": self.packing}

    @classmethod
    def from_json(cls, value: object) -> Field:
        """The field that to_json wrote; SchemaError for anything else."""
        if not isinstance(value, dict) or set(value) != {"name", "dtype", "shape", "packing"}:
            raise SchemaError(f"a field is name, dtype, shape and packing, not {value!r}")
        if not isinstance(value["shape"], list) or not isinstance(value["dtype"], str):
            raise SchemaError(f"a shape is a list and a dtype is text, not {value!r}")
        if value["packing"] is None:
            raise SchemaError(f"field {value['name']!r}: packing is 'list' or 'raw', not null")
        return cls(value["name"], value["dtype"], tuple(value["shape"]), value["packing"])

    @property
    def kind(self) -> str:
        """What it holds, without its name, for messages."""
        shape = "" if self.shape == () else str(list(self.shape)).replace("None", "*")
        return f"{self.dtype}{shape}" + (" (raw)" if self.packing == "raw" else "")

    def __str__(self) -> str:
        name = self.name if self.name.isprintable() else repr(self.name)
        return f"{name}: {self.kind}"


class Schema(Mapping[str, Field]):
    """Fields in their order, found by name; equal when fields and order are.

    Raises:
        SchemaError: two fields have one name.
    """

    __slots__ = ("_fields",)

    def __init__(self, *fields: Field) -> None:
        self._fields = {field.name: field for field in fields}
        if len(self._fields) != len(fields):
            last = {field.name: number for number, field in enumerate(fields)}
            twice = next(field.name for number, field in enumerate(fields) if last[field.name] != number)
            raise SchemaError(f"two fields are called {twice!r}", field=twice)

    def __getitem__(self, name: str) -> Field:
        try:
            return self._fields[name]
        except KeyError:
            raise SchemaError(
                f"there is no field {name!r}; there are {', '.join(self) or 'none'}", field=name
            ) from None

    def find(self, name: str) -> Field | None:
        """The field of this name, or None."""
        return self._fields.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and list(self.values()) == list(other.values())

    def __hash__(self) -> int:
        return hash(tuple(self._fields.values()))

    def __repr__(self) -> str:
        return f"Schema({', '.join(str(field) for field in self.values())})"

    def pick(self, names: list[str] | tuple[str, ...]) -> Schema:
        """These fields, in this order."""
        return Schema(*(self[name] for name in names))

    def pack(self, packing: Mapping[str, Packing]) -> Schema:
        """The same with other packings for some fields."""
        for name in packing:
            self[name]
        return Schema(*(replace(field, packing=packing.get(field.name, field.packing)) for field in self.values()))

    def to_json(self) -> list[dict[str, object]]:
        """The fields as the sidecar holds them."""
        return [field.to_json() for field in self.values()]

    @classmethod
    def from_json(cls, value: object) -> Schema:
        """The schema that to_json wrote; SchemaError for anything else."""
        if not isinstance(value, list):
            raise SchemaError(f"a schema is a list of fields, not {value!r}")
        return cls(*(Field.from_json(item) for item in value))
