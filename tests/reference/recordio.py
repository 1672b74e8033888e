"""MXNet RecordIO: a row of parts, each on a 4-byte boundary of the file.

    +-----------+--------------------+------------------+-----------+
    | magic u32 | flag:3  length:29  | length bytes     | 0..3 pad  |
    +-----------+--------------------+------------------+-----------+

Flag 0 is a whole record; 1, 2, 3 are first, middle and last part of a record that was cut wherever the magic stood
on a 4-byte boundary of its payload. The magic belongs between the parts again.
"""

from __future__ import annotations

import struct

import numpy as np

from tests.reference.arguments import (
    Spans,
    check_array,
    check_block,
    check_first,
    check_results,
    octets,
    open_spans,
)
from tests.reference.faults import (
    BAD_FLAG,
    BAD_MAGIC,
    OK,
    ORPHAN_PART,
    TOO_LONG,
    TRUNCATED_BODY,
    TRUNCATED_HEADER,
    UNFINISHED_RECORD,
)

MAGIC = bytes.fromhex("0a23d7ce")
LIMIT = 2**29 - 1  # the largest record; dmlc-core demands size < 2^29 before it looks for magics
_LENGTH_MASK = 2**29 - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = 0, 1, 2, 3
_WALK = struct.Struct("<qqqq24s")  # next, record, length, got, header
_HEADER_BYTES = 24  # of a payload: the image header of MXNet


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _open_part(data: memoryview, head: int) -> tuple[bytes, int, int]:
    """(magic, flag, length) of the part whose 8 bytes of header are at head."""
    (word,) = struct.unpack_from("<I", data, head + 4)
    return bytes(data[head : head + 4]), word >> 29, word & _LENGTH_MASK


def _judge_part(magic: bytes, flag: int, is_open: bool) -> int:
    """The fault of a part header, where a record is_open or one should begin. dmlc's reader checks only the magic."""
    if magic != MAGIC:
        return BAD_MAGIC
    if flag > _LAST:
        return BAD_FLAG
    if is_open:
        return OK if flag in (_MIDDLE, _LAST) else UNFINISHED_RECORD
    return OK if flag in (_WHOLE, _FIRST) else ORPHAN_PART


def scan_recordio(
    block: np.ndarray, start: int, size: int, final: bool, starts: np.ndarray, lengths: np.ndarray
) -> tuple[int, int, int, int, int]:
    """Find the whole records of block[start:size]: (count, consumed, wanted, fault, position)."""
    data = octets(block, writable=True)
    check_block(data, start, size)
    capacity = check_results(starts, lengths)
    count, consumed = 0, start  # what is reported
    head, parts = start, []  # the part in hand, and those before it of the same record
    while count < capacity:
        left = size - head
        if left == 0 and not parts:
            return count, consumed, size, OK, consumed
        if left < 8:
            if not final:
                return count, consumed, head + 8, OK, consumed
            fault = TRUNCATED_HEADER if left else UNFINISHED_RECORD
            return count, consumed, consumed, fault, head
        magic, flag, length = _open_part(data, head)
        fault = _judge_part(magic, flag, bool(parts))
        if fault != OK:
            return count, consumed, consumed, fault, head
        end = head + 8 + _padded(length)
        if end > size:
            if not final:
                return count, consumed, end, OK, consumed
            return count, consumed, consumed, TRUNCATED_BODY, head
        parts.append((head + 8, length))
        head = end
        if flag in (_WHOLE, _LAST):
            starts[count], lengths[count] = _join_parts(data, parts)
            count, consumed, parts = count + 1, head, []
    return count, consumed, consumed, OK, consumed


def _join_parts(data: memoryview, parts: list[tuple[int, int]]) -> tuple[int, int]:
    """Make the payload one span, in place: it begins where the first part does, and only its own bytes are written."""
    payload = MAGIC.join(bytes(data[start : start + length]) for start, length in parts)
    start = parts[0][0]
    data[start : start + len(payload)] = payload
    return start, len(payload)


def walk_recordio(
    window: object,
    origin: int,
    file_size: int,
    walk: bytearray,
    heads: np.ndarray,
    lengths: np.ndarray,
    headers: np.ndarray,
) -> tuple[int, int, int, int]:
    """Hop from record head to record head without reading the bodies: (count, next, fault, position)."""
    data = octets(window)
    capacity = _check_walk(heads, lengths, headers)
    head, record, length, header = _open_walk(walk, origin, file_size)
    window_end = origin + len(data)
    count, fault = 0, OK
    while count < capacity:
        left = file_size - head
        if left == 0 and record == -1:
            break
        if left < 8:
            fault = TRUNCATED_HEADER if left else UNFINISHED_RECORD
            break
        if head < origin or head + 8 > window_end:
            break
        magic, flag, part_length = _open_part(data, head - origin)
        fault = _judge_part(magic, flag, record != -1)
        if fault != OK:
            break
        end = head + 8 + _padded(part_length)
        if end > file_size:
            fault = TRUNCATED_BODY
            break
        joint = MAGIC if record != -1 else b""  # stands before this part in the payload
        body = min(part_length, max(0, _HEADER_BYTES - len(header) - len(joint)))
        if head + 8 + body > window_end:
            break
        body_start = head + 8 - origin
        header = (header + joint + bytes(data[body_start : body_start + body]))[:_HEADER_BYTES]
        length += len(joint) + part_length
        if record == -1:
            record = head
        head = end
        if flag in (_WHOLE, _LAST):
            heads[count], lengths[count] = record, length
            headers[_HEADER_BYTES * count : _HEADER_BYTES * (count + 1)] = list(header.ljust(_HEADER_BYTES, b"\0"))
            count, record, length, header = count + 1, -1, 0, b""
    walk[:] = _WALK.pack(head, record, length, len(header), header)
    return count, head, fault, head


def _open_walk(walk: bytearray, origin: int, file_size: int) -> tuple[int, int, int, bytes]:
    """Where the walk stands: the next part, the head of its record or -1, length and header of that record so far."""
    if len(octets(walk, writable=True)) != _WALK.size:
        raise ValueError(f"expected {_WALK.size} bytes of state, found {len(walk)}")
    head, record, length, got, header = _WALK.unpack(walk)
    is_state = 0 <= got <= _HEADER_BYTES and -1 <= record <= head and length >= 0
    if not is_state or not 0 <= head <= file_size or origin < 0:
        raise ValueError(f"the state of the walk does not fit a file of {file_size} bytes")
    return head, record, length, header[:got]


def _check_walk(heads: np.ndarray, lengths: np.ndarray, headers: np.ndarray) -> int:
    """The number of records that there is room for."""
    capacity = check_results(heads, lengths)
    check_array(headers, "uint8", writable=True)
    if len(headers) != _HEADER_BYTES * capacity:
        raise ValueError(f"expected {_HEADER_BYTES * capacity} bytes for headers, found {len(headers)}")
    return capacity


def resync_recordio(block: object, start: int, size: int, final: bool) -> tuple[int, bool]:
    """Find the next record head at or after start: (position, decided)."""
    data = octets(block)
    check_block(data, start, size)
    position = _padded(start)
    while position + 8 <= size:
        verdict = _is_head(data, position, size, final)
        if verdict is None:
            return position, False
        if verdict:
            return position, True
        position += 4
    return (size, True) if final else (position, False)


def _is_head(data: memoryview, position: int, size: int, final: bool) -> bool | None:
    """Whether a record begins here, None where only more bytes can tell."""
    magic, flag, length = _open_part(data, position)
    if magic != MAGIC or flag not in (_WHOLE, _FIRST):
        return False
    end = position + 8 + _padded(length)
    if end + 8 > size:  # the part after it cannot be seen
        if not final:
            return None
        return end <= size and flag == _WHOLE
    magic, follower, _ = _open_part(data, end)
    return magic == MAGIC and follower in ((_WHOLE, _FIRST) if flag == _WHOLE else (_MIDDLE, _LAST))


def frame_recordio(
    pieces: list[Spans], first: int, out: np.ndarray, heads: np.ndarray, escape: bool = True
) -> tuple[int, int, int]:
    """Write rows first.. as RecordIO into out: (rows, written, fault)."""
    if not 1 <= len(pieces) <= 1 << 16:
        raise ValueError(f"expected 1 to 65536 pieces, found {len(pieces)}")
    opened = [open_spans(piece) for piece in pieces]
    num_rows = len(opened[0][1])
    if any(len(rows) != num_rows for _, rows in opened):
        raise ValueError("pieces differ in their number of rows")
    target = octets(out, writable=True)
    capacity = check_results(heads)
    check_first(first, num_rows)

    rows, written = 0, 0
    for row in range(first, num_rows):
        if rows == capacity:
            break
        spans = [(data, *piece[row]) for data, piece in opened]
        size = sum(length for _, _, length in spans)
        if size > LIMIT:
            return rows, written, TOO_LONG
        if written + 8 + size > len(target):  # escaping only makes it longer: spare the copy
            break
        record = _frame(b"".join(data[start : start + length] for data, start, length in spans), escape)
        if written + len(record) > len(target):
            break
        target[written : written + len(record)] = record
        heads[rows] = written
        rows, written = rows + 1, written + len(record)
    return rows, written, OK


def _frame(payload: bytes, escape: bool) -> bytes:
    """One record: cut where the magic stands on a 4-byte boundary of the payload, without the magic itself."""
    cuts = [at for at in range(0, len(payload) - 3, 4) if escape and payload[at : at + 4] == MAGIC]
    begins = [0] + [cut + 4 for cut in cuts]
    ends = [*cuts, len(payload)]
    framed = bytearray()
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        is_first, is_last = number == 0, number == len(cuts)
        flag = _WHOLE if is_first and is_last else _FIRST if is_first else _LAST if is_last else _MIDDLE
        length = end - begin
        framed += MAGIC + struct.pack("<I", flag << 29 | length) + payload[begin:end] + bytes(_padded(length) - length)
    return bytes(framed)
