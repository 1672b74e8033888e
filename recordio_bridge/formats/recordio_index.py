"""The .idx beside a .rec: text, a line for each record, key TAB offset of its first part.

mxnet's Python reads it by key, its C++ side and DALI read integers only, sort the offsets and take their distances for
sizes; so a wrong offset is a wrong image there. Here every offset is compared with the heads in the .rec before
the index is believed. Offsets of 2**64 - 1 come from old Windows builds past 2 GiB (apache/mxnet#8103).

Source: mxnet, python/mxnet/recordio.py; dmlc-core, src/io/indexed_recordio_split.cc.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Column, Ragged, concat_columns
from ..errors import FormatError, SchemaError, TruncatedError
from ..rangefile import nbytes_in, open_beside
from .base import ALARM

_Number = TypeVar("_Number", np.int64, np.uint64)
_NO_OFFSET = b"18446744073709551615"  # the -1 of a failed ftell
_NO_FILE = 1 << 62  # no file has so many bytes
_PIECE = 1 << 19  # bytes of the text that are read at a time
_TAIL = 1 << 14  # and of its end, where a look is enough
_LONGEST_LINE = 1 << 12  # bytes of what is left of a piece; a longer line has a key that is no number
_SMALL = 1 << 26  # bytes that an index may always have
_MOST_OF_FILE = 64  # and for each byte of its .rec: an empty record has 8 there, and its line 25, or a key of 500
REBUILD = "rebuild it with: recordio-bridge index --overwrite"


@dataclass(frozen=True, slots=True)
class RecordIndex:
    """Keys and offsets of a .idx, sorted by offset. keys: int64[n] or uint64[n], or a Ragged of bytes."""

    keys: Column
    offsets: NDArray[np.int64]

    def find(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The line of each record that begins at these offsets; -1 for one that the index lacks."""
        return find_sorted(self.offsets, offsets)


def find_sorted(values: NDArray[_Number], wanted: NDArray[_Number]) -> NDArray[np.int64]:
    """Where each wanted number stands among sorted ones; -1 where it does not."""
    if not len(values):
        return np.full(len(wanted), -1)
    rows = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return np.where(values[rows] == wanted, rows, -1)


def index_path(path: str) -> str:
    """Where the index of a .rec is looked for and written."""
    return (path.removesuffix(".rec")) + ".idx"


def read_index(path: str, file_size: int, *, is_compared: bool = True) -> RecordIndex:
    """Read a .idx and check what can be seen without the .rec but for its size. is_compared: offsets, with that.

    Raises:
        TruncatedError: offsets are at the end of the .rec, or beyond it; naming the first such line (.record).
        FormatError: a line is no key and offset; an offset is unaligned or given twice; naming the line.
    """
    text = text_of(path, file_size)
    file_size = file_size if is_compared else _NO_FILE
    keys, offsets = parse_integers(text) or _parse_lines(path, text)
    unaligned = np.flatnonzero(offsets & 3)
    if len(unaligned):
        raise _line_error(path, text, int(unaligned[0]))
    beyond = np.flatnonzero(offsets >= file_size)
    if len(beyond):
        number = int(beyond[0])
        raise TruncatedError(
            f"{path}: names {len(offsets)} records, of which {len(beyond)} would begin at byte {file_size} or beyond, "
            f"where the .rec has ended (line {number + 1} says {offsets[number]}): the .rec was probably cut. "
            f"Get it again; if it is whole, {REBUILD}",
            path=path,
            record=number,
        )
    if np.any(offsets[1:] <= offsets[:-1]):
        order = np.argsort(offsets, kind="stable")
        keys, offsets = keys.take(order), offsets[order]
        twice = np.flatnonzero(offsets[1:] == offsets[:-1])
        if len(twice):
            raise FormatError(
                f"{path}: offset {int(offsets[twice[0]])} stands on two lines; {REBUILD}",
                path=path,
                record=int(order[twice[0] + 1]),
            )
    return RecordIndex(keys, offsets)


class IndexLines:
    """The lines of a .idx in the order of the file, as long as they are plain integers: little is held at a time."""

    def __init__(self, path: str) -> None:
        self._file = open_beside(path)
        self._rest = b""
        self._keys = self._offsets = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Keys and offsets of the next lines, fewer at the end; None where something else comes."""
        while len(self._keys) < count and (piece := self._file.read(_PIECE)):
            text, line, self._rest = (self._rest + piece).rpartition(b"\n")
            found = parse_integers(text + line)
            if found is None or len(self._rest) > _LONGEST_LINE:
                return None
            self._add(*found)
        if len(self._keys) < count and self._rest:
            found, self._rest = parse_integers(self._rest), b""
            if found is None:
                return None
            self._add(*found)
        keys, self._keys = self._keys[:count], self._keys[count:]
        offsets, self._offsets = self._offsets[:count], self._offsets[count:]
        return keys, offsets

    def _add(self, keys: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        self._keys = np.concatenate([self._keys, keys])
        self._offsets = np.concatenate([self._offsets, offsets])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def parse_integers(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Keys and offsets where the whole text is plain integers, as nearly always; None for anything else."""
    lines = text.count(b"\n") + 1
    keys, offsets = np.empty(lines, dtype=np.int64), np.empty(lines, dtype=np.int64)
    count, parsed = _kernels.parse_index(text, keys, offsets)
    return (keys[:count], offsets[:count]) if parsed == len(text) else None


def index_lines(text: bytes) -> Iterator[tuple[bytes | None, int]]:
    """The key of each line, None where it has no TAB; and its offset, -1 where it has none at which a record can be.

    One by one: for the rare text that parse_integers does not take.
    """
    for line in io.BytesIO(text):
        key, tab, rest = line.partition(b"\t")
        digits = rest.partition(b"\t")[0].strip()
        offset = int(digits) if digits.isdigit() and len(digits) <= 20 else -1
        yield key if tab else None, offset if 0 <= offset < _NO_FILE and not offset & 3 else -1


def describe_line(text: bytes, number: int) -> str:
    """What a line without a key, or without an offset, is, and what was expected. Lines count from 0 here."""
    line = next(islice(io.BytesIO(text), number, None))
    problem = f"line {number + 1}: found {line[:80].decode(errors='surrogateescape')!r}, expected key, tab and offset"
    if line.partition(b"\t")[2].startswith(_NO_OFFSET):
        return f"{problem}; this offset is a failed ftell, as old mxnet on Windows wrote it beyond 2 GiB"
    return f"{problem} (a multiple of 4)"


def _line_error(path: str, text: bytes, number: int) -> FormatError:
    return FormatError(f"{path}: {describe_line(text, number)}; {REBUILD}", path=path, record=number)


def _parse_lines(path: str, text: bytes) -> tuple[Column, NDArray[np.int64]]:
    """Keys of any kind."""
    keys: list[bytes] = []
    offsets: list[int] = []
    for number, (key, offset) in enumerate(index_lines(text)):
        if key is None or offset < 0:
            raise _line_error(path, text, number)
        keys.append(key)
        offsets.append(offset)
    return _key_column(keys), np.array(offsets, dtype=np.int64)


def _key_column(keys: list[bytes]) -> Column:
    """Integers where every key is written as one ("7", not "007"), else bytes."""
    try:
        numbers = [int(key) for key in keys]
    except ValueError:
        return Ragged.of(keys)
    if [str(number).encode() for number in numbers] != keys:
        return Ragged.of(keys)
    low, high = min(numbers, default=0), max(numbers, default=0)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(numbers, dtype=dtype)
    return Ragged.of(keys)


def check_against_heads(path: str, index: RecordIndex, heads: NDArray[np.int64]) -> None:
    """FormatError where the index points at something that is no record's head, or leaves records out."""
    if np.array_equal(index.offsets, heads):
        return
    extra = np.setdiff1d(index.offsets, heads, assume_unique=True)
    if len(extra):
        raise FormatError(f"{path}: at byte {int(extra[0])} of the .rec no record begins; {REBUILD}", path=path)
    if len(index.offsets) != len(heads):
        missing = np.setdiff1d(heads, index.offsets, assume_unique=True)
        raise FormatError(
            f"{path}: lists {len(index.offsets)} of {len(heads)} records (the first that is missing begins at byte "
            f"{int(missing[0])}); {REBUILD}",
            path=path,
        )


def index_text(keys: Column, offsets: NDArray[np.int64]) -> bytes:
    """The content of a .idx, in the order given."""
    texts = [key for key in keys if isinstance(key, bytes)] if isinstance(keys, Ragged) else keys.tolist()
    line = b"%b\t%d\n" if isinstance(keys, Ragged) else b"%d\t%d\n"
    return b"".join([line % pair for pair in zip(texts, offsets.tolist(), strict=True)])


def missing_records(path: str, file_size: int) -> str | None:
    """The alarm where a .idx, sound otherwise, names records beyond the end of its .rec; None where it does not.

    Looks at the last lines, where writers put the last records; the whole is compared when the .rec is read.
    """
    try:
        if any(offset >= file_size for _, offset in index_lines(_last_lines(path))):
            read_index(path, file_size)
    except TruncatedError as err:
        return ALARM + str(err)
    except (FileNotFoundError, FormatError):
        return None  # nothing that speaks of missing records
    return None


def _last_lines(path: str) -> bytes:
    with open_beside(path) as file:
        start = max(0, nbytes_in(file) - _TAIL)
        file.seek(start)
        return file.read().partition(b"\n")[2] if start else file.read()


def text_of(path: str, file_size: int) -> bytes:
    """All of an index; FormatError where it is larger than that of a .rec of so many bytes."""
    with open_beside(path) as file:
        nbytes, most = nbytes_in(file), max(_SMALL, _MOST_OF_FILE * file_size)
        if nbytes > most:
            raise FormatError(f"{path}: {nbytes} bytes, expected at most {most} of such a .rec; remove it", path=path)
        return file.read()


def renewed_index(path: str, file_size: int, keys: Column, offsets: NDArray[np.int64]) -> bytes:
    """The content of a new .idx; of the one that is there, where that fits the .rec: its keys may be nowhere else.

    Raises:
        FormatError: the one that is there does not fit, and has keys that the new one would not have.
    """
    fresh = index_text(keys, offsets)
    try:
        check_against_heads(path, read_index(path, file_size), offsets)
    except FileNotFoundError:
        return fresh
    except FormatError as err:
        number, key = _lost_key(text_of(path, file_size), fresh)
        if key is None:
            return fresh
        raise FormatError(
            f"{path}: line {number} has the key {key.decode(errors='backslashreplace')!r}, and a new index would not, "
            "or for another record; it cannot be kept, as this index does not fit the .rec (recordio-bridge verify "
            "says why). To go on without such keys, rename the index, or write a new one beside it with -o",
            path=path,
            record=number,
        ) from err
    return text_of(path, file_size)


def _lost_key(old: bytes, fresh: bytes) -> tuple[int, bytes | None]:
    """The first line of an index whose key another one has not, or for another record; (0, None) where there is none.

    What has no TAB is no key to anyone.
    """
    known = dict(index_lines(fresh))
    heads = set(known.values())
    for number, (key, offset) in enumerate(index_lines(old), 1):
        if key is not None and (key not in known or (offset in heads and offset != known[key])):
            return number, key
    return 0, None


def check_keys(keys: Column) -> None:
    """SchemaError for a key that a .idx cannot hold."""
    for row, key in enumerate(keys if isinstance(keys, Ragged) else ()):
        if isinstance(key, bytes) and (b"\t" in key or b"\n" in key):
            raise SchemaError(f"key {key!r}: a key in a .idx cannot hold a TAB or a line break", field="key", row=row)


def keys_are_unique(parts: Sequence[Column]) -> bool:
    """Whether each key is there once."""
    keys = concat_columns(parts)
    return (len(set(keys)) if isinstance(keys, Ragged) else len(np.unique(keys))) == len(keys)


def unique_keys(parts: Sequence[Column], rows: int) -> Column:
    """These keys where each is there once, else 0..rows-1."""
    return concat_columns(parts) if parts and keys_are_unique(parts) else np.arange(rows, dtype=np.int64)
