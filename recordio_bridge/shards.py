"""The names of outputs: shards and sidecars.

train.tfrecord                            the output as given
train-00003-of-00064.tfrecord             a shard of it
train.tfrecord-00003-of-00064             the same as tensorflow_datasets calls it
train.tfrecord.schema.json                its sidecars, named after the output as given
train.tfrecord.manifest.json
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .errors import FormatError
from .files import COMPRESSED_SUFFIXES
from .paths import is_folder, list_folder

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>[0-9]{5,18})-of-(?P<count>[0-9]{5,18})(?P<suffix>.*)", re.DOTALL)
_MOST_ABSENT = 1 << 20  # shards of a set that are looked for, as a name may claim any number of them


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's place: the output that it belongs to, its index from 0, and how many there are."""

    path: str
    output: str
    index: int
    count: int


def split_suffix(path: str) -> tuple[str, str]:
    """The path without and with its suffix: ("out/train", ".tfrecord.gz")."""
    stem, suffix = os.path.splitext(path)
    if suffix in COMPRESSED_SUFFIXES:
        stem, inner = os.path.splitext(stem)
        suffix = inner + suffix
    return stem, suffix


def shard_names(output: str, count: int | None, *, number_last: bool = False, at_most: int | None = None) -> list[str]:
    """The files of an output: itself for None, else count shards, for any count.

    number_last: behind the suffix, as tensorflow_datasets has it. at_most: how many of them are wanted.
    """
    if count is None:
        return [output]
    stem, suffix = (output, "") if number_last else split_suffix(output)
    digits = max(5, len(str(count)))
    return [
        f"{stem}-{index:0{digits}d}-of-{count:0{digits}d}{suffix}"
        for index in range(count if at_most is None else min(count, at_most))
    ]


def parse_shard(path: str) -> Shard | None:
    """What a shard's name says; None for other names."""
    folder, name = os.path.split(path)
    match = _SHARD.fullmatch(name)
    if match is None:
        return None
    output = os.path.join(folder, match["stem"] + match["suffix"])
    return Shard(path, output, int(match["index"]), int(match["count"]))


def shards_beside(output: str) -> list[Shard]:
    """The shards of an output, of any set, that lie where they belong, in the order of their names."""
    folder = os.path.dirname(output)
    names = list_folder(folder or ".") if is_folder(folder or ".") else []
    found = [parse_shard(os.path.join(folder, name)) for name in names]
    return [shard for shard in found if shard is not None and shard.output == output]


class _Set(NamedTuple):
    """What the names of the shards of one set have in common."""

    stem: str  # with its folder
    suffix: str
    total: str


def absent_shards(files: Iterable[str], is_meant: Callable[[str], bool] = lambda path: True) -> Iterator[Iterator[str]]:
    """For each set of which some shards are among these files, the others, as far as they are meant.

    A set may be counted from 0, or from 1 to its last.

    Raises:
        FormatError: there are shards of two sets of one name, whose rows would be taken twice.
    """
    sets: dict[_Set, list[str]] = {}
    for path in files:
        folder, name = os.path.split(path)
        match = _SHARD.fullmatch(name)
        if match is not None:
            key = _Set(os.path.join(folder, match["stem"]), match["suffix"], match["count"])
            sets.setdefault(key, []).append(match["index"])
    counts: dict[str, list[int]] = {}
    for each in sets:
        counts.setdefault(each.stem + each.suffix, []).append(int(each.total))
    for output, found in counts.items():
        if len(found) > 1:
            raise several_sets(output, found)
    for each, indexes in sets.items():
        yield (path for path in _absent(each, indexes) if is_meant(path))


def _absent(of: _Set, indexes: list[str]) -> Iterator[str]:
    """The shards of a set that are not among those with these indexes."""
    there, count, digits = set(map(int, indexes)), int(of.total), min(map(len, indexes))
    first = 1 if count in there and 0 not in there else 0
    absent = (index for index in range(first, first + count) if index not in there)
    for index in islice(absent, _MOST_ABSENT):
        yield f"{of.stem}-{index:0{digits}d}-of-{of.total}{of.suffix}"


def several_sets(output: str, counts: Iterable[int]) -> FormatError:
    """The error of a name, or a folder, that stands for the shards of several sets of one name."""
    return FormatError(
        f"{output}: shards of several sets lie here, of {sorted(set(counts))}; name one with a glob", path=output
    )


def missing_shard(path: str) -> FormatError:
    """The error of a shard that should be among the files of its set."""
    shard = parse_shard(path)
    count = "" if shard is None else f" of {shard.count} shards"
    what = "is of no known format, and one of a set" if os.path.isfile(path) else "is missing from its set"
    advice = (
        "give the shards that you want one by one, as a list, or by a glob that does not fit this one, to read them "
        "all the same"
    )
    return FormatError(f"{path}: {what}{count}; {advice}", path=path)


def schema_path(output: str) -> str:
    """The schema sidecar of an output."""
    return f"{output}.schema.json"


def manifest_path(output: str) -> str:
    """The manifest of an output."""
    return f"{output}.manifest.json"


def sidecar_candidates(path: str) -> list[str]:
    """The outputs that this file may belong to: itself, and the set whose shard it is."""
    shard = parse_shard(path)
    return [path] if shard is None else [path, shard.output]
