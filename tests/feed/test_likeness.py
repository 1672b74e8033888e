"""Items of an iterator, and what a transform makes of batches, that are not like the first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from tests.feed.deadline import within

X, Y = np.arange(4.0), np.arange(4)


def fed(items: list[object], fields: list[str] | None = None) -> list[rb.Batch]:
    def feed() -> list[rb.Batch]:
        with Feeder(lambda: iter(items), 4, fields=fields) as feeder:
            return list(feeder)

    return within(60, feed)


def transformed(items: list[object]) -> list[rb.Batch]:
    """The same items from a transform."""
    made = iter(items)
    source = [{"row": Y} for _ in items]

    def transform(batch: rb.Batch) -> rb.Batch | Mapping[str, object]:
        return next(made)

    def feed() -> list[rb.Batch]:
        with Feeder(lambda: iter(source), 4, transform=transform) as feeder:
            return list(feeder)

    return within(60, feed)


def failure(ways: str, items: list[object]) -> str:
    with pytest.raises(rb.FeedError) as told:
        (fed if ways == "iterator" else transformed)(items)
    assert isinstance(told.value.__cause__, rb.SchemaError)
    return str(told.value.__cause__)


WHO = {
    "iterator": ("item 1 of the iterator", "the first item"),
    "transform": ("what the transform gave", "that of the first batch"),
}


@pytest.mark.parametrize("way", [fed, transformed])
@pytest.mark.parametrize("kind", [dict, rb.Batch])
def test_columns_are_found_by_name_in_whatever_order_they_are_given(way, kind):
    for batch in way([kind({"x": X, "y": Y}), kind({"y": Y, "x": X})]):
        assert list(batch) == ["x", "y"]
        assert np.array_equal(batch["x"], X)
        assert np.array_equal(batch["y"], Y)


@pytest.mark.parametrize("way", WHO)
@pytest.mark.parametrize("kind", [dict, rb.Batch])
def test_a_field_more_is_named(way, kind):
    who, first = WHO[way]
    message = failure(way, [kind({"x": X, "y": Y}), kind({"y": Y, "x": X, "z": X})])
    assert message == f"{who} has a field 'z', and {first} has x, y; give the same fields each time"


@pytest.mark.parametrize("way", WHO)
def test_a_field_less_is_named(way):
    who, first = WHO[way]
    message = failure(way, [{"x": X, "y": Y}, {"y": Y}])
    assert message == f"{who} has no field 'x', and {first} has x, y; give the same fields each time"


def test_tuples_of_another_length_are_told():
    assert failure("iterator", [(X, Y), (X, Y, Y)]).startswith("item 1 of the iterator has a field '2', and the first")


@pytest.mark.parametrize("way", WHO)
def test_another_dtype_or_shape_is_told_with_the_name_said_once(way):
    who, first = WHO[way]
    message = failure(way, [{"x": X}, {"x": np.ones((4, 4))}])
    assert message == (
        f"{who} has field 'x' as float64[4], and {first} has it as float64; give the same dtype, and the same shape "
        "behind the rows, each time"
    )


@pytest.mark.parametrize("later", [[[1.5, 2], [3, 4]], [b"a", b"b"], [[b"a", b"b"], [b"c", b"d"]]])
def test_no_advice_about_lengths_where_these_are_not_what_differs(later):
    assert failure("iterator", [{"x": [[1, 2], [3, 4]]}, {"x": later}]).endswith(
        "the same shape behind the rows, each time"
    )


@pytest.mark.parametrize("way", WHO)
@pytest.mark.parametrize(
    ("rows", "later", "kinds", "advice"),
    [
        ([[], []], [[1.5], [2, 3]], ("float64[*]", "float64[0]"), "float64"),
        ([[], []], [[1], [2, 3]], ("int64[*]", "float64[0]"), "int64"),
        ([[1, 2], [3, 4]], [[1], [2, 3]], ("int64[*]", "int64[2]"), "int64"),
        ([[1, 2], [3, 4]], [[1, 2, 3], [4, 5, 6]], ("int64[3]", "int64[2]"), "int64"),
    ],
)
def test_rows_that_differ_in_length_from_one_batch_to_the_next_get_advice_that_helps(way, rows, later, kinds, advice):
    who, first = WHO[way]
    message = failure(way, [{"x": rows}, {"x": later}])
    assert message == (
        f"{who} has field 'x' as {kinds[0]}, and {first} has it as {kinds[1]}; where rows differ in length, give "
        f"rb.Ragged.of(rows, {advice!r}) each time, the first time, too"
    )
    items = [{"x": rb.Ragged.of(rows, advice)}, {"x": rb.Ragged.of(later, advice)}]
    found = [row.tolist() for batch in (fed if way == "iterator" else transformed)(items) for row in batch["x"]]
    assert found == rows + later
