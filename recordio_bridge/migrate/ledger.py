"""The manifest: what an output consists of, written last.

Its presence means that every shard named in it is complete; it states the level of verification.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import FormatError, SchemaError
from ..files import Pending, ends_of, pending_file
from ..formats import format_names, get_format
from ..formats.base import Format, Skipped
from ..schema import Schema
from ..shards import manifest_path, schema_path, sidecar_candidates
from ..sidecar import ClassNames, read_json
from .work import Receipt

_VERSION = 1
_PAYLOADS = (None, "image", "raw", "example", "sagemaker")
_LARGEST = 1 << 28  # bytes of a manifest that we read


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that belongs to a shard, its index; or to the output, for other programs."""

    name: str
    nbytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of an output, with what belongs to it. content: see work.Receipt."""

    name: str
    num_rows: int
    nbytes: int
    crc32c: int
    content: str | None
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What a source was: its size and ends (files.Ends), and when it was last written to.

    The time is for this run's comparisons and not in the manifest, as equal input gives equal bytes.
    """

    path: str
    nbytes: int
    crc32c: int
    mtime_ns: int = 0

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "nbytes": self.nbytes, "crc32c_of_ends": self.crc32c}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a conversion wrote.

    Attributes: output, the path as given; format; payload, of records; num_rows; nbytes; schema; verified, the level;
    shards; content_of, the payload and columns over which their content is taken (raw records where they passed
    through), None where it is not; paths, of the shards; files, of all that was written; sources; skipped, the ranges
    of damaged bytes that were left out; notes; warnings, those of the notes that mean that something may be lost;
    neighbours, the files for other programs, such as features.json; left_out, how many sound rows were left out on
    purpose, by the reason; class_names.
    """

    output: str
    format: str
    payload: str | None
    schema: Schema
    verified: str
    shards: tuple[Shard, ...]
    content_of: tuple[str | None, Schema] | None
    sources: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    neighbours: tuple[Companion, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    class_names: ClassNames | None = None

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.num_rows for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def paths(self) -> list[str]:
        """The files that hold the rows."""
        folder = os.path.dirname(self.output)
        return [os.path.join(folder, shard.name) for shard in self.shards]

    @property
    def files(self) -> list[str]:
        """Every file that was written: shards, each with its index, those for other programs, then the sidecars."""
        folder = os.path.dirname(self.output)
        names = [name for shard in self.shards for name in (shard.name, *(each.name for each in shard.companions))]
        names += [each.name for each in self.neighbours]
        return [*(os.path.join(folder, name) for name in names), schema_path(self.output), manifest_path(self.output)]

    def to_json(self) -> dict[str, object]:
        """What the file holds: nothing of clocks, so that equal input gives equal bytes."""
        return {
            "recordio_bridge": _VERSION,
            "format": self.format,
            "payload": self.payload,
            "verified": self.verified,
            "num_rows": self.num_rows,
            "schema": self.schema.to_json(),
            "shards": [asdict(shard) for shard in self.shards],
            "content_of": self.content_of and {"payload": self.content_of[0], "schema": self.content_of[1].to_json()},
            "sources": [source.to_json() for source in self.sources],
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "left_out": dict(self.left_out),
            "class_names": self.class_names and self.class_names.to_json(),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "neighbours": [asdict(each) for each in self.neighbours],
        }

    def to_file(self) -> Pending:
        """The file beside the output, waiting for its name."""
        text = json.dumps(self.to_json(), indent=1) + "\n"
        return pending_file(manifest_path(self.output), text.encode())


def shard_of(receipt: Receipt) -> Shard:
    """The shard that a receipt is for."""
    data, *others = receipt.files
    companions = tuple(map(companion_of, others))
    return Shard(os.path.basename(data.final), receipt.num_rows, data.nbytes, data.crc32c, receipt.content, companions)


def companion_of(file: Pending) -> Companion:
    """What the manifest says of a file that is no shard."""
    return Companion(os.path.basename(file.final), file.nbytes, file.crc32c)


def fingerprint(path: str) -> SourceFile:
    """Size and ends of a source, to see later whether it is still the same."""
    written_ns = os.stat(path).st_mtime_ns  # before the bytes are read, so that a change after that shows
    ends = ends_of(path)
    return SourceFile(path, ends.nbytes, ends.crc32c, written_ns)


def read_manifest(path: str) -> Manifest:
    """Read a manifest; FormatError where it is none of ours."""
    content = read_json(path, _LARGEST)
    if not isinstance(content, dict) or content.get("recordio_bridge") != _VERSION or "shards" not in content:
        raise FormatError(f"{path}: not a manifest of recordio_bridge, version {_VERSION}", path=path)
    try:
        return _from_json(path.removesuffix(".manifest.json"), content)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise FormatError(f"{path}: not a manifest of recordio_bridge: {err}", path=path) from err


def _source_from_json(value: dict[str, Any]) -> SourceFile:  # Any: as below
    return SourceFile(str(value["path"]), int(value["nbytes"]), int(value["crc32c_of_ends"]))


def _from_json(output: str, content: dict[str, Any]) -> Manifest:  # Any: what a JSON object holds
    shards = tuple(_shard_from_json(shard) for shard in content["shards"])
    if content["format"] not in format_names() or content["payload"] not in _PAYLOADS:
        raise SchemaError(f"format {content['format']!r} with payload {content['payload']!r} is unknown")
    if content["verified"] not in ("content", "counts", "none"):
        raise SchemaError(f"verified {content['verified']!r} is no level of verification")
    if content["num_rows"] != sum(shard.num_rows for shard in shards):
        raise SchemaError(f"num_rows {content['num_rows']!r} is not what its shards have together")
    known = content.get("content_of")
    if known is not None and known["payload"] not in _PAYLOADS:
        raise SchemaError(f"content of payload {known['payload']!r} is unknown")
    return Manifest(
        output,
        str(content["format"]),
        content["payload"],
        Schema.from_json(content["schema"]),
        str(content["verified"]),
        shards,
        None if known is None else (known["payload"], Schema.from_json(known["schema"])),
        tuple(_source_from_json(source) for source in content["sources"]),
        tuple(Skipped(**skipped) for skipped in content["skipped"]),
        tuple(str(note) for note in content["notes"]),
        tuple(str(note) for note in content["warnings"]),
        tuple(Companion(**_checked_file(each)) for each in content.get("neighbours", ())),
        {str(reason): int(rows) for reason, rows in content.get("left_out", {}).items()},
        ClassNames.from_json(content.get("class_names")),
    )


def _shard_from_json(value: dict[str, Any]) -> Shard:  # Any: what a JSON object holds
    companions = tuple(Companion(**_checked_file(each)) for each in value["companions"])
    shard = Shard(**{**_checked_file(value), "companions": companions})
    if not isinstance(shard.num_rows, int):
        raise SchemaError(f"shard {shard.name!r}: rows are a number")
    return shard


def _checked_file(value: dict[str, Any]) -> dict[str, Any]:  # Any: what a JSON object holds
    """What a manifest says of a file, after a look at its name and numbers."""
    name = value["name"]
    if not isinstance(name, str) or os.path.basename(name) != name or name in ("", ".", ".."):
        raise SchemaError(f"a shard is a file beside the manifest, not {name!r}")
    if not all(isinstance(value[number], int) for number in ("nbytes", "crc32c")):
        raise SchemaError(f"shard {name!r}: bytes and checksum are numbers")
    return value


def find_manifest(path: str) -> Manifest | None:
    """The manifest of an output, or the one that names this file; None where there is none."""
    for output in sidecar_candidates(path):
        candidate = manifest_path(output)
        if os.path.exists(candidate):
            manifest = read_manifest(candidate)
            if output == path and not os.path.exists(path):
                return manifest
            if os.path.basename(path) in [shard.name for shard in manifest.shards]:
                return manifest
    return None


def stale_files(
    output: str, format: Format, receipts: Sequence[Receipt], neighbours: Sequence[Pending] = ()
) -> list[str]:
    """What new files of an output make void and do not replace: those of an earlier conversion to it, and indexes."""
    finals = {file.final for file in (*neighbours, *(file for receipt in receipts for file in receipt.files))}
    belonging = [file for receipt in receipts for file in format.files_of(receipt.files[0].final)]
    return [file for file in dict.fromkeys([*earlier_files(output), *belonging]) if file not in finals]


def earlier_files(output: str) -> list[str]:
    """The files of an earlier conversion to the same output, as its manifest names them, with what belongs to them."""
    candidate = manifest_path(output)
    if not os.path.exists(candidate):
        return []
    try:
        earlier = read_manifest(candidate)
    except FormatError:
        return []
    format, folder = get_format(earlier.format), os.path.dirname(output)
    neighbours = [os.path.join(folder, each.name) for each in earlier.neighbours]
    return [file for path in earlier.paths for file in format.files_of(path)] + neighbours
