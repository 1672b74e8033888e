"""What the heads of a .rec say about it as a whole: rows, second ids, and whether its .idx can be believed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..batch import Ragged
from ..errors import FormatError, TruncatedError
from ..schema import Field
from .base import ALARM
from .recordio_header import HEADER
from .recordio_index import RecordIndex, check_against_heads, read_index

if TYPE_CHECKING:
    from .recordio import RecordIOOptions


class Facts:
    """Collects from runs of records, in file order: from a walk, or while the records are read anyway.

    Offsets and ids are kept, 16 bytes a record, where there is an index to compare them with, or when asked to.
    """

    def __init__(self, path: str, options: RecordIOOptions, *, keep: bool = False) -> None:
        self._index_path = options.index_path(path)
        self._is_image = options.payload == "image"
        self._index_problem: str | None = None
        self._alarm: str | None = None
        self._index = self._read_index(path)
        self._keep = keep or self._index is not None
        self._offsets, self._ids = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
        self.num_rows = 0
        self._has_id2 = False
        self._widest = self._without_image = self._vectors_of_one = 0

    def _read_index(self, path: str) -> RecordIndex | None:
        try:
            return read_index(self._index_path, os.path.getsize(path))
        except FileNotFoundError:
            return None
        except TruncatedError as err:
            self._alarm = ALARM + str(err)
        except FormatError as err:
            self._index_problem = str(err)
        return None

    def add(self, offsets: NDArray[np.int64], lengths: NDArray[np.int64], headers: NDArray[np.void]) -> None:
        """Look at a run of records: where they begin, the sizes of their payloads, and their image headers."""
        self.num_rows += len(offsets)
        if self._is_image:
            flags = headers["flag"].astype(np.int64)
            left = lengths - HEADER.itemsize - 4 * flags
            self._has_id2 = self._has_id2 or bool(headers["id2"].any())
            self._widest = max(self._widest, int(flags[left >= 0].max(initial=0)))
            self._without_image += int((left == 0).sum())
            self._vectors_of_one += int(((flags == 1) & (left >= 0)).sum())
        if self._keep:
            self._offsets.append(offsets)
            self._ids.append(headers["id"].copy())

    @property
    def ids(self) -> NDArray[np.uint64]:
        """The ids of all records."""
        return np.concatenate(self._ids)

    @property
    def has_index(self) -> bool:
        """Whether there is an index that may be believed, so far."""
        return self._index is not None

    def checked_index(self) -> RecordIndex | None:
        """The index, if it leads to each record and to nothing else."""
        if self._index is not None:
            try:
                check_against_heads(self._index_path, self._index, np.concatenate(self._offsets))
            except FormatError as err:
                self._index_problem, self._index = str(err), None
        return self._index

    def fields(self) -> list[Field]:
        """id2 where one is not 0, and key where the index has other keys than a new one would get."""
        fields = [Field("id2", "uint64")] if self._has_id2 else []
        index = self.checked_index()
        if index is not None and self._keys_differ(index.keys):
            fields.append(_key_field(index))
        return fields

    def presumed_fields(self) -> list[Field]:
        """The same, by the records seen so far, which are the first of the file."""
        fields = [Field("id2", "uint64")] if self._has_id2 else []
        index, offsets = self._index, np.concatenate(self._offsets)
        if index is not None and np.array_equal(index.offsets[: len(offsets)], offsets):
            fields += [_key_field(index)] if self._keys_differ(index.keys[: len(offsets)]) else []
        return fields

    def _keys_differ(self, keys: NDArray[np.generic] | Ragged) -> bool:
        """Whether these keys, of the first records, are not their ids, or their numbers where they have no ids."""
        if isinstance(keys, Ragged):
            return True
        expected = self.ids if self._is_image else np.arange(self.num_rows)
        return not np.array_equal(keys.astype(np.uint64), expected[: len(keys)].astype(np.uint64))

    def notes(self) -> list[str]:
        """What people should know of the file."""
        notes = self.warnings()
        if self._is_image and self._widest > 1:
            notes.append(f"labels have up to {self._widest} values")
        if self._vectors_of_one:
            notes.append(
                f"{self._vectors_of_one} of {self.num_rows} records have their one label in a vector (flag 1): "
                "the number is kept everywhere, that form from .rec to .rec alone"
            )
        if self._without_image:
            notes.append(
                f"{self._without_image} of {self.num_rows} records hold no image (metadata, as InsightFace's, or empty)"
            )
        return notes

    def warnings(self) -> list[str]:
        """Those of the notes that mean a loss: of records, or of the keys that only the index has."""
        found = [] if self._alarm is None else [f"{self._alarm}. Its keys are not used"]
        return found + ([] if self._index_problem is None else [f"the index is not used: {self._index_problem}"])


def _key_field(index: RecordIndex) -> Field:
    return Field("key", "bytes" if isinstance(index.keys, Ragged) else index.keys.dtype.name)
