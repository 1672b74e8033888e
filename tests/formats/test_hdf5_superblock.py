"""HDF5 files one behind the other, of which HDF5 reads the first, and other bytes behind the end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from tests.cli.running import run

KINDS = [
    {},
    {"userblock_size": 512},
    {"userblock_size": 2048, "libver": "v108"},
    {"libver": "v108"},
    {"libver": "latest"},
    {"driver": "core"},
]


def write(path: Path, rows: int = 5, **kind: object) -> Path:
    with h5py.File(path, "w", **kind) as file:
        file["x"] = np.arange(rows)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_of_two_files_in_one_neither_is_read(tmp_path, capsys, kind):
    first, second = write(tmp_path / "a.h5", **kind), write(tmp_path / "b.h5", 7)
    both = tmp_path / "both.h5"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    with h5py.File(both) as file:
        assert len(file["x"]) == 5, "h5py says nothing of the second"
    for read in (rb.inspect, rb.open, lambda path: list(rb.read(path))):
        with pytest.raises(FormatError, match=f"both.h5: another HDF5 file begins at byte {first.stat().st_size}"):
            read(both)
    assert not rb.verify(both).ok
    done = run(capsys, "convert", both, tmp_path / "x.tfrecord")
    assert (done.code, "take them apart" in done.stderr) == (1, True)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("more", [b"", b"\0", b"\x89HDF\r\n\x1a", b"x" * 5000 + b"\x89HDF\r\n\x1a\n"])
def test_what_else_lies_behind_the_end_is_no_error(tmp_path, kind, more):
    path = write(tmp_path / "a.h5", **kind)
    path.write_bytes(path.read_bytes() + more)
    assert rb.inspect(path).num_rows == 5


@pytest.mark.parametrize("at", range(8, 96))
def test_a_superblock_with_a_byte_of_another_value_is_no_crash(tmp_path, at):
    path = write(tmp_path / "a.h5")
    sound = path.read_bytes()
    for value in (0, 1, 127, 255):
        path.write_bytes(sound[:at] + bytes([value]) + sound[at + 1 :])
        with suppress(FormatError):
            assert rb.inspect(path).num_rows == 5
