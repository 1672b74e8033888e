"""What a reader told of a file. Also for peers in environments that have nothing but themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """Rows, and the error that they ended with, None where they did not."""

    rows: list[Any]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer of a witness that raised: it should have caught what its library raises."""

    text: str
