"""recordio-bridge convert --decode and --encode"""

from __future__ import annotations

import numpy as np

import recordio_bridge as rb
from tests.cli.running import run
from tests.test_images import GRAY, RGB, encoded, images_rec


def test_decode_and_encode_say_on_standard_error_what_they_did(capsys, tmp_path):
    source = images_rec(tmp_path, [encoded(RGB), encoded(GRAY)])
    outcome = run(capsys, "convert", source, tmp_path / "b.npz", "--decode", "image")
    assert outcome.code == 0
    assert outcome.stderr == "note: 1 of 2 images of field 'image' are gray: their channel was repeated to RGB\n"
    outcome = run(capsys, "convert", tmp_path / "b.npz", tmp_path / "c.rec", "--encode", "image=jpeg:80")
    assert outcome.code == 0
    assert outcome.stderr == "note: field 'image' is encoded as JPEG of quality 80, which changes pixels\n"


def test_a_mode_and_several_fields_may_follow(capsys, tmp_path):
    source = images_rec(tmp_path, [encoded(GRAY), encoded(RGB)])
    select = ("--select", "a=image", "b=image")
    outcome = run(
        capsys, "convert", source, tmp_path / "b.tfrecord", *select, "--decode", "a=rgb", "--decode", "b=rgba"
    )
    assert outcome.code == 0
    (batch,) = rb.read(tmp_path / "b.tfrecord")
    assert np.array_equal(batch["a"][1], RGB)
    assert batch["b"].shape == (2, *RGB.shape[:2], 4)
    outcome = run(capsys, "convert", tmp_path / "b.tfrecord", tmp_path / "c.npz", "--encode", "a=png", "b=png:9")
    assert outcome.code == 0
    assert [field.dtype for field in rb.inspect(tmp_path / "c.npz").schema.values()] == ["bytes", "bytes"]


def test_what_is_left_out_is_said_with_the_bytes_or_the_row(capsys, tmp_path):
    source = images_rec(tmp_path, [encoded(RGB), b"no image"])
    skip = ("--decode", "image", "--on-bad-record", "skip")
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", *skip)
    assert outcome.code == 0
    assert "bytes " in outcome.stderr
    assert "record 1 at byte " in outcome.stderr
    rb.write(tmp_path / "a.npz", {"image": [encoded(RGB), b"no image"]})
    outcome = run(capsys, "convert", tmp_path / "a.npz", tmp_path / "c.tfrecord", *skip)
    assert outcome.code == 0
    assert "\n  row 1: row 1 of field 'image': OpenCV cannot decode" in outcome.stderr


def test_a_field_that_is_not_there_is_a_usage_error(capsys, tmp_path):
    source = images_rec(tmp_path, [encoded(RGB)])
    for arguments in (("--decode", "x"), ("--encode", "x=png"), ("--encode", "image=bmp"), ("--decode", "image=cmyk")):
        assert run(capsys, "convert", source, tmp_path / "b.tfrecord", *arguments).code == 2
