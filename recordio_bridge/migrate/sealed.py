"""What a migration keeps for later runs, with a last line that is the CRC-32C of all before it, in hexadecimal digits.

A bit that flips on a disk may leave JSON that is as sound as before, and means other rows.
"""

from __future__ import annotations

from .. import _kernels


def sealed(content: bytes) -> bytes:
    """Content that ends with a line, and this last one."""
    return content + _seal_of(content)


def unsealed(data: bytes) -> bytes:
    """The content without its last line.

    Raises:
        ValueError: that is not the checksum of what is before it.
    """
    length = len(data) - len(_seal_of(b""))
    if length < 0 or data[length:] != _seal_of(data[:length]):
        raise ValueError("its last line is not the CRC-32C of what is before it")
    return data[:length]


def _seal_of(content: bytes) -> bytes:
    return b"%08x\n" % _kernels.crc32c(content)
