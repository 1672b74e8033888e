"""Chunks of an HDF5 dataset that deflate or LZF packed: none that is not as large as it should be.

HDF5 takes a chunk that unpacks to fewer bytes than its shape and type make, and gives whatever lies in memory behind
them: rows that nobody wrote, other ones each time. So what deflate packed is unpacked here, and what LZF packed is
measured before HDF5 unpacks it. What other filters make (SZIP, plugins) is not compared, and is left to HDF5. Measured
with HDF5 1.14.6. Format: its specification, IV.A.2.l, the filters 1 (deflate), 2 (shuffle) and 3 (fletcher32), and
32000 of its registered filters (LZF, of h5py).
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from itertools import product
from threading import Lock
from typing import Any

import h5py
import numpy as np
from h5py._hl.base import phil  # the lock of all of HDF5, which knows no threads
from numpy.typing import NDArray

from .. import _kernels
from ..errors import FormatError
from .hdf5_boxes import chunk_nbytes

_DEFLATE, _LZF = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF
_SHUFFLE, _FLETCHER32 = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
_ORDERS = ([_DEFLATE], [_SHUFFLE, _DEFLATE], [_LZF], [_SHUFFLE, _LZF])
_CHECKSUM = 4  # bytes of a fletcher32
_REMEMBERED = 1 << 16  # chunks

Corner = tuple[int, ...]


class PackedChunks:
    """The chunks of a dataset. most: bytes of them that are kept, so that rows in blocks unpack each once."""

    def __init__(self, where: str, path: str, dataset: h5py.Dataset, most: int) -> None:
        self._where, self._path, self._dataset, self._id, self._most = where, path, dataset, dataset.id, most
        self._shape, self._chunk = dataset.shape, dataset.chunks
        self._itemsize, self._nbytes = dataset.dtype.itemsize, chunk_nbytes(dataset)
        plist = self._id.get_create_plist()
        filters = [plist.get_filter(number) for number in range(plist.get_nfilters())]
        self._codes = [code for code, *_ in filters]
        self._packer = _LZF if _LZF in self._codes else _DEFLATE
        self._is_plain = (
            self._codes in ([_DEFLATE], [_SHUFFLE, _DEFLATE])
            and not dataset.dtype.hasobject
            and not dataset.dtype.subdtype
            and self._id.get_type() == h5py.h5t.py_create(dataset.dtype, logical=True)
            and all(values[:1] == (self._itemsize,) for code, _, values, _ in filters if code == _SHUFFLE)
        )
        self._kept: OrderedDict[Corner, NDArray[Any]] = OrderedDict()
        self._checked: set[Corner] = set()
        self._lock = Lock()

    @classmethod
    def of(cls, where: str, path: str, dataset: h5py.Dataset, most: int) -> PackedChunks | None:
        """None where chunks are not packed by deflate or LZF, or by another, too. where: what errors begin with."""
        plist = dataset.id.get_create_plist()
        if plist.get_layout() != h5py.h5d.CHUNKED or not all(dataset.shape) or not all(dataset.chunks):
            return None
        codes = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
        order = [code for code in codes if code != _FLETCHER32]
        return cls(where, path, dataset, most) if order in _ORDERS else None

    def read(self, start: int, stop: int) -> NDArray[Any] | None:
        """Rows start to stop, of which each chunk is as large as it should be; None where HDF5 must read them.

        Raises:
            FormatError: a chunk unpacks to another size.
        """
        corners = self._corners(start, stop)
        with self._lock:
            if not self._is_plain or start == stop:
                for corner in corners:
                    self._check(corner)
                return None
            values = np.empty((stop - start, *self._shape[1:]), dtype=self._dataset.dtype)
            for corner in corners:
                chunk = self._chunk_at(corner)
                if chunk is None:  # and HDF5 reads those behind it, too
                    for later in corners:
                        self._check(later)
                    return None
                first, last = max(corner[0], start), min(corner[0] + self._chunk[0], stop)
                ends = [min(at + n, size) for at, n, size in zip(corner, self._chunk, self._shape, strict=True)][1:]
                into = (slice(first - start, last - start), *map(slice, corner[1:], ends))
                taken = (slice(first - corner[0], last - corner[0]), *map(slice, map(int.__sub__, ends, corner[1:])))
                values[into] = chunk[taken]
        return values

    def _corners(self, start: int, stop: int) -> Iterator[Corner]:
        """Where the chunks begin that hold these rows."""
        first = start // self._chunk[0] * self._chunk[0]
        axes = [range(first, stop, self._chunk[0])]
        axes += [range(0, size, part) for size, part in zip(self._shape[1:], self._chunk[1:], strict=True)]
        return product(*axes)

    def _chunk_at(self, corner: Corner) -> NDArray[Any] | None:
        """A chunk; None where it is not there, or not packed as the others, or damaged, as HDF5 will say."""
        if corner in self._kept:
            self._kept.move_to_end(corner)
            return self._kept[corner]
        unpacked: bytes | memoryview | None = self._unpacked(corner)
        if unpacked is None:
            return None
        if self._codes[0] == _SHUFFLE and self._itemsize > 1:
            shuffled = np.frombuffer(unpacked, dtype=np.uint8).reshape(self._itemsize, -1)
            unpacked = np.ascontiguousarray(shuffled.T).data
        chunk = np.frombuffer(unpacked, dtype=self._dataset.dtype).reshape(self._chunk)
        self._kept[corner] = chunk
        while len(self._kept) * self._nbytes > self._most:  # of many datasets, also the one that is as large as all
            self._kept.popitem(last=False)
        return chunk

    def _check(self, corner: Corner) -> None:
        """The same without the values, once."""
        if corner not in self._checked:
            self._unpacked(corner)
            if len(self._checked) == _REMEMBERED:
                self._checked.clear()
            self._checked.add(corner)

    def _unpacked(self, corner: Corner) -> bytes | None:
        """The bytes of a chunk once deflate is undone; None where HDF5 must say what it is, or unpack it (LZF)."""
        with phil:  # h5py takes it in most of its calls, and not in all that read_direct_chunk is made of
            if self._id.get_chunk_info_by_coord(corner).byte_offset is None:
                return None
            mask, packed = self._id.read_direct_chunk(corner)
        place = self._codes.index(self._packer)
        used = [number for number in range(len(self._codes)) if not mask >> number & 1]  # others made it no smaller
        checksums = [number for number in used if self._codes[number] == _FLETCHER32]
        expected = self._nbytes + _CHECKSUM * sum(number < place for number in checksums)
        kept = len(packed) - _CHECKSUM * sum(number > place for number in checksums)
        if place not in used:
            if kept != expected:
                raise self._error(corner, str(kept), expected)
            return None
        content = memoryview(packed)[: max(kept, 0)]
        if self._packer == _LZF:
            length = _kernels.lzf_length(content)
            if length not in (expected, -1):  # -1: damaged, which HDF5 notices
                raise self._error(corner, str(length), expected)
            return None
        stream = zlib.decompressobj()
        try:
            unpacked = stream.decompress(content, expected + 1)
        except zlib.error:
            return None
        if len(unpacked) > expected:
            raise self._error(corner, f"more than {expected}", expected)
        if not stream.eof:  # cut, which HDF5 notices
            return None
        if len(unpacked) < expected:
            raise self._error(corner, str(len(unpacked)), expected)
        return unpacked if len(used) == len(self._codes) else None

    def _error(self, corner: Corner, found: str, expected: int) -> FormatError:
        return FormatError(
            f"{self._where}: its chunk at {list(corner)} unpacks to {found} bytes, expected {expected} by its shape "
            "and type; the file is damaged: get it again",
            path=self._path,
        )
