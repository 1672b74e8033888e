"""Payload "sagemaker": the contract, the files of SageMaker's SDK, magics left where they are, damage, conversions."""

from __future__ import annotations

import json
import logging
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, BridgeError, Field, FormatError, LossyError, Ragged, Schema, SchemaError, sagemaker
from recordio_bridge.formats import recordio
from tests.formats.contract import FormatContract, plain, random_column, rows_of
from tests.formats.frames import MAGIC, part, rec, unrec
from tests.formats.test_hostile import flips, outcome
from tests.native.messages import chunk, tag

GOLDEN = Path(__file__).parents[1] / "golden" / "sagemaker"
TRUTH = json.loads((GOLDEN / "truth.json").read_text())
NAMES = ["dense", "dense_double", "sparse", "all"]
SCHEMAS = {
    "dense": Schema(Field("features/values", "float32", (4,)), Field("label/values", "float32")),
    "dense_double": Schema(Field("features/values", "float64", (3,)), Field("label/values", "int32")),
    "sparse": Schema(
        Field("features/values", "float64", (None,)),
        Field("features/values/keys", "uint64", (None,)),
        Field("features/values/shape", "uint64"),
        Field("label/values", "float32"),
    ),
    "all": Schema(
        Field("configuration", "bytes", (None,)),
        Field("features/größe", "int32", (3,)),
        Field("features/image", "bytes"),
        Field("features/image/content_type", "bytes"),
        Field("features/tags", "bytes", (None,)),
        Field("features/tensor", "float32", (None,)),
        Field("features/tensor/shape", "uint64", (2,)),
        Field("features/wide", "float64", (None,)),
        Field("features/wide/keys", "uint64", (None,)),
        Field("label/late", "float32", (None,)),
        Field("label/values", "int32"),
        Field("metadata", "bytes"),
        Field("uid", "bytes"),
    ),
}


def values_of(tensor: dict[str, Any]) -> dict[str, list[object]]:
    """What truth.json says of a Value, by the end of the name of our field."""
    found: dict[str, list[object]] = {}
    for name, value in tensor.items():
        if name == "bytes":
            found[""] = [bytes.fromhex(each) for each in value]
        elif name == "content_type":
            found["/content_type"] = [value.encode()]
        elif name in ("keys", "shape"):
            found[f"/{name}"] = value
        else:
            dtype = {"float32_tensor": "<f4", "float64_tensor": "<f8", "int32_tensor": "<i4"}[name]
            found[""] = np.frombuffer(bytes.fromhex(value), dtype).tolist()
    return found


def truth_of(record: dict[str, Any]) -> dict[str, list[object]]:
    """What truth.json says of a Record, by the names of our fields."""
    found = {name: [record[name].encode()] for name in ("uid", "metadata", "configuration") if name in record}
    for map_name in ("features", "label"):
        for key, tensor in record[map_name].items():
            found |= {f"{map_name}/{key}{end}": values for end, values in values_of(tensor).items()}
    return {name: values for name, values in found.items() if values}


def listed(row: dict[str, object]) -> dict[str, list[object]]:
    """A row of ours in the same form: every field a list, empty ones left out."""
    lists = {name: value if isinstance(value, list) else np.ravel(value).tolist() for name, value in row.items()}
    lists |= {name: [value] for name, value in row.items() if isinstance(value, bytes)}
    return {name: values for name, values in lists.items() if values}


def unescaped(*payloads: bytes) -> bytes:
    """A file as SageMaker's SDK writes it."""
    return b"".join(part(0, payload) for payload in payloads)


def dense(values: list[float], label: float = 1.0) -> bytes:
    """One Record of the SDK's dense form."""
    numbers = chunk(2, chunk(1, struct.pack(f"<{len(values)}f", *values)))
    one = chunk(2, chunk(1, struct.pack("<f", label)))
    return chunk(1, chunk(1, b"values") + chunk(2, numbers)) + chunk(2, chunk(1, b"values") + chunk(2, one))


class TestDenseRecords(FormatContract):
    format = recordio.FORMAT
    suffix = ".rec"
    options = {"payload": "sagemaker"}  # noqa: RUF012  # read only
    schema = Schema(*SCHEMAS["dense"].values(), Field("uid", "bytes"))


class TestAnyRecords(FormatContract):
    format = recordio.FORMAT
    suffix = ".rec"
    options = {"payload": "sagemaker"}  # noqa: RUF012  # read only
    schema = Schema(
        *SCHEMAS["all"].values(),
        Field("features/half", "float16", (2,)),
        Field("features/pixels", "uint8", (4, 5)),
        Field("features/cube", "float64", (2, 1, 3)),
        Field("features/flag", "bool"),
        Field("label/class", "int16", (None,)),
        Field("key", "bytes"),
    )

    def sample(self, rows: int) -> Batch:
        rng = np.random.default_rng(rows)
        columns = {name: random_column(field, rows, rng) for name, field in self.schema.items()}
        sparse = np.array([*map(len, columns["features/wide"])], np.int64) * rng.integers(
            0, 2, rows
        )  # the others are dense
        columns["features/wide/keys"] = Ragged.of([rng.integers(0, 99, n, dtype=np.uint64) for n in sparse], "uint64")
        counts = np.array([*map(len, columns["features/tensor"])], np.uint64)
        columns["features/tensor/shape"] = np.stack([counts, np.ones_like(counts)], axis=1)
        columns["configuration"] = [[b"c"] * int(rng.integers(0, 2)) for _ in range(rows)]
        columns["key"] = [f"folder/é {number}" for number in range(rows)]
        return Batch.of(columns, self.schema)

    def test_batches_hold_what_they_held_when_all_are_collected_first(self, path: Path) -> None:
        """As in the contract, with keys, of which each may be there once."""
        sample = self.sample(3000)
        self.write(path, sample)
        batches = self.read(path, batch_rows=1000)
        assert [batch == sample.slice(1000 * i, 1000 * i + 1000) for i, batch in enumerate(batches)] == [True] * 3


# ---- the files of the SDK ----


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_sdk_is_recognised_and_read(name: str) -> None:
    summary = rb.inspect(GOLDEN / f"{name}.rec")
    assert (summary.schema, summary.num_rows) == (SCHEMAS[name], len(TRUTH[name]))
    assert any("x-recordio-protobuf" in note for note in summary.notes)
    rows = [row for batch in rb.read(GOLDEN / f"{name}.rec", batch_rows=2) for row in batch.rows()]
    assert [listed(row) for row in rows] == [truth_of(record) for record in TRUTH[name]]
    assert rb.verify(GOLDEN / f"{name}.rec").ok


@pytest.mark.parametrize("name", NAMES)
def test_written_again_it_is_the_file_of_the_sdk_byte_for_byte(name: str, tmp_path: Path) -> None:
    rb.write(tmp_path / "x.rec", rb.read(GOLDEN / f"{name}.rec"), payload="sagemaker")
    assert (tmp_path / "x.rec").read_bytes() == (GOLDEN / f"{name}.rec").read_bytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_through_arrays_and_back_it_is_the_file_of_the_sdk(name: str, suffix: str, tmp_path: Path) -> None:
    rb.convert(GOLDEN / f"{name}.rec", tmp_path / f"x{suffix}")
    rb.convert(tmp_path / f"x{suffix}", tmp_path / "x.rec", target_options={"payload": "sagemaker"})
    assert (tmp_path / "x.rec").read_bytes() == (GOLDEN / f"{name}.rec").read_bytes()
    assert rb.verify(tmp_path / "x.rec").ok


def test_a_dense_file_becomes_tfrecord_and_comes_back(tmp_path: Path) -> None:
    rb.convert(GOLDEN / "dense.rec", tmp_path / "x.tfrecord")
    assert rb.inspect(tmp_path / "x.tfrecord").schema == SCHEMAS["dense"]
    rb.convert(tmp_path / "x.tfrecord", tmp_path / "x.rec", target_options={"payload": "sagemaker"})
    assert (tmp_path / "x.rec").read_bytes() == (GOLDEN / "dense.rec").read_bytes()


def test_the_sdks_reader_takes_what_is_written(tmp_path: Path) -> None:
    """Its rule: magic, then the whole word as a length, then that many bytes and padding; no flags, no parts."""
    magic = struct.unpack("<f", MAGIC)[0]
    rows = np.array([[magic] * 4, [1, 2, 3, 4], [0, magic, 0, magic]], np.float32)
    columns = {"features/values": rows, "label/values": np.array([1, 2, 3])}
    rb.write(tmp_path / "x.rec", columns, payload="sagemaker")
    data, at, payloads = (tmp_path / "x.rec").read_bytes(), 0, []
    while at < len(data):
        found, length = struct.unpack_from("<II", data, at)
        assert found == 0xCED7230A
        payloads.append(data[at + 8 : at + 8 + length])
        at += 8 + length + -length % 4
    assert len(payloads) == 3
    assert rows.tobytes() == b"".join(payload[payload.index(b"values") + 12 :][:16] for payload in payloads)


# ---- frames ----


@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
def test_a_magic_inside_of_a_record_is_read_past(tmp_path: Path, batch_rows: int) -> None:
    magic = struct.unpack("<f", MAGIC)[0]
    head = struct.unpack("<2f", part(0, b"")[:8])  # a whole head of a record in the middle of a payload
    payloads = [dense([magic, 1, 2, 3]), dense([*head, *head]), dense([magic] * 4)]
    path = tmp_path / "x.rec"
    path.write_bytes(unescaped(*payloads))
    assert all(payload.find(MAGIC) % 4 == 0 for payload in payloads)
    batches = list(rb.read(path, batch_rows=batch_rows))
    rows = np.concatenate([batch["features/values"] for batch in batches])
    assert rows.tobytes() == struct.pack("<12f", magic, 1, 2, 3, *head, *head, *[magic] * 4)
    with rb.open(path) as file:
        assert file[1]["features/values"].tobytes() == struct.pack("<4f", *head, *head)
    assert rb.convert(path, tmp_path / "shards.tfrecord", shards=3).num_rows == 3
    assert rb.verify(path).ok


def test_records_that_mxnet_wrote_in_parts_are_read_too(tmp_path: Path) -> None:
    magic = struct.unpack("<f", MAGIC)[0]
    path = tmp_path / "x.rec"
    path.write_bytes(rec(dense([magic, 1, 2, 3]), dense([1, 2, 3, 4])))
    (batch,) = rb.read(path)
    assert batch["features/values"][0].tobytes() == struct.pack("<4f", magic, 1, 2, 3)
    rb.convert(path, tmp_path / "whole.rec")  # they pass undecoded, and are made whole
    assert (tmp_path / "whole.rec").read_bytes() == unescaped(*unrec(path.read_bytes()))


def test_from_rec_to_rec_every_byte_is_kept(tmp_path: Path) -> None:
    unpacked = chunk(1, chunk(2, chunk(2, tag(1, 5) + MAGIC)) + chunk(1, b"v"))  # as no writer does, with a magic
    later = chunk(2, chunk(1, b"z")) + unpacked + chunk(3, b"")
    (tmp_path / "x.rec").write_bytes(unescaped(unpacked, later))
    manifest = rb.convert(tmp_path / "x.rec", tmp_path / "y.rec")
    assert manifest.payload == "sagemaker"
    assert (tmp_path / "y.rec").read_bytes() == (tmp_path / "x.rec").read_bytes()
    assert rb.verify(tmp_path / "y.rec").ok
    assert rb.inspect(tmp_path / "y.rec").schema == rb.inspect(tmp_path / "x.rec").schema
    rb.convert(tmp_path / "x.rec", tmp_path / "z.rec", shuffle=True, shards=2)
    assert rb.verify(tmp_path / "z.rec").ok


def test_escape_decides_where_it_is_asked_for(tmp_path: Path) -> None:
    magic = struct.unpack("<f", MAGIC)[0]
    columns = {"features/values": np.full((1, 4), magic, np.float32)}
    rb.write(tmp_path / "a.rec", columns, payload="sagemaker", escape="always")
    payload = unrec((tmp_path / "a.rec").read_bytes())
    assert (tmp_path / "a.rec").read_bytes() == rec(*payload)
    rb.write(tmp_path / "b.rec", {"record": payload}, payload="raw", escape="never")
    assert (tmp_path / "b.rec").read_bytes() == unescaped(*payload)
    for name in ("a.rec", "b.rec"):
        assert rb.read(tmp_path / name, payload="sagemaker").__next__()["features/values"].tobytes() == MAGIC * 4
    rb.convert(tmp_path / "b.rec", tmp_path / "c.rec", source_options={"payload": "sagemaker"})
    assert (tmp_path / "c.rec").read_bytes() == unescaped(*payload)
    rb.convert(tmp_path / "c.rec", tmp_path / "d.rec", target_options={"escape": "always"})
    assert (tmp_path / "d.rec").read_bytes() == rec(*payload)


def test_a_length_that_only_the_sdk_could_read_is_an_error(tmp_path: Path) -> None:
    """From 2**29 bytes on a length has bits where all other readers see a flag."""
    path = tmp_path / "x.rec"
    path.write_bytes(unescaped(dense([1.0])) + MAGIC + struct.pack("<I", 1 << 29 | 4) + bytes(4))
    with pytest.raises(FormatError, match="byte"):
        list(rb.read(path))
    path.write_bytes(unescaped(dense([1.0])) + MAGIC + struct.pack("<I", 0xFFFFFFFF) + bytes(4))
    with pytest.raises(FormatError, match="flag 7"):
        list(rb.read(path))


# ---- what "auto" means ----


def test_an_index_that_has_other_keys_gives_them(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "dense.rec", tmp_path / "x.rec")
    offsets = [0, 60, 120]
    (tmp_path / "x.idx").write_text("".join(f"k{offset}\t{offset}\n" for offset in offsets))
    (batch,) = rb.read(tmp_path / "x.rec")
    assert list(batch["key"]) == [b"k0", b"k60", b"k120"]
    assert rb.inspect(tmp_path / "x.rec").schema == Schema(*SCHEMAS["dense"].values(), Field("key", "bytes"))
    rb.convert(tmp_path / "x.rec", tmp_path / "y.rec")
    assert (tmp_path / "y.idx").read_bytes() == (tmp_path / "x.idx").read_bytes()
    (tmp_path / "x.idx").write_text("k0\t0\nk60\t60\n")
    rows = [row for batch in rb.read(tmp_path / "x.rec", fields=["label/values"]) for row in batch.rows()]
    assert len(rows) == 3


def test_images_and_examples_are_not_taken_for_records(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.rec", {"x": np.arange(3), "label": [b"a", b"b", b"c"]})
    (tmp_path / "a.rec.schema.json").unlink()
    assert set(rb.inspect(tmp_path / "a.rec").schema) == {"x", "label"}
    for payload in (b"", chunk(3, b"only a uid"), chunk(1, chunk(1, b"key")), dense([1.0]) + chunk(6, b"")):
        (tmp_path / "b.rec").write_bytes(unescaped(payload + bytes(40)))
        assert "image" in rb.inspect(tmp_path / "b.rec").schema


def test_it_can_be_read_as_bytes(tmp_path: Path) -> None:
    (batch,) = rb.read(GOLDEN / "dense.rec", payload="raw")
    assert list(batch["record"]) == unrec((GOLDEN / "dense.rec").read_bytes())


# ---- damage ----


def test_a_flipped_bit_is_an_error_or_changes_one_record(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    data = (GOLDEN / "sparse.rec").read_bytes()
    truth = outcome(path, data, payload="sagemaker")
    for _, damaged in flips(data):
        result = outcome(path, damaged, payload="sagemaker")
        assert isinstance(result, BridgeError) or len(result) == len(truth)


def test_a_cut_file_is_an_error_or_ends_between_records(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    data = (GOLDEN / "dense.rec").read_bytes()
    truth = outcome(path, data, payload="sagemaker")
    for size in range(1, len(data)):
        result = outcome(path, data[:size], payload="sagemaker")
        if size % 60 == 0:
            assert result == truth[: size // 60]
        else:
            assert isinstance(result, FormatError)


BROKEN = {
    "no protobuf": b"\xff" * 30,
    "an unknown field": dense([1, 2]) + chunk(6, b"x"),
    "cut inside": dense([1, 2])[:-3],
    "a list that is cut": chunk(1, chunk(1, b"values") + chunk(2, chunk(2, chunk(1, b"abc")))),
    "two values": chunk(1, chunk(1, b"values") + chunk(2, b"") + chunk(2, b"")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_record_that_is_none_is_named_and_can_be_skipped(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.rec"
    good = [dense([number, 2], number) for number in range(20)]
    path.write_bytes(unescaped(*good, BROKEN[what], *good))
    with pytest.raises(FormatError) as caught:
        list(rb.read(path))
    place = str(path), 20, sum(len(part(0, each)) for each in good)
    assert (caught.value.path, caught.value.record, caught.value.offset) == place
    with caplog.at_level(logging.WARNING, logger="recordio_bridge"):
        rows = [row for batch in rb.read(path, on_bad_record="skip", batch_rows=7) for row in batch.rows()]
    assert [row["label/values"] for row in rows] == [*range(20), *range(20)]
    assert any(f"left out bytes {place[2]} to" in message for message in caplog.messages)
    manifest = rb.convert(path, tmp_path / "y.rec", on_bad_record="skip")
    assert [(each.record, each.start) for each in manifest.skipped] == [(20, place[2])]
    assert (tmp_path / "y.rec").read_bytes() == unescaped(*good, *good)
    assert not rb.verify(path).ok


def test_doubles_of_records_that_are_to_be_examples_lead_to_the_payload_that_holds_them(tmp_path: Path) -> None:
    source, target = GOLDEN / "dense_double.rec", tmp_path / "x.rec"
    select = {"features/values": "features/values"}  # so that it is written anew, and "auto" takes Examples
    with pytest.raises(LossyError, match=r"or write SageMaker's Records, .* payload=sagemaker"):
        rb.convert(source, target, select=select)
    rb.convert(source, target, select=select, target_options={"payload": "sagemaker"})
    assert rb.inspect(target).schema == SCHEMAS["dense_double"].pick(["features/values"])
    with pytest.raises(LossyError, match=r"an Example holds float32: [^;]*$"):
        rb.write(tmp_path / "y.rec", {"x": np.zeros(3)})


def test_a_tensor_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    other = chunk(1, chunk(1, b"values") + chunk(2, chunk(3, chunk(1, bytes(16)))))
    path.write_bytes(unescaped(dense([1, 2]), other))
    with pytest.raises(SchemaError, match=r"record 1 at byte 52: 'features/values' is float64_tensor") as caught:
        rb.inspect(path)
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 1, 52)
    (batch,) = rb.read(path, on_bad_record="skip")
    assert len(batch) == 1


def test_a_record_that_does_not_fit_the_sidecar_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(unescaped(dense([1, 2]), dense([1, 2, 3])))
    with pytest.raises(SchemaError, match="has 3 values, expected 2") as caught:
        list(rb.read(path, schema=Schema(Field("features/values", "float32", (2,)))))
    assert (caught.value.record, caught.value.offset) == (1, 52)


# ---- writing ----


def test_names_that_a_record_has_not_are_refused_with_the_select_that_helps(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=np.zeros((3, 2), np.float32), y=np.arange(3))
    with pytest.raises(SchemaError, match=r"--select label/values=y features/values=data") as caught:
        rb.convert(tmp_path / "x.npz", tmp_path / "x.rec", target_options={"payload": "sagemaker"})
    assert caught.value.field == "data"
    assert not (tmp_path / "x.rec").exists()
    select = ["label/values=y", "features/values=data"]
    rb.convert(tmp_path / "x.npz", tmp_path / "x.rec", select=select, target_options={"payload": "sagemaker"})
    assert rb.inspect(tmp_path / "x.rec").num_rows == 3


def test_an_integer_that_is_no_int32_is_a_lossy_error_that_names_it(tmp_path: Path) -> None:
    columns = {"features/values": np.zeros((3, 1), np.float32), "label/values": np.array([1, 2**31, 3])}
    with pytest.raises(LossyError, match=r"row 1 of field 'label/values': 2147483648 is no int32") as caught:
        rb.write(tmp_path / "x.rec", columns, payload="sagemaker")
    assert (caught.value.field, caught.value.row) == ("label/values", 1)
    assert list(tmp_path.iterdir()) == []


def test_the_sidecar_keeps_what_a_record_does_not_say(tmp_path: Path) -> None:
    columns = {"features/pixels": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "label/values": np.array([7, 8])}
    rb.write(tmp_path / "x.rec", columns, payload="sagemaker")
    (batch,) = rb.read(tmp_path / "x.rec")
    assert (batch["features/pixels"].dtype, batch["features/pixels"].shape) == (np.uint8, (2, 3, 4))
    assert batch["label/values"].dtype == np.int64
    (tmp_path / "x.rec.schema.json").unlink()
    (batch,) = rb.read(tmp_path / "x.rec")
    assert plain(batch["features/pixels/shape"]) == plain(np.array([[3, 4]] * 2, np.uint64))
    assert batch["features/pixels"].numbers().tolist() == list(range(24))


def test_many_files_are_read_as_one(tmp_path: Path) -> None:
    for number, values in enumerate([[1.0, 2.0], [3.0, 4.0], [5.0]]):
        (tmp_path / f"{number}.rec").write_bytes(unescaped(dense(values)))
    (batch,) = rb.read(tmp_path)
    assert [row.tolist() for row in batch["features/values"]] == [[1, 2], [3, 4], [5]]
    rb.convert(tmp_path / "[01].rec", tmp_path / "all.rec")
    assert rows_of(rb.read(tmp_path / "all.rec")) == rows_of(rb.read(tmp_path / "[01].rec"))


def test_a_batch_is_of_the_records_that_it_says(tmp_path: Path) -> None:
    """Of a large file, of many blocks, by random access and in pieces."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((4000, 500)).astype(np.float32)
    rb.write(tmp_path / "x.rec", {"features/values": rows, "label/values": np.arange(4000)}, payload="sagemaker")
    (tmp_path / "x.rec.schema.json").unlink()
    found = np.concatenate([batch["features/values"] for batch in rb.read(tmp_path / "x.rec")])
    assert np.array_equal(found, rows)
    order = rng.permutation(4000)
    with rb.open(tmp_path / "x.rec") as file:
        assert np.array_equal(file.take(order)["features/values"], rows[order])
        assert sagemaker.decode(sagemaker.encode(file[:3]), file.schema) == file[:3]
