"""Files of arrays that are damaged, or made to mislead: what is wrong is found, nothing is read as what it is not."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Schema, SchemaError
from recordio_bridge.formats import array_columns


def save(path: Path, **named: np.ndarray) -> Path:
    """The arrays in a file of the format that the suffix names; __ in a name stands for /."""
    named = {name.replace("__", "/"): values for name, values in named.items()}
    if path.suffix == ".npz":
        np.savez(path, **named)
    else:
        with h5py.File(path, "w") as file:
            for name, values in named.items():
                file[name] = values
    return path


@pytest.fixture(params=["x.npz", "x.h5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.mark.parametrize(
    "offsets",
    [
        np.array([0, 2**63 - 1, -2, 5]),
        np.array([0, 2**63 - 1, 2**63 - 2, 5], dtype=np.uint64),
        np.array([0, 2**64 - 1, 3, 5], dtype=np.uint64),
        np.array([0, -(2**63), 3, 5]),
        np.array([0, 127, -126, 5], dtype=np.int8),
    ],
)
def test_offsets_that_go_back_are_refused_however_far_they_go(path: Path, offsets: np.ndarray) -> None:
    save(path, a__values=np.arange(5), a__offsets=offsets)
    with pytest.raises(FormatError, match=r"'a/offsets' does not lead from 0 to the 5 entries"):
        rb.inspect(path)
    with pytest.raises(FormatError, match=r"'a/offsets'"):
        list(rb.read(path))


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u8", "<i4"])
def test_offsets_of_any_integers_are_read(path: Path, dtype: str) -> None:
    save(path, a__values=np.arange(5, dtype=np.int16), a__offsets=np.array([0, 2, 2, 5], dtype=dtype))
    (batch,) = rb.read(path)
    assert [row.tolist() for row in batch["a"]] == [[0, 1], [], [2, 3, 4]]


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({"s": np.zeros(2, dtype=[("x", "i4"), ("y", "i4")]), "s/x": np.array([7, 8])}, "s/x"),
        ({"a": np.arange(2), "a/values": np.arange(5), "a/offsets": np.array([0, 2, 5])}, "a"),
        ({"a/values": np.arange(5), "a/offsets": np.array([0, 2, 5]), "a": np.arange(2)}, "a"),
    ],
    ids=["member", "dense first", "ragged first"],
)
def test_a_name_of_two_fields_is_an_error_and_neither_vanishes(
    tmp_path: Path, named: dict[str, np.ndarray], name: str
) -> None:
    """HDF5 has no such names: a dataset is no group."""
    path = save(tmp_path / "x.npz", **named, y=np.arange(2))
    with pytest.raises(SchemaError, match=f"'{name}' is what two fields would be called") as caught:
        rb.inspect(path)
    assert caught.value.field == name
    with pytest.raises(SchemaError, match=f"'{name}'"):
        list(rb.read(path, fields=[name]))
    (batch,) = rb.read(path, fields=["y"])
    assert batch["y"].tolist() == [0, 1]


def test_a_field_beside_its_like_comes_back_as_its_sidecar_says(tmp_path: Path) -> None:
    columns = {"a": [1, 2], "a/values": [1, 2], "a/offsets": [0, 2]}
    rb.write(tmp_path / "x.npz", columns)
    (batch,) = rb.read(tmp_path / "x.npz")
    assert {name: batch[name].tolist() for name in batch} == columns


@pytest.mark.parametrize("offsets", [np.array([5, 6, 7]), np.array([0, 2, 3])], ids=["unfit", "fit"])
def test_arrays_that_are_not_wanted_do_not_stop_those_that_are(path: Path, offsets: np.ndarray) -> None:
    save(path, y=np.arange(3), x__values=np.arange(3), x__offsets=offsets)
    (batch,) = rb.read(path, fields=["y"])
    assert batch["y"].tolist() == [0, 1, 2]
    with rb.open(path, fields=["y"]) as file:
        assert file.take([2, 0])["y"].tolist() == [2, 0]
    assert rb.convert(path, path.with_suffix(".tfrecord"), select=["y=y"]).num_rows == 3


def test_two_arrays_that_do_not_belong_together_can_be_chosen_apart(path: Path) -> None:
    save(path, x__values=np.arange(3), x__offsets=np.array([5, 6, 7]))
    with pytest.raises(FormatError, match=r"choose both \(--select NAME=NAME, or fields="):
        rb.inspect(path)
    (batch,) = rb.read(path, fields=["x/offsets", "x/values"])
    assert {name: batch[name].tolist() for name in batch} == {"x/offsets": [5, 6, 7], "x/values": [0, 1, 2]}


def test_offsets_of_fields_that_are_not_wanted_are_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, y=np.arange(3), x__values=np.arange(3), x__offsets=np.array([0, 2, 3, 3]))
    joined: list[str] = []
    real = array_columns.RaggedColumn.__init__

    def spy(self: array_columns.RaggedColumn, name: str, *rest: object) -> None:
        joined.append(name)
        real(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(array_columns.RaggedColumn, "__init__", spy)
    rb.convert(path, path.with_suffix(".tfrecord"), select=["y=y"])
    assert joined == []


def test_any_byte_but_0_is_true_as_it_is_for_numpy_and_is_written_as_1(tmp_path: Path) -> None:
    """A mask of 0 and 255, seen as bool, saves its bytes as they are."""
    mask = np.array([[0, 255], [2, 1]], dtype=np.uint8)
    pair = np.zeros(2, dtype=[("b", "?"), ("n", "i4")])
    pair.view(np.uint8)[::5] = [0, 7]
    save(
        tmp_path / "x.npz",
        a=mask.view(bool),
        f=np.asfortranarray(mask).view(bool),
        s=pair,
        r__values=np.array([0, 3, 255, 1], dtype=np.uint8).view(bool),
        r__offsets=np.array([0, 3, 4]),
    )
    (batch,) = rb.read(tmp_path / "x.npz")
    for name in ("a", "f"):
        assert batch[name].view(np.uint8).tolist() == [[0, 1], [1, 1]]
    assert batch["s/b"].view(np.uint8).tolist() == [0, 1]
    assert [row.view(np.uint8).tolist() for row in batch["r"]] == [[0, 1, 1], [1]]
    assert rb.convert(tmp_path / "x.npz", tmp_path / "x.tfrecord").num_rows == 2
    assert rb.convert(tmp_path / "x.npz", tmp_path / "y.npz").num_rows == 2
    with np.load(tmp_path / "y.npz") as file:
        assert file["a"].view(np.uint8).tolist() == [[0, 1], [1, 1]]


def test_any_byte_but_0_of_a_bool_in_hdf5_is_true(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["b"] = np.array([False, True, True, True])
        raw = np.array([0, 1, 2, 255], dtype=np.uint8)
        same = file["b"].id.get_type()
        file["b"].id.write(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=same)
        file.create_dataset("v", (4,), h5py.vlen_dtype(bool))[3] = raw.view(bool)
    (batch,) = rb.read(tmp_path / "x.h5")
    assert batch["b"].view(np.uint8).tolist() == [0, 1, 1, 1]
    assert batch["v"][3].view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("point", [0xFFFFFFFF, 0x110000, 0xD800, 0xDFFF])
@pytest.mark.parametrize("endian", "<>")
def test_text_that_is_no_text_is_an_error_that_names_its_row(tmp_path: Path, point: int, endian: str) -> None:
    path = tmp_path / "x.npy"
    text = np.full((3000, 2), "ab", dtype=f"{endian}U2")
    points = text.view(f"{endian}u4")
    points[2500, 3] = points[2700, 0] = point
    np.save(path, text)
    with pytest.raises(FormatError, match=rf"x\.npy: row 2500 of 'data': U\+{point:04X} is no character") as caught:
        list(rb.read(path))
    assert (caught.value.path, caught.value.record) == (str(path), 2500)
    with rb.open(path) as file:
        assert len(file.take([7, 2])) == 2
        with pytest.raises(FormatError, match="row 2700 of 'data'"):
            file.take([7, 2700, 2500])
    assert not rb.verify(path).ok


def test_the_last_characters_that_there_are_can_be_read(tmp_path: Path) -> None:
    text = np.array(["\U0010ffff", "\ud7ff", "\ue000", ""])
    np.save(tmp_path / "x.npy", text)
    (batch,) = rb.read(tmp_path / "x.npy")
    assert [bytes(row).decode() for row in batch["data"]] == text.tolist()


def test_a_value_that_a_schema_cannot_take_is_named_by_its_row_in_the_file(path: Path) -> None:
    values = np.zeros(3_000_000, dtype=np.int64)
    values[2_500_000] = 300
    save(path, a=values)
    with pytest.raises(SchemaError, match=rf"{path.name}: row 2500000 of field 'a': 300") as caught:
        list(rb.read(path, schema=Schema(Field("a", "int8"))))
    assert (caught.value.path, caught.value.row) == (str(path), 2_500_000)


def test_more_rows_than_so_small_a_file_holds_are_not_listed(path: Path) -> None:
    """Nothing is stored of an HDF5 dataset that nobody wrote, and nothing of rows of no bytes."""
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("data", (9 * 10**7,), "u1", chunks=(1 << 20,))
    else:
        path = path.with_suffix(".npy")
        head = np.lib.format
        with open(path, "wb") as out:
            head.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (9 * 10**7, 0)})
    assert rb.inspect(path).num_rows == 9 * 10**7
    assert len(next(rb.read(path))) == 1024
    target = path.with_suffix(".tfrecord")
    for attempt in (
        lambda: rb.open(path),
        lambda: rb.convert(path, target, shuffle=True),
        lambda: rb.convert(path, target, shards=2),
    ):
        with pytest.raises(FormatError, match=r"90000000 rows, .* 1440000000 bytes.* in order") as caught:
            attempt()
        assert caught.value.path == str(path)
    assert list(path.parent.iterdir()) == [path]


def test_many_rows_of_no_bytes_can_be_picked(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1_000_000, 0)))
    with rb.open(tmp_path / "x.npy") as file:
        assert len(file) == 1_000_000
        assert file[999_999]["data"].shape == (0,)


@pytest.mark.parametrize("shape", [(3, 2**33, 2**31), (3, 2**33, 2**33)])
def test_rows_of_any_claimed_size_are_an_error_that_says_so(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", shape, "u1", chunks=(1, 1, 1 << 20))
    for look in (rb.inspect, rb.open):
        with pytest.raises(FormatError, match=rf"field 'a' claims {math.prod(shape)} bytes of values"):
            look(tmp_path / "x.h5")
