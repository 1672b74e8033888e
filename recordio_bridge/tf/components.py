"""A batch as tensors: what of each field is queued, and what it becomes behind the queue.

    field                   queued of a batch                                         given
    dense numbers           [rows, *shape]                                            the same
    bytes                   tf.string [rows]                                          the same
    ragged numbers          values [n], row_splits int64 [rows + 1]                   tf.RaggedTensor
    ragged numbers, padded  [rows, longest]                                           the same
    lists of bytes          tf.string [n], row_splits int64 [rows + 1]                tf.RaggedTensor, or [rows, *shape]

Row by row (unit="row") a queue needs components of one shape, so ragged numbers travel as a string of their bytes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..batch import Batch, Column, Ragged, empty_column
from ..errors import SchemaError
from ..memory import aligned_empty, is_aligned
from ..schema import Field, Schema

Tensor: TypeAlias = Any  # TensorFlow has no types
Array: TypeAlias = NDArray[Any]


def _aligned(array: Array) -> Array:
    """The same values in memory that TensorFlow takes as it is. A copy is made here, without the GIL, and not there."""
    if is_aligned(array):
        return array
    copy = aligned_empty(array.shape, array.dtype)
    np.copyto(copy, array)
    return copy


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of what is queued for a field. shape is that of a whole batch, None for the number of rows."""

    dtype: Any
    shape: tuple[int | None, ...]


class Component(ABC):
    """How one field travels. Subclasses are the rows of the table above."""

    def __init__(self, field: Field) -> None:
        self.field = field

    @property
    @abstractmethod
    def parts(self) -> list[Part]:
        """What is queued."""

    @abstractmethod
    def arrays(self, column: Column) -> list[Array]:
        """What is queued of a column: an array for each part."""

    def tensor(self, parts: Sequence[Tensor]) -> Tensor:
        """What is given to the model, of the tensors behind the queue."""
        return parts[0]

    def spec(self, rows: int | None) -> Tensor:
        """The tf.TypeSpec of what is given."""
        part = self.parts[0]
        return tf.TensorSpec((rows, *part.shape[1:]), part.dtype, name=None)


class Dense(Component):
    @property
    def parts(self) -> list[Part]:
        shape: tuple[Any, ...] = self.field.shape
        return [Part(tf.as_dtype(self.field.numpy_dtype), (None, *shape))]

    def arrays(self, column: Column) -> list[Array]:
        assert isinstance(column, np.ndarray)  # as the field says
        return [_aligned(column)]


class Bytes(Component):
    @property
    def parts(self) -> list[Part]:
        return [Part(tf.string, (None,))]

    def arrays(self, column: Column) -> list[Array]:
        return [_objects(column)]


class Lists(Component):
    """Lists of bytes; with a fixed number in each row, too."""

    @property
    def parts(self) -> list[Part]:
        return [Part(tf.string, (None,)), Part(tf.int64, (None,))]

    def arrays(self, column: Column) -> list[Array]:
        assert isinstance(column, Ragged)  # bytes are
        own = column.compact()
        assert isinstance(own.values, Ragged)  # lists are
        return [_objects(own.values), _splits(own.lengths)]

    def tensor(self, parts: Sequence[Tensor]) -> Tensor:
        if self.field.shape != (None,):
            return tf.reshape(parts[0], (-1, *self.field.shape))
        return tf.RaggedTensor.from_row_splits(parts[0], parts[1], validate=False)

    def spec(self, rows: int | None) -> Tensor:
        if self.field.shape != (None,):
            return tf.TensorSpec((rows, *self.field.shape), tf.string)
        return tf.RaggedTensorSpec((rows, None), tf.string, ragged_rank=1, row_splits_dtype=tf.int64)


class Numbers(Component):
    """Ragged numbers."""

    @property
    def parts(self) -> list[Part]:
        return [Part(tf.as_dtype(self.field.numpy_dtype), (None,)), Part(tf.int64, (None,))]

    def arrays(self, column: Column) -> list[Array]:
        assert isinstance(column, Ragged)  # as the field says
        return [_aligned(column.numbers()), _splits(column.counts)]

    def tensor(self, parts: Sequence[Tensor]) -> Tensor:
        return tf.RaggedTensor.from_row_splits(parts[0], parts[1], validate=False)

    def spec(self, rows: int | None) -> Tensor:
        part = self.parts[0]
        return tf.RaggedTensorSpec((rows, None), part.dtype, ragged_rank=1, row_splits_dtype=tf.int64)


class Padded(Component):
    """Ragged numbers, filled up to the longest row of the batch."""

    def __init__(self, field: Field, pad: float) -> None:
        super().__init__(field)
        self._pad = _padding(field, pad)

    @property
    def parts(self) -> list[Part]:
        return [Part(tf.as_dtype(self.field.numpy_dtype), (None, None))]

    def arrays(self, column: Column) -> list[Array]:
        assert isinstance(column, Ragged)  # as the field says
        counts = column.counts
        longest = int(counts.max(initial=0))
        padded = np.full((len(column), longest), self._pad, dtype=self.field.numpy_dtype)
        padded[np.arange(longest) < counts[:, None]] = column.numbers()
        return [_aligned(padded)]


class Strung(Component):
    """Ragged numbers, row by row: each row as the bytes of its numbers.

    Args:
        pad: None gives a RaggedTensor.
    """

    def __init__(self, field: Field, pad: float | None) -> None:
        super().__init__(field)
        self._pad, self._dtype = None if pad is None else _padding(field, pad), tf.as_dtype(field.numpy_dtype)
        # decode_raw has no unsigned 32 and 64 bits, and no bfloat16: those are the same bits
        self._decoded = {tf.uint32: tf.int32, tf.uint64: tf.int64, tf.bfloat16: tf.uint16}.get(self._dtype, self._dtype)

    @property
    def parts(self) -> list[Part]:
        return [Part(tf.string, (None,))]

    def arrays(self, column: Column) -> list[Array]:
        assert isinstance(column, Ragged)  # as the field says
        return [_objects(Ragged(column.values, column.starts, column.lengths, "bytes"))]

    def tensor(self, parts: Sequence[Tensor]) -> Tensor:
        (rows,) = parts
        values = tf.io.decode_raw(tf.strings.reduce_join(rows), self._decoded)
        if self._decoded != self._dtype:
            values = tf.bitcast(values, self._dtype)
        counts = tf.cast(tf.strings.length(rows) // self.field.numpy_dtype.itemsize, tf.int64)
        ragged = tf.RaggedTensor.from_row_lengths(values, counts, validate=False)
        return ragged if self._pad is None else ragged.to_tensor(self._pad)

    def spec(self, rows: int | None) -> Tensor:
        if self._pad is not None:
            return tf.TensorSpec((rows, None), self._dtype)
        return tf.RaggedTensorSpec((rows, None), self._dtype, ragged_rank=1, row_splits_dtype=tf.int64)


class Components:
    """All fields of a schema, one behind the other.

    Args:
        pad: what fills up ragged numbers; None leaves them ragged.
        by_row: for a queue of rows.

    Raises:
        SchemaError: a field cannot travel so.
    """

    def __init__(self, schema: Schema, pad: float | None, by_row: bool) -> None:
        self.all = [_component(field, pad, by_row) for field in schema.values()]
        self.parts = [part for each in self.all for part in each.parts]

    def arrays(self, batch: Batch) -> list[Array]:
        """What is queued of a batch: an array for each part."""
        return [array for each in self.all for array in each.arrays(batch[each.field.name])]

    def tensors(self, parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What is given to the model: a tensor for each field."""
        left = list(parts)
        given = []
        for each in self.all:
            count = len(each.parts)
            given.append(each.tensor(left[:count]))
            left = left[count:]
        return tuple(given)

    def given(self, parts: Sequence[Tensor], rows: int | None) -> tuple[Tensor, ...]:
        """As tensors, of parts that do not know their shapes, and with static shapes. rows: None where it varies."""
        for tensor, part in zip(parts, self.parts, strict=True):
            tensor.set_shape(part.shape)
        given = self.tensors(parts)
        for tensor, spec in zip(given, self.specs(rows), strict=True):
            if isinstance(spec, tf.TensorSpec):
                tensor.set_shape(spec.shape)
        return given

    def specs(self, rows: int | None) -> tuple[Tensor, ...]:
        """The tf.TypeSpec of each field; rows None where it varies."""
        return tuple(each.spec(rows) for each in self.all)

    def no_arrays(self) -> list[Array]:
        """The arrays of a batch without rows."""
        return [array for each in self.all for array in each.arrays(empty_column(each.field))]


def _component(field: Field, pad: float | None, by_row: bool) -> Component:
    if field.dtype == "bytes" and field.shape == ():
        return Bytes(field)
    if field.dtype == "bytes":
        if by_row:
            raise SchemaError(
                f"field {field} is lists, which a queue of rows cannot hold; use unit='batch', or leave it out",
                field=field.name,
            )
        return Lists(field)
    if field.shape != (None,):
        if by_row and 0 in field.shape:
            raise SchemaError(
                f"field {field.name!r} has no values (its shape is {field.shape}), and TensorFlow's queues of "
                "rows crash on that; use unit='batch', or leave it out",
                field=field.name,
            )
        return Dense(field)
    if pad is not None:
        return Strung(field, pad) if by_row else Padded(field, pad)
    return Strung(field, None) if by_row else Numbers(field)


def _padding(field: Field, pad: float) -> Any:
    """pad as a number of a field: exactly where that is of integers, else rounded."""
    dtype = field.numpy_dtype
    if "float" in field.dtype:
        with np.errstate(over="ignore"):
            value: Any = np.float64(pad).astype(dtype)
        if math.isfinite(value) == math.isfinite(pad):
            return value
    else:
        limits = None if field.dtype == "bool" else np.iinfo(field.dtype)
        low, high = (0, 1) if limits is None else (limits.min, limits.max)
        if low <= pad <= high and int(pad) == pad:
            return dtype.type(int(pad))
    raise SchemaError(f"pad={pad!r} is no {field.dtype}, as field {field.name!r} is", field=field.name)


def _objects(column: Column) -> Array:
    """bytes as TensorFlow takes them."""
    assert isinstance(column, Ragged)  # bytes are
    base, starts, lengths = column.spans
    memory, ends = base.data, starts + lengths
    objects = np.empty(len(column), dtype=object)
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    objects[:] = [memory[start:end].tobytes() for start, end in spans]  # TensorFlow takes strings one by one
    return objects


def _splits(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    splits = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=splits[1:])
    return splits
