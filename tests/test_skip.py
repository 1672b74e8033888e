"""on_bad_record="skip": what is left out, and that errors and reports name the record in its file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, LossyError, Schema
from tests.samples import (
    frame_rec,
    frame_tfrecord,
    image_payload,
    make_example,
    read_examples,
    write_rec,
    write_tfrecord,
)

KEYED = Schema(Field("id", "uint64"), Field("key", "int64"))


def write_list(path: Path, ids: list[int]) -> Path:
    path.write_text("".join(f"{id}\t{id}.5\timages/{id}.jpg\n" for id in ids))
    return path


def starts_of(frames: list[bytes]) -> list[int]:
    """Where each frame of a file begins, and the end of the last."""
    return np.cumsum([0, *map(len, frames)]).tolist()


def damaged(path: Path, rows: int, bad: set[int], framed: str = "rec") -> tuple[Path, list[int]]:
    """A file of rows records in which the frames of some are damaged, and where each begins."""
    if framed == "rec":
        frames = [frame_rec(image_payload(n, float(n), b"x" * n)) for n in range(rows)]
        frames = [b"????" + frame[4:] if n in bad else frame for n, frame in enumerate(frames)]
    else:
        frames = [frame_tfrecord(make_example({"id": [n], "label": [float(n)]})) for n in range(rows)]
        frames = [frame[:-1] + bytes([frame[-1] ^ 1]) if n in bad else frame for n, frame in enumerate(frames)]
    path.write_bytes(b"".join(frames))
    return path, starts_of(frames)


# ---- records that the .lst or the .idx lacks ----


def test_a_record_that_the_list_lacks_is_an_error_with_its_place(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in range(4)])
    labels = write_list(tmp_path / "a.lst", [0, 1, 3])
    start = 2 * len(frame_rec(image_payload(0)))
    with pytest.raises(FormatError, match=rf"a\.rec: record 2 at byte {start}: .*a\.lst has no line.* id 2") as caught:
        list(rb.read(source, labels=str(labels)))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(source), 2, start)


@pytest.mark.parametrize("listed", [[0, 2, 3, 5], [], list(range(6))])
def test_records_that_the_list_lacks_are_skipped_and_reported(tmp_path, listed, caplog):
    frames = [frame_rec(image_payload(n, image=b"x" * n)) for n in range(6)]
    source, starts = tmp_path / "a.rec", starts_of(frames)
    source.write_bytes(b"".join(frames))
    labels = write_list(tmp_path / "a.lst", listed)
    with caplog.at_level(logging.WARNING):
        batches = list(rb.read(source, on_bad_record="skip", labels=str(labels)))
    assert [row["id"] for batch in batches for row in batch.rows()] == listed
    assert [row["label"].tolist() for batch in batches for row in batch.rows()] == [[n + 0.5] for n in listed]
    options = {"on_bad_record": "skip", "source_options": {"labels": str(labels)}}
    manifest = rb.convert(source, tmp_path / "b.tfrecord", **options)
    lacking = [n for n in range(6) if n not in listed]
    assert [each.record for each in manifest.skipped] == lacking
    for each, message in zip(manifest.skipped, caplog.messages, strict=True):
        assert (each.path, each.start) == (str(source), starts[each.record])
        assert starts[each.record] + 8 < each.stop <= starts[each.record + 1]
        assert f"record {each.record} at byte {each.start}: " in each.reason
        assert each.reason in message
    written = json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())
    assert [each["record"] for each in written["skipped"]] == lacking


@pytest.mark.parametrize("schema", [KEYED, Schema(Field("record", "bytes"), Field("key", "int64"))])
def test_records_that_the_index_lacks_are_skipped_where_their_keys_are_asked_for(tmp_path, schema, caplog):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in range(5)], [10, 11, 12, 13, 14])
    lines = (tmp_path / "a.idx").read_text().splitlines(keepends=True)
    (tmp_path / "a.idx").write_text("".join(lines[:1] + lines[2:4]))
    options = {"schema": schema, "payload": "raw" if "record" in schema else "image"}
    start = len(frame_rec(image_payload(0)))
    with pytest.raises(FormatError, match=rf"a\.rec: record 1 at byte {start}: .*a\.idx has no key") as caught:
        list(rb.read(source, **options))
    assert (caught.value.record, caught.value.offset) == (1, start)
    with caplog.at_level(logging.WARNING):
        batches = list(rb.read(source, on_bad_record="skip", **options))
    assert [row["key"] for batch in batches for row in batch.rows()] == [10, 12, 13]
    assert ["record 1 at" in caplog.messages[0], "record 4 at" in caplog.messages[1]] == [True, True]
    assert len(caplog.messages) == 2


def test_a_value_that_the_selection_cannot_take_is_an_error_also_where_damage_is_skipped(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n, 0.5 if n == 3 else 1.0) for n in range(6)])
    with pytest.raises(LossyError, match="record 3 "):
        rb.convert(source, tmp_path / "b.tfrecord", select={"n:int64": "label[0]"}, on_bad_record="skip")


# ---- the numbers of records behind those that are left out ----


@pytest.mark.parametrize("framed", ["rec", "tfrecord"])
@pytest.mark.parametrize("bad", [{0}, {2}, {0, 1, 4}, {3, 7, 8, 11}])
def test_a_report_names_the_record_in_the_file(tmp_path, framed, bad):
    source, starts = damaged(tmp_path / f"a.{framed}", 12, bad, framed)
    target = tmp_path / ("b.tfrecord" if framed == "rec" else "b.rec")
    for shards, workers in ((None, 1), (3, 1), (5, 2)):
        manifest = rb.convert(
            source, target, shards=shards, workers=workers, on_bad_record="skip", verify="none", overwrite=True
        )
        reported = {
            number for each in manifest.skipped for number in range(12) if each.start <= starts[number] < each.stop
        }
        assert reported == bad
        if framed == "tfrecord":  # damaged payloads: each record is reported alone
            assert [each.record for each in manifest.skipped] == sorted(bad)
        for each in manifest.skipped:
            assert f"record {each.record} at byte" in each.reason


def test_a_stretch_of_damage_counts_as_one_record(tmp_path):
    frames = [frame_rec(image_payload(n)) for n in range(3)]
    source = tmp_path / "a.rec"
    source.write_bytes(frames[0] + bytes(400) + frames[1] + frame_rec(b"short") + frames[2])
    manifest = rb.convert(source, tmp_path / "b.tfrecord", on_bad_record="skip")
    assert [(each.record, each.start) for each in manifest.skipped] == [
        (1, len(frames[0])),
        (3, len(frames[0]) + 400 + len(frames[1])),
    ]


@pytest.mark.parametrize("framed", ["rec", "tfrecord"])
@pytest.mark.parametrize("bad", range(12))
def test_a_report_is_the_same_in_however_many_shards(tmp_path, framed, bad):
    frame = (lambda n: frame_rec(b"x" * n)) if framed == "rec" else (lambda n: frame_tfrecord(b"x" * n))
    frames = [frame(40) for _ in range(12)]
    frames[bad] = frames[bad][:20] + frames[bad][24:]  # so that its length goes into the next
    source = tmp_path / f"a.{framed}"
    source.write_bytes(b"".join(frames))
    reports = []
    for options in ({}, {"shards": 1}, {"shards": 5}, {"shards": 11}, {"shards": 3, "shuffle": True}):
        manifest = rb.convert(
            source,
            tmp_path / "b.tfrecord",
            on_bad_record="skip",
            overwrite=True,
            source_options={"payload": "raw"},
            target_options={"payload": "raw"},
            **options,
        )
        reports.append((manifest.num_rows, manifest.skipped))
    assert [report for report in reports if report != reports[0]] == []
    assert reports[0][1][0].record == bad


@pytest.mark.parametrize("framed", ["rec", "tfrecord"])
@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"shards": 3, "workers": 2}, {"shuffle": True, "shards": 2}])
def test_a_lossy_value_behind_damage_is_named_with_file_record_and_byte(tmp_path, framed, options):
    source, starts = damaged(tmp_path / f"a.{framed}", 12, {1, 5}, framed)
    target = tmp_path / ("b.tfrecord" if framed == "rec" else "b.rec")
    select = {"n:uint8": "label[0]" if framed == "rec" else "label", "id": "id"}
    rb.convert(source, target, select=select, on_bad_record="skip", **options)
    data = bytearray(source.read_bytes())
    if framed == "rec":
        data[starts[9] + 12 : starts[9] + 16] = np.float32(9.5).tobytes()
    else:
        data[starts[9] : starts[10]] = frame_tfrecord(make_example({"id": [9], "label": [9.5]}))
    source.write_bytes(data)
    with pytest.raises(LossyError, match=r"field 'n': 9\.5 is no uint8.*--allow-lossy n") as caught:
        rb.convert(source, target, select=select, on_bad_record="skip", overwrite=True, **options)
    error = caught.value
    assert str(error).startswith(f"{source}: record 9 at byte {starts[9]}: ")
    assert (error.field, error.row, error.path, error.record, error.offset) == ("n", 9, str(source), 9, starts[9])


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_lossy_value_in_the_second_of_two_files_is_named_with_that_file(tmp_path, shuffle):
    first = write_rec(tmp_path / "a.rec", [image_payload(n) for n in range(5)])
    second = write_rec(tmp_path / "b.rec", [image_payload(n, 0.5 if n == 2 else 1.0) for n in range(5)])
    start = 2 * len(frame_rec(image_payload(0)))
    with pytest.raises(LossyError) as caught:
        rb.convert([first, second], tmp_path / "c.tfrecord", select={"n:int64": "label[0]"}, shuffle=shuffle)
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(second), 2, start)


def test_a_value_that_the_target_cannot_hold_is_named_with_file_record_and_byte(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(2**63 if n == 2 else n) for n in range(4)])
    start = 2 * len(frame_rec(image_payload(0)))
    with pytest.raises(
        LossyError, match=rf"a\.rec: record 2 at byte {start}: field 'id': 9223372036854775808 "
    ) as caught:
        rb.convert(source, tmp_path / "b.tfrecord")
    assert (caught.value.field, caught.value.record, caught.value.offset) == ("id", 2, start)


def test_a_row_with_too_few_values_is_named_with_field_file_record_and_byte(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n, [1.0, 2.0][: 1 + (n != 3)]) for n in range(5)])
    start = 3 * len(frame_rec(image_payload(0, [1.0, 2.0])))
    schema = Schema(Field("label", "float32", (2,)))
    with pytest.raises(
        rb.SchemaError, match=rf"a\.rec: record 3 at byte {start}: field 'label' has 1 values"
    ) as caught:
        list(rb.read(source, schema=schema))
    assert (caught.value.field, caught.value.row, caught.value.offset) == ("label", 3, start)
    with pytest.raises(rb.SchemaError, match=rf"record 3 at byte {start}: field 'label' has 1 value, .* \[1\]"):
        rb.convert(source, tmp_path / "b.tfrecord", select={"second": "label[1]"})


def test_records_without_a_row_in_two_shuffled_files_are_left_out_alone(tmp_path):
    for name, first in (("a", 0), ("b", 10)):
        payloads = [b"short" if n % 10 == 4 else image_payload(n) for n in range(first, first + 10)]
        write_rec(tmp_path / f"{name}.rec", payloads)
    sources = [tmp_path / "a.rec", tmp_path / "b.rec"]
    manifest = rb.convert(sources, tmp_path / "c.tfrecord", shuffle=True, on_bad_record="skip")
    ids = [example["id"][0] for example in read_examples(tmp_path / "c.tfrecord")]
    assert sorted(ids) == [n for n in range(20) if n % 10 != 4]
    assert ids != sorted(ids)
    assert sorted((each.path, each.record) for each in manifest.skipped) == [(str(path), 4) for path in sources]


def test_examples_that_do_not_fit_are_numbered_in_the_file_also_behind_damage(tmp_path):
    payloads = [make_example({"n": [n]}) for n in range(30)]
    payloads[26] = b"\xff" * 5
    source = write_tfrecord(tmp_path / "a.tfrecord", payloads)
    data = bytearray(source.read_bytes())
    data[20] ^= 1
    source.write_bytes(data)
    manifest = rb.convert(source, tmp_path / "b.rec", on_bad_record="skip")
    assert [each.record for each in manifest.skipped] == [0, 26]
    assert "record 26 at byte" in manifest.skipped[1].reason


@pytest.mark.parametrize("batch_rows", [None, 1, 2, 1000])
@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_record_whose_length_reaches_into_the_next_is_left_out_and_the_next_is_kept(tmp_path, at, batch_rows):
    frames = [frame_rec(image_payload(n, 1.0, b"x" * 41)) for n in range(12)]
    source = tmp_path / "a.rec"
    data = bytearray(b"".join(frames))
    data[at * len(frames[0]) + 4] += 8
    source.write_bytes(data)
    skipped = []
    opened = rb.sources.Source.open(source, {}, "skip")
    schema = rb.Schema(rb.Field("id", "uint64"))
    ids = [row["id"] for batch in opened.read(schema, batch_rows, skipped.append) for row in batch.rows()]
    assert ids == [n for n in range(12) if n != at]
    assert [(each.record, each.start, each.stop) for each in skipped] == [
        (at, at * len(frames[0]), (at + 1) * len(frames[0]))
    ]
