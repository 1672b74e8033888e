"""Images that claim more pixels than are decoded, also of kinds whose headers only OpenCV reads."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from recordio_bridge import FormatError, crops, images, mxrecordio
from tests.limits.probing import HOME, outcome


def tiff(width: int, height: int) -> bytes:
    """A gray image of one strip, which is not all there."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, 100)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(204)


def png(width: int, height: int) -> bytes:
    """A gray image of one bit a pixel, of which nothing is there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


SIDE = 20_000


def test_the_first_image_of_a_column_is_refused_by_its_header() -> None:
    assert SIDE**2 > images.MOST_PIXELS == 1 << 28
    with pytest.raises(FormatError, match=f"has {SIDE**2} pixels, and at most {images.MOST_PIXELS} are decoded"):
        images.decode_image(png(SIDE, SIDE))
    with pytest.raises(FormatError, match=r"the header claims 100000000 pixels, which .* bytes cannot hold"):
        images.decode_image(png(10_000, 10_000))
    assert crops._MOST_PIXELS == (1 << 28) // 3


def test_so_it_is_by_the_drop_in_with_the_error_of_opencv() -> None:
    with pytest.raises(cv2.error, match="pixels <= CV_IO_MAX_IMAGE_PIXELS"):
        mxrecordio.unpack_img(mxrecordio.pack(mxrecordio.IRHeader(0, 1.0, 2, 0), png(2 * SIDE, 2 * SIDE)))


def test_a_tiff_is_refused_before_memory_is_taken_for_it(tmp_path: Path) -> None:
    """Where nobody else has loaded OpenCV before, as in the command line."""
    path = tmp_path / "x.tiff"
    path.write_bytes(tiff(SIDE, SIDE))
    code = "__import__('recordio_bridge.images').images.decode_image(open(path, 'rb').read())"
    assert "pixels <= CV_IO_MAX_IMAGE_PIXELS" in outcome(code, path, 1 << 30)


def test_what_opencv_was_told_by_the_user_stays() -> None:
    code = (
        "import os; from recordio_bridge.images import opencv; "
        "told = lambda: os.environ.get('OPENCV_IO_MAX_IMAGE_PIXELS'); "
        "before = told(); opencv('it'); assert told() == before"
    )
    for told in ({}, {"OPENCV_IO_MAX_IMAGE_PIXELS": "1000"}):
        environment = {**os.environ, "PYTHONPATH": str(HOME), **told}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_an_image_that_packs_as_well_as_any_is_decoded() -> None:
    _, content = cv2.imencode(".png", np.zeros((3000, 3000), np.uint8), [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert images.decode_image(bytes(content)).shape == (3000, 3000, 1)
