"""Images that we decode and encode, as TensorFlow and real mxnet see them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from tests.oracles import import_mxnet

mx = import_mxnet()

DATA = Path(__file__).parents[2] / "shared" / "data"
COLOUR = np.random.default_rng(6).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)


@pytest.fixture
def rec(tmp_path: Path) -> Path:
    rb.write(tmp_path / "a.npz", {"id": [7, 8, 9, 10, 11], "label": [1, 2, 3, 4, 5], "image": COLOUR})
    rb.convert(tmp_path / "a.npz", tmp_path / "a.rec", encode={"image": "png"})
    return tmp_path / "a.rec"


def test_mxnet_reads_the_image_records_that_we_encode(rec):
    reader = mx.recordio.MXIndexedRecordIO(str(rec.with_suffix(".idx")), str(rec), "r")
    assert reader.keys == [7, 8, 9, 10, 11]
    for row, key in enumerate(reader.keys):
        header, pixels = mx.recordio.unpack_img(reader.read_idx(key))
        assert (header.id, header.label) == (key, row + 1)
        assert np.array_equal(pixels[:, :, ::-1], COLOUR[row])
    reader.close()


def test_mxnets_iterator_trains_on_the_image_records_that_we_encode(rec):
    iterator = mx.io.ImageRecordIter(path_imgrec=str(rec), data_shape=(3, 20, 30), batch_size=5, preprocess_threads=1)
    batch = iterator.next()
    assert np.array_equal(batch.data[0].asnumpy().transpose(0, 2, 3, 1), COLOUR.astype(np.float32))
    assert batch.label[0].asnumpy().tolist() == [1, 2, 3, 4, 5]


def test_the_digits_become_image_records_that_mxnet_reads(tmp_path):
    if not DATA.is_dir():
        return
    shutil.copy(DATA / "digits.npz", tmp_path)
    rb.convert(tmp_path / "digits.npz", tmp_path / "digits.rec", encode={"image": "png"})
    digits = np.load(DATA / "digits.npz")
    reader = mx.recordio.MXRecordIO(str(tmp_path / "digits.rec"), "r")
    for row in range(1797):
        header, pixels = mx.recordio.unpack_img(reader.read())
        assert header.label == digits["label"][row]
        assert np.array_equal(pixels, digits["image"][row])
    assert reader.read() is None
    reader.close()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tensorflow_decodes_the_same_pixels(tmp_path, channels, dtype):
    pixels = np.random.default_rng(7).integers(0, 256, (3, 9, 11, channels)).astype(dtype)
    rb.write(tmp_path / "a.npz", {"image": pixels})
    rb.convert(tmp_path / "a.npz", tmp_path / "a.tfrecord", encode={"image": "png"})
    (batch,) = rb.read(tmp_path / "a.tfrecord")
    for row in range(3):
        found = tf.io.decode_png(batch["image"][row], channels, tf.as_dtype(dtype)).numpy()
        assert np.array_equal(found, pixels[row])


def test_we_decode_the_pixels_that_tensorflow_has_encoded(tmp_path):
    images = [tf.io.encode_png(pixels).numpy() for pixels in COLOUR]
    rb.write(tmp_path / "a.tfrecord", {"image": images})
    rb.convert(tmp_path / "a.tfrecord", tmp_path / "a.npz", decode=("image",))
    assert np.array_equal(np.load(tmp_path / "a.npz")["image"], COLOUR)
