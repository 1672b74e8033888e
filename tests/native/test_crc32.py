"""CRC-32: by carry-less products, by table, by definition, and zlib's."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference

KERNELS = [_kernels.crc32, _kernels.crc32_table]
LONGEST = 1024


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("crc32", [*KERNELS, reference.crc32])
@pytest.mark.parametrize(("data", "expected"), [(b"", 0), (b"a", 0xE8B7BE43), (b"123456789", 0xCBF43926)])
def test_the_published_vectors_come_out(crc32, data, expected):
    assert crc32(data) == expected


def test_every_length_at_every_alignment_gives_what_the_definition_gives():
    data = noise(LONGEST + 17)
    view = memoryview(data)
    for alignment in range(17):
        expected = 0
        for length in range(LONGEST + 1):
            piece = view[alignment : alignment + length]
            assert _kernels.crc32(piece) == expected, (alignment, length)
            assert _kernels.crc32_table(piece) == expected, (alignment, length)
            expected = reference.crc32(view[alignment + length : alignment + length + 1], expected)


@pytest.mark.parametrize("size", [8191, 65_536, 1_000_003, 3 * 2**20 + 5])
@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF, 0x12345678])
def test_long_data_gives_what_zlib_gives(size, value):
    data = noise(size)
    assert _kernels.crc32(data, value) == _kernels.crc32_table(data, value) == zlib.crc32(data, value)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_a_crc_continues_over_what_follows(before, after, value):
    for crc32 in KERNELS:
        assert crc32(after, crc32(before, value)) == crc32(before + after, value)
        assert crc32(before, value) == reference.crc32(before, value)


@pytest.mark.parametrize("crc32", KERNELS)
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_of_bytes_is_taken(crc32, wrap):
    assert crc32(wrap(b"123456789")) == 0xCBF43926


@pytest.mark.parametrize("crc32", [*KERNELS, reference.crc32])
@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2], np.zeros(8, np.uint8)[::2]])
def test_what_is_not_contiguous_bytes_is_refused(crc32, wrong):
    with pytest.raises((TypeError, ValueError)):
        crc32(wrong)
