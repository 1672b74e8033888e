"""What comparing our readers and writers with those of others comes to: trials, and their tally.

A comparison makes inputs by chance, has both read or write them, and yields a Trial for each. Two answers that are not
equal are no difference by themselves: each comparison says in its docstring, and checks in its program, what ours may
refuse that the other takes. What ours takes, the other must take as well, with the same values.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import recordio_bridge as rb
from tests.differential.told import Told

EQUAL, BOTH_REFUSE, OURS_REFUSES = "equal", "both refuse", "only ours refuses"


@dataclass(frozen=True, slots=True)
class Trial:
    """One input, and how the two took it."""

    content: bytes
    """The file, or the message, that both were given."""
    is_sound: bool
    verdict: str = EQUAL
    difference: str = ""
    """What the rule of the comparison does not allow; empty where it does."""


Comparison = Callable[[Path, random.Random], Iterator[Trial]]
"""Endless trials with files in a folder, the same for the same chance."""


def ours(rows: Callable[[], Iterable[Any]]) -> Told:
    """What a reader of ours tells; an exception that is not of ours is not caught, and so a failure."""
    found = []
    try:
        for row in rows():
            found.append(row)
    except rb.BridgeError as err:
        return Told(found, str(err) or type(err).__name__)
    return Told(found)


def verdict(mine: Told, its: Told) -> str:
    """How the two took a file, where that is allowed."""
    if mine.error is None:
        return EQUAL
    return BOTH_REFUSE if its.error is not None else OURS_REFUSES


def difference(mine: Told, its: Told, may_refuse: Callable[[], bool]) -> str:
    """What is wrong about what ours tells beside the witness; empty where nothing is.

    Ours ends without an error only where the witness does, with the same rows; and with an error where the witness has
    none only where may_refuse() says why. Rows before an error are the first ones of the other's rows; where both have
    errors, either may come further, as one looks ahead by more than the other.
    """
    shared = min(len(mine.rows), len(its.rows))
    if mine.rows[:shared] != its.rows[:shared] or (its.error is None and len(mine.rows) > shared):
        return f"ours tells {_short(mine)}, the witness {_short(its)}"
    if mine.error is None and (its.error is not None or len(mine.rows) != len(its.rows)):
        return f"ours takes what the witness does not: {_short(mine)}, {_short(its)}"
    if mine.error is not None and its.error is None and not may_refuse():
        return f"ours refuses what the witness takes: {mine.error}"
    return ""


def _short(told: Told) -> str:
    return f"{len(told.rows)} rows {told.rows!r:.200} and the error {told.error!r:.200}"


@dataclass(slots=True)
class Tally:
    """How many trials there were, of which kind, and which of them differed."""

    name: str
    sound: int = 0
    damaged: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    differing: list[Trial] = field(default_factory=list)

    def add(self, trial: Trial) -> None:
        """Count one more."""
        self.sound += trial.is_sound
        self.damaged += not trial.is_sound
        if trial.difference:
            self.differing.append(trial)
        else:
            self.verdicts[trial.verdict] += 1

    def __str__(self) -> str:
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        return (
            f"{self.name}: {self.sound + self.damaged} inputs, {self.sound} sound and {self.damaged} damaged: "
            f"{len(self.differing)} differ, {told}"
        )


def tallied(
    name: str,
    comparison: Comparison,
    folder: Path,
    seed: int,
    count: int | None = None,
    duration_s: float | None = None,
    most_differing: int = 20,
) -> Tally:
    """So many trials of a comparison, or as many as there is time for; it stops early where many differ."""
    tally = Tally(name)
    end = None if duration_s is None else time.monotonic() + duration_s
    trials = comparison(folder, random.Random(f"{name} {seed}"))
    while (count is None or tally.sound + tally.damaged < count) and (end is None or time.monotonic() < end):
        tally.add(next(trials))
        if len(tally.differing) == most_differing:
            break
    trials.close()  # type: ignore[attr-defined]  # all of them are generators
    return tally
