"""What is counted while rows are converted, to be said when all are done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Tally:
    """Counts, and the least and the greatest of some numbers, by name."""

    counts: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, name: str, number: int) -> None:
        """Add to a count."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number

    def widen(self, name: str, low: int, high: int) -> None:
        """Make a range include low and high."""
        known = self.ranges.get(name, (low, high))
        self.ranges[name] = (min(known[0], low), max(known[1], high))

    def include(self, name: str, numbers: NDArray[Any]) -> None:  # Any: integers of some width
        """Make a range include these numbers."""
        if numbers.size:
            self.widen(name, int(np.min(numbers)), int(np.max(numbers)))

    def to_json(self) -> dict[str, object]:
        return {"counts": self.counts, "ranges": {name: list(ends) for name, ends in self.ranges.items()}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Tally:  # Any: what a JSON object holds
        return cls(dict(value["counts"]), {name: (low, high) for name, (low, high) in value["ranges"].items()})


def total(tallies: Iterable[Tally]) -> Tally:
    """What several tallies are together."""
    whole = Tally()
    for tally in tallies:
        for name, number in tally.counts.items():
            whole.count(name, number)
        for name, (low, high) in tally.ranges.items():
            whole.widen(name, low, high)
    return whole
