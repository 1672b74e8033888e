"""The columns that arrays of a file are read as.

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
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..batch import Column, Ragged, spread
from ..errors import FormatError
from ..inflate import EXPANSION
from ..paths import nbytes_of
from ..schema import DTYPES, Field, Schema, numpy_dtype

_LAST_POINT = 0x10FFFF  # of Unicode
_SURROGATES = 0xD800  # the first of the 2048 numbers that stand for half a character in UTF-16, and for none in text
_COPIES = 4  # of offsets, at their peak: unpacked, as int64, and what compares them
_MOST_OFFSETS = 1 << 30  # bytes of offsets of a field


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

    def claimed(self) -> float:
        """The bytes that all rows are, as far as the file says so before they are read."""
        return self.row_bytes() * self.num_rows

    def check(self, again: bool) -> None:  # noqa: B027  # nothing to check is right
        """As Array.check."""


def with_bools(values: NDArray[Any]) -> NDArray[Any]:
    """The values, bools as 0 and 1: files may hold any bytes, and numpy takes all but 0 for true."""
    return values.view(np.uint8) != 0 if values.dtype == np.bool_ else values


class DenseColumn(ArrayColumn):
    """Numbers, or the member of a structured array that members leads to."""

    def __init__(self, field: Field, array: Array, members: tuple[str, ...] = ()) -> None:
        self.field, self.array, self._members = field, array, members
        self.num_rows, self.chunk_rows, self.held = array.shape[0], array.chunk_rows, array.held

    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        return self.column_of(self.stored(rows))

    def stored(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of the array, with all their members."""
        return self.array.read(rows.start, rows.stop) if isinstance(rows, slice) else self.array.take(rows)

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
        return as_rows(members, self.field, len(values))


def as_rows(members: Ragged, field: Field, rows: int) -> Ragged:
    """Text that lies one after another, as the rows of a field: a member each, or as many as the field has."""
    if field.shape == ():
        return members
    count = field.shape[0] or 0
    return Ragged(members, _steps(rows, count), np.full(rows, count), "bytes")


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
    """values and offsets, and inner_offsets for lists of bytes. The offsets are held, 8 bytes a row.

    most_row: the bytes that a row may be.
    """

    def __init__(
        self, name: str, values: Array, offsets: NDArray[np.int64], inner: NDArray[np.int64] | None, most_row: int
    ) -> None:
        self._values, self._offsets, self._inner, self._most_row = values, offsets, inner, most_row
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
        self._check_rows(offsets[:-1], offsets[1:])
        if self._inner is not None:
            inner = self._inner[offsets[0] : offsets[-1] + 1]
            members = self._flat(inner, "bytes")
            return Ragged(members, offsets[:-1] - offsets[0], np.diff(offsets), "bytes")
        return self._flat(offsets, self._dtype(wanted))

    def _check_rows(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        """FormatError for a row that only offsets make large: HDF5 fills in for values that were never written."""
        if self._inner is not None:
            starts, stops = self._inner[starts], self._inner[stops]
        lengths = stops - starts
        longest = int(lengths.argmax()) if len(lengths) else 0
        nbytes = int(lengths[longest]) * self._values.dtype.itemsize if len(lengths) else 0
        if nbytes > self._most_row:
            raise FormatError(
                f"row {longest} of {self.field.name!r}: is {nbytes} bytes, more than is believed of so small a file: "
                f"expected at most {self._most_row}; damaged, or made to exhaust its reader (if you trust a .npz, pass "
                "expansion='any')",
                record=longest,
            )

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
        starts, stops = self._offsets[rows], self._offsets[rows + 1]
        self._check_rows(starts, stops)
        counts = stops - starts
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
    path: str,
    arrays: Mapping[str, Array | ArrayColumn | str],
    declared: Schema | None,
    wanted: frozenset[str] | None,
    held: int,
) -> dict[str, ArrayColumn | str]:
    """The column that each field of a file is read by, or the reason why it cannot be.

    declared: what a sidecar says; a/values and a/offsets are not joined where it has no a, or has them beside it.
    wanted: what will be asked for, None for all; nothing is joined, and no offsets are read, for other fields.
    held: the bytes that a row may be, and that the offsets of a field may always take with copies of them, as all of
    them are held while the file is open. Those of rows that are mostly empty pack as well as anything does: they may
    take more where a file of this size can have packed so many.
    """
    most_offsets = max(held // _COPIES, min(_MOST_OFFSETS, EXPANSION * nbytes_of(path)))
    columns: dict[str, ArrayColumn | str] = {}
    joined: set[str] = set()
    for name in arrays:
        base = name.removesuffix("/offsets")
        told = declared is None or (base in declared and name not in declared)
        if base != name and told and (wanted is None or base in wanted):
            column = _ragged(path, base, arrays, most_offsets, held)
            if column is not None:
                joined |= {name, f"{base}/values", f"{base}/inner_offsets"}
                columns[base] = column
    for name, array in arrays.items():
        if name not in joined:
            for leaf, made in _plain(name, array).items():
                columns[leaf] = _TWICE if leaf in columns else made
    first = [name for name in declared or () if wanted is None or name in wanted]
    if set(first) <= set(columns):
        return {name: columns.pop(name) for name in first} | columns
    return columns


def _ragged(
    path: str, name: str, arrays: Mapping[str, Array | ArrayColumn | str], most: int, most_row: int
) -> RaggedColumn | None:
    """values and offsets as a column; None where they are just two arrays. most: bytes that offsets may take."""
    parts = {label: arrays.get(f"{name}/{label}") for label in ("values", "inner_offsets", "offsets")}
    there = {label: part for label, part in parts.items() if part is not None}
    found = {label: part for label, part in there.items() if not isinstance(part, (ArrayColumn, str))}
    if len(found) < len(there):  # of which one cannot be read, or is no array: that one's name is told
        return None
    values = found.pop("values", None)
    if values is None or values.dtype.kind not in "biuf" or values.dtype.name not in DTYPES or len(values.shape) != 1:
        return None
    if any(len(array.shape) != 1 or array.dtype.kind not in "iu" or not array.shape[0] for array in found.values()):
        return None
    last = values.shape[0]
    read = []
    for label, array in found.items():
        if array.shape[0] * 8 > most:
            raise FormatError(
                f"{path}: '{name}/{label}' has {array.shape[0]} entries, and to hold them takes {array.shape[0] * 8} "
                f"bytes, more than is believed of so small a file: expected at most {most}; damaged, or made to "
                "exhaust its reader (if you trust a .npz, pass expansion='any')",
                path=path,
            )
        offsets = array.read(0, array.shape[0])
        if offsets[0] != 0 or offsets[-1] != last or np.any(offsets[1:] < offsets[:-1]):  # a difference could overflow
            raise FormatError(
                f"{path}: '{name}/{label}' does not lead from 0 to the {last} entries of what it cuts, without going "
                "back; the file is damaged, or, if the two do not belong together, choose both "
                "(--select NAME=NAME, or fields= in Python) or rename them",
                path=path,
            )
        last = len(offsets) - 1
        read.append(offsets.astype(np.int64, copy=False))
    return RaggedColumn(name, values, read[-1], read[0] if len(read) > 1 else None, most_row)


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
