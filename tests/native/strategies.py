"""What Hypothesis draws: payloads that look like frames, files, damage, spans."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from tests.reference.recordio import MAGIC

_FRAGMENTS = st.one_of(
    st.binary(max_size=9),
    st.just(MAGIC),
    st.sampled_from([MAGIC[:1], MAGIC[:3], MAGIC[1:], b"\0" * 4, b"abcd"]),
    # A header in the middle of a payload, as in a file within a file
    st.builds(lambda flag, n: MAGIC + struct.pack("<I", flag << 29 | n), st.integers(0, 7), st.integers(0, 40)),
)
payloads = st.lists(_FRAGMENTS, max_size=7).map(b"".join)
payload_lists = st.lists(payloads, max_size=6)


@st.composite
def damaged(draw: st.DrawFn, files: st.SearchStrategy[bytes], most: int = 3) -> bytes:
    """A file after a few accidents: cut, flipped bits, overwritten, lost or added bytes."""
    data = bytearray(draw(files))
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(data)))
        accident = draw(st.sampled_from(["cut", "flip", "overwrite", "lose", "insert"]))
        if accident == "cut":
            del data[at:]
        elif accident == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif accident == "overwrite" and at < len(data):
            data[at] = draw(st.sampled_from([0x00, 0x01, 0x08, 0x0A, 0x12, 0x7F, 0x80, 0xFF]))
        elif accident == "lose":
            del data[at : at + draw(st.integers(1, 8))]
        elif accident == "insert":
            data[at:at] = draw(st.one_of(st.binary(min_size=1, max_size=8), st.just(MAGIC)))
    return bytes(data)


@st.composite
def scattered(draw: st.DrawFn, max_rows: int = 6) -> tuple[bytes, list[tuple[int, int]]]:
    """A base and spans in it, in any order, overlapping or apart."""
    base = draw(st.lists(_FRAGMENTS, max_size=10).map(b"".join))
    spans = []
    for _ in range(draw(st.integers(0, max_rows))):
        start = draw(st.integers(0, len(base)))
        spans.append((start, draw(st.integers(0, len(base) - start))))
    return base, spans
