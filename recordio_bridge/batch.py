"""Batch and Ragged: what flows between a reader and a writer.

A Batch is a few columns of equal length. A column is a dense ndarray[rows, *shape], or a Ragged where rows differ in
size. Nothing in a Batch is ever written to again: it stays valid for as long as it is held, whatever its reader does
next. Shuffling, slicing and sharding are arithmetic on starts and lengths; the bytes stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .casts import cast, exact_array
from .errors import SchemaError
from .memory import gather
from .places import Places, Read
from .row_bytes import row_bytes, row_members
from .schema import DTYPES, Field, Schema, numpy_dtype

_Scalar = TypeVar("_Scalar", bound=np.generic)
Row: TypeAlias = "bytes | np.generic | NDArray[np.generic] | list[bytes]"
Indices: TypeAlias = "NDArray[np.int64] | Sequence[int]"


def sealed(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Make an array that nobody else holds read-only; a Ragged then takes it, and parts of it, without a copy."""
    array.flags.writeable = False
    return array


def _spans(values: object) -> NDArray[np.int64]:
    """Starts or lengths as contiguous int64 that nobody can write to.

    A copy, unless their memory is read-only to all: a kernel sees that spans lie in their buffer, and then goes by them
    without the GIL, so a caller's array that another thread writes to would lead it out of the buffer.
    """
    array = np.ascontiguousarray(values, dtype=np.int64)
    if array is not values and array.base is None and isinstance(values, (np.ndarray, list, tuple)):
        return sealed(array)  # it was made just now
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    is_fixed = not (array.flags.writeable or owner.flags.writeable) and isinstance(owner.base, (bytes, type(None)))
    return array if is_fixed else sealed(array.copy())


class Ragged(Sequence[Row]):
    """A column whose rows differ in size: spans into one buffer.

    Args:
        values: the bytes that the spans point into (uint8), or, for lists of bytes, a Ragged of all their members.
        starts, lengths: int64, one entry a row; in bytes, or in members where values is a Ragged. Copied where they
            could still be written to.
        dtype: "bytes", or the dtype of the numbers that the bytes hold (little-endian, any alignment).

    len, [i] and iteration give bytes, ndarrays, or lists of bytes; [a:b] gives a Ragged.
    """

    __slots__ = ("dtype", "lengths", "starts", "values")

    def __init__(
        self, values: NDArray[np.uint8] | Ragged, starts: NDArray[np.int64], lengths: NDArray[np.int64], dtype: str
    ) -> None:
        if dtype not in DTYPES:
            raise SchemaError(f"dtype {dtype!r} is unknown; known are {', '.join(DTYPES)}")
        if isinstance(values, Ragged) and (dtype != "bytes" or isinstance(values.values, Ragged)):
            raise SchemaError("only lists of bytes nest, and only once")
        self.values: NDArray[np.uint8] | Ragged = values if isinstance(values, Ragged) else sealed(values.view())
        self.dtype = dtype
        self.starts, self.lengths = _spans(starts), _spans(lengths)
        if self.starts.shape != self.lengths.shape or self.starts.ndim != 1:
            raise SchemaError(f"{self.starts.shape} starts for {self.lengths.shape} lengths")

    @classmethod
    def of(cls, rows: Iterable[object], dtype: str = "bytes", *, name: str = "") -> Ragged:
        """A Ragged of bytes, of arrays or sequences of numbers, or (dtype "bytes") of lists of bytes.

        Text is stored as UTF-8. name is for messages.

        Raises:
            LossyError: dtype does not hold a number as it is.
            SchemaError: a row has more than one dimension.
        """
        items = list(rows)
        if dtype == "bytes" and any(isinstance(item, (list, tuple, np.ndarray)) for item in items):
            return cls.of_lists(items, name=name)
        if dtype == "bytes":
            parts = [row_bytes(item, name, row) for row, item in enumerate(items)]
        else:
            arrays = [exact_array(item, dtype, name) for item in items]
            deep = next((row for row, array in enumerate(arrays) if array.ndim > 1), None)
            if deep is not None:
                raise SchemaError(
                    f"{name or 'ragged'}: row {deep} is {arrays[deep].shape}; a Ragged has rows of one dimension; "
                    "flatten them, and keep their shapes in a column of their own",
                    row=deep,
                )
            parts = [array.tobytes() for array in arrays]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        buffer = np.frombuffer(b"".join(parts), dtype=np.uint8)
        return cls(buffer, _ends(lengths) - lengths, lengths, dtype)

    @classmethod
    def of_lists(cls, rows: Iterable[object], *, name: str = "") -> Ragged:
        """A Ragged of lists of bytes. name is for messages."""
        lists = [
            [row_bytes(member, name, row) for member in row_members(each, name, row)] for row, each in enumerate(rows)
        ]
        counts = np.array([len(members) for members in lists], dtype=np.int64)
        return cls(cls.of([m for members in lists for m in members]), _ends(counts) - counts, counts, "bytes")

    @property
    def is_nested(self) -> bool:
        """Whether each row is a list of bytes."""
        return isinstance(self.values, Ragged)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of values of each row (of members, or of numbers; of bytes for plain bytes)."""
        if self.is_nested or self.dtype == "bytes":
            return self.lengths
        return self.lengths // numpy_dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """The bytes that the rows hold, whatever the buffer holds besides."""
        if isinstance(self.values, Ragged):
            return self.compact().values.nbytes
        return int(self.lengths.sum())

    @property
    def spans(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """(base, starts, lengths) as the kernels take them; not for nested columns."""
        if isinstance(self.values, Ragged):
            raise TypeError("a nested column has two levels of spans")
        return self.values, self.starts, self.lengths

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Ragged: ...
    def __getitem__(self, index: int | slice) -> Row | Ragged:
        if isinstance(index, slice):
            return Ragged(self.values, self.starts[index], self.lengths[index], self.dtype)
        start, length = int(self.starts[index]), int(self.lengths[index])
        if isinstance(self.values, Ragged):
            return [member for member in self.values[start : start + length] if isinstance(member, bytes)]
        row = self.values[start : start + length]
        if self.dtype == "bytes":
            return row.tobytes()
        return sealed(np.frombuffer(row.tobytes(), dtype=numpy_dtype(self.dtype)))

    def take(self, indices: Indices) -> Ragged:
        """These rows, in this order, as spans into the same buffer."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Ragged(self.values, self.starts[chosen], self.lengths[chosen], self.dtype)

    def compact(self) -> Ragged:
        """The same rows in a buffer of their own, one after another. Copies the bytes once."""
        if isinstance(self.values, Ragged):
            members = spread(self.starts, self.lengths)
            return Ragged(
                self.values.take(members).compact(), _ends(self.lengths) - self.lengths, self.lengths, "bytes"
            )
        buffer = np.empty(int(self.lengths.sum()), dtype=np.uint8)
        _kernels.gather_spans(self.spans, buffer)
        return Ragged(buffer, _ends(self.lengths) - self.lengths, self.lengths, self.dtype)

    def numbers(self) -> NDArray[np.generic]:
        """All numbers of all rows, one after another: ndarray[sum of counts]. Copies the bytes once."""
        base = self.compact().values
        if isinstance(base, Ragged) or self.dtype == "bytes":
            raise TypeError("bytes are not numbers")
        return base.view(numpy_dtype(self.dtype))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ragged):
            return NotImplemented
        if (self.dtype, len(self), self.is_nested) != (other.dtype, len(other), other.is_nested):
            return False
        if not np.array_equal(self.lengths, other.lengths):
            return False
        mine, theirs = self.compact().values, other.compact().values
        if isinstance(mine, Ragged):
            return mine == theirs
        return isinstance(theirs, np.ndarray) and np.array_equal(mine, theirs)

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __reduce__(self) -> tuple[type[Ragged], tuple[object, ...]]:
        """Pickle the rows alone, not the block of a file that they lie in."""
        own = self.compact()
        return Ragged, (own.values, own.starts, own.lengths, own.dtype)

    def __repr__(self) -> str:
        what = "lists of bytes" if self.is_nested else self.dtype
        return f"Ragged({len(self)} rows of {what})"


Column: TypeAlias = "NDArray[np.generic] | Ragged"


def _ends(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.cumsum(lengths, dtype=np.int64))


def spread(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """All indices of all ranges [start, start + length), one range after another."""
    if len(lengths) == 0:
        return np.empty(0, dtype=np.int64)
    first = np.repeat(starts - _ends(lengths) + lengths, lengths)
    return np.asarray(first + np.arange(len(first), dtype=np.int64), dtype=np.int64)


class Batch:
    """Columns of equal length, found by name, in the order of the schema; read-only.

    len(batch) is the number of rows; iterating gives the names of the columns.

    Args:
        columns: dense arrays and Raggeds that fit the schema. Arrays are made read-only.
        schema: None takes what the columns are.
        num_rows: needed only where there is no column.
        places: where each row was read, for messages; readers know it, and parts of a Batch.
    """

    __slots__ = ("_columns", "_num_rows", "_read", "schema")

    def __init__(
        self,
        columns: Mapping[str, Column],
        schema: Schema | None = None,
        *,
        num_rows: int | None = None,
        places: Places | None = None,
    ) -> None:
        self.schema = schema_of(columns) if schema is None else schema
        self._columns = {name: _checked(field, columns) for name, field in self.schema.items()}
        counts = {name: len(column) for name, column in self._columns.items()}
        if len(set(counts.values())) > 1:
            raise SchemaError(f"columns differ in rows: {counts}")
        self._num_rows = next(iter(counts.values()), num_rows or 0)
        self._read = None if places is None else Read(places)

    @classmethod
    def of(cls, columns: Mapping[str, object], schema: Schema | None = None) -> Batch:
        """A Batch of anything that makes columns: Raggeds, arrays, lists of numbers, bytes or text, lists of lists.

        With a schema the values are cast to it where the cast is exact.

        Raises:
            SchemaError: a column cannot be made, or does not fit its field.
        """
        names = list(columns) if schema is None else list(schema)
        if schema is not None and set(names) != set(columns):
            raise SchemaError(f"columns {', '.join(columns)}; the schema has {', '.join(names)}")
        made = {name: as_column(columns[name], name, schema[name] if schema else None) for name in names}
        return cls(made, schema)

    def __getitem__(self, name: str) -> Column:
        self.schema[name]  # for its error
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return self._num_rows

    def keys(self) -> Iterable[str]:
        """The names of the columns, so that dict(batch) works."""
        return self._columns.keys()

    def items(self) -> Iterable[tuple[str, Column]]:
        """Names and columns."""
        return self._columns.items()

    def take(self, indices: Indices) -> Batch:
        """These rows, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        columns: dict[str, Column] = {}
        for name, column in self._columns.items():
            columns[name] = column.take(chosen) if isinstance(column, Ragged) else gather(column, chosen)
        made = Batch(columns, self.schema, num_rows=len(chosen))
        if self._read is not None:
            made._read = self._read.part(chosen.copy())
        return made

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start to stop, as views."""
        rows = range(self._num_rows)[start:stop]
        columns = {name: column[start:stop] for name, column in self._columns.items()}
        made = Batch(columns, self.schema, num_rows=len(rows))
        if self._read is not None:
            made._read = self._read.part(slice(rows.start, rows.stop))
        return made

    def pick(self, names: list[str] | tuple[str, ...]) -> Batch:
        """These columns, in this order."""
        made = Batch(self._columns, self.schema.pick(names), num_rows=self._num_rows)
        made._read = self._read
        return made

    @property
    def places(self) -> Places | None:
        """Where each row was read; None where that is not known."""
        return None if self._read is None else self._read.places

    def read_at(self, places: Places | None) -> Batch:
        """The same Batch, whose rows were read there."""
        return Batch(self._columns, self.schema, num_rows=self._num_rows, places=places)

    def row(self, index: int) -> dict[str, Row]:
        """One row: bytes, numpy scalars, arrays and lists of bytes by name."""
        return {name: column[index] for name, column in self._columns.items()}

    def rows(self) -> Iterator[dict[str, Row]]:
        """Row by row, for people and tests; programs work on whole columns."""
        return (self.row(index) for index in range(self._num_rows))

    @property
    def nbytes(self) -> int:
        """The bytes of all values."""
        return sum(int(column.nbytes) for column in self._columns.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Batch):
            return NotImplemented
        if self.schema != other.schema or len(self) != len(other):
            return False
        return all(_same(column, other[name]) for name, column in self.items())

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __reduce__(self) -> tuple[Callable[..., Batch], tuple[object, ...]]:
        return _restored, (self._columns, self.schema, self._num_rows)

    def __repr__(self) -> str:
        return f"Batch({self._num_rows} rows: {', '.join(str(field) for field in self.schema.values())})"


def _restored(columns: dict[str, Column], schema: Schema, num_rows: int) -> Batch:
    return Batch(columns, schema, num_rows=num_rows)


def _same(left: Column, right: Column) -> bool:
    """Whether two columns of one field hold the same bits."""
    if isinstance(left, Ragged) or isinstance(right, Ragged):
        return left == right
    return np.array_equal(as_bytes(left), as_bytes(right))


def _checked(field: Field, columns: Mapping[str, Column]) -> Column:
    """The column of a field, after a look at type and shape that costs nothing per row."""
    try:
        column = columns[field.name]
    except KeyError:
        raise SchemaError(f"field {field.name!r} has no column", field=field.name) from None
    if isinstance(column, Ragged):
        fits = column.dtype == field.dtype and field.is_ragged
        fits = fits and (field.dtype != "bytes" or column.is_nested == (field.shape != ()))
    else:
        fits = not field.is_ragged and column.dtype == field.numpy_dtype and column.shape[1:] == field.shape
    if not fits:
        raise SchemaError(f"field {field.name!r} is {field.kind}; its column is {describe(column)}", field=field.name)
    return column if isinstance(column, Ragged) or not column.flags.writeable else sealed(column.view())


def describe(column: Column) -> str:
    """What a column holds, for messages."""
    return repr(column) if isinstance(column, Ragged) else f"{column.dtype}{list(column.shape)}"


def schema_of(columns: Mapping[str, Column]) -> Schema:
    """The schema that fits these columns."""
    fields = []
    for name, column in columns.items():
        if isinstance(column, Ragged):
            scalar = column.dtype == "bytes" and not column.is_nested
            fields.append(Field(name, column.dtype, () if scalar else (None,)))
        else:
            fields.append(Field(name, str(column.dtype), column.shape[1:]))
    return Schema(*fields)


def as_column(values: object, name: str, field: Field | None = None) -> Column:
    """Make a column of arrays, Raggeds, or lists of numbers, bytes, text or lists; of this field where one is given."""
    column = values if isinstance(values, Ragged) else _array_column(values, name, field)
    if field is None:
        return column
    if len(column) == 0:
        return empty_column(field)
    if isinstance(column, Ragged):
        return _ragged_for(column, field)
    if field.shape == (None,) and column.ndim == 2:
        column = _rows_as_ragged(_cast_exactly(column, field))
    elif not field.is_ragged:
        column = _cast_exactly(column, field)
    return column


def empty_column(field: Field) -> Column:
    """A column of no rows."""
    none = np.empty(0, dtype=np.int64)
    if field.dtype == "bytes" and field.shape != ():
        return Ragged(Ragged.of([]), none, none, "bytes")
    if field.is_ragged:
        return Ragged(np.empty(0, dtype=np.uint8), none, none, field.dtype)
    return np.empty((0, *(n for n in field.shape if n is not None)), dtype=field.numpy_dtype)


def _array_column(values: object, name: str, field: Field | None) -> Column:
    if isinstance(values, np.ma.MaskedArray) and np.any(values.mask):
        raise SchemaError(f"field {name!r}: has masked values, for which no format has a place; fill them", field=name)
    if not isinstance(values, np.ndarray):
        values = _listed(values, name, field)
    if isinstance(values, Ragged):
        return values
    if not isinstance(values, np.ndarray) or values.ndim == 0:
        raise SchemaError(
            f"field {name!r}: a column is an array or a list, not one {type(values).__name__}", field=name
        )
    if values.dtype.kind == "O" and field is not None and field.dtype != "bytes" and _are_single(values):
        return _array_column(values.tolist(), name, field)
    if values.dtype.kind in "SUO":
        rows = values.tolist() if values.dtype.kind != "O" else list(values)
        return Ragged.of(rows, _dtype_of(rows, name) if field is None else field.dtype, name=name)
    if values.dtype.name not in DTYPES:
        raise SchemaError(f"field {name!r}: dtype {values.dtype} has no place in a schema", field=name)
    return np.ascontiguousarray(values, dtype=numpy_dtype(values.dtype.name))


def _are_single(values: NDArray[np.object_]) -> bool:
    """Whether the members of an object array are single values, as in a list of them."""
    return values.ndim == 1 and not any(isinstance(row, (np.ndarray, list, tuple)) for row in values)


def _dtype_of(rows: list[object], name: str) -> str:
    """The dtype of the members of an object array: of numbers where each is an array, or a list, of some.

    Raises:
        SchemaError: they have several, or more than one dimension.
    """
    if not rows or not all(isinstance(row, (np.ndarray, list, tuple)) for row in rows):
        return "bytes"
    try:
        arrays = [np.asarray(row) for row in rows]
    except ValueError:  # a list of lists
        return "bytes"
    full = [array for array in arrays if array.size] or arrays  # an empty row says nothing about the dtype
    if not all(array.dtype.name in DTYPES for array in full):
        return "bytes"
    dtypes = sorted({array.dtype.name for array in full})
    if len(dtypes) > 1:
        raise SchemaError(
            f"field {name!r}: rows of {' and of '.join(dtypes)}; say which with rb.Ragged.of(rows, dtype)", field=name
        )
    deep = next((array for array in arrays if array.ndim != 1), None)
    if deep is not None:
        raise SchemaError(
            f"field {name!r}: a row of shape {deep.shape}; where rows differ, they have only one dimension", field=name
        )
    return dtypes[0]


def _listed(values: object, name: str, field: Field | None) -> Column:
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, bytearray, Mapping)):
        raise SchemaError(f"field {name!r}: a column is an array or a list, not {type(values).__name__}", field=name)
    items = list(values)
    if field is not None and field.is_ragged:
        nested = field.dtype == "bytes" and field.shape != ()
        return Ragged.of_lists(items, name=name) if nested else Ragged.of(items, field.dtype, name=name)
    first = next((item for item in items if not isinstance(item, (list, tuple)) or item), None)
    inner = first[0] if isinstance(first, (list, tuple)) else first
    if isinstance(inner, (bytes, str, bytearray)):
        return Ragged.of(items, name=name)
    try:
        array = exact_array(items, field.dtype if field is not None else None, name)
    except ValueError as err:
        if isinstance(err, SchemaError):
            raise
        if field is not None:
            raise SchemaError(f"field {name!r}: {err}", field=name) from err
        return Ragged.of(items, _common_dtype(items, name), name=name)
    if array.dtype.kind not in "biufV":  # V: bfloat16
        raise SchemaError(f"field {name!r}: no dtype holds {items[:3]!r} as numbers", field=name)
    return array


def _common_dtype(rows: list[object], name: str) -> str:
    """The dtype of rows of numbers that differ in length; SchemaError where they are none."""
    try:
        full = [np.asarray(row) for row in rows if np.size(row)]  # type: ignore[arg-type]  # an empty row says nothing
        dtype = np.result_type(*full).name
    except (TypeError, ValueError):  # no dtype for both; or rows of rows
        dtype = ""
    if dtype not in DTYPES:
        raise SchemaError(f"field {name!r}: no dtype holds {rows[:3]!r} as rows of numbers", field=name)
    return dtype


def _ragged_for(column: Ragged, field: Field) -> Column:
    """A Ragged as this field: numbers cast exactly, dense where every row is full."""
    if column.dtype != "bytes" and column.dtype != field.dtype:
        numbers = _cast_exactly(column.numbers(), field)
        lengths = column.counts * numbers.itemsize
        column = Ragged(numbers.view(np.uint8), _ends(lengths) - lengths, lengths, field.dtype)
    if field.is_ragged or column.dtype == "bytes":
        return column
    wrong = np.flatnonzero(column.counts != field.num_values)
    if len(wrong):
        row = int(wrong[0])
        raise SchemaError(
            f"row {row} of field {field.name!r} has {int(column.counts[row])} values; {field} needs {field.num_values}",
            field=field.name,
            row=row,
        )
    return column.numbers().reshape(len(column), *(n for n in field.shape if n is not None))


def _rows_as_ragged(array: NDArray[np.generic]) -> Ragged:
    width = array.shape[1] * array.itemsize
    starts = np.arange(len(array), dtype=np.int64) * width
    return Ragged(as_bytes(array), starts, np.full(len(array), width, dtype=np.int64), array.dtype.name)


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:  # Any: a dense column of any dtype
    """The memory of a dense column as bytes, without a copy where it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _cast_exactly(array: NDArray[np.generic], field: Field) -> NDArray[np.generic]:
    if array.dtype == field.numpy_dtype:
        return array
    return cast(array, field.dtype, field.name)


def spans_of(column: Column) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """(base, starts, lengths): the bytes of each row of a dense or a flat ragged column."""
    if isinstance(column, Ragged):
        return column.spans
    width = column.nbytes // max(len(column), 1)
    starts = np.arange(len(column), dtype=np.int64) * width
    return as_bytes(column), starts, np.full(len(column), width, dtype=np.int64)


def concat(batches: Sequence[Batch]) -> Batch:
    """The rows of several Batches of one schema, one Batch after another. Copies, but for a single Batch."""
    if len(batches) == 1:
        return batches[0]
    schema = batches[0].schema
    columns = {name: concat_columns([batch[name] for batch in batches]) for name in schema}
    made = Batch(columns, schema, num_rows=sum(len(batch) for batch in batches))
    known = tuple(batch._read for batch in batches if batch._read is not None)
    made._read = Read(known) if len(known) == len(batches) else None
    return made


def concat_columns(columns: Sequence[Column]) -> Column:
    """The rows of several columns of one field."""
    ragged = [column.compact() for column in columns if isinstance(column, Ragged)]
    if not ragged:
        return np.concatenate([column for column in columns if not isinstance(column, Ragged)])
    lengths = np.concatenate([column.lengths for column in ragged])
    parts = [column.values for column in ragged]
    values: NDArray[np.uint8] | Ragged
    if isinstance(parts[0], Ragged):
        inner = concat_columns(parts)
        assert isinstance(inner, Ragged)  # columns of Raggeds give a Ragged
        values = inner
    else:
        values = np.concatenate([part for part in parts if not isinstance(part, Ragged)])
    return Ragged(values, _ends(lengths) - lengths, lengths, ragged[0].dtype)


def rebatch(batches: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """The same rows in Batches of exactly `rows` rows, but for the last."""
    waiting: list[Batch] = []
    held = 0
    for batch in batches:
        while len(batch):
            part = batch.slice(0, rows - held)
            waiting.append(part)
            held += len(part)
            batch = batch.slice(len(part), len(batch))
            if held == rows:
                yield concat(waiting)
                waiting, held = [], 0
    if waiting:
        yield concat(waiting)
