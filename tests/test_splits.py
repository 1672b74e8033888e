"""The parts of a split: their names, fractions and bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordio_bridge.migrate.splits import Splits


def test_names_and_fractions_are_read_in_their_order() -> None:
    splits = Splits.parse("train=0.9, validation=.05,test-1=5e-2")
    assert splits.names == ("train", "validation", "test-1")
    assert splits.fractions == (("train", 0.9), ("validation", 0.05), ("test-1", 0.05))


@pytest.mark.parametrize(
    ("rows", "bounds"),
    [(0, (0, 0, 0, 0)), (1, (0, 1, 1, 1)), (10, (0, 7, 9, 10)), (1001, (0, 701, 901, 1001))],
)
def test_bounds_are_the_rounded_sums_of_fractions(rows: int, bounds: tuple[int, ...]) -> None:
    assert Splits.parse("a=0.7,b=0.2,c=0.1").bounds(rows) == bounds


@given(parts=st.integers(2, 30), rows=st.integers(0, 10**13))
def test_each_row_is_in_exactly_one_part(parts: int, rows: int) -> None:
    bounds = Splits(tuple((f"part{n}", 1 / parts) for n in range(parts))).bounds(rows)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, rows, parts + 1)
    assert list(bounds) == sorted(bounds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no part; expected NAME=FRACTION"),
        ("train", "'train' is no part; expected NAME=FRACTION"),
        ("train=0.9,", "'' is no part"),
        ("train=1", "one part alone"),
        ("train=most,test=0.1", "'most' is no fraction"),
        ("a=0.5,b=0.4", "0.9 together, expected 1"),
        ("a=0.5,b=0.500000002", "together, expected 1"),
        ("a=0,b=1", "'a' has the fraction 0, expected more than 0"),
        ("a=-1,b=2", "'a' has the fraction -1"),
        ("a=nan,b=1", "'a' has the fraction nan"),
        ("a=inf,b=1", "'a' has the fraction inf"),
        ("a=0.5,a=0.5", "'a' is there twice"),
        ("Test=0.5,test=0.5", "is there twice"),
        ("=0.5,b=0.5", "'' cannot be a part of a file name"),
        ("a/b=0.5,c=0.5", "'a/b' cannot be a part of a file name"),
        (f"{'a' * 101}=0.5,c=0.5", "at most 100"),
    ],
)
def test_a_split_that_cannot_be_is_an_error_that_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="split ") as caught:
        Splits.parse(text)
    assert message in str(caught.value)
