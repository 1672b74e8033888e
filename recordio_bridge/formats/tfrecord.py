"""TFRecord (.tfrecord), plain or compressed as a whole with GZIP or ZLIB.

    +-------------+----------------------+--------------+--------------------+
    | length u64  | CRC of the length u32| length bytes | CRC of those u32   |
    +-------------+----------------------+--------------+--------------------+

Both are CRC-32C, rotated right by 15 bits plus 0xa282ead8. No header, no trailer, no index, no alignment. A file of 0
bytes holds 0 records, and files joined end to end are a file. TensorFlow takes two kinds of cut files for whole ones:
cut inside the 12 bytes before a payload, and a GZIP stream without its trailer. Both are errors here.

A compressed stream has no size that a length could be compared with, and deflate turns a byte into 1032 at most. So a
length beyond 1032 times what is left of the file is an error; below that, see the option expansion.

The payload is a tf.train.Example (payload "example"), or anything else (payload "raw": one bytes field, record).

Specification: tensorflow/core/lib/io/record_writer.cc and record_reader.cc. Examples: example.py.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import _kernels, example
from ..batch import Batch, spans_of
from ..errors import FormatError, SchemaError
from ..files import COMPRESSED_SUFFIXES, Compression, Output, compression_of, open_stream, read_head, write_all
from ..paths import is_beside, nbytes_of
from ..rangefile import nbytes_in, open_beside, open_file, read_at
from ..schema import Schema
from ..shards import parse_shard
from ..sidecar import Sidecar, find_sidecar, is_called_raw, sidecar_doubts
from .base import ALARM, Extent, Heads, OnBadRecord, Request, Summary, Writer, Written
from .cuts import split_at_heads
from .frame_writer import Fill, FrameWriter
from .framed import (
    Framing,
    OpenRecords,
    Records,
    first_records,
    first_run,
    most_held,
    scan_file,
)
from .numbering import records_before
from .payloads import NO_RAW, RAW_SCHEMA, decode_messages, looks_like_example, raw_batch, survey_messages
from .walk import Room, Step, walk_file

_INDEX_SMALL = 1 << 20  # bytes that a .tfindex may always have
_INDEX_OF_FILE = 2  # and for each byte of its TFRecord: an empty record has 16 there, and its line at most 25


def is_head(head: bytes) -> bool:
    """Whether 8 bytes are a length and the next 4 its checksum."""
    one = np.empty(1, dtype=np.int64)
    _, _, fault, _ = _kernels.walk_tfrecord(head[:12], 0, 12, 0, one, one.copy())
    return (
        len(head) >= 12 and fault == _kernels.TRUNCATED_BODY
    )  # the head alone is no record, and nothing else is wrong


def describe_fault(fault: int, found: bytes, left: int) -> str:
    """What a kernel found where a record should begin, and what was expected; see recordio_frame."""
    length = int.from_bytes(found[:8], "little")
    return {
        _kernels.TRUNCATED_HEADER: f"found {left} bytes, expected the 12 of a record's head",
        _kernels.TRUNCATED_BODY: f"found {left - 12} bytes behind the head, expected {length} and 4 of a checksum",
        _kernels.BAD_LENGTH_CRC: "the checksum of the record's length does not fit",
        _kernels.BAD_DATA_CRC: "the checksum of the record's payload does not fit",
    }[fault]


FRAMING = Framing(
    is_head=is_head,
    frame_size=lambda head: int.from_bytes(head[:8], "little") + 16,
    scan=_kernels.scan_tfrecord,
    resync=_kernels.resync_tfrecord,
    header=12,
    trailer=4,
    step=1,
    has_checksum=True,
    describe_fault=describe_fault,
    first_record_hint="is this a TFRecord file, which begins with a length and its checksum?",
)


@dataclass(frozen=True, slots=True)
class TFRecordOptions:
    """How to read or write TFRecord."""

    compression: Literal["auto", "", "GZIP", "ZLIB"] = "auto"
    """"auto": what the content says when reading, what the suffix says when writing (.gz is GZIP, .zz is ZLIB)."""
    payload: Literal["auto", "example", "raw"] = "auto"
    """"example": tf.train.Example; "raw": one bytes field, record.
    "auto" looks at the first records; writing, it is "example"."""
    expansion: Literal["bounded", "any"] = "bounded"
    """"bounded": refuse a compressed file in which one record, or one Batch, takes more than 512 MiB and more than 32
    times the size of the file, as none but a trap is likely to; "any": take as much memory as it says. Reading only."""


class TFRecord:
    name = "tfrecord"
    needs_disk = False
    suffixes = tuple(
        plain + compressed for plain in (".tfrecord", ".tfrecords") for compressed in ("", *COMPRESSED_SUFFIXES)
    )
    options = TFRecordOptions

    def sniff(self, head: bytes) -> bool:
        return is_head(head)

    def resolve(self, path: str, options: TFRecordOptions) -> TFRecordOptions:
        if options.compression == "auto":
            head = read_head(path, 16)  # a plain file may begin like a compressed one: a length of 376 is 78 01
            known = compression_of(head) if head else compression_of_suffix(path)  # no stream of either has 0 bytes
            options = replace(options, compression="" if self.sniff(head) else known)
        if options.payload != "auto":
            return options
        sidecar = find_sidecar(path)
        if sidecar is not None:
            return replace(options, payload="raw" if sidecar.payload == "raw" else "example")
        # No LOOKED_AT for batch_rows: the records that the first block holds are enough where they are very long
        records = first_run(_scan(Extent(path), options, Request(RAW_SCHEMA, None, "skip")))
        if records is not None and not looks_like_example(records.payloads):
            if is_called_raw(path):
                return replace(options, payload="raw")
            raise FormatError(
                f"{path}: the records are no tf.train.Examples (raw bytes, or SequenceExamples); "
                "read them as bytes with payload='raw' (--in payload=raw)",
                path=path,
                record=0,
                offset=0,
            )
        return replace(options, payload="example")

    def payload(self, options: TFRecordOptions, schema: Schema) -> Literal["example", "raw"]:
        return "example" if options.payload == "auto" else options.payload

    def undecoded(
        self, paths: Sequence[str], options: Sequence[TFRecordOptions]
    ) -> tuple[list[TFRecordOptions], Schema]:
        return [replace(each, payload="raw") for each in options], RAW_SCHEMA

    def passing(self, payload: str) -> dict[str, object]:
        return {"payload": "raw"}

    def doubts(self, path: str, options: TFRecordOptions) -> list[str]:
        return sidecar_doubts(path)

    def certain(self, path: str, options: TFRecordOptions) -> tuple[Schema, bool]:
        if options.payload == "raw":
            return RAW_SCHEMA, True
        sidecar = _sidecar_for(path, options)
        return (Schema(), False) if sidecar is None else (sidecar.schema, True)

    def presume(self, path: str, options: TFRecordOptions) -> Schema | None:
        return None

    def glance(self, path: str, options: TFRecordOptions, rows: int) -> Schema:
        schema, is_all = self.certain(path, options)
        if is_all:
            return schema
        records = first_records(_scan(Extent(path), options, Request(RAW_SCHEMA, None, "skip")), rows)
        return survey_messages("example", records, Request(schema, on_bad_record="skip")).schema()

    def num_rows(self, path: str, options: TFRecordOptions, schema: Schema) -> int | None:
        return None

    def run_rows(self, path: str, options: TFRecordOptions, schema: Schema) -> int:
        return 1

    def is_sequential(self, options: TFRecordOptions) -> bool:
        return bool(options.compression)

    def unpack(
        self,
        path: str,
        options: TFRecordOptions,
        target: str,
        on_bad_record: OnBadRecord,
        fields: Iterable[str] | None = None,
    ) -> TFRecordOptions:
        """Inflate it; as far as it is sound where damage is skipped."""
        assert options.compression != "auto"  # resolve() came first
        buffer, written = memoryview(bytearray(1 << 20)), 0
        with closing(open_stream(path, options.compression)) as stream, open(target, "xb", buffering=0) as file:
            while stream.failure is None and (got := stream.readinto(buffer)):
                write_all(file.fileno(), buffer[:got], target, written)
                written += got
            if stream.failure is not None and on_bad_record == "raise":
                raise stream.failure
        return replace(options, compression="")

    def inspect(self, path: str, options: TFRecordOptions, request: Request) -> Summary:
        notes = [f"compressed with {options.compression}"] if options.compression else []
        sidecar = _sidecar_for(path, options)
        extent = Extent(path)
        if options.payload == "raw" or sidecar is not None:
            schema = RAW_SCHEMA if options.payload == "raw" or sidecar is None else sidecar.schema
            num_rows = sum(len(run) for run in self.heads(extent, options, request))
        else:
            with closing(_scan(extent, options, replace(request, batch_rows=None))) as runs:
                survey = survey_messages("example", runs, request)
            schema, num_rows = survey.schema(), survey.num_rows
            notes.append("schema inferred from the records")
        doubts = self.doubts(path, options)
        warnings = tuple(doubt for doubt in doubts if ALARM in doubt)
        return Summary(self.name, schema, num_rows, nbytes_of(path), (*notes, *doubts), warnings)

    def split(self, path: str, options: TFRecordOptions, nbytes: int) -> list[Extent]:
        if options.compression:
            return [Extent(path)]
        by_index = _split_by_index(path, self.index_path(path), nbytes)
        return by_index or split_at_heads(path, self.heads(Extent(path), options, Request(RAW_SCHEMA)), nbytes)

    def number_at(self, path: str, options: TFRecordOptions, offset: int) -> int:
        assert options.compression != "auto"  # resolve() came first
        return records_before(path, offset, FRAMING, _Walk(0), options.compression, _held(path, options))

    def read(self, extent: Extent, options: TFRecordOptions, request: Request) -> Generator[Batch, None, None]:
        with closing(_scan(extent, options, request)) as runs:
            for records in runs:
                yield self._batch(records, options, request)

    def _batch(self, records: Records, options: TFRecordOptions, request: Request) -> Batch:
        if options.payload == "raw":
            if request.holds is not None:
                # to see that they are sound
                decode_messages("example", records, replace(request, schema=request.holds[1]))
            return raw_batch(records, request.schema)
        return decode_messages("example", records, request)[1]

    def heads(self, extent: Extent, options: TFRecordOptions, request: Request) -> Iterator[Heads]:
        if options.compression or request.on_bad_record == "skip":
            with closing(_scan(extent, options, replace(request, batch_rows=None))) as runs:
                for records in runs:
                    yield Heads(records.offsets, records.payloads.lengths + 16, records.numbers)
        else:
            yield from (run.heads for run in walk_file(extent, FRAMING, _Walk(extent.start)))

    def sees_empty(self, options: TFRecordOptions, field: str) -> bool:
        return False

    def open_rows(self, path: str, options: TFRecordOptions, request: Request) -> OpenRecords:
        return OpenRecords(path, FRAMING, lambda records: self._batch(records, options, request))

    def index_path(self, path: str) -> str:
        return path.removesuffix(".tfrecord").removesuffix(".tfrecords") + ".tfindex"

    def write_index(self, path: str, options: TFRecordOptions, request: Request, out: Output) -> int:
        """A line for each record: offset, a blank, and size with its frame; NVIDIA DALI and vahidk/tfrecord read it."""
        if options.compression:
            raise FormatError(
                f"{path}: compressed with {options.compression}; only a plain TFRecord can have an index", path=path
            )
        num_rows = 0
        for heads in self.heads(Extent(path), options, request):
            out.write(_index_text(heads))
            num_rows += len(heads)
        return num_rows

    def files_of(self, path: str) -> list[str]:
        return [path, self.index_path(path)]

    def check_companions(self, path: str, options: TFRecordOptions) -> None:
        """Compare the .tfindex, where there is one, with the records; only a plain TFRecord can have one."""
        index_file = self.index_path(path)
        if options.compression or not is_beside(index_file):
            return
        found = _index_bytes(index_file, nbytes_of(path)).replace(b"\r\n", b"\n")
        at = row = 0
        for heads in self.heads(Extent(path), options, Request(RAW_SCHEMA)):
            expected = _index_text(heads)
            if found[at : at + len(expected)] not in (expected, expected[:-1]):  # the last line may lack its end
                raise _index_error(index_file, row, found[at:], expected)
            at, row = at + len(expected), row + len(heads)
        if found[at:]:
            raise _index_error(index_file, row, found[at:], b"")

    def check_target(self, path: str, options: TFRecordOptions) -> None:
        """A name that says one compression, and an option that says another."""
        named, asked = compression_of_suffix(path), options.compression
        if asked != "auto" and named not in ("", asked):
            raise ValueError(
                f"{path}: the suffix says {named} and compression={asked!r} does not; "
                "leave the option away, or take another name"
            )

    def create(self, path: str, schema: Schema, options: TFRecordOptions) -> Writer:
        compression = options.compression
        if compression == "auto":
            compression = compression_of_suffix(path)
        return TFRecordWriter(path, schema, compression, self.payload(options, schema))


FORMAT = TFRecord()


def _sidecar_for(path: str, options: TFRecordOptions) -> Sidecar | None:
    """The sidecar that describes this file as the options read it."""
    sidecar = find_sidecar(path)
    return None if sidecar is None or (sidecar.payload or "example") != options.payload else sidecar


def _index_text(heads: Heads) -> bytes:
    lines = zip(heads.offsets.tolist(), heads.sizes.tolist(), strict=True)
    return b"".join([b"%d %d\n" % line for line in lines])


def _index_bytes(path: str, file_size: int) -> bytes:
    """All of an index; FormatError where it is larger than that of a TFRecord of so many bytes."""
    with open_beside(path) as file:
        nbytes, most = nbytes_in(file), max(_INDEX_SMALL, _INDEX_OF_FILE * file_size)
        if nbytes > most:
            raise FormatError(
                f"{path}: {nbytes} bytes, expected at most {most} of such a TFRecord; rebuild it with: recordio-bridge "
                "index --overwrite",
                path=path,
            )
        return file.read()


def _split_by_index(path: str, index_file: str, nbytes: int) -> list[Extent] | None:
    """The extents by an index whose records fill the file, and begin as it says where it is cut; else None."""
    try:
        numbers = np.array(_index_bytes(index_file, nbytes_of(path)).split(), dtype=np.int64)
    except (FileNotFoundError, ValueError, OverflowError):
        return None
    offsets, sizes = numbers[::2], numbers[1::2]
    if len(numbers) == 0 or len(offsets) != len(sizes) or (sizes < FRAMING.header + FRAMING.trailer).any():
        return None
    ends = np.append(offsets[1:], nbytes_of(path))
    if offsets[0] != 0 or (offsets >= ends).any():  # else none lies outside of the file, and no difference wraps
        return None
    if not np.array_equal(ends - offsets, sizes):
        return None
    extents = split_at_heads(path, iter([Heads(offsets, sizes)]), nbytes)
    with open_file(path) as file:
        read = read_at(file)
        for extent in extents:
            head = read(FRAMING.header, extent.start)
            if not is_head(head) or FRAMING.frame_size(head) != sizes[extent.first_record or 0]:
                return None
    return extents


def _index_error(path: str, row: int, found: bytes, expected: bytes) -> FormatError:
    """The error for the first line that differs, from this row on."""
    pairs = zip_longest(found.splitlines(), expected.splitlines(), fillvalue=b"no line")
    number, (seen, right) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    return FormatError(
        f"{path}: line {row + number + 1}: found {seen[:60]!r}, expected {right!r}, the offset and size of the record: "
        "it is the index of another file; rebuild it with: recordio-bridge index --overwrite",
        path=path,
        record=row + number,
    )


def _scan(extent: Extent, options: TFRecordOptions, request: Request) -> Generator[Records, None, None]:
    """The records of an extent."""
    assert options.compression != "auto"  # resolve() came first
    held = _held(extent.path, options)
    return scan_file(extent, FRAMING, options.compression, request.batch_rows, request.skip, request.on_bytes, held)


def _held(path: str, options: TFRecordOptions) -> int | None:
    """The bytes that one batch may take; None where the file's size is the limit."""
    return most_held(path, trusted=options.expansion == "any") if options.compression else None


def compression_of_suffix(path: str) -> Compression:
    """What a name says."""
    shard = parse_shard(path)
    return COMPRESSED_SUFFIXES.get(os.path.splitext(path if shard is None else shard.output)[1], "")


class _Walk:
    """The walk over a file; see walk.Walk."""

    header_size = 0

    def __init__(self, start: int) -> None:
        self._at = start

    def __call__(self, window: bytes, origin: int, end: int, room: Room) -> Step:
        heads, lengths = room.heads, room.lengths
        count, self._at, fault, position = _kernels.walk_tfrecord(window, origin, end, self._at, heads, lengths)
        return count, self._at, fault, position

    def boundary(self) -> int:
        return self._at


class TFRecordWriter:
    """Encodes and frames in one pass: a payload is copied once, into the output buffer."""

    def __init__(self, path: str, schema: Schema, compression: Compression, payload: Literal["example", "raw"]) -> None:
        self._compression, self._payload = compression, payload
        if payload == "example":
            example.check_encodable(schema)
        elif schema != RAW_SCHEMA:
            raise SchemaError(f"payload 'raw' is one bytes field, record, and not {schema!r}; {NO_RAW}")
        self._frames = FrameWriter(Output(path, compression))

    def write(self, batch: Batch) -> None:
        self._frames.write(len(batch), self._filler(batch))

    def _filler(self, batch: Batch) -> Fill:
        if self._payload == "raw":
            spans = spans_of(batch["record"])
            return lambda first, out, heads: _kernels.frame_tfrecord(spans, first, out, heads)[:2]
        encoder = example.Encoder(batch, framed=True)
        lengths = np.empty(len(batch), dtype=np.int64)

        def fill(first: int, out: NDArray[np.uint8], starts: NDArray[np.int64]) -> tuple[int, int]:
            rows, written = encoder.encode(first, out, starts, lengths[: len(starts)])
            starts[:rows] -= FRAMING.header
            return rows, written

        return fill

    def close(self) -> Written:
        options = TFRecordOptions(self._compression, self._payload, "any")  # what we wrote ourselves is no trap
        return Written((self._frames.finish(),), options, self._payload)

    def abort(self) -> None:
        self._frames.abort()
