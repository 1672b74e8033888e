"""Batches that are held stay as they are, whatever becomes of their file: nothing that is handed out is mapped."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from tests.feed.program import run_program
from tests.formats.contract import plain

ROWS = 3000
NAMES = ["a.rec", "a.tfrecord", "a.tfrecord.gz", "a.h5", "packed.h5", "a.npz", "packed.npz", "fortran.npz", "a.npy"]


def write(path: Path) -> Path:
    numbers = np.arange(ROWS)
    columns: dict[str, object] = {"data": numbers}
    if path.suffix != ".npy":
        columns |= {"x": np.repeat(numbers[:, None], 3, axis=1), "name": [b"row %d" % row for row in range(ROWS)]}
    options = {"packed.h5": {"compression": "GZIP"}, "packed.npz": {"compression": "DEFLATE"}}.get(path.name, {})
    if path.name == "fortran.npz":
        np.savez_compressed(path, data=numbers, x=np.asfortranarray(columns["x"]))
    else:
        rb.write(path, columns, **options)
    return path


def replace(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))  # in place


SPOIL: dict[str, Callable[[Path], object]] = {
    "removed": os.unlink,
    "cut": lambda path: os.truncate(path, 10),
    "emptied": lambda path: os.truncate(path, 0),
    "written over": replace,
}


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("name", NAMES)
def test_batches_stay_as_they_are_when_the_file_is_spoilt(tmp_path, name, how):
    path = write(tmp_path / name)
    batches = rb.read(path, batch_rows=500)
    held = [next(batches)]
    with rb.open(path) as file:
        held += [file[100:900], file.take([5, 2999, 7])]
    with Feeder(path, 64, shuffle=True, seed=1) as feeder:
        held.append(next(feeder))
    expected = [copy.deepcopy(plain(batch)) for batch in held]
    del batches, file, feeder
    SPOIL[how](path)
    assert [plain(batch) for batch in held] == expected
    for batch in held:
        rb.write(tmp_path / "again.npz", batch, overwrite=True)


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_mapped_while_it_is_read(tmp_path, name):
    """A mapped file that another program cuts would end the process by SIGBUS."""
    path = write(tmp_path / name)
    with rb.open(path) as file, Feeder(path, 64) as feeder:
        held = [next(rb.read(path)), file[3], file[:], next(feeder)]
        assert str(path) not in Path("/proc/self/maps").read_text()
        assert held


CUT = """
    import os, sys
    import recordio_bridge as rb
    from recordio_bridge.feed import Feeder

    path = sys.argv[1]
    batches, file, feeder = rb.read(path, batch_rows=10), rb.open(path), Feeder(path, 10, epochs=None, capacity=1)
    file[0], next(batches), next(feeder)
    os.truncate(path, 10)
    for use in (lambda: list(batches), lambda: file[2999], lambda: list(feeder)):
        try:
            use()
        except rb.BridgeError as err:
            print(type(err).__name__)
    print("alive")
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_another_program_cuts_kills_no_reader(tmp_path, name):
    ended = run_program(CUT, write(tmp_path / name))
    assert ended.returncode == 0, ended.stderr
    told = "FeedError\nalive\n"
    if name not in ("a.tfrecord.gz", "packed.npz", "fortran.npz"):  # of which an open file has a copy of its own
        told = "SourceChangedError\n" + told
    assert ended.stdout.endswith(told)
