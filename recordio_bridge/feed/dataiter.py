"""MXNet's iterators as a source of batches.

Those that MXNet writes in Python (mx.io.NDArrayIter) tell the padding of their last batch, and a reset brings them back
to the beginning. Those that it writes in C++ (mx.io.ImageRecordIter, CSVIter) are another matter, in mxnet 1.9.1:

    they fill up the last batch of an epoch with the first rows of the next one, which then begins behind these
    (round_batch=True, the default);
    what they say of padding is right in their first epoch alone, as they use their batches again without clearing it;
    a reset before the end of an epoch goes back to the beginning, but where the last batch was read ahead: there, the
    rows that were in it are lost.

So of these the rows of the first epoch are counted, and what the last batch of an epoch holds beyond them is given at
the beginning of the next; and they must not have been used before. With round_batch=False, ImageRecordIter fills up
the last batch with arbitrary memory, and says nothing of it: nobody can tell these rows from others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeGuard

from numpy.typing import NDArray

from ..batch import Batch, as_column
from ..errors import FeedError, SchemaError

_MEMBERS = ("provide_data", "provide_label", "reset", "next")
_log = logging.getLogger(__name__)
_FAR = 64  # batches; more than MXNet's iterators read ahead (prefetch_buffer is 4)


class DataIter(Protocol):
    """What we use of mx.io.DataIter."""

    @property
    def provide_data(self) -> Sequence[Any]: ...  # Any: mx.io.DataDesc

    @property
    def provide_label(self) -> Sequence[Any]: ...

    def reset(self) -> None: ...

    def next(self) -> Any: ...  # Any: mx.io.DataBatch


def is_data_iter(source: object) -> TypeGuard[DataIter]:
    """Whether this is an iterator of MXNet, or its like; MXNet need not be imported to know."""
    return all(hasattr(source, name) for name in _MEMBERS)


def missing_of_data_iter(source: object) -> str:
    """The names that something lacks to be one, where it comes near; "" where it does not."""
    missing = [name for name in _MEMBERS if not hasattr(source, name)]
    return ", ".join(missing) if "next" not in missing and "reset" not in missing else ""


def from_data_iter(source: DataIter) -> FromDataIter:
    """Its batches, by what kind of iterator it is."""
    return FromNative(source) if hasattr(source, "first_batch") else FromDataIter(source)


class FromDataIter:
    """The batches of an mx.io.DataIter, with its names and its layout, without the padding of the last one.

    Each pass begins with a reset, so there is one pass at a time.

    Raises:
        SchemaError: it gives no batch.
    """

    def __init__(self, source: DataIter) -> None:
        self._source = source
        self._names = [str(each[0]) for each in (*source.provide_data, *source.provide_label)]
        self._pass = 0
        first = self._first()
        if first is None:
            raise SchemaError("the DataIter gave no batch, so its dtypes and shapes are not known")
        self.schema = first.schema

    def _first(self) -> Batch | None:
        return next(self(), None)

    def run_to(self, epoch: int) -> None:
        """Run through the epochs before this one, as their random numbers decide on its order."""
        if epoch:
            _log.info("the DataIter is run through %d epochs, to go on behind them", epoch)
        for _ in range(epoch):
            for _ in self():
                pass

    def __call__(self) -> Iterator[Batch]:
        self._pass += 1
        mine = self._pass
        self._source.reset()
        while (given := self._next()) is not None:
            batch, padding = given
            yield batch.slice(0, len(batch) - padding) if padding else batch
            self._check(mine)

    def _check(self, mine: int) -> None:
        if self._pass != mine:
            raise FeedError("another pass over this DataIter has begun, and it can do one at a time")

    def _next(self) -> tuple[Batch, int] | None:
        """The next batch, and how many of its rows are padding, as far as is said; None at the end."""
        try:
            given = self._source.next()
        except StopIteration:
            return None
        arrays: list[NDArray[Any]] = [array.asnumpy() for array in (*given.data, *(given.label or []))]
        named = zip(self._names, arrays, strict=True)
        return Batch({name: as_column(array, name, None) for name, array in named}), given.pad or 0


class FromNative(FromDataIter):
    """As FromDataIter, of an iterator that MXNet writes in C++.

    Raises:
        FeedError: it was used before.
    """

    _ahead: tuple[Batch, int] | None = None
    """The first batch, which was read for its schema."""
    _kept: Batch | None = None
    """Rows of the epoch to come that were in the last batch of the one before."""
    _num_rows: int | None = None
    """Of an epoch, once one was seen to its end."""
    _is_open = False
    """Whether an epoch was begun, and not yet seen to its end; then:"""
    _seen = 0
    """its rows so far,"""
    _last: tuple[Batch, int] | None = None
    """and their last batch."""

    def _first(self) -> Batch | None:
        if vars(self._source)["first_batch"] is None:
            raise FeedError(
                f"this {type(self._source).__name__} was used, or reset, before, and MXNet cannot go back to the "
                "beginning without losing the rows that it has read ahead; make a new one"
            )
        self._ahead = self._next()
        return None if self._ahead is None else self._ahead[0]

    def __call__(self) -> Iterator[Batch]:
        self._pass += 1
        mine = self._pass
        if self._is_open:
            self._see_the_end()
        if self._ahead is None:
            self._source.reset()
        before, self._kept = self._kept, None
        self._is_open, self._seen, self._last = True, 0 if before is None else len(before), None
        while (given := self._ahead or self._next()) is not None:
            self._ahead = None
            self._note(given)
            if before is not None:
                yield before
                self._check(mine)
            before = given[0]
        if before is not None:
            yield before.slice(0, len(before) - self._end())

    def _note(self, given: tuple[Batch, int]) -> None:
        self._seen += len(given[0])
        self._last = given

    def _end(self) -> int:
        """How many rows of the last batch belong to the next epoch; they are kept for it."""
        self._is_open = False
        if self._last is None:
            return 0
        last, padding = self._last
        if self._num_rows is None:
            self._num_rows = self._seen - padding
        over = min(max(self._seen - self._num_rows, 0), len(last))
        self._kept = last.slice(len(last) - over, len(last)) if over else None
        return over

    def _see_the_end(self) -> None:
        """Read on to the end of an epoch that was broken off; where that is far, a reset will do."""
        for _ in range(_FAR):
            given = self._next()
            if given is None:
                self._end()
                return
            self._note(given)
        self._kept = None
