"""Temporary files: made under names that nobody has and nobody can guess, with the rights that the umask leaves.

What waits in the folder for temporary files, which others share, is the user's alone.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import files, temporary
from tests.migrate.trees import rec_tree
from tests.samples import contents, image_rec

UMASKS = [0o077, 0o022, 0o002]


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_the_umask_decides_who_may_read_each_file_of_each_format(tmp_path: Path, umask: int) -> None:
    rows = {"id": np.arange(3), "image": [b"a", b"b", b"c"]}
    for name in ("a.rec", "a.tfrecord", "a.tfrecord.gz", "a.npz", "a.h5"):
        rb.write(tmp_path / name, rows)
        rb.convert(tmp_path / name, tmp_path / f"of-{name}", shards=2, shuffle=True, seed=1)
    rb.write(tmp_path / "b.npy", {"data": np.zeros(3)})
    rb.index(tmp_path / "a.tfrecord")
    assert modes(tmp_path) == {0o666 & ~umask}


def test_the_umask_decides_who_may_read_all_of_a_migration(tmp_path: Path, umask: int) -> None:
    src = rec_tree(tmp_path / "src", [5, 6])

    def stop(event: object) -> None:
        if getattr(event, "files", 0) and getattr(event, "phase", "") == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, on_event=stop)
    assert modes(tmp_path / "out") == {0o666 & ~umask}
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, resume=True)
    assert modes(tmp_path / "out") == {0o666 & ~umask}


@pytest.mark.parametrize("before", [0o600, 0o640, 0o444])
def test_a_file_that_takes_the_place_of_another_has_the_rights_of_a_new_one(
    tmp_path: Path, umask: int, before: int
) -> None:
    source, target = image_rec(tmp_path / "x.rec", 3), tmp_path / "y.tfrecord"
    target.touch(mode=before)
    rb.convert(source, target, overwrite=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_what_others_share_holds_nothing_that_they_can_read(
    tmp_path: Path, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain copies of packed sources, copies of remote ones, what is to be uploaded, and rows on their way."""
    before = os.umask(0o002)
    seen: dict[str, int] = {}
    made = os.open

    def watched(path: object, *args: object, **kwargs: object) -> int:
        fd = made(path, *args, **kwargs)  # type: ignore[arg-type]  # whatever it is called with
        for place in [workshop, *workshop.rglob("*")]:
            try:
                status = place.lstat()
            except FileNotFoundError:
                continue
            if place.parent == workshop:
                seen[place.name] = stat.S_IMODE(status.st_mode)
        return fd

    monkeypatch.setattr(os, "open", watched)
    store = fsspec.filesystem("memory")
    try:
        np.savez_compressed(tmp_path / "x.npz", a=np.arange(1000))
        with rb.open(tmp_path / "x.npz") as file:
            assert file[999]["a"] == 999
            seen |= {place.name: stat.S_IMODE(place.stat().st_mode) for place in workshop.iterdir()}
        rb.convert(tmp_path / "x.npz", "memory://limits/x.tfrecord", shards=2)
        rb.convert(tmp_path / "x.npz", "memory://limits/x.h5")
        rb.convert("memory://limits/x.h5", tmp_path / "y.tfrecord", shuffle=True, seed=1)
    finally:
        os.umask(before)
        store.rm("/limits", recursive=True)
    assert seen
    assert {name: oct(mode) for name, mode in seen.items() if mode & 0o077} == {}
    assert list(workshop.iterdir()) == []


def test_a_link_at_the_name_of_a_temporary_file_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can guess the name; and if they did, it would be of no use."""
    (tmp_path / "mine").write_bytes(b"mine")
    monkeypatch.setattr(temporary, "temporary_name", lambda place: f"{tmp_path}/guessed")
    for planted in ("link", "dead link", "file"):
        if planted == "file":
            (tmp_path / "guessed").write_bytes(b"mine")
        else:
            (tmp_path / "guessed").symlink_to(tmp_path / ("mine" if planted == "link" else "nowhere"))
        for make in (files.Output, files.Scratch):
            with pytest.raises(FileExistsError):
                make(str(tmp_path / "y"))
        (tmp_path / "guessed").unlink()
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {"mine": b"mine"}


def test_names_of_temporary_files_cannot_be_guessed(tmp_path: Path) -> None:
    names = {temporary.temporary_name(str(tmp_path / "y")) for _ in range(100)}
    assert len({name.rpartition("-")[2] for name in names}) == 100


@pytest.mark.parametrize("to", ["y.tfrecord", "y.rec", "y.npz", "y.h5", "y.npy", "memory://limits-left/y.h5"])
def test_nothing_is_left_of_what_failed(tmp_path: Path, workshop: Path, to: str) -> None:
    path = image_rec(tmp_path / "x.rec", 300)
    os.truncate(path, path.stat().st_size - 20)
    target = to if "://" in to else tmp_path / to
    before = contents(tmp_path)
    with pytest.raises(rb.BridgeError):
        rb.convert(path, target, shards=3, shuffle=True, seed=1, source_options={"payload": "image"})
    with pytest.raises(rb.BridgeError):
        rb.convert(path, target, source_options={"payload": "image"})
    assert contents(tmp_path) == before
    assert list(workshop.iterdir()) == []


@pytest.mark.parametrize(("suffix", "compression"), [(".gz", "GZIP"), (".zz", "ZLIB")])
def test_what_fills_the_disk_while_it_is_unpacked_is_an_error_and_goes(
    tmp_path, workshop, monkeypatch, suffix, compression
):
    """32 MB of zeros are 32 kB when packed."""
    packed = tmp_path / f"a.tfrecord{suffix}"
    rb.write(packed, {"x": np.zeros((8, 1_000_000), np.float32)}, compression=compression)
    left, write = [10_000_000], os.write

    def until_full(fd: int, data: bytes) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(os, "write", until_full)
    with pytest.raises(OSError, match=r"No space left on device for .* more bytes after") as error:
        rb.open(packed)
    assert str(workshop) in str(error.value.filename)
    assert os.listdir(workshop) == []
