"""The number of a record in its file, where a part of the file was read whose first record had none (base.Extent).

Nothing counts records while all goes well. An error, or a record that is left out, is worth a walk over the heads
before the part, as people look for a record by its number.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ..errors import FormatError, SchemaError, with_number
from ..files import Compression
from .base import Extent, Format, Skipped
from .framed import Framing, scan_file
from .walk import Walk, walk_file

_Error = TypeVar("_Error", FormatError, SchemaError)


class Numbering:
    """Gives what is said of records of an extent the numbers that these have in the file, also in the sentences."""

    def __init__(self, format: Format, extent: Extent, options: Any) -> None:  # Any: the format's own dataclass
        self._format, self._extent, self._options = format, extent, options

    @cached_property
    def _first(self) -> int:
        return self._format.number_at(self._extent.path, self._options, self._extent.start)

    def error(self, error: _Error) -> _Error:
        """The same error; itself where its number, if it has one, is that in the file already."""
        if error.record is None or error.offset is None or not self._is_ours(error.path, error.offset):
            return error
        number = error.record + self._first
        return with_number(error, number, self._renumbered(str(error), error.record, number))

    def skipped(self, skipped: Skipped) -> Skipped:
        """The same report."""
        if skipped.record is None or not self._is_ours(skipped.path, skipped.start):
            return skipped
        number = skipped.record + self._first
        return replace(skipped, record=number, reason=self._renumbered(skipped.reason, skipped.record, number))

    def _is_ours(self, path: str | None, offset: int) -> bool:
        """Whether a place is in this extent, and its number counts from the beginning of that."""
        extent = self._extent
        return (
            extent.first_record is None
            and path == extent.path
            and extent.start <= offset <= (offset if extent.stop is None else extent.stop)
        )

    def _renumbered(self, text: str, old: int, new: int) -> str:
        prefix = f"{self._extent.path}: "  # in which the same words may stand
        at = len(prefix) if text.startswith(prefix) else 0
        return text[:at] + re.sub(rf"\brecord {old}\b", f"record {new}", text[at:], count=1)


def records_before(
    path: str, offset: int, framing: Framing, walk: Walk, compression: Compression = "", held: int | None = None
) -> int:
    """How many records begin before a byte, as they are numbered where damage is skipped: each stretch of it is one.

    Args:
        walk: one that begins at byte 0.
        held: see framed.BlockReader.
    """
    count = last = 0
    try:
        for run in () if compression else walk_file(Extent(path), framing, walk):
            before = int(np.searchsorted(run.heads.offsets, offset))
            count += before
            if before < len(run.heads):
                return count
            last = int(run.heads.offsets[-1])
        if not compression:
            return count
    except FormatError:
        count = max(count - 1, 0)  # the last is read again: its length may be what is damaged
    stretches: list[int] = []

    def note(skipped: Skipped) -> None:
        if skipped.record is not None:
            stretches.append(skipped.start)

    with closing(scan_file(Extent(path, last), framing, compression, None, note, held=held)) as runs:
        for records in runs:
            before = int(np.searchsorted(records.offsets, offset))
            count += before
            if before < len(records):
                break
    return count + sum(start < offset for start in stretches)
