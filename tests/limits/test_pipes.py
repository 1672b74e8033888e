"""Pipes and devices in the place of files: nobody waits for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from tests.samples import image_rec

LOOKS = {
    "inspect": rb.inspect,
    "open": rb.open,
    "read": lambda path: list(rb.read(path)),
    "convert": lambda path: rb.convert(path, path.parent / "y.npz"),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("suffix", [".rec", ".tfrecord", ".tfrecord.gz", ".npz", ".npy", ".h5", ".bin"])
def test_a_pipe_in_the_place_of_a_file_is_an_error_at_once(tmp_path: Path, suffix: str, look: str) -> None:
    path = tmp_path / f"x{suffix}"
    os.mkfifo(path)
    with pytest.raises(FormatError, match=rf"x{suffix}: is a pipe or a device, and not a file.*; save what comes"):
        LOOKS[look](path)


def test_verify_says_so_of_pipes_and_devices(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.symlink_to("/dev/zero")
    assert "is a pipe or a device" in rb.verify(path).problems[0].message


def test_a_pipe_as_index_or_list_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = image_rec(tmp_path / "x.rec", 3)
    os.mkfifo(tmp_path / "x.lst")
    with pytest.raises(FormatError, match=r"x\.lst: is a pipe or a device"):
        list(rb.read(path, labels=str(tmp_path / "x.lst")))
    index = path.with_suffix(".idx")
    index.unlink(missing_ok=True)
    os.mkfifo(index)
    with pytest.raises(FormatError, match=r"x\.idx: is a pipe or a device"):
        rb.open(path)
