"""Spans of bytes: copied together, digested row by row, read from a file."""

from __future__ import annotations

import os
import struct

import numpy as np

from tests.reference.arguments import Spans, check_array, octets, open_lists, open_spans
from tests.reference.checksum import crc32c


def gather_spans(spans: Spans, out: np.ndarray) -> None:
    """Copy the spans one after another into out."""
    data, rows = open_spans(spans)
    target = octets(out, writable=True)
    if sum(length for _, length in rows) != len(target):
        raise ValueError(f"the spans do not have the {len(target)} bytes of out")
    written = 0
    for start, length in rows:
        target[written : written + length] = data[start : start + length]
        written += length


def digest_rows(spans: Spans, lists: tuple[np.ndarray, np.ndarray] | None, crcs: np.ndarray) -> None:
    """Continue crcs[i] over the value of row i: lengths in front, so that moved bytes between values show."""
    data, values = open_spans(spans)
    check_array(crcs, "uint32", writable=True)
    rows = [range(row, row + 1) for row in range(len(values))] if lists is None else open_lists(lists, len(values))
    if len(crcs) != len(rows):
        raise ValueError(f"{len(rows)} rows, but {len(crcs)} crcs")
    for row, indices in enumerate(rows):
        crc = int(crcs[row])
        if lists is not None:
            crc = crc32c(struct.pack("<Q", len(indices)), crc)
        for index in indices:
            start, length = values[index]
            crc = crc32c(struct.pack("<Q", length), crc)
            crc = crc32c(data[start : start + length], crc)
        crcs[row] = crc


def read_spans(fd: int, offsets: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> int:
    """Read the spans of an open file one after another into out; the number of rows read whole."""
    check_array(offsets, "int64")
    check_array(lengths, "int64")
    target = octets(out, writable=True)
    if len(offsets) != len(lengths):
        raise ValueError(f"{len(offsets)} offsets, but {len(lengths)} lengths")
    if min(lengths.tolist(), default=0) < 0 or min(offsets.tolist(), default=0) < 0:
        raise ValueError("a span of a file begins before it, or has a negative length")
    if sum(lengths.tolist()) != len(target):
        raise ValueError(f"the spans do not have the {len(target)} bytes of out")
    written = 0
    for row, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        while length > 0:
            piece = os.pread(fd, length, offset)  # may give less than asked for: only nothing at all is the end
            if not piece:
                return row
            target[written : written + len(piece)] = piece
            written, offset, length = written + len(piece), offset + len(piece), length - len(piece)
    return len(offsets)
