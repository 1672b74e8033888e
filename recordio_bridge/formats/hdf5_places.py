"""Where the rows of a dataset lie in its HDF5 file, when they lie there as they are in memory.

Single rows are then read by their place in the file, some hundred thousand a second: HDF5 does with one what it does
with a whole block, and manages thirty thousand.
"""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


class Places:
    """The places of a dataset's rows. fd: that of HDF5, which is read by position and so does not notice."""

    def __init__(self, fd: int, dataset: h5py.Dataset) -> None:
        self.fd = fd
        self._id, self._rank = dataset.id, len(dataset.shape)
        self._end = os.fstat(fd).st_size
        self._is_chunked = dataset.chunks is not None
        self._rows_per_piece = dataset.chunks[0] if dataset.chunks else max(dataset.shape[0], 1)
        self.row_nbytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize

    @classmethod
    def of(cls, fd: int, dataset: h5py.Dataset) -> Places | None:
        """None where rows are packed, cut by chunks, of a type that HDF5 converts, or in another file."""
        plist, dtype = dataset.id.get_create_plist(), dataset.dtype
        if plist.get_nfilters() or dtype.hasobject or dtype.subdtype or not dtype.itemsize or not all(dataset.shape):
            return None
        if plist.get_layout() == h5py.h5d.CONTIGUOUS:
            is_whole = plist.get_external_count() == 0
        else:
            is_whole = plist.get_layout() == h5py.h5d.CHUNKED and dataset.chunks[1:] == dataset.shape[1:]
        is_same = dataset.id.get_type() == h5py.h5t.py_create(dtype, logical=True)
        starts_late = h5py.h5i.get_file_id(dataset.id).get_create_plist().get_userblock() > 0
        return cls(fd, dataset) if is_whole and is_same and not starts_late else None

    def offsets(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Where these rows begin; None where one was never written, so that HDF5 fills in for it, or is not there."""
        pieces, which = np.unique(rows // self._rows_per_piece, return_inverse=True)
        starts = [self._piece(int(piece)) for piece in pieces]
        known = np.array([start for start in starts if start is not None], dtype=np.int64)
        if len(known) < len(starts):
            return None
        offsets = known[which.reshape(-1)] + rows % self._rows_per_piece * self.row_nbytes
        return offsets if int(offsets.max(initial=0)) + self.row_nbytes <= self._end else None

    def _piece(self, number: int) -> int | None:
        """Where a chunk begins, or the whole dataset; None where it has no place."""
        if self._is_chunked:
            place: Any = self._id.get_chunk_info_by_coord((number * self._rows_per_piece, *[0] * (self._rank - 1)))
            place = place.byte_offset
        else:
            place = self._id.get_offset()
        return None if place is None else int(place)
