"""Batch: columns of equal length, read-only, made of anything that makes columns."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import Batch, Field, LossyError, Ragged, Schema, SchemaError
from recordio_bridge.batch import concat, rebatch
from recordio_bridge.digests import digest
from recordio_bridge.places import Places
from tests.reference import crc32c

NUMBERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMBERS += ["float16", "float32", "float64"]


def three_rows() -> Batch:
    return Batch.of(
        {
            "id": np.array([7, 8, 9], dtype=np.uint64),
            "pixels": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
            "label": Ragged.of([[1.0], [], [2.0, 3.0]], "float32"),
            "image": [b"one", b"", b"three"],
            "tags": [[b"a", b"bb"], [], [b""]],
        }
    )


def test_columns_are_found_by_name_in_the_order_given():
    batch = three_rows()
    assert list(batch) == ["id", "pixels", "label", "image", "tags"]
    assert list(batch.schema) == list(batch)
    assert len(batch) == 3
    assert batch["id"].tolist() == [7, 8, 9]


def test_the_schema_of_a_batch_says_what_its_columns_are():
    assert three_rows().schema == Schema(
        Field("id", "uint64"),
        Field("pixels", "uint8", (2, 2), "raw"),
        Field("label", "float32", (None,)),
        Field("image", "bytes"),
        Field("tags", "bytes", (None,)),
    )


def test_rows_give_bytes_numpy_scalars_arrays_and_lists_of_bytes():
    rows = list(three_rows().rows())
    assert [type(value) for value in rows[0].values()] == [np.uint64, np.ndarray, np.ndarray, bytes, list]
    assert rows[0]["id"] == 7
    assert rows[0]["pixels"].tolist() == [[0, 1], [2, 3]]
    assert rows[0]["label"].dtype == np.float32
    assert [row["label"].tolist() for row in rows] == [[1.0], [], [2.0, 3.0]]
    assert [row["image"] for row in rows] == [b"one", b"", b"three"]
    assert [row["tags"] for row in rows] == [[b"a", b"bb"], [], [b""]]


def test_rows_that_were_kept_do_not_change_when_others_are_made():
    batch = three_rows()
    rows = list(batch.rows())
    assert [row["label"].tolist() for row in rows] == [[1.0], [], [2.0, 3.0]]
    assert rows[0]["image"] == b"one"


@pytest.mark.parametrize("dtype", NUMBERS)
def test_an_array_of_any_dtype_becomes_a_field_of_that_dtype(dtype):
    values = np.array([0, 1, 1], dtype=dtype)
    batch = Batch.of({"x": values})
    assert batch.schema["x"] == Field("x", dtype)
    assert batch["x"].dtype == values.dtype
    assert batch["x"].tolist() == values.tolist()
    assert isinstance(batch.row(1)["x"], np.generic)


def test_big_endian_numbers_keep_their_values_and_their_dtype_by_name():
    batch = Batch.of({"x": np.array([1, 2, 300], dtype=">i4")})
    assert batch.schema["x"].dtype == "int32"
    assert batch["x"].tolist() == [1, 2, 300]


def test_arrays_in_column_order_and_with_strides_keep_their_values():
    values = np.arange(24, dtype=np.int32).reshape(4, 6)
    batch = Batch.of({"f": np.asfortranarray(values), "s": values[:, ::2], "r": values[::-1]})
    assert batch["f"].tolist() == values.tolist()
    assert batch["s"].tolist() == values[:, ::2].tolist()
    assert batch["r"].tolist() == values[::-1].tolist()


def test_lists_of_numbers_become_dense_columns():
    batch = Batch.of({"i": [1, 2], "f": [0.5, 1.5], "b": [True, False], "m": [[1, 2], [3, 4]]})
    assert batch.schema == Schema(
        Field("i", "int64"), Field("f", "float64"), Field("b", "bool"), Field("m", "int64", (2,))
    )


def test_lists_of_different_lengths_become_ragged_columns():
    batch = Batch.of({"x": [[1, 2, 3], [], [4]]})
    assert batch.schema["x"] == Field("x", "int64", (None,))
    assert [row.tolist() for row in batch["x"]] == [[1, 2, 3], [], [4]]


def test_text_is_stored_as_utf8():
    batch = Batch.of({"a": ["häuser", b"raw"], "b": np.array(["x", "zweite"]), "c": np.array([b"q", b"rs"])})
    assert list(batch["a"]) == ["häuser".encode(), b"raw"]
    assert list(batch["b"]) == [b"x", b"zweite"]
    assert list(batch["c"]) == [b"q", b"rs"]


def test_bytes_that_end_in_zeros_keep_them():
    assert list(Batch.of({"a": [b"x\0\0", b"\0"]})["a"]) == [b"x\0\0", b"\0"]


def test_object_arrays_of_bytes_become_bytes():
    values = np.empty(2, dtype=object)
    values[:] = [b"a", b"bcd"]
    assert list(Batch.of({"x": values})["x"]) == [b"a", b"bcd"]


def test_a_batch_of_no_rows_keeps_its_schema():
    schema = Schema(Field("id", "int64"), Field("image", "bytes"), Field("label", "float32", (None,)))
    batch = Batch.of({"id": [], "image": [], "label": []}, schema)
    assert len(batch) == 0
    assert batch.schema == schema
    assert list(batch.rows()) == []


def test_with_a_schema_numbers_are_cast_where_that_is_exact():
    schema = Schema(Field("x", "uint8"), Field("y", "float32"), Field("z", "int64", (None,)))
    batch = Batch.of({"x": [1, 255], "y": [1, 2], "z": [[1], [2, 3]]}, schema)
    assert batch["x"].dtype == np.uint8
    assert batch["y"].dtype == np.float32
    assert [row.tolist() for row in batch["z"]] == [[1], [2, 3]]


def test_with_a_schema_a_cast_that_changes_a_value_names_field_and_row():
    with pytest.raises(LossyError, match="256") as caught:
        Batch.of({"x": [1, 256]}, Schema(Field("x", "uint8")))
    assert (caught.value.field, caught.value.row) == ("x", 1)


def test_with_a_schema_floats_are_not_rounded_to_the_ints_of_a_ragged_field():
    with pytest.raises(SchemaError) as caught:
        Batch.of({"x": [[1], [2, 3.5]]}, Schema(Field("x", "int64", (None,))))
    assert caught.value.field == "x"


def test_with_a_schema_ints_too_large_for_a_ragged_field_are_refused():
    with pytest.raises(SchemaError) as caught:
        Batch.of({"x": [[1], [2, 300]]}, Schema(Field("x", "uint8", (None,))))
    assert caught.value.field == "x"


def test_a_value_above_int64_goes_into_a_uint64_field():
    batch = Batch.of({"id": [2**64 - 1, 0]}, Schema(Field("id", "uint64")))
    assert batch["id"].tolist() == [2**64 - 1, 0]


def test_columns_of_different_lengths_are_refused_with_their_lengths():
    with pytest.raises(SchemaError, match=r"2.*3|3.*2"):
        Batch.of({"a": [1, 2], "b": [1, 2, 3]})


def test_columns_that_the_schema_does_not_name_are_refused():
    with pytest.raises(SchemaError, match="extra"):
        Batch.of({"a": [1], "extra": [2]}, Schema(Field("a", "int64")))


def test_a_column_that_the_schema_names_and_nobody_gave_is_refused():
    with pytest.raises(SchemaError, match="missing"):
        Batch.of({"a": [1]}, Schema(Field("a", "int64"), Field("missing", "int64")))


def test_a_dense_row_of_the_wrong_shape_is_refused():
    with pytest.raises(SchemaError) as caught:
        Batch.of({"x": np.zeros((2, 3), dtype=np.float32)}, Schema(Field("x", "float32", (4,))))
    assert caught.value.field == "x"


def test_a_ragged_row_of_the_wrong_length_names_its_row():
    with pytest.raises(SchemaError) as caught:
        Batch.of({"x": Ragged.of([[1, 2], [3]], "int64")}, Schema(Field("x", "int64", (2,))))
    assert (caught.value.field, caught.value.row) == ("x", 1)


@pytest.mark.parametrize(
    "values",
    [
        7,
        None,
        np.array(3),
        np.array([1 + 2j]),
        np.array(["2020-01-01"], dtype="datetime64[s]"),
        [object()],
        [{"a": 1}],
    ],
    ids=["number", "none", "0-d", "complex", "datetime", "object", "dict"],
)
def test_what_makes_no_column_is_refused_with_the_name_of_the_field(values):
    with pytest.raises(SchemaError, match="x"):
        Batch.of({"x": values})


def test_an_unknown_column_is_an_error_that_lists_those_there_are():
    with pytest.raises(SchemaError, match="image") as caught:
        three_rows()["imgae"]
    assert caught.value.field == "imgae"


def test_dense_columns_are_read_only():
    batch = three_rows()
    with pytest.raises(ValueError, match="read-only"):
        batch["id"][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        batch["pixels"][0, 0, 0] = 1


def test_rows_of_ragged_columns_are_read_only():
    row = three_rows()["label"][2]
    with pytest.raises(ValueError, match="read-only"):
        row[0] = 9.0


def test_making_a_batch_leaves_the_callers_array_writable():
    mine = np.array([1, 2, 3])
    Batch.of({"x": mine})
    mine[0] = 5
    assert mine.tolist() == [5, 2, 3]


def test_columns_of_taken_and_sliced_batches_are_read_only_too():
    batch = three_rows()
    for other in (batch.take([2, 0]), batch.slice(1, 3), batch.pick(["id", "pixels"])):
        assert not other["id"].flags.writeable
        assert not other["pixels"].flags.writeable


def test_take_gives_rows_in_any_order_and_repeatedly():
    taken = three_rows().take([2, 0, 2])
    assert taken["id"].tolist() == [9, 7, 9]
    assert list(taken["image"]) == [b"three", b"one", b"three"]
    assert [row.tolist() for row in taken["label"]] == [[2.0, 3.0], [1.0], [2.0, 3.0]]
    assert list(taken["tags"]) == [[b""], [b"a", b"bb"], [b""]]


def test_take_of_nothing_gives_no_rows_and_the_same_schema():
    batch = three_rows()
    taken = batch.take([])
    assert len(taken) == 0
    assert taken.schema == batch.schema


def test_take_of_a_row_that_is_not_there_is_an_index_error():
    with pytest.raises(IndexError):
        three_rows().take([3])


def test_slice_gives_rows_from_start_to_stop():
    part = three_rows().slice(1, 3)
    assert len(part) == 2
    assert part["id"].tolist() == [8, 9]
    assert list(part["image"]) == [b"", b"three"]


def test_pick_gives_columns_in_the_order_asked_for():
    batch = three_rows().pick(["image", "id"])
    assert list(batch) == ["image", "id"]
    assert len(batch) == 3


def test_a_batch_without_columns_still_counts_its_rows():
    batch = three_rows().pick([])
    assert len(batch) == 3
    assert list(batch.rows()) == [{}, {}, {}]


def test_equal_batches_are_equal_wherever_their_bytes_lie():
    batch = three_rows()
    again = concat([batch.slice(2, 3), batch.slice(0, 2)]).take([1, 2, 0])
    assert again == batch


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}),
        ({"a": [1, 2]}, {"b": [1, 2]}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"a": [b"ab"], "b": [b"c"]}, {"a": [b"a"], "b": [b"bc"]}),
        ({"a": [[b"ab", b"c"]]}, {"a": [[b"a", b"bc"]]}),
        ({"a": np.array([1], np.int32)}, {"a": np.array([1], np.int64)}),
    ],
    ids=["value", "name", "rows", "border of fields", "border of members", "dtype"],
)
def test_batches_that_differ_are_not_equal(left, right):
    assert Batch.of(left) != Batch.of(right)


def test_batches_whose_rows_share_a_checksum_are_still_not_equal():
    difference = (1 | 0x82F63B78 << 1).to_bytes(5, "little")  # the polynomial itself: CRC-32C does not see it
    first = b"hello world"
    second = bytes(a ^ b for a, b in zip(first, difference.ljust(len(first), b"\0"), strict=True))
    assert crc32c(first) == crc32c(second)
    assert Batch.of({"x": [first]}) != Batch.of({"x": [second]})


def test_the_digest_of_a_row_depends_on_values_and_not_on_their_place():
    batch = three_rows()
    assert digest(batch.take([2, 1, 0])).tolist() == digest(batch).tolist()[::-1]
    assert len(set(digest(batch).tolist())) == 3


def test_the_digest_of_a_row_sees_the_borders_between_fields_and_members():
    pairs = [
        ({"a": [b"ab"], "b": [b"c"]}, {"a": [b"a"], "b": [b"bc"]}),
        ({"a": [[b"ab", b"c"]]}, {"a": [[b"a", b"bc"]]}),
        ({"a": [[b"", b"a"]]}, {"a": [[b"a", b""]]}),
        ({"a": [[b""]]}, {"a": [[b"", b""]]}),
    ]
    for left, right in pairs:
        assert digest(Batch.of(left)).tolist() != digest(Batch.of(right)).tolist()


def test_a_batch_pickles():
    batch = three_rows()
    copy = pickle.loads(pickle.dumps(batch))
    assert copy == batch
    assert not copy["id"].flags.writeable


def test_nbytes_counts_the_values_of_all_columns():
    assert Batch.of({"a": np.zeros((2, 3), np.float32), "b": [b"abc", b""]}).nbytes == 2 * 12 + 3


rows_of_bytes = st.lists(st.binary(max_size=12), max_size=30)


@settings(deadline=None)
@given(rows=rows_of_bytes, cuts=st.lists(st.integers(0, 30), max_size=5), size=st.integers(1, 11))
def test_rebatch_gives_the_same_rows_in_batches_of_one_size(rows, cuts, size):
    whole = Batch.of({"n": np.arange(len(rows)), "x": Ragged.of(rows)})
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = [whole.slice(a, b) for a, b in pairwise(bounds)]
    batches = list(rebatch(pieces, size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert all(0 < len(batch) <= size for batch in batches)
    assert [row for batch in batches for row in batch["x"]] == rows
    assert [n for batch in batches for n in batch["n"].tolist()] == list(range(len(rows)))


@settings(deadline=None)
@given(data=st.data(), rows=rows_of_bytes)
def test_take_equals_indexing_row_by_row(data, rows):
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20)) if rows else []
    batch = Batch.of({"x": Ragged.of(rows), "n": np.arange(len(rows))}).take(indices)
    assert list(batch["x"]) == [rows[index] for index in indices]
    assert batch["n"].tolist() == indices


@settings(deadline=None)
@given(rows=st.lists(st.binary(max_size=8), min_size=1, max_size=20), at=st.integers(0, 19))
def test_concat_undoes_a_cut(rows, at):
    whole = Batch.of({"x": Ragged.of(rows)})
    joined = concat([whole.slice(0, min(at, len(rows))), whole.slice(min(at, len(rows)), len(rows))])
    assert list(joined["x"]) == rows
    assert joined == whole


# ---- where rows were read ----


def read_from(path: str, rows: int, first: int = 0) -> Batch:
    """A Batch of which the row n was read from record n, at byte 10 n."""
    numbers = np.arange(first, first + rows)
    batch = Batch.of({"n": numbers, "text": Ragged.of([b"%d" % number for number in numbers])})
    return batch.read_at(Places((path,), numbers, 10 * numbers, sizes=numbers))


def check_places(batch: Batch, paths: list[str]) -> None:
    """That each row says where it was read."""
    assert batch.places is not None
    found = [batch.places[row] for row in range(len(batch))]
    numbers = batch["n"].tolist()
    assert found == [(path, number, 10 * number) for path, number in zip(paths, numbers, strict=True)]
    assert batch.places.sizes is not None
    assert batch.places.sizes.tolist() == numbers


STEPS = st.one_of(
    st.tuples(st.just("slice"), st.integers(-12, 12), st.integers(-12, 12)),
    st.tuples(st.just("take"), st.lists(st.integers(0, 99), max_size=8)),
    st.tuples(st.just("pick")),
    st.tuples(st.just("concat"), st.integers(0, 12)),
    st.tuples(st.just("places")),
)


@given(st.lists(STEPS, max_size=8))
def test_parts_of_a_batch_know_where_they_were_read(steps):
    batch, paths = read_from("a.rec", 12, first=5), ["a.rec"] * 12
    for name, *values in steps:
        if name == "slice":
            batch, paths = batch.slice(*values), paths[slice(*values)]
        elif name == "take":
            rows = [value % len(batch) for value in values[0]] if len(batch) else []
            batch, paths = batch.take(rows), [paths[row] for row in rows]
        elif name == "pick":
            batch = batch.pick(["text", "n"])
        elif name == "concat":
            other = read_from("b.rec", 12).slice(0, values[0]).pick(list(batch.schema))
            batch, paths = concat([batch, other]), paths + ["b.rec"] * len(other)
        else:
            check_places(batch, paths)
    check_places(batch, paths)


def test_batches_that_are_cut_anew_know_where_they_were_read():
    parts = [read_from("a.rec", 7), read_from("a.rec", 6, first=7), read_from("b.rec", 9)]
    made = list(rebatch(parts, 4))
    assert [len(batch) for batch in made] == [4, 4, 4, 4, 4, 2]
    paths = ["a.rec"] * 13 + ["b.rec"] * 9
    for number, batch in enumerate(made):
        check_places(batch, paths[4 * number : 4 * number + 4])


def test_a_part_that_is_known_beside_one_that_is_not_makes_a_batch_that_is_not():
    known = read_from("a.rec", 2)
    assert concat([known, known.read_at(None)]).places is None


def test_places_are_not_those_of_indices_that_are_written_to_again():
    indices = np.array([3, 1])
    taken = read_from("a.rec", 5).take(indices)
    indices[:] = 0
    check_places(taken, ["a.rec"] * 2)


def test_masked_values_are_refused_and_an_empty_mask_is_none():
    values = np.ma.array([1, 2], mask=[False, True])
    with pytest.raises(SchemaError, match=r"field 'x': has masked values.*; fill them"):
        Batch.of({"x": values})
    assert Batch.of({"x": np.ma.array([1, 2])})["x"].tolist() == [1, 2]
    assert Batch.of({"x": values.filled(-1)})["x"].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("values", "dtype", "error"), [([1.5, 2.5], "int64", LossyError), (["a"], "float32", SchemaError)]
)
def test_an_array_of_objects_is_cast_as_a_list_of_them(values, dtype, error):
    schema = Schema(Field("v", dtype))
    with pytest.raises(error, match="'v'"):
        Batch.of({"v": np.array(values, dtype=object)}, schema)
    assert Batch.of({"v": np.array([1, 2], dtype=object)}, schema)["v"].tolist() == [1, 2]
