"""The bytes of a compressed file, inflated on the way."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import ChecksumError, FormatError, TruncatedError
from .rangefile import check_same, nbytes_in, open_file

if TYPE_CHECKING:
    from .files import Compression, OnBytes

EXPANSION = 1032
"""Bytes that one byte of deflate can become: 258 for each 2 bits (RFC 1951)."""
WINDOW_BITS = {"GZIP": 31, "ZLIB": 15}  # zlib's way to say which header and trailer
_PIECE = 1 << 18  # compressed bytes read at a time
_INFLATED = 1 << 20  # bytes inflated at a time
_PENDING = 1 << 16  # and what zlib may have taken in before and not given out: less than its window of 32 KiB


class InflateStream:
    """What a GZIP or ZLIB file holds; several GZIP members are one stream, as in TensorFlow.

    Stricter than TensorFlow: a missing or cut trailer is an error, as it hides a cut file.
    """

    failure: FormatError | None = None

    def __init__(self, path: str, compression: Compression, on_bytes: OnBytes | None = None) -> None:
        self.path = path
        self._compression, self._on_bytes = compression, on_bytes
        self._file = open_file(path)
        self._size = nbytes_in(self._file)
        self._input = b""
        self._member = zlib.decompressobj(WINDOW_BITS[compression])
        self._consumed = 0

    @property
    def at_most(self) -> int:
        """What deflate can make at most of the compressed bytes that are left."""
        return EXPANSION * (max(self._size - self._consumed, 0) + len(self._input)) + _PENDING

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer. A damaged file gives the sound bytes, then has a failure, which the next call raises."""
        if self.failure is not None:
            raise self.failure
        done = 0
        try:
            while done < len(buffer):
                if not self._input:
                    self._input = self._file.read(_PIECE) or b""
                    self._consumed += len(self._input)
                    if not self._input:
                        check_same(self._file)
                    if self._on_bytes is not None:
                        self._on_bytes(memoryview(self._input))
                if self._member.eof and not self._next_member():
                    break
                data = self._inflate(min(len(buffer) - done, _INFLATED))
                buffer[done : done + len(data)] = data
                done += len(data)
        except FormatError as err:
            self.failure = err
        return done

    def _next_member(self) -> bool:
        if not self._input:
            return False
        if self._compression == "ZLIB":
            raise self._error(FormatError, "bytes follow the end of the ZLIB stream; it was written wrongly or joined")
        if not b"\x1f\x8b\x08".startswith(self._input[:3]):
            raise self._error(FormatError, "bytes follow the end of the GZIP stream; it was written wrongly or joined")
        self._member = zlib.decompressobj(WINDOW_BITS["GZIP"])
        return True

    def _inflate(self, most: int) -> bytes:
        at_end, before = not self._input, self._member.copy()
        try:
            data = self._member.decompress(self._input, most)
        except zlib.error as err:
            if data := self._sound_bytes(before):  # and the next call meets the damage
                return data
            kind = ChecksumError if "check" in str(err) and "header" not in str(err) else FormatError
            what = f"{err}; the file is damaged, or not {self._compression}; records just before may be repeated ones"
            raise self._error(kind, what) from err
        self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        if at_end and not data and not self._member.eof:
            raise self._error(
                TruncatedError, f"the {self._compression} stream ends before its trailer; the file is cut"
            )
        return data

    def _sound_bytes(self, member: zlib._Decompress) -> bytes:
        """What comes before the damage in the input: zlib gives nothing of a call in which it meets it.

        So it is given little to do at a time, and in the end a byte.
        """
        data, rest = b"", self._input
        with suppress(zlib.error):
            more = b"first"
            while rest or more:
                self._member, self._input = member.copy(), rest
                data += (more := member.decompress(rest, 4096))
                rest = member.unconsumed_tail
        for position in range(len(rest)):  # of the output that could not be given whole
            member = self._member.copy()
            with suppress(zlib.error):
                data += member.decompress(rest[position : position + 1])
                self._member, self._input = member, rest[position + 1 :]
                continue
            break
        return data

    def _error(self, kind: type[FormatError], what: str) -> FormatError:
        offset = self._consumed - len(self._input)
        return kind(f"{self.path}: at compressed byte {offset}: {what}", path=self.path, offset=offset)

    def close(self) -> None:
        self._file.close()
