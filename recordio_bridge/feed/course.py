"""A source, prepared to be fed: which batches come, in which order, and what is made of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import cached_property
from typing import TypeAlias

from ..arguments import described
from ..batch import Batch
from ..errors import FeedError, SchemaError
from ..schema import Schema
from .dataiter import is_data_iter
from .gauge import Gauge
from .likeness import like_first
from .pump import AHEAD, failure_of
from .schedule import Position, Work
from .state import State, first_of, state_of
from .streams import own_column
from .supply import FeedSource, Wants, make_supply
from .trial import Trial

_log = logging.getLogger(__name__)

Transform: TypeAlias = "Callable[[Batch], Batch | Mapping[str, object]]"
"""Runs on the threads, on each batch; gives a Batch, or a dict of arrays in the order that the fields are to have."""


class Course:
    """The batches of a source from `first` on, and the transform that each passes.

    Args:
        wants: as given to a Feeder; they are checked here.
        transform, state: as of Feeder.
    """

    def __init__(
        self,
        source: FeedSource,
        wants: Wants,
        transform: Transform | None,
        state: Mapping[str, object] | None,
    ) -> None:
        if transform is not None and not callable(transform):
            raise TypeError(f"transform is {described(transform)}: expected a function of a Batch")
        self._source, self._wants = source, wants.checked(state)
        self._transform = transform
        self.gauge = gauge = Gauge()
        self.first = Position(0, 0) if state is None else first_of(state, self._depends_on)
        self.is_single = is_data_iter(source)
        """Whether only one pass can be made at a time."""
        self._supply = make_supply(source, self._wants, lambda rows: gauge.add(skipped=rows))  # not of self: no cycle
        self.first = self._behind(self.first)
        if self.num_batches is not None and self.first.batch > self.num_batches:
            raise FeedError(f"the state is of batch {self.first.batch} of an epoch that has {self.num_batches}")
        self._schema = self._supply.schema if transform is None else None
        self._trial = Trial(self._supply, self.first)
        self._has_warned = False

    @cached_property
    def _depends_on(self) -> dict[str, object]:
        """What a state holds; not before it is asked for, as the ends of all files are read for it."""
        return self._wants.depends_on(self._source)

    @property
    def num_batches(self) -> int | None:
        """Of an epoch; None where that is not known."""
        return self._supply.num_batches

    def count_batches(self) -> int | None:
        """As num_batches, but records are counted, by their heads, where that can be done."""
        return self._supply.count_batches()

    def schema(self, stop: int | None = None) -> Schema:
        """What a batch holds. A transform is tried out on the first batch to know: it is made, and fed, once.

        Args:
            stop: the epoch before which that batch must be.

        Raises:
            FeedError: the first batch could not be read, or the transform failed, as a thread would tell it.
            SchemaError: there is no batch to try it on.
        """
        if self._schema is None:
            try:
                made = self._trial.run(self._transformed, stop)
            except Exception as err:  # a border, like that of a thread: code of others runs in there
                raise failure_of(err) from err
            if made is None:
                over = stop is not None and self.first >= (stop - 1, 1)
                why = f"of epochs={stop} none is left" if over else self._supply.why_none()
                raise SchemaError(f"what the transform makes of batches is not known, as there is none: {why}")
            self._schema = made.schema
        return self._schema

    def work(self, first: Position, stop: int | None) -> Generator[Work, None, None]:
        """The batches from first to the end of the epoch before stop (None: without end), before finish."""
        is_empty = first.batch == 0 and (stop is None or first.epoch < stop)
        with closing(self._trial.work(first, stop)) as work:
            for each in work:
                is_empty = False
                yield each
        if is_empty:
            self.warn_of_nothing()

    def warn_of_nothing(self) -> None:
        """Tell, once and not in each epoch, that there is no batch."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning("there is nothing to feed: %s", self._supply.why_none())

    def finish(self, batch: Batch) -> Batch:
        """What is fed of a batch.

        Raises:
            SchemaError: the transform gave other fields, dtypes or shapes than for the first batch.
        """
        if self._transform is None:
            return batch
        made = self._trial.made_of(batch)
        if made is None:
            made = self._transformed(batch)
        if self._schema is None:
            self._schema = made.schema
        if len(made):
            made = like_first(made, self._schema, "what the transform gave", "that of the first batch")
        if self._wants.drop_remainder and len(made) != len(batch):
            raise SchemaError(
                f"the transform gave {len(made)} rows of {len(batch)}, and drop_remainder promises "
                f"{self._wants.batch_size} in every batch; leave drop_remainder away"
            )
        self.gauge.add(skipped=max(0, len(batch) - len(made)))
        self._supply.limit_jobs(max(1, AHEAD // max(made.nbytes, 1)))  # or threads would idle in one another's turns
        return made

    def _transformed(self, batch: Batch) -> Batch:
        assert self._transform is not None  # who calls has looked
        made = self._transform(batch)
        if not isinstance(made, (Batch, Mapping)):
            raise SchemaError(f"the transform gave a {type(made).__name__}; expected a Batch, or a dict of arrays")
        if not made.keys():
            raise SchemaError("the transform gave no columns; expected a Batch, or a dict of arrays")
        if isinstance(made, Batch):
            return made
        return Batch({name: own_column(value, name, self._schema) for name, value in made.items()})

    def state(self, at: Position) -> State:
        """With the batch `at` to come next."""
        return state_of(self._behind(at), self._depends_on)

    def _behind(self, at: Position) -> Position:
        """The end of an epoch, where it is known to be one, as the beginning of the next."""
        return Position(at.epoch + 1, 0) if at.batch and at.batch == self.num_batches else at

    def close(self) -> None:
        """Let go of what was begun and not fed."""
        self._trial.close()
        self._supply.close()
