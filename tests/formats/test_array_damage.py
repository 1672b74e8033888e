"""Files of arrays that are damaged, or made to mislead: what is wrong is found, nothing is read as what it is not."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError


def save(path: Path, **arrays: np.ndarray) -> Path:
    """The arrays in a file of the format that the suffix names; __ in a name stands for /."""
    named = {name.replace("__", "/"): values for name, values in arrays.items()}
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
