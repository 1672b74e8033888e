"""Parts of files, as a migration reads them: what they say of their rows, and the numbers of these in the file."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import ChecksumError, FormatError, Schema, SchemaError
from recordio_bridge.errors import LossyError
from recordio_bridge.formats import get_format
from recordio_bridge.formats.base import Extent, Format, Request, Skipped, Summary
from recordio_bridge.formats.numbering import Numbering
from recordio_bridge.formats.payloads import RAW_SCHEMA
from recordio_bridge.formats.recordio import IMAGE_SCHEMA
from tests.formats.frames import MAGIC, part, rec, rec_parts, tfr, tfr_heads
from tests.samples import image_of, image_payload, write_rec

REC, TFR = get_format("recordio"), get_format("tfrecord")
RAW, RAW_TFR = REC.options(payload="raw"), TFR.options(payload="raw", compression="")
IMAGES = REC.options(payload="image")


def rows(format: Format, extent: Extent, options: object, skipped: list[Skipped] | None = None) -> list[bytes]:
    """The raw records of an extent; where a list for it is given, what is damaged is skipped."""
    how = {} if skipped is None else {"on_bad_record": "skip", "on_skip": skipped.append}
    return [
        row["record"] for batch in format.read(extent, options, Request(RAW_SCHEMA, 4, **how)) for row in batch.rows()
    ]


# ---- TFRecord ----

PAYLOADS = [b"%d" % n * (n % 50) for n in range(100)]


def check_tfrecord(path: Path, nbytes: int) -> list[Extent]:
    """That the extents give what the whole file gives, damage skipped."""
    extents = TFR.split(str(path), RAW_TFR, nbytes)
    assert [extent.start for extent in extents] == [0, *(extent.stop for extent in extents[:-1])]
    skipped: list[Skipped] = []
    of_parts: list[Skipped] = []
    whole = rows(TFR, Extent(str(path)), RAW_TFR, skipped)
    assert [row for extent in extents for row in rows(TFR, extent, RAW_TFR, of_parts)] == whole
    assert of_parts == skipped
    return extents


@pytest.mark.one_lane
@pytest.mark.parametrize("nbytes", [1, 100, 1000, 10**6])
def test_damage_anywhere_costs_the_extents_of_a_tfrecord_what_it_costs_the_whole(tmp_path: Path, nbytes: int) -> None:
    path = tmp_path / "x.tfrecord"
    file = tfr(*PAYLOADS[:30])
    for at in range(len(file)):
        damaged = bytearray(file)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        check_tfrecord(path, nbytes)
    for size in range(0, len(file), 7):
        path.write_bytes(file[:size])
        check_tfrecord(path, nbytes)


def test_heads_before_damage_are_cut_at(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(*PAYLOADS[:60]) + b"damage" * 9 + tfr(*PAYLOADS[60:]))
    heads = tfr_heads(PAYLOADS[:60])
    assert [extent.start for extent in check_tfrecord(path, 1)] == heads[:-1]


def test_a_tfrecord_in_a_record_is_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(b"one", tfr(*PAYLOADS), b"two"))
    assert len(check_tfrecord(path, 1)) == 3


def index(path: Path, payloads: list[bytes]) -> None:
    heads = tfr_heads(payloads)
    path.write_text("".join(f"{a} {b - a}\n" for a, b in pairwise(heads)))


def test_a_sound_index_spares_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(*PAYLOADS))
    expected = check_tfrecord(path, 300)
    index(tmp_path / "x.tfindex", PAYLOADS)
    monkeypatch.setattr(type(TFR), "heads", lambda *args: pytest.fail("walked"))
    assert TFR.split(str(path), RAW_TFR, 300) == expected


@pytest.mark.parametrize("text", ["", "0 20", "no numbers\n", "0 99\n99 1\n", "9" * 30 + " 1\n", "1", "-16 16\n0 16\n"])
def test_an_index_of_other_bytes_is_not_believed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(*PAYLOADS))
    expected = check_tfrecord(path, 300)
    (tmp_path / "x.tfindex").write_text(text)
    assert check_tfrecord(path, 300) == expected
    index(tmp_path / "x.tfindex", [*PAYLOADS[1:], PAYLOADS[0]])
    assert check_tfrecord(path, 300) == expected


@pytest.mark.parametrize("nbytes", [1, 300, 10**6])
@pytest.mark.parametrize(
    "lines",
    [
        lambda size: [0, 30, 30, 2**63 - 31, 2**63 - 1, 2**62, -(2**62) - 1, 2**62 + 1 + size],  # sums that wrap
        lambda size: [0, 2**63 - 1, 2**63 - 1, size - 2**63 + 1],
        lambda size: [0, size, size, 16],
        lambda size: [0, 16, 16, 2**62, 2**62 + 16, size - 2**62 - 16],
        lambda size: [-16, 16, 0, size],
        lambda size: [16, size - 16],
    ],
)
def test_an_index_of_places_outside_the_file_is_not_believed(tmp_path: Path, lines, nbytes: int) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(*PAYLOADS))
    expected = check_tfrecord(path, nbytes)
    numbers = lines(path.stat().st_size)
    (tmp_path / "x.tfindex").write_text("".join(f"{a} {b}\n" for a, b in zip(numbers[::2], numbers[1::2], strict=True)))
    assert check_tfrecord(path, nbytes) == expected


def test_an_index_into_a_record_is_an_error_and_never_rows(tmp_path: Path) -> None:
    """Its lines fill the file, and heads lie where it says: inside of a record that is a TFRecord."""
    inner = [b"a" * 40] * 8
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(b"one", tfr(*inner)))
    sizes = [19, 12 + 56, *[56] * 6, 56 + 4]  # with head and checksum of the outer record
    heads = np.cumsum([0, *sizes])
    (tmp_path / "x.tfindex").write_text("".join(f"{a} {b - a}\n" for a, b in pairwise(heads)))
    extents = TFR.split(str(path), RAW_TFR, 150)
    assert len(extents) > 1
    for skipped in (None, []):
        with pytest.raises(FormatError, match="record 1 goes beyond byte"):
            rows(TFR, extents[0], RAW_TFR, skipped)


def test_a_compressed_file_is_one_extent(tmp_path: Path) -> None:
    batch = rb.Batch({"record": rb.Ragged.of(PAYLOADS)}, RAW_SCHEMA)
    rb.write(tmp_path / "x.tfrecord.gz", [batch], payload="raw")
    options = replace(RAW_TFR, compression="GZIP")
    path = str(tmp_path / "x.tfrecord.gz")
    assert TFR.split(path, options, 10) == [Extent(path)]
    assert [TFR.number_at(path, options, at) for at in tfr_heads(PAYLOADS)] == list(range(101))


# ---- files of arrays ----


def test_a_npz_is_one_extent_as_its_checksum_is_over_all_rows(tmp_path: Path) -> None:
    format = get_format("npz")
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(1000))
    np.savez(tmp_path / "y.npz", a=np.arange(1000))
    for path in (str(tmp_path / name) for name in ("x.npz", "y.npz")):
        assert format.split(path, format.resolve(path, format.options()), 800) == [Extent(path, 0, 1000)]


def test_a_npy_is_cut_by_rows(tmp_path: Path) -> None:
    format, path = get_format("npy"), str(tmp_path / "x.npy")
    np.save(path, np.arange(1000))
    parts = format.split(path, format.resolve(path, format.options()), 800)
    assert [(part.start, part.stop, part.first_record) for part in parts] == [
        (n, n + 100, n) for n in range(0, 1000, 100)
    ]
    assert format.number_at(path, format.options(), 300) == 300


def test_the_part_with_the_last_row_compares_the_checksum_of_a_npz(tmp_path: Path) -> None:
    format = get_format("npz")
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(1000))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.infolist()[0].header_offset + 2000] ^= 1
    path.write_bytes(data)
    options = format.resolve(str(path), format.options())
    parts = format.split(str(path), options, 800)
    schema = Schema(rb.Field("a", "int64"))
    for part_ in parts[:-1]:
        list(format.read(part_, options, Request(schema)))
    with pytest.raises(ChecksumError):
        list(format.read(parts[-1], options, Request(schema)))


# ---- numbers in the file ----


@pytest.mark.parametrize(
    ("format", "options", "frame"), [(REC, RAW, rec), (TFR, RAW_TFR, tfr)], ids=["rec", "tfrecord"]
)
def test_number_at_counts_the_records_before_a_byte(
    tmp_path: Path, format: Format, options: object, frame: object
) -> None:
    path = tmp_path / "x"
    payloads = [*PAYLOADS[:20], MAGIC * 9, *PAYLOADS[20:30]]
    path.write_bytes(frame(*payloads))
    heads = np.cumsum([0, *(len(frame(payload)) for payload in payloads)])
    for byte in range(heads[-1] + 1):
        assert format.number_at(str(path), options, byte) == np.searchsorted(heads[:-1], byte)


@pytest.mark.parametrize(
    ("format", "options", "frame"), [(REC, RAW, rec), (TFR, RAW_TFR, tfr)], ids=["rec", "tfrecord"]
)
def test_number_at_counts_damage_as_reading_does(
    tmp_path: Path, format: Format, options: object, frame: object
) -> None:
    path = tmp_path / "x"
    sound = frame(*PAYLOADS[:30])
    rng = np.random.default_rng(3)
    for _ in range(150):
        damaged = bytearray(sound)
        for at in rng.integers(0, len(sound), 3):
            damaged[at] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        skipped: list[Skipped] = []
        request = Request(RAW_SCHEMA, None, "skip", skipped.append)
        places = [
            place
            for batch in format.read(Extent(str(path)), options, request)
            for place in (batch.places[row] for row in range(len(batch)))
        ]
        for place in places:
            assert format.number_at(str(path), options, place.offset) == place.record
        for each in skipped:
            assert format.number_at(str(path), options, each.start) == each.record


def numbered_rec(tmp_path: Path) -> tuple[Path, list[Extent], list[int]]:
    """A .rec of 40 records, its extents, and where its records begin."""
    path = tmp_path / "record 3 of x.rec"
    path.write_bytes(rec(*[b"%03d" % n * 20 for n in range(40)]))
    heads = [found.start for found in rec_parts(path.read_bytes())]
    return path, REC.split(str(path), RAW, heads[10]), heads


def test_errors_get_the_number_in_the_file_in_the_attribute_and_the_sentence(tmp_path: Path) -> None:
    path, extents, heads = numbered_rec(tmp_path)
    data = bytearray(path.read_bytes())
    data[heads[13]] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        rows(REC, extents[1], RAW)
    assert (caught.value.record, caught.value.offset) == (3, heads[13])
    told = Numbering(REC, extents[1], RAW).error(caught.value)
    assert type(told) is FormatError
    assert (told.path, told.record, told.offset) == (str(path), 13, heads[13])
    assert str(told).startswith(f"{path}: record 13 at byte {heads[13]}: found 0b23d7ce, expected the magic")


def test_reports_of_what_was_left_out_get_it_too_and_count_damage_before(tmp_path: Path) -> None:
    path, extents, heads = numbered_rec(tmp_path)
    data = bytearray(path.read_bytes())
    for at in (heads[2], heads[13], heads[14], heads[17]):
        data[at] ^= 1
    path.write_bytes(data)
    whole: list[Skipped] = []
    rows(REC, Extent(str(path)), RAW, whole)
    assert [each.record for each in whole] == [2, 13, 16]
    told: list[Skipped] = []
    for extent in extents:
        found: list[Skipped] = []
        rows(REC, extent, RAW, found)
        told += map(Numbering(REC, extent, RAW).skipped, found)
    assert told == whole


def test_errors_about_columns_keep_their_kind_and_field(tmp_path: Path) -> None:
    path = write_rec(tmp_path / "x.rec", [image_payload(n, float(n), image_of(n)) for n in range(40)])
    extent = REC.split(str(path), IMAGES, 400)[1]
    number = REC.number_at(str(path), IMAGES, extent.start)
    error = LossyError(
        f"{path}: record 5 at byte {extent.start + 99}: field 'label': record 5", field="label", row=5, path=str(path),
        record=5, offset=extent.start + 99,
    )  # fmt: skip
    told = Numbering(REC, extent, IMAGES).error(error)
    assert (type(told), told.field, told.row, told.record) == (LossyError, "label", number + 5, number + 5)
    assert str(told) == f"{path}: record {number + 5} at byte {extent.start + 99}: field 'label': record 5"


def test_what_is_numbered_already_or_of_another_place_stays_as_it_is(tmp_path: Path) -> None:
    path, extents, _ = numbered_rec(tmp_path)
    inside, error = extents[1].start, FormatError
    ours = error("x", path=str(path), record=1, offset=inside)
    assert Numbering(REC, extents[0], RAW).error(ours) is ours
    assert Numbering(REC, replace(extents[1], first_record=10), RAW).error(ours) is ours
    for other in (
        error("x"),
        error("x", path=str(path), record=1),
        error("x", path="y", record=1, offset=inside),
        error("x", path=str(path), record=1, offset=0),
        SchemaError("x", field="label", row=3),
    ):
        assert Numbering(REC, extents[1], RAW).error(other) is other
    stretch = Skipped(str(path), inside, inside, "the end", None)
    assert Numbering(REC, extents[1], RAW).skipped(stretch) is stretch


# ---- what a part says of itself ----


def summaries(path: Path, options: object, schema: Schema, nbytes: int, **request: object) -> list[Summary]:
    """What each part says of itself."""
    told: list[Summary] = []
    for extent in REC.split(str(path), options, nbytes):
        list(REC.read(extent, options, Request(schema, None, on_summary=told.append, **request)))
    return told


def images(count: int = 60, **second: int) -> list[bytes]:
    return [image_payload(n, 1.0, image_of(n) * (n % 5 > 0), second.get(f"n{n}", 0)) for n in range(count)]


@pytest.mark.parametrize("keys", [None, "ids", "own", "text"])
def test_parts_say_what_inspect_says_of_the_whole(tmp_path: Path, keys: str | None) -> None:
    known = {None: None, "ids": range(60), "own": range(100, 160), "text": [f"key {n}" for n in range(60)]}[keys]
    path = write_rec(tmp_path / "x.rec", images(), known)
    whole = REC.inspect(str(path), IMAGES, Request(Schema()))
    told = summaries(path, IMAGES, IMAGE_SCHEMA, 500)
    assert len(told) > 3
    assert {each.schema for each in told} == {whole.schema}
    assert ("key" in whole.schema) == (keys in ("own", "text"))
    assert sum(each.num_rows for each in told) == whole.num_rows == 60
    assert sum(each.nbytes for each in told) == whole.nbytes
    assert sum(each.empty["image"] for each in told) == whole.empty["image"] == 12
    assert not any(each.warnings or each.notes for each in told)


def test_the_part_with_a_second_id_or_a_key_of_its_own_says_so(tmp_path: Path) -> None:
    keys = [*range(45), 1000, *range(46, 60)]
    path = write_rec(tmp_path / "x.rec", images(n20=7), keys)
    told = summaries(path, IMAGES, IMAGE_SCHEMA, 500)
    assert [list(each.schema) for each in told if "id2" in each.schema] == [["id", "label", "image", "id2"]]
    assert [list(each.schema) for each in told if "key" in each.schema] == [["id", "label", "image", "key"]]
    assert sum(len(each.schema) == 3 for each in told) == len(told) - 2


def test_keys_of_raw_records_are_compared_with_their_numbers_in_the_file(tmp_path: Path) -> None:
    path = write_rec(tmp_path / "x.rec", [b"raw %d" % n for n in range(60)], [*range(50), 99, *range(51, 60)])
    told = summaries(path, RAW, RAW_SCHEMA, 200)
    assert [each.num_rows for each in told if "key" in each.schema] != []
    assert sum("key" in each.schema for each in told) == 1
    assert sum(each.num_rows for each in told) == 60


def test_only_the_part_whose_records_the_index_lacks_or_invents_speaks_of_it(tmp_path: Path) -> None:
    path = write_rec(tmp_path / "x.rec", images(), range(100, 160))
    lines = (tmp_path / "x.idx").read_text().splitlines(keepends=True)
    for changed in (lines[:30] + lines[31:], [*lines[:30], f"77\t{int(lines[30].split()[1]) + 4}\n", *lines[30:]]):
        (tmp_path / "x.idx").write_text("".join(changed))
        told = summaries(path, IMAGES, IMAGE_SCHEMA, 500)
        (bad,) = (each for each in told if each.warnings)
        assert "key" not in bad.schema
        assert all("key" in each.schema for each in told if each is not bad)


def test_records_that_are_left_out_are_counted_once(tmp_path: Path) -> None:
    payloads = images()
    payloads[25] = b"too short"
    path = write_rec(tmp_path / "x.rec", payloads)
    told = summaries(path, IMAGES, IMAGE_SCHEMA, 500, on_bad_record="skip")
    assert sum(each.num_rows for each in told) == 60
    whole: list[Summary] = []
    list(REC.read(Extent(str(path)), IMAGES, Request(IMAGE_SCHEMA, 7, "skip", on_summary=whole.append)))
    assert whole[0].num_rows == 60


def test_parts_of_examples_say_the_fields_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    few, more = rb.Batch({"a": np.arange(5)}), rb.Batch({"a": np.arange(5), "b": np.arange(5)})
    path.write_bytes(rec(*rb.example.encode(few), *rb.example.encode(more)))
    told = summaries(path, REC.options(payload="example"), few.schema, 60)
    assert [sorted(each.schema) for each in (told[0], told[-1])] == [["a"], ["a", "b"]]
    assert sum(each.num_rows for each in told) == 10


def test_a_part_of_a_hand_made_extent_ends_where_it_says(tmp_path: Path) -> None:
    file = part(0, b"one") + part(0, b"two") + part(0, b"three")
    path = tmp_path / "x.rec"
    path.write_bytes(file)
    assert rows(REC, Extent(str(path), 12, 24, None), RAW) == [b"two"]
    assert rows(REC, Extent(str(path), 12, 12, None), RAW) == []
