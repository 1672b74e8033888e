"""survey_images against its twin, and against image files written out by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import agreed, assert_refused, room, spans_of, values_of
from tests.native.strategies import damaged
from tests.samples import read_rec

GOLDEN = Path(__file__).parents[1] / "golden"
BOTH = [_kernels, reference]
JPEG, PNG, GIF = reference.JPEG, reference.PNG, reference.GIF
BMP, WEBP, NO_IMAGE = reference.BMP, reference.WEBP, reference.NO_IMAGE
COLOUR, ALPHA, TRANSPARENT = reference.COLOUR, reference.ALPHA, reference.TRANSPARENT
DEEP, SEVERAL, WHOLE = reference.DEEP, reference.SEVERAL, reference.WHOLE


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(
    height: int, width: int, frame: int = 0xC0, before: bytes = segment(0xE0, b"JFIF\0"), components: int = 1
) -> bytes:
    frame_header = segment(frame, struct.pack(">BHHB", 8, height, width, components) + b"\1\x11\0" * components)
    return b"\xff\xd8" + before + frame_header + segment(0xDA, b"\1\1\0\0\x3f\0") + b"scan\xff\xd9"


def png(height: int, width: int, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    header = struct.pack(">I4sIIBB", 13, b"IHDR", width, height, depth, colour) + b"\0\0\0crc."
    return b"\x89PNG\r\n\x1a\n" + header + more


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + b"crc."


def gif(height: int, width: int, version: bytes = b"GIF89a") -> bytes:
    return version + struct.pack("<HH", width, height) + b"\0\0\0;"


def bmp(height: int, width: int, header: int = 40) -> bytes:
    size = struct.pack("<HH", width, height) if header == 12 else struct.pack("<ii", width, height)
    return b"BM" + struct.pack("<IHHII", 99, 0, 0, 14 + header, header) + size + b"\1\0\x18\0"


def riff(name: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + name + struct.pack("<I", len(body)) + body


def webp(height: int, width: int, name: bytes = b"VP8 ", tag: int = 0x10, scale: int = 0) -> bytes:
    if name == b"VP8 ":
        return riff(name, bytes([tag, 0, 0]) + b"\x9d\x01\x2a" + struct.pack("<HH", width | scale, height | scale))
    if name == b"VP8L":
        return riff(name, b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14))
    return riff(name, bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def survey(module: ModuleType, images: list[bytes]) -> list[tuple[int, int, int]]:
    """Kind, height and width of each."""
    return [found[:3] for found in survey_spans(module, values_of(images))]


def traits_of(module: ModuleType, image: bytes) -> int:
    return survey_spans(module, values_of([image]))[0][3]


def survey_spans(module: ModuleType, spans: tuple[bytes, np.ndarray, np.ndarray]) -> list[tuple[int, int, int, int]]:
    rows = len(spans[1])
    kinds, heights, widths, traits = np.zeros(rows, np.uint8), room(rows), room(rows), np.full(rows, 255, np.uint8)
    assert module.survey_images(spans, kinds, heights, widths, traits) is None
    return list(zip(kinds.tolist(), heights.tolist(), widths.tolist(), traits.tolist(), strict=True))


SOUND = {
    "a JPEG": (jpeg(480, 640), JPEG, 480, 640),
    "a progressive JPEG": (jpeg(1, 65535, 0xC2), JPEG, 1, 65535),
    "an arithmetic JPEG": (jpeg(7, 9, 0xCF), JPEG, 7, 9),
    "a JPEG with tables first": (jpeg(5, 6, before=segment(0xC4, b"huffman") + segment(0xDB, b"\0" * 65)), JPEG, 5, 6),
    "a JPEG with a thumbnail in EXIF": (jpeg(5, 6, before=segment(0xE1, b"Exif" + jpeg(1, 2))), JPEG, 5, 6),
    "a JPEG with fill bytes": (jpeg(5, 6, before=b"\xff\xff\xff\xff"), JPEG, 5, 6),
    "a JPEG with stray bytes": (jpeg(5, 6, before=segment(0xE0, b"") + b"junk\xff\0junk\xff\1"), JPEG, 5, 6),
    "a PNG": (png(31, 40), PNG, 31, 40),
    "the largest PNG": (png(2**31 - 1, 2**31 - 1), PNG, 2**31 - 1, 2**31 - 1),
    "a GIF": (gif(300, 200), GIF, 300, 200),
    "an old GIF": (gif(1, 65535, b"GIF87a"), GIF, 1, 65535),
    "a BMP": (bmp(20, 30), BMP, 20, 30),
    "a BMP from the top down": (bmp(-20, 30), BMP, 20, 30),
    "an OS/2 BMP": (bmp(20, 30, 12), BMP, 20, 30),
    "a BMP of version 5": (bmp(20, 30, 124), BMP, 20, 30),
    "a lossy WebP": (webp(300, 400), WEBP, 300, 400),
    "a lossy WebP to be scaled": (webp(300, 400, scale=0xC000), WEBP, 300, 400),
    "a lossless WebP": (webp(16384, 1, b"VP8L"), WEBP, 16384, 1),
    "an extended WebP": (webp(1, 2**24, b"VP8X"), WEBP, 1, 2**24),
}
BROKEN = {
    "a JPEG whose height comes behind the scan": (jpeg(0, 6), JPEG),
    "a JPEG without a frame": (b"\xff\xd8\xff\xd9", JPEG),
    "a JPEG whose scan comes first": (b"\xff\xd8" + segment(0xDA, b"") + jpeg(5, 6)[2:], JPEG),
    "two JPEGs": (b"\xff\xd8" + jpeg(5, 6), JPEG),
    "a JPEG with a segment of one byte": (b"\xff\xd8\xff\xe0\0\1" + jpeg(5, 6)[2:], JPEG),
    "a JPEG with a short frame header": (b"\xff\xd8\xff\xc0\0\7\x08\0\5\0\6\0", JPEG),
    "a PNG without IHDR": (png(5, 6).replace(b"IHDR", b"IDAT"), PNG),
    "a PNG without columns": (png(5, 0), PNG),
    "a PNG that is too large": (png(5, 2**31), PNG),
    "a BMP without rows": (bmp(0, 5), BMP),
    "a BMP with a negative width": (bmp(5, -5), BMP),
    "a WebP frame that needs another": (webp(5, 6, tag=0x11), WEBP),
    "a WebP of another kind": (riff(b"ALPH", bytes(20)), WEBP),
    "nothing": (b"", NO_IMAGE),
    "BM alone": (b"BM and then some text that is no bitmap", NO_IMAGE),
    "a GIF of another version": (gif(5, 6, b"GIF88a"), NO_IMAGE),
    "a .npy": (b"\x93NUMPY\1\0v\0{'descr'", NO_IMAGE),
    "a RIFF of another kind": (webp(5, 6).replace(b"WEBP", b"WAVE"), NO_IMAGE),
    "half of a signature": (b"\xff\xd8", NO_IMAGE),
}

IDAT = chunk(b"IDAT", b"pixels")
TRAITS = {
    "a gray JPEG": (jpeg(5, 6), WHOLE),
    "a JPEG in colour": (jpeg(5, 6, components=3), COLOUR | WHOLE),
    "a JPEG in CMYK": (jpeg(5, 6, components=4), COLOUR | WHOLE),
    "a JPEG without its end": (jpeg(5, 6, components=3)[:-2], COLOUR),
    "a JPEG that other bytes follow": (jpeg(5, 6) + bytes(99), WHOLE),
    "a JPEG without a scan, but an end": (b"\xff\xd8" + segment(0xC0, b"\x08\0\5\0\6\1") + b"\xff\xd9", 0),
    "a cut JPEG with a whole thumbnail": (jpeg(5, 6, before=segment(0xE1, b"Exif" + jpeg(1, 2)))[:-2], 0),
    "a PNG in colour": (png(5, 6, more=IDAT), COLOUR | WHOLE),
    "a PNG of 16 bits": (png(5, 6, 16, more=IDAT), COLOUR | DEEP | WHOLE),
    "a gray PNG": (png(5, 6, 1, 0, IDAT), WHOLE),
    "a palette": (png(5, 6, 8, 3, chunk(b"PLTE", bytes(6)) + IDAT), COLOUR | WHOLE),
    "gray with alpha": (png(5, 6, 8, 4, IDAT), ALPHA | WHOLE),
    "colour with alpha": (png(5, 6, 8, 6, IDAT), COLOUR | ALPHA | WHOLE),
    "a transparent shade": (png(5, 6, 8, 0, chunk(b"tRNS", b"\0\1") + IDAT), TRANSPARENT | WHOLE),
    "a palette with transparency": (
        png(5, 6, 8, 3, chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0") + IDAT),
        COLOUR | TRANSPARENT | WHOLE,
    ),
    "tRNS behind the pixels": (png(5, 6, 8, 3, IDAT + chunk(b"tRNS", b"\0")), COLOUR | WHOLE),
    "an animated PNG": (png(5, 6, 8, 0, chunk(b"acTL", bytes(8)) + IDAT), SEVERAL | WHOLE),
    "a PNG that ends before its pixels": (png(5, 6, 16, 6, chunk(b"tEXt", b"x")), COLOUR | ALPHA | DEEP),
    "a PNG whose chunk reaches beyond": (png(5, 6, more=b"\xff\xff\xff\xfftEXt" + IDAT), COLOUR),
    "a GIF": (gif(5, 6), SEVERAL),
    "a BMP": (bmp(5, 6), 0),
    "a WebP": (webp(5, 6), 0),
    "a still extended WebP": (riff(b"VP8X", b"\x10" + bytes(9)), 0),
    "an animated WebP": (riff(b"VP8X", b"\x12" + bytes(9)), SEVERAL),
    "nothing": (b"", 0),
}


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("what", TRAITS)
def test_traits_are_read(module, what):
    image, traits = TRAITS[what]
    assert traits_of(module, image) == traits


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("what", SOUND)
def test_kind_and_size_are_read(module, what):
    image, kind, height, width = SOUND[what]
    assert survey(module, [image]) == [(kind, height, width)]


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("what", BROKEN)
def test_a_size_that_is_not_there_is_minus_one(module, what):
    image, kind = BROKEN[what]
    assert survey(module, [image]) == [(kind, -1, -1)]


def test_every_cut_and_every_flipped_bit_gives_what_the_twin_gives():
    for image in [*(image for image, *_ in SOUND.values()), *(image for image, _ in TRAITS.values())]:
        cuts = [image[:at] for at in range(len(image))]
        flipped = [
            image[:at] + bytes([image[at] ^ 1 << bit]) + image[at + 1 :] for at in range(len(image)) for bit in range(8)
        ]
        agreed(lambda module: survey_spans(module, values_of(cuts + flipped)))  # noqa: B023


_images = st.one_of(
    st.builds(
        jpeg,
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.integers(0xC0, 0xCF),
        before=st.lists(
            st.one_of(
                st.builds(segment, st.integers(0, 255), st.binary(max_size=6)),
                st.binary(max_size=4),
                st.just(b"\xff"),
                st.just(b"\xff\0"),
            ),
            max_size=4,
        ).map(b"".join),
        components=st.integers(0, 4),
    ),
    st.builds(
        png,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.sampled_from([8, 16]),
        st.integers(0, 7),
        st.lists(st.builds(chunk, st.sampled_from([b"tRNS", b"acTL", b"IDAT", b"tEXt"]), st.binary(max_size=3))).map(
            b"".join
        ),
    ),
    st.builds(gif, st.integers(0, 65535), st.integers(0, 65535)),
    st.builds(bmp, st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.sampled_from([16, 40, 41])),
    st.builds(webp, st.integers(1, 2**14), st.integers(1, 2**14), st.sampled_from([b"VP8L", b"VP8X"])),
    st.builds(webp, st.integers(0, 2**14 - 1), st.integers(0, 2**14 - 1), st.just(b"VP8 "), st.integers(0, 255)),
    st.binary(max_size=40),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(_images, damaged(_images)), max_size=5))
def test_images_are_surveyed_as_the_twin_surveys_them(images):
    agreed(lambda module: survey_spans(module, values_of(images)))


@pytest.mark.parametrize("module", BOTH)
def test_no_byte_beyond_a_span_is_looked_at(module):
    image = jpeg(5, 6)
    base = image + image
    assert survey_spans(module, spans_of(base, [(0, 19), (len(image), len(image)), (0, len(base)), (0, 34)])) == [
        (JPEG, -1, -1, 0),
        (JPEG, 5, 6, WHOLE),
        (JPEG, 5, 6, WHOLE),
        (JPEG, 5, 6, 0),
    ]


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("name", ["e_images", "g_insightface", "h_det", "h_im2rec"])
def test_golden_images_have_the_shapes_that_mxnet_decoded(module, name):
    truth = json.loads((GOLDEN / f"{name}.json").read_text())["records"]
    payloads = read_rec(GOLDEN / f"{name}.rec")
    kinds = {"jpeg": JPEG, "png": PNG}
    images = [payload[24 + 4 * payload[0] :] for payload in payloads]
    expected = [
        (kinds[record["encoding"]], *record["image_shape"][:2]) if "image_shape" in record else (NO_IMAGE, -1, -1)
        for record in truth
    ]
    assert any("image_shape" in record for record in truth)
    assert survey(module, images) == expected


def test_wrong_arguments_are_refused():
    one = values_of([png(5, 6)])
    small, fixed = np.zeros(1, np.uint8), np.frombuffer(b"\0", np.uint8)
    calls = {
        "two kinds": lambda m: m.survey_images(one, np.zeros(2, np.uint8), room(1), room(1), small),
        "no heights": lambda m: m.survey_images(one, small, room(0), room(1), small),
        "two widths": lambda m: m.survey_images(one, small, room(1), room(2), small),
        "two traits": lambda m: m.survey_images(one, small, room(1), room(1), np.zeros(2, np.uint8)),
        "kinds of 2 bytes": lambda m: m.survey_images(one, np.zeros(1, np.uint16), room(1), room(1), small),
        "read-only kinds": lambda m: m.survey_images(one, fixed, room(1), room(1), small),
        "read-only traits": lambda m: m.survey_images(one, small, room(1), room(1), fixed),
        "a span outside": lambda m: m.survey_images(spans_of(b"abc", [(1, 3)]), small, room(1), room(1), small),
    }
    assert_refused(calls)
