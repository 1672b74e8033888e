"""numpy's .npz, against numpy itself."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, ChecksumError, Field, FormatError, Ragged, Schema, SchemaError
from recordio_bridge.formats import npz

from .contract import FormatContract, plain, rows_of

ALL = Schema(
    Field("image", "bytes"),
    Field("tags", "bytes", (None,)),
    Field("boxes", "float32", (None,)),
    Field("raw", "uint8", (None,)),
    Field("pixels", "uint8", (4, 3)),
    Field("flag", "bool"),
    Field("id", "uint64"),
    Field("score", "float64", (2,)),
)


class TestNpz(FormatContract):
    format = npz.FORMAT
    schema = ALL
    suffix = ".npz"


class TestDeflatedNpz(FormatContract):
    format = npz.FORMAT
    schema = ALL
    suffix = ".npz"
    options = {"compression": "DEFLATE"}  # noqa: RUF012  # read only


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("longest", [0, 1, 3])
def test_ragged_rows_are_taken_in_any_order_also_empty_ones(tmp_path: Path, suffix: str, longest: int) -> None:
    rng = np.random.default_rng(longest)
    texts = [b"x%d" % n * rng.integers(0, longest + 1) for n in range(50)]
    lists = [texts[:n] for n in rng.integers(0, longest + 1, 50)]
    numbers = [rng.random(rng.integers(0, longest + 1)).tolist() for _ in range(50)]
    schema = Schema(Field("text", "bytes"), Field("list", "bytes", (None,)), Field("number", "float64", (None,)))
    rb.write(tmp_path / f"x{suffix}", {"text": texts, "list": lists, "number": numbers}, schema)
    with rb.open(tmp_path / f"x{suffix}") as file:
        for count in (1, 2, 7, 200):
            rows = rng.integers(0, 50, count)
            taken = file.take(rows)
            assert taken["text"] == Ragged.of([texts[row] for row in rows])
            assert [*taken["list"]] == [lists[row] for row in rows]
            assert [values.tolist() for values in taken["number"]] == [numbers[row] for row in rows]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read(tmp_path: Path, save: object) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "x": rng.random((500, 6, 2), dtype=np.float32),
        "columns": np.asfortranarray(rng.integers(0, 9, (500, 40, 2))),
        "big": rng.integers(0, 9, 500).astype(">u2"),
        "dir/name": np.array([f"é{i}" for i in range(500)]),
    }
    save(tmp_path / "x.npz", **arrays)  # type: ignore[operator]
    batches = list(rb.read(tmp_path / "x.npz", batch_rows=64))
    assert [len(batch) for batch in batches] == [64] * 7 + [52]
    for name in ("x", "columns", "big"):
        assert np.array_equal(np.concatenate([batch[name] for batch in batches]), arrays[name])
    assert [name.decode() for batch in batches for name in batch["dir/name"]] == arrays["dir/name"].tolist()
    with rb.open(tmp_path / "x.npz") as file:
        assert np.array_equal(file.take([499, 0, 3])["columns"], arrays["columns"][[499, 0, 3]])


def test_what_is_written_is_what_numpy_saves_array_for_array(tmp_path: Path) -> None:
    arrays = {"x": np.arange(12.0).reshape(4, 3), "y": np.arange(4, dtype=np.int16)}
    rb.write(tmp_path / "x.npz", arrays)
    expected = io.BytesIO()
    np.savez(expected, **arrays)
    assert (tmp_path / "x.npz").read_bytes() == expected.getvalue()


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 1000])
@pytest.mark.parametrize("arrays", [1, 2])
def test_the_header_of_the_first_array_is_right_when_its_rows_are_counted(
    tmp_path: Path, rows: int, arrays: int
) -> None:
    columns = {"x": np.arange(3.0 * rows).reshape(rows, 3), "y": np.arange(rows, dtype=np.int16)}
    columns = {name: columns[name] for name in list(columns)[:arrays]}
    schema = Schema(Field("x", "float64", (3,)), Field("y", "int16")).pick(list(columns))
    batches = [{name: column[at : at + 7] for name, column in columns.items()} for at in range(0, rows, 7)]
    rb.write(tmp_path / "x.npz", batches, schema)
    expected = io.BytesIO()
    np.savez(expected, **columns)
    assert (tmp_path / "x.npz").read_bytes() == expected.getvalue()
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert archive.testzip() is None


def test_a_change_of_a_crc_moves_over_the_bytes_that_follow() -> None:
    for size in (0, 1, 7, 128, 100_003):
        left, right, rest = b"one head", b"or other", bytes(range(256)) * (size // 256) + bytes(size % 256)
        change = zlib.crc32(left) ^ zlib.crc32(right)
        assert npz._moved_crc(change, size) == zlib.crc32(left + rest) ^ zlib.crc32(right + rest)


def test_ragged_columns_are_values_and_offsets_for_numpy(tmp_path: Path) -> None:
    rb.write(
        tmp_path / "x.npz",
        {
            "image": [b"ab", b"", b"cde"],
            "boxes": Ragged.of([[1.0], [], [2.0, 3.0]], "float32"),
            "tags": [[b"x", b"yz"], [], [b""]],
        },
    )
    with np.load(tmp_path / "x.npz") as file:
        assert file["image/values"].tobytes() == b"abcde"
        assert file["image/offsets"].tolist() == [0, 2, 2, 5]
        assert file["boxes/values"].tolist() == [1.0, 2.0, 3.0]
        assert file["boxes/offsets"].tolist() == [0, 1, 1, 3]
        assert file["tags/values"].tobytes() == b"xyz"
        assert file["tags/offsets"].tolist() == [0, 2, 2, 3]
        assert file["tags/inner_offsets"].tolist() == [0, 1, 3, 3]


def test_without_a_sidecar_ragged_columns_come_back_and_uint8_is_bytes(tmp_path: Path) -> None:
    sample = TestNpz().sample(20)
    rb.write(tmp_path / "x.npz", sample)
    (tmp_path / "x.npz.schema.json").unlink()
    (batch,) = rb.read(tmp_path / "x.npz")
    assert batch.schema["raw"] == Field("raw", "bytes")
    assert plain(batch.pick(["image", "tags", "boxes"])) == plain(sample.pick(["image", "tags", "boxes"]))
    (batch,) = rb.read(tmp_path / "x.npz", schema=ALL)
    assert plain(batch) == plain(sample)


def test_two_arrays_of_such_names_that_do_not_fit_are_left_apart_or_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{"a/values": np.zeros((3, 2)), "a/offsets": np.arange(3)})
    assert list(rb.inspect(tmp_path / "x.npz").schema) == ["a/values", "a/offsets"]
    np.savez(tmp_path / "y.npz", **{"a/values": np.zeros(3), "a/offsets": np.array([0, 2, 1])})
    with pytest.raises(FormatError, match="'a/offsets'"):
        rb.inspect(tmp_path / "y.npz")
    rb.write(tmp_path / "z.npz", {"a/values": np.zeros(3), "a/offsets": np.array([0, 2, 3])})
    assert list(rb.inspect(tmp_path / "z.npz").schema) == ["a/values", "a/offsets"]  # as its sidecar says


def test_arrays_of_different_length_are_listed_and_can_be_chosen(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz", a=np.arange(3), b=np.zeros((3, 2)), c=np.arange(4), scalar=7, dates=np.zeros(3, "M8[s]")
    )
    with pytest.raises(SchemaError, match=r"'scalar' is a single value and has no rows; choose .* --select .* fields="):
        rb.inspect(tmp_path / "x.npz")
    with pytest.raises(SchemaError, match=r"'dates' holds dates; save it as .*, or choose .* --select .* fields="):
        rb.convert(tmp_path / "x.npz", tmp_path / "y.h5", select=["dates=dates"])
    with pytest.raises(SchemaError, match="a, b have 3; c has 4"):
        list(rb.read(tmp_path / "x.npz", fields=["a", "b", "c"]))
    (batch,) = rb.read(tmp_path / "x.npz", fields=["b", "a"])
    assert list(batch) == ["b", "a"]
    with rb.open(tmp_path / "x.npz", fields=["c"]) as file:
        assert len(file) == 4
    assert (
        rb.convert(tmp_path / "x.npz", tmp_path / "y.tfrecord", select=["label=a", "first:float32=b[0]"]).num_rows == 3
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_bit_in_any_byte_is_an_error_or_changes_nothing(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "x.npz"
    (np.savez_compressed if compressed else np.savez)(path, a=np.arange(6), b=np.arange(12.0).reshape(6, 2))
    data = path.read_bytes()
    before = rows_of(list(rb.read(path)))
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        try:
            after = rows_of(list(rb.read(path, fields=["a", "b"])))
        except rb.BridgeError as err:
            after = before if "x.npz" in str(err) else [str(err)]
        assert after == before, position


def test_a_file_cut_at_any_byte_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(6))
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(rb.BridgeError, match=r"x\.npz"):
            list(rb.read(path))


def test_a_damaged_value_is_a_checksum_error_in_stored_members_too(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(100_000))
    data = bytearray(path.read_bytes())
    data[400_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"member 'a\.npy'.*CRC-32"):
        list(rb.read(path, batch_rows=100))
    assert not rb.verify(path).ok


def test_a_member_that_claims_more_than_deflate_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(1000))
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(FormatError, match="more than deflate can hold"):
        rb.inspect(path)


def test_a_large_member_is_read_in_little_memory(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros((200_000, 50)))
    tracemalloc.start()
    rows = sum(len(batch) for batch in rb.read(tmp_path / "x.npz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 200_000
    assert peak < 40 << 20  # of 80 MB


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_structured_array_is_read_once_for_all_its_members(
    tmp_path: Path, save: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.zeros(1_000_000, dtype=[(f"m{i}", "i4") for i in range(4)])
    for number, name in enumerate(values.dtype.names or ()):
        values[name] = np.arange(1_000_000) + number
    save(tmp_path / "x.npz", s=values)
    rows: list[int] = []
    for kind in (npz.FileArray, npz.DeflatedArray):

        def spy(self: object, start: int, stop: int, real: Callable[..., np.ndarray] = kind.read) -> np.ndarray:
            rows.append(stop - start)
            return real(self, start, stop)

        monkeypatch.setattr(kind, "read", spy)
    batches = list(rb.read(tmp_path / "x.npz", batch_rows=1_000_000))
    assert len(rows) > 1
    assert sum(rows) == 1_000_000
    assert all(np.array_equal(batches[0][f"s/{name}"], values[name]) for name in values.dtype.names or ())
    with rb.open(tmp_path / "x.npz") as file:
        assert file.take([7, 3])["s/m2"].tolist() == [9, 5]


def test_members_that_are_no_arrays_are_named_in_a_note(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.arange(3))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("readme.txt", "hello")
    assert "readme.txt" in " ".join(rb.inspect(tmp_path / "x.npz").notes)


def test_bfloat16_is_refused_when_writing_with_the_cast_that_helps(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="--select x:float32=x"):
        rb.write(tmp_path / "x.npz", [], Schema(Field("x", "bfloat16")))
    assert list(tmp_path.iterdir()) == []


def test_fields_whose_arrays_would_share_a_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="taken"):
        rb.write(tmp_path / "x.npz", Batch.of({"a": [b"x"], "a/values": [1]}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\0b", "NUL"),
        ("x" * 70_000, "65535"),
        ("é" * 40_000, "65535"),
        ("x" * 65_532, "65535"),
    ],
    ids=["nul", "long", "wide", "longest and one"],
)
@pytest.mark.parametrize("values", [[1, 2], [b"x", b""]], ids=["dense", "ragged"])
def test_a_name_that_no_zip_keeps_is_refused(tmp_path: Path, name: str, reason: str, values: list[object]) -> None:
    with pytest.raises(SchemaError, match=reason) as caught:
        rb.write(tmp_path / "x.npz", {name: values, "b": [1, 2]})
    assert len(str(caught.value)) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 65_531, "é", "a b", "/a", "x.npy", "..", "a\\b"])
def test_any_other_name_comes_back(tmp_path: Path, name: str) -> None:
    rb.write(tmp_path / "x.npz", {name: [1, 2]})
    (tmp_path / "x.npz.schema.json").unlink()
    (batch,) = rb.read(tmp_path / "x.npz")
    assert {name: batch[name].tolist() for name in batch} == {name: [1, 2]}
