"""Where the rows of a dataset lie in its HDF5 file, when they lie there as they are in memory.

Single rows are then read by their place in the file, some hundred thousand a second: HDF5 does with one what it does
with a whole block, and manages thirty thousand.
"""

from __future__ import annotations

import math
import os

import h5py
import numpy as np
from h5py._hl.base import phil
from numpy.typing import NDArray

from ..batch import spread


class Places:
    """The places of a dataset's rows. fd: HDF5's own, for reading by position; -1 where it has none."""

    def __init__(self, fd: int, dataset: h5py.Dataset) -> None:
        self.fd = fd
        self._id, self._rank = dataset.id, len(dataset.shape)
        self._end = os.fstat(fd).st_size
        self._is_chunked = dataset.chunks is not None
        self._piece_rows = dataset.chunks[0] if dataset.chunks else max(dataset.shape[0], 1)
        self._begins: dict[int, int] = {}
        self._row_nbytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize

    @classmethod
    def of(cls, fd: int, dataset: h5py.Dataset) -> Places | None:
        """None where rows are packed, cut by chunks, of a type that HDF5 converts, or in another file."""
        plist, dtype = dataset.id.get_create_plist(), dataset.dtype
        if (
            fd < 0
            or plist.get_nfilters()
            or dtype.hasobject
            or dtype.subdtype
            or not dtype.itemsize
            or not all(dataset.shape)
        ):
            return None
        if plist.get_layout() == h5py.h5d.CONTIGUOUS:
            is_whole = plist.get_external_count() == 0
        else:
            is_whole = plist.get_layout() == h5py.h5d.CHUNKED and dataset.chunks[1:] == dataset.shape[1:]
        is_same = dataset.id.get_type() == h5py.h5t.py_create(dtype, logical=True)
        starts_late = h5py.h5i.get_file_id(dataset.id).get_create_plist().get_userblock() > 0
        return cls(fd, dataset) if is_whole and is_same and not starts_late else None

    def spans(
        self, starts: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Where the bytes of runs of rows lie, and how many in each place: a run goes on in the next chunk.

        None where a row was never written, so that HDF5 fills in for it, or is not there.
        """
        starts, counts = starts[counts > 0], counts[counts > 0]
        first, last = starts // self._piece_rows, (starts + counts - 1) // self._piece_rows
        pieces = spread(first, last - first + 1)
        runs = np.repeat(np.arange(len(starts)), last - first + 1)
        rows = np.maximum(starts[runs], pieces * self._piece_rows)
        stops = np.minimum((starts + counts)[runs], (pieces + 1) * self._piece_rows)
        numbers, which = np.unique(pieces, return_inverse=True)
        begins = np.array([self._begin(int(number)) for number in numbers], dtype=np.int64)[which.reshape(-1)]
        offsets = begins + rows % self._piece_rows * self._row_nbytes
        sizes = (stops - rows) * self._row_nbytes
        is_there = begins.min(initial=0) >= 0 and (offsets + sizes).max(initial=0) <= self._end
        return (offsets, sizes) if is_there else None

    def _begin(self, number: int) -> int:
        """Where a chunk begins, or the whole dataset; -1 where it has no place. Found once."""
        if number not in self._begins:
            if self._is_chunked:
                first = (number * self._piece_rows, *[0] * (self._rank - 1))
                with phil:
                    place: int | None = self._id.get_chunk_info_by_coord(first).byte_offset
            else:
                place = self._id.get_offset()
            self._begins[number] = -1 if place is None else int(place)
        return self._begins[number]
