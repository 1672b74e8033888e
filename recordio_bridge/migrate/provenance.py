"""Which files were written by a migration, or a conversion: as manifests beside them say, and plans that are begun."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress

from ..companions import FINISHED
from ..errors import FormatError
from ..paths import join, list_folder, nbytes_of, real
from ..remote import is_remote
from ..shards import manifest_path, sidecar_candidates
from .conclude import read_finished
from .ledger import read_manifest
from .ours import crcs_of_manifests
from .state import State
from .unfinished import SUFFIX, is_unfinished

_SHOWN = 5  # names in an error


def manifests_of(paths: Iterable[str]) -> dict[str, str]:
    """The manifest beside a file that has its name, or that of the set that it is a shard of; by the file."""
    names: dict[str, set[str]] = {}  # of each folder
    found: dict[str, str] = {}
    for path in paths:
        folder = os.path.dirname(path)
        if folder not in names:
            names[folder] = {name for name in names_in(folder) if name.endswith(".manifest.json")}
        for output in sidecar_candidates(path) if names[folder] else []:
            if os.path.basename(manifest_path(output)) in names[folder]:
                found[path] = manifest_path(output)
    return found


def refuse_unknown(inside: Sequence[str], out: str) -> None:
    """ValueError where files of the sources lie in the folder of the output, and no migration wrote them there.

    Those that one wrote are passed over in silence: the output of a migration may lie in the folder of its sources.
    """
    paths = {real(path): path for path in inside if is_remote(path) or os.path.isfile(path)}  # no dead link, no folder
    written: dict[str, int | None] = {}
    for folder in folders_up((path, real(out)) for path in paths):
        written.update(_written_in(folder, paths))
    unknown = [path for place, path in paths.items() if place not in written or not _may_be(path, written[place])]
    if unknown:
        more = f", and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        raise ValueError(
            f"{len(unknown):,} of the files of the sources lie in {out}, where the output goes, and no migration wrote "
            f"them there: {', '.join(unknown[:_SHOWN])}{more}; give the output a folder of its own, or move them away"
        )


def folders_up(paths: Iterable[tuple[str, str]]) -> list[str]:
    """The folders in which paths lie, each up to its own root."""
    folders: dict[str, None] = {}
    for path, root in paths:
        folder = os.path.dirname(path)
        while folder not in folders:
            folders[folder] = None
            if len(folder) <= len(root):
                break
            folder = os.path.dirname(folder)
    return list(folders)


def _may_be(path: str, nbytes: int | None) -> bool:
    """Whether a file has as many bytes as the one that was written; None where that is not known."""
    return nbytes is None or nbytes_of(path) == nbytes


def _written_in(out: str, paths: Container[str]) -> dict[str, int | None]:
    """The bytes of the data files that migrations in a folder wrote, done or begun; at least of those among paths."""
    files: dict[str, int | None] = {}
    for name in names_in(out):
        with suppress(FormatError, OSError):  # damaged, or gone by now: nobody knows
            if name.endswith(FINISHED):
                finished = read_finished(join(out, name)) or {}
                for manifest in crcs_of_manifests(finished, out):
                    files.update(_shards_of(manifest, paths))
            elif is_unfinished(join(out, name)):
                plan = State(out, name.removesuffix(SUFFIX)).read_plan()
                begun = [] if plan is None else [*(order.target for order in plan.orders), *plan.stale]
                files.update(dict.fromkeys(begun))
    return {real(path): nbytes for path, nbytes in files.items()}


def _shards_of(manifest: str, paths: Container[str]) -> dict[str, int | None]:
    """The bytes of the data files that a manifest names. That of one file on a store, of many, is not read for it."""
    output = manifest.removesuffix(manifest_path(""))
    if is_remote(manifest) and real(output) in paths:
        return {output: None}
    with suppress(FormatError, OSError):
        known = read_manifest(manifest)
        return {path: shard.nbytes for path, shard in zip(known.paths, known.shards, strict=True)}
    return {}


def names_in(folder: str) -> list[str]:
    """What is in a folder; nothing where it cannot be listed."""
    try:
        return list_folder(folder or ".")
    except OSError:
        return []  # whoever looks at the files will say why
