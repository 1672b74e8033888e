"""Rows in the order of a permutation: where all rows of a source are, in the order in which they are written.

That is the same for every order of a conversion, so it is made once, in a file of 24 bytes a row (32 where records are
left out) that all of them read; see rowfile.py. While it is made, it takes 32 (40) bytes a row beside it, unless they
fit in memory, and as much again for the largest part of a split that is not shuffled. It has no name, and lies where
temporary files do (TMPDIR); or it has one, in a folder, for later runs and for other machines.

An order reads its rows from the first to the last, so that neither what is in memory nor what is read of this file
for a row grows with their number. Those of a step are read from the source in the order in which they lie there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch
from ..errors import FormatError, MigrationError, SchemaError, SourceChangedError
from ..formats import get_format
from ..formats.base import Heads, Request
from ..formats.framed import BLOCK
from ..openfiles import MOST_FILES, OpenFiles
from ..places import FileRows, Origins
from ..schema import Schema
from ..sources import Source
from ..taking import FileState, in_order, take_rows
from .keysort import KeySort
from .orders import Order, Shuffle
from .rowfile import NUMBERED, PLAIN, Contents, RowFile, open_named, write_named, write_unnamed

MEMORY = 1 << 30
"""The bytes that a shuffle may take where nothing is said."""
LEAST_MEMORY = 1 << 24
OnBad: TypeAlias = Callable[[int, Exception], int]
"""Called with the number of a file that cannot be looked through, and why: how many rows it has, or raises an error."""
_GONE = FileState(-1, -1)
_LARGE = 1 << 40  # bytes that a row counts for at most: what a file claims is not to overflow their sum
_ROWS = 1 << 16  # of the file that are looked at together
_STEP = BLOCK  # bytes of rows that are read together, of up to so many files as stay open
_SHARE = 8  # a step is this part of the memory: rows are there as they were read, decoded, chosen, and encoded


def check_memory(memory: int) -> None:
    """ValueError for less memory than anything can be done in."""
    if memory < LEAST_MEMORY:
        raise ValueError(f"memory={memory}: expected at least {LEAST_MEMORY} (16 MiB)")


@dataclass(frozen=True, slots=True)
class ShuffledRows:
    """The rows of a source in their order. order is one of those that they serve. To be closed."""

    order: Order
    rows: RowFile
    source: Source = field(init=False)
    """The files of all orders that they serve; to make it of 10,000 takes longer than to read the rows of an order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _source(self.order))

    @classmethod
    def of(
        cls, order: Order, memory: int = MEMORY, folder: str | None = None, on_bad: OnBad | None = None
    ) -> ShuffledRows:
        """Look through the source of an order.

        Args:
            memory: the bytes that this may take.
            folder: where they are kept under a name. If they are there already, made of the same files as they are
                now, nothing is looked through.
            on_bad: says how many rows a file has that cannot be looked through; the permutation is then that of all
                rows. None where such a file is an error. Files that were absent before are looked through again.
        """
        if folder is None:
            with _found(order, memory) as found:
                return cls(order, write_unnamed(*found))
        with suppress(FileNotFoundError, MigrationError):  # such as one of other files, or damaged: made again
            known = cls.load(order, folder)
            if on_bad is None or not known.rows.contents.absent:
                return known
            known.close()
        with _found(order, memory, folder, on_bad) as found:
            return cls(order, write_named(_path(order, folder), *found))

    @classmethod
    def load(cls, order: Order, folder: str) -> ShuffledRows:
        """What was made in a folder, for an order that it serves. All of it is compared with its checksum.

        Raises:
            FileNotFoundError: nothing was.
            MigrationError: it is damaged, or made of other files, or one of them was changed (SourceChangedError).
        """
        path = _path(order, folder)
        rows = open_named(path)
        try:
            if rows.contents.identity != _identity(order):
                raise MigrationError(f"{path}: holds the rows of another conversion; remove it, and it is made again")
            for source, state in zip(_source(order).paths, rows.contents.states, strict=True):
                if _is_changed(source, state):
                    raise SourceChangedError(
                        f"{source}: changed since its rows were found; put it back as it was, or run this again"
                    )
            rows.check()
        except BaseException:
            rows.close()
            raise
        return cls(order, rows)

    @classmethod
    def inherit(cls, order: Order, fd: int) -> ShuffledRows:
        """What the process that started this one has made; it is open here as fd."""
        return cls(order, RowFile(open(fd, "rb", buffering=0, closefd=False), "rows in order"))

    def serves(self, order: Order) -> bool:
        """Whether an order has the same source and the same permutation."""
        return share_rows([self.order, order])

    def batches(self, order: Order, request: Request, memory: int = MEMORY) -> Iterator[tuple[Batch, Origins]]:
        """The rows of an order, and where they were read, by random access, as many at a time as memory allows."""
        assert order.shuffle is not None  # it serves this order
        without = self._numbers_of(order.without)
        with closing(OpenFiles(self.source, request)) as files:
            for rows in self._steps(order.shuffle, self._step_bytes(order, memory)):
                if without:
                    rows = rows[~np.isin(self._files_of(rows), without)]
                if not len(rows):  # all were of such files
                    continue
                batch = self._taken(rows, files)
                yield batch, self._numbered(rows) if batch.places is None else batch.places

    def files_of(self, order: Order) -> set[int]:
        """The numbers of the files that rows of an order are in."""
        assert order.shuffle is not None  # it serves this order
        steps = self._steps(order.shuffle, _LARGE)
        return {int(number) for rows in steps for number in np.unique(self._files_of(rows))}

    def _step_bytes(self, order: Order, memory: int) -> int:
        """How much to read together. Of many files, more: each is opened again in a step, for a row of 20 KB or two.

        2000 files of 15 such rows take 12.1 s of processor time in steps of 4 MiB, and 8.9 s in steps of 64 MiB.
        """
        files = 1 if order.decode else len(order.extents)  # decoded images are many times as large as their rows
        return min(_STEP * max(1, files // MOST_FILES), memory // _SHARE)

    def _steps(self, shuffle: Shuffle, most: int) -> Iterator[NDArray[Any]]:
        """The rows of an order, as many together as take most bytes."""
        if shuffle.stop > len(self.rows):
            raise _other_rows(self.order, len(self.rows), shuffle.stop)
        for first in range(shuffle.first, shuffle.stop, _ROWS):
            rows = self.rows.read(first, min(first + _ROWS, shuffle.stop))
            ends = np.cumsum(np.minimum(rows["nbytes"], _LARGE))
            at = before = 0
            while at < len(rows):
                stop = max(at + 1, int(np.searchsorted(ends, before + most, side="right")))
                yield rows[at:stop]
                at, before = stop, int(ends[stop - 1])

    def _files_of(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The number of the file that each row is in."""
        return np.searchsorted(np.array(self.rows.contents.ends), rows["row"], side="right")

    def _records_of(self, rows: NDArray[Any], files: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number that each row has in its file."""
        contents = self.rows.contents
        firsts = np.array((0, *contents.ends), dtype=np.int64)
        numbers: NDArray[np.int64] = rows["record"] if contents.is_numbered else rows["row"] - firsts[files]
        return numbers

    def _numbered(self, rows: NDArray[Any]) -> FileRows:
        files = self._files_of(rows)
        return FileRows(self.source.paths, self._records_of(rows, files), files)

    def _numbers_of(self, paths: Sequence[str]) -> list[int]:
        wanted = set(paths)
        return [number for number, path in enumerate(self.source.paths) if path in wanted] if wanted else []

    def _taken(self, rows: NDArray[Any], files: OpenFiles) -> Batch:
        """These rows, read in the order in which they lie in the source."""
        asked = np.argsort(rows["row"])
        lying = rows.take(asked)
        numbers = self._files_of(lying)
        records = self._records_of(lying, numbers)

        def heads_of(number: int, mine: NDArray[np.int64]) -> Heads:
            each = lying.take(mine)
            return Heads(*map(np.ascontiguousarray, (each["offset"], each["nbytes"], records[mine])))

        batch, places = take_rows(numbers, heads_of, files, self.rows.contents.states)
        return in_order(batch, asked[places])

    def close(self) -> None:
        """Let go of the file."""
        self.rows.close()

    def __enter__(self) -> ShuffledRows:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def share_rows(orders: Sequence[Order]) -> bool:
    """Whether these orders are parts of one permutation of one source."""
    shared = all(order.shuffle is not None and _served(order) == _served(orders[0]) for order in orders)
    return shared and len(orders) > 0


@contextmanager
def _found(
    order: Order, memory: int, folder: str | None = None, on_bad: OnBad | None = None
) -> Iterator[tuple[Contents, Iterator[NDArray[Any]]]]:
    """All rows of the source of an order, in their order, and what they are of."""
    assert order.shuffle is not None  # who asks has looked
    parts = order.shuffle.sorted_parts
    is_numbered = order.on_bad_record == "skip" or order.where is not None
    with KeySort(NUMBERED if is_numbered else PLAIN, memory // 2 if parts else memory, folder) as sort:
        contents = _look_through(order, order.shuffle.next_keys, sort, is_numbered, on_bad)
        rows = sort.sorted_rows()
        if parts and parts[-1] != contents.num_rows:
            raise _other_rows(order, contents.num_rows, parts[-1])
        yield contents, _in_parts(rows, contents, parts, memory // 2, folder) if parts else rows


def _other_rows(order: Order, found: int, planned: int) -> MigrationError:
    return MigrationError(
        f"{order.extents[0][0].path}: found {found} rows in all sources, planned were {planned}; run it again when "
        "nothing writes there"
    )


def _look_through(
    order: Order,
    next_keys: Callable[[int], NDArray[np.uint64]],
    sort: KeySort,
    is_numbered: bool,
    on_bad: OnBad | None,
) -> Contents:
    """Let sort have all rows of a source."""
    source = _source(order)
    states = tuple(_state(path, on_bad) for path in source.paths)
    request = source.request(Schema(), None, lambda skipped: None, order.schema, order.where)
    ends: list[int] = []
    absent: list[int] = []
    count = 0
    for number, (extent, options) in enumerate(source.extents()):
        first = count
        runs = source.format.heads(extent, options, request)
        for heads in (
            runs if on_bad is None else _made_up(runs, partial(on_bad, number), partial(absent.append, number))
        ):
            rows = np.empty(len(heads), dtype=NUMBERED if is_numbered else PLAIN)
            rows["row"] = np.arange(count, count + len(heads))
            rows["offset"], rows["nbytes"] = heads.offsets, heads.sizes
            if is_numbered:
                rows["record"] = rows["row"] - first if heads.numbers is None else heads.numbers
            sort.add(next_keys(len(heads)), rows)
            count += len(heads)
        ends.append(count)
    return Contents(_identity(order), states, tuple(ends), is_numbered, tuple(absent))


def _state(path: str, on_bad: OnBad | None) -> FileState:
    try:
        return FileState.of(path)
    except OSError:
        if on_bad is None:
            raise
        return _GONE


def _is_changed(path: str, state: FileState) -> bool:
    """Whether a file is another than it was. One that is gone is missed where its rows are taken."""
    try:
        return FileState.of(path) != state
    except OSError:
        return False


def _made_up(runs: Iterator[Heads], planned: Callable[[Exception], int], note: Callable[[], None]) -> Iterator[Heads]:
    """The heads of a file; where it cannot be read to its end, in place of the others such as say nothing."""
    count = 0
    try:
        for heads in runs:
            yield heads
            count += len(heads)
    except (FormatError, SchemaError, OSError) as err:
        num_rows = planned(err)
        note()
        for first in range(count, num_rows, _ROWS):
            nothing = np.zeros(min(_ROWS, num_rows - first), dtype=np.int64)
            yield Heads(nothing, nothing, nothing)


def _in_parts(
    rows: Iterator[NDArray[Any]], contents: Contents, parts: Sequence[int], memory: int, folder: str | None
) -> Iterator[NDArray[Any]]:
    """Rows of the permutation, those between two bounds in the order of the files."""
    spread = np.uint64((1 << 64) // max(contents.num_rows, 2))  # keys are to fill their 64 bits, and to fit in them
    waiting = np.empty(0, contents.dtype)
    for first, stop in pairwise(parts):
        with KeySort(contents.dtype, memory, folder) as sort:
            wanted = stop - first
            while wanted:
                if not len(waiting):
                    waiting = next(rows)
                mine, waiting = waiting[:wanted], waiting[wanted:]
                sort.add(mine["row"].astype(np.uint64) * spread, mine)
                wanted -= len(mine)
            yield from sort.sorted_rows()


def _served(order: Order) -> tuple[object, ...]:
    """What the orders have in common that the same rows serve."""
    shuffle = order.shuffle
    of = None if shuffle is None else (shuffle.seed, shuffle.sorted_parts)
    return order.source_format, order.extents, order.on_bad_record, tuple(order.schema), order.where, of


def _identity(order: Order) -> str:
    """A digest of _served."""
    name, extents, *rest = _served(order)
    assert isinstance(extents, tuple)
    files = [(asdict(extent), dict(options)) for extent, options in extents]
    return hashlib.sha256(json.dumps([name, files, rest], sort_keys=True).encode()).hexdigest()


def _path(order: Order, folder: str) -> str:
    """The name in a folder of the rows that serve an order."""
    return os.path.join(folder, f"rows-{_identity(order)[:16]}.order")


def _source(order: Order) -> Source:
    """The files of an order."""
    format = get_format(order.source_format)
    paths = tuple(extent.path for extent, _ in order.extents)
    return Source(format, paths, tuple(format.options(**opts) for _, opts in order.extents), order.on_bad_record)
