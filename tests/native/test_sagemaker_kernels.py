"""The kernels for SageMaker's Records against their twins: what protobuf allows, what it does not, and damage."""

from __future__ import annotations

import struct
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import agreed, assert_refused, room, spans_of, values_of
from tests.native.messages import FLOATS, INTS, chunk, group, tag, varint
from tests.native.strategies import damaged

BOTH = [_kernels, reference]
FLOAT32, FLOAT64, INT32, BYTES = 2, 3, 7, 9
KEYS = [b"", b"v", b"values", b"\xc3\xa9"]
NAMES = [b"\x01" + key for key in KEYS] + [b"\x02" + key for key in KEYS[1:3]] + [b"\x03", b"\x04", b"\x05"]

_packed = st.lists(INTS, max_size=4).map(lambda values: b"".join(varint(value) for value in values))
_doubles = st.lists(st.binary(min_size=8, max_size=8), max_size=3).map(b"".join)
_counts = st.one_of(
    st.builds(chunk, st.sampled_from([2, 3]), _packed, st.sampled_from([0, 1])),
    st.builds(lambda part, value: tag(part, 0) + varint(value), st.sampled_from([2, 3]), INTS),
)
_numbers = {
    FLOAT32: st.one_of(
        st.lists(FLOATS, max_size=4).map(lambda values: chunk(1, b"".join(values))),
        FLOATS.map(lambda value: tag(1, 5) + value),
    ),
    FLOAT64: st.one_of(_doubles.map(lambda values: chunk(1, values)), st.just(tag(1, 1) + bytes(range(8)))),
    INT32: st.one_of(_packed.map(lambda values: chunk(1, values)), INTS.map(lambda value: tag(1, 0) + varint(value))),
}
_strange = st.one_of(  # what record.proto does not have
    st.builds(chunk, st.sampled_from([1, 4, 6, 8, 10, 2**29 - 1]), st.binary(max_size=4)),
    st.builds(lambda number: tag(number, 0) + b"\1", st.integers(1, 9)),
    st.builds(lambda number: group(number, b""), st.integers(1, 9)),
)


def joined(parts: st.SearchStrategy[bytes], most: int = 3) -> st.SearchStrategy[bytes]:
    return st.lists(parts, max_size=most).map(b"".join)


_contents = [
    *(joined(st.one_of(own, own, _counts)).map(lambda v, n=kind: chunk(n, v)) for kind, own in _numbers.items()),
    joined(st.one_of(st.binary(max_size=4).map(lambda v: chunk(1, v)), st.just(chunk(2, b"png")))).map(
        lambda v: chunk(9, v)
    ),
]
values = st.one_of(*_contents, *_contents, joined(st.one_of(*_contents)), st.just(b""))
_entries = st.builds(
    lambda number, key, value: chunk(number, chunk(1, key) + chunk(2, value)),
    st.integers(1, 2),
    st.sampled_from(KEYS),
    values,
)
_texts = st.builds(chunk, st.integers(3, 5), st.binary(max_size=3))
_bare = st.builds(
    lambda number, parts: chunk(number, b"".join(parts)),
    st.integers(1, 2),
    st.lists(
        st.one_of(st.sampled_from(KEYS).map(lambda k: chunk(1, k)), values.map(lambda v: chunk(2, v))), max_size=3
    ),
)
records = st.lists(st.one_of(_entries, _entries, _entries, _texts, _bare), max_size=4).map(b"".join)
strange_values = st.one_of(values, values, damaged(values), joined(st.one_of(values, _strange)), st.binary(max_size=20))
PAYLOADS = st.lists(
    st.one_of(records, records, damaged(records), joined(st.one_of(records, _strange)), st.binary(max_size=20)),
    max_size=4,
)


def find(module: ModuleType, payloads: tuple, names: list[bytes], learn: bool = False) -> dict[str, object]:
    """What find_values reports; of a broken message, where the reader stopped is its own affair."""
    starts, lengths = room(len(payloads[1]) * len(names)), room(len(payloads[1]) * len(names))
    rows, fault, field, start, length = module.find_values(payloads, names, learn, starts, lengths)
    done = rows * len(names)
    answer = {"rows": rows, "fault": fault, "found": list(zip(starts[:done].tolist(), lengths[:done].tolist()))}  # noqa: B905
    if fault == reference.UNKNOWN_KEY:
        answer["key"] = field, bytes(payloads[0][start : start + length])
    elif fault:
        first = int(payloads[1][rows])
        assert first <= start <= first + int(payloads[2][rows])
    return answer


def count(module: ModuleType, spans: tuple) -> dict[str, object]:
    kinds, counts = np.full(len(spans[1]), 77, np.uint8), room(3 * len(spans[1]))
    rows, fault = module.count_tensors(spans, kinds, counts)
    return {"rows": rows, "fault": fault, "kinds": kinds[:rows].tolist(), "counts": counts[: 3 * rows].tolist()}


def fill(module: ModuleType, spans: tuple, kind: int, part: int, size: int) -> bytes:
    dtype = np.uint64 if part > 1 else {FLOAT32: np.float32, FLOAT64: np.float64, INT32: np.int32}[kind]
    out = np.zeros(size, dtype)
    assert module.fill_tensors(spans, kind, part, out) == size
    return out.tobytes()


def texts(module: ModuleType, spans: tuple, part: int, size: int) -> list[bytes]:
    starts, lengths = room(size), room(size)
    assert module.fill_texts(spans, part, starts, lengths) == size
    return [bytes(spans[0][start : start + length]) for start, length in zip(starts, lengths, strict=True)]


@settings(deadline=None, max_examples=400)
@given(PAYLOADS, st.lists(st.sampled_from(NAMES), unique=True), st.booleans())
def test_finding_is_as_the_twin(payloads, names, learn):
    agreed(lambda module: find(module, values_of(payloads), names, learn))


@settings(deadline=None, max_examples=400)
@given(st.lists(strange_values, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4), st.integers(-1, 1))
def test_counting_and_filling_are_as_the_twin(parts, missing, more):
    base, starts, lengths = values_of(parts)
    spans = (base, np.where(missing[: len(parts)], -1, starts).astype(np.int64), lengths)
    counted = agreed(lambda module: count(module, spans))
    if counted["fault"]:
        return
    kinds, counts = np.array(counted["kinds"], int), np.array(counted["counts"], int).reshape(-1, 3)
    for kind in (FLOAT32, FLOAT64, INT32):
        for part in (1, 2, 3):
            size = max(0, int(counts[kinds == kind, part - 1].sum()) + more)
            agreed(lambda module: fill(module, spans, kind, part, size))  # noqa: B023
    for part in (1, 2):
        size = max(0, int(counts[kinds == BYTES, part - 1].sum()) + more)
        agreed(lambda module: texts(module, spans, part, size))  # noqa: B023


TENSOR = chunk(FLOAT32, chunk(1, struct.pack("<2f", 1.5, -2)) + chunk(2, b"\x00\xac\x02") + chunk(3, b"\x0a"))
RECORD = (
    chunk(1, chunk(1, b"values") + chunk(2, TENSOR))
    + chunk(2, chunk(1, b"values") + chunk(2, chunk(INT32, chunk(1, varint(-1) + b"\x07"))))
    + chunk(3, b"id")
)


@pytest.mark.parametrize("module", BOTH)
def test_a_record_is_taken_apart(module):
    spans = values_of([RECORD, b""])
    answer = find(module, spans, [b"\x03", b"\x01values", b"\x02values", b"\x05"])
    assert (answer["rows"], answer["fault"]) == (2, reference.OK)
    assert [start for start, _ in answer["found"]][4:] == [-1] * 4
    found = [RECORD[start : start + length] for start, length in answer["found"][:3]]
    assert found == [b"id", TENSOR, chunk(INT32, chunk(1, varint(-1) + b"\x07"))]
    assert count(module, values_of(found[1:]))["counts"] == [2, 2, 1, 2, 0, 0]
    assert fill(module, values_of(found[1:]), FLOAT32, 1, 2) == struct.pack("<2f", 1.5, -2)
    assert fill(module, values_of(found[1:]), FLOAT32, 2, 2) == struct.pack("<2Q", 0, 300)
    assert fill(module, values_of(found[1:]), INT32, 1, 2) == struct.pack("<2i", -1, 7)


@pytest.mark.parametrize("module", BOTH)
def test_a_name_that_is_not_known_is_shown_when_asked_for(module):
    assert find(module, values_of([RECORD]), [], learn=True)["key"] == (1, b"values")
    assert find(module, values_of([RECORD]), [b"\x01values", b"\x02values"], learn=True)["key"] == (3, b"")
    assert find(module, values_of([RECORD]), [b"\x01value"], learn=False)["found"] == [(-1, 0)]


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    "strange",
    [
        chunk(6, b""),  # a field of Record
        tag(3, 0) + b"\1",  # a uid that is a number
        chunk(1, chunk(3, b"")),  # a field of an entry
        group(1, b""),
    ],
)
def test_what_record_proto_does_not_have_is_a_fault(module, strange):
    answer = find(module, values_of([RECORD, RECORD + strange]), [b"\x01values"])
    assert (answer["rows"], answer["fault"]) == (1, reference.UNKNOWN_FIELD)


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (chunk(1, b""), reference.UNKNOWN_FIELD),
        (tag(2, 0) + b"\1", reference.UNKNOWN_FIELD),
        (chunk(FLOAT32, chunk(4, b"")), reference.UNKNOWN_FIELD),
        (chunk(FLOAT32, tag(1, 0) + b"\1"), reference.UNKNOWN_FIELD),
        (chunk(BYTES, chunk(3, b"")), reference.UNKNOWN_FIELD),
        (chunk(FLOAT32, chunk(1, b"abc")), reference.BAD_LIST),
        (chunk(FLOAT64, chunk(1, b"abcd")), reference.BAD_LIST),
        (chunk(INT32, chunk(1, b"\x80")), reference.BAD_LIST),
        (chunk(INT32, chunk(2, b"\x80" * 11)), reference.BAD_MESSAGE),
        (chunk(FLOAT32, b"\x0a\x05"), reference.BAD_MESSAGE),
    ],
)
def test_faults_inside_of_a_value(module, value, fault):
    assert count(module, values_of([TENSOR, value])) == {
        "rows": 1,
        "fault": fault,
        "kinds": [FLOAT32],
        "counts": [2, 2, 1],
    }


def test_every_cut_and_every_flipped_bit_gives_what_the_twin_gives():
    for at in range(len(RECORD)):
        flipped = [RECORD[:at] + bytes([RECORD[at] ^ 1 << n]) + RECORD[at + 1 :] for n in range(8)]
        for payload in [RECORD[:at], *flipped]:
            spans = values_of([RECORD, payload])
            agreed(lambda module: find(module, spans, [b"\x01values", b"\x02values", b"\x03"], True))  # noqa: B023
    for at in range(len(TENSOR)):
        flipped = [TENSOR[:at] + bytes([TENSOR[at] ^ 1 << n]) + TENSOR[at + 1 :] for n in range(8)]
        for payload in [TENSOR[:at], *flipped]:
            agreed(lambda module: count(module, values_of([payload])))  # noqa: B023


def test_wrong_arguments_are_refused():
    good, one = values_of([RECORD]), [b"\x01values"]
    tensors = values_of([TENSOR])
    calls = {
        "an empty name": lambda m: m.find_values(good, [b""], False, room(1), room(1)),
        "a name of text": lambda m: m.find_values(good, ["v"], False, room(1), room(1)),
        "little room": lambda m: m.find_values(good, one, False, room(0), room(0)),
        "starts and lengths differ": lambda m: m.find_values(good, one, False, room(1), room(2)),
        "read-only": lambda m: m.find_values(good, one, False, np.frombuffer(bytes(8), np.int64), room(1)),
        "outside": lambda m: m.find_values(spans_of(b"abc", [(1, 3)]), one, False, room(1), room(1)),
        "a missing payload": lambda m: m.find_values(spans_of(b"abc", [(-1, 0)]), one, False, room(1), room(1)),
        "few kinds": lambda m: m.count_tensors(tensors, np.zeros(0, np.uint8), room(3)),
        "few counts": lambda m: m.count_tensors(tensors, np.zeros(1, np.uint8), room(1)),
        "no such kind": lambda m: m.fill_tensors(tensors, BYTES, 1, np.zeros(0, np.int32)),
        "no such part": lambda m: m.fill_tensors(tensors, FLOAT32, 4, np.zeros(0, np.uint64)),
        "part 0": lambda m: m.fill_tensors(tensors, FLOAT32, 0, np.zeros(0, np.uint64)),
        "floats as ints": lambda m: m.fill_tensors(tensors, FLOAT32, 1, np.zeros(2, np.int32)),
        "keys as signed": lambda m: m.fill_tensors(tensors, FLOAT32, 2, np.zeros(2, np.int64)),
        "too much room": lambda m: m.fill_tensors(tensors, FLOAT32, 1, np.zeros(3, np.float32)),
        "too little room": lambda m: m.fill_tensors(tensors, FLOAT32, 3, np.zeros(0, np.uint64)),
        "texts of part 3": lambda m: m.fill_texts(tensors, 3, room(0), room(0)),
        "texts of a tensor": lambda m: m.fill_texts(tensors, 1, room(1), room(1)),
    }
    assert_refused(calls)
