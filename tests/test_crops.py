"""decode_and_crop: images of any size to arrays of one, as a transform of a feed; with OpenCV."""

from __future__ import annotations

import logging
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import images
from recordio_bridge.feed import Feeder
from recordio_bridge.images import decode_and_crop
from tests.samples import frame_rec, image_payload, write_rec

SHAPES = Path(__file__).parents[1] / "examples" / "shapes.rec"


def ramp(height: int, width: int) -> np.ndarray:
    """Pixels that say where they are: red is the row, green the column."""
    down, across = np.mgrid[:height, :width]
    return np.stack([down, across, np.full_like(down, 7)], axis=2).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    done, content = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    assert done
    return content.tobytes()


def jpeg(pixels: np.ndarray) -> bytes:
    done, content = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]))
    assert done
    return content.tobytes()


def batch_of(*contents: bytes) -> rb.Batch:
    return rb.Batch.of({"id": np.arange(10, 10 + len(contents)), "image": rb.Ragged.of(contents)})


def window_of(pixels: np.ndarray) -> tuple[int, int, bool]:
    """Where in a ramp a crop begins, and whether it is mirrored; all of it must be as that says."""
    is_flipped = bool(pixels[0, 0, 1] > pixels[0, -1, 1])
    straight = pixels[:, ::-1] if is_flipped else pixels
    top, left = int(straight[0, 0, 0]), int(straight[0, 0, 1])
    height, width = pixels.shape[:2]
    assert np.array_equal(straight, ramp(256, 256)[top : top + height, left : left + width])
    return top, left, is_flipped


def write_ramps(path: Path, count: int) -> Path:
    sizes = np.random.default_rng(3).integers(20, 200, (count, 2))
    return write_rec(path, [image_payload(n, float(n), png(ramp(*size))) for n, size in enumerate(sizes.tolist())])


# ---- windows ----


@pytest.mark.parametrize("size", [10, (10, 10), (12, 7), (40, 50)])
def test_without_chance_it_is_the_middle(size):
    made = decode_and_crop(size)(batch_of(png(ramp(40, 50)), png(ramp(41, 51))))
    height, width = (size, size) if isinstance(size, int) else size
    assert made.schema["image"] == rb.Field("image", "uint8", (height, width, 3))
    for pixels, (whole_height, whole_width) in zip(made["image"], [(40, 50), (41, 51)], strict=True):
        assert window_of(pixels) == ((whole_height - height) // 2, (whole_width - width) // 2, False)


def test_random_windows_lie_anywhere_and_nowhere_else():
    made = decode_and_crop((38, 47), random_crop=True, seed=2)(batch_of(*[png(ramp(40, 50))] * 300))
    windows = [window_of(pixels)[:2] for pixels in made["image"]]
    assert set(windows) == {(top, left) for top in range(3) for left in range(4)}
    assert max(windows.count(each) for each in set(windows)) < 50  # 25 each


def test_flip_mirrors_every_other_image():
    made = decode_and_crop(30, flip=True)(batch_of(*[png(ramp(30, 30))] * 200))
    flipped = [window_of(pixels)[2] for pixels in made["image"]]
    assert 70 < sum(flipped) < 130


@pytest.mark.parametrize(
    ("whole", "size"), [((5, 9), 12), ((9, 5), 12), ((30, 5), (10, 12)), ((1, 1), 4), ((11, 40), 12)]
)
def test_what_is_smaller_than_the_window_is_scaled_up_until_it_covers_it(whole, size):
    (height, width) = (size, size) if isinstance(size, int) else size
    pixels = ramp(*whole)
    (found,) = decode_and_crop(size)(batch_of(png(pixels)))["image"]
    scale = max(height / whole[0], width / whole[1])
    scaled = max(height, round(whole[0] * scale)), max(width, round(whole[1] * scale))
    expected = cv2.resize(pixels, scaled[::-1], interpolation=cv2.INTER_LINEAR)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    assert np.array_equal(found, expected[top : top + height, left : left + width])


def test_resize_sets_the_shorter_side_of_large_and_small_images():
    for whole, scaled in [((60, 90), (20, 30)), ((90, 60), (30, 20)), ((10, 12), (20, 24)), ((20, 33), (20, 33))]:
        pixels = cv2.blur(ramp(*whole), (3, 3))
        (found,) = decode_and_crop(scaled, resize=20)(batch_of(png(pixels)))["image"]
        way = cv2.INTER_AREA if whole[0] > scaled[0] else cv2.INTER_LINEAR
        assert np.array_equal(found, cv2.resize(pixels, scaled[::-1], interpolation=way))


@pytest.mark.parametrize("shorter", [200, 111, 100, 55, 50, 25, 13])
def test_a_jpeg_that_is_decoded_smaller_looks_the_same(shorter):
    pixels = cv2.resize(ramp(16, 20) * 12, (251, 201), interpolation=cv2.INTER_CUBIC)
    content = jpeg(pixels)
    whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    scaled = shorter, round(251 * shorter / 201)
    (found,) = decode_and_crop(scaled, resize=shorter)(batch_of(content))["image"]
    expected = cv2.resize(np.ascontiguousarray(whole), scaled[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - expected).mean() < 2


# ---- pixels ----


def test_gray_alpha_and_16_bits_become_rgb_of_8_bits():
    colour = ramp(6, 8)
    bgra = np.dstack([colour[:, :, ::-1], np.full((6, 8), 100, np.uint8)])
    contents = [cv2.imencode(".png", pixels)[1].tobytes() for pixels in (colour[:, :, 0], bgra)]
    contents.append(cv2.imencode(".png", colour[:, :, ::-1].astype(np.uint16) * 256 + 255)[1].tobytes())
    found = decode_and_crop((6, 8))(batch_of(*contents))["image"]
    assert np.array_equal(found[0], np.repeat(colour[:, :, :1], 3, axis=2))
    assert np.array_equal(found[1:], [colour, colour])


@pytest.mark.parametrize("kind", [".bmp", ".webp"])
def test_bmp_and_webp_are_images_too(kind):
    content = cv2.imencode(kind, ramp(20, 30)[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101] if kind == ".webp" else [])[
        1
    ]
    (found,) = decode_and_crop((20, 30))(batch_of(content.tobytes()))["image"]
    assert np.array_equal(found, ramp(20, 30))


def test_other_columns_and_their_order_stay():
    batch = rb.Batch.of(
        {"label": [[1.0], [2.0, 3.0]], "image": [png(ramp(9, 9))] * 2, "id": [4, 5], "name": ["a", "b"]}
    )
    made = decode_and_crop(8)(batch)
    assert list(made) == ["label", "image", "id", "name"]
    assert made["label"] == batch["label"]
    assert made["name"] == batch["name"]
    assert made["id"].tolist() == [4, 5]


def test_another_field_is_decoded_where_that_is_said():
    batch = rb.Batch.of({"left": [png(ramp(9, 9))], "right": [png(ramp(9, 9)[::-1])]})
    made = decode_and_crop(9, field="right")(batch)
    assert made["left"] == batch["left"]
    assert np.array_equal(made["right"][0], ramp(9, 9)[::-1])


def test_no_rows_are_no_rows():
    made = decode_and_crop((4, 5))(batch_of(png(ramp(9, 9))).slice(0, 0))
    assert len(made) == 0
    assert made.schema["image"].shape == (4, 5, 3)


# ---- in a feed ----


def crops(path: Path, n_threads: int, seed: int = 1, epochs: int = 2, **options: object) -> list[rb.Batch]:
    transform = decode_and_crop(16, random_crop=True, flip=True, seed=seed)
    with Feeder(path, 7, transform=transform, n_threads=n_threads, epochs=epochs, **options) as feeder:
        return list(feeder)


def test_the_windows_are_the_same_for_any_number_of_threads_and_others_in_each_epoch(tmp_path):
    path = write_ramps(tmp_path / "a.rec", 50)
    one, three = crops(path, 1), crops(path, 3)
    assert one == three
    windows = [[window_of(pixels) for batch in half for pixels in batch["image"]] for half in (one[:8], one[8:])]
    assert sum(first == second for first, second in zip(*windows, strict=True)) < 10
    assert crops(path, 2, seed=2) != one
    assert crops(path, 2, shuffle=True, seed=1)[0] != one[0]


def test_a_feed_that_goes_on_has_the_windows_that_it_would_have_had(tmp_path):
    path = write_ramps(tmp_path / "a.rec", 50)
    transform = decode_and_crop(16, random_crop=True, flip=True)
    with Feeder(path, 7, transform=transform, epochs=2) as feeder:
        whole = [next(feeder) for _ in range(10)]
        state = feeder.state()
        whole += list(feeder)
    with Feeder(path, 7, transform=transform, epochs=2, state=state) as feeder:
        assert list(feeder) == whole[10:]


def test_each_batch_has_a_block_of_its_own():
    transform = decode_and_crop(90)
    with Feeder(SHAPES, 20, transform=transform) as feeder:
        batches = list(feeder)
    again = [transform(batch) for batch in rb.read(SHAPES, 20)]
    assert batches == again
    assert not batches[0]["image"].flags.writeable


# ---- bad images ----


def claiming(height: int, width: int) -> bytes:
    """A PNG whose header says this, and that holds one byte of pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


GOOD = png(ramp(20, 20))
BAD = {
    "nothing": (
        b"",
        r"its 0 bytes are no image \(metadata\? where= of a feed leaves such rows out\); expected JPEG, PNG",
    ),
    "text": (b"no image", r"its 8 bytes are no image \(they begin with 6e 6f 20 69 6d 61 67 65\); expected JPEG"),
    "gif": (b"GIF89a\x10\0\x10\0", "are a GIF, which may hold several pictures"),
    "cut in the header": (GOOD[:20], "gives no height and width; it is cut or damaged"),
    "cut png": (GOOD[:-20], "OpenCV cannot decode its .* bytes; they are cut or damaged"),
    "cut jpeg": (jpeg(ramp(20, 20))[:-2], "the JPEG has no end-of-image marker; it is cut"),
    "huge": (claiming(1 << 30, 1 << 30), "it is 1073741824 x 1073741824, and more than 89,478,485 pixels"),
    "a little too large": (claiming(8948, 10000), "and more than 89,478,485 pixels are not decoded; scale it down"),
    "almost too large": (claiming(8947, 10000), "its header says .*, which .* bytes cannot hold; it is cut"),
    "large": (claiming(9000, 9000), "its header says 9000 x 9000, which .* bytes cannot hold; it is cut"),
    "narrow": (png(ramp(1, 5000)), "to cover the window it would have to be scaled up to 80000 x 16"),
    "a line": (
        png(np.zeros((60_000, 1, 3), np.uint8)),
        "it is 1 x 60000, .* would have to be scaled up to 16 x 960000",
    ),
}


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("narrow", "a line")])
def test_a_bad_image_is_an_error_that_says_which_and_why(name):
    content, reason = BAD[name]
    with pytest.raises(rb.FormatError, match=reason) as caught:
        decode_and_crop(16)(batch_of(GOOD, GOOD, content))
    assert str(caught.value).startswith("row 2 of field 'image' (id 12), in batch 0 of epoch 0: ")
    assert str(caught.value).endswith("leave such rows out with on_bad='skip'")
    assert caught.value.record == 2


def test_an_image_of_one_line_is_not_scaled_to_gigabytes(monkeypatch):
    monkeypatch.setattr("recordio_bridge.crops._MOST_PIXELS", 1_000_000)
    for name in ("narrow", "a line"):
        content, reason = BAD[name]
        with pytest.raises(rb.FormatError, match=reason):
            decode_and_crop(16)(batch_of(content))


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
def test_an_image_that_is_cut_anywhere_is_found(kind):
    content = cv2.imencode(kind, cv2.blur(ramp(24, 32) * 5, (3, 3)))[1].tobytes()
    transform = decode_and_crop(16, on_bad="skip")
    step = max(1, len(content) // 150)
    cuts = [content[:length] for length in [*range(0, len(content), step), len(content) - 1]]
    assert len(transform(batch_of(*cuts))) == 0
    assert len(transform(batch_of(content))) == 1


def test_flipped_bytes_raise_nothing_but_format_errors():
    transform, random = decode_and_crop(16, on_bad="skip"), np.random.default_rng(8)
    for kind in (".jpg", ".png", ".webp", ".bmp"):
        content = cv2.imencode(kind, cv2.blur(ramp(24, 32) * 5, (3, 3)))[1].tobytes()
        damaged = [bytearray(content) for _ in range(200)]
        for each in damaged:
            each[int(random.integers(min(len(each), 200)))] ^= int(random.integers(1, 256))
        assert len(transform(batch_of(*map(bytes, damaged)))) < 200


def test_skip_leaves_rows_out_and_counts_and_names_them(tmp_path, caplog):
    contents = [GOOD, b"", GOOD, GOOD[:-9], GOOD]
    payloads = [image_payload(n, 0.0, each) for n, each in enumerate(contents * 3)]
    path, offset = write_rec(tmp_path / "a.rec", payloads), sum(map(len, map(frame_rec, payloads[:6])))
    transform = decode_and_crop(16, on_bad="skip")
    with caplog.at_level(logging.WARNING), Feeder(path, 5, transform=transform, epochs=2, n_threads=2) as feeder:
        batches = list(feeder)
        assert feeder.stats().skipped == 12
    assert [batch["id"].tolist() for batch in batches[:3]] == [[0, 2, 4], [5, 7, 9], [10, 12, 14]]
    assert all(window_of(pixels) == (2, 2, False) for batch in batches for pixels in batch["image"])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 12
    assert any(
        f"left out {path}: record 6 at byte {offset}: field 'image' (id 6), in batch 1 of epoch 0: its 0 bytes are no"
        in line
        for line in said
    )


@pytest.mark.parametrize(
    ("window", "options"),
    [
        (0, {}),
        (1 << 26, {"shuffle": True}),
        (0, {"shuffle": True}),
        (0, {"shuffle": True, "n_threads": 3, "fields": ["image"]}),
        (1 << 26, {"shuffle": True, "select": {"id": "id", "image": "image", "label": "label[0]"}}),
        (0, {"shuffle": True, "on_bad_record": "skip"}),
        (0, {"shard": (1, 2), "drop_remainder": True}),
    ],
    ids=["streamed", "in memory", "by number", "of threads", "selected", "sifted", "sharded"],
)
def test_a_bad_image_is_named_with_its_file_and_record_in_whatever_order(tmp_path, monkeypatch, window, options):
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", window)
    payloads = [image_payload(n, 0.0, GOOD if n != 25 else GOOD[:-9]) for n in range(30)]
    write_rec(tmp_path / "a.rec", payloads[:12])
    path = write_rec(tmp_path / "b.rec", payloads[12:])
    offset = sum(len(frame_rec(payload)) for payload in payloads[12:25])
    feeder = Feeder([tmp_path / "a.rec", path], 5, seed=1, transform=decode_and_crop(16), **options)
    with feeder, pytest.raises(rb.FeedError, match="record 13 at byte") as caught:
        list(feeder)
    error = caught.value.__cause__
    assert isinstance(error, rb.FormatError)
    assert (error.path, error.record, error.offset) == (str(path), 13, offset)
    assert str(error).startswith(f"{path}: record 13 at byte {offset}: ")


def test_a_feed_raises_what_is_wrong_with_the_image(tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(n, 0.0, GOOD if n != 8 else b"oops") for n in range(12)])
    with Feeder(path, 5, transform=decode_and_crop(16)) as feeder:
        assert len(next(feeder)) == 5
        with pytest.raises(
            rb.FeedError, match=r"a.rec: record 8 at .*: field 'image' \(id 8\), in batch 1 of epoch 0: its 4 bytes"
        ) as caught:
            next(feeder)
    assert isinstance(caught.value.__cause__, rb.FormatError)


def test_a_batch_that_knows_where_it_was_read_gives_file_record_and_byte(tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(n, 0.0, GOOD if n != 2 else b"oops") for n in range(3)])
    (batch,) = rb.read(path)
    with pytest.raises(rb.FormatError, match=r"a\.rec: record 2 at byte \d+: field 'image' \(id 2\)") as caught:
        decode_and_crop(16)(batch)
    assert (caught.value.path, caught.value.record) == (str(path), 2)


# ---- arguments ----


def test_a_field_that_holds_no_images_is_an_error_that_says_which_does():
    batch = rb.Batch.of({"id": [1], "photo": [GOOD]})
    with pytest.raises(
        rb.SelectError, match=r"field 'image' is not there, .* field= says where they are, such as 'photo'"
    ):
        decode_and_crop(8)(batch)
    with pytest.raises(rb.SelectError, match=r"field 'id' is int64, and encoded images were expected"):
        decode_and_crop(8, field="id")(batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"size=0: expected a whole number, or \(height, width\), of 1 or more"),
        ({"size": (4, -1)}, r"size=\(4, -1\)"),
        ({"size": 8, "resize": 0}, "resize=0: expected the length"),
        ({"size": 8, "seed": -1}, "seed=-1"),
        ({"size": 8, "on_bad": "drop"}, "on_bad='drop': expected 'raise' or 'skip'"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        decode_and_crop(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 64.5}, r"size=64\.5: expected a whole number, or \(height, width\)"),
        ({"size": "64"}, "size='64': expected a whole number"),
        ({"size": (3, 4, 5)}, r"size=\(3, 4, 5\): expected"),
        ({"size": None}, "size=None: expected"),
        ({"size": (8, 8.5)}, r"size=\(8, 8\.5\): expected"),
        ({"size": 8, "resize": 8.5}, r"resize=8\.5: expected the length of the shorter side"),
        ({"size": 8, "seed": "1"}, "seed='1': expected"),
    ],
)
def test_arguments_of_another_type_are_named(options, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        decode_and_crop(**options)


def test_the_size_may_be_of_numpy():
    assert decode_and_crop(np.int64(4)) == decode_and_crop([4, 4])


def test_without_opencv_the_message_is_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        rb.MissingDependencyError, match=r"decode_and_crop needs .*pip install 'recordio_bridge\[images\]'"
    ):
        decode_and_crop(8)


def test_images_has_it_as_an_attribute_and_nothing_else_that_is_not_there():
    assert images.decode_and_crop is decode_and_crop
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        images.nothing  # noqa: B018
