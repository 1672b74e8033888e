"""RecordIO against files that mxnet wrote: tests/golden, with their truth beside them as JSON."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, Field, FormatError, Schema, TruncatedError

GOLDEN = Path(__file__).parents[1] / "golden"
NEGATIVES = json.loads((GOLDEN / "negatives.json").read_text())
TRUTHS = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json")) if path.stem != "negatives"}
IMAGES = [name for name, truth in TRUTHS.items() if truth["has_irheader"]]
RAW = Schema(Field("record", "bytes"))
INDEXED = [name for name, truth in TRUTHS.items() if truth["key_type"]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def rows(name: str, **arguments: Any) -> list[dict[str, Any]]:
    return [row for batch in rb.read(GOLDEN / f"{name}.rec", **arguments) for row in batch.rows()]


def test_the_golden_files_are_the_ones_that_mxnet_wrote() -> None:
    assert len(TRUTHS) == 15
    assert len(NEGATIVES) == 13
    for name, truth in TRUTHS.items():
        assert sha256((GOLDEN / f"{name}.rec").read_bytes()) == truth["file_sha256"]


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("batch_rows", [1, 7, 1024])
def test_every_record_has_its_bytes(name: str, batch_rows: int) -> None:
    read = rows(name, payload="raw", fields=["record"], batch_rows=batch_rows)
    assert [sha256(row["record"]) for row in read] == [record["sha256"] for record in TRUTHS[name]["records"]]


@pytest.mark.parametrize("name", TRUTHS)
def test_random_access_finds_the_same_records(name: str) -> None:
    truth = TRUTHS[name]["records"][::-1]
    with rb.open(GOLDEN / f"{name}.rec", payload="raw", fields=["record"]) as file:
        assert len(file) == len(truth)
        batch = file.take(range(len(truth))[::-1])
    assert [sha256(row["record"]) for row in batch.rows()] == [record["sha256"] for record in truth]


@pytest.mark.parametrize("name", TRUTHS)
def test_writing_the_records_gives_the_file_of_mxnet(name: str, tmp_path: Path) -> None:
    source = GOLDEN / f"{name}.rec"
    rb.write(tmp_path / source.name, rb.read(source, payload="raw", fields=["record"]), schema=RAW)
    assert (tmp_path / source.name).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", INDEXED)
def test_rec_to_rec_keeps_records_and_keys_byte_for_byte(name: str, tmp_path: Path) -> None:
    manifest = rb.convert(GOLDEN / f"{name}.rec", tmp_path / f"{name}.rec", source_options={"payload": "raw"})
    assert manifest.num_rows == TRUTHS[name]["n_records"]
    for suffix in (".rec", ".idx"):
        assert (tmp_path / f"{name}{suffix}").read_bytes() == (GOLDEN / f"{name}{suffix}").read_bytes()


@pytest.mark.parametrize("name", IMAGES)
def test_headers_labels_and_images_are_what_mxnet_packed(name: str) -> None:
    read, truth = rows(name), TRUTHS[name]["records"]
    assert len(read) == len(truth)
    for row, record in zip(read, truth, strict=True):
        header = record["header"]
        assert (row["id"].dtype, int(row["id"])) == (np.uint64, header["id"])
        assert int(row.get("id2", 0)) == header["id2"]
        assert (row["label"].dtype, row["label"].tobytes().hex()) == (np.float32, header["label_hex"])
        assert (len(row["image"]), sha256(row["image"])) == (record["content_size"], record["content_sha256"])


@pytest.mark.parametrize("name", IMAGES)
def test_a_file_without_an_id2_has_no_such_field(name: str) -> None:
    schema = rb.inspect(GOLDEN / f"{name}.rec").schema
    assert ("id2" in schema) == any(record["header"]["id2"] for record in TRUTHS[name]["records"])


@pytest.mark.parametrize("name", INDEXED)
def test_keys_come_from_the_index_where_they_say_more_than_ids_and_numbers(name: str) -> None:
    truth = TRUTHS[name]
    keys = [record["key"] for record in truth["records"]]
    if truth["has_irheader"]:
        usual = [str(record["header"]["id"]) for record in truth["records"]]
        read = rows(name)
    else:
        usual = [str(number) for number in range(len(keys))]
        read = rows(name, payload="raw")
    if keys == usual:
        assert all("key" not in row for row in read)
    elif truth["key_type"] == "str":
        assert [row["key"] for row in read] == [key.encode() for key in keys]
    else:
        assert [int(row["key"]) for row in read] == [int(key) for key in keys]


def test_keys_can_be_asked_for_where_they_equal_the_ids() -> None:
    """They are no field of the file, so asking for them is the error of any unknown field, which lists the fields."""
    with pytest.raises(rb.SchemaError, match=r"key.*id, label, image"):
        rows("r_photos", fields=["key"])


@pytest.mark.parametrize("name", TRUTHS)
def test_inspect_counts_records_and_finds_the_index_sound(name: str) -> None:
    options = {} if TRUTHS[name]["has_irheader"] else {"payload": "raw"}
    summary = rb.inspect(GOLDEN / f"{name}.rec", **options)
    assert (summary.format, summary.num_rows) == ("recordio", TRUTHS[name]["n_records"])
    assert summary.nbytes == TRUTHS[name]["file_size"]
    assert not any("index" in note for note in summary.notes)


def test_inspect_notes_the_records_of_insightface_that_hold_no_image() -> None:
    empty = sum(record["content_size"] == 0 for record in TRUTHS["g_insightface"]["records"])
    notes = rb.inspect(GOLDEN / "g_insightface.rec").notes
    assert empty == 5
    assert any(f"{empty} of 15 records" in note for note in notes)


@pytest.mark.parametrize("name", IMAGES)
def test_verify_finds_nothing_wrong(name: str) -> None:
    report = rb.verify(GOLDEN / f"{name}.rec")
    assert (report.ok, report.num_rows) == (True, TRUTHS[name]["n_records"])


@pytest.mark.parametrize("name", ["a_scalar", "c_magic_header", "e_images", "h_det", "r_photos"])
def test_writing_the_columns_gives_the_file_of_mxnet(name: str, tmp_path: Path) -> None:
    source = GOLDEN / f"{name}.rec"
    rb.write(tmp_path / source.name, rb.read(source))
    assert (tmp_path / source.name).read_bytes() == source.read_bytes()
    index = source.with_suffix(".idx")
    assert not index.exists() or (tmp_path / index.name).read_bytes() == index.read_bytes()


@pytest.mark.parametrize("name", ["h_im2rec", "h_det", "r_photos"])
def test_labels_of_the_list_are_those_that_im2rec_packed(name: str) -> None:
    """im2rec parses the text as float32, and so must we; --pack-label is what puts all of them into the record."""
    listed = rows(name, labels=str(GOLDEN / f"{name}.lst"))
    assert [row["label"].tobytes() for row in listed] == [row["label"].tobytes() for row in rows(name)]
    assert [row["image"] for row in listed] == [row["image"] for row in rows(name)]


def test_a_file_without_records_is_legal() -> None:
    assert rows("d_zero_records") == []
    assert rb.inspect(GOLDEN / "d_zero_records.rec").num_rows == 0


# ---- odd and damaged files ----

LEGAL = ["n_nonzero_pad", "n_trunc_between"]
DAMAGED = {  # name: (error, record, bytes of the record that is at fault, records that are good before and after)
    "n_trunc_body": (TruncatedError, 2, (40, 54), 2),
    "n_trunc_pad": (TruncatedError, 2, (40, 58), 2),
    "n_trunc_head": (TruncatedError, 2, (40, 44), 2),
    "n_bad_magic": (FormatError, 1, (20, 40), 2),
    "n_cflag4": (FormatError, 1, (20, 40), 2),
    "n_orphan_middle": (FormatError, 1, (20, 40), 2),
    "n_orphan_end": (FormatError, 1, (20, 40), 2),
    "n_trunc_multipart": (TruncatedError, 1, (16, 28), 1),
    "n_trunc_multipart2": (TruncatedError, 1, (16, 48), 1),
    "n_trail_zero": (FormatError, 2, (52, 60), 2),
    "n_trail_3": (TruncatedError, 2, (52, 55), 2),
}


def test_each_negative_is_legal_or_damaged() -> None:
    assert {*LEGAL, *DAMAGED} == set(NEGATIVES)


@pytest.mark.parametrize("name", LEGAL)
def test_odd_but_legal_files_are_read_as_mxnet_reads_them(name: str) -> None:
    read = rows(name, payload="raw", fields=["record"])
    assert [sha256(row["record"]) for row in read] == NEGATIVES[name]["sha256"]
    assert rb.inspect(GOLDEN / f"{name}.rec", payload="raw").num_rows == len(read)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_errors_that_name_file_record_and_byte(name: str) -> None:
    path = GOLDEN / f"{name}.rec"
    kind, record, (start, stop), _ = DAMAGED[name]
    readers = (
        lambda: rows(name, payload="raw", fields=["record"]),
        lambda: rb.inspect(path, payload="raw"),
        lambda: rb.open(path, payload="raw"),
    )
    for reader in readers:
        with pytest.raises(FormatError) as caught:
            reader()
        assert type(caught.value) is kind
        assert (caught.value.path, caught.value.record) == (str(path), record)
        assert start <= caught.value.offset <= stop
        assert f"{path}: record {record} at byte {caught.value.offset}: " in str(caught.value)


@pytest.mark.parametrize("name", DAMAGED)
def test_verify_reports_the_damage(name: str) -> None:
    report = rb.verify(GOLDEN / f"{name}.rec")
    assert not report.ok
    assert [problem.path for problem in report.problems] == [str(GOLDEN / f"{name}.rec")]


@pytest.mark.parametrize("name", DAMAGED)
def test_records_before_the_damage_are_given_before_the_error(name: str) -> None:
    _, record, _, _ = DAMAGED[name]
    batches = rb.read(GOLDEN / f"{name}.rec", batch_rows=1, payload="raw", fields=["record"])
    read = [next(batches)["record"][0] for _ in range(record)]
    assert [sha256(payload) for payload in read] == NEGATIVES[name]["sha256"][:record]
    with pytest.raises(FormatError):
        next(batches)


@pytest.mark.parametrize("name", DAMAGED)
def test_skip_keeps_the_good_records_and_reports_exactly_the_bytes_left_out(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"{name}.rec"
    shutil.copy(GOLDEN / f"{name}.rec", path)
    _, _, (start, stop), good = DAMAGED[name]
    with caplog.at_level(logging.WARNING, logger="recordio_bridge"):
        (batch,) = rb.read(path, payload="raw", fields=["record"], on_bad_record="skip")
    whole = [sha256(payload) for payload in batch["record"]]
    assert len(whole) == good
    known = {digest for negative in NEGATIVES.values() for digest in negative["sha256"]}
    assert set(whole) <= known
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"{path}: left out bytes {start} to {stop}: " in message
    options = {"payload": "raw"}
    manifest = rb.convert(path, tmp_path / "out.tfrecord", source_options=options, on_bad_record="skip")
    assert manifest.num_rows == good
    assert [(each.path, each.start, each.stop) for each in manifest.skipped] == [(str(path), start, stop)]
    (converted,) = rb.read(tmp_path / "out.tfrecord")
    assert isinstance(converted, Batch)
    assert [sha256(payload) for payload in converted["record"]] == whole
