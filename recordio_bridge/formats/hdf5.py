"""HDF5 (.h5, .hdf5), by h5py: datasets whose first dimension counts the rows are fields, groups make names as a/b.

Beside what formats.array_columns says, here:

    variable-length numbers     a: dtype[*]     uint8 of variable length is bytes, as encoded images are
    variable-length strings     a: bytes        as they are stored; lists of them where there is a second dimension
    enums, bool                 a: the integers, bool

Blocks are whole chunks where these are packed, as a part of one then costs as much as all of it; other rows are taken
from their places in the file (hdf5_places). A file is opened by each process for itself, never shared through a fork.
Links are read by their own names, soft and hard ones alike. Datasets whose values lie in another file, at a path that
the file names, and links to other files are refused; of virtual ones, see hdf5_virtual.

A limit that is not ours to lift: on some damaged files HDF5 itself loops for ever or ends the process, whoever calls
it. What it reports of others is a FormatError.

MATLAB's 7.3 files are HDF5, with the dimensions in reverse.
Specification: HDF5 1.14 file format; h5py 3.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, Column, Ragged, concat, spread
from ..copies import on_disk
from ..errors import FormatError, MissingDependencyError, SchemaError
from ..files import Pending, Scratch, read_head, read_spans, unwritable
from ..paths import nbytes_of
from ..publishing import publish
from ..schema import DTYPES, Field, Schema, numpy_dtype
from ..sidecar import make_sidecar
from .array_columns import Array, ArrayColumn, as_rows, read_each, with_bools
from .arrays import ArrayFormat, Store
from .base import Extent, OnBadRecord, Request, Summary, Written
from .flatten import Flattener
from .framed import most_held
from .hdf5_attributes import left_out
from .hdf5_boxes import has_whole_chunks, read_rows
from .hdf5_datasets import Datasets, timeless
from .hdf5_links import walk
from .hdf5_packed import PackedChunks
from .hdf5_places import Places
from .hdf5_superblock import PLACES, SIGNATURE, refuse_joined
from .hdf5_virtual import chunk_of_sources, files_beside, refused

_WRITE = 1 << 22  # bytes of rows written together
_WRITE_ROWS = 1 << 16  # and rows at most
_RAGGED_ROW = 1 << 16  # what a row of variable length is taken to hold when the rows that are read together are counted
_REFERENCE = 16  # bytes of a chunk that say where a row of variable length is: its length, and a place in a heap
_CACHE = 1 << 24  # bytes of chunks that are being filled
_OWN_CACHE = 1 << 20  # bytes of chunks that HDF5 keeps of a dataset unless told otherwise
_MOST_CACHE = 1 << 28  # bytes of chunks that we keep of a dataset at most, but for a larger chunk
_CACHE_SLOTS = 10_007  # of 8 bytes, and prime; more than chunks, as two that want one slot are not kept both
_MATLABS_OWN = ("#refs#/", "#subsystem#/")  # what cells and objects refer to, of any shape
_MATLAB = (
    "a MATLAB 7.3 file: HDF5 has its dimensions in reverse, and text as numbers; what cells and objects refer to "
    "(#refs#, #subsystem#) is left out"
)
_OUTSIDE_FILTERS = 256  # numbers from here on are of filters that come as plugins


@dataclass(frozen=True, slots=True)
class Hdf5Options:
    """How to read or write an HDF5 file."""

    compression: Literal["auto", "", "GZIP", "LZF"] = "auto"
    """Writing: "auto" and "" do not compress. Reading finds out by itself."""


class Hdf5(ArrayFormat):
    name = "hdf5"
    suffixes = (".h5", ".hdf5")
    options = Hdf5Options

    def sniff(self, head: bytes) -> bool:
        return any(head[place : place + 8] == SIGNATURE for place in PLACES)

    @contextmanager
    def store(self, path: str, options: Hdf5Options, keep: int = 0) -> Iterator[Store]:
        with on_disk(path) as local, _h5_file(path, local) as file:
            found: dict[str, Array | ArrayColumn | str] = {}
            beside: set[str] = set()
            is_matlab = read_head(path, 10) == b"MATLAB 7.3"
            refuse_joined(path, local)
            with _h5_errors(path, path):
                fd = file.id.get_vfd_handle() if file.driver == "sec2" else -1
                for name, item in walk(path, file, partial(_access, keep, most_held(path))):
                    if is_matlab and name.startswith(_MATLABS_OWN):
                        continue
                    found[name] = item if isinstance(item, str) else _dataset(path, local, name, item, fd)
                    if not isinstance(item, str) and item.is_virtual and not isinstance(found[name], str):
                        beside |= files_beside(local, item)
            nbytes = sum(map(os.path.getsize, beside), nbytes_of(path))
            yield Store(found, (_MATLAB,) if is_matlab else (), most_held(path), nbytes)

    def unpack(
        self,
        path: str,
        options: Hdf5Options,
        target: str,
        on_bad_record: OnBadRecord,
        fields: Iterable[str] | None = None,
    ) -> Hdf5Options:
        """Write the same rows without filters, so that each can be read alone; for those who will read them all."""
        with self.table(path, options, None if fields is None else frozenset(fields)) as table:
            schema = table.schema
        flattener = Flattener(schema)
        with _naming(target), closing(self._blocks(Extent(path), options, Request(schema))) as blocks:
            file = _create(target)
            try:
                datasets = Datasets(file, flattener, {})
                for batch in blocks:
                    datasets.append(flattener.pieces(batch))
                datasets.finish()
                _close(file)
            except BaseException:
                _abandon(file)
                raise
        # A sidecar of its own, as that of the packed file may say which values and offsets belong together
        publish([make_sidecar(target, [[Pending(target, target, 0, 0)]], schema, None)])
        return Hdf5Options("")

    def inspect(self, path: str, options: Hdf5Options, request: Request) -> Summary:
        summary = super().inspect(path, options, request)
        with on_disk(path) as local, _h5_errors(path, path), h5py.File(local, "r") as file:
            return replace(summary, notes=(*summary.notes, *left_out(file)))

    def create(self, path: str, schema: Schema, options: Hdf5Options) -> Hdf5Writer:
        return Hdf5Writer(path, schema, options.compression if options.compression != "auto" else "")


def _h5_file(path: str, local: str) -> h5py.File:
    """A file, which lies at local, open for reading; errors name its path."""
    with _h5_errors(path, path):
        return h5py.File(local, "r")


@contextmanager
def _h5_errors(path: str, where: str) -> Iterator[None]:
    """What HDF5 says of the content of a file as a FormatError; the system's own errors pass, and say of which file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as err:
        if isinstance(err, OSError) and err.errno is not None and err.filename is None:
            raise OSError(err.errno, os.strerror(err.errno), path) from err
        if isinstance(err, FormatError) or (isinstance(err, OSError) and err.errno is not None):
            raise
        raise FormatError(f"{where}: {err}; the file is cut, damaged, or no HDF5", path=path) from err


def _access(keep: int, most: int, dataset: Any) -> Any:  # Any: h5py has no types
    """With a cache for the chunks that a row is in, so that all rows are read out of them before they are let go.

    HDF5's own is of 1 MiB, and a larger chunk would be unpacked again for each block of its rows. Where a file stays
    open, for single rows in any order, it holds keep bytes, that of a Request; and none where chunks are not packed:
    then HDF5 reads the row alone, and not its chunk. most: what it may have, whatever a damaged file says.
    """
    plist = dataset.get_create_plist()
    if plist.get_layout() != h5py.h5d.CHUNKED or not (keep or plist.get_nfilters()):
        return None
    chunk, shape = plist.get_chunk(), dataset.get_space().get_simple_extent_dims()
    counts = [-(-size // part) for size, part in zip(shape, chunk, strict=True)]
    nbytes = math.prod(chunk) * dataset.get_type().get_size()
    wanted = min(max(keep, math.prod(counts[1:]) * nbytes), math.prod(counts) * nbytes, max(_MOST_CACHE, nbytes), most)
    if not keep and wanted <= _OWN_CACHE:
        return None
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    held = wanted if plist.get_nfilters() else 0
    access.set_chunk_cache(_CACHE_SLOTS, held, 0)  # 0: the chunk used longest ago makes room
    return access


def _held(dataset: h5py.Dataset) -> int:
    """Bytes of the chunks that HDF5 keeps of a dataset."""
    return int(dataset.id.get_access_plist().get_chunk_cache()[1]) if dataset.chunks else 0


def _dataset(path: str, local: str, name: str, dataset: h5py.Dataset, fd: int) -> Array | ArrayColumn | str:
    """The array of a dataset, a column of what only HDF5 has, or why it cannot be read. local: path, on disk."""
    _find_filters(dataset)
    if dataset.external:
        return f"keeps its values in another file, {dataset.external[0][0]!r}; copy them into this one"
    if dataset.is_virtual:
        why = refused(local, dataset)
        if why is not None:
            return why
    try:
        dtype = dataset.dtype
    except TypeError as err:
        return f"has a type that numpy has not ({err})"
    if dataset.shape is None:
        return "is empty and has no shape"
    if not dataset.shape:
        return "is a single value and has no rows"
    if not has_whole_chunks(dataset):
        return "has chunks of another size than its type and their shape make; the file is damaged"
    base = h5py.check_vlen_dtype(dtype)
    text = h5py.check_string_dtype(dtype)
    chunk = chunk_of_sources(local, dataset) if dataset.is_virtual else dataset.chunks
    if text is not None and text.length is None:
        if len(dataset.shape) > 2:
            return "holds text in more than two dimensions; reshape it to rows of lists"
        return _TextColumn(path, name, dataset, chunk)
    if base is not None:
        if len(dataset.shape) > 1 or base.kind not in "biuf" or base.name not in DTYPES:
            return "has rows of variable length that no field can hold"
        return _VlenColumn(path, name, dataset, chunk, base)
    if dtype.hasobject:
        what = "references" if h5py.check_ref_dtype(dtype) else "members of variable length"
        return f"holds {what}, which are not read; save what they lead to as plain datasets"
    return H5Array(path, name, dataset, chunk, Places.of(fd, dataset))


class H5Array:
    """The rows of a dataset."""

    def __init__(
        self, path: str, name: str, dataset: h5py.Dataset, chunk: tuple[int, ...] | None, places: Places | None
    ) -> None:
        self._path, self._name, self._dataset, self._chunk, self._places = path, name, dataset, chunk, places
        self.dtype: np.dtype[Any] = dataset.dtype
        self.shape: tuple[int, ...] = dataset.shape
        self.chunk_rows = dataset.chunks[0] if dataset.chunks and places is None else 1
        self.is_packed, self.held = _is_packed(dataset), _held(dataset)
        self._packed = PackedChunks.of(f"{path}: dataset {name!r}", path, dataset, self.held)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop, read straight into a fresh array of (stop - start, *shape[1:]).

        Raises:
            FormatError: HDF5 cannot read them.
            MissingDependencyError: they are compressed by a filter that is not there.
        """
        with _reading(self._path, self._name, self._dataset):
            values = None if self._packed is None else self._packed.read(start, stop)
            return read_rows(self._dataset, self._chunk, start, stop) if values is None else values

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """These rows, in this order."""
        # HDF5 has read one row before its place is looked up
        values = self._at(rows, np.ones(len(rows), dtype=np.int64)) if len(rows) > 1 else None
        return _taken(self, rows) if values is None else values

    def check(self, again: bool) -> None:
        """Nothing: where chunks have checksums, HDF5 compares them as it reads."""

    def spans(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
        """Runs of so many rows from each start."""
        values = self._at(starts, counts)
        return read_each(self, starts, counts) if values is None else values

    def _at(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any] | None:
        """Runs of rows from their places in the file; None where HDF5 must read them."""
        if self._places is None:
            return None
        with _reading(self._path, self._name, self._dataset):
            spans = self._places.spans(starts, counts)
        if spans is None:
            return None
        return read_spans(self._path, self._places.fd, *spans).view(self.dtype).reshape((-1, *self.shape[1:]))


def _taken(array: H5Array | _ObjectRows, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Rows in any order: neighbours are read together, and of a packed chunk all from the first to the last."""
    if len(rows) < 2:
        first = int(rows[0]) if len(rows) else 0
        return array.read(first, first + len(rows))
    asked, order = np.unique(rows, return_inverse=True)
    gaps = np.diff(asked // array.chunk_rows) > 0 if array.is_packed else np.diff(asked) > 1
    parts = []
    for run in np.split(asked, np.flatnonzero(gaps) + 1):
        first, stop = int(run[0]), int(run[-1]) + 1
        part = array.read(first, stop)
        parts.append(part if len(run) == stop - first else part[run - first])
    values = np.concatenate(parts) if len(parts) != 1 else parts[0]
    return values if len(asked) == len(rows) and np.array_equal(asked, rows) else values[order.reshape(-1)]


def _is_packed(dataset: h5py.Dataset) -> bool:
    """Whether a part of a chunk costs as much as all of it."""
    return bool(dataset.id.get_create_plist().get_nfilters())


@contextmanager
def _reading(path: str, name: str, dataset: h5py.Dataset) -> Iterator[None]:
    """Errors of reading a dataset, with the way to the filter that it may lack.

    A row that only the shape of a dataset makes large is one: HDF5 fills in for what was never written.
    """
    row, most = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize, most_held(path)
    if row > most:
        raise FormatError(
            f"{path}: dataset {name!r}: its shape {dataset.shape} makes rows of {row} bytes, more than is believed of "
            f"so small a file: expected at most {most}; damaged, or made to exhaust its reader",
            path=path,
        )
    try:
        with _h5_errors(path, f"{path}: dataset {name!r}"):
            yield
    except FormatError as err:
        lacking = _lacking_filter(dataset)
        if lacking is None:
            raise
        raise MissingDependencyError(
            f"{path}: dataset {name!r} is compressed by filter {lacking}, which is not installed; most come with "
            "pip install hdf5plugin"
        ) from err


def _lacking_filter(dataset: h5py.Dataset) -> int | None:
    """The number of a filter that a dataset is packed by, and that HDF5 does not know."""
    plist = dataset.id.get_create_plist()
    filters = (plist.get_filter(number)[0] for number in range(plist.get_nfilters()))
    outside = (number for number in filters if number >= _OUTSIDE_FILTERS)
    return next((number for number in outside if not h5py.h5z.filter_avail(number)), None)


def _find_filters(dataset: h5py.Dataset) -> None:
    """Look for a filter that is lacking: importing hdf5plugin makes its filters known."""
    if _lacking_filter(dataset) is not None:
        with suppress(ImportError):
            importlib.import_module("hdf5plugin")


class _ObjectRows:
    """The rows of a dataset that h5py gives as an array of objects: a chunk says only where each lies in the file."""

    is_packed = False

    def __init__(self, path: str, name: str, dataset: h5py.Dataset, chunk: tuple[int, ...] | None) -> None:
        self._path, self._name, self._dataset, self._chunk = path, name, dataset, chunk
        self.chunk_rows = dataset.chunks[0] if dataset.chunks else 1
        self._packed = PackedChunks.of(f"{path}: dataset {name!r}", path, dataset, 0)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop."""
        with _reading(self._path, self._name, self._dataset):
            if self._packed is not None:
                self._packed.read(start, stop)  # which looks at the chunks alone
            return read_rows(self._dataset, self._chunk, start, stop)

    def get(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some rows."""
        return self.read(rows.start, rows.stop) if isinstance(rows, slice) else _taken(self, rows)


class _TextColumn(ArrayColumn):
    """Strings of variable length, or rows of them."""

    def __init__(self, path: str, name: str, dataset: h5py.Dataset, chunk: tuple[int, ...] | None) -> None:
        self._rows = _ObjectRows(path, name, dataset, chunk)
        self.field = Field(name, "bytes", dataset.shape[1:])
        self.num_rows, self.chunk_rows, self.held = dataset.shape[0], self._rows.chunk_rows, _held(dataset)

    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        values = self._rows.get(rows)
        return as_rows(Ragged.of(values.reshape(-1), name=self.field.name), self.field, len(values))

    def row_bytes(self) -> float:
        return min(256.0 * (self.field.num_values or 0), 2.0**62)  # not known before they are read

    def claimed(self) -> float:
        return float(_REFERENCE) * self.num_rows * (self.field.num_values or 0)


@cache
def _mislabels_big_endian() -> bool:
    """Whether h5py gives big-endian rows of variable length as native ones, as 3.14 does: tried out, in memory."""
    with h5py.File("probe", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", (1,), h5py.vlen_dtype(np.dtype(">i2")))
        dataset[0] = [1]
        return bool(dataset[0][0] != 1)


class _VlenColumn(ArrayColumn):
    """Numbers of variable length."""

    def __init__(
        self, path: str, name: str, dataset: h5py.Dataset, chunk: tuple[int, ...] | None, base: np.dtype[Any]
    ) -> None:
        self._rows = _ObjectRows(path, name, dataset, chunk)
        self._is_bytes = base == np.uint8
        self._is_swapped = base.byteorder == ">" and _mislabels_big_endian()
        self.field = Field(name, "bytes" if self._is_bytes else base.name, () if self._is_bytes else (None,))
        self.num_rows, self.chunk_rows, self.held = dataset.shape[0], self._rows.chunk_rows, _held(dataset)

    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        values = self._rows.get(rows)
        dtype = wanted.dtype if self._is_bytes and wanted.dtype in ("bytes", "uint8") else self.field.dtype
        stored = np.dtype(np.uint8) if self._is_bytes else numpy_dtype(dtype)
        numbers = (
            np.concatenate(values.tolist()).astype(stored, copy=False) if len(values) else np.empty(0, dtype=stored)
        )
        if self._is_swapped:
            numbers = numbers.byteswap()
        lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values)) * stored.itemsize
        return Ragged(with_bools(numbers).view(np.uint8), np.cumsum(lengths) - lengths, lengths, dtype)

    def row_bytes(self) -> float:
        return float(_RAGGED_ROW)  # not known before they are read

    def claimed(self) -> float:
        return float(_REFERENCE) * self.num_rows


class Hdf5Writer:
    """Appends to chunked datasets, by the sizes of rows some at a time: the file does not depend on how they come."""

    def __init__(self, path: str, schema: Schema, compression: str) -> None:
        self._flattener = Flattener(schema)
        _check_names(list(self._flattener.arrays))
        self._filters: dict[str, Any] = {
            "": {},
            "GZIP": {"compression": "gzip", "shuffle": True},
            "LZF": {"compression": "lzf", "shuffle": True},
        }[compression]
        self._compression = cast('Literal["", "GZIP", "LZF"]', compression)
        self._waiting: list[Batch] = []
        self._held_rows = self._held = 0  # of what is waiting: rows, and bytes
        self._scratch = Scratch(path)
        try:
            with _naming(self._scratch.final):
                self._file = _create(self._scratch.temporary)
                self._datasets = Datasets(self._file, self._flattener, self._filters)
        except BaseException:
            self.abort()
            raise

    def write(self, batch: Batch) -> None:
        ends = np.cumsum(_row_nbytes(batch))
        start = before = 0
        while start < len(batch):
            full = int(np.searchsorted(ends, before + _WRITE - self._held)) + 1
            stop = min(full, start + _WRITE_ROWS - self._held_rows, len(batch))
            self._waiting.append(batch.slice(start, stop))
            self._held_rows += stop - start
            self._held += int(ends[stop - 1]) - before
            start, before = stop, int(ends[stop - 1])
            if self._held >= _WRITE or self._held_rows == _WRITE_ROWS:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            with _naming(self._scratch.final):
                self._datasets.append(self._flattener.pieces(concat(self._waiting)))
        self._waiting = []
        self._held_rows = self._held = 0

    def close(self) -> Written:
        self._flush()
        with _naming(self._scratch.final):
            self._datasets.finish()
            _close(self._file)
        return Written((self._scratch.finish(),), Hdf5Options(self._compression))

    def abort(self) -> None:
        if hasattr(self, "_file"):
            _abandon(self._file)
        self._scratch.abort()


def _close(file: h5py.File) -> None:
    file.flush()  # where a full disk is an error that can be told: see _abandon
    file.close()


def _abandon(file: h5py.File) -> None:
    """Close a file that nobody will have.

    HDF5 writes what it still holds. Where that fails, as on a full disk, it tries again as the process ends, and
    crashes: so it writes to nowhere.
    """
    with suppress(OSError, RuntimeError, ValueError):
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nowhere, file.id.get_vfd_handle(), inheritable=False)
        os.close(nowhere)
        file.close()


@contextmanager
def _naming(target: str) -> Iterator[None]:
    """Make of what HDF5 says of a write that failed the system's error, with the file that was to be written."""
    try:
        yield
    except (OSError, RuntimeError) as err:
        told = _ERRNO.search(str(err))
        if told is None:
            raise
        number = int(told["errno"])
        raise unwritable(OSError(number, os.strerror(number)), target) from err


_ERRNO = re.compile(r"errno = (?P<errno>\d+)")


def _row_nbytes(batch: Batch) -> NDArray[np.int64]:
    """The bytes that each row of a Batch holds."""
    nbytes = np.zeros(len(batch), dtype=np.int64)
    for _, column in batch.items():
        if not isinstance(column, Ragged):
            nbytes += column.nbytes // max(len(column), 1)
        elif isinstance(column.values, Ragged):
            members = column.values.lengths[spread(column.starts, column.lengths)]
            ends = np.concatenate([[0], np.cumsum(members)])[np.cumsum(column.lengths)]
            nbytes += np.diff(ends, prepend=0)
        else:
            nbytes += column.lengths
    return nbytes


def _create(path: str) -> h5py.File:
    """A file that remembers the order of its members, and not when they were made: equal input gives equal bytes."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_cache(0, 521, _CACHE, 0.75)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    made = timeless(h5py.h5p.create(h5py.h5p.FILE_CREATE))
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fcpl=made, fapl=access))


def _check_names(names: list[str]) -> None:
    """SchemaError for a name that HDF5 would take for another one, or for a group."""
    for name in names:
        if any(part in ("", ".") for part in name.split("/")) or "\0" in name:
            raise SchemaError(f"field {name!r}: HDF5 takes / for the border of a group; rename it", field=name)
        inside = next((other for other in names if other.startswith(f"{name}/")), None)
        if inside is not None:
            raise SchemaError(f"field {name!r} would be a group, too, as {inside!r} is in it; rename one", field=name)


FORMAT = Hdf5()
