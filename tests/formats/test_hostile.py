"""Small files, cut at every byte and with every bit flipped: an error or equal data, never a wrong record.

TFRecord has checksums over all of its bytes, so there a read gives the rows of the original or an error of ours.
RecordIO has none, so there is a rule for what one flipped bit may change; it stands above its tests.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import BridgeError, Field, FormatError, Schema, TruncatedError
from tests.formats.frames import MAGIC, image_payload, rec, rec_parts, tfr, tfr_heads, unrec
from tests.native.messages import chunk, entry, example

pytestmark = pytest.mark.one_lane

JPEG = b"\xff\xd8\xff\xe0"


def feature(label: int) -> bytes:
    return example(entry(b"image", chunk(1, chunk(1, JPEG))), entry(b"label", chunk(3, chunk(1, bytes([label])))))


RAW_PAYLOADS = [b"first", b"", b"wxyz" + MAGIC + b"tail!", b"abc", b"the last one"]
IMAGE_PAYLOADS = [
    image_payload(JPEG, 1.0, id=3),
    image_payload(JPEG, id=MAGIC[0], labels=(4.0, 5.0)),
    image_payload(b"", 2.0),
]
EXAMPLES = [feature(1), feature(2), feature(3)]


def rows(path: Path, **options: object) -> list[dict[str, object]]:
    """Every row as plain values."""
    found = []
    for batch in rb.read(path, batch_rows=2, **options):
        found += [
            {n: v if isinstance(v, (bytes, list)) else v.tobytes() for n, v in row.items()} for row in batch.rows()
        ]
    return found


def outcome(path: Path, data: bytes, **options: object) -> list[dict[str, object]] | BridgeError:
    """The rows, or an error of ours that names the file; anything else fails the test that asks."""
    path.write_bytes(data)
    try:
        return rows(path, **options)
    except BridgeError as err:
        error = err
    assert getattr(error, "path", str(path)) == str(path)
    assert str(path) in str(error)
    return error


def flips(data: bytes) -> list[tuple[int, bytes]]:
    """The data with each of its bits flipped, and the byte where."""
    flipped = []
    for at in range(len(data)):
        for bit in range(8):
            copy = bytearray(data)
            copy[at] ^= 1 << bit
            flipped.append((at, bytes(copy)))
    return flipped


# ---- TFRecord ----

TFRECORDS = {"raw": (RAW_PAYLOADS, {"payload": "raw"}), "example": (EXAMPLES, {})}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "GZIP": lambda data: gzip.compress(data, mtime=0),
    "ZLIB": zlib.compress,
}


@pytest.mark.parametrize("kind", TFRECORDS)
@pytest.mark.parametrize("packer", PACKERS)
def test_a_cut_tfrecord_is_an_error_or_ends_between_records(tmp_path: Path, kind: str, packer: str) -> None:
    payloads, options = TFRECORDS[kind]
    path = tmp_path / "x.tfrecord"
    data = PACKERS[packer](tfr(*payloads))
    truth = outcome(path, data, **options)
    assert len(truth) == len(payloads)
    heads = tfr_heads(payloads)
    for size in range(len(data)):
        result = outcome(path, data[:size], **options)
        if size == 0 or (packer == "plain" and size in heads):
            assert result == truth[: heads.index(size)]
        else:
            assert isinstance(result, FormatError)
            assert packer != "plain" or type(result) is TruncatedError


@pytest.mark.parametrize("kind", TFRECORDS)
@pytest.mark.parametrize("packer", PACKERS)
def test_a_flipped_bit_in_a_tfrecord_is_an_error_or_changes_nothing(tmp_path: Path, kind: str, packer: str) -> None:
    """In a compressed file a bit may mean nothing: of gzip, time, flags and system; and those behind the last code."""
    payloads, options = TFRECORDS[kind]
    path = tmp_path / "x.tfrecord"
    data = PACKERS[packer](tfr(*payloads))
    truth = outcome(path, data, **options)
    meaningless = 0
    for _, damaged in flips(data):
        result = outcome(path, damaged, **options)
        assert isinstance(result, FormatError) or result == truth
        meaningless += result == truth
    assert meaningless <= {"plain": 0, "ZLIB": 8, "GZIP": 64}[packer]


@pytest.mark.parametrize("kind", TFRECORDS)
@pytest.mark.parametrize("packer", PACKERS)
def test_a_flipped_bit_is_an_error_of_a_look_or_it_sees_the_same(tmp_path: Path, kind: str, packer: str) -> None:
    """A look does not read the payloads of raw records, so of these no bit changes what it sees."""
    payloads, options = TFRECORDS[kind]
    path = tmp_path / "x.tfrecord"
    data = PACKERS[packer](tfr(*payloads))
    path.write_bytes(data)
    truth = rb.inspect(path, **options)
    for _, damaged in flips(data):
        path.write_bytes(damaged)
        try:
            seen = rb.inspect(path, **options)
        except FormatError as err:
            assert str(path) in str(err)  # noqa: PT017  # where there is one
        else:
            assert (seen.schema, seen.num_rows) == (truth.schema, truth.num_rows)


@pytest.mark.parametrize("kind", TFRECORDS)
def test_schemas_and_random_access_are_as_strict(tmp_path: Path, kind: str) -> None:
    payloads, options = TFRECORDS[kind]
    path = tmp_path / "x.tfrecord"
    data = tfr(*payloads)
    truth = outcome(path, data, **options)
    for _, damaged in flips(data):
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            rb.open(path, **options)[: len(truth)]
    for size in set(range(len(data))) - set(tfr_heads(payloads)):
        path.write_bytes(data[:size])
        with pytest.raises(TruncatedError):
            rb.inspect(path, **options)


_LEFT_OUT = re.compile(r"left out bytes (\d+) to (\d+): ")


def skipping(path: Path, data: bytes, caplog: pytest.LogCaptureFixture, **options: object) -> tuple[list, list]:
    """The rows that skip keeps, and the ranges that it tells."""
    path.write_bytes(data)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="recordio_bridge"):
        kept = rows(path, on_bad_record="skip", **options)
    ranges = [_LEFT_OUT.search(record.getMessage()) for record in caplog.records]
    return kept, [(int(found[1]), int(found[2])) for found in ranges]


def outside(data: bytes, ranges: list[tuple[int, int]]) -> bytes:
    """What is left of a file when the ranges are cut out; they must be in order and apart."""
    assert ranges == sorted(ranges)
    assert all(start < stop <= len(data) for start, stop in ranges)
    assert all(stop < start for (_, stop), (start, _) in pairwise(ranges))
    edges = [0, *(edge for pair in ranges for edge in pair), len(data)]
    return b"".join(data[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True))


def test_skip_on_a_damaged_tfrecord_leaves_out_the_damaged_record_and_reports_its_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.tfrecord"
    data, heads = tfr(*RAW_PAYLOADS), tfr_heads(RAW_PAYLOADS)
    for at, damaged in flips(data):
        kept, ranges = skipping(path, damaged, caplog, payload="raw")
        hit = max(row for row, head in enumerate(heads) if head <= at)
        assert [row["record"] for row in kept] == RAW_PAYLOADS[:hit] + RAW_PAYLOADS[hit + 1 :]
        assert ranges == [(heads[hit], heads[hit + 1])]
        assert outside(damaged, ranges) == tfr(*(row["record"] for row in kept))


def test_skip_on_a_cut_tfrecord_keeps_the_records_before_the_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.tfrecord"
    data, heads = tfr(*RAW_PAYLOADS), tfr_heads(RAW_PAYLOADS)
    for size in range(len(data)):
        kept, ranges = skipping(path, data[:size], caplog, payload="raw")
        hit = max(row for row, head in enumerate(heads) if head <= size)
        assert [row["record"] for row in kept] == RAW_PAYLOADS[:hit]
        assert ranges == ([] if size in heads else [(heads[hit], size)])


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_skip_on_a_tfrecord_that_lost_bytes_keeps_all_records_beside_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: int
) -> None:
    path = tmp_path / "x.tfrecord"
    data, heads = tfr(*RAW_PAYLOADS), tfr_heads(RAW_PAYLOADS)
    for at in range(len(data) - lost):
        damaged = data[:at] + data[at + lost :]
        kept, ranges = skipping(path, damaged, caplog, payload="raw")
        whole = [
            p
            for p, start, stop in zip(RAW_PAYLOADS, heads, heads[1:], strict=False)
            if stop <= at or at + lost <= start
        ]
        assert [row["record"] for row in kept] == whole
        assert outside(damaged, ranges) == tfr(*whole)


def test_skip_on_compressed_damage_gives_rows_of_the_original_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged reference backwards may repeat whole records, with their checksums, before zlib meets the damage."""
    path = tmp_path / "x.tfrecord"
    data = gzip.compress(tfr(*RAW_PAYLOADS), mtime=0)
    for damaged in [*(damaged for _, damaged in flips(data)), *(data[:size] for size in range(1, len(data)))]:
        path.write_bytes(damaged)
        caplog.clear()
        try:
            kept = [row["record"] for row in rows(path, on_bad_record="skip", payload="raw")]
        except FormatError:
            continue
        assert set(kept) <= set(RAW_PAYLOADS)
        assert kept == RAW_PAYLOADS or caplog.records


def test_skip_says_from_where_on_a_compressed_tfrecord_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage that is met between records was told as that of row None."""
    path = tmp_path / "x.tfrecord"
    first, second = (tfr(b"x" * 100), tfr(b"y" * 100))
    packer = zlib.compressobj(wbits=31)
    whole = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(whole + b"\xff" + packer.compress(second) + packer.flush())
    assert [row["record"] for row in rows(path, on_bad_record="skip", payload="raw")] == [b"x" * 100]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{path}: left out all behind byte {len(first)}: at compressed byte {len(whole)}: ")


# ---- RecordIO ----
#
# What one flipped bit may do, where there is no checksum. A part is 4 bytes of magic, 4 of flag and length, a payload,
# and its padding.
#
# magic    the part is no part any more: always an error.
# flag     the sequence of parts is illegal, an error; were it legal by chance, only records of these parts may change.
# length   an error; or, when the padded size stays the same, this one record ends up to 3 bytes earlier or later, in
#          its own padding; or, when the length reaches exactly to a later part, this one record takes in the parts
#          between. Records before it, and those from where it ends, are equal.
# payload  this one record differs, in this one bit; or, where it is decoded, there is an error about it.
# padding  nothing differs.


def rec_outcome_is_allowed(file: bytes, at: int, truth: list[bytes], result: list[bytes]) -> bool:
    """The rule above for raw records: truth and result are payloads, at the byte with the flipped bit."""
    parts = list(rec_parts(file))
    hit = next(part for part in parts if part.start <= at < part.stop)
    before, record = truth[: hit.record], hit.record
    if result[:record] != before:
        return False
    if at >= hit.pad:
        return result == truth
    if at >= hit.payload:
        changed = result[record] if len(result) == len(truth) else b""
        same_rest = result[record + 1 :] == truth[record + 1 :]
        differing = [a ^ b for a, b in zip(changed, truth[record], strict=False) if a != b]
        return (
            same_rest and len(changed) == len(truth[record]) and len(differing) == 1 and differing[0].bit_count() == 1
        )
    if at < hit.start + 4:
        return False
    # In the word of flag and length: records behind those taken in are equal, so the result ends as the truth does
    rest = len(result) - record - 1
    if rest < 0 or result[record + 1 :] != truth[len(truth) - rest :]:
        return False
    if rest == len(truth) - record - 1:  # nothing was taken in: only the end within the padding moved
        return abs(len(result[record]) - len(truth[record])) <= 3
    return rest < len(truth) - record - 1


REC_CASES = {"raw": RAW_PAYLOADS, "image": IMAGE_PAYLOADS}


@pytest.mark.parametrize("payloads", REC_CASES.values(), ids=REC_CASES)
def test_a_cut_rec_is_truncated_or_ends_between_records(tmp_path: Path, payloads: list[bytes]) -> None:
    path = tmp_path / "x.rec"
    data = rec(*payloads)
    heads = {len(rec(*payloads[:count])): count for count in range(len(payloads) + 1)}
    for size in range(len(data)):
        result = outcome(path, data[:size], payload="raw")
        if size in heads:
            assert [row["record"] for row in result] == payloads[: heads[size]]
        else:
            assert type(result) is TruncatedError
            assert result.record == max(count for head, count in heads.items() if head < size)


@pytest.mark.parametrize("payloads", REC_CASES.values(), ids=REC_CASES)
def test_a_flipped_bit_in_a_rec_changes_at_most_its_own_record(tmp_path: Path, payloads: list[bytes]) -> None:
    path = tmp_path / "x.rec"
    data = rec(*payloads)
    errors = 0
    for at, damaged in flips(data):
        result = outcome(path, damaged, payload="raw")
        if isinstance(result, list):
            assert rec_outcome_is_allowed(data, at, payloads, [row["record"] for row in result]), at
        else:
            assert isinstance(result, FormatError)
            errors += 1
        magic = any(part.start <= at < part.start + 4 for part in rec_parts(data))
        assert not magic or isinstance(result, FormatError)
    assert errors > len(data)


def test_a_flipped_bit_in_an_image_record_changes_at_most_its_own_row(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    data = rec(*IMAGE_PAYLOADS)
    truth = outcome(path, data, payload="image", fields=["id", "label", "image"])
    parts = list(rec_parts(data))
    for at, damaged in flips(data):
        hit = next(part for part in parts if part.start <= at < part.stop)
        result = outcome(path, damaged, payload="image", fields=["id", "label", "image"])
        if at >= hit.pad:
            assert result == truth
        elif at >= hit.payload and isinstance(result, list):
            assert len(result) == len(truth)
            assert [row for row in range(len(truth)) if result[row] != truth[row]] in ([hit.record], [])  # [] for id2
        elif isinstance(result, list):
            assert result[: hit.record] == truth[: hit.record]


@pytest.mark.parametrize("payloads", REC_CASES.values(), ids=REC_CASES)
def test_auto_on_a_damaged_rec_is_an_error_or_rows(tmp_path: Path, payloads: list[bytes]) -> None:
    """Whatever the first records look like now: no exception but ours, from any function."""
    path = tmp_path / "x.rec"
    data = rec(*payloads)
    for damaged in [*(damaged for _, damaged in flips(data)), *(data[:size] for size in range(len(data)))]:
        result = outcome(path, damaged)
        report = rb.verify(path)
        assert report.ok or not isinstance(result, list)
        assert not report.ok or isinstance(outcome(path, damaged, payload="raw"), list)  # all that is sure of them
        assert all(str(path) in str(problem) for problem in report.problems)


def test_a_flipped_bit_in_a_rec_of_examples_changes_at_most_its_own_row(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    data = rec(*EXAMPLES)
    options = {
        "payload": "example",
        "schema": Schema(Field("image", "bytes", (None,)), Field("label", "int64", (None,))),
    }
    truth = outcome(path, data, **options)
    parts = list(rec_parts(data))
    for at, damaged in flips(data):
        result = outcome(path, damaged, **options)
        hit = next(part for part in parts if part.start <= at < part.stop)
        if at >= hit.pad:
            assert result == truth
        elif isinstance(result, list) and at >= hit.payload:
            assert len(result) == len(truth)
            assert all(result[row] == truth[row] for row in range(len(truth)) if row != hit.record)


def test_skip_on_a_damaged_rec_keeps_all_that_is_whole_and_accounts_for_every_byte(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The damaged record itself may be kept, as in the rule above: then nothing shows that it is damaged."""
    path = tmp_path / "x.rec"
    data = rec(*RAW_PAYLOADS)
    heads = [len(rec(*RAW_PAYLOADS[:count])) for count in range(len(RAW_PAYLOADS) + 1)]
    for at, damaged in [*flips(data), *((size, data[:size]) for size in range(len(data)))]:
        kept, ranges = skipping(path, damaged, caplog, payload="raw")
        hit = max(row for row, head in enumerate(heads) if head <= at)
        payloads = [row["record"] for row in kept]
        assert payloads[:hit] == RAW_PAYLOADS[:hit]
        assert unrec(outside(damaged, ranges)) == payloads
        others = [head for row, head in enumerate(heads) if row != hit]
        assert not any(start <= head < stop for start, stop in ranges for head in others)


@pytest.mark.parametrize("lost", [4, 8])
def test_skip_on_a_rec_that_lost_bytes_keeps_the_records_beside_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: int
) -> None:
    """Four bytes at a time, as everything behind stays on its 4-byte boundary."""
    path = tmp_path / "x.rec"
    data = rec(*RAW_PAYLOADS)
    heads = [len(rec(*RAW_PAYLOADS[:count])) for count in range(len(RAW_PAYLOADS) + 1)]
    for at in range(len(data) - lost):
        damaged = data[:at] + data[at + lost :]
        kept, ranges = skipping(path, damaged, caplog, payload="raw")
        payloads = [row["record"] for row in kept]
        before = [payload for payload, stop in zip(RAW_PAYLOADS, heads[1:], strict=True) if stop <= at]
        assert payloads[: len(before)] == before
        assert unrec(outside(damaged, ranges)) == payloads


# ---- .idx ----


def test_a_damaged_index_is_noted_or_gives_keys_of_the_right_records(tmp_path: Path) -> None:
    """A key is text without a checksum, so a flip may change it. An offset is a record's, or the index is void."""
    path, index = tmp_path / "x.rec", tmp_path / "x.idx"
    path.write_bytes(rec(*RAW_PAYLOADS))
    heads = [len(rec(*RAW_PAYLOADS[:count])) for count in range(len(RAW_PAYLOADS))]
    lines = [b"k%d\t%d\n" % (number, head) for number, head in enumerate(heads)]
    data = b"".join(lines)
    cuts = [(size, data[:size]) for size in range(len(data))]
    for _, damaged in [*flips(data), *cuts]:
        index.write_bytes(damaged)
        summary = rb.inspect(path, payload="raw")
        found = rows(path, payload="raw")
        assert [row["record"] for row in found] == RAW_PAYLOADS
        if "key" not in summary.schema:
            assert any("index" in note for note in summary.notes)
            continue
        told = {}
        for line in damaged.removesuffix(b"\n").split(b"\n"):
            key, offset = line.split(b"\t")[:2]
            told[int(offset)] = key
        assert [row["key"] for row in found] == [told[head] for head in heads]


def test_a_cut_index_is_void_unless_only_its_last_newline_is_gone(tmp_path: Path) -> None:
    path, index = tmp_path / "x.rec", tmp_path / "x.idx"
    path.write_bytes(rec(*RAW_PAYLOADS))
    rb.write(path, {"record": RAW_PAYLOADS, "key": [b"a", b"b", b"c", b"d", b"e"]}, overwrite=True)
    Path(f"{path}.schema.json").unlink()
    data = index.read_bytes()
    for size in range(len(data)):
        index.write_bytes(data[:size])
        sound = "key" in rb.inspect(path, payload="raw").schema
        assert sound == (size == len(data) - 1)
        assert rb.verify(path).ok == sound
