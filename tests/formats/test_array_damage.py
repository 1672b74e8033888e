"""Files of arrays that are damaged, or made to mislead: what is wrong is found, nothing is read as what it is not."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError, SchemaError
from recordio_bridge.formats import arrays


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
    with pytest.raises(FormatError, match="choose them with fields="):
        rb.inspect(path)
    (batch,) = rb.read(path, fields=["x/offsets", "x/values"])
    assert {name: batch[name].tolist() for name in batch} == {"x/offsets": [5, 6, 7], "x/values": [0, 1, 2]}


def test_offsets_of_fields_that_are_not_wanted_are_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, y=np.arange(3), x__values=np.arange(3), x__offsets=np.array([0, 2, 3, 3]))
    joined: list[str] = []
    real = arrays.RaggedColumn.__init__

    def spy(self: arrays.RaggedColumn, name: str, *rest: object) -> None:
        joined.append(name)
        real(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(arrays.RaggedColumn, "__init__", spy)
    rb.convert(path, path.with_suffix(".tfrecord"), select=["y=y"])
    assert joined == []
