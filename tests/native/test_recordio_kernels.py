"""The RecordIO kernels against their twins, the golden bytes and what mxnet wrote."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import example, given, settings
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
from tests.native.strategies import damaged, payload_lists, payloads, scattered
from tests.reference.recordio import LIMIT, MAGIC

GOLDEN = Path(__file__).parents[1] / "golden"
SCAN = "scan_recordio"
BOTH = [_kernels, reference]

# payload, file: what mxnet 1.9.1 writes
VECTORS = {
    "empty": (b"", "0a23d7ce 00000000"),
    "one byte": (b"a", "0a23d7ce 01000000 61000000"),
    "four bytes": (b"abcd", "0a23d7ce 04000000 61626364"),
    "magic": (MAGIC, "0a23d7ce 00000020 0a23d7ce 00000060"),
    "magic, one byte": (MAGIC + b"a", "0a23d7ce 00000020 0a23d7ce 01000060 61000000"),
    "magic at the end": (b"aaaa" + MAGIC, "0a23d7ce 04000020 61616161 0a23d7ce 00000060"),
    "unaligned magic": (b"a" + MAGIC, "0a23d7ce 05000000 610a23d7 ce000000"),
    "two magics": (MAGIC + MAGIC, "0a23d7ce 00000020 0a23d7ce 00000040 0a23d7ce 00000060"),
    "magics between": (
        b"xxxx" + MAGIC + b"yyyy" + MAGIC + b"zz",
        "0a23d7ce 04000020 78787878 0a23d7ce 04000040 79797979 0a23d7ce 02000060 7a7a0000",
    ),
    "magic as id": (
        struct.pack("<IfQQ", 0, 1, 0xCED7230A, 0) + b"IMG",
        "0a23d7ce 08000020 00000000 0000803f 0a23d7ce 0f000060 00000000 00000000 00000000 494d4700",
    ),
}
# hello | xxxx + magic + yyyyyy | last
DAMAGE_BASE = bytes.fromhex(
    "0a23d7ce 05000000 68656c6c 6f000000 0a23d7ce 04000020 78787878 0a23d7ce 06000060 79797979 79790000"
    "0a23d7ce 04000000 6c617374"
)


def framed(*records: bytes) -> bytes:
    """A file of these records, as the twin writes it."""
    out, heads = block_of(bytes(sum(8 + 3 * len(record) + 16 for record in records))), room(len(records))
    rows, written, fault = reference.frame_recordio([values_of(list(records))], 0, out, heads)
    assert (rows, fault) == (len(records), reference.OK)
    return out[:written].tobytes()


def part(flag: int, body: bytes, pad: bytes = b"\0\0\0") -> bytes:
    """One part of any flag; pad bytes of any value are legal."""
    return MAGIC + struct.pack("<I", flag << 29 | len(body)) + body + pad[: -len(body) % 4]


files = payload_lists.map(lambda records: framed(*records))
# Legal and illegal sequences of parts; also first and middle parts of lengths that dmlc never writes, with padding
part_rows = st.lists(
    st.builds(
        part, st.sampled_from([0, 1, 1, 2, 2, 3, 3, 4, 7]), st.binary(max_size=9), st.binary(min_size=3, max_size=3)
    ),
    max_size=8,
).map(b"".join)
hostile_files = st.one_of(files, damaged(files), part_rows, damaged(part_rows), st.binary(max_size=40))


class TestFraming:
    @pytest.mark.parametrize(("payload", "expected"), VECTORS.values(), ids=VECTORS.keys())
    @pytest.mark.parametrize("module", BOTH)
    def test_a_payload_is_framed_as_mxnet_frames_it(self, module, payload, expected):
        out, heads = block_of(bytes(100)), room(1)
        rows, written, fault = module.frame_recordio([values_of([payload])], 0, out, heads)
        assert (rows, fault, heads.tolist()) == (1, reference.OK, [0])
        assert out[:written].tobytes() == bytes.fromhex(expected)

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_rows_of_several_pieces_are_framed_as_one_payload(self, data):
        first_base, first_spans = data.draw(scattered())
        pieces = [(first_base, first_spans)]
        for _ in range(data.draw(st.integers(0, 11))):
            base = data.draw(payloads)
            ends = [data.draw(st.integers(0, len(base))) for _ in first_spans]
            pieces.append((base, [(0, end) for end in ends]))
        spans = [spans_of(*piece) for piece in pieces]
        first = data.draw(st.integers(0, len(first_spans)))
        capacity = data.draw(st.integers(0, len(first_spans) + 1))
        size = data.draw(st.one_of(st.integers(0, 60), st.just(4000)))
        escape = data.draw(st.booleans())
        agreed(lambda module: frame(module, spans, first, size, capacity, escape))

    @settings(deadline=None, max_examples=100)
    @given(payload_lists, st.integers(0, 3))
    def test_a_row_is_written_when_it_just_fits_and_not_when_a_byte_is_missing(self, records, missing):
        size = len(framed(*records))
        answer = agreed(lambda module: frame(module, [values_of(records)], 0, max(0, size - missing), 10))
        if missing == 0:
            assert answer["rows"] == len(records)
        elif records:
            assert answer["rows"] == len(records) - 1

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.binary(max_size=6), min_size=1, max_size=8))
    def test_a_magic_that_arises_across_pieces_is_escaped(self, before):
        # every cut of the magic, at every alignment that the piece in front brings
        for cut in range(5):
            pieces = [*before[:6], MAGIC[:cut], MAGIC[cut:]]
            agreed(lambda module: frame(module, [values_of([piece]) for piece in pieces], 0, 400, 1))  # noqa: B023

    @pytest.mark.parametrize("module", BOTH)
    def test_a_magic_stays_where_it_is_if_it_is_not_to_be_escaped(self, module):
        answer = frame(module, [values_of([MAGIC + b"abcde"]), values_of([MAGIC])], 0, 99, 1, escape=False)
        assert answer["bytes"] == part(0, MAGIC + b"abcde" + MAGIC, b"\0\0\0")
        block = np.frombuffer(bytearray(answer["bytes"]), np.uint8)
        starts, lengths = room(1), room(1)
        assert module.scan_recordio(block, 0, len(block), True, starts, lengths)[0] == 1  # lengths lead past it
        assert (starts[0], lengths[0]) == (8, 13)

    @pytest.mark.parametrize("module", BOTH)
    def test_a_record_above_the_limit_is_too_long_and_one_at_the_limit_is_not(self, module):
        base = np.zeros((LIMIT + 1) // 8, np.uint8)
        whole = (base, np.zeros(1, np.int64), np.array([len(base)], np.int64))
        less = (base, np.zeros(1, np.int64), np.array([len(base) - 1], np.int64))
        out, heads = block_of(bytes(64)), room(2)
        assert module.frame_recordio([whole] * 8, 0, out, heads) == (0, 0, reference.TOO_LONG)
        assert module.frame_recordio([less] + [whole] * 7, 0, out, heads) == (
            0,
            0,
            reference.OK,
        )  # only out is too small

    @pytest.mark.parametrize("module", BOTH)
    def test_the_rows_before_one_that_is_too_long_are_written(self, module):
        base = np.zeros((LIMIT + 1) // 8, np.uint8)
        rows = (base, np.zeros(2, np.int64), np.array([1, len(base)], np.int64))
        out, heads = block_of(bytes(64)), room(2)
        assert module.frame_recordio([rows] * 8, 0, out, heads) == (1, 16, reference.TOO_LONG)
        assert out[:16].tobytes() == part(0, bytes(8))

    def test_wrong_arguments_are_refused(self):
        good = values_of([b"ab", b"cde"])
        outside = spans_of(b"abc", [(1, 3), (0, 1)])
        calls = {
            "no pieces": lambda m: m.frame_recordio([], 0, block_of(bytes(64)), room(2)),
            "too many pieces": lambda m: m.frame_recordio([good] * 65537, 0, block_of(bytes(64)), room(2)),
            "different rows": lambda m: m.frame_recordio([good, values_of([b"a"])], 0, block_of(bytes(64)), room(2)),
            "outside": lambda m: m.frame_recordio([outside], 0, block_of(bytes(64)), room(2)),
            "first below 0": lambda m: m.frame_recordio([good], -1, block_of(bytes(64)), room(2)),
            "first beyond": lambda m: m.frame_recordio([good], 3, block_of(bytes(64)), room(2)),
            "read-only out": lambda m: m.frame_recordio([good], 0, bytes(64), room(2)),
            "heads of 4 bytes": lambda m: m.frame_recordio([good], 0, block_of(bytes(64)), np.zeros(2, np.int32)),
        }
        assert_refused(calls)


def frame(
    module: ModuleType, pieces: list, first: int, size: int, capacity: int, escape: bool = True
) -> dict[str, object]:
    out, heads = block_of(bytes(size)), room(capacity)
    rows, written, fault = module.frame_recordio(pieces, first, out, heads, escape)
    return {"rows": rows, "fault": fault, "bytes": out[:written].tobytes(), "heads": heads[:rows].tolist()}


class TestScanning:
    @pytest.mark.parametrize(("payload", "stored"), VECTORS.values(), ids=VECTORS.keys())
    def test_what_mxnet_framed_is_read_back(self, payload, stored):
        answer = scan_whole(SCAN, bytes.fromhex(stored))
        assert answer["payloads"] == [payload]
        assert answer["spans"][0][0] == 8
        assert answer["fault"] == reference.OK

    def test_the_parts_of_a_record_are_joined_in_place(self):
        stored = bytes.fromhex(VECTORS["magics between"][1])
        for module in BOTH:
            answer = scan(module, SCAN, stored, 0, len(stored), True, 1)
            assert answer["spans"] == [(8, 18)]
            assert answer["block"][:26] == stored[:8] + b"xxxx" + MAGIC + b"yyyy" + MAGIC + b"zz"

    @pytest.mark.parametrize(
        ("cut", "count", "fault", "position"),
        [
            (0, 0, reference.OK, None),
            (13, 0, reference.TRUNCATED_BODY, 0),
            (15, 0, reference.TRUNCATED_BODY, 0),
            (16, 1, reference.OK, None),
            (20, 1, reference.TRUNCATED_HEADER, 16),
            (24, 1, reference.TRUNCATED_BODY, 16),
            (28, 1, reference.UNFINISHED_RECORD, 28),
            (29, 1, reference.TRUNCATED_HEADER, 28),
            (36, 1, reference.TRUNCATED_BODY, 28),
            (46, 2, reference.TRUNCATED_HEADER, 44),
            (48, 2, reference.TRUNCATED_HEADER, 44),
            (52, 2, reference.TRUNCATED_BODY, 44),
            (55, 2, reference.TRUNCATED_BODY, 44),
            (56, 3, reference.OK, None),
        ],
    )
    def test_a_cut_file_gives_its_whole_records_and_then_the_fault(self, cut, count, fault, position):
        answer = scan_whole(SCAN, DAMAGE_BASE[:cut])
        assert answer["payloads"] == [b"hello", b"xxxx" + MAGIC + b"yyyyyy", b"last"][:count]
        assert (answer["fault"], answer["position"]) == (fault, position)

    def test_a_zeroed_magic_is_a_bad_magic(self):
        answer = scan_whole(SCAN, DAMAGE_BASE[:16] + bytes(4) + DAMAGE_BASE[20:])
        assert (len(answer["payloads"]), answer["fault"], answer["position"]) == (1, reference.BAD_MAGIC, 16)

    @pytest.mark.parametrize(
        ("flags", "count", "fault", "number"),
        [
            ((0, 0), 2, reference.OK, None),
            ((1, 3), 1, reference.OK, None),
            ((1, 2, 2, 3), 1, reference.OK, None),
            ((2,), 0, reference.ORPHAN_PART, 0),
            ((3,), 0, reference.ORPHAN_PART, 0),
            ((0, 3), 1, reference.ORPHAN_PART, 1),
            ((1, 0), 0, reference.UNFINISHED_RECORD, 1),
            ((1, 1), 0, reference.UNFINISHED_RECORD, 1),
            ((1, 2, 0), 0, reference.UNFINISHED_RECORD, 2),
            ((1, 2), 0, reference.UNFINISHED_RECORD, 2),
            ((4,), 0, reference.BAD_FLAG, 0),
            ((1, 7), 0, reference.BAD_FLAG, 1),
        ],
    )
    def test_only_legal_sequences_of_parts_are_records(self, flags, count, fault, number):
        answer = scan_whole(SCAN, b"".join(part(flag, b"body") for flag in flags))
        assert (len(answer["payloads"]), answer["fault"]) == (count, fault)
        assert answer["position"] == (None if number is None else 12 * number)

    def test_every_cut_and_every_flipped_byte_gives_what_the_twin_gives(self):
        for at in range(len(DAMAGE_BASE)):
            scan_whole(SCAN, DAMAGE_BASE[:at])
            for mask in (0x01, 0x20, 0x80, 0xFF):
                flipped = bytearray(DAMAGE_BASE)
                flipped[at] ^= mask
                scan_whole(SCAN, bytes(flipped))

    @settings(deadline=None, max_examples=300)
    @given(hostile_files, st.integers(0, 5), st.booleans(), st.data())
    @example(part(1, b"a") + part(2, b"") + part(3, b"bc"), 1, True, None)
    def test_a_part_of_a_block_gives_what_the_twin_gives(self, file, capacity, final, data):
        size = len(file) if data is None else data.draw(st.integers(0, len(file)))
        start = 0 if data is None else data.draw(st.sampled_from([at for at in (0, 4, 16, size) if at <= size]))
        agreed(lambda module: scan(module, SCAN, file, start, size, final, capacity))

    @settings(deadline=None, max_examples=200)
    @given(hostile_files, st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 3))
    def test_a_file_in_pieces_gives_what_the_whole_file_gives(self, file, pieces, capacity):
        whole = scan_whole(SCAN, file)
        found, fault, position = scan_in_pieces(SCAN, file, pieces, capacity)
        assert (found, fault) == (whole["payloads"], whole["fault"])
        assert position == (whole["position"] if fault else len(file))

    @settings(deadline=None, max_examples=100)
    @given(hostile_files)
    def test_only_payloads_of_several_parts_are_written_to(self, file):
        # What is not reported must stay as it is: it is scanned again when more has been read
        block, starts, lengths = block_of(file), room(50), room(50)
        count, *_ = _kernels.scan_recordio(block, 0, len(file), False, starts, lengths)
        changed = np.flatnonzero(block != np.frombuffer(file, np.uint8))
        for at in changed.tolist():
            assert any(s <= at < s + n for s, n in zip(starts[:count], lengths[:count], strict=True))

    def test_more_bytes_are_wanted_up_to_the_end_of_the_part_in_hand(self):
        file = part(1, b"abcd") + part(3, b"efghi") + part(0, b"")
        wanted = [
            scan(_kernels, SCAN, file, 0, size, False, 9)["wanted"] for size in (0, 1, 7, 8, 11, 12, 19, 20, 27, 28, 36)
        ]
        assert wanted == [0, 8, 8, 12, 12, 20, 20, 28, 28, 28, 36]

    def test_wrong_arguments_are_refused(self):
        file = framed(b"abc")
        calls = {
            "read-only block": lambda m: m.scan_recordio(
                np.frombuffer(file, np.uint8), 0, len(file), True, room(1), room(1)
            ),
            "size beyond the block": lambda m: m.scan_recordio(block_of(file), 0, 13, True, room(1), room(1)),
            "start beyond the size": lambda m: m.scan_recordio(block_of(file), 9, 8, True, room(1), room(1)),
            "start below 0": lambda m: m.scan_recordio(block_of(file), -4, 12, True, room(1), room(1)),
            "starts of 4 bytes": lambda m: m.scan_recordio(block_of(file), 0, 12, True, np.zeros(1, np.int32), room(1)),
            "results of two lengths": lambda m: m.scan_recordio(block_of(file), 0, 12, True, room(2), room(1)),
            "a text": lambda m: m.scan_recordio("abc", 0, 3, True, room(1), room(1)),
        }
        assert_refused(calls)


GOLDEN_FILES = [
    "a_scalar",
    "b_vector",
    "c_magic_header",
    "c_magic_indexed",
    "c_magic_raw",
    "d_empty_content",
    "d_empty_raw",
    "d_zero_records",
    "e_images",
    "f_int_keys",
    "f_str_keys",
    "g_insightface",
    "h_det",
    "h_im2rec",
    "r_photos",
]
# whole records, fault: where mxnet answers with a silent loss, this is what must be said instead
NEGATIVE_FILES = {
    "n_trunc_body": (2, reference.TRUNCATED_BODY),
    "n_trunc_pad": (2, reference.TRUNCATED_BODY),
    "n_trunc_head": (2, reference.TRUNCATED_HEADER),
    "n_trunc_between": (2, reference.OK),
    "n_bad_magic": (1, reference.BAD_MAGIC),
    "n_nonzero_pad": (3, reference.OK),
    "n_cflag4": (1, reference.BAD_FLAG),
    "n_orphan_middle": (1, reference.ORPHAN_PART),
    "n_orphan_end": (1, reference.ORPHAN_PART),
    "n_trunc_multipart": (1, reference.UNFINISHED_RECORD),
    "n_trunc_multipart2": (1, reference.TRUNCATED_BODY),
    "n_trail_zero": (2, reference.BAD_MAGIC),
    "n_trail_3": (2, reference.TRUNCATED_HEADER),
}


class TestFilesByMxnet:
    @pytest.mark.parametrize("name", GOLDEN_FILES)
    def test_every_record_of_a_golden_file_is_found(self, name):
        truth = json.loads((GOLDEN / f"{name}.json").read_text())
        file = (GOLDEN / f"{name}.rec").read_bytes()
        answer = scan_whole(SCAN, file)
        assert (answer["fault"], answer["consumed"]) == (reference.OK, truth["file_size"])
        assert [start - 8 for start, _ in answer["spans"]] == [record["offset"] for record in truth["records"]]
        assert [length for _, length in answer["spans"]] == [record["size"] for record in truth["records"]]
        digests = [hashlib.sha256(payload).hexdigest() for payload in answer["payloads"]]
        assert digests == [record["sha256"] for record in truth["records"]]

    @pytest.mark.parametrize("name", GOLDEN_FILES)
    def test_framing_the_records_again_gives_the_golden_file(self, name):
        file = (GOLDEN / f"{name}.rec").read_bytes()
        answer = scan(_kernels, SCAN, file, 0, len(file), True, len(file) // 8)
        again = frame(_kernels, [values_of(answer["payloads"])], 0, len(file), len(answer["payloads"]))
        assert again["bytes"] == file
        assert again["heads"] == [start - 8 for start, _ in answer["spans"]]

    @pytest.mark.parametrize("name", GOLDEN_FILES)
    def test_a_walk_finds_the_heads_and_headers_of_a_golden_file(self, name):
        file = (GOLDEN / f"{name}.rec").read_bytes()
        scanned = scan(reference, SCAN, file, 0, len(file), True, len(file) // 8)
        rows = [
            (start - 8, length, payload[:24].ljust(24, b"\0"))
            for (start, length), payload in zip(scanned["spans"], scanned["payloads"], strict=True)
        ]
        assert walk_in_windows(_kernels, file, [100], 7) == (rows, reference.OK, None)
        assert walk_in_windows(reference, file, [100], 7) == (rows, reference.OK, None)

    @pytest.mark.parametrize("name", NEGATIVE_FILES)
    def test_a_damaged_file_gives_its_sound_records_and_the_fault(self, name):
        truth = json.loads((GOLDEN / "negatives.json").read_text())[name]
        count, fault = NEGATIVE_FILES[name]
        answer = scan_whole(SCAN, (GOLDEN / f"{name}.rec").read_bytes())
        assert (len(answer["payloads"]), answer["fault"]) == (count, fault)
        digests = [hashlib.sha256(payload).hexdigest() for payload in answer["payloads"]]
        sound = min(count, truth["mxnet_records_before"])
        assert digests[:sound] == truth["sha256"][:sound]


def begin_walk(head: int = 0) -> bytearray:
    return bytearray(struct.pack("<qqqq24s", head, -1, 0, 0, b""))


def walk_once(module: ModuleType, file: bytes, file_size: int, capacity: int) -> dict[str, object]:
    """One call with the whole file as the window."""
    walk, heads, lengths, headers = begin_walk(), room(capacity), room(capacity), block_of(bytes(24 * capacity))
    count, following, fault, position = module.walk_recordio(file, 0, file_size, walk, heads, lengths, headers)
    following_too, record = struct.unpack_from("<qq", walk)
    return {
        "heads": heads[:count].tolist(),
        "lengths": lengths[:count].tolist(),
        "headers": headers[: 24 * count].tobytes(),
        "next": None if fault else (following, following_too),
        "record": record,
        "fault": fault,
        "position": position if fault else None,
    }


def walk_in_windows(module: ModuleType, file: bytes, sizes: list[int], capacity: int) -> tuple[list, int, tuple | None]:
    """Walk a file as its caller does: a window of 32 bytes or more from next on; (rows, fault, (position, record))."""
    walk, rows, calls, following = begin_walk(), [], 0, 0
    while True:
        window = file[following : following + max(32, sizes[calls % len(sizes)])]
        heads, lengths, headers = room(capacity), room(capacity), block_of(bytes(24 * capacity))
        before = following
        count, following, fault, position = module.walk_recordio(
            window, following, len(file), walk, heads, lengths, headers
        )
        calls += 1
        for row in range(count):
            rows.append((int(heads[row]), int(lengths[row]), headers[24 * row : 24 * row + 24].tobytes()))
        if fault:
            return rows, fault, (position, struct.unpack_from("<qq", walk)[1])
        if following == len(file) and count < capacity:
            return rows, fault, None
        assert following > before or count == capacity  # else the caller would ask for ever


class TestWalking:
    @settings(deadline=None, max_examples=300)
    @given(hostile_files, st.integers(0, 5), st.integers(0, 40))
    def test_a_window_over_the_file_gives_what_the_twin_gives(self, file, capacity, cut):
        file_size = len(file)
        agreed(lambda module: walk_once(module, file, file_size, capacity))
        # The window may end before the file does, but then not every fault is seen in this call
        agreed(lambda module: walk_once(module, file, file_size + cut, 1))

    @settings(deadline=None, max_examples=200)
    @given(hostile_files, st.lists(st.integers(32, 70), min_size=1, max_size=4), st.integers(1, 3))
    def test_windows_along_the_file_give_what_the_whole_file_gives(self, file, sizes, capacity):
        walked = agreed(lambda module: walk_in_windows(module, file, sizes, capacity))
        assert walked == walk_in_windows(reference, file, [len(file)], len(file) // 8 + 1)

    @settings(deadline=None, max_examples=100)
    @given(hostile_files)
    def test_a_walk_and_a_scan_find_the_same_records_and_faults(self, file):
        rows, fault, place = walk_in_windows(_kernels, file, [32], 4)
        scanned = scan(_kernels, SCAN, file, 0, len(file), True, len(file) // 8 + 1)
        assert [(head + 8, length) for head, length, _ in rows] == scanned["spans"]
        assert [header for *_, header in rows] == [p[:24].ljust(24, b"\0") for p in scanned["payloads"]]
        assert fault == scanned["fault"]
        if place is not None:
            position, record = place
            assert position == scanned["position"]
            assert (position if record == -1 else record) == scanned["consumed"]

    def test_a_header_that_is_cut_by_magics_is_put_together(self):
        payload = b"abcd" + MAGIC + MAGIC + b"efgh" + MAGIC + b"ijklmnop"
        for module in BOTH:
            rows, fault, _ = walk_in_windows(module, framed(payload, b"short"), [32], 2)
            assert fault == reference.OK
            assert rows == [(0, 28, payload[:24]), (48, 5, b"short" + bytes(19))]

    def test_bodies_need_not_be_in_the_window(self):
        file = framed(bytes(1000), b"x" * 500, b"end")
        for module in BOTH:
            walk, heads, lengths, headers = begin_walk(), room(3), room(3), block_of(bytes(72))
            answer = module.walk_recordio(file[:32], 0, len(file), walk, heads, lengths, headers)
            assert answer[:3] == (1, 1008, reference.OK)
            answer = module.walk_recordio(file[1008:1040], 1008, len(file), walk, heads, lengths, headers)
            assert answer[:3] == (1, 1516, reference.OK)
            assert headers[:24].tobytes() == b"x" * 24

    def test_every_cut_and_every_flipped_byte_gives_what_the_twin_gives(self):
        for at in range(len(DAMAGE_BASE)):
            cut = DAMAGE_BASE[:at]
            agreed(lambda module: walk_in_windows(module, cut, [32], 2))  # noqa: B023
            for mask in (0x01, 0x20, 0x80, 0xFF):
                flipped = DAMAGE_BASE[:at] + bytes([DAMAGE_BASE[at] ^ mask]) + DAMAGE_BASE[at + 1 :]
                agreed(lambda module: walk_in_windows(module, flipped, [32], 2))  # noqa: B023

    def test_wrong_arguments_are_refused(self):
        file = framed(b"abc")
        size = len(file)
        calls = {
            "a short state": lambda m: m.walk_recordio(
                file, 0, size, bytearray(55), room(1), room(1), block_of(bytes(24))
            ),
            "a long state": lambda m: m.walk_recordio(
                file, 0, size, bytearray(57), room(1), room(1), block_of(bytes(24))
            ),
            "a read-only state": lambda m: m.walk_recordio(
                file, 0, size, bytes(begin_walk()), room(1), room(1), block_of(bytes(24))
            ),
            "next beyond the file": lambda m: m.walk_recordio(
                file, 0, size, begin_walk(size + 1), room(1), room(1), block_of(bytes(24))
            ),
            "next below 0": lambda m: m.walk_recordio(
                file, 0, size, begin_walk(-4), room(1), room(1), block_of(bytes(24))
            ),
            "more than 24 bytes of header": lambda m: m.walk_recordio(
                file,
                0,
                size,
                bytearray(struct.pack("<qqqq24s", 0, 0, 25, 25, b"")),
                room(1),
                room(1),
                block_of(bytes(24)),
            ),
            "few headers": lambda m: m.walk_recordio(
                file, 0, size, begin_walk(), room(2), room(2), block_of(bytes(47))
            ),
            "few lengths": lambda m: m.walk_recordio(
                file, 0, size, begin_walk(), room(2), room(1), block_of(bytes(48))
            ),
            "heads of 4 bytes": lambda m: m.walk_recordio(
                file, 0, size, begin_walk(), np.zeros(1, np.int32), room(1), block_of(bytes(24))
            ),
        }
        assert_refused(calls)


class TestResyncing:
    @settings(deadline=None, max_examples=400)
    @given(st.one_of(hostile_files, st.builds(lambda a, b: a + b, payloads, files)), st.booleans(), st.data())
    def test_the_next_head_is_where_the_twin_finds_it(self, file, final, data):
        size = data.draw(st.integers(0, len(file)))
        start = data.draw(st.integers(0, size))
        agreed(lambda module: module.resync_recordio(file, start, size, final))

    def test_every_start_and_every_size_gives_what_the_twin_gives(self):
        file = b"\0\0" + MAGIC + b"\0\0" + framed(b"abc", b"abcd" + MAGIC + b"e") + part(2, b"") + framed(b"")
        for size in range(len(file) + 1):
            for start in range(size + 1):
                for final in (False, True):
                    agreed(lambda module: module.resync_recordio(file, start, size, final))  # noqa: B023

    @pytest.mark.parametrize(
        ("tail", "found"),
        [
            (b"", True),
            (b"1234567", True),  # fewer than 8 bytes count as the end
            (b"12345678", False),
            (part(0, b""), True),
            (part(1, b""), True),
            (part(2, b""), False),
            (part(4, b""), False),
        ],
    )
    def test_a_whole_record_is_a_head_when_a_head_or_the_end_follows(self, tail, found):
        file = bytes(8) + part(0, b"abcde") + tail
        for module in BOTH:
            position, decided = module.resync_recordio(file, 1, len(file), True)
            assert decided
            assert (position == 8) == found

    @pytest.mark.parametrize(
        ("tail", "found"),
        [(b"", False), (b"123", False), (part(0, b""), False), (part(2, b""), True), (part(3, b""), True)],
    )
    def test_a_first_part_is_a_head_when_its_continuation_follows(self, tail, found):
        file = bytes(8) + part(1, b"abcd") + tail
        for module in BOTH:
            position, decided = module.resync_recordio(file, 1, len(file), True)
            assert decided
            assert (position == 8) == found

    @settings(deadline=None, max_examples=150)
    @given(hostile_files, st.integers(0, 12))
    def test_asking_again_with_more_bytes_leads_to_the_same_head(self, file, start):
        start = min(start, len(file))
        expected = reference.resync_recordio(file, start, len(file), True)
        for module in BOTH:
            position, size, decided = start, start, False
            while not decided:
                position, decided = module.resync_recordio(file, min(position, size), size, size == len(file))
                assert decided or size < len(file)
                size = min(len(file), size + 5)
            assert (position, decided) == expected

    def test_wrong_arguments_are_refused(self):
        file = framed(b"abc")
        calls = {
            "size beyond the block": lambda m: m.resync_recordio(file, 0, len(file) + 1, True),
            "start beyond the size": lambda m: m.resync_recordio(file, 9, 8, True),
            "start below 0": lambda m: m.resync_recordio(file, -1, 8, True),
            "a text": lambda m: m.resync_recordio("abcd", 0, 4, True),
        }
        assert_refused(calls)
