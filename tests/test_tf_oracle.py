"""parse_spec and the printed parse function: TensorFlow parses files of ours, and gives what we read."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.parsing import parse_function
from recordio_bridge.schema import DTYPES
from recordio_bridge.tf import parse_spec
from tests.cli.running import run, run_module
from tests.samples import image_rec

NUMBERS = [dtype for dtype in DTYPES if dtype != "bytes"]
SHAPES = [(), (3,), (2, 3), (None,), (0,), (2, 0)]


def column_of(field: rb.Field) -> object:
    """Four rows of a field: extremes, and where rows differ an empty one."""
    if field.dtype == "bytes":
        rows = {(): [b"", b"\xff\0", b"a", b"bc"], (None,): [[], [b""], [b"a", b"\xff"], []]}
        return rows.get(field.shape, [[b"a"] * (field.num_values or 0)] * 4)
    dtype = field.numpy_dtype
    info = np.iinfo(dtype) if dtype.kind in "iu" else None
    if info is not None:
        highest = info.max if field.dtype != "uint64" or field.packing == "raw" else 2**63 - 1
        pool = np.array([info.min, highest, 1, 0, 2], dtype=dtype)
    else:
        pool = np.array([0, 1, 1, 0, 1] if field.dtype == "bool" else [-1.5, 2, 0, 0.25, -8]).astype(dtype)
    if field.shape == (None,):
        return rb.Ragged.of([pool[:n] for n in (0, 1, 5, 2)], field.dtype)
    shape = (4, *(n for n in field.shape if n is not None))
    return np.resize(pool, shape) if field.num_values else np.empty(shape, dtype)


def all_fields() -> list[rb.Field]:
    fields = [rb.Field(f"bytes {shape}", "bytes", shape) for shape in SHAPES if len(shape) < 2]
    for dtype in NUMBERS:
        for shape in SHAPES:
            packings = ("raw",) if dtype == "float64" else ("list", "raw")
            fields += [rb.Field(f"{dtype}/{shape}\n'{packing}\"", dtype, shape, packing) for packing in packings]
    return fields


FIELDS = all_fields()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a field of every dtype, shape and packing."""
    path = tmp_path_factory.mktemp("tf") / "all.tfrecord.gz"
    rb.write(path, {field.name: column_of(field) for field in FIELDS}, rb.Schema(*FIELDS))
    return path


def module_of(source: str) -> types.ModuleType:
    module = types.ModuleType("printed")
    exec(compile(source, "printed.py", "exec"), module.__dict__)
    return module


def same(tensor: tf.Tensor, row: object, field: rb.Field) -> bool:
    """Whether a tensor holds what we read of a row, in its dtype and shape."""
    value = tensor.numpy()
    if field.dtype == "bytes":
        found = value if isinstance(value, bytes) else value.tolist()
        return found == row
    expected = np.asarray(row)
    return (value.dtype, value.shape) == (expected.dtype, expected.shape) and np.array_equal(value, expected)


def test_the_printed_function_gives_the_rows_that_we_read(capsys, file):
    outcome = run(capsys, "info", file, "--parse-fn")
    assert (outcome.code, outcome.stderr) == (0, "")
    found = list(module_of(outcome.stdout).dataset([str(file)]))
    expected = [row for batch in rb.read(file) for row in batch.rows()]
    assert len(found) == len(expected) == 4
    for tensors, row in zip(found, expected, strict=True):
        assert set(tensors) == set(row)
        assert [field.name for field in FIELDS if not same(tensors[field.name], row[field.name], field)] == []


def test_the_printed_function_has_the_features_of_parse_spec(file):
    assert parse_spec(rb.Schema(*FIELDS)) == module_of(parse_function(rb.Schema(*FIELDS), "all")).SPEC


def test_parse_spec_of_a_file_parses_it_in_batches(file):
    spec = parse_spec(file)
    assert list(spec) == [field.name for field in FIELDS]
    (batch,) = tf.data.TFRecordDataset(str(file), "GZIP").batch(4)
    parsed = tf.io.parse_example(batch, spec)
    (rows,) = rb.read(file)
    for field in FIELDS:
        if field.packing == "list" and field.dtype in ("int64", "float32") and field.num_values:
            assert np.array_equal(parsed[field.name].numpy(), rows[field.name])
        elif field.shape == (None,) and field.packing == "list":
            found, column = parsed[field.name], rows[field.name]
            assert isinstance(found, tf.RaggedTensor)
            assert found.row_lengths().numpy().tolist() == column.counts.tolist()
            if field.dtype in ("int64", "float32"):
                assert np.array_equal(found.flat_values.numpy(), column.numbers())
        elif field.packing == "raw" and field.shape == (None,):
            assert parsed[field.name][0] == b""


def test_parse_spec_says_how_raw_tensors_are_decoded(tmp_path):
    pixels = np.arange(2 * 28 * 28).reshape(2, 28, 28).astype(np.uint8)
    rb.write(tmp_path / "a.tfrecord", {"x": pixels})
    (batch,) = tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord")).batch(2)
    row = tf.io.parse_example(batch, parse_spec(tmp_path / "a.tfrecord"))
    assert np.array_equal(tf.reshape(tf.io.decode_raw(row["x"], tf.uint8), [-1, 28, 28]), pixels)
    assert 'tf.io.decode_raw(row["x"], tf.uint8), [28, 28])' in (parse_spec.__doc__ or "")


def test_a_schema_that_was_inferred_will_do(capsys, tmp_path):
    rb.convert(image_rec(tmp_path / "a.rec", 5), tmp_path / "a.tfrecord")
    (tmp_path / "a.tfrecord.schema.json").unlink()
    assert parse_spec(tmp_path / "a.tfrecord")["label"] == tf.io.FixedLenFeature([], tf.float32)
    outcome = run(capsys, "info", tmp_path / "a.tfrecord", "--parse-fn")
    rows = list(module_of(outcome.stdout).dataset(str(tmp_path / "a.tfrecord")))
    assert [int(row["id"]) for row in rows] == [0, 1, 2, 3, 4]


def test_the_printed_module_runs_by_itself(tmp_path):
    rb.convert(image_rec(tmp_path / "a.rec", 5), tmp_path / "a.tfrecord", shards=2)
    printed = run_module("info", tmp_path / "a.tfrecord", "--parse-fn").stdout
    (tmp_path / "parsing.py").write_text(printed)
    shards = sorted(str(path) for path in tmp_path.glob("a-*.tfrecord"))
    assert len(shards) == 2
    sys.path.insert(0, str(tmp_path))
    try:
        import parsing  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(tmp_path))
    assert sum(1 for _ in parsing.dataset(shards).batch(1)) == 5


@pytest.mark.parametrize("payload", ["image", "raw"])
def test_records_that_are_no_examples_have_no_spec(capsys, tmp_path, payload):
    image_rec(tmp_path / "a.rec", 3)
    rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord", source_options={"payload": "raw"}, select=["record=record"])
    path = tmp_path / ("a.rec" if payload == "image" else "b.tfrecord")
    options = {} if payload == "image" else {"payload": "raw"}
    with pytest.raises(rb.SchemaError, match="parse_spec is for records"):
        parse_spec(path, **options)
    arguments = [f"--in={name}={value}" for name, value in options.items()]
    outcome = run(capsys, "info", path, "--parse-fn", *arguments)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "--parse-fn is for" in outcome.stderr


def test_examples_in_a_rec_have_a_spec_and_no_tensorflow_to_read_them(capsys, tmp_path):
    rb.write(tmp_path / "a.rec", {"x": [1, 2]}, payload="example")
    assert parse_spec(tmp_path / "a.rec") == {"x": tf.io.FixedLenFeature([], tf.int64)}
    assert run(capsys, "info", tmp_path / "a.rec", "--parse-fn").code == 1


def test_what_no_example_holds_and_what_holds_nothing_are_errors(tmp_path):
    with pytest.raises(rb.LossyError, match="float64"):
        parse_spec(rb.Schema(rb.Field("x", "float64")))
    with pytest.raises(rb.LossyError, match="float64"):
        parse_function(rb.Schema(rb.Field("x", "float64")), "x.tfrecord")
    with pytest.raises(rb.SchemaError, match="there is no field to parse"):
        parse_function(rb.Schema(), "x.tfrecord")


def test_files_that_are_compressed_differently_have_no_one_function(capsys, tmp_path):
    for name in ("a.tfrecord", "b.tfrecord.gz"):
        rb.write(tmp_path / name, {"x": [1, 2]})
    outcome = run(capsys, "info", tmp_path, "--parse-fn")
    assert outcome.code == 1
    assert "is not compressed as the other files are" in outcome.stderr


def test_a_name_that_would_end_the_text_of_the_function_does_not():
    source = parse_function(rb.Schema(rb.Field('a"""\\', "int64")), 'x"""\n\\.tfrecord')
    assert list(module_of(source).SPEC) == ['a"""\\']


def test_without_tensorflow_the_message_is_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delitem(sys.modules, "recordio_bridge.tf")
    with pytest.raises(rb.MissingDependencyError, match=r"pip install 'recordio_bridge\[tensorflow\]'"):
        __import__("recordio_bridge.tf")
