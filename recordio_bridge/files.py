"""Files as bytes: reading that is never short, and writing that is whole or not there.

Output goes to a temporary name beside its target, is synced to disk, and takes its final name last. Where that name is
a link, what it leads to is replaced, and the link stays. Sources are read in
blocks into fresh buffers and not mapped: a mapped file that another program cuts kills the process (SIGBUS),
a read gives an error.
"""

from __future__ import annotations

import errno
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .errors import ChecksumError, FormatError, TruncatedError

Compression: TypeAlias = Literal["", "GZIP", "ZLIB"]
COMPRESSED_SUFFIXES: dict[str, Compression] = {".gz": "GZIP", ".zz": "ZLIB"}  # behind the suffix of the format
_WINDOW_BITS = {"GZIP": 31, "ZLIB": 15}  # zlib's way to say which header and trailer
_PIECE = 1 << 18  # bytes read at a time where they are only looked at
_INFLATED = 1 << 20  # bytes inflated at a time
_EXPANSION = 1032  # bytes that one byte of deflate can become: 258 for each 2 bits (RFC 1951)
_PENDING = 1 << 16  # and what zlib may have taken in before and not given out: less than its window of 32 KiB
_END = 1 << 16  # bytes at either end of a file that tell it from another
_MEMORY_LEVEL = 9  # as TensorFlow's writer, so that the bytes are the same (level 6)
_ADVICE = {
    errno.ENOSPC: "; make room on that disk, or write to another",
    errno.EDQUOT: "; make room within your quota, or write to another disk",
    errno.EFBIG: "; that disk, or a limit of this process (ulimit -f), allows no larger file: write more shards",
}
_run_mark = secrets.token_hex(4)


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
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed by close()
        size = os.fstat(self._file.fileno()).st_size
        self._at = self._file.seek(start)
        self._stop = size if stop is None else stop
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
        return done

    def close(self) -> None:
        self._file.close()


class InflateStream:
    """What a GZIP or ZLIB file holds; several GZIP members are one stream, as in TensorFlow.

    Stricter than TensorFlow: a missing or cut trailer is an error, as it hides a cut file.
    """

    failure: FormatError | None = None

    def __init__(self, path: str, compression: Compression, on_bytes: OnBytes | None = None) -> None:
        self.path = path
        self._compression, self._on_bytes = compression, on_bytes
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed by close()
        self._size = os.fstat(self._file.fileno()).st_size
        self._input = b""
        self._member = zlib.decompressobj(_WINDOW_BITS[compression])
        self._consumed = 0

    @property
    def at_most(self) -> int:
        """What deflate can make at most of the compressed bytes that are left."""
        return _EXPANSION * (max(self._size - self._consumed, 0) + len(self._input)) + _PENDING

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
        self._member = zlib.decompressobj(_WINDOW_BITS["GZIP"])
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
        return zlib.decompressobj(_WINDOW_BITS[compression]).decompress(head, nbytes)
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
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            crc.add(piece)
    return crc.value


@dataclass(frozen=True, slots=True)
class Ends:
    """What tells a file from another at little cost: its size, and a CRC-32C of its first and last 64 KiB."""

    nbytes: int
    crc32c: int


def ends_of(path: str) -> Ends:
    """The Ends of a file."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        crc = Checksum()
        for start in (0, max(0, size - _END)):
            file.seek(start)
            crc.add(file.read(_END))
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
        self.temporary = _temporary_name(_place(final))
        try:
            self._fd = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as err:
            raise unwritable(err, final) from err
        self._compressor = (
            zlib.compressobj(6, zlib.DEFLATED, _WINDOW_BITS[compression], _MEMORY_LEVEL) if compression else None
        )
        self.nbytes, self.crc32c = 0, 0

    def write(self, data: bytes | memoryview | NDArray[np.uint8]) -> None:
        """Append bytes, compressed where the output is."""
        view = data.data if isinstance(data, np.ndarray) else memoryview(data)
        self._write_all(view if self._compressor is None else memoryview(self._compressor.compress(view)))

    def _write_all(self, data: memoryview) -> None:
        self.crc32c = _kernels.crc32c(data, self.crc32c)
        write_all(self._fd, data, self.final, self.nbytes)
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
        os.close(self._fd)
        self._fd = -1
        return Pending(self.temporary, self.final, self.nbytes, self.crc32c)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as err:
            raise unwritable(err, self.final, self.nbytes) from err

    def abort(self) -> None:
        """Remove what was written, also when it is finished and waits for its name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with suppress(FileNotFoundError):
            os.unlink(self.temporary)

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:  # an interrupt came between this object and whoever was to hold it
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


def _place(final: str) -> str:
    """Where a file of this name goes: a link is followed, as rename would replace the link itself."""
    return os.path.realpath(final) if os.path.islink(final) else final


def _temporary_name(place: str) -> str:
    """A name beside a file that no other run has."""
    folder, name = os.path.split(place)
    return os.path.join(folder, f".{name}.{_run_mark}-{secrets.token_hex(4)}.part")


@contextmanager
def atomic(path: str, *, overwrite: bool = False) -> Iterator[Output]:
    """A file that appears under its name, whole and synced, when the block ends well; else not at all."""
    with Output(path) as out:
        yield out
        publish([out.finish()], overwrite=overwrite)


def pending_file(path: str, data: bytes) -> Pending:
    """A small file that waits for its name."""
    with Output(path) as out:
        out.write(data)
        return out.finish()


def new_run_mark() -> str:
    """What the names of temporary files of one run are to have in common."""
    return secrets.token_hex(4)


def share_run_mark(mark: str) -> None:
    """Name temporary files as the run that this process works for, so that it can clear them away."""
    global _run_mark
    _run_mark = mark


def discard_temporaries(finals: Iterable[str], mark: str) -> None:
    """Remove what the killed processes of a run left behind of these files."""
    for folder in {os.path.dirname(_place(final)) or "." for final in finals}:
        for file in Path(folder).glob(f".*.{mark}-*.part"):
            file.unlink(missing_ok=True)


def publish(pending: Sequence[Pending], replaced: Sequence[str] = (), *, overwrite: bool = False) -> None:
    """Give complete files their final names, in their order, and sync the folders: all of them, or none.

    With overwrite, files of these names, and those in replaced, make room first, last one first, and are put back when
    a step fails. With it or without, a file that has appeared since, as of another run, is not replaced.

    Raises:
        FileExistsError: a file has one of the names.
    """
    placed = [replace(file, final=_place(file.final)) for file in pending]
    aside: list[tuple[str, str]] = []
    named: list[str] = []
    under_way: Pending | None = None
    try:
        for final in [*reversed(replaced), *(file.final for file in reversed(placed))] if overwrite else []:
            if os.path.lexists(final):
                hidden = _temporary_name(final)
                os.rename(final, hidden)
                aside.append((hidden, final))
        for under_way in placed:
            _give_name(under_way.temporary, under_way.final)
            named.append(under_way.final)
        discard(pending)
    except BaseException:
        if under_way is not None and _has_both_names(under_way):  # an interrupt came before it was noted
            named.append(under_way.final)
        remove(named)
        for hidden, final in aside:
            with suppress(FileExistsError):  # another run was faster: its file is newer
                _give_name(hidden, final)
        remove(hidden for hidden, _ in aside)
        raise
    remove(hidden for hidden, _ in aside)
    for folder in sorted({os.path.dirname(file.final) or "." for file in placed}):
        sync_folder(folder)


def _give_name(temporary: str, final: str) -> None:
    """Give a file a second name, or its new one; FileExistsError where another has that. A rename would replace it."""
    try:
        try:
            os.link(temporary, final)
        except FileExistsError:
            raise
        except OSError:  # no hard links here (FAT, some network file systems), which each says in its own way
            os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))  # the name is ours
            try:
                os.rename(temporary, final)
            except BaseException:
                os.unlink(final)
                raise
    except FileExistsError:
        raise FileExistsError(
            f"{final} appeared while this ran, from another run? It stays as it is, and nothing was written; take "
            "another name, or pass overwrite=True (--overwrite) when nothing else writes there"
        ) from None


def _has_both_names(file: Pending) -> bool:
    """Whether what has the final name is this file, and not another's."""
    try:
        return os.path.samefile(file.temporary, file.final)
    except FileNotFoundError:
        return False


def discard(pending: Iterable[Pending]) -> None:
    """Remove complete files that will not be published."""
    for file in pending:
        with suppress(FileNotFoundError):
            os.unlink(file.temporary)


def remove(paths: Iterable[str]) -> None:
    """Remove files that may be there."""
    for path in paths:
        Path(path).unlink(missing_ok=True)


def sync_folder(folder: str) -> None:
    """Make names in a folder survive a power loss."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:  # some network file systems cannot sync a folder; the files themselves are synced
        pass
    finally:
        os.close(fd)


def refuse_existing(paths: Iterable[str], overwrite: bool) -> None:
    """FileExistsError when a target is there and may not be replaced; FileNotFoundError without its folder."""
    real: dict[str, str] = {}
    for path in paths:
        folder = os.path.dirname(_place(path))
        if folder and not os.path.isdir(folder):
            raise FileNotFoundError(f"{path}: the folder {folder} does not exist; make it first")
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path} is a folder; give the name of a file")
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(f"{path} exists; pass overwrite=True (--overwrite) to replace it")
        same = real.setdefault(os.path.realpath(path), path)
        if same != path:
            raise FileExistsError(f"{path} and {same} are the same file by a link; remove the link")


def absolute(path: str | os.PathLike[str]) -> str:
    """The path as an absolute one, as a worker in another folder would need it; links are kept."""
    return str(Path(os.fspath(path)).absolute())


def feed_bytes(path: str, on_bytes: OnBytes) -> None:
    """Call on_bytes with all bytes of a file, in order."""
    buffer = bytearray(_PIECE)
    with open(path, "rb", buffering=0) as file:
        while got := file.readinto(buffer):
            on_bytes(memoryview(buffer)[:got])


class Scratch:
    """A file that another library makes, under a temporary name beside its target.

    finish() syncs it and gives the Pending; abort() removes it.
    """

    def __init__(self, final: str) -> None:
        self.final = final
        self.temporary = _temporary_name(final)
        os.close(os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))

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
        with suppress(FileNotFoundError):
            os.unlink(self.temporary)
