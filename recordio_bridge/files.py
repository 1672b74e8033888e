"""Files as bytes: reading that is never short, and writing that is whole or not there.

Output goes to a temporary name beside its target, is synced to disk, and takes its final name last. Where that name is
a link, what it leads to is replaced, and the link stays. Sources are read in
blocks into fresh buffers and not mapped: a mapped file that another program cuts kills the process (SIGBUS),
a read gives an error.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from io import FileIO
from types import TracebackType
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _kernels, remote
from .errors import FormatError, TruncatedError
from .inflate import WINDOW_BITS, InflateStream
from .paths import exists as exists
from .paths import found, refuse_pipe
from .paths import is_folder as is_folder
from .paths import join as join
from .paths import list_folder as list_folder
from .paths import make_folder as make_folder
from .paths import read_bytes as read_bytes
from .paths import remove as remove
from .paths import state_of as state_of
from .rangefile import RangeFile, check_same, nbytes_in, open_file, read_at
from .remote import is_remote as is_remote
from .temporary import begin_file, note_maker, place_of, remove_own

Compression: TypeAlias = Literal["", "GZIP", "ZLIB"]
COMPRESSED_SUFFIXES: dict[str, Compression] = {".gz": "GZIP", ".zz": "ZLIB"}  # behind the suffix of the format
_PIECE = 1 << 18  # bytes read at a time where they are only looked at
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # never one that is there, nor what a link leads to
_END = 1 << 16  # bytes at either end of a file that tell it from another
_MEMORY_LEVEL = 9  # as TensorFlow's writer, so that the bytes are the same (level 6)
_ADVICE = {
    errno.ENOSPC: "; make room on that disk, or write to another",
    errno.EDQUOT: "; make room within your quota, or write to another disk",
    errno.EFBIG: "; that disk, or a limit of this process (ulimit -f), allows no larger file: write more shards",
}


class Stream(Protocol):
    """Bytes in order: the part of a file, or what a compressed file holds."""

    path: str
    failure: FormatError | None
    """Why the bytes ended too early, after readinto gave those that were sound."""

    @property
    def at_most(self) -> int:
        """How many bytes are to come: exactly for a plain file, at most for a compressed one."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as there are bytes; fewer than its size means that they have ended."""

    def close(self) -> None: ...


OnBytes: TypeAlias = Callable[[memoryview], None]


class PlainStream:
    """The bytes start to stop of a file (stop None: to the end that it has now)."""

    failure: FormatError | None = None

    def __init__(self, path: str, start: int = 0, stop: int | None = None, on_bytes: OnBytes | None = None) -> None:
        self.path = path
        self._on_bytes = on_bytes
        self._file = open_file(path)
        size = nbytes_in(self._file)
        self._at = self._file.seek(start)
        self._stop = size if stop is None else stop
        if isinstance(self._file, RangeFile):
            self._file.limit = self._stop
        self.at_most = self._stop - start

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; TruncatedError when the file became shorter since it was opened."""
        wanted = min(len(buffer), self._stop - self._at)
        done = 0
        while done < wanted:
            got = self._file.readinto(buffer[done:wanted])
            if not got:
                raise TruncatedError(
                    f"{self.path}: ends at byte {self._at + done}, expected {self._stop}: another program cut the file "
                    "while it was read; start again when it is whole",
                    path=self.path,
                    offset=self._at + done,
                )
            done += got
        if self._on_bytes is not None:
            self._on_bytes(buffer[:done])
        self._at += done
        self.at_most = self._stop - self._at
        if done and not self.at_most:
            check_same(self._file)
        return done

    def close(self) -> None:
        self._file.close()


def compression_of(head: bytes) -> Compression:
    """What the first bytes of a file say about its compression (RFC 1952, RFC 1950)."""
    if head[:3] == b"\x1f\x8b\x08":
        return "GZIP"
    if len(head) >= 2 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0 and not head[1] & 0x20:
        return "ZLIB"
    return ""


def open_stream(
    path: str,
    compression: Compression = "",
    start: int = 0,
    stop: int | None = None,
    on_bytes: OnBytes | None = None,
) -> Stream:
    """The bytes of a file, inflated where it is compressed (then the whole of it). on_bytes sees what is on disk."""
    refuse_pipe(path)
    if compression:
        return InflateStream(path, compression, on_bytes)
    return PlainStream(path, start, stop, on_bytes)


def read_head(path: str, nbytes: int, compression: Compression = "") -> bytes:
    """The first nbytes, or all where there are fewer. Damage further on is not looked for."""
    stream = open_stream(path, compression)
    try:
        buffer = bytearray(nbytes)
        return bytes(buffer[: stream.readinto(memoryview(buffer))])
    finally:
        stream.close()


def inflate_head(head: bytes, compression: Compression, nbytes: int) -> bytes:
    """What the first bytes of a compressed file give, up to nbytes; b"" where they are not compressed after all."""
    try:
        return zlib.decompressobj(WINDOW_BITS[compression]).decompress(head, nbytes)
    except zlib.error:
        return b""


def read_spans(path: str, fd: int, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read spans of an open file one after another; TruncatedError where the file became shorter."""
    buffer = np.empty(int(lengths.sum()), dtype=np.uint8)
    done = _kernels.read_spans(fd, offsets, lengths, buffer)
    if done != len(offsets):
        raise TruncatedError(
            f"{path}: ends before byte {int(offsets[done] + lengths[done])}: another program cut the file",
            path=path,
            offset=int(offsets[done]),
        )
    return buffer


class Checksum:
    """The CRC-32C of bytes that come in pieces."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, piece: bytes | memoryview) -> None:
        """Go on with the next piece."""
        self.value = _kernels.crc32c(piece, self.value)


def crc_of(path: str) -> int:
    """The CRC-32C of a file's bytes."""
    crc = Checksum()
    feed_bytes(path, crc.add)
    return crc.value


@dataclass(frozen=True, slots=True)
class Ends:
    """What tells a file from another at little cost: its size, and a CRC-32C of its first and last 64 KiB."""

    nbytes: int
    crc32c: int


def ends_of(path: str) -> Ends:
    """The Ends of a file."""
    if is_remote(path) and (info := found(path)).mark:
        return _marked_ends(path, info)
    return _ends(path)


@lru_cache(maxsize=1 << 10)
def _marked_ends(path: str, info: remote.Info) -> Ends:
    """By the store's mark of its bytes, so that they are never those of another file."""
    return _ends(path)


def _ends(path: str) -> Ends:
    with open_file(path) as file:
        size, read = nbytes_in(file), read_at(file)
        crc = Checksum()
        first = read(_END, 0)
        for piece in (first, first if size <= _END else read(_END, size - _END)):
            crc.add(piece)
        return Ends(size, crc.value)


# ---- writing ----


@dataclass(frozen=True, slots=True)
class Pending:
    """A complete, synced file that waits for its final name."""

    temporary: str
    final: str
    nbytes: int
    crc32c: int


class Output:
    """A file in the making under a temporary name beside its target.

    finish() syncs it and gives the Pending; abort() removes it. Nothing appears under the final name before publish().
    """

    def __init__(self, final: str, compression: Compression = "") -> None:
        self.final = final
        self.temporary = begin_file(place_of(final))
        self._named = self.temporary if is_remote(final) else final
        """What an error is about: it is a disk here that has no room."""
        try:
            # An object closes it once, where an interrupt may come between closing a number and forgetting it
            self._file = FileIO(self.temporary, "x", opener=partial(os.open, mode=_mode(final)))
        except OSError as err:
            raise unwritable(err, self._named) from err
        self._compressor = (
            zlib.compressobj(6, zlib.DEFLATED, WINDOW_BITS[compression], _MEMORY_LEVEL) if compression else None
        )
        self.nbytes, self.crc32c = 0, 0
        note_maker(self)

    def write(self, data: bytes | memoryview | NDArray[np.uint8]) -> None:
        """Append bytes, compressed where the output is."""
        view = data.data if isinstance(data, np.ndarray) else memoryview(data)
        self._write_all(view if self._compressor is None else memoryview(self._compressor.compress(view)))

    def _write_all(self, data: memoryview) -> None:
        self.crc32c = _kernels.crc32c(data, self.crc32c)
        write_all(self._file.fileno(), data, self._named, self.nbytes)
        self.nbytes += len(data)

    def finish(self) -> Pending:
        """Complete the file and sync it to disk."""
        try:
            if self._compressor is not None:
                self._write_all(memoryview(self._compressor.flush()))
            self._sync()
        except BaseException:
            self.abort()
            raise
        self._file.close()
        return Pending(self.temporary, self.final, self.nbytes, self.crc32c)

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as err:
            raise unwritable(err, self._named, self.nbytes) from err

    def abort(self) -> None:
        """Remove what was written, also when it is finished and waits for its name."""
        self._file.close()
        remove_own(self.temporary)

    def __del__(self) -> None:
        if (
            hasattr(self, "_file") and not self._file.closed
        ):  # an interrupt came between this object and whoever was to hold it
            self.abort()

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()


def write_all(fd: int, data: memoryview, path: str, written: int) -> None:
    """Write all of the data; an OSError names the file, of which so many bytes are written already."""
    left = data
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError as err:
        raise unwritable(err, path, written + len(data) - len(left), len(left)) from err


def unwritable(error: OSError, path: str, written: int = 0, wanted: int | None = None) -> OSError:
    """The system's error with the file that could not be written, how far it came, and what may help."""
    if error.errno is None:
        return error
    what = error.strerror or os.strerror(error.errno)
    if wanted is not None:
        what += f" for {wanted} more bytes after {written}"
    return OSError(error.errno, what + _ADVICE.get(error.errno, ""), path)


@contextmanager
def naming_target(path: str) -> Iterator[None]:
    """Give an OSError from inside, where a file is written, that names none the name of the file."""
    try:
        yield
    except OSError as err:
        if err.filename is not None or err.errno is None:
            raise
        raise unwritable(err, path) from err


def _mode(final: str) -> int:
    """Who may read a file in the making, but for the umask; one among everybody's temporary files is ours alone."""
    return 0o600 if is_remote(final) else 0o666


def pending_file(path: str, data: bytes) -> Pending:
    """A small file that waits for its name."""
    with Output(path) as out:
        out.write(data)
        return out.finish()


def discard(pending: Iterable[Pending]) -> None:
    """Remove complete files that will not be published."""
    for file in pending:
        remove_own(file.temporary)


def feed_bytes(path: str, on_bytes: OnBytes) -> None:
    """Call on_bytes with all bytes of a file, in order."""
    buffer = bytearray(_PIECE)
    with open_file(path) as file:
        while got := file.readinto(buffer):
            on_bytes(memoryview(buffer)[:got])
        check_same(file)


class Scratch:
    """A file that another library makes, under a temporary name beside its target.

    finish() syncs it and gives the Pending; abort() removes it.
    """

    def __init__(self, final: str) -> None:
        self.final = final
        self.temporary = begin_file(final)
        os.close(os.open(self.temporary, NEW, _mode(final)))
        note_maker(self)

    def finish(self) -> Pending:
        """Sync the file, which its maker has closed, to disk. Its checksum is taken by reading it."""
        fd = os.open(self.temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            nbytes = os.fstat(fd).st_size
        finally:
            os.close(fd)
        return Pending(self.temporary, self.final, nbytes, crc_of(self.temporary))

    def abort(self) -> None:
        """Remove the file."""
        remove_own(self.temporary)
