"""The kernels for tf.train.Example against their twins and the golden bytes."""

from __future__ import annotations

import struct
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import REFUSED, agreed, assert_refused, block_of, outcome, room, spans_of, values_of
from tests.native.messages import FLOATS, INTS, KEYS, chunk, entry, example, examples, features, group, tag, varint
from tests.native.strategies import damaged, scattered

BOTH = [_kernels, reference]
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
BYTES, FLOAT, INT64 = reference.BYTES, reference.FLOAT, reference.INT64

# image: bytes, label: int64, w: floats, as TensorFlow 2.21 encodes them
GOLDEN = bytes.fromhex(
    "0a34 0a0f 0a05 696d616765 1206 0a04 0a02 ffd8  0a0e 0a05 6c6162656c 1205 1a03 0a01 05"
    "0a11 0a01 77 120c 120a 0a08 0000c03f 000000c0"
)
# one feature "x": (kind, values, Example)
SINGLES = {
    "int64[5]": (INT64, [5], "0a0c0a0a0a017812051a030a0105"),
    "int64[-1]": (INT64, [-1], "0a150a130a0178120e1a0c0a0affffffffffffffffff01"),
    "int64[]": (INT64, [], "0a090a070a017812021a00"),
    "float[]": (FLOAT, [], "0a090a070a017812021200"),
    "bytes[]": (BYTES, [], "0a090a070a017812020a00"),
    'bytes[""]': (BYTES, [b""], "0a0b0a090a017812040a020a00"),
    "no kind": (reference.NO_KIND, [], "0a070a050a01781200"),
}


def numbers(dtype: str, rows: list[list]) -> tuple:
    """The spans of rows of numbers."""
    return values_of([np.array(row, dtype).tobytes() for row in rows])


def encode(
    module: ModuleType, columns: list, size: int = 4000, capacity: int = 9, first: int = 0, framed: bool = False
):
    out, starts, lengths = block_of(bytes(size)), room(capacity), room(capacity)
    rows, written, fault, column = module.encode_examples(columns, first, framed, out, starts, lengths)
    spans = list(zip(starts[:rows].tolist(), lengths[:rows].tolist(), strict=True))
    return {
        "spans": spans,
        "payloads": [out[s : s + n].tobytes() for s, n in spans],
        "bytes": out[:written].tobytes(),
        "fault": fault,
        "column": column if fault == reference.OUT_OF_RANGE else None,
    }


@st.composite
def columns_of(draw: st.DrawFn, rows: int) -> list[tuple]:
    columns = []
    for key in draw(st.lists(st.one_of(st.sampled_from(KEYS), st.binary(max_size=200)), min_size=1, max_size=4)):
        kind = draw(st.sampled_from(["bytes", "lists", "float", "int64"]))
        if kind == "bytes":
            values = draw(st.lists(st.binary(max_size=150), min_size=rows, max_size=rows))
            columns.append((key, BYTES, 0, values_of(values), None))
        elif kind == "lists":
            base, spans = draw(scattered())
            lists = []
            for _ in range(rows):
                start = draw(st.integers(0, len(spans)))
                lists.append((start, draw(st.integers(0, len(spans) - start))))
            columns.append((key, BYTES, 0, spans_of(base, spans), spans_of(b"", lists)[1:]))
        elif kind == "float":
            values = draw(st.lists(st.lists(FLOATS, max_size=40).map(b"".join), min_size=rows, max_size=rows))
            columns.append((key, FLOAT, 0, values_of(values), None))
        else:
            dtype = draw(st.integers(0, 8))
            info = None if dtype == 0 else np.iinfo(DTYPES[dtype])
            low, high = (0, 1) if info is None else (int(info.min), int(info.max))
            top = min(high, draw(st.sampled_from([127, 128, 16383, 16384, high])))  # each has a loop of its own
            small = st.one_of(st.integers(0, top), st.sampled_from([0, min(top, 127), min(top, 128), top]))
            number = st.one_of(st.integers(low, high), st.sampled_from([low, high])) if top == high else small
            lists = draw(st.lists(st.lists(number, max_size=20), min_size=rows, max_size=rows))
            columns.append((key, INT64, dtype, numbers(DTYPES[dtype], lists), None))
    return columns


class TestEncoding:
    COLUMNS = (
        (b"image", BYTES, 0, values_of([b"\xff\xd8"]), None),
        (b"label", INT64, 4, numbers("int64", [[5]]), None),
        (b"w", FLOAT, 0, numbers("float32", [[1.5, -2]]), None),
    )

    @pytest.mark.parametrize("module", BOTH)
    def test_a_row_is_encoded_as_tensorflow_encodes_it(self, module):
        answer = encode(module, list(self.COLUMNS))
        assert (answer["bytes"], answer["spans"]) == (GOLDEN, [(0, 54)])

    @pytest.mark.parametrize("module", BOTH)
    def test_a_framed_row_is_a_record_of_tfrecord(self, module):
        answer = encode(module, list(self.COLUMNS), framed=True)
        frame = struct.pack("<Q", 54) + bytes.fromhex("4f578cef") + GOLDEN + bytes.fromhex("1746ea88")
        assert (answer["bytes"], answer["spans"]) == (frame, [(12, 54)])

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize("name", ["int64[5]", "int64[-1]", 'bytes[""]'])
    def test_single_features_are_encoded_as_tensorflow_encodes_them(self, module, name):
        kind, row, expected = SINGLES[name]
        values = values_of(row) if kind == BYTES else numbers("int64", [row])
        assert encode(module, [(b"x", kind, 4, values, None)])["bytes"] == bytes.fromhex(expected)

    @pytest.mark.parametrize("module", BOTH)
    def test_a_row_without_values_has_no_such_feature(self, module):
        lists = (np.array([0, 0]), np.array([0, 1]))
        columns = [
            (b"b", BYTES, 0, values_of([b"v"]), lists),
            (b"f", FLOAT, 0, numbers("float32", [[], []]), None),
            (b"i", INT64, 1, numbers("int8", [[], [7]]), None),
        ]
        answer = encode(module, columns)
        assert answer["payloads"] == [
            b"",
            example(entry(b"b", chunk(1, chunk(1, b"v"))), entry(b"i", chunk(3, chunk(1, b"\7")))),
        ]
        assert encode(module, columns, framed=True)["spans"][0] == (12, 0)

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_columns_are_encoded_as_the_twin_encodes_them(self, data):
        rows = data.draw(st.integers(0, 4))
        columns = data.draw(columns_of(rows))
        first = data.draw(st.integers(0, rows))
        capacity = data.draw(st.integers(0, rows + 1))
        framed = data.draw(st.booleans())
        # Room to the last byte: what fits exactly is written, one byte less stops before the row
        whole = encode(reference, columns, 20_000, capacity, first, framed)
        size = max(0, len(whole["bytes"]) - data.draw(st.integers(0, 1))) if whole["fault"] == 0 else 20_000
        size = data.draw(st.one_of(st.just(size), st.integers(0, size) if whole["fault"] == 0 else st.just(size)))
        agreed(lambda module: encode(module, columns, size, capacity, first, framed))

    @pytest.mark.parametrize("dtype", range(9))
    def test_the_ends_of_every_dtype_are_encoded(self, dtype):
        low, high = (0, 1) if dtype == 0 else (np.iinfo(DTYPES[dtype]).min, np.iinfo(DTYPES[dtype]).max)
        row = [low, 0, 1, min(int(high), 2**63 - 1)]
        answer = agreed(lambda module: encode(module, [(b"x", INT64, dtype, numbers(DTYPES[dtype], [row]), None)]))
        packed = b"".join(varint(int(value)) for value in row)
        assert answer["payloads"] == [example(entry(b"x", chunk(3, chunk(1, packed))))]

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from([4, 6, 7, 8]),
        st.lists(
            st.tuples(st.sampled_from([0, *range(7, 64, 7)]), st.sampled_from([-1, 0, 1])).map(
                lambda border: max(0, (1 << border[0]) + border[1])
            ),
            min_size=1,
            max_size=30,
        ),
    )
    def test_varints_of_every_length_lie_one_after_another(self, dtype, row):
        # those of up to eight bytes are written as eight, those at the end of the list byte by byte
        fits = [value for value in row if value <= min(2**63 - 1, np.iinfo(DTYPES[dtype]).max)] or [1]
        columns = [(b"x", INT64, dtype, numbers(DTYPES[dtype], [fits, fits[::-1]]), None)]
        answer = agreed(lambda module: encode(module, columns))
        packed = [b"".join(map(varint, values)) for values in (fits, fits[::-1])]
        assert answer["payloads"] == [example(entry(b"x", chunk(3, chunk(1, each)))) for each in packed]

    def test_long_keys_and_values_have_long_lengths(self):
        for size in (0, 1, 100, 126, 127, 128, 129, 16_300, 16_383, 16_384, 16_400, 2_097_152):
            columns = [(b"k" * (size % 1000), BYTES, 0, values_of([b"v" * size]), None)]
            answer = agreed(lambda module: encode(module, columns, size + 2000))  # noqa: B023
            assert answer["payloads"] == [example(entry(columns[0][0], chunk(1, chunk(1, b"v" * size))))]

    @pytest.mark.parametrize("module", BOTH)
    def test_a_number_above_int64_is_out_of_range_and_its_column_is_named(self, module):
        columns = [
            (b"a", INT64, 8, numbers("uint64", [[1], [2], [3]]), None),
            (b"b", INT64, 8, numbers("uint64", [[2**63 - 1], [1, 2**63], [4]]), None),
        ]
        answer = encode(module, columns)
        assert (len(answer["payloads"]), answer["fault"], answer["column"]) == (1, reference.OUT_OF_RANGE, 1)
        assert encode(module, columns, first=2)["fault"] == reference.OK

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize(("size", "fault"), [(2**31 - 1, reference.OK), (2**31, reference.TOO_LONG)])
    def test_an_example_of_2_gib_is_too_long_and_one_byte_less_is_not(self, module, size, fault):
        # One value again and again, and a last one of the right length: nothing of this size is ever in memory
        count, each = 2046, 2**20
        guess = size - example_size(count, each, 0)
        last = next(n for n in range(guess - 20, guess + 1) if example_size(count, each, n) == size)
        values = spans_of(bytes(2 * each), [(0, each)] * count + [(0, last)])
        lists = (np.zeros(1, np.int64), np.array([count + 1]))
        answer = encode(module, [(b"x", BYTES, 0, values, lists)], 100)
        assert (answer["payloads"], answer["fault"]) == ([], fault)

    def test_wrong_arguments_are_refused(self):
        def column(kind=BYTES, dtype=0, values=values_of([b"abcd"]), lists=None):  # noqa: B008
            return (b"x", kind, dtype, values, lists)

        one = np.ones(1, np.int64)
        calls = {
            "no kind": lambda m: encode(m, [column(kind=reference.NO_KIND)]),
            "kind 4": lambda m: encode(m, [column(kind=4)]),
            "dtype 9": lambda m: encode(m, [column(kind=INT64, dtype=9)]),
            "dtype -1": lambda m: encode(m, [column(kind=INT64, dtype=-1)]),
            "no columns": lambda m: encode(m, []),
            "floats in lists": lambda m: encode(m, [column(kind=FLOAT, lists=(one - 1, one))]),
            "half a float": lambda m: encode(m, [column(kind=FLOAT, values=values_of([b"ab"]))]),
            "half an int": lambda m: encode(m, [column(kind=INT64, dtype=4)]),
            "outside": lambda m: encode(m, [column(values=spans_of(b"abc", [(1, 3)]))]),
            "a list outside": lambda m: encode(m, [column(lists=(one, one))]),
            "lists of two lengths": lambda m: encode(m, [column(lists=(one - 1, np.zeros(2, np.int64)))]),
            "different rows": lambda m: encode(m, [column(), column(values=values_of([b"a", b"b"]))]),
            "first beyond": lambda m: encode(m, [column()], first=2),
            "first below 0": lambda m: encode(m, [column()], first=-1),
            "a key of text": lambda m: encode(m, [("x", BYTES, 0, values_of([b"abcd"]), None)]),
            "four of five": lambda m: encode(m, [column()[:4]]),
            "read-only out": lambda m: m.encode_examples(
                [column()], 0, False, np.frombuffer(bytes(99), np.uint8), room(1), room(1)
            ),
            "results of two lengths": lambda m: m.encode_examples(
                [column()], 0, False, block_of(bytes(99)), room(1), room(2)
            ),
            "starts of 4 bytes": lambda m: m.encode_examples(
                [column()], 0, False, block_of(bytes(99)), np.zeros(1, np.int32), room(1)
            ),
        }
        assert_refused(calls)


def example_size(count: int, each: int, last: int) -> int:
    """The size of an Example with one feature x: count values of one size, and a last one."""

    def field(length: int) -> int:
        return 1 + len(varint(length)) + length

    return field(field(field(1) + field(field(count * field(each) + field(last)))))


def find(module: ModuleType, payloads: tuple, keys: list[bytes]) -> dict[str, object]:
    size = len(payloads[1]) * len(keys)
    starts, lengths = room(size), room(size)
    rows, fault, position = module.find_features(payloads, keys, starts, lengths)
    found = [
        (start, length if start != -1 else None)
        for start, length in zip(starts[: rows * len(keys)].tolist(), lengths[: rows * len(keys)].tolist(), strict=True)
    ]
    answer = {"rows": rows, "fault": fault, "found": found}
    if fault:
        # Where in a broken message the reader stopped is its own affair, but it is inside this row's payload
        start, size = int(payloads[1][rows]), int(payloads[2][rows])
        assert start <= position <= start + size
    return answer


def count(module: ModuleType, spans: tuple) -> dict[str, object]:
    kinds, counts = np.full(len(spans[1]), 77, np.uint8), room(len(spans[1]))
    rows, fault = module.count_values(spans, kinds, counts)
    return {"rows": rows, "fault": fault, "kinds": kinds[:rows].tolist(), "counts": counts[:rows].tolist()}


def fill(module: ModuleType, spans: tuple, kind: int, total: int, dtype: int = 4) -> object:
    """All values of features of one kind, in a form that shows every bit."""
    if kind == BYTES:
        starts, lengths = room(total), room(total)
        return module.fill_bytes(spans, starts, lengths), starts.tolist(), lengths.tolist()
    if kind == FLOAT:
        out = np.zeros(total, np.float32)
        return module.fill_floats(spans, out), out.tobytes()
    out = np.zeros(total, DTYPES[dtype])
    rows, value = module.fill_ints(spans, dtype, out)
    if rows < len(spans[1]):
        return rows, value
    return rows, out.tobytes()


def check_features(base: bytes, spans: list[tuple[int, int]]) -> None:
    """Kernel and twin count and fill alike: all features at once, and those of each kind together."""
    agreed(lambda module: count(module, spans_of(base, spans)))
    by_kind = {reference.NO_KIND: [], BYTES: [], FLOAT: [], INT64: []}
    totals = dict.fromkeys(by_kind, 0)
    for span in spans:
        answer = agreed(lambda module: count(module, spans_of(base, [span])))  # noqa: B023
        if answer["fault"] == reference.OK:
            by_kind[answer["kinds"][0]].append(span)
            totals[answer["kinds"][0]] += answer["counts"][0]
    for kind in (BYTES, FLOAT, INT64):
        rows = spans_of(base, by_kind[kind] + by_kind[reference.NO_KIND])
        for dtype in range(9) if kind == INT64 else [0]:
            agreed(lambda module: fill(module, rows, kind, totals[kind], dtype))  # noqa: B023
        agreed(lambda module: fill(module, rows, kind, totals[kind] + 1))  # noqa: B023
        assert outcome(lambda module: fill(module, rows, kind, totals[kind] + 1), _kernels) == REFUSED  # noqa: B023


class TestFinding:
    @settings(deadline=None, max_examples=300)
    @given(st.lists(st.one_of(examples, damaged(examples), st.binary(max_size=30)), max_size=3), st.data())
    def test_features_are_found_where_the_twin_finds_them(self, payloads, data):
        keys = data.draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=5))
        spans = values_of(payloads)
        answer = agreed(lambda module: find(module, spans, keys))
        found = [(start, length) if start != -1 else (-1, 0) for start, length in answer["found"]]
        check_features(spans[0], found)

    @pytest.mark.parametrize("module", BOTH)
    def test_the_features_of_an_example_by_tensorflow_are_found(self, module):
        answer = find(module, spans_of(b"junk" + GOLDEN, [(4, 54)]), [b"w", b"image", b"none", b"label"])
        assert (answer["rows"], answer["fault"]) == (1, reference.OK)
        assert answer["found"] == [(46, 12), (17, 6), (-1, None), (34, 5)]

    @pytest.mark.parametrize("module", BOTH)
    def test_the_last_entry_of_a_key_wins_also_in_another_features_field(self, module):
        old, new = chunk(3, chunk(1, b"\1")), chunk(1, chunk(1, b"new"))
        for payload in (
            example(entry(b"x", old), entry(b"x", new)),
            example(entry(b"x", old)) + example(entry(b"x", new)),
        ):
            answer = find(module, values_of([payload]), [b"x"])
            assert answer["found"] == [(payload.index(new), len(new))]

    @pytest.mark.parametrize("module", BOTH)
    def test_an_entry_without_a_key_has_the_empty_key(self, module):
        payload = example(chunk(1, chunk(2, b"")), entry(b"x", b""))
        assert find(module, values_of([payload]), [b""])["found"] == [(6, 0)]

    @pytest.mark.parametrize("module", BOTH)
    def test_an_entry_without_a_value_is_present_and_empty(self, module):
        payload = example(chunk(1, chunk(1, b"x")), entry(b"y", b""))
        assert find(module, values_of([payload]), [b"x"])["found"] == [(7, 0)]

    @pytest.mark.parametrize("module", BOTH)
    def test_an_entry_may_have_its_value_before_its_key(self, module):
        payload = example(chunk(1, chunk(2, chunk(3, b"")) + chunk(1, b"x")))
        assert find(module, values_of([payload]), [b"x"])["found"] == [(6, 2)]

    @pytest.mark.parametrize("module", BOTH)
    def test_an_entry_with_two_values_is_a_fault(self, module):
        payload = example(chunk(1, chunk(1, b"x") + chunk(2, b"") + chunk(2, b"")))
        answer = find(module, values_of([GOLDEN, payload]), [b"x"])
        assert (answer["rows"], answer["fault"]) == (1, reference.REPEATED_VALUE)

    @pytest.mark.parametrize("module", BOTH)
    def test_a_second_value_beyond_its_entry_is_a_bad_message(self, module):
        payload = example(chunk(1, chunk(1, b"x") + chunk(2, b"") + tag(2, 2) + varint(1)))
        answer = find(module, values_of([payload]), [b"x"])
        assert (answer["rows"], answer["fault"]) == (0, reference.BAD_MESSAGE)

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize(
        "stranger",
        [
            tag(2, 0) + varint(2**64 - 1),
            tag(3, 1) + bytes(8),
            chunk(4, b"whatever"),
            tag(15, 5) + bytes(4),
            chunk(2**29 - 1, b""),
            group(5, b""),
            group(5, group(5, chunk(1, b"a")) + tag(1, 0) + b"\0"),
            tag(1, 0) + b"\5",  # the known number with another wire type
            tag(1, 1) + bytes(8),
            tag(1, 5) + bytes(4),
            group(1, b""),
        ],
    )
    def test_strangers_are_passed_over_at_every_level(self, module, stranger):
        feature = chunk(3, stranger.replace(tag(1, 0) + b"\5", b"") + chunk(1, b"\7")) + stranger
        payload = stranger + chunk(
            1, stranger + chunk(1, stranger + chunk(1, b"x") + stranger + chunk(2, feature)) + stranger
        )
        answer = find(module, values_of([payload + stranger]), [b"x"])
        assert answer["found"] == [(payload.rindex(feature), len(feature))]
        spans = spans_of(payload, answer["found"])
        assert count(module, spans) == {"rows": 1, "fault": reference.OK, "kinds": [INT64], "counts": [1]}
        assert fill(module, spans, INT64, 1, 1) == (1, b"\7")

    @pytest.mark.parametrize("module", BOTH)
    def test_groups_may_be_32_deep_and_no_deeper(self, module):
        for depth, fault in (
            (31, reference.OK),
            (32, reference.OK),
            (33, reference.BAD_MESSAGE),
            (9999, reference.BAD_MESSAGE),
        ):
            payload = tag(7, 3) * depth + tag(7, 4) * depth
            assert find(module, values_of([payload]), [b"x"])["fault"] == fault, depth

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize(
        "broken",
        [
            pytest.param(b"\x8a", id="a tag cut in the middle"),
            pytest.param(b"\x0a", id="a tag without its value"),
            pytest.param(b"\x0a\x01", id="a length beyond the message"),
            pytest.param(b"\x0a" + varint(2**64 - 1), id="a length of 64 bits"),
            pytest.param(b"\x12" + varint(2**63 - 1), id="a length of 63 bits"),
            pytest.param(b"\x02\x00", id="field 0"),
            pytest.param(b"\x0e\x00", id="wire type 6"),
            pytest.param(b"\x0f\x00", id="wire type 7"),
            pytest.param(tag(2, 1) + bytes(7), id="7 of 8 bytes"),
            pytest.param(tag(2, 5) + bytes(3), id="3 of 4 bytes"),
            pytest.param(tag(2, 0) + b"\x80" * 10 + b"\0", id="a varint without end"),
            pytest.param(tag(2, 0) + b"\x80" * 3, id="a varint cut in the middle"),
            pytest.param(tag(2, 4), id="the end of no group"),
            pytest.param(tag(2, 3), id="a group without end"),
            pytest.param(tag(2, 3) + tag(3, 4), id="a group with another's end"),
            pytest.param(b"\x0a\x02\x0a\x01", id="an entry beyond the features"),
            pytest.param(b"\x0a\x04\x0a\x02\x12\x01" + bytes(5), id="a value beyond the entry"),
        ],
    )
    def test_what_is_no_message_is_a_bad_message(self, module, broken):
        answer = find(module, values_of([GOLDEN, broken]), [b"x"])
        assert (answer["rows"], answer["fault"]) == (1, reference.BAD_MESSAGE)

    def test_every_cut_and_every_flipped_byte_gives_what_the_twin_gives(self):
        for at in range(len(GOLDEN)):
            damages = [GOLDEN[:at]] + [GOLDEN[:at] + bytes([GOLDEN[at] ^ 1 << n]) + GOLDEN[at + 1 :] for n in range(8)]
            for payload in damages:
                answer = agreed(lambda m: find(m, values_of([payload]), [b"image", b"label", b"w"]))  # noqa: B023
                check_features(payload, [(s, n) for s, n in answer["found"] if s != -1])

    def test_wrong_arguments_are_refused(self):
        good = values_of([GOLDEN])
        calls = {
            "too little room": lambda m: m.find_features(good, [b"a", b"b"], room(1), room(1)),
            "results of two lengths": lambda m: m.find_features(good, [b"a"], room(1), room(2)),
            "starts of 4 bytes": lambda m: m.find_features(good, [b"a"], np.zeros(1, np.int32), room(1)),
            "read-only starts": lambda m: m.find_features(good, [b"a"], np.frombuffer(bytes(8), "i8"), room(1)),
            "outside": lambda m: m.find_features(spans_of(b"abc", [(1, 3)]), [b"a"], room(1), room(1)),
            "a missing payload": lambda m: m.find_features(spans_of(b"abc", [(-1, 0)]), [b"a"], room(1), room(1)),
            "a key of text": lambda m: m.find_features(good, ["a"], room(1), room(1)),
        }
        assert_refused(calls)


class TestCountingAndFilling:
    @settings(deadline=None, max_examples=400)
    @given(st.lists(st.one_of(features, features, damaged(features), st.binary(max_size=20)), max_size=3), st.data())
    def test_values_are_counted_and_filled_as_the_twin_does(self, rows, data):
        base, starts, lengths = values_of(rows)
        spans = list(zip(starts.tolist(), lengths.tolist(), strict=True))
        for _ in range(data.draw(st.integers(0, 2))):
            spans.insert(data.draw(st.integers(0, len(spans))), (-1, 0))
        check_features(base, spans)

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize("name", SINGLES)
    def test_single_features_by_tensorflow_are_read(self, module, name):
        kind, row, payload = SINGLES[name]
        payload = bytes.fromhex(payload)
        spans = spans_of(payload, find(module, values_of([payload]), [b"x"])["found"])
        assert count(module, spans) == {"rows": 1, "fault": reference.OK, "kinds": [kind], "counts": [len(row)]}
        if kind == INT64:
            assert fill(module, spans, kind, len(row)) == (1, np.array(row, np.int64).tobytes())
        elif kind == BYTES:
            assert fill(module, spans, kind, len(row))[2] == [len(value) for value in row]

    @pytest.mark.parametrize("module", BOTH)
    def test_a_missing_feature_has_no_kind_and_no_values(self, module):
        spans = spans_of(b"", [(-1, 0), (0, 0)])
        assert count(module, spans) == {"rows": 2, "fault": reference.OK, "kinds": [0, 0], "counts": [0, 0]}
        assert fill(module, spans, BYTES, 0)[0] == 0
        assert fill(module, spans, FLOAT, 0)[0] == 0
        assert fill(module, spans, INT64, 0)[0] == 2

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize("rest", [b"", b"\x80", b"\1"])
    def test_ten_bytes_that_all_say_that_more_follow_are_no_varint_also_at_the_end(self, module, rest):
        spans = values_of([chunk(3, chunk(1, b"\0" + b"\x80" * 10 + rest))])
        assert count(module, spans)["fault"] == reference.BAD_MESSAGE

    @pytest.mark.parametrize("module", BOTH)
    def test_a_tag_of_more_than_five_bytes_is_none(self, module):
        """As in protobuf, of which a tag has 32 bits."""
        for tail, fault in ((b"\x80\x80\x80\x00", reference.OK), (b"\x80\x80\x80\x80\x00", reference.BAD_MESSAGE)):
            spans = values_of([b"\x9a" + tail + b"\x03" + chunk(1, b"\1")])
            assert count(module, spans)["fault"] == fault
            assert find(module, values_of([b"\x8a" + tail + b"\x00"]), [b"x"])["fault"] == fault

    @pytest.mark.parametrize("module", BOTH)
    def test_lists_of_one_kind_are_merged_and_another_kind_replaces_them(self, module):
        ints, more_ints, floats = chunk(3, chunk(1, b"\1\2")), chunk(3, tag(1, 0) + b"\3"), chunk(2, chunk(1, bytes(4)))
        for feature, kind, values in (
            (ints + more_ints, INT64, [1, 2, 3]),
            (floats + ints + more_ints, INT64, [1, 2, 3]),
            (ints + floats + more_ints, INT64, [3]),
            (ints + floats, FLOAT, [0]),
            (ints + chunk(2, b""), FLOAT, []),
        ):
            spans = values_of([feature])
            answer = count(module, spans)
            assert (answer["kinds"], answer["counts"]) == ([kind], [len(values)])
            dtype = "int64" if kind == INT64 else "float32"
            assert fill(module, spans, kind, len(values))[1] == np.array(values, dtype).tobytes()

    @pytest.mark.parametrize("module", BOTH)
    def test_packed_and_unpacked_values_keep_their_order(self, module):
        feature = chunk(3, tag(1, 0) + b"\1" + chunk(1, b"\2\3") + tag(1, 0) + b"\4" + chunk(1, b""))
        assert fill(module, values_of([feature]), INT64, 4, 1) == (1, b"\1\2\3\4")
        feature = chunk(2, tag(1, 5) + b"aaaa" + chunk(1, b"bbbbcccc") + tag(1, 5) + b"dddd")
        assert fill(module, values_of([feature]), FLOAT, 4) == (4, b"aaaabbbbccccdddd")

    @pytest.mark.parametrize("module", BOTH)
    @pytest.mark.parametrize(
        ("feature", "fault"),
        [
            pytest.param(chunk(2, chunk(1, bytes(3))), reference.BAD_LIST, id="3 bytes of floats"),
            pytest.param(chunk(2, chunk(1, bytes(5))), reference.BAD_LIST, id="5 bytes of floats"),
            pytest.param(chunk(3, chunk(1, b"\1\x80")), reference.BAD_LIST, id="a packed varint cut after 1 byte"),
            pytest.param(chunk(3, chunk(1, b"\x80" * 9)), reference.BAD_LIST, id="a packed varint cut after 9 bytes"),
            pytest.param(
                chunk(3, chunk(1, b"\x80" * 10 + b"\0")), reference.BAD_MESSAGE, id="a packed varint of 11 bytes"
            ),
            pytest.param(chunk(3, tag(1, 0) + b"\x80" * 10 + b"\0"), reference.BAD_MESSAGE, id="a varint of 11 bytes"),
            pytest.param(chunk(3, tag(1, 0) + b"\x80"), reference.BAD_MESSAGE, id="a varint cut after 1 byte"),
            pytest.param(chunk(3, tag(1, 0)), reference.BAD_MESSAGE, id="a varint cut after its tag"),
            pytest.param(chunk(2, tag(1, 5) + bytes(3)), reference.BAD_MESSAGE, id="3 bytes of an unpacked float"),
            pytest.param(chunk(1, b"\x0a\x01"), reference.BAD_MESSAGE, id="a value beyond its list"),
            pytest.param(b"\x1a\x01", reference.BAD_MESSAGE, id="a list beyond the feature"),
            pytest.param(b"\x80", reference.BAD_MESSAGE, id="a tag cut in the middle"),
            pytest.param(
                chunk(2, chunk(1, bytes(3))) + chunk(3, b""),
                reference.BAD_LIST,
                id="a bad list that another kind replaces",
            ),
        ],
    )
    def test_what_is_no_list_of_values_is_a_fault(self, module, feature, fault):
        spans = values_of([chunk(3, b""), feature])
        assert count(module, spans) == {"rows": 1, "fault": fault, "kinds": [INT64], "counts": [0]}

    @pytest.mark.parametrize("dtype", range(9))
    @settings(deadline=None, max_examples=40)
    @given(rows=st.lists(st.lists(INTS, max_size=4), max_size=3))
    def test_the_first_value_that_does_not_fit_is_given(self, dtype, rows):
        spans = values_of([chunk(3, chunk(1, b"".join(map(varint, row)))) for row in rows])
        low, high = (0, 1) if dtype == 0 else (np.iinfo(DTYPES[dtype]).min, np.iinfo(DTYPES[dtype]).max)
        answer = agreed(lambda module: fill(module, spans, INT64, sum(map(len, rows)), dtype))
        misfits = [(number, v) for number, row in enumerate(rows) for v in row if not low <= v <= high]
        if misfits:
            assert answer == misfits[0]
        else:
            assert answer == (len(rows), np.array([v for row in rows for v in row], DTYPES[dtype]).tobytes())

    @pytest.mark.parametrize("dtype", range(1, 9))
    @settings(deadline=None, max_examples=40)
    @given(
        row=st.lists(st.sampled_from([0, 1, 126, 127, 128, 129, 255, 16383, 16384]), max_size=30),
        long=st.booleans(),
    )
    def test_short_varints_are_taken_as_the_twin_takes_them(self, dtype, row, long):
        fits = [value for value in row if value <= np.iinfo(DTYPES[dtype]).max] if not long else row
        run = b"".join(
            b"\x80\x00" if value == 0 and long else varint(value) for value in fits
        )  # 0 in two bytes is legal
        spans = values_of([chunk(3, chunk(1, run))])
        answer = agreed(lambda module: fill(module, spans, INT64, len(fits), dtype))
        if fits == row and not long:
            assert answer == (1, np.array(row, DTYPES[dtype]).tobytes())

    @pytest.mark.parametrize("module", BOTH)
    def test_a_varint_above_64_bits_keeps_its_low_64_bits(self, module):
        feature = chunk(3, chunk(1, b"\x85" + b"\x80" * 8 + b"\x7e"))
        assert fill(module, values_of([feature]), INT64, 1) == (1, struct.pack("<q", 5))

    @settings(deadline=None, max_examples=200)
    @given(st.one_of(damaged(features), st.binary(max_size=30)), st.integers(0, 6), st.integers(0, 8))
    def test_features_that_nobody_counted_do_no_harm(self, feature, total, dtype):
        # A broken promise of the caller: any answer will do, but the process lives and nothing is written outside
        for kind in (BYTES, FLOAT, INT64):
            outcome(lambda module: fill(module, values_of([feature]), kind, total, dtype), _kernels)  # noqa: B023

    def test_wrong_arguments_are_refused(self):
        ints, floats, texts = (values_of([chunk(n, chunk(1, b"\1\2\3\4"))]) for n in (3, 2, 1))
        kinds = np.zeros(1, np.uint8)
        calls = {
            "few kinds": lambda m: m.count_values(ints, np.zeros(0, np.uint8), room(1)),
            "few counts": lambda m: m.count_values(ints, kinds.copy(), room(0)),
            "kinds of 8 bytes": lambda m: m.count_values(ints, room(1), room(1)),
            "counts of 4 bytes": lambda m: m.count_values(ints, kinds.copy(), np.zeros(1, np.int32)),
            "before the base": lambda m: m.count_values(spans_of(b"abc", [(-2, 1)]), kinds.copy(), room(1)),
            "beyond the base": lambda m: m.count_values(spans_of(b"abc", [(2, 2)]), kinds.copy(), room(1)),
            "few starts": lambda m: m.fill_bytes(texts, room(0), room(0)),
            "many starts": lambda m: m.fill_bytes(texts, room(2), room(2)),
            "starts and lengths differ": lambda m: m.fill_bytes(texts, room(1), room(2)),
            "few floats": lambda m: m.fill_floats(floats, np.zeros(0, np.float32)),
            "many floats": lambda m: m.fill_floats(floats, np.zeros(2, np.float32)),
            "floats of 8 bytes": lambda m: m.fill_floats(floats, np.zeros(1, np.float64)),
            "read-only floats": lambda m: m.fill_floats(floats, np.frombuffer(bytes(4), np.float32)),
            "few ints": lambda m: m.fill_ints(ints, 4, np.zeros(3, np.int64)),
            "many ints": lambda m: m.fill_ints(ints, 4, np.zeros(5, np.int64)),
            "ints of another size": lambda m: m.fill_ints(ints, 4, np.zeros(4, np.int32)),
            "dtype 9": lambda m: m.fill_ints(ints, 9, np.zeros(4, np.int64)),
            "dtype -1": lambda m: m.fill_ints(ints, -1, np.zeros(4, np.int64)),
        }
        assert_refused(calls)
