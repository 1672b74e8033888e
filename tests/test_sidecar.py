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
from recordio_bridge.files import pending_file
from recordio_bridge.publishing import publish
from recordio_bridge.sidecar import find_sidecar, make_sidecar, read_sidecar
from tests.samples import believe_by_name, image_payload, image_rec, make_example, rewrite, write_rec, write_tfrecord

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


# ---- a file that is not the one described any more ----


def test_a_second_id_in_a_file_that_took_the_name_of_another_is_not_dropped(tmp_path, caplog):
    rb.write(tmp_path / "a.rec", {"id": [1, 2], "label": np.zeros(2, np.float32), "image": [b"x", b"y"]})
    assert rb.inspect(tmp_path / "a.rec").notes == ()
    write_rec(tmp_path / "a.rec", [image_payload(1, id2=5), image_payload(2)], [1, 2])
    summary = rb.inspect(tmp_path / "a.rec")
    assert list(summary.schema) == ["id", "label", "image", "id2"]
    assert any("a.rec.schema.json is not used" in note for note in summary.notes)
    (batch,) = rb.read(tmp_path / "a.rec")
    assert batch["id2"].tolist() == [5, 0]
    assert "a.rec.schema.json is not used" in caplog.text
    manifest = rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord")
    assert any("a.rec.schema.json is not used" in note for note in manifest.notes)
    report = rb.verify(tmp_path / "a.rec")
    assert [problem.path for problem in report.problems] == [str(sidecar_of(tmp_path / "a.rec"))]


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord"])
def test_raw_records_of_a_damaged_file_are_not_taken_for_anything_else(tmp_path, name):
    rb.write(tmp_path / name, {"record": [b"x" * 40, b"y" * 40]}, payload="raw")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-1])
    with pytest.raises(rb.TruncatedError):
        list(rb.read(tmp_path / name))
    (batch,) = rb.read(tmp_path / name, on_bad_record="skip")
    assert list(batch["record"]) == [b"x" * 40]
    frame = write_rec if name == "a.rec" else write_tfrecord
    frame(tmp_path / name, [make_example({"x": [1]})])
    assert list(rb.inspect(tmp_path / name).schema) == ["x"]


@pytest.mark.parametrize("size", ["the same", "another"])
def test_fields_of_a_file_that_took_the_name_of_another_are_its_own(tmp_path, size):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"small": [1], "big": [2]})])
    rb.convert(path, tmp_path / "b.tfrecord", select={"small:int8": "small", "big:int16": "big"})
    features = {"small": [1], "big": [300]} if size == "another" else {"small": [1], "BIG": [2]}
    write_tfrecord(tmp_path / "b.tfrecord", [make_example(features)])
    assert rb.inspect(tmp_path / "b.tfrecord").schema == Schema(*(Field(name, "int64") for name in sorted(features)))
    assert any("is not used" in note for note in rb.inspect(tmp_path / "b.tfrecord").notes)


def test_keys_of_an_index_that_was_replaced_are_not_dropped(tmp_path):
    rb.write(tmp_path / "a.rec", {"record": [b"1234", b"5678"]})
    assert list(rb.inspect(tmp_path / "a.rec").schema) == ["record"]
    (tmp_path / "a.idx").write_text("cat\t0\ndog\t12\n")
    (batch,) = rb.read(tmp_path / "a.rec")
    assert list(batch["key"]) == [b"cat", b"dog"]
    rb.write(tmp_path / "a.rec", {"record": [b"1234", b"5678"], "key": [b"x", b"y"]}, overwrite=True)
    (tmp_path / "a.idx").write_text("7\t0\n9\t12\n")
    (batch,) = rb.read(tmp_path / "a.rec")
    assert batch["key"].tolist() == [7, 9]
    (tmp_path / "a.idx").write_text("0\t0\n1\t12\n")
    assert list(rb.inspect(tmp_path / "a.rec").schema) == ["record"]


def test_integer_keys_that_a_sidecar_promises_are_not_made_up_without_an_index(tmp_path):
    rb.write(tmp_path / "a.rec", {"record": [b"1234" * 8, b"5678" * 8], "key": [5, 6]})
    (tmp_path / "a.idx").unlink()
    with pytest.raises(FormatError, match=r"a\.idx: is missing"):
        list(rb.read(tmp_path / "a.rec"))
    assert not rb.verify(tmp_path / "a.rec").ok
    (batch,) = rb.read(tmp_path / "a.rec", fields=["record"])
    assert len(batch) == 2


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord"])
def test_a_copy_with_other_times_keeps_its_sidecar(tmp_path, name):
    write_pixels(tmp_path / name)
    (tmp_path / "copy").mkdir()
    for file in (*tmp_path.glob("a.*"),):
        os.utime(shutil.copyfile(file, tmp_path / "copy" / file.name), (1, 1))
    assert rb.inspect(tmp_path / "copy" / name).schema == PIXELS
    assert rb.inspect(tmp_path / "copy" / name).notes == ()
    assert rb.verify(tmp_path / "copy").ok


def test_every_shard_of_a_set_is_looked_at_by_itself(tmp_path):
    rb.convert(write_pixels(tmp_path / "a.tfrecord"), tmp_path / "b.tfrecord", shards=2)
    write_tfrecord(tmp_path / "b-00001-of-00002.tfrecord", [make_example({"x": [1]})])
    assert rb.inspect(tmp_path / "b-00000-of-00002.tfrecord").schema == PIXELS
    assert rb.inspect(tmp_path / "b-00001-of-00002.tfrecord").schema == Schema(Field("x", "int64"))
    with pytest.raises(rb.SchemaError, match="b-00001-of-00002"):
        rb.inspect(tmp_path / "b.tfrecord")


def test_a_sidecar_without_ends_is_believed_for_the_name_and_notes_say_so(tmp_path, caplog):
    path = write_pixels(tmp_path / "a.tfrecord")
    believe_by_name(path)
    summary = rb.inspect(path)
    assert summary.schema == PIXELS
    assert any("by the name" in note or "for the name alone" in note for note in summary.notes)
    list(rb.read(path))
    assert "for the name alone" in caplog.text
    report = rb.verify(path)
    assert report.ok
    assert any("for the name alone" in note for note in report.notes)


def test_a_sidecar_that_describes_other_bytes_than_the_manifest_is_found(tmp_path):
    rb.convert(image_rec(tmp_path / "a.rec", 2), tmp_path / "b.tfrecord")
    sidecar = sidecar_of(tmp_path / "b.tfrecord")
    content = json.loads(sidecar.read_text())
    content["ends"]["b.tfrecord"]["crc32c"] ^= 1
    rewrite(sidecar, content)
    assert [problem.path for problem in rb.verify(tmp_path / "b.tfrecord").problems] == [str(sidecar)]


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
    "ends is a list": json.dumps({**GOOD, "ends": []}).encode(),
    "ends of another kind": json.dumps({**GOOD, "ends": {"a.rec": {"mtime": 3}}}).encode(),
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
    pending = replace(pending_file(os.fspath(tmp_path / "b.rec"), b"x"), final=os.fspath(tmp_path / LATIN))
    publish([make_sidecar(os.fspath(tmp_path / "a.rec"), [[pending]], PIXELS, "example"), pending])
    sidecar = read_sidecar(os.fspath(tmp_path / "a.rec.schema.json"))
    assert sidecar.files == (LATIN,)
    assert sidecar.describes(os.fspath(tmp_path / LATIN))


def test_a_file_name_that_is_no_utf8_goes_through_the_manifest(tmp_path):
    manifest = rb.convert(image_rec(tmp_path / "a.rec", 2), tmp_path / "b.tfrecord")
    renamed = replace(manifest, sources=(replace(manifest.sources[0], path=LATIN),))
    text = json.dumps(renamed.to_json())
    (tmp_path / "b.tfrecord.manifest.json").unlink()
    publish([renamed.to_file()])
    written = json.loads((tmp_path / "b.tfrecord.manifest.json").read_bytes())
    del written["crc32c"]
    assert written == json.loads(text)


def test_there_is_no_sidecar_where_there_is_none(tmp_path):
    assert find_sidecar(os.fspath(image_rec(tmp_path / "a.rec", 1))) is None


def test_the_same_schema_gives_the_same_sidecar_bytes(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = write_pixels(tmp_path / "one" / "a.rec"), write_pixels(tmp_path / "two" / "a.rec")
    assert sidecar_of(first).read_bytes() == sidecar_of(second).read_bytes()
