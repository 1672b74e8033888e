"""Cutting a .rec into extents without reading it: a head can be found from any byte.

Writers cut a record into parts wherever the magic would stand on a 4-byte boundary of its payload. So a magic on such a
boundary of the file is the head of a part, also inside of a .rec that is the payload of a record; and with flag 0 or 1
a record begins there. dmlc's InputSplit believes that at once. Here heads must follow, as damage, or a writer that does
not cut (SageMaker's), may show what is none; and who reads up to a false one gets an error (framed.BlockReader).
"""

from __future__ import annotations

import numpy as np

from ..rangefile import ReadAt, nbytes_in, open_file, read_at
from .base import Extent
from .recordio_frame import LIMIT, MAGIC, PART_HEADER

_WINDOW = 1 << 12  # bytes of the first look for a head; of the next ones, up to
_LARGEST_WINDOW = 1 << 20
_HEADS = 8  # that must follow one that is believed, or the end of the file


def split_at_magics(path: str, nbytes: int) -> list[Extent]:
    """Extents of about nbytes, each cut at the first record head behind that many.

    Reads from there to that head, and the heads behind it. Where damage lies it looks on, up to the next sound one.
    """
    with open_file(path) as file:
        size, read = nbytes_in(file), read_at(file)
        starts: list[int] = [0]
        while (head := _find_head(read, starts[-1] + max(nbytes, 1), size)) is not None:
            starts.append(head)
    stops = [*starts[1:], None]
    return [Extent(path, a, b, None if a else 0) for a, b in zip(starts, stops, strict=True)]


def _find_head(read: ReadAt, at: int, size: int) -> int | None:
    """The first record head at a byte or behind it; None where none is left."""
    at, window = at + 3 & ~3, _WINDOW
    while size - at >= PART_HEADER.size:
        block = read(min(window, size - at) + 4, at)  # and the flag of a magic at its end
        words = np.frombuffer(block, dtype="<u4", count=len(block) // 4)
        is_magic = words[:-1] == int.from_bytes(MAGIC, "little")
        for word in np.flatnonzero(is_magic & (words[1:] >> 29 <= 1)):
            head = at + 4 * int(word)
            if _leads_on(read, head, size):
                return head
        at, window = at + window, min(4 * window, _LARGEST_WINDOW)
    return None


def _leads_on(read: ReadAt, at: int, size: int) -> bool:
    """Whether parts follow one another from this one on, as they do in records."""
    is_open = False
    for _ in range(_HEADS):
        if at == size:
            return not is_open
        head = read(PART_HEADER.size, at)
        if len(head) < PART_HEADER.size:
            return False
        magic, word = PART_HEADER.unpack(head)
        flag = word >> 29
        if magic != MAGIC or flag > 3 or is_open != (flag >= 2):
            return False
        is_open = flag in (1, 2)
        at += PART_HEADER.size + ((word & LIMIT) + 3 & ~3)
        if at > size:
            return False
    return True
