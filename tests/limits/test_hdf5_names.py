"""How many groups and datasets an HDF5 file may have, and how deep. For links that make circles: see test_hdf5.py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.formats import hdf5_links
from tests.limits.probing import INSPECT, OPEN, READ, outcome


def nested(path: Path, depth: int) -> Path:
    """A dataset in so many groups in groups."""
    with h5py.File(path, "w") as file:
        group = file.id
        for _ in range(depth):
            group = h5py.h5g.create(group, b"g")
        h5py.Group(group)["a"] = np.arange(3)
    return path


def test_groups_may_be_so_deep_and_no_deeper(tmp_path: Path) -> None:
    assert rb.inspect(nested(tmp_path / "x.h5", hdf5_links._DEEPEST)).num_rows == 3
    with pytest.raises(FormatError, match=r"y\.h5: has groups in groups, more than 500 deep"):
        rb.inspect(nested(tmp_path / "y.h5", hdf5_links._DEEPEST + 1))


@pytest.mark.parametrize("code", [READ, INSPECT, OPEN])
def test_groups_without_end_take_no_memory(tmp_path: Path, code: str) -> None:
    printed = outcome(code, nested(tmp_path / "x.h5", 30_000), 1 << 28)
    assert (printed[:11], "more than 500 deep" in printed) == ("FormatError", True)


def test_more_datasets_than_any_table_has_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hdf5_links._MOST_NAMES == 100_000
    monkeypatch.setattr(hdf5_links, "_MOST_NAMES", 20)
    for count, fits in ((20, True), (21, False)):
        with h5py.File(tmp_path / f"{count}.h5", "w") as file:
            for number in range(count):
                file[f"a{number}"] = np.arange(3)
        if fits:
            assert len(rb.inspect(tmp_path / "20.h5").schema) == 20
        else:
            with pytest.raises(FormatError, match="more than 20 groups and datasets"):
                rb.inspect(tmp_path / "21.h5")


@pytest.mark.parametrize("group", ["/", "g"])
def test_too_many_names_are_refused_before_any_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(21):
            file.require_group(group)[f"a{number}"] = np.arange(3)
    looked_at = []
    followed = hdf5_links._followed
    monkeypatch.setattr(hdf5_links, "_MOST_NAMES", 20)
    monkeypatch.setattr(
        hdf5_links, "_followed", lambda of, name, fileno: looked_at.append(name) or followed(of, name, fileno)
    )
    with pytest.raises(FormatError, match="more than 20 groups and datasets"):
        rb.inspect(tmp_path / "x.h5")
    assert looked_at == ([] if group == "/" else [b"g"])


@pytest.mark.parametrize("chunk", [(1, 1 << 31), (1 << 25, 1 << 6)])
def test_a_chunk_of_gigabytes_that_was_never_written_takes_no_memory(tmp_path: Path, chunk: tuple[int, int]) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", tuple(2 * size for size in chunk), "u1", chunks=chunk, compression="gzip")
    assert outcome(INSPECT, path, 1 << 28) == f"gave {2 * chunk[0]}"
    printed = outcome("next(rb.read(path))['a'].nbytes", path)
    assert printed.startswith("FormatError") == (chunk[0] == 1)


@pytest.mark.parametrize("file_name", [".", "x.h5"])
@pytest.mark.parametrize("ring", [1, 2])
def test_a_virtual_dataset_that_is_made_of_itself_kills_no_process(tmp_path: Path, file_name: str, ring: int) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["plain"] = np.arange(3, dtype="u1")
        for number in range(ring):
            layout = h5py.VirtualLayout((3,), "u1")
            layout[:] = h5py.VirtualSource(file_name, f"v{(number + 1) % ring}", (3,))
            file.create_virtual_dataset(f"v{number}", layout)
        layout = h5py.VirtualLayout((3,), "u1")
        layout[:] = h5py.VirtualSource(file_name, "plain", (3,))
        file.create_virtual_dataset("sound", layout)
    printed = outcome(READ, path)
    assert printed.startswith("SchemaError")
    assert "which is put together itself" in printed
    (batch,) = rb.read(path, fields=["plain", "sound"])
    assert batch["sound"].tolist() == [0, 1, 2]
