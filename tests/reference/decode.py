"""tf.train.Example to columns, on the wire: find the features, count their values, fill arrays with them."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator

import numpy as np

from tests.reference.arguments import Spans, check_array, check_results, octets, open_spans
from tests.reference.encode import DTYPES
from tests.reference.faults import (
    BAD_LIST,
    BYTES,
    FLOAT,
    INT64,
    NO_KIND,
    OK,
    REPEATED_VALUE,
)
from tests.reference.wire import FIXED32, LENGTH, VARINT, WireError, read_fields, read_varint

Span = tuple[int, int]  # start and end in the base


def find_features(payloads: Spans, keys: list[bytes], starts: np.ndarray, lengths: np.ndarray) -> tuple[int, int, int]:
    """Find the Feature message of each key in each Example: (rows, fault, position)."""
    data, rows = open_spans(payloads)
    names = [octets(key).tobytes() for key in keys]
    if check_results(starts, lengths) != len(rows) * len(keys):
        raise ValueError(f"expected room for {len(rows) * len(keys)} features, found {len(starts)}")
    for row, (start, length) in enumerate(rows):
        found: dict[bytes, Span] = {}
        try:
            for key, value in read_example(data, start, start + length):
                note_entry(data, found, bytes(data[slice(*key)]), value, names)
        except WireError as error:
            return row, error.fault, error.position
        for number, name in enumerate(names):
            start, end = found.get(name, (-1, -1))
            starts[row * len(keys) + number], lengths[row * len(keys) + number] = start, end - start
    return len(rows), OK, 0


def note_entry(data: memoryview, found: dict[bytes, Span], name: bytes, value: Span, names: Container[bytes]) -> None:
    """Of a key that comes twice the last counts; where it is looked for, what is replaced must be whole as well."""
    if name in names and name in found:
        open_feature(data, *found[name])
    found[name] = value


def read_example(data: memoryview, start: int, end: int) -> Iterator[tuple[Span, Span]]:
    """The spans of key and value of every entry, in their order."""
    for example_field in read_fields(data, start, end):
        if (example_field.number, example_field.wire) != (1, LENGTH):
            continue
        for features_field in read_fields(data, example_field.start, example_field.end):
            if (features_field.number, features_field.wire) == (1, LENGTH):
                yield _open_entry(data, features_field.start, features_field.end)


def _open_entry(data: memoryview, start: int, end: int) -> tuple[Span, Span]:
    """The key and the value of an entry; both have a default: nothing."""
    key, value = (end, end), None
    for field in read_fields(data, start, end):
        if field.wire != LENGTH:
            continue
        if field.number == 1:
            key = field.start, field.end
        elif field.number == 2:
            if value is not None:  # protobuf would merge the two, which no single span can show
                raise WireError(REPEATED_VALUE, field.start)
            value = field.start, field.end
    return key, value or (end, end)


def open_feature(data: memoryview, start: int, end: int) -> tuple[int, list[Span] | list[bytes] | list[int]]:
    """Kind and values of a Feature: spans of bytes, floats as their 4 bytes, integers from 0 to 2**64 - 1."""
    kind, values = NO_KIND, []
    for field in read_fields(data, start, end):
        if field.number not in _LISTS or field.wire != LENGTH:
            continue
        more = _LISTS[field.number](data, field.start, field.end)
        values = values + more if field.number == kind else more  # a oneof keeps its last member, merged with itself
        kind = field.number
    return kind, values


def _open_bytes(data: memoryview, start: int, end: int) -> list[Span]:
    fields = read_fields(data, start, end)
    return [(field.start, field.end) for field in fields if (field.number, field.wire) == (1, LENGTH)]


def _open_floats(data: memoryview, start: int, end: int) -> list[bytes]:
    values = []
    for field in read_fields(data, start, end):
        if field.number != 1 or field.wire not in (LENGTH, FIXED32):
            continue
        if (field.end - field.start) % 4:
            raise WireError(BAD_LIST, field.start)
        values += [bytes(data[at : at + 4]) for at in range(field.start, field.end, 4)]
    return values


def _open_ints(data: memoryview, start: int, end: int) -> list[int]:
    values = []
    for field in read_fields(data, start, end):
        if (field.number, field.wire) == (1, VARINT):
            values.append(field.varint)
        elif (field.number, field.wire) == (1, LENGTH):
            position = field.start
            while position < field.end:
                value, position = read_varint(data, position, field.end, cut=BAD_LIST)
                values.append(value)
    return values


_LISTS = {BYTES: _open_bytes, FLOAT: _open_floats, INT64: _open_ints}


def count_values(features: Spans, kinds: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Find kind and number of values of each Feature: (rows, fault)."""
    data, rows = open_spans(features, allow_missing=True)
    check_array(kinds, "uint8", writable=True)
    if check_results(counts) != len(rows) or len(kinds) != len(rows):
        raise ValueError(f"expected room for {len(rows)} features, found {len(kinds)} kinds and {len(counts)} counts")
    for row, (start, length) in enumerate(rows):
        if start == -1:
            kinds[row], counts[row] = NO_KIND, 0
            continue
        try:
            kind, values = open_feature(data, start, start + length)
        except WireError as error:
            return row, error.fault
        kinds[row], counts[row] = kind, len(values)
    return len(rows), OK


def _values_of(features: Spans, kind: int) -> list[list]:
    """The values of each feature; all of them must be sound and of this kind, or of none."""
    data, rows = open_spans(features, allow_missing=True)
    opened = [open_feature(data, start, start + length) if start != -1 else (NO_KIND, []) for start, length in rows]
    for row, (found, _) in enumerate(opened):
        if found not in (NO_KIND, kind):
            raise ValueError(f"feature {row} has the kind {found}, expected {kind}")
    return [values for _, values in opened]


def _check_room(rows: list[list], room: int) -> None:
    if sum(map(len, rows)) != room:
        raise ValueError(f"{sum(map(len, rows))} values, but room for {room}")


def fill_bytes(features: Spans, starts: np.ndarray, lengths: np.ndarray) -> int:
    """Write the spans of all values; their number."""
    rows = _values_of(features, BYTES)
    _check_room(rows, check_results(starts, lengths))
    spans = [span for row in rows for span in row]
    for number, (start, end) in enumerate(spans):
        starts[number], lengths[number] = start, end - start
    return len(spans)


def fill_floats(features: Spans, out: np.ndarray) -> int:
    """Write all float values, one after another; their number."""
    rows = _values_of(features, FLOAT)
    check_array(out, "float32", writable=True)
    _check_room(rows, len(out))
    values = [value for row in rows for value in row]
    for number, value in enumerate(values):
        struct.pack_into("4s", out, 4 * number, value)  # as bytes: a float of Python would change some NaNs
    return len(values)


def fill_ints(features: Spans, dtype: int, out: np.ndarray) -> tuple[int, int]:
    """Write all int64 values as dtype, one after another: (rows, the value that did not fit)."""
    if not 0 <= dtype < len(DTYPES):
        raise ValueError(f"{dtype} is no dtype")
    name = DTYPES[dtype]
    rows = _values_of(features, INT64)
    check_array(out, name, writable=True)
    _check_room(rows, len(out))
    low, high = (0, 1) if name == "bool" else (np.iinfo(name).min, np.iinfo(name).max)
    number = 0
    for row, values in enumerate(rows):
        for value in values:
            signed = value - 2**64 if value >= 2**63 else value
            if not low <= signed <= high:
                return row, signed
            out[number] = signed
            number += 1
    return len(rows), 0
