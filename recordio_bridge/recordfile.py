"""RecordFile: random access to the rows of a file, or of a set of files."""

from __future__ import annotations

import operator
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, Row, concat
from .files import open_stream, write_all
from .formats.base import Heads, Request, Skipped, join_heads, pick_schema
from .places import join_places
from .schema import Schema
from .sources import Source, SourceArgument

_COPY = 1 << 20


@dataclass(frozen=True, slots=True)
class RowIndex:
    """Where every row of a Source is, 16 bytes a row. Files are opened at each use: nothing is shared by processes."""

    source: Source
    heads: tuple[Heads, ...]

    @classmethod
    def of(cls, source: Source, on_skip: Callable[[Skipped], None] = lambda skipped: None) -> RowIndex:
        request = source.request(Schema(), None, on_skip)
        extents = source.extents()
        return cls(source, tuple(join_heads(source.format.heads(extent, opts, request)) for extent, opts in extents))

    def __len__(self) -> int:
        return sum(len(heads) for heads in self.heads)

    def take(self, rows: NDArray[np.int64], request: Request) -> Batch:
        """These rows, numbered through all files, in this order; without those that the request skips."""
        ends = np.cumsum([len(heads) for heads in self.heads])
        files = np.searchsorted(ends, rows, side="right")
        parts: list[Batch] = []
        order: list[NDArray[np.int64]] = []
        for number in np.unique(files):
            mine = np.flatnonzero(files == number)
            first = int(ends[number]) - len(self.heads[number])
            heads = self.heads[number].take(rows[mine] - first)
            path, options = self.source.paths[number], self.source.options[number]
            part = self.source.format.take(path, heads, options, request)
            if len(part) < len(mine) and part.places is not None:
                mine = mine[np.isin(heads.offsets, part.places.offsets)]
            parts.append(part)
            order.append(mine)
        if len(parts) == 1:
            return parts[0]
        there = np.argsort(np.concatenate(order), kind="stable")
        batch = concat(parts).take(there)
        known = [part.places for part in parts if part.places is not None]
        return batch.read_at(join_places(known).take(there)) if len(known) == len(parts) else batch


class RecordFile:
    """The rows of a source, by number.

    len(f); f[i], one row as a dict; f[a:b], a Batch; f.take(indices), a Batch in that order; f.schema; f.summary.
    It pickles as its arguments, so each process reads for itself. Use it as a context manager, or close() it, where
    the source is compressed: then it has been unpacked to a temporary file (see summary.notes).
    """

    def __init__(
        self, source: SourceArgument, fields: Sequence[str] | None = None, options: Mapping[str, object] | None = None
    ) -> None:
        self._arguments = (source, fields, dict(options or {}))
        self._spilled: tempfile.TemporaryDirectory[str] | None = None
        opened = Source.open(source, options)
        opened.log_doubts()
        summary = opened.summary()
        plain = self._unpacked(opened)
        self._index = RowIndex.of(plain)
        notes = summary.notes if plain is opened else (*summary.notes, "unpacked to a temporary file for random access")
        self.summary = replace(
            summary, schema=pick_schema(summary.schema, fields), num_rows=len(self._index), notes=notes
        )
        self._request = Request(self.summary.schema)

    def _unpacked(self, source: Source) -> Source:
        """The source with its compressed files written out plain to a temporary folder."""
        if not source.is_compressed:
            return source
        self._spilled = tempfile.TemporaryDirectory(prefix="recordio_bridge-")
        try:
            return unpack(source, Path(self._spilled.name))
        except BaseException:
            self.close()
            raise

    @property
    def schema(self) -> Schema:
        """The fields of a row."""
        return self.summary.schema

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
        return self.take([row]).row(0)

    def __iter__(self) -> Iterator[dict[str, Row]]:
        for first in range(0, len(self), 1024):
            yield from self[first : first + 1024].rows()

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The rows with these numbers (negative ones from the end), in this order.

        Raises:
            IndexError: there is no such row.
            TypeError: these are no integers.
        """
        asked = np.asarray(indices).reshape(-1)
        if asked.size and asked.dtype.kind not in "iu":
            raise TypeError(f"row numbers are integers, not {asked.dtype}")
        rows = asked.astype(np.int64)
        wrong = np.flatnonzero((rows < -len(self)) | (rows >= len(self)))
        if len(wrong):
            raise IndexError(f"row {int(rows[wrong[0]])} of {len(self)}")
        if not len(rows):
            return Batch.of({name: [] for name in self.schema}, self.schema)
        return self._index.take(np.where(rows < 0, rows + len(self), rows), self._request)

    def close(self) -> None:
        """Remove the temporary file of a compressed source; harmless for others."""
        if self._spilled is not None:
            self._spilled.cleanup()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[RecordFile], tuple[Any, ...]]:  # Any: the protocol of pickle
        return RecordFile, self._arguments

    def __repr__(self) -> str:
        return f"RecordFile({len(self)} rows: {self.schema!r})"


def unpack(source: Source, folder: Path) -> Source:
    """The source with its compressed files written out plain to a folder."""
    paths, options = [], []
    buffer = bytearray(_COPY)
    for number, (path, opts) in enumerate(zip(source.paths, source.options, strict=True)):
        target = folder / f"{number:05d}-{os.path.basename(path)}"
        with closing(open_stream(path, opts.compression)) as stream, open(target, "xb", buffering=0) as file:
            written = 0
            while stream.failure is None and (got := stream.readinto(memoryview(buffer))):
                write_all(file.fileno(), memoryview(buffer)[:got], str(target), written)
                written += got
            if stream.failure is not None and source.on_bad_record == "raise":
                raise stream.failure
        paths.append(str(target))
        options.append(replace(opts, compression=""))
    return replace(source, paths=tuple(paths), options=tuple(options))
