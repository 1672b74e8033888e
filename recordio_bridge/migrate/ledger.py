"""The manifest: what an output consists of, written last.

Its presence means that every shard named in it is complete; it states the level of verification.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, TypeVar

from ..documents import as_document, read_document
from ..errors import FormatError, SchemaError
from ..files import Pending, pending_file
from ..formats import format_names, get_format
from ..formats.base import Format, Skipped
from ..paths import exists, is_beside
from ..schema import Schema
from ..shards import manifest_path, schema_path, shard_names, sidecar_candidates
from ..sidecar import ClassNames
from ..tfds import DATASET_INFO, FEATURES, DatasetName, labels_name
from .claims import check_claims
from .fingerprints import SourceFile
from .quarantine import Quarantined, quarantined_from_json
from .work import Receipt

_VERSION = 1
_PAYLOADS = (None, "image", "raw", "example", "sagemaker")
_LARGEST = 1 << 30  # bytes of a manifest that we read: a shard, its index and a source take 450
_KEYS = ("format", "payload", "verified", "num_rows", "schema", "sources", "skipped", "notes", "warnings")
_Made = TypeVar("_Made")


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
class Manifest:
    """What a conversion wrote.

    Attributes: output, the path as given; format; payload, of records; num_rows; nbytes; schema; verified, the level;
    shards; content_of, the payload and columns over which their content is taken (raw records where they passed
    through), None where it is not; paths, of the shards; files, of all that was written; sources; skipped, the ranges
    of damaged bytes that were left out; notes; warnings, those of the notes that mean that something may be lost;
    neighbours, the files for other programs, such as features.json; left_out, how many sound rows were left out on
    purpose, by the reason; class_names; quarantine, what a migration left out because it is bad, which makes it
    incomplete.
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
    quarantine: tuple[Quarantined, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is in quarantine."""
        return not self.quarantine

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
            "complete": self.is_complete,
            "num_rows": self.num_rows,
            "schema": self.schema.to_json(),
            "shards": [asdict(shard) for shard in self.shards],
            "content_of": self.content_of and {"payload": self.content_of[0], "schema": self.content_of[1].to_json()},
            "sources": [source.to_json() for source in self.sources],
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "quarantine": [asdict(each) for each in self.quarantine],
            "left_out": dict(self.left_out),
            "class_names": self.class_names and self.class_names.to_json(),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "neighbours": [asdict(each) for each in self.neighbours],
        }

    def to_file(self) -> Pending:
        """The file beside the output, waiting for its name."""
        return pending_file(manifest_path(self.output), as_document(self.to_json()))


def shard_of(receipt: Receipt) -> Shard:
    """The shard that a receipt is for."""
    data, *others = receipt.files
    companions = tuple(map(companion_of, others))
    return Shard(os.path.basename(data.final), receipt.num_rows, data.nbytes, data.crc32c, receipt.content, companions)


def companion_of(file: Pending) -> Companion:
    """What the manifest says of a file that is no shard."""
    return Companion(os.path.basename(file.final), file.nbytes, file.crc32c)


def read_manifest(path: str) -> Manifest:
    """Read a manifest; FormatError where it is none of ours."""
    content = read_document(path, _LARGEST)
    if not isinstance(content, dict) or content.get("recordio_bridge") != _VERSION or "shards" not in content:
        raise FormatError(f"{path}: not a manifest of recordio_bridge, version {_VERSION}", path=path)
    try:
        manifest = _from_json(path.removesuffix(".manifest.json"), content)
        check_claims(manifest)
    except (SchemaError, TypeError) as err:
        raise FormatError(
            f"{path}: not a manifest of recordio_bridge: {str(err)[:200]}; restore it, or remove it: what it names is "
            "then checked by itself",
            path=path,
        ) from err
    return manifest


def _from_json(output: str, content: dict[str, Any]) -> Manifest:  # Any: what a JSON object holds
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise SchemaError(f"lacks {', '.join(missing)}")
    shards = _all_of("shards", _shard_from_json, content)
    if content["format"] not in format_names() or content["payload"] not in _PAYLOADS:
        raise SchemaError(f"format {content['format']!r} with payload {content['payload']!r} is unknown")
    if content["verified"] not in ("content", "counts", "none"):
        raise SchemaError(f"verified {content['verified']!r} is no level of verification")
    if content["num_rows"] != sum(shard.num_rows for shard in shards):
        raise SchemaError(f"num_rows {content['num_rows']!r} is not what its shards have together")
    return Manifest(
        output,
        str(content["format"]),
        content["payload"],
        _made("schema", Schema.from_json, content["schema"]),
        str(content["verified"]),
        shards,
        _made("content_of", _content_of_from_json, content.get("content_of")),
        _all_of("sources", SourceFile.from_json, content),
        _all_of("skipped", lambda value: Skipped(**value), content),
        _all_of("notes", str, content),
        _all_of("warnings", str, content),
        _all_of("neighbours", lambda value: Companion(**_checked_file(value)), content),
        _made("left_out", _counts_from_json, content.get("left_out", {})),
        _made("class_names", ClassNames.from_json, content.get("class_names")),
        _all_of("quarantine", quarantined_from_json, content),
    )


def _all_of(key: str, make: Callable[[Any], _Made], content: dict[str, Any]) -> tuple[_Made, ...]:
    """What make makes of each value in the list that a key has, which an older manifest may not have."""
    values = content.get(key, [])
    if not isinstance(values, list):
        raise SchemaError(f"{key}: expected a list, found {_shown(values)}")
    return tuple(_made(f"{key}[{number}]", make, value) for number, value in enumerate(values))


def _made(where: str, make: Callable[[Any], _Made], value: Any) -> _Made:  # Any: what a JSON object holds
    """What make makes of a value; SchemaError that says where it is, instead of what Python has to say."""
    try:
        made = make(value)
    except SchemaError as err:
        raise SchemaError(f"{where}: {err}") from err
    except KeyError as err:
        raise SchemaError(f"{where}: lacks {err.args[0]!r}") from err
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as err:
        raise SchemaError(f"{where}: not as it was written, found {_shown(value)}") from err
    if is_dataclass(made):
        try:
            check_claims(made)
        except TypeError as err:
            raise SchemaError(f"{where}: {err}") from err
    return made


def _shown(value: object) -> str:
    return json.dumps(value)[:80]


def _content_of_from_json(value: Any) -> tuple[str | None, Schema] | None:  # Any: what a JSON object holds
    if value is None:
        return None
    if value["payload"] not in _PAYLOADS:
        raise SchemaError(f"payload {value['payload']!r} is unknown")
    return value["payload"], Schema.from_json(value["schema"])


def _counts_from_json(value: Any) -> dict[str, int]:  # Any: what a JSON object holds
    return {str(reason): int(rows) for reason, rows in value.items()}


def _shard_from_json(value: dict[str, Any]) -> Shard:  # Any: what a JSON object holds
    companions = tuple(Companion(**_checked_file(each)) for each in value["companions"])
    shard = Shard(**{**_checked_file(value), "companions": companions})
    if not isinstance(shard.num_rows, int):
        raise SchemaError(f"shard {shard.name!r}: rows are a number")
    return shard


def _checked_file(value: dict[str, Any]) -> dict[str, Any]:  # Any: what a JSON object holds
    """What a manifest says of a file, after a look at its name and numbers."""
    name = value["name"]
    if not isinstance(name, str) or os.path.basename(name) != name or name in ("", ".", "..") or "\0" in name:
        raise SchemaError(f"a shard is a file beside the manifest, not {name!r}")
    if not all(isinstance(value[number], int) for number in ("nbytes", "crc32c")):
        raise SchemaError(f"shard {name!r}: bytes and checksum are numbers")
    return value


def find_manifest(path: str) -> Manifest | None:
    """The manifest of an output, or the one that names this file; None where there is none."""
    for output in sidecar_candidates(path):
        candidate = manifest_path(output)
        if is_beside(candidate):
            manifest = read_manifest(candidate)
            if output == path and not exists(path):
                return manifest
            if os.path.basename(path) in [shard.name for shard in manifest.shards]:
                return manifest
    return None


def stale_files(
    output: str, format: Format, receipts: Sequence[Receipt], neighbours: Sequence[Pending] = ()
) -> list[str]:
    """What new files of an output make void and do not replace: those of an earlier conversion to it, or to one of its
    shards, and indexes.
    """
    finals = {file.final for file in (*neighbours, *(file for receipt in receipts for file in receipt.files))}
    belonging = [file for receipt in receipts for file in format.files_of(receipt.files[0].final)]
    alone = [receipt.files[0].final for receipt in receipts if receipt.files[0].final != output]
    converted = [path for path in alone if is_beside(manifest_path(path))]
    sidecars = [file for path in converted for file in (manifest_path(path), schema_path(path))]
    return [file for file in dict.fromkeys([*earlier_files(output), *sidecars, *belonging]) if file not in finals]


def earlier_files(output: str) -> list[str]:
    """The files of an earlier conversion to the same output, as its manifest names them, with what belongs to them."""
    candidate = manifest_path(output)
    if not is_beside(candidate):
        return []
    try:
        earlier = read_manifest(candidate)
    except FormatError:
        return []
    return written_files(earlier)


def written_files(manifest: Manifest) -> list[str]:
    """The files of an output, as far as a file of that name can be one of its files, whatever the manifest says.

    These may be removed, and anyone can write a manifest that names a file that is not of its output.
    """
    format, folder = get_format(manifest.format), os.path.dirname(manifest.output)
    shards = [path for path in manifest.paths if manifest.output in sidecar_candidates(path)]
    known = {f"{os.path.basename(manifest.output)}.schema.pbtxt"}
    if _is_of_tfds(manifest):
        known |= {FEATURES, DATASET_INFO, *map(labels_name, manifest.schema)}
    names = [each.name for each in manifest.neighbours if each.name in known]
    files = [file for path in shards for file in format.files_of(path)]
    return [*files, *(os.path.join(folder, name) for name in names)]


def _is_of_tfds(manifest: Manifest) -> bool:
    """Whether an output and its files are called as tensorflow_datasets calls them; others have no features.json."""
    name, _, split = os.path.basename(manifest.output).removesuffix(".tfrecord").partition("-")
    try:
        dataset = DatasetName.parse(f"{name}:0.0.0:{split}")
    except ValueError:
        return False
    expected = shard_names(manifest.output, len(manifest.shards), number_last=True)
    return os.path.basename(manifest.output) == dataset.file_name and manifest.paths == expected
