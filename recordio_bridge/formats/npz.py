"""numpy's .npz: a zip with a .npy for each array, stored as it is or deflated.

Members that are stored are read by position, rows at a time; deflated ones are streams. Either way memory holds a
block. The CRC-32 of a member is compared when its last row has been read in order, else by a pass of its own: before
rows are picked at will, and at the end of a member that lies column after column. A member that expands more than
deflate can, or whose size is not what its header says, is refused before a byte of it is believed.

Specification: numpy, lib/format.py; PKWARE, APPNOTE.TXT 4.3 (local header: 30 bytes, then name and extra).
"""

from __future__ import annotations

import errno
import os
import struct
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Batch, as_bytes
from ..copies import on_disk
from ..errors import ChecksumError, FormatError, SchemaError, TruncatedError
from ..files import Scratch
from ..inflate import EXPANSION
from ..paths import nbytes_of
from ..schema import Schema
from .array_columns import Array, columns_of, read_each
from .arrays import ArrayFormat, Store
from .base import ALARM, OnBadRecord, Written
from .flatten import Flattener
from .framed import most_held
from .npy import FileArray, Header, header_bytes, read_header, write_all
from .npz_directory import check_directory, check_name, check_size

_LOCAL = struct.Struct("<4s22xHH")  # signature, sizes of name and extra
_LOCAL_CRC = 14  # where the CRC-32 is in it
_POLYNOMIAL = 0xEDB88320  # of CRC-32, its bits reversed
_LONGEST_NAME = (1 << 16) - 1  # bytes of a member's name
_COPY = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # as numpy: the same input gives the same bytes


@dataclass(frozen=True, slots=True)
class NpzOptions:
    """How to read or write a .npz."""

    compression: Literal["auto", "", "DEFLATE"] = "auto"
    """Writing: "auto" and "" store, DEFLATE compresses as numpy.savez_compressed. Reading finds out by itself."""
    expansion: Literal["bounded", "any"] = "bounded"
    """"bounded": refuse a compressed file in which one row, or the offsets of a field, take more than 512 MiB and more
    than 32 times the size of the file, and any with more than 100 million rows that take no byte of it, as none but a
    trap is likely to; "any": take as much memory and time as it says. Reading only."""


class Npz(ArrayFormat):
    name = "npz"
    suffixes = (".npz",)
    options = NpzOptions

    def sniff(self, head: bytes) -> bool:
        """A zip, or an empty one."""
        return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")

    def resolve(self, path: str, options: NpzOptions) -> NpzOptions:
        """DEFLATE where a member is not stored: such a file is read from its beginning."""
        with _opened(path) as (archive, _):
            deflated = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
        return replace(options, compression="DEFLATE" if deflated else "")

    @contextmanager
    def store(self, path: str, options: NpzOptions, keep: int = 0) -> Iterator[Store]:
        with ExitStack() as stack:
            archive, file = stack.enter_context(_opened(path))
            is_trusted = options.expansion == "any"
            held = most_held(path, trusted=is_trusted)
            arrays: dict[str, Array] = {}
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    check_name(path, file.fileno(), member)
                    continue
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise FormatError(f"{path}: has two arrays {name!r}; unpack it and save them apart", path=path)
                arrays[name] = _array(path, file.fileno(), archive, member, held)
                if isinstance(arrays[name], DeflatedArray):
                    stack.callback(arrays[name].close)  # type: ignore[attr-defined]  # just looked at
            if not arrays and (others := _others(archive)):
                raise FormatError(f"{path}: holds no array (NAME.npy), only {', '.join(map(repr, others))}", path=path)
            yield Store(arrays, held=held, nbytes=None if is_trusted else nbytes_of(path))

    def doubts(self, path: str, options: NpzOptions) -> list[str]:
        """Members that are not read: an array whose name was damaged, or spoilt by a tool, is among them."""
        with _opened(path) as (archive, _):
            others = _others(archive)
        told = "the member {} is left out, as its name does not end in .npy, as that of an array does"
        if len(others) > 1:
            told = "the members {} are left out, as their names do not end in .npy, as those of arrays do"
        alarms = [f"{ALARM}{path}: {told.format(', '.join(map(repr, others)))}"] if others else []
        return super().doubts(path, options) + alarms

    def has_sound_parts(self, options: NpzOptions) -> bool:
        return False  # the one checksum of a member is that of all its rows; and of a deflated one all is unpacked

    def is_sequential(self, options: NpzOptions) -> bool:
        return options.compression == "DEFLATE"

    def unpack(
        self,
        path: str,
        options: NpzOptions,
        target: str,
        on_bad_record: OnBadRecord,
        fields: Iterable[str] | None = None,
    ) -> NpzOptions:
        """Write the same arrays without compression."""
        with self.store(path, options) as store:
            for array in store.arrays.values():
                if isinstance(array, DeflatedArray) and array.shape and array.shape[0]:
                    array.check_held(1)
            wanted = None if fields is None else frozenset(fields)
            columns_of(path, store.arrays, self.declared(path), wanted, store.held)  # before the disk is filled
        with _opened(path) as (archive, _), zipfile.ZipFile(target, "w") as plain:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):  # may be of any kind, and damaged; doubts tells of it
                    continue
                with _zip_errors(path, f"{path}: member {member.filename!r}"):
                    source = archive.open(member)
                with source, plain.open(_info(member.filename, False), "w", force_zip64=True) as out:
                    while piece := _piece(path, member, source, _COPY):
                        out.write(piece)
        return replace(options, compression="")

    def create(self, path: str, schema: Schema, options: NpzOptions) -> NpzWriter:
        return NpzWriter(path, schema, options.compression == "DEFLATE")


@contextmanager
def _zip_errors(path: str, where: str) -> Iterator[None]:
    """What zipfile and zlib say of bytes that are not as they should be, as a FormatError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, OverflowError, RuntimeError) as err:
        if isinstance(err, FormatError):
            raise
        kind = ChecksumError if "CRC" in str(err) else FormatError
        raise kind(f"{where}: {err}; the file is cut, damaged, or no .npz", path=path) from err
    except OSError as err:
        if err.errno != errno.EINVAL:  # that one is a position before the file's beginning, read from the file
            raise
        raise FormatError(f"{where}: points to a place outside of the file; it is damaged", path=path) from err


@contextmanager
def _opened(path: str) -> Iterator[tuple[zipfile.ZipFile, IO[bytes]]]:
    """The archive, and the file that it is in, which takes one descriptor for both."""
    with on_disk(path) as local, open(local, "rb") as file:
        check_size(path, file)
        with _zip_errors(path, path):
            archive = zipfile.ZipFile(file)
        with archive:
            check_directory(path, file)
            yield archive, file


def _others(archive: zipfile.ZipFile) -> list[str]:
    """The members that are no arrays, but for folders."""
    others = [member for member in archive.infolist() if not member.filename.endswith(".npy")]
    return [member.filename for member in others if member.file_size or not member.filename.endswith("/")]


def _check_claims(path: str, member: zipfile.ZipInfo) -> None:
    """FormatError for a member that cannot be what it says."""
    what = f"{path}: member {member.filename!r}"
    if member.flag_bits & 1:
        raise FormatError(f"{what}: is encrypted; unpack it with its password and save it again", path=path)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(
            f"{what}: is packed by method {member.compress_type}, expected 0 or 8, as numpy writes; load it, and "
            "save it with numpy.savez_compressed",
            path=path,
        )
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
        raise FormatError(
            f"{what}: is stored in {member.compress_size} bytes, but claims {member.file_size}", path=path
        )
    if member.compress_type == zipfile.ZIP_DEFLATED and member.file_size > EXPANSION * (member.compress_size + 1):
        raise FormatError(
            f"{what}: claims {member.file_size} bytes from {member.compress_size}, more than deflate can hold; "
            "the file is damaged, or made to exhaust its reader",
            path=path,
        )


def _piece(path: str, member: zipfile.ZipInfo, stream: IO[bytes], size: int) -> bytes:
    """The next bytes of a member; fewer at its end, where its CRC-32 is compared."""
    with _zip_errors(path, f"{path}: member {member.filename!r}"):
        return stream.read(size)


def _array(path: str, fd: int, archive: zipfile.ZipFile, member: zipfile.ZipInfo, held: int) -> Array:
    """The array of a member; held bounds what is read at a time of one that is compressed."""
    _check_claims(path, member)
    where = f"{path}: member {member.filename!r}"
    with _zip_errors(path, where):
        stream = archive.open(member)
    with stream:
        try:
            header = read_header(where, lambda size: _piece(path, member, stream, size))
        except FormatError as err:
            err.path = path
            raise
    if not header.dtype.hasobject and header.nbytes + header.values_nbytes != member.file_size:
        raise FormatError(
            f"{where}: has {member.file_size - header.nbytes} bytes of values, expected {header.values_nbytes} for "
            f"{header.dtype}{list(header.shape)}; damaged, or not written by numpy",
            path=path,
        )
    if member.compress_type != zipfile.ZIP_STORED:
        return DeflatedArray(path, archive, member, header, held)
    offset = _data_offset(path, fd, member)
    head = os.pread(fd, header.nbytes, offset)
    return FileArray(path, fd, header, offset + header.nbytes, _Crc(where, path, fd, offset, head, member))


def _data_offset(path: str, fd: int, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin."""
    with _zip_errors(path, f"{path}: member {member.filename!r}"):
        local = os.pread(fd, _LOCAL.size, member.header_offset)
    if len(local) < _LOCAL.size or local[:4] != b"PK\x03\x04":
        raise FormatError(f"{path}: member {member.filename!r}: no local header where the index says", path=path)
    _, name, extra = _LOCAL.unpack(local)
    offset = int(member.header_offset + _LOCAL.size + name + extra)
    if offset + member.file_size > os.fstat(fd).st_size:
        raise TruncatedError(
            f"{path}: member {member.filename!r}: goes beyond the end of the file; it is cut", path=path
        )
    return offset


class _Crc:
    """The CRC-32 of a stored member, followed while it is read from its first row to its last."""

    def __init__(self, where: str, path: str, fd: int, offset: int, head: bytes, member: zipfile.ZipInfo) -> None:
        self._where, self._path, self._fd, self._offset, self._member = where, path, fd, offset, member
        self._crc, self._head, self._at = _kernels.crc32(head), len(head), len(head)
        self._is_sound = False
        self._turn = threading.Lock()  # threads may read rows of one open file

    def __call__(self, values: NDArray[np.uint8], offset: int) -> None:
        with self._turn:
            if self._head + offset != self._at:  # not in order: there is nothing more to follow
                self._at = -1
                return
            self._crc = _kernels.crc32(values, self._crc)
            self._at += len(values)
            if self._at == self._member.file_size:
                self._compare(self._crc)

    def check(self, again: bool) -> None:
        """Compare it now, by reading the member unless that was done."""
        if not self._is_sound:
            status = os.fstat(self._fd)
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            find = _crc_of.__wrapped__ if again else _crc_of
            self._compare(find(self._path, state, self._offset, self._member.file_size))

    def _compare(self, crc: int) -> None:
        if crc != self._member.CRC:
            raise ChecksumError(
                f"{self._where}: CRC-32 is {crc:08x}, expected {self._member.CRC:08x}; the file is damaged",
                path=self._path,
            )
        self._is_sound = True


@lru_cache(maxsize=1 << 12)
def _crc_of(path: str, state: tuple[int, ...], offset: int, nbytes: int) -> int:
    """The CRC-32 of these bytes of a file; remembered while its state is the same."""
    crc, buffer = 0, memoryview(bytearray(_COPY))
    with on_disk(path) as local, open(local, "rb", buffering=0) as file:
        file.seek(offset)
        while nbytes:
            got = file.readinto(buffer[: min(nbytes, _COPY)])
            if not got:
                raise TruncatedError(f"{path}: another program cut the file", path=path)
            crc = _kernels.crc32(buffer[:got], crc)
            nbytes -= got
    return crc


class DeflatedArray:
    """The rows of a member that is compressed: read in order, or from the beginning again."""

    chunk_rows = 1
    held = 0

    def __init__(self, path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: Header, held: int) -> None:
        self._path, self._archive, self._member, self._header, self._held = path, archive, member, header, held
        self.dtype, self.shape = header.dtype, header.shape
        self._row_nbytes = header.row_values * header.dtype.itemsize
        self._whole: NDArray[Any] | None = None
        self._stream: IO[bytes] | None = None
        self._at = 0
        self._is_sound = False

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop, as (stop - start, *shape[1:]) in the dtype and byte order of the file.

        A Fortran-ordered array has no rows before its end: it is spilled to disk, once.

        Raises:
            FormatError: the stream is damaged, or so many rows are not believed of so small a file.
            TruncatedError: it ends too early.
            ChecksumError: these were the last rows, and the CRC-32 does not fit.
        """
        self.check_held(stop - start)
        if self._header.is_fortran and self._header.row_values > 1:
            return np.array(self._spilled()[start:stop])
        if self._stream is None or start < self._at:
            self._rewind()
        self._skip((start - self._at) * self._row_nbytes)
        buffer = np.empty((stop - start) * self._row_nbytes, dtype=np.uint8)
        self._fill(buffer.data)
        self._at = stop
        if stop == self.shape[0]:
            self._finish()
        shape = (stop - start, *self.shape[1:])
        return buffer.view(self.dtype).reshape(shape) if self.dtype.itemsize else np.empty(shape, dtype=self.dtype)

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """These rows, in this order, as (len(rows), *shape[1:]); it is better unpacked first. Errors as in read."""
        parts = [self.read(int(row), int(row) + 1) for row in rows]
        return np.concatenate(parts) if parts else self.read(0, 0)

    def check_held(self, rows: int) -> None:
        """FormatError where so many rows are more than is believed of a file of this size."""
        if rows * self._row_nbytes > self._held:
            raise FormatError(
                f"{self._path}: member {self._member.filename!r}: what is read together, {rows} rows, is "
                f"{rows * self._row_nbytes} bytes, more than is believed of so small a compressed file: expected at "
                f"most {self._held} (512 MiB, or 32 times the file's size); if you trust the file, pass "
                "expansion='any' (--in expansion=any)",
                path=self._path,
            )

    def spans(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
        """Runs of so many rows from each start."""
        return read_each(self, starts, counts)

    def _rewind(self) -> None:
        self.close()
        self._stream = self._archive.open(self._member)
        self._at = 0
        self._skip(self._header.nbytes)

    def _skip(self, nbytes: int) -> None:
        while nbytes:
            nbytes -= len(self._next(min(nbytes, _COPY)))

    def _fill(self, view: memoryview) -> None:
        while view:
            piece = self._next(min(len(view), _COPY))
            view[: len(piece)] = piece
            view = view[len(piece) :]

    def _next(self, size: int) -> bytes:
        assert self._stream is not None  # _rewind() came first
        piece = _piece(self._path, self._member, self._stream, size)
        if not piece:
            raise TruncatedError(
                f"{self._path}: member {self._member.filename!r}: ends too early; it is cut", path=self._path
            )
        return piece

    def _finish(self) -> None:
        """Read the end of the stream, where the CRC-32 is compared."""
        if self._stream is not None and _piece(self._path, self._member, self._stream, 1):
            raise FormatError(
                f"{self._path}: member {self._member.filename!r}: bytes follow its values", path=self._path
            )
        self._is_sound = True

    def check(self, again: bool) -> None:
        """Compare the CRC-32, by unpacking all of it unless that was done."""
        if not self._is_sound:
            self._rewind()
            self._skip(self._header.values_nbytes)
            self._finish()
            self.close()

    def _spilled(self) -> NDArray[Any]:
        """The values in a temporary file without a name, mapped: it is ours alone, so nobody can cut it."""
        if self._whole is None:
            self._rewind()
            with tempfile.TemporaryFile() as file:
                left = self._header.values_nbytes
                while left:
                    piece = self._next(min(left, _COPY))
                    file.write(piece)
                    left -= len(piece)
                file.flush()
                self._finish()
                self._whole = np.memmap(file, self.dtype, "r", shape=self.shape, order="F")
        return self._whole

    def close(self) -> None:
        """Let go of the stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


# ---- writing ----


class NpzWriter:
    """Appends to a file without a name for each array, and packs them at the end: a zip holds one after another.

    The first array needs no such file where nothing is compressed: it goes straight to its place behind a header for no
    rows, and gets its header and checksum, which says how many there are, in the end.
    """

    def __init__(self, path: str, schema: Schema, deflate: bool) -> None:
        self._flattener, self._deflate = Flattener(schema), deflate
        _check_names(self._flattener.arrays)
        self._scratch = Scratch(path)
        folder = os.path.dirname(self._scratch.temporary) or "."
        self._spools: dict[str, IO[bytes]] = {}
        self._rows = dict.fromkeys(self._flattener.arrays, 0)
        self._first: tuple[str, zipfile.ZipInfo, IO[bytes]] | None = None
        try:
            self._file = open(self._scratch.temporary, "w+b")  # noqa: SIM115  # see abort()
            self._archive = zipfile.ZipFile(self._file, "w")
            for name in self._flattener.arrays:
                if self._first is None and not deflate:
                    info = _info(f"{name}.npy", deflate)
                    self._first = name, info, self._archive.open(info, "w", force_zip64=True)
                    self._first[2].write(self._header(name, 0))
                else:
                    self._spools[name] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # see abort()
            self._append(self._flattener.first())
        except BaseException:
            self.abort()
            raise

    def _header(self, name: str, rows: int) -> bytes:
        dtype, shape = self._flattener.arrays[name]
        return header_bytes(dtype, (rows, *shape))

    def _append(self, pieces: Mapping[str, NDArray[Any]]) -> None:
        for name, values in pieces.items():
            if self._first is not None and name == self._first[0]:
                self._first[2].write(as_bytes(values).data)
            else:
                write_all(self._spools[name], values)  # type: ignore[arg-type]  # unbuffered, so it is a raw file
            self._rows[name] += len(values)

    def write(self, batch: Batch) -> None:
        self._append(dict(self._flattener.pieces(batch)))

    def close(self) -> Written:
        if self._first is not None:
            self._first[2].close()
        for name, spool in self._spools.items():
            with self._archive.open(_info(f"{name}.npy", self._deflate), "w", force_zip64=True) as member:
                member.write(self._header(name, self._rows[name]))
                spool.seek(0)
                while piece := spool.read(_COPY):
                    member.write(piece)
                spool.close()
        if self._first is None:
            self._archive.close()
            self._file.close()
        else:
            self._set_header(*self._first[:2])
        options = NpzOptions("DEFLATE" if self._deflate else "", "any")  # what we wrote ourselves is no trap
        return Written((self._scratch.finish(),), options)

    def _set_header(self, name: str, info: zipfile.ZipInfo) -> None:
        """Complete the archive, and what it says of the first array, now that its rows are counted."""
        before, header = self._header(name, 0), self._header(name, self._rows[name])
        change = zlib.crc32(before) ^ zlib.crc32(header)
        info.CRC ^= _moved_crc(change, info.file_size - len(header))  # goes into the zip's index
        self._archive.close()
        self._file.close()
        path = self._scratch.temporary
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(fd, struct.pack("<I", info.CRC), info.header_offset + _LOCAL_CRC)
            os.pwrite(fd, header, _data_offset(path, fd, info))
        finally:
            os.close(fd)

    def abort(self) -> None:
        with suppress(OSError):  # where the disk is full, what a file still holds back cannot be written either
            if self._first is not None:
                self._first[2].close()
        if hasattr(self, "_archive"):
            # Closed, as zipfile has it. Its close() would write the zip's index, and refuses to where an interrupt came
            # while a member was being opened.
            self._archive.fp = None
        with suppress(OSError):
            if hasattr(self, "_file"):
                self._file.close()
        for spool in self._spools.values():
            spool.close()
        self._scratch.abort()


def _check_names(names: Iterable[str]) -> None:
    """SchemaError for a name that a zip would cut, or cannot hold."""
    for name in names:
        if "\0" in name:
            raise SchemaError(f"field {name[:80]!r}: the name of a .npz member ends at a NUL; rename it", field=name)
        if len(f"{name}.npy".encode()) > _LONGEST_NAME:
            raise SchemaError(
                f"field {name[:80]!r}...: the name of a .npz member has at most {_LONGEST_NAME} bytes; rename it",
                field=name,
            )


def _moved_crc(crc: int, nbytes: int) -> int:
    """What a change of a CRC-32 becomes when so many bytes follow: its product with x^(8 nbytes) modulo P.

    So crc32(a + c) ^ crc32(b + c) is _moved_crc(crc32(a) ^ crc32(b), len(c)), where a is as long as b.
    """
    power = 1 << 23  # x^8: the highest bit is x^0
    while nbytes:
        if nbytes & 1:
            crc = _product(crc, power)
        power = _product(power, power)
        nbytes >>= 1
    return crc


def _product(left: int, right: int) -> int:
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product


def _info(name: str, deflate: bool) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    info.external_attr = 0o600 << 16
    return info


FORMAT = Npz()
