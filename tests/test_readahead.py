"""Pieces that are made ahead, on a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from recordio_bridge.readahead import made_ahead
from tests.feed.deadline import num_threads, until


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = num_threads()
    yield
    until(lambda: num_threads() <= before)


@pytest.mark.parametrize("numbers", [range(0), range(1), range(2), range(7, 100, 3)])
def test_each_piece_comes_once_and_in_order(numbers):
    assert list(made_ahead(lambda number: number * 2, numbers)) == [number * 2 for number in numbers]


def test_one_piece_needs_no_thread():
    assert list(made_ahead(lambda _: threading.current_thread(), range(1))) == [threading.current_thread()]
    assert threading.current_thread() not in list(made_ahead(lambda _: threading.current_thread(), range(2)))


def test_no_more_than_one_is_made_ahead():
    made: list[int] = []
    pieces = made_ahead(lambda number: made.append(number), range(10))
    next(pieces)
    pieces.close()
    assert made == [0, 1]


def test_an_error_comes_where_its_piece_would_and_after_those_before():
    def make(number: int) -> int:
        if number == 2:
            raise OSError(5, "no such luck")
        return number

    pieces = made_ahead(make, range(5))
    assert [next(pieces), next(pieces)] == [0, 1]
    with pytest.raises(OSError, match="no such luck"):
        next(pieces)


def test_closing_early_waits_for_what_is_under_way():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def make(number: int) -> int:
        if number == 1:
            begun.set()
            assert may_end.wait(10)
            ended.set()
        return number

    pieces = made_ahead(make, range(5))
    next(pieces)
    assert begun.wait(10)
    may_end.set()
    pieces.close()
    assert ended.is_set()
