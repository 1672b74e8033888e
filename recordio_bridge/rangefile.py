"""A remote file that is open for reading, by requests for ranges of its bytes.

What is read in order comes in large blocks, some of which are asked for ahead, on threads; a look at some bytes here
and there asks for these alone. Which of the two it is shows at the second read, as most files are only looked at.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from . import paths, remote
from .errors import SourceChangedError
from .remote import is_remote

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 23  # bytes of a request: enough that the time on the way does not count
_AHEAD = 3  # blocks that are on their way while one is read: one connection alone is slow, whatever the network
_NEAR = 1 << 20  # bytes that may be passed over between two reads in order, as from one record's head to the next

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""read_at(nbytes, offset): fewer bytes at the end of the file only."""


class RangeFile(io.RawIOBase):
    """A remote file, for one thread at a time. limit: where a reader in order will stop, at the latest."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._blocks: dict[int, Future[bytes]] = {}  # first, as who finds no file closes this all the same
        self._threads: ThreadPoolExecutor | None = None
        self.path = path
        self._info = paths.found(path)
        self.nbytes = self.limit = self._info.nbytes
        self._at = 0
        self._last = (1 << 62, 0)  # what was read before: from where up to where; nothing yet
        self._base = 0  # where the first of the blocks begins

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self.nbytes)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer; fewer bytes at the end of the file only."""
        view = memoryview(buffer).cast("B")
        piece = self.pread(len(view), self._at)
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def pread(self, nbytes: int, offset: int) -> bytes:
        """The bytes from an offset on; fewer at the end of the file only."""
        stop = min(offset + nbytes, self.nbytes)
        if stop <= offset:
            return b""
        before, self._last = self._last, (offset, stop)
        if not before[0] <= offset <= before[1] + _NEAR and stop - offset < BLOCK:
            return remote.read_range(self.path, offset, stop)
        if offset < self._base or not self._blocks:
            self._base = offset
            self._blocks.clear()
        first, last = (offset - self._base) // BLOCK, (stop - 1 - self._base) // BLOCK
        parts = [self._part(number, offset, stop) for number in range(first, last + 1)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, number: int, offset: int, stop: int) -> bytes:
        """The bytes of a block that are wanted; those behind it are on their way, and those before it let go."""
        for past in [known for known in self._blocks if known < number]:
            self._blocks.pop(past).cancel()
        for wanted in range(number, number + 1 + _AHEAD):
            start = self._base + wanted * BLOCK
            if wanted not in self._blocks and start < (self.limit if wanted > number else self.nbytes):
                self._blocks[wanted] = self._ask(start, min(start + BLOCK, self.nbytes))
        block, start = self._blocks[number].result(), self._base + number * BLOCK
        return block[max(offset - start, 0) : stop - start]

    def _ask(self, start: int, stop: int) -> Future[bytes]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1 + _AHEAD, "recordio_bridge-range")
        return self._threads.submit(remote.read_range, self.path, start, stop)

    def check(self) -> None:
        """SourceChangedError where it is not the file any more that was opened: then what was read may be of both."""
        if remote.info_of(self.path) != self._info:
            raise SourceChangedError(
                f"{self.path}: changed while it was read; run this again when nothing writes to it"
            )

    def close(self) -> None:
        """Let go of what is on its way, without waiting for it."""
        self._blocks.clear()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        super().close()


def open_file(path: str) -> io.FileIO | RangeFile:
    """A file, open for reading without a buffer."""
    paths.refuse_pipe(path)
    return RangeFile(path) if is_remote(path) else open(path, "rb", buffering=0)


def open_beside(path: str) -> io.FileIO | RangeFile:
    """A file that may lie beside another, open for reading. A store that refuses it has none; see paths.is_beside."""
    try:
        return open_file(path)
    except PermissionError as err:
        if is_remote(path):
            raise FileNotFoundError(err.errno, err.strerror, path) from err
        raise


def read_at(file: io.FileIO | RangeFile) -> ReadAt:
    """How to read an open file by position."""
    return file.pread if isinstance(file, RangeFile) else partial(os.pread, file.fileno())


def nbytes_in(file: io.FileIO | RangeFile) -> int:
    """The size of an open file."""
    return file.nbytes if isinstance(file, RangeFile) else os.fstat(file.fileno()).st_size


def check_same(file: io.FileIO | RangeFile) -> None:
    """RangeFile.check, of a remote file; a local one that is open stays the same when another takes its name."""
    if isinstance(file, RangeFile):
        file.check()
