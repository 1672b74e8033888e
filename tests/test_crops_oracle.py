"""decode_and_crop gives the pixels that TensorFlow's own decoders give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.images import decode_and_crop
from recordio_bridge.tf import CustomRunner
from tests.test_crops import batch_of, png, ramp
from tests.test_images import DEEP, GRAY, RGB, RGBA, encoded
from tests.test_images import png as png_of

SHAPES = Path(__file__).parents[1] / "examples" / "shapes.rec"
PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "photos.rec"
ROWS = b"".join(b"\0" + np.random.default_rng(n).integers(0, 4, 32, dtype=np.uint8).tobytes() for n in range(24))
PNGS = {
    "rgb": encoded(RGB),
    "gray": encoded(GRAY),
    "alpha": encoded(RGBA),
    "16 bits": encoded(DEEP),
    "16 bits of gray": encoded(DEEP[:, :, :1]),
    "gray with alpha": png_of(32, 24, 8, 4, b"".join(b"\0" + bytes(range(64)) for _ in range(24))),
    "gray with a transparent shade": png_of(32, 24, 8, 0, ROWS, (b"tRNS", b"\0\1")),
    "palette": png_of(32, 24, 8, 3, ROWS, (b"PLTE", bytes(range(12)))),
    "palette with transparency": png_of(32, 24, 8, 3, ROWS, (b"PLTE", bytes(range(12))), (b"tRNS", b"\0\x80\xff\xff")),
    "1 bit": png_of(32, 24, 1, 0, b"".join(b"\0" + bytes([0xA5, n, 0x0F, 0xFF]) for n in range(24))),
}


def middle(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


@pytest.mark.parametrize("path", [SHAPES, PHOTOS], ids=["shapes", "photos"])
def test_jpegs_are_the_pixels_of_tensorflow(path):
    if not path.exists():
        pytest.skip(f"{path} is not in this checkout")
    with rb.open(path) as file:
        batch = file[:60]
    found = decode_and_crop((64, 90))(batch)["image"]
    for content, pixels in zip(batch["image"], found, strict=True):
        whole = tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE").numpy()
        assert np.abs(middle(whole, 64, 90).astype(int) - pixels).max() <= 2  # two decoders; here they are the same


@pytest.mark.parametrize("name", PNGS)
def test_a_png_is_the_pixels_of_tensorflow_exactly(name):
    (found,) = decode_and_crop((20, 30))(batch_of(PNGS[name]))["image"]
    assert np.array_equal(found, middle(tf.io.decode_png(PNGS[name], 3).numpy(), 20, 30))


def test_a_random_window_is_the_one_that_tensorflow_decodes(tmp_path):
    content = png(ramp(90, 120))
    made = decode_and_crop((30, 40), random_crop=True, flip=True)(batch_of(*[content] * 20))["image"]
    whole = tf.io.decode_png(content, 3)
    for pixels in made:
        down = int(pixels[0, 0, 0])
        across = int(pixels[0, :, 1].min())
        window = tf.image.crop_to_bounding_box(whole, down, across, 30, 40)
        window = tf.image.flip_left_right(window) if pixels[0, 0, 1] > across else window
        assert np.array_equal(pixels, window.numpy())


def test_a_runner_feeds_the_crops_to_the_model_and_counts_those_left_out(tmp_path):
    with rb.open(SHAPES) as file:
        rows = file[:50]
    spoilt = [content if n % 10 else b"" for n, content in enumerate(rows["image"])]
    rb.write(tmp_path / "a.rec", {"id": rows["id"], "label": rows["label"], "image": spoilt})
    transform = decode_and_crop((48, 64), random_crop=True, on_bad="skip")
    with CustomRunner(tmp_path / "a.rec", 16, transform=transform) as runner:
        dataset = runner.dataset(n_threads=2)
        assert dataset.element_spec[2] == tf.TensorSpec([None, 48, 64, 3], tf.uint8)
        ids = [int(each) for batch in dataset for each in batch[0]]
        assert runner.stats().skipped == 5
    assert ids == [int(each) for n, each in enumerate(rows["id"]) if n % 10]
