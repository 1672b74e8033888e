"""Verifying what migrations left in a folder: that each of their outputs is there, and what is missing from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..companions import FINISHED
from ..errors import FormatError
from ..files import crc_of
from ..formats import is_called_as_data
from ..paths import exists, join, list_folder
from .conclude import read_finished
from .findings import Problem, Report
from .quarantine import quarantined_from_json
from .unfinished import SUFFIX, is_unfinished

VerifyManifest = Callable[[str, Report], set[str]]


def verify_migrations(folder: str, report: Report, verify_manifest: VerifyManifest) -> set[str]:
    """Look at all migrations in a folder; the files that belong to them, and their manifests."""
    covered: set[str] = set()
    mirrors = False
    for name in list_folder(folder):
        path = join(folder, name)
        if is_unfinished(path):
            stem = name.removesuffix(SUFFIX)
            if not exists(join(folder, f"{stem}{FINISHED}")):
                message = f"{path}: a migration was begun here and is not done; go on with it (migrate --resume)"
                report.problems.append(Problem(path, message))
        elif name.endswith(FINISHED):
            mine, is_mirror = _verify_migration(folder, path, report, verify_manifest)
            covered, mirrors = covered | {path, *mine}, mirrors or is_mirror
    if mirrors:
        _report_extra(folder, covered, report)
    return covered


def _verify_migration(folder: str, path: str, report: Report, verify_manifest: VerifyManifest) -> tuple[set[str], bool]:
    """The files of a migration, and whether they are a mirror."""
    covered: set[str] = set()
    try:
        finished: dict[str, Any] = read_finished(path) or {}  # Any: what a JSON object holds
        outputs = [(join(folder, each["manifest"]), each["crc32c"]) for each in finished["outputs"]]
        is_mirror, is_complete = bool(finished["asked"]["mirror"]), bool(finished["complete"])
        lacking = [each for each in map(quarantined_from_json, finished["quarantine"]) if not each.shards or is_mirror]
    except (FormatError, KeyError, TypeError) as err:
        problem = err if isinstance(err, FormatError) else FormatError(f"{path}: damaged: {err!r}", path=path)
        report.add(path, problem)
        return covered, False
    for manifest, crc in outputs:
        covered.add(manifest)
        if not exists(manifest):
            report.problems.append(Problem(manifest, f"{manifest}: is missing; {path} names it"))
        elif crc_of(manifest) != crc:
            message = (
                f"{manifest}: is not the manifest that {path} names; edited, or of another run: migrate again with "
                f"--overwrite, or remove {path} where that other output is what is to be there"
            )
            report.problems.append(Problem(manifest, message))
        else:
            covered |= verify_manifest(manifest, report)
    report.is_complete = report.is_complete and is_complete
    for each in lacking:
        said = f"{', '.join(each.shards) or folder}: lacks {each.path}: {each.reason}"
        if not any(each.path in warning and each.reason in warning for warning in report.warnings):
            report.warnings.append(said)
            report.notes.append(said)
    return covered, is_mirror


def _report_extra(folder: str, covered: set[str], report: Report) -> None:
    """Data files in the tree below a folder that no manifest names; those in the folder itself are seen with it."""
    known = {os.path.realpath(path) for path in covered}
    for inner, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(inner, name)
            if inner != folder and is_called_as_data(name) and os.path.realpath(path) not in known:
                report.problems.append(Problem(path, f"{path}: is in no manifest here; left over?"))
