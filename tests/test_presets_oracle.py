"""TensorFlow's own parser on what presets write, with the specs of those who read it."""

from __future__ import annotations

import warnings

import numpy as np

import recordio_bridge as rb
from tests.native.test_image_kernel import jpeg
from tests.samples import copy_golden, image_payload, write_rec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf

INT, TEXT, FLOATS = (
    tf.io.FixedLenFeature([], tf.int64),
    tf.io.FixedLenFeature([], tf.string),
    tf.io.VarLenFeature(tf.float32),
)
IMAGE = {"image/encoded": TEXT, "image/format": TEXT}
SIZE = {"image/height": INT, "image/width": INT}
# As TensorFlow's Object Detection API: tf_example_decoder.TfExampleDecoder.keys_to_features
DETECTION = {
    **IMAGE,
    **SIZE,
    "image/source_id": TEXT,
    **{f"image/object/bbox/{name}": FLOATS for name in ("xmin", "ymin", "xmax", "ymax")},
    "image/object/class/label": tf.io.VarLenFeature(tf.int64),
}


def parsed(path, spec):
    return [tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(str(path))]


def test_imagenet_parses_and_its_sizes_are_those_of_the_decoded_images(tmp_path):
    rb.convert(copy_golden(tmp_path, "r_photos.rec"), tmp_path / "b.tfrecord", preset="imagenet", label_offset=1)
    rows = parsed(tmp_path / "b.tfrecord", {**IMAGE, **SIZE, "image/class/label": INT})
    assert len(rows) == 11
    for row in rows:
        image = tf.io.decode_jpeg(row["image/encoded"])
        assert image.shape[:2] == (int(row["image/height"]), int(row["image/width"]))
        assert row["image/format"] == b"jpeg"
    assert [int(row["image/class/label"]) for row in rows] == [1, 1, 2, 2, *[3] * 7]


def test_detection_parses_as_the_object_detection_api_does(tmp_path):
    rb.convert(copy_golden(tmp_path, "h_det.rec"), tmp_path / "b.tfrecord", preset="detection")
    rows = parsed(tmp_path / "b.tfrecord", DETECTION)
    first, second = rows[:2]
    assert second["image/object/class/label"].values.numpy().tolist() == [5, 15]
    assert np.allclose(first["image/object/bbox/ymax"].values, [0.596558])
    assert second["image/source_id"] == b"10"
    assert tf.io.decode_png(first["image/encoded"]).shape[:2] == (30, 40)


def test_an_image_without_objects_parses_to_empty_lists(tmp_path):
    write_rec(tmp_path / "a.rec", [image_payload(0, [2.0, 5.0], jpeg(3, 4))])
    rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord", preset="detection")
    (row,) = parsed(tmp_path / "b.tfrecord", DETECTION)
    assert row["image/object/class/label"].values.shape == (0,)
    assert row["image/object/bbox/xmin"].values.shape == (0,)


def test_faces_parse_and_every_image_decodes(tmp_path):
    rb.convert(copy_golden(tmp_path, "g_insightface.rec"), tmp_path / "b.tfrecord", preset="faces")
    rows = parsed(tmp_path / "b.tfrecord", {**IMAGE, "image/class/label": INT, "image/id": INT})
    assert [int(row["image/id"]) for row in rows] == list(range(1, 11))
    assert {tuple(tf.io.decode_jpeg(row["image/encoded"]).shape) for row in rows} == {(32, 32, 3)}
