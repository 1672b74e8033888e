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
from dataclasses import dataclass

from .files import COMPRESSED_SUFFIXES

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5,})-of-(?P<count>\d{5,})(?P<suffix>.*)", re.DOTALL)


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


def shard_names(output: str, count: int | None, *, number_last: bool = False) -> list[str]:
    """The files of an output: itself for None, else count shards, for any count.

    number_last: behind the suffix, as tensorflow_datasets has it.
    """
    if count is None:
        return [output]
    stem, suffix = (output, "") if number_last else split_suffix(output)
    digits = max(5, len(str(count)))
    return [f"{stem}-{index:0{digits}d}-of-{count:0{digits}d}{suffix}" for index in range(count)]


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
    names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    found = [parse_shard(os.path.join(folder, name)) for name in names]
    return [shard for shard in found if shard is not None and shard.output == output]


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
