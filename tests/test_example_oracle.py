"""Examples and TFRecord against protobuf and TensorFlow, in both directions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import Batch, Field, Schema, TruncatedError
from recordio_bridge.example import decode, encode
from tests.formats.contract import plain
from tests.test_example import batches

FRAMINGS = {"": None, "GZIP": "GZIP", "ZLIB": "ZLIB"}


def _own_example() -> type[Message]:
    """tf.train.Example built from its specification, without TensorFlow's generated code."""
    file = descriptor_pb2.FileDescriptorProto(name="own_example.proto", package="own", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, str, bool]) -> descriptor_pb2.DescriptorProto:
        made = file.message_type.add(name=name)
        for field, number, kind, type_name, repeated in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = made.field.add(name=field, number=number, type=kind, label=label)
            if type_name:
                added.type_name = type_name
        return made

    message("BytesList", ("value", 1, kinds.TYPE_BYTES, "", True))
    message("FloatList", ("value", 1, kinds.TYPE_FLOAT, "", True))
    message("Int64List", ("value", 1, kinds.TYPE_INT64, "", True))
    lists = [("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")]
    feature = message(
        "Feature", *((name, n, kinds.TYPE_MESSAGE, f".own.{kind}", False) for n, (name, kind) in enumerate(lists, 1))
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", 1, kinds.TYPE_MESSAGE, ".own.Features.FeatureEntry", True))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    value = kinds(name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".own.Feature", label=kinds.LABEL_OPTIONAL)
    entry.field.append(value)
    message("Example", ("features", 1, kinds.TYPE_MESSAGE, ".own.Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("own.Example"))


OwnExample = _own_example()
WITNESSES = {"protobuf": OwnExample, "tensorflow": tf.train.Example}


def quiet(value: Any) -> Any:
    """Every NaN as the same one: protobuf's Python floats do not keep the bits of signalling ones."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f":
        return np.where(np.isnan(value), value.dtype.type(np.nan), value)
    return value


def told(message: Any) -> dict[str, tuple[str | None, list[Any]]]:
    """Kind and values of each feature; floats as bits."""
    features = {}
    for key, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        features[key] = kind, quiet(np.array(values, np.float32)).tobytes() if kind == "float_list" else values
    return features


def expected(row: dict[str, Any], schema: Schema) -> dict[str, tuple[str, Any]]:
    """What a witness should say of a row that we encoded."""
    features: dict[str, tuple[str, Any]] = {}
    for name, field in schema.items():
        value = row[name]
        if field.packing == "raw":
            values = [value.tobytes()] if field.shape != (None,) or len(value) else []
        elif field.dtype == "bytes":
            values = [value] if field.shape == () else list(value)
        else:
            values = np.asarray(value).reshape(-1).tolist()
        if not values:
            continue
        if field.dtype == "bytes" or field.packing == "raw":
            features[name] = "bytes_list", values
        elif field.dtype.startswith("float"):
            features[name] = "float_list", quiet(np.asarray(value).astype(np.float32)).tobytes()
        else:
            features[name] = "int64_list", [int(number) for number in values]
    return features


@pytest.mark.parametrize("witness", WITNESSES)
def test_protobuf_reads_what_we_encode(witness: str) -> None:
    @given(batch=batches())
    @settings(max_examples=150, deadline=None)
    def run(batch: Batch) -> None:
        for row, payload in zip(batch.rows(), encode(batch), strict=True):
            assert told(WITNESSES[witness].FromString(payload)) == expected(row, batch.schema)

    run()


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("witness", WITNESSES)
def test_we_read_what_protobuf_encodes(witness: str, deterministic: bool) -> None:
    @given(batch=batches())
    @settings(max_examples=150, deadline=None)
    def run(batch: Batch) -> None:
        theirs = []
        for row in batch.rows():
            message = WITNESSES[witness]()
            for name, (kind, values) in expected(row, batch.schema).items():
                if kind == "float_list":
                    values = np.frombuffer(values, np.float32)
                getattr(message.features.feature[name], kind).value.extend(values)
            theirs.append(message.SerializeToString(deterministic=deterministic))
        again = decode(theirs, batch.schema)
        for ours, row in zip(again.rows(), batch.rows(), strict=True):
            assert [plain(quiet(value)) for value in ours.values()] == [plain(quiet(value)) for value in row.values()]

    run()


@given(
    names=st.lists(st.text(min_size=3, max_size=3), max_size=6, unique=True),
    rows=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
)
@settings(max_examples=50, deadline=None)
def test_bytes_equal_deterministic_serialization_where_no_key_is_the_start_of_another(
    names: list[str], rows: list[int]
) -> None:
    keys = [name.encode() for name in names]
    if any(a != b and b.startswith(a) for a in keys for b in keys):
        return  # there protobuf's C backend puts the longer key first
    batch = Batch.of({name: np.array(rows, dtype=np.int64) for name in names})
    for row, payload in zip(batch.rows(), encode(batch), strict=True):
        message = tf.train.Example()
        message.features.SetInParent()
        for name, value in row.items():
            message.features.feature[name].int64_list.value.append(int(value))
        assert payload == message.SerializeToString(deterministic=True) or not names


def test_bfloat16_is_a_float_list_and_comes_back() -> None:
    values = np.array([[1.5, -2.0], [0.1, np.inf]], dtype=ml_dtypes.bfloat16)
    schema = Schema(Field("x", "bfloat16", (2,)), Field("r", "bfloat16", (), "raw"))
    batch = Batch({"x": values, "r": values[:, 0].copy()}, schema)
    payloads = encode(batch)
    message = tf.train.Example.FromString(payloads[1])
    assert list(message.features.feature["x"].float_list.value) == [float(values[1, 0]), np.inf]
    assert plain(decode(payloads, schema)) == plain(batch)


# ---- tf.io.parse_example ----


def test_parse_example_of_tensorflow_gives_our_columns() -> None:
    rng = np.random.default_rng(1)
    schema = Schema(
        Field("label", "int64"),
        Field("grid", "float32", (2, 3)),
        Field("name", "bytes"),
        Field("ids", "int32", (None,)),
        Field("tags", "bytes", (None,)),
        Field("pixels", "uint8", (4, 5, 3)),
        Field("depth", "uint16", (2, 2), "raw"),
        Field("flag", "bool"),
    )
    batch = Batch.of(
        {
            "label": rng.integers(-(2**63), 2**63 - 1, 20),
            "grid": rng.standard_normal((20, 2, 3)).astype(np.float32),
            "name": [b"row %d" % row for row in range(20)],
            "ids": [list(range(row % 4)) for row in range(20)],
            "tags": [[b"t"] * (row % 3) for row in range(20)],
            "pixels": rng.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8),
            "depth": rng.integers(0, 2**16, (20, 2, 2), dtype=np.uint16),
            "flag": rng.integers(0, 2, 20).astype(bool),
        },
        schema,
    )
    spec = {
        "label": tf.io.FixedLenFeature([], tf.int64),
        "grid": tf.io.FixedLenFeature([2, 3], tf.float32),
        "name": tf.io.FixedLenFeature([], tf.string),
        "ids": tf.io.RaggedFeature(tf.int64),
        "tags": tf.io.VarLenFeature(tf.string),
        "pixels": tf.io.FixedLenFeature([], tf.string),
        "depth": tf.io.FixedLenFeature([], tf.string),
        "flag": tf.io.FixedLenFeature([], tf.int64),
        "absent": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    }
    parsed = tf.io.parse_example(list(encode(batch)), spec)
    assert np.array_equal(parsed["label"].numpy(), batch["label"])
    assert np.array_equal(parsed["grid"].numpy(), batch["grid"])
    assert parsed["name"].numpy().tolist() == list(batch["name"])
    assert parsed["ids"].to_list() == [row.tolist() for row in batch["ids"]]
    assert [row for row in tf.sparse.to_dense(parsed["tags"]).numpy().tolist()] == [
        [b"t"] * (row % 3) + [b""] * (2 - row % 3) for row in range(20)
    ]
    assert np.array_equal(tf.io.decode_raw(parsed["pixels"], tf.uint8).numpy().reshape(20, 4, 5, 3), batch["pixels"])
    assert np.array_equal(tf.io.decode_raw(parsed["depth"], tf.uint16).numpy().reshape(20, 2, 2), batch["depth"])
    assert np.array_equal(parsed["flag"].numpy(), batch["flag"])
    assert parsed["absent"].numpy().tolist() == [-1] * 20


def test_an_empty_row_takes_the_default_of_a_fixed_length_feature() -> None:
    """A present but empty list would be an error there, which is why none is written."""
    batch = Batch.of({"x": [[], [5]]}, Schema(Field("x", "int64", (None,))))
    spec = {"x": tf.io.FixedLenFeature([], tf.int64, default_value=7)}
    assert tf.io.parse_example(list(encode(batch)), spec)["x"].numpy().tolist() == [7, 5]


# ---- files ----


def payloads_of(size: int) -> list[bytes]:
    """Random and repetitive payloads of all sizes up to this."""
    rng = np.random.default_rng(size)
    sizes = [0, 1, 15, 16, 17, *rng.integers(0, size, 30).tolist(), size]
    return [rng.bytes(n) if number % 3 else b"abcd" * (n // 4) for number, n in enumerate(sizes)]


@pytest.mark.parametrize("compression", FRAMINGS)
@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "beyond the buffers"])
def test_files_are_byte_for_byte_those_of_tfrecordwriter(tmp_path: Path, compression: str, size: int) -> None:
    payloads = payloads_of(size)
    ours, theirs = tmp_path / "ours.tfrecord", tmp_path / "theirs.tfrecord"
    batches = [{"record": payloads[start : start + 7]} for start in range(0, len(payloads), 7)]
    rb.write(ours, batches, payload="raw", compression=compression)
    with tf.io.TFRecordWriter(str(theirs), tf.io.TFRecordOptions(compression_type=compression)) as writer:
        for payload in payloads:
            writer.write(payload)
    assert ours.read_bytes() == theirs.read_bytes()
    assert [row["record"] for batch in rb.read(theirs, payload="raw") for row in batch.rows()] == payloads
    read = tf.data.TFRecordDataset(str(ours), compression_type=compression or None)
    assert [payload.numpy() for payload in read] == payloads


@pytest.mark.parametrize("compression", FRAMINGS)
def test_tf_data_reads_and_parses_the_examples_that_we_write(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "x.tfrecord"
    columns = {"label": np.arange(1000), "image": [b"image %d" % row for row in range(1000)]}
    rb.write(path, columns, compression=compression)
    spec = {"label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}
    dataset = tf.data.TFRecordDataset(str(path), compression_type=compression or None)
    parsed = [tf.io.parse_single_example(payload, spec) for payload in dataset]
    assert [int(row["label"]) for row in parsed] == list(range(1000))
    assert [row["image"].numpy() for row in parsed] == columns["image"]


@pytest.mark.parametrize("compression", FRAMINGS)
def test_we_read_the_examples_that_tensorflow_writes(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "x.bin"
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as writer:
        for row in range(300):
            feature = {
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[row - 150])),
                "box": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5] * (row % 4))),
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"%d" % row])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    summary = rb.inspect(path)
    assert summary.num_rows == 300
    assert summary.schema == Schema(Field("box", "float32", (None,)), Field("image", "bytes"), Field("label", "int64"))
    rows = [row for batch in rb.read(path, batch_rows=77) for row in batch.rows()]
    assert [int(row["label"]) for row in rows] == list(range(-150, 150))
    assert [row["box"].tolist() for row in rows] == [[0.5] * (row % 4) for row in range(300)]
    assert [row["image"] for row in rows] == [b"%d" % row for row in range(300)]


def test_an_empty_file_of_each_compression_is_that_of_tensorflow(tmp_path: Path) -> None:
    for compression in FRAMINGS:
        ours, theirs = tmp_path / f"ours{compression}.tfrecord", tmp_path / f"theirs{compression}.tfrecord"
        rb.write(ours, [], schema=Schema(Field("x", "int64")), compression=compression)
        tf.io.TFRecordWriter(str(theirs), tf.io.TFRecordOptions(compression_type=compression)).close()
        assert ours.read_bytes() == theirs.read_bytes()


def test_what_tensorflow_takes_for_the_end_of_a_file_is_an_error_here(tmp_path: Path) -> None:
    """The two silent losses: a cut inside a header, and a GZIP file without its trailer."""
    rb.write(tmp_path / "x.tfrecord", {"record": [b"one", b"two"]}, payload="raw")
    rb.write(tmp_path / "x.tfrecord.gz", {"record": [b"one", b"two"]}, payload="raw")
    plain_file, packed = (tmp_path / name for name in ("x.tfrecord", "x.tfrecord.gz"))
    plain_file.write_bytes(plain_file.read_bytes()[: 19 + 5])
    packed.write_bytes(packed.read_bytes()[:-8])
    assert [payload.numpy() for payload in tf.data.TFRecordDataset(str(plain_file))] == [b"one"]
    assert len([*tf.data.TFRecordDataset(str(packed), compression_type="GZIP")]) == 2
    for path in (plain_file, packed):
        with pytest.raises(TruncatedError):
            list(rb.read(path))
