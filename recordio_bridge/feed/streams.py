"""Supplies of rows that come as they come: files from their beginning, iterators of users, MXNet's DataIter."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TypeAlias

import numpy as np

from ..batch import Batch, Column, Ragged, as_column
from ..errors import FeedError, SchemaError
from ..schema import Schema
from .likeness import like_first
from .rows import Cut, Select, Shard, nothing_to_close
from .schedule import Job, Position, position

Columns: TypeAlias = "Batch | Mapping[str, object] | Sequence[object]"
"""What an iterator of a user gives: a Batch, which is taken as it is; a dict or a tuple of arrays, which are copied."""
DataIterator: TypeAlias = "Callable[[], Iterable[Columns]]"


_FIRST = "the first item"

Pass: TypeAlias = Callable[[int, int], Iterator[Batch]]
"""Begins a pass over a source: called with the number of the epoch, and of the rows to leave out at its beginning. Its
Batches may have any number of rows."""


class StreamSupply:
    """Batches of what a Pass gives, one after another; one pass an epoch.

    Args:
        num_rows: of a pass, where that is known.
        count: finds it out where it is not.
    """

    def __init__(
        self,
        start: Pass,
        schema: Schema,
        cut: Cut,
        num_rows: int | None = None,
        count: Callable[[], int] | None = None,
    ) -> None:
        self.schema = schema
        self.close: Callable[[], None] = nothing_to_close
        self._start, self._cut, self._count = start, cut, count
        self._num_rows = num_rows or 0  # of a pass, as far as is known
        self.num_batches = None if num_rows is None else cut.num_batches(num_rows)

    def count_batches(self) -> int | None:
        if self.num_batches is None and self._count is not None:
            self._num_rows = self._count()
            self.num_batches = self._cut.num_batches(self._num_rows)
        return self.num_batches

    def jobs(self, epoch: int, first: int) -> Generator[Job, None, None]:
        """Batches that are there: the rows are read in here."""
        rows = self._start(epoch, first * self._cut.batch_size)
        self._num_rows = 0
        try:
            for batch in self._cut.batches(self._counted(rows)):
                yield Job(1, partial(_there, batch))
        finally:
            if isinstance(rows, Generator):
                rows.close()

    def _counted(self, rows: Iterable[Batch]) -> Iterator[Batch]:
        for batch in rows:
            self._num_rows += len(batch)
            yield batch

    def why_none(self) -> str:
        return self._cut.why_none(self._num_rows)

    def limit_jobs(self, num_batches: int) -> None:
        """They have one."""


def _there(batch: Batch) -> Sequence[Batch]:
    return [batch]


class Streamed:
    """A Pass that reads from the beginning, for a shard: of the rows, every count-th from index on."""

    def __init__(self, rows: Callable[[], Iterator[Batch]], shard: Shard, select: Select) -> None:
        self._rows, self._shard, self._select = rows, shard, select

    def __call__(self, epoch: int, first_row: int) -> Generator[Batch, None, None]:
        index, count = self._shard
        rows, seen = self._rows(), 0
        try:
            for batch in _begun_at(epoch, rows):
                mine = np.arange((index - seen) % count, len(batch), count)
                wanted = mine[first_row:]
                first_row, seen = max(0, first_row - len(mine)), seen + len(batch)
                if len(wanted):
                    yield self._select(batch if len(wanted) == len(batch) else batch.take(wanted))
        finally:
            if isinstance(rows, Generator):
                rows.close()


def _begun_at(epoch: int, rows: Iterator[Batch]) -> Iterator[Batch]:
    """The rows, which are told the epoch as they begin."""
    with _told(epoch):
        first = next(rows, None)
    if first is not None:
        yield first
        yield from rows


@contextmanager
def _told(epoch: int) -> Iterator[None]:
    """In here, position.get() is the beginning of an epoch."""
    before = position.set(Position(epoch, 0))
    try:
        yield
    finally:
        position.reset(before)


# ---- iterators of users ----


class Arrays:
    """A callable that gives an iterator of Batches, dicts or tuples of arrays, such as the posts' data_iterator.

    The dtypes and shapes are those of the first item, which is kept for the first pass.

    Args:
        fields: names for the positions of tuples; or which columns of dicts are wanted.
        first_epoch: that of the first pass.

    Raises:
        SchemaError: an item is none of these, or does not fit the first.
        FeedError: a later pass has no item.
        TypeError: the callable gives no iterator.
    """

    def __init__(self, source: DataIterator, fields: Sequence[str] | None, first_epoch: int = 0) -> None:
        self._source, self._fields = source, fields
        self._passes = 1
        try:
            with _told(first_epoch):
                items = _begun(source)
                first = next(items)
        except StopIteration:
            raise SchemaError(
                "the iterator gave nothing, so its dtypes and shapes are not known; expected batches"
            ) from None
        self._first: Batch | None = as_batch(first, fields, None)
        self._rest: Iterator[Columns] | None = iter(items)
        self.schema = self._first.schema

    def __call__(self) -> Iterator[Batch]:
        if self._first is not None and self._rest is not None:
            begun: Iterator[Columns] = chain([self._first], self._rest)
            self._first = self._rest = None
        else:
            begun = _begun(self._source)
            self._passes += 1
        number = -1
        try:
            for number, item in enumerate(begun):
                yield as_batch(item, self._fields, self.schema, number)
            if number < 0:  # the first item of the first pass is there
                raise FeedError(
                    f"the iterator gave nothing in pass {self._passes}, and something in the first; the callable must "
                    "give a new iterator at each call, not one that was used"
                )
        finally:
            if isinstance(begun, Generator):
                begun.close()


def _begun(source: DataIterator) -> Iterator[Columns]:
    items: object = source()
    try:
        return iter(items)  # type: ignore[call-overload, no-any-return]  # what the user's function gave: see below
    except TypeError as err:
        found = "None" if items is None else f"an object of type {type(items).__name__}"
        raise TypeError(
            f"the callable gave {found}; expected an iterator of batches: does it yield, or lack a return?"
        ) from err


def as_batch(item: Columns, fields: Sequence[str] | None, schema: Schema | None, number: int = 0) -> Batch:
    """A Batch of what an iterator gave. Dicts and tuples are copied, as it may fill their arrays again; a Batch is
    taken as it is, and what it holds is not to be written to any more.

    Args:
        schema: what it must fit; None for the first item, which says it.
        number: of the item, for messages.
    """
    if isinstance(item, (Batch, Mapping, tuple, list)) and not (item.schema if isinstance(item, Batch) else item):
        raise SchemaError(
            f"item {number} of the iterator has no columns; expected a Batch, or a dict or tuple of arrays"
        )
    if isinstance(item, Batch):
        batch = item if fields is None else item.pick(list(fields))
        return batch if schema is None else like_first(batch, schema, f"item {number} of the iterator", _FIRST)
    columns = _named(item, fields, number)
    try:
        made = Batch({name: own_column(value, name, schema) for name, value in columns.items()})
    except SchemaError as err:
        raise SchemaError(f"item {number} of the iterator: {err}", field=err.field, row=err.row) from err
    return made if schema is None else like_first(made, schema, f"item {number} of the iterator", _FIRST)


def _named(item: Columns, fields: Sequence[str] | None, number: int) -> dict[str, object]:
    """Columns by name."""
    if isinstance(item, Mapping):
        names = list(item) if fields is None else list(fields)
        missing = [name for name in names if name not in item]
        if missing:
            there = ", ".join(map(str, item))
            raise SchemaError(f"item {number} of the iterator has no {missing[0]!r}; it has {there}", field=missing[0])
        return {name: item[name] for name in names}
    if isinstance(item, np.ndarray):
        item = (item,)
    if not isinstance(item, (tuple, list)):
        raise SchemaError(
            f"item {number} of the iterator is a {type(item).__name__}; expected a Batch, or a dict or tuple of arrays"
        )
    names = [str(position) for position in range(len(item))] if fields is None else list(fields)
    if len(names) != len(item):
        raise SchemaError(f"item {number} of the iterator has {len(item)} arrays, and fields= names {len(names)}")
    return dict(zip(names, item, strict=True))


def own_column(value: object, name: str, schema: Schema | None) -> Column:
    """A column in memory that nobody else writes to.

    Args:
        schema: of the first batch. Where rows of that differ in length, a later batch may have only equal ones.
    """
    field = None if schema is None else schema.find(name)
    value = value.copy() if isinstance(value, np.ndarray) else value
    column = _copied(value) if isinstance(value, Ragged) else as_column(value, name, None)
    if field is None or field.shape != (None,) or isinstance(column, Ragged) or column.ndim != 2:
        return column
    is_like = column.dtype.name == field.dtype or not column.size  # rows without a value have no dtype
    return as_column(value, name, field) if is_like else column


def _copied(column: Ragged) -> Ragged:
    own = column.compact()
    values = _copied(own.values) if isinstance(own.values, Ragged) else own.values.copy()
    return Ragged(values, own.starts, own.lengths, own.dtype)
