"""The directory at the end of a .npz, which must list as many members as the record behind it says.

zipfile reads entries until their sizes add up, and counts none: of a damaged size it makes a shorter list.

    | members ... | entries of 46 bytes, name, extra, comment | [ZIP64 end, 56; its locator, 20] | end, 22, comment |

Specification: PKWARE, APPNOTE.TXT 4.3.12 (entry), 4.3.14 to 4.3.16 (the ends).
"""

from __future__ import annotations

import os
import struct

from ..errors import FormatError

_ENTRY = struct.Struct("<4s24x3H12x")  # signature, sizes of name, extra and comment
_END = struct.Struct("<4s4x2H2IH")  # signature, members on this disk and in all, bytes of the directory, its start
_END_64 = struct.Struct("<4s20x4Q")
_LOCATOR = struct.Struct("<4s16x")
_LONGEST_COMMENT = (1 << 16) - 1


def check_directory(path: str) -> None:
    """Compare the directory of a zip, which zipfile could read, with its end.

    Raises:
        FormatError: it lists more or fewer members, or does not end where the end says.
    """
    with open(path, "rb") as file:
        at = max(0, os.fstat(file.fileno()).st_size - _END.size - _LONGEST_COMMENT)
        file.seek(at)
        tail = file.read()
        place = _end_in(tail)
        _, here, count, nbytes, _, _ = _END.unpack_from(tail, place)
        stop = at + place
        if stop >= _LOCATOR.size + _END_64.size:
            file.seek(stop - _LOCATOR.size - _END_64.size)
            ends = file.read(_LOCATOR.size + _END_64.size)
            if ends[_END_64.size :].startswith(b"PK\x06\x07"):
                _, here, count, nbytes, _ = _END_64.unpack_from(ends)
                stop -= len(ends)
        file.seek(max(0, stop - nbytes))
        directory = file.read(min(nbytes, stop))
    listed, reached = _listed(directory)
    expected = here if listed == count else count
    if listed != expected or reached != len(directory):
        start = stop - nbytes
        raise FormatError(
            f"{path}: the directory at byte {start} lists {listed} members, in {reached} bytes; expected {expected} "
            f"members in {nbytes} bytes, as its end says; the file is damaged",
            path=path,
            offset=start,
        )


def _end_in(tail: bytes) -> int:
    """Where the end record is in the last bytes of a file: at their end, or as far before it as a comment is long."""
    last = len(tail) - _END.size
    if tail[last : last + 4] == b"PK\x05\x06" and tail[-2:] == b"\0\0":
        return last
    return tail.rfind(b"PK\x05\x06", 0, last + 4)


def _listed(directory: bytes) -> tuple[int, int]:
    """How many entries there are one after another, and where the last of them ends."""
    listed, at = 0, 0
    while directory[at : at + 4] == b"PK\x01\x02" and at + _ENTRY.size <= len(directory):
        _, name, extra, comment = _ENTRY.unpack_from(directory, at)
        at += _ENTRY.size + name + extra + comment
        listed += 1
    return listed, at
