"""Who runs the Orders of a migration: this process, processes on this machine, or Beam."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Literal

from ..paths import state_of
from ..temporary import new_run_mark
from .bulk_plan import BulkPlan
from .perform import Performer, job_of, perform
from .pool import Json, OnAnswer, run_jobs
from .spill import Spilled, spilled
from .state import State
from .work import Receipt


@dataclass(frozen=True, slots=True)
class Event:
    """How far a migration is.

    Attributes: phase, "planning" or "writing"; rows written; nbytes of the sources read, of_nbytes in all; files done,
    of_files: sources looked at while it is planned, then files written.
    """

    phase: Literal["planning", "writing"]
    rows: int = 0
    nbytes: int = 0
    of_nbytes: int = 0
    files: int = 0
    of_files: int = 0


OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Engine:
    """Which, and what is passed to it: the pipeline arguments of Beam."""

    name: Literal["local", "beam"] = "local"
    arguments: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.name not in ("local", "beam"):
            raise ValueError(f"engine={self.name!r} (--engine): expected 'local' or 'beam'")
        if self.arguments and self.name != "beam":
            raise ValueError(f"{' '.join(self.arguments)}: arguments behind -- are Beam's, for --engine beam")
        if self.name == "beam":  # an error where that is not installed, before anything is begun
            import_module(".beam", __package__)


def run_pending(plan: BulkPlan, state: State, workers: int, engine: Engine, on_event: OnEvent) -> None:
    """Run the orders that have no receipt."""
    done = state.receipts(plan)
    todo = [number for number in range(len(plan.orders)) if number not in done]
    if not todo:
        return
    count = _Count(plan, done, on_event)
    with spilled(plan, state, can_unpack=engine.name == "local") as shared:
        jobs = _Jobs(plan, todo, state_of(state.plan_path), shared)
        if engine.name == "beam":
            from .beam import run_on_beam

            run_on_beam([json.dumps(jobs[number]) for number in range(len(jobs))], engine.arguments, perform)
        else:
            _run_here(jobs, min(workers, len(jobs)), plan.migration.memory, count)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs for these orders of a plan, each made when its turn comes."""

    plan: BulkPlan
    numbers: Sequence[int]
    begun: tuple[int, int]
    spilled: Spilled | None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, job: int) -> Json:
        return job_of(self.plan, self.numbers[job], self.begun, self.spilled)


def _run_here(jobs: _Jobs, workers: int, memory: int, count: _Count) -> None:
    def tell(job: int, answer: Json) -> None:
        count.add(jobs.numbers[job], answer["rows"])

    def finish(job: int, answer: Json) -> None:
        count.finish(jobs.numbers[job], answer["rows"])

    if workers > 1:
        mark = new_run_mark()
        run_jobs(
            jobs,
            workers,
            mark,
            on_progress=tell,
            on_done=finish,
            kind="perform",
            memory=memory // workers,
            if_one_dies="what is done is kept: go on with --resume (resume=True), if need be with fewer workers",
        )
        return
    with closing(Performer(memory)) as performer:
        for number in range(len(jobs)):
            receipt = performer.perform(jobs[number], partial(_tell_rows, tell, number))
            finish(number, {"rows": receipt.num_rows})


def _tell_rows(tell: OnAnswer, number: int, rows: int) -> None:
    tell(number, {"rows": rows})


class _Count:
    """What is done of a plan."""

    def __init__(self, plan: BulkPlan, done: Mapping[int, Receipt], on_event: OnEvent) -> None:
        self._orders, self._on_event = plan.orders, on_event
        self._of_nbytes = sum(order.nbytes for order in plan.orders)
        self._nbytes = sum(plan.orders[number].nbytes for number in done)
        self._files, self._rows = len(done), sum(receipt.num_rows for receipt in done.values())
        self._under_way: dict[int, int] = {}

    def add(self, number: int, rows: int) -> None:
        """Rows of an order were written."""
        self._under_way[number] = self._under_way.get(number, 0) + rows
        self._tell()

    def finish(self, number: int, rows: int) -> None:
        """An order is done, with so many rows: fewer than were written where it was begun again."""
        self._under_way.pop(number, None)
        self._nbytes += self._orders[number].nbytes
        self._files += 1
        self._rows += rows
        self._tell()

    def _tell(self) -> None:
        parts = (self._part(self._orders[number].nbytes, rows, number) for number, rows in self._under_way.items())
        nbytes = self._nbytes + sum(parts)
        rows = self._rows + sum(self._under_way.values())
        self._on_event(Event("writing", rows, nbytes, self._of_nbytes, self._files, len(self._orders)))

    def _part(self, nbytes: int, rows: int, number: int) -> int:
        """Of an order under way, the bytes that belong to these rows, where its rows are known."""
        of = self._orders[number].num_rows
        return nbytes * min(rows, of) // of if of else 0
