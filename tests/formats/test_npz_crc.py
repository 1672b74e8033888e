"""The CRC-32 of members of a .npz: numpy compares it whenever it reads one, and so do we, whichever way it is read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import ChecksumError
from recordio_bridge.formats import npz

ROWS = 3000  # of which a block has fewer, as _BLOCK says
_BLOCK = 1 << 14

GRID = np.arange(ROWS * 4).reshape(ROWS, 4)
PAIRS = np.zeros(ROWS, dtype=[("x", "<i8"), ("y", "<f4")])
MEMBERS = {
    "c order": {"a": GRID},
    "fortran": {"a": np.asfortranarray(GRID)},
    "structured": {"a": PAIRS},
    "text": {"a": np.full(ROWS, "abcd")},
    "values": {"a/values": np.arange(ROWS * 4), "a/offsets": np.arange(ROWS + 1) * 4},
}
WAYS: dict[str, Callable[[Path], object]] = {
    "read": lambda path: list(rb.read(path)),
    "read all": lambda path: next(rb.read(path, batch_rows=ROWS)),
    "convert": lambda path: rb.convert(path, path.with_suffix(".tfrecord")),
    "shards": lambda path: rb.convert(path, path.with_suffix(".tfrecord"), shards=2),
    "workers": lambda path: rb.convert(path, path.with_suffix(".tfrecord"), shards=2, workers=2),
    "shuffle": lambda path: rb.convert(path, path.with_suffix(".tfrecord"), shuffle=True),
    "open": lambda path: rb.open(path),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recordio_bridge.formats.arrays.BLOCK", _BLOCK)


def flip(path: Path, member: str, byte: int) -> None:
    """Flip a bit of a stored member, at so many bytes from its end."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{member}.npy")
    data = bytearray(path.read_bytes())
    name, extra = (int.from_bytes(data[info.header_offset + at :][:2], "little") for at in (26, 28))
    data[info.header_offset + 30 + name + extra + info.file_size - byte] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_a_flipped_bit_of_a_stored_member_is_found(tmp_path: Path, members: dict[str, np.ndarray], way: str) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **members)
    WAYS[way](path)
    for file in tmp_path.glob("*.tfrecord*"):
        file.unlink()
    flip(path, next(iter(members)), byte=5000)
    with pytest.raises(ChecksumError, match=r"x\.npz: member 'a.*\.npy': CRC-32 is \w{8}, expected \w{8}"):
        WAYS[way](path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_verify_finds_it_also_where_the_file_was_sound_a_moment_ago(
    tmp_path: Path, members: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **members)
    rb.open(path).close()
    assert rb.verify(path).ok
    when = path.stat()
    flip(path, next(iter(members)), byte=5000)
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))  # as where the disk lost it
    assert not rb.verify(path).ok


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_member_without_rows_is_compared_too(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "x.npz"
    save(path, a=np.zeros((0, 3), dtype=np.float32))
    assert sum(map(len, rb.read(path))) == 0
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        crc = archive.getinfo("a.npy").CRC.to_bytes(4, "little")
    path.write_bytes(data.replace(crc, bytes(4)))
    with pytest.raises(ChecksumError):
        list(rb.read(path))
    assert not rb.verify(path).ok


def test_a_member_is_read_for_its_crc_once_a_process_while_its_file_stays_as_it_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=GRID)
    before = npz._crc_of.cache_info().misses
    for _ in range(3):
        rb.open(path).close()
    assert npz._crc_of.cache_info().misses == before + 1
    np.savez(path, a=GRID + 1)
    rb.open(path).close()
    assert npz._crc_of.cache_info().misses == before + 2


def test_only_the_fields_that_are_wanted_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=GRID, b=np.arange(ROWS))
    flip(path, "a", byte=5000)
    with rb.open(path, fields=["b"]) as file:
        assert file[7]["b"] == 7
    assert sum(map(len, rb.read(path, fields=["b"]))) == ROWS
