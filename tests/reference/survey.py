"""What the features of many Examples are: kinds, and the fewest and most values, of every key."""

from __future__ import annotations

import numpy as np

from tests.reference.arguments import Spans, check_array, check_results, octets, open_spans
from tests.reference.decode import Span, note_entry, open_feature, read_example
from tests.reference.faults import NO_KIND, OK, OTHER_KIND, UNKNOWN_KEY
from tests.reference.wire import WireError


def survey_features(
    payloads: Spans, keys: list[bytes], seen: np.ndarray, unknown_starts: np.ndarray, unknown_lengths: np.ndarray
) -> tuple[int, int, int, int]:
    """Note kinds and numbers of values of all features of each Example: (rows, fault, key, value)."""
    data, rows = open_spans(payloads)
    index = {octets(key).tobytes(): number for number, key in enumerate(keys)}
    check_array(seen, "int64", writable=True)
    capacity = check_results(unknown_starts, unknown_lengths)
    if len(index) != len(keys) or len(seen) != 4 * len(keys) or capacity == 0:
        raise ValueError(f"{len(index)} keys of {len(keys)}, {len(seen)} entries seen, room for {capacity} keys")
    for row, (start, length) in enumerate(rows):
        unknown: list[Span] = []
        named: dict[bytes, Span] = {}  # in the order of the first entry of each key, with its last value
        try:
            for key, value in read_example(data, start, start + length):
                name = bytes(data[slice(*key)])
                if name in index:
                    note_entry(data, named, name, value, index)
                else:
                    unknown.append(key)
        except WireError as error:
            return row, error.fault, -1, error.position
        del unknown[capacity:]
        for number, (begin, end) in enumerate(unknown):
            unknown_starts[number], unknown_lengths[number] = begin, end - begin
        if unknown:
            return row, UNKNOWN_KEY, -1, len(unknown)
        found = {index[name]: value for name, value in named.items()}
        counted = {}
        for key, (begin, end) in found.items():
            try:
                kind, values = open_feature(data, begin, end)
            except WireError as error:
                return row, error.fault, key, 0
            if NO_KIND not in (kind, seen[4 * key]) and kind != seen[4 * key]:
                return row, OTHER_KIND, key, kind
            counted[key] = kind, len(values)
        for key, (kind, count) in counted.items():
            if kind != NO_KIND:
                _, before, fewest, most = seen[4 * key : 4 * key + 4].tolist()
                bounds = (min(fewest, count), max(most, count)) if before else (count, count)
                seen[4 * key : 4 * key + 4] = kind, before + 1, *bounds
    return len(rows), OK, -1, 0
