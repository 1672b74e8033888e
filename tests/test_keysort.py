"""Sorting rows by keys in bounded memory: the same as sorting them all at once."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge.migrate.keysort import KeySort

DTYPE = np.dtype([("row", "<i8"), ("offset", "<i8")])
ROW = 3 * (8 + DTYPE.itemsize)  # bytes of memory that a row takes


def sorted_by(keys: np.ndarray, memory: int, step: int = 1000) -> list[int]:
    """Numbers of rows with these keys, as KeySort puts them."""
    with KeySort(DTYPE, memory) as sort:
        for first in range(0, len(keys), step):
            part = keys[first : first + step].astype(np.uint64)
            numbers = np.arange(first, first + len(part))
            rows = np.empty(len(part), dtype=DTYPE)
            rows["row"], rows["offset"] = numbers, -numbers
            sort.add(part, rows)
        pieces = list(sort.sorted_rows())
    rows = np.concatenate(pieces)
    assert (rows["offset"] == -rows["row"]).all()
    return rows["row"].tolist()


@pytest.mark.parametrize("memory", [1, 10 * ROW, 999 * ROW, 1000 * ROW, 1001 * ROW, 1 << 24])
@pytest.mark.parametrize("rows", [0, 1, 2, 1000, 1001])
def test_random_keys_are_sorted_as_numpy_and_python_sort_them(rows: int, memory: int) -> None:
    keys = np.random.PCG64(rows).random_raw(rows)
    found = sorted_by(keys, memory)
    assert found == np.argsort(keys, kind="stable").tolist()
    assert found == sorted(range(rows), key=keys.tolist().__getitem__)


@settings(deadline=None, max_examples=60)
@given(
    keys=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1), st.just(2**64 - 1)), max_size=60),
    memory=st.integers(0, 70).map(lambda rows: rows * ROW),
    step=st.integers(1, 20),
)
def test_rows_with_equal_keys_stay_in_the_order_in_which_they_came(keys: list[int], memory: int, step: int) -> None:
    expected = sorted(range(len(keys)), key=keys.__getitem__)
    assert sorted_by(np.array(keys, dtype=np.uint64), memory, step) == expected


def test_neither_rows_in_memory_nor_what_is_given_grows_with_the_number_of_rows() -> None:
    memory, rows, step = 1 << 21, 300_000, 1000
    keys = np.random.PCG64(1)
    with KeySort(DTYPE, memory) as sort:
        tracemalloc.start()
        for _ in range(rows // step):
            sort.add(keys.random_raw(step), np.zeros(step, dtype=DTYPE))
        pieces = [len(piece) for piece in sort.sorted_rows()]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sum(pieces) == rows
    assert max(pieces) <= memory / ROW
    assert rows * DTYPE.itemsize > 2 * memory
    assert peak < memory + (3 << 20)  # for each of 65536 slots, some counters


def test_nothing_has_a_name_on_disk_while_rows_wait_there(tmp_path: Path) -> None:
    with KeySort(DTYPE, 10 * ROW, str(tmp_path)) as sort:
        sort.add(np.arange(100, dtype=np.uint64), np.zeros(100, dtype=DTYPE))
        assert sum(len(piece) for piece in sort.sorted_rows()) == 100
        assert os.listdir(tmp_path) == []
