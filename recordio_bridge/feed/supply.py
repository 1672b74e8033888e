"""What a source of batches may be, and the Supply that it becomes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ..arguments import dict_of, names, pair, texts, truth, whole
from ..batch import Batch
from ..errors import FormatError, SchemaError, numbered
from ..files import ends_of
from ..formats.base import OnBadRecord, Skipped
from ..paths import real
from ..presets import check_preset, explained
from ..recordfile import RecordFile, RowIndex
from ..schema import Schema
from ..select import Select, Selection, as_pairs, named_fields
from ..sources import Source, SourceArgument, expand
from .dataiter import DataIter, from_data_iter, is_data_iter, missing_of_data_iter
from .rows import GROUP, Cut, HeldRows, IndexedSupply, Shard, Sifted, Windows
from .schedule import Supply
from .streams import Arrays, DataIterator, Streamed, StreamSupply

_log = logging.getLogger(__name__)

FeedSource: TypeAlias = "SourceArgument | RecordFile | DataIterator | DataIter"
"""A path, a list of paths or globs; a RecordFile; a callable that gives an iterator of Batches, of dicts, or of tuples
of arrays; or an mx.io.DataIter."""

WINDOW = 1 << 26  # bytes of rows that are held to be shuffled: of chunks that are read together, or of all there are
_SELECT = "{'name[:dtype]': 'expression'}, or a list of texts 'name[:dtype]=expression'"


@dataclass(frozen=True, slots=True)
class Wants:
    """What a feed is asked for: the arguments of Feeder that decide which batches come, and in which order."""

    batch_size: int = 128
    fields: Sequence[str] | None = None
    select: Select | None = None
    shuffle: bool = False
    seed: int | None = None
    drop_remainder: bool = False
    on_bad_record: OnBadRecord = "raise"
    source_options: Mapping[str, object] | None = None
    shard: Shard | None = None
    preset: str | None = None
    label_offset: int | None = None
    where: str | None = None
    starts_later: bool = False
    """Whether the first batch is not that of the source, so that finding it by its number is worth an index."""
    first_epoch: int = 0

    def checked(self, state: Mapping[str, object] | None) -> Wants:
        """As they were given, if they are what they should be, in plain types, and with what the state says.

        Where no seed is given, it is that of the state, or a random one.

        Raises:
            TypeError, ValueError: an argument is not what it should be.
        """
        if state is not None:
            dict_of("state", state, "the dict that state() gave", "json.loads(state) makes it of that")
        if self.source_options is not None:
            dict_of("source_options", self.source_options, "a dict of the format's options, as {'payload': 'raw'}")
        check_preset(self.preset, self.label_offset)
        return replace(
            self,
            batch_size=whole("batch_size", self.batch_size, 1),
            fields=None if self.fields is None else names("fields", self.fields),
            select=None if self.select is None else as_pairs(texts("select", self.select, _SELECT)),
            shuffle=truth("shuffle", self.shuffle),
            seed=_seed_in(state) if self.seed is None else whole("seed", self.seed, 0),
            drop_remainder=truth("drop_remainder", self.drop_remainder),
            shard=None if self.shard is None else _checked_shard(self.shard),
            starts_later=state is not None and state.get("batch") != 0,
            first_epoch=_epoch_in(state),
        )

    def prepared(self, files: Source) -> Wants:
        """With the columns that the preset selects from these files, and the rows that it takes."""
        if self.preset is None:
            return self
        select = None if self.select is None else as_pairs(self.select)
        made, where = explained(self.preset, files, self.label_offset, select, self.where)
        return replace(self, select=made, where=where)

    @property
    def cut(self) -> Cut:
        return Cut(self.batch_size, self.drop_remainder, (0, 1) if self.shard is None else self.shard)

    def depends_on(self, source: FeedSource) -> dict[str, object]:
        """What the batches and their order depend on, as JSON values; the state of a feed with others does not fit."""
        return {
            "batch_size": self.batch_size,
            "drop_remainder": self.drop_remainder,
            "seed": self.seed if self.shuffle else None,
            "on_bad_record": source.on_bad_record if isinstance(source, RecordFile) else self.on_bad_record,
            "shard": list(self.cut.shard),
            "source": describe(source),
            "preset": self.preset,
            "label_offset": self.label_offset,
            "where": self.where,
        }


def _seed_in(state: Mapping[str, object] | None) -> int:
    """That of the state, which has none where nothing was shuffled; without a state, a random one."""
    if state is None:
        return secrets.randbits(32)
    seed = state.get("seed")
    return seed if isinstance(seed, int) else 0


def _epoch_in(state: Mapping[str, object] | None) -> int:
    epoch = None if state is None else state.get("epoch")
    return epoch if isinstance(epoch, int) else 0


def _checked_shard(shard: Shard) -> Shard:
    index, count = pair("shard", shard, "(index, count)")
    if not 0 <= index < count:
        raise ValueError(f"shard={shard}: expected (index, count) with index from 0 to count - 1")
    return index, count


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns of a batch, made of what is read: selected, and in the order of fields."""

    selection: Selection
    schema: Schema

    @classmethod
    def of(cls, wants: Wants, schema: Schema, fields: Literal["heed"] | None = "heed") -> Chosen:
        """For rows of this schema. fields: None where they are named as wanted already."""
        selection = Selection(wants.select, schema, where=wants.where)
        chosen = selection.schema
        if wants.fields is not None and fields is not None:
            chosen = chosen.pick(tuple(wants.fields))
        return cls(selection, chosen)

    @property
    def sources(self) -> tuple[str, ...]:
        """The fields that must be read."""
        return self.selection.sources

    def kept(self, batch: Batch) -> Batch:
        """The rows of what is read that are not left out."""
        kept = self.selection.kept(batch)
        return batch if kept is None else batch.take(kept)

    def __call__(self, batch: Batch) -> Batch:
        with numbered(range(len(batch)) if batch.places is None else batch.places):
            selected = self.selection.apply(batch)
        return selected if selected.schema == self.schema else selected.pick(list(self.schema))


def make_supply(source: FeedSource, wants: Wants, left_out: Callable[[int], None]) -> Supply:
    """The batches of a source.

    Args:
        left_out: is told of how many rows each epoch lacks as bad, as it is read.

    Raises:
        SchemaError: fields or select do not fit the source.
        FormatError, OSError: the source cannot be read.
        TypeError: this is no source.
        ValueError: preset or where is asked for of something else than files.
    """
    if isinstance(source, (str, os.PathLike, Sequence)):
        return _of_files(source, wants, left_out)
    if wants.preset is not None or wants.where is not None:
        name = "where" if wants.preset is None else "preset"
        if isinstance(source, RecordFile):
            raise ValueError(f"{name}= is for files, and this is a RecordFile: give the path that it was opened with")
        raise ValueError(
            f"{name}= is for files, and the source is a {type(source).__name__}: select and leave out what it gives "
            "in the iterator itself, or in a transform"
        )
    if isinstance(source, RecordFile):
        return _of_rows(source, wants, left_out)
    if wants.shuffle:
        _log.warning("shuffle is ignored: the source is an iterator, which gives its rows in an order of its own")
    if is_data_iter(source):
        batches = from_data_iter(source)
        batches.run_to(wants.first_epoch)
        return _of_stream(batches, Chosen.of(wants, batches.schema), wants)
    if callable(source):
        items = Arrays(source, wants.fields, wants.first_epoch)
        return _of_stream(items, Chosen.of(wants, items.schema, fields=None), wants)
    lacks = missing_of_data_iter(source)
    raise TypeError(
        f"{type(source).__name__} is no source: expected a path, a list of paths, a RecordFile, a callable that gives "
        f"an iterator of batches, or an mx.io.DataIter{f' (of which it lacks {lacks})' if lacks else ''}"
    )


def _of_stream(
    rows: Callable[[], Iterator[Batch]],
    chosen: Chosen,
    wants: Wants,
    num_rows: int | None = None,
    count: Callable[[], int] | None = None,
) -> StreamSupply:
    cut = wants.cut
    return StreamSupply(Streamed(rows, cut.shard, chosen), chosen.schema, cut, num_rows, count)


def _of_files(source: SourceArgument, wants: Wants, left_out: Callable[[int], None]) -> Supply:
    """Read from the beginning where that will do, else by number."""
    files = Source.open(source, wants.source_options, wants.on_bad_record)
    wants = wants.prepared(files)
    _warn_of_twice(files.paths)
    schema = _schema_of(files, wants)
    chosen = Chosen.of(wants, schema)
    if wants.shuffle or wants.cut.shard[1] > 1 or wants.starts_later:
        options, on_bad_record = wants.source_options, wants.on_bad_record
        rows = RecordFile(source, chosen.sources, options, on_bad_record, _log_skipped, wants.where)
        supply = _of_rows(rows, wants, left_out)
        supply.close = rows.close
        return supply
    files.log_doubts()
    needed = schema.pick(chosen.sources)

    def on_skip(skipped: Skipped) -> None:
        left_out(1)
        _log_skipped(skipped)

    def begin() -> Iterator[Batch]:
        return (chosen.kept(batch) for batch in files.read(needed, None, on_skip, wants.where))

    if wants.on_bad_record == "skip" or (wants.where is not None and not files.sees_empty(wants.where)):
        return _of_stream(begin, chosen, wants)
    if wants.where is not None:
        return _of_stream(begin, chosen, wants, count=lambda: len(RowIndex.of(files, where=wants.where)))
    each = zip(files.paths, files.options, strict=True)
    known = [files.format.num_rows(path, options, needed) for path, options in each]
    counts = [count for count in known if count is not None]
    num_rows = sum(counts) if len(counts) == len(known) else None
    count = None if files.is_sequential else lambda: len(RowIndex.of(files))
    return _of_stream(begin, chosen, wants, num_rows, count)


def _warn_of_twice(paths: Sequence[str]) -> None:
    for path, count in Counter(map(real, paths)).items():
        if count > 1:
            times = "twice" if count == 2 else f"{count} times"
            given = next(each for each in paths if real(each) == path)
            _log.warning(
                "%s: is named %s, so its rows are fed %s in each epoch; leave out one, or a glob that fits it",
                given,
                times,
                times,
            )


def _log_skipped(skipped: Skipped) -> None:
    _log.warning("%s: left out %s: %s", skipped.path, skipped.where, skipped.reason)


def _schema_of(files: Source, wants: Wants) -> Schema:
    """The fields that may be asked for; where not all can be read together, those that a select names will do."""
    if wants.select is None:
        others = [] if wants.where is None else [wants.where]
        return files.schema(None if wants.fields is None else [*dict.fromkeys([*wants.fields, *others])])
    try:
        return files.schema()
    except SchemaError:
        return files.summary(fields=named_fields(wants.select, wants.where)).schema


def _of_rows(rows: RecordFile, wants: Wants, left_out: Callable[[int], None]) -> IndexedSupply | StreamSupply:
    """Read by number."""
    chosen, cut, seed = Chosen.of(wants, rows.schema), wants.cut, wants.seed if wants.shuffle else None
    run_rows = rows.run_rows
    row_nbytes = _row_nbytes(rows)
    is_sifted = rows.on_bad_record == "skip"
    num_rows = None if is_sifted else len(range(cut.shard[0], len(rows), cut.shard[1]))
    if seed is not None and not is_sifted and row_nbytes * len(rows) <= WINDOW:
        return IndexedSupply(HeldRows(rows, chosen), chosen.schema, cut, _as_is, seed, row_nbytes)
    if seed is not None and run_rows > 1:
        window = max(run_rows, int(WINDOW / max(row_nbytes, 1)))
        _log.info("rows are stored in chunks of %d: shuffled as these, and within windows of %d rows", run_rows, window)
        exact = num_rows if cut.shard[1] == 1 else None
        return StreamSupply(Windows(rows, cut, chosen, seed, run_rows, window), chosen.schema, cut, exact)
    if is_sifted:
        group = max(1, int(GROUP / max(row_nbytes, 1)))
        return StreamSupply(Sifted(rows, cut.shard, chosen, seed, group, left_out), chosen.schema, cut)
    return IndexedSupply(rows, chosen.schema, cut, chosen, seed, row_nbytes)


def _row_nbytes(rows: RecordFile) -> float:
    """About what a row takes in memory: of the first run, or of a record of the mean size."""
    run = np.arange(min(len(rows), rows.run_rows))
    if len(run) != 1:
        return rows.take(run).nbytes / max(len(run), 1)
    row, record_nbytes = rows.typical
    try:
        return rows.take(np.array([row])).nbytes or record_nbytes  # none, where it is left out as bad
    except FormatError:  # is told when that row is fed
        return record_nbytes


def _as_is(batch: Batch) -> Batch:
    return batch


def describe(source: FeedSource) -> dict[str, object] | None:
    """What tells a source from another, as JSON values; None where nothing is known of it."""
    if isinstance(source, RecordFile):
        return {"rows": len(source), "nbytes": source.summary.nbytes}
    if isinstance(source, (str, os.PathLike, Sequence)):
        paths = expand(source)
        ends = [ends_of(path) for path in paths]
        listing = json.dumps([(os.path.basename(path), asdict(each)) for path, each in zip(paths, ends, strict=True)])
        digest = hashlib.sha256(listing.encode()).hexdigest()[:16]  # of their order, in whatever folder
        return {"files": len(paths), "nbytes": sum(each.nbytes for each in ends), "listing": digest}
    return None
