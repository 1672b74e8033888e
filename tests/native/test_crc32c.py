"""CRC-32C: by the processor's instruction, by table, and by definition."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference

KERNELS = [_kernels.crc32c, _kernels.crc32c_table]
VECTORS = [
    (b"", 0x00000000),
    (b"a", 0xC1D04330),
    (b"123456789", 0xE3069283),
    # RFC 3720, B.4
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (
        bytes.fromhex(
            "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
        ),
        0xD9963A56,
    ),
]
LONGEST = 4096


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("crc32c", [*KERNELS, reference.crc32c])
@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_the_published_vectors_come_out(crc32c, data, expected):
    assert crc32c(data) == expected


def test_the_mask_is_that_of_tfrecord():
    assert reference.mask_crc(0) == 0xA282EAD8
    assert reference.mask_crc(_kernels.crc32c(bytes(8))) == 0x07980329  # an empty record begins 00*8 29039807


def test_every_length_at_every_alignment_gives_what_the_definition_gives():
    data = noise(LONGEST + 9)
    view = memoryview(data)
    for alignment in range(9):
        expected = 0
        for length in range(LONGEST + 1):
            piece = view[alignment : alignment + length]
            assert _kernels.crc32c(piece) == expected, (alignment, length)
            assert _kernels.crc32c_table(piece) == expected, (alignment, length)
            expected = reference.crc32c(view[alignment + length : alignment + length + 1], expected)


@pytest.mark.parametrize("size", [8191, 8192, 24_575, 24_576, 24_577, 65_536, 1_000_003, 3 * 2**20 + 5])
@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF, 0x12345678])
def test_long_data_gives_the_same_by_instruction_and_by_table(size, value):
    data = noise(size)
    assert _kernels.crc32c(data, value) == _kernels.crc32c_table(data, value)


@pytest.mark.parametrize("crc32c", KERNELS)
def test_long_data_gives_the_same_in_one_piece_and_in_many(crc32c):
    data = noise(200_000)
    value = 0
    for at in range(0, len(data), 997):
        value = crc32c(data[at : at + 997], value)
    assert value == crc32c(data)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80), st.binary(max_size=80), st.integers(0, 2**32 - 1))
def test_a_crc_continues_over_what_follows(before, after, value):
    for crc32c in KERNELS:
        assert crc32c(after, crc32c(before, value)) == crc32c(before + after, value)
        assert crc32c(before, value) == reference.crc32c(before, value)


@pytest.mark.parametrize("crc32c", KERNELS)
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_of_bytes_is_taken(crc32c, wrap):
    assert crc32c(wrap(b"123456789")) == 0xE3069283


@pytest.mark.parametrize("crc32c", [*KERNELS, reference.crc32c])
@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2], np.zeros(8, np.uint8)[::2]])
def test_what_is_not_contiguous_bytes_is_refused(crc32c, wrong):
    with pytest.raises((TypeError, ValueError)):
        crc32c(wrong)
