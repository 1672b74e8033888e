"""numpy's .npy: one array. Its header is also that of each member of a .npz.

    93 'NUMPY' major minor | length of the header, u16 or from version 2 on u32 | the header | the values

The header is the text of a Python dict, {'descr': ..., 'fortran_order': ..., 'shape': ...}, padded so that the values
begin at a multiple of 64. It is parsed as a literal, never run, and its claims are compared with the size of the file.

Specification: numpy, lib/format.py (NEP 1).
"""

from __future__ import annotations

import ast
import io
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, Ragged, as_bytes
from ..copies import on_disk
from ..errors import FormatError, SchemaError, TruncatedError
from ..files import Scratch, read_spans
from ..schema import Schema
from ..sidecar import find_sidecar
from .arrays import ArrayFormat, Store
from .base import Written
from .flatten import storable_dtype

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 20  # bytes; numpy itself refuses more than 10,000 unless told otherwise
_STRING_OR_LONG = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b(\d+)L\b""")
_SPANS = 1 << 16  # runs of a Fortran-ordered array that one call reads


@dataclass(frozen=True, slots=True)
class Header:
    """What a .npy says of its array. nbytes: of the header itself, before the values."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool
    nbytes: int

    @property
    def row_values(self) -> int:
        """How many values a row has."""
        return math.prod(self.shape[1:])

    @property
    def values_nbytes(self) -> int:
        """The bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(where: str, read: Callable[[int], bytes]) -> Header:
    """The header that read(n) gives the bytes of; where is for messages.

    Raises:
        FormatError: it is not one, or describes what no array can be.
    """
    start = _exactly(where, read, 8)
    if start[:6] != MAGIC or start[6] not in (1, 2, 3) or start[7]:
        raise _error(where, f"begins with {start.hex(' ')}, expected \\x93NUMPY and version 1.0, 2.0 or 3.0")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(_exactly(where, read, width), "little")
    if length > _LONGEST_HEADER:
        raise _error(where, f"the header claims {length} bytes, expected at most {_LONGEST_HEADER}")
    text = _exactly(where, read, length)
    try:
        told = _evaluated(text.decode() if start[6] == 3 else text.decode("latin-1"))
        descr, is_fortran, shape = told["descr"], told["fortran_order"], told["shape"]
        dtype = np.lib.format.descr_to_dtype(descr)  # type: ignore[no-untyped-call]  # numpy has no stub for it
    except (ValueError, TypeError, LookupError, SyntaxError, MemoryError, RecursionError) as err:
        raise _error(where, f"the header {text[:80]!r} describes no array: {err}") from err
    is_one_value = dtype.subdtype is None  # numpy reads no array of several of a type, such as "8<i4", as one
    if not isinstance(shape, tuple) or not isinstance(is_fortran, bool) or len(told) != 3 or not is_one_value:
        raise _error(where, f"the header {text[:80]!r} describes no array")
    if (
        not all(type(n) is int and 0 <= n < 1 << 62 for n in shape)
        or math.prod(shape) * max(dtype.itemsize, 1) >= 1 << 62
    ):
        raise _error(where, f"the shape {shape!r} is none that an array can have")
    if math.prod(shape) == 0 and not shape[0]:  # no rows, whatever the others say: nothing is ever that large
        return Header(dtype, shape, False, 8 + width + length)
    return Header(dtype, shape, is_fortran, 8 + width + length)


def _evaluated(text: str) -> Any:  # Any: whatever literals say
    try:
        return ast.literal_eval(text)
    except SyntaxError:  # as Python 2 wrote long integers: with an L behind
        return ast.literal_eval(_STRING_OR_LONG.sub(lambda found: found[1] or found[2], text))


def _exactly(where: str, read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count)
    if len(data) < count:
        raise TruncatedError(f"{where}: ends inside its header; the file is cut", path=where)
    return data


def _error(where: str, what: str) -> FormatError:
    return FormatError(f"{where}: {what}; not a .npy array, or damaged", path=where)


def header_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header as numpy writes it. It is as long for every number of rows: numpy leaves room for them."""
    out = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)  # type: ignore[no-untyped-call]  # numpy has no stub for these two
    told = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, told)  # type: ignore[no-untyped-call]
    return out.getvalue()


class Watcher(Protocol):
    """Sees the values that are read, and where they lie, for a checksum; check is that of Array."""

    def __call__(self, values: NDArray[np.uint8], offset: int) -> None: ...
    def check(self, again: bool) -> None: ...


class FileArray:
    """The rows of an array whose values lie plain in a file, from offset on. Read by position: nothing is shared."""

    chunk_rows = 1
    held = 0

    def __init__(self, path: str, fd: int, header: Header, offset: int, watch: Watcher | None = None) -> None:
        self._path, self._fd, self._header, self._offset, self._watch = path, fd, header, offset, watch
        self.dtype, self.shape = header.dtype, header.shape
        self._row_nbytes = header.row_values * header.dtype.itemsize

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop, as (stop - start, *shape[1:]) in the dtype and byte order of the file.

        Raises:
            TruncatedError: the file was cut since it was opened.
            ChecksumError: this was the last of a member of a .npz that was read in order, and its CRC-32 does not fit.
        """
        if self._header.is_fortran and self._header.row_values > 1:
            return self._read_columns(start, stop)
        shape = (stop - start, *self.shape[1:])
        buffer = np.empty((stop - start) * self._row_nbytes, dtype=np.uint8)
        self._fill(buffer, self._offset + start * self._row_nbytes)
        if self._watch is not None:
            self._watch(buffer, start * self._row_nbytes)
        return buffer.view(self.dtype).reshape(shape) if self.dtype.itemsize else np.empty(shape, dtype=self.dtype)

    def _fill(self, buffer: NDArray[np.uint8], offset: int) -> None:
        view = buffer.data
        while view:
            got = os.preadv(self._fd, [view], offset)
            if not got:
                raise TruncatedError(
                    f"{self._path}: ends at byte {offset}: another program cut the file", path=self._path
                )
            view, offset = view[got:], offset + got

    def _read_columns(self, start: int, stop: int) -> NDArray[Any]:
        """Rows of an array that lies column after column: a run for each."""
        width, item, rows = self._header.row_values, self.dtype.itemsize, stop - start
        parts = []
        for first in range(0, width, _SPANS):
            columns = np.arange(first, min(first + _SPANS, width), dtype=np.int64)
            offsets = self._offset + (columns * self.shape[0] + start) * item
            parts.append(read_spans(self._path, self._fd, offsets, np.full(len(columns), rows * item, dtype=np.int64)))
        buffer = np.concatenate(parts) if len(parts) != 1 else parts[0]
        return buffer.view(self.dtype).reshape((rows, *self.shape[1:]), order="F")

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """These rows, in this order, as (len(rows), *shape[1:]); TruncatedError as in read."""
        if self._header.is_fortran and self._header.row_values > 1:
            if not len(rows):
                return self.read(0, 0)
            return np.concatenate([self.read(int(row), int(row) + 1) for row in rows])
        return self.spans(rows, np.ones(len(rows), dtype=np.int64))

    def spans(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
        """Runs of so many rows from each start; not of an array that lies column after column."""
        offsets, sizes = self._offset + starts * self._row_nbytes, counts * self._row_nbytes
        buffer = read_spans(self._path, self._fd, offsets, sizes)
        shape = (int(counts.sum()), *self.shape[1:])
        return buffer.view(self.dtype).reshape(shape) if self.dtype.itemsize else np.empty(shape, dtype=self.dtype)

    def check(self, again: bool) -> None:
        """Compare the checksum; a .npy by itself has none."""
        if self._watch is not None:
            self._watch.check(again)


@dataclass(frozen=True, slots=True)
class NpyOptions:
    """How to read or write a .npy."""

    field: str = "data"
    """What the one array is called."""


class Npy(ArrayFormat):
    name = "npy"
    suffixes = (".npy",)
    options = NpyOptions

    def sniff(self, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def resolve(self, path: str, options: NpyOptions) -> NpyOptions:
        """With the name that the sidecar has for the array."""
        sidecar = find_sidecar(path)
        names = [] if sidecar is None else list(sidecar.schema)
        return replace(options, field=names[0]) if len(names) == 1 and options == NpyOptions() else options

    @contextmanager
    def store(self, path: str, options: NpyOptions, keep: int = 0) -> Iterator[Store]:
        with on_disk(path) as local, open(local, "rb", buffering=0) as file:
            header = read_header(path, lambda size: file.read(size) or b"")
            whole = os.fstat(file.fileno()).st_size
            nbytes = whole - header.nbytes
            if not header.dtype.hasobject and nbytes != header.values_nbytes:
                kind = TruncatedError if nbytes < header.values_nbytes else FormatError
                raise kind(
                    f"{path}: has {nbytes} bytes of values, expected {header.values_nbytes} for "
                    f"{header.dtype}{list(header.shape)}; the file is cut, or not what was saved",
                    path=path,
                    offset=header.nbytes,
                )
            yield Store({options.field: FileArray(path, file.fileno(), header, header.nbytes)}, nbytes=whole)

    def create(self, path: str, schema: Schema, options: NpyOptions) -> NpyWriter:
        return NpyWriter(path, schema)


class NpyWriter:
    """Appends rows behind a header that gets their number at the end."""

    def __init__(self, path: str, schema: Schema) -> None:
        fields = list(schema.values())
        if len(fields) != 1 or fields[0].is_ragged:
            raise SchemaError(
                f"{path}: a .npy holds one array whose rows are of one size; {schema!r} is not that: "
                "choose a field with select= (--select NAME=NAME), or write .npz"
            )
        self._field = fields[0]
        self._dtype = storable_dtype(self._field.dtype, self._field.name)
        self._scratch = Scratch(path)
        self._file = open(self._scratch.temporary, "r+b", buffering=0)  # noqa: SIM115  # closed by close() and abort()
        self._file.write(self._header(0))
        self._num_rows = 0

    def _header(self, rows: int) -> bytes:
        return header_bytes(self._dtype, (rows, *(n for n in self._field.shape if n is not None)))

    def write(self, batch: Batch) -> None:
        column = batch[self._field.name]
        assert not isinstance(column, Ragged)  # the schema has none
        write_all(self._file, column)
        self._num_rows += len(batch)

    def close(self) -> Written:
        self._file.seek(0)
        self._file.write(self._header(self._num_rows))
        self._file.close()
        return Written((self._scratch.finish(),), NpyOptions(self._field.name))

    def abort(self) -> None:
        self._file.close()
        self._scratch.abort()


def write_all(file: io.RawIOBase, values: NDArray[Any]) -> None:
    """Append the values of an array, row after row."""
    view = as_bytes(values).data
    while view:
        view = view[file.write(view) or 0 :]


FORMAT = Npy()
