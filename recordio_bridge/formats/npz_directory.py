"""The directory at the end of a .npz, which must list as many members as the record behind it says.

zipfile reads entries until their sizes add up, and counts none: of a damaged size it makes a shorter list.

    | members ... | entries of 46 bytes, name, extra, comment | [ZIP64 end, 56; its locator, 20] | end, 22, comment |

A name stands twice, before the member and in the directory. Those of arrays are compared as they are opened; here are
the others: an array whose name is damaged in one of the two is none to leave out.

Specification: PKWARE, APPNOTE.TXT 4.3.7 (before a member), 4.3.12 (entry), 4.3.14 to 4.3.16 (the ends).
"""

from __future__ import annotations

import os
import struct
import zipfile
from dataclasses import dataclass
from typing import IO

from ..errors import FormatError

_ENTRY = struct.Struct("<4s24x3H12x")  # signature, sizes of name, extra and comment
_END = struct.Struct("<4s4x2H2IH")  # signature, members on this disk and in all, bytes of the directory, its start
_END_64 = struct.Struct("<4s20x4Q")
_LOCATOR = struct.Struct("<4s16x")
_LOCAL = struct.Struct("<4s22xH2x")  # signature, size of the name that follows
_UTF8 = 1 << 11  # the flag that says so of names; others are in cp437
_LONGEST_COMMENT = 1 << 16  # one more than its size can say, as zipfile takes it
MOST_MEMBERS = 100_000
"""Each is an array, and so a column: ten times what one Example may have. zipfile takes 1 KiB of memory for each."""
MOST_BYTES = 1 << 26
"""Of the directory, which zipfile reads as a whole: that many members with names of 600 bytes."""


@dataclass(frozen=True, slots=True)
class _End:
    """What the end of a zip says of its directory: members on this disk and in all; its bytes, and where they begin.

    stop: where they end; behind: bytes behind the end and its comment.
    """

    here: int
    count: int
    nbytes: int
    start: int
    stop: int
    behind: int


def check_size(path: str, file: IO[bytes]) -> None:
    """FormatError for a directory that is larger than any table needs; zipfile makes objects of all that is in it.

    What is no zip passes: zipfile says what is wrong with it.
    """
    end = _end_of(file)
    # the end may say any number: zipfile goes by the bytes
    if end is not None and (end.nbytes > MOST_BYTES or _listed(_directory(file, end))[0] > MOST_MEMBERS):
        raise FormatError(
            f"{path}: its directory has {end.nbytes} bytes, for {end.count} members as its end says, expected at most "
            f"{MOST_BYTES}, and {MOST_MEMBERS} members; this is no table, or damaged: save its arrays to several files",
            path=path,
        )


def check_directory(path: str, file: IO[bytes]) -> None:
    """Compare the directory of a zip, which zipfile could read, with its end.

    Raises:
        FormatError: it lists more or fewer members, or does not end where the end says; bytes stand before the archive,
            as where two of them were put one behind the other, of which zipfile sees the last; or behind it.
    """
    end = _end_of(file)
    if end is None:
        return  # zipfile refuses what has no end
    directory = _directory(file, end)
    listed, reached = _listed(directory)
    expected = end.here if listed == end.count else end.count
    if listed != expected or reached != len(directory):
        start = end.stop - end.nbytes
        raise FormatError(
            f"{path}: the directory at byte {start} lists {listed} members, in {reached} bytes; expected {expected} "
            f"members in {end.nbytes} bytes, as its end says; the file is damaged",
            path=path,
            offset=start,
        )
    before = end.stop - end.nbytes - end.start
    if before > 0 or end.behind:
        raise FormatError(
            f"{path}: {before} bytes stand before its archive and {end.behind} behind it, expected none; where "
            "archives were put one behind the other, cut them apart: only the last would be read",
            path=path,
        )


def check_name(path: str, fd: int, member: zipfile.ZipInfo) -> None:
    """Compare the name that the directory has for a member with the one before it.

    Raises:
        FormatError: they differ, or no member begins where the directory says.
    """
    start = member.header_offset
    signature, name = b"", b""
    if 0 <= start <= os.fstat(fd).st_size - _LOCAL.size:
        signature, size = _LOCAL.unpack(os.pread(fd, _LOCAL.size, start))
        name = os.pread(fd, size, start + _LOCAL.size)
    text = name.decode("utf-8" if member.flag_bits & _UTF8 else "cp437", "backslashreplace")
    if signature != b"PK\x03\x04" or text != member.orig_filename:
        found = f"{text!r} stands before it" if signature == b"PK\x03\x04" else "there is none"
        raise FormatError(
            f"{path}: the directory calls a member {member.orig_filename!r}, and {found}, at byte {start}; the file is "
            "damaged",
            path=path,
            offset=start,
        )


def _directory(file: IO[bytes], end: _End) -> bytes:
    file.seek(max(0, end.stop - end.nbytes))
    return file.read(min(end.nbytes, end.stop))


def _end_of(file: IO[bytes]) -> _End | None:
    """What the end of a zip says; None where there is none."""
    at = max(0, os.fstat(file.fileno()).st_size - _END.size - _LONGEST_COMMENT)
    file.seek(at)
    tail = file.read()
    place = _end_in(tail)
    if place < 0 or len(tail) - place < _END.size:
        return None
    _, here, count, nbytes, start, comment = _END.unpack_from(tail, place)
    stop, behind = at + place, max(0, len(tail) - place - _END.size - comment)
    if stop >= _LOCATOR.size + _END_64.size:
        file.seek(stop - _LOCATOR.size - _END_64.size)
        ends = file.read(_LOCATOR.size + _END_64.size)
        if ends.startswith(b"PK\x06\x06") and ends[_END_64.size :].startswith(b"PK\x06\x07"):
            _, here, count, nbytes, start = _END_64.unpack_from(ends)
            stop -= len(ends)
    return _End(here, count, nbytes, start, stop, behind)


def _end_in(tail: bytes) -> int:
    """Where the end record is in the last bytes of a file: at their end, or a comment before it; or -1."""
    last = len(tail) - _END.size
    if last >= 0 and tail[last : last + 4] == b"PK\x05\x06" and tail[-2:] == b"\0\0":
        return last
    return tail.rfind(b"PK\x05\x06", 0, last + 4)


def _listed(directory: bytes) -> tuple[int, int]:
    """How many entries there are one after another, and where the last of them ends."""
    listed, at = 0, 0
    while directory[at : at + 4] == b"PK\x01\x02" and at + _ENTRY.size <= len(directory) and listed <= MOST_MEMBERS:
        _, name, extra, comment = _ENTRY.unpack_from(directory, at)
        at += _ENTRY.size + name + extra + comment
        listed += 1
    return listed, at
