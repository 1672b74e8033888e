"""What the heads of a .rec say about it as a whole: rows, second ids, and whether its .idx can be believed."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..batch import Ragged
from ..errors import FormatError, TruncatedError
from ..paths import nbytes_of
from ..schema import Field
from .base import ALARM, Extent
from .recordio_faces import Kinds
from .recordio_header import HEADER
from .recordio_index import REBUILD, IndexLines, RecordIndex, check_against_heads, read_index
from .recordio_list import read_list

if TYPE_CHECKING:
    from .recordio import RecordIOOptions

_NO_FILE = 1 << 62  # no file has so many bytes


class Facts:
    """Collects from runs of records, in file order: from a walk, or while the records are read anyway.

    An index that lists integers in the order of the records, as nearly all do, is compared line by line on the way.
    Where it does not, it is read whole, and offsets and ids are kept from there on, 16 bytes a record, as they are
    when asked to.

    Of a part of a file, the index is read whole and its lines on other parts are not looked at.
    """

    def __init__(self, path: str, options: RecordIOOptions, *, keep: bool = False, part: Extent | None = None) -> None:
        self._path, self._index_path = path, options.index_path(path)
        self._is_image = options.payload == "image"
        self._index_problem: str | None = None
        self._alarm: str | None = None
        self._index: RecordIndex | None = None
        self._lines: IndexLines | None = None
        self._differs = False
        """Whether a key that was compared on the way is not the id, or the number, of its record."""
        self._part, self._first_line = part, 0
        self._keep = keep = keep or part is not None
        self._offsets, self._ids = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
        self._kept_from = self.num_rows = 0
        self._has_id2 = False
        self._widest = self._without_image = self._vectors_of_one = 0
        self.kinds = Kinds()
        labels = options.labels if self._is_image and part is None else None  # other parts have the other ids
        self._list = None if labels is None else read_list(labels)
        self._has_record = np.zeros(0 if self._list is None else len(self._list.ids), dtype=np.bool_)
        if keep:
            self._index = self._read_index()
        else:
            with suppress(FileNotFoundError):
                self._lines = IndexLines(self._index_path)

    def close(self) -> None:
        """Close the index."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _read_index(self) -> RecordIndex | None:
        try:
            index = read_index(self._index_path, nbytes_of(self._path))
            return index if self._part is None else self._part_of(index, self._part)
        except FileNotFoundError:
            return None
        except TruncatedError as err:
            self._alarm = ALARM + str(err)
        except FormatError as err:
            self._index_problem = str(err)
        return None

    def _part_of(self, index: RecordIndex, part: Extent) -> RecordIndex:
        """The lines on records that begin in an extent."""
        stop = _NO_FILE if part.stop is None else part.stop
        lines = slice(*np.searchsorted(index.offsets, [part.start, stop]).tolist())
        self._first_line = lines.start
        return RecordIndex(index.keys[lines], index.offsets[lines])

    def add(self, offsets: NDArray[np.int64], lengths: NDArray[np.int64], headers: NDArray[np.void]) -> None:
        """Look at a run of records: where they begin, the sizes of their payloads, and their image headers."""
        if self._is_image:
            flags = headers["flag"].astype(np.int64)
            left = lengths - HEADER.itemsize - 4 * flags
            self._has_id2 = self._has_id2 or bool(headers["id2"].any())
            self._widest = max(self._widest, int(flags[left >= 0].max(initial=0)))
            self._without_image += int((left == 0).sum())
            self.kinds.add(offsets, lengths, headers)
            self._vectors_of_one += int(((flags == 1) & (left >= 0)).sum())
        if self._list is not None:
            listed = self._list.find(headers["id"])
            self._has_record[listed[listed >= 0]] = True
        if self._lines is not None and not self._follow(self._lines, offsets, headers["id"]):
            self._read_whole()
        if self._keep:
            self._offsets.append(offsets)
            self._ids.append(headers["id"].copy())
        self.num_rows += len(offsets)

    def _follow(self, lines: IndexLines, offsets: NDArray[np.int64], ids: NDArray[np.uint64]) -> bool:
        """Compare the next lines of the index with the next records; whether they list these."""
        found = lines.take(len(offsets))
        if found is None or not np.array_equal(found[1], offsets):
            return False
        self._differs = self._differs or _differ(found[0], self._expected(ids, self.num_rows))
        return True

    def _read_whole(self) -> None:
        """Go over to an index that is held, with the records from here on; those before it lists in its first lines."""
        self.close()
        self._kept_from = self.num_rows
        self._index = self._read_index()
        self._keep = self._index is not None

    def _expected(self, ids: NDArray[np.uint64], first: int) -> NDArray[np.generic]:
        """The keys that a new index would have: ids, or numbers where there are none."""
        return ids if self._is_image else np.arange(first, first + len(ids), dtype=np.uint64)

    @property
    def ids(self) -> NDArray[np.uint64]:
        """The ids of all records, where they are kept."""
        return np.concatenate(self._ids)

    @property
    def has_index(self) -> bool:
        """Whether there is an index that may be believed, so far."""
        return self._lines is not None or self._index is not None

    def index_is_sound(self) -> bool:
        """Whether there is an index that leads to each record, all of which were added, and to nothing else."""
        if self._lines is not None:
            more = self._lines.take(1)
            if more is not None and not len(more[0]):
                return True
            self._read_whole()
        return self.checked_index() is not None

    def checked_index(self) -> RecordIndex | None:
        """The index that is held, if it leads to each record and to nothing else."""
        if self._index is not None:
            try:
                check_against_heads(
                    self._index_path, self._index, np.concatenate([self._first_heads(), *self._offsets])
                )
            except FormatError as err:
                if len(self._index.offsets) > self.num_rows:
                    where = (
                        "" if self._part is None else f" from byte {self._part.start} to {self._part.stop or 'the end'}"
                    )
                    named = f"names {len(self._index.offsets)} records{where}, and {self.num_rows} were found"
                    why = str(err).removeprefix(f"{self._index_path}: ").removesuffix(f"; {REBUILD}")
                    self._alarm = f"{ALARM}{self._index_path} {named}: {why}. Get both files again"
                else:
                    self._index_problem = str(err)
                self._index = None
        return self._index

    def _first_heads(self) -> NDArray[np.int64]:
        """Where the records begin that were compared on the way: the first lines of the index say so."""
        with closing(IndexLines(self._index_path)) as lines:
            found = lines.take(self._kept_from)
        return np.empty(0, dtype=np.int64) if found is None else found[1]

    def fields(self) -> list[Field]:
        """id2 where one is not 0, and key where the index has other keys than a new one would get."""
        fields = [Field("id2", "uint64")] if self._has_id2 else []
        return fields + (self._key_field() if self.index_is_sound() else [])

    def presumed_fields(self) -> list[Field]:
        """The same, by the records seen so far, which are the first of the file."""
        fields = [Field("id2", "uint64")] if self._has_id2 else []
        if self._index is not None:
            heads = np.concatenate([self._first_heads(), *self._offsets])
            if not np.array_equal(self._index.offsets[: len(heads)], heads):
                return fields
        return fields + self._key_field()

    def _key_field(self) -> list[Field]:
        """The keys, of the records seen so far, where they are not what a new index would have."""
        if self._index is None:
            return [Field("key", "int64")] if self._differs else []
        keys = self._index.keys
        if isinstance(keys, Ragged):
            return [Field("key", "bytes")]
        kept = keys[self._kept_from : self.num_rows]
        expected = self._expected(self.ids, self._first_line + self._kept_from)  # a sound index has all those before
        differs = self._differs or _differ(kept, expected[: len(kept)])
        return [Field("key", keys.dtype.name)] if differs else []

    def empty(self) -> dict[str, int]:
        """In how many rows a field is empty, as far as heads say it."""
        return {"image": self._without_image} if self._is_image else {}

    def notes(self, layout: list[str] | None = None) -> list[str]:
        """What people should know of the file; layout: what is known of its records without an image."""
        notes = self.warnings()
        if self._is_image and self._widest > 1:
            notes.append(f"labels have up to {self._widest} values")
        if self._vectors_of_one:
            notes.append(
                f"{self._vectors_of_one} of {self.num_rows} records have their one label in a vector (flag 1): "
                "the number is kept everywhere, that form from .rec to .rec alone"
            )
        if layout is not None:
            notes += layout
        elif self._without_image:
            notes.append(
                f"{self._without_image} of {self.num_rows} records hold no image (metadata, as InsightFace's, or empty)"
            )
        return notes

    def warnings(self) -> list[str]:
        """Those of the notes that mean a loss: of records, or of the keys that only the index has."""
        found = [] if self._alarm is None else [f"{self._alarm}. Its keys are not used"]
        extra = None if self._list is None else self._list.without_record(self._has_record)
        found += [] if extra is None else [extra]
        return found + ([] if self._index_problem is None else [f"the index is not used: {self._index_problem}"])


def _differ(keys: NDArray[np.generic], expected: NDArray[np.generic]) -> bool:
    return not np.array_equal(keys.astype(np.uint64), expected.astype(np.uint64))
