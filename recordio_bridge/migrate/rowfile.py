"""A file that says where rows are, in the order in which they are written:

    +-----------------------------------------------+------------------+-----------+-------------+------------+
    | rows: row, offset, nbytes[, record], each <i8 | Contents as JSON | its size, | its CRC-32C,| "RBROWS01" |
    |                                               |                  | <u8       | <u4         |            |
    +-----------------------------------------------+------------------+-----------+-------------+------------+

row is the number among all rows of the source; record, that in its file, is there where records are left out. What is
last is written last, and under a name there is only a whole file, so that one which is cut is never taken for another.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..errors import MigrationError
from ..files import Checksum, Output, read_spans, write_all
from ..publishing import publish
from ..taking import FileState
from .claims import check_claims

_AT_ONCE = 1 << 16  # rows that are read, or written, together
_TAIL = struct.Struct("<QI8s")
_MAGIC = b"RBROWS01"
PLAIN = np.dtype([("row", "<i8"), ("offset", "<i8"), ("nbytes", "<i8")])
NUMBERED = np.dtype([*PLAIN.descr, ("record", "<i8")])


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file of rows is of."""

    identity: str
    """Of the orders that it serves."""
    states: tuple[FileState, ...]
    """Of the files of the source."""
    ends: tuple[int, ...]
    """How many rows there are up to the end of each of them."""
    is_numbered: bool
    absent: tuple[int, ...] = ()
    """The numbers of files that could not be looked through: of their rows, only the number is known."""
    crc32c: int = 0
    """Of the rows."""

    @property
    def dtype(self) -> np.dtype[Any]:  # Any: of fields
        return NUMBERED if self.is_numbered else PLAIN

    @property
    def num_rows(self) -> int:
        return self.ends[-1] if self.ends else 0


class RowFile:
    """An open file of rows."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """name: what the file is called in messages.

        Raises:
            MigrationError: it is not whole.
        """
        self._file, self._name = file, name
        size = os.fstat(file.fileno()).st_size
        length, crc32c, magic = _TAIL.unpack(self._end(size, _TAIL.size))
        text = self._end(size - _TAIL.size, length)
        if magic != _MAGIC or _kernels.crc32c(text) != crc32c:
            raise self._unfit("does not end as one of rows does")
        try:
            known = json.loads(text)
            states = tuple(FileState(*state) for state in known["states"])
            self.contents = Contents(
                **{**known, "states": states, "ends": tuple(known["ends"]), "absent": tuple(known.get("absent", ()))}
            )
            check_claims(self.contents)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise self._unfit("does not say of what it is") from None
        num_rows = self.contents.num_rows  # not by len, which is an error itself where it is negative
        if num_rows < 0 or size != self._nbytes + length + _TAIL.size:
            raise self._unfit(f"has {size} bytes, which is not what {num_rows} rows take")

    def _end(self, stop: int, nbytes: int) -> bytes:
        """The bytes before stop."""
        if nbytes > stop:
            raise self._unfit("is too short")
        return self._bytes(stop - nbytes, nbytes).tobytes()

    def _unfit(self, why: str) -> MigrationError:
        return MigrationError(f"{self._name}: {why}, damaged; remove it, and it is made again")

    @property
    def _nbytes(self) -> int:
        return len(self) * self.contents.dtype.itemsize

    def __len__(self) -> int:
        return self.contents.num_rows

    def read(self, first: int, stop: int) -> NDArray[Any]:  # Any: of fields
        """Rows first to stop of those in the file."""
        # Read and not mapped: the pages of a map would count as memory of this process.
        itemsize = self.contents.dtype.itemsize
        return self._bytes(first * itemsize, (stop - first) * itemsize).view(self.contents.dtype)

    def _bytes(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        return read_spans(self._name, self._file.fileno(), np.array([offset]), np.array([nbytes]))

    def check(self) -> None:
        """MigrationError where the rows are not those that were written. Reads all of them."""
        crc = Checksum()
        for first in range(0, len(self), _AT_ONCE):
            crc.add(self.read(first, min(first + _AT_ONCE, len(self))).view(np.uint8).data)
        if crc.value != self.contents.crc32c:
            raise self._unfit("holds other rows than were written")

    def fileno(self) -> int:
        """For another process to inherit."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of the file; one without a name is gone."""
        self._file.close()


class _Sink(Protocol):
    def write(self, data: memoryview) -> object: ...


class _Unnamed:
    """A temporary file without a name, as what it is written to."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile("w+b", buffering=0, prefix="recordio_bridge-")  # noqa: SIM115  # the caller's
        self._written = 0

    def write(self, data: memoryview) -> None:
        write_all(self.file.fileno(), data, tempfile.gettempdir(), self._written)
        self._written += len(data)


def write_unnamed(contents: Contents, pieces: Iterable[NDArray[Any]]) -> RowFile:
    """A file of these rows that has no name, and is gone when nobody has it open."""
    out = _Unnamed()
    try:
        _write(out, contents, pieces)
        return RowFile(out.file, f"{tempfile.gettempdir()}: a temporary file")
    except BaseException:
        out.file.close()
        raise


def write_named(path: str, contents: Contents, pieces: Iterable[NDArray[Any]]) -> RowFile:
    """A file of these rows, which takes its name, from another if need be, when it is whole."""
    with Output(path) as out:
        _write(out, contents, pieces)
        publish([out.finish()], overwrite=True)
    return open_named(path)


def open_named(path: str) -> RowFile:
    """The file of rows of this name.

    Raises:
        FileNotFoundError: there is none.
        MigrationError: it is not whole.
    """
    file = open(path, "rb", buffering=0)  # noqa: SIM115  # the caller's
    try:
        return RowFile(file, path)
    except BaseException:
        file.close()
        raise


def _write(out: _Sink, contents: Contents, pieces: Iterable[NDArray[Any]]) -> None:
    crc = Checksum()
    for piece in pieces:
        for first in range(0, len(piece), _AT_ONCE):
            data = np.ascontiguousarray(piece[first : first + _AT_ONCE]).view(np.uint8).data
            crc.add(data)
            out.write(data)
    text = json.dumps(asdict(replace(contents, crc32c=crc.value)), sort_keys=True).encode()
    out.write(memoryview(text + _TAIL.pack(len(text), _kernels.crc32c(text), _MAGIC)))
