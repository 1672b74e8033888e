"""The kernel that measures LZF streams against its twin, which unpacks them, and against those of h5py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import agreed, assert_refused
from tests.native.strategies import damaged

BOTH = [_kernels, reference]

_runs = st.binary(min_size=1, max_size=32).map(lambda data: bytes([len(data) - 1]) + data)
_references = st.builds(
    lambda length, more, back: bytes([length << 5 | back >> 8, *([more] if length == 7 else []), back & 255]),
    st.integers(1, 7),
    st.integers(0, 255),
    st.one_of(st.integers(0, 40), st.integers(0, 8191)),
)
streams = st.lists(st.one_of(_runs, _references), max_size=12).map(b"".join)


@settings(deadline=None, max_examples=500)
@given(st.one_of(streams, damaged(streams), st.binary(max_size=60)))
def test_a_stream_is_as_long_as_its_twin_makes_it(data):
    agreed(lambda module: module.lzf_length(data))


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 0),
        (b"\x00a", 1),
        (b"\x1f" + bytes(32), 32),
        (b"\x1f" + bytes(31), -1),
        (b"\x00", -1),
        (b"\x00a\x20\x00", 4),  # a reference of 3 bytes to the one before
        (b"\x00a\x20\x01", -1),
        (b"\x20\x00", -1),
        (b"\x00a\x20", -1),
        (b"\x00a\xe0\xff\x00", 265),
        (b"\x00a\xe0\xff", -1),
        (b"\x00a\xe0", -1),
        (b"\x00a\x21\x00", -1),  # of 257 bytes back
    ],
)
def test_the_length_of_a_stream_or_that_it_is_none(module, data, length):
    assert module.lzf_length(data) == length


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("kind", ["zeros", "counted", "text", "noise"])
def test_what_h5py_packs_is_as_long_as_its_chunk(module, tmp_path: Path, kind):
    noise = np.random.default_rng(3)
    values = {
        "zeros": np.zeros(20_000, np.uint8),
        "counted": np.arange(20_000).astype(np.uint8),
        "text": np.frombuffer(b"a row, and another row; " * 900, np.uint8)[:20_000],
        "noise": noise.integers(0, 4, 20_000).astype(np.uint8) ** 2,
    }[kind]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", data=values, chunks=(20_000,), compression="lzf")
        mask, packed = data.id.read_direct_chunk((0,))
    assert mask == 0
    assert len(packed) < 20_000
    assert module.lzf_length(packed) == 20_000


def test_wrong_arguments_are_refused():
    assert_refused({"a text": lambda m: m.lzf_length("a"), "nothing": lambda m: m.lzf_length(None)})
