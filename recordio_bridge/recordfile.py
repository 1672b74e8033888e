"""RecordFile: random access to the rows of a file, or of a set of files."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, Ragged, Row
from .errors import BridgeError
from .formats.base import Heads, OnBadRecord, Skipped, Summary, join_heads, pick_schema
from .openfiles import OpenFiles
from .schema import Field, Schema
from .scratch import TemporaryFolder
from .sources import Source, SourceArgument
from .taking import FileState, check_state, in_order, take_rows
from .unpacked import Unpacked


@dataclass(frozen=True, slots=True)
class RowIndex:
    """Where every row of a Source is, 16 bytes a row."""

    source: Source
    heads: tuple[Heads, ...]
    states: tuple[FileState, ...]
    ends: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    """How many rows there are up to the end of each file."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", np.cumsum([len(heads) for heads in self.heads], dtype=np.int64))

    @classmethod
    def of(
        cls,
        source: Source,
        on_skip: Callable[[Skipped], None] = lambda skipped: None,
        fields: Iterable[str] | None = None,
        where: str | None = None,
    ) -> RowIndex:
        request = source.request(Schema(), None, on_skip, fields, where)
        states = tuple(map(FileState.of, source.paths))
        heads = (join_heads(source.format.heads(extent, opts, request)) for extent, opts in source.extents())
        return cls(source, tuple(heads), states)

    def holding(self, field: Field) -> RowIndex:
        """The rows in which a bytes field is not empty. It is read in all of them, once.

        Rows that cannot be read stay, where those are skipped: take leaves them out.
        """
        request = self.source.request(Schema(field), None, lambda skipped: None)
        files = zip(self.source.extents(), self.heads, strict=True)
        return RowIndex(
            self.source,
            tuple(_holding(self.source.format.read(*extent, request), heads, field.name) for extent, heads in files),
            self.states,
        )

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def typical(self) -> tuple[int, int]:
        """A row of about the mean size, and how many bytes it takes in its file."""
        sizes = np.concatenate([heads.sizes for heads in self.heads])
        row = int(np.argmin(np.abs(sizes - sizes.mean())))
        return row, int(sizes[row])

    def take(self, rows: NDArray[np.int64], files: OpenFiles) -> Batch:
        """These rows, numbered through all files, in this order; without those that the request of files skips."""
        numbers = np.searchsorted(self.ends, rows, side="right")

        def heads_of(number: int, mine: NDArray[np.int64]) -> Heads:
            heads = self.heads[number]
            return heads.take(rows[mine] - (int(self.ends[number]) - len(heads)))

        return in_order(*take_rows(numbers, heads_of, files, self.states))


def count_rows(source: Source, fields: Iterable[str] | None = None, where: str | None = None) -> int:
    """How many rows a RowIndex would find, without keeping where they are."""
    request = source.request(Schema(), None, lambda skipped: None, fields, where)
    return sum(len(heads) for each in source.extents() for heads in source.format.heads(*each, request))


def _holding(batches: Generator[Batch, None, None], heads: Heads, name: str) -> Heads:
    """Of the heads of all rows of a file, those of rows in which a column of bytes is not empty."""
    done, empty = 0, [np.empty(0, dtype=np.int64)]
    with closing(batches):
        for batch in batches:
            column = batch[name]
            assert isinstance(column, Ragged)  # the schema says bytes
            rows = np.flatnonzero(column.lengths == 0)
            empty.append(heads.offsets[done + rows] if batch.places is None else batch.places.offsets[rows])
            done += len(batch)
    return heads.take(np.flatnonzero(~np.isin(heads.offsets, np.concatenate(empty))))


class RecordFile:
    """The rows of a source, by number.

    len(f); f[i], one row as a dict; f[a:b], a Batch; f.take(indices), a Batch in that order; f.schema; f.summary.
    Threads may use it at once, and processes may share it, also those that are forked; it pickles with what it knows of
    its files: nothing is looked through again. A file that changes, or is replaced, is a SourceChangedError from then
    on. Batches hold memory of their own: they stay as they are when it is closed, or the file is cut or removed.

    Files stay open from the first row that is taken of them, as long as there are not too many (see openfiles.py), in
    each process its own. A compressed source is unpacked to a temporary file (see summary.notes), by each process that
    the RecordFile is pickled to for itself; one that is forked reads that of its parent, as long as that has it.
    close() it, or use it as a context manager, and files are closed, and what was unpacked is removed, at once. An HDF5
    file that is open can be replaced, but h5py does not let it be written to.
    """

    def __init__(
        self,
        source: SourceArgument,
        fields: Sequence[str] | None = None,
        options: Mapping[str, object] | None = None,
        on_bad_record: OnBadRecord = "raise",
        on_skip: Callable[[Skipped], None] | None = None,
        where: str | None = None,
    ) -> None:
        """where: a bytes field, one of the fields; rows in which it is empty get no number."""
        self._is_closed = False
        self._spilled: TemporaryFolder | None = None
        self._unpacked: Unpacked | None = None
        self._on_skip = on_skip or _passed_over  # a name, which pickles
        self._source = Source.open(source, options, on_bad_record).absolute()
        self._source.log_doubts()
        self._states = tuple(map(FileState.of, self._source.paths))
        self._num_skipped = 0
        plain = self._plain()
        with self._naming_originals():
            self._index = RowIndex.of(plain, self._note_skipped, fields=fields, where=where)
            found = self._summary(fields)
        if where is not None and not self._source.sees_empty(where):
            with self._naming_originals():
                self._index = self._index.holding(found.schema[where])
        what = "unpacked" if self._source.is_sequential else "fetched" if self._source.is_remote else None
        unpacked = [] if what is None else [f"{what} to a temporary file for random access"]
        schema, notes = pick_schema(found.schema, fields), (*found.notes, *unpacked)
        self.summary = replace(found, schema=schema, num_rows=len(self._index), notes=notes)
        self._files = self._open_files()

    def _summary(self, fields: Sequence[str] | None) -> Summary:
        """What the source holds; of files that were fetched, by their copies."""
        if self._unpacked is None or self._source.is_sequential:
            return self._source.summary(fields=fields)
        found, named = self._unpacked.source.summary(fields=fields), self._unpacked.named
        return replace(found, notes=tuple(map(named, found.notes)), warnings=tuple(map(named, found.warnings)))

    def _open_files(self) -> OpenFiles:
        on_skip = self._on_skip if self._unpacked is None else _telling(self._on_skip, self._unpacked)
        return OpenFiles(self._index.source, self._source.request(self.schema, None, on_skip))

    def _plain(self) -> Source:
        """The source, with compressed files written out plain, or remote ones fetched, to a temporary folder."""
        if not self._source.is_sequential and not self._source.is_remote:
            return self._source
        self._spilled = TemporaryFolder()
        try:
            as_they_are = not self._source.is_sequential
            self._unpacked = Unpacked(self._source, Path(self._spilled.path), as_they_are=as_they_are)
            self._source.keep.close()  # what is in the folder is enough
            return self._unpacked.source
        except BaseException:
            self._spilled.close()
            raise

    @property
    def schema(self) -> Schema:
        """The fields of a row."""
        return self.summary.schema

    @property
    def run_rows(self) -> int:
        """How many neighbouring rows are read for one of them: those of a chunk (HDF5), else 1."""
        return self._index.source.run_rows(self.schema)

    @property
    def typical(self) -> tuple[int, int]:
        """A row of about the mean size, and how many bytes it takes in its file."""
        return self._index.typical

    @property
    def on_bad_record(self) -> OnBadRecord:
        """ "skip": take leaves out rows that cannot be read, and tells on_skip."""
        return self._source.on_bad_record

    @property
    def num_skipped(self) -> int:
        """How many bad records have no number, as they were left out when the file was looked through."""
        return self._num_skipped

    def _note_skipped(self, skipped: Skipped) -> None:
        self._num_skipped += 1
        self._on_skip(skipped if self._unpacked is None else self._unpacked.original(skipped))

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, index: int) -> dict[str, Row]: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> dict[str, Row] | Batch:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = operator.index(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self._take(np.array([row + len(self) if row < 0 else row])).row(0)

    def __iter__(self) -> Iterator[dict[str, Row]]:
        for first in range(0, len(self), 1024):
            yield from self[first : first + 1024].rows()

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The rows with these numbers (negative ones from the end), in this order.

        Raises:
            IndexError: there is no such row.
            TypeError: these are no integers.
            ValueError: it is closed.
        """
        asked = np.asarray(indices).reshape(-1)
        if asked.size and asked.dtype.kind not in "iu":
            raise TypeError(f"row numbers are integers, not {asked.dtype}")
        rows, count = asked.astype(np.int64), len(self)
        wrong = np.flatnonzero((rows < -count) | (rows >= count))
        if len(wrong):
            raise IndexError(f"row {int(rows[wrong[0]])} of {count}")
        if not len(rows):
            return Batch.of({name: [] for name in self.schema}, self.schema)
        return self._take(np.where(rows < 0, rows + count, rows))

    def _take(self, rows: NDArray[np.int64]) -> Batch:
        if self._is_closed:
            raise self._closed_error()
        try:
            with self._naming_originals():
                return self._index.take(rows, self._files)
        except (OSError, BridgeError) as err:
            if self._is_closed:  # by another thread, so that what was unpacked is not there any more
                raise self._closed_error() from err
            raise

    def _closed_error(self) -> ValueError:
        return ValueError(f"{self._source.paths[0]}: this RecordFile is closed; open the source again")

    def _naming_originals(self) -> AbstractContextManager[None]:
        return nullcontext() if self._unpacked is None else self._unpacked.naming_originals()

    def close(self) -> None:
        """Close the files, and remove what was unpacked. To take rows is a ValueError from then on."""
        self._is_closed = True
        try:
            self._files.close()
        finally:
            if self._spilled is not None:
                self._spilled.close()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_is_closed": False, "_spilled": None, "_unpacked": None, "_files": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        for number in range(len(self._states)):
            check_state(self._source.paths[number], self._states[number])
        if self._source.is_sequential or self._source.is_remote:  # its rows are where they were
            plain = self._plain()
            self._index = RowIndex(plain, self._index.heads, tuple(map(FileState.of, plain.paths)))
        self._files = self._open_files()

    def __repr__(self) -> str:
        return f"RecordFile({len(self)} rows: {self.schema!r})"


def _telling(on_skip: Callable[[Skipped], None], unpacked: Unpacked) -> Callable[[Skipped], None]:
    """on_skip, told of the file that was unpacked. A method would keep its RecordFile from being collected."""
    return lambda skipped: on_skip(unpacked.original(skipped))


def _passed_over(skipped: Skipped) -> None:
    """Where nobody wants to be told."""
