"""Which schema a TFRecord of Examples is read with: inferred, given, or the sidecar's."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, Field, FormatError, Ragged, Schema, SchemaError
from tests.formats.contract import plain
from tests.formats.frames import tfr
from tests.native.messages import chunk, entry, example, varint
from tests.samples import believe_by_name, frame_tfrecord


def ints(*values: int) -> bytes:
    return chunk(3, chunk(1, b"".join(varint(value) for value in values)) if values else b"")


def floats(*values: float) -> bytes:
    return chunk(2, chunk(1, np.array(values, dtype="<f4").tobytes()) if values else b"")


def texts(*values: bytes) -> bytes:
    return chunk(1, b"".join(chunk(1, value) for value in values))


def file_of(path: Path, *rows: dict[str, bytes]) -> Path:
    """A TFRecord of Examples with these features; a row of none is an empty record."""
    payloads = [example(*(entry(key.encode(), value) for key, value in row.items())) if row else b"" for row in rows]
    path.write_bytes(tfr(*payloads))
    return path


def inferred(path: Path, *rows: dict[str, bytes]) -> Schema:
    """The inferred schema, after a look that reading goes by the same."""
    summary = rb.inspect(file_of(path, *rows))
    assert "schema inferred from the records" in summary.notes
    assert summary.num_rows == len(rows)
    assert [batch.schema for batch in rb.read(path)] == [summary.schema]
    return summary.schema


# ---- inference ----


def test_a_list_of_one_in_every_record_is_a_single_value(tmp_path: Path) -> None:
    row = {"i": ints(7), "f": floats(0.5), "b": texts(b"x")}
    assert inferred(tmp_path / "x", row, row) == Schema(Field("b", "bytes"), Field("f", "float32"), Field("i", "int64"))


def test_a_list_as_long_in_every_record_is_dense(tmp_path: Path) -> None:
    row = {"i": ints(7, 8, 9), "f": floats(0.5, 1), "b": texts(b"x", b"")}
    expected = Schema(Field("b", "bytes", (2,)), Field("f", "float32", (2,)), Field("i", "int64", (3,)))
    assert inferred(tmp_path / "x", row, row) == expected
    (batch,) = rb.read(tmp_path / "x")
    assert batch["i"].tolist() == [[7, 8, 9]] * 2
    assert list(batch["b"]) == [[b"x", b""]] * 2


@pytest.mark.parametrize("other", [ints(1, 2), ints(), b"", None], ids=["longer", "empty", "no kind", "missing"])
@pytest.mark.parametrize("first", [True, False])
def test_a_list_of_varying_length_is_ragged(tmp_path: Path, other: bytes | None, first: bool) -> None:
    rows = [{"i": ints(7), "j": ints(1)}, {"j": ints(1)} if other is None else {"i": other, "j": ints(1)}]
    rows = rows if first else rows[::-1]
    assert inferred(tmp_path / "x", *rows) == Schema(Field("i", "int64", (None,)), Field("j", "int64"))
    (batch,) = rb.read(tmp_path / "x")
    values = [[7], [1, 2] if other == ints(1, 2) else []]
    assert [row.tolist() for row in batch["i"]] == (values if first else values[::-1])


def test_one_record_among_very_many_decides(tmp_path: Path) -> None:
    usual, odd = {"i": ints(7), "f": floats(1)}, {"i": ints(7, 7), "f": floats(1), "late": texts(b"z")}
    path = file_of(tmp_path / "x", usual)
    many = path.read_bytes() * 70_000
    odd_one = file_of(tmp_path / "x", odd).read_bytes()
    path.write_bytes(many + odd_one + many[: len(many) // 7])
    late = Field("late", "bytes", (None,))
    assert rb.inspect(path).schema == Schema(Field("f", "float32"), Field("i", "int64", (None,)), late)
    (batch,) = rb.read(tmp_path / "x", batch_rows=100_000)
    assert batch["late"].lengths.sum() == 1
    assert batch["late"][70_000] == [b"z"]
    assert batch["i"][70_000].tolist() == [7, 7]


def test_a_feature_that_never_has_a_kind_keeps_its_name(tmp_path: Path) -> None:
    schema = inferred(tmp_path / "x", {"i": ints(7), "nothing": b""}, {"i": ints(7)})
    assert list(schema) == ["i", "nothing"]
    (batch,) = rb.read(tmp_path / "x")
    assert [len(row) for row in batch["nothing"]] == [0, 0]


def test_a_feature_whose_lists_are_all_empty_keeps_name_and_kind(tmp_path: Path) -> None:
    schema = inferred(tmp_path / "x", {"i": ints(), "f": floats(), "b": texts()})
    assert schema == Schema(Field("b", "bytes", (None,)), Field("f", "float32", (None,)), Field("i", "int64", (None,)))


def test_fields_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    keys = ["b", "a", "ab", "abc", "Z", "é", "image/encoded", ""]
    schema = inferred(tmp_path / "x", {key: ints(1) for key in keys})
    assert list(schema) == sorted(keys, key=str.encode)


def test_a_feature_that_changes_its_kind_is_an_error_with_field_and_row(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x", {"a": ints(1)}, {"a": ints(1)}, {"a": floats(1)})
    for reader in (rb.inspect, rb.read):
        with pytest.raises(SchemaError, match=r"float_list.*int64_list") as caught:
            list(reader(path))
        assert (caught.value.field, caught.value.row) == ("a", 2)
        assert str(path) in str(caught.value)


def test_a_kind_that_comes_after_rows_without_one_counts(tmp_path: Path) -> None:
    schema = inferred(tmp_path / "x", {"a": b""}, {}, {"a": floats(1, 2)}, {"a": b""})
    assert schema == Schema(Field("a", "float32", (None,)))


def test_several_files_are_inferred_together(tmp_path: Path) -> None:
    file_of(tmp_path / "a.tfrecord", {"i": ints(7), "only": texts(b"a")})
    file_of(tmp_path / "b.tfrecord", {"i": ints(7, 8)})
    summary = rb.inspect(tmp_path)
    assert summary.schema == Schema(Field("i", "int64", (None,)), Field("only", "bytes", (None,)))
    (batch,) = rb.read(tmp_path)
    assert [row.tolist() for row in batch["i"]] == [[7], [7, 8]]
    assert list(batch["only"]) == [[b"a"], []]


def test_inference_of_no_records_gives_no_fields(tmp_path: Path) -> None:
    (tmp_path / "x.tfrecord").write_bytes(b"")
    summary = rb.inspect(tmp_path / "x.tfrecord")
    assert (summary.schema, summary.num_rows) == (Schema(), 0)
    assert list(rb.read(tmp_path / "x.tfrecord")) == []


# ---- inference over damage, and over very many keys ----

BROKEN = {
    "no message": b"\x0a\x05abc",
    "a cut list": example(entry(b"new", ints(1)), entry(b"i", chunk(3, chunk(1, b"\x80")))),
    "another kind": example(entry(b"new", ints(1)), entry(b"i", floats(1))),
    "two values": example(entry(b"new", ints(1)), chunk(1, chunk(1, b"i") + chunk(2, ints(1)) + chunk(2, ints(2)))),
    "a key that is no text": example(entry(b"new", ints(1)), entry(b"\xff", ints(1))),
}


@pytest.mark.parametrize("first", BROKEN)
@pytest.mark.parametrize("second", BROKEN)
def test_inference_stops_at_the_first_record_that_is_broken_or_leaves_out_each_of_them(
    tmp_path: Path, first: str, second: str
) -> None:
    good = example(entry(b"i", ints(7)))
    path = tmp_path / "x"
    path.write_bytes(tfr(good, good, BROKEN[first], good, BROKEN[second], good))
    with pytest.raises((FormatError, SchemaError), match="record 2") as caught:
        rb.inspect(path, payload="example")
    assert str(path) in str(caught.value)
    (batch,) = rb.read(path, payload="example", on_bad_record="skip")
    assert batch["i"].tolist() == [7] * 4
    assert list(batch.schema) == ["i"]


def test_thousands_of_keys_are_inferred_in_little_memory(tmp_path: Path) -> None:
    """10,000 keys, five others in each record: a table of both would be of 20 million cells."""
    rows = [example(*(entry(b"key %d" % key, ints(1)) for key in range(k, k + 5))) for k in range(0, 10_000, 5)]
    (tmp_path / "x").write_bytes(b"".join(map(frame_tfrecord, rows)))
    tracemalloc.start()
    try:
        summary = rb.inspect(tmp_path / "x", payload="example")
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert summary.num_rows == 2000
    assert list(summary.schema) == sorted(f"key {key}" for key in range(10_000))
    assert set(summary.schema.values()) == {Field(f"key {key}", "int64", (None,)) for key in range(10_000)}


def test_more_than_ten_thousand_keys_are_refused_with_their_record(tmp_path: Path) -> None:
    rows = [example(*(entry(b"key %d" % key, ints(1)) for key in range(k, k + 3001))) for k in range(0, 12_000, 3000)]
    (tmp_path / "x").write_bytes(b"".join(map(frame_tfrecord, rows)))
    with pytest.raises(FormatError, match="more than 10000 different features") as caught:
        rb.inspect(tmp_path / "x", payload="example")
    assert caught.value.record == 3


# ---- schema= ----


def given(path: Path, *fields: Field) -> Batch:
    (batch,) = rb.read(path, schema=Schema(*fields))
    assert batch.schema == Schema(*fields)
    return batch


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_are_read_as_the_dtype_given(tmp_path: Path, dtype: str) -> None:
    path = file_of(tmp_path / "x", {"i": ints(0)}, {"i": ints(1)})
    column = given(path, Field("i", dtype))["i"]
    assert (column.dtype.name, column.tolist()) == (dtype, [0, 1])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("bool", 2), ("int8", 128), ("int8", -129), ("uint8", -1), ("uint64", -1), ("int32", 2**31), ("uint32", 2**32)],
)
def test_an_integer_that_the_dtype_has_not_is_an_error_with_field_and_row(
    tmp_path: Path, dtype: str, value: int
) -> None:
    path = file_of(tmp_path / "x", {"i": ints(1)}, {"i": ints(value)})
    with pytest.raises(SchemaError, match=str(value)) as caught:
        given(path, Field("i", dtype))
    assert (caught.value.field, caught.value.row) == ("i", 1)
    assert str(path) in str(caught.value)


def test_floats_are_read_as_the_dtype_given_where_that_is_exact(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x", {"f": floats(0.5, np.nan)}, {"f": floats(-2, np.inf)})
    column = given(path, Field("f", "float16", (2,)))["f"]
    assert (column.dtype, column.tobytes()) == (
        np.float16,
        np.array([[0.5, np.nan], [-2, np.inf]], np.float16).tobytes(),
    )
    assert given(path, Field("f", "float64", (2,), "list"))["f"][1].tolist() == [-2.0, np.inf]
    path = file_of(tmp_path / "y", {"f": floats(1)}, {"f": floats(0.1)})
    with pytest.raises(SchemaError) as caught:
        given(path, Field("f", "float16"))
    assert (caught.value.field, caught.value.row) == ("f", 1)


def test_a_tensor_takes_the_shape_given(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x", {"t": ints(*range(6)), "raw": texts(bytes(range(6)))})
    assert given(path, Field("t", "int64", (2, 3)))["t"].tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert given(path, Field("raw", "uint8", (3, 2)))["raw"].tolist() == [[[0, 1], [2, 3], [4, 5]]]
    assert given(path, Field("raw", "uint16", (None,), "raw"))["raw"][0].tolist() == [0x0100, 0x0302, 0x0504]


def test_only_the_fields_given_are_decoded_in_their_order(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x", {"a": ints(1), "b": ints(2), "c": texts(b"x")})
    assert list(given(path, Field("c", "bytes"), Field("a", "int64"))) == ["c", "a"]


def test_fields_chooses_among_the_schema_given(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x", {"a": ints(1), "b": ints(2)})
    schema = Schema(Field("a", "int64"), Field("b", "int8"))
    (batch,) = rb.read(path, schema=schema, fields=["b"])
    assert batch.schema == Schema(Field("b", "int8"))


@pytest.mark.parametrize(
    "field",
    [
        Field("i", "int64"),
        Field("i", "int64", (3,)),
        Field("i", "float32", (None,)),
        Field("i", "bytes"),
        Field("i", "int64", (2,), "raw"),
        Field("b", "bytes", (2,)),
        Field("b", "uint8", (2, 2)),
        Field("b", "int16", (None,), "raw"),
        Field("f", "float64", (2,)),
        Field("missing", "int64"),
        Field("missing", "bytes"),
        Field("missing", "uint8", (2, 2)),
    ],
    ids=str,
)
def test_a_field_that_the_records_are_not_is_an_error_that_names_it(tmp_path: Path, field: Field) -> None:
    path = file_of(tmp_path / "x", {"i": ints(1, 2), "b": texts(b"abc"), "f": floats(1)})
    with pytest.raises(SchemaError, match=field.name) as caught:
        given(path, field)
    assert (caught.value.field, caught.value.row) == (field.name, 0)


@pytest.mark.parametrize("dtype", ["int64", "float32", "bytes"])
def test_a_missing_feature_is_an_empty_row_where_the_field_allows_it(tmp_path: Path, dtype: str) -> None:
    path = file_of(tmp_path / "x", {"a": ints(1)}, {})
    column = given(path, Field("missing", dtype, (None,)))["missing"]
    assert isinstance(column, Ragged)
    assert [len(row) for row in column] == [0, 0]
    assert given(path, Field("missing", "int16", (None,), "raw"))["missing"].lengths.tolist() == [0, 0]


def test_the_row_of_an_error_counts_from_the_start_of_the_file(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x", *[{"i": ints(1)}] * 25, {"i": ints(300)})
    for batch_rows in (1, 4, 1000):
        with pytest.raises(SchemaError, match="record 25") as caught:
            list(rb.read(path, batch_rows, schema=Schema(Field("i", "uint8"))))
        assert caught.value.row == 25


def test_an_empty_row_is_written_as_a_missing_feature(tmp_path: Path) -> None:
    schema = Schema(Field("i", "int64", (None,)), Field("t", "bytes", (None,)))
    rb.write(tmp_path / "x.tfrecord", {"i": [[], [5]], "t": [[], []]}, schema=schema)
    (batch,) = rb.read(tmp_path / "x.tfrecord", payload="raw")
    assert list(batch["record"]) == [b"", example(entry(b"i", ints(5)))]


# ---- the sidecar ----


def test_dtypes_and_shapes_come_back_from_the_sidecar(tmp_path: Path) -> None:
    sample = Batch.of({"a": np.zeros((3, 2, 2), np.int8), "b": np.ones(3, bool)})
    rb.write(tmp_path / "x.tfrecord", sample)
    assert plain(next(rb.read(tmp_path / "x.tfrecord"))) == plain(sample)
    (tmp_path / "x.tfrecord.schema.json").unlink()
    assert rb.inspect(tmp_path / "x.tfrecord").schema == Schema(Field("a", "int64", (4,)), Field("b", "int64"))


def test_the_sidecar_names_its_file_without_folders_or_clocks(tmp_path: Path) -> None:
    rb.write(tmp_path / "x.tfrecord", {"a": np.zeros(3, np.int8)})
    content = json.loads((tmp_path / "x.tfrecord.schema.json").read_text())
    assert content["files"] == ["x.tfrecord"]
    assert content["schema"] == [{"name": "a", "dtype": "int8", "shape": [], "packing": "list"}]
    assert str(tmp_path) not in (tmp_path / "x.tfrecord.schema.json").read_text()


def test_a_sidecar_is_believed_only_for_the_files_that_it_names(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.tfrecord", {"v": np.zeros(3, np.int8)})
    shutil.copy(tmp_path / "a.tfrecord", tmp_path / "b.tfrecord")
    shutil.copy(tmp_path / "a.tfrecord.schema.json", tmp_path / "b.tfrecord.schema.json")
    assert rb.inspect(tmp_path / "a.tfrecord").schema["v"].dtype == "int8"
    assert rb.inspect(tmp_path / "b.tfrecord").schema["v"].dtype == "int64"


def test_a_set_of_shards_shares_its_sidecar_and_strangers_do_not(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.rec", {"v": np.arange(6, dtype=np.int8)})
    rb.convert(tmp_path / "a.rec", tmp_path / "t.tfrecord", shards=2)
    for shard in ("t-00000-of-00002.tfrecord", "t-00001-of-00002.tfrecord"):
        assert rb.inspect(tmp_path / shard).schema["v"].dtype == "int8"
    shutil.copy(tmp_path / "t-00001-of-00002.tfrecord", tmp_path / "t-00002-of-00003.tfrecord")
    assert rb.inspect(tmp_path / "t-00002-of-00003.tfrecord").schema["v"].dtype == "int64"


def test_a_sidecar_that_does_not_fit_the_records_is_an_error(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.tfrecord", {"v": np.zeros(3, np.int8)})
    file_of(tmp_path / "a.tfrecord", {"v": floats(1)})
    believe_by_name(tmp_path / "a.tfrecord")
    with pytest.raises(SchemaError) as caught:
        list(rb.read(tmp_path / "a.tfrecord"))
    assert caught.value.field == "v"
    assert not rb.verify(tmp_path / "a.tfrecord").ok


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"recordio_bridge": 99}', "\x00", '{"recordio_bridge": 1, "files": ["a.tfrecord"]}'],
)
def test_a_damaged_sidecar_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    rb.write(tmp_path / "a.tfrecord", {"v": np.zeros(3, np.int8)})
    sidecar = tmp_path / "a.tfrecord.schema.json"
    sidecar.write_text(text)
    with pytest.raises(FormatError, match=r"remove it|JSON|schema") as caught:
        list(rb.read(tmp_path / "a.tfrecord"))
    assert caught.value.path == str(sidecar)


def test_a_schema_given_wins_over_the_sidecar(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.tfrecord", {"v": np.zeros(3, np.int8)})
    assert given(tmp_path / "a.tfrecord", Field("v", "uint32"))["v"].dtype == np.uint32


def test_overwriting_replaces_the_sidecar(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.tfrecord", {"v": np.zeros(3, np.int8)})
    rb.write(tmp_path / "a.tfrecord", {"w": np.zeros(3, np.int16)}, overwrite=True)
    assert rb.inspect(tmp_path / "a.tfrecord").schema == Schema(Field("w", "int16"))


# ---- refusals when writing ----


def test_a_float64_field_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(rb.LossyError, match=r"float32.*raw") as caught:
        rb.write(tmp_path / "a.tfrecord", {"ok": [1], "v": [0.5]})
    assert caught.value.field == "v"
    assert list(tmp_path.iterdir()) == []


def test_a_uint64_that_does_not_fit_is_refused_with_field_row_and_value(tmp_path: Path) -> None:
    first, second = (np.array(values, dtype=np.uint64) for values in ([1, 2], [2**63 - 1, 2**63]))
    with pytest.raises(rb.LossyError, match=r"9223372036854775808") as caught:
        rb.write(tmp_path / "a.tfrecord", [{"v": first}, {"v": second}])
    assert (caught.value.field, caught.value.row) == ("v", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_a_later_batch_cannot_cast_is_refused_with_the_row_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(rb.LossyError) as caught:
        rb.write(tmp_path / "a.tfrecord", [{"v": [1, 2]}, {"v": [3.0]}, {"v": [4.0, 1.5]}])
    assert (caught.value.field, caught.value.row) == ("v", 4)
    assert "row 4" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", ["abc", b"abc", 5, None, {"a": 1}], ids=repr)
def test_what_is_no_column_is_refused_with_its_name(tmp_path: Path, column: object) -> None:
    """Text alone is one value, and not a column of its letters."""
    with pytest.raises(SchemaError, match="'v'") as caught:
        rb.write(tmp_path / "a.tfrecord", {"v": column})
    assert caught.value.field == "v"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", [[None, 1], [2**70], [b"a", 1], [1, "a"], [object()], [1 + 2j]], ids=range(6))
def test_values_that_no_dtype_holds_are_refused_with_the_field(tmp_path: Path, column: list[object]) -> None:
    with pytest.raises(SchemaError) as caught:
        rb.write(tmp_path / "a.tfrecord", {"v": column})
    assert caught.value.field == "v"
    assert list(tmp_path.iterdir()) == []
