"""The datasets of a new HDF5 file, which rows are appended to: chunked, so that they can grow, for their readers too.

A chunk takes its whole room on disk as soon as a value is in it. So the values of a dataset wait until a chunk is full,
and what is less in the end is a dataset of one chunk that is no larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .flatten import Flattener

_CHUNK = 1 << 18  # bytes


class Datasets:
    """The datasets that keep the columns of a Flattener. finish() gives them their names, in the Flattener's order."""

    def __init__(self, file: h5py.File, flattener: Flattener, filters: Mapping[str, Any]) -> None:
        self._file = file
        self._datasets = {name: _Dataset(file, *array, filters) for name, array in flattener.arrays.items()}
        self.append(flattener.first().items())

    def append(self, pieces: Iterable[tuple[str, NDArray[Any]]]) -> None:
        """Append values to datasets by their names."""
        for name, values in pieces:
            self._datasets[name].append(values)

    def finish(self) -> None:
        """Write what waits. There is nothing in the file before."""
        for name, dataset in self._datasets.items():
            group, _, last = name.rpartition("/")
            parent = self._group(group) if group else self._file
            parent[last] = dataset.finish()

    def _group(self, name: str) -> h5py.Group:
        """The group of this name, and those that it lies in."""
        outer, _, last = name.rpartition("/")
        parent = self._group(outer) if outer else self._file
        if last not in parent:
            h5py.h5g.create(parent.id, last.encode(), gcpl=timeless(h5py.h5p.create(h5py.h5p.GROUP_CREATE)))
        return parent[last]


class _Dataset:
    """A dataset, in the file from its first full chunk on, and without a name yet."""

    def __init__(
        self, file: h5py.File, dtype: np.dtype[Any], shape: tuple[int, ...], filters: Mapping[str, Any]
    ) -> None:
        self._file, self._dtype, self._shape, self._filters = file, dtype, shape, filters
        self._chunk_rows = max(1, _CHUNK // max(dtype.itemsize * int(np.prod(shape)), 1))
        self._first: NDArray[Any] | None = None  # the rows that wait, and room for a chunk
        self._num_rows = 0
        self._dataset: h5py.Dataset | None = None

    def append(self, values: NDArray[Any]) -> None:
        """Append values; a copy of them where they wait."""
        if self._dataset is not None:
            self._write(values)
        elif self._num_rows + len(values) < self._chunk_rows:
            if self._first is None:
                self._first = np.empty((self._chunk_rows, *self._shape), dtype=self._dtype)
            self._first[self._num_rows : self._num_rows + len(values)] = values
            self._num_rows += len(values)
        else:
            self._start(self._chunk_rows)
            self._write(values)

    def finish(self) -> h5py.Dataset:
        """The dataset with all values in it."""
        if self._dataset is None:
            self._start(self._num_rows or self._chunk_rows)
        return self._dataset

    def _start(self, chunk_rows: int) -> None:
        """Make the dataset, and write the rows that wait."""
        inner = tuple(max(size, 1) for size in self._shape)
        self._dataset = self._file.create_dataset(
            None, (0, *self._shape), self._dtype, maxshape=(None, *inner), chunks=(chunk_rows, *inner), **self._filters
        )
        if self._first is not None:
            rows, self._num_rows = self._first[: self._num_rows], 0
            self._write(rows)
            self._first = None

    def _write(self, values: NDArray[Any]) -> None:
        assert self._dataset is not None  # _start() came first
        before, self._num_rows = self._num_rows, self._num_rows + len(values)
        self._dataset.resize(self._num_rows, axis=0)
        if values.size:
            self._dataset.write_direct(np.ascontiguousarray(values), dest_sel=np.s_[before : self._num_rows])


def timeless(plist: Any) -> Any:  # Any: h5py has no types
    """A list of properties of groups that remember the order of their members, and not when they were made."""
    plist.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED)
    plist.set_obj_track_times(False)
    return plist
