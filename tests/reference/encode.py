"""Columns to tf.train.Example, on the wire.

    Example  { 1: Features }     Features { 1: entry, one for each feature }     entry { 1: key, 2: Feature }
    Feature  { 1: BytesList | 2: FloatList | 3: Int64List }     each list { 1: values }, numbers packed

A row without values has no such feature, and an Example without features is no bytes at all.
"""

from __future__ import annotations

import struct

import numpy as np

from tests.reference.arguments import Spans, check_first, check_results, check_tuple, octets, open_lists, open_spans
from tests.reference.faults import BYTES, FLOAT, INT64, OK, OUT_OF_RANGE, TOO_LONG
from tests.reference.tfrecord import frame_payload

MESSAGE_LIMIT = 2**31 - 1  # protobuf refuses messages of 2 GiB and more
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FRAME_BYTES = 16

Column = tuple[bytes, int, int, Spans, tuple[np.ndarray, np.ndarray] | None]
Pieces = list[bytes | memoryview]  # of a message, not joined before its length is known to be allowed


class _OutOfRange(Exception):
    """A number that int64_list cannot hold."""


class _OpenColumn:
    """A column with its arguments checked."""

    def __init__(self, column: Column) -> None:
        check_tuple(column)
        key, self.kind, dtype, values, lists = column
        self.key = bytes(octets(key))
        self.data, self.values = open_spans(values)
        self.lists = None
        if lists is not None and self.kind != BYTES:
            raise ValueError("only values of bytes come in lists")
        if self.kind not in (BYTES, FLOAT, INT64):
            raise ValueError(f"a column cannot have the kind {self.kind}")
        if self.kind == BYTES:
            self.lists = None if lists is None else open_lists(lists, len(self.values))
        else:
            if self.kind == INT64 and not 0 <= dtype < len(DTYPES):
                raise ValueError(f"{dtype} is no dtype")
            self.dtype = np.dtype("float32" if self.kind == FLOAT else DTYPES[dtype])
            if any(length % self.dtype.itemsize for _, length in self.values):
                raise ValueError(f"a row is no whole number of {self.dtype}")
        self.num_rows = len(self.values) if self.lists is None else len(self.lists)

    def list_of(self, row: int) -> Pieces:
        """The BytesList, FloatList or Int64List of a row; empty where the row has no values."""
        if self.kind == BYTES:
            message: Pieces = []
            for index in [row] if self.lists is None else self.lists[row]:
                start, length = self.values[index]
                message += _field(1, [self.data[start : start + length]])
            return message
        start, length = self.values[row]
        raw = bytes(self.data[start : start + length])
        if not raw:
            return []
        return _field(1, [raw] if self.kind == FLOAT else [self._encode_ints(raw)])

    def _encode_ints(self, raw: bytes) -> bytes:
        encoded = bytearray()
        size = self.dtype.itemsize
        for at in range(0, len(raw), size):
            value = int.from_bytes(raw[at : at + size], "little", signed=self.dtype.kind == "i")
            if value >= 2**63:
                raise _OutOfRange
            encoded += _varint(value)
        return bytes(encoded)


def _varint(value: int) -> bytes:
    """7 bits a byte, lowest first; a negative number as its 64 bits, which makes ten bytes."""
    value &= 2**64 - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _size(pieces: Pieces) -> int:
    return sum(len(piece) for piece in pieces)


def _field(number: int, value: Pieces) -> Pieces:
    return [bytes([number << 3 | 2]), _varint(_size(value)), *value]


def _encode_row(columns: list[_OpenColumn], row: int) -> tuple[Pieces, int | None]:
    """(the Example, None), or (nothing, the number of the column that it cannot hold)."""
    features: Pieces = []
    for number, column in enumerate(columns):
        try:
            values = column.list_of(row)
        except _OutOfRange:
            return [], number
        if values:
            features += _field(1, _field(1, [column.key]) + _field(2, _field(column.kind, values)))
    return (_field(1, features) if features else []), None


def encode_examples(
    columns: list[Column],
    first: int,
    framed: bool,
    out: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
) -> tuple[int, int, int, int]:
    """Encode rows first.. as tf.train.Example into out: (rows, written, fault, column)."""
    opened = [_OpenColumn(column) for column in columns]
    if not opened:
        raise ValueError("expected at least one column: without any, the number of rows is not known")
    num_rows = opened[0].num_rows
    if any(column.num_rows != num_rows for column in opened):
        raise ValueError("columns differ in their number of rows")
    target = octets(out, writable=True)
    capacity = check_results(starts, lengths)
    check_first(first, num_rows)

    rows, written = 0, 0
    for row in range(first, num_rows):
        if rows == capacity:
            break
        pieces, bad_column = _encode_row(opened, row)
        if bad_column is not None:
            return rows, written, OUT_OF_RANGE, bad_column
        size = _size(pieces)
        if size > MESSAGE_LIMIT:
            return rows, written, TOO_LONG, -1
        needed = size + (_FRAME_BYTES if framed else 0)
        if written + needed > len(target):
            break
        payload = b"".join(pieces)
        target[written : written + needed] = frame_payload(payload) if framed else payload
        starts[rows] = written + (struct.calcsize("<QI") if framed else 0)
        lengths[rows] = size
        rows, written = rows + 1, written + needed
    return rows, written, OK, -1
