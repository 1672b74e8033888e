"""Migrations from their beginning, or from where they were left, to their end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace

from ..arguments import described
from ..errors import FormatError, MigrationError, PlanMismatchError
from ..paths import exists, make_folder
from ..remote import is_remote
from ..scratch import remove_abandoned
from ..temporary import discard_left_over
from .beginning import all_files, begin, make_plan, refuse_file, refuse_receipts
from .borders import without_misread
from .bulk_plan import BulkPlan
from .conclude import Outcome, conclude, refuse_other_end, refuse_other_report, withdraw
from .engines import Engine, Event, run_pending
from .migration import Migration, differences
from .ours import written_by
from .perform import check_sources
from .resuming import if_finished, new_sources, refuse_new_sources, taken_up
from .state import State, mirroring
from .work import Receipt

_log = logging.getLogger(__name__)


def migrate(
    migration: Migration,
    *,
    planned: BulkPlan | None,
    resume: bool,
    overwrite: bool,
    workers: int,
    engine: Engine,
    on_event: Callable[[Event], None],
) -> Outcome:
    """Do a migration, or what is left of it; planned is its plan, where that was made already."""
    _refuse_other_plan(planned, migration)
    state = State(migration.out, migration.name)
    alone = mirroring(migration.out) if migration.mirror else nullcontext()
    remove_abandoned()
    with _made(migration.out), state.locked(), alone:
        refuse_other_report(migration.out, migration.name)
        finished = if_finished(migration, state) if resume else None
        if finished is not None:
            return finished
        refuse_other_end(state.finished_path)
        if not (resume or overwrite):
            refuse_receipts(state)
        plan = taken_up(migration, state, workers, on_event) if resume else None
        if plan is None:
            if planned is not None:
                refuse_new_sources(migration, {each.path for each in planned.found})
            plan = planned or make_plan(migration, workers, on_event)
            plan = begin(plan, state, overwrite=overwrite)
        else:
            withdraw(plan, state)
        for folder in sorted({os.path.dirname(order.target) for order in plan.orders}):
            make_folder(folder)
        try:
            plan = _run(plan, state, workers, engine, on_event)
            if migration.is_permuted:  # each of its orders is of all sources
                check_sources(plan.orders[0].sources)
                check_sources(plan.orders[0].beside, gone=True)
            outcome = conclude(plan, _all_receipts(plan, state), state)
            _warn_of_new(plan)
        finally:
            discard_left_over(all_files(plan, state))
        if outcome.is_complete:
            state.end()
        return outcome


def _run(plan: BulkPlan, state: State, workers: int, engine: Engine, on_event: Callable[[Event], None]) -> BulkPlan:
    """Run the orders that have no receipt; the plan of which all were done in the end."""
    run_pending(plan, state, workers, engine, on_event)
    if len(state.receipts(plan)) < len(plan.orders):  # a worker of a run that died was in the way of the last
        run_pending(plan, state, workers, engine, on_event)
    receipts = state.receipts(plan)
    trusted = without_misread(plan, receipts)
    if trusted is plan:
        return plan
    redone = {number for number in receipts if trusted.orders[number] is not plan.orders[number]}
    trusted = replace(trusted, replaceable={**plan.replaceable, **written_by(plan, receipts, redone)})
    state.write_plan(trusted)  # first, as without receipts nobody would know that these files are ours
    state.forget(plan.receipt_names[number] for number in redone)
    return _run(trusted, state, workers, engine, on_event)


def _warn_of_new(plan: BulkPlan) -> None:
    """Whoever deletes the sources next would lose what appeared in them."""
    try:
        new = new_sources(plan.migration, {each.path for each in plan.found})
    except (FormatError, OSError, ValueError) as err:
        _log.warning("the sources cannot be listed again, to see whether any appeared meanwhile: %s", err)
        return
    if new:
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        _log.warning(
            "%s%s: appeared while the migration ran, and is not in its output; migrate new files apart, to another "
            "folder or name (--name)",
            new[0],
            more,
        )


def _refuse_other_plan(planned: BulkPlan | None, migration: Migration) -> None:
    if planned is None:
        return
    if not isinstance(planned, BulkPlan):
        raise TypeError(f"planned: expected what rb.migrate.plan gave; found {described(planned)}")
    changed = differences(planned.migration.to_json(), migration.to_json())
    if planned.migration.out != migration.out:
        changed.append(f"out was {planned.migration.out!r}, and is {migration.out!r} now")
    if changed:
        raise PlanMismatchError(f"planned is the plan for other arguments: {'; '.join(changed)}")


def _all_receipts(plan: BulkPlan, state: State) -> list[Receipt]:
    """The receipts of all orders, which an engine says that it has done."""
    receipts = state.receipts(plan)
    missing = [number for number in range(len(plan.orders)) if number not in receipts]
    if missing:
        raise MigrationError(
            f"{plan.orders[missing[0]].target}: the engine ended without writing it, and {len(missing) - 1} more; look "
            "at its logs, and go on with --resume"
        )
    return [receipts[number] for number in range(len(plan.orders))]


@contextmanager
def _made(out: str) -> Iterator[None]:
    """The folder of the output, which goes again where nothing was begun in it."""
    refuse_file(out)
    was_there = exists(out)
    make_folder(out)
    try:
        yield
    finally:
        if not was_there and not is_remote(out):
            with suppress(OSError):  # not empty
                os.rmdir(out)
