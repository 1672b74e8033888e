"""A .rec cut into extents without being read: each record is in exactly one, whatever the sizes and the damage.

What the whole file gives is what the extents must give together, with the same stretches left out; where a file is
misleading, they raise. Files are framed by tests.formats.frames, or were written by mxnet (tests/golden).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recordio_bridge import FormatError
from recordio_bridge.formats import get_format
from recordio_bridge.formats.base import Extent, Request, Skipped
from recordio_bridge.formats.payloads import RAW_SCHEMA
from tests.formats.frames import MAGIC, part, rec, rec_parts
from tests.samples import GOLDEN

REC = get_format("recordio")
RAW = REC.options(payload="raw")


def rows(extent: Extent, skipped: list[Skipped] | None = None, batch_rows: int | None = None) -> list[bytes]:
    """The records of an extent; where a list for it is given, what is damaged is skipped."""
    how = {} if skipped is None else {"on_bad_record": "skip", "on_skip": skipped.append}
    request = Request(RAW_SCHEMA, batch_rows, **how)
    return [row["record"] for batch in REC.read(extent, RAW, request) for row in batch.rows()]


def check_cover(path: Path, extents: list[Extent], nbytes: int) -> None:
    """That extents are neighbours, none but the last much too small, and only the first knows its number."""
    assert [extent.start for extent in extents] == [0, *(extent.stop for extent in extents[:-1])]
    assert extents[-1].stop is None
    assert [extent.first_record for extent in extents] == [0] + [None] * (len(extents) - 1)
    assert all(extent.stop - extent.start >= nbytes for extent in extents[:-1])


def check_same(path: Path, nbytes: int) -> int:
    """That the extents give what the whole file gives, damage skipped; returns how many there are."""
    extents = REC.split(str(path), RAW, nbytes)
    check_cover(path, extents, nbytes)
    left_out: list[Skipped] = []
    left_out_of_parts: list[Skipped] = []
    assert [row for extent in extents for row in rows(extent, left_out_of_parts, 3)] == rows(
        Extent(str(path)), left_out
    )
    assert [(each.start, each.stop) for each in left_out_of_parts] == [(each.start, each.stop) for each in left_out]
    return len(extents)


PAYLOADS = {
    "small": [b"%d" % n * (n % 7) for n in range(60)],
    "empty": [b""] * 50,
    "longer than an extent": [bytes([n]) * 5000 for n in range(9)],
    "of all paddings": [b"x" * n for n in range(40)],
    "magics only": [MAGIC * n for n in range(30)],
    "magics between": [b"abcd" + MAGIC * (n % 3) + b"e" * n + MAGIC for n in range(40)],
    "of many parts": [(MAGIC + b"four") * 400, b"between", (b"four" + MAGIC) * 900, b"behind"],
    "magics off the boundary": [b"a" + rec(b"no record", b"nor this") for _ in range(20)],
    "a .rec in each": [rec(*(b"inner %d" % n * 5 for n in range(30)), MAGIC * 4) for _ in range(6)],
    "a .rec in a .rec in each": [rec(rec(*(b"innermost %d" % n for n in range(20))), b"inner") for _ in range(6)],
}


@pytest.mark.parametrize("payloads", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("nbytes", [1, 4, 50, 333, 1000, 4096, 20_000, 10**7])
def test_each_record_is_in_exactly_one_extent(tmp_path: Path, payloads: list[bytes], nbytes: int) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*payloads))
    extents = REC.split(str(path), RAW, nbytes)
    check_cover(path, extents, nbytes)
    heads = {found.start for found in rec_parts(path.read_bytes()) if path.read_bytes()[found.start + 7] >> 5 <= 1}
    assert {extent.start for extent in extents} <= heads
    assert [row for extent in extents for row in rows(extent)] == payloads
    assert check_same(path, nbytes) == len(extents)
    largest = max(len(rec(payload)) for payload in payloads)
    assert len(extents) >= os.path.getsize(path) // (nbytes + largest)
    if nbytes == 1:
        assert len(extents) == len(payloads)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.rec")), ids=lambda path: path.stem)
@pytest.mark.parametrize("nbytes", [1, 16, 100, 2000])
def test_files_of_mxnet_sound_or_damaged_are_cut_so_that_the_parts_give_what_they_give(path: Path, nbytes: int) -> None:
    check_same(path, nbytes)


def test_a_file_of_mxnet_inside_a_record_is_not_cut(tmp_path: Path) -> None:
    """mxnet cuts the payload at its magics, so that none of the inner heads is left."""
    inner = (GOLDEN / "c_magic_raw.rec").read_bytes() + (GOLDEN / "e_images.rec").read_bytes()
    path = tmp_path / "x.rec"
    path.write_bytes(rec(b"before", inner, b"behind"))
    heads = [0, len(rec(b"before")), len(rec(b"before", inner))]
    assert [extent.start for extent in REC.split(str(path), RAW, 1)] == heads


def test_an_empty_file_is_one_extent(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(b"")
    assert REC.split(str(path), RAW, 100) == [Extent(str(path))]


def test_a_head_is_found_across_the_edges_of_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    for size in range(4096 - 24, 4096 + 24, 4):
        path.write_bytes(rec(b"a" * size, *[b"b" * 70_000, b"c" * 4] * 3))
        assert check_same(path, 4) == 7


def test_little_is_read_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*[bytes(10_000)] * 2000))
    read = []
    pread = os.pread

    def counted(fd: int, size: int, at: int) -> bytes:
        read.append(size)
        return pread(fd, size, at)

    monkeypatch.setattr(os, "pread", counted)
    extents = REC.split(str(path), RAW, 5 << 20)
    assert len(extents) == 4
    assert sum(read) < 3 * 25_000


# ---- damage ----

SOUND = [
    *(b"%d" % n * 9 for n in range(20)),
    (MAGIC + b"four") * 9,
    *(b"" for _ in range(5)),
    rec(b"inner", b"records") * 4,
    *(MAGIC for _ in range(5)),
    b"long" * 300,
    *(b"%d" % n * 11 for n in range(20)),
]
FILE = rec(*SOUND)


@pytest.mark.one_lane
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(1, 255)), max_size=4),
    st.integers(0, len(FILE)),
    st.sampled_from([1, 30, 64, 100, 777]),
)
@example([], len(FILE) - 3, 64)
def test_flipped_bytes_and_a_cut_cost_the_extents_what_they_cost_the_whole(
    tmp_path: Path, flips: list[tuple[int, int]], cut: int, nbytes: int
) -> None:
    damaged = bytearray(FILE)
    for at, change in flips:
        damaged[at] ^= change
    path = tmp_path / "x.rec"
    path.write_bytes(damaged[:cut])
    try:
        check_same(path, nbytes)
    except FormatError as err:
        assert "goes beyond byte" in str(err)  # noqa: PT017  # only a length that happens to fit, see below
        assert leads_to_a_head(damaged[:cut])


def leads_to_a_head(damaged: bytes) -> bool:
    """Whether the length of a sound record was changed so that it leads to another."""
    return any(
        damaged[found.start : found.start + 8] != FILE[found.start : found.start + 8] for found in rec_parts(FILE)
    )


@pytest.mark.one_lane
def test_every_byte_of_the_heads_flipped_costs_the_extents_what_it_costs_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    refused = 0
    for found in rec_parts(FILE):
        for at in range(found.start, found.start + 8):
            damaged = bytearray(FILE)
            damaged[at] ^= 0x11
            path.write_bytes(damaged)
            try:
                check_same(path, 64)
            except FormatError as err:
                assert "goes beyond byte" in str(err)  # noqa: PT017
                refused += 1
    assert refused < 10


def test_a_length_that_leads_to_a_head_behind_the_cut_is_an_error_where_a_whole_reading_would_lose_records(
    tmp_path: Path,
) -> None:
    sound = [b"%d" % n * 50 for n in range(40)]
    file = rec(*sound)
    heads = [found.start for found in rec_parts(file)]
    damaged = bytearray(file)
    damaged[heads[3] + 4 : heads[3] + 8] = struct.pack("<I", heads[20] - heads[3] - 8)
    path = tmp_path / "x.rec"
    path.write_bytes(damaged)
    extents = REC.split(str(path), RAW, heads[8])
    assert extents[1].start == heads[8]
    for skipped in (None, []):
        with pytest.raises(FormatError, match=rf"record 3 goes beyond byte {heads[8]}.*in one piece") as caught:
            rows(extents[0], skipped)
        assert (caught.value.path, caught.value.record) == (str(path), 3)
    assert [row for extent in extents[1:] for row in rows(extent)] == sound[8:]


def test_records_that_lie_in_a_payload_as_they_are_are_an_error_and_never_rows(tmp_path: Path) -> None:
    """No dmlc writer makes such a file; but SageMaker's does, whose payload is known and which is cut by hopping."""
    inner = rec(*[b"inner %d" % n for n in range(500)])
    path = tmp_path / "x.rec"
    path.write_bytes(part(0, b"one") + part(0, inner) + part(0, b"two"))
    extents = REC.split(str(path), RAW, 3000)
    assert len(extents) > 1
    for skipped in (None, []):
        with pytest.raises(FormatError, match=r"record 1 goes beyond byte \d+.*records lie in its payload as they are"):
            rows(extents[0], skipped)
    hopped = REC.split(str(path), REC.options(payload="sagemaker"), 100)
    assert [extent.start for extent in hopped] == [0, path.stat().st_size - 12]


def test_a_region_without_a_head_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(b"first") + bytes(1 << 20) + rec(*[b"record"] * 40))
    read = []
    pread = os.pread

    def counted(fd: int, size: int, at: int) -> bytes:
        read.append(size)
        return pread(fd, size, at)

    monkeypatch.setattr(os, "pread", counted)
    check_same(path, 100)
    assert sum(read) < 3 << 20


def test_a_cut_between_the_parts_of_a_record_loses_only_that(tmp_path: Path) -> None:
    file = rec(b"one", MAGIC * 3 + b"two", b"three")
    path = tmp_path / "x.rec"
    for size in range(len(file) + 1):
        path.write_bytes(file[:size])
        check_same(path, 8)


def test_a_file_that_became_shorter_than_its_extent_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*[b"abcd"] * 20))
    first = REC.split(str(path), RAW, 120)[0]
    os.truncate(path, 60)
    for skipped in (None, []):
        with pytest.raises(FormatError, match="ends at byte 60, expected 120"):
            rows(first, skipped)


def test_damage_in_one_extent_is_told_by_its_byte_in_the_file(tmp_path: Path) -> None:
    file = rec(*[b"x" * 100] * 40)
    path = tmp_path / "x.rec"
    path.write_bytes(file[: 108 * 30] + b"\xff" * 108 + file[108 * 31 :])
    extent = REC.split(str(path), RAW, 108 * 20)[1]
    assert (extent.start, extent.stop) == (108 * 20, None)
    with pytest.raises(FormatError, match=f"record 10 at byte {108 * 30}: "):
        rows(extent)
    skipped: list[Skipped] = []
    assert len(rows(extent, skipped)) == 19
    assert [(each.start, each.stop, each.record) for each in skipped] == [(108 * 30, 108 * 31, 10)]


def test_blocks_end_anywhere_around_the_end_of_an_extent(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    block = 4 << 20
    path = tmp_path / "x.rec"
    for size in (block - 16, block - 12, block - 8, block - 4, block, block + 4):
        payloads = [rng.bytes(size - 8), *[rng.bytes(1 << 20) for _ in range(20)]]
        path.write_bytes(b"".join(part(0, payload) for payload in payloads))
        for nbytes in (size - 4, block, 3 * block):
            extents = REC.split(str(path), RAW, nbytes)
            assert len(extents) > 1
            assert [row for extent in extents for row in rows(extent)] == payloads
