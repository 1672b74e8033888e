"""HDF5, against h5py itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Ragged, Schema, SchemaError
from recordio_bridge.formats import arrays, hdf5
from recordio_bridge.migrate import shuffled

from . import plugin_filter
from .contract import FormatContract, plain, rows_of
from .test_npz import ALL


class TestHdf5(FormatContract):
    format = hdf5.FORMAT
    schema = ALL
    suffix = ".h5"


class TestGzippedHdf5(FormatContract):
    format = hdf5.FORMAT
    schema = ALL.pick(["pixels", "image", "id"])
    suffix = ".hdf5"
    options = {"compression": "GZIP"}  # noqa: RUF012  # read only


class TestLzfHdf5(FormatContract):
    format = hdf5.FORMAT
    schema = ALL.pick(["boxes", "tags", "flag"])
    suffix = ".h5"
    options = {"compression": "LZF"}  # noqa: RUF012  # read only


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.h5"


@pytest.mark.parametrize("chunks", [None, (7, 2), (100, 3)])
@pytest.mark.parametrize("filters", [{}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf"}])
@pytest.mark.parametrize("dtype", ["?", "u1", "<i4", ">i4", ">f8", "<f2", ">u8"])
def test_whatever_h5py_writes_is_read(path: Path, dtype: str, chunks: tuple[int, ...] | None, filters: dict) -> None:
    values = (np.random.default_rng(1).random((100, 3)) * 100).astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("a/b", data=values, chunks=chunks or (bool(filters) or None), **filters)
    batches = list(rb.read(path, batch_rows=13))
    assert [len(batch) for batch in batches] == [13] * 7 + [9]
    found = np.concatenate([batch["a/b"] for batch in batches])
    assert found.dtype == np.dtype(dtype).newbyteorder("<")
    assert np.array_equal(found, values)
    with rb.open(path) as opened:
        wanted = [99, 3, 3, 50, 0]
        assert np.array_equal(opened.take(wanted)["a/b"], values[wanted])


def test_text_enums_vlen_and_compound(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("text", data=["ä", "", "bc"], dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=np.array([b"a", b"b\0c", b""], dtype="S4"))
        file.create_dataset(
            "lists", data=np.array([["a", "b"], ["", "c"], ["d", ""]], dtype=object), dtype=h5py.string_dtype()
        )
        file.create_dataset("kind", data=[1, 0, 1], dtype=h5py.enum_dtype({"no": 0, "yes": 1}, basetype="i1"))
        boxes = file.create_dataset("boxes", (3,), h5py.vlen_dtype(np.dtype(">f4")))
        image = file.create_dataset("image", (3,), h5py.vlen_dtype(np.uint8))
        for row, (numbers, data) in enumerate([([1.5, 2], b"\xff\xd8"), ([], b""), ([3], b"\0")]):
            boxes[row], image[row] = numbers, np.frombuffer(data, np.uint8)
        file.create_dataset("point", data=np.array([(1, 2.5), (3, 4.5), (5, 6.5)], dtype=[("x", "<i4"), ("y", ">f8")]))
    (batch,) = rb.read(path)
    assert batch.schema == Schema(
        Field("boxes", "float32", (None,)),
        Field("fixed", "bytes"),
        Field("image", "bytes"),
        Field("kind", "int8"),
        Field("lists", "bytes", (2,)),
        Field("point/x", "int32"),
        Field("point/y", "float64"),
        Field("text", "bytes"),
    )
    assert list(batch["text"]) == ["ä".encode(), b"", b"bc"]
    assert list(batch["fixed"]) == [b"a", b"b\0c", b""]
    assert list(batch["lists"]) == [[b"a", b"b"], [b"", b"c"], [b"d", b""]]
    assert [row.tolist() for row in batch["boxes"]] == [[1.5, 2], [], [3]]
    assert list(batch["image"]) == [b"\xff\xd8", b"", b"\0"]
    assert batch["point/y"].tolist() == [2.5, 4.5, 6.5]
    with rb.open(path) as opened:
        assert plain(opened.take([2, 0, 2])) == plain(batch.take([2, 0, 2]))
    (numbers,) = rb.read(path, schema=Schema(Field("image", "uint8", (None,))))
    assert [row.tolist() for row in numbers["image"]] == [[255, 216], [], [0]]


def test_what_is_written_is_plain_for_h5py(path: Path) -> None:
    columns = {"image": [b"ab", b"", b"cde"], "boxes": Ragged.of([[1.0], [], [2, 3]], "float32"), "label": [1, 2, 3]}
    rb.write(path, columns, compression="GZIP")
    with h5py.File(path) as file:
        assert list(file) == ["image", "boxes", "label"]
        assert file["image/values"][:].tobytes() == b"abcde"
        assert file["image/offsets"][:].tolist() == [0, 2, 2, 5]
        assert file["boxes/values"][:].tolist() == [1, 2, 3]
        assert file["boxes/offsets"][:].tolist() == [0, 1, 1, 3]
        assert file["label"][:].tolist() == [1, 2, 3]
        assert (file["label"].dtype, file["label"].compression) == (np.int64, "gzip")


def test_datasets_of_different_length_are_listed_and_can_be_chosen(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image"], file["label"], file["mean"] = np.zeros((5, 2)), np.arange(4), np.zeros(5)
    with pytest.raises(SchemaError, match="image, mean have 5; label has 4"):
        rb.inspect(path)
    (batch,) = rb.read(path, fields=["label"])
    assert len(batch) == 4
    assert rb.convert(path, path.with_suffix(".tfrecord"), select=["x:float32=mean"]).num_rows == 5


@pytest.mark.parametrize("kind", ["reference", "scalar", "null", "complex", "opaque", "deep text"])
def test_what_no_field_can_hold_is_refused_by_name(path: Path, kind: str) -> None:
    with h5py.File(path, "w") as file:
        file["fine"] = np.arange(3)
        if kind == "reference":
            file.create_dataset("odd", data=[file["fine"].ref] * 3, dtype=h5py.ref_dtype)
        elif kind == "scalar":
            file["odd"] = 5
        elif kind == "null":
            file["odd"] = h5py.Empty("f4")
        elif kind == "complex":
            file["odd"] = np.zeros(3, "c8")
        elif kind == "opaque":
            file["odd"] = np.zeros(3, "V5")
        else:
            file.create_dataset("odd", (3, 1, 1), h5py.string_dtype())
    with pytest.raises(SchemaError, match=r"x\.h5: 'odd'.*fields="):
        rb.inspect(path)
    (batch,) = rb.read(path, fields=["fine"])
    assert batch["fine"].tolist() == [0, 1, 2]


def test_values_in_other_files_are_not_followed_without_a_word(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(24))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (3,), "<i8", external=[(str(tmp_path / "secret"), 0, 24)])
    with pytest.raises(SchemaError, match="another file"):
        list(rb.read(path))
    layout = h5py.VirtualLayout((3,), "<i8")
    layout[:] = h5py.VirtualSource("gone.h5", "x", (3,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
    with pytest.raises(SchemaError, match=r"gone\.h5"):
        list(rb.read(path))
    with h5py.File(tmp_path / "gone.h5", "w") as file:
        file["x"] = np.arange(3)
    (batch,) = rb.read(path)
    assert batch["x"].tolist() == [0, 1, 2]


def test_soft_links_and_second_names_are_read(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"], file["g/x"] = np.arange(3), np.arange(3) * 2
        file["b"], file["c"], file["h"] = h5py.SoftLink("/a"), file["a"], h5py.SoftLink("/g")
        file["g/up"] = file["/"]  # a circle, in which there is nothing new
    (batch,) = rb.read(path)
    assert list(batch) == ["a", "b", "c", "g/x", "h/x"]
    assert all(batch[name].tolist() == [0, 1, 2] for name in "abc")
    assert all(batch[name].tolist() == [0, 2, 4] for name in ("g/x", "h/x"))


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (h5py.SoftLink("/nowhere"), "a link to '/nowhere', which is not there"),
        (h5py.SoftLink("/odd"), "a link to '/odd', which is not there"),
        (h5py.ExternalLink("y.h5", "/x"), "a link to '/x' in another file, 'y.h5'; copy it"),
        (h5py.ExternalLink("gone.h5", "/x"), "a link to '/x' in another file, 'gone.h5'; copy it"),
        (h5py.SoftLink("/other/x"), "a link to '/other/x', which lies in another file; copy it"),
    ],
)
def test_links_that_are_not_followed_are_refused_by_name(path: Path, link: object, why: str) -> None:
    with h5py.File(path.with_name("y.h5"), "w") as file:
        file["x"] = np.arange(3)
    with h5py.File(path, "w") as file:
        file["fine"], file["odd"], file["other"] = np.arange(3), link, h5py.ExternalLink("y.h5", "/")
    with pytest.raises(SchemaError) as caught:
        rb.inspect(path)
    assert f"{path}: 'odd' is {why}" in str(caught.value)
    (batch,) = rb.read(path, fields=["fine"])
    assert batch["fine"].tolist() == [0, 1, 2]


def test_links_that_make_names_without_end_are_an_error(path: Path) -> None:
    with h5py.File(path, "w") as file:
        inner = file.create_group("0")
        inner["x"] = np.arange(3)
        for level in range(1, 40):
            outer = file.create_group(str(level))
            outer["left"], outer["right"] = inner, inner
            inner = outer
    with pytest.raises(FormatError, match="10000 names"):
        rb.inspect(path)


def test_a_name_that_is_not_text_is_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["fine"] = np.arange(3)
        h5py.h5d.create(file.id, b"\xff\xfe", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((3,)))
    with pytest.raises(SchemaError, match=r"'.*xff.*xfe' has a name that is not UTF-8"):
        rb.inspect(path)
    assert [list(batch) for batch in rb.read(path, fields=["fine"])] == [["fine"]]


def test_a_user_block_and_matlab_are_recognised(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = np.zeros((2, 3))
    data = bytearray(path.read_bytes())
    data[:10] = b"MATLAB 7.3"
    renamed = path.with_suffix(".mat")
    renamed.write_bytes(data)
    summary = rb.inspect(renamed)
    assert (summary.format, summary.num_rows) == ("hdf5", 2)
    assert "MATLAB" in " ".join(summary.notes)


def test_damage_in_a_chunk_is_a_format_error_that_names_the_dataset(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(10_000), compression="gzip", chunks=(1000,), fletcher32=True)
        where = file["x"].id.get_chunk_info(3).byte_offset
    data = bytearray(path.read_bytes())
    data[where + 20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.h5: dataset 'x'"):
        list(rb.read(path))
    assert not rb.verify(path).ok


def test_random_access_reads_in_any_order_across_chunks(path: Path) -> None:
    values = np.arange(3000).reshape(1000, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=(64, 3), compression="lzf")
    rows = np.random.default_rng(0).integers(0, 1000, 300)
    with rb.open(path) as opened:
        assert np.array_equal(opened.take(rows)["x"], values[rows])


def test_random_access_reads_each_packed_chunk_once_and_nothing_between(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(3000).reshape(1000, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=(50, 3), compression="lzf")
    read, ranges = hdf5.H5Array.read, []

    def spy(self: hdf5.H5Array, start: int, stop: int) -> np.ndarray:
        ranges.append((start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(hdf5.H5Array, "read", spy)
    rows = [910, 20, 10, 60, 130, 20, 949]
    with rb.open(path) as opened:
        assert np.array_equal(opened.take(rows)["x"], values[rows])
    assert ranges == [(10, 21), (60, 61), (130, 131), (910, 950)]


STORED = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "whole rows in chunks": {"chunks": (7, 3)},
    "parts of rows in chunks": {"chunks": (7, 2)},
    "packed": {"compression": "gzip"},
}
ROWS = [99, 3, 3, 50, 0]


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("dtype", ["?", "u1", ">i4", "<f2", ">f8", "S5", [("x", ">i2"), ("y", "<f4")]])
def test_rows_are_the_same_wherever_they_lie(path: Path, stored: str, userblock: int, dtype: str) -> None:
    values = (np.random.default_rng(1).random((100, 3)) * 100).astype(dtype)
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.create_dataset("a", data=values, **STORED[stored])
        file["kind"] = np.arange(100).astype(h5py.enum_dtype({"no": 0, "yes": 1}, basetype="i1"))
    (batch,) = rb.read(path)
    with rb.open(path) as opened:
        assert plain(opened.take(ROWS)) == plain(batch.take(ROWS))


@pytest.mark.parametrize("stored", ["contiguous", "whole rows in chunks"])
def test_rows_that_lie_plain_in_the_file_are_read_without_hdf5(
    path: Path, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(300, dtype=">i4").reshape(100, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=values, **STORED[stored])
    monkeypatch.setattr(hdf5.H5Array, "read", None)
    with rb.open(path) as opened:
        assert opened.take(ROWS)["a"].tolist() == values[ROWS].tolist()


@pytest.mark.parametrize("chunk", [None, 1, 7, 500])
def test_ragged_rows_that_lie_plain_in_the_file_are_read_without_hdf5(
    path: Path, chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.random.default_rng(1).integers(0, 20, 100)
    with h5py.File(path, "w") as file:
        file.create_dataset("a/values", data=np.arange(lengths.sum()), chunks=None if chunk is None else (chunk,))
        file["a/offsets"] = np.concatenate([[0], np.cumsum(lengths)])
    (batch,) = rb.read(path)
    with rb.open(path) as opened:
        assert opened[3]["a"].tolist() == batch["a"][3].tolist()
        monkeypatch.setattr(hdf5.H5Array, "read", None)
        assert plain(opened.take(ROWS)) == plain(batch.take(ROWS))


@pytest.mark.parametrize("chunks", [None, (7, 2), (7, 3)])
def test_rows_that_were_never_written_are_what_the_file_fills_in(path: Path, chunks: tuple[int, int] | None) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (100, 3), "i4", fillvalue=7, chunks=chunks)
        if chunks:
            file["a"][50] = 1
    with rb.open(path) as opened:
        assert opened.take([50, 99, 3])["a"][:, 0].tolist() == [1 if chunks else 7, 7, 7]


def test_a_chunk_that_is_larger_than_a_block_is_unpacked_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "BLOCK", 1 << 16)
    monkeypatch.setattr(arrays, "_CHUNKS_AT_ONCE", 1 << 18)
    values = np.arange(6000 * 100, dtype=np.int32).reshape(6000, 100)
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=values, chunks=(5000, 100), compression=plugin_filter.NUMBER)
        file.create_dataset("parts", data=values, chunks=(5000, 10), compression=plugin_filter.NUMBER)
        file.create_dataset(
            "ragged/values", data=values.reshape(-1), chunks=(400_000,), compression=plugin_filter.NUMBER
        )
        file["ragged/offsets"] = np.arange(6001) * 100
    plugin_filter.unpacked.clear()
    batches = list(rb.read(path, batch_rows=6000))
    assert np.array_equal(batches[0]["rows"], values)
    assert np.array_equal(batches[0]["parts"], values)
    assert np.array_equal(batches[0]["ragged"].values.view(np.int32), values.reshape(-1))
    assert len(plugin_filter.unpacked) == 2 + 20 + 2


def test_rows_that_belong_together_are_those_of_the_chunks_that_hold_most(path: Path) -> None:
    """Those of a small column are many, and images for all of them would fill the memory."""
    rb.write(path, {"pixels": np.zeros((500, 64, 64), np.uint8), "label": np.arange(500)}, compression="GZIP")
    with rb.open(path) as both, rb.open(path, fields=["label"]) as labels:
        assert (both.run_rows, labels.run_rows) == (64, 500)
    rb.write(path, {"image": [bytes(4096)] * 500, "label": np.arange(500)}, compression="GZIP", overwrite=True)
    with rb.open(path) as both:
        assert 60 <= both.run_rows <= 64
    rb.write(path, {"image": [bytes(4096)] * 500, "label": np.arange(500)}, overwrite=True)
    with rb.open(path) as plain_rows:
        assert plain_rows.run_rows == 1


def packed_of_all_kinds(path: Path) -> None:
    """100 rows of every kind of column, packed in chunks."""
    rng = np.random.default_rng(1)
    vlen = np.empty(100, object)
    for row in range(100):
        vlen[row] = rng.integers(0, 9, row % 4).astype(">i2")
    with h5py.File(path, "w") as file:

        def dataset(name: str, data: object, chunk: int, dtype: object = None) -> None:
            shape = (chunk, *np.shape(data)[1:])
            file.create_dataset(name, data=data, dtype=dtype, chunks=shape, compression=plugin_filter.NUMBER)

        dataset("id", np.arange(100), 10)
        dataset("pixels", rng.integers(0, 255, (100, 3), dtype=np.uint8), 30)
        dataset("image/values", np.arange(0, 4950, dtype=">i4"), 500)
        file["image/offsets"] = [*np.cumsum(np.arange(100)) - np.arange(100), 4950]
        dataset("text", [f"row {row}" for row in range(100)], 10, h5py.string_dtype())
        dataset("vlen", vlen, 10, h5py.vlen_dtype(np.dtype(">i2")))
        dataset("point", np.array([(row, row / 2) for row in range(100)], [("x", "<i4"), ("y", ">f4")]), 10)


def test_a_shuffle_unpacks_each_chunk_once_and_gives_the_rows_of_the_permutation(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed_of_all_kinds(path)
    (batch,) = rb.read(path)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(shuffled, "_STEP", 1000)  # some rows at a time
    plugin_filter.unpacked.clear()
    rb.convert(path, tmp_path / "x.npz", shuffle=True, seed=3)
    assert len(plugin_filter.unpacked) == 10 + 4 + 10 + 10 + 10 + 10
    (found,) = rb.read(tmp_path / "x.npz")
    assert found["id"].tolist() != list(range(100))
    assert plain(found.take(np.argsort(found["id"]))) == plain(batch)
    assert not list((tmp_path / "tmp").iterdir())


def test_a_shuffle_in_shards_unpacks_only_what_is_selected(path: Path, tmp_path: Path) -> None:
    packed_of_all_kinds(path)
    plugin_filter.unpacked.clear()
    rb.convert(path, tmp_path / "x.npz", shuffle=True, shards=3, select=["n=id"])
    assert len(plugin_filter.unpacked) == 10
    assert sorted(np.concatenate([batch["n"] for batch in rb.read(tmp_path / "x.npz")]).tolist()) == list(range(100))


def test_a_shuffle_joins_only_what_the_sidecar_joins(path: Path, tmp_path: Path) -> None:
    columns = {"a/values": np.arange(50), "a/offsets": np.arange(50) * 2}
    rb.write(path, columns, compression="GZIP")
    rb.convert(path, tmp_path / "x.tfrecord", shuffle=True)
    (found,) = rb.read(tmp_path / "x.tfrecord")
    assert (found["a/values"] * 2).tolist() == found["a/offsets"].tolist()


@pytest.mark.parametrize("dtype", ["u1", h5py.string_dtype(), h5py.vlen_dtype(np.uint8)])
@pytest.mark.parametrize("shape", [(1, 2**40), (3, 2**33, 2**33), (2, 2**62)])
def test_rows_that_no_memory_holds_are_an_error_of_the_file(path: Path, dtype: object, shape: tuple[int, ...]) -> None:
    with h5py.File(path, "w") as file:
        file["fine"] = np.arange(shape[0])
        file.create_dataset("x", shape, dtype, chunks=(*(1 for _ in shape[1:]), 1 << 20))
    error = SchemaError if dtype != "u1" and (len(shape) > 2 or h5py.check_string_dtype(dtype) is None) else FormatError
    for read in (
        lambda: next(rb.read(path)),
        lambda: rb.open(path)[0],
        lambda: rb.convert(path, path.with_suffix(".npz")),
    ):
        with pytest.raises(error, match=r"x\.h5: (dataset |field )?'x'"):
            read()
    if error is FormatError:
        assert not rb.verify(path).ok
    assert len(next(rb.read(path, fields=["fine"]))) == shape[0]


HOME = Path(rb.__file__).resolve().parents[1]


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_filter_that_is_a_plugin_is_found_where_it_is_installed(path: Path, is_installed: bool) -> None:
    """In a process of its own, as this one has the filter."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100), chunks=(10,), compression=plugin_filter.NUMBER)
    (path.parent / "site").mkdir()
    if is_installed:
        (path.parent / "site" / "hdf5plugin.py").write_text("from tests.formats import plugin_filter")
    code = f"import recordio_bridge as rb; print(len(next(rb.read({str(path)!r}))), len(rb.open({str(path)!r})[3:5]))"
    search = os.pathsep.join([str(HOME), str(path.parent / "site")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": search}, text=True, capture_output=True
    )
    if is_installed:
        assert (done.stdout, done.stderr) == ("100 2\n", "")
    else:
        assert f"{path}: dataset 'x' is compressed by filter 32001, which is not installed" in done.stderr
        assert "MissingDependencyError" in done.stderr


SIZES = {"none": [0], "a byte": [1], "of many sizes": [0, 1, 300, 5_000, 1 << 17], "large": [1 << 23]}


@pytest.mark.parametrize("sizes", SIZES)
def test_rows_are_written_together_by_what_they_hold(
    tmp_path: Path, sizes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they come: the file is the same."""
    rng = np.random.default_rng(2)
    count = 5 if sizes == "large" else 1000
    lengths = rng.choice(SIZES[sizes], count)
    starts = np.cumsum(lengths) - lengths
    data = Ragged(np.frombuffer(rng.bytes(int(lengths.sum())), np.uint8), starts, lengths, "bytes")
    lists = Ragged(data[:count], np.arange(count), np.ones(count, dtype=np.int64), "bytes")
    batch = rb.Batch.of({"data": data, "lists": lists, "id": np.arange(count)})
    append, written = hdf5.Datasets.append, []

    def spy(self: hdf5.Datasets, pieces: object) -> None:
        written.append(0)
        append(self, pieces)

    monkeypatch.setattr(hdf5.Datasets, "append", spy)
    rb.write(tmp_path / "a.h5", batch)
    nbytes = batch.nbytes + 2 * 8 * count
    assert len(written) <= 3 + 2 * nbytes // hdf5._WRITE  # one begins the offsets
    for rows in (1, 7, 400):
        batches = [batch.slice(at, at + rows) for at in range(0, count, rows)]
        rb.write(tmp_path / "b.h5", batches, overwrite=True)
        assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()


@pytest.mark.parametrize("dtype", ["S4", h5py.string_dtype()])
@pytest.mark.parametrize("width", [0, 1, 2])
def test_lists_of_text_of_any_width_have_all_rows(path: Path, dtype: object, width: int) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.full((3, width), b"ab"), dtype=dtype)
    (batch,) = rb.read(path)
    assert list(batch["x"]) == [[b"ab"] * width] * 3


@pytest.mark.parametrize("name", ["a//b", "./a", "/a", "a/"])
def test_names_that_hdf5_would_change_are_refused(path: Path, name: str) -> None:
    with pytest.raises(SchemaError, match="rename"):
        rb.write(path, {name: [1, 2]})
    assert not path.exists()


def test_a_field_that_would_also_be_a_group_is_refused(path: Path) -> None:
    with pytest.raises(SchemaError, match="group"):
        rb.write(path, {"a": [1], "a/b": [2]})


def test_the_digits_are_the_same_as_npz_and_h5() -> None:
    data = Path(__file__).parents[3] / "shared" / "data"
    if data.is_dir():
        assert rows_of(list(rb.read(data / "digits.h5"))) == rows_of(list(rb.read(data / "digits_z.npz")))


def test_no_time_is_stored_so_that_equal_input_gives_equal_bytes(path: Path) -> None:
    rb.write(path, {"group/inner/x": [1, 2], "name": [b"a", b"b"]})
    with h5py.File(path) as file:
        for name in (b"/", b"/group", b"/group/inner", b"/group/inner/x", b"/name/values"):
            assert h5py.h5g.get_objinfo(file.id, name).mtime == 0, name
        assert list(file) == ["group", "name"]


@pytest.mark.parametrize("compression", ["", "GZIP", "LZF"])
def test_few_rows_take_little_room(path: Path, compression: str) -> None:
    rows = {"flag": [True, False] * 3, "label": np.arange(6), "name": [b"a"] * 6, "tags": [[b"x", b"y"], []] * 3}
    rb.write(path, rows, compression=compression)
    assert path.stat().st_size < 32 << 10
    (batch,) = rb.read(path)
    assert batch["label"].tolist() == list(range(6))
    with h5py.File(path) as file:
        assert file["flag"].chunks == (6,)
        assert file["flag"].maxshape == (None,)  # it can still grow
        assert list(file) == list(rows)


@pytest.mark.parametrize("rows", [0, 1, 4095, 4096, 4097, 70_000])
def test_a_file_does_not_depend_on_how_its_rows_come(path: Path, tmp_path: Path, rows: int) -> None:
    batch = rb.Batch(
        {
            "x": np.arange(rows * 8.0).reshape(rows, 8),  # 4096 rows a chunk
            "wide": np.broadcast_to(np.arange(rows, dtype=np.uint8)[:, None, None], (rows, 70, 3)),
            "none": np.empty((rows, 0), dtype=np.int16),
            "name": Ragged.of([b"ab" * (row % 3) for row in range(rows)]),
        },
        Schema(
            Field("x", "float64", (8,)),
            Field("wide", "uint8", (70, 3)),
            Field("none", "int16", (0,)),
            Field("name", "bytes"),
        ),
    )
    rb.write(path, [batch])
    parts = [batch.slice(at, min(at + 1001, rows)) for at in range(0, rows, 1001)]
    rb.write(tmp_path / "y.h5", parts, schema=batch.schema)
    assert path.read_bytes() == (tmp_path / "y.h5").read_bytes()
    with h5py.File(path) as file:
        assert list(file) == ["x", "wide", "none", "name"]
        assert file["x"].chunks[0] == (min(rows, 4096) or 4096)
        assert np.array_equal(file["x"], batch["x"])
        assert np.array_equal(file["wide"], batch["wide"])
        assert file["name/offsets"].shape == (rows + 1,)


def test_attributes_and_names_of_enums_that_are_left_out_are_told(path: Path, tmp_path: Path) -> None:
    kind = h5py.enum_dtype({"cat": 0, "dog": 1}, basetype="i1")
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
        file["g/y"] = np.arange(3)
        file["flag"] = np.array([True, False, True])
        file.create_dataset("kind", data=[1, 0, 1], dtype=kind)
        file.create_dataset("pair", data=np.zeros(3, [("a", kind), ("b", "<i4")]))
        file["x"].attrs["unit"] = "m"
        file["x"].attrs["scale"] = 0.5
        file["g"].attrs["about"] = "what lies in it"
        file.attrs["created"] = "today"
    expected = (
        "attributes are left out: 1 of the file, 1 of 'g', 2 of 'x'",
        "the names of enum values are left out, and their numbers kept: 'kind', 'pair'",
    )
    assert rb.inspect(path).notes == expected
    assert rb.convert(path, tmp_path / "x.npz").notes == expected
    with h5py.File(path, "w") as file:
        for number in range(100):
            file[f"x{number:02}"] = np.arange(3)
            file[f"x{number:02}"].attrs["unit"] = "m"
    assert rb.inspect(path).notes == (
        "attributes are left out: 1 of 'x00', 1 of 'x01', 1 of 'x02', 1 of 'x03', 1 of 'x04', and of 95 more",
    )
    rb.write(path, {"x": [1, 2], "flag": [True, False], "name": [b"a", b"b"]}, overwrite=True)
    assert rb.inspect(path).notes == ()
