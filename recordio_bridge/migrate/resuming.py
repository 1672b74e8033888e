"""Taking up a migration where it was left: only where it is still the same, of the same sources."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..errors import FormatError, MigrationError, PlanMismatchError, SchemaError, SourceChangedError
from ..files import crc_of
from ..paths import exists, state_of
from ..remote import is_remote
from ..temporary import discard_left_over
from .beginning import all_files, planned_of, target_files, touched
from .bulk_plan import BulkPlan
from .conclude import Outcome, read_finished
from .confines import refuse_outside
from .engines import Event
from .gather import gather
from .ledger import Companion, Manifest, Shard, read_manifest
from .migration import Migration, differences
from .orders import distinct
from .ours import crcs_of_manifests, refuse_other_manifests, written_by
from .perform import check_sources
from .provenance import refuse_unknown
from .quarantine import quarantined_from_json
from .repair import is_changed, repaired, seen_now
from .state import State

_log = logging.getLogger(__name__)


def if_finished(migration: Migration, state: State) -> Outcome | None:
    """What a migration came to that is done already, with nothing in quarantine; None for any other.

    Raises:
        PlanMismatchError: another one is done here.
        SourceChangedError: a source is another file now.
    """
    if exists(state.plan_path):
        return None
    finished = read_finished(state.finished_path)
    if finished is None:
        return None
    content: dict[str, Any] = finished  # Any: what a JSON object holds
    _refuse_other(state.finished_path, content["asked"], migration)
    crcs = crcs_of_manifests(content, migration.out)
    paths = list(crcs)
    for path in paths:
        if not exists(path):
            raise _loss(path, "is gone", migration)
        if crc_of(path) != crcs[path]:
            raise _loss(path, "is another by now, as of a migration or a conversion to the same name", migration)
    manifests = tuple(read_manifest(path) for path in paths)
    quarantine = tuple(map(quarantined_from_json, content["quarantine"]))
    if quarantine:
        raise MigrationError(
            f"{state.folder}: is gone, and with it what it takes to go on with what is in quarantine; begin again with "
            "--overwrite"
        )
    known = {source.path for manifest in manifests for source in manifest.sources}
    refuse_new_sources(migration, known)
    for manifest in manifests:
        _refuse_loss(manifest, state, migration)
        check_sources(manifest.sources, by_time=False)
    return Outcome(manifests, ())


def _refuse_loss(manifest: Manifest, state: State, migration: Migration) -> None:
    """MigrationError where a file of an output that was done is gone, has another size, or was changed since."""
    written: list[Shard | Companion] = [*manifest.shards, *manifest.neighbours]
    written += [file for shard in manifest.shards for file in shard.companions]
    known = {file.name: (file.nbytes, file.crc32c) for file in written}
    _, done_ns = state_of(state.finished_path)
    for path in manifest.files:
        if not exists(path):
            raise _loss(path, "is gone", migration)
        now, mtime_ns = state_of(path)
        nbytes, crc = known.get(os.path.basename(path), (now, None))
        if now != nbytes:
            raise _loss(path, f"has {now} bytes where it had {nbytes}", migration)
        if mtime_ns > done_ns and crc is not None and not is_remote(path) and crc_of(path) != crc:
            raise _loss(path, "was changed since", migration)


def _loss(path: str, what: str, migration: Migration) -> MigrationError:
    return MigrationError(
        f"{path}: was written, and {what}; `recordio-bridge verify {migration.out}` says what else is missing, and "
        "--overwrite writes all of it again"
    )


def _refuse_other(path: str, before: dict[str, object], migration: Migration) -> None:
    changed = differences(before, migration.to_json())
    if changed:
        raise PlanMismatchError(
            f"{path}: was made for other options: {'; '.join(changed)}. Give those it was made for, or begin again "
            "with the new ones (--overwrite)"
        )


def taken_up(migration: Migration, state: State, workers: int, on_event: Callable[[Event], None]) -> BulkPlan | None:
    """The plan that was begun, with the sources that were repaired since; None where there is none.

    Raises:
        PlanMismatchError: it was made for other options.
        SourceChangedError: a source that was not in quarantine is another file now.
    """
    plan = state.read_plan()
    if plan is None:
        return None
    _refuse_other(state.plan_path, plan.migration.to_json(), migration)
    if plan.migration.out != migration.out:
        raise PlanMismatchError(
            f"{state.plan_path}: was made for {plan.migration.out}, and is at {migration.out} now: move it back, or "
            "begin again (--overwrite)"
        )
    plan = replace(plan, migration=replace(plan.migration, memory=migration.memory))
    refuse_outside(migration.out, touched(plan, state), state.plan_path)
    discard_left_over(all_files(plan, state))
    refuse_new_sources(migration, {each.path for each in plan.found})
    known = state.whole_receipts(plan)
    finished: dict[str, Any] = {}  # Any: what a JSON object holds
    with suppress(FormatError):  # damaged: nobody knows
        finished = read_finished(state.finished_path) or {}
    refuse_other_manifests(plan, crcs_of_manifests(finished, plan.migration.out), known)
    receipts = state.of_files_there(known)
    bad = {each.path for receipt in receipts.values() for each in receipt.quarantine}
    bad |= {each.path for each in plan.quarantine}
    check_sources([file for file in plan.files if file is not None and file.path not in bad], gone=True)
    unaffected = [order for order in plan.orders if not bad & order.paths] if bad else plan.orders
    beside = distinct(order.beside for order in unaffected)
    check_sources(list(dict.fromkeys(file for files in beside for file in files)), gone=True)
    renewed = _renewed(plan, bad, workers, on_event)
    names, wanted = plan.receipt_names, set(renewed.receipt_names)
    good = {number for number, receipt in receipts.items() if not receipt.quarantine and names[number] in wanted}
    redone = known.keys() - good
    if redone or renewed is not plan:
        replaceable = {**plan.replaceable, **written_by(plan, known, redone)}
        renewed = replace(renewed, replaceable=replaceable)
        state.write_plan(renewed)  # first, as without receipts nobody would know that these files are ours
    state.forget(names[number] for number, receipt in receipts.items() if receipt.quarantine)
    return renewed


def _renewed(plan: BulkPlan, bad: set[str], workers: int, on_event: Callable[[Event], None]) -> BulkPlan:
    """The plan with the sources that were in quarantine as they are now; itself where they are as they were.

    Planned afresh where that leaves all orders without them as they are, so that in the end nothing is seen of it all;
    else repaired in places.
    """
    now = {path: seen_now(plan, path) for path in sorted(bad)}
    changed = [seen for seen in now.values() if is_changed(plan, seen)]
    if not changed:
        return plan
    if plan.migration.is_permuted and not any(seen.error is None for seen in changed):
        reasons = {seen.path: seen.error for seen in changed if seen.error is not None}
        return replace(plan, lacking=tuple(reasons.get(each.path, each) for each in plan.lacking))
    try:
        fresh = planned_of(plan.migration, plan.found, workers, on_event)
    except (FormatError, SchemaError):
        if plan.migration.is_permuted:
            raise
        return repaired(plan, changed)
    refuse_outside(fresh.migration.out, target_files(fresh))
    gone = set(target_files(plan)) - set(target_files(fresh))
    fresh = replace(fresh, stale=(*plan.stale, *sorted(gone)), run=plan.run)
    if plan.migration.is_permuted:
        place = plan.migration.out
        _log.warning("%s: sources were repaired, which makes another permutation: all is written again", place)
        return fresh
    digests = {order.digest for order in fresh.orders}
    if all(order.digest in digests for order in plan.orders if not bad & order.paths):
        return fresh
    return repaired(plan, changed)


def refuse_new_sources(migration: Migration, known: set[str]) -> None:
    """SourceChangedError where there are sources that the plan did not know."""
    new = new_sources(migration, known)
    if new:
        more = f", nor were {len(new) - 1} more" if len(new) > 1 else ""
        raise SourceChangedError(
            f"{new[0]}: was not there when the plan was made{more}; migrate new files apart, to another folder or "
            "name (--name), or begin again (--overwrite)"
        )


def new_sources(migration: Migration, known: Collection[str]) -> list[str]:
    """The sources that a plan does not know; ValueError where some lie in the output that no migration wrote there."""
    with suppress(FileNotFoundError):  # what is gone is seen where it is looked at
        found, inside = gather(migration.sources, migration.out)
        refuse_unknown(inside, migration.out)
        return [each.path for each in found if each.path not in known]
    return []
