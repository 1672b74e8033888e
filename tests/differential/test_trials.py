"""What counts as a difference, without any peer."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordio_bridge import FormatError
from tests.differential.damage import damaged
from tests.differential.told import Told
from tests.differential.trials import EQUAL, Trial, difference, ours, tallied

SAME, FEWER, OTHER = Told([1, 2]), Told([1]), Told([1, 3])
CUT, REFUSED = Told([1], "cut"), Told([], "refused")


@pytest.mark.parametrize(
    ("mine", "its", "is_allowed"),
    [
        (SAME, SAME, True),
        (SAME, OTHER, False),
        (SAME, FEWER, False),
        (FEWER, SAME, False),
        (SAME, CUT, False),
        (CUT, CUT, True),
        (REFUSED, CUT, True),
        (CUT, REFUSED, True),
        (Told([3], "cut"), CUT, False),
        (Told([1, 2, 3], "cut"), SAME, False),
    ],
)
def test_what_ours_tells_without_an_error_the_witness_must_tell(mine: Told, its: Told, is_allowed: bool) -> None:
    for may_refuse in (True, False):
        assert (difference(mine, its, lambda answer=may_refuse: answer) == "") == is_allowed


@pytest.mark.parametrize("may_refuse", [True, False])
def test_ours_refuses_what_the_witness_takes_only_for_a_reason(may_refuse: bool) -> None:
    assert (difference(CUT, SAME, lambda: may_refuse) == "") == may_refuse


def test_rows_before_an_error_of_ours_are_kept_and_other_exceptions_are_failures() -> None:
    def rows(err: Exception) -> Iterator[int]:
        yield 1
        raise err

    assert ours(lambda: rows(FormatError("x: damaged"))) == Told([1], "x: damaged")
    with pytest.raises(ZeroDivisionError):
        ours(lambda: rows(ZeroDivisionError()))


def test_a_tally_counts_and_stops_where_many_differ(tmp_path: Path) -> None:
    def comparison(folder: Path, chance: random.Random) -> Iterator[Trial]:
        for number in itertools.count():
            yield Trial(b"%d" % number, number % 3 == 0, EQUAL, "other" if number % 2 else "")

    tally = tallied("numbers", comparison, tmp_path, seed=1, count=8)
    assert str(tally) == "numbers: 8 inputs, 3 sound and 5 damaged: 4 differ, 4 equal"
    assert [trial.content for trial in tally.differing] == [b"1", b"3", b"5", b"7"]
    assert len(tallied("numbers", comparison, tmp_path, seed=1, most_differing=2).differing) == 2


def test_damage_is_the_same_for_the_same_chance_and_rarely_none() -> None:
    data = bytes(range(200))
    made = [damaged(random.Random(seed), data, [0, 100]) for seed in range(200)]
    assert made == [damaged(random.Random(seed), data, [0, 100]) for seed in range(200)]
    assert sum(each == data for each in made) < 20
    assert len(set(made)) > 150
    assert damaged(random.Random(1), b"") is not None
