"""Cutting the rows of an output into parts that are named, such as those to train and to validate with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

_EXPECTED = "expected NAME=FRACTION, two or more, such as train=0.9,validation=0.1"
_OFF = 1e-9  # by which fractions may miss 1 together, as 0.7 + 0.2 + 0.1 does
_LONGEST = 100  # letters of a name: a file name with it, a shard's number and more must stay below 255 bytes


@dataclass(frozen=True, slots=True)
class Splits:
    """Parts, each with its name and its fraction of the rows."""

    fractions: tuple[tuple[str, float], ...]

    @classmethod
    def parse(cls, text: str) -> Splits:
        """The parts that a text such as "train=0.9,validation=0.1" names.

        Raises:
            ValueError: it names none, or one, or one twice; a name cannot be in that of a file; a fraction is not above
                0, or they are not 1 together.
        """
        return cls(tuple(_pair(text, each) for each in text.split(",")))

    def __post_init__(self) -> None:
        text = ",".join(f"{name}={fraction:g}" for name, fraction in self.fractions)
        if len(self.fractions) < 2:
            raise ValueError(f"split {text!r}: one part alone; {_EXPECTED}")
        for name, fraction in self.fractions:
            if not _is_name(name):
                raise ValueError(
                    f"split {text!r}: {name!r} cannot be a part of a file name everywhere; take letters, digits, '-' "
                    f"and '_', at most {_LONGEST}"
                )
            if not 0 < fraction < math.inf:  # also where it is no number
                raise ValueError(f"split {text!r}: {name!r} has the fraction {fraction:g}, expected more than 0")
            if [other.lower() for other in self.names].count(name.lower()) > 1:  # on macOS, these are one file
                raise ValueError(f"split {text!r}: {name!r} is there twice; name each part once")
        total = math.fsum(fraction for _, fraction in self.fractions)
        if abs(total - 1) > _OFF:
            raise ValueError(f"split {text!r}: the fractions are {total!r} together, expected 1")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(name for name, _ in self.fractions)

    def bounds(self, num_rows: int) -> tuple[int, ...]:
        """Where each part of so many rows begins, and where the last one ends."""
        ends = accumulate(fraction for _, fraction in self.fractions)
        return (0, *(round(num_rows * end) for end in list(ends)[:-1]), num_rows)


def _pair(text: str, part: str) -> tuple[str, float]:
    name, equals, number = (each.strip() for each in part.partition("="))
    if not equals:
        raise ValueError(f"split {text!r}: {part!r} is no part; {_EXPECTED}")
    try:
        return name, float(number)
    except ValueError:
        raise ValueError(f"split {text!r}: {number!r} is no fraction; {_EXPECTED}") from None


def _is_name(name: str) -> bool:
    plain = name.replace("-", "").replace("_", "")
    return 0 < len(name) <= _LONGEST and plain.isascii() and plain.isalnum()
