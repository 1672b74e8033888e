"""SageMaker's Records <-> Batch: what a field is of a Record, round trips, errors, inference."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import Batch, Field, FormatError, LossyError, Ragged, Schema, SchemaError, sagemaker
from recordio_bridge.sagemaker import survey as survey_module
from recordio_bridge.sagemaker.names import CONTENT_TYPE, KEYS, SHAPE, TEXT, VALUES, Place, place_of
from recordio_bridge.schema import LONGEST_NAME
from tests.native.messages import chunk, tag, varint

KEY = chunk(1, b"v")


def record(value: bytes, key: bytes = KEY) -> bytes:
    return chunk(1, key + chunk(2, value))


def survey(*payloads: bytes) -> Schema:
    found = sagemaker.Survey()
    found.add(Ragged.of(payloads))
    assert found.num_rows == len(payloads)
    return found.schema()


FLOATS = chunk(2, chunk(1, struct.pack("<2f", 1, 2)))
SPARSE = chunk(2, chunk(1, struct.pack("<2f", 1, 2)) + chunk(2, b"\x03\x07") + chunk(3, b"\x09"))


# ---- names ----


@pytest.mark.parametrize(
    ("name", "dtype", "place"),
    [
        ("features/values", "float32", Place(b"\x01values", VALUES)),
        ("label/a/b", "int32", Place(b"\x02a/b", VALUES)),
        ("features/", "bytes", Place(b"\x01", VALUES)),
        ("features/values/keys", "uint64", Place(b"\x01values", KEYS)),
        ("features/values/shape", "uint64", Place(b"\x01values", SHAPE)),
        ("features/values/keys", "int32", Place(b"\x01values/keys", VALUES)),
        ("features/keys", "uint64", Place(b"\x01keys", VALUES)),
        ("features//keys", "uint64", Place(b"\x01", KEYS)),
        ("label/größe/content_type", "bytes", Place(b"\x02gr\xc3\xb6\xc3\x9fe", CONTENT_TYPE)),
        ("label/x/content_type", "float32", Place(b"\x02x/content_type", VALUES)),
        ("uid", "bytes", Place(b"\x03", TEXT)),
        ("features", "float32", None),
        ("uid/x", "bytes", None),
        ("feature/values", "float32", None),
    ],
)
def test_a_field_is_what_its_name_and_dtype_say(name: str, dtype: str, place: Place | None) -> None:
    assert place_of(Field(name, dtype, ())) == place


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([Field("x", "float32")], "--select features/values=x"),
        ([Field("x", "float32"), Field("t/y", "int64")], "--select label/values=t/y features/values=x"),
        ([Field("x", "float32"), Field("z", "bytes"), Field("uid", "bytes")], "features/x=x features/z=z uid=uid"),
        ([Field("uid", "int64")], "one text"),
        ([Field("uid", "bytes", (2,))], "one text"),
        ([Field("features/v/keys", "uint64", (None,))], "part of 'features/v', which is not there"),
        ([Field("features/v", "bytes"), Field("features/v/keys", "uint64", (None,))], "content_type"),
        ([Field("features/v", "int32"), Field("features/v/content_type", "bytes")], "content_type"),
        ([Field("features/v", "int32", (2, 2)), Field("features/v/shape", "uint64", (2,))], "shape by itself"),
        (
            [Field("features/v", "float32", (None,)), Field("features/v/keys", "int64", (None,))],
            "--select 'features/v/keys:uint64=features/v/keys'",
        ),
    ],
)
def test_fields_that_a_record_cannot_hold_are_refused(fields: list[Field], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        sagemaker.check_encodable(Schema(*fields))
    assert message in str(caught.value)
    assert caught.value.field in [field.name for field in fields]


# ---- round trips ----

NUMBERS = {
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "float16": st.floats(width=16),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**31), 2**31 - 1),
    "uint64": st.integers(0, 2**31 - 1),
    "uint8": st.integers(0, 255),
    "bool": st.booleans(),
}
SHAPES: list[tuple[int | None, ...]] = [(), (1,), (3,), (None,), (2, 2), (1, 3, 2)]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Batches of every kind of field; rows that come back empty are those that were."""
    rows = draw(st.integers(0, 4))
    fields, columns = [], {}

    def numbers(dtype: str, count: int) -> list[object]:
        return draw(st.lists(NUMBERS[dtype], min_size=count, max_size=count))

    for name in draw(st.lists(st.sampled_from(["features/a", "features/ß/c", "label/", "label/v"]), unique=True)):
        dtype = draw(st.sampled_from([*NUMBERS, "bytes"]))
        texts = st.binary(max_size=200) if draw(st.booleans()) else st.binary(max_size=3)
        if dtype == "bytes":
            shape = draw(st.sampled_from([(), (None,), (2,)]))
            count = {(): 1, (2,): 2}.get(shape)
            lists = [draw(st.lists(texts, min_size=count or 0, max_size=count or 3)) for _ in range(rows)]
            columns[name] = Ragged.of([row[0] for row in lists]) if shape == () else Ragged.of_lists(lists)
            if draw(st.booleans()):
                columns[f"{name}/content_type"] = Ragged.of([draw(texts) for _ in range(rows)])
                fields.append(Field(f"{name}/content_type", "bytes"))
        else:
            shape = draw(st.sampled_from(SHAPES))
            count = int(np.prod(shape)) if shape != (None,) else None
            made = [numbers(dtype, count if count is not None else draw(st.integers(0, 40))) for _ in range(rows)]
            arrays = [np.array(row, dtype).reshape([n or len(row) for n in shape]) for row in made]
            columns[name] = Ragged.of(arrays, dtype) if shape == (None,) else np.array(arrays, dtype)
            if shape == (None,) and draw(st.booleans()):
                counts = [len(row) if draw(st.booleans()) else 0 for row in made]  # sparse or dense
                keys = [draw(st.lists(st.integers(0, 2**64 - 1), min_size=n, max_size=n)) for n in counts]
                columns[f"{name}/keys"] = Ragged.of([np.array(row, np.uint64) for row in keys], "uint64")
                fields.append(Field(f"{name}/keys", "uint64", (None,)))
        fields.append(Field(name, dtype, shape))
    if draw(st.booleans()):
        columns["uid"] = Ragged.of_lists([[b"u"] * draw(st.integers(0, 1)) for _ in range(rows)])
        fields.append(Field("uid", "bytes", (None,)))
    return Batch.of(columns, Schema(*fields))


@settings(deadline=None, max_examples=300)
@given(batches())
def test_what_is_encoded_is_decoded(batch: Batch) -> None:
    payloads = sagemaker.encode(batch)
    assert len(payloads) == (len(batch) if len(batch.schema) else 0)
    assert sagemaker.decode(payloads, batch.schema) == batch
    if len(batch.schema):
        again = sagemaker.Survey()
        again.add(payloads)
        inferred = sagemaker.decode(payloads, again.schema())
        assert sagemaker.encode(inferred) == payloads  # also without a schema the same Records come of it


def test_the_bytes_of_a_record_are_those_of_protobuf() -> None:
    batch = Batch.of({"uid": ["a"], "label/v": np.array([-1]), "features/v": np.array([[1, 2]], np.float32)})
    minus_one = chunk(7, chunk(1, varint(-1)))
    expected = record(FLOATS) + chunk(2, KEY + chunk(2, minus_one)) + chunk(3, b"a")
    assert list(sagemaker.encode(batch)) == [expected]


def test_a_row_without_anything_has_no_entry() -> None:
    schema = Schema(Field("features/v", "float32", (None,)), Field("features/v/shape", "uint64", (None,)))
    batch = Batch.of({"features/v": [[1], [], []], "features/v/shape": [[], [5], []]}, schema)
    one = chunk(2, chunk(1, struct.pack("<f", 1)))
    assert list(sagemaker.encode(batch)) == [record(one), record(chunk(2, chunk(3, b"\x05"))), b""]


SPARSE_FIELDS = Schema(
    Field("features/v", "float32", (None,)),
    Field("features/v/keys", "uint64", (None,)),
    Field("features/v/shape", "uint64", (None,)),
)


@pytest.mark.parametrize(
    ("keys", "shape", "field", "message"),
    [
        (
            [0],
            [10],
            "features/v/keys",
            "row 1 of field 'features/v/keys': 1 key for 2 values of 'features/v'; expected",
        ),
        ([0, 1, 2], [10], "features/v/keys", "3 keys for 2 values"),
        ([0, 50], [10], "features/v/keys", r"key 50, and the shape is \[10\]; expected less than 10"),
        ([0, 12], [3, 4], "features/v/keys", r"key 12, and the shape is \[3, 4\]; expected less than 12"),
        ([0, 2**64 - 1], [2**63], "features/v/keys", "expected less than 9223372036854775808"),
        ([0, 1], [3, 0], "features/v/keys", "expected less than 0"),
        ([], [10], "features/v/shape", r"row 1 of field 'features/v/shape': \[10\] is not the shape of 2 values"),
    ],
)
def test_keys_and_shape_that_do_not_fit_the_values_are_refused_with_their_row(keys, shape, field, message) -> None:
    columns = {
        "features/v": [[], [1, 2], [3]],
        "features/v/keys": [[], keys, [0]],
        "features/v/shape": [[10], shape, [10]],
    }
    with pytest.raises(SchemaError, match=message) as raised:
        sagemaker.encode(Batch.of(columns, SPARSE_FIELDS))
    assert (raised.value.field, raised.value.row) == (field, 1)


def test_keys_and_shapes_that_fit_are_written() -> None:
    columns = {
        "features/v": [[], [1, 2], [3], [4, 5], [6, 7], [8], [9]],
        "features/v/keys": [[], [0, 11], [2**64 - 1], [], [], [9], [2**64 - 2]],
        "features/v/shape": [[10], [3, 4], [], [2], [], [2**40, 2**40], [2**64 - 1]],  # more than there are numbers for
    }
    batch = Batch.of(columns, SPARSE_FIELDS)
    assert sagemaker.decode(sagemaker.encode(batch), SPARSE_FIELDS) == batch


def test_a_text_may_be_there_once() -> None:
    batch = Batch.of({"uid": Ragged.of_lists([[b"a"], [b"b", b"c"]])}, Schema(Field("uid", "bytes", (None,))))
    with pytest.raises(SchemaError, match="has 2 texts") as caught:
        sagemaker.encode(batch)
    assert (caught.value.field, caught.value.row) == ("uid", 1)


@pytest.mark.parametrize("ragged", [False, True])
def test_an_integer_that_does_not_fit_is_named_with_its_row(ragged: bool) -> None:
    rows = [[1, 2], [3, -(2**31) - 1]]
    column = Ragged.of([np.array(row) for row in rows], "int64") if ragged else np.array(rows)
    with pytest.raises(LossyError, match=r"row 1 .* -2147483649 is no int32.*float64") as caught:
        sagemaker.encode(Batch.of({"label/v": column}))
    assert (caught.value.field, caught.value.row) == ("label/v", 1)


# ---- decoding ----


def test_what_a_tidy_writer_does_not_write_is_read_as_protobuf_reads_it() -> None:
    field = Schema(Field("features/v", "float32", (None,)))
    single = tag(1, 5) + struct.pack("<f", 7)
    cases = {
        record(chunk(2, single)): [7],
        record(chunk(2, single) + chunk(2, single + chunk(1, struct.pack("<2f", 1, 2)))): [7, 7, 1, 2],
        record(chunk(7, chunk(1, b"\1")) + FLOATS): [1, 2],  # a oneof: the last one counts
        record(FLOATS + chunk(3, b"") + chunk(2, single)): [7],
        record(chunk(2, single)) + record(FLOATS): [1, 2],  # and of a key, too
        record(b""): [],
        chunk(1, KEY): [],
        b"": [],
    }
    for payload, expected in cases.items():
        assert sagemaker.decode([payload], field)["features/v"][0].tolist() == expected
    texts = record(chunk(9, chunk(2, b"a") + chunk(1, b"x") + chunk(2, b"b"))) + chunk(3, b"1") + chunk(3, b"2")
    names = Schema(Field("features/v", "bytes"), Field("features/v/content_type", "bytes"), Field("uid", "bytes"))
    row = sagemaker.decode([texts], names).row(0)
    assert row == {"features/v": b"x", "features/v/content_type": b"b", "uid": b"2"}


@pytest.mark.parametrize(
    ("field", "payload", "message"),
    [
        (Field("features/v", "float64", (2,)), record(FLOATS), "is float32_tensor, expected float64_tensor"),
        (Field("features/v", "bytes"), record(FLOATS), "is float32_tensor, expected bytes"),
        (Field("features/v", "float32", (3,)), record(FLOATS), "has 2 values, expected 3"),
        (Field("features/v", "float32"), b"", "is missing or empty"),
        (Field("features/v", "float32", (2,)), record(SPARSE), "is sparse"),
        (Field("features/v", "float32", (2, 1)), record(chunk(2, FLOATS[2:] + chunk(3, b"\1\2"))), r"shape \[1, 2\]"),
        (Field("features/v", "float32", (2, 1)), record(chunk(2, FLOATS[2:] + chunk(3, b"\2"))), r"shape \[2\]"),
        (Field("features/v", "uint8"), record(chunk(7, chunk(1, b"\xac\x02"))), "300 is no uint8"),
        (Field("features/v/keys", "uint64", (None,)), record(chunk(9, b"")), "is bytes"),
        (Field("uid", "bytes"), b"", "is missing or empty"),
    ],
)
def test_a_record_that_does_not_fit_its_field_is_named(field: Field, payload: bytes, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        sagemaker.decode([payload], Schema(field))
    assert (caught.value.field, caught.value.row) == (field.name, 0)


def test_a_field_that_is_nothing_of_a_record_is_refused() -> None:
    for field in (Field("x", "float32"), Field("uid", "float32")):
        with pytest.raises(SchemaError):
            sagemaker.decode([record(FLOATS) + chunk(3, b"a")], Schema(field))


def test_a_fault_says_record_and_byte() -> None:
    schema = Schema(Field("features/v", "float32", (None,)))
    for payload, message in {
        record(FLOATS) + b"\x0a\x05": rf"record 1, byte {len(record(FLOATS))} of its payload",
        record(FLOATS) + chunk(6, b""): "record.proto does not have",
        record(chunk(2, chunk(1, b"abc"))): "'features/v': packed numbers are cut",
    }.items():
        for read in (lambda rows: sagemaker.decode(rows, schema), lambda rows: survey(*rows)):
            with pytest.raises(FormatError, match=message) as caught:
                read([record(FLOATS), payload])
            assert caught.value.record == 1


def test_many_names_are_decoded_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch.of({f"features/{n}": np.arange(10, dtype=np.float32) for n in range(9)})
    monkeypatch.setattr("recordio_bridge.sagemaker.decoding._FOUND", 30)
    assert sagemaker.decode(sagemaker.encode(batch), batch.schema) == batch


# ---- inference ----


def test_the_schema_is_what_all_records_agree_on() -> None:
    scalar = chunk(2, chunk(1, struct.pack("<f", 1)))
    assert survey(record(FLOATS), record(FLOATS)) == Schema(Field("features/v", "float32", (2,)))
    assert survey(record(scalar)) == Schema(Field("features/v", "float32"))
    for other in (record(scalar), b"", record(b"")):
        assert survey(record(FLOATS), other) == Schema(Field("features/v", "float32", (None,)))
    assert survey(record(b"")) == Schema(Field("features/v", "bytes", (None,)))
    assert survey(record(SPARSE), record(FLOATS)) == Schema(
        Field("features/v", "float32", (None,)),
        Field("features/v/keys", "uint64", (None,)),
        Field("features/v/shape", "uint64", (None,)),
    )
    assert survey() == Schema()


def test_another_kind_than_before_is_an_error_and_leaves_no_trace() -> None:
    found = sagemaker.Survey()
    other = record(chunk(3, chunk(1, bytes(8))))
    new = record(FLOATS, chunk(1, b"new"))
    with pytest.raises(SchemaError, match="is float64_tensor, and float32_tensor before") as caught:
        found.add(Ragged.of([record(FLOATS), record(FLOATS), new + other, record(FLOATS)]))
    assert (caught.value.row, found.num_rows) == (2, 2)
    assert found.schema() == Schema(Field("features/v", "float32", (2,)))


def test_an_entry_that_would_be_taken_for_a_part_of_another_is_an_error() -> None:
    text = chunk(9, chunk(1, b"png"))
    with pytest.raises(SchemaError, match=r"features/v/content_type.*payload='raw'"):
        survey(record(text, chunk(1, b"v/content_type")))
    with pytest.raises(SchemaError, match=r"features/v/keys.*payload='raw'"):
        survey(record(SPARSE) + record(FLOATS, chunk(1, b"v/keys")))
    assert len(survey(record(FLOATS) + record(FLOATS, chunk(1, b"v/keys")))) == 2


def test_a_key_that_is_too_long_for_a_name_is_an_error() -> None:
    """Longer ones than a name can be are not even kept."""
    survey(record(FLOATS, chunk(1, b"n" * (LONGEST_NAME - len("features/")))))
    with pytest.raises(SchemaError, match=f"a name of {LONGEST_NAME + 9} bytes, expected at most {LONGEST_NAME}"):
        survey(record(FLOATS, chunk(1, b"n" * LONGEST_NAME)))
    with pytest.raises(FormatError, match=f"has {LONGEST_NAME + 1} bytes, expected at most {LONGEST_NAME}"):
        survey(record(FLOATS, chunk(1, b"n" * (LONGEST_NAME + 1))))


def test_a_hostile_number_of_names_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "_MOST_NAMES", 5)
    with pytest.raises(FormatError, match="more than 5 different entries"):
        survey(record(FLOATS), *(record(FLOATS, chunk(1, b"%d" % n)) for n in range(9)))
    with pytest.raises(FormatError, match="not UTF-8"):
        survey(record(FLOATS, chunk(1, b"\xff")))
