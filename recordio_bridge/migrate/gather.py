"""The files that a migration is for: its sources, with all that folders hold, however deep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from ..paths import exists, folders_in, inside, is_folder, is_readable, join, normal, real
from ..shards import absent_shards
from ..sources import data_among, fits, is_dead_link, is_pattern, listing
from .unfinished import is_unfinished, state_around

_MOST_ABSENT = 1000  # shards of a set that are told one by one


@dataclass(frozen=True, slots=True)
class Found:
    """A source file, and the path that it has in the tree where it was found."""

    path: str
    relative: str


class Gathered(NamedTuple):
    """What sources stand for, and those of their files that lie in the folder of the output, which are no sources."""

    found: list[Found]
    inside: list[str]


def gather(sources: Sequence[str], out: str) -> Gathered:
    """All files that these sources stand for, each once, in the order of the sources and of names in folders.

    Unlike elsewhere, a folder stands also for the folders in it; but for out, as that is where they are written to, and
    for those of unfinished migrations, as what these made of sources for a while lies there.

    Raises:
        FileNotFoundError: a source is not there, or nothing of a known format in it.
        FormatError: shards of two sets of one name lie in a folder.
        ValueError: a source is the folder that is written to, or a file in it.
    """
    found: dict[str, Found] = {}
    in_out: dict[str, None] = {}
    place = join(real(out), "")
    for source in sources:
        if join(real(source), "") == place:
            raise ValueError(f"{source}: is a source, and the folder of the output: give the output one of its own")
        if real(source).startswith(place) and not is_folder(source):
            raise ValueError(
                f"{source}: is a source, and lies in the folder of the output: give the output one of its own"
            )
        root = root_of(source)
        files = []
        for path in _files_of(source):
            if state_around(path, root):
                continue
            if real(path).startswith(place):
                in_out[path] = None
            else:
                files.append(path)
        for path in _with_absent(source, files):
            found.setdefault(normal(path), Found(path, os.path.relpath(path, root)))
    if not found:
        raise FileNotFoundError(
            f"{sources[0]}: no file of a known format is there, but for those below {out}, or in NAME.unfinished of "
            "another migration"
        )
    return Gathered(list(found.values()), list(in_out))


def _with_absent(source: str, files: Sequence[str]) -> list[str]:
    """The files of a source, and shards that lack in their sets: the scout will say so of each."""
    ranks: dict[str, int] = {}  # of folders, whose order is kept
    if is_folder(source):
        absent = absent_shards(files)
        ranks = {folder: rank for rank, folder in enumerate(dict.fromkeys(map(os.path.dirname, files)))}
    elif is_pattern(source) and not exists(source):
        absent = absent_shards(files, partial(fits, source))
    else:
        return list(files)
    missed = [path for each in absent for path in islice(each, _MOST_ABSENT)]
    return sorted([*files, *missed], key=lambda path: (ranks.get(os.path.dirname(path), 0), path))


def _files_of(source: str) -> Iterable[str]:
    if not is_folder(source):
        found = listing(source)
        return sorted([*found.files, *found.dead_links]) if found.dead_links else found.files
    files = _data_in(folders_of(source))
    if not files:
        raise FileNotFoundError(f"{source}: no file of a known format is in this folder, or in those in it")
    return files


def folders_of(root: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """A folder and all in it, in the order of their names; not hidden ones, states of migrations, nor in a circle."""
    place = real(root)
    if place in above:
        return
    yield root
    if not is_readable(root):
        return
    for name in folders_in(root):
        folder = join(root, name)
        if not name.startswith(".") and not is_unfinished(folder):
            yield from folders_of(folder, (*above, place))


def _data_in(folders: Iterable[str]) -> list[str]:
    """The data files of folders; also links that lead nowhere, as a file is missed that has the name of one.

    Of a folder that cannot be looked into, itself: the scout will say why, as what is in it is missed.
    """
    files: dict[str, list[str]] = {}
    missed: dict[str, list[str]] = {}
    for folder in folders:
        files[folder], missed[folder] = [], []
        if not is_readable(folder):
            missed[folder].append(folder)
            continue
        found = inside(folder)
        files[folder] += (join(folder, name) for name in found.files)
        missed[folder] += filter(is_dead_link, (join(folder, name) for name in found.dead_links))
    data = set(data_among([path for paths in files.values() for path in paths]).data)
    return [path for folder in files for path in sorted([*data.intersection(files[folder]), *missed[folder]])]


def root_of(source: str) -> str:
    """Where the tree of a source begins: itself, its folder, or that of a pattern up to where it varies."""
    if is_folder(source):
        return source
    folder = os.path.dirname(source)
    while any(char in folder for char in "*?["):
        folder = os.path.dirname(folder)
    return folder or "."
