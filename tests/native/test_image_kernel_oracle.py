"""survey_images against OpenCV and TensorFlow, which decode what it only looks at."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from recordio_bridge import _kernels
from tests import reference
from tests.native.test_image_kernel import survey, traits_of
from tests.samples import read_rec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = {".jpg": reference.JPEG, ".png": reference.PNG, ".bmp": reference.BMP, ".webp": reference.WEBP}
OPTIONS = {
    ".jpg": [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]],
    ".webp": [[cv2.IMWRITE_WEBP_QUALITY, 80], [cv2.IMWRITE_WEBP_QUALITY, 101]],
}


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_opencv_encodes_has_the_size_that_it_had(suffix, channels):
    rng = np.random.default_rng(7)
    for height, width in ((1, 1), (3, 500), (480, 17)):
        pixels = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
        for options in OPTIONS.get(suffix, [[]]):
            encoded = cv2.imencode(suffix, pixels[..., :3] if suffix == ".jpg" else pixels, options)[1].tobytes()
            assert survey(_kernels, [encoded]) == [(KINDS[suffix], height, width)]
            if suffix in (".jpg", ".png"):
                decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
                colour = reference.COLOUR if decoded.ndim == 3 else 0
                alpha = reference.ALPHA if decoded.ndim == 3 and decoded.shape[2] == 4 else 0
                assert traits_of(_kernels, encoded) == colour | alpha | reference.WHOLE


@pytest.mark.parametrize("name", ["e_images", "h_det", "r_photos"])
def test_tensorflow_decodes_images_to_the_sizes_that_are_read(name):
    images = [payload[24 + 4 * payload[0] :] for payload in read_rec(GOLDEN / f"{name}.rec")]
    for image, (_, height, width) in zip(images, survey(_kernels, images), strict=True):
        assert tf.io.decode_image(image).shape[:2] == (height, width)


def test_tensorflow_finds_the_same_size_of_a_gif():
    codes = [4, 0] * 6 + [5]  # of 3 bits: clear, pixel, clear, pixel, ..., end
    packed = sum(code << 3 * place for place, code in enumerate(codes)).to_bytes(5, "little")
    head = bytes.fromhex("47494638396102000300800000ff00000000ff2c00000000020003000002")
    gif = head + bytes([len(packed)]) + packed + b"\0;"
    assert survey(_kernels, [gif]) == [(reference.GIF, 3, 2)]
    assert tf.io.decode_gif(gif).shape[1:3] == (3, 2)
