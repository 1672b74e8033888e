"""Examples as bytes: whatever protobuf allows, and beyond, not only what a tidy writer writes."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

KEYS = [b"", b"a", b"ab", b"image/encoded", b"\xc3\xa9"]
LISTS = {"bytes": 1, "float": 2, "int64": 3}
INTS = st.one_of(
    st.integers(-300, 300),
    st.sampled_from(
        [sign * 2**bits + more for bits in (7, 8, 15, 16, 31, 32, 63) for sign in (-1, 1) for more in (-1, 0)]
    ),
).filter(lambda value: -(2**63) <= value < 2**63)
FLOATS = st.one_of(st.binary(min_size=4, max_size=4), st.just(struct.pack("<f", 1.5)), st.just(b"\x01\0\xa0\x7f"))


def varint(value: int, spare: int = 0) -> bytes:
    """A varint, with spare bytes that say nothing but are allowed."""
    value &= 2**64 - 1
    groups = []
    while True:
        groups.append(value & 0x7F)
        value >>= 7
        if not value:
            break
    groups += [0] * min(spare, 10 - len(groups))
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def chunk(number: int, value: bytes, spare: int = 0) -> bytes:
    """A field that is a length and so many bytes."""
    return tag(number, 2) + varint(len(value), spare) + value


def group(number: int, value: bytes) -> bytes:
    return tag(number, 3) + value + tag(number, 4)


def entry(key: bytes, feature: bytes) -> bytes:
    """A whole entry of the map."""
    return chunk(1, chunk(1, key) + chunk(2, feature))


def example(*entries: bytes) -> bytes:
    return chunk(1, b"".join(entries))


@st.composite
def unknowns(draw: st.DrawFn, known: int, depth: int = 0) -> bytes:
    """A field to be passed over: an unknown number, or the known one with a wire type that it never has."""
    number = draw(st.sampled_from([known + 1, 4, 15, 16, 2047, 2**29 - 1]))
    wire = draw(st.sampled_from([0, 1, 2, 5, 3] if depth < 3 else [0, 1, 2, 5]))
    if draw(st.booleans()) and wire in (1, 3):
        number = known  # no field of an Example is 8 bytes wide or a group
    if wire == 0:
        return tag(number, 0) + varint(draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 1)))
    if wire == 2:
        return chunk(number, draw(st.binary(max_size=6)))
    if wire == 3:
        return group(number, b"".join(draw(st.lists(unknowns(known, depth + 1), max_size=2))))
    size = 8 if wire == 1 else 4
    return tag(number, wire) + draw(st.binary(min_size=size, max_size=size))


@st.composite
def mixed(draw: st.DrawFn, fields: st.SearchStrategy[bytes], known: int, most: int = 4) -> bytes:
    """A message of these fields with now and then an unknown one between them."""
    return b"".join(draw(st.lists(st.one_of(fields, fields, fields, unknowns(known)), max_size=most)))


_spares = st.sampled_from([0, 0, 0, 1, 4])
_packed_ints = st.builds(
    lambda values, spares: chunk(1, b"".join(varint(v, s) for v, s in zip(values, spares, strict=False))),
    st.lists(INTS, max_size=5),
    st.lists(_spares, min_size=5, max_size=5),
)
_packed_floats = st.lists(FLOATS, max_size=4).map(lambda values: chunk(1, b"".join(values)))
_lists = {
    1: mixed(st.builds(chunk, st.just(1), st.binary(max_size=5), _spares), 1),
    2: mixed(st.one_of(_packed_floats, FLOATS.map(lambda value: tag(1, 5) + value)), 1),
    3: mixed(st.one_of(_packed_ints, st.builds(lambda v, s: tag(1, 0) + varint(v, s), INTS, _spares)), 1),
}
_fields = st.one_of(*(st.builds(chunk, st.just(number), content) for number, content in _lists.items()))
features = st.one_of(
    st.just(b""),
    *(content.map(lambda value, n=number: chunk(n, value)) for number, content in _lists.items()),
    mixed(_fields, 3),
)
_entry_fields = st.one_of(
    st.sampled_from(KEYS).map(lambda key: chunk(1, key)), features.map(lambda feature: chunk(2, feature))
)
_entries = st.one_of(
    st.builds(entry, st.sampled_from(KEYS), features),
    st.builds(entry, st.sampled_from(KEYS), features),
    mixed(_entry_fields, 2, 3).map(lambda value: chunk(1, value)),
)
examples = st.one_of(
    st.lists(_entries, max_size=4).map(lambda entries: example(*entries)),
    mixed(mixed(_entries, 1).map(lambda value: chunk(1, value)), 1, 3),
)
