"""Datasets for tensorflow_datasets, loaded by tensorflow_datasets itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import recordio_bridge as rb
from recordio_bridge.tfds import Contents, DatasetName, dataset_info, features
from tests.samples import image_payload, write_rec
from tests.test_images import DEEP, GRAY, RGB, RGBA, encoded, images_rec, png
from tests.test_tf_oracle import FIELDS, column_of, same

# tensorflow_datasets 4.9.10 asks protobuf 6.33 in a way that it warns of
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")


def folder_of(path: Path) -> Path:
    path.mkdir()
    return path


def load(folder: Path, split: str = "train") -> tuple[tfds.core.DatasetBuilder, list[dict[str, tf.Tensor]]]:
    builder = tfds.builder_from_directory(folder)
    return builder, list(builder.as_dataset(split=split))


def written(folder: Path, columns: dict[str, object], schema: rb.Schema | None = None, **wishes: object) -> rb.Manifest:
    """Columns as a dataset in folder/set."""
    rb.write(folder / "source.tfrecord", columns, schema)
    return rb.convert(folder / "source.tfrecord", folder_of(folder / "set"), tfds="mydata:1.0.0", **wishes)


def test_a_converted_folder_loads_with_its_name_version_and_splits(tmp_path):
    out = folder_of(tmp_path / "mydata")
    manifest = rb.convert(images_rec(tmp_path, [encoded(RGB)] * 10), out, tfds="My_data2:1.20.3:te-st", shards=3)
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"My_data2-te-st.tfrecord-0000{n}-of-00003" for n in range(3)),
        "My_data2-te-st.tfrecord.manifest.json",
        "My_data2-te-st.tfrecord.schema.json",
        "dataset_info.json",
        "features.json",
    ]
    assert sorted(manifest.files) == sorted(str(path) for path in out.iterdir())
    builder, rows = load(out, "te-st")
    assert (builder.info.name, str(builder.info.version)) == ("My_data2", "1.20.3")
    split = builder.info.splits["te-st"]
    assert (split.num_examples, split.shard_lengths, split.num_bytes) == (10, [3, 4, 3], manifest.nbytes)
    assert [int(row["id"]) for row in rows] == list(range(10))
    assert len(list(builder.as_dataset(split="te-st[20%:50%]"))) == 3


@pytest.mark.parametrize("field", [f for f in FIELDS if 0 not in f.shape], ids=lambda field: repr(field.name))
def test_every_field_that_tfds_knows_comes_back_as_we_read_it(tmp_path, field):
    columns, schema = {field.name: column_of(field)}, rb.Schema(field)
    if field.packing == "raw" and (field.dtype == "uint32" or field.shape == (None,)):
        with pytest.raises(rb.SchemaError, match=r"(?s)has no feature in tensorflow_datasets.*--pack .*=list"):
            written(tmp_path, columns, schema)
        assert list((tmp_path / "set").iterdir()) == []
        return
    written(tmp_path, columns, schema)
    _, found = load(tmp_path / "set")
    (batch,) = rb.read(tmp_path / "set")
    assert len(found) == 4
    for tensors, row in zip(found, batch.rows(), strict=True):
        assert same(tensors[field.name], row[field.name], field)


def test_a_field_without_values_has_no_feature(tmp_path):
    with pytest.raises(rb.SchemaError, match=r"field x: float32\[2, 0\] has no feature"):
        written(tmp_path, {"x": np.empty((3, 2, 0), np.float32)})


PALETTE = png(2, 1, 8, 3, b"\0\0\1", (b"PLTE", bytes([1, 2, 3, 4, 5, 6])), (b"tRNS", bytes([0, 255])))
SHADE = png(2, 1, 8, 0, b"\0\7\x08", (b"tRNS", b"\0\7"))
IMAGES = {  # images of a column: what tfds makes of them
    "colour": ([encoded(RGB), encoded(RGB[:9])], (None, None, 3), "uint8", "png"),
    "jpeg": ([encoded(RGB, "jpg"), encoded(GRAY, "jpg")], (None, None, 3), "uint8", "jpeg"),
    "both": ([encoded(RGB, "jpg"), encoded(RGB)], (None, None, 3), "uint8", None),
    "gray": ([encoded(GRAY), encoded(GRAY[:5])], (None, None, 1), "uint8", "png"),
    "gray in colour": ([encoded(GRAY), encoded(RGB)], (None, None, 3), "uint8", "png"),
    "alpha": ([encoded(RGB), encoded(RGBA), encoded(GRAY)], (None, None, 4), "uint8", "png"),
    "a palette with transparency": ([PALETTE, encoded(RGB)], (None, None, 4), "uint8", "png"),
    "a transparent shade of gray": ([SHADE, encoded(GRAY)], (None, None, 4), "uint8", "png"),
    "deep": ([encoded(DEEP), encoded(DEEP[:7])], (None, None, 3), "uint16", "png"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_columns_of_images_are_image_features(tmp_path, name):
    images, shape, dtype, encoding = IMAGES[name]
    manifest = written(tmp_path, {"image/encoded": images})
    assert manifest.notes == ("schema inferred from the records",) or not manifest.notes
    builder, rows = load(tmp_path / "set")
    feature = builder.info.features["image/encoded"]
    assert isinstance(feature, tfds.features.Image)
    assert (feature.shape, feature.np_dtype, feature.encoding_format) == (shape, np.dtype(dtype), encoding)
    for row, image in zip(rows, images, strict=True):
        expected = tf.io.decode_image(image, shape[2], tf.as_dtype(dtype)).numpy()
        assert np.array_equal(row["image/encoded"].numpy(), expected)


@pytest.mark.parametrize("pixels", [RGB, GRAY, GRAY[:, :, 0], RGBA, DEEP], ids=["rgb", "gray", "flat", "rgba", "16"])
def test_images_that_we_encode_have_their_size(tmp_path, pixels):
    rb.write(tmp_path / "a.npz", {"image": np.stack([pixels, pixels[::-1]])})
    rb.convert(tmp_path / "a.npz", folder_of(tmp_path / "set"), tfds="mydata:1.0.0", encode={"image": "png"})
    builder, rows = load(tmp_path / "set")
    shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    assert builder.info.features["image"].shape == shape
    assert np.array_equal(rows[1]["image"].numpy(), pixels[::-1].reshape(shape))


def test_images_that_we_decode_are_tensors(tmp_path):
    rb.write(tmp_path / "a.tfrecord", {"image": [encoded(RGB), encoded(RGB[::-1])]})
    rb.convert(tmp_path / "a.tfrecord", folder_of(tmp_path / "set"), tfds="mydata:1.0.0", decode=("image",))
    builder, rows = load(tmp_path / "set")
    assert builder.info.features["image"].shape == RGB.shape
    assert np.array_equal(rows[0]["image"].numpy(), RGB)


@pytest.mark.parametrize(
    ("rows", "kind", "note"),
    [
        (["text", "", "ü"], "Text", None),
        ([encoded(RGB), b""], "Tensor", None),
        ([encoded(RGB), b"\xff"], "Tensor", None),
        (["ü".encode()[:1], "ü".encode()[1:]], "Tensor", None),
        ([b"\xff\0"], "Tensor", None),
        ([encoded(RGB), encoded(DEEP)], "Tensor", "images of 8 and of 16 bits are no one Image"),
        ([encoded(RGB, "jpg"), encoded(RGBA)], "Image", "alpha is in the files only"),
        ([encoded(RGB, "jpg"), PALETTE], "Image", "alpha is in the files only"),
    ],
)
def test_other_bytes_are_text_or_strings(tmp_path, rows, kind, note):
    manifest = written(tmp_path, {"x": rows}, shards=2)
    builder, found = load(tmp_path / "set")
    assert type(builder.info.features["x"]).__name__ == kind
    if kind != "Image":
        assert [row["x"].numpy() for row in found] == [row.encode() if isinstance(row, str) else row for row in rows]
    assert [note in said for said in manifest.notes if "tensorflow_datasets" in said] == ([True] if note else [])


def test_shards_may_stay_empty(tmp_path):
    manifest = written(tmp_path, {"x": [1, 2]}, shards=4)
    assert [shard.num_rows for shard in manifest.shards] == [0, 1, 0, 1] or manifest.num_rows == 2
    _, rows = load(tmp_path / "set")
    assert [int(row["x"]) for row in rows] == [1, 2]
    assert rb.inspect(tmp_path / "set").num_rows == 2
    assert rb.verify(tmp_path / "set").ok


def test_the_splits_of_two_folders_are_read_together(tmp_path):
    for split, rows in (("train", 7), ("test", 3)):
        rb.write(tmp_path / f"{split}.rec", {"id": range(rows), "image": [encoded(GRAY)] * rows})
        rb.convert(tmp_path / f"{split}.rec", folder_of(tmp_path / split), tfds=f"mydata:1.0.0:{split}")
    builder = tfds.builder_from_directories([tmp_path / "train", tmp_path / "test"])
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"train": 7, "test": 3}
    assert len(list(builder.as_dataset(split="train+test"))) == 10


def test_class_names_make_class_labels(tmp_path):
    manifest = written(tmp_path, {"image/class/label": [0, 2, 1], "b": [1, 0, 1]})
    classes = {"image/class/label": ["cat", "big dog", "ünicorn"], "b": ["no", "yes"]}
    files, notes = features(manifest.schema, Contents(), classes=classes)
    assert notes == []
    for name, content in files.items():
        (tmp_path / "set" / name).write_bytes(content)
    builder, rows = load(tmp_path / "set")
    for name in classes:
        assert isinstance(builder.info.features[name], tfds.features.ClassLabel)
        assert builder.info.features[name].names == classes[name]
    assert [builder.info.features["b"].int2str(row["b"]) for row in rows] == ["yes", "no", "yes"]


@pytest.mark.parametrize("offset", [0, 2])
def test_a_conversion_with_class_names_makes_class_labels(tmp_path, offset):
    names = ["cat", "big dog", "ünicorn"]
    write_rec(tmp_path / "a.rec", [image_payload(n, label, encoded(GRAY)) for n, label in enumerate([2.0, 0.0, 1.0])])
    wishes = {"preset": "imagenet", "label_offset": offset, "tfds": "mydata:1.0.0"}
    manifest = rb.convert(tmp_path / "a.rec", folder_of(tmp_path / "set"), class_names=names, **wishes)
    assert str(tmp_path / "set" / "image.class.label.labels.txt") in manifest.files
    builder, rows = load(tmp_path / "set")
    feature = builder.info.features["image/class/label"]
    assert isinstance(feature, tfds.features.ClassLabel)
    assert feature.names == [*map(str, range(offset)), *names]
    assert [feature.int2str(row["image/class/label"]) for row in rows] == ["ünicorn", "cat", "big dog"]
    again = rb.convert(tmp_path / "set", folder_of(tmp_path / "again"), select=["y=image/class/label"], tfds="b:1.0.0")
    assert again.class_names.field == "y"
    assert load(tmp_path / "again")[0].info.features["y"].names == feature.names


def test_images_that_are_encoded_for_a_preset_have_their_shape(tmp_path):
    rb.write(tmp_path / "a.npz", {"image": np.stack([RGB, RGB]), "label": [1, 0]})
    wishes = {"preset": "imagenet", "encode": {"image": "png"}}
    rb.convert(tmp_path / "a.npz", folder_of(tmp_path / "set"), tfds="mydata:1.0.0", **wishes)
    builder, rows = load(tmp_path / "set")
    assert builder.info.features["image/encoded"].shape == RGB.shape
    assert np.array_equal(rows[1]["image/encoded"].numpy(), RGB)


def test_class_names_of_objects_are_a_sequence_of_class_labels(tmp_path):
    labels = [[2, 5, 0, 0.1, 0.1, 0.5, 0.5, 2, 0.2, 0.2, 0.6, 0.6], [2, 5, 1, 0, 0, 1, 1]]
    write_rec(tmp_path / "a.rec", [image_payload(n, label, encoded(GRAY)) for n, label in enumerate(labels)])
    wishes = {"preset": "detection", "tfds": "mydata:1.0.0"}
    rb.convert(tmp_path / "a.rec", folder_of(tmp_path / "set"), class_names=["cat", "dog", "eel"], **wishes)
    builder, rows = load(tmp_path / "set")
    feature = builder.info.features["image/object/class/label"]
    assert isinstance(feature, tfds.features.Sequence)
    assert feature.feature.names == ["0", "cat", "dog", "eel"]
    found = [[feature.feature.int2str(n) for n in row["image/object/class/label"]] for row in rows]
    assert found == [["cat", "eel"], ["dog"]]


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (
            {"class_names": ["a", "b"]},
            r"label: float32\[\*\] has class names, and is no integer.*label:int64=label\[0\]",
        ),
        ({"class_names": ["crane", "b", "crane"], "preset": "imagenet"}, "classes 0 and 2 are both called 'crane'"),
        ({"class_names": ["a", "b"], "preset": "imagenet", "label_offset": -1}, "begin at -1; add"),
    ],
    ids=["float", "twice", "below 0"],
)
def test_class_names_that_cannot_be_class_labels(tmp_path, wishes, said):
    """Given ones are an error before anything is written, those of a sidecar a note."""
    write_rec(tmp_path / "a.rec", [image_payload(n, float(n), encoded(GRAY)) for n in range(2)])
    with pytest.raises(rb.SchemaError, match=said):
        rb.convert(tmp_path / "a.rec", folder_of(tmp_path / "set"), tfds="mydata:1.0.0", **wishes)
    assert list((tmp_path / "set").iterdir()) == []
    target = "b.tfrecord" if "preset" in wishes else "b.rec"
    rb.convert(tmp_path / "a.rec", tmp_path / target, **wishes)
    manifest = rb.convert(tmp_path / target, tmp_path / "set", tfds="mydata:1.0.0")
    assert any(re.search(f"without the names of classes: .*{said}", note) for note in manifest.notes)
    assert len(load(tmp_path / "set")[1]) == 2


@pytest.mark.parametrize("names", [["a", ""], ["a", " b"], ["a\nb"]])
def test_class_names_that_would_be_others_are_refused(names):
    with pytest.raises(rb.SchemaError, match="has no class called"):
        features(rb.Schema(rb.Field("x", "int64")), Contents(), classes={"x": names})
    with pytest.raises(rb.SchemaError, match="is no integer"):
        features(rb.Schema(rb.Field("x", "float32")), Contents(), classes={"x": ["a"]})


def test_our_files_are_those_that_tfds_writes_itself(tmp_path):
    """Of features.json, that tfds writes the same out of what it has read."""
    schema = rb.Schema(rb.Field("a", "bytes"), rb.Field("b", "int32", (2, 3)), rb.Field("c", "float32", (None,)))
    contents = Contents.joined([{"a": ["jpeg"]}])
    ours = features(schema, contents)[0]["features.json"]
    (tmp_path / "features.json").write_bytes(ours)
    read = tfds.features.FeatureConnector.from_config(str(tmp_path))
    read.save_config(str(tmp_path))
    assert json.loads((tmp_path / "features.json").read_text()) == json.loads(ours)
    info = json.loads(dataset_info(DatasetName.parse("mydata:1.0.0"), [3, 2], 100))
    assert info["splits"][0]["shardLengths"] == ["3", "2"]
