"""Which batch comes when: epochs of a Supply one after another, from any batch on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..batch import Batch
from ..errors import FeedError
from ..schema import Schema


class Position(NamedTuple):
    """A batch: the number of its epoch, and its own in there, both from 0."""

    epoch: int
    batch: int


position: ContextVar[Position] = ContextVar("position")
"""In a transform, position.get() is the batch that it is given, and at the beginning of a callable that is the source,
the first one of the epoch: what seeds random choices, so that they are the same in every run, also behind a state."""


@dataclass(frozen=True, slots=True)
class Job:
    """Makes the next num_batches batches of an epoch. Jobs of one epoch may run at the same time."""

    num_batches: int
    make: Callable[[], Sequence[Batch]]


class Supply(Protocol):
    """The batches of each epoch of a source, all of one schema."""

    @property
    def schema(self) -> Schema: ...

    @property
    def num_batches(self) -> int | None:
        """Of an epoch; None where that is not known before its end."""

    def count_batches(self) -> int | None:
        """num_batches, for which the heads of all records are read where that is what it takes."""

    def why_none(self) -> str:
        """Why an epoch had no batch."""

    def jobs(self, epoch: int, first: int) -> Generator[Job, None, None]:
        """What makes the batches of an epoch from the first-th on, in their order."""

    def limit_jobs(self, num_batches: int) -> None:
        """Make Jobs of so many batches at most, from here on."""

    @property
    def close(self) -> Callable[[], None]:
        """Closes the files that were opened for it."""


class Work(NamedTuple):
    """A Job, and where its first batch stands."""

    first: Position
    job: Job


@dataclass(slots=True)
class Schedule:
    """The batches of a supply from first on, to the end of the epoch before stop (None: without end)."""

    supply: Supply
    first: Position
    stop: int | None
    """May be set to another while the work goes on: it is looked at between epochs."""

    def work(self) -> Generator[Work, None, None]:
        """The jobs in their order.

        Raises:
            FeedError: an epoch has no batch, for which a feed without end would be waited for.
        """
        epoch, batch = self.first
        while self.stop is None or epoch < self.stop:
            is_empty = batch == 0
            with closing(self.supply.jobs(epoch, batch)) as jobs:
                for job in jobs:
                    is_empty = False
                    yield Work(Position(epoch, batch), job)
                    batch += job.num_batches
            if is_empty and self.stop is None:
                raise FeedError(
                    f"epoch {epoch} has no batch: {self.supply.why_none()}; recordio-bridge info shows what is there"
                )
            epoch, batch = epoch + 1, 0
