"""What a source argument means: a path, a list, a glob, a folder, or the base name of a shard set.

A Source is the files that it stands for, read as one dataset in the order of their names (a list keeps its own).
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, cast

import numpy as np

from .arguments import described
from .batch import Batch, rebatch
from .errors import FormatError, SchemaError, UnknownFormatError
from .files import absolute
from .formats import format_of_source, format_of_target, get_format
from .formats.base import ALARM, Extent, Format, OnBadRecord, Request, Skipped, Summary, pick_schema
from .schema import Field, Schema
from .shards import shard_names, shards_beside
from .sidecar import find_sidecar

_log = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"
SourceArgument: TypeAlias = "PathLike | Sequence[PathLike]"
_GLOB = ("*", "?", "[")


def expand(source: SourceArgument) -> list[str]:
    """The files that a source argument stands for.

    Raises:
        FileNotFoundError: there are none.
        TypeError: it is neither a path nor a list of paths.
        FormatError: a shard of a set is missing.
    """
    if not isinstance(source, (str, os.PathLike)):
        return [path for item in _listed(source) for path in expand(item)]
    path = os.fspath(source)
    if os.path.isdir(path):
        return _in_folder(path)
    if os.path.exists(path):
        return [path]
    if any(char in path for char in _GLOB):
        suffix = os.path.splitext(path)[1]
        is_named = suffix != "" and not any(char in suffix for char in _GLOB)
        found = sorted(
            file for file in glob.glob(path, recursive=True) if os.path.isfile(file) and _is_data(file, is_named)
        )
        if not found:
            raise FileNotFoundError(f"{path}: no file fits this pattern")
        return found
    return _shards_of(path)


def _listed(source: object) -> Iterable[SourceArgument]:
    is_list = isinstance(source, Iterable) and not isinstance(source, (bytes, bytearray, Mapping))
    is_numbers = isinstance(source, np.ndarray) and source.dtype.kind not in "UO"
    if not is_list or is_numbers or hasattr(source, "provide_data"):  # of mx.io.DataIter, which is an iterator, too
        advice = "; os.fsdecode() makes text of it" if isinstance(source, bytes) else ""
        raise TypeError(f"expected a path, or a list of paths; found {described(source)}{advice}")
    return cast("Iterable[SourceArgument]", source)


def _in_folder(folder: str) -> list[str]:
    """The data files of a folder; others, such as sidecars and indexes, are passed over."""
    found = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    found = [file for file in found if os.path.isfile(file) and _is_data(file)]
    if not found:
        raise FileNotFoundError(f"{folder}: no file of a known format is in this folder")
    return found


def _is_data(path: str, is_named: bool = False) -> bool:
    """Whether a file is one of data. Of a format without a suffix of its own, only where its suffix is named."""
    if os.path.basename(path).startswith("."):
        return False
    try:
        format_of_target(path)
    except UnknownFormatError:
        try:
            has_suffix = format_of_source(path).suffixes != ()
            return (has_suffix or is_named) and not path.endswith((".idx", ".lst", ".json"))
        except UnknownFormatError:
            return False
    return True


def _shards_of(output: str) -> list[str]:
    """The shards of an output of which only the base name was given."""
    found = shards_beside(output)
    counts = {shard.count for shard in found}
    if not counts:
        raise FileNotFoundError(f"{output}: no such file, and no shards of that name")
    number_last = {shard.path.startswith(output) for shard in found}
    if len(counts) > 1 or len(number_last) > 1:
        raise FormatError(
            f"{output}: shards of several sets lie here, of {sorted(counts)}; name one with a glob", path=output
        )
    shards = shard_names(output, counts.pop(), number_last=number_last.pop())
    for shard in shards:
        if not os.path.exists(shard):
            raise FormatError(f"{shard}: is missing from its set of {len(shards)} shards", path=shard)
    return shards


def target_format(path: str, options: Mapping[str, object]) -> tuple[Format, dict[str, object]]:
    """The format of a file to be written, by the option format or by its suffix; and the other options."""
    rest = dict(options)
    name = rest.pop("format", None)
    return get_format(str(name)) if name else format_of_target(path), rest


def make_options(format: Format, options: Mapping[str, object]) -> Any:
    """The options dataclass of a format; ValueError for an option that it has not, or a value that it does not know."""
    known = {field.name: field for field in fields(format.options)}
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{format.name} has no option {name!r}; it has {', '.join(known)}")
        choices = option_choices(format, name)
        if choices and value not in choices:
            raise ValueError(
                f"option {name}={value!r} of {format.name}: expected one of {', '.join(map(repr, choices))}"
            )
    return format.options(**options)


def has_option(format: Format, name: str) -> bool:
    """Whether a format has an option of this name."""
    return name in {field.name for field in fields(format.options)}


def option_choices(format: Format, name: str) -> tuple[object, ...]:
    """The values that an option may have; () where any text will do."""
    from typing import Literal, get_args, get_origin, get_type_hints

    hint = get_type_hints(format.options)[name]
    return get_args(hint) if get_origin(hint) is Literal else ()


@dataclass(frozen=True, slots=True)
class Source:
    """Files of one format, with resolved options each, read as one dataset."""

    format: Format
    paths: tuple[str, ...]
    options: tuple[Any, ...]
    on_bad_record: OnBadRecord = "raise"

    @classmethod
    def open(
        cls, source: SourceArgument, options: Mapping[str, object] | None = None, on_bad_record: OnBadRecord = "raise"
    ) -> Source:
        """Find the files, their format and their options. options may name the format itself.

        Raises:
            FormatError: the files are of several formats, or a file's options cannot be decided.
        """
        if on_bad_record not in ("raise", "skip"):
            raise ValueError(f"on_bad_record={on_bad_record!r}: expected 'raise' or 'skip'")
        chosen = dict(options or {})
        name = chosen.pop("format", None)
        paths = expand(source)
        if not paths:
            raise ValueError("no sources: the list is empty")
        formats = {path: get_format(str(name)) if name else format_of_source(path) for path in paths}
        examples = {format.name: path for path, format in reversed(formats.items())}  # the first file of each
        if len(examples) > 1:
            listed = ", ".join(f"{os.path.basename(path)} is {name}" for name, path in sorted(examples.items()))
            raise FormatError(f"the sources are of several formats: {listed}; give those of one at a time")
        format = formats[paths[0]]
        asked = make_options(format, chosen)
        resolved = tuple(format.resolve(path, asked) for path in paths)
        for path, each in zip(paths, resolved, strict=True):
            _log.info("%s is read as %s", path, each)
        return cls(format, tuple(paths), resolved, on_bad_record)

    def absolute(self) -> Source:
        """The same files, whatever the current folder will be."""
        return replace(self, paths=tuple(map(absolute, self.paths)))

    @property
    def is_sequential(self) -> bool:
        """Whether a file can only be read from its beginning."""
        return any(self.format.is_sequential(options) for options in self.options)

    def sees_empty(self, field: str) -> bool:
        """Whether it is seen without reading the rows in which of them a bytes field is empty."""
        return all(self.format.sees_empty(options, field) for options in self.options)

    def run_rows(self, schema: Schema) -> int:
        """How many neighbouring rows must be read for these fields of one of them: those of a chunk (HDF5), else 1."""
        each = zip(self.paths, self.options, strict=True)
        return max(self.format.run_rows(path, options, schema) for path, options in each)

    def request(
        self,
        schema: Schema,
        batch_rows: int | None,
        on_skip: Callable[[Skipped], None],
        fields: Iterable[str] | None = None,
        where: str | None = None,
    ) -> Request:
        chosen = None if fields is None else frozenset(fields)
        return Request(schema, batch_rows, self.on_bad_record, on_skip, fields=chosen, where=where)

    def summaries(
        self, on_skip: Callable[[Skipped], None] = lambda skipped: None, fields: Iterable[str] | None = None
    ) -> list[Summary]:
        """What each file holds. fields: the names that will be wanted; of others, no more is asked."""
        request = self.request(Schema(), None, on_skip, fields)
        return [
            self.format.inspect(path, options, request) for path, options in zip(self.paths, self.options, strict=True)
        ]

    def schema(self, fields: Sequence[str] | None = None) -> Schema:
        """The schema of the files, or of some fields; looks no further into the files than that takes."""
        certain = [self.format.certain(path, options) for path, options in zip(self.paths, self.options, strict=True)]
        first, complete = certain[0][0], all(is_all for _, is_all in certain)
        if all(schema == first for schema, _ in certain) and (complete or (fields and set(fields) <= set(first))):
            return self._picked(first, fields)
        return self._picked(self.summary(fields=fields).schema, fields)

    def _picked(self, schema: Schema, fields: Sequence[str] | None) -> Schema:
        for name in fields or ():
            if name not in schema:
                raise SchemaError(
                    f"{self.paths[0]}: there is no field {name!r}; there are {', '.join(schema) or 'none'}", field=name
                )
        return pick_schema(schema, fields)

    def log_doubts(self, *, only_alarms: bool = False) -> None:
        """Tell of what lies beside the files and does not fit them, where there are no notes to be read."""
        found = (self.format.doubts(path, opts) for path, opts in zip(self.paths, self.options, strict=True))
        for doubt in dict.fromkeys(doubt for doubts in found for doubt in doubts):
            if ALARM in doubt:
                _log.error("%s", doubt)
            elif not only_alarms:
                _log.warning("%s", doubt)

    def summary(
        self, on_skip: Callable[[Skipped], None] = lambda skipped: None, fields: Iterable[str] | None = None
    ) -> Summary:
        """What the files hold together, and what their sidecars call it. fields as for summaries."""
        merged = merge_summaries(self.paths, self.summaries(on_skip, fields))
        sidecars = [find_sidecar(path) for path in self.paths]
        named = {str(each.class_names) for each in sidecars if each is not None and each.class_names is not None}
        return replace(merged, notes=(*merged.notes, *(f"the sidecar names {names}" for names in sorted(named))))

    def extents(self) -> list[tuple[Extent, Any]]:
        """Every file as one extent, with its options."""
        return [(Extent(path), options) for path, options in zip(self.paths, self.options, strict=True)]

    def read(
        self,
        schema: Schema,
        batch_rows: int | None,
        on_skip: Callable[[Skipped], None] = lambda skipped: None,
        where: str | None = None,
    ) -> Iterator[Batch]:
        """The rows of all files, in Batches of exactly batch_rows but for the last; None leaves their size open.

        where: a bytes field; where sees_empty, rows in which it is empty are left out, and batch_rows is to be None.
        """
        request = self.request(schema, batch_rows, on_skip, where=where)
        batches = (batch for extent, options in self.extents() for batch in self.format.read(extent, options, request))
        cut_again = batch_rows is not None and (len(self.paths) > 1 or self.on_bad_record == "skip")
        return rebatch(batches, batch_rows) if cut_again and batch_rows is not None else batches


def merge_summaries(
    paths: Sequence[str], summaries: Sequence[Summary], common: bool = False, optional: Sequence[str] = ()
) -> Summary:
    """One Summary for several files; for common and optional see merge_schemas."""
    first = summaries[0]
    if len(summaries) == 1:
        return first
    notes = (f"{len(paths)} files", *_merge_notes(paths, [summary.notes for summary in summaries]))
    warnings = _merge_notes(paths, [summary.warnings for summary in summaries])
    rows, nbytes = sum(s.num_rows for s in summaries), sum(s.nbytes for s in summaries)
    schema = merge_schemas(paths, summaries, common, optional)
    empty = {name: sum(each.empty.get(name, 0) for each in summaries) for name in first.empty}
    preset = first.preset if all(each.preset == first.preset for each in summaries) else None
    return Summary(first.format, schema, rows, nbytes, notes, warnings, empty, preset)


def _merge_notes(paths: Sequence[str], notes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The notes of several files: those that all have once, the others with their file."""
    merged: list[str] = []
    for path, mine in zip(paths, notes, strict=True):
        for note in mine:
            if not all(note in others for others in notes):
                merged.append(f"{os.path.basename(path)}: {note}")
            elif note not in merged:
                merged.append(note)
    return tuple(merged)


def merge_schemas(
    paths: Sequence[str], summaries: Sequence[Summary], common: bool = False, optional: Sequence[str] = ()
) -> Schema:
    """The schema that fits all files; common leaves out the fields in which they differ, instead of raising.

    Those in optional a file may lack.

    Fields that differ only in how many values a row has become (None,), as do inferred ones that a file lacks.

    Raises:
        SchemaError: the files disagree, naming the field and the two files.
    """
    merged: dict[str, Field] = dict(summaries[0].schema)
    inferred = all("schema inferred from the records" in summary.notes for summary in summaries)
    for path, summary in zip(paths[1:], summaries[1:], strict=True):
        for name in dict.fromkeys([*merged, *summary.schema]):
            mine, theirs = merged.get(name), summary.schema.find(name)
            if mine == theirs:
                continue
            present = mine or theirs
            if name in optional and (mine is None or theirs is None) and present is not None:
                merged[name] = present
                continue
            if inferred and (mine is None or theirs is None or mine.dtype == theirs.dtype) and present is not None:
                merged[name] = Field(name, present.dtype, (None,))
                continue
            if common:
                merged.pop(name, None)
                continue
            raise SchemaError(
                f"field {name!r} is {_kind(mine)} in {paths[0]}, and {_kind(theirs)} in {path}; "
                "pass fields= or schema= (or --select), or convert them one by one",
                field=name,
            )
    return Schema(*(merged[name] for name in (sorted(merged) if inferred else merged)))


def _kind(field: Field | None) -> str:
    return "missing" if field is None else field.kind
