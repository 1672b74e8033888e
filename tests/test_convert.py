"""convert: what the target holds, looked at with a reader of the tests' own."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, LossyError, Schema, SchemaError, UnknownFormatError
from tests.samples import (
    GOLDEN,
    contents,
    copy_golden,
    frame_tfrecord,
    image_of,
    image_payload,
    image_rec,
    make_example,
    read_examples,
    read_rec,
    read_tfrecord,
    write_rec,
    write_tfrecord,
)

GOLDEN_IMAGES = [
    "a_scalar",
    "b_vector",
    "c_magic_header",
    "d_empty_content",
    "e_images",
    "g_insightface",
    "h_det",
    "r_photos",
]
GOLDEN_INDEXED = [
    "c_magic_indexed",
    "e_images",
    "f_int_keys",
    "f_str_keys",
    "g_insightface",
    "h_det",
    "h_im2rec",
    "r_photos",
]


def golden_truth(name: str) -> list[dict]:
    return json.loads((GOLDEN / f"{name}.json").read_text())["records"]


# ---- .rec to TFRecord ----


def test_image_records_become_examples_of_id_label_and_image(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    manifest = rb.convert(source, tmp_path / "b.tfrecord")
    expected = [{"id": [n], "image": [image_of(n)], "label": [float(n)]} for n in range(5)]
    assert read_examples(tmp_path / "b.tfrecord") == expected
    assert manifest.num_rows == 5


def test_the_bytes_of_an_example_are_the_documented_ones_with_keys_sorted(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(5, 1.5, b"\xff\xd8")])
    rb.convert(source, tmp_path / "b.tfrecord")
    expected = bytes.fromhex(
        "0a31"
        "0a0b 0a026964 1205 1a030a0105"  # id: int64_list
        "0a0f 0a05696d616765 1206 0a040a02ffd8"  # image: bytes_list
        "0a11 0a056c6162656c 1208 12060a040000c03f"  # label: float_list
    )
    assert read_tfrecord(tmp_path / "b.tfrecord") == [expected]
    assert expected == make_example({"id": [5], "image": [b"\xff\xd8"], "label": [1.5]})


def test_vector_labels_keep_their_length_and_empty_images_stay(tmp_path):
    payloads = [image_payload(1, [4.0, 5.5], b"x"), image_payload(2, 7.0, b""), image_payload(3, [1.0], b"y")]
    rb.convert(write_rec(tmp_path / "a.rec", payloads), tmp_path / "b.tfrecord")
    examples = read_examples(tmp_path / "b.tfrecord")
    assert [each["label"] for each in examples] == [[4.0, 5.5], [7.0], [1.0]]
    assert [each["image"] for each in examples] == [[b"x"], [b""], [b"y"]]


@pytest.mark.parametrize("name", GOLDEN_IMAGES)
def test_every_record_that_mxnet_wrote_arrives_with_its_id_label_and_image(tmp_path, name):
    truth = golden_truth(name)
    rb.convert(GOLDEN / f"{name}.rec", tmp_path / "b.tfrecord", allow_lossy=("id",))  # some ids are above 2**63
    examples = read_examples(tmp_path / "b.tfrecord")
    assert len(examples) == len(truth)
    payloads = read_rec(GOLDEN / f"{name}.rec")
    for example, record, payload in zip(examples, truth, payloads, strict=True):
        assert hashlib.sha256(payload).hexdigest() == record["sha256"]
        flag = int.from_bytes(payload[:4], "little")
        labels = payload[24 : 24 + 4 * flag] if flag else payload[4:8]
        assert np.array(example["label"], "<f4").tobytes() == labels
        assert example["id"] == [int.from_bytes(payload[8:16], "little", signed=True)]
        assert example.get("image", [b""]) == [payload[24 + 4 * flag :]]


@pytest.mark.parametrize("target_options", [None, {"payload": "example"}])
def test_raw_records_become_examples_of_one_bytes_field(tmp_path, target_options):
    options = {"source_options": {"payload": "raw"}, "target_options": target_options}
    rb.convert(GOLDEN / "c_magic_raw.rec", tmp_path / "b.tfrecord", **options)
    payloads = read_rec(GOLDEN / "c_magic_raw.rec")
    assert len(payloads) > 3
    assert [each.get("record", [b""]) for each in read_examples(tmp_path / "b.tfrecord")] == [
        [each] for each in payloads
    ]


def test_raw_records_go_unframed_into_a_raw_tfrecord(tmp_path):
    rb.convert(
        GOLDEN / "c_magic_raw.rec",
        tmp_path / "b.tfrecord",
        source_options={"payload": "raw"},
        target_options={"payload": "raw"},
    )
    assert read_tfrecord(tmp_path / "b.tfrecord") == read_rec(GOLDEN / "c_magic_raw.rec")


def test_keys_that_differ_from_the_ids_become_a_field(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in range(3)], [10, 11, 12])
    rb.convert(source, tmp_path / "b.tfrecord")
    assert [each["key"] for each in read_examples(tmp_path / "b.tfrecord")] == [[10], [11], [12]]


def test_a_second_id_becomes_a_field_where_one_is_not_zero(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(0), image_payload(1, id2=9)])
    rb.convert(source, tmp_path / "b.tfrecord")
    assert [each["id2"] for each in read_examples(tmp_path / "b.tfrecord")] == [[0], [9]]


def test_labels_of_a_list_replace_those_of_the_records(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "new.lst").write_text("2\t22\tc.jpg\n0\t20\ta.jpg\n1\t21\tb.jpg\n")
    rb.convert(source, tmp_path / "b.tfrecord", source_options={"labels": str(tmp_path / "new.lst")})
    assert [each["label"] for each in read_examples(tmp_path / "b.tfrecord")] == [[20.0], [21.0], [22.0]]


# ---- TFRecord to .rec, and each to itself ----


def test_there_and_back_gives_the_same_records_and_index(tmp_path):
    payloads = [image_payload(n, float(n), image_of(n)) for n in range(4)]
    payloads += [image_payload(n, [1.5, float(n)], image_of(n)) for n in range(4, 7)]
    source = write_rec(tmp_path / "a.rec", payloads, range(7))
    rb.convert(source, tmp_path / "b.tfrecord")
    rb.convert(tmp_path / "b.tfrecord", tmp_path / "c.rec")
    assert (tmp_path / "c.rec").read_bytes() == source.read_bytes()
    assert (tmp_path / "c.idx").read_bytes() == (tmp_path / "a.idx").read_bytes()


def test_any_schema_fits_a_rec_and_comes_back_whole(tmp_path):
    columns = {
        "x": np.arange(6, dtype=np.int16).reshape(3, 2),
        "t": [b"a", b"", b"c"],
        "pixels": np.zeros((3, 2, 2), np.uint8),
    }
    rb.write(tmp_path / "a.tfrecord", columns)
    rb.convert(tmp_path / "a.tfrecord", tmp_path / "b.rec")
    (batch,) = rb.read(tmp_path / "b.rec")
    assert batch == rb.Batch.of(columns)
    assert (tmp_path / "b.idx").read_text().startswith("0\t0\n1\t")


@pytest.mark.parametrize("name", GOLDEN_INDEXED)
def test_rec_to_rec_copies_payloads_and_keys_byte_for_byte(tmp_path, name):
    raw = name.startswith(("c_magic_indexed", "f_str"))
    rb.convert(GOLDEN / f"{name}.rec", tmp_path / "b.rec", source_options={"payload": "raw"} if raw else None)
    assert (tmp_path / "b.rec").read_bytes() == (GOLDEN / f"{name}.rec").read_bytes()
    assert (tmp_path / "b.idx").read_bytes() == (GOLDEN / f"{name}.idx").read_bytes()


def test_raw_rec_to_rec_keeps_keys_of_text(tmp_path):
    source = write_rec(tmp_path / "a.rec", [b"one", b"two", b"three"], ["k b", "ä", "zz"])
    rb.convert(source, tmp_path / "b.rec", source_options={"payload": "raw"})
    assert (tmp_path / "b.rec").read_bytes() == source.read_bytes()
    assert (tmp_path / "b.idx").read_bytes() == (tmp_path / "a.idx").read_bytes()


@pytest.mark.parametrize("keys", [["007", "008"], ["+7", "8"], [-1, 2**70], ["", " 1"], [1, "b"], ["1_0", "2"]])
def test_keys_that_are_odd_are_copied_as_they_stand(tmp_path, keys):
    source = write_rec(tmp_path / "a.rec", [b"one", b"two"], keys)
    rb.convert(source, tmp_path / "b.rec", source_options={"payload": "raw"})
    assert (tmp_path / "b.idx").read_bytes() == (tmp_path / "a.idx").read_bytes()
    assert rb.verify(tmp_path / "b.rec").ok


@pytest.mark.parametrize("keys", [["k", "k", "z"], [5, 5, 6]])
def test_keys_that_repeat_do_not_spoil_the_copy(tmp_path, keys):
    payloads = [b"one", b"two", b"three"]
    source = write_rec(tmp_path / "a.rec", payloads, keys)
    rb.convert(source, tmp_path / "b.rec", source_options={"payload": "raw"})
    assert (tmp_path / "b.rec").read_bytes() == source.read_bytes()
    assert rb.verify(tmp_path / "b.rec").ok
    (batch,) = rb.read(tmp_path / "b.rec")
    assert list(batch["record"]) == payloads


def test_an_index_in_another_order_than_the_records_keeps_each_key_with_its_record(tmp_path):
    source = write_rec(tmp_path / "a.rec", [b"one", b"two", b"six"], ["x", "y", "z"])
    lines = (tmp_path / "a.idx").read_text().splitlines(keepends=True)
    (tmp_path / "a.idx").write_text(lines[2] + lines[0] + lines[1])
    rb.convert(source, tmp_path / "b.rec", source_options={"payload": "raw"})
    assert sorted((tmp_path / "b.idx").read_text().splitlines(keepends=True)) == lines


def test_rec_to_rec_shards_keep_payloads_and_keys(tmp_path):
    payloads = [image_payload(n, float(n)) for n in range(5)]
    source = write_rec(tmp_path / "a.rec", payloads, [50, 40, 30, 20, 10])
    rb.convert(source, tmp_path / "b.rec", shards=2)
    first, second = tmp_path / "b-00000-of-00002.rec", tmp_path / "b-00001-of-00002.rec"
    assert read_rec(first) + read_rec(second) == payloads
    keys = [
        line.split("\t")[0] for path in (first, second) for line in path.with_suffix(".idx").read_text().splitlines()
    ]
    assert keys == ["50", "40", "30", "20", "10"]
    assert second.with_suffix(".idx").read_text().split("\n")[0].endswith("\t0")


def test_without_an_index_the_keys_are_the_ids_where_these_are_unique(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in (7, 3, 5)])
    rb.convert(source, tmp_path / "b.rec")
    assert [line.split("\t")[0] for line in (tmp_path / "b.idx").read_text().splitlines()] == ["7", "3", "5"]


def test_without_an_index_and_with_ids_that_repeat_the_keys_count(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in (7, 7, 5)])
    rb.convert(source, tmp_path / "b.rec")
    assert [line.split("\t")[0] for line in (tmp_path / "b.idx").read_text().splitlines()] == ["0", "1", "2"]


def test_multipart_records_stay_whole_in_both_directions(tmp_path):
    magic = bytes.fromhex("0a23d7ce")
    images = [magic, b"abcd" + magic + b"x" + magic + magic, magic * 5 + b"tail"]
    source = write_rec(tmp_path / "a.rec", [image_payload(n, 1.0, image) for n, image in enumerate(images)])
    rb.convert(source, tmp_path / "b.tfrecord")
    assert [each["image"] for each in read_examples(tmp_path / "b.tfrecord")] == [[image] for image in images]
    rb.convert(tmp_path / "b.tfrecord", tmp_path / "c.rec")
    assert (tmp_path / "c.rec").read_bytes() == source.read_bytes()


def test_tfrecord_to_tfrecord_copies_every_payload_as_it_is(tmp_path):
    payloads = [make_example({"z": [1], "a": [2.5]}) for _ in range(3)]
    entries = make_example({"z": [1]})[2:] + make_example({"a": [2.5]})[2:]
    unsorted = b"\x0a" + bytes([len(entries)]) + entries
    source = write_tfrecord(tmp_path / "a.tfrecord", [*payloads, unsorted])
    rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    shards = [tmp_path / f"b-0000{n}-of-00002.tfrecord" for n in range(2)]
    assert [payload for shard in shards for payload in read_tfrecord(shard)] == [*payloads, unsorted]


def test_records_that_are_no_examples_are_resharded_as_raw(tmp_path):
    payloads = [b"no example %d" % n for n in range(5)]
    source = write_tfrecord(tmp_path / "a.tfrecord", payloads)
    options = {"payload": "raw"}
    rb.convert(source, tmp_path / "b.tfrecord", shards=2, source_options=options, target_options=options)
    shards = [tmp_path / f"b-0000{n}-of-00002.tfrecord" for n in range(2)]
    assert [payload for shard in shards for payload in read_tfrecord(shard)] == payloads


# ---- compression ----


def test_a_target_that_ends_in_gz_is_written_as_tensorflow_writes_it(tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)
    rb.convert(source, tmp_path / "plain.tfrecord")
    rb.convert(source, tmp_path / "b.tfrecord.gz")
    compressed = (tmp_path / "b.tfrecord.gz").read_bytes()
    assert compressed[:10] == bytes.fromhex("1f8b0800000000000003")
    assert gzip.decompress(compressed) == (tmp_path / "plain.tfrecord").read_bytes()


def test_compression_may_be_asked_for_under_any_name(tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)
    rb.convert(source, tmp_path / "plain.tfrecord")
    rb.convert(source, tmp_path / "b.tfrecord", target_options={"compression": "ZLIB"})
    assert zlib.decompress((tmp_path / "b.tfrecord").read_bytes()) == (tmp_path / "plain.tfrecord").read_bytes()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_compressed_source_goes_into_shards(tmp_path, shuffle):
    payloads = [make_example({"n": [n]}) for n in range(10)]
    (tmp_path / "a.tfrecord.gz").write_bytes(gzip.compress(b"".join(map(frame_tfrecord, payloads))))
    rb.convert(tmp_path / "a.tfrecord.gz", tmp_path / "b.tfrecord", shards=3, shuffle=shuffle)
    numbers = [e["n"][0] for s in range(3) for e in read_examples(tmp_path / f"b-0000{s}-of-00003.tfrecord")]
    assert sorted(numbers) == list(range(10))
    assert shuffle == (numbers != list(range(10)))


def test_nothing_is_left_of_the_unpacked_source(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "a.tfrecord.gz").write_bytes(gzip.compress(frame_tfrecord(make_example({"n": [1]})) * 9))
    rb.convert(tmp_path / "a.tfrecord.gz", tmp_path / "b.tfrecord", shards=2, shuffle=True)
    assert os.listdir(tmp_path / "temporary") == []


# ---- select, casts, losses ----


@pytest.mark.parametrize("form", [dict, list])
def test_select_renames_casts_and_picks(tmp_path, form):
    source = image_rec(tmp_path / "a.rec", 3)
    select = {"image/encoded": "image", "image/class/label:int64": "label[0]"}
    rb.convert(
        source, tmp_path / "b.tfrecord", select=select if form is dict else [f"{k}={v}" for k, v in select.items()]
    )
    expected = [{"image/encoded": [image_of(n)], "image/class/label": [n]} for n in range(3)]
    assert read_examples(tmp_path / "b.tfrecord") == expected
    assert list(rb.inspect(tmp_path / "b.tfrecord").schema) == ["image/encoded", "image/class/label"]


def test_a_label_that_is_no_int_names_field_and_row(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(0, 3.0), image_payload(1, 3.5)])
    with pytest.raises(LossyError, match=r"3\.5") as caught:
        rb.convert(source, tmp_path / "b.tfrecord", select={"label:int64": "label[0]"})
    assert (caught.value.field, caught.value.row) == ("label", 1)


def test_a_label_above_2_to_the_24_is_not_made_an_int(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(0, 25130988.0)])
    with pytest.raises(LossyError, match="label"):
        rb.convert(source, tmp_path / "b.tfrecord", select={"label:int64": "label[0]"})
    rb.convert(source, tmp_path / "b.tfrecord", select={"label:int64": "label[0]"}, allow_lossy=("label",))
    assert read_examples(tmp_path / "b.tfrecord") == [{"label": [25130988]}]


def many_rows(tmp_path: Path, bad_row: int, bad: bytes) -> Path:
    """A .rec of 200 records over several blocks of a reader, one of them special."""
    payloads = [image_payload(n, float(n % 7), bytes([n]) * 50_000) for n in range(200)]
    payloads[bad_row] = bad
    return write_rec(tmp_path / "many.rec", payloads)


@pytest.mark.parametrize("shards", [None, 4])
@pytest.mark.parametrize("bad_row", [0, 150, 199])
def test_a_lossy_cast_names_the_row_of_the_source_however_it_is_cut(tmp_path, bad_row, shards):
    source = many_rows(tmp_path, bad_row, image_payload(7, 0.5))
    with pytest.raises(LossyError, match=rf"many\.rec: record {bad_row} at byte \d+: field 'n': 0\.5 ") as caught:
        rb.convert(source, tmp_path / "b.tfrecord", select={"n:int64": "label[0]"}, shards=shards)
    assert (caught.value.field, caught.value.row) == ("n", bad_row)


@pytest.mark.parametrize("shards", [None, 4])
def test_an_id_of_2_to_the_63_is_refused_with_field_row_and_value(tmp_path, shards):
    source = many_rows(tmp_path, 150, image_payload(2**63))
    with pytest.raises(LossyError, match="9223372036854775808") as caught:
        rb.convert(source, tmp_path / "b.tfrecord", shards=shards)
    assert (caught.value.field, caught.value.row) == ("id", 150)
    assert "allow" in str(caught.value)


def test_the_largest_id_of_an_int64_list_is_kept(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(2**63 - 1)])
    rb.convert(source, tmp_path / "b.tfrecord")
    assert read_examples(tmp_path / "b.tfrecord")[0]["id"] == [2**63 - 1]
    assert rb.open(tmp_path / "b.tfrecord")[0]["id"] == 2**63 - 1
    assert rb.inspect(tmp_path / "b.tfrecord").schema["id"].dtype == "uint64"


def test_ids_above_2_to_the_63_wrap_where_that_is_allowed(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(2**64 - 1), image_payload(5)])
    rb.convert(source, tmp_path / "b.tfrecord", allow_lossy=("id",))
    assert [each["id"] for each in read_examples(tmp_path / "b.tfrecord")] == [[-1], [5]]


def test_ids_above_2_to_the_63_pass_from_rec_to_rec(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(2**64 - 1)])
    rb.convert(source, tmp_path / "b.rec")
    assert (tmp_path / "b.rec").read_bytes() == source.read_bytes()
    assert (tmp_path / "b.idx").read_text() == "18446744073709551615\t0\n"


def test_float64_is_refused_unless_a_cast_or_a_loss_is_asked_for(tmp_path):
    schema = Schema(Field("x", "float64", (), "raw"))
    rb.write(tmp_path / "a.rec", {"x": np.array([0.1, 0.5])}, schema)
    for options in ({"select": {"x": "x"}, "pack": {"x": "list"}}, {"pack": {"x": "list"}}):
        with pytest.raises(LossyError, match="float32") as caught:
            rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord", **options)
        assert caught.value.field == "x"
    expected = [[float(np.float32(0.1))], [0.5]]
    for options in ({"select": {"x:float32": "x"}}, {"pack": {"x": "list"}, "allow_lossy": ("x",)}):
        rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord", overwrite=True, **options)
        assert [each["x"] for each in read_examples(tmp_path / "b.tfrecord")] == expected


def test_float64_goes_through_exactly_as_raw_bytes(tmp_path):
    schema = Schema(Field("x", "float64", (), "raw"))
    rb.write(tmp_path / "a.tfrecord", {"x": np.array([0.1, 1e300])}, schema)
    rb.convert(tmp_path / "a.tfrecord", tmp_path / "b.rec")
    (batch,) = rb.read(tmp_path / "b.rec")
    assert batch["x"].tolist() == [0.1, 1e300]


def test_pack_changes_how_tensors_are_stored_and_not_what_they_are(tmp_path):
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    rb.write(tmp_path / "a.tfrecord", {"pixels": pixels})
    rb.convert(tmp_path / "a.tfrecord", tmp_path / "b.tfrecord", pack={"pixels": "list"})
    assert read_examples(tmp_path / "a.tfrecord")[1] == {"pixels": [bytes([4, 5, 6, 7])]}
    assert read_examples(tmp_path / "b.tfrecord")[1] == {"pixels": [4, 5, 6, 7]}
    (batch,) = rb.read(tmp_path / "b.tfrecord")
    assert batch["pixels"].tolist() == pixels.tolist()


# ---- other sources and targets ----


def test_several_sources_become_one_target_in_their_order(tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    image_rec(tmp_path / "b.rec", 2, first_id=3)
    rb.convert([tmp_path / "b.rec", tmp_path / "a.rec"], tmp_path / "c.tfrecord")
    assert [each["id"] for each in read_examples(tmp_path / "c.tfrecord")] == [[3], [4], [0], [1], [2]]


def test_select_takes_common_fields_of_sources_that_differ_in_others(tmp_path):
    write_rec(tmp_path / "a.rec", [image_payload(1, id2=5)])
    write_rec(tmp_path / "b.rec", [image_payload(2)])
    rb.convert([tmp_path / "a.rec", tmp_path / "b.rec"], tmp_path / "c.tfrecord", select={"id": "id"})
    assert read_examples(tmp_path / "c.tfrecord") == [{"id": [1]}, {"id": [2]}]


def test_files_of_rec_are_joined_whatever_their_second_ids_and_keys_are(tmp_path):
    payloads = [image_payload(1, id2=5), image_payload(2), image_payload(3)]
    for number, (payload, key) in enumerate(zip(payloads, (1, 2, 77), strict=True)):
        write_rec(tmp_path / f"{number}.rec", [payload], [key])
    rb.convert([tmp_path / f"{number}.rec" for number in range(3)], tmp_path / "c.rec")
    assert read_rec(tmp_path / "c.rec") == payloads
    assert [line.split("\t")[0] for line in (tmp_path / "c.idx").read_text().splitlines()] == ["1", "2", "77"]
    assert rb.verify(tmp_path / "c.rec").ok


def test_a_vector_of_one_label_comes_back_as_the_label_of_the_header_and_a_note_says_so(tmp_path):
    one = image_payload(3, [7.5])
    source = write_rec(tmp_path / "a.rec", [image_payload(1, 2.0), image_payload(2, [1.0, 2.0]), one])
    manifest = rb.convert(source, tmp_path / "b.tfrecord")
    assert any("1 of 3 records have their one label in a vector (flag 1)" in note for note in manifest.notes)
    rb.convert(tmp_path / "b.tfrecord", tmp_path / "c.rec")
    assert read_rec(tmp_path / "c.rec") == [*read_rec(source)[:2], image_payload(3, 7.5)]
    rb.convert(source, tmp_path / "d.rec")
    assert read_rec(tmp_path / "d.rec") == read_rec(source)


@pytest.mark.parametrize("shards", [None, 1, 3])
def test_a_source_without_records_gives_empty_files(tmp_path, shards):
    (tmp_path / "a.rec").write_bytes(b"")
    manifest = rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord", shards=shards)
    assert manifest.num_rows == 0
    assert [os.path.getsize(path) for path in manifest.paths] == [0] * (shards or 1)
    assert rb.verify(tmp_path / "b.tfrecord").ok


def test_a_target_without_a_known_suffix_is_refused_before_anything_is_written(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    with pytest.raises(UnknownFormatError, match=r"b\.zip.*\.tfrecord"):
        rb.convert(source, tmp_path / "b.zip")
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_a_rec_is_not_written_plain_under_a_name_that_says_gzip(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    with pytest.raises((UnknownFormatError, ValueError), match=r"b\.rec\.gz"):
        rb.convert(source, tmp_path / "b.rec.gz")
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_converting_a_file_onto_itself_never_loses_it(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    before = read_rec(source)
    with pytest.raises(FileExistsError):
        rb.convert(source, source)
    assert read_rec(source) == before
    rb.convert(source, source, overwrite=True)
    assert read_rec(source) == before
    assert (tmp_path / "a.idx").exists()


def test_converting_reads_only_and_leaves_the_source_as_it_was(tmp_path):
    (tmp_path / "in").mkdir()
    copy_golden(tmp_path / "in", "r_photos.rec", "r_photos.idx", "r_photos.lst")
    before = contents(tmp_path / "in")
    for path in (tmp_path / "in").iterdir():
        path.chmod(0o444)
    (tmp_path / "in").chmod(0o555)
    try:
        rb.convert(tmp_path / "in", tmp_path / "b.tfrecord", shuffle=True, shards=2)
    finally:
        (tmp_path / "in").chmod(0o755)
    assert contents(tmp_path / "in") == before


@pytest.mark.parametrize(
    "options",
    [
        {"shards": 0},
        {"shards": -1},
        {"workers": 0},
        {"verify": "maybe"},
        {"on_bad_record": "ignore"},
        {"seed": -1, "shuffle": True},
    ],
)
def test_an_option_that_makes_no_sense_is_a_value_error_that_names_it(tmp_path, options):
    source = image_rec(tmp_path / "a.rec", 3)
    with pytest.raises(ValueError, match=next(iter(options))):
        rb.convert(source, tmp_path / "b.tfrecord", **options)
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_unknown_names_in_select_pack_and_allow_lossy_are_refused(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    for options in ({"select": {"x": "lable"}}, {"pack": {"lable": "raw"}}, {"allow_lossy": ("lable",)}):
        with pytest.raises(SchemaError, match="lable"):
            rb.convert(source, tmp_path / "b.tfrecord", **options)
    for options in ({"source_options": {"paylod": "raw"}}, {"target_options": {"paylod": "raw"}}):
        with pytest.raises(ValueError, match="paylod"):
            rb.convert(source, tmp_path / "b.tfrecord", **options)
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_the_photographs_arrive_as_the_files_that_were_packed(tmp_path):
    source = copy_golden(tmp_path, "r_photos.rec", "r_photos.idx")
    rb.convert(source, tmp_path / "b.tfrecord", select={"image/encoded": "image"})
    images = [each["image/encoded"][0] for each in read_examples(tmp_path / "b.tfrecord")]
    assert len(images) == len(golden_truth("r_photos"))
    assert all(image.startswith(b"\xff\xd8\xff") and image.rstrip(b"\0").endswith(b"\xff\xd9") for image in images)
    assert b"".join(images) == b"".join(payload[24:] for payload in read_rec(source))


def test_sources_in_folders_with_odd_names_are_found_again(tmp_path):
    folder = tmp_path / "a b 'c' ü #1"
    folder.mkdir()
    source = image_rec(folder / "täglich.rec", 4)
    rb.convert(source, folder / "aus gabe.tfrecord", shards=2, workers=2)
    assert rb.inspect(folder / "aus gabe.tfrecord").num_rows == 4
    shutil.rmtree(folder)


def test_a_name_that_is_selected_twice_is_refused(tmp_path):
    source = image_rec(tmp_path / "a.rec", 2)
    with pytest.raises(ValueError, match="'a' twice"):
        rb.convert(source, tmp_path / "b.tfrecord", select=["a=image", "a=id"])
    assert not (tmp_path / "b.tfrecord").exists()


def test_a_target_in_a_folder_that_is_not_there_names_the_folder(tmp_path):
    source = image_rec(tmp_path / "a.rec", 2)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        rb.convert(source, tmp_path / "nowhere" / "b.tfrecord")
