"""Images between bytes and arrays, with OpenCV as the one that knows the formats."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.images import Encoding, decode_image
from tests.samples import image_payload, write_rec

RNG = np.random.default_rng(5)
RGB = cv2.blur(RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8), (5, 5))
GRAY = RGB[:, :, :1].copy()
RGBA = np.dstack([RGB, GRAY])
DEEP = RGB.astype(np.uint16) * 200


def encoded(pixels: np.ndarray, kind: str = "png", quality: int = 95) -> bytes:
    """RGB pixels as a file, by OpenCV, which takes BGR."""
    if pixels.shape[-1] in (3, 4):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[-1] == 3 else cv2.COLOR_RGBA2BGRA)
    done, content = cv2.imencode(f".{kind}", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == "jpg" else [])
    assert done
    return content.tobytes()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG put together by hand."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def images_rec(folder: Path, images: Sequence[bytes]) -> Path:
    return write_rec(folder / "a.rec", [image_payload(n, float(n), image) for n, image in enumerate(images)])


def decoded(folder: Path, images: Sequence[bytes], mode: str = "", **wishes: object) -> tuple[rb.Manifest, np.ndarray]:
    """The images of a .rec as the arrays of a TFRecord."""
    manifest = rb.convert(
        images_rec(folder, images), folder / "a.tfrecord", decode={"image": mode}, overwrite=True, **wishes
    )
    parts = [batch["image"] for batch in rb.read(folder / "a.tfrecord")]
    assert rb.verify(folder / "a.tfrecord").ok
    return manifest, np.concatenate(parts)


# ---- decoding ----


@pytest.mark.parametrize("pixels", [RGB, GRAY, RGBA, DEEP, DEEP[:, :, :1]], ids=["rgb", "gray", "rgba", "16", "gray16"])
def test_a_png_becomes_its_pixels_with_its_channels_and_depth(tmp_path, pixels):
    manifest, found = decoded(tmp_path, [encoded(pixels), encoded(pixels[::-1])])
    assert manifest.schema["image"] == rb.Field("image", pixels.dtype.name, pixels.shape)
    assert np.array_equal(found, [pixels, pixels[::-1]])
    assert manifest.notes == ()


def test_a_jpeg_becomes_what_opencv_makes_of_it_in_rgb(tmp_path):
    content = encoded(RGB, "jpg")
    _, found = decoded(tmp_path, [content])
    assert np.array_equal(found[0], cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])


def test_many_images_keep_their_order_over_threads_and_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("recordio_bridge.migrate.recode._PIECE", 20 * RGB.nbytes)
    images = [np.full((24, 32, 3), n, dtype=np.uint8) for n in range(150)]
    _, found = decoded(tmp_path, [encoded(image) for image in images])
    assert np.array_equal(found, images)
    _, shuffled = decoded(tmp_path, [encoded(image) for image in images], shards=3, shuffle=True, seed=2, workers=2)
    assert sorted(shuffled[:, 0, 0, 0]) == list(range(150)) != shuffled[:, 0, 0, 0].tolist()


def test_gray_among_colour_is_repeated_and_said(tmp_path):
    manifest, found = decoded(tmp_path, [encoded(RGB), encoded(GRAY), encoded(GRAY, "jpg", 100)])
    assert np.array_equal(found[1], np.repeat(GRAY, 3, axis=2))
    assert manifest.notes == ("2 of 3 images of field 'image' are gray: their channel was repeated to RGB",)


def test_colour_after_gray_says_how_to_get_colour_for_all(tmp_path):
    images = [encoded(GRAY), encoded(RGB)]
    with pytest.raises(rb.SchemaError, match=r"record 1 at byte \d+: field 'image': .* --decode image=rgb") as caught:
        decoded(tmp_path, images)
    assert (caught.value.path, caught.value.record) == (str(tmp_path / "a.rec"), 1)
    _, found = decoded(tmp_path, images, "rgb")
    assert np.array_equal(found, [np.repeat(GRAY, 3, axis=2), RGB])


def test_an_alpha_that_says_nothing_is_left_out_and_one_that_does_is_not(tmp_path):
    opaque = np.dstack([RGB, np.full_like(GRAY, 255)])
    manifest, found = decoded(tmp_path, [encoded(RGB), encoded(opaque)])
    assert np.array_equal(found, [RGB, RGB])
    assert "1 of 2 images of field 'image' have an alpha that is opaque everywhere: it was left out" in manifest.notes
    images = [encoded(RGB), encoded(RGBA)]
    with pytest.raises(rb.LossyError, match=r"record 1 at byte \d+.*--decode image=rgba.*--allow-lossy image"):
        decoded(tmp_path, images)
    manifest, found = decoded(tmp_path, images, allow_lossy=["image"])
    assert np.array_equal(found, [RGB, RGB])
    assert manifest.notes == ("1 of 2 images of field 'image' lost their transparency",)
    _, found = decoded(tmp_path, images, "rgba")
    assert np.array_equal(found, [np.dstack([RGB, np.full_like(GRAY, 255)]), RGBA])


def test_gray_with_alpha_and_palettes_with_transparency_become_rgba(tmp_path):
    gray_alpha = png(2, 1, 8, 4, b"\0" + bytes([10, 128, 20, 255]))
    _, found = decoded(tmp_path, [gray_alpha])
    assert found.tolist() == [[[[10, 10, 10, 128], [20, 20, 20, 255]]]]
    palette = png(2, 1, 8, 3, b"\0\0\1", (b"PLTE", bytes([1, 2, 3, 4, 5, 6])), (b"tRNS", bytes([0, 255])))
    _, found = decoded(tmp_path, [palette])
    assert found.tolist() == [[[[1, 2, 3, 0], [4, 5, 6, 255]]]]


def test_an_exif_orientation_turns_nothing(tmp_path):
    content = encoded(RGB, "jpg")
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    turned = content[:2] + exif + content[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (32, 24, 3)  # it does turn it
    _, found = decoded(tmp_path, [content, turned])
    assert np.array_equal(found[0], found[1])


def test_images_of_two_sizes_are_an_error_that_names_place_sizes_and_advice(tmp_path):
    images = [encoded(RGB), encoded(RGB), encoded(RGB[:, :30])]
    with pytest.raises(rb.SchemaError) as caught:
        decoded(tmp_path, images, on_bad_record="skip")
    assert str(caught.value) == (
        f"{tmp_path / 'a.rec'}: record 2 at byte {caught.value.offset}: field 'image': the image is 30 x 24 pixels, "
        "expected 32 x 24 as the first; a column of arrays has one size: leave --decode away and let the training "
        "program decode and resize, or make the images one size first"
    )
    assert not (tmp_path / "a.tfrecord").exists()


def bomb(kind: str) -> tuple[bytes, tuple[int, int]]:
    """An image that claims another size, and this size."""
    content = bytearray(encoded(RGB, kind))
    if kind == "png":
        content[16:24] = struct.pack(">II", 1 << 15, 1 << 15)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        return bytes(content), (1 << 15, 1 << 15)
    if kind == "bmp":
        content[18:26] = struct.pack("<ii", 1 << 15, -(1 << 15))
        return bytes(content), (1 << 15, 1 << 15)
    if kind == "jpg":
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
        return bytes(content), (65000, 65000)
    size = 16383 - 1
    return webp(b"VP8X", bytes(4) + size.to_bytes(3, "little") * 2) + content[12:], (size + 1, size + 1)


def webp(name: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + name + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp"])
def test_a_header_that_claims_another_size_takes_no_memory(tmp_path, monkeypatch, kind):
    content, (width, height) = bomb(kind)
    calls = []
    imdecode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda content, how: calls.append(content.tobytes()) or imdecode(content, how))
    with pytest.raises(rb.SchemaError, match=f"{width} x {height} pixels"):
        decoded(tmp_path, [encoded(RGB), content])
    assert calls
    assert content not in calls


@pytest.mark.parametrize("kind", ["bmp", "webp"])
def test_bmp_and_webp_are_decoded_too(tmp_path, kind):
    _, found = decoded(tmp_path, [encoded(RGB), encoded(RGB, kind)])
    assert np.abs(found[1].astype(int) - RGB).max() <= (0 if kind == "bmp" else 100)


def test_depths_do_not_mix(tmp_path):
    with pytest.raises(rb.SchemaError, match="pixels of uint16, expected of uint8; convert the files to one depth"):
        decoded(tmp_path, [encoded(RGB), encoded(DEEP)])


# ---- broken images ----

BROKEN = {
    "empty": (b"", "no image"),
    "text": (b"this is no image", "no image .it begins with 74 68"),
    "cut PNG": (encoded(RGB)[:-20], "OpenCV cannot decode"),
    "cut header": (encoded(RGB)[:20], "says no size"),
    "no pixels": (encoded(RGB)[:33] + png(1, 1, 8, 2, b"")[-12:], "ends inside its header"),
    "flipped PNG": (encoded(RGB)[:-30] + b"\1" + encoded(RGB)[-29:], "cut or damaged"),
    "cut BMP": (encoded(RGB, "bmp")[:25], "says no size"),
    "cut WebP": (encoded(RGB, "webp")[:22], "says no size"),
    "cut JPEG": (encoded(RGB, "jpg")[:-2], "no end-of-image marker"),
    "half JPEG": (encoded(RGB, "jpg")[:400], "cut"),
    "no JPEG": (b"\xff\xd8\xff\xe0\0\4ab" + b"rubbish" * 9, "says no size"),
    "GIF": (b"GIF89a" + bytes(20), "may hold several pictures"),
    "animated WebP": (b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\2" + bytes(9), "may hold several pictures"),
    "animated PNG": (png(1, 1, 8, 0, b"\0\0", (b"acTL", bytes(8))), "several pictures"),
    "transparent shade": (png(1, 1, 8, 0, b"\0\0", (b"tRNS", bytes(2))), "save it with alpha"),
    "TIFF of floats": (encoded(RGB.astype(np.float32), "tiff"), "3 channels of float32"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_an_error_with_its_place_or_left_out(tmp_path, name):
    broken, reason = BROKEN[name]
    path = images_rec(tmp_path, [encoded(RGB), broken, encoded(RGB[::-1])])
    with pytest.raises(rb.FormatError, match=reason) as caught:
        rb.convert(path, tmp_path / "b.tfrecord", decode=("image",))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 1, caught.value.offset)
    assert str(caught.value).startswith(f"{path}: record 1 at byte {caught.value.offset}: field 'image': ")
    manifest, found = decoded(tmp_path, [encoded(RGB), broken, encoded(RGB[::-1])], on_bad_record="skip")
    assert np.array_equal(found, [RGB, RGB[::-1]])
    (skipped,) = manifest.skipped
    size = 8 + 24 + len(broken)
    assert (skipped.path, skipped.record, skipped.start) == (str(path), 1, caught.value.offset)
    assert (skipped.stop, skipped.where) == (skipped.start + size, f"bytes {skipped.start} to {skipped.start + size}")
    assert skipped.reason.startswith(f"record 1 at byte {skipped.start}: field 'image': ")


def test_opencv_does_not_print_what_the_error_says(tmp_path, capfd):
    path = images_rec(tmp_path, [encoded(RGB), BROKEN["cut PNG"][0]] * 40)
    level = cv2.getLogLevel()
    assert cv2.imdecode(np.frombuffer(BROKEN["cut PNG"][0], np.uint8), cv2.IMREAD_UNCHANGED) is None
    assert "incomplete" in capfd.readouterr().err
    rb.convert(path, tmp_path / "b.tfrecord", decode=("image",), on_bad_record="skip")
    assert capfd.readouterr().err == ""
    assert cv2.getLogLevel() == level


def test_a_broken_first_image_tells_no_size(tmp_path):
    images = [b"nothing", encoded(GRAY)]
    with pytest.raises(rb.FormatError, match="record 0 at byte 0: field 'image'"):
        decoded(tmp_path, images)
    manifest, found = decoded(tmp_path, images, on_bad_record="skip")
    assert np.array_equal(found, [GRAY])
    assert [skipped.record for skipped in manifest.skipped] == [0]
    with pytest.raises(rb.SchemaError, match="there is no image whose size the column could have"):
        decoded(tmp_path, [b"nothing"], on_bad_record="skip")


def test_a_broken_first_image_of_a_migration_costs_the_rows_of_its_file(tmp_path):
    (tmp_path / "src").mkdir()
    for number, images in enumerate(([b"nothing", encoded(GRAY)], [encoded(GRAY)] * 3)):
        write_rec(tmp_path / f"src/{number}.rec", [image_payload(n, image=image) for n, image in enumerate(images)])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", decode=["image"])
    assert outcome.num_rows == 3
    assert [(each.path, each.record) for each in outcome.quarantine] == [(str(tmp_path / "src/0.rec"), 0)]


def test_a_broken_image_in_a_file_of_arrays_is_named_by_its_row(tmp_path):
    for number, images in enumerate(([encoded(RGB)] * 3, [encoded(RGB), b"x", encoded(RGB)])):
        rb.write(tmp_path / f"{number}.npz", {"image": images})
    for wishes in ({"shards": 2}, {"shuffle": True}):
        manifest = rb.convert(
            [tmp_path / "0.npz", tmp_path / "1.npz"],
            tmp_path / "a.tfrecord",
            decode="image",
            on_bad_record="skip",
            overwrite=True,
            **wishes,
        )
        assert manifest.num_rows == 5
        (skipped,) = manifest.skipped
        assert (skipped.path, skipped.record, skipped.where) == (str(tmp_path / "1.npz"), 1, "row 1")
        assert skipped.reason.startswith("row 1 of field 'image': ")


# ---- encoding ----


@pytest.mark.parametrize("pixels", [RGB, GRAY, RGBA, DEEP, GRAY[:, :, 0]], ids=["rgb", "gray", "rgba", "16", "flat"])
def test_arrays_become_png_in_a_rec_and_come_back(tmp_path, pixels):
    rb.write(tmp_path / "a.npz", {"label": [4, 5], "image": np.stack([pixels, pixels[::-1]])})
    manifest = rb.convert(tmp_path / "a.npz", tmp_path / "a.rec", encode={"image": "png"})
    assert (manifest.payload, manifest.notes) == ("image", ())
    with rb.open(tmp_path / "a.rec") as file:
        assert np.array_equal(decode_image(file[0]["image"]).squeeze(), in_bgr(pixels).squeeze())
    rb.convert(tmp_path / "a.rec", tmp_path / "b.npz", decode=["image"], shards=1)
    (back,) = rb.read(tmp_path / "b.npz")
    assert np.array_equal(back["image"].reshape(2, *pixels.shape), [pixels, pixels[::-1]])
    assert back["label"].tolist() == [4, 5]


def in_bgr(pixels: np.ndarray) -> np.ndarray:
    """As OpenCV has it, and decode_image."""
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]] if pixels.ndim == 3 and pixels.shape[-1] > 1 else pixels


def test_jpeg_is_said_to_change_pixels_and_takes_its_quality(tmp_path):
    rb.write(tmp_path / "a.npz", {"image": RGB[None]})
    sizes = []
    for how in ("jpeg", "jpeg:95", "jpg:30"):
        manifest = rb.convert(tmp_path / "a.npz", tmp_path / "a.rec", encode={"image": how}, overwrite=True)
        quality = 30 if how == "jpg:30" else 95
        assert manifest.notes == (f"field 'image' is encoded as JPEG of quality {quality}, which changes pixels",)
        with rb.open(tmp_path / "a.rec") as file:
            sizes.append(len(file[0]["image"]))
            assert file[0]["image"] == encoded(RGB, "jpg", quality)
    assert sizes[0] == sizes[1] > sizes[2]


def test_images_may_be_decoded_and_encoded_anew(tmp_path):
    path = images_rec(tmp_path, [encoded(RGB), encoded(RGB[::-1])])
    rb.convert(path, tmp_path / "b.rec", decode=["image"], encode=["image=jpeg:90"])
    with rb.open(tmp_path / "b.rec") as file:
        assert [row["image"] for row in file] == [encoded(RGB, "jpg", 90), encoded(RGB[::-1], "jpg", 90)]
        assert file[1]["label"].tolist() == [1.0]


def test_selected_names_and_packings_are_those_of_the_output(tmp_path):
    path = images_rec(tmp_path, [encoded(RGB)])
    select = {"pixels": "image", "label:int64": "label[0]"}
    manifest = rb.convert(path, tmp_path / "b.tfrecord", select=select, decode=("pixels",), pack={"pixels": "list"})
    assert manifest.schema["pixels"] == rb.Field("pixels", "uint8", RGB.shape, "list")
    (batch,) = rb.read(tmp_path / "b.tfrecord")
    assert np.array_equal(batch["pixels"][0], RGB)


# ---- encoding what a preset, or functions, take ----


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".tfrecord"])
@pytest.mark.parametrize("wishes", [{}, {"shards": 3, "shuffle": True, "workers": 2}], ids=["one", "shards"])
def test_a_preset_takes_arrays_that_are_encoded_as_they_are_read(tmp_path, suffix, wishes):
    images = np.stack([np.roll(RGB, n, axis=1) for n in range(10)])
    rb.write(tmp_path / f"a{suffix}", {"image": images, "label": np.arange(10)})
    target = tmp_path / "b.tfrecord"
    manifest = rb.convert(tmp_path / f"a{suffix}", target, preset="imagenet", encode=["image=png"], **wishes)
    assert rb.verify(target).ok
    assert [*manifest.schema] == ["image/encoded", "image/format", "image/height", "image/width", "image/class/label"]
    rows = sorted(rb.open(target), key=lambda row: row["image/class/label"])
    for number, row in enumerate(rows):
        assert (row["image/format"], row["image/height"], row["image/width"]) == (b"png", 24, 32)
        assert row["image/encoded"] == encoded(images[number])


def test_faces_and_boxes_take_arrays_that_are_encoded_too(tmp_path):
    label = np.array([[2, 5, 3, 0, 0, 16, 12]], dtype=np.float32)
    rb.write(tmp_path / "a.npz", {"image": RGB[None], "label": label})
    manifest = rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", preset="detection", encode={"image": "jpeg:90"})
    assert "field 'image' is encoded as JPEG of quality 90, which changes pixels" in manifest.notes
    (row,) = rb.open(tmp_path / "b.tfrecord")
    assert row["image/encoded"] == encoded(RGB, "jpg", 90)
    assert [row[f"image/object/bbox/{side}"].tolist() for side in ("xmax", "ymax")] == [[0.5], [0.5]]
    rb.convert(tmp_path / "a.npz", tmp_path / "c.tfrecord", preset="faces", encode={"image": "png"})
    assert rb.open(tmp_path / "c.tfrecord")[0]["image/class/label"] == 2


def test_a_function_of_arrays_says_how_to_encode_them(tmp_path):
    rb.write(tmp_path / "a.npz", {"image": RGB[None], "label": [1]})
    for encode in ((), ("image/encoded=png",)):
        with pytest.raises(rb.SelectError, match="make image files of it on the way: --encode image=png"):
            rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", preset="imagenet", encode=encode)
    with pytest.raises(rb.SelectError, match="encode: there is no field 'image'; there are label"):
        rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", select=["label=label"], encode=["image=png"])
    with pytest.raises(rb.SelectError, match="is no image for jpeg"):
        rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", preset="imagenet", encode=["label=jpeg", "image=png"])


def test_a_column_of_the_output_comes_before_a_field_of_the_source(tmp_path):
    rb.write(tmp_path / "a.npz", {"image": RGB[None], "other": GRAY[None]})
    wishes = {"select": {"image": "other", "pixels": "image"}, "encode": {"image": "png"}}
    manifest = rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", **wishes)
    assert manifest.schema["pixels"].shape == RGB.shape
    assert rb.open(tmp_path / "b.tfrecord")[0]["image"] == encoded(GRAY)


# ---- what does not fit ----


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"decode": ("nothing",)}, "decode: there is no field 'nothing'; there are id, label, image"),
        ({"decode": ("id",)}, "holds no images, which are bytes"),
        ({"decode": ("image=rbg",)}, "expected gray, rgb, rgba"),
        ({"encode": {"nothing": "png"}}, "encode: there is no field 'nothing'"),
        ({"encode": {"image": "png"}}, "is no image for png, which takes uint8 or uint16"),
        ({"encode": {"id": "jpeg"}}, "is no image for jpeg, which takes uint8 of shape"),
        ({"encode": {"image": "gif"}}, "expected png, png:LEVEL, jpeg or jpeg:QUALITY"),
        ({"encode": {"image": "jpeg:101"}}, "expected 1 to 100 behind jpeg:"),
        ({"encode": ("image",)}, "expected FIELD=FORMAT"),
    ],
)
def test_what_cannot_be_done_is_a_mistake_in_the_arguments(tmp_path, wishes, message):
    path = images_rec(tmp_path, [encoded(RGB)])
    with pytest.raises(ValueError, match=message) as caught:
        rb.convert(path, tmp_path / "b.tfrecord", **wishes)
    assert isinstance(caught.value, rb.SelectError) or not isinstance(caught.value, rb.BridgeError)


def test_without_opencv_the_message_is_the_command_that_installs_it(tmp_path, monkeypatch):
    path = images_rec(tmp_path, [encoded(RGB)])
    rb.write(tmp_path / "a.npz", {"image": RGB[None]})
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(rb.MissingDependencyError, match=r"decoding images needs .* 'recordio_bridge\[images\]'"):
        rb.convert(path, tmp_path / "b.tfrecord", decode=("image",))
    with pytest.raises(rb.MissingDependencyError, match="encoding images needs"):
        rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", encode={"image": "png"})
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix == ".part") == []


# ---- what a file says of itself ----


@pytest.mark.parametrize("content", [encoded(GRAY[:6, :5]), encoded(RGB[:6, :5], "jpg")], ids=["png", "jpeg"])
def test_a_damaged_image_is_pixels_or_an_error_of_ours(content):
    for at in range(len(content)):
        with suppress(rb.FormatError):
            assert decode_image(content[:at]).shape[2] in (1, 3, 4)
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        if at in range(16, 24):
            damaged[at] = content[at]  # a large size in a sound header, which is compared before it is believed
        with suppress(rb.FormatError):
            assert decode_image(bytes(damaged)).ndim == 3


@pytest.mark.parametrize("text", ["", "png:", "png:x", "png:-1", "png:10", "jpeg:0", "webp", "jpeg:²", "PNG"])
def test_an_encoding_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError, match="expected"):
        Encoding.parse(text)
