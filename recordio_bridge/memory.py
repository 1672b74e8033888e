"""Memory that others take as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 64  # bytes; TensorFlow uses the memory of an array that begins so, and copies any other


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """As np.empty, beginning at a multiple of 64 bytes."""
    kind = np.dtype(dtype)
    nbytes = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
    block = np.empty(nbytes + ALIGNMENT, dtype=np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + nbytes].view(kind).reshape(shape)


def is_aligned(array: NDArray[Any]) -> bool:
    """Whether it is in such memory, in the order of its rows."""
    return array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous


def gather(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """array[rows], in such memory.

    Raises:
        IndexError: there is no such row.
    """
    if not array.flags.c_contiguous or not len(array) or not len(rows):
        return array[rows]  # which np.take would copy whole
    if int(rows.max()) >= len(array) or int(rows.min()) < -len(array):
        raise IndexError(f"rows {int(rows.min())} to {int(rows.max())} of {len(array)}")
    taken = aligned_empty((len(rows), *array.shape[1:]), array.dtype)
    return np.take(array, rows, axis=0, out=taken, mode="wrap")  # "raise" would go through a second buffer
