"""SageMaker's Record to columns, on the wire: find the Values, count what their tensors hold, fill arrays with that.

    Record   { 1: features, map of Value   2: label, map of Value   3: uid   4: metadata   5: configuration }
    Value    { 2: Float32Tensor | 3: Float64Tensor | 7: Int32Tensor | 9: Bytes }
    tensor   { 1: packed values   2: packed keys, uint64   3: packed shape, uint64 }
    Bytes    { 1: bytes, for each value   2: content_type }

What is not drawn here is a fault: nothing is passed over.
"""

from __future__ import annotations

import struct

import numpy as np

from tests.reference.arguments import Spans, check_array, check_results, octets, open_spans
from tests.reference.faults import BAD_LIST, OK, REPEATED_VALUE, UNKNOWN_FIELD, UNKNOWN_KEY
from tests.reference.wire import FIXED32, FIXED64, LENGTH, VARINT, WireError, WireField, read_fields, read_varint

FLOAT32, FLOAT64, INT32, BYTES = 2, 3, 7, 9
_SINGLE = {FLOAT32: FIXED32, FLOAT64: FIXED64, INT32: VARINT}  # the wire type of a value that is not packed
_WIDTHS = {FIXED32: 4, FIXED64: 8}
_DTYPES = {FLOAT32: "float32", FLOAT64: "float64", INT32: "int32"}


def find_values(
    payloads: Spans, names: list[bytes], learn: bool, starts: np.ndarray, lengths: np.ndarray
) -> tuple[int, int, int, int, int]:
    """Find the fields of each Record: (rows, fault, field, start, length)."""
    data, rows = open_spans(payloads)
    index = {octets(name).tobytes(): number for number, name in enumerate(names)}
    if b"" in index:
        raise ValueError("a name begins with the number of a field")
    if check_results(starts, lengths) != len(rows) * len(names):
        raise ValueError(f"expected room for {len(rows) * len(names)} values, found {len(starts)}")
    for row, (start, length) in enumerate(rows):
        mine = slice(row * len(names), (row + 1) * len(names))
        starts[mine], lengths[mine] = -1, 0
        try:
            for field in read_fields(data, start, start + length):
                _check(field.wire == LENGTH and field.number <= 5, field)
                key, value = ((field.start, field.start), (field.start, field.end))
                if field.number in (1, 2):
                    key, value = _open_entry(data, field)
                name = bytes([field.number]) + bytes(data[slice(*key)])
                if name in index:
                    number = row * len(names) + index[name]
                    starts[number], lengths[number] = value[0], value[1] - value[0]
                elif learn:
                    return row, UNKNOWN_KEY, field.number, key[0], key[1] - key[0]
        except WireError as error:
            return row, error.fault, 0, error.position, 0
    return len(rows), OK, 0, 0, 0


def _check(known: bool, field: WireField) -> None:
    if not known:
        raise WireError(UNKNOWN_FIELD, field.start)


def _open_entry(data: memoryview, entry: WireField) -> tuple[tuple[int, int], tuple[int, int]]:
    """The spans of key and value of an entry of a map; both have a default: nothing."""
    key, value = (entry.end, entry.end), None
    for field in read_fields(data, entry.start, entry.end):
        _check(field.wire == LENGTH and field.number <= 2, field)
        if field.number == 1:
            key = (field.start, field.end)
        elif value is not None:
            raise WireError(REPEATED_VALUE, field.start)
        else:
            value = (field.start, field.end)
    return key, value or (entry.end, entry.end)


def _open_value(data: memoryview, start: int, end: int) -> tuple[int, dict[int, list]]:
    """The kind of a Value, and what its parts hold: numbers as they are stored, or spans."""
    kind, parts = 0, {1: [], 2: [], 3: []}
    for content in read_fields(data, start, end):
        _check(content.wire == LENGTH and content.number in (FLOAT32, FLOAT64, INT32, BYTES), content)
        if content.number != kind:  # a oneof: what was set last stays
            kind, parts = content.number, {1: [], 2: [], 3: []}
        for field in read_fields(data, content.start, content.end):
            if kind == BYTES:
                _check(field.wire == LENGTH and field.number <= 2, field)
                span = (field.start, field.end)
                parts[field.number] = [*parts[1], span] if field.number == 1 else [span]
                continue
            _check(field.number <= 3, field)
            single = _SINGLE[kind] if field.number == 1 else VARINT
            _check(field.wire in (LENGTH, single), field)
            parts[field.number] += _numbers(data, field.start, field.end, single)
    return kind, parts


def _numbers(data: memoryview, start: int, end: int, single: int) -> list[bytes | int]:
    if single != VARINT:
        width = _WIDTHS[single]
        if (end - start) % width:
            raise WireError(BAD_LIST, start)
        return [bytes(data[at : at + width]) for at in range(start, end, width)]
    found = []
    while start < end:
        value, start = read_varint(data, start, end, cut=BAD_LIST)
        found.append(value)
    return found


def _values(values: Spans) -> list[tuple[memoryview, int, int]]:
    data, rows = open_spans(values, allow_missing=True)
    return [(data, max(start, 0), max(start, 0) + (length if start >= 0 else 0)) for start, length in rows]


def count_tensors(values: Spans, kinds: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Find kind and counts of each Value: (rows, fault)."""
    rows = _values(values)
    check_array(kinds, "uint8", writable=True)
    if check_results(counts) != 3 * len(rows) or len(kinds) != len(rows):
        raise ValueError(f"{len(rows)} values, room for {len(kinds)} kinds and {len(counts)} counts")
    for row, span in enumerate(rows):
        try:
            kinds[row], parts = _open_value(*span)
        except WireError as error:
            return row, error.fault
        counts[3 * row : 3 * row + 3] = [len(part) for part in parts.values()]
    return len(rows), OK


def fill_tensors(values: Spans, kind: int, part: int, out: np.ndarray) -> int:
    """Write all numbers of a part of the tensors of this kind."""
    if kind not in _DTYPES or part not in (1, 2, 3):
        raise ValueError("there is no such tensor, or part of one")
    rows = _values(values)
    check_array(out, _DTYPES[kind] if part == 1 else "uint64", writable=True)
    stored = []
    for span in rows:
        found, parts = _open_value(*span)
        stored += parts[part] if found == kind else []
    if len(stored) != len(out):
        raise ValueError(f"{len(stored)} numbers, room for {len(out)}")
    if part == 1 and kind == INT32:  # protobuf keeps the low bits
        stored = [struct.pack("<I", number & 0xFFFFFFFF) for number in stored]
    elif part > 1:
        stored = [struct.pack("<Q", number) for number in stored]
    out[:] = np.frombuffer(b"".join(stored), out.dtype)
    return len(out)


def fill_texts(values: Spans, part: int, starts: np.ndarray, lengths: np.ndarray) -> int:
    """Write the spans of all values, or content types, of Values of bytes."""
    if part not in (1, 2):
        raise ValueError("Bytes has no such part")
    rows = _values(values)
    room = check_results(starts, lengths)
    spans = []
    for span in rows:
        kind, parts = _open_value(*span)
        spans += parts[part] if kind == BYTES else []
    if len(spans) != room:
        raise ValueError(f"{len(spans)} texts, room for {room}")
    for number, (start, end) in enumerate(spans):
        starts[number], lengths[number] = start, end - start
    return room
