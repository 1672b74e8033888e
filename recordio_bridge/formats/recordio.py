"""MXNet RecordIO (.rec), with its index (.idx) and label list (.lst).

A file is a row of parts, each on a 4-byte boundary:

    +-----------+--------------------+------------------+-----------+
    | magic u32 | flag:3  length:29  | length bytes     | 0..3 pad  |
    +-----------+--------------------+------------------+-----------+

flag 0 is a whole record; 1, 2, 3 are first, middle and last part of a record that was cut wherever the magic stood on a
4-byte boundary of its payload. Put the magic back between the parts. There is no checksum, no header, no count. A
record has at most 2**29 - 1 bytes before it is cut.

An image record (payload "image") begins with 24 bytes, wherever its parts were cut:

    +----------+-----------+---------+---------+--------------------+------------------+
    | flag u32 | label f32 | id  u64 | id2 u64 | flag labels, f32   | an image file    |
    +----------+-----------+---------+---------+--------------------+------------------+

flag counts the labels behind the header; with flag 0 the one label is in the header, else the header's is void.
Before August 2016 flag meant nothing: where an image begins at byte 24, and none behind the labels, flag is taken as
0.

SageMaker's files (payload "sagemaker") have the same frame, but each record is one part, and a magic inside stays where
it is. Lengths lead past it, so such a file reads as any other; only who looks for heads in the middle of it, as we do
behind damage, may be misled. SageMaker's own reader takes flag and length as one number: we write no record that would
need it, and read none, as a flag is what all others see in it.

Specification: dmlc-core, include/dmlc/recordio.h, src/recordio.cc. Image header: mxnet, src/io/image_recordio.h.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Batch, Column, Ragged
from ..errors import FormatError, Place, SchemaError, TruncatedError
from ..files import COMPRESSED_SUFFIXES, Output, compression_of, read_head
from ..paths import absolute, exists, is_beside, nbytes_of
from ..rangefile import ReadAt, open_file, read_at
from ..schema import Field, Schema
from ..sidecar import Sidecar, find_sidecar, is_called_raw, sidecar_doubts
from .base import ALARM, Extent, Heads, OnBadRecord, Request, Skipped, Summary, Writer, join_heads
from .cuts import split_at_heads
from .framed import (
    Framing,
    OpenRecords,
    Records,
    first_records,
    first_run,
    scan_file,
)
from .numbering import records_before
from .payloads import (
    LOOKED_AT,
    RAW_SCHEMA,
    Messages,
    are_messages,
    looks_like_example,
    looks_like_sagemaker,
    survey_messages,
)
from .recordio_columns import Columns, not_an_image
from .recordio_cuts import split_at_magics
from .recordio_facts import Facts
from .recordio_frame import LIMIT, MAGIC, PART_HEADER, describe_fault
from .recordio_header import HEADER, padded_headers
from .recordio_index import (
    check_against_heads,
    index_path,
    keys_are_unique,
    missing_records,
    read_index,
    renewed_index,
    unique_keys,
)
from .recordio_layout import Layout, heads_of_images, layout_of
from .recordio_list import read_list
from .recordio_writer import RecordIOWriter
from .walk import Room, Step, walk_file

IMAGE_SCHEMA = Schema(Field("id", "uint64"), Field("label", "float32", (None,)), Field("image", "bytes"))

Payload: TypeAlias = Literal["image", "raw", "example", "sagemaker"]
PAYLOADS: tuple[Payload, ...] = ("image", "raw", "example", "sagemaker")

FRAMING = Framing(
    is_head=lambda head: head[:4] == MAGIC and (len(head) < PART_HEADER.size or head[7] >> 5 <= 1),
    frame_size=lambda head: 8 + ((int.from_bytes(head[4:8], "little") & LIMIT) + 3 & ~3),
    scan=_kernels.scan_recordio,
    resync=_kernels.resync_recordio,
    header=PART_HEADER.size,
    trailer=0,
    step=4,
    has_checksum=False,
    describe_fault=describe_fault,
    first_record_hint="is this a RecordIO file?",
)


@dataclass(frozen=True, slots=True)
class RecordIOOptions:
    """How to read or write a .rec file."""

    payload: Literal["auto", "image", "raw", "example", "sagemaker"] = "auto"
    """"image": split off MXNet's 24-byte header; "raw": one bytes field, record; "example": serialized
    tf.train.Examples; "sagemaker": SageMaker's Records (application/x-recordio-protobuf).
    "auto" believes the sidecar, then the content of the first records; writing, it takes what fits the fields."""
    labels: str | None = None
    """A .lst file whose labels replace those in the records, joined on id. Reading image records only."""
    index: str | None = None
    """Another .idx than the one beside the file, for reading keys; "" for none."""
    escape: Literal["auto", "always", "never"] = "auto"
    """Whether a record is cut in parts where the magic lies in it, as the readers of dmlc and MXNet want it, and
    SageMaker's does not. "auto" never cuts payload "sagemaker". Writing only."""

    def index_path(self, path: str) -> str:
        """The .idx of a file."""
        return self.index if self.index is not None else index_path(path)


class RecordIO:
    name = "recordio"
    suffixes = (".rec",)
    needs_disk = False
    options = RecordIOOptions

    def sniff(self, head: bytes) -> bool:
        """The magic, then a flag of 0 or 1."""
        return head[:4] == MAGIC and len(head) >= 8 and head[7] >> 5 <= 1

    def resolve(self, path: str, options: RecordIOOptions) -> RecordIOOptions:
        head = read_head(path, 16)
        if not head and os.path.splitext(path)[1] in COMPRESSED_SUFFIXES:
            raise TruncatedError(
                f"{path}: has 0 bytes, and a compressed file has more; it was cut", path=path, offset=0
            )
        compression = compression_of(head)
        if compression:
            raise FormatError(
                f"{path}: a .rec inside {compression}; a .rec is read in place, so decompress it first", path=path
            )
        labels = absolute(options.labels) if options.labels else options.labels
        index = absolute(options.index) if options.index else options.index
        options = replace(options, labels=labels, index=index)
        if options.index and not exists(options.index):
            raise FileNotFoundError(errno.ENOENT, "no such index, which index= names", options.index)
        options = options if options.payload != "auto" else self._decided(path, options)
        if options.labels is not None and options.payload != "image":
            raise ValueError(
                f"{path}: labels= joins on the id of image records, and its payload is {options.payload!r}"
            )
        return options

    def _decided(self, path: str, options: RecordIOOptions) -> RecordIOOptions:
        """The payload by the sidecar, or by the first records."""
        sidecar = find_sidecar(path)
        for payload in PAYLOADS:
            if sidecar is not None and sidecar.payload == payload:
                return replace(options, payload=payload)
        damage: list[Skipped] = []
        records = first_run(scan_file(Extent(path), FRAMING, "", LOOKED_AT, damage.append, is_glance=True))
        if records is not None and looks_like_example(records.payloads):
            return replace(options, payload="example")
        if is_called_raw(path):
            return replace(options, payload="raw")
        if records is None:
            return replace(options, payload="image")
        if looks_like_sagemaker(records.payloads):
            return replace(options, payload="sagemaker")
        unfit = np.flatnonzero(records.payloads.lengths < HEADER.itemsize)
        if 2 * len(unfit) > len(records):
            row = int(unfit[0])
            damaged = f". The file is damaged, too: {damage[0].reason}" if damage else ""
            raise not_an_image(records.places[row], int(records.payloads.lengths[row]), and_more=damaged)
        return replace(options, payload="image")

    def payload(self, options: RecordIOOptions, schema: Schema) -> Payload:
        return payload_for(schema) if options.payload == "auto" else options.payload

    def undecoded(
        self, paths: Sequence[str], options: Sequence[RecordIOOptions]
    ) -> tuple[list[RecordIOOptions], Schema]:
        """With a field key where each is there once: from the .idx where it is sound, else the ids of image records."""
        found = [self._identify(path, opts) for path, opts in zip(paths, options, strict=True)]
        keys = [column for _, column in found if column is not None]
        fields = list(RAW_SCHEMA.values())
        texts = [isinstance(column, Ragged) for column in keys]
        if any(texts) and not all(texts):
            raise SchemaError(
                "some .idx have texts for keys, and some integers; convert these files apart", field="key"
            )
        if len(keys) == len(found) and (len(keys) == 1 or keys_are_unique(keys)):
            wide = any(not isinstance(column, Ragged) and column.dtype == np.uint64 for column in keys)
            fields.append(Field("key", "bytes" if all(texts) else "uint64" if wide else "int64"))
        return [opts for opts, _ in found], Schema(*fields)

    def passing(self, payload: str) -> dict[str, object]:
        return {"payload": "raw", "escape": "never" if payload == "sagemaker" else "auto"}

    def _identify(self, path: str, options: RecordIOOptions) -> tuple[RecordIOOptions, Column | None]:
        """The options that read a file's records as they are, and their keys, None where they have none."""
        facts = Facts(path, options, keep=True)
        for heads, lengths, headers in self._steps(Extent(path), Request(RAW_SCHEMA, on_bad_record="skip")):
            facts.add(heads.offsets, lengths, headers)
        index = facts.checked_index()
        raw = replace(options, payload="raw", index="" if index is None else options.index)
        if index is not None:
            return raw, index.keys
        return raw, facts.ids if options.payload == "image" and keys_are_unique([facts.ids]) else None

    def doubts(self, path: str, options: RecordIOOptions) -> list[str]:
        alarm = missing_records(options.index_path(path), nbytes_of(path))
        return sidecar_doubts(path) + ([] if alarm is None else [alarm])

    def certain(self, path: str, options: RecordIOOptions) -> tuple[Schema, bool]:
        """Of a sidecar, all fields, unless the .idx is not the one that was written with it: it may have other keys."""
        sidecar = _sidecar_for(path, options)
        if sidecar is not None:
            return sidecar.schema, options.payload == "example" or sidecar.describes(options.index_path(path))
        fixed = {"image": IMAGE_SCHEMA, "raw": RAW_SCHEMA}.get(options.payload, Schema())
        if options.labels is not None and "label" in fixed:
            labels = replace(fixed["label"], dtype=read_list(options.labels).labels.dtype)
            fixed = Schema(*(labels if field.name == "label" else field for field in fixed.values()))
        return fixed, options.payload == "raw" and not is_beside(options.index_path(path))

    def presume(self, path: str, options: RecordIOOptions) -> Schema | None:
        schema, is_all = self.certain(path, options)
        if options.payload != "image":  # only image records are looked at on the way
            return None
        if is_all:
            return schema
        runs = first_records(scan_file(Extent(path), FRAMING, "", None, None, is_glance=True), 1)
        return self._by_first(path, options, schema, runs)

    def glance(self, path: str, options: RecordIOOptions, rows: int) -> Schema:
        schema, is_all = self.certain(path, options)
        if is_all:
            return schema
        records = list(first_records(scan_file(Extent(path), FRAMING, "", None, lambda skipped: None), rows))
        if are_messages(options.payload):
            schema = survey_messages(options.payload, records, Request(schema, on_bad_record="skip")).schema()
        if options.payload == "example":
            return schema
        return self._by_first(path, options, schema, records)

    def _by_first(self, path: str, options: RecordIOOptions, schema: Schema, runs: Iterable[Records]) -> Schema:
        """The fields of the payload, with those beside them that the first records show."""
        with closing(Facts(path, options)) as facts:
            for records in runs:
                facts.add(records.offsets, records.payloads.lengths, padded_headers(records.payloads))
            return _with_extra(schema, facts.presumed_fields(), options, facts.has_index)

    def num_rows(self, path: str, options: RecordIOOptions, schema: Schema) -> int | None:
        return None

    def run_rows(self, path: str, options: RecordIOOptions, schema: Schema) -> int:
        return 1

    def is_sequential(self, options: RecordIOOptions) -> bool:
        return False

    def unpack(
        self,
        path: str,
        options: RecordIOOptions,
        target: str,
        on_bad_record: OnBadRecord,
        fields: Iterable[str] | None = None,
    ) -> RecordIOOptions:
        raise TypeError("a .rec is read at any row as it is")

    def inspect(self, path: str, options: RecordIOOptions, request: Request) -> Summary:
        with closing(Facts(path, options)) as facts:
            for heads, lengths, headers in self._steps(Extent(path), request, options.payload == "image"):
                facts.add(heads.offsets, lengths, headers)
            return self._summary(path, options, request, facts)

    def _part_summary(self, part: Extent, options: RecordIOOptions, request: Request, facts: Facts) -> Summary:
        schema, is_all = self.certain(part.path, options)
        extra = facts.fields()  # also looks at the index, for the warnings
        if not is_all:
            if are_messages(options.payload):
                schema = self._surveyed(part, options.payload, replace(request, on_skip=lambda skipped: None))
            schema = _with_extra(schema, extra, options, facts.has_index)
        stop = nbytes_of(part.path) if part.stop is None else part.stop
        warnings = tuple(facts.warnings())
        return Summary(self.name, schema, facts.num_rows, stop - part.start, warnings, warnings, facts.empty())

    def _surveyed(self, extent: Extent, payload: Messages, request: Request) -> Schema:
        """The schema by a look at every message."""
        with closing(scan_file(extent, FRAMING, "", None, request.skip)) as runs:
            return survey_messages(payload, runs, request).schema()

    def _summary(self, path: str, options: RecordIOOptions, request: Request, facts: Facts) -> Summary:
        schema, is_all = self.certain(path, options)
        extra = facts.fields()  # also looks at the index, for the notes
        layout = self._layout(path, options, facts)
        notes = facts.notes(layout.notes) + sidecar_doubts(path)
        if options.payload == "sagemaker":
            notes.append("the records are SageMaker's (application/x-recordio-protobuf)")
        if are_messages(options.payload) and not is_all:
            schema = self._surveyed(Extent(path), options.payload, request)
            notes.append("schema inferred from the records")
        warnings = facts.warnings() + [*layout.warnings] + [doubt for doubt in sidecar_doubts(path) if ALARM in doubt]
        if not is_all:
            schema = _with_extra(schema, extra, options, facts.has_index)
        if options.payload == "example" and "id" not in schema and any(field.name == "key" for field in extra):
            warnings.append(f"{options.index_path(path)} has keys of its own, which only another .rec can take over")
            notes.append(warnings[-1])
        told = (tuple(notes), tuple(warnings), facts.empty(), layout.preset)
        return Summary(self.name, schema, facts.num_rows, nbytes_of(path), *told)

    def _layout(self, path: str, options: RecordIOOptions, facts: Facts) -> Layout:
        """What the records are likely to be, by a look at some."""

        def rows_from(offset: int, rows: int) -> Batch | None:
            request = Request(IMAGE_SCHEMA.pick(("label", "image")), rows, "skip")
            with closing(
                self.read(Extent(path, offset, None, None), replace(options, labels=None), request)
            ) as batches:
                return next(batches, None)

        return layout_of(path, facts.kinds, rows_from) if options.payload == "image" else Layout()

    def split(self, path: str, options: RecordIOOptions, nbytes: int) -> list[Extent]:
        if options.payload == "sagemaker":  # records may lie in one as they are
            return split_at_heads(path, self.heads(Extent(path), options, Request(RAW_SCHEMA)), nbytes)
        return split_at_magics(path, nbytes)

    def number_at(self, path: str, options: RecordIOOptions, offset: int) -> int:
        return records_before(path, offset, FRAMING, _Walk(0))

    def read(self, extent: Extent, options: RecordIOOptions, request: Request) -> Generator[Batch, None, None]:
        with ExitStack() as stack:
            facts, part = None, extent if extent.start or extent.stop is not None else None
            if request.on_summary is not None:
                facts = stack.enter_context(closing(Facts(extent.path, options, part=part)))
            columns = Columns(extent.path, options, request, facts)
            runs = scan_file(extent, FRAMING, "", request.batch_rows, request.skip, request.on_bytes)
            for records in stack.enter_context(closing(runs)):
                yield columns.batch(records)
            if facts is not None and request.on_summary is not None:
                if part is None:
                    request.on_summary(self._summary(extent.path, options, request, facts))
                else:
                    request.on_summary(self._part_summary(part, options, request, facts))

    def heads(self, extent: Extent, options: RecordIOOptions, request: Request) -> Iterator[Heads]:
        steps = self._steps(extent, request)
        if request.where is not None and self.sees_empty(options, request.where):
            return heads_of_images(steps, extent.first_record or 0)
        return (heads for heads, _, _ in steps)

    def _steps(
        self, extent: Extent, request: Request, images: bool = False
    ) -> Iterator[tuple[Heads, NDArray[np.int64], NDArray[np.void]]]:
        """Heads, sizes of payloads, and image headers: zero-filled where a record is shorter, as no image may be."""
        if request.on_bad_record == "raise":
            first = extent.first_record or 0
            for run in walk_file(extent, FRAMING, _Walk(extent.start)):
                short = np.flatnonzero(run.lengths < HEADER.itemsize)
                if images and len(short):
                    row = int(short[0])
                    place = Place(extent.path, first + row, int(run.heads.offsets[row]))
                    raise not_an_image(place, int(run.lengths[row]))
                first += len(run.heads)
                yield run.heads, run.lengths, run.headers.view(HEADER).reshape(-1)
            return
        with closing(scan_file(extent, FRAMING, "", None, request.on_skip)) as runs:
            for records in runs:
                heads = Heads(records.offsets, _sizes(extent.path, records), records.numbers)
                yield heads, records.payloads.lengths, padded_headers(records.payloads)

    def sees_empty(self, options: RecordIOOptions, field: str) -> bool:
        return field == "image" and options.payload == "image"

    def open_rows(self, path: str, options: RecordIOOptions, request: Request) -> OpenRecords:
        return OpenRecords(path, FRAMING, Columns(path, options, request).batch)

    def index_path(self, path: str) -> str:
        return index_path(path)

    def write_index(self, path: str, options: RecordIOOptions, request: Request, out: Output) -> int:
        """A line for each record: its id where each id is there once, else its number; a TAB; its offset.

        An index that is replaced and fits the file stays as it is.
        """
        ids, runs = [], []
        for heads, _, headers in self._steps(Extent(path), request):
            runs.append(heads)
            ids.append(headers["id"].copy())
        offsets = join_heads(runs).offsets
        keys = unique_keys(ids if options.payload == "image" else [], len(offsets))
        out.write(renewed_index(out.final, nbytes_of(path), keys, offsets))
        return len(offsets)

    def files_of(self, path: str) -> list[str]:
        return [path, index_path(path)]

    def check_companions(self, path: str, options: RecordIOOptions) -> None:
        """Compare the .idx, where there is one, with the heads of the .rec."""
        index_file = options.index_path(path)
        if is_beside(index_file):
            heads = join_heads(self.heads(Extent(path), options, Request(RAW_SCHEMA)))
            check_against_heads(index_file, read_index(index_file, nbytes_of(path)), heads.offsets)

    def check_target(self, path: str, options: RecordIOOptions) -> None:
        """Options that are for reading, and a name that promises compression."""
        for name in ("labels", "index"):
            if getattr(options, name) is not None:
                raise ValueError(f"{path}: {name}= is for reading a .rec (--in {name}=...), not for writing one")
        suffix = os.path.splitext(path)[1]
        if suffix in COMPRESSED_SUFFIXES:
            raise ValueError(f"{path}: a .rec is not compressed; take a name without {suffix}")

    def create(self, path: str, schema: Schema, options: RecordIOOptions) -> Writer:
        return RecordIOWriter(path, schema, replace(options, payload=self.payload(options, schema)))


FORMAT = RecordIO()


def _sidecar_for(path: str, options: RecordIOOptions) -> Sidecar | None:
    """The sidecar that describes this file as the options read it."""
    sidecar = find_sidecar(path)
    if sidecar is None or sidecar.payload != options.payload or options.labels is not None:
        return None
    return sidecar


def _with_extra(schema: Schema, extra: Sequence[Field], options: RecordIOOptions, has_index: bool) -> Schema:
    """The fields of the payload, then id2 and key where they say something of their own; not beside Examples.

    A sidecar may have promised keys of another index: the one that is there decides; without one, reading fails.
    """
    fields = dict(schema)
    if options.payload == "example":
        return schema
    if has_index:
        fields.pop("key", None)
    return Schema(*(fields | {field.name: field for field in extra}).values())


def payload_for(schema: Schema) -> Payload:
    """The payload that holds these fields: id2 is in the image header, and key in the .idx."""
    fields = {name: field for name, field in schema.items() if name != "key"}
    if [(f.dtype, f.shape) for f in fields.values()] == [("bytes", ())] and "record" in fields:
        return "raw"
    image = fields.get("image")
    if (
        image is None
        or (image.dtype, image.shape) != ("bytes", ())
        or not set(fields) <= {"image", "id", "label", "id2"}
    ):
        return "example"
    return "image" if all(_fits_header(field) for field in fields.values()) else "example"


def _fits_header(field: Field) -> bool:
    """Whether the image header can hold a field: integers of one value for ids, numbers for labels."""
    if field.name == "label":
        return field.dtype not in ("bytes", "float64") and len(field.shape) <= 1 and field.shape != (0,)
    if field.name in ("id", "id2"):
        return "int" in field.dtype and field.shape == ()
    return True


class _Walk:
    """The walk over a file; see walk.Walk. It keeps the image headers."""

    header_size = HEADER.itemsize

    def __init__(self, start: int) -> None:
        self._state = bytearray(np.array([start, -1, 0, 0, 0, 0, 0], dtype="<i8").tobytes())

    def __call__(self, window: bytes, origin: int, end: int, room: Room) -> Step:
        headers = room.headers.reshape(-1)
        return _kernels.walk_recordio(window, origin, end, self._state, room.heads, room.lengths, headers)

    def boundary(self) -> int:
        at, record = np.frombuffer(self._state, dtype="<i8", count=2)
        return int(record if record >= 0 else at)  # an open record is not whole


def _sizes(path: str, records: Records) -> NDArray[np.int64]:
    """How many bytes each record takes in the file. Only those of several parts, which are rare, need another look."""
    sizes = 8 + (records.payloads.lengths + 3 & ~3)
    base = records.payloads.spans[0]
    flags = base[records.payloads.starts - 1] >> 5
    if flags.any():
        with open_file(path) as file:
            for row in np.flatnonzero(flags):
                sizes[row] = _walk_one(path, read_at(file), int(records.offsets[row]))
    return sizes


def _walk_one(path: str, read: ReadAt, offset: int) -> int:
    """The size in the file of one sound record."""
    walk, at, found = _Walk(offset), offset, 0
    room = Room.of(1, HEADER.itemsize)
    while not found:
        before = at
        found, at, _, _ = walk(read(32, at), at, 1 << 62, room)
        if not found and at == before:
            raise TruncatedError(f"{path}: ends at byte {at}, inside a record: it was cut", path=path, offset=at)
    return at - offset
