"""The .idx and the .lst beside a .rec: what they add, and what a bad one costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, BridgeError, Field, FormatError, Schema, SchemaError
from tests.formats.contract import plain
from tests.formats.frames import MAGIC, image_payload, rec

IMAGES = [
    image_payload(b"\xff\xd8\xff" + bytes([65 + i]) * 5, float(i), id=10 + i) for i in range(4)
]  # 32 bytes, 40 framed
RAW = [b"r0", b"yyyy" + MAGIC + b"tail", b"r2"]  # at 0, 12 (and 24, its second part) and 36, of 48


def files(tmp_path: Path, payloads: list[bytes], index: bytes | None) -> Path:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*payloads))
    if index is not None:
        path.with_suffix(".idx").write_bytes(index)
    return path


def keys_of(path: Path, **options: object) -> list[object]:
    return [
        value if isinstance(value, bytes) else int(value)
        for batch in rb.read(path, **options)
        for value in batch["key"]
    ]


# ---- sound indexes ----


@pytest.mark.parametrize(
    "index",
    [
        b"10\t0\n11\t40\n12\t80\n13\t120\n",
        b"13\t120\n10\t0\n12\t80\n11\t40\n",
        b"10\t0\r\n11\t40\r\n12\t80\r\n13\t120\r\n",
        b"10\t0\n11\t40\n12\t80\n13\t120",
        b"10\t0\tmore\n11\t40\tmore\n12\t80\t\n13\t120\n",
    ],
    ids=["plain", "another order", "CRLF", "no last newline", "a third column"],
)
def test_keys_that_equal_the_ids_are_no_field(tmp_path: Path, index: bytes) -> None:
    path = files(tmp_path, IMAGES, index)
    summary = rb.inspect(path)
    assert list(summary.schema) == ["id", "label", "image"]
    assert summary.notes == ()
    assert rb.verify(path).ok


@pytest.mark.parametrize(
    ("index", "keys"),
    [
        (b"7\t0\n3\t40\n99\t80\n0\t120\n", [7, 3, 99, 0]),
        (b"0\t120\n99\t80\n3\t40\n7\t0\n", [7, 3, 99, 0]),
        (b"18446744073709551615\t0\n1\t40\n2\t80\n3\t120\n", [2**64 - 1, 1, 2, 3]),
        (b"-5\t0\n1\t40\n2\t80\n3\t120\n", [-5, 1, 2, 3]),
        (b"a/b c.jpg\t0\n\xc3\xa9\t40\n\xff\t80\n\t120\n", [b"a/b c.jpg", "é".encode(), b"\xff", b""]),
        (b"007\t0\n1\t40\n2\t80\n3\t120\n", [b"007", b"1", b"2", b"3"]),
        (b"36893488147419103232\t0\n1\t40\n2\t80\n3\t120\n", [b"36893488147419103232", b"1", b"2", b"3"]),
    ],
    ids=["integers", "in another order", "the largest uint64", "a negative one", "text", "a leading zero", "2**65"],
)
def test_other_keys_are_a_field_joined_on_the_offset(tmp_path: Path, index: bytes, keys: list[object]) -> None:
    path = files(tmp_path, IMAGES, index)
    assert list(rb.inspect(path).schema) == ["id", "label", "image", "key"]
    assert keys_of(path) == keys
    assert keys_of(path, batch_rows=1, fields=["key"]) == keys
    with rb.open(path) as file:
        assert [row["key"] for row in file.take([3, 0, 0]).rows()] == [keys[3], keys[0], keys[0]]
    assert rb.verify(path).ok


def test_keys_of_raw_records_are_a_field_when_they_are_not_the_row_numbers(tmp_path: Path) -> None:
    path = files(tmp_path, RAW, b"0\t0\n1\t12\n2\t36\n")
    assert list(rb.inspect(path, payload="raw").schema) == ["record"]
    path = files(tmp_path, RAW, b"5\t0\n1\t12\n2\t36\n")
    assert keys_of(path, payload="raw") == [5, 1, 2]


def test_another_index_or_none_can_be_named(tmp_path: Path) -> None:
    path = files(tmp_path, RAW, b"5\t0\n6\t12\n7\t36\n")
    other = tmp_path / "other.txt"
    other.write_bytes(b"a\t0\nb\t12\nc\t36\n")
    assert keys_of(path, payload="raw", index=str(other)) == [b"a", b"b", b"c"]
    assert list(rb.inspect(path, payload="raw", index="").schema) == ["record"]


# ---- bad indexes: a note and a scan ----

BAD = {
    "unaligned": b"5\t0\n6\t13\n7\t36\n",
    "at the end of the file": b"5\t0\n6\t12\n7\t48\n",
    "out of range": b"5\t0\n6\t12\n7\t4000\n",
    "2**64 - 1 of old Windows builds": b"5\t0\n6\t12\n7\t18446744073709551615\n",
    "beyond 2**64": b"5\t0\n6\t12\n7\t999999999999999999999999999999\n",
    "negative": b"5\t0\n6\t12\n7\t-4\n",
    "inside a payload": b"5\t0\n6\t12\n7\t44\n",
    "at the last part of a record": b"5\t0\n6\t24\n7\t36\n",
    "a record is missing": b"5\t0\n7\t36\n",
    "the last records are missing": b"5\t0\n",
    "empty": b"",
    "a record twice": b"5\t0\n6\t12\n6\t12\n7\t36\n",
    "more lines than records": b"5\t0\n6\t12\n7\t36\n8\t44\n",
    "a blank line": b"5\t0\n\n6\t12\n7\t36\n",
    "a blank line at the end": b"5\t0\n6\t12\n7\t36\n\n",
    "blanks and no TAB": b"5 0\n6 12\n7 36\n",
    "no offset": b"5\t0\n6\n7\t36\n",
    "an offset that is no number": b"5\t0\n6\ttwelve\n7\t36\n",
    "a fraction": b"5\t0\n6\t12.0\n7\t36\n",
    "an underscore": b"5\t0\n6\t1_2\n7\t36\n",
    "hexadecimal": b"5\t0\n6\t0xc\n7\t36\n",
    "digits that are not ASCII": "5\t0\n6\t١٢\n7\t36\n".encode(),
    "binary": bytes(range(256)),
    "of another file": b"5\t0\n6\t16\n7\t40\n",
}


@pytest.mark.parametrize("index", BAD.values(), ids=BAD)
def test_a_bad_index_is_a_note_and_a_scan(tmp_path: Path, index: bytes) -> None:
    path = files(tmp_path, RAW, index)
    summary = rb.inspect(path, payload="raw")
    assert (list(summary.schema), summary.num_rows) == (["record"], 3)
    assert any(str(path.with_suffix(".idx")) in note for note in summary.notes)
    assert [row["record"] for batch in rb.read(path, payload="raw") for row in batch.rows()] == RAW
    with rb.open(path, payload="raw") as file:
        assert [row["record"] for row in file] == RAW


@pytest.mark.parametrize("index", BAD.values(), ids=BAD)
def test_verify_is_not_ok_with_a_bad_index_and_names_it(tmp_path: Path, index: bytes) -> None:
    path = tmp_path / "x.rec"
    rb.write(path, {"record": RAW})
    path.with_suffix(".idx").write_bytes(index)
    report = rb.verify(path)
    assert not report.ok
    assert report.num_rows == 3
    assert len(report.problems) == 1
    assert str(path.with_suffix(".idx")) in str(report.problems[0])
    assert "rebuild" in str(report.problems[0])


def test_the_offsets_of_old_windows_builds_are_named_as_such(tmp_path: Path) -> None:
    path = files(tmp_path, RAW, BAD["2**64 - 1 of old Windows builds"])
    (note,) = (note for note in rb.inspect(path, payload="raw").notes if ".idx" in note)
    assert "18446744073709551615" in note
    assert "Windows" in note
    assert "line 3" in note


def test_keys_that_a_sidecar_promises_are_never_made_up(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    rb.write(path, {"record": RAW, "key": [b"a", b"b", b"c"]})
    assert keys_of(path) == [b"a", b"b", b"c"]
    for index in (*BAD.values(), None):
        path.with_suffix(".idx").unlink(missing_ok=True)
        if index is not None:
            path.with_suffix(".idx").write_bytes(index)
        with pytest.raises((BridgeError, FileNotFoundError)):
            keys_of(path)
        (batch,) = rb.read(path, fields=["record"])
        assert list(batch["record"]) == RAW


def test_an_index_that_grew_wrong_behind_the_sidecar_gives_no_wrong_key(tmp_path: Path) -> None:
    """Offsets that are heads, but not all of them: the join must not slide to a neighbour's key."""
    path = tmp_path / "x.rec"
    rb.write(path, {"record": RAW, "key": [b"a", b"b", b"c"]})
    path.with_suffix(".idx").write_bytes(b"a\t0\nc\t36\n")
    with pytest.raises(BridgeError):
        keys_of(path, batch_rows=1)


# ---- writing keys ----


def index_of(tmp_path: Path, columns: dict[str, object]) -> list[str]:
    path = tmp_path / "w.rec"
    rb.write(path, columns, overwrite=True)
    return [line.split("\t")[0] for line in path.with_suffix(".idx").read_text().splitlines()]


def test_keys_are_the_ids_where_unique_else_the_row_numbers(tmp_path: Path) -> None:
    assert index_of(tmp_path, {"id": [7, 5, 2**40], "image": [b"a", b"b", b"c"]}) == ["7", "5", "1099511627776"]
    assert index_of(tmp_path, {"id": [7, 5, 7], "image": [b"a", b"b", b"c"]}) == ["0", "1", "2"]
    assert index_of(tmp_path, {"image": [b"a", b"b", b"c"]}) == ["0", "1", "2"]


def test_ids_that_repeat_in_a_later_batch_give_row_numbers_for_all(tmp_path: Path) -> None:
    path = tmp_path / "w.rec"
    rb.write(path, [{"id": [7, 5], "image": [b"a", b"b"]}, {"id": [8, 7], "image": [b"c", b"d"]}])
    assert [line.split("\t")[0] for line in path.with_suffix(".idx").read_text().splitlines()] == ["0", "1", "2", "3"]


def test_a_field_key_is_written_to_the_index(tmp_path: Path) -> None:
    assert index_of(tmp_path, {"id": [7, 5], "image": [b"a", b"b"], "key": ["x", "y z"]}) == ["x", "y z"]
    assert index_of(tmp_path, {"record": [b"a", b"b"], "key": [9, -3]}) == ["9", "-3"]


@pytest.mark.parametrize("key", [b"a\tb", b"a\nb"], ids=["TAB", "line feed"])
def test_a_key_that_an_index_cannot_hold_is_refused(tmp_path: Path, key: bytes) -> None:
    path = tmp_path / "w.rec"
    with pytest.raises(SchemaError) as caught:
        rb.write(path, {"record": [b"a", b"b"], "key": [b"fine", key]})
    assert (caught.value.field, caught.value.row) == ("key", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_blanks_and_other_odd_characters_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "w.rec"
    keys = [b"a\r", b" a ", b"", b"\x00\xff", "日本".encode(), b" 7"]
    rb.write(path, {"record": [b"r"] * len(keys), "key": keys})
    assert keys_of(path) == keys


def test_keys_in_several_batches_are_refused_with_the_row_of_the_file(tmp_path: Path) -> None:
    batches = [{"record": [b"a", b"b"], "key": [b"1", b"2"]}, {"record": [b"c"], "key": [b"x\ty"]}]
    with pytest.raises(SchemaError) as caught:
        rb.write(tmp_path / "w.rec", batches)
    assert (caught.value.field, caught.value.row) == ("key", 2)


# ---- .lst ----

LISTED = "12\t2.5\tc.jpg\n10\t0\ta b.jpg\n13\t3\td.jpg\n11\t1.000000\tb.jpg\n99\t9\tnot there.jpg\n"


def listed(tmp_path: Path, text: str, **options: object) -> Batch:
    path = files(tmp_path, IMAGES, None)
    (tmp_path / "x.lst").write_bytes(text.encode())
    (batch,) = rb.read(path, labels=str(tmp_path / "x.lst"), **options)
    return batch


def test_labels_of_a_list_are_joined_on_the_id(tmp_path: Path) -> None:
    batch = listed(tmp_path, LISTED)
    assert plain(batch["label"][0]) == plain(np.array([0], dtype=np.float32))
    assert [label.tolist() for label in batch["label"]] == [[0.0], [1.0], [2.5], [3.0]]
    assert batch["id"].tolist() == [10, 11, 12, 13]


def test_a_list_with_crlf_and_an_empty_line_is_read(tmp_path: Path) -> None:
    batch = listed(tmp_path, LISTED.replace("\n", "\r\n") + "\r\n")
    assert [label.tolist() for label in batch["label"]] == [[0.0], [1.0], [2.5], [3.0]]


def test_labels_of_different_lengths_are_read(tmp_path: Path) -> None:
    batch = listed(tmp_path, "10\t1\t2\t3\ta\n11\t4\ta\n12\t5\t6\ta\n13\t0.1\ta\n")
    assert [label.tolist() for label in batch["label"]] == [[1, 2, 3], [4], [5, 6], [np.float32(0.1)]]


@pytest.mark.parametrize("text", ["25130987", "25130987.0", "9007199254740993"])
def test_integer_labels_above_2_to_the_24_are_exact(tmp_path: Path, text: str) -> None:
    batch = listed(tmp_path, f"10\t1\ta\n11\t{text}\ta\n12\t3\ta\n13\t-4\ta\n")
    assert batch["label"].dtype == "int64"
    assert [label.tolist() for label in batch["label"]] == [[1], [int(text.removesuffix(".0"))], [3], [-4]]


def test_a_large_integer_beside_a_fraction_is_not_rounded_in_silence(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match="25130987"):
        listed(tmp_path, "10\t1\t0.5\ta\n11\t25130987\t0.25\ta\n12\t3\t1\ta\n13\t4\t1\ta\n")


@pytest.mark.parametrize(
    "text",
    [
        "10\t1\ta\n11\t1\ta\n12\t1\ta\n",
        "10\t1\ta\n11\t1\ta\n12\t1\ta\n13\t1\ta\n12\t2\ta\n",
        "10\t1\ta\n11\tone\ta\n12\t1\ta\n13\t1\ta\n",
        "10\t1\ta\n11\ta\n12\t1\ta\n13\t1\ta\n",
        "10 1 a\n11 1 a\n12 1 a\n13 1 a\n",
        "ten\t1\ta\n",
        "-1\t1\ta\n",
        "10.5\t1\ta\n",
        "18446744073709551616\t1\ta\n",
        f"10\t1\ta\n11\t{10**30}\ta\n12\t1\ta\n13\t1\ta\n",
        "",
    ],
    ids=[
        "an id is missing",
        "an id twice",
        "a label that is no number",
        "no label",
        "blanks for TABs",
        "an id that is no number",
        "a negative id",
        "a fraction for an id",
        "an id above 64 bits",
        "a label above 64 bits",
        "empty",
    ],
)
def test_a_bad_list_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(BridgeError) as caught:
        listed(tmp_path, text)
    assert str(tmp_path / "x.lst") in str(caught.value)


def test_an_id_that_the_list_lacks_is_named_with_its_record(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"record 3 at byte .*id 13\b") as caught:
        listed(tmp_path, "10\t1\ta\n11\t1\ta\n12\t1\ta\n")
    assert caught.value.record == 3


def test_a_list_that_is_not_there_is_a_file_not_found_error(tmp_path: Path) -> None:
    path = files(tmp_path, IMAGES, None)
    with pytest.raises(FileNotFoundError):
        list(rb.read(path, labels=str(tmp_path / "no.lst")))


def test_labels_for_records_without_an_image_header_are_refused(tmp_path: Path) -> None:
    path = files(tmp_path, RAW, None)
    (tmp_path / "x.lst").write_text(LISTED)
    with pytest.raises((ValueError, BridgeError), match="labels"):
        list(rb.read(path, payload="raw", labels=str(tmp_path / "x.lst")))


def test_labels_is_no_option_for_writing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels"):
        rb.write(tmp_path / "x.rec", {"image": [b"a"]}, labels="x.lst")
    assert list(tmp_path.iterdir()) == []


def test_labels_reach_the_target_of_a_conversion_exactly(tmp_path: Path) -> None:
    path = files(tmp_path, IMAGES, None)
    (tmp_path / "x.lst").write_text("10\t25130987\ta\n11\t1\ta\n12\t2\ta\n13\t3\ta\n")
    options = {"labels": str(tmp_path / "x.lst")}
    select = {"image/class/label:int64": "label[0]"}
    rb.convert(path, tmp_path / "x.tfrecord", source_options=options, select=select)
    (batch,) = rb.read(tmp_path / "x.tfrecord")
    assert batch["image/class/label"].tolist() == [25130987, 1, 2, 3]
    assert batch.schema == Schema(Field("image/class/label", "int64"))


@pytest.mark.parametrize("with_sidecar", [True, False])
def test_keys_beside_examples_are_a_warning_and_reach_another_rec(tmp_path: Path, with_sidecar: bool) -> None:
    path = tmp_path / "a.rec"
    rb.write(path, {"x": [1, 2, 3]})
    index = path.with_suffix(".idx")
    index.write_text("".join(f"image {line}\n" for line in index.read_text().splitlines()))
    if not with_sidecar:
        Path(f"{path}.schema.json").unlink()
    summary = rb.inspect(path)
    assert list(summary.schema) == ["x"]
    assert "a.idx has keys of its own" in summary.warnings[0]
    assert [row["x"] for batch in rb.read(path) for row in batch.rows()] == [1, 2, 3]
    assert rb.convert(path, tmp_path / "b.tfrecord").warnings == summary.warnings
    rb.convert(path, tmp_path / "b.rec")
    assert (tmp_path / "b.idx").read_bytes() == index.read_bytes()
