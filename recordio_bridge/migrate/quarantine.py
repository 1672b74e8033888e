"""What a migration left out because it is bad: for people, for --resume, and for whoever deletes the sources."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ..errors import FormatError, SchemaError
from ..formats.framed import ADVICE, IN_ONE_PIECE
from ..sources import DIFFERING, UNLIKE

_CAST = "cast it first, each source by itself (--mirror --select NAME:DTYPE=NAME), and migrate what that makes"
_ADVICE = {
    ADVICE: "repair it, or begin again with --on-bad-record skip --overwrite, which leaves out such records alone",
    IN_ONE_PIECE: "nothing says where records begin behind it; migrate the file apart, in one piece (--shards 1)",
    DIFFERING: f"migrate it apart, choose columns that are alike in all sources (--select), or {_CAST}",
    ", or fields= in Python": "",
    "with fields= (--select NAME=NAME)": "(--select NAME=NAME)",
    UNLIKE: f"a select takes what is alike in all sources; leave it out, or {_CAST}",
}
"""Of a migration, in the place of what is the advice elsewhere."""
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What is no fault of a source, also where it comes of reading one: as of the folder for temporary files."""
_CURE = re.compile(r"--(allow-lossy|pack|select)\b")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A part of a source that is not in the output.

    Attributes: path; record, its number in the file, and byte, where it begins: what was found bad first, None where
    that is not one record; reason; shards, the names of the files that lack rows of it; part, its number among the
    parts of files that make up the first of these.
    """

    path: str
    record: int | None
    byte: int | None
    reason: str
    shards: tuple[str, ...]
    part: int

    @classmethod
    def of(cls, error: Exception, path: str, shard: str, part: int) -> Quarantined:
        """What an error says of a source."""
        record, byte = (error.record, error.offset) if isinstance(error, (FormatError, SchemaError)) else (None, None)
        if record is None and isinstance(error, SchemaError):
            record = error.row
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return cls(path, record, byte, reason_of(text.removeprefix(f"{path}: ")), (shard,) if shard else (), part)

    @property
    def needs_option(self) -> bool:
        """Whether the source is sound, and it takes an option to write it, which the reason names."""
        return _CURE.search(self.reason) is not None

    @property
    def is_of_a_cut(self) -> bool:
        """Whether the source was cut in parts where no record begins, so that nothing says where others do."""
        return _ADVICE[IN_ONE_PIECE] in self.reason

    def __str__(self) -> str:
        where = "" if self.byte is None else f" at byte {self.byte}"
        record = (
            "" if self.record is None or f"record {self.record}" in self.reason else f"record {self.record}{where}: "
        )
        return f"{self.path}: {record}{self.reason}"


def is_ours(error: Exception) -> bool:
    """Whether no source is to blame for an error."""
    return isinstance(error, OSError) and error.errno in _OURS


def reason_of(message: str) -> str:
    """The message of an error with what to do about it in a migration."""
    for elsewhere, here in _ADVICE.items():
        message = message.replace(elsewhere, here)
    return message


def quarantined_from_json(value: dict[str, Any]) -> Quarantined:  # Any: what a JSON object holds
    """What asdict made of one; SchemaError where something of it is not there."""
    missing = [each.name for each in fields(Quarantined) if each.name not in value]
    if missing:
        raise SchemaError(f"lacks {', '.join(map(repr, missing))}")
    return Quarantined(**{**value, "shards": tuple(value["shards"])})


def together(quarantine: Iterable[Quarantined]) -> tuple[Quarantined, ...]:
    """Each bad place once, with all the files that lack rows for it."""
    found: dict[tuple[object, ...], Quarantined] = {}
    for each in quarantine:
        known = found.setdefault((each.path, each.record, each.byte, each.reason), each)
        new = tuple(shard for shard in each.shards if shard not in known.shards)
        found[known.path, known.record, known.byte, known.reason] = replace(known, shards=(*known.shards, *new))
    return tuple(found.values())


def as_lines(quarantine: Iterable[Quarantined]) -> bytes:
    """The report: JSON lines."""
    return "".join(json.dumps(asdict(each)) + "\n" for each in quarantine).encode()
