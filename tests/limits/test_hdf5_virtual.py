"""Virtual datasets of HDF5: they kill no process, read no file that lies elsewhere, and hold no values made up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import SchemaError
from tests.limits.probing import INSPECT, READ, outcome


def virtual(path: Path, *sources: tuple[str, str], name: str = "x", count: int = 3, mode: str = "a") -> Path:
    """A dataset of count rows out of each of some sources."""
    layout = h5py.VirtualLayout((count * len(sources),), "<i8")
    for number, (file_name, source) in enumerate(sources):
        layout[number * count : (number + 1) * count] = h5py.VirtualSource(file_name, source, (count,))
    with h5py.File(path, mode) as file:
        file.create_virtual_dataset(name, layout)
    return path


def plain(path: Path, **arrays: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "a") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def blocks(path: Path, file_name: bytes, source: bytes) -> Path:
    """A dataset x0 that is made of as many sources as there are, of names with a number."""
    space = h5py.h5s.create_simple((10,), (h5py.h5s.UNLIMITED,))
    space.select_hyperslab((0,), (h5py.h5s.UNLIMITED,), (10,), (10,))
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_virtual(space, file_name, source, h5py.h5s.create_simple((10,)))
    with h5py.File(path, "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"x0", h5py.h5t.NATIVE_INT64, space, made)
    return path


@pytest.mark.parametrize("code", [READ, INSPECT])
@pytest.mark.parametrize(("file_name", "source"), [(b".", b"x%b"), (b"y%b.h5", b"x0"), (b".", b"%%%b")])
def test_a_name_that_stands_for_many_is_refused_and_kills_no_process(
    tmp_path: Path, file_name: bytes, source: bytes, code: str
) -> None:
    path = blocks(tmp_path / "y0.h5", file_name, source)
    printed = outcome(code, path)
    assert printed.startswith("SchemaError")
    assert "which stands for any number of names; copy its values" in printed


def test_a_file_that_names_itself_by_its_other_name_kills_no_process(tmp_path: Path) -> None:
    path = virtual(tmp_path / "x.h5", ("y.h5", "x"))
    os.link(path, tmp_path / "y.h5")
    assert "which is put together itself" in outcome(READ, path)
    path.unlink()
    path.symlink_to("y.h5")
    assert "which is put together itself" in outcome(READ, path)


def test_two_files_that_are_made_of_each_other_kill_no_process(tmp_path: Path) -> None:
    path = virtual(tmp_path / "x.h5", ("y.h5", "x"))
    virtual(tmp_path / "y.h5", ("x.h5", "x"))
    assert "which is put together itself" in outcome(READ, path)


@pytest.mark.parametrize("name", ["s", "g/s", "/./x"])
def test_a_dataset_that_leads_to_itself_by_links_kills_no_process(tmp_path: Path, name: str) -> None:
    path = virtual(tmp_path / "x.h5", (".", name))
    with h5py.File(path, "a") as file:
        file["s"], file["g/s"] = h5py.SoftLink("/x"), h5py.SoftLink("/s")
    assert "which is put together itself" in outcome("list(rb.read(path, fields=['x']))", path)


def test_per_cent_is_read_as_it_is_meant(tmp_path: Path) -> None:
    plain(tmp_path / "50%.h5", **{"a%b": np.arange(3)})
    (batch,) = rb.read(virtual(tmp_path / "x.h5", ("50%%.h5", "a%%b")))
    assert batch["x"].tolist() == [0, 1, 2]


def outside(tmp_path: Path) -> Path:
    return plain(tmp_path / "elsewhere" / "secret.h5", s=np.arange(3))


def by_path(tmp_path: Path, path: Path) -> None:
    virtual(path, (str(outside(tmp_path)), "s"))


def by_folder(tmp_path: Path, path: Path) -> None:
    outside(tmp_path)
    virtual(path, ("../elsewhere/secret.h5", "s"))


def by_symlink(tmp_path: Path, path: Path) -> None:
    (path.parent / "y.h5").symlink_to(outside(tmp_path))
    virtual(path, ("y.h5", "s"))


def by_external_link(tmp_path: Path, path: Path) -> None:
    virtual(path, (".", "link"))
    with h5py.File(path, "a") as file:
        file["link"] = h5py.ExternalLink(str(outside(tmp_path)), "s")


def by_external_group(tmp_path: Path, path: Path) -> None:
    virtual(path, (".", "soft/s"))
    with h5py.File(path, "a") as file:
        file["link"], file["soft"] = h5py.ExternalLink(str(outside(tmp_path)), "/"), h5py.SoftLink("link")


def by_raw_values(tmp_path: Path, path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(24))
    virtual(path, ("y.h5", "raw"))
    with h5py.File(path.parent / "y.h5", "w") as file:
        file.create_dataset("raw", (3,), "<i8", external=[(str(tmp_path / "secret"), 0, 24)])


def by_another_virtual_one(tmp_path: Path, path: Path) -> None:
    virtual(path, ("y.h5", "x"))
    virtual(path.parent / "y.h5", (str(outside(tmp_path)), "s"))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (by_path, "does not lie beside this one"),
        (by_folder, "does not lie beside this one"),
        (by_symlink, "is a link that leads out of its folder"),
        (by_external_link, "'link', a link to another file"),
        (by_external_group, "'soft/s', a link to another file"),
        (by_raw_values, "keeps its values in another file"),
        (by_another_virtual_one, "which is put together itself"),
    ],
)
def test_a_file_that_lies_elsewhere_is_not_read(tmp_path: Path, make: Callable[[Path, Path], None], why: str) -> None:
    path = tmp_path / "own" / "x.h5"
    path.parent.mkdir()
    make(tmp_path, path)
    for look in (lambda path: rb.open(path, fields=["x"]), lambda path: list(rb.read(path, fields=["x"]))):
        with pytest.raises(SchemaError, match=f"{why}.*copy its values into a plain dataset"):
            look(path)


def test_a_folder_of_links_to_files_that_lie_together_is_read(tmp_path: Path) -> None:
    real, farm = tmp_path / "real", tmp_path / "farm"
    plain(real / "y.h5", s=np.arange(3))
    virtual(real / "x.h5", ("y.h5", "s"))
    farm.mkdir()
    for name in ("x.h5", "y.h5"):
        (farm / name).symlink_to(real / name)
    (batch,) = rb.read(farm / "x.h5")
    assert batch["x"].tolist() == [0, 1, 2]


def test_a_pipe_beside_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "y.h5")
    with pytest.raises(SchemaError, match=r"'y\.h5' is not there"):
        rb.inspect(virtual(tmp_path / "x.h5", ("y.h5", "s")))


def test_a_source_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "y.h5").write_bytes(b"no")
    with pytest.raises(SchemaError, match=r"'y\.h5' cannot be opened"):
        rb.inspect(virtual(tmp_path / "x.h5", ("y.h5", "s")))


@pytest.mark.parametrize("file_name", [".", "y.h5"])
def test_a_source_that_is_not_there_is_not_made_up(tmp_path: Path, file_name: str) -> None:
    path = virtual(tmp_path / "x.h5", (file_name, "part0"), (file_name, "part1"))
    plain(tmp_path / ("x.h5" if file_name == "." else file_name), part0=np.arange(3))
    with pytest.raises(SchemaError, match=r"'part1' is not there in .* HDF5 would fill in for it"):
        list(rb.read(path, fields=["x"]))
    plain(tmp_path / ("x.h5" if file_name == "." else file_name), part1=np.arange(2))
    with pytest.raises(SchemaError, match=r"'part1' .* has the shape \(2,\), and all 3 values are asked of it"):
        list(rb.read(path, fields=["x"]))


def test_a_source_is_asked_for_what_is_mapped_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    layout = h5py.VirtualLayout((2, 2), "<i8")
    layout[:] = h5py.VirtualSource(".", "wide", (9, 9))[1:3, 1:3]
    with h5py.File(path, "w") as file:
        file["wide"] = np.arange(9).reshape(3, 3)
        file.create_virtual_dataset("x", layout)
    (batch,) = rb.read(path, fields=["x"])
    assert batch["x"].tolist() == [[4, 5], [7, 8]]


def test_a_source_that_grows_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    layout = h5py.VirtualLayout((3,), "<i8", maxshape=(None,))
    unlimited = h5py.h5s.UNLIMITED
    layout[:unlimited] = h5py.VirtualSource("y.h5", "s", (3,), maxshape=(None,))[:unlimited]
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file.create_dataset("s", data=np.arange(5), maxshape=(None,))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("x", layout)
    (batch,) = rb.read(path)
    assert batch["x"].tolist() == [0, 1, 2, 3, 4]


def test_a_source_that_ends_before_what_is_mapped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    layout = h5py.VirtualLayout((2, 2), "<i8")
    layout[:] = h5py.VirtualSource(".", "wide", (9, 9))[1:3, 1:3]
    with h5py.File(path, "w") as file:
        file["wide"] = np.arange(6).reshape(3, 2)
        file.create_virtual_dataset("x", layout)
    with pytest.raises(SchemaError, match=r"has the shape \(3, 2\), and what is asked of it ends at \(3, 3\)"):
        list(rb.read(path, fields=["x"]))


@pytest.mark.parametrize("rows", [3, 5])
def test_of_sources_that_grow_none_may_be_shorter_than_the_others(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "x.h5"
    unlimited = h5py.h5s.UNLIMITED
    layout = h5py.VirtualLayout((3, 2), "<i8", maxshape=(None, 2))
    for number, name in enumerate("ab"):
        layout[:unlimited, number] = h5py.VirtualSource(".", name, (3,), maxshape=(None,))[:unlimited]
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("a", data=np.arange(5), maxshape=(None,))
        file.create_dataset("b", data=np.arange(rows), maxshape=(None,))
        file.create_virtual_dataset("x", layout)
    if rows == 5:
        (batch,) = rb.read(path, fields=["x"])
        assert batch["x"].tolist() == [[row, row] for row in range(5)]
    else:
        with pytest.raises(SchemaError, match=r"'b' in '\.', which has 3 of the 5 that others have"):
            list(rb.read(path, fields=["x"]))
