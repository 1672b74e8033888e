"""The schema sidecar: what an output's columns are, beside the output.

    {
     "recordio_bridge": 1,
     "files": ["a.rec"],                                     what it describes
     "ends": {"a.rec": {"nbytes": 120, "crc32c": 2874},      which bytes these were, and those of their indexes
              "a.idx": {"nbytes": 16, "crc32c": 91}},
     "payload": "image",
     "schema": [...],
     "class_names": {"field": "label", "first": 0, "names": ["cat", "dog"]},   where they were given
     "quarantined": 2,                                       parts of the sources that a migration left out, if any
     "of_incomplete": true,                                  made of files of which the same is said, if so
     "crc32c": 80123                                         of all that is before it, see documents
    }

A sidecar is believed only for the files that it names, and only while they are the bytes that it was written for: their
size and both ends are looked at (files.Ends), so a copy is believed and a file that took the name later is not. One
without "ends", written by hand, is believed for the name alone; notes say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from .documents import as_document, parse_document
from .errors import FormatError, SchemaError
from .files import Ends, Pending, ends_of, pending_file
from .formats.base import ALARM
from .paths import is_beside, nbytes_of, read_bytes, read_up_to
from .remote import is_remote
from .schema import Schema
from .shards import schema_path, sidecar_candidates

_VERSION = 1
_LARGEST = 1 << 28  # bytes; a sidecar beyond that was not written by us: each shard and its index take 220
_LARGEST_NAMES = 1 << 26  # bytes of a file of names of classes
_SHOWN = 4  # names of classes that a note holds
_LEFT_OUT = "of its sources, which are in its quarantine"
"""Is said of files that a migration wrote which had to leave something out, and of what is made of them."""


@dataclass(frozen=True, slots=True)
class ClassNames:
    """What the classes are called that a field holds: names[i] is that of class first + i."""

    field: str
    first: int
    names: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"field": self.field, "first": self.first, "names": list(self.names)}

    @classmethod
    def from_json(cls, value: object) -> ClassNames | None:
        """What to_json wrote, or None; SchemaError for anything else."""
        if value is None:
            return None
        if isinstance(value, dict) and set(value) == {"field", "first", "names"}:
            field, first, names = value["field"], value["first"], value["names"]
            texts = [field, *names] if isinstance(names, list) else [None]
            if type(first) is int and all(isinstance(text, str) for text in texts):
                return cls(field, first, tuple(names))
        raise SchemaError("class_names are a field, the number of its first class, and a list of names")

    def __str__(self) -> str:
        more = ", ..." if len(self.names) > _SHOWN else ""
        return f"{len(self.names)} classes of {self.field}, from {self.first}: {', '.join(self.names[:_SHOWN])}{more}"


def read_names(path: str) -> tuple[str, ...]:
    """The names in a file, one a line.

    Raises:
        FormatError: it is no text in UTF-8, or a line between others is empty.
    """
    if is_remote(path):
        data = read_bytes(path, _LARGEST_NAMES)
    else:
        with open(path, "rb") as file:  # which may be a pipe
            data = read_up_to(file, _LARGEST_NAMES)
    if len(data) > _LARGEST_NAMES:
        raise FormatError(f"{path}: more than {_LARGEST_NAMES} bytes, and names of classes were expected", path=path)
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as err:
        raise FormatError(f"{path}: not a text in UTF-8: {err}", path=path) from err
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        where = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise FormatError(f"{path}: {where}; expected the name of a class on each line, in their order", path=path)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The schema of some files, and for a .rec the payload that holds it."""

    path: str
    files: tuple[str, ...]
    schema: Schema
    payload: str | None = None
    ends: Mapping[str, Ends] | None = None
    """Of the files and their indexes, when they were written; None where the sidecar does not say."""
    class_names: ClassNames | None = None
    quarantined: int = 0
    """How many parts of its sources the migration that wrote the files left out."""
    of_incomplete: bool = False
    """Whether the files were made of others that such a migration wrote."""

    def describes(self, path: str) -> bool:
        """Whether a file, or an index, is the one that it was written for, as far as it says."""
        if self.ends is None:
            return True
        known = self.ends.get(os.path.basename(path))
        return known is not None and is_beside(path) and ends_of(path) == known

    @property
    def _incompleteness(self) -> str | None:
        """What is to be said of files that lack something; the same of all."""
        if self.quarantined:
            parts = "1 part" if self.quarantined == 1 else f"{self.quarantined:,} parts"
            return (
                f"{ALARM}the migration that wrote {self.path} left out {parts} {_LEFT_OUT}; repair them, and go on "
                "with it (migrate --resume)"
            )
        if self.of_incomplete:
            return (
                f"{ALARM}what {self.path} is of was made of files of a migration that left out parts {_LEFT_OUT}; go "
                "on with that (migrate --resume), and make this anew"
            )
        return None

    def doubt(self, path: str) -> str | None:
        """Why it is not believed for a file that it names, or not for more than the name; a sentence for people."""
        if self.ends is None:
            name_alone = f"{self.path} is believed for the name alone: it does not say which bytes it describes"
            return self._incompleteness or name_alone
        if self.describes(path):
            return self._incompleteness
        name = os.path.basename(path)
        known = self.ends.get(name)
        if known is not None and is_beside(path) and nbytes_of(path) < known.nbytes:
            return (
                f"{ALARM}{path} had {known.nbytes} bytes when {self.path} was written, and has {nbytes_of(path)} "
                "now: it was probably cut. Get it again; if it was replaced by another file, remove the sidecar"
            )
        but = ", but for that records are raw where they are nothing better known" if self.payload == "raw" else ""
        return (
            f"{self.path} is not used{but}: it was written for another file of this name (size or ends differ), so "
            'this one was replaced, or damaged; remove the sidecar, or its "ends" if it is to be believed all the same'
        )


def make_sidecar(
    output: str,
    written: Sequence[Sequence[Pending]],
    schema: Schema,
    payload: str | None,
    class_names: ClassNames | None = None,
    quarantined: int = 0,
    warnings: Sequence[str] = (),
) -> Pending:
    """The sidecar of an output, waiting for its name.

    written: each file and what belongs to it, the file first. warnings: what was said of their sources.
    """
    ends = {os.path.basename(file.final): asdict(ends_of(file.temporary)) for files in written for file in files}
    content = {
        "recordio_bridge": _VERSION,
        "files": [os.path.basename(files[0].final) for files in written],
        "ends": ends,
        "payload": payload,
        "schema": schema.to_json(),
        **({} if class_names is None else {"class_names": class_names.to_json()}),
        **({"quarantined": quarantined} if quarantined else {}),
        **({"of_incomplete": True} if any(_LEFT_OUT in warning for warning in warnings) else {}),
    }
    return pending_file(schema_path(output), as_document(content))


def find_sidecar(path: str) -> Sidecar | None:
    """The sidecar that describes this file; None where there is none.

    Raises:
        FormatError: a sidecar is there and cannot be read.
    """
    return next((sidecar for sidecar in sidecars_naming(path) if sidecar.describes(path)), None)


def sidecar_doubts(path: str) -> list[str]:
    """What is to be said of the sidecars that name this file; see Sidecar.doubt."""
    return [doubt for sidecar in sidecars_naming(path) if (doubt := sidecar.doubt(path)) is not None]


def is_called_raw(path: str) -> bool:
    """Whether a sidecar says so of a file of this name: of another one, too, as raw records cannot be read wrongly."""
    return any(sidecar.payload == "raw" for sidecar in sidecars_naming(path))


def sidecars_naming(path: str) -> Iterator[Sidecar]:
    """The sidecars that name this file, which may be another one by now."""
    for output in sidecar_candidates(path):
        sidecar = schema_path(output)
        if is_beside(sidecar):
            found = read_sidecar(sidecar)
            if os.path.basename(path) in found.files:
                yield found


def read_sidecar(path: str) -> Sidecar:
    """Read and check one sidecar."""
    return _parse_sidecar(path, read_bytes(path, _LARGEST))


@lru_cache(maxsize=4)  # a set of 500 shards asks for the same sidecar 1,500 times; by content, so it is never stale
def _parse_sidecar(path: str, data: bytes) -> Sidecar:
    content = parse_document(path, data)
    problem = FormatError(
        f"{path}: not a schema sidecar of recordio_bridge, version {_VERSION}; remove it, or pass schema=", path=path
    )
    if not isinstance(content, dict) or content.get("recordio_bridge") != _VERSION:
        raise problem
    files, payload = content.get("files"), content.get("payload")
    lacks = content.get("quarantined", 0), content.get("of_incomplete", False)
    if type(lacks[0]) is not int or lacks[0] < 0 or type(lacks[1]) is not bool:
        raise problem
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise problem
    if payload not in (None, "image", "raw", "example", "sagemaker"):
        raise problem
    try:
        ends = {name: Ends(**each) for name, each in content["ends"].items()} if "ends" in content else None
    except (AttributeError, TypeError):
        raise problem from None
    if not all(type(number) is int for each in (ends or {}).values() for number in (each.nbytes, each.crc32c)):
        raise problem
    try:
        names = ClassNames.from_json(content.get("class_names"))
        return Sidecar(path, tuple(files), Schema.from_json(content.get("schema")), payload, ends, names, *lacks)
    except SchemaError as err:
        raise FormatError(f"{path}: {err}", path=path) from err
