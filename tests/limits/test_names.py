"""How many fields a file may claim, what they may be called, and of how many dimensions they may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Schema, SchemaError, example
from recordio_bridge.sagemaker import survey
from recordio_bridge.schema import LARGEST_DIMENSION, LONGEST_NAME, MOST_DIMENSIONS
from tests.formats.frames import tfr
from tests.native.messages import chunk, entry
from tests.native.messages import example as message
from tests.samples import rewrite

ONE = chunk(3, chunk(1, b"\x01"))


def described(path: Path, **field: object) -> Path:
    """A TFRecord file of one row, with a sidecar that says this of its field."""
    path.write_bytes(tfr(message(entry(b"label", ONE))))
    whole = {"name": "label", "dtype": "int64", "shape": [], "packing": "list", **field}
    sidecar = {"recordio_bridge": 1, "files": [path.name], "payload": "example", "schema": [whole]}
    Path(f"{path}.schema.json").write_text(json.dumps(sidecar))
    return path


def test_a_name_may_be_as_long_as_that_of_a_member_of_a_npz_and_no_longer() -> None:
    assert Field("n" * LONGEST_NAME, "int64").name
    assert Field("é" * (LONGEST_NAME // 2), "int64").name
    for name in ("n" * (LONGEST_NAME + 1), "é" * (LONGEST_NAME // 2 + 1)):
        with pytest.raises(SchemaError, match=f"a name of 6553[56] bytes, expected at most {LONGEST_NAME}") as caught:
            Field(name, "int64")
        assert len(str(caught.value)) < 400


def test_a_key_of_an_example_may_be_no_longer_than_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(message(entry(b"n" * LONGEST_NAME, ONE))))
    assert list(rb.inspect(path).schema) == ["n" * LONGEST_NAME]
    path.write_bytes(tfr(message(entry(b"a", ONE)), message(entry(b"n" * 1_000_000, ONE))))
    with pytest.raises(FormatError, match=r"record 1.*'nnn.*1000000 bytes, expected at most 65535") as caught:
        rb.inspect(path, payload="example")
    assert (caught.value.path, caught.value.record) == (str(path), 1)


def test_examples_have_at_most_so_many_features(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    for more, fits in ((0, True), (1, False)):
        keys = [b"f%05d" % number for number in range(example._MOST_FEATURES + more)]
        path.write_bytes(tfr(message(*(entry(key, ONE) for key in keys))))
        if fits:
            assert len(rb.inspect(path, payload="example").schema) == example._MOST_FEATURES
        else:
            with pytest.raises(FormatError, match="more than 10000 different features"):
                rb.inspect(path, payload="example")


def test_records_of_sagemaker_have_at_most_so_many_entries() -> None:
    assert survey._MOST_NAMES == 1000  # the test that it holds is in tests/test_sagemaker.py


@pytest.mark.parametrize("shape", [[1] * (MOST_DIMENSIONS + 1), [1] * 1000, [LARGEST_DIMENSION + 1], [int("9" * 4000)]])
def test_a_shape_that_no_array_has_is_refused_where_it_is_read(tmp_path: Path, shape: list[int]) -> None:
    path = described(tmp_path / "x.tfrecord", shape=shape)
    for look in (rb.inspect, lambda path: list(rb.read(path))):
        with pytest.raises(FormatError, match=r"x\.tfrecord\.schema\.json: field 'label': a shape") as caught:
            look(path)
        assert len(str(caught.value)) < 400
    assert [problem.path for problem in rb.verify(path).problems] == [str(path)]


def test_a_shape_of_as_many_dimensions_as_numpy_has_is_read(tmp_path: Path) -> None:
    path = described(tmp_path / "x.tfrecord", shape=[1] * MOST_DIMENSIONS)
    (batch,) = rb.read(path)
    assert batch["label"].shape == (1,) * (MOST_DIMENSIONS + 1)


def test_fields_of_one_name_among_many_are_found_at_once() -> None:
    fields = [Field(str(number), "int64") for number in range(50_000)]
    with pytest.raises(SchemaError, match="two fields are called '49999'"):
        Schema(*fields, Field("49999", "int64"))


@pytest.mark.parametrize(
    "ends", [{"nbytes": "x", "crc32c": 1}, {"nbytes": None, "crc32c": 1}, {"nbytes": 1, "crc32c": 1.5}, [1, 2], "ab"]
)
def test_ends_that_are_no_numbers_make_no_sidecar(tmp_path: Path, ends: object) -> None:
    path = described(tmp_path / "x.tfrecord")
    sidecar = Path(f"{path}.schema.json")
    rewrite(sidecar, {**json.loads(sidecar.read_text()), "ends": {path.name: ends}})
    with pytest.raises(FormatError, match="not a schema sidecar"):
        rb.inspect(path)
