"""tf.train.Example <-> Batch, on the wire, whole batches at a time. Needs neither protobuf nor TensorFlow.

    Example  { 1: Features }                    Features { 1: entry, one for each key }
    entry    { 1: key   2: Feature }            Feature  { 1: BytesList | 2: FloatList | 3: Int64List }
    BytesList{ 1: bytes, for each value }       FloatList{ 1: packed floats }     Int64List { 1: packed varints }

    field                                       feature
    bool, int8..int64, uint8..uint32            int64_list; the dtype comes back from the schema
    uint64                                      int64_list where it fits, else an error
    float32, float16, bfloat16                  float_list
    float64                                     refused: cast it to float32, or use packing "raw"
    bytes, list of bytes                        bytes_list
    packing "raw"                               bytes_list with one value: the little-endian bytes, row-major

Keys are written in the order of their UTF-8 bytes, lists packed, so one Batch always gives the same bytes. A row
without values has no feature, and a missing feature is read as a row without values.

Specification: tensorflow/core/example/feature.proto and example.proto; protobuf's encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .batch import Batch, Column, Ragged, as_bytes, sealed, spans_of
from .casts import cast
from .codec import Codec
from .errors import FormatError, LossyError, SchemaError
from .memory import aligned_empty
from .schema import INTEGERS, LONGEST_NAME, Field, Schema, numpy_dtype

_MOST_FEATURES = 10_000  # of one file: what a hostile file may make us remember
_LEARNED = 1024  # new keys of one record that are learned at a time
_KIND_NAMES = {
    _kernels.NO_KIND: "no kind",
    _kernels.BYTES: "bytes_list",
    _kernels.FLOAT: "float_list",
    _kernels.INT64: "int64_list",
}
_FAULTS = {
    _kernels.BAD_MESSAGE: "this is not an Example: the bytes are not protobuf's wire format",
    _kernels.BAD_LIST: "a packed list is cut inside a value",
    _kernels.REPEATED_VALUE: "an entry of the map has two values",
}
_Entry = tuple[
    bytes,
    int,
    int,
    tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]],
    tuple[NDArray[np.int64], NDArray[np.int64]] | None,
]


# ---- encoding ----


def storable_dtypes(schema: Schema, allow_lossy: Sequence[str]) -> dict[str, str]:
    """What becomes of fields that an Example cannot hold, where a loss is allowed."""
    other = {"float64": "float32", "uint64": "int64"}
    fields = (schema[name] for name in allow_lossy)
    return {field.name: other[field.dtype] for field in fields if field.dtype in other and field.packing == "list"}


def check_encodable(schema: Schema) -> None:
    """Raise for fields that an Example cannot hold as they are, before anything is written."""
    for field in schema.values():
        if field.dtype == "float64" and field.packing == "list":
            raise LossyError(
                f"field {field.name!r} is float64, and an Example holds float32: cast it with "
                f"--select '{field.name}:float32={field.name}', "
                f"keep all bits with --pack {field.name}=raw, or allow it with --allow-lossy {field.name}",
                field=field.name,
            )


def encode(batch: Batch) -> Ragged:
    """One serialized tf.train.Example for each row, as a Ragged of bytes.

    Raises:
        LossyError: a float64 field, or a uint64 above 2**63 - 1 (.field, .row).
        SchemaError: a row above 2 GiB - 1 bytes.
    """
    starts, lengths = np.empty(len(batch), dtype=np.int64), np.empty(len(batch), dtype=np.int64)
    encoder = Encoder(batch, framed=False)
    buffer = np.empty(max(1024, batch.nbytes + 64 * len(batch) * (len(batch.schema) + 1)), dtype=np.uint8)
    done = filled = 0
    while done < len(batch):
        rows, written = encoder.encode(done, buffer[filled:], starts[done:], lengths[done:])
        starts[done : done + rows] += filled
        done, filled = done + rows, filled + written
        if done < len(batch):  # the guess was too small
            buffer = np.concatenate([buffer, np.empty(len(buffer), dtype=np.uint8)])
    return Ragged(sealed(buffer), sealed(starts), sealed(lengths), "bytes")


class Encoder:
    """Encodes the rows of one Batch, as many at a time as there is room for; framed adds the frame of TFRecord."""

    def __init__(self, batch: Batch, *, framed: bool) -> None:
        check_encodable(batch.schema)
        self._batch, self._framed = batch, framed
        self._names = sorted(batch.schema, key=str.encode)
        self._entries = [_entry(batch[name], batch.schema[name]) for name in self._names]

    def encode(
        self, first: int, out: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[int, int]:
        """Encode rows from first on into out; (rows, bytes). starts and lengths take the payloads' spans in out."""
        if not self._entries:
            return self._encode_nothing(first, out, starts, lengths)
        rows, written, fault, column = _kernels.encode_examples(
            self._entries, first, self._framed, out, starts, lengths
        )
        if fault:
            raise self._error(fault, first + rows, self._names[column])
        return rows, written

    def _encode_nothing(
        self, first: int, out: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[int, int]:
        """Rows without any field are empty Examples."""
        rows = len(self._batch) - first
        empty = (np.empty(0, dtype=np.uint8), np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64))
        lengths[:rows] = 0
        if not self._framed:
            starts[:rows] = 0
            return rows, 0
        done, written, _ = _kernels.frame_tfrecord(empty, 0, out, starts)
        return done, written

    def _error(self, fault: int, row: int, name: str) -> SchemaError:
        if fault == _kernels.TOO_LONG:
            return SchemaError(f"row {row} is above 2 GiB as an Example, which protobuf refuses", row=row)
        value = self._batch[name][row]
        worst = int(np.max(value))  # type: ignore[arg-type]  # a row of a uint64 column
        return LossyError(
            f"row {row} of field {name!r}: {worst} does not fit int64_list (at most 2**63 - 1); keep it as "
            f"bytes with --pack {name}=raw, or let it wrap to a negative int64 with --allow-lossy {name}",
            field=name,
            row=row,
        )


def _entry(column: Column, field: Field) -> _Entry:
    """The column as the kernel takes it."""
    key = field.name.encode()
    if isinstance(column, Ragged) and isinstance(column.values, Ragged):
        return key, _kernels.BYTES, 0, column.values.spans, (column.starts, column.lengths)
    if field.packing == "raw" and field.shape == (None,):
        return key, _kernels.BYTES, 0, spans_of(column), _lists_of_one_or_none(column)
    if field.dtype == "bytes" or field.packing == "raw":
        return key, _kernels.BYTES, 0, spans_of(column), None
    if field.dtype in INTEGERS:
        return key, _kernels.INT64, INTEGERS.index(field.dtype), spans_of(column), None
    return key, _kernels.FLOAT, 0, spans_of(_as_float32(column)), None


def _lists_of_one_or_none(column: Column) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lists that leave out the empty rows, so that these have no feature."""
    lengths = spans_of(column)[2]
    return np.arange(len(column), dtype=np.int64), (lengths > 0).astype(np.int64)


def _as_float32(column: Column) -> Column:
    """float16 and bfloat16 as float32, which holds them exactly; a copy, as float_list knows no other width."""
    if isinstance(column, Ragged):
        if column.dtype == "float32":
            return column
        numbers, counts = column.numbers().astype(np.float32), column.counts
        return Ragged(as_bytes(numbers), 4 * (np.cumsum(counts) - counts), 4 * counts, "float32")
    return column.astype(np.float32, copy=False)


# ---- decoding ----


def decode(payloads: Ragged | Sequence[bytes], schema: Schema) -> Batch:
    """The fields of the schema out of serialized Examples; other features are passed over.

    Bytes are spans into the payloads, numbers are copied. Packed and unpacked lists are read; of a key that comes
    twice the last counts; a missing feature is a row without values, and an error where the field must have some.

    Raises:
        FormatError: a payload is no Example (.record is its row).
        SchemaError: a feature is of another kind, number or range than its field (.field, .row).
    """
    spans = payloads if isinstance(payloads, Ragged) else Ragged.of(payloads)
    found = find(spans, [name.encode() for name in schema])
    columns = {field.name: found.column(index, field) for index, field in enumerate(schema.values())}
    return Batch(columns, schema, num_rows=len(spans))


def find(payloads: Ragged, keys: list[bytes]) -> Features:
    """Where the Feature of each key lies in each payload."""
    rows = len(payloads)
    starts, lengths = np.empty((rows, len(keys)), dtype=np.int64), np.empty((rows, len(keys)), dtype=np.int64)
    done, fault, position = _kernels.find_features(payloads.spans, keys, starts.reshape(-1), lengths.reshape(-1))
    if fault:
        raise _no_example(payloads, done, fault, position)
    return Features(payloads.spans[0], starts, lengths)


def _no_example(payloads: Ragged, row: int, fault: int, position: int) -> FormatError:
    inside = position - int(payloads.starts[row])
    return FormatError(f"record {row}, byte {inside} of its payload: {_FAULTS[fault]}", record=row)


@dataclass(frozen=True, slots=True)
class Features:
    """Spans of the Features of some keys: starts and lengths are int64[rows, keys], start -1 where there is none."""

    base: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def spans(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """The spans of one key."""
        return self.base, np.ascontiguousarray(self.starts[:, index]), np.ascontiguousarray(self.lengths[:, index])

    def count(self, index: int, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Kind and number of values of one key in each row."""
        kinds, counts = np.empty(len(self.starts), dtype=np.uint8), np.empty(len(self.starts), dtype=np.int64)
        done, fault = _kernels.count_values(self.spans(index), kinds, counts)
        if fault:
            raise FormatError(f"record {done}, feature {name!r}: {_FAULTS[fault]}", record=done)
        return kinds, counts

    def column(self, index: int, field: Field) -> Column:
        """One key as the column of a field."""
        kinds, counts = self.count(index, field.name)
        kind = _kind_of(field)
        wrong = np.flatnonzero((kinds != kind) & (kinds != _kernels.NO_KIND))
        if len(wrong):
            raise _misfit(field, int(wrong[0]), f"is {_KIND_NAMES[int(kinds[wrong[0]])]}, expected {_KIND_NAMES[kind]}")
        one = field.packing == "raw" or (field.dtype == "bytes" and field.shape == ())
        wanted = 1 if one else field.num_values
        if field.packing == "raw" and field.shape == (None,):
            wrong = np.flatnonzero(counts > 1)
        else:
            wrong = np.flatnonzero(counts != wanted) if wanted is not None else wrong
        if len(wrong):
            there = int(counts[wrong[0]])
            raise _misfit(
                field, int(wrong[0]), f"has {there} values, expected {wanted}" if there else "is missing or empty"
            )
        if kind == _kernels.BYTES:
            return self._bytes_column(index, field, counts)
        return self._numbers_column(index, field, counts)

    def _bytes_column(self, index: int, field: Field, counts: NDArray[np.int64]) -> Column:
        total = int(counts.sum())
        starts, lengths = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
        _kernels.fill_bytes(self.spans(index), starts, lengths)
        values = Ragged(self.base, sealed(starts), sealed(lengths), "bytes")
        if field.packing == "raw":
            return _unpack_raw(values, field, counts)
        if field.shape == ():
            return values
        return Ragged(values, np.cumsum(counts) - counts, counts, "bytes")

    def _numbers_column(self, index: int, field: Field, counts: NDArray[np.int64]) -> Column:
        total = int(counts.sum())
        numbers: NDArray[np.generic]
        if field.dtype in INTEGERS:
            numbers = aligned_empty(total, field.numpy_dtype)
            row, value = _kernels.fill_ints(self.spans(index), INTEGERS.index(field.dtype), numbers)
            if row < len(counts):
                raise _misfit(field, row, f"holds {value}, which does not fit {field.dtype}")
        else:
            floats = aligned_empty(total, np.float32)
            _kernels.fill_floats(self.spans(index), floats)
            numbers = cast(floats, field.dtype, field.name)
        if field.shape == (None,):
            width = numbers.dtype.itemsize
            return Ragged(as_bytes(numbers), width * (np.cumsum(counts) - counts), width * counts, field.dtype)
        return numbers.reshape(len(counts), *(n for n in field.shape if n is not None))


def _kind_of(field: Field) -> int:
    if field.dtype == "bytes" or field.packing == "raw":
        return _kernels.BYTES
    return _kernels.INT64 if field.dtype in INTEGERS else _kernels.FLOAT


def _misfit(field: Field, row: int, what: str) -> SchemaError:
    return SchemaError(f"record {row}: feature {field.name!r} {what} (field {field})", field=field.name, row=row)


def _unpack_raw(values: Ragged, field: Field, counts: NDArray[np.int64]) -> Column:
    """Tensors out of their bytes."""
    width = numpy_dtype(field.dtype).itemsize
    if field.shape == (None,):
        starts, lengths = np.zeros(len(counts), dtype=np.int64), np.zeros(len(counts), dtype=np.int64)
        starts[counts == 1], lengths[counts == 1] = values.starts, values.lengths
        wrong = np.flatnonzero(lengths % width)
        expected = f"a multiple of {width}"
    else:
        nbytes = width * (field.num_values or 0)
        starts, lengths = values.starts, values.lengths
        wrong = np.flatnonzero(lengths != nbytes)
        expected = str(nbytes)
    if len(wrong):
        raise _misfit(field, int(wrong[0]), f"has {int(lengths[wrong[0]])} bytes, expected {expected}")
    column = Ragged(values.values, starts, lengths, field.dtype)
    if field.shape == (None,):
        return column
    return column.numbers().reshape(len(counts), *(n for n in field.shape if n is not None))


# ---- inference ----


class Survey:
    """Infers the schema of Examples by looking at every one.

    int64_list gives int64, float_list float32, bytes_list bytes. A list as long in every record is dense, of
    length 1 a single value; anything else is (None,). A feature that never has a kind keeps its name, as an
    empty list of bytes.
    """

    def __init__(self) -> None:
        self.num_rows = 0
        self.keys: list[bytes] = []
        self._seen = np.empty((0, 4), dtype=np.int64)  # for each key: its kind, rows, fewest and most values
        self._unknown = np.empty((2, _LEARNED), dtype=np.int64)

    def add(self, payloads: Ragged) -> None:
        """Look at some more records. Where one is at fault, those before it count, and it leaves no trace.

        Raises:
            FormatError: one of them is no Example (.record counts from the start of these).
            SchemaError: a feature changes its kind (.row likewise).
        """
        done, settled = 0, len(self.keys)
        while done < len(payloads):
            rest = payloads[done:]
            rows, fault, key, value = _kernels.survey_features(
                rest.spans, self.keys, self._seen.reshape(-1), self._unknown[0], self._unknown[1]
            )
            done, settled = done + rows, len(self.keys) if rows else settled
            self.num_rows += rows
            if not fault:
                return
            try:
                if fault != _kernels.UNKNOWN_KEY:
                    raise self._error(payloads, done, fault, key, value)
                self._learn(rest.spans[0], value, done)
            except (FormatError, SchemaError):
                self._resize(settled)
                raise

    def _learn(self, base: NDArray[np.uint8], count: int, row: int) -> None:
        """Add the keys of a record that are new; the kernel goes on with the same record."""
        spans = self._unknown[:, :count].T.tolist()
        for key in dict.fromkeys(bytes(base[start : start + length]) for start, length in spans):
            try:
                key.decode()
            except UnicodeDecodeError:
                raise FormatError(
                    f"record {row}: the key {key!r} is not UTF-8, as protobuf's text must be", record=row
                ) from None
            if len(key) > LONGEST_NAME:
                raise FormatError(
                    f"record {row}: the key {key[:40]!r}... has {len(key)} bytes, expected at most {LONGEST_NAME}",
                    record=row,
                )
            if len(self.keys) == _MOST_FEATURES:
                raise FormatError(
                    f"record {row}: more than {_MOST_FEATURES} different features; this is no table", record=row
                )
            self.keys.append(key)
        self._resize(len(self.keys))

    def _resize(self, count: int) -> None:
        del self.keys[count:]
        seen = np.zeros((count, 4), dtype=np.int64)
        shared = min(count, len(self._seen))
        seen[:shared] = self._seen[:shared]
        self._seen = seen

    def _error(self, payloads: Ragged, row: int, fault: int, key: int, value: int) -> FormatError | SchemaError:
        """The error for what the kernel found in a record: about one of its features, or about the whole."""
        if key < 0:
            return _no_example(payloads, row, fault, value)
        name = self.keys[key].decode()
        if fault != _kernels.OTHER_KIND:
            return FormatError(f"record {row}, feature {name!r}: {_FAULTS[fault]}", record=row)
        before = _KIND_NAMES[int(self._seen[key, 0])]
        return SchemaError(
            f"record {row}: feature {name!r} is {_KIND_NAMES[value]}, and {before} before", field=name, row=row
        )

    def schema(self) -> Schema:
        """The schema that fits all records seen, fields in the order of their keys."""
        seen = dict(zip(self.keys, self._seen.tolist(), strict=True))
        return Schema(*(self._field(key.decode(), *seen[key]) for key in sorted(seen)))

    def _field(self, name: str, kind: int, rows: int, fewest: int, most: int) -> Field:
        dtype = {_kernels.INT64: "int64", _kernels.FLOAT: "float32"}.get(kind, "bytes")
        if rows < self.num_rows or fewest != most or most == 0:
            return Field(name, dtype, (None,))
        return Field(name, dtype, () if most == 1 else (most,))


# ---- protobuf objects ----

_codec = Codec("Example", encode, decode, Survey)
to_message, from_message = _codec.to_message, _codec.from_message
to_messages, from_messages = _codec.to_messages, _codec.from_messages
