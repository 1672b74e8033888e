"""A checksum of each row, by which what was written is compared with what was read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .batch import Batch, Ragged, spans_of


def digest(batch: Batch, names: Iterable[str] | None = None) -> NDArray[np.uint32]:
    """A CRC-32C of each row over the values of its fields in the order of their names: ndarray[rows].

    It depends on the bytes of the values alone: not on dtypes, nor on where the columns lie in memory.
    """
    crcs = np.zeros(len(batch), dtype=np.uint32)
    for name in sorted(batch.schema if names is None else names):
        column = batch[name]
        if isinstance(column, Ragged) and isinstance(column.values, Ragged):
            _kernels.digest_rows(column.values.spans, (column.starts, column.lengths), crcs)
        else:
            _kernels.digest_rows(spans_of(column), None, crcs)
    return crcs
