"""What the directory of a .npz claims, and ragged columns of .npz and HDF5, whose offsets are held."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.formats import npz_directory
from tests.limits.probing import INSPECT, OPEN, READ, VERIFY, outcome


def array(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


ONE = array(np.ones(1, np.uint8))


def sparse_directory(path: Path, nbytes: int) -> Path:
    """A ZIP64 archive that claims a directory of so many bytes, which are a hole."""
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(nbytes)
        file.seek(nbytes)
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, nbytes - 4, 4))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, nbytes, 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    return path


@pytest.mark.parametrize("code", [READ, INSPECT, OPEN, VERIFY])
def test_a_directory_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, code: str) -> None:
    path = sparse_directory(tmp_path / "x.npz", 8 << 30)
    printed = outcome(code, path, 1 << 28)
    assert "8589934588 bytes, for 1 members as its end says, expected at most 67108864" in printed


def test_a_directory_of_as_many_members_as_are_taken_is_read_and_of_one_more_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert npz_directory.MOST_MEMBERS == 100_000
    monkeypatch.setattr(npz_directory, "MOST_MEMBERS", 20)
    for count, fits in ((20, True), (21, False)):
        path = tmp_path / f"{count}.npz"
        np.savez(path, **{f"a{number}": np.ones(3) for number in range(count)})
        if fits:
            assert len(rb.inspect(path).schema) == count
            continue
        for look in (rb.inspect, rb.open, lambda path: list(rb.read(path))):
            with pytest.raises(FormatError, match=r"21 members as its end says, expected at most .* and 20 members"):
                look(path)


def test_members_are_counted_and_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zipfile goes by the bytes of the directory, whatever number its end says."""
    path = tmp_path / "x.npz"
    np.savez(path, **{f"a{number}": np.ones(3) for number in range(21)})
    data = bytearray(path.read_bytes())
    data[-14:-10] = struct.pack("<2H", 1, 1)
    path.write_bytes(data)
    monkeypatch.setattr(npz_directory, "MOST_MEMBERS", 20)
    with pytest.raises(FormatError, match=r"for 1 members as its end says, expected at most .* and 20 members"):
        rb.inspect(path)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    """Many names for the bytes of one member, as archives have that unpack to petabytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    values = array(np.zeros((1, 1 << 20), np.uint8))
    packed = packer.compress(values) + packer.flush()
    sizes = (zlib.crc32(values), len(packed), len(values))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, *sizes, 9, 0) + b"00000.npy" + packed
    entry = struct.Struct("<4s6H3L5H2L")
    names = [b"%05d.npy" % number for number in range(2000)]
    entries = [entry.pack(b"PK\1\2", 20, 20, 0, 8, 0, 0, *sizes, 9, 0, 0, 0, 0, 0, 0) + name for name in names]
    directory = b"".join(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2000, 2000, len(directory), len(local), 0)
    path = tmp_path / "x.npz"
    path.write_bytes(local + directory + end)
    for look in (rb.inspect, rb.open, lambda path: list(rb.read(path))):
        with pytest.raises(FormatError, match=r"File name in directory '00001\.npy' and header b'00000\.npy' differ"):
            look(path)


def test_names_of_members_are_names_of_fields_and_no_paths(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "x.npz", "w") as archive:
        for name in ("../../up", "/etc/absolute", "con/..", "a/../../b"):
            archive.writestr(f"{name}.npy", ONE)
    for to in ("y.tfrecord", "y.npz", "y.rec"):
        rb.convert(inside / "x.npz", inside / to)
    with rb.open(inside / "x.npz") as file:
        assert set(file[0]) == {"../../up", "/etc/absolute", "con/..", "a/../../b"}
    assert sorted(os.listdir(tmp_path)) == ["inside"]


@pytest.mark.parametrize("code", [READ, INSPECT, OPEN, VERIFY])
def test_packed_offsets_are_refused_before_they_are_unpacked(tmp_path: Path, code: str) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **{"a/values": np.zeros(0, np.uint8), "a/offsets": np.zeros(140_000_000, np.int64)})
    assert "'a/offsets' has 140000000 entries" in outcome(code, path, 1 << 28)


@pytest.mark.parametrize("rows", [1 << 30, 10**15])
def test_offsets_of_hdf5_that_were_never_written_are_refused(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a/offsets", (rows,), "i8", chunks=(1024,))
        file.create_dataset("a/values", (10,), "u1")
    for look in (rb.inspect, rb.open, lambda path: list(rb.read(path))):
        with pytest.raises(FormatError, match=f"'a/offsets' has {rows} entries.*expected at most 134217728"):
            look(path)


def test_a_directory_whose_end_lies_as_far_from_that_of_the_file_as_zipfile_looks_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3), b=np.arange(3))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    data[end + 8 : end + 12] = struct.pack("<2H", 1, 1)  # members: there are two
    data[end + 20 : end + 22] = b"\xff\xff"
    for comment in (65_535, 65_536):  # zipfile takes one byte more than its size can say
        path.write_bytes(bytes(data) + b"x" * comment)
        with pytest.raises(FormatError, match=r"lists 2 members"):
            rb.inspect(path)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_ragged_column_of_which_most_is_empty_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    path, rows = tmp_path / f"x{suffix}", 17_000_000
    offsets = np.arange(rows + 1) // 1000
    if suffix == ".npz":
        np.savez_compressed(path, **{"a/offsets": offsets, "a/values": np.zeros(rows // 1000, np.uint8)})
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("a/offsets", data=offsets, chunks=(1 << 20,), compression="gzip", shuffle=True)
            file["a/values"] = np.zeros(rows // 1000, np.uint8)
    assert rb.inspect(path).num_rows == rows
