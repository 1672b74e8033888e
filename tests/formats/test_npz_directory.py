"""The directory of a .npz: it lists every array, or is refused."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.formats.base import ALARM
from tests.cli.running import run

ARRAYS = {"x": np.arange(6), "y": np.arange(12.0).reshape(6, 2), "z": np.arange(6) % 2 == 0}


def saved(path: Path) -> bytearray:
    """Three arrays, stored."""
    np.savez(path, **ARRAYS)
    return bytearray(path.read_bytes())


def with_zip64_end(data: bytes) -> bytearray:
    """The same file with the ends that a file of more than 4 GiB, or 65535 members, has."""
    count, nbytes, start = struct.unpack("<H2I", data[-12:-2])
    body = bytes(data[:-22])
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, nbytes, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(body), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytearray(body + end64 + locator + end)


def commented(data: bytearray, entry: int, high: int) -> bytearray:
    """The high byte of an entry's comment length set."""
    at = data.index(b"PK\x01\x02")
    for _ in range(entry):
        at = data.index(b"PK\x01\x02", at + 1)
    data[at + 33] = high
    return data


@pytest.mark.parametrize("ends", [bytearray, with_zip64_end])
def test_one_flipped_bit_that_hides_arrays_is_an_error_and_no_shorter_list(tmp_path, capsys, ends):
    path = tmp_path / "x.npz"
    path.write_bytes(commented(ends(saved(path)), entry=1, high=0x10))
    with np.load(path) as file:
        assert file.files == ["x", "y"]  # what was lost in silence
    for look in (rb.inspect, lambda path: list(rb.read(path)), lambda path: rb.convert(path, tmp_path / "y.h5")):
        with pytest.raises(FormatError, match=r"x\.npz: .*directory"):
            look(path)
    assert run(capsys, "verify", path).code == 3


@pytest.mark.parametrize("ends", [bytearray, with_zip64_end])
def test_a_directory_that_holds_fewer_or_more_than_its_end_says_is_an_error(tmp_path, ends):
    path = tmp_path / "x.npz"
    data = ends(saved(path))
    at = data.index(b"PK\x06\x06") + 24 if ends is with_zip64_end else len(data) - 14
    for place in (at, at + (8 if ends is with_zip64_end else 2)):  # of this disk, and of all
        for count in (2, 4):
            changed = bytearray(data)
            changed[place] = count
            path.write_bytes(changed)
            with pytest.raises(FormatError, match=rf"lists 3 members, .*\b{count}\b"):
                rb.inspect(path)


def test_a_sound_directory_with_zip64_ends_a_comment_or_a_folder_is_read(tmp_path):
    path = tmp_path / "x.npz"
    data = saved(path)
    commentary = b"a comment"
    for variant in (
        with_zip64_end(data),
        data[:-2] + struct.pack("<H", len(commentary)) + commentary,
    ):
        path.write_bytes(variant)
        (batch,) = rb.read(path)
        assert all(np.array_equal(batch[name], ARRAYS[name]) for name in ARRAYS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b""
        archive.writestr("folder/", b"")  # a folder is nothing to be lost
    assert rb.inspect(path).notes == ()
    np.savez(path)
    assert rb.inspect(path).num_rows == 0


def test_any_flipped_bit_of_an_entry_and_of_the_end_is_told(tmp_path, caplog):
    path = tmp_path / "x.npz"
    data = saved(path)
    entry = data.index(b"PK\x01\x02")
    for position in (*range(entry, data.index(b"PK\x01\x02", entry + 1)), *range(len(data) - 22, len(data))):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            caplog.clear()
            try:
                (batch,) = rb.read(path)
            except rb.BridgeError:
                continue
            lost = set(ARRAYS) - set(batch)
            assert not lost or ALARM in caplog.text, (position, bit)
            assert all(np.array_equal(batch[name], ARRAYS[name]) for name in batch)


def test_a_member_that_is_no_array_is_a_warning_also_where_no_notes_are_wanted(tmp_path, capsys):
    path = tmp_path / "x.npz"
    saved(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("f.Npy", b"not looked at")
    summary = rb.inspect(path)
    (warning,) = summary.warnings
    assert warning in summary.notes
    assert warning == (
        f"{ALARM}{path}: the member 'f.Npy' is left out, as its name does not end in .npy, as that of an array does"
    )
    for verb in (["convert", path, tmp_path / "y.h5"], ["head", path], ["info", path], ["verify", path]):
        outcome = run(capsys, *verb, "-q")
        assert outcome.code == 0
        assert outcome.stderr.count("'f.Npy'") == 1, verb


@pytest.mark.parametrize("name", [b"a. npy", b"a.npY", b"a.np\x80", b"\0.npy"])
def test_an_array_whose_name_is_damaged_in_the_directory_is_no_member_to_leave_out(tmp_path, name):
    """The name before the member still says that it is an array; numpy refuses to open it."""
    path = tmp_path / "x.npz"
    np.savez(path, **{"a" * (len(name) - 4): np.arange(3), "b": np.arange(3)})
    data = path.read_bytes()
    entry = data.index(b"PK\x01\x02") + 46
    path.write_bytes(data[:entry] + name + data[entry + len(name) :])
    with np.load(path) as file, pytest.raises(zipfile.BadZipFile):
        [file[key] for key in file.files]
    for attempt in (rb.inspect, rb.open, lambda path: list(rb.read(path, fields=["b"]))):
        with pytest.raises(
            FormatError, match=r"x\.npz: the directory calls a member '.*', and 'a+\.npy' stands before"
        ):
            attempt(path)
    assert not rb.verify(path).ok


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63 - 31, 2**62, 10**6])
def test_a_member_to_leave_out_that_begins_beyond_the_file_is_an_error(tmp_path, offset):
    path = tmp_path / "x.npz"
    saved(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("f.txt", b"not looked at")
        archive.infolist()[-1].header_offset = offset  # which zipfile writes as ZIP64
    with pytest.raises(FormatError, match=r"x\.npz"):
        rb.inspect(path)
    assert not rb.verify(path).ok


def test_a_zip_without_arrays_is_an_error(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", b"a")
        archive.writestr("y.txt", b"b")
    with pytest.raises(FormatError, match=r"x\.npz: holds no array \(NAME\.npy\), only 'x\.txt', 'y\.txt'"):
        rb.inspect(path)


@pytest.mark.parametrize(
    "look", [lambda path: rb.open(path)[:], lambda path: rb.convert(path, path.with_suffix(".h5"), shards=2)]
)
def test_a_compressed_file_is_unpacked_also_where_a_member_is_no_array(tmp_path, caplog, look):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **ARRAYS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.xpy", b"not looked at")
    look(path)
    assert "the member 'y.xpy' is left out" in caplog.text
    with rb.open(path) as file:
        assert sorted(file.schema) == sorted(ARRAYS)


@pytest.mark.parametrize("before", [b"", b"#" * 70, None], ids=["behind", "before", "two archives"])
def test_bytes_that_belong_to_no_member_are_an_error(tmp_path, before):
    """numpy passes over them in silence: of two archives, one behind the other, it reads the last."""
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(5))
    data = path.read_bytes()
    path.write_bytes((data if before is None else before) + data + (b"" if before != b"" else b"four"))
    with pytest.raises(FormatError, match=r"70 bytes stand before|4 behind it|one behind the other"):
        list(rb.read(path))
