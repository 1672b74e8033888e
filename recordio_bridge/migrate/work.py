"""Doing one Order: read, select, write, read back from disk and compare."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch
from ..digests import digest
from ..errors import FormatError, SchemaError, VerificationError, numbered
from ..files import Checksum, Pending, crc_of, discard, naming_target
from ..formats import get_format
from ..formats.base import Extent, Format, Request, Skipped, Summary, Written
from ..places import FileRows, Origins
from ..schema import Schema
from ..sources import make_options
from ..tally import Tally
from ..tfds import Contents
from .orders import Order
from .quarantine import Quarantined, quarantined_from_json
from .recode import Recoder, encoded
from .shuffled import MEMORY, ShuffledRows

LEFT_OUT = "left out"
"""What a tally calls the rows that where left out."""
_ADVICE = "disk or memory is at fault: run it again"

OnSummary = Callable[[Summary], None]
Progress = Callable[[int], None]
"""Called with the number of rows just written."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one Order wrote: complete files that wait for their final names, the data first."""

    files: tuple[Pending, ...]
    num_rows: int
    content: str | None
    """SHA-256 over the CRC-32C of each row's values (batch.digest), in order; None where content is not verified."""
    skipped: tuple[Skipped, ...]
    changes: Mapping[str, int] = field(default_factory=dict)
    """What was done to how many images; see recode.Recoder."""
    contents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What the bytes of fields hold, where the order asks; see tfds.Contents."""
    tally: Tally = field(default_factory=Tally)
    """What the selection counted."""
    quarantine: tuple[Quarantined, ...] = ()
    """Of a migration: the parts that are not in the file, as they are bad."""
    times: tuple[int, ...] = ()
    """When each of the files was written, in ns since 1970, as its name says; () where that is not known."""

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Receipt:  # Any: what a JSON object holds
        files = tuple(Pending(**file) for file in value["files"])
        skipped = tuple(Skipped(**range_) for range_ in value["skipped"])
        plain = (files, value["num_rows"], value["content"], skipped, value["changes"], value["contents"])
        quarantine = tuple(quarantined_from_json(each) for each in value["quarantine"])
        return cls(*plain, Tally.from_json(value["tally"]), quarantine, tuple(value.get("times", ())))


@dataclass(slots=True)
class Watch:
    """Where an order is: which of its extents was read last, None before and after; and whether it is being read."""

    extent: int | None = None
    is_reading: bool = False


def run_order(
    order: Order,
    progress: Progress = lambda rows: None,
    on_summary: OnSummary | None = None,
    shuffled: ShuffledRows | None = None,
    memory: int = MEMORY,
    watch: Watch | None = None,
) -> Receipt:
    """Write and verify the file of an order; nothing has its final name yet.

    Args:
        watch: kept up to date, for who wants to know where an error came from.
        shuffled: what a shuffle needs to know, where that is known already; else the order looks for itself.
        memory: the bytes that a shuffle may take.

    Raises:
        VerificationError: what was read back differs from what was written, naming the row.
    """
    skipped: list[Skipped] = []
    tally = Tally()
    target = get_format(order.target_format)
    schema = order.written
    writer = target.create(order.target, schema, make_options(target, order.target_options))
    content = hashlib.sha256()
    num_rows, changes = 0, {}  # type: int, dict[str, int]
    seen = Contents()
    try:
        for batch, places in rows_of(order, skipped.append, on_summary, shuffled, changes, tally, memory, watch):
            with numbered(places), naming_target(order.target):
                writer.write(batch)
            if order.verify == "content":
                content.update(digest(batch).tobytes())
            if order.looks:
                seen.add(batch)
            num_rows += len(batch)
            progress(len(batch))
        with naming_target(order.target):
            written = writer.close()
    except BaseException:
        writer.abort()
        raise
    known = content.hexdigest() if order.verify == "content" else None
    receipt = Receipt(written.files, num_rows, known, tuple(skipped), changes, seen.to_json(), tally)
    try:
        _verify(order, receipt, written, target, schema)
    except BaseException:
        discard(written.files)
        raise
    return receipt


def rows_of(
    order: Order,
    on_skip: Callable[[Skipped], None] = lambda skipped: None,
    on_summary: OnSummary | None = None,
    shuffled: ShuffledRows | None = None,
    changes: dict[str, int] | None = None,
    tally: Tally | None = None,
    memory: int = MEMORY,
    watch: Watch | None = None,
) -> Generator[tuple[Batch, Origins], None, None]:
    """The rows that an order writes, in Batches of whatever size is cheap, with where they were read.

    changes counts what is done to images to make them fit; tally takes what the selection counts, and the rows that it
    leaves out.
    """
    tally = Tally() if tally is None else tally
    format = get_format(order.source_format)
    selection = order.selection()
    request = Request(order.schema, None, order.on_bad_record, on_skip, on_summary=on_summary, holds=order.holds)
    recoder = Recoder(order, on_skip, changes) if order.decode or order.encode else None
    for batch, places in _read(order, format, request, shuffled, memory, watch or Watch()):
        if order.encode_read:
            with numbered(places):
                batch = encoded(batch, order.encode_read)
        kept = selection.kept(batch)
        if kept is not None:
            tally.count(LEFT_OUT, len(batch) - len(kept))
            batch = batch.take(kept)
            places = places.take(kept)
            if not len(kept):
                continue
        with numbered(places):
            selected = selection.apply(batch, tally)
        if recoder is None:
            yield selected, places
        else:
            yield from recoder.apply(selected, places)


def _read(
    order: Order, format: Format, request: Request, shuffled: ShuffledRows | None, memory: int, watch: Watch
) -> Iterator[tuple[Batch, Origins]]:
    """The rows of an order, and where they were read: at least their numbers, where the format says no more of them."""
    if order.shuffle is not None:
        known = shuffled is not None and shuffled.serves(order)
        with nullcontext(shuffled) if known else ShuffledRows.of(order, memory) as rows:
            assert rows is not None  # one of the two
            watch.is_reading = True
            for batch, places in rows.batches(order, request, memory):
                watch.is_reading = False
                yield batch, places
                watch.is_reading = True
        watch.is_reading = False
        return
    for watch.extent, (extent, options) in enumerate(order.extents):
        watch.is_reading = True
        first = extent.first_record or 0
        with closing(format.read(extent, format.options(**options), request)) as batches:
            for batch in batches:
                watch.is_reading = False
                numbers = np.arange(first, first + len(batch))
                yield batch, FileRows((extent.path,), numbers) if batch.places is None else batch.places
                first += len(batch)
                watch.is_reading = True
    watch.extent, watch.is_reading = None, False


def _verify(order: Order, receipt: Receipt, written: Written, target: Format, schema: Schema) -> None:
    """Read the file back from disk; VerificationError where it is not what was written."""
    if order.verify == "none":
        return
    path = written.files[0].temporary
    _forget_cached(path)
    crc = Checksum()
    request = Request(schema, None, on_bytes=crc.add)
    try:
        num_rows, content = _read_back(path, target, written.options, request, order.verify == "content")
        target.check_companions(path, written.options)
    except (FormatError, SchemaError) as err:
        raise VerificationError(f"{order.target}: cannot be read back: {err}; {_ADVICE}") from err
    for file in receipt.files:  # also what no row holds: padding, a compressor's header, the index
        found = crc.value if file.temporary == path else crc_of(file.temporary)
        if found != file.crc32c and content == receipt.content and num_rows == receipt.num_rows:
            raise VerificationError(f"{file.final}: read back other bytes than were written; {_ADVICE}")
    if num_rows != receipt.num_rows:
        raise VerificationError(f"{order.target}: wrote {receipt.num_rows} rows, read back {num_rows}; {_ADVICE}")
    if content != receipt.content:
        raise VerificationError(_difference(order, written, target, Request(schema, None)))


def _read_back(path: str, target: Format, options: Any, request: Request, content: bool) -> tuple[int, str | None]:
    """The number of rows in a file, and their digest. Any: the format's options."""
    num_rows, hashed = 0, hashlib.sha256()
    with closing(target.read(Extent(path), options, request)) as batches:
        for batch in batches:
            num_rows += len(batch)
            if content:
                hashed.update(digest(batch).tobytes())
    return num_rows, hashed.hexdigest() if content else None


def _forget_cached(path: str) -> None:
    """Ask the system to drop its cached copy, so that what is read comes from the disk."""
    if hasattr(os, "posix_fadvise"):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def _difference(order: Order, written: Written, target: Format, request: Request) -> str:
    """The first row in which the file differs from its source, found by reading both again."""
    row = 0
    expected = (digest(batch) for batch, _ in rows_of(order))
    found = (digest(batch) for batch in target.read(Extent(written.files[0].temporary), written.options, request))
    for left, right in _in_step(expected, found):
        different = np.flatnonzero(left != right)
        if len(different):
            return f"{order.target}: row {row + int(different[0])} read back differs from its source; {_ADVICE}"
        row += len(left)
    return f"{order.target}: read back other content than was written, and the same when read again; {_ADVICE}"


def _in_step(
    left: Iterator[NDArray[np.uint32]], right: Iterator[NDArray[np.uint32]]
) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
    """Pieces of equal length of both."""
    empty = np.empty(0, dtype=np.uint32)
    a, b = empty, empty
    while True:
        a = a if len(a) else next(left, empty)
        b = b if len(b) else next(right, empty)
        size = min(len(a), len(b))
        if size == 0:
            return
        yield a[:size], b[:size]
        a, b = a[size:], b[size:]
