"""What a source argument means: a path, a list, a glob, a folder, or the base name of a shard set.

A Source is the files that it stands for, read as one dataset in the order of their names (a list keeps its own).
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from . import remote
from .arguments import described
from .batch import Batch, rebatch
from .companions import is_companion
from .copies import Keep
from .errors import FormatError, SchemaError, UnknownFormatError
from .formats import format_of_source, format_of_target, get_format, is_called_as_data
from .formats.base import ALARM, OF_ONE_FILE, Extent, Format, OnBadRecord, Request, Skipped, Summary, pick_schema
from .paths import absolute, inside, join, nbytes_of
from .remote import is_remote
from .schema import Field, Schema
from .shards import absent_shards, missing_shard, parse_shard, several_sets, shard_names, shards_beside, split_suffix
from .sidecar import find_sidecar

_log = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"
SourceArgument: TypeAlias = "PathLike | Sequence[PathLike]"
_GLOB = ("*", "?", "[")
_SHOWN = 5  # names in a remark
DIFFERING = "pass fields= or schema= (or --select), or convert them one by one"
"""What to do about files with other columns; a migration has an advice of its own in its place."""
UNLIKE = (
    "a select takes what is alike in all files; leave it out, or convert them one by one first, with a cast "
    "(NAME:DTYPE=NAME)"
)
"""The same, of a column that was selected."""


def expand(source: SourceArgument) -> list[str]:
    """The files that a source argument stands for.

    Raises:
        FileNotFoundError: there are none.
        TypeError: it is neither a path nor a list of paths.
        FormatError: a shard of a set is missing, or a link leads nowhere, as in Listing.faults.
    """
    return [path for each in listings(source) for path in each.sound()]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one path stands for."""

    path: str
    files: list[str]
    is_meant: Callable[[str], bool] | None = None
    """Of a folder or a glob: whether it would stand for a file of this path, if there were one."""
    dead_links: tuple[str, ...] = ()
    """Links of the names of data files that lead nowhere."""
    folders: tuple[str, ...] = ()
    """What is in a folder, or fits a pattern, and is not taken with it."""
    empty: tuple[str, ...] = ()
    """Files without a byte, of no known format, that are not taken either."""

    def sound(self) -> list[str]:
        """The files; the first fault is raised."""
        for fault in self.faults():
            raise fault
        return self.files

    @property
    def remarks(self) -> list[str]:
        """What is to be said of what is not taken."""
        said = []
        if self.empty:
            count = "1 empty file is" if len(self.empty) == 1 else f"{len(self.empty):,} empty files are"
            said.append(f"{self.path}: {count} not taken: {_listing_of(self.empty)}")
        if self.folders:
            count = "1 folder is" if len(self.folders) == 1 else f"{len(self.folders):,} folders are"
            listed = _listing_of(self.folders)
            said.append(f"{self.path}: {count} not taken: {listed}; migrate takes folders with all that is in them")
        return said

    def faults(self) -> Iterator[FormatError]:
        """What a folder or a glob should stand for, and does not: dead links, and the first shard that each set lacks.

        Which shards a path names by itself is the choice of whoever named it.
        """
        for link in self.dead_links:
            yield FormatError(f"{link}: is a link that leads nowhere; mend it, or remove it to do without", path=link)
        if self.is_meant is None:
            return
        try:
            for absent in absent_shards([*self.files, *self.dead_links], self.is_meant):
                yield from map(missing_shard, islice(absent, 1))
        except FormatError as err:
            yield err


def _listing_of(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def listings(source: SourceArgument) -> Iterator[Listing]:
    """What each path of a source argument stands for; raises as expand, but for faults."""
    if isinstance(source, (str, os.PathLike)):
        yield listing(os.fspath(source))
    else:
        for item in _listed(source):
            yield from listings(item)


def listing(path: str) -> Listing:
    """What a path stands for; raises as expand, but for faults."""
    if is_remote(path):
        return _remote_listing(path)
    if os.path.isdir(path):
        return _in_folder(path)
    if os.path.exists(path):
        return Listing(path, [path])
    if is_pattern(path):
        _check_folders(path)
        fitting = sorted(glob.glob(path, recursive=True))
        folders = [] if "**" in path else filter(os.path.isdir, fitting)  # ** goes through them
        return _fitting(path, list(filter(os.path.isfile, fitting)), tuple(filter(is_dead_link, fitting)), folders)
    return Listing(path, _shards_of(path))


def _remote_listing(path: str) -> Listing:
    """listing, of a path on a store."""
    info = remote.info_of(path)
    if info is not None:
        return _in_folder(path.rstrip("/")) if info.is_folder else Listing(path, [path])
    return _fitting(path, remote.globbed(path)) if is_pattern(path) else Listing(path, _shards_of(path))


def is_pattern(path: str) -> bool:
    """Whether a path has a character of a glob, which stands for itself only where a file of that name is there."""
    return any(char in path for char in _GLOB)


def _check_folders(pattern: str) -> None:
    """OSError for a folder that a pattern looks into and that cannot be read: glob passes over it in silence."""
    folder = os.path.dirname(pattern)
    if not is_pattern(folder):
        folders = [folder or os.curdir]
    else:
        _check_folders(folder)
        folders = glob.glob(os.path.join(folder, ""), recursive=True)
    for each in filter(os.path.isdir, folders):
        with os.scandir(each):
            pass


def _fitting(pattern: str, files: Sequence[str], dead: tuple[str, ...] = (), folders: Iterable[str] = ()) -> Listing:
    """Of the files that fit a pattern, those of data."""
    suffix = os.path.splitext(pattern)[1]
    is_named = suffix != "" and not is_pattern(suffix)
    found = data_among(files, is_named, is_named or _says_which(os.path.basename(pattern)))
    if not found.data and not dead:
        raise FileNotFoundError(f"{pattern}: no file of a known format fits this pattern")
    return Listing(pattern, found.data, partial(fits, pattern), dead, tuple(folders), found.empty)


def _says_which(pattern: str) -> bool:
    """Whether a pattern says anything of the names that it fits, as "part-*" does, and "*" does not."""
    return any(char.isalnum() for char in re.sub(r"\[.*?\]", "", pattern))


def fits(pattern: str, path: str) -> bool:
    """Whether a file would fit a pattern as others in its folder do."""
    return fnmatchcase(os.path.basename(path), os.path.basename(pattern))


def _listed(source: object) -> Iterable[SourceArgument]:
    is_list = isinstance(source, Iterable) and not isinstance(source, (bytes, bytearray, Mapping))
    is_numbers = isinstance(source, np.ndarray) and source.dtype.kind not in "UO"
    if not is_list or is_numbers or hasattr(source, "provide_data"):  # of mx.io.DataIter, which is an iterator, too
        advice = "; os.fsdecode() makes text of it" if isinstance(source, bytes) else ""
        raise TypeError(f"expected a path, or a list of paths; found {described(source)}{advice}")
    return cast("Iterable[SourceArgument]", source)


def _in_folder(folder: str) -> Listing:
    """The data files of a folder; others, such as sidecars and indexes, are passed over."""
    files, folders, links = inside(folder)
    found = data_among([join(folder, name) for name in files])
    dead = tuple(filter(is_dead_link, (join(folder, name) for name in links)))
    if not found.data and not dead:
        raise FileNotFoundError(f"{folder}: no file of a known format is in this folder")
    shown = tuple(name for name in folders if name[0] != ".")
    return Listing(folder, found.data, lambda path: True, dead, shown, found.empty)


def is_dead_link(path: str) -> bool:
    """Whether it is a link that leads nowhere, and has the name of a data file."""
    is_dead = os.path.islink(path) and not os.path.exists(path)
    return is_dead and is_called_as_data(path) and not os.path.basename(path).startswith(".")


class Among(NamedTuple):
    """Of some files, those of data, and those that would be if they held a byte."""

    data: list[str]
    empty: tuple[str, ...]


def data_among(files: Sequence[str], is_named: bool = False, are_meant: bool = False) -> Among:
    """Those of some files that are data, or are meant to be, as far as their names tell.

    One whose content no format knows is damaged, or was never data. It is meant where all are that were found
    (are_meant), or where it has the suffix of a file that is data, or none, as that: it is taken then, and so is an
    error. One without a byte beside data holds none of it: Spark writes such. is_named: they were found by their
    suffix, which a format without one of its own takes to be known.
    """
    known = {file for file in files if _is_data(file, is_named)}
    others = [file for file in files if file not in known and _may_be_data(file)]
    if not are_meant and others:
        kinds = set(map(_kind_of, known))
        others = [file for file in others if _kind_of(file) in kinds]
    taken = known.union(others)
    empty = tuple(file for file in files if file in taken and not is_called_as_data(file) and not nbytes_of(file))
    taken.difference_update(empty)
    return Among([file for file in files if file in taken], empty)


def _kind_of(path: str) -> tuple[str, bool]:
    """The suffix of a file, or of the set that it is a shard of, in lower case; of one without, whether it is called in
    capitals, as notes are for people (README, LICENSE, SHA256SUMS).
    """
    shard = parse_shard(path)
    name = os.path.basename(path if shard is None else shard.output)
    suffix = split_suffix(name)[1].lower()
    return suffix, suffix == "" and name.isupper()


def _may_be_data(path: str) -> bool:
    """Whether nothing but its content says that a file is none of data: "_" begins the names of notes, as of Spark."""
    name = os.path.basename(path)
    return not name.startswith((".", "_")) and not is_companion(name) and not name.endswith(".json")


def _is_data(path: str, is_named: bool) -> bool:
    """Whether a file is one of data. Of a format without a suffix of its own, only where its suffix is named."""
    name = os.path.basename(path)
    if name.startswith("."):
        return False
    if is_called_as_data(path):
        return True
    if is_companion(name) or name.endswith(".json"):
        return False  # of which there is one for each data file: they are not opened
    try:
        return format_of_source(path).suffixes != () or is_named
    except UnknownFormatError:
        return is_called_as_data(path.lower())


def _shards_of(output: str) -> list[str]:
    """The shards of an output of which only the base name was given."""
    found = shards_beside(output)
    counts = {shard.count for shard in found}
    if not counts:
        raise FileNotFoundError(f"{output}: no such file, and no shards of that name")
    number_last = {shard.path.startswith(output) for shard in found}
    if len(counts) > 1 or len(number_last) > 1:
        raise several_sets(output, counts)
    count, names_of = counts.pop(), partial(shard_names, output, number_last=number_last.pop())
    there = {each.path for each in found}
    # a name may claim any number of shards: no more names are made than there are files, and one
    for shard in names_of(count, at_most=len(there) + 1):
        if shard not in there:
            raise missing_shard(shard)
    return names_of(count)


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
    keep: Keep = field(default_factory=lambda: Keep(()), repr=False, compare=False)
    """Lets what is fetched of remote files stay until it is closed, or the Source is collected."""

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
        remote.ask_anew()
        found = list(listings(source))
        for each in found:
            for remark in each.remarks:
                _log.warning("%s", remark)
        paths = [path for each in found for path in each.sound()]
        if not paths:
            raise ValueError("no sources: the list is empty")
        keep = Keep(paths)
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
        return cls(format, tuple(paths), resolved, on_bad_record, keep)

    def absolute(self) -> Source:
        """The same files, whatever the current folder will be."""
        return replace(self, paths=tuple(map(absolute, self.paths)))

    @property
    def is_sequential(self) -> bool:
        """Whether a file can only be read from its beginning."""
        return any(self.format.is_sequential(options) for options in self.options)

    @property
    def is_remote(self) -> bool:
        """Whether a file lies on a remote store."""
        return any(map(is_remote, self.paths))

    @property
    def is_fetched(self) -> bool:
        """Whether a file lies on a remote store, and is read from a copy of it."""
        return self.is_remote and self.format.needs_disk

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
        return _read_here(self.paths[0], rebatch(batches, batch_rows) if cut_again and batch_rows else batches)


def _read_here(path: str, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, in the process that began to read them.

    One that it forks has none of its threads, and shares the place in the file, which to read on would move for both.

    Raises:
        ValueError: this is such a process.
    """
    owner = os.getpid()
    for batch in batches:
        yield batch
        if os.getpid() != owner:
            raise ValueError(
                f"{path}: this process was forked while it was read, and the place in the file is its parent's; read "
                "it here from its beginning"
            )


def merge_summaries(
    paths: Sequence[str], summaries: Sequence[Summary], common: bool = False, optional: Sequence[str] = ()
) -> Summary:
    """One Summary for several files; for common and optional see merge_schemas."""
    first = summaries[0]
    if len(summaries) == 1:
        return first
    notes = (_of_files(len(paths)), *_merge_notes(paths, [summary.notes for summary in summaries]))
    warnings = _merge_notes(paths, [summary.warnings for summary in summaries])
    rows, nbytes = sum(s.num_rows for s in summaries), sum(s.nbytes for s in summaries)
    schema = merge_schemas(paths, summaries, common, optional)
    empty = {name: sum(each.empty.get(name, 0) for each in summaries) for name in first.empty}
    preset = first.preset if all(each.preset == first.preset for each in summaries) else None
    return Summary(first.format, schema, rows, nbytes, notes, warnings, empty, preset)


def _of_files(count: int) -> str:
    return f"{count:,} files, as one dataset"


def counted_anew(notes: Sequence[str], files: int) -> tuple[str, ...]:
    """The notes of a Summary where so many files make up the dataset by now."""
    others = tuple(note for note in notes if not note.endswith(_of_files(0)[1:]))
    return (_of_files(files), *others) if files > 1 else others


def said_anew(notes: Sequence[str], path: str, new: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """The notes of a Summary of several files (paths) where one of them is another by now, with new notes."""
    name, stem = os.path.basename(path), re.escape(os.path.splitext(path)[0])
    own = re.compile(rf"(?<![^\s'\"]){stem}\.[^./\s:]+(?=[\s:,;]|$)")  # itself, or its index
    is_single = sum(os.path.basename(each) == name for each in paths) == 1

    def is_of_it(note: str) -> bool:
        return (is_single and note.startswith(f"{name}: ")) or own.search(note) is not None

    if len(paths) == 1:
        return tuple(new)
    kept = [note for note in notes if not is_of_it(note)]
    return (*kept, *(f"{name}: {note}" for note in new if note not in kept and OF_ONE_FILE not in note))


def _merge_notes(paths: Sequence[str], notes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The notes of several files: those that all have once, the others with their file."""
    having = Counter(note for mine in notes for note in set(mine))
    merged: dict[str, None] = {}
    for path, mine in zip(paths, notes, strict=True):
        for note in mine:
            if OF_ONE_FILE in note:
                continue
            merged[note if having[note] == len(notes) else f"{os.path.basename(path)}: {note}"] = None
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
                f"field {name!r} is {_kind(mine)} in {paths[0]}, and {_kind(theirs)} in {path}; {DIFFERING}",
                field=name,
            )
    return Schema(*(merged[name] for name in (sorted(merged) if inferred else merged)))


def _kind(field: Field | None) -> str:
    return "missing" if field is None else field.kind
