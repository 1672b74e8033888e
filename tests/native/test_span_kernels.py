"""The kernels for spans against their twins."""

from __future__ import annotations

import os
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import agreed, assert_refused, block_of, room, spans_of, values_of
from tests.native.strategies import scattered

BOTH = [_kernels, reference]


class TestGathering:
    @settings(deadline=None, max_examples=150)
    @given(scattered())
    def test_spans_are_copied_one_after_another(self, rows):
        base, spans = rows

        def gather(module):
            out = block_of(bytes(sum(length for _, length in spans)))
            module.gather_spans(spans_of(base, spans), out)
            return out.tobytes()

        assert agreed(gather) == b"".join(base[start : start + length] for start, length in spans)

    def test_long_and_short_spans_are_copied_alike(self):
        values = [os.urandom(size) for size in (0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 4097, 0, 100_000)]
        for module in BOTH:
            out = block_of(bytes(sum(map(len, values))))
            module.gather_spans(values_of(values), out)
            assert out.tobytes() == b"".join(values)

    def test_wrong_arguments_are_refused(self):
        good = values_of([b"ab", b"cde"])
        calls = {
            "out too small": lambda m: m.gather_spans(good, block_of(bytes(4))),
            "out too large": lambda m: m.gather_spans(good, block_of(bytes(6))),
            "read-only out": lambda m: m.gather_spans(good, np.frombuffer(bytes(5), np.uint8)),
            "beyond the base": lambda m: m.gather_spans(spans_of(b"abc", [(1, 3)]), block_of(bytes(3))),
            "before the base": lambda m: m.gather_spans(spans_of(b"abc", [(-1, 3)]), block_of(bytes(3))),
            "negative length": lambda m: m.gather_spans(spans_of(b"abc", [(2, -1), (0, 1)]), block_of(b"")),
            "a sum above 64 bits": lambda m: m.gather_spans(
                spans_of(b"abc", [(0, 2**63 - 1), (0, 2**63 - 1), (0, 2)]), block_of(b"")
            ),
            "fewer lengths": lambda m: m.gather_spans((*good[:2], good[2][:1]), block_of(bytes(2))),
            "starts of 4 bytes": lambda m: m.gather_spans(
                (good[0], good[1].astype(np.int32), good[2]), block_of(bytes(5))
            ),
            "no spans": lambda m: m.gather_spans(None, block_of(bytes(5))),
            "two of three": lambda m: m.gather_spans(good[:2], block_of(bytes(5))),
        }
        assert_refused(calls)


class TestDigesting:
    @settings(deadline=None, max_examples=150)
    @given(scattered(), st.data())
    def test_values_are_digested_with_their_lengths(self, rows, data):
        base, spans = rows
        before = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=len(spans), max_size=len(spans)))

        def digest(module):
            crcs = np.array(before, np.uint32)
            module.digest_rows(spans_of(base, spans), None, crcs)
            return crcs.tolist()

        agreed(digest)

    @settings(deadline=None, max_examples=150)
    @given(scattered(), st.data())
    def test_lists_are_digested_with_their_number_of_values(self, rows, data):
        base, spans = rows
        lists = []
        for _ in range(data.draw(st.integers(0, 5))):
            start = data.draw(st.integers(0, len(spans)))
            lists.append((start, data.draw(st.integers(0, len(spans) - start))))

        def digest(module):
            crcs = np.arange(len(lists), dtype=np.uint32)
            module.digest_rows(spans_of(base, spans), spans_of(b"", lists)[1:], crcs)
            return crcs.tolist()

        agreed(digest)

    @pytest.mark.parametrize("module", BOTH)
    def test_a_digest_is_the_crc_of_lengths_and_bytes(self, module):
        crcs = np.zeros(2, np.uint32)
        module.digest_rows(values_of([b"abc", b""]), None, crcs)
        assert crcs.tolist() == [reference.crc32c(struct.pack("<Q", 3) + b"abc"), reference.crc32c(bytes(8))]
        crcs = np.zeros(1, np.uint32)
        module.digest_rows(values_of([b"abc", b""]), (np.array([0]), np.array([2])), crcs)
        assert crcs[0] == reference.crc32c(struct.pack("<QQ3sQ", 2, 3, b"abc", 0))

    @pytest.mark.parametrize("module", BOTH)
    def test_columns_are_digested_one_after_another(self, module):
        crcs = np.zeros(1, np.uint32)
        module.digest_rows(values_of([b"ab"]), None, crcs)
        module.digest_rows(values_of([b"c"]), None, crcs)
        assert crcs[0] == reference.crc32c(struct.pack("<Q2sQ1s", 2, b"ab", 1, b"c"))

    def test_wrong_arguments_are_refused(self):
        good = values_of([b"ab", b"cde"])
        one, two, three = np.array([1]), np.array([2]), np.array([3])
        calls = {
            "too few crcs": lambda m: m.digest_rows(good, None, np.zeros(1, np.uint32)),
            "too many crcs": lambda m: m.digest_rows(good, None, np.zeros(3, np.uint32)),
            "crcs of 8 bytes": lambda m: m.digest_rows(good, None, np.zeros(2, np.uint64)),
            "read-only crcs": lambda m: m.digest_rows(good, None, np.frombuffer(bytes(8), np.uint32)),
            "a list beyond the values": lambda m: m.digest_rows(good, (one, two), np.zeros(1, np.uint32)),
            "a list behind the values": lambda m: m.digest_rows(good, (three, one - 1), np.zeros(1, np.uint32)),
            "a negative list": lambda m: m.digest_rows(good, (one, -one), np.zeros(1, np.uint32)),
            "lists of two lengths": lambda m: m.digest_rows(good, (one, np.array([1, 1])), np.zeros(1, np.uint32)),
            "as many crcs as values": lambda m: m.digest_rows(good, (one, one), np.zeros(2, np.uint32)),
            "outside": lambda m: m.digest_rows(spans_of(b"abc", [(1, 3)]), None, np.zeros(1, np.uint32)),
        }
        assert_refused(calls)


class TestReading:
    CONTENT = bytes(range(256)) * 3

    @pytest.fixture
    def fd(self, tmp_path):
        path = tmp_path / "content"
        path.write_bytes(self.CONTENT)
        fd = os.open(path, os.O_RDONLY)
        yield fd
        os.close(fd)

    @staticmethod
    def read(module, fd: int, spans: list[tuple[int, int]]) -> tuple[int, bytes]:
        _, offsets, lengths = spans_of(b"", spans)
        out = block_of(bytes(sum(length for _, length in spans)))
        rows = module.read_spans(fd, offsets, lengths, out)
        return rows, out[: sum(length for _, length in spans[:rows])].tobytes()

    def test_spans_are_read_from_anywhere_in_the_file(self, fd):
        size = len(self.CONTENT)
        offsets, sizes = st.integers(0, size + 20), st.integers(0, size + 20)

        @settings(deadline=None, max_examples=200)
        @given(st.lists(st.tuples(offsets, sizes), max_size=6))
        def check(spans):
            rows, content = agreed(lambda module: self.read(module, fd, spans))
            assert content == b"".join(self.CONTENT[offset : offset + length] for offset, length in spans[:rows])

        check()

    def test_neighbouring_spans_are_read_like_others(self, fd):
        size = len(self.CONTENT)

        @settings(deadline=None, max_examples=100)
        @given(st.lists(st.integers(0, 200), max_size=8), st.lists(st.integers(0, 3), min_size=8, max_size=8))
        def check(lengths, gaps):
            spans, offset = [], 0
            for length, gap in zip(lengths, gaps, strict=False):
                spans.append((offset + gap, length))
                offset += gap + length
            rows, _ = agreed(lambda module: self.read(module, fd, spans))
            whole = [offset + length <= size or length == 0 for offset, length in spans]
            assert rows == [*whole, False].index(False)

        check()

    @pytest.mark.parametrize("module", BOTH)
    def test_the_end_of_the_file_stops_the_reading(self, module, fd):
        size = len(self.CONTENT)
        assert self.read(module, fd, [(size - 4, 4), (size - 4, 5), (0, 2)]) == (1, self.CONTENT[-4:])
        assert self.read(module, fd, [(size, 1)]) == (0, b"")
        assert self.read(module, fd, [(size, 0), (2, 2)]) == (2, self.CONTENT[2:4])

    @pytest.mark.parametrize("module", BOTH)
    def test_a_long_span_is_read_whole(self, module, tmp_path):
        content = os.urandom(3 * 2**20 + 1)
        (tmp_path / "long").write_bytes(content)
        with open(tmp_path / "long", "rb") as file:
            assert self.read(module, file.fileno(), [(1, 3 * 2**20), (0, 1)]) == (2, content[1:] + content[:1])

    @pytest.mark.parametrize("module", BOTH)
    def test_what_the_operating_system_refuses_is_an_os_error(self, module, tmp_path):
        offsets, lengths = np.zeros(1, np.int64), np.ones(1, np.int64)
        fd = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(IsADirectoryError):
            module.read_spans(fd, offsets, lengths, block_of(bytes(1)))
        os.close(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            module.read_spans(fd, offsets, lengths, block_of(bytes(1)))
        reader, writer = os.pipe()
        with pytest.raises(OSError, match="Illegal seek"):
            module.read_spans(reader, offsets, lengths, block_of(bytes(1)))
        os.close(reader)
        os.close(writer)

    def test_wrong_arguments_are_refused(self, fd):
        one = np.ones(1, np.int64)
        calls = {
            "out too small": lambda m: m.read_spans(fd, one, 5 * one, block_of(bytes(4))),
            "out too large": lambda m: m.read_spans(fd, one, 5 * one, block_of(bytes(6))),
            "a negative offset": lambda m: m.read_spans(fd, -one, one, block_of(bytes(1))),
            "a negative length": lambda m: m.read_spans(fd, one, -one, block_of(bytes(4))),
            "a sum above 64 bits": lambda m: m.read_spans(
                fd, np.zeros(3, np.int64), np.array([2**63 - 1, 2**63 - 1, 2]), block_of(bytes(4))
            ),
            "fewer lengths": lambda m: m.read_spans(fd, room(2), one, block_of(bytes(4))),
            "lengths of 4 bytes": lambda m: m.read_spans(fd, one, one.astype(np.int32), block_of(bytes(4))),
            "read-only out": lambda m: m.read_spans(fd, one, one, np.frombuffer(bytes(4), np.uint8)),
            "no descriptor": lambda m: m.read_spans(None, one, one, block_of(bytes(4))),
        }
        assert_refused(calls)


def test_kernels_that_return_nothing_take_a_reference_to_none() -> None:
    base, starts, lengths = np.zeros(8, np.uint8), np.zeros(1, np.int64), np.full(1, 8)
    before = sys.getrefcount(None)
    for _ in range(1000):
        _kernels.gather_spans((base, starts, lengths), np.empty(8, np.uint8))
        _kernels.digest_rows((base, starts, lengths), None, np.zeros(1, np.uint32))
    assert sys.getrefcount(None) > before - 500
