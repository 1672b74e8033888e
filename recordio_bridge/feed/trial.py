"""A transform, tried on the first batch before it is fed, to know what it makes of all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import NamedTuple

from ..batch import Batch
from .schedule import Job, Position, Schedule, Supply, Work, position


class _Begun(NamedTuple):
    schedule: Schedule
    work: Work
    """The first of it."""
    rest: Generator[Work, None, None]


class Trial:
    """Makes and transforms the first batch from a position on; whoever takes the work from there is given these.

    So no batch is made twice, nor lost, where an iterator gives it once.
    """

    def __init__(self, supply: Supply, first: Position) -> None:
        self._supply, self._first = supply, first
        self._begun: _Begun | None = None
        self._tried: tuple[Batch, Batch] | None = None

    def run(self, transform: Callable[[Batch], Batch], stop: int | None) -> Batch | None:
        """What the transform makes of the first batch; None where there is none before the epoch stop."""
        begun = self._begun = self._begun or self._begin(stop)
        if begun is None:
            return None
        first, job = begun.work
        batches = job.make()
        self._begun = begun._replace(work=Work(first, Job(job.num_batches, lambda: batches)))
        at = position.set(first)
        try:
            made = transform(batches[0])
        finally:
            position.reset(at)
        self._tried = batches[0], made
        return made

    def _begin(self, stop: int | None) -> _Begun | None:
        behind = self._first.epoch + (2 if self._first.batch else 1)  # the position may be the end of its epoch
        schedule = Schedule(self._supply, self._first, behind if stop is None else min(stop, behind))
        rest = schedule.work()
        work = next(rest, None)
        return None if work is None else _Begun(schedule, work, rest)

    def made_of(self, batch: Batch) -> Batch | None:
        """What was made of this very batch when it was tried; it is told once."""
        tried = self._tried
        if tried is None or tried[0] is not batch:
            return None
        self._tried = None
        return tried[1]

    def work(self, first: Position, stop: int | None) -> Generator[Work, None, None]:
        """That of a Schedule, where it was begun with what was begun."""
        begun = self._begun
        if begun is None or first not in (self._first, begun.work.first):
            yield from Schedule(self._supply, first, stop).work()
        elif stop is None or begun.work.first.epoch < stop:  # else it waits for who goes on behind stop
            self._begun = None
            begun.schedule.stop = stop
            with closing(begun.rest):
                yield begun.work
                yield from begun.rest

    def close(self) -> None:
        """Let go of what was begun and not taken."""
        if self._begun is not None:
            self._begun.rest.close()
            self._begun = None
