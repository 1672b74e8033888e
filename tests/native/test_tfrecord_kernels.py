"""The TFRecord kernels against their twins and the golden bytes."""

from __future__ import annotations

import struct
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import (
    agreed,
    assert_refused,
    block_of,
    room,
    scan,
    scan_in_pieces,
    scan_whole,
    spans_of,
    values_of,
)
from tests.native.strategies import damaged, payload_lists, scattered
from tests.reference.tfrecord import frame_payload

SCAN = "scan_tfrecord"
BOTH = [_kernels, reference]

# payloads, file: what TensorFlow 2.21 writes
VECTORS = [
    ([], ""),
    ([b""], "00000000 00000000 29039807 d8ea82a2"),
    ([b"abc"], "03000000 00000000 b099490e 6162636e 57f121"),
    (
        [b"hello", b"world!"],
        "05000000 00000000 eab2043e 68656c6c 6fbb1f1c 19060000 00000000 007369d5 37776f72 6c64210a c6af4f",
    ),
]
TWO = bytes.fromhex(VECTORS[3][1])

files = payload_lists.map(lambda records: b"".join(map(frame_payload, records)))


def header(length: int) -> bytes:
    """A header with the right checksum, whatever the length."""
    raw = struct.pack("<Q", length)
    return raw + struct.pack("<I", reference.mask_crc(reference.crc32c(raw)))


# A sound header in front of too few bytes: the length alone decides
claims = st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1), st.sampled_from([2**62, 2**63, 2**64 - 1]))
liars = st.builds(lambda before, length, body: before + header(length) + body, files, claims, st.binary(max_size=30))
hostile_files = st.one_of(files, damaged(files), liars, st.binary(max_size=40))


def frame(module: ModuleType, piece: tuple, first: int, size: int, capacity: int) -> dict[str, object]:
    out, heads = block_of(bytes(size)), room(capacity)
    rows, written, fault = module.frame_tfrecord(piece, first, out, heads)
    return {"rows": rows, "fault": fault, "bytes": out[:written].tobytes(), "heads": heads[:rows].tolist()}


class TestFraming:
    @pytest.mark.parametrize(("payloads", "expected"), VECTORS)
    @pytest.mark.parametrize("module", BOTH)
    def test_payloads_are_framed_as_tensorflow_frames_them(self, module, payloads, expected):
        answer = frame(module, values_of(payloads), 0, 100, 4)
        assert answer["bytes"] == bytes.fromhex(expected)
        assert answer["fault"] == reference.OK

    @settings(deadline=None, max_examples=200)
    @given(scattered(), st.data())
    def test_rows_are_framed_as_the_twin_frames_them(self, rows, data):
        base, spans = rows
        first = data.draw(st.integers(0, len(spans)))
        capacity = data.draw(st.integers(0, len(spans) + 1))
        size = data.draw(st.one_of(st.integers(0, 80), st.just(4000)))
        agreed(lambda module: frame(module, spans_of(base, spans), first, size, capacity))

    @settings(deadline=None, max_examples=60)
    @given(payload_lists, st.integers(0, 2))
    def test_a_row_is_written_when_it_just_fits_and_not_when_a_byte_is_missing(self, payloads, missing):
        size = sum(16 + len(payload) for payload in payloads)
        answer = agreed(lambda module: frame(module, values_of(payloads), 0, max(0, size - missing), 10))
        assert answer["rows"] == len(payloads) - (1 if payloads and missing else 0)

    def test_a_large_payload_is_framed_with_its_checksums(self):
        payload = bytes(range(256)) * 400
        agreed(lambda module: frame(module, values_of([payload]), 0, len(payload) + 16, 1))

    def test_wrong_arguments_are_refused(self):
        good = values_of([b"ab", b"cde"])
        calls = {
            "outside": lambda m: m.frame_tfrecord(spans_of(b"abc", [(1, 3)]), 0, block_of(bytes(64)), room(2)),
            "negative length": lambda m: m.frame_tfrecord(spans_of(b"abc", [(1, -1)]), 0, block_of(bytes(64)), room(2)),
            "negative start": lambda m: m.frame_tfrecord(spans_of(b"abc", [(-1, 1)]), 0, block_of(bytes(64)), room(2)),
            "a sum above 64 bits": lambda m: m.frame_tfrecord(
                spans_of(b"abc", [(2**63 - 1, 2**63 - 1)]), 0, block_of(bytes(64)), room(2)
            ),
            "first below 0": lambda m: m.frame_tfrecord(good, -1, block_of(bytes(64)), room(2)),
            "first beyond": lambda m: m.frame_tfrecord(good, 3, block_of(bytes(64)), room(2)),
            "read-only out": lambda m: m.frame_tfrecord(good, 0, bytes(64), room(2)),
            "heads of 4 bytes": lambda m: m.frame_tfrecord(good, 0, block_of(bytes(64)), np.zeros(2, np.int32)),
            "fewer lengths": lambda m: m.frame_tfrecord((*good[:2], good[2][:1]), 0, block_of(bytes(64)), room(2)),
            "starts of 4 bytes": lambda m: m.frame_tfrecord(
                (good[0], good[1].astype(np.int32), good[2]), 0, block_of(bytes(64)), room(2)
            ),
        }
        assert_refused(calls)


class TestScanning:
    @pytest.mark.parametrize(("payloads", "stored"), VECTORS)
    def test_what_tensorflow_framed_is_read_back(self, payloads, stored):
        answer = scan_whole(SCAN, bytes.fromhex(stored))
        assert (answer["payloads"], answer["fault"]) == (payloads, reference.OK)

    @pytest.mark.parametrize(
        ("cut", "count", "fault", "position"),
        [
            (0, 0, reference.OK, None),
            (1, 0, reference.TRUNCATED_HEADER, 0),
            (11, 0, reference.TRUNCATED_HEADER, 0),
            (12, 0, reference.TRUNCATED_BODY, 0),
            (20, 0, reference.TRUNCATED_BODY, 0),
            (21, 1, reference.OK, None),
            (22, 1, reference.TRUNCATED_HEADER, 21),
            (33, 1, reference.TRUNCATED_BODY, 21),
            (42, 1, reference.TRUNCATED_BODY, 21),
            (43, 2, reference.OK, None),
        ],
    )
    def test_a_cut_file_gives_its_whole_records_and_then_the_fault(self, cut, count, fault, position):
        answer = scan_whole(SCAN, TWO[:cut])
        assert answer["payloads"] == [b"hello", b"world!"][:count]
        assert (answer["fault"], answer["position"]) == (fault, position)

    @pytest.mark.parametrize(
        ("at", "fault"),
        [
            (21, reference.BAD_LENGTH_CRC),
            (28, reference.BAD_LENGTH_CRC),
            (29, reference.BAD_LENGTH_CRC),
            (32, reference.BAD_LENGTH_CRC),
            (33, reference.BAD_DATA_CRC),
            (38, reference.BAD_DATA_CRC),
            (39, reference.BAD_DATA_CRC),
            (42, reference.BAD_DATA_CRC),
        ],
    )
    def test_a_flipped_bit_is_found_by_the_checksum_over_it(self, at, fault):
        answer = scan_whole(SCAN, TWO[:at] + bytes([TWO[at] ^ 4]) + TWO[at + 1 :])
        assert (answer["payloads"], answer["fault"], answer["position"]) == ([b"hello"], fault, 21)

    def test_every_cut_and_every_flipped_bit_gives_what_the_twin_gives(self):
        for at in range(len(TWO)):
            scan_whole(SCAN, TWO[:at])
            for bit in range(8):
                answer = scan_whole(SCAN, TWO[:at] + bytes([TWO[at] ^ 1 << bit]) + TWO[at + 1 :])
                assert answer["fault"] != reference.OK

    @settings(deadline=None, max_examples=300)
    @given(hostile_files, st.integers(0, 5), st.booleans(), st.data())
    def test_a_part_of_a_block_gives_what_the_twin_gives(self, file, capacity, final, data):
        size = data.draw(st.one_of(st.just(len(file)), st.integers(0, len(file))))
        start = data.draw(st.one_of(st.just(0), st.integers(0, size)))
        answer = agreed(lambda module: scan(module, SCAN, file, start, size, final, capacity))
        assert answer["block"] == file

    @settings(deadline=None, max_examples=150)
    @given(hostile_files, st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 3))
    def test_a_file_in_pieces_gives_what_the_whole_file_gives(self, file, pieces, capacity):
        whole = scan_whole(SCAN, file)
        found, fault, position = scan_in_pieces(SCAN, file, pieces, capacity)
        assert (found, fault) == (whole["payloads"], whole["fault"])
        assert position == (whole["position"] if fault else len(file))

    @pytest.mark.parametrize(
        ("length", "wanted"),
        [
            (0, 16),
            (5, 21),
            (2**40, 2**40 + 16),
            (2**62 - 16, 2**62),
            (2**62, 2**62),
            (2**62 + 1, 2**62),
            (2**63 - 1, 2**62),
            (2**63, 2**62),
            (2**64 - 16, 2**62),
            (2**64 - 1, 2**62),
        ],
    )
    def test_a_length_that_cannot_be_neither_overflows_nor_is_believed(self, length, wanted):
        for module in BOTH:
            answer = scan(module, SCAN, header(length), 0, 12, False, 1)
            assert (answer["spans"], answer["wanted"], answer["fault"]) == ([], wanted, reference.OK)
            assert scan(module, SCAN, header(length), 0, 12, True, 1)["fault"] == reference.TRUNCATED_BODY

    def test_a_block_may_be_read_only(self):
        for module in BOTH:
            starts, lengths = room(2), room(2)
            for block in (TWO, memoryview(TWO), np.frombuffer(TWO, np.uint8)):
                answer = module.scan_tfrecord(block, 0, len(TWO), True, starts, lengths)
                assert answer[:4] == (2, 43, 43, reference.OK)

    def test_wrong_arguments_are_refused(self):
        calls = {
            "size beyond the block": lambda m: m.scan_tfrecord(TWO, 0, len(TWO) + 1, True, room(1), room(1)),
            "start beyond the size": lambda m: m.scan_tfrecord(TWO, 9, 8, True, room(1), room(1)),
            "start below 0": lambda m: m.scan_tfrecord(TWO, -1, 8, True, room(1), room(1)),
            "starts of 4 bytes": lambda m: m.scan_tfrecord(TWO, 0, 8, True, np.zeros(1, np.int32), room(1)),
            "read-only starts": lambda m: m.scan_tfrecord(TWO, 0, 8, True, np.frombuffer(bytes(8), np.int64), room(1)),
            "results of two lengths": lambda m: m.scan_tfrecord(TWO, 0, 8, True, room(2), room(1)),
            "a text": lambda m: m.scan_tfrecord("abc", 0, 3, True, room(1), room(1)),
        }
        assert_refused(calls)


def walk_once(module: ModuleType, window: bytes, origin: int, file_size: int, head: int, capacity: int) -> tuple:
    heads, lengths = room(capacity), room(capacity)
    count, following, fault, position = module.walk_tfrecord(window, origin, file_size, head, heads, lengths)
    return heads[:count].tolist(), lengths[:count].tolist(), following, fault, position if fault else None


def walk_in_windows(module: ModuleType, file: bytes, sizes: list[int], capacity: int) -> tuple:
    """Walk a file as its caller does: a window from next on; (heads, lengths, fault, position)."""
    heads, lengths, head, calls = [], [], 0, 0
    while True:
        window = file[head : head + max(12, sizes[calls % len(sizes)])]
        some_heads, some_lengths, following, fault, position = walk_once(
            module, window, head, len(file), head, capacity
        )
        calls += 1
        heads, lengths = heads + some_heads, lengths + some_lengths
        if fault or following == len(file):
            return heads, lengths, fault, position
        assert following > head
        head = following


class TestWalking:
    @settings(deadline=None, max_examples=200)
    @given(hostile_files, st.integers(0, 5), st.integers(0, 40))
    def test_a_window_over_the_file_gives_what_the_twin_gives(self, file, capacity, more):
        agreed(lambda module: walk_once(module, file, 0, len(file), 0, capacity))
        agreed(lambda module: walk_once(module, file, 1000, len(file) + 1000, 1000, capacity))
        agreed(lambda module: walk_once(module, file, 0, len(file) + more, 0, 1))

    @settings(deadline=None, max_examples=150)
    @given(hostile_files, st.lists(st.integers(12, 60), min_size=1, max_size=4), st.integers(1, 3))
    def test_windows_along_the_file_give_what_the_whole_file_gives(self, file, sizes, capacity):
        walked = agreed(lambda module: walk_in_windows(module, file, sizes, capacity))
        assert walked == walk_in_windows(reference, file, [len(file)], len(file))

    def test_damage_in_a_payload_is_not_seen_but_damage_in_a_length_is(self):
        for module in BOTH:
            flipped = TWO[:14] + b"L" + TWO[15:]
            assert walk_in_windows(module, flipped, [12], 2) == ([0, 21], [5, 6], reference.OK, None)
            flipped = TWO[:21] + b"\7" + TWO[22:]
            assert walk_in_windows(module, flipped, [12], 2) == ([0], [5], reference.BAD_LENGTH_CRC, 21)

    @pytest.mark.parametrize("length", [2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 16, 2**64 - 1])
    def test_a_length_that_cannot_be_is_a_truncated_body(self, length):
        file = TWO + header(length)
        for module in BOTH:
            assert walk_in_windows(module, file, [99], 9) == ([0, 21], [5, 6], reference.TRUNCATED_BODY, 43)

    def test_wrong_arguments_are_refused(self):
        calls = {
            "next beyond the file": lambda m: m.walk_tfrecord(TWO, 0, 43, 44, room(1), room(1)),
            "next below 0": lambda m: m.walk_tfrecord(TWO, 0, 43, -1, room(1), room(1)),
            "a negative origin": lambda m: m.walk_tfrecord(TWO, -1, 43, 0, room(1), room(1)),
            "heads of 4 bytes": lambda m: m.walk_tfrecord(TWO, 0, 43, 0, np.zeros(1, np.int32), room(1)),
            "results of two lengths": lambda m: m.walk_tfrecord(TWO, 0, 43, 0, room(1), room(2)),
            "a text": lambda m: m.walk_tfrecord("abc", 0, 43, 0, room(1), room(1)),
        }
        assert_refused(calls)


class TestResyncing:
    @settings(deadline=None, max_examples=300)
    @given(st.builds(lambda junk, file: junk + file, st.binary(max_size=20), hostile_files), st.booleans(), st.data())
    def test_the_next_record_is_where_the_twin_finds_it(self, file, final, data):
        size = data.draw(st.one_of(st.just(len(file)), st.integers(0, len(file))))
        start = data.draw(st.integers(0, size))
        agreed(lambda module: module.resync_tfrecord(file, start, size, final))

    def test_every_start_and_every_size_gives_what_the_twin_gives(self):
        file = b"junk" + header(9) + b"liar" + TWO + header(2**64 - 1)
        for size in range(len(file) + 1):
            for start in range(0, size + 1, 3):
                for final in (False, True):
                    agreed(lambda module: module.resync_tfrecord(file, start, size, final))  # noqa: B023

    def test_a_record_is_found_at_any_byte(self):
        for module in BOTH:
            for junk in range(20):
                file = b"\0" * junk + TWO
                assert module.resync_tfrecord(file, 0, len(file), True) == (junk, True)

    def test_a_record_with_a_wrong_payload_is_no_place_to_go_on(self):
        file = TWO[:14] + b"L" + TWO[15:]
        for module in BOTH:
            assert module.resync_tfrecord(file, 0, len(file), True) == (21, True)
            assert module.resync_tfrecord(file, 22, len(file), True) == (43, True)

    @settings(deadline=None, max_examples=100)
    @given(hostile_files, st.integers(0, 12))
    def test_asking_again_with_more_bytes_leads_to_the_same_record(self, file, start):
        start = min(start, len(file))
        expected = reference.resync_tfrecord(file, start, len(file), True)
        for module in BOTH:
            position, size, decided = start, start, False
            while not decided:
                position, decided = module.resync_tfrecord(file, position, size, size == len(file))
                assert decided or size < len(file)
                size = min(len(file), size + 5)
            assert (position, decided) == expected

    def test_wrong_arguments_are_refused(self):
        calls = {
            "size beyond the block": lambda m: m.resync_tfrecord(TWO, 0, len(TWO) + 1, True),
            "start beyond the size": lambda m: m.resync_tfrecord(TWO, 9, 8, True),
            "start below 0": lambda m: m.resync_tfrecord(TWO, -1, 8, True),
        }
        assert_refused(calls)
