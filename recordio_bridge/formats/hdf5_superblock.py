"""The end that an HDF5 file says of itself, and what begins there: the superblock, which h5py does not show.

Source: HDF5 File Format Specification Version 3.0, II.A, "Disk Format: Level 0A - Format Signature and Superblock".
"""

from __future__ import annotations

import os
from typing import BinaryIO

from ..errors import FormatError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
PLACES = (0, 512, 1024, 2048)  # where a user block lets the signature stand; further ones are not looked for
_HEAD = 96  # bytes that hold the superblock of any version up to its end-of-file address
_FIRST_ADDRESS = {0: 24, 1: 28, 2: 12, 3: 12}  # of a superblock, by its version; the end of the file is the third


def refuse_joined(path: str, local: str) -> None:
    """FormatError where another HDF5 file begins at the end of the first, as cat makes it: HDF5 reads the first alone.

    Other bytes may lie there: a writer that was let go early leaves some.
    """
    with open(local, "rb") as file:
        end = _end_of(file)
        if end is not None and _at(file, end, len(SIGNATURE)) == SIGNATURE:
            raise FormatError(
                f"{path}: another HDF5 file begins at byte {end}, where this one ends, and HDF5 would read the first "
                "alone; take them apart, or write the rows of both to one file",
                path=path,
            )


def _end_of(file: BinaryIO) -> int | None:
    """The end-of-file address; None where it cannot be told."""
    place = next((place for place in PLACES if _at(file, place, len(SIGNATURE)) == SIGNATURE), None)
    if place is None:
        return None
    head = _at(file, place, _HEAD)
    if len(head) < _HEAD or head[8] not in _FIRST_ADDRESS:
        return None
    size = head[13 if head[8] < 2 else 9]  # bytes of an address
    first = _FIRST_ADDRESS[head[8]] + 2 * size
    return int.from_bytes(head[first : first + size], "little") if size in (2, 4, 8) else None


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    return os.pread(file.fileno(), count, place) if place < 1 << 63 else b""
