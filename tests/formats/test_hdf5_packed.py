"""Chunks that deflate or LZF packed: read as h5py reads them, and an error where they are of another size."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.formats.hdf5_packed import PackedChunks
from tests.limits.probing import outcome

PIPELINES = [
    {"compression": "gzip"},
    {"compression": "gzip", "shuffle": True},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"compression": "gzip", "fletcher32": True},
    {"compression": "lzf"},
    {"compression": "lzf", "shuffle": True, "fletcher32": True},
]
DTYPES = ["u1", "<i2", ">i4", "<i8", ">f4", "<f8", "<f2", "?"]
SHAPES = [((13,), (4,)), ((4,), (4,)), ((3,), (8,)), ((13, 5), (4, 5)), ((13, 5), (4, 2)), ((9, 4, 6), (2, 3, 4))]


def values_of(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)


def rows_of(path: Path, rows: int) -> np.ndarray:
    """All rows, read so many at a time."""
    batches = [np.asarray(batch["x"]) for batch in rb.read(path, batch_rows=rows)]
    return np.concatenate(batches)


def all_ways(path: Path, many: int) -> list[Callable[[], object]]:
    return [
        lambda: list(rb.read(path)),
        lambda: list(rb.read(path, batch_rows=1)),
        lambda: [rb.open(path)[number] for number in range(many)],
        lambda: rb.convert(path, path.with_suffix(".npz"), overwrite=True),
    ]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=["+".join(each) for each in PIPELINES])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_those_of_h5py(tmp_path, dtype, pipeline):
    for number, (shape, chunk) in enumerate(SHAPES):
        path = tmp_path / f"{number}.h5"
        maxshape = (None, *shape[1:])
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=values_of(dtype, shape), chunks=chunk, maxshape=maxshape, **pipeline)
        with h5py.File(path) as file:
            theirs = file["x"][:]
        for rows in (1, 3, 64):
            found = rows_of(path, rows)
            assert found.dtype == theirs.dtype.newbyteorder("=")
            assert np.array_equal(found, theirs)
        taken = np.random.default_rng(2).integers(0, shape[0], 20)
        assert np.array_equal(rb.open(path).take(taken)["x"], theirs[taken])


@pytest.mark.parametrize(("most", "chunks"), [(0, 0), (15, 0), (16, 1), (47, 2), (1 << 20, 4)])
def test_no_more_of_the_chunks_is_kept_than_is_allowed(tmp_path, most, chunks):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(13, dtype="<i4"), chunks=(4,), compression="gzip")
    with h5py.File(tmp_path / "x.h5") as file:
        packed = PackedChunks.of("x", "x", file["x"], most)
        for start in range(13):
            assert packed.read(start, start + 1).tolist() == [start]
        assert len(packed._kept) == chunks


def test_a_table_of_columns_is_that_of_h5py(tmp_path):
    dtype = np.dtype([("a", "<i4"), ("b", ">f8"), ("c", "u1")])
    table = np.zeros(10, dtype)
    table["a"], table["b"], table["c"] = range(10), np.arange(10) / 3, range(10)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("t", data=table, chunks=(4,), compression="gzip", shuffle=True)
    rows = [row for each in rb.read(tmp_path / "x.h5", batch_rows=3) for row in each.rows()]
    assert [tuple(row.values()) for row in rows] == [tuple(each) for each in table.tolist()]


def test_chunks_that_were_never_written_are_filled_as_by_h5py(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (20, 3), "<i4", chunks=(4, 2), compression="gzip", shuffle=True, fillvalue=7)
        data[5:9] = 1
    with h5py.File(tmp_path / "x.h5") as file:
        theirs = file["x"][:]
    for rows in (1, 3, 64):
        assert np.array_equal(rows_of(tmp_path / "x.h5", rows), theirs)


def test_threads_may_unpack_chunks_of_several_files_at_once(tmp_path):
    """HDF5 knows no threads, and h5py does not keep them apart in all of its calls: the process ended."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in "abc":
            file.create_dataset(name, data=np.arange(1000), chunks=(7,), compression="gzip")

    def unpack(name: str) -> int:
        with h5py.File(tmp_path / "x.h5") as file:
            packed = PackedChunks.of(name, name, file[name], 0)
            rounds = [packed.read(start, min(start + 7, 1000)) for _ in range(5) for start in range(0, 1000, 7)]
        return int(sum(map(np.sum, rounds)))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as threads:
            assert list(threads.map(unpack, "abcabc")) == [5 * sum(range(1000))] * 6
    finally:
        sys.setswitchinterval(interval)


# ---- chunks of another size ----


def with_chunk(path: Path, dtype: str, packed: bytes, mask: int = 0, **pipeline: object) -> Path:
    """Eight values in two chunks, of which the first is given."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (8,), dtype, chunks=(4,), **{"compression": "gzip", **pipeline})
        data[4:] = np.arange(4).astype(dtype)
        file.flush()
        data.id.write_direct_chunk((0,), packed, mask)
    return path


def refused(path: Path, found: str) -> None:
    for way in all_ways(path, 8):
        with pytest.raises(FormatError, match=rf"x\.h5: dataset 'x': its chunk at \[0\] unpacks to {found} bytes, exp"):
            way()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<f4"])
@pytest.mark.parametrize("nbytes", [0, 4, 15])
def test_a_chunk_that_unpacks_to_fewer_bytes_is_refused(tmp_path, dtype, shuffle, nbytes):
    """HDF5 gives what lies in memory behind them, another time something else."""
    refused(with_chunk(tmp_path / "x.h5", dtype, zlib.compress(bytes(nbytes)), shuffle=shuffle), str(nbytes))


def test_a_chunk_that_unpacks_to_more_bytes_is_refused(tmp_path):
    refused(with_chunk(tmp_path / "x.h5", "<i4", zlib.compress(bytes(17))), "more than 16")


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_so_it_is_behind_a_chunk_that_was_never_written(tmp_path, rows):
    """HDF5 read all of these rows, as nobody else knows what fills such a chunk."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (8, 3), "<i4", chunks=(4, 2), compression="gzip")
        data.id.write_direct_chunk((0, 2), zlib.compress(bytes(4)))
    with pytest.raises(FormatError, match=r"its chunk at \[0, 2\] unpacks to 4 bytes, expected 32"):
        rows_of(tmp_path / "x.h5", rows)


def test_so_it_is_where_only_hdf5_can_read_the_values(tmp_path):
    text = h5py.string_dtype(length=4)
    refused(with_chunk(tmp_path / "x.h5", text, zlib.compress(bytes(3))), "3")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file.create_dataset("x", (8,), h5py.string_dtype(), chunks=(4,), compression="gzip")
        file["x"][:] = [b"row"] * 8
    assert [row["x"] for batch in rb.read(tmp_path / "y.h5") for row in batch.rows()] == [b"row"] * 8
    with h5py.File(tmp_path / "y.h5", "a") as file:
        file["x"].id.write_direct_chunk((4,), zlib.compress(bytes(17)))
    with pytest.raises(FormatError, match=r"its chunk at \[4\] unpacks to 17 bytes, expected 64"):
        list(rb.read(tmp_path / "y.h5", batch_rows=1))


def fletcher32(data: bytes) -> bytes:
    """The checksum that HDF5 puts behind a chunk, as it makes it."""
    with h5py.File("probe", "w", driver="core", backing_store=False) as file:
        probe = file.create_dataset("x", (len(data),), "u1", chunks=(len(data),), fletcher32=True)
        probe[:] = np.frombuffer(data, np.uint8)
        file.flush()
        return probe.id.read_direct_chunk((0,))[1][-4:]


def test_so_it_is_behind_a_checksum(tmp_path):
    packed = zlib.compress(bytes(4))
    refused(with_chunk(tmp_path / "x.h5", "<i4", packed + fletcher32(packed), fletcher32=True), "4")


def test_a_chunk_that_deflate_made_no_smaller_is_read_and_a_short_one_refused(tmp_path):
    sound = np.arange(4, dtype="<i4").tobytes()
    path = with_chunk(tmp_path / "sound.h5", "<i4", sound, 1)
    assert rows_of(path, 3).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    refused(with_chunk(tmp_path / "x.h5", "<i4", sound[:7], 1), "7")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-6], lambda data: b"no zlib" + data, lambda data: data[:-1] + b"x"]
)
def test_a_chunk_that_is_damaged_otherwise_is_refused_by_hdf5(tmp_path, damage):
    path = with_chunk(tmp_path / "x.h5", "<i4", damage(zlib.compress(bytes(range(16)))))
    for way in all_ways(path, 8):
        with pytest.raises(FormatError, match=r"x\.h5: dataset 'x'.*damaged"):
            way()


def test_a_chunk_that_unpacks_to_a_gigabyte_takes_no_memory(tmp_path):
    stream = zlib.compressobj(9)
    packed = b"".join([*(stream.compress(bytes(1 << 24)) for _ in range(64)), stream.flush()])
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:  # a small chunk cannot say that it takes so many bytes
        data = file.create_dataset("x", (1 << 17,), "<i4", chunks=(1 << 16,), compression="gzip")
        data.id.write_direct_chunk((0,), packed)
    assert "unpacks to more than 262144 bytes" in outcome("list(rb.read(path))", path, 1 << 27)


# ---- LZF ----


def lzf(data: bytes) -> bytes:
    """A stream of literals alone."""
    pieces = [data[at : at + 32] for at in range(0, len(data), 32)]
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("nbytes", [4, 15, 17, 999])
def test_a_chunk_that_lzf_unpacks_to_another_size_is_refused(tmp_path, shuffle, nbytes):
    path = with_chunk(tmp_path / "x.h5", "<i4", lzf(bytes(nbytes)), compression="lzf", shuffle=shuffle)
    refused(path, str(nbytes))


def test_so_it_is_of_lzf_behind_a_checksum(tmp_path):
    packed = lzf(bytes(4))
    content = packed + fletcher32(packed)
    refused(with_chunk(tmp_path / "x.h5", "<i4", content, compression="lzf", fletcher32=True), "4")


def test_a_chunk_that_lzf_made_no_smaller_is_read_and_a_short_one_refused(tmp_path):
    sound = np.arange(4, dtype="<i4").tobytes()
    path = with_chunk(tmp_path / "sound.h5", "<i4", sound, 1, compression="lzf")
    assert rows_of(path, 3).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    refused(with_chunk(tmp_path / "x.h5", "<i4", sound[:7], 1, compression="lzf"), "7")


def test_a_chunk_that_lzf_cannot_unpack_is_refused_by_hdf5(tmp_path):
    path = with_chunk(tmp_path / "x.h5", "<i4", lzf(bytes(16))[:-1], compression="lzf")
    for way in all_ways(path, 8):
        with pytest.raises(FormatError, match=r"x\.h5: dataset 'x'.*damaged"):
            way()


def test_a_chunk_that_lzf_unpacks_to_a_gigabyte_takes_no_memory(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (1 << 24,), "u1", chunks=(1 << 23,), compression="lzf")
        data.id.write_direct_chunk((0,), b"\0a" + b"\xe0\xff\0" * 2_790_000)
    assert "unpacks to 736560001 bytes, expected 8388608" in outcome("list(rb.read(path))", path, 1 << 27)
