"""The tree of a mirror: an output for each source, at its place, and none in the way of another or of the state."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..formats import get_format
from ..paths import join, real
from ..remote import is_remote
from ..shards import manifest_path, schema_path, split_suffix
from .conclude import quarantine_path
from .gather import Found
from .migration import Migration
from .neighbours import neighbour_paths
from .state import State


def outputs_of(migration: Migration, found: Sequence[Found]) -> list[str]:
    """The output of each source.

    Raises:
        ValueError: two would be the same file, or one would be among what the migration keeps of itself.
    """
    kept = State(migration.out, migration.name).folder
    front = join(real(kept), "")
    outputs: dict[str, tuple[str, Found]] = {}  # by where they lie, as folders that are there may be links
    folders: dict[str, str] = {}
    for each in found:
        output = migration.mirrored(each)
        folder, name = os.path.split(output)
        if folder not in folders:
            folders[folder] = real(folder)
        place = join(folders[folder], name)
        if place.startswith(front):
            raise ValueError(
                f"{each.path} would become {output}, and {kept} is where the migration keeps its state, which goes in "
                "the end; give the output another name (--name)"
            )
        if place in outputs:
            other, known = outputs[place]
            if other != output:
                raise ValueError(f"{output} and {other} would be one file, by a link to a folder; remove the link")
            raise _collision(each, known, output)
        outputs[place] = output, each
    return [output for output, _ in outputs.values()]


def _collision(one: Found, other: Found, output: str) -> ValueError:
    """Of two sources that would become the same file: mostly of two formats, with names that are else the same."""
    suffixes = [split_suffix(each.path)[1] for each in (other, one)]
    way = "migrate one of the two apart, to another folder"
    if suffixes[0] != suffixes[1]:
        root = one.path.removesuffix(one.relative)
        patterns = " and ".join(f"'{os.path.join(root, '**', f'*{suffix}')}'" for suffix in suffixes)
        way = f"migrate each format by its own pattern, {patterns}, to a folder of its own"
    return ValueError(f"{other.path} and {one.path} would both become {output}; {way}")


def refuse_clashes(
    migration: Migration, found: Sequence[Found], outputs: Sequence[str], targets: Iterable[str]
) -> None:
    """ValueError where a folder for the output of a source would have the name of another output, or of a file.

    Args:
        outputs: of each source, also of those that are in quarantine, which may be repaired.
        targets: the files of the outputs, as far as that is known.
    """
    if is_remote(migration.out):  # where a name may be both
        return
    folders: dict[str, str] = {}
    for each, output in zip(found, outputs, strict=True):
        folder = os.path.dirname(output)
        while len(folder) > len(migration.out) and folder not in folders:
            folders[folder] = each.path
            folder = os.path.dirname(folder)
    if not folders:
        return
    format = get_format(migration.to)
    files = [State(migration.out, migration.name).finished_path, quarantine_path(migration.out, migration.name)]
    for target in (*targets, *outputs):
        files += format.files_of(target)
    for output in outputs:
        files += [manifest_path(output), schema_path(output), *neighbour_paths(output, migration.wishes)]
    clash = next((file for file in files if file in folders), None)
    if clash is not None:
        raise ValueError(
            f"{clash}: would be a folder, for {folders[clash]}, and is the name of another output, or of a file of "
            "one; migrate one of the two apart, to another folder"
        )
