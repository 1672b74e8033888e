"""What tells whether a source is still the file that was planned for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..files import ends_of
from ..paths import state_of


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What a source was: its size and ends (files.Ends), and when it was last written to.

    The time is for a run's own comparisons and not in the manifest, as equal input gives equal bytes.
    """

    path: str
    nbytes: int
    crc32c: int
    mtime_ns: int = 0

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "nbytes": self.nbytes, "crc32c_of_ends": self.crc32c}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SourceFile:  # Any: what a JSON object holds
        return cls(str(value["path"]), int(value["nbytes"]), int(value["crc32c_of_ends"]))


def fingerprint(path: str) -> SourceFile:
    """Size and ends of a source, to see later whether it is still the same."""
    _, written_ns = state_of(path)  # before the bytes are read, so that a change after that shows
    ends = ends_of(path)
    return SourceFile(path, ends.nbytes, ends.crc32c, written_ns)
