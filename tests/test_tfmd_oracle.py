"""schema.pbtxt, read by tensorflow-metadata."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

import recordio_bridge as rb
from recordio_bridge.tfmd import schema_text
from tests.samples import image_rec
from tests.test_tf_oracle import FIELDS, column_of


def parsed(text: str) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


def test_the_file_beside_an_output_is_a_schema_of_its_fields(tmp_path: Path):
    manifest = rb.convert(image_rec(tmp_path / "a.rec", 3), tmp_path / "b.tfrecord", tfmd=True)
    assert str(tmp_path / "b.tfrecord.schema.pbtxt") in manifest.files
    schema = parsed((tmp_path / "b.tfrecord.schema.pbtxt").read_text())
    assert [(feature.name, schema_pb2.FeatureType.Name(feature.type)) for feature in schema.feature] == [
        ("id", "INT"),
        ("label", "FLOAT"),
        ("image", "BYTES"),
    ]
    number, label, image = schema.feature
    for feature in (number, image):
        assert (feature.presence.min_fraction, feature.presence.min_count) == (1.0, 1)
        assert feature.HasField("shape")
        assert len(feature.shape.dim) == 0
    assert (number.int_domain.HasField("min"), number.int_domain.min, number.int_domain.HasField("max")) == (
        True,
        0,
        False,
    )
    assert label.value_count.min == 0
    assert not label.HasField("presence")
    tensors = schema.tensor_representation_group[""].tensor_representation
    assert tensors["label"].ragged_tensor.feature_path.step == ["label"]
    assert tensors["image"].dense_tensor.column_name == "image"


def test_every_field_of_ours_has_a_feature():
    schema = parsed(schema_text(rb.Schema(*FIELDS)))
    assert [feature.name for feature in schema.feature] == [field.name for field in FIELDS]
    tensors = schema.tensor_representation_group[""].tensor_representation
    for feature, field in zip(schema.feature, FIELDS, strict=True):
        is_bytes = field.dtype == "bytes" or field.packing == "raw"
        assert feature.type == (schema_pb2.BYTES if is_bytes else feature.type)
        is_fixed = bool(field.num_values) and None not in field.shape
        if field.packing == "list":
            assert feature.HasField("shape") == feature.HasField("presence") == is_fixed
            sizes = [dim.size for dim in feature.shape.dim]
            assert sizes == (list(field.shape) if is_fixed else [])
            dense = tensors[field.name].dense_tensor
            assert [dim.size for dim in dense.shape.dim] == sizes
        else:
            assert "little-endian bytes" in feature.annotation.comment[0]


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"), [("int8", -128, 127), ("uint8", 0, 255), ("uint32", 0, 2**32 - 1)]
)
def test_a_narrow_integer_has_its_range(dtype, lowest, highest):
    (feature,) = parsed(schema_text(rb.Schema(rb.Field("x", dtype)))).feature
    assert (feature.int_domain.min, feature.int_domain.max) == (lowest, highest)
    assert feature.annotation.comment == [dtype]
    (flag,) = parsed(schema_text(rb.Schema(rb.Field("x", "bool")))).feature
    assert flag.HasField("bool_domain")


def test_any_name_is_text():
    name = "a\"b\\c\n\x7f\0ü'{}#"
    schema = parsed(schema_text(rb.Schema(rb.Field(name, "int64", (None,)))))
    assert schema.feature[0].name == name
    assert list(schema.tensor_representation_group[""].tensor_representation) == [name]


def test_the_columns_of_the_fields_can_be_written(tmp_path: Path):
    rb.write(tmp_path / "a.tfrecord", {field.name: column_of(field) for field in FIELDS}, rb.Schema(*FIELDS))
    rb.convert(tmp_path / "a.tfrecord", tmp_path / "b.tfrecord", tfmd=True)
    assert len(parsed((tmp_path / "b.tfrecord.schema.pbtxt").read_text()).feature) == len(FIELDS)
