"""The kernel for .idx files against its twin."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import agreed, assert_refused, room
from tests.native.strategies import damaged

GOLDEN = Path(__file__).parents[1] / "golden"
BOTH = [_kernels, reference]

_numbers = st.one_of(st.integers(0, 40), st.integers(0, 10**18 - 1), st.sampled_from([10**17, 10**18 - 1, 10**18]))
indexes = st.builds(
    lambda rows, end: b"\n".join(b"%d\t%d" % row for row in rows) + (end if rows else b""),
    st.lists(st.tuples(_numbers, _numbers), max_size=5),
    st.sampled_from([b"\n", b""]),
)
_texts = st.text(alphabet="0123456789\t\n\r -+x", max_size=20).map(str.encode)


def parse(module: ModuleType, text: bytes, capacity: int) -> tuple[list[tuple[int, int]], int]:
    keys, offsets = room(capacity), room(capacity)
    lines, parsed = module.parse_index(text, keys, offsets)
    return list(zip(keys[:lines].tolist(), offsets[:lines].tolist(), strict=True)), parsed


@settings(deadline=None, max_examples=400)
@given(st.one_of(indexes, damaged(indexes), _texts), st.integers(0, 6))
def test_an_index_is_parsed_as_the_twin_parses_it(text, capacity):
    agreed(lambda module: parse(module, text, capacity))


def test_every_cut_and_every_flipped_bit_gives_what_the_twin_gives():
    text = b"0\t0\n10\t12\n999999999999999999\t24\n3\t36"
    for at in range(len(text)):
        cut = text[:at]
        agreed(lambda module: parse(module, cut, 9))  # noqa: B023
        for bit in range(8):
            flipped = text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :]
            agreed(lambda module: parse(module, flipped, 9))  # noqa: B023


@pytest.mark.parametrize("module", BOTH)
def test_the_index_that_mxnet_writes_is_parsed_whole(module):
    assert parse(module, b"0\t0\n1\t12\n2\t24\n", 3) == ([(0, 0), (1, 12), (2, 24)], 14)


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize("name", ["c_magic_indexed", "e_images", "f_int_keys", "g_insightface", "h_im2rec", "r_photos"])
def test_the_offsets_of_a_golden_index_are_heads_of_records(module, name):
    text = (GOLDEN / f"{name}.idx").read_bytes()
    file = (GOLDEN / f"{name}.rec").read_bytes()
    rows, parsed = parse(module, text, 100)
    assert parsed == len(text)
    assert len(rows) == text.count(b"\n")
    assert {file[offset : offset + 4] for _, offset in rows} == {b"\x0a\x23\xd7\xce"}


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("text", "lines", "parsed"),
    [
        (b"", 0, 0),
        (b"5\t7", 1, 3),
        (b"5\t7\n6\t8", 2, 7),
        (b"999999999999999999\t0\n", 1, 21),
        (b"1000000000000000000\t0\n", 0, 0),
        (b"1\t18446744073709551615\n", 0, 0),
        (b"1\t2\n01\t3\n", 1, 4),
        (b"1\t2\n3\t04\n", 1, 4),
        (b"1\t2\n-3\t4\n", 1, 4),
        (b"1\t2\n+3\t4\n", 1, 4),
        (b"1\t2\nname\t4\n", 1, 4),
        (b"1\t2\n\n3\t4\n", 1, 4),
        (b"1\t2\r\n", 0, 0),
        (b"1 2\n", 0, 0),
        (b"1\t2\t3\n", 0, 0),
        (b"1\t\n", 0, 0),
        (b"\t1\n", 0, 0),
        (b"1\t2\n3", 1, 4),
        (b"1\t2\n3\t", 1, 4),
        (b"1\t2\0", 0, 0),
    ],
)
def test_parsing_stops_at_the_first_line_that_is_anything_else(module, text, lines, parsed):
    rows, taken = parse(module, text, 9)
    assert (len(rows), taken) == (lines, parsed)


@pytest.mark.parametrize("module", BOTH)
def test_parsing_stops_when_there_is_no_room(module):
    text = b"1\t2\n3\t4\n5\t6\n"
    assert parse(module, text, 2) == ([(1, 2), (3, 4)], 8)
    assert parse(module, text, 0) == ([], 0)


def test_wrong_arguments_are_refused():
    text = b"1\t2\n"
    calls = {
        "a text": lambda m: m.parse_index("1\t2\n", room(1), room(1)),
        "results of two lengths": lambda m: m.parse_index(text, room(1), room(2)),
        "keys of 4 bytes": lambda m: m.parse_index(text, np.zeros(1, np.int32), room(1)),
        "read-only offsets": lambda m: m.parse_index(text, room(1), np.frombuffer(bytes(8), np.int64)),
    }
    assert_refused(calls)
