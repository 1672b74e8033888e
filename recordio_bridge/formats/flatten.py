"""How the columns of a Batch become the arrays of a file; what formats.arrays reads them back from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, Column, Ragged
from ..errors import SchemaError
from ..schema import Field, Schema, numpy_dtype


def storable_dtype(dtype: str, name: str) -> np.dtype[Any]:
    """The dtype that a file of arrays keeps; SchemaError for one that comes back as something else."""
    if dtype == "bfloat16":
        raise SchemaError(
            f"field {name!r}: bfloat16 would come back as untyped bytes; cast it: --select {name}:float32={name}",
            field=name,
        )
    return numpy_dtype(dtype)


def flattened(field: Field) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """The arrays that keep a field: name, dtype and shape of an entry; see formats.arrays."""
    name = field.name
    if not field.is_ragged:
        return {name: (storable_dtype(field.dtype, name), tuple(n for n in field.shape if n is not None))}
    values: np.dtype[Any] = np.dtype(np.uint8) if field.dtype == "bytes" else storable_dtype(field.dtype, name)
    offsets: tuple[np.dtype[Any], tuple[int, ...]] = (np.dtype("<i8"), ())
    arrays = {f"{name}/values": (values, ()), f"{name}/offsets": offsets}
    if field.dtype == "bytes" and field.shape != ():
        arrays[f"{name}/inner_offsets"] = offsets
    return arrays


class Flattener:
    """Cuts the columns of Batches into what is appended to the arrays that keep them.

    Attributes:
        arrays: the dtype of each, by its name, and the shape of one entry: () for values and offsets.

    Raises:
        SchemaError: two fields would need arrays of the same name, or one has a dtype that does not come back.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        for field in schema.values():
            arrays = flattened(field)
            taken = next((name for name in arrays if name in self.arrays), None)
            if taken is not None:
                raise SchemaError(
                    f"field {field.name!r}: {taken!r} is taken by another field; rename one", field=field.name
                )
            self.arrays |= arrays
        ragged = {name: flattened(field) for name, field in schema.items() if field.is_ragged}
        self._ends = {name: 0 for arrays in ragged.values() for name in arrays if not name.endswith("/values")}

    def first(self) -> dict[str, NDArray[np.int64]]:
        """The 0 that offsets begin with."""
        return {name: np.zeros(1, dtype=np.int64) for name in self._ends}

    def pieces(self, batch: Batch) -> Iterator[tuple[str, NDArray[Any]]]:
        """What a Batch appends to each array: the array's name, and (entries, *shape of one) of its dtype."""
        for name in self._schema:
            yield from self._of(name, batch[name])

    def _of(self, name: str, column: Column) -> Iterator[tuple[str, NDArray[Any]]]:
        if not isinstance(column, Ragged):
            yield name, column
            return
        own = column.compact()
        yield f"{name}/offsets", self._offsets(f"{name}/offsets", own.counts)
        if isinstance(own.values, Ragged):
            yield f"{name}/inner_offsets", self._offsets(f"{name}/inner_offsets", own.values.lengths)
            own = own.values
        assert not isinstance(own.values, Ragged)  # columns nest once
        yield f"{name}/values", own.values.view(self.arrays[f"{name}/values"][0])

    def _offsets(self, name: str, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        ends = self._ends[name] + np.cumsum(counts, dtype=np.int64)
        self._ends[name] = int(ends[-1]) if len(ends) else self._ends[name]
        return ends
