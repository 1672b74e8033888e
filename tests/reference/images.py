"""What the first bytes of image files say: kind, height and width, and some traits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from tests.reference.arguments import Spans, check_array, check_results, open_spans
from tests.reference.faults import (
    ALPHA,
    BMP,
    COLOUR,
    DEEP,
    GIF,
    JPEG,
    NO_IMAGE,
    PNG,
    SEVERAL,
    TRANSPARENT,
    WEBP,
    WHOLE,
)

_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # DHT, JPG, DAC: among the markers of frames, and none


class _Cut(Exception):
    """The file ends, or says nothing sensible, before its size."""


def survey_images(
    images: Spans, kinds: np.ndarray, heights: np.ndarray, widths: np.ndarray, traits: np.ndarray
) -> None:
    """Note kind, height, width (-1 where the size cannot be read) and traits of each image."""
    data, rows = open_spans(images)
    check_array(kinds, "uint8", writable=True)
    check_array(traits, "uint8", writable=True)
    if check_results(heights, widths) != len(rows) or {len(kinds), len(traits)} != {len(rows)}:
        raise ValueError(f"{len(rows)} images, {len(kinds)} kinds, {len(heights)} heights, {len(traits)} traits")
    for row, (start, length) in enumerate(rows):
        image = bytes(data[start : start + length])
        kinds[row] = _kind(image)
        try:
            height, width = _SIZES[int(kinds[row])](image)
        except _Cut:
            height = width = -1
        if height < 1 or width < 1:
            height = width = -1
        heights[row], widths[row] = height, width
        traits[row] = sum(_TRAITS[int(kinds[row])](image))


def _kind(image: bytes) -> int:
    if image.startswith(b"\xff\xd8\xff"):
        return JPEG
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if image.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        return WEBP
    header = int.from_bytes(image[14:18], "little") if len(image) >= 18 else 0
    return BMP if image.startswith(b"BM") and header in (12, 16, 40, 52, 56, 64, 108, 124) else NO_IMAGE


def _unpack(layout: str, image: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, image, at)
    except struct.error:
        raise _Cut from None


def _no_size(image: bytes) -> tuple[int, int]:
    raise _Cut


def _segments(image: bytes) -> Iterator[tuple[int, int]]:
    """The marker of each segment of a JPEG and where it goes on, up to SOI, EOI or SOS."""
    at = 2
    while True:
        at = image.find(b"\xff", at)  # stray bytes before a marker are passed over
        if at < 0:
            raise _Cut
        while image[at : at + 1] == b"\xff":
            at += 1
        (marker,) = _unpack("B", image, at)
        at += 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7:
            continue
        yield marker, at
        if marker in (0xD8, 0xD9, 0xDA):
            return
        (length,) = _unpack(">H", image, at)
        if length < 2 or at + length > len(image):
            raise _Cut
        at += length


def _jpeg_frame(image: bytes) -> tuple[int, int]:
    """The length of the first start of frame, and where it is."""
    for marker, at in _segments(image):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            return int(_unpack(">H", image, at)[0]), at
    raise _Cut


def _jpeg_size(image: bytes) -> tuple[int, int]:
    length, at = _jpeg_frame(image)
    _, height, width = _unpack(">BHH", image, at + 2)
    if length < 8:
        raise _Cut
    return height, width


def _jpeg_traits(image: bytes) -> Iterator[int]:
    with suppress(_Cut):
        _, at = _jpeg_frame(image)
        if _unpack("B", image, at + 7) != (1,):
            yield COLOUR
    with suppress(_Cut):
        for marker, at in _segments(image):
            if marker == 0xDA and image.find(b"\xff\xd9", at) >= 0:
                yield WHOLE


def _png_traits(image: bytes) -> Iterator[int]:
    if image[12:16] != b"IHDR" or len(image) < 26:
        return
    depth, colour = image[24], image[25]
    yield DEEP if depth == 16 else 0
    yield COLOUR if colour not in (0, 4) else 0
    yield ALPHA if colour in (4, 6) else 0
    names = set()
    at = 8
    while len(image) >= at + 8:
        length, name = struct.unpack_from(">I4s", image, at)
        if name == b"IDAT":
            yield WHOLE
            break
        names.add(name)
        at += 12 + length
    yield TRANSPARENT if b"tRNS" in names else 0
    yield SEVERAL if b"acTL" in names else 0


def _gif_traits(image: bytes) -> Iterator[int]:
    yield SEVERAL


def _webp_traits(image: bytes) -> Iterator[int]:
    yield SEVERAL if image[12:16] == b"VP8X" and image[20:21] and image[20] & 2 else 0


def _no_traits(image: bytes) -> Iterator[int]:
    yield 0


def _png_size(image: bytes) -> tuple[int, int]:
    name, width, height = _unpack(">4sII", image, 12)
    if name != b"IHDR" or max(width, height) >= 2**31:
        raise _Cut
    return height, width


def _gif_size(image: bytes) -> tuple[int, int]:
    width, height = _unpack("<HH", image, 6)
    return height, width


def _bmp_size(image: bytes) -> tuple[int, int]:
    if int.from_bytes(image[14:18], "little") == 12:
        width, height = _unpack("<HH", image, 18)
        return height, width
    width, height = _unpack("<ii", image, 18)
    return abs(height), width


def _webp_size(image: bytes) -> tuple[int, int]:
    chunk = image[12:16]
    if chunk == b"VP8 ":
        tag, code, width, height = _unpack("<B2x3sHH", image, 20)
        if tag & 1 or code != b"\x9d\x01\x2a":
            raise _Cut
        return height & 0x3FFF, width & 0x3FFF
    if chunk == b"VP8L":
        signature, bits = _unpack("<BI", image, 20)
        if signature != 0x2F:
            raise _Cut
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if chunk == b"VP8X":
        width, height = _unpack("3s3s", image, 24)
        return int.from_bytes(height, "little") + 1, int.from_bytes(width, "little") + 1
    raise _Cut


_SIZES = {NO_IMAGE: _no_size, JPEG: _jpeg_size, PNG: _png_size, GIF: _gif_size, BMP: _bmp_size, WEBP: _webp_size}
_TRAITS = {
    NO_IMAGE: _no_traits,
    JPEG: _jpeg_traits,
    PNG: _png_traits,
    GIF: _gif_traits,
    BMP: _no_traits,
    WEBP: _webp_traits,
}
