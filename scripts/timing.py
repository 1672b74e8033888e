"""Timing two sides in turn, and the lines that say what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

Line = dict[str, object]
"""A line of the table: its letter, what is compared, the ratio, the goal, and what the ratio is made of."""
Bench = Callable[[Path, int], list[Line]]
"""Measures the lines of one letter, in an empty folder, with so many counted turns."""


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(
    runs: int, actions: dict[str, Callable[[], object]], before: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """The median seconds of each action; they take turns, and the first turn is not counted.

    What is done before each is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(runs + 1):
        for name, action in actions.items():
            before()
            elapsed = timed(action)
            if turn:
                seconds[name].append(elapsed)
    return {name: statistics.median(values) for name, values in seconds.items()}


def fresh(target: str, action: Callable[[], object]) -> Callable[[], object]:
    """The action, with its target out of the way: a file that is replaced takes longer than a new one."""

    def run() -> None:
        Path(target).unlink(missing_ok=True)
        action()

    return run


def line(letter: str, what: str, ratio: float, goal: str, detail: str, unit: str = "x") -> Line:
    """A line that is printed: of a ratio, or of a number with another unit."""
    print(f"{letter:<4} {what:<58} {ratio:>7.2f}{unit:<3} {goal:<10} {detail}", flush=True)
    return {"line": letter, "what": what, "ratio": ratio, "unit": unit, "goal": goal, "detail": detail}
