"""What the caller asks of a migration, beside the wishes that a conversion has, too."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..formats import get_format
from ..paths import normal
from ..select import named_fields
from ..shards import split_suffix
from ..sidecar import read_names
from ..sources import SourceArgument, make_options
from . import Options, asked
from .gather import Found
from .neighbours import output_in
from .scout import Look
from .wishes import Wishes

SHARD_BYTES = 256 << 20
"""Of a shard, where nothing else is asked for: between the 64 MiB and 1 GiB that tensorflow_datasets keeps to."""
_PIECES = 4  # extents for each shard, among which the bounds of shards are chosen
_NUMBERED = re.compile(r"(?P<path>.+)(?P<numbers>-\d{5,}-of-\d{5,})", re.DOTALL)
_SUFFIXES = {"GZIP": ".gz", "ZLIB": ".zz"}


@dataclass(frozen=True, slots=True)
class Migration:
    """Sources, and what is to become of them. The names are those of migrate.run."""

    sources: tuple[str, ...]
    out: str
    to: str
    name: str
    wishes: Wishes
    source_options: Mapping[str, object] = field(default_factory=dict)
    shard_bytes: int | None = None
    mirror: bool = False
    scan: bool = False
    memory: int = 1 << 30

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or os.path.basename(self.name) != self.name:
            raise ValueError(f"name={self.name!r}: expected the stem of file names, without folders")
        if self.shard_bytes is not None and self.shard_bytes < 1:
            raise ValueError(f"shard_bytes={self.shard_bytes}: expected 1 or more")
        if self.shard_bytes is not None and self.wishes.shards is not None:
            raise ValueError("shards and shard_bytes (--shards, --shard-bytes) both say how many files: give one")
        for is_asked, what in ((self.wishes.shuffle, "shuffle"), (self.wishes.split is not None, "split")):
            if self.mirror and is_asked:
                raise ValueError(f"mirror makes an output of each source, and {what} mixes them: give one of the two")
        if self.mirror and self.wishes.tfds is not None:
            raise ValueError("mirror makes many outputs, and tfds one dataset: give one of the two")
        format = get_format(self.to)
        if not format.suffixes:
            raise ValueError(f"to={self.to!r} (--to): this format can be read, and not written")
        make_options(format, self.wishes.target_options or {})

    @property
    def suffix(self) -> str:
        """Of the output files."""
        packed = str((self.wishes.target_options or {}).get("compression", ""))
        return get_format(self.to).suffixes[0] + (_SUFFIXES.get(packed, "") if self.to == "tfrecord" else "")

    @property
    def is_permuted(self) -> bool:
        """Whether rows are dealt out by a permutation, so that all must be known before any is written."""
        return self.wishes.shuffle or self.wishes.split is not None

    @property
    def is_cut(self) -> bool:
        """Whether an output is made of several files."""
        return not self.mirror or self.wishes.shards is not None or self.shard_bytes is not None

    def output(self, split: str | None = None) -> str:
        """The output as sidecars are named after it."""
        dataset = self.wishes.dataset
        if dataset is None:
            return os.path.join(self.out, f"{self.name}{'' if split is None else f'-{split}'}{self.suffix}")
        if split is None:
            return output_in(self.out, dataset)
        return output_in(os.path.join(self.out, split), replace(dataset, split=split))

    def mirrored(self, found: Found) -> str:
        """The output of a source, at the same place in the tree."""
        path, numbers = found.relative, ""
        match = _NUMBERED.fullmatch(path)
        if match is not None:  # behind the suffix, as tensorflow_datasets has it
            path, numbers = match["path"], match["numbers"]
        return os.path.join(self.out, split_suffix(path)[0] + numbers + self.suffix)

    def look(self, nbytes: int) -> Look:
        """How sources are looked at, which have so many bytes together."""
        wanted = named_fields(self.wishes.select, self.wishes.where)
        return Look(
            self.source_options,
            self.wishes.on_bad_record,
            None if wanted is None else tuple(sorted(wanted)),
            self.to,
            self.scan or self.is_permuted,
            self._piece(nbytes) if self.is_cut and not self.is_permuted else None,
        )

    def _piece(self, nbytes: int) -> int:
        shards = self.wishes.shards
        return max(1, (nbytes // shards if shards else self.shard_bytes or SHARD_BYTES) // _PIECES)

    def to_json(self) -> dict[str, object]:
        """What decides what is written, and so must be the same when it is resumed; not where, and not with what."""
        value = asdict(self)
        wishes, _, _ = value.pop("wishes"), value.pop("memory"), value.pop("out")
        plain: dict[str, object] = json.loads(json.dumps({**value, **wishes}))  # tuples as lists, as from a file
        return plain

    @classmethod
    def from_json(cls, value: dict[str, Any], out: str, memory: int) -> Migration:  # Any: what a JSON object holds
        ours = {each.name for each in fields(cls)}
        wishes = Wishes(**{name: each for name, each in value.items() if name not in ours})
        mine = {name: each for name, each in value.items() if name in ours}
        return cls(**{**mine, "sources": tuple(mine["sources"]), "out": out, "wishes": wishes, "memory": memory})


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What was asked otherwise, for people."""
    names = [name for name in dict.fromkeys([*before, *now]) if _given(before.get(name)) != _given(now.get(name))]
    return [f"{name} was {_shown(before.get(name))}, and is {_shown(now.get(name))} now" for name in names]


def _shown(value: object) -> str:
    return "not given" if _given(value) is None else json.dumps(value)


def _given(value: object) -> object:
    """None for what says nothing."""
    return None if value in ([], {}) else value


def made(sources: SourceArgument, out: str | os.PathLike[str], to: str, options: Mapping[str, object]) -> Migration:
    """The migration that these options, of migrate.Options, ask for."""
    paths = asked.listed(sources)
    ours = {each.name for each in fields(Migration)}
    known = {each.name for each in fields(Wishes)}
    unknown = sorted(set(options) - ours - known)
    if unknown:
        raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(sorted(Options.__annotations__))}")
    options = asked.checked(options)
    mine: dict[str, Any] = {name: each for name, each in options.items() if name in ours}  # Any: of several types
    wishes: dict[str, Any] = {name: each for name, each in options.items() if name in known}
    names = wishes.get("class_names")
    if isinstance(names, (str, os.PathLike)):
        wishes["class_names"] = read_names(os.fspath(names))
    mine["source_options"] = dict(mine.get("source_options") or {})
    place = normal(asked.path("out", out)).rstrip("/") or "/"
    mine.setdefault("name", os.path.basename(place))
    to = asked.text("the format to write, such as 'tfrecord'", "to", to)
    return Migration(tuple(normal(source) for source in paths), place, to, wishes=Wishes(**wishes), **mine)
