"""What a format is to the rest of the package.

A Format reads a file into Batches and writes Batches into a file. An Extent is a part of a file that can be read
alone. Nothing outside of a format's module knows its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch
from ..errors import SelectError
from ..files import Output, Pending
from ..schema import Schema

ALARM = "DATA MAY BE MISSING: "
"""A note with these words is shown also where no notes are asked for."""
OF_ONE_FILE = "of no record of this file"
"""A note with these words says nothing where the file is one of several that were given together."""

OnBadRecord: TypeAlias = Literal["raise", "skip"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record, or a stretch of damaged bytes, that was left out: bytes start to stop, and why (without the path).

    record is its number in the file. How many records a damaged stretch held cannot be known, so it counts as one.
    start and stop are both that number where a row has no bytes of its own, as in files of arrays; and, without a
    number, both where the records end that could be unpacked, where damage was met between two of them.
    """

    path: str
    start: int
    stop: int
    reason: str
    record: int | None = None

    @property
    def where(self) -> str:
        """What was left out, for messages."""
        if self.start == self.stop and self.record is None:
            return f"all behind byte {self.start}"
        return f"bytes {self.start} to {self.stop}" if self.start < self.stop else f"row {self.record}"


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes start to stop of a file (stop None: to its end), at record heads; of arrays, the rows start to stop.

    first_record is the number in the file of the first of its records; None where that is not known, as nobody has read
    what is before it. Then records count from 0 there, in errors too; see numbering. A compressed file is one Extent.
    """

    path: str
    start: int = 0
    stop: int | None = None
    first_record: int | None = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader is asked for.

    Attributes:
        schema: the columns to give, a part of what inspect found, or a cast of it that is exact.
        batch_rows: exactly so many rows a Batch but for the last; None leaves it to the reader, by bytes.
        on_bad_record: "raise", or "skip" each record that cannot be made a row, and tell on_skip.
        holds: of records that are read undecoded, the payload and the fields that each must hold; one that does not
            is a fault, as it would be decoded.
        fields: the names that inspect and heads are to look at, where a file has others beside; None for all.
        where: a bytes field; heads and read leave out rows in which it is empty, where sees_empty says that they can.
        keep: of a file that stays open, the bytes of unpacked blocks that each column may keep for other rows.
        on_summary: called after the last row with what inspect would have found of the extent: the fields that its
            rows need, how many these are, and what speaks against it. Notes on the whole file only where it is all.
        on_bytes: called with the file's bytes as they are read, in order, so that a checksum needs no second reading.
    """

    schema: Schema
    batch_rows: int | None = 1024
    on_bad_record: OnBadRecord = "raise"
    on_skip: Callable[[Skipped], None] = field(default=lambda skipped: None)
    on_bytes: Callable[[memoryview], None] | None = None
    fields: frozenset[str] | None = None
    on_summary: Callable[[Summary], None] | None = None
    holds: tuple[str, Schema] | None = None
    where: str | None = None
    keep: int = 0

    @property
    def skip(self) -> Callable[[Skipped], None] | None:
        """on_skip where damage is skipped, else None."""
        return self.on_skip if self.on_bad_record == "skip" else None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file or a set of files holds.

    Attributes: format, its name; schema; num_rows; nbytes, the size on disk; notes, sentences for people; warnings,
    those of the notes that mean that something may be lost, which are shown to those too who want no notes (-q); empty,
    in how many rows a bytes field is empty, where that is seen without reading them; preset, the one that fits.
    """

    format: str
    schema: Schema
    num_rows: int
    nbytes: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    empty: Mapping[str, int] = field(default_factory=dict)
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class Heads:
    """Where rows begin in a file, and how many bytes each takes there, frame included (both int64)."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    numbers: NDArray[np.int64] | None = None
    """The number of each record in its file, for messages; None where they follow one another from the first on."""

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, indices: NDArray[np.int64]) -> Heads:
        """The heads of these rows, in this order."""
        numbers = indices if self.numbers is None else self.numbers[indices]
        return Heads(self.offsets[indices], self.sizes[indices], numbers)


def join_heads(runs: Iterable[Heads]) -> Heads:
    """All heads of a file, of which these are the runs."""
    parts = list(runs)
    empty = [np.empty(0, dtype=np.int64)]
    offsets = np.concatenate([run.offsets for run in parts] or empty)
    sizes = np.concatenate([run.sizes for run in parts] or empty)
    known = [run.numbers for run in parts if run.numbers is not None]
    if len(known) < len(parts) or not len(offsets) or known[-1][-1] == len(offsets) - 1:
        return Heads(offsets, sizes)
    return Heads(offsets, sizes, np.concatenate(known))


@dataclass(frozen=True, slots=True)
class Written:
    """What a Writer made: complete files that wait for their names, the data first, and the options to read it back."""

    files: tuple[Pending, ...]
    options: Any  # Any: the format's own dataclass
    payload: str | None = None
    """For the sidecar, where the format has payloads."""


class Writer(Protocol):
    """Takes Batches of one schema. close() completes the files, without their final names; abort() removes them.

    Rows in errors count from the start of the Batch.
    """

    def write(self, batch: Batch) -> None: ...
    def close(self) -> Written: ...
    def abort(self) -> None: ...


class OpenRows(Protocol):
    """An open file whose rows can be taken, by one thread at a time."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it may take, beside what it gives."""

    def take(self, heads: Heads) -> Batch:
        """The rows with these heads, in this order."""

    def close(self) -> None:
        """Let go of the file."""


class Format(Protocol):
    """One file format. Options is its frozen dataclass, from which the command line derives --in and --out."""

    name: str
    suffixes: tuple[str, ...]
    needs_disk: bool
    """Whether a remote file is read from a copy on this machine (copies.on_disk), and not as a stream."""
    options: type[Any]  # Any: each format has its own dataclass

    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins so (decompressed) is of this format."""

    def resolve(self, path: str, options: Any) -> Any:
        """The options with every "auto" decided by a look into the file."""

    def payload(self, options: Any, schema: Schema) -> str | None:
        """What a record of this schema holds, read or written with these options; None where there are no records."""

    def undecoded(self, paths: Sequence[str], options: Sequence[Any]) -> tuple[list[Any], Schema]:
        """Options for each file, and the schema, that read the records as they are, with what identifies them."""

    def passing(self, payload: str) -> dict[str, object]:
        """Options that write undecoded records, which hold this payload, as they are."""

    def doubts(self, path: str, options: Any) -> list[str]:
        """What speaks against the file by a look at what lies beside it, such as a sidecar of other bytes; sentences.

        They are notes of inspect, too.
        """

    def certain(self, path: str, options: Any) -> tuple[Schema, bool]:
        """The fields that are there for certain, without reading the file, and whether these are all."""

    def presume(self, path: str, options: Any) -> Schema | None:
        """What inspect will say of the schema, by a look at the beginning of the file; None where that cannot tell.

        Where it is not None, read calls request.on_summary.
        """

    def glance(self, path: str, options: Any, rows: int) -> Schema:
        """The schema that fits the first rows, whatever comes behind them; damaged ones are passed over."""

    def is_sequential(self, options: Any) -> bool:
        """Whether a file can only be read from its beginning, as where it is compressed as a whole."""

    def unpack(
        self, path: str, options: Any, target: str, on_bad_record: OnBadRecord, fields: Iterable[str] | None = None
    ) -> Any:
        """Write the same rows to a file that can be read at any row; return its options.

        fields: what will be read of it; others may be left out. None for all.
        """

    def inspect(self, path: str, options: Any, request: Request) -> Summary:
        """What the file holds; reads as much of it as that takes. Options are resolved; of the request, only what
        it says about damage counts."""

    def split(self, path: str, options: Any, nbytes: int) -> list[Extent]:
        """Cut a file into extents of about nbytes that can be read alone, in file order; one where it cannot be cut.

        Reads as little of the file as it can, and goes on over damage. Each record is in exactly one extent. Together
        the extents give the rows that the whole file gives, or one of them raises a FormatError where the whole does
        not: where it was cut at what only looked like a record.
        """

    def number_at(self, path: str, options: Any, offset: int) -> int:
        """How many records begin before a byte, damage counted as where it is skipped: the number of the next one."""

    def read(self, extent: Extent, options: Any, request: Request) -> Generator[Batch, None, None]:
        """The rows of an extent, in file order."""

    def num_rows(self, path: str, options: Any, schema: Schema) -> int | None:
        """How many rows a file has of these fields, where that is known without reading through it."""

    def run_rows(self, path: str, options: Any, schema: Schema) -> int:
        """How many neighbouring rows must be read for these fields of one of them; 1 where each can be read alone."""

    def heads(self, extent: Extent, options: Any, request: Request) -> Iterator[Heads]:
        """Where the rows of an extent begin, in file order, without reading their bodies where that can be helped."""

    def sees_empty(self, options: Any, field: str) -> bool:
        """Whether the heads of records say in which of them a bytes field is empty, so that request.where is heeded."""

    def open_rows(self, path: str, options: Any, request: Request) -> OpenRows:
        """The file, open for its rows to be taken."""

    def index_path(self, path: str) -> str:
        """Where the index of a file belongs."""

    def write_index(self, path: str, options: Any, request: Request, out: Output) -> int:
        """Write the index of a file, and return the number of its rows.

        What only an index that it replaces (out.final) knows is kept, or is a FormatError.
        """

    def files_of(self, path: str) -> list[str]:
        """A file and what belongs to it (an index), whether or not writing makes that: it is void when the file is
        replaced."""

    def check_companions(self, path: str, options: Any) -> None:
        """Compare the files that belong to a file (an index) with it; FormatError where they do not fit."""

    def check_target(self, path: str, options: Any) -> None:
        """ValueError where this name and these options, of a file to be written, contradict each other."""

    def create(self, path: str, schema: Schema, options: Any) -> Writer:
        """Start a file that will be called path."""


def pick_schema(schema: Schema, fields: Sequence[str] | None) -> Schema:
    """The schema of the chosen fields, in the order chosen; all of them for None.

    Raises:
        SchemaError: one is not there; SelectError: none is chosen.
    """
    if fields is not None and not fields:
        raise SelectError("fields: chooses no column, and rows without one are none; leave it out to have them all")
    return schema if fields is None else schema.pick(tuple(fields))
