"""Rows that are known by number: any epoch, shard and batch of them is arithmetic on row numbers.

Without shuffling, an epoch is the rows in their physical order; shuffled, a permutation of all rows, made anew for
each epoch from (seed, epoch). Where neighbouring rows are stored as one chunk (HDF5), reading single rows at random
would read a whole chunk for each: there, runs of rows (the chunks) are permuted, and then the rows within windows of
many runs.

A shard (index, count) is every count-th row of the epoch's order, from index on; of windows, every count-th run.
Trainers with the same seed have shards without a row in common, which make up the whole, epoch by epoch. They differ
by a row at most; of windows, by less than two runs, as the last run may be shorter than the others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, rebatch
from ..schema import Schema
from .schedule import Job

Shard: TypeAlias = tuple[int, int]
Select: TypeAlias = Callable[[Batch], Batch]

GROUP = 1 << 22  # bytes of rows that are read at a time, at most: a few batches, so that they share what reading costs
_MOST_BATCHES = 16  # in a group, so that a thread that has one leaves work for the others


class Rows(Protocol):
    """Rows by number: a RecordFile, or its like."""

    def __len__(self) -> int: ...

    def take(self, indices: NDArray[np.int64]) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Cut:
    """How the rows of an epoch become one trainer's batches."""

    batch_size: int
    drop_remainder: bool = False
    shard: Shard = (0, 1)

    def num_batches(self, num_rows: int) -> int:
        """Of so many rows."""
        return num_rows // self.batch_size if self.drop_remainder else math.ceil(num_rows / self.batch_size)

    def why_none(self, num_rows: int) -> str:
        """Why so many rows of this shard make no batch."""
        index, count = self.shard
        if num_rows:
            return (
                f"drop_remainder leaves none of the {num_rows} rows, which are fewer than batch_size={self.batch_size}"
            )
        if index:
            return (
                f"shard=({index}, {count}) has no row, as the source has too few for so many, or where= leaves too few"
            )
        return "the source has no rows, or where= leaves none of them"

    def batches(self, rows: Iterable[Batch]) -> Iterator[Batch]:
        """These rows in batches of the wanted size."""
        whole = self.batch_size if self.drop_remainder else 1
        return (batch for batch in rebatch(rows, self.batch_size) if len(batch) >= whole)


def _bits(seed: int, epoch: int) -> np.random.PCG64:
    """The random bits of an epoch. PCG64's stream is promised to stay as it is (NEP 19)."""
    return np.random.PCG64(np.random.SeedSequence([seed, epoch]))


def _permutation(count: int, bits: np.random.PCG64) -> NDArray[np.int64]:
    """range(count) in random order: it sorts random 64-bit keys, as numpy's own may change between releases."""
    return np.argsort(bits.random_raw(count), kind="stable")


def epoch_order(count: int, seed: int | None, epoch: int, shard: Shard) -> NDArray[np.int64]:
    """The numbers of the rows of a shard of an epoch, in their order."""
    order = np.arange(count, dtype=np.int64) if seed is None else _permutation(count, _bits(seed, epoch))
    return order[shard[0] :: shard[1]]


class IndexedSupply:
    """Batches of rows that any thread can read at any time.

    Args:
        select: makes the columns of a batch out of rows.
        seed: of the permutations; None leaves the rows in their order.
        row_nbytes: about what a row takes.
    """

    def __init__(
        self, rows: Rows, schema: Schema, cut: Cut, select: Select, seed: int | None, row_nbytes: float
    ) -> None:
        self.schema = schema
        self.close: Callable[[], None] = nothing_to_close
        self._rows, self._cut, self._select, self._seed = rows, cut, select, seed
        index, count = cut.shard
        self._num_rows = len(range(index, len(rows), count))
        self.num_batches = cut.num_batches(self._num_rows)
        self._group = max(1, min(_MOST_BATCHES, int(GROUP / max(row_nbytes * cut.batch_size, 1))))

    def count_batches(self) -> int:
        return self.num_batches

    def why_none(self) -> str:
        return self._cut.why_none(self._num_rows)

    def jobs(self, epoch: int, first: int) -> Generator[Job, None, None]:
        """Groups of batches, each read as its Job is done."""
        order, size = epoch_order(len(self._rows), self._seed, epoch, self._cut.shard), self._cut.batch_size
        while first < self.num_batches:
            stop = min(first + self._group, self.num_batches)
            yield Job(stop - first, partial(self._make, order[first * size : stop * size]))
            first = stop

    def limit_jobs(self, num_batches: int) -> None:
        self._group = min(self._group, num_batches)

    def _make(self, rows: NDArray[np.int64]) -> Sequence[Batch]:
        taken, size = self._select(self._rows.take(rows)), self._cut.batch_size
        return [taken] if len(taken) <= size else [taken.slice(at, at + size) for at in range(0, len(taken), size)]


def nothing_to_close() -> None:
    """Files are those of the caller."""


class HeldRows:
    """Rows that fit into memory: read once, when they are first asked for, and kept.

    Where they were read is kept with them, but not of rows so small that it would take more than they do.

    Args:
        select: is applied to all of them at once.
    """

    def __init__(self, rows: Rows, select: Select) -> None:
        self._rows, self._select = rows, select
        self._lock = threading.Lock()
        self._held: Batch | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, indices: NDArray[np.int64]) -> Batch:
        """Copies of these rows."""
        with self._lock:
            if self._held is None:
                held = self._select(self._rows.take(np.arange(len(self._rows))))
                is_small = held.places is not None and held.places.nbytes > held.nbytes
                self._held = held.read_at(None) if is_small else held
        return self._held.take(indices)


class Windows:
    """Passes over rows that are shuffled as runs, and then within windows of runs.

    Called with an epoch and the number of rows to leave out at its beginning, it gives the others.

    Args:
        select: as for IndexedSupply.
        run_rows: rows that are stored together; the last run of all may be shorter.
        window_rows: rows that are in memory at a time, and shuffled among one another.
    """

    def __init__(self, rows: Rows, cut: Cut, select: Select, seed: int, run_rows: int, window_rows: int) -> None:
        self._rows, self._cut, self._select, self._seed = rows, cut, select, seed
        self._run_rows, self._runs_at_once = run_rows, max(1, window_rows // run_rows)

    def __call__(self, epoch: int, first_row: int) -> Iterator[Batch]:
        bits, (index, count), size = _bits(self._seed, epoch), self._cut.shard, self._cut.batch_size
        runs = _permutation(math.ceil(len(self._rows) / self._run_rows), bits)[index::count]
        done = 0
        for at in range(0, len(runs), self._runs_at_once):
            stored = np.sort(self._rows_of(runs[at : at + self._runs_at_once]))
            order = _permutation(len(stored), bits)
            begin, end = max(0, first_row - done), len(stored)
            if begin < end:
                window = self._select(self._rows.take(stored))
                edges = range(
                    begin + size - (done + begin) % size, end, size
                )  # where batches end, so that none is joined
                for start, stop in pairwise([begin, *edges, end]):
                    yield window.take(order[start:stop])
            done += end

    def _rows_of(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = (runs[:, None] * self._run_rows + np.arange(self._run_rows)).reshape(-1)
        return rows[rows < len(self._rows)]


class SkippedRows(Rows, Protocol):
    """Rows of which take leaves out bad ones, and some have no number for that reason."""

    @property
    def num_skipped(self) -> int: ...


class Sifted:
    """Passes over rows of which some may turn out to be bad when they are read, and are left out.

    How many batches that makes is known only at the end, so they come one after another. Called as Windows.

    Args:
        left_out: is told of how many rows there are fewer, in each pass; of those without a number, a shard has as many
            as if they had one.
    """

    def __init__(
        self,
        rows: SkippedRows,
        shard: Shard,
        select: Select,
        seed: int | None,
        group_rows: int,
        left_out: Callable[[int], None],
    ) -> None:
        self._rows, self._shard, self._select, self._seed = rows, shard, select, seed
        self._group_rows, self._left_out = group_rows, left_out

    def __call__(self, epoch: int, first_row: int) -> Iterator[Batch]:
        return without_first(self._sound(epoch), first_row)

    def _sound(self, epoch: int) -> Iterator[Batch]:
        self._left_out(len(range(self._shard[0], self._rows.num_skipped, self._shard[1])))
        order = epoch_order(len(self._rows), self._seed, epoch, self._shard)
        for at in range(0, len(order), self._group_rows):
            group = order[at : at + self._group_rows]
            taken = self._rows.take(group)
            self._left_out(len(group) - len(taken))
            yield self._select(taken)


def without_first(rows: Iterable[Batch], count: int) -> Iterator[Batch]:
    """These rows but for the first `count`."""
    for batch in rows:
        if count < len(batch):
            yield batch.slice(count, len(batch))
        count = max(0, count - len(batch))
