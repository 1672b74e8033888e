"""Sorting more rows than fit in memory, by keys that are spread evenly over 64 bits, as random ones are.

Rows are taken in runs, as many as there is memory for. A run is put in the order of the first 16 bits of its keys (its
slots) and goes to a temporary file, with a table of where each slot begins:

    +------------------+---------------------+------------------+-----
    | rows, with keys  | 65537 starts, <u4   | rows, with keys  | ...
    +------------------+---------------------+------------------+-----

In the end, as many neighbouring slots as there is memory for are read from all runs, and sorted whole. Rows with equal
keys stay in the order in which they came. All is written once and read once: nothing is merged in rounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..files import read_spans, write_all

_SLOTS = 1 << 16
_COPIES = 3  # of a run that are in memory at the same time: the rows, their order with what finds it, the rows sorted
_FIRST_ROWS = 1 << 14  # there is room for, before it is known how many come


class KeySort:
    """Takes rows, each with a key, and gives them back by ascending keys.

    memory bounds what it holds, for up to 65536 runs (of memory / 3 each; beyond that a slot can be larger). On disk,
    in folder, it needs the rows with 8 bytes for each key, and nothing where they fit in memory.

    To be closed, which removes what is on disk; a process that is killed leaves nothing there either.
    """

    def __init__(self, dtype: np.dtype[Any], memory: int, folder: str | None = None) -> None:  # Any: of any fields
        self._dtype = dtype
        self._keyed = np.dtype([("key", "<u8"), ("row", dtype)])
        self._most = max(1, memory // (_COPIES * self._keyed.itemsize))
        self._folder = folder
        self._rows = np.empty(min(self._most, _FIRST_ROWS), dtype=self._keyed)
        self._count = 0
        self._file: IO[bytes] | None = None
        self._runs: list[int] = []
        """Where each run begins in the file."""
        self._tables: list[int] = []
        """Where its table begins."""
        self._written = 0
        self._in_slots = np.zeros(_SLOTS, dtype=np.int64)
        """How many rows all runs have in each slot."""

    def add(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Take rows of the dtype, with as many keys."""
        done = 0
        while done < len(rows):
            if self._count == len(self._rows):
                self._make_room()
            count = min(len(rows) - done, len(self._rows) - self._count)
            room = self._rows[self._count : self._count + count]
            room["key"], room["row"] = keys[done : done + count], rows[done : done + count]
            self._count += count
            done += count

    def _make_room(self) -> None:
        if self._count == self._most:
            self._spill()
            return
        grown = np.empty(min(self._most, 2 * self._count), dtype=self._keyed)
        grown[: self._count] = self._rows
        self._rows = grown

    def _spill(self) -> None:
        """Write the rows in memory as a run."""
        if self._file is None:
            # Closed by close(). It has no name, so that nothing stays of it, whatever happens to this process.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115
                "w+b", buffering=0, prefix="recordio_bridge-", dir=self._folder
            )
        rows = self._rows[: self._count]
        slots = (rows["key"] >> np.uint64(48)).astype(np.uint16)
        order = np.argsort(slots, kind="stable")  # a radix sort, as they have 16 bits
        in_slots = np.bincount(slots, minlength=_SLOTS)
        self._in_slots += in_slots
        starts = np.zeros(_SLOTS + 1, dtype="<u4")
        np.cumsum(in_slots, out=starts[1:])
        self._runs.append(self._written)
        self._write(rows.take(order))  # many times as fast as rows[order], where these have fields
        self._tables.append(self._written)
        self._write(starts)
        self._count = 0

    def _write(self, array: NDArray[Any]) -> None:
        assert self._file is not None  # whoever writes has opened it
        data = array.view(np.uint8).reshape(-1).data
        write_all(self._file.fileno(), data, self._folder or tempfile.gettempdir(), self._written)
        self._written += len(data)

    def sorted_rows(self) -> Iterator[NDArray[Any]]:
        """All rows by ascending keys, in pieces; to be asked for once, after the last add."""
        if self._file is None:
            yield _by_key(self._rows[: self._count])
            return
        if self._count:
            self._spill()
        self._rows = np.empty(0, dtype=self._keyed)
        runs, tables = np.array(self._runs), np.array(self._tables)
        starts = np.zeros(len(runs), dtype=np.int64)
        for stop in self._cuts():
            stops = self._entries(tables, stop)
            yield _by_key(self._read(runs + starts * self._keyed.itemsize, stops - starts))
            starts = stops

    def _cuts(self) -> Iterator[int]:
        """The slots behind groups that fit in memory."""
        before, ends = 0, np.cumsum(self._in_slots)
        slot = 0
        while slot < _SLOTS:
            slot = max(slot + 1, int(np.searchsorted(ends, before + self._most, side="right")))
            before = int(ends[slot - 1])
            yield slot

    def _entries(self, tables: NDArray[np.int64], slot: int) -> NDArray[np.int64]:
        """How many rows each run has before a slot."""
        return self._spans(tables + 4 * slot, np.full(len(tables), 4)).view("<u4").astype(np.int64)

    def _read(self, offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[Any]:
        return self._spans(offsets, rows * self._keyed.itemsize).view(self._keyed)

    def _spans(self, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
        assert self._file is not None  # whoever reads has written
        return read_spans(self._folder or tempfile.gettempdir(), self._file.fileno(), offsets, lengths)

    def close(self) -> None:
        """Let go of all rows, in memory and on disk."""
        self._rows = np.empty(0, dtype=self._keyed)
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> KeySort:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _by_key(rows: NDArray[Any]) -> NDArray[Any]:
    """The rows by ascending keys, without these."""
    order = np.argsort(np.ascontiguousarray(rows["key"]), kind="stable")
    sorted_rows: NDArray[Any] = rows.take(order)["row"]
    return sorted_rows
