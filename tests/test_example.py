"""example.encode and example.decode: the wire format of tf.train.Example, whole batches at a time."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import Batch, Field, FormatError, LossyError, Ragged, Schema, SchemaError
from recordio_bridge.example import Survey, decode, encode
from tests.formats.contract import plain
from tests.native.messages import chunk, entry, example, group, tag, varint

INTS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def list_of(kind: int, *values: Any) -> bytes:
    """A Feature: bytes_list (1), packed float_list (2) or packed int64_list (3)."""
    if kind == 1:
        return chunk(1, b"".join(chunk(1, value) for value in values))
    packed = struct.pack(f"<{len(values)}f", *values) if kind == 2 else b"".join(varint(value) for value in values)
    return chunk(kind, chunk(1, packed) if values else b"")


def decoded(payloads: list[bytes], *fields: Field) -> Batch:
    batch = decode(payloads, Schema(*fields))
    assert batch.schema == Schema(*fields)
    assert len(batch) == len(payloads)
    return batch


# ---- golden bytes, made by TensorFlow 2.21 ----

ANY = {1: "bytes", 2: "float32", 3: "int64"}
SINGLES = {
    "int64 5": ("0a0c0a0a0a017812051a030a0105", "int64", [5]),
    "int64 -1": ("0a150a130a0178120e1a0c0a0affffffffffffffffff01", "int64", [-1]),
    "no int64": ("0a090a070a017812021a00", "int64", []),
    "no float": ("0a090a070a017812021200", "float32", []),
    "no bytes": ("0a090a070a017812020a00", "bytes", []),
    "empty bytes": ("0a0b0a090a017812040a020a00", "bytes", [b""]),
    "no kind as int64": ("0a070a050a01781200", "int64", []),
    "no kind as float": ("0a070a050a01781200", "float32", []),
    "no kind as bytes": ("0a070a050a01781200", "bytes", []),
    "an empty Example": ("", "int64", []),
    "empty Features": ("0a00", "bytes", []),
}


@pytest.mark.parametrize(("payload", "dtype", "values"), SINGLES.values(), ids=SINGLES)
def test_examples_of_tensorflow_are_decoded(payload: str, dtype: str, values: list[object]) -> None:
    batch = decoded([bytes.fromhex(payload)], Field("x", dtype, (None,)))
    assert list(batch["x"][0]) == values


@pytest.mark.parametrize("name", ["int64 5", "int64 -1", "empty bytes"])
def test_single_features_are_encoded_as_tensorflow_does(name: str) -> None:
    payload, dtype, values = SINGLES[name]
    assert list(encode(Batch.of({"x": [values]}, Schema(Field("x", dtype, (None,)))))) == [bytes.fromhex(payload)]


def test_several_features_are_encoded_with_sorted_keys() -> None:
    schema = Schema(Field("w", "float32", (2,)), Field("label", "uint8"), Field("image", "bytes"))
    batch = Batch.of({"w": [[1.5, -2.0]], "label": [5], "image": [b"\xff\xd8"]}, schema)
    assert encode(batch)[0] == bytes.fromhex(
        "0a34 0a0f 0a05 696d616765 1206 0a04 0a02 ffd8  0a0e 0a05 6c6162656c 1205 1a03 0a01 05"
        "0a11 0a01 77 120c 120a 0a08 0000c03f 000000c0"
    )


def test_keys_are_in_the_order_of_their_utf8_bytes() -> None:
    names = ["é", "b", "ab", "abc", "a", "Z", "", "~", "図", "a/b"]
    (payload,) = encode(Batch.of({name: [0] for name in names}))
    expected = [entry(key, list_of(3, 0)) for key in sorted(name.encode() for name in names)]
    assert payload == example(*expected)


# ---- any schema, any values ----


def values_of(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "bytes":
        return st.binary(max_size=6)
    if dtype == "float16":
        return st.floats(width=16, allow_nan=False)
    if dtype.startswith("float"):
        bits = int(dtype[5:])
        unsigned = st.one_of(st.integers(0, 2**bits - 1), st.sampled_from([0, 1 << bits - 1]))
        return unsigned.map(lambda value: np.array([value], f"<u{bits // 8}").view(dtype)[0])  # every NaN, too
    if dtype == "bool":
        return st.booleans()
    limits = np.iinfo(dtype)
    return st.integers(int(limits.min), min(int(limits.max), 2**63 - 1))


@st.composite
def fields(draw: st.DrawFn) -> Field:
    name = draw(st.text(max_size=4))
    dtype = draw(st.sampled_from([*INTS, "float16", "float32", "float64", "bytes", "bytes"]))
    shapes = [(), (1,), (3,), (None,), (None,), (0,)] + ([] if dtype == "bytes" else [(2, 2), (1, 0), (2, 1, 2)])
    packing = "list" if dtype == "bytes" else "raw" if dtype == "float64" else draw(st.sampled_from(["list", "raw"]))
    return Field(name, dtype, draw(st.sampled_from(shapes)), packing)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    schema = Schema(*draw(st.lists(fields(), max_size=5, unique_by=lambda field: field.name)))
    rows = draw(st.integers(0, 5))
    columns: dict[str, object] = {}
    for field in schema.values():
        one = values_of(field.dtype)
        if field.shape == (None,):
            lists = draw(st.lists(st.lists(one, max_size=4), min_size=rows, max_size=rows))
            made = lists if field.dtype == "bytes" else [np.array(row, field.dtype) for row in lists]
            columns[field.name] = nested(made) if field.dtype == "bytes" else Ragged.of(made, field.dtype)
            continue
        count = rows * int(np.prod(field.shape, dtype=int))
        flat = draw(st.lists(one, min_size=count, max_size=count))
        if field.dtype != "bytes":
            columns[field.name] = np.array(flat, field.dtype).reshape(rows, *field.shape)
        elif field.shape == ():
            columns[field.name] = Ragged.of(flat)
        else:
            width = field.shape[0]
            columns[field.name] = nested([flat[row * width : (row + 1) * width] for row in range(rows)])
    return Batch(columns, schema, num_rows=rows)


def nested(rows: list[list[bytes]]) -> Ragged:
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    return Ragged(Ragged.of([member for row in rows for member in row]), np.cumsum(counts) - counts, counts, "bytes")


def by_hand(row: dict[str, Any], schema: Schema) -> bytes:
    """One Example in a few plain lines: keys sorted, lists packed, no feature for a row without values."""
    entries = []
    for name in sorted(schema, key=str.encode):
        field, value = schema[name], row[name]
        if field.packing == "raw":
            values, kind = [np.asarray(value).tobytes()] if field.shape != (None,) or len(value) else [], 1
        elif field.dtype == "bytes":
            values, kind = [value] if field.shape == () else list(value), 1
        else:
            values, kind = np.asarray(value).reshape(-1), 2 if field.dtype.startswith("float") else 3
            if kind == 2:  # bit by bit: struct would make NaNs quiet
                bits = values.astype(np.float32).tobytes()
                entries += [entry(name.encode(), chunk(2, chunk(1, bits)))] if len(values) else []
                continue
            values = [int(number) for number in values]
        entries += [entry(name.encode(), list_of(kind, *values))] if values else []
    return example(*entries) if entries else b""


@given(batch=batches(), data=st.data())
@settings(max_examples=250, deadline=None)
def test_any_batch_is_encoded_as_by_hand_and_comes_back(batch: Batch, data: st.DataObject) -> None:
    payloads = encode(batch)
    assert list(payloads) == [by_hand(row, batch.schema) for row in batch.rows()]
    again = decode(payloads, batch.schema)
    assert again.schema == batch.schema
    assert len(again) == len(batch)
    assert plain(again) == plain(batch)
    assert plain(decode(list(payloads), batch.schema)) == plain(batch)
    # any rows in any order, of columns that are views by now
    order = data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=6)) if len(batch) else []
    assert list(encode(batch.take(order))) == [payloads[row] for row in order]
    assert list(encode(batch.slice(1, 3))) == list(payloads)[1:3]
    assert plain(decode(payloads.take(order), batch.schema)) == plain(batch.take(order))
    names = data.draw(st.permutations(list(batch.schema)))
    assert list(encode(batch.pick(names))) == list(payloads)
    assert plain(decode(payloads, batch.schema.pick(names[:2]))) == plain(batch.pick(names[:2]))


def test_rows_far_larger_than_their_columns_are_encoded() -> None:
    """A negative number takes ten bytes for one of int8."""
    batch = Batch.of({"x": np.full((500, 1000), -1, dtype=np.int8)})
    expected = example(entry(b"x", list_of(3, *[-1] * 1000)))
    assert list(encode(batch)) == [expected] * 500
    assert plain(decode(encode(batch), batch.schema)) == plain(batch)


def test_rows_without_columns_are_empty_examples() -> None:
    batch = Batch({}, num_rows=3)
    assert list(encode(batch)) == [b"", b"", b""]
    assert len(decode([b"", example(entry(b"x", list_of(3, 1)))], Schema())) == 2


def test_no_rows_keep_their_dtypes_and_shapes() -> None:
    schema = Schema(Field("a", "int8", (2, 3)), Field("b", "bytes", (None,)), Field("c", "uint8", (4, 4)))
    batch = decode([], schema)
    assert (len(batch), batch.schema, batch["a"].shape, batch["c"].shape) == (0, schema, (0, 2, 3), (0, 4, 4))
    assert list(encode(batch)) == []


def test_decoded_columns_are_read_only() -> None:
    batch = decoded([example(entry(b"x", list_of(3, 1, 2)))], Field("x", "int64", (2,)))
    with pytest.raises(ValueError, match="read-only"):
        batch["x"][0] = 0


# ---- refusals ----


def test_a_uint64_above_int64_is_refused_with_field_row_value_and_the_ways_out() -> None:
    for column in (np.array([1, 2**63 - 1, 2**63, 5], np.uint64), [[1], [2], [3, 2**64 - 1], []]):
        field = Field("big", "uint64", () if isinstance(column, np.ndarray) else (None,))
        with pytest.raises(LossyError) as caught:
            encode(Batch.of({"big": column, "also": [1, 2, 3, 4]}, Schema(Field("also", "int8"), field)))
        assert (caught.value.field, caught.value.row) == ("big", 2)
        message = str(caught.value)
        assert "row 2" in message
        assert "'big'" in message
        assert str(2**63 if isinstance(column, np.ndarray) else 2**64 - 1) in message
        assert "raw" in message
        assert "allow-lossy" in message


def test_a_float64_is_refused_with_field_and_the_ways_out_even_without_rows() -> None:
    for batch in (Batch.of({"ok": [1], "d": [0.5]}), Batch.of({"d": [[0.5], []]}), Batch.of({"d": np.empty(0)})):
        with pytest.raises(LossyError, match=r"float64.*float32.*raw.*allow-lossy") as caught:
            encode(batch)
        assert caught.value.field == "d"


def test_both_are_stored_whole_with_packing_raw() -> None:
    schema = Schema(Field("d", "float64", (), "raw"), Field("u", "uint64", (None,), "raw"))
    batch = Batch.of({"d": [0.1, np.nan], "u": [[2**64 - 1, 0], []]}, schema)
    payloads = encode(batch)
    assert payloads[1] == example(entry(b"d", list_of(1, struct.pack("<d", np.nan))))
    assert payloads[0] == example(
        entry(b"d", list_of(1, struct.pack("<d", 0.1))), entry(b"u", list_of(1, struct.pack("<QQ", 2**64 - 1, 0)))
    )
    assert plain(decode(payloads, schema)) == plain(batch)


def test_a_row_above_2_gib_is_refused() -> None:
    zeros = np.zeros(1 << 31, dtype=np.uint8)
    batch = Batch({"x": Ragged(zeros, np.array([0, 0]), np.array([3, 1 << 31]), "bytes")})
    with pytest.raises(SchemaError, match="row 1") as caught:
        encode(batch)
    assert caught.value.row == 1


# ---- what a writer may do on the wire ----

X = Field("x", "int64", (None,))


def one(payload: bytes, dtype: str = "int64") -> list[Any]:
    return list(decoded([payload], Field("x", dtype, (None,)))["x"][0])


def test_unpacked_lists_are_read() -> None:
    assert one(example(entry(b"x", chunk(3, tag(1, 0) + varint(5) + tag(1, 0) + varint(-3))))) == [5, -3]
    floats = b"".join(tag(1, 5) + struct.pack("<f", value) for value in (0.5, -2))
    assert one(example(entry(b"x", chunk(2, floats))), "float32") == [0.5, -2.0]


def test_packed_and_unpacked_values_of_one_list_are_read_in_their_order() -> None:
    mixed = chunk(1, varint(1) + varint(2)) + tag(1, 0) + varint(3) + chunk(1, b"") + chunk(1, varint(4))
    assert one(example(entry(b"x", chunk(3, mixed)))) == [1, 2, 3, 4]


def test_several_lists_of_one_kind_are_one_and_another_kind_replaces_them() -> None:
    assert one(example(entry(b"x", list_of(3, 1) + list_of(3, 2, 3)))) == [1, 2, 3]
    assert one(example(entry(b"x", list_of(2, 0.5) + list_of(1, b"a") + list_of(3, 7)))) == [7]
    assert one(example(entry(b"x", list_of(3, 7) + list_of(1, b"a"))), "bytes") == [b"a"]


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert one(example(entry(b"x", list_of(3, 1, 2)), entry(b"y", b""), entry(b"x", list_of(3, 9)))) == [9]
    assert one(example(entry(b"x", list_of(1, b"a")), entry(b"x", list_of(3, 9)))) == [9]
    assert one(example(entry(b"x", list_of(3, 9)), entry(b"x", b""))) == []


def test_a_damaged_feature_is_an_error_also_where_a_later_one_of_its_key_counts() -> None:
    message = example(entry(b"x", chunk(3, chunk(1, b"\x80"))), entry(b"x", list_of(3, 9)))
    with pytest.raises(FormatError, match="record 0, byte 9 of its payload: a packed list is cut inside a value"):
        one(message)
    survey = Survey()
    with pytest.raises(FormatError, match="record 0, byte 9 of its payload: a packed list is cut inside a value"):
        survey.add(Ragged.of([message]))


def test_several_features_messages_are_merged() -> None:
    first, second = example(entry(b"x", list_of(3, 1)), entry(b"y", list_of(3, 2))), example(entry(b"x", list_of(3, 3)))
    batch = decoded([first + second], X, Field("y", "int64"))
    assert (batch["x"][0].tolist(), batch["y"].tolist()) == ([3], [2])


UNKNOWN = {
    "varint": tag(9, 0) + varint(300),
    "64 bits": tag(9, 1) + bytes(8),
    "bytes": chunk(9, b"anything"),
    "32 bits": tag(9, 5) + bytes(4),
    "a group": group(9, chunk(1, b"inner") + group(2, b"")),
    "the largest number": chunk(2**29 - 1, b"far"),
}


@pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_fields_are_passed_over_at_every_level(unknown: bytes) -> None:
    values = unknown + chunk(1, varint(5)) + unknown
    feature = unknown + chunk(3, values) + unknown
    pair = unknown + chunk(1, b"x") + unknown + chunk(2, feature) + unknown
    payload = unknown + chunk(1, unknown + chunk(1, pair) + unknown) + unknown
    assert one(payload) == [5]


def test_an_entry_may_lack_key_or_value_or_have_them_turned_round() -> None:
    batch = decoded([example(chunk(1, chunk(2, list_of(3, 4))))], Field("", "int64"))
    assert batch[""].tolist() == [4]
    assert one(example(chunk(1, chunk(1, b"x")))) == []
    assert one(example(chunk(1, chunk(2, list_of(3, 4)) + chunk(1, b"x")))) == [4]
    assert one(example(chunk(1, chunk(1, b"y") + chunk(1, b"x") + chunk(2, list_of(3, 4))))) == [4]


def test_lengths_and_numbers_in_more_bytes_than_needed_are_read() -> None:
    feature = chunk(3, chunk(1, varint(5, 3) + varint(0, 9), 4), 2)
    assert one(chunk(1, chunk(1, chunk(1, b"x", 1) + chunk(2, feature, 9)), 4)) == [5, 0]


def test_a_varint_above_64_bits_keeps_its_low_bits_as_protobuf_does() -> None:
    assert one(example(entry(b"x", chunk(3, chunk(1, b"\x85" + b"\x80" * 8 + b"\x7e"))))) == [5]


WRONG = {
    "text": b"no Example",
    "a length beyond the end": b"\x0a\x05abc",
    "a huge length": b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a tag without a value": b"\x0a",
    "a varint of 11 bytes": tag(9, 0) + b"\x80" * 10 + b"\x01",
    "field number 0": b"\x02\x00",
    "wire type 6": b"\x0e\x00",
    "wire type 7": b"\x0f",
    "a group that does not end": tag(9, 3) + chunk(1, b""),
    "the end of a group that did not begin": tag(9, 4),
    "another group's end": tag(9, 3) + tag(8, 4),
    "groups nested without end": tag(9, 3) * 5000,
    "an entry cut": chunk(1, chunk(1, b"\x0a\x05x")),
    "a feature cut": example(entry(b"x", b"\x1a\x05")),
    "a list cut": example(entry(b"x", chunk(3, b"\x0a\x02\x01"))),
    "packed floats cut": example(entry(b"x", chunk(2, chunk(1, b"123")))),
    "a packed varint cut": example(entry(b"x", chunk(3, chunk(1, b"\x01\x80")))),
    "an unpacked float cut": example(entry(b"x", chunk(2, tag(1, 5) + b"12"))),
}


@pytest.mark.parametrize("payload", WRONG.values(), ids=WRONG)
def test_what_is_no_example_is_a_format_error_with_its_record(payload: bytes) -> None:
    good = example(entry(b"x", list_of(3, 1)))
    for fields_asked in ([X], [Field("x", "float32", (None,))], [Field("x", "bytes", (None,))]):
        with pytest.raises(FormatError) as caught:
            decode([b"", b"", payload, good], Schema(*fields_asked))
        assert caught.value.record == 2
        assert "record 2" in str(caught.value)


@given(
    payload=st.one_of(
        st.binary(max_size=30),
        st.tuples(batches().filter(len), st.integers(0, 10**6), st.binary(max_size=3)).map(
            lambda drawn: cut_in(encode(drawn[0])[0], drawn[1], drawn[2])
        ),
    ),
    field=fields(),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_rows_or_an_error_of_ours(payload: bytes, field: Field) -> None:
    try:
        batch = decode([payload], Schema(field))
    except (FormatError, SchemaError):
        return
    assert batch.schema == Schema(field)
    assert len(list(batch.rows())) == 1


def cut_in(payload: bytes, at: int, new: bytes) -> bytes:
    """The payload with some bytes replaced somewhere."""
    at %= len(payload) + 1
    return payload[:at] + new + payload[at + len(new) :]


# ---- kinds and counts that the field does not have ----

KINDS = {"bytes_list": list_of(1, b"a"), "float_list": list_of(2, 1.0), "int64_list": list_of(3, 1)}


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("x", "bytes"), "bytes_list"),
        (Field("x", "float32"), "float_list"),
        (Field("x", "bool"), "int64_list"),
        (Field("x", "int8", (None,)), "int64_list"),
        (Field("x", "float64", (), "raw"), "bytes_list"),
    ],
    ids=str,
)
def test_another_kind_is_an_error_that_names_field_row_and_both_kinds(there: str, field: Field, expected: str) -> None:
    good = example(entry(b"x", KINDS[expected] if field.packing == "list" else list_of(1, bytes(8))))
    payloads = [good, good, example(entry(b"x", KINDS[there]))]
    if there == expected and field.packing == "list":
        assert len(decoded(payloads, field)) == 3
        return
    with pytest.raises(SchemaError) as caught:
        decode(payloads, Schema(field))
    assert (caught.value.field, caught.value.row) == ("x", 2)
    assert "record 2" in str(caught.value)
    assert there == expected or (there in str(caught.value) and expected in str(caught.value))


@pytest.mark.parametrize(
    ("field", "feature", "words"),
    [
        (Field("x", "int64"), list_of(3, 1, 2), ["2 values", "expected 1"]),
        (Field("x", "int64"), list_of(3), ["missing"]),
        (Field("x", "int64"), None, ["missing"]),
        (Field("x", "bytes"), None, ["missing"]),
        (Field("x", "float32", (2, 3)), list_of(2, 1, 2, 3, 4, 5), ["5 values", "expected 6"]),
        (Field("x", "bytes", (2,)), list_of(1, b"a"), ["1 values", "expected 2"]),
        (Field("x", "uint8", (2, 2)), list_of(1, b"abc"), ["3 bytes", "expected 4"]),
        (Field("x", "uint8", (2, 2)), list_of(1, b"ab", b"cd"), ["2 values", "expected 1"]),
        (Field("x", "uint8", (2, 2)), None, ["missing"]),
        (Field("x", "int32", (None,), "raw"), list_of(1, b"12345"), ["5 bytes", "multiple of 4"]),
        (Field("x", "int32", (None,), "raw"), list_of(1, b"", b""), ["2 values"]),
        (Field("x", "int8"), list_of(3, 128), ["128", "int8"]),
        (Field("x", "uint64"), list_of(3, -1), ["-1", "uint64"]),
        (Field("x", "bool", (None,)), list_of(3, 0, 1, 2), ["2", "bool"]),
        (Field("x", "float16"), list_of(2, 1e9), ["float16"]),
        (Field("x", "float16"), list_of(2, 0.1), ["float16"]),
    ],
    ids=range(16),
)
def test_values_that_do_not_fit_are_an_error_with_field_and_row(
    field: Field, feature: bytes | None, words: list[str]
) -> None:
    fine = Batch.of({"x": nested([[b"", b""]]) if field.shape == (2,) else [zero_of(field)]}, Schema(field))
    good = encode(fine)[0]
    with pytest.raises(SchemaError) as caught:
        decode([good, good, example(*([] if feature is None else [entry(b"x", feature)]))], Schema(field))
    assert (caught.value.field, caught.value.row) == ("x", 2)
    assert all(word in str(caught.value) for word in [*words, "'x'"])


def zero_of(field: Field) -> object:
    if field.dtype == "bytes":
        return b""
    shape = tuple(1 if size is None else size for size in field.shape)
    return np.zeros(shape, field.dtype)
