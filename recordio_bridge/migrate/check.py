"""Verifying what lies on disk: against its manifest where there is one, else by its own structure and checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import remote
from ..copies import Keep
from ..digests import digest
from ..errors import BridgeError, FormatError, UnknownFormatError
from ..files import Checksum, crc_of
from ..formats import format_of_source, get_format
from ..formats.base import ALARM, Extent, Format, Request
from ..paths import exists, is_folder, join, list_folder, nbytes_of
from ..schema import Schema
from ..shards import manifest_path, schema_path, shards_beside
from ..sidecar import read_sidecar, sidecars_naming
from ..sources import Listing, Source, has_option, listing, make_options
from .check_migration import verify_migrations
from .findings import Problem, Report
from .ledger import Companion, Manifest, Shard, find_manifest, read_manifest


def verify_path(path: str, options: Mapping[str, object]) -> Report:
    """Read everything that a path stands for, and report what is wrong; OSError where it cannot be looked at."""
    report = Report()
    remote.ask_anew()
    if is_folder(path):
        _verify_folder(path, report, options)
        return report
    try:
        manifest = find_manifest(path)
    except FormatError as err:
        report.add(path, err)
        return report
    if manifest is None:
        found = listing(path)
        _list_faults(found, report)
        for file in found.files:
            _verify_alone(file, report, options)
    elif exists(path) and path != manifest.output:
        only = [shard for shard in manifest.shards if shard.name == os.path.basename(path)]
        _repeat(manifest, report)
        _verify_shards(manifest, only, report)
        _verify_sidecar(manifest, only, report)
    else:
        _verify_set(manifest, report)
    return report


def _verify_folder(folder: str, report: Report, options: Mapping[str, object]) -> None:
    """Every migration and every manifest in a folder, then the data files that belong to none."""
    covered = verify_migrations(folder, report, verify_manifest)
    migrated = bool(covered)
    for name in list_folder(folder):
        path = join(folder, name)
        if name.endswith(".manifest.json") and path not in covered:
            covered |= {path, *verify_manifest(path, report)}
    try:
        found = listing(folder)
    except FileNotFoundError:
        if not covered and not report.problems:
            raise
        return
    others = [path for path in found.files if path not in covered]
    _list_faults(replace(found, files=others), report, with_remarks=not migrated)
    for path in others:
        if migrated:
            report.problems.append(Problem(path, f"{path}: is in no manifest here; left over?"))
        else:
            _verify_alone(path, report, options)


def _list_faults(found: Listing, report: Report, with_remarks: bool = True) -> None:
    """What a folder or a glob should stand for and does not, and what is not looked at."""
    known = {problem.path for problem in report.problems}
    for fault in found.faults():
        if fault.path not in known:  # by a manifest
            report.add(str(fault.path), fault)
    remarks = found.remarks if with_remarks else []
    report.warnings += remarks
    report.notes += remarks


def verify_manifest(path: str, report: Report) -> set[str]:
    """An output by its manifest; the files that are looked at with it."""
    try:
        manifest = read_manifest(path)
    except FormatError as err:
        report.add(path, err)
        return set()
    _verify_set(manifest, report)
    return {*manifest.paths, *_extra(manifest)}


def _repeat(manifest: Manifest, report: Report) -> None:
    """What the conversion had to say that whoever deletes its source should know."""
    said = list(manifest.warnings)
    report.is_complete = report.is_complete and manifest.is_complete
    for each in manifest.quarantine:
        said.append(f"{', '.join(each.shards) or manifest.output}: lacks rows of {each}")
    if manifest.skipped:
        said.append(
            f"{manifest_path(manifest.output)} lists {len(manifest.skipped)} places that were left out as damaged"
        )
    report.warnings += said
    report.notes += said


def _verify_set(manifest: Manifest, report: Report) -> None:
    _repeat(manifest, report)
    _verify_shards(manifest, manifest.shards, report)
    for path in _extra(manifest):
        report.problems.append(
            Problem(path, f"{path}: is not in {manifest_path(manifest.output)}; left over from another run?")
        )
    _verify_sidecar(manifest, manifest.shards, report)
    for each in manifest.neighbours:
        unfit = _unfit_file(os.path.join(os.path.dirname(manifest.output), each.name), each)
        if unfit is not None:
            report.add(str(unfit.path), unfit)


def _verify_sidecar(manifest: Manifest, shards: Sequence[Shard], report: Report) -> None:
    path = schema_path(manifest.output)
    try:
        sidecar = read_sidecar(path)
        told = (sidecar.schema, sidecar.payload, sidecar.class_names)
        if told != (manifest.schema, manifest.payload, manifest.class_names):
            raise FormatError(
                f"{path}: does not say what the manifest says of the fields; damaged, or edited", path=path
            )
        wrong = {problem.path for problem in report.problems}
        for file in (os.path.join(os.path.dirname(path), shard.name) for shard in shards):
            if file not in wrong and not (os.path.basename(file) in sidecar.files and sidecar.describes(file)):
                raise FormatError(
                    f"{path}: does not describe {file}, as the manifest does; damaged, or edited", path=path
                )
    except FileNotFoundError:
        report.problems.append(Problem(path, f"{path}: is missing; without it dtypes and shapes must be guessed"))
    except FormatError as err:
        report.add(path, err)


def _extra(manifest: Manifest) -> list[str]:
    """Files beside the output that look like its shards and are in no manifest, neither in its own nor in theirs.

    A mirror of a and of a-00000-of-00002, which are two sources, has an output of each.
    """
    known = set(manifest.paths)
    beside = (shard.path for shard in shards_beside(manifest.output))
    return [path for path in beside if path not in known and not exists(manifest_path(path))]


def _verify_shards(manifest: Manifest, shards: Sequence[Shard], report: Report) -> None:
    format = get_format(manifest.format)
    folder = os.path.dirname(manifest.output)
    for shard in shards:
        path = os.path.join(folder, shard.name)
        report.files.append(path)
        if not exists(path):
            report.problems.append(Problem(path, f"{path}: is missing; the manifest names it"))
            continue
        if is_folder(path):
            report.problems.append(Problem(path, f"{path}: is a folder; the manifest names a file"))
            continue
        try:
            with Keep([path]):
                resolved = _options_of(path, manifest, format, manifest.payload)
                _verify_shard(path, shard, manifest, format, report)
                format.check_companions(path, resolved)
        except BridgeError as err:
            report.add(path, err)


def _verify_shard(path: str, shard: Shard, manifest: Manifest, format: Format, report: Report) -> None:
    """Structure and checksums first, as they name the record; then size, checksum and content of the whole."""
    num_rows, crc, content = 0, Checksum(), hashlib.sha256()
    unfit = _unfit_companion(path, shard)
    options, request = _view(path, manifest, format, with_keys=unfit is None)
    for batch in format.read(Extent(path), options, replace(request, on_bytes=crc.add)):
        num_rows += len(batch)
        if manifest.content_of is not None and request.schema == manifest.content_of[1]:
            content.update(digest(batch).tobytes())
    report.num_rows += num_rows
    size = nbytes_of(path)
    for what, expected, found in (("rows", shard.num_rows, num_rows), ("bytes", shard.nbytes, size)):
        if expected != found:
            raise FormatError(
                f"{path}: has {found} {what}, expected {expected}; another file, or changed since", path=path
            )
    if unfit is not None:
        raise unfit
    if crc.value != shard.crc32c:
        raise FormatError(
            f"{path}: CRC-32C is {crc.value:08x}, expected {shard.crc32c:08x}; another file, or damaged", path=path
        )
    if shard.content is not None and manifest.content_of is not None and content.hexdigest() != shard.content:
        raise FormatError(
            f"{path}: the digest of its rows is {content.hexdigest()[:16]}..., expected {shard.content[:16]}...; not "
            "the rows that were converted, or the manifest was edited",
            path=path,
        )


def _options_of(path: str, manifest: Manifest, format: Format, payload: str | None) -> Any:  # Any: the format's options
    known: dict[str, object] = {} if payload is None else {"payload": payload}
    if has_option(format, "expansion"):
        known["expansion"] = "any"  # the manifest says what is in it
    return format.resolve(path, make_options(format, known))


def _view(path: str, manifest: Manifest, format: Format, with_keys: bool) -> tuple[Any, Request]:
    """The options and the request that read a shard as its content was taken: records that passed through, undecoded.

    Without the keys of an index that is not sound; the content cannot be compared then.
    """
    payload, columns = manifest.content_of or (manifest.payload, manifest.schema)
    passed = payload != manifest.payload and manifest.payload is not None
    holds = (manifest.payload, manifest.schema) if passed and manifest.payload is not None else None
    if not with_keys:
        columns = columns.pick([name for name in columns if name != "key"])
    return _options_of(path, manifest, format, payload), Request(columns, None, holds=holds)


def _unfit_companion(path: str, shard: Shard) -> FormatError | None:
    """What is wrong with the files that belong to a shard."""
    for companion in shard.companions:
        unfit = _unfit_file(os.path.join(os.path.dirname(path), companion.name), companion)
        if unfit is not None:
            return unfit
    return None


def _unfit_file(path: str, companion: Companion) -> FormatError | None:
    """What is wrong with a file that the manifest names."""
    if not exists(path):
        return FormatError(f"{path}: is missing; the manifest names it", path=path)
    if crc_of(path) != companion.crc32c:
        return FormatError(f"{path}: is not what was written; damaged, or another file", path=path)
    return None


def _verify_alone(path: str, report: Report, options: Mapping[str, object]) -> None:
    """A file without a manifest: every record is read and decoded."""
    report.files.append(path)
    try:
        source = _open_alone(path, report, options)
        schema = source.schema()
        for batch in _batches(source, schema):
            report.num_rows += batch
        for file, opts in zip(source.paths, source.options, strict=True):
            source.format.check_companions(file, opts)
        for sidecar in sidecars_naming(path):
            doubt = sidecar.doubt(path)
            if not sidecar.describes(path):
                report.problems.append(Problem(sidecar.path, str(doubt)))
            elif doubt is not None:
                report.notes.append(doubt)
        told = {problem.message for problem in report.problems}
        doubts = source.format.doubts(path, source.options[0])
        alarms = [doubt for doubt in doubts if ALARM in doubt and doubt not in told]
        report.warnings += alarms
        report.notes += [alarm for alarm in alarms if alarm not in report.notes]
        report.notes += [f"{path}: no manifest names it; checked by itself"]
    except UnknownFormatError:
        raise
    except BridgeError as err:
        report.add(path, err)


def _open_alone(path: str, report: Report, options: Mapping[str, object]) -> Source:
    """The file as its content says; as raw records where that fits nothing that we decode."""
    known = {"format": format_of_source(path).name, **options}
    try:
        return Source.open(path, known)
    except FormatError as err:
        if "payload" in known or not has_option(get_format(str(known["format"])), "payload"):
            raise
        try:
            source = Source.open(path, {**known, "payload": "raw"})
        except FormatError:
            raise err from None
        reason = str(err).removeprefix(f"{path}: ")
        report.warnings.append(f"{path}: only the frames are checked: {reason}")
        report.notes.append(report.warnings[-1])
        return source


def _batches(source: Source, schema: Schema) -> Iterator[int]:
    return (len(batch) for batch in source.read(schema, None))
