"""Records that pass through undecoded: the same bytes, and nothing said of them that was not looked at."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import BridgeError, Field, FormatError, Schema, SchemaError
from tests.samples import (
    believe_by_name,
    contents,
    image_payload,
    image_rec,
    make_example,
    read_rec,
    read_tfrecord,
    write_rec,
    write_tfrecord,
)

SMALL = Schema(Field("small", "int8"))


def with_sidecar(path: Path, files: list[Path] | None = None, schema: Schema = SMALL, payload: str = "example") -> Path:
    """Write a sidecar by hand, which is believed for the name."""
    content = {"recordio_bridge": 1, "files": [path.name], "payload": payload, "schema": schema.to_json()}
    path.with_name(path.name + ".schema.json").write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("shards", [None, 2])
@pytest.mark.parametrize("target", ["b.tfrecord", "b.rec"])
def test_an_example_that_does_not_fit_the_sidecar_stops_the_conversion(tmp_path, target, shards, shuffle):
    payloads = [make_example({"small": [value]}) for value in (1, 2, 300, 4)]
    for source in (write_tfrecord(tmp_path / "a.tfrecord", payloads), write_rec(tmp_path / "a.rec", payloads)):
        before = contents(tmp_path)
        with pytest.raises(BridgeError, match=r"record 2 at byte .*'small'.*300"):
            rb.convert(with_sidecar(source), tmp_path / target, shards=shards, shuffle=shuffle)
        source.with_name(source.name + ".schema.json").unlink()
        assert contents(tmp_path) == before


def test_as_raw_records_they_pass_and_the_new_sidecar_claims_no_more(tmp_path):
    payloads = [make_example({"small": [value]}) for value in (1, 300)]
    source = with_sidecar(write_tfrecord(tmp_path / "a.tfrecord", payloads))
    rb.convert(source, tmp_path / "b.tfrecord", source_options={"payload": "raw"}, target_options={"payload": "raw"})
    assert read_tfrecord(tmp_path / "b.tfrecord") == payloads
    assert list(rb.inspect(tmp_path / "b.tfrecord").schema) == ["record"]
    assert rb.verify(tmp_path / "b.tfrecord").ok


@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"shuffle": True}])
def test_a_record_that_is_no_image_is_refused_or_skipped_also_from_rec_to_rec(tmp_path, options):
    payloads = [image_payload(n, 0.0, b"no signature") for n in range(6)]
    payloads[2] = struct.pack("<I", 1000) + payloads[2][4:]
    source = write_rec(tmp_path / "a.rec", payloads)
    with pytest.raises(FormatError, match="1000") as caught:
        rb.convert(source, tmp_path / "b.rec", **options)
    assert caught.value.record == 2
    manifest = rb.convert(source, tmp_path / "b.rec", on_bad_record="skip", **options)
    passed = [payload for path in manifest.paths for payload in read_rec(Path(path))]
    assert sorted(passed) == sorted(payloads[:2] + payloads[3:])
    assert ["record 2 " in skipped.reason for skipped in manifest.skipped] == [True]
    assert rb.verify(tmp_path / "b.rec").ok
    assert sum(len(batch) for batch in rb.read(tmp_path / "b.rec")) == 5


def test_what_passes_can_be_read_with_its_sidecar(tmp_path):
    rb.write(tmp_path / "a.rec", {"id": [1, 2], "label": [[1], [2, 3]], "image": [b"x", b"y"]})
    rb.convert(tmp_path / "a.rec", tmp_path / "b.rec")
    assert rb.inspect(tmp_path / "b.rec").schema == rb.inspect(tmp_path / "a.rec").schema
    (batch,) = rb.read(tmp_path / "b.rec")
    assert [label.tolist() for label in batch["label"]] == [[1], [2, 3]]
    (tmp_path / "c.rec").write_bytes(write_rec(tmp_path / "c.rec", [image_payload(1, 3.5)]).read_bytes())
    with_sidecar(tmp_path / "c.rec", schema=rb.inspect(tmp_path / "a.rec").schema, payload="image")
    with pytest.raises(BridgeError, match=r"3\.5"):
        rb.convert(tmp_path / "c.rec", tmp_path / "d.rec")


def test_second_ids_and_keys_that_only_some_files_have_are_not_hidden(tmp_path):
    for number, (payload, key) in enumerate(
        [(image_payload(1, id2=5), 1), (image_payload(2), 2), (image_payload(3), 77)]
    ):
        write_rec(tmp_path / f"{number}.rec", [payload], [key])
    rb.convert([tmp_path / f"{number}.rec" for number in range(3)], tmp_path / "c.rec")
    (batch,) = rb.read(tmp_path / "c.rec")
    assert list(batch) == ["id", "label", "image", "id2", "key"]
    assert (batch["id2"].tolist(), batch["key"].tolist()) == ([5, 0, 0], [1, 2, 77])
    for name in ("x", "y"):
        write_rec(tmp_path / f"{name}.rec", [b"12345678"], [name])
    options = {"payload": "raw"}
    rb.convert([tmp_path / "x.rec", tmp_path / "y.rec"], tmp_path / "z.rec", source_options=options)
    (batch,) = rb.read(tmp_path / "z.rec")
    assert list(batch["key"]) == [b"x", b"y"]


def test_fields_that_only_some_files_have_are_not_hidden(tmp_path):
    rb.write(tmp_path / "a.tfrecord", {"x": [1], "y": [2]})
    rb.write(tmp_path / "b.tfrecord", {"x": [3]})
    with pytest.raises(SchemaError, match="'y'") as caught:
        rb.convert([tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"], tmp_path / "c.tfrecord")
    assert caught.value.field == "y"
    for name in ("a", "b"):
        (tmp_path / f"{name}.tfrecord.schema.json").unlink()
    rb.convert([tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"], tmp_path / "c.tfrecord")
    (batch,) = rb.read(tmp_path / "c.tfrecord")
    assert [values.tolist() for values in batch["y"]] == [[2], []]


def test_keys_are_kept_where_labels_come_from_a_list(tmp_path):
    for number, name in enumerate(("x", "y")):
        write_rec(tmp_path / f"{name}.rec", [image_payload(number)], [name])
    (tmp_path / "l.lst").write_text("0\t7\ta\n1\t8\tb\n")
    options = {"labels": str(tmp_path / "l.lst")}
    rb.convert([tmp_path / "x.rec", tmp_path / "y.rec"], tmp_path / "z.rec", source_options=options)
    (batch,) = rb.read(tmp_path / "z.rec")
    assert list(batch["key"]) == [b"x", b"y"]
    assert [label.tolist() for label in batch["label"]] == [[7], [8]]


def test_workers_look_at_what_passes_too(tmp_path):
    payloads = [make_example({"small": [value]}) for value in (1, 2, 300, 4)]
    source = with_sidecar(write_tfrecord(tmp_path / "a.tfrecord", payloads))
    with pytest.raises(BridgeError, match="300"):
        rb.convert(source, tmp_path / "b.tfrecord", shards=2, workers=2)


def test_tensors_that_the_sidecar_describes_pass(tmp_path):
    rb.write(tmp_path / "a.tfrecord", {"pixels": np.zeros((3, 2, 2), np.uint8)})
    rb.convert(tmp_path / "a.tfrecord", tmp_path / "b.tfrecord", shards=2)
    assert rb.inspect(tmp_path / "b.tfrecord").schema["pixels"] == Field("pixels", "uint8", (2, 2))
    believe_by_name(tmp_path / "a.tfrecord")
    write_tfrecord(tmp_path / "a.tfrecord", [make_example({"pixels": [b"123"]})])
    with pytest.raises(BridgeError, match="'pixels'"):
        rb.convert(tmp_path / "a.tfrecord", tmp_path / "c.tfrecord")


def test_images_pass_with_all_that_a_header_may_hold(tmp_path):
    payloads = [
        image_payload(1, [1.0, 2.0], b""),
        image_payload(2, [5.0]),
        struct.pack("<IfQQ", 77, 1.0, 3, 0) + b"\xff\xd8\xffimage",
        image_payload(4, 2.0, id2=9),
    ]
    write_rec(tmp_path / "a.rec", payloads)
    rb.convert(tmp_path / "a.rec", tmp_path / "b.rec")
    assert read_rec(tmp_path / "b.rec") == payloads
    image_rec(tmp_path / "c.rec", 2)
    rb.convert([tmp_path / "a.rec", tmp_path / "c.rec"], tmp_path / "d.rec", shards=2)
    assert rb.verify(tmp_path / "d.rec").ok
