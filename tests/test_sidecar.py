"""The schema sidecar: believed for the files that it names, and an error where it is damaged."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Schema
from recordio_bridge.files import publish
from recordio_bridge.sidecar import find_sidecar, make_sidecar, read_sidecar
from tests.samples import image_rec, make_example, write_tfrecord

PIXELS = Schema(Field("pixels", "uint8", (2, 2)), Field("small", "int8"))


def write_pixels(path: Path, **options: object) -> Path:
    columns = {"pixels": np.arange(12, dtype=np.uint8).reshape(3, 2, 2), "small": np.array([-1, 0, 1], np.int8)}
    rb.write(path, columns, PIXELS, **options)
    return path


def sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + ".schema.json")


def test_the_sidecar_of_a_file_names_it_and_its_schema(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    content = json.loads(sidecar_of(path).read_text())
    assert content["files"] == ["a.tfrecord"]
    assert content["schema"] == PIXELS.to_json()


def test_dtypes_and_shapes_come_back_through_the_sidecar(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    assert rb.inspect(path).schema == PIXELS
    (batch,) = rb.read(path)
    assert batch["small"].tolist() == [-1, 0, 1]
    assert batch["pixels"].shape == (3, 2, 2)


def test_without_its_sidecar_the_schema_is_inferred_and_the_notes_say_so(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    sidecar_of(path).unlink()
    summary = rb.inspect(path)
    assert summary.schema["small"] == Field("small", "int64")
    assert summary.schema["pixels"].dtype == "bytes"
    assert any("infer" in note for note in summary.notes)


def test_the_sidecar_of_a_shard_set_is_believed_for_each_of_its_shards(tmp_path):
    source = write_pixels(tmp_path / "a.tfrecord")
    rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    for name in ("b-00000-of-00002.tfrecord", "b-00001-of-00002.tfrecord"):
        assert rb.inspect(tmp_path / name).schema == PIXELS


def test_a_sidecar_is_not_believed_for_a_file_that_it_does_not_name(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    other = write_tfrecord(tmp_path / "b.tfrecord", [make_example({"x": [1]})])
    shutil.copyfile(sidecar_of(path), sidecar_of(other))
    assert rb.inspect(other).schema == Schema(Field("x", "int64"))


def test_a_file_that_was_moved_away_does_not_take_its_sidecar_along(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    (tmp_path / "sub").mkdir()
    moved = Path(shutil.move(path, tmp_path / "sub" / "a.tfrecord"))
    assert find_sidecar(os.fspath(moved)) is None
    assert rb.inspect(moved).schema["small"] == Field("small", "int64")


def test_the_sidecar_of_a_set_is_not_believed_for_a_shard_of_another_count(tmp_path):
    source = write_pixels(tmp_path / "a.tfrecord")
    rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    stranger = write_tfrecord(tmp_path / "b-00000-of-00005.tfrecord", [make_example({"x": [1]})])
    assert rb.inspect(stranger).schema == Schema(Field("x", "int64"))


def test_the_sidecar_of_a_rec_says_what_its_records_hold(tmp_path):
    write_pixels(tmp_path / "a.rec")
    assert json.loads((tmp_path / "a.rec.schema.json").read_text())["payload"] == "example"
    assert rb.inspect(tmp_path / "a.rec").schema == PIXELS


def test_a_schema_that_is_passed_wins_over_the_sidecar(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    (batch,) = rb.read(path, schema=Schema(Field("small", "int64")))
    assert list(batch) == ["small"]
    assert batch["small"].dtype == np.int64


def test_overwriting_a_file_replaces_its_sidecar(tmp_path):
    path = write_pixels(tmp_path / "a.tfrecord")
    rb.write(path, {"x": [1, 2]}, overwrite=True)
    assert rb.inspect(path).schema == Schema(Field("x", "int64"))


GOOD = {"recordio_bridge": 1, "files": ["a.rec"], "payload": "image", "schema": Schema(Field("id", "uint64")).to_json()}
DAMAGED = {
    "empty": b"",
    "cut": json.dumps(GOOD).encode()[:-9],
    "not utf-8": b"\xff\xfe\x00",
    "list": b"[]",
    "number": b"3",
    "deep": b"[" * 100_000,
    "nothing in it": b"{}",
    "another version": json.dumps({**GOOD, "recordio_bridge": 99}).encode(),
    "files is text": json.dumps({**GOOD, "files": "a.rec"}).encode(),
    "files of numbers": json.dumps({**GOOD, "files": [1]}).encode(),
    "payload is a number": json.dumps({**GOOD, "payload": 3}).encode(),
    "payload is unknown": json.dumps({**GOOD, "payload": "zip"}).encode(),
    "no schema": json.dumps({**GOOD, "schema": None}).encode(),
    "bad field": json.dumps({**GOOD, "schema": [{"name": "id"}]}).encode(),
    "bad dtype": json.dumps({**GOOD, "schema": [{**GOOD["schema"][0], "dtype": "int65"}]}).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_sidecar_is_an_error_that_names_it_and_not_the_data(tmp_path, content):
    path = image_rec(tmp_path / "a.rec", 3)
    sidecar_of(path).write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.rec\.schema\.json") as caught:
        rb.inspect(path)
    assert caught.value.path == str(sidecar_of(path))
    with pytest.raises(FormatError, match=r"a\.rec\.schema\.json"):
        next(rb.read(path))


def test_a_sidecar_whose_schema_the_records_do_not_have_is_an_error_and_no_wrong_data(tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})])
    content = {"recordio_bridge": 1, "files": ["a.tfrecord"], "payload": "example"}
    content["schema"] = Schema(Field("x", "bytes")).to_json()
    sidecar_of(path).write_text(json.dumps(content))
    with pytest.raises((FormatError, rb.SchemaError), match="x"):
        list(rb.read(path))


def test_a_sidecar_that_was_read_has_its_parts(tmp_path):
    path = write_pixels(tmp_path / "a.rec")
    sidecar = read_sidecar(os.fspath(sidecar_of(path)))
    assert sidecar.files == ("a.rec",)
    assert sidecar.schema == PIXELS
    assert sidecar.payload == "example"


LATIN = "caf\udce9.rec"  # what Python makes of a name in Latin-1: bytes that are no UTF-8


def test_a_file_name_that_is_no_utf8_goes_through_the_sidecar(tmp_path):
    publish([make_sidecar(os.fspath(tmp_path / "a.rec"), [LATIN], PIXELS, "example")])
    assert read_sidecar(os.fspath(tmp_path / "a.rec.schema.json")).files == (LATIN,)


def test_a_file_name_that_is_no_utf8_goes_through_the_manifest(tmp_path):
    manifest = rb.convert(image_rec(tmp_path / "a.rec", 2), tmp_path / "b.tfrecord")
    renamed = replace(manifest, sources=(replace(manifest.sources[0], path=LATIN),))
    text = json.dumps(renamed.to_json())
    (tmp_path / "b.tfrecord.manifest.json").unlink()
    publish([renamed.to_file()])
    assert json.loads((tmp_path / "b.tfrecord.manifest.json").read_bytes()) == json.loads(text)


def test_there_is_no_sidecar_where_there_is_none(tmp_path):
    assert find_sidecar(os.fspath(image_rec(tmp_path / "a.rec", 1))) is None


def test_the_same_schema_gives_the_same_sidecar_bytes(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = write_pixels(tmp_path / "one" / "a.rec"), write_pixels(tmp_path / "two" / "a.rec")
    assert sidecar_of(first).read_bytes() == sidecar_of(second).read_bytes()
