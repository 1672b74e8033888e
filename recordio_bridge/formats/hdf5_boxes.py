"""Reading rows of an HDF5 dataset that lie in many chunks: some of these at a time, and none that is damaged.

HDF5 makes notes of 6 KiB for each chunk that one call reads: a million chunks of a byte, which need not even be in the
file, took 6 GiB, and four times as long as in boxes of some thousand. Measured with HDF5 1.14.6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_CHUNKS = 1 << 12  # that a call reads: 24 MiB of notes

Box = tuple[slice, ...]


def read_rows(dataset: h5py.Dataset, chunk: tuple[int, ...] | None, start: int, stop: int) -> NDArray[Any]:
    """Rows start to stop, as dataset[start:stop]. chunk: its shape; None where there are no chunks."""
    if chunk is None or _most_cut(dataset.shape, chunk, stop - start) <= _CHUNKS:
        return np.asarray(dataset[start:stop])
    values = np.empty((stop - start, *dataset.shape[1:]), dtype=dataset.dtype)
    for box in _boxes((stop - start, *dataset.shape[1:]), chunk):
        values[box] = dataset[(slice(start + box[0].start, start + box[0].stop), *box[1:])]
    return values


def has_whole_chunks(dataset: h5py.Dataset) -> bool:
    """Whether chunks without a filter take as many bytes as their shape and type say.

    Else HDF5 reads on behind what it has of a chunk, and gives whatever lies in memory there.
    """
    if dataset.chunks is None or dataset.id.get_create_plist().get_nfilters():
        return True
    piece = chunk_nbytes(dataset)
    return bool(dataset.id.get_storage_size() % max(piece, 1) == 0)


def chunk_nbytes(dataset: h5py.Dataset) -> int:
    """Bytes of a chunk when it is unpacked; those of values of variable length say how long each is, and where."""
    values = math.prod(map(int, dataset.chunks))
    if not dataset.dtype.hasobject:
        return values * int(dataset.id.get_type().get_size())
    address, _ = h5py.h5i.get_file_id(dataset.id).get_create_plist().get_sizes()
    return values * (4 + int(address) + 4)  # its length, its heap, and its number there


def _most_cut(shape: tuple[int, ...], chunk: tuple[int, ...], rows: int) -> int:
    """How many chunks so many rows lie in at most."""
    return (rows // chunk[0] + 2) * math.prod(-(-n // part) for n, part in zip(shape[1:], chunk[1:], strict=True))


def _boxes(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[Box]:
    """All of a shape in boxes of whole chunks, the last axis first, as these lie one behind another."""
    left, sides = _CHUNKS, []
    for n, part in zip(shape[::-1], chunk[::-1], strict=True):
        count = min(-(-n // part), left)
        sides.append(count * part)
        left //= count
    axes = [range(0, n, side) for n, side in zip(shape, sides[::-1], strict=True)]
    for corner in product(*axes):
        yield tuple(slice(at, min(at + axis.step, n)) for at, axis, n in zip(corner, axes, shape, strict=True))
