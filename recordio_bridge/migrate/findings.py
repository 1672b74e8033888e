"""What verify finds: problems, and what else whoever asks should know."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import BridgeError, FormatError, SchemaError


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be. record and offset (in bytes) where they are known."""

    path: str
    message: str
    record: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(slots=True)
class Report:
    """What verify found: ok, num_rows read, files looked at, problems, notes; warnings are those of the notes that say
    what could not be checked, or may be missing; is_complete, False where a manifest says that sources are missing from
    it, which is no problem of what is there."""

    num_rows: int = 0
    files: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, path: str, error: BridgeError) -> None:
        """Note an error as a problem of a file."""
        place = (error.record, error.offset) if isinstance(error, (FormatError, SchemaError)) else ()
        self.problems.append(Problem(path, str(error), *place))
