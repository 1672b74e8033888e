"""Looking at the sources of a migration, one by one: what each is, which columns it has, and where it can be cut.

As little of each is read as that takes: sizes, heads and first records. What is presumed after that is compared
while the rows are read (perform.py).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import FormatError, SchemaError, UnknownFormatError
from ..formats import get_format
from ..formats.base import ALARM, Extent, Format, OnBadRecord, Request, Skipped, Summary
from ..paths import is_file_beside
from ..remote import is_remote
from ..schema import Schema
from ..shards import missing_shard, parse_shard, schema_path, sidecar_candidates
from ..sources import Source
from ..temporary import new_run_mark
from .fingerprints import SourceFile, fingerprint
from .pool import Json, OnAnswer, run_jobs
from .quarantine import Quarantined, is_ours, quarantined_from_json

_AT_ONCE = 64  # files that a worker process is given to look at
_FEW = 256  # files for which no processes are started


@dataclass(frozen=True, slots=True)
class Look:
    """How to look at sources.

    Attributes: source_options; on_bad_record; fields, the names that will be wanted, None for all; target_format,
    which may take undecoded records; is_whole, to look at every record; piece, bytes of the extents that big files
    are cut into, None for uncut ones.
    """

    source_options: Mapping[str, object]
    on_bad_record: OnBadRecord
    fields: tuple[str, ...] | None
    target_format: str
    is_whole: bool
    piece: int | None


@dataclass(frozen=True, slots=True)
class Scout:
    """What was seen of a source. num_rows is None where its records were not counted; error, why it cannot be read."""

    path: str
    file: SourceFile | None
    format: str = ""
    options: Mapping[str, object] | None = None
    summary: Summary | None = None
    num_rows: int | None = None
    extents: tuple[Extent, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    beside: tuple[SourceFile, ...] = ()
    """What lies beside it and is read with it: its index, its sidecar, the list of its labels."""
    error: Quarantined | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it is known to hold no row."""
        return self.num_rows == 0 or (self.file is not None and self.file.nbytes == 0)

    def to_json(self) -> Json:
        summary = None if self.summary is None else summary_to_json(self.summary)
        plain = {name: getattr(self, name) for name in ("path", "format", "options", "num_rows")}
        parts = {"extents": [asdict(each) for each in self.extents], "skipped": [asdict(each) for each in self.skipped]}
        parts["beside"] = [asdict(each) for each in self.beside]
        file, error = (None if each is None else asdict(each) for each in (self.file, self.error))
        return {**plain, **parts, "summary": summary, "file": file, "error": error}

    @classmethod
    def from_json(cls, value: Json) -> Scout:
        known: dict[str, Any] = {  # Any: the fields are of several types
            "file": value["file"] and SourceFile(**value["file"]),
            "summary": value["summary"] and summary_from_json(value["summary"]),
            "extents": tuple(Extent(**each) for each in value["extents"]),
            "skipped": tuple(Skipped(**each) for each in value["skipped"]),
            "beside": tuple(SourceFile(**each) for each in value["beside"]),
            "error": value["error"] and quarantined_from_json(value["error"]),
        }
        return cls(**{**value, **known})


def summary_to_json(summary: Summary) -> Json:
    """The Summary as JSON."""
    return {
        "format": summary.format,
        "schema": summary.schema.to_json(),
        "num_rows": summary.num_rows,
        "nbytes": summary.nbytes,
        "notes": summary.notes,
        "warnings": summary.warnings,
        "empty": dict(summary.empty),
        "preset": summary.preset,
    }


def summary_from_json(value: Json) -> Summary:
    """What summary_to_json wrote."""
    known = {"schema": Schema.from_json(value["schema"])}
    return Summary(**{**value, **known, "notes": tuple(value["notes"]), "warnings": tuple(value["warnings"])})


def scout(path: str, look: Look) -> Scout:
    """Look at one source. What is wrong with it is in its error; only what is no fault of the file is raised."""
    file = None
    try:
        _refuse_no_file(path)
        file = fingerprint(path)
        return _seen(path, file, look)
    except FileNotFoundError as err:
        is_shard = file is None and parse_shard(path) is not None and not os.path.islink(path)
        return Scout(path, file, error=Quarantined.of(missing_shard(path) if is_shard else err, path, "", 0))
    except (FormatError, SchemaError, UnknownFormatError, OSError) as err:
        if is_ours(err):
            raise
        return Scout(path, file, error=Quarantined.of(err, path, "", 0))


def _refuse_no_file(path: str) -> None:
    """OSError for a pipe, which would be waited for, and the like; a folder is one that could not be looked into."""
    if is_remote(path) or os.path.isfile(path) or not os.path.exists(path):
        return
    if os.path.isdir(path):
        os.listdir(path)
    raise OSError(errno.EINVAL, "is no file of data", path)


def _seen(path: str, file: SourceFile, look: Look) -> Scout:
    try:
        source = Source.open([path], look.source_options, look.on_bad_record)
    except (FormatError, SchemaError, UnknownFormatError):
        raise
    except ValueError as err:  # an option that this format has not
        raise ValueError(f"{path}: {err}") from err
    format, options = source.format, source.options[0]
    skipped: list[Skipped] = []
    presumed = None
    if not look.is_whole and format is not get_format(look.target_format):  # whose records may pass undecoded
        presumed = _presumed(format, path, options)
    if presumed is None:
        fields = None if look.fields is None else frozenset(look.fields)
        request = Request(Schema(), None, look.on_bad_record, skipped.append, fields=fields)
        summary = format.inspect(path, options, request)
    else:
        doubts = tuple(format.doubts(path, options))
        alarms = tuple(doubt for doubt in doubts if ALARM in doubt)
        summary = Summary(format.name, presumed, 0, file.nbytes, doubts, alarms)
    whole = look.piece is None or file.nbytes <= look.piece
    extents = [Extent(path)] if whole else format.split(path, options, look.piece or file.nbytes)
    is_counted = presumed is None and not _lacks_all(format, path, options, summary)
    num_rows = summary.num_rows if is_counted else None
    known = (summary, num_rows, tuple(extents), tuple(skipped), files_beside(path, format, options))
    return Scout(path, file, format.name, asdict(options), *known)


def _lacks_all(format: Format, path: str, options: Any, summary: Summary) -> bool:  # Any: the format's own dataclass
    """Whether a file has columns, and none of those that are wanted: then its rows were not counted."""
    return not summary.num_rows and not summary.schema and len(format.certain(path, options)[0]) > 0


def files_beside(path: str, format: Format, options: Any) -> tuple[SourceFile, ...]:  # Any: the format's own dataclass
    """What lies beside a source and is read with it."""
    labels = getattr(options, "labels", None)
    index = getattr(options, "index", None)
    sidecars = map(schema_path, sidecar_candidates(path))
    paths = [*format.files_of(path)[1:], *sidecars, *(each for each in (labels, index) if each)]
    return tuple(fingerprint(each) for each in paths if is_file_beside(each))


def _presumed(format: Format, path: str, options: Any) -> Schema | None:  # Any: the format's own dataclass
    """As Format.presume; damage close to the beginning is left to who reads it, as it costs no more than its part."""
    try:
        return format.presume(path, options)
    except FormatError as err:
        if not err.record:
            raise  # not even a first record
        return format.glance(path, options, 1)


def scout_all(paths: Sequence[str], look: Look, workers: int, progress: Callable[[int], None]) -> list[Scout]:
    """Look at all sources, in worker processes where there are many. progress gets how many were just looked at."""
    if workers == 1 or len(paths) <= _FEW:
        found = []
        for path in paths:
            found.append(scout(path, look))
            progress(1)
        return found
    groups = [paths[first : first + _AT_ONCE] for first in range(0, len(paths), _AT_ONCE)]
    done: dict[int, list[Scout]] = {}

    def take(number: int, answer: Json) -> None:
        done[number] = [Scout.from_json(each) for each in answer["scouts"]]
        progress(len(groups[number]))

    jobs = [{"name": group[0], "paths": group, "look": asdict(look)} for group in groups]
    nothing: OnAnswer = lambda number, answer: None  # noqa: E731  # scouts have nothing to tell on their way
    run_jobs(jobs, workers, new_run_mark(), on_progress=nothing, on_done=take, kind="scout", memory=0)
    return [each for number in range(len(groups)) for each in done[number]]


class ScoutWorker:
    """Looks at the files of a job."""

    def obey(self, job: Json, progress: Callable[[Json], None]) -> Json:
        fields = job["look"]["fields"]
        look = Look(**{**job["look"], "fields": None if fields is None else tuple(fields)})
        return {"scouts": [scout(path, look).to_json() for path in job["paths"]]}

    def leave(self) -> None:
        """Nothing is written."""
