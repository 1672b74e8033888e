"""TFRecord: a row of records, without alignment.

    +------------+----------------------+--------------+-----------------------+
    | length u64 | masked crc of length | length bytes | masked crc of payload |
    +------------+----------------------+--------------+-----------------------+

Both checksums are masked CRC-32C; a file is read by hopping from length to length.
"""

from __future__ import annotations

import struct

import numpy as np

from tests.reference.arguments import Spans, check_block, check_first, check_results, octets, open_spans
from tests.reference.checksum import crc32c, mask_crc
from tests.reference.faults import BAD_DATA_CRC, BAD_LENGTH_CRC, OK, TRUNCATED_BODY, TRUNCATED_HEADER

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAME_BYTES = _HEADER.size + _FOOTER.size
_NEVER = 2**62  # no file reaches this offset: what cannot be is wanted up to here, and sums still fit 64 bits


def _open_header(data: memoryview, head: int) -> tuple[int, bool]:
    """(length, whether its checksum is right) of the record at head."""
    length, crc = _HEADER.unpack_from(data, head)
    return length, crc == mask_crc(crc32c(data[head : head + 8]))


def _is_payload_sound(data: memoryview, head: int, length: int) -> bool:
    start = head + _HEADER.size
    (crc,) = _FOOTER.unpack_from(data, start + length)
    return crc == mask_crc(crc32c(data[start : start + length]))


def scan_tfrecord(
    block: object, start: int, size: int, final: bool, starts: np.ndarray, lengths: np.ndarray
) -> tuple[int, int, int, int, int]:
    """Find the whole records of block[start:size]: (count, consumed, wanted, fault, position)."""
    data = octets(block)
    check_block(data, start, size)
    capacity = check_results(starts, lengths)
    count, head = 0, start
    while count < capacity:
        left = size - head
        if left == 0:
            return count, head, size, OK, head
        if left < _HEADER.size:
            if not final:
                return count, head, head + _HEADER.size, OK, head
            return count, head, head, TRUNCATED_HEADER, head
        length, is_sound = _open_header(data, head)
        if not is_sound:
            return count, head, head, BAD_LENGTH_CRC, head
        if length > left - _FRAME_BYTES:
            if not final:
                return count, head, min(_NEVER, head + _FRAME_BYTES + length), OK, head
            return count, head, head, TRUNCATED_BODY, head
        if not _is_payload_sound(data, head, length):
            return count, head, head, BAD_DATA_CRC, head
        starts[count], lengths[count] = head + _HEADER.size, length
        count, head = count + 1, head + _FRAME_BYTES + length
    return count, head, head, OK, head


def walk_tfrecord(
    window: object, origin: int, file_size: int, next: int, heads: np.ndarray, lengths: np.ndarray
) -> tuple[int, int, int, int]:
    """Hop from record to record by their lengths: (count, next, fault, position), all offsets in the file."""
    data = octets(window)
    capacity = check_results(heads, lengths)
    if not 0 <= next <= file_size or origin < 0:
        raise ValueError(f"expected 0 <= next <= {file_size} and 0 <= origin, found {next} and {origin}")
    count, head = 0, next
    while count < capacity and head < file_size:
        left = file_size - head
        if left < _HEADER.size:
            return count, head, TRUNCATED_HEADER, head
        if head < origin or head + _HEADER.size > origin + len(data):
            break
        length, is_sound = _open_header(data, head - origin)
        if not is_sound:
            return count, head, BAD_LENGTH_CRC, head
        if length > left - _FRAME_BYTES:
            return count, head, TRUNCATED_BODY, head
        heads[count], lengths[count] = head, length
        count, head = count + 1, head + _FRAME_BYTES + length
    return count, head, OK, head


def resync_tfrecord(block: object, start: int, size: int, final: bool) -> tuple[int, bool]:
    """Find the next whole, sound record at or after start: (position, decided)."""
    data = octets(block)
    check_block(data, start, size)
    position = start
    while position + _HEADER.size <= size:
        length, is_sound = _open_header(data, position)
        if is_sound:
            if length > size - position - _FRAME_BYTES:
                if not final:
                    return position, False
            elif _is_payload_sound(data, position, length):
                return position, True
        position += 1
    return (size, True) if final else (position, False)


def frame_payload(payload: bytes) -> bytes:
    """One whole record."""
    length = struct.pack("<Q", len(payload))
    return length + _FOOTER.pack(mask_crc(crc32c(length))) + payload + _FOOTER.pack(mask_crc(crc32c(payload)))


def frame_tfrecord(piece: Spans, first: int, out: np.ndarray, heads: np.ndarray) -> tuple[int, int, int]:
    """Write rows first.. as TFRecord into out: (rows, written, fault)."""
    data, spans = open_spans(piece)
    target = octets(out, writable=True)
    capacity = check_results(heads)
    check_first(first, len(spans))
    rows, written = 0, 0
    for start, length in spans[first:]:
        if rows == capacity or written + _FRAME_BYTES + length > len(target):
            break
        target[written : written + _FRAME_BYTES + length] = frame_payload(bytes(data[start : start + length]))
        heads[rows] = written
        rows, written = rows + 1, written + _FRAME_BYTES + length
    return rows, written, OK
