"""survey_features against its twin, and against finding and counting, from which it could be put together."""

from __future__ import annotations

from itertools import chain
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import agreed, assert_refused, room, spans_of, values_of
from tests.native.messages import KEYS, chunk, entry, example, examples
from tests.native.strategies import damaged
from tests.native.test_example_kernels import GOLDEN, count, find

BOTH = [_kernels, reference]
OK, NO_KIND, BYTES, FLOAT, INT64 = reference.OK, reference.NO_KIND, reference.BYTES, reference.FLOAT, reference.INT64
INTS, FLOATS, TEXTS = chunk(3, chunk(1, b"\1\2")), chunk(2, chunk(1, bytes(4))), chunk(1, chunk(1, b"x"))


def survey(
    module: ModuleType, payloads: tuple, keys: list[bytes], seen: list[int] | None = None, most: int = 9
) -> dict[str, object]:
    """What one call reports, and what is known after it."""
    known = np.array([0, 0, 0, 0] * len(keys) if seen is None else seen, np.int64)
    starts, lengths = room(most), room(most)
    rows, fault, key, value = module.survey_features(payloads, keys, known, starts, lengths)
    answer = {"rows": rows, "fault": fault, "key": key, "seen": known.tolist()}
    if fault == reference.UNKNOWN_KEY:
        spans = zip(starts[:value].tolist(), lengths[:value].tolist(), strict=True)
        answer["unknown"] = [bytes(payloads[0][start : start + length]) for start, length in spans]
    elif fault == reference.OTHER_KIND:
        answer["kind"] = value
    elif fault and key < 0:  # where in a broken message the reader stopped is its own affair
        start, size = int(payloads[1][rows]), int(payloads[2][rows])
        assert start <= value <= start + size
    return answer


def survey_all(module: ModuleType, payloads: tuple, most: int = 9) -> dict[str, object]:
    """Survey payloads, learning the keys on the way."""
    keys: list[bytes] = []
    seen: list[int] = []
    base, starts, lengths = payloads
    done = 0
    while True:
        answer = survey(module, (base, starts[done:], lengths[done:]), keys, seen, most)
        done += answer["rows"]
        seen = answer["seen"]
        if answer["fault"] != reference.UNKNOWN_KEY:
            return {"rows": done, "fault": answer["fault"], "keys": keys, "seen": seen, "key": answer["key"]}
        new = list(dict.fromkeys(answer["unknown"]))
        assert not set(new) & set(keys)
        keys += new
        seen += [0, 0, 0, 0] * len(new)


def by_counting(payloads: tuple, keys: list[bytes]) -> tuple[int, list[int]]:
    """How many rows find_features and count_values have no fault in, and what they know of each key up to there."""
    base, starts, lengths = payloads
    seen = [[NO_KIND, 0, 0, 0] for _ in keys]
    for row in range(len(starts)):
        answer = find(_kernels, (base, starts[row : row + 1], lengths[row : row + 1]), keys)
        counted = [count(_kernels, spans_of(base, [(start, length or 0)])) for start, length in answer["found"]]
        if answer["fault"] or any(each["fault"] for each in counted):
            return row, list(chain(*seen))
        found = [(each["kinds"][0], each["counts"][0]) for each in counted]
        if any(kind and old[0] and kind != old[0] for (kind, _), old in zip(found, seen, strict=True)):
            return row, list(chain(*seen))
        for (kind, values), old in zip(found, seen, strict=True):
            if kind:
                fewest, most = (old[2], old[3]) if old[1] else (values, values)
                old[:] = kind, old[1] + 1, min(fewest, values), max(most, values)
    return len(starts), list(chain(*seen))


PAYLOADS = st.lists(st.one_of(examples, examples, damaged(examples), st.binary(max_size=30)), max_size=4)


@settings(deadline=None, max_examples=200)
@given(PAYLOADS, st.data())
def test_one_call_is_as_the_twin(payloads, data):
    keys = data.draw(st.lists(st.one_of(st.sampled_from(KEYS), st.binary(max_size=2)), unique=True, max_size=7))
    one = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3), st.integers(3, 6)).map(list)
    seen = list(chain(*data.draw(st.lists(one, min_size=len(keys), max_size=len(keys)))))
    most = data.draw(st.integers(1, 5))
    agreed(lambda module: survey(module, values_of(payloads), keys, seen, most))


@settings(deadline=None, max_examples=150)
@given(PAYLOADS, st.integers(1, 3))
def test_a_whole_survey_is_as_the_twin_and_as_finding_and_counting(payloads, most):
    spans = values_of(payloads)
    answer = agreed(lambda module: survey_all(module, spans, most))
    assert (answer["rows"], answer["seen"]) == by_counting(spans, answer["keys"])
    assert (answer["fault"] == OK) == (answer["rows"] == len(payloads))


def test_every_cut_and_every_flipped_byte_gives_what_the_twin_gives():
    for at in range(len(GOLDEN)):
        for payload in [GOLDEN[:at]] + [
            GOLDEN[:at] + bytes([GOLDEN[at] ^ 1 << n]) + GOLDEN[at + 1 :] for n in range(8)
        ]:
            spans = values_of([GOLDEN, payload, GOLDEN])
            agreed(lambda module: survey_all(module, spans))  # noqa: B023


@pytest.mark.parametrize("module", BOTH)
def test_kinds_rows_and_numbers_of_values_are_counted(module):
    rows = [example(entry(b"i", INTS), entry(b"f", FLOATS)), b"", example(entry(b"i", chunk(3, b""))), example()]
    answer = survey(module, values_of(rows), [b"f", b"i", b"none"])
    assert (answer["rows"], answer["fault"], answer["key"]) == (4, OK, -1)
    assert answer["seen"] == [FLOAT, 1, 1, 1, INT64, 2, 0, 2, NO_KIND, 0, 0, 0]
    answer = survey(module, values_of(rows), [b"f", b"i", b"none"], answer["seen"])
    assert answer["seen"] == [FLOAT, 2, 1, 1, INT64, 4, 0, 2, NO_KIND, 0, 0, 0]


@pytest.mark.parametrize("module", BOTH)
def test_a_feature_without_a_kind_is_not_counted_and_changes_nothing(module):
    rows = [example(entry(b"x", b"")), example(entry(b"x", INTS)), example(chunk(1, chunk(1, b"x")))]
    assert survey(module, values_of(rows), [b"x"])["seen"] == [INT64, 1, 2, 2]


@pytest.mark.parametrize("module", BOTH)
def test_of_a_key_that_comes_twice_the_last_counts(module):
    rows = [
        example(entry(b"x", INTS), entry(b"x", TEXTS)),
        example(entry(b"x", INTS)) + example(entry(b"x", TEXTS)),
    ]
    assert survey(module, values_of(rows), [b"x"])["seen"] == [BYTES, 2, 1, 1]


@pytest.mark.parametrize("module", BOTH)
def test_what_a_later_entry_of_the_same_key_replaces_must_be_whole(module):
    """Protobuf refuses such a message, wherever in it the damage is."""
    for broken in (chunk(3, b"\xff"), chunk(3, chunk(1, b"\x80")), chunk(2, chunk(1, b"abc"))):
        for payload in (
            example(entry(b"x", broken), entry(b"x", TEXTS)),
            example(entry(b"x", broken)) + example(entry(b"x", TEXTS)),
        ):
            assert survey(module, values_of([payload]), [b"x"])["fault"] in (reference.BAD_MESSAGE, reference.BAD_LIST)
            assert find(module, values_of([payload]), [b"y", b"x"])["fault"] in (
                reference.BAD_MESSAGE,
                reference.BAD_LIST,
            )
            assert find(module, values_of([payload]), [b"y"])["fault"] == OK


@pytest.mark.parametrize("module", BOTH)
def test_another_kind_than_before_is_a_fault_that_says_both(module):
    rows = [example(entry(b"y", INTS), entry(b"x", INTS)), example(entry(b"y", INTS), entry(b"x", FLOATS))]
    answer = survey(module, values_of(rows), [b"x", b"y"])
    assert (answer["rows"], answer["fault"], answer["key"], answer["kind"]) == (1, reference.OTHER_KIND, 0, FLOAT)
    assert answer["seen"] == [INT64, 1, 2, 2] * 2


@pytest.mark.parametrize("module", BOTH)
def test_a_record_at_fault_leaves_no_trace(module):
    bad = [
        example(entry(b"x", INTS)) + b"\x0a\x05",
        example(entry(b"x", INTS), entry(b"x", chunk(3, b"\x0a\x05"))),
        example(entry(b"x", INTS), chunk(1, chunk(2, b"") + chunk(2, b""))),
        example(entry(b"x", INTS), entry(b"y", chunk(2, chunk(1, b"abc")))),
        example(entry(b"x", INTS), entry(b"y", FLOATS)),
        example(entry(b"x", INTS), entry(b"z", FLOATS)),
    ]
    for payload in bad:
        answer = survey(module, values_of([example(entry(b"y", TEXTS)), payload]), [b"x", b"y", b""])
        assert answer["fault"] != OK
        assert (answer["rows"], answer["seen"]) == (1, [0, 0, 0, 0, BYTES, 1, 1, 1, 0, 0, 0, 0])
        good = values_of([example(entry(b"y", TEXTS))])
        assert survey(module, good, [b"x", b"y", b""])["seen"][:4] == [0, 0, 0, 0]


@pytest.mark.parametrize("module", BOTH)
def test_keys_that_are_not_known_are_shown_as_many_as_there_is_room_for(module):
    row = example(*(entry(key, INTS) for key in (b"a", b"b", b"a", b"c", b"")))
    assert survey(module, values_of([row]), [b"b"])["unknown"] == [b"a", b"a", b"c", b""]
    assert survey(module, values_of([row]), [b"b"], most=2)["unknown"] == [b"a", b"a"]
    assert survey(module, values_of([row]), [])["unknown"] == [b"a", b"b", b"a", b"c", b""]
    assert survey(module, values_of([row]), [b"c", b"", b"b", b"a"])["fault"] == OK


def test_thousands_of_keys_in_any_order_are_found():
    names = [b"key %d" % number for number in range(3000)]
    rng = np.random.default_rng(7)
    rows = [example(*(entry(names[k], INTS) for k in rng.permutation(3000)[:1000])) for _ in range(20)]
    answer = survey_all(_kernels, values_of(rows), most=100)
    assert (answer["rows"], answer["fault"]) == (20, OK)
    counted = {key: answer["seen"][4 * number + 1] for number, key in enumerate(answer["keys"])}
    assert set(counted) <= set(names)
    assert sum(counted.values()) == 20_000


def test_wrong_arguments_are_refused():
    good, keys = values_of([GOLDEN]), [b"image", b"label", b"w"]

    def call(m, payloads=good, keys=keys, seen=None, starts=None, lengths=None):
        given = room(4 * len(keys)) * 0 if seen is None else seen
        return m.survey_features(
            payloads, keys, given, *(room(2) if each is None else each for each in (starts, lengths))
        )

    calls = {
        "few seen": lambda m: call(m, seen=np.zeros(11, np.int64)),
        "many seen": lambda m: call(m, seen=np.zeros(13, np.int64)),
        "seen of 4 bytes": lambda m: call(m, seen=np.zeros(12, np.int32)),
        "read-only seen": lambda m: call(m, seen=np.frombuffer(bytes(96), np.int64)),
        "no room": lambda m: call(m, starts=room(0), lengths=room(0)),
        "starts and lengths differ": lambda m: call(m, starts=room(3)),
        "a key twice": lambda m: call(m, keys=[b"x", b"y", b"x"]),
        "a key of text": lambda m: call(m, keys=["image"]),
        "outside": lambda m: call(m, payloads=spans_of(b"abc", [(1, 3)])),
        "a missing payload": lambda m: call(m, payloads=spans_of(b"abc", [(-1, 0)])),
    }
    for module in BOTH:
        assert call(module) == (1, OK, -1, 0)
    assert_refused(calls)
