"""Datasets of HDF5 that are cut into very many chunks, of which few need be in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.formats import hdf5_boxes
from tests.limits.probing import READ, outcome

COUNT = 300_000  # 1.8 GB for HDF5, read at once


def rows_of_a_value(file: h5py.File) -> None:
    file.create_dataset("a", (COUNT,), "u1", chunks=(1,))


def one_long_row(file: h5py.File) -> None:
    file.create_dataset("a", (1, COUNT), "u1", chunks=(1, 1))


def put_together(file: h5py.File) -> None:
    rows_of_a_value(file)
    layout = h5py.VirtualLayout((COUNT,), "u1")
    layout[:] = h5py.VirtualSource(file["a"])
    file.create_virtual_dataset("b", layout)


@pytest.mark.parametrize(("make", "rows"), [(rows_of_a_value, COUNT), (one_long_row, 1), (put_together, COUNT)])
def test_any_number_of_chunks_takes_little_memory(tmp_path: Path, make: Callable[[h5py.File], None], rows: int) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        make(file)
    assert outcome(READ, tmp_path / "x.h5", 1 << 28) == f"gave {rows}"


@pytest.mark.parametrize("chunk", [(1, 1, 1), (3, 2, 4), (7, 1, 5), (1, 5, 1)])
@pytest.mark.parametrize("packed", [None, "gzip"])
def test_boxes_of_chunks_hold_the_values_that_h5py_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: tuple[int, ...], packed: str | None
) -> None:
    monkeypatch.setattr(hdf5_boxes, "_CHUNKS", 7)
    values = np.random.default_rng(1).integers(0, 1 << 30, (23, 5, 9)).astype(np.int32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", data=values, chunks=chunk, compression=packed)
    with rb.open(tmp_path / "x.h5") as opened:
        assert np.array_equal(opened[4:21]["a"], values[4:21])
    (batch,) = rb.read(tmp_path / "x.h5", batch_rows=100)
    assert np.array_equal(batch["a"], values)


def test_boxes_of_text_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_boxes, "_CHUNKS", 4)
    names = [f"name {number}".encode() * (number % 3) for number in range(50)]
    lists = [np.arange(number % 5, dtype=np.int16) for number in range(50)]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("name", data=names, dtype=h5py.string_dtype(), chunks=(1,))
        file.create_dataset("list", (50,), h5py.vlen_dtype(np.int16), chunks=(2,))[:] = lists
    (batch,) = rb.read(tmp_path / "x.h5", batch_rows=100)
    assert list(batch["name"]) == names
    assert [row.tolist() for row in batch["list"]] == [row.tolist() for row in lists]
