"""Rows in the order of a permutation: where all rows of a source are, and in which order they are written.

Both are the same for every shard of a conversion, so they are made once. Worker processes map them from a temporary
file without a name, 24 bytes a row, which are in memory once for all of them.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch
from ..files import write_all
from ..formats import get_format
from ..formats.base import Heads, Request
from ..formats.framed import BLOCK
from ..openfiles import OpenFiles
from ..recordfile import FileState, RowIndex
from ..sources import Source
from .plan import Order


@dataclass(frozen=True, slots=True)
class ShuffledRows:
    """The rows of a source and their permutation. order is one of those that they serve."""

    order: Order
    index: RowIndex
    permutation: NDArray[np.int64]

    @classmethod
    def of(cls, order: Order) -> ShuffledRows:
        """Look through the source of an order."""
        assert order.shuffle is not None  # who asks has looked
        index = RowIndex.of(_source(order), fields=order.schema, where=order.where)
        return cls(order, index, order.shuffle.permutation(len(index)))

    def serves(self, order: Order) -> bool:
        """Whether an order has the same source and the same permutation."""
        return share_rows([self.order, order])

    def batches(self, order: Order, request: Request) -> Iterator[tuple[Batch, list[int]]]:
        """The rows of an order with their numbers, by random access, about a block's worth at a time."""
        assert order.shuffle is not None  # it serves this order
        rows = self.permutation[order.shuffle.first : order.shuffle.stop]
        nbytes = sum(int(heads.sizes.sum()) for heads in self.index.heads)
        step = max(1, min(1 << 16, BLOCK * len(self.index) // max(nbytes, 1)))
        with closing(OpenFiles(self.index.source, request)) as files:
            for first in range(0, len(rows), step):
                numbers = rows[first : first + step]
                yield self.index.take(numbers, files), numbers.tolist()

    def save(self) -> IO[bytes]:
        """A temporary file that holds them, for load. It has no name, and is gone when nobody has it open."""
        heads, written = self.index.heads, 0
        parts = [
            np.array([(len(each), each.numbers is not None) for each in heads]),
            np.array(self.index.states),
            self.permutation,
            *(part for each in heads for part in (each.offsets, each.sizes, each.numbers) if part is not None),
        ]
        file = tempfile.TemporaryFile("w+b", buffering=0, prefix="recordio_bridge-")  # noqa: SIM115  # the caller's
        try:
            for part in parts:
                data = np.ascontiguousarray(part, dtype="<i8").reshape(-1).view(np.uint8)
                write_all(file.fileno(), data.data, tempfile.gettempdir(), written)
                written += len(data)
        except BaseException:
            file.close()
            raise
        return file

    @classmethod
    def load(cls, order: Order, fd: int) -> ShuffledRows:
        """What save wrote, mapped; for an order with the same source and permutation."""
        # A mapped file that another program cuts kills the process: this one has no name by which one could.
        numbers = np.frombuffer(mmap.mmap(fd, 0, access=mmap.ACCESS_READ), dtype="<i8")
        at = 0

        def next_part(size: int) -> NDArray[np.int64]:
            nonlocal at
            at += size
            return numbers[at - size : at]

        source = _source(order)
        files = len(source.paths)
        shapes = next_part(2 * files).reshape(files, 2).tolist()
        states = tuple(FileState(*state) for state in next_part(2 * files).reshape(files, 2).tolist())
        permutation = next_part(sum(rows for rows, _ in shapes))
        heads = tuple(
            Heads(next_part(rows), next_part(rows), next_part(rows) if has_numbers else None)
            for rows, has_numbers in shapes
        )
        return cls(order, RowIndex(source, heads, states), permutation)


def share_rows(orders: Sequence[Order]) -> bool:
    """Whether these orders are parts of one permutation of one source."""
    seeds = {None if order.shuffle is None else order.shuffle.seed for order in orders}
    return len(seeds) == 1 and None not in seeds and all(_source(order) == _source(orders[0]) for order in orders)


def _source(order: Order) -> Source:
    """The files of an order."""
    format = get_format(order.source_format)
    paths = tuple(extent.path for extent, _ in order.extents)
    return Source(format, paths, tuple(format.options(**opts) for _, opts in order.extents), order.on_bad_record)
