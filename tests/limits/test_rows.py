"""Rows of which nothing is in the file: without bytes, or of HDF5 that were never written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.cli import main
from recordio_bridge.formats.npy import header_bytes

ENDLESS = 1 << 50
NOTHING = {"S0": (ENDLESS,), "f4": (ENDLESS, 0), "U0": (ENDLESS, 3)}


def npz(path: Path, compression: int, dtype: str, shape: tuple[int, ...]) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", header_bytes(np.dtype(dtype), shape))
    return path


def endless_file(kind: str, folder: Path) -> Path:
    """A file of some hundred bytes that claims rows without end."""
    what, _, which = kind.partition(" ")
    path = folder / f"x.{what}"
    if what == "npy":
        path.write_bytes(header_bytes(np.dtype(which), NOTHING[which]))
    elif what == "npz":
        how, dtype = which.split()
        npz(path, zipfile.ZIP_DEFLATED if how == "packed" else zipfile.ZIP_STORED, dtype, NOTHING[dtype])
    else:
        with h5py.File(path, "w") as file:
            if which == "chunked":
                file.create_dataset("a", (ENDLESS,), "f4", chunks=(1 << 20,))
            elif which == "packed, one written":
                file.create_dataset("a", (ENDLESS,), "f4", chunks=(1 << 10,), compression="gzip")[7] = 1
            elif which == "plain":
                file.create_dataset("a", (ENDLESS,), "f4")
            elif which == "text":
                file.create_dataset("a", (ENDLESS,), h5py.string_dtype(), chunks=(1 << 20,))
            elif which == "variable":
                file.create_dataset("a", (ENDLESS,), h5py.vlen_dtype(np.int32), chunks=(1 << 20,))
            elif which == "of nothing":
                file.create_dataset("a", (ENDLESS, 0), "f4", chunks=(1 << 20, 1), maxshape=(None, None))
            elif which == "virtual":
                file.create_dataset("other", (ENDLESS,), "f4")
                layout = h5py.VirtualLayout((ENDLESS,), "f4")
                layout[:] = h5py.VirtualSource(".", "other", (ENDLESS,))
                file.create_virtual_dataset("a", layout)
    return path


KINDS = [
    *(f"npy {dtype}" for dtype in NOTHING),
    *(f"npz {how} {dtype}" for how in ("packed", "stored") for dtype in NOTHING),
    *(f"h5 {how}" for how in ("chunked", "packed, one written", "plain", "text", "variable", "of nothing", "virtual")),
]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_which_nothing_is_in_the_file_are_bounded(tmp_path: Path, kind: str) -> None:
    path = endless_file(kind, tmp_path)
    claim = rf"x\.{path.suffix[1:]}: claims {ENDLESS} rows in \d{{3,4}} bytes, expected at most 100000000"
    for look in (rb.inspect, rb.open, lambda path: next(iter(rb.read(path)))):
        with pytest.raises(FormatError, match=claim) as caught:
            look(path)
        assert caught.value.path == str(path)
    assert "rows in" in rb.verify(path).problems[0].message
    for verb in (["info"], ["head"], ["convert", str(tmp_path / "y.tfrecord")], ["verify"]):
        assert main([verb[0], str(path), *verb[1:]]) == (3 if verb[0] == "verify" else 1)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_a_hundred_million_rows_of_nothing_are_taken_and_one_more_is_not(tmp_path: Path, suffix: str) -> None:
    for rows in (100_000_000, 100_000_001):
        path = tmp_path / f"{rows}{suffix}"
        if suffix == ".npy":
            path.write_bytes(header_bytes(np.dtype("f4"), (rows, 0)))
        elif suffix == ".npz":
            npz(path, zipfile.ZIP_STORED, "f4", (rows, 0))
        else:
            with h5py.File(path, "w") as file:
                file.create_dataset("a", (rows,), "f4", chunks=(1 << 20,))
    assert rb.inspect(tmp_path / f"100000000{suffix}").num_rows == 100_000_000
    with pytest.raises(FormatError, match="claims 100000001 rows"):
        rb.inspect(tmp_path / f"100000001{suffix}")


def test_a_npz_that_is_trusted_may_have_rows_without_end(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", zipfile.ZIP_STORED, "f4", (ENDLESS, 0))
    assert rb.inspect(path, expansion="any").num_rows == ENDLESS
    assert len(next(iter(rb.read(path, expansion="any")))) == 1024


def test_more_rows_than_those_are_taken_of_a_file_that_can_have_packed_them(tmp_path: Path) -> None:
    path, rows = tmp_path / "x.h5", 200_000_000
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (rows,), "u1", chunks=(1 << 22,), compression="gzip")
        file["b"] = np.zeros(rows // 1032, np.uint8)  # what as many rows take at least
        file["c"] = np.zeros(1000, np.uint8)
    assert len(next(iter(rb.read(path, fields=["a"])))) == 1024


def test_a_table_of_some_million_rows_of_which_few_were_written_is_read(tmp_path: Path) -> None:
    path, rows = tmp_path / "x.h5", 5_000_000
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("a", (rows,), "f4", chunks=(1 << 16,), fillvalue=7)
        dataset[3_000_000] = 1
        file.create_dataset("b", (rows, 2), "u1", chunks=(1 << 16, 2))
    batches = list(rb.read(path, batch_rows=1_000_000))
    assert sum(map(len, batches)) == rows
    assert [batch["a"][0] for batch in batches] == [7, 7, 7, 1, 7]
    assert not any(batch["b"].any() for batch in batches)


IMAGES = (1_000_000, 224, 224, 3)


def test_bytes_of_hdf5_that_were_never_written_are_bounded_and_other_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("image", IMAGES, "u1", chunks=(1, 224, 224, 3))
        file.create_dataset("n", (IMAGES[0],), "u1", chunks=(1 << 16,))
    expected = rf"field 'image' claims 150528000000 bytes of values in {path.stat().st_size} bytes"
    for look in (rb.inspect, rb.open, lambda path: next(iter(rb.read(path)))):
        with pytest.raises(FormatError, match=expected + r", expected at most 68719476736 .*choose other fields"):
            look(path)
    assert sum(map(len, rb.read(path, batch_rows=100_000, fields=["n"]))) == IMAGES[0]


@pytest.mark.one_lane
def test_room_for_a_million_images_of_which_some_are_there_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("image", IMAGES, "u1", chunks=(1, 224, 224, 3))[:20] = 9
    with rb.open(path) as file:
        assert len(file) == IMAGES[0]
        assert file[19]["image"].min() == 9
        assert not file[20]["image"].any()


def test_values_in_a_file_beside_a_virtual_dataset_count_as_bytes_of_it(tmp_path: Path) -> None:
    rows, path = 110_000_000, tmp_path / "x.h5"
    with h5py.File(tmp_path / "beside.h5", "w") as file:
        file.create_dataset("a", (rows,), "u1", chunks=(1 << 22,), compression="gzip")
        file["room"] = np.zeros(rows // 1032, np.uint8)
    layout = h5py.VirtualLayout((rows,), "u1")
    layout[:] = h5py.VirtualSource("beside.h5", "a", (rows,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)
    assert rb.inspect(path).num_rows == rows


@pytest.mark.parametrize("is_list", [False, True], ids=["bytes", "lists of bytes"])
def test_a_ragged_row_of_gigabytes_that_was_never_written_is_refused(tmp_path: Path, is_list: bool) -> None:
    path, nbytes = tmp_path / "x.h5", 60 << 30
    with h5py.File(path, "w") as file:
        file.create_dataset("a/values", (nbytes,), "u1", chunks=(1 << 20,))
        if is_list:
            file["a/inner_offsets"] = np.array([0, 5, nbytes])
        file["a/offsets"] = np.array([0, 1, 1, 2]) if is_list else np.array([0, 5, 5, nbytes])
    expected = rf"x\.h5: row 2 of 'a': is {nbytes - 5} bytes, .* expected at most 536870912"
    with pytest.raises(FormatError, match=expected) as caught:
        list(rb.read(path))
    assert caught.value.record == 2
    with rb.open(path) as file:
        assert len(file.take([0, 1])) == 2
        with pytest.raises(FormatError, match=expected):
            file.take([0, 2])
