"""The beginning of a migration: the plan, and what would be in its way."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import MigrationError
from ..formats import get_format
from ..links import refuse_rests
from ..paths import exists, free_bytes, is_folder, nbytes_of, real
from ..publishing import refuse_existing
from ..remote import is_remote
from ..temporary import discard_left_over
from ..tfds import labels_name
from . import remarks
from .assembly import assemble
from .bulk_plan import BulkPlan
from .conclude import quarantine_path, refuse_other_end, refuse_other_report, withdraw
from .confines import refuse_outside, within
from .earlier import earlier, only_copy_of
from .engines import Event
from .gather import Found, gather
from .migration import Migration
from .names import refuse_files_for_folders
from .ours import files_beside, states_of
from .provenance import refuse_unknown
from .scout import scout_all
from .state import State

_log = logging.getLogger(__name__)


def make_plan(migration: Migration, workers: int, on_event: Callable[[Event], None]) -> BulkPlan:
    """Look at all sources, and decide who writes what."""
    refuse_file(migration.out)
    found, inside = gather(migration.sources, migration.out)
    refuse_unknown(inside, migration.out)
    for remark in remarks.on_found(found, inside, migration.sources, migration.out):
        _log.warning("%s", remark)
    return planned_of(migration, found, workers, on_event)


def planned_of(
    migration: Migration, found: Sequence[Found], workers: int, on_event: Callable[[Event], None]
) -> BulkPlan:
    """As make_plan, of sources that were found already."""
    nbytes = sum(_nbytes(each.path) for each in found)
    seen = 0

    def count(files: int) -> None:
        nonlocal seen
        seen += files
        on_event(Event("planning", files=seen, of_files=len(found)))

    scouts = scout_all([each.path for each in found], migration.look(nbytes), workers, count)
    for remark in remarks.on_seen(scouts):
        _log.warning("%s", remark)
    return assemble(migration, found, scouts)


def refuse_file(out: str) -> None:
    """NotADirectoryError where the folder to write is a file; of a store, names may be both."""
    if not is_remote(out) and exists(out) and not is_folder(out):
        raise NotADirectoryError(f"{out}: is a file, and a migration writes a folder of files; name another (OUT)")


def _nbytes(path: str) -> int:
    try:
        return nbytes_of(path)
    except OSError:
        return 0  # the scout will say what is wrong with it


def begin(plan: BulkPlan, state: State, *, overwrite: bool) -> BulkPlan:
    """Keep the plan, from where on the migration can be resumed; what was there before makes room.

    Raises:
        FileExistsError: a file of an output is there, and not to be replaced.
        NotADirectoryError: a file is where a folder is to be.
        MigrationError: a file that no migration wrote has the name of its report, or of what says that it is done; or
            what would be replaced was made of other sources, which are gone.
        ValueError: it is one of the sources, or a link to a file that has others beside it.
    """
    refuse_outside(plan.migration.out, touched(plan, state))
    refuse_other_report(plan.migration.out, plan.migration.name)
    refuse_other_end(state.finished_path)
    refuse_files_for_folders(plan.migration.out, [order.target for order in plan.orders])
    _warn_of_room(plan)
    _refuse_outputs(plan, overwrite)
    if overwrite:
        _refuse_only_copy(plan, state)
    stale = _stale(plan, state) if overwrite else []
    _refuse_sources(plan, [*all_files(plan, state), *stale])
    plan = replace(plan, stale=tuple(sorted(set(stale) - set(target_files(plan)))))  # which are replaced one by one
    discard_left_over(stale)
    if overwrite:
        beside = [file for output in plan.outputs for file in files_beside(output)]
        plan = replace(plan, replaceable=states_of([*target_files(plan), *beside, *stale]))
    state.write_plan(plan)  # first, so that who is killed from here on is resumed, and knows what is to go
    state.clear_work()
    withdraw(plan, state)
    return plan


def _warn_of_room(plan: BulkPlan) -> None:
    free = free_bytes(plan.migration.out)
    if free is not None and plan.output_nbytes > free:
        _log.warning(
            "%s: about %d bytes will be written, by a sample, and %d are free there; when the disk is full, make room "
            "and go on with --resume",
            plan.migration.out,
            plan.output_nbytes,
            free,
        )


def refuse_receipts(state: State) -> None:
    """FileExistsError where a migration of this name was begun or is done."""
    what = None
    if exists(state.plan_path):
        what = f"{state.folder}: a migration was begun here and is not done"
    elif exists(state.finished_path):
        what = f"{state.finished_path}: a migration of this name is done here"
    if what is not None:
        raise FileExistsError(
            f"{what}; resume=True (--resume) goes on with what is left of it, overwrite=True (--overwrite) begins again"
        )


def _refuse_outputs(plan: BulkPlan, overwrite: bool) -> None:
    """FileExistsError where a file of an output is there, as of another program."""
    for output in plan.outputs:
        format = get_format(plan.orders[output.first].target_format)
        files = [file for order in plan.orders_of(output) for file in format.files_of(order.target)]
        files += files_beside(output)
        there = [path for path in files if is_folder(os.path.dirname(path))]
        refuse_existing(there, overwrite)
        refuse_rests(format, [order.target for order in plan.orders_of(output)])


def _refuse_only_copy(plan: BulkPlan, state: State) -> None:
    """MigrationError where what is done here may be all that is left of its sources."""
    gone = only_copy_of(plan, state)
    if gone:
        what = f"{gone[0]}, and {len(gone) - 1:,} more, are" if len(gone) > 1 else f"{gone[0]} is"
        raise MigrationError(
            f"{state.finished_path}: of the sources of the migration that is done here, {what} gone: its output may be "
            "all that is left of them. Take another folder or name (--name), or move that output away"
        )


def _refuse_sources(plan: BulkPlan, written: Sequence[str]) -> None:
    """ValueError where a file that would be written, or removed, is a source."""
    sources = {real(found.path): found.path for found in plan.found}
    for path in written:
        source = sources.get(real(path))
        if source is not None:
            raise ValueError(
                f"{path}: would be replaced, and {source} is a source: take another folder or name (--name)"
            )


def _stale(plan: BulkPlan, state: State) -> list[str]:
    """The files of what was here before, in the folder of the output, which go; of others that stay, it is said."""
    goes, stays = earlier(plan, state)
    replaced = {*target_files(plan), *(file for output in plan.outputs for file in files_beside(output))}
    for file in stays:
        if file not in replaced:
            _log.warning(
                "%s: was of the migration that is begun again, and was replaced or changed since; it stays. Remove it "
                "if it is not needed",
                file,
            )
    return within(plan.migration.out, goes)


def target_files(plan: BulkPlan) -> list[str]:
    """The files that orders write, and what may belong to them."""
    return [file for order in plan.orders for file in get_format(order.target_format).files_of(order.target)]


def all_files(plan: BulkPlan, state: State) -> list[str]:
    """All that a run may have been writing when it was killed."""
    beside = [file for output in plan.outputs for file in files_beside(output)]
    report = quarantine_path(plan.migration.out, plan.migration.name)
    kept = [state.plan_path, *map(state.receipt_path, plan.receipt_names)]
    return [*target_files(plan), *plan.stale, *beside, *kept, state.finished_path, report]


def touched(plan: BulkPlan, state: State) -> list[str]:
    """All that a run may write, replace or remove, wherever its plan says that it is."""
    labels = [
        os.path.join(os.path.dirname(output.path), labels_name(name))
        for output in plan.outputs
        if output.dataset is not None
        for name in output.schema
    ]
    outputs = [output.path for output in plan.outputs]  # what the files beside them are named after
    return [*outputs, *all_files(plan, state), *labels, *state.files()]
