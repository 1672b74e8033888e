"""Files of framed records, RecordIO and TFRecord alike: blocks, scanning, and skipping over damage.

A block is read into a fresh buffer and scanned by a kernel into spans. A record that the block cuts moves to
the front of the next. So each payload is copied once, from the file into its block, and a Batch holds spans into it.

A part of a file is read as it would be in a reading of the whole: what a record may be, and where it goes on behind
damage, is decided by the file, not by where the part ends. There a record must begin; where one goes beyond, the file
was cut at what only looked like a record, and that is an error also where damage is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Batch, Ragged, sealed
from ..copies import on_disk
from ..errors import ChecksumError, FormatError, Place, TruncatedError
from ..files import Compression, OnBytes, Stream, open_stream, read_spans
from ..paths import nbytes_of
from ..places import Places
from ..readahead import ReadAhead
from .base import Extent, Heads, Skipped

BLOCK = 1 << 22  # bytes read at a time: large enough for numpy's overhead, small enough to stay in the cache
SPANS = 1 << 16  # records that one call of a scan kernel may report
_ROOM = 1 << 16  # bytes in front of a block for the record that the block before cut
_HELD = 1 << 29  # bytes that a record or a batch out of a compressed file may always take: the longest one of a .rec
_HELD_RATIO = 32  # and how many times the file's own size: such records as expand more are rarely so long
_NO_STOP = 1 << 62  # beyond any file
_HOLE = 1 << 24  # bytes of damage that are kept behind records of the batch in the making, which is all in one block
_LARGE_BATCH = 1 << 26  # bytes from which on a compressed file is not read further ahead than by a batch

_TRUNCATED = (_kernels.TRUNCATED_HEADER, _kernels.TRUNCATED_BODY, _kernels.UNFINISHED_RECORD)
_WRONG_CHECKSUM = (_kernels.BAD_LENGTH_CRC, _kernels.BAD_DATA_CRC)
_NO_HEAD = (_kernels.BAD_MAGIC, _kernels.BAD_LENGTH_CRC)  # at byte 0 they may mean a file of another format
ADVICE = "recover what is whole with on_bad_record='skip' (convert --on-bad-record skip)"
"""What to do about a bad record; a migration has an advice of its own in its place."""
IN_ONE_PIECE = "read or convert the file in one piece"
"""The same where a file was cut at what is no record."""


@dataclass(frozen=True, slots=True)
class Framing:
    """The kernels and numbers of one framing."""

    scan: Callable[..., tuple[int, int, int, int, int]]
    resync: Callable[..., tuple[int, bool]]
    header: int
    """Bytes from a record's head to its payload."""
    trailer: int
    """Bytes behind the payload (RecordIO: the padding, up to 3, not counted)."""
    is_head: Callable[[bytes], bool]
    """Whether these bytes, of the size of a header, are one."""
    frame_size: Callable[[bytes], int]
    """The bytes from a head to the end of what its length covers, by the header (RecordIO: of one part)."""
    step: int
    """Heads stand on multiples of this."""
    has_checksum: bool
    """Whether a record is seen to be whole by itself."""
    describe_fault: Callable[[int, bytes, int], str]
    """What a fault means, by the first bytes there and how many there are up to the end."""
    first_record_hint: str
    """What to ask when the file does not begin with a head."""


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records of a file: their payloads, their numbers in the file, and the offset where each begins."""

    path: str
    payloads: Ragged
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    framing: Framing

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def places(self) -> Places:
        """What messages say of each record."""
        sizes = self.payloads.lengths + (self.framing.header + self.framing.trailer)
        return Places((self.path,), self.numbers, self.offsets, sizes=sizes)

    def take(self, rows: NDArray[np.int64]) -> Records:
        """Some of these records."""
        return Records(self.path, self.payloads.take(rows), self.numbers[rows], self.offsets[rows], self.framing)

    def skipped(self, row: int, reason: str) -> Skipped:
        """The report for a record that is left out because of its content, not its frame; the path is said apart."""
        start = int(self.offsets[row])
        stop = start + self.framing.header + int(self.payloads.lengths[row]) + self.framing.trailer
        return Skipped(self.path, start, stop, reason.removeprefix(f"{self.path}: "), int(self.numbers[row]))


def fault_error(framing: Framing, fault: int, place: Place, found: bytes, left: int) -> FormatError:
    """The error for what a kernel found: where, what was there (its first bytes, and how many), what was expected."""
    kind: type[FormatError] = FormatError
    hint = f"{framing.first_record_hint} If so, " if place.offset == 0 and fault in _NO_HEAD else ""
    if fault in _TRUNCATED:
        kind, hint = TruncatedError, "the file was cut, or is damaged here; "
    elif fault in _WRONG_CHECKSUM:
        kind = ChecksumError
    message = f"{place.path}: {_fault_text(framing, fault, place, found, left)}; {hint}{ADVICE}"
    return kind(message, **place._asdict())


def _fault_text(framing: Framing, fault: int, place: Place, found: bytes, left: int) -> str:
    """Where in the file, what was there, and what was expected."""
    return f"record {place.record} at byte {place.offset}: {framing.describe_fault(fault, found, left)}"


class BlockReader:
    """Iterates over the Records of a stream.

    Args:
        batch_rows: exactly so many records each time but the last; None gives what a block holds.
        origin: the offset of the stream's first byte in the file.
        stop: where the part ends that is read, at the head of a record; None for the end of the file. The stream goes
            on behind it, for what can only be decided there.
        skip: called for each stretch of damaged bytes that is left out, which counts as one record; None raises.
        held: bytes that one batch of a compressed stream may take; None for a plain one, as its size is the limit.
        is_glance: only the first records are wanted, so that nothing is read ahead.
    """

    def __init__(
        self,
        stream: Stream,
        framing: Framing,
        *,
        batch_rows: int | None,
        origin: int = 0,
        stop: int | None = None,
        first_record: int = 0,
        skip: Callable[[Skipped], None] | None = None,
        held: int | None = None,
        is_glance: bool = False,
    ) -> None:
        self._stream, self._framing, self._skip, self._held = stream, framing, skip, held
        self._batch_rows, self._origin, self._record = batch_rows, origin, first_record
        self._stop = _NO_STOP if stop is None else stop
        self._crosses = False
        """Whether the record in hand goes beyond the stop, and is looked at alone."""
        self._gaps: list[int] = []
        """Of the batch in the making: the rows before which something was left out."""
        self._holes: list[tuple[int, int]] = []
        """And how many rows lie before a hole in the block, of so many bytes that are in the file."""
        self._block = np.empty(0, dtype=np.uint8)
        self._at = self._filled = 0
        self._at_end, self._at_most = False, stream.at_most
        self._usual, self._usual_rows = BLOCK, SPANS
        self._reads_ahead = not is_glance
        self._failure: FormatError | None = None
        self._ahead = ReadAhead(stream)

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()

    def __iter__(self) -> Iterator[Records]:
        while (records := self._next()) is not None:
            yield records

    def _next(self) -> Records | None:
        """Scan until there are enough records, reading on as needed; what is found stays at the front of the block."""
        wanted_rows = self._batch_rows or SPANS
        room = min(wanted_rows, self._usual_rows)
        starts, lengths = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        count = 0
        while count < wanted_rows:
            if count == len(starts):
                more = np.empty(min(count, wanted_rows - count), dtype=np.int64)
                starts, lengths = np.concatenate([starts, more]), np.concatenate([lengths, more])
            limit = self._filled if self._crosses else min(self._filled, self._border)
            rows = slice(count, count + 1 if self._crosses else None)
            found, self._at, wanted, fault, position = self._framing.scan(
                self._block, self._at, limit, self._at_end and limit == self._filled, starts[rows], lengths[rows]
            )
            count += found
            if fault and (left := self._without_swallower(count, starts)) < count:
                count = left
            elif fault:
                self._pass_over(fault, position, count, starts[:count])
            elif found and self._crosses:
                count = self._confirmed(count, starts)
            is_decided = fault or (found and self._crosses)
            self._crosses = self._crosses and not is_decided
            if self._at > self._border:
                raise self._border_error(count, starts)
            if self._at == self._border:
                break
            if is_decided:
                continue
            if wanted > self._border and not self._crosses:
                self._crosses = True
            elif count < len(starts):
                if self._at_end:
                    self._report_failure()
                    break
                if count and self._batch_rows is None:
                    break
                if self._cannot_come(wanted):  # as if all that comes were there: the scan says what is missing
                    ends = self._framing.scan(
                        self._block, self._at, self._filled, True, starts[count:], lengths[count:]
                    )
                    self._pass_over(*ends[3:], count, starts[:count])
                    self._crosses = False
                else:
                    self._read_on(wanted, starts[:count])
        if count == 0:
            return None
        if (count := self._confirmed(count, starts)) == 0:
            return self._next()
        return self._records(count, starts, lengths)

    def _records(self, count: int, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Records:
        """The records that were found; and how much the next block should hold, by them."""
        if self._batch_rows:
            nbytes = self._at - int(starts[0])
            most = 1 << 30 if self._held is None else max(_LARGE_BATCH, nbytes)
            self._usual, self._usual_rows = max(BLOCK, min(4 * nbytes, most)), max(SPANS, count)
        offsets = starts[:count] - self._framing.header + self._origin
        for before, nbytes in self._holes:
            offsets[:before] -= nbytes
        self._holes = []
        return Records(
            self._stream.path,
            Ragged(self._sealed(), sealed(starts)[:count], sealed(lengths)[:count], "bytes"),
            self._numbers(count),
            offsets,
            self._framing,
        )

    @property
    def _border(self) -> int:
        """Where the part ends, from the beginning of the block."""
        return self._stop - self._origin

    def _border_error(self, count: int, starts: NDArray[np.int64]) -> FormatError:
        """The error where the last of these records, or damage, goes on beyond the end of the part.

        Its offset is that end, unless a record was damaged whose length leads to no other: then the file was cut well.
        """
        path, record = self._stream.path, self._record + count - 1 + len(self._gaps)
        if self._skip is None and not self._framing.has_checksum and count and not self._leads_on(starts[:count]):
            begin = self._origin + int(starts[count - 1]) - self._framing.header
            message = (
                f"{path}: record {record} at byte {begin}: its length goes beyond byte {self._stop}, where another "
                f"record begins, and ends where none does; {ADVICE}"
            )
            return FormatError(message, path=path, record=record, offset=begin)
        message = (
            f"{path}: record {record} goes beyond byte {self._stop}, where the file was cut in parts as a record "
            f"seemed to begin there: its length is damaged, or records lie in its payload as they are; {IN_ONE_PIECE}"
        )
        return FormatError(message, path=path, record=record, offset=self._stop)

    def _leads_on(self, starts: NDArray[np.int64]) -> bool:
        """Whether a record, or the end of the file, is where the last of these records ends."""
        header = self._framing.header
        if self._filled - self._at < header and not self._at_end:
            self._read_on(self._at + header, starts)
        following = bytes(self._block[self._at : self._filled][:header])
        return not following or self._framing.is_head(following)

    def _numbers(self, count: int) -> NDArray[np.int64]:
        """The numbers in the file of the records of a batch."""
        numbers = np.arange(self._record, self._record + count)
        if self._gaps:
            numbers += np.searchsorted(self._gaps, np.arange(count), side="right")
        self._record += count + len(self._gaps)
        self._gaps = []
        return numbers

    def _confirmed(self, count: int, starts: NDArray[np.int64]) -> int:
        """How many records may be given: where damage is skipped, the last is seen to end where the next begins."""
        if self._skip is None or self._framing.has_checksum or self._at == self._border:
            return count
        header = self._framing.header
        if self._filled - self._at < header and not self._at_end:
            self._read_on(self._at + header, starts[:count])
        return self._without_swallower(count, starts) if self._at < self._filled else count

    def _without_swallower(self, count: int, starts: NDArray[np.int64]) -> int:
        """How many records are left without a last one in which another begins: its length was damaged.

        Only asked where no record begins behind it, sound or not, which does not depend on how much is read at a time.
        A payload cannot hold a head, as writers cut it there. Those that they did cut are not asked: their parts were
        joined in the block.
        """
        if self._skip is None or self._framing.has_checksum or not count:
            return count
        first = int(starts[count - 1]) - self._framing.header
        following = bytes(self._block[self._at : self._filled][: self._framing.header])
        if self._framing.is_head(following) or self._block[int(starts[count - 1]) - 1] >> 5:
            return count
        begin, ends = self._origin + first, self._origin + self._at
        at = self._next_head(first + self._framing.step, starts[:count], ends)
        self._at = ends - self._origin
        if at >= self._at:
            return count
        record = self._record + count - 1 + len(self._gaps)
        end = self._origin + at
        reason = f"record {record} at byte {begin}: its length goes beyond byte {end}, where another record begins"
        self._gaps.append(count - 1)
        self._skip(Skipped(self._stream.path, begin, end, reason, record))
        self._at = at
        return count - 1

    def _report_failure(self) -> None:
        """Tell of a stream that ended too early, where it did not also cut a record."""
        if self._failure is not None and self._skip is None:
            raise self._failure
        if self._failure is not None and self._skip is not None:
            end, path = self._origin + self._filled, self._stream.path
            reason = str(self._failure).removeprefix(f"{path}: ")
            self._skip(Skipped(path, end, end, reason))  # between records: no number
            self._failure = None

    def _sealed(self) -> NDArray[np.uint8]:
        return sealed(self._block.view())

    def _cannot_come(self, wanted: int) -> bool:
        """Whether a length goes beyond all that is to come. Where that is not much, it is read, and the end tells."""
        return wanted - self._filled > self._at_most > self._usual

    def _read_on(self, wanted: int, starts: NDArray[np.int64]) -> None:
        """Get a new block: what is still needed of the old one, then bytes of the stream.

        wanted is an offset in the block up to which the scan asked for bytes. It came from the file, so it only
        sizes the block where the stream is known to be so long; elsewhere the block doubles as bytes really come.
        """
        keep = int(starts[0]) - self._framing.header if len(starts) else self._at
        if self._held is not None and wanted - keep > self._held:
            raise self._held_error(self._held, wanted, keep, len(starts))
        kept = self._block[keep : self._filled]
        room = max(_ROOM, self._usual // 3)  # what is kept is a batch at most, a quarter of the usual block
        size = self._up_to_border(wanted, self._growth(len(kept), wanted - self._filled, len(starts)))
        piece = self._ahead.take(max(room, len(kept)), size)
        if len(kept) <= piece.room:
            self._block = piece.buffer[piece.room - len(kept) : piece.room + piece.size]
            self._block[: len(kept)] = kept
        else:  # a record larger than the blocks so far
            self._block = np.concatenate([kept, piece.buffer[piece.room : piece.room + piece.size]])
        starts -= keep
        self._at -= keep
        self._origin += keep
        self._filled = len(self._block)
        self._at_end, self._at_most, self._failure = piece.is_last, piece.at_most, piece.failure
        if self._at_end or self._filled >= self._border or not self._reads_ahead:
            return
        missing = wanted - keep - self._filled
        if missing > 0 or len(kept) > self._usual:  # not enough yet, or a batch of which nobody knows how much it takes
            room, size = self._filled, self._growth(self._filled, missing, len(starts))
        else:
            size = self._usual
        self._ahead.start(room, self._up_to_border(wanted - keep, size))

    def _up_to_border(self, wanted: int, nbytes: int) -> int:
        """How much of so much to read: not beyond the border, unless what is there is wanted."""
        return nbytes if wanted > self._border else min(nbytes, self._border - self._filled)

    def _growth(self, have: int, missing: int, rows: int) -> int:
        """How much to read behind so many bytes: doubles them, so that they are not copied again and again."""
        if self._held is None:
            return max(self._usual, have, missing)
        return max(self._usual, min(have, self._held - have if rows else missing))

    def _held_error(self, held: int, wanted: int, keep: int, rows: int) -> FormatError:
        """The error for a record, or a batch with so many rows before it, that is too much for a compressed file."""
        path, offset = self._stream.path, self._origin + self._at
        record = self._record + rows + len(self._gaps)
        if wanted - self._at > held:
            where, advice = f"record {record} at byte {offset} is {wanted - self._at} bytes long", ""
        else:
            where = f"records {self._record} to {record} are {wanted - keep} bytes long together"
            advice = "ask for fewer rows at a time (batch_rows=), or, "
        message = (
            f"{path}: {where}, more than is believed of so small a compressed file: expected at most {held} bytes "
            f"(512 MiB, or {_HELD_RATIO} times the file's size); {advice}if you trust the file, pass expansion='any' "
            "(--in expansion=any)"
        )
        return FormatError(message, path=path, record=record, offset=offset)

    def _pass_over(self, fault: int, position: int, count: int, starts: NDArray[np.int64]) -> None:
        """Raise for a fault, or move on to the next sound record and report the bytes between."""
        record = self._record + count + len(self._gaps)
        found = bytes(self._block[position : position + 8])
        place = Place(self._stream.path, record, self._origin + position)
        left = self._filled - position
        if self._skip is None:
            raise self._failure or fault_error(self._framing, fault, place, found, left)
        self._gaps.append(count)
        begin = self._origin + self._at
        self._failure = None
        if fault != _kernels.BAD_DATA_CRC or not self._hop_over(int.from_bytes(found, "little"), starts):
            self._resync(starts)
        reason = _fault_text(self._framing, fault, place, found, left)
        self._skip(Skipped(place.path, begin, self._origin + self._at, reason, record))

    def _hop_over(self, length: int, starts: NDArray[np.int64]) -> bool:
        """Pass over a record whose length is sound, if a head or the end is where that says: bytes may be missing."""
        size = self._framing.header + length + self._framing.trailer
        if not self._at_end and self._at + size + self._framing.header > self._filled:
            self._read_on(self._at + size + self._framing.header, starts)
        end = self._at + size
        head = bytes(self._block[end : self._filled][: self._framing.header])
        if end > self._filled or (head and not self._framing.is_head(head)):
            return False
        self._at = end
        return True

    def _resync(self, starts: NDArray[np.int64]) -> None:
        self._at = self._next_head(self._at + self._framing.step, starts, damage=self._at)

    def _next_head(self, at: int, starts: NDArray[np.int64], until: int = _NO_STOP, damage: int | None = None) -> int:
        """Where in the block a sound record begins, from there on; what it reads on for is let go of but for starts.

        Further than byte `until` of the file it need not look. From `damage` in the block on, nothing is kept.
        """
        while True:
            at = min(at, self._filled)
            at, decided = self._framing.resync(self._block, at, self._filled, self._at_end)
            if decided or self._origin + at >= until:
                return at
            head = bytes(self._block[at : self._filled][: self._framing.header])
            if self._framing.is_head(head) and self._cannot_come(at + self._framing.frame_size(head)):
                at += self._framing.step
                continue
            if damage is not None and len(starts) and at - damage > _HOLE:
                at = self._cut_out(damage, at, len(starts))
            before, self._at = self._origin, at
            self._read_on(self._filled + 1, starts)
            at += before - self._origin
            damage = None if damage is None else damage + before - self._origin

    def _cut_out(self, start: int, stop: int, rows: int) -> int:
        """Let go of damage behind so many rows in the block; what stood at its end stands at its start then."""
        self._block = np.concatenate([self._block[:start], self._block[stop : self._filled]])
        self._filled = len(self._block)
        self._origin += stop - start
        self._holes.append((rows, stop - start))
        return start


def most_held(path: str, *, trusted: bool = False) -> int:
    """The bytes that one record or batch of a compressed file may take: real data do not fill memory from little."""
    return 1 << 62 if trusted else max(_HELD, _HELD_RATIO * nbytes_of(path))


def scan_file(
    extent: Extent,
    framing: Framing,
    compression: Compression,
    batch_rows: int | None,
    skip: Callable[[Skipped], None] | None,
    on_bytes: OnBytes | None = None,
    held: int | None = None,
    is_glance: bool = False,
) -> Generator[Records, None, None]:
    """The records of an extent, is_glance where only the first are wanted.

    To be closed where its loop may be left early: until then the file is open.
    """
    with closing(open_stream(extent.path, compression, extent.start, None, on_bytes)) as stream:
        if not compression and extent.start + stream.at_most < (extent.stop or 0):
            end = extent.start + stream.at_most
            raise TruncatedError(
                f"{extent.path}: ends at byte {end}, expected {extent.stop}: another program cut the file",
                path=extent.path,
                offset=end,
            )
        reader = BlockReader(
            stream,
            framing,
            batch_rows=batch_rows,
            origin=extent.start,
            stop=extent.stop,
            first_record=extent.first_record or 0,
            skip=skip,
            held=held,
            is_glance=is_glance,
        )
        with closing(reader):
            yield from reader


def first_run(records_of: Generator[Records, None, None]) -> Records | None:
    """The first of what a scan gives; it is closed here, as an interrupt is lost in what the collector closes."""
    with closing(records_of) as runs:
        return next(runs, None)


def first_records(records_of: Generator[Records, None, None], rows: int) -> Iterator[Records]:
    """The first rows of what a scan gives, and what else is in the same blocks; the scan is closed."""
    with closing(records_of) as runs:
        for records in runs:
            yield records
            rows -= len(records)
            if rows <= 0:
                return


class OpenRecords:
    """A file that is open for its records to be taken. to_batch makes of them what is asked for."""

    nbytes = 0

    def __init__(self, path: str, framing: Framing, to_batch: Callable[[Records], Batch]) -> None:
        self._path, self._framing, self._to_batch = path, framing, to_batch
        with ExitStack() as stack:
            self._file = stack.enter_context(open(stack.enter_context(on_disk(path)), "rb", buffering=0))
            self._open = stack.pop_all()

    def close(self) -> None:
        self._open.close()

    def take(self, heads: Heads) -> Batch:
        return self._to_batch(self._records(heads))

    def _records(self, heads: Heads) -> Records:
        """The records with these heads, in this order, each checked as a scan does."""
        path, framing = self._path, self._framing
        block = read_spans(path, self._file.fileno(), heads.offsets, heads.sizes)
        starts, lengths = np.empty(len(heads), dtype=np.int64), np.empty(len(heads), dtype=np.int64)
        numbers = np.arange(len(heads)) if heads.numbers is None else heads.numbers
        count, _, _, fault, position = framing.scan(block, 0, len(block), True, starts, lengths)
        if fault:
            offset = int(heads.offsets[count]) + position - int(heads.sizes[:count].sum())
            place = Place(path, int(numbers[count]), offset)
            found, left = bytes(block[position : position + 8]), len(block) - position
            raise fault_error(framing, fault, place, found, left)
        if count != len(heads):
            raise FormatError(f"{path}: changed since its records were counted", path=path)
        payloads = Ragged(sealed(block), sealed(starts), sealed(lengths), "bytes")
        return Records(path, payloads, numbers, heads.offsets, framing)
