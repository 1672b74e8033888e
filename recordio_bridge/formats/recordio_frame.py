"""The frame of a .rec: its constants, and sentences for what is wrong with one. It is drawn in recordio.py.

mxrecordio reads and writes the same frames, and says the same of damaged ones.
"""

from __future__ import annotations

import struct

from .. import _kernels

MAGIC = b"\x0a\x23\xd7\xce"  # opens every part; never on a 4-byte boundary inside one
PART_HEADER = struct.Struct("<4sI")  # magic, then 3 bits of flag and 29 bits of length
LIMIT = (1 << 29) - 1  # bytes of a record before it is cut into parts (dmlc-core: CHECK(size < (1 << 29)))


def describe_fault(fault: int, found: bytes, left: int, place: str = "") -> str:
    """What a kernel found where a part should begin, and what was expected.

    Args:
        found: the first 8 bytes there, or all.
        left: how many there are up to the end of the file.
        place: where that is, if the message does not say so already: " at byte 52".
    """
    word = int.from_bytes(found[4:8], "little")
    flag, length, what = word >> 29, word & LIMIT, "a new record" if left else "the end of the file"
    return {
        _kernels.OK: "found the end of the file",
        _kernels.TRUNCATED_HEADER: f"found {left} bytes{place}, expected the 8 of a part's header",
        _kernels.TRUNCATED_BODY: f"found {left - 8} bytes of a part{place}, expected {length} and padding",
        _kernels.BAD_MAGIC: f"found {found[:4].hex()}{place}, expected the magic {MAGIC.hex()}",
        _kernels.BAD_FLAG: f"found a part with flag {flag}{place}, expected 0 to 3",
        _kernels.ORPHAN_PART: f"found a part with flag {flag}, expected 0 or 1 where a record begins",
        _kernels.UNFINISHED_RECORD: f"found {what}{place}, expected the next part of this one",
    }[fault]
