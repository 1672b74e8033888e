"""Files of whole arrays, .npy, .npz and .h5 alike: columns lie apart, and a row is the number of an entry in each.

What becomes of an array `a`, whose first dimension counts the rows:

    numbers                     a: dtype[...]       in native order; big-endian and Fortran order are only storage
    S5, U5, text                a: bytes            without the NULs that pad it, text as UTF-8
    structured                  a/x, a/y            a field for each member, nested ones as a/x/z
    a/values and a/offsets      a: dtype[*]         row i is values[offsets[i]:offsets[i + 1]]
    and a/inner_offsets         a: bytes[*]         offsets counts members, inner_offsets the bytes of each

uint8 values of variable length are bytes, as encoded images are, unless a sidecar or a schema says numbers.
Objects would need pickle, which runs what it reads: refused with advice, as are dates, complex numbers, long doubles.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, Column, Ragged, as_column, rebatch, spread
from ..errors import FormatError, SchemaError, numbered, row_of
from ..files import Output, feed_bytes
from ..readahead import made_ahead
from ..schema import DTYPES, Field, Schema, numpy_dtype
from ..sidecar import find_sidecar, sidecar_doubts
from .base import ALARM, Extent, Heads, OnBadRecord, Request, Summary, Writer
from .framed import most_held

BLOCK = 1 << 22  # bytes read at a time
_LAST_POINT = 0x10FFFF  # of Unicode
_SURROGATES = 0xD800  # the first of the 2048 numbers that stand for half a character in UTF-16, and for none in text
_HEAD = 16  # bytes that are held of each row where rows are read in any order
_MOST = 1 << 62  # stands for sizes beyond an int64
_CHUNKS_AT_ONCE = 1 << 26  # bytes of a block that is made of whole chunks at most


class Array(Protocol):
    """An array in an open file."""

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def chunk_rows(self) -> int:
        """Rows that are cheap to read together; 1 where it does not matter."""

    @property
    def held(self) -> int:
        """Bytes of memory that it may take as long as its file is open."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop, in a fresh array of (stop - start, *shape[1:]); FormatError where they are damaged."""

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """These rows, in this order, in a fresh array of (len(rows), *shape[1:]); FormatError as for read."""

    def check(self, again: bool) -> None:
        """Compare the checksum of all that is stored, where there is one and reading has not done so.

        again: also where this process did so before, and the file was not written to since.

        Raises:
            ChecksumError: it does not fit.
        """

    def spans(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
        """Runs of so many rows from each start, one run after another, in a fresh array."""


def read_each(array: Array, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Array.spans where runs are read one by one: in the order in which they lie in the file."""
    parts = {int(run): array.read(int(starts[run]), int(starts[run] + counts[run])) for run in np.argsort(starts)}
    return np.concatenate([parts[run] for run in range(len(starts))] or [array.read(0, 0)])


class ArrayColumn(ABC):
    """A column of a file of arrays."""

    field: Field
    num_rows: int
    chunk_rows: int
    held: int
    """Bytes of memory that it may take as long as its file is open."""

    @abstractmethod
    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        """Some rows. wanted is asked for; only between bytes and uint8 does it decide what the values are.

        Raises:
            FormatError: they are damaged. Where it is about a row, that is counted from the first of these.
        """

    @abstractmethod
    def row_bytes(self) -> float:
        """What a row takes in memory, on average."""

    def check(self, again: bool) -> None:  # noqa: B027  # nothing to check is right
        """As Array.check."""


@dataclass(frozen=True, slots=True)
class Store:
    """What an open file holds by name, and what people should know of it.

    Beside arrays, columns that only this format has, and reasons why something cannot be read.
    """

    arrays: Mapping[str, Array | ArrayColumn | str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file under a name: the rows of a field, or the reason why they cannot be read."""

    name: str
    field: Field | None = None
    num_rows: int = 0
    reason: str | None = None


def _get(array: Array, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
    return array.read(rows.start, rows.stop) if isinstance(rows, slice) else array.take(rows)


def with_bools(values: NDArray[Any]) -> NDArray[Any]:
    """The values, bools as 0 and 1: files may hold any bytes, and numpy takes all but 0 for true."""
    return values.view(np.uint8) != 0 if values.dtype == np.bool_ else values


class DenseColumn(ArrayColumn):
    """Numbers, or the member of a structured array that members leads to."""

    def __init__(self, field: Field, array: Array, members: tuple[str, ...] = ()) -> None:
        self.field, self.array, self._members = field, array, members
        self.num_rows, self.chunk_rows, self.held = array.shape[0], array.chunk_rows, array.held

    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        return self.column_of(_get(self.array, rows))

    def column_of(self, values: NDArray[Any]) -> Column:
        """The column out of rows of the array, which its other members may share."""
        for member in self._members:
            values = values[member]
        return self._made(values)

    def _made(self, values: NDArray[Any]) -> Column:
        return with_bools(np.ascontiguousarray(values, dtype=numpy_dtype(self.field.dtype)))

    def row_bytes(self) -> float:
        return self.array.dtype.itemsize * float(math.prod(self.array.shape[1:]))

    def check(self, again: bool) -> None:
        self.array.check(again)


class TextColumn(DenseColumn):
    """S and U arrays of a fixed width: bytes without the NULs at their end."""

    def _made(self, values: NDArray[Any]) -> Column:
        if values.dtype.kind == "U":
            _check_text(values, self.field.name)
            values = np.char.encode(values, "utf-8") if values.size else values.astype("S1")
        flat = np.ascontiguousarray(values).reshape(-1)
        width = flat.dtype.itemsize
        lengths = np.char.str_len(flat).astype(np.int64) if flat.size else np.empty(0, dtype=np.int64)
        members = Ragged(
            flat.view(np.uint8) if width else np.empty(0, np.uint8), _steps(len(flat), width), lengths, "bytes"
        )
        if self.field.shape == ():
            return members
        count = self.field.shape[0] or 0
        return Ragged(members, _steps(len(values), count), np.full(len(values), count), "bytes")


def _check_text(values: NDArray[Any], name: str) -> None:
    """FormatError, with the row of the block, for a number that is no character: numpy drops some, or fails."""
    if not values.size or not values.dtype.itemsize:
        return
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    points = native.view(np.uint32).reshape(len(values), -1)
    wrong = np.argwhere((points > _LAST_POINT) | (points & ~np.uint32(0x7FF) == _SURROGATES))
    if len(wrong):
        row, place = wrong[0].tolist()
        raise FormatError(
            f"row {row} of {name!r}: U+{points[row, place]:04X} is no character; the file is damaged, or save "
            "the array as bytes, np.char.encode(a, 'utf-8', 'surrogatepass')",
            record=row,
        )


def _before(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of several runs begins that lie one after another."""
    return np.asarray(np.cumsum(lengths) - lengths)


def _steps(count: int, width: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) * width


class RaggedColumn(ArrayColumn):
    """values and offsets, and inner_offsets for lists of bytes. The offsets are held, 8 bytes a row."""

    def __init__(self, name: str, values: Array, offsets: NDArray[np.int64], inner: NDArray[np.int64] | None) -> None:
        self._values, self._offsets, self._inner = values, offsets, inner
        self._is_bytes = inner is not None or values.dtype == np.uint8
        shape = () if inner is None and self._is_bytes else (None,)
        self.field = Field(name, "bytes" if self._is_bytes else values.dtype.name, shape)
        self.num_rows = len(offsets) - 1
        self.chunk_rows = max(1, values.chunk_rows * self.num_rows // max(values.shape[0], 1))
        self.held = values.held + offsets.nbytes + (0 if inner is None else inner.nbytes)

    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        if not isinstance(rows, slice):
            return self._picked(rows, wanted)
        offsets = self._offsets[rows.start : rows.stop + 1]
        if self._inner is not None:
            inner = self._inner[offsets[0] : offsets[-1] + 1]
            members = self._flat(inner, "bytes")
            return Ragged(members, offsets[:-1] - offsets[0], np.diff(offsets), "bytes")
        return self._flat(offsets, self._dtype(wanted))

    def _dtype(self, wanted: Field) -> str:
        return wanted.dtype if self._is_bytes and wanted.dtype in ("bytes", "uint8") else self.field.dtype

    def _flat(self, offsets: NDArray[np.int64], dtype: str) -> Ragged:
        """Rows that lie one after another between these offsets."""
        target = np.dtype(np.uint8) if dtype == "bytes" else numpy_dtype(dtype)
        values = with_bools(np.ascontiguousarray(self._values.read(int(offsets[0]), int(offsets[-1])), dtype=target))
        starts = (offsets[:-1] - offsets[0]) * target.itemsize
        return Ragged(values.view(np.uint8), starts, np.diff(offsets) * target.itemsize, dtype)

    def _picked(self, rows: NDArray[np.int64], wanted: Field) -> Column:
        """Rows in any order."""
        starts = self._offsets[rows]
        counts = self._offsets[rows + 1] - starts
        if self._inner is None:
            return self._joined(starts, counts, self._dtype(wanted))
        members = spread(starts, counts)
        starts = self._inner[members]
        return Ragged(
            self._joined(starts, self._inner[members + 1] - starts, "bytes"), _before(counts), counts, "bytes"
        )

    def _joined(self, starts: NDArray[np.int64], counts: NDArray[np.int64], dtype: str) -> Ragged:
        """Rows of so many values from each start; neighbours are read together."""
        target = np.dtype(np.uint8) if dtype == "bytes" else numpy_dtype(dtype)
        heads = np.flatnonzero(np.concatenate([[True], starts[1:] != starts[:-1] + counts[:-1]]))[: len(starts)]
        runs = np.add.reduceat(counts, heads) if len(heads) else counts
        values = np.ascontiguousarray(self._values.spans(starts[heads], runs), dtype=target)
        lengths = counts * target.itemsize
        return Ragged(values.view(np.uint8), _before(lengths), lengths, dtype)

    def row_bytes(self) -> float:
        ends = self._offsets if self._inner is None else self._inner
        return float(ends[-1]) * self._values.dtype.itemsize / max(self.num_rows, 1)

    def check(self, again: bool) -> None:
        self._values.check(again)  # the offsets were read from end to end


def columns_of(
    path: str, store: Store, declared: Schema | None, wanted: frozenset[str] | None
) -> dict[str, ArrayColumn | str]:
    """The column that each field of a file is read by, or the reason why it cannot be.

    declared: what a sidecar says; a/values and a/offsets are not joined where it has no a, or has them beside it.
    wanted: what will be asked for, None for all; nothing is joined, and no offsets are read, for other fields.
    """
    columns: dict[str, ArrayColumn | str] = {}
    joined: set[str] = set()
    for name in store.arrays:
        base = name.removesuffix("/offsets")
        told = declared is None or (base in declared and name not in declared)
        if base != name and told and (wanted is None or base in wanted):
            column = _ragged(path, base, store.arrays)
            if column is not None:
                joined |= {name, f"{base}/values", f"{base}/inner_offsets"}
                columns[base] = column
    for name, array in store.arrays.items():
        if name not in joined:
            for leaf, made in _plain(name, array).items():
                columns[leaf] = _TWICE if leaf in columns else made
    first = [name for name in declared or () if wanted is None or name in wanted]
    if set(first) <= set(columns):
        return {name: columns.pop(name) for name in first} | columns
    return columns


def _ragged(path: str, name: str, arrays: Mapping[str, Array | ArrayColumn | str]) -> RaggedColumn | None:
    """values and offsets as a column; None where they are just two arrays."""
    parts = {label: arrays.get(f"{name}/{label}") for label in ("values", "inner_offsets", "offsets")}
    found = {
        label: part for label, part in parts.items() if part is not None and not isinstance(part, (ArrayColumn, str))
    }
    values = found.pop("values", None)
    if values is None or values.dtype.kind not in "biuf" or values.dtype.name not in DTYPES or len(values.shape) != 1:
        return None
    if any(len(array.shape) != 1 or array.dtype.kind not in "iu" or not array.shape[0] for array in found.values()):
        return None
    last = values.shape[0]
    read = []
    for label, array in found.items():
        offsets = array.read(0, array.shape[0])
        if offsets[0] != 0 or offsets[-1] != last or np.any(offsets[1:] < offsets[:-1]):  # a difference could overflow
            raise FormatError(
                f"{path}: '{name}/{label}' does not lead from 0 to the {last} entries of what it cuts, without going "
                "back; the file is damaged, or, if the two do not belong together, choose them with fields= or rename",
                path=path,
            )
        last = len(offsets) - 1
        read.append(offsets.astype(np.int64))
    return RaggedColumn(name, values, read[-1], read[0] if len(read) > 1 else None)


_TWICE = "is what two fields would be called, an array and a part of another; save one of them under another name"
_REFUSED = {
    "O": "is an object array, which needs pickle; save it as a plain array",
    "M": "holds dates; save it as integers, .astype('datetime64[s]').astype('int64')",
    "m": "holds time spans; save it as integers, .astype('int64')",
    "c": "holds complex numbers; save .real and .imag as two arrays",
    "f": "holds long doubles, which differ between machines; save it as float64",
    "V": "holds raw bytes without a type (bfloat16 is saved so); save .view('uint8') or .astype('float32')",
}


def _plain(name: str, array: Array | ArrayColumn | str) -> dict[str, ArrayColumn | str]:
    """The fields of one array."""
    if isinstance(array, (ArrayColumn, str)):
        return {name: array}
    if not array.shape:
        return {name: "is a single value and has no rows"}
    if array.dtype.hasobject:
        return {name: _REFUSED["O"]}
    return {
        leaf: _leaf(leaf, array, dtype, shape, members)
        for leaf, dtype, shape, members in _leaves(name, array.dtype, tuple(array.shape[1:]), ())
    }


def _leaf(
    name: str, array: Array, dtype: np.dtype[Any], shape: tuple[int, ...], members: tuple[str, ...]
) -> ArrayColumn | str:
    if dtype.kind in "SU":
        if len(shape) > 1:
            return "holds text in more than two dimensions; reshape it to rows of lists"
        return TextColumn(Field(name, "bytes", shape), array, members)
    if dtype.kind not in "biuf" or dtype.name not in DTYPES:
        return _REFUSED.get(dtype.kind, f"has the dtype {dtype}, which no field can have")
    return DenseColumn(Field(name, dtype.name, shape), array, members)


def _leaves(
    name: str, dtype: np.dtype[Any], shape: tuple[int, ...], members: tuple[str, ...]
) -> Iterator[tuple[str, np.dtype[Any], tuple[int, ...], tuple[str, ...]]]:
    """The plain members of a dtype: (name of the field, dtype, shape of a row, the way there)."""
    if dtype.subdtype is not None:
        base, inner = dtype.subdtype
        yield from _leaves(name, base, shape + inner, members)
    elif dtype.names is not None:
        for member in dtype.names:
            yield from _leaves(f"{name}/{member}", dtype[member], shape, (*members, member))
    else:
        yield name, dtype, shape, members


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of an open file that were asked for, all of the same number of rows."""

    columns: dict[str, ArrayColumn]
    schema: Schema
    num_rows: int
    notes: tuple[str, ...]

    def batch(self, path: str, rows: slice | NDArray[np.int64], schema: Schema) -> Batch:
        """Some rows, cast to this schema where that is exact.

        Raises:
            FormatError: they are damaged.
            SchemaError: the file has no such field, or a value does not fit the schema. Both name the row in the file.
        """
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        columns = {}
        shared: dict[int, NDArray[Any]] = {}  # rows of structured arrays, by their id, for all their members
        for name, field in schema.items():
            column = self.columns.get(name)
            if column is None:
                raise SchemaError(f"{path}: has no field {name!r}; it has {', '.join(self.columns)}", field=name)
            with _naming(path, rows):
                if isinstance(column, DenseColumn) and column.array.dtype.names:
                    if id(column.array) not in shared:
                        shared[id(column.array)] = _get(column.array, rows)
                    values = column.column_of(shared[id(column.array)])
                else:
                    values = column.column(rows, field)
                columns[name] = as_column(values, name, field)
        return Batch(columns, schema, num_rows=count)

    def check(self, again: bool) -> None:
        """Compare the checksums of the columns; see Array.check."""
        for column in self.columns.values():
            column.check(again)

    def block_rows(self, names: Sequence[str]) -> int:
        """Rows to read together: about a block, in whole chunks where these are not too large."""
        chosen = [self.columns[name] for name in names if name in self.columns]
        nbytes = max(sum(column.row_bytes() for column in chosen), 1.0)
        rows = max(1, int(BLOCK / nbytes))
        chunk = max((column.chunk_rows for column in chosen), default=1)
        if chunk > 1 and chunk * nbytes <= _CHUNKS_AT_ONCE:
            rows = -(-rows // chunk) * chunk
        return rows


@contextmanager
def _naming(path: str, rows: slice | NDArray[np.int64]) -> Iterator[None]:
    """Give errors about a row of a block the path, and the number that the row has in the file."""
    try:
        with numbered(range(rows.start, rows.stop) if isinstance(rows, slice) else rows.data):
            yield
    except (SchemaError, FormatError) as err:
        if err.path is not None or row_of(err) is None:
            raise
        named = type(err)(f"{path}: {err}")
        named.__dict__.update({**vars(err), "path": path})
        raise named from err


def table_of(path: str, store: Store, declared: Schema | None, wanted: frozenset[str] | None) -> Table:
    """The columns of a file, or those that are wanted.

    Raises:
        FormatError: offsets are damaged.
        SchemaError: the rows of these columns differ in number, or one of them cannot be read.
    """
    found = columns_of(path, store, declared, wanted)
    names = [name for name in found if wanted is None or name in wanted]
    for name in names:
        reason = found[name]
        if isinstance(reason, str):
            raise SchemaError(
                f"{path}: {name!r} {reason}{', or' if ';' in reason else ';'} choose the other fields: "
                "--select NAME=NAME, or fields= in Python",
                field=name,
            )
    columns = {name: column for name in names if not isinstance(column := found[name], str)}
    counts = {name: column.num_rows for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        raise SchemaError(
            f"{path}: the fields differ in rows: {_listed(counts)}; choose some that agree with fields= "
            "(--select NAME=NAME), or write them to files of their own"
        )
    schema = Schema(*(column.field for column in columns.values()))
    return Table(columns, _as_declared(schema, declared), next(iter(counts.values()), 0), store.notes)


def _listed(counts: Mapping[str, int]) -> str:
    """The fields by their number of rows: "a, b have 50; c has 49"."""
    groups: dict[int, list[str]] = {}
    for name, rows in counts.items():
        groups.setdefault(rows, []).append(name)
    return "; ".join(f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} {n}" for n, names in groups.items())


def _as_declared(schema: Schema, declared: Schema | None) -> Schema:
    """With what only the sidecar knows of the fields: their packing, and whether uint8 values are numbers."""
    if declared is None:
        return schema
    fields = []
    for name, field in schema.items():
        told = declared.find(name)
        same = told is not None and (told.dtype, told.shape) == (field.dtype, field.shape)
        numbers = told is not None and (told.dtype, told.shape) == ("uint8", (None,)) and field.dtype == "bytes"
        fixed = told is not None and told.dtype == field.dtype == "bytes" and len(told.shape) == len(field.shape)
        fields.append(told if told is not None and (same or numbers or fixed) else field)
    return Schema(*fields)


class OpenTable:
    """A file that is open for rows of a schema to be taken."""

    def __init__(self, path: str, table: AbstractContextManager[Table], schema: Schema) -> None:
        self._path, self._schema = path, schema
        with ExitStack() as stack:
            self._table = stack.enter_context(table)
            self._open = stack.pop_all()
        self.nbytes = sum(column.held for column in self._table.columns.values())

    def take(self, heads: Heads) -> Batch:
        return self._table.batch(self._path, heads.offsets, self._schema)

    def close(self) -> None:
        self._open.close()


def _check_listable(path: str, rows: int, held: int) -> None:
    """FormatError for more rows than a file of this size holds: of some, as of those never written, it has nothing."""
    if rows * _HEAD > held:
        raise FormatError(
            f"{path}: claims {rows} rows, and a list of where they are would take {rows * _HEAD} bytes, more than is "
            f"believed of so small a file: expected at most {held} (512 MiB, or 32 times its size); read or convert "
            "it in order, without shuffle or shards",
            path=path,
        )


class ArrayFormat(ABC):
    """The part of a Format that files of arrays share; see formats.base.Format. Their Extents count rows."""

    name: str
    suffixes: tuple[str, ...]
    options: type[Any]

    @contextmanager
    @abstractmethod
    def store(self, path: str, options: Any, keep: int = 0) -> Iterator[Store]:
        """The arrays of a file, open as long as the block lasts. keep is that of a Request."""

    @abstractmethod
    def sniff(self, head: bytes) -> bool: ...

    @abstractmethod
    def create(self, path: str, schema: Schema, options: Any) -> Writer: ...

    def resolve(self, path: str, options: Any) -> Any:
        return options

    def declared(self, path: str) -> Schema | None:
        """What a sidecar says of a file."""
        sidecar = find_sidecar(path)
        return None if sidecar is None else sidecar.schema

    def payload(self, options: Any, schema: Schema) -> None:
        return None

    def is_sequential(self, options: Any) -> bool:
        return False

    def unpack(
        self,
        path: str,
        options: Any,
        target: str,
        on_bad_record: OnBadRecord,
        fields: Iterable[str] | None = None,
    ) -> Any:
        raise TypeError(f"{self.name} is read at any row as it is")

    def undecoded(self, paths: Sequence[str], options: Sequence[Any]) -> tuple[list[Any], Schema]:
        raise TypeError(f"{self.name} has no records that could pass undecoded")

    def passing(self, payload: str) -> dict[str, object]:
        raise TypeError(f"{self.name} has no records that could pass undecoded")

    @contextmanager
    def table(self, path: str, options: Any, wanted: frozenset[str] | None, keep: int = 0) -> Iterator[Table]:
        """The columns of a file, or those wanted, open as long as the block lasts."""
        with self.store(path, options, keep) as store:
            yield table_of(path, store, self.declared(path), wanted)

    def certain(self, path: str, options: Any) -> tuple[Schema, bool]:
        try:
            with self.table(path, options, None) as table:
                return table.schema, True
        except (SchemaError, FormatError):  # not for all fields; those that are asked for may do
            return Schema(), False

    def presume(self, path: str, options: Any) -> Schema | None:
        return None

    def glance(self, path: str, options: Any, rows: int) -> Schema:
        with self.table(path, options, None) as table:
            return table.schema

    def doubts(self, path: str, options: Any) -> list[str]:
        return sidecar_doubts(path)

    def inspect(self, path: str, options: Any, request: Request) -> Summary:
        with self.table(path, options, request.fields) as table:
            doubts = self.doubts(path, options)
            warnings = tuple(doubt for doubt in doubts if ALARM in doubt)
            notes = (*table.notes, *doubts)
            return Summary(self.name, table.schema, table.num_rows, os.path.getsize(path), notes, warnings)

    def contents(self, path: str, options: Any) -> tuple[list[Content], tuple[str, ...]]:
        """All that is in a file, also where it makes no table; and what people should know of it."""
        with self.store(path, options) as store:
            found = columns_of(path, store, self.declared(path), None)
            contents = [
                Content(name, reason=column)
                if isinstance(column, str)
                else Content(name, column.field, column.num_rows)
                for name, column in found.items()
            ]
            return contents, store.notes

    def split(self, path: str, options: Any, nbytes: int) -> list[Extent]:
        with self.table(path, options, None) as table:
            each = sum(column.row_bytes() for column in table.columns.values())
            step = max(1, int(nbytes / max(each, 1)))
            chunk = max((column.chunk_rows for column in table.columns.values()), default=1)
            step = -(-step // chunk) * chunk
            starts = range(0, max(table.num_rows, 1), step)
            return [Extent(path, at, min(at + step, table.num_rows), at) for at in starts]

    def read(self, extent: Extent, options: Any, request: Request) -> Generator[Batch, None, None]:
        with closing(self._blocks(extent, options, request)) as batches:
            yield from batches if request.batch_rows is None else rebatch(batches, request.batch_rows)
        if request.on_bytes is not None:
            feed_bytes(extent.path, request.on_bytes)

    def _blocks(self, extent: Extent, options: Any, request: Request) -> Generator[Batch, None, None]:
        with self.table(extent.path, options, frozenset(request.schema)) as table:
            stop = table.num_rows if extent.stop is None else extent.stop
            is_whole = extent.start == 0 and stop == table.num_rows  # of parts, heads() has checked all
            step = table.block_rows(list(request.schema))
            starts = range(extent.start, stop, step)

            def block(at: int) -> Batch:
                return table.batch(extent.path, slice(at, min(at + step, stop)), request.schema)

            with closing(made_ahead(block, starts)) as blocks:
                for at, batch in zip(starts, blocks, strict=True):
                    if is_whole and at + step >= stop:
                        table.check(again=True)
                    yield batch
            if is_whole and stop == 0:
                table.check(again=True)

    def num_rows(self, path: str, options: Any) -> int | None:
        with self.table(path, options, None) as table:
            return table.num_rows

    def run_rows(self, path: str, options: Any, schema: Schema) -> int:
        with self.table(path, options, frozenset(schema)) as table:
            return max((column.chunk_rows for column in table.columns.values()), default=1)

    def heads(self, extent: Extent, options: Any, request: Request) -> Iterator[Heads]:
        with self.table(extent.path, options, request.fields) as table:
            stop = table.num_rows if extent.stop is None else extent.stop
            trusted = getattr(options, "expansion", None) == "any"
            _check_listable(extent.path, stop - extent.start, most_held(extent.path, trusted=trusted))
            if not self.is_sequential(options):  # else unpacking compares them
                table.check(again=False)
            each = min(round(sum(column.row_bytes() for column in table.columns.values())), _MOST)
            rows = np.arange(extent.start, stop, dtype=np.int64)
            yield Heads(rows, np.broadcast_to(np.int64(each), len(rows)))

    def open_rows(self, path: str, options: Any, request: Request) -> OpenTable:
        return OpenTable(path, self.table(path, options, frozenset(request.schema), request.keep), request.schema)

    def index_path(self, path: str) -> str:
        raise FormatError(f"{path}: rows of a {self.name} file are found by their number; it needs no index", path=path)

    def write_index(self, path: str, options: Any, request: Request, out: Output) -> int:
        raise TypeError(f"{self.name} has no index")

    def files_of(self, path: str) -> list[str]:
        return [path]

    def check_target(self, path: str, options: Any) -> None:  # noqa: B027  # any will do
        """Names and options that contradict each other."""

    def check_companions(self, path: str, options: Any) -> None:  # noqa: B027  # nothing to check is right
        """Files of arrays have none."""
