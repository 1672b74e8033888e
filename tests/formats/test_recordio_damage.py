"""RecordIO with damage: skipping over it, and headers of before 2016 whose flag means nothing."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Schema
from recordio_bridge.example import encode
from tests.formats.frames import MAGIC, image_payload, part, rec

GOOD = [b"first record", b"second" + bytes(40), b"", b"the last one"]


def skip(path: Path, tmp_path: Path, payload: str = "raw") -> tuple[list[bytes], list[tuple[int, int]]]:
    """The payloads that are kept, and the ranges reported: the same by read and by convert."""
    options = {"payload": payload}
    name = "record" if payload == "raw" else "image"
    kept = [
        row[name] for batch in rb.read(path, fields=[name], on_bad_record="skip", **options) for row in batch.rows()
    ]
    manifest = rb.convert(
        path,
        tmp_path / "kept.tfrecord",
        source_options=options,
        select={"kept": name},
        on_bad_record="skip",
        overwrite=True,
    )
    (batch,) = rb.read(tmp_path / "kept.tfrecord") if kept else ({"kept": []},)
    assert list(batch["kept"]) == kept
    assert all(skipped.path == str(path) and skipped.reason for skipped in manifest.skipped)
    return kept, [(skipped.start, skipped.stop) for skipped in manifest.skipped]


# name: (what lies between two good records, ranges expected relative to its start)
BETWEEN = {
    "a wrong magic": (b"\x0b\x23\xd7\xce" + part(0, b"lost bytes")[4:], [(0, 20)]),
    "zeros": (bytes(64), [(0, 64)]),
    "text, unaligned in length": (b"no record at all here", None),
    "a middle part alone": (part(2, b"orphan"), [(0, 16)]),
    "a last part alone": (part(3, b"orphan"), [(0, 16)]),
    "a first part alone": (part(1, b"open"), [(0, 12)]),
    "first and middle": (part(1, b"open") + part(2, b"midd"), [(0, 24)]),
    "first, and another whole record": (part(1, b"open") + part(1, b"full") + part(3, b"!"), [(0, 12)]),
    "flag 4": (part(4, b"from the future"), [(0, 24)]),
    "flag 7": (part(7, b""), [(0, 8)]),
    "two damaged ones": (part(4, b"a") + part(2, b"b"), [(0, 24)]),
    "a length beyond the end of the file": (MAGIC + struct.pack("<I", 3000) + b"short...", [(0, 16)]),
    "only a magic": (MAGIC, [(0, 4)]),
}


@pytest.mark.parametrize(("damage", "ranges"), BETWEEN.values(), ids=BETWEEN)
def test_skip_keeps_every_good_record_around_the_damage(
    tmp_path: Path, damage: bytes, ranges: list[tuple[int, int]] | None
) -> None:
    before, after = rec(*GOOD[:2]), rec(*GOOD[2:])
    padding = bytes(-len(damage) % 4)  # records stand on multiples of 4, so what is behind the damage is moved there
    path = tmp_path / "x.rec"
    path.write_bytes(before + damage + padding + after)
    with pytest.raises(FormatError):
        list(rb.read(path, payload="raw"))
    kept, reported = skip(path, tmp_path)
    if "full" in str(damage):
        assert kept == [*GOOD[:2], b"full" + MAGIC + b"!", *GOOD[2:]]
    elif ranges is not None or damage.startswith(b"no"):
        assert kept == GOOD
    start, stop = reported[0][0], reported[-1][1]
    assert start == len(before)
    if ranges is None:
        assert stop >= len(before) + len(damage)
    else:
        assert reported == [(len(before) + a, len(before) + b) for a, b in ranges]


def test_a_length_that_swallows_good_records_costs_those_at_most(tmp_path: Path) -> None:
    """The length ends where a record begins: nothing can tell, so what lies between is its payload."""
    path = tmp_path / "x.rec"
    path.write_bytes(MAGIC + struct.pack("<I", 20) + b"tiny" + rec(b"swallowed") + rec(b"after"))
    kept, _ = skip(path, tmp_path)
    assert kept[-1] == b"after"


def test_a_length_that_goes_into_a_record_that_is_longer_than_a_block_costs_only_its_own(tmp_path: Path) -> None:
    good = [b"first", np.random.default_rng(2).bytes(9 << 20), b"last"]
    swallower = MAGIC + struct.pack("<I", 3000) + bytes(1000)
    path = tmp_path / "x.rec"
    path.write_bytes(rec(good[0]) + swallower + part(0, good[1]) + rec(good[2]))
    assert skip(path, tmp_path) == (good, [(16, 16 + len(swallower))])


@pytest.mark.parametrize("batch_rows", [None, 1, 2, 3])
def test_what_is_kept_does_not_depend_on_the_size_of_batches(tmp_path: Path, batch_rows: int | None) -> None:
    uncut = part(0, rec(b"inner")), rec(b"inner")  # as SageMaker's writer leaves it
    path = tmp_path / "x.rec"
    path.write_bytes(rec(b"one") + uncut[0] + part(1, b"its end is lost") + rec(b"last"))
    batches = rb.read(path, payload="raw", on_bad_record="skip", batch_rows=batch_rows or 1024)
    assert [row["record"] for batch in batches for row in batch.rows()] == [b"one", uncut[1], b"last"]


@pytest.mark.parametrize("where", ["start", "end", "both"])
def test_skip_at_the_start_and_the_end(tmp_path: Path, where: str) -> None:
    junk = b"\xff" * 12
    head, tail = junk * (where != "end"), junk * (where != "start")
    whole = rec(*GOOD)
    path = tmp_path / "x.rec"
    path.write_bytes(head + whole + tail)
    kept, reported = skip(path, tmp_path)
    assert kept == GOOD
    size = len(head) + len(whole) + len(tail)
    ranges = [(0, 12)] * bool(head) + [(size - 12, size)] * bool(tail)
    assert reported == ranges


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 11, 12, 19])
def test_a_cut_last_record_is_left_out_to_the_end_of_the_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.rec"
    before = rec(*GOOD)
    path.write_bytes(before + rec(b"cut in here")[:size])
    assert skip(path, tmp_path) == (GOOD, [(len(before), len(before) + size)])


def test_a_file_of_damage_only_gives_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(b"\x01" * 4000)
    assert list(rb.read(path, payload="raw", on_bad_record="skip")) == []
    assert skip(path, tmp_path) == ([], [(0, 4000)])


def test_a_payload_that_looks_like_a_record_is_not_taken_for_one_while_its_own_record_is_whole(tmp_path: Path) -> None:
    inner = b"a" + rec(b"fake record inside")
    path = tmp_path / "x.rec"
    path.write_bytes(rec(b"one", inner) + bytes(8) + rec(inner, b"two"))
    kept, reported = skip(path, tmp_path)
    assert kept == [b"one", inner, inner, b"two"]
    assert len(reported) == 1


def test_batches_are_full_with_damage_between(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    pieces = [rec(b"%d" % i) + (bytes(8) if i % 3 == 0 else b"") for i in range(20)]
    path.write_bytes(b"".join(pieces))
    batches = list(rb.read(path, batch_rows=6, payload="raw", on_bad_record="skip"))
    assert [len(batch) for batch in batches] == [6, 6, 6, 2]
    assert [row["record"] for batch in batches for row in batch.rows()] == [b"%d" % i for i in range(20)]


def test_damage_larger_than_a_block_and_at_block_edges_is_passed_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    block = 4 << 20
    for filler in (block - 24, block - 20, block - 16, block - 12, block - 4, block):
        big, after = rng.bytes(filler), [b"near", rng.bytes(block), b"far"]
        path = tmp_path / "x.rec"
        start = len(rec(b"a")) + 8 + filler
        junk = bytes(12) + rng.bytes(9 << 20)
        path.write_bytes(rec(b"a") + part(0, big) + junk + rec(after[0]) + part(0, after[1]) + rec(after[2]))
        kept, reported = skip(path, tmp_path)
        assert kept == [b"a", big, *after]
        assert reported == [(start, start + len(junk))]


def test_reading_tells_the_log_and_stays_silent_without_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.rec"
    with caplog.at_level(logging.WARNING, logger="recordio_bridge"):
        path.write_bytes(rec(*GOOD))
        list(rb.read(path, payload="raw", on_bad_record="skip"))
        assert caplog.records == []
        path.write_bytes(rec(GOOD[0]) + bytes(8) + rec(*GOOD[1:]))
        list(rb.read(path, payload="raw", on_bad_record="skip"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{path}: left out bytes 20 to 28" in record.getMessage()


def test_an_image_record_without_its_header_is_left_out_alone(tmp_path: Path) -> None:
    good = [image_payload(b"\xff\xd8\xff" + bytes([i]), float(i), id=i) for i in range(3)]
    path = tmp_path / "x.rec"
    path.write_bytes(rec(good[0], b"too short", good[1], image_payload(b"x", flag=9), good[2]))
    sizes = [8 + len(payload) + -len(payload) % 4 for payload in (good[0], b"too short", good[1], image_payload(b"x"))]
    ends = np.cumsum(sizes).tolist()
    kept, reported = skip(path, tmp_path, "image")
    assert kept == [payload[24:] for payload in good]
    # up to the payload's end or that of its padding: those bytes belong to nobody else
    assert [start for start, _ in reported] == [ends[0], ends[2]]
    assert [stop + -stop % 4 for _, stop in reported] == [ends[1], ends[3]]


def test_an_example_that_does_not_parse_is_left_out_alone(tmp_path: Path) -> None:
    one = bytes.fromhex("0a0c0a0a0a017812051a030a0105")
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*[one] * 20, b"\xff" * 14, *[one] * 3))
    batches = list(rb.read(path, on_bad_record="skip"))
    assert [value for batch in batches for value in batch["x"].tolist()] == [5] * 23
    manifest = rb.convert(path, tmp_path / "out.tfrecord", on_bad_record="skip")
    assert manifest.num_rows == 23
    (skipped,) = manifest.skipped
    assert skipped.start == 20 * 24
    assert skipped.stop in (20 * 24 + 22, 20 * 24 + 24)


def test_an_unknown_policy_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*GOOD))
    with pytest.raises(ValueError, match="ignore"):
        list(rb.read(path, payload="raw", on_bad_record="ignore"))


# ---- flags of before August 2016 ----

SIGNATURES = {
    "JPEG": b"\xff\xd8\xff\xe0" + b"j" * 60,
    "PNG": b"\x89PNG\r\n\x1a\n" + b"p" * 60,
    "WebP": b"RIFF" + struct.pack("<I", 60) + b"WEBP" + b"w" * 52,
    "GIF": b"GIF89a" + b"g" * 60,
    "BMP": b"BM" + struct.pack("<I", 66) + b"b" * 60,
    "npy": b"\x93NUMPY\x01\x00" + b"n" * 60,
}


def only_row(path: Path, payload: bytes) -> tuple[list[float], bytes]:
    path.write_bytes(rec(payload))
    (row,) = (row for batch in rb.read(path, payload="image") for row in batch.rows())
    return row["label"].tolist(), row["image"]


@pytest.mark.parametrize("image", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("flag", [1, 5, 15, 16, 17, 1000, 2**32 - 1])
def test_a_flag_that_no_image_follows_is_void_where_one_stands_at_byte_24(
    tmp_path: Path, image: bytes, flag: int
) -> None:
    assert only_row(tmp_path / "x.rec", image_payload(image, 3.0, flag=flag)) == ([3.0], image)


@pytest.mark.parametrize("image", SIGNATURES.values(), ids=SIGNATURES)
def test_a_flag_counts_labels_where_an_image_follows_them(tmp_path: Path, image: bytes) -> None:
    assert only_row(tmp_path / "x.rec", image_payload(image, labels=(1.0, 2.0, 3.0))) == ([1.0, 2.0, 3.0], image)


def test_labels_that_look_like_an_image_are_labels_where_an_image_follows_them(tmp_path: Path) -> None:
    label = struct.unpack("<f", b"\xff\xd8\xff\xe0")[0]
    payload = image_payload(SIGNATURES["PNG"], labels=(label, 2.0, 3.0))
    assert only_row(tmp_path / "x.rec", payload) == ([label, 2.0, 3.0], SIGNATURES["PNG"])


def test_a_flag_counts_labels_where_no_image_is_to_be_seen(tmp_path: Path) -> None:
    assert only_row(tmp_path / "x.rec", image_payload(b"something else", labels=(1.0, 2.0))) == (
        [1.0, 2.0],
        b"something else",
    )
    assert only_row(tmp_path / "x.rec", image_payload(b"", labels=(1.0, 2.0))) == ([1.0, 2.0], b"")


@pytest.mark.parametrize("flag", [1, 2, 2**29, 2**30, 2**31, 2**32 - 1])
def test_labels_that_overrun_the_record_are_an_error(tmp_path: Path, flag: int) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(image_payload(b"fine"), image_payload(b"abc", flag=flag)))
    with pytest.raises(FormatError, match=str(4 * flag)) as caught:
        list(rb.read(path, payload="image"))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 1, 36)


def test_the_decision_is_made_for_each_record_alone(tmp_path: Path) -> None:
    jpeg = SIGNATURES["JPEG"]
    path = tmp_path / "x.rec"
    path.write_bytes(
        rec(image_payload(jpeg, 1.0, flag=2), image_payload(jpeg, labels=(4.0, 5.0)), image_payload(jpeg, 2.0))
    )
    rows = [row for batch in rb.read(path) for row in batch.rows()]
    assert [(row["label"].tolist(), row["image"]) for row in rows] == [([1.0], jpeg), ([4.0, 5.0], jpeg), ([2.0], jpeg)]
    schema = Schema(Field("id", "uint64"), Field("label", "float32", (None,)), Field("image", "bytes"))
    assert rb.inspect(path).schema == schema
    with rb.open(path) as file:
        assert file[0]["label"].tolist() == [1.0]


def test_an_example_whose_feature_changes_its_kind_leaves_no_trace_of_the_records_beside_it(tmp_path: Path) -> None:
    def example(**features: list) -> bytes:
        batch = rb.Batch.of({name: [value] for name, value in features.items()})
        return bytes(encode(batch)[0])

    path = tmp_path / "x.rec"
    path.write_bytes(rec(example(a=1, b=2), example(b=3), example(a=4, b=b"other")))
    batches = list(rb.read(path, on_bad_record="skip"))
    assert [list(row["a"]) for batch in batches for row in batch.rows()] == [[1], []]
