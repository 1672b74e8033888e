"""What was here before a migration was begun again (--overwrite): the files that it, or a conversion, wrote then.

They go, but for those that are another's by now: the output of another migration, a file of another size or content,
with what belongs to it, or one of which nothing tells that it was written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from ..errors import FormatError
from ..files import Pending, crc_of
from ..formats import get_format
from ..paths import exists, is_beside, join, real, state_of
from ..remote import is_remote
from ..shards import manifest_path
from .bulk_plan import BulkPlan
from .conclude import read_finished
from .ledger import Companion, Shard, read_manifest, written_files
from .ours import crcs_of_manifests, files_beside, other_manifests, states_of, unchanged
from .state import State

_ANOTHERS = -1
"""In place of the bytes that a file had."""
Known: TypeAlias = "tuple[str, int | None, str]"
"""A file, its bytes, None where they are not known, and the data file that it belongs to."""


def earlier(plan: BulkPlan, state: State) -> tuple[list[str], list[str]]:
    """The names of the files that go, whether they are there or not, and the files that stay."""
    outputs = dict.fromkeys(output.path for output in plan.outputs)
    shards = states_of(manifest_path(order.target) for order in plan.orders if order.target not in outputs)
    at_the_same_place = (each for path in [*map(manifest_path, outputs), *shards] for each in _of(path))
    known = [*at_the_same_place, *_begun(plan, state), *_finished(plan, state)]
    states = states_of(file for file, _, _ in known)
    changed = {file for file, nbytes, _ in known if nbytes is not None and file in states and states[file][0] != nbytes}
    stays = {file for file, _, data in known if file in states and not changed.isdisjoint((file, data))}
    goes = [file for file, nbytes, _ in known if file not in stays and nbytes != _ANOTHERS]
    return [file for file in goes if not file.startswith(join(state.folder, ""))], sorted(stays)


def only_copy_of(plan: BulkPlan, state: State) -> list[str]:
    """The sources of what is done here that are gone: what would be replaced holds rows that may be nowhere else."""
    sources: list[str] = []
    for path in crcs_of_manifests(_what_finished(state), plan.migration.out):
        with suppress(FormatError, OSError):  # damaged, or gone by now: nobody knows
            sources += [source.path for source in read_manifest(path).sources]
    taken = {real(found.path) for found in plan.found}  # which were looked at
    return [path for path in dict.fromkeys(sources) if real(path) not in taken and not exists(path)]


def _of(path: str) -> Iterator[Known]:
    """The files that a conversion wrote which has this manifest, if there is one, and their bytes, if known."""
    if not is_beside(path):
        return
    with suppress(FormatError):  # damaged: nobody knows
        manifest = read_manifest(path)
        folder, format = os.path.dirname(path), get_format(manifest.format)
        _, written_ns = state_of(path)
        known: list[Shard | Companion] = [*manifest.shards]
        known += [file for shard in manifest.shards for file in shard.companions]
        sizes = {join(folder, each.name): _nbytes_of(join(folder, each.name), each, written_ns) for each in known}
        owners = {file: data for data in manifest.paths for file in format.files_of(data)}
        for file in [*written_files(manifest), *manifest.files[-2:]]:
            yield file, sizes.get(file), owners.get(file, file)


def _nbytes_of(path: str, known: Shard | Companion | Pending, written_ns: int) -> int:
    """The bytes of a file; _ANOTHERS where one is there that is as large, newer than what tells of it, and another."""
    if is_remote(path) or not exists(path) or state_of(path)[0] != known.nbytes:
        return known.nbytes
    return known.nbytes if state_of(path)[1] <= written_ns or crc_of(path) == known.crc32c else _ANOTHERS


def _begun(plan: BulkPlan, state: State) -> Iterator[Known]:
    """The same of a migration of the same name that was begun."""
    try:
        begun = state.read_plan()
    except FormatError:  # damaged: nobody knows
        return
    if begun is None or begun.migration.out != plan.migration.out:  # it was copied, and is of the other
        return
    receipts = state.whole_receipts(begun)
    sizes: dict[str, int] = {}
    for each in receipts.values():
        for file, written_ns in zip(each.files, each.times or (0,) * len(each.files), strict=True):
            sizes[file.final] = _nbytes_of(file.final, file, written_ns)
    crcs = crcs_of_manifests(_what_finished(state), begun.migration.out)
    others = set(other_manifests(begun, crcs, receipts))
    for output in begun.outputs:
        format = get_format(begun.orders[output.first].target_format)
        is_anothers = manifest_path(output.path) in others
        for order in begun.orders_of(output):
            for path in format.files_of(order.target):  # without a receipt it was not written, or was just named
                nbytes = None if path != order.target and order.target in sizes else _ANOTHERS
                yield path, _ANOTHERS if is_anothers else sizes.get(path, nbytes), order.target
        for path in files_beside(output):
            yield path, _ANOTHERS if is_anothers else None, path
    yield from ((path, None, path) for path in unchanged(begun.stale, begun.replaceable))


def _finished(plan: BulkPlan, state: State) -> Iterator[Known]:
    """The same of one that is done."""
    for path, crc in crcs_of_manifests(_what_finished(state), plan.migration.out).items():
        if exists(path):
            yield from _of(path) if crc_of(path) == crc else [(path, _ANOTHERS, path)]


def _what_finished(state: State) -> Mapping[str, Any]:  # Any: what a JSON object holds
    with suppress(FormatError):  # damaged: nobody knows
        return read_finished(state.finished_path) or {}
    return {}
