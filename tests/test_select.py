"""--select: what an expression takes, and what a cast refuses."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import Batch, Field, LossyError, Ragged, Schema, SchemaError, SelectError
from recordio_bridge.select import Selection


def labels(*rows: list[float]) -> Batch:
    return Batch.of({"label": Ragged.of(rows, "float32")})


def numbers(values: list, dtype: str) -> Batch:
    return Batch.of({"x": np.array(values, dtype=dtype)})


def selected(batch: Batch, select: object, **options: object) -> Batch:
    return Selection(select, batch.schema, **options).apply(batch)


def cast(values: list, source: str, target: str, **options: object) -> list:
    return selected(numbers(values, source), {f"x:{target}": "x"}, **options)["x"].tolist()


def refused(values: list, source: str, target: str) -> LossyError:
    with pytest.raises(LossyError) as caught:
        cast(values, source, target)
    assert caught.value.field == "x"
    return caught.value


# ---- what is taken ----


def test_none_takes_everything():
    batch = Batch.of({"a": [1], "b": [b"x"]})
    assert selected(batch, None) == batch


def test_a_name_renames_a_field():
    batch = selected(Batch.of({"image": [b"x", b"y"]}), {"image/encoded": "image"})
    assert list(batch) == ["image/encoded"]
    assert list(batch["image/encoded"]) == [b"x", b"y"]


def test_only_selected_fields_are_kept_in_the_order_of_the_selection():
    batch = Batch.of({"a": [1], "b": [2], "c": [3]})
    assert list(selected(batch, {"c": "c", "a": "a"})) == ["c", "a"]
    assert list(selected(batch, ["c=c", "z=a"])) == ["c", "z"]


def test_a_field_may_be_taken_more_than_once():
    batch = selected(labels([1.0, 2.0], [3.0, 4.0]), {"first:int64": "label[0]", "second:int64": "label[1]"})
    assert batch["first"].tolist() == [1, 3]
    assert batch["second"].tolist() == [2, 4]


def test_dicts_and_strings_mean_the_same():
    batch = labels([3.0], [4.0])
    assert selected(batch, {"n:int64": "label[0]"}) == selected(batch, ["n:int64=label[0]"])


def test_an_index_picks_one_value_of_a_ragged_row():
    batch = selected(labels([1.0, 2.0], [3.0]), {"n": "label[0]"})
    assert batch.schema["n"] == Field("n", "float32")
    assert batch["n"].tolist() == [1.0, 3.0]


def test_a_negative_index_picks_from_the_end():
    assert selected(labels([1.0, 2.0], [3.0]), {"n": "label[-1]"})["n"].tolist() == [2.0, 3.0]


def test_an_index_picks_from_a_dense_row():
    batch = Batch.of({"m": np.arange(12).reshape(2, 2, 3)})
    taken = selected(batch, {"a": "m[1]", "b": "m[-2]"})
    assert taken.schema["a"].shape == (3,)
    assert taken["a"].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert taken["b"].tolist() == [[0, 1, 2], [6, 7, 8]]


def test_an_index_picks_a_member_of_a_list_of_bytes():
    batch = Batch.of({"t": [[b"a", b"bb"], [b"c"]]})
    taken = selected(batch, {"first": "t[0]", "last": "t[-1]"})
    assert taken.schema["first"] == Field("first", "bytes")
    assert list(taken["first"]) == [b"a", b"c"]
    assert list(taken["last"]) == [b"bb", b"c"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("label[1:3]", [[2.0, 3.0], [], [6.0]]),
        ("label[:2]", [[1.0, 2.0], [], [5.0, 6.0]]),
        ("label[1:]", [[2.0, 3.0, 4.0], [], [6.0]]),
        ("label[:]", [[1.0, 2.0, 3.0, 4.0], [], [5.0, 6.0]]),
        ("label[3:1]", [[], [], []]),
        ("label[9:]", [[], [], []]),
    ],
)
def test_a_range_picks_what_there_is_of_a_ragged_row(expression, expected):
    batch = selected(labels([1.0, 2.0, 3.0, 4.0], [], [5.0, 6.0]), {"n": expression})
    assert batch.schema["n"].shape == (None,)
    assert [row.tolist() for row in batch["n"]] == expected


def test_a_range_of_a_dense_row_has_a_fixed_shape():
    batch = selected(Batch.of({"m": np.arange(8).reshape(2, 4)}), {"a": "m[1:3]", "b": "m[2:9]"})
    assert batch.schema["a"].shape == (2,)
    assert batch["a"].tolist() == [[1, 2], [5, 6]]
    assert batch["b"].tolist() == [[2, 3], [6, 7]]


def test_a_range_picks_members_of_a_list_of_bytes():
    batch = selected(Batch.of({"t": [[b"a", b"bb", b"c"], [b"d"]]}), {"n": "t[1:]"})
    assert list(batch["n"]) == [[b"bb", b"c"], []]


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=8),
    a=st.integers(0, 6),
    b=st.integers(0, 6),
)
def test_a_range_equals_the_slice_of_each_row(rows, a, b):
    batch = Batch.of({"x": Ragged.of(rows, "int16")})
    assert [row.tolist() for row in selected(batch, {"y": f"x[{a}:{b}]"})["y"]] == [row[a:b] for row in rows]


@pytest.mark.parametrize("index", [1, -2])
def test_a_row_without_such_a_value_is_named(index):
    with pytest.raises(SchemaError, match=f"row 1 .*{index}") as caught:
        selected(labels([1.0, 2.0], [3.0]), {"n": f"label[{index}]"})
    assert (caught.value.field, caught.value.row) == ("n", 1)


def test_an_index_beyond_a_fixed_shape_is_refused_before_any_row_is_read():
    schema = Schema(Field("m", "int64", (4,)))
    for index in (4, -5):
        with pytest.raises(SchemaError, match="m"):
            Selection({"n": f"m[{index}]"}, schema)


def test_there_is_nothing_to_pick_from_a_single_value():
    with pytest.raises(SchemaError, match="id"):
        Selection({"n": "id[0]"}, Schema(Field("id", "uint64")))


def test_an_unknown_field_is_refused_with_the_names_there_are():
    for expression in ("lable", "lable[0]", "lable[0:1]"):
        with pytest.raises(SchemaError, match=r"lable.*label"):
            Selection({"n": expression}, Schema(Field("label", "float32", (None,))))


@pytest.mark.parametrize("picked", ["[x]", "[0", "[0:1:2]", "[]", "[0][1]", "[0]x"])
def test_a_pick_that_cannot_be_read_is_refused_with_what_is_expected(picked):
    with pytest.raises(SelectError) as caught:
        Selection({"n": f"label{picked}"}, Schema(Field("label", "float32", (None,))))
    assert str(caught.value) == (
        f"select 'n=label{picked}': after field 'label' comes {picked!r}, expected [i] or [a:b]"
    )


def test_an_empty_expression_is_refused():
    with pytest.raises(SelectError, match="label"):
        Selection({"n": ""}, Schema(Field("label", "float32", (None,))))


def test_a_field_whose_own_name_looks_like_an_expression_wins():
    batch = Batch.of({"a[0]": [7], "a": [[1, 2]]})
    assert selected(batch, {"n": "a[0]"})["n"].tolist() == [7]
    assert selected(Batch.of({"a[0]": [[7, 8]]}), {"n": "a[0][1]"})["n"].tolist() == [8]


def test_a_field_whose_name_holds_an_equals_sign_can_be_taken_by_a_dict():
    assert selected(Batch.of({"a=b": [7]}), {"n": "a=b"})["n"].tolist() == [7]


def test_a_new_name_may_hold_slashes_and_colons():
    batch = Batch.of({"a": [1]})
    assert list(selected(batch, {"image/class/label:int32": "a"})) == ["image/class/label"]
    assert list(selected(batch, {"ns:x/y": "a"})) == ["ns:x/y"]
    assert list(selected(batch, {"ns:x:int32": "a"})) == ["ns:x"]


@pytest.mark.parametrize("select", [{"n:int65": "a"}, ["n:int65=a"]])
def test_an_unknown_dtype_is_refused_with_those_there_are(select):
    with pytest.raises(SchemaError, match=r"int65.*int64"):
        Selection(select, Schema(Field("a", "int64")))


@pytest.mark.parametrize("select", [["a"], [""], ["=a"], {"": "a"}, {":int64": "a"}])
def test_a_select_that_is_no_pair_or_has_no_name_is_refused(select):
    with pytest.raises((SchemaError, ValueError)):
        Selection(select, Schema(Field("a", "int64")))


def test_a_name_that_is_selected_twice_is_refused():
    with pytest.raises(SchemaError, match="twice"):
        Selection(["n=a", "n:int32=a"], Schema(Field("a", "int64")))


def test_bytes_are_not_cast_to_numbers_nor_numbers_to_bytes():
    schema = Schema(Field("image", "bytes"), Field("id", "int64"))
    for select in ({"n:int64": "image"}, {"n:bytes": "id"}):
        with pytest.raises(SchemaError):
            Selection(select, schema)


def test_a_selection_knows_which_fields_must_be_read():
    schema = Schema(Field("a", "int64"), Field("b", "int64", (2,)), Field("c", "int64"))
    assert set(Selection({"x": "b[0]", "y": "b[1]", "z": "a"}, schema).sources) == {"a", "b"}


# ---- what a cast keeps, and what it refuses ----


def test_a_whole_float_becomes_an_int():
    batch = selected(labels([3.0], [-4.0]), {"n:int64": "label[0]"})
    assert batch.schema["n"] == Field("n", "int64")
    assert batch["n"].tolist() == [3, -4]


def test_three_and_a_half_is_no_int_and_the_row_is_named():
    with pytest.raises(LossyError, match=r"row 1 .*3\.5") as caught:
        selected(labels([3.0], [3.5]), {"n:int64": "label[0]"})
    assert (caught.value.field, caught.value.row) == ("n", 1)


def test_a_lossy_error_says_how_to_allow_it_in_both_languages():
    message = str(refused([3.5], "float32", "int64"))
    assert "--allow-lossy x" in message
    assert "allow_lossy=" in message


def test_the_row_of_a_value_inside_a_ragged_row_is_named():
    with pytest.raises(LossyError) as caught:
        selected(labels([1.0, 2.0], [], [3.0, 4.5]), {"n:int64": "label"})
    assert caught.value.row == 2


def test_the_row_of_a_value_inside_a_tensor_is_named():
    batch = Batch.of({"m": np.array([[[1.0, 2.0]], [[3.0, 4.5]]])})
    with pytest.raises(LossyError) as caught:
        selected(batch, {"n:int64": "m"})
    assert caught.value.row == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e30, -1e30])
def test_what_no_int_can_hold_is_refused(value):
    assert refused([0.0, value], "float32", "int64").row == 1
    assert refused([0.0, value], "float64", "uint64").row == 1


def test_a_float32_label_of_2_to_the_24_becomes_an_int_and_the_next_does_not():
    assert cast([2.0**24, -(2.0**24)], "float32", "int64") == [2**24, -(2**24)]
    for value in (2.0**24 + 2, -(2.0**24) - 2, 2.0**31):
        assert "2**24" in str(refused([1.0, value], "float32", "int64")).replace("2^24", "2**24")


def test_a_float64_is_exact_far_beyond_2_to_the_24():
    assert cast([2.0**24 + 1, 2.0**53], "float64", "int64") == [2**24 + 1, 2**53]


def test_ints_are_cast_only_where_they_fit():
    assert cast([0, 255], "int64", "uint8") == [0, 255]
    assert refused([0, 256], "int64", "uint8").row == 1
    assert refused([0, -1], "int64", "uint64").row == 1
    assert refused([0, 2**63], "uint64", "int64").row == 1
    assert cast([2**63 - 1], "uint64", "int64") == [2**63 - 1]
    assert refused([128], "uint8", "int8").row == 0


def test_ints_become_floats_only_where_these_hold_them_exactly():
    assert cast([2**24, -5], "int64", "float32") == [2.0**24, -5.0]
    assert refused([1, 2**24 + 1], "int64", "float32").row == 1
    assert refused([2**53 + 1], "int64", "float64").row == 0
    assert refused([2**64 - 1], "uint64", "float64").row == 0
    assert refused([2**64 - 1], "uint64", "float32").row == 0
    assert refused([2**63 - 1], "int64", "float32").row == 0
    assert refused([70000], "int64", "float16").row == 0
    assert refused([2049], "int32", "float16").row == 0


def test_zero_and_one_become_bool_and_nothing_else_does():
    assert cast([0, 1], "int64", "bool") == [False, True]
    assert cast([0.0, 1.0], "float32", "bool") == [False, True]
    assert refused([0, 2], "int64", "bool").row == 1
    assert refused([0.0, 0.5], "float32", "bool").row == 1
    assert cast([False, True], "bool", "uint8") == [0, 1]


def test_float64_to_float32_rounds():
    assert cast([0.1, 1e-50], "float64", "float32") == [float(np.float32(0.1)), 0.0]


def test_float64_to_float32_does_not_overflow():
    assert refused([1.0, 1e39], "float64", "float32").row == 1
    assert refused([-1e39], "float64", "float32").row == 0


def test_infinity_and_nan_stay_what_they_are_between_floats():
    result = cast([float("inf"), float("-inf"), float("nan")], "float64", "float32")
    assert result[:2] == [float("inf"), float("-inf")]
    assert np.isnan(result[2])


def test_float32_to_float64_keeps_every_value():
    assert cast([0.1], "float32", "float64") == [float(np.float32(0.1))]


def test_float32_to_float16_refuses_what_would_change():
    assert cast([0.5, 2048.0], "float32", "float16") == [0.5, 2048.0]
    assert refused([0.1], "float32", "float16").row == 0
    assert refused([1.0, 70000.0], "float32", "float16").row == 1


def test_allow_lossy_permits_what_was_refused_for_that_field_only():
    assert cast([3.5, -3.5], "float32", "int64", allow_lossy=("x",)) == [3, -3]
    batch = Batch.of({"a": [3.5], "b": [3.5]})
    with pytest.raises(LossyError) as caught:
        selected(batch, {"a:int64": "a", "b:int64": "b"}, allow_lossy=("a",))
    assert caught.value.field == "b"


def test_allow_lossy_for_a_field_that_is_not_there_is_refused():
    with pytest.raises(SelectError, match=r"allow_lossy: .*lable.*label") as caught:
        Selection(None, Schema(Field("label", "int64")), allow_lossy=("lable",))
    assert caught.value.field == "lable"


def test_pack_for_a_field_that_is_not_there_or_of_an_unknown_kind_is_refused():
    schema = Schema(Field("label", "int64", (2,)))
    for pack in ({"lable": "raw"}, {"label": "zip"}):
        with pytest.raises(SelectError, match=r"pack: .*label"):
            Selection(None, schema, pack=pack)


def test_a_row_that_lacks_a_value_is_no_mistake_in_the_select():
    batch = Batch.of({"label": [[1.0, 2.0], [3.0]]}, Schema(Field("label", "float32", (None,))))
    with pytest.raises(SchemaError) as caught:
        selected(batch, {"n": "label[1]"})
    assert not isinstance(caught.value, SelectError)
    assert caught.value.row == 1


def test_allow_lossy_names_the_field_of_the_result():
    batch = numbers([3.5], "float32")
    assert selected(batch, {"y:int64": "x"}, allow_lossy=("y",))["y"].tolist() == [3]


def test_pack_sets_the_packing_of_fields_of_the_result():
    schema = Schema(Field("m", "uint8", (2, 2)), Field("v", "float32", (3,)))
    packed = Selection({"a": "m", "b": "v"}, schema, pack={"a": "list", "b": "raw"}).schema
    assert [field.packing for field in packed.values()] == ["list", "raw"]
    with pytest.raises(SchemaError, match="m"):
        Selection({"a": "m"}, schema, pack={"m": "list"})


def test_a_renamed_field_keeps_its_shape_and_packing():
    schema = Schema(Field("m", "uint8", (2, 2), "list"))
    assert Selection({"a": "m"}, schema).schema["a"] == Field("a", "uint8", (2, 2), "list")


INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@settings(deadline=None, max_examples=300)
@given(source=st.sampled_from(INTS), target=st.sampled_from([*INTS, "float16", "float32", "float64"]), data=st.data())
def test_an_int_is_cast_exactly_or_refused(source, target, data):
    low, high = int(np.iinfo(source).min), int(np.iinfo(source).max)
    near = [n + d for n in (low, high, 0, 2**11, 2**24, 2**53, 2**31, 2**63, 65504) for d in (-1, 0, 1)]
    value = data.draw(st.one_of(st.sampled_from([n for n in near if low <= n <= high]), st.integers(low, high)))
    if target in INTS:
        fits = int(np.iinfo(target).min) <= value <= int(np.iinfo(target).max)
    else:
        with np.errstate(over="ignore"):
            close = float(np.array([value], dtype=source).astype(target)[0])
        fits = np.isfinite(close) and int(close) == value
    if fits:
        assert int(cast([value], source, target)[0]) == value
    else:
        assert refused([value], source, target).row == 0


@settings(deadline=None, max_examples=300)
@given(
    value=st.one_of(
        st.floats(), st.integers(-(2**64), 2**64).map(float), st.sampled_from([2.0**63, 2.0**64, -(2.0**63)])
    ),
    target=st.sampled_from(INTS),
)
def test_a_float64_is_cast_exactly_to_an_int_or_refused(value, target):
    info = np.iinfo(target)
    whole = np.isfinite(value) and value == int(value) and int(info.min) <= int(value) <= int(info.max)
    if whole and abs(value) <= 2**53:
        assert cast([value], "float64", target) == [int(value)]
    elif not whole:
        assert refused([value], "float64", target).row == 0


# ---- what is added ----


def test_a_number_is_added_after_the_cast():
    batch = selected(labels([0.0], [9.0]), {"a:int64": "label[0] + 1", "b:int64": "label[0]-1", "c": "label[0]+1"})
    assert batch["a"].tolist() == [1, 10]
    assert batch["b"].tolist() == [-1, 8]
    assert batch["c"].tolist() == [1.0, 10.0]
    assert batch.schema["c"].dtype == "float32"


def test_a_number_is_added_to_every_value_of_a_row():
    batch = selected(labels([0.0, 1.0], [], [4.0]), {"n:int64": "label + 10"})
    assert [row.tolist() for row in batch["n"]] == [[10, 11], [], [14]]


def test_a_field_whose_name_ends_as_a_sum_wins():
    batch = Batch.of({"conv-1": [7], "conv": [1]})
    assert selected(batch, {"n": "conv-1"})["n"].tolist() == [7]
    assert selected(batch, {"n": "conv - 1"})["n"].tolist() == [0]
    assert selected(batch, {"n": "conv-1-1"})["n"].tolist() == [6]


def test_nothing_is_added_to_bytes():
    with pytest.raises(SelectError, match="added"):
        Selection({"n": "image + 1"}, Schema(Field("image", "bytes")))


INTEGER_TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@settings(deadline=None, max_examples=300)
@given(
    dtype=st.sampled_from(INTEGER_TYPES), shift=st.integers(1 - 10**18, 10**18 - 1), near=st.booleans(), data=st.data()
)
def test_a_sum_is_exact_or_refused(dtype, shift, near, data):
    info = np.iinfo(dtype)
    shift = shift % 400 - 200 if near else shift
    values = data.draw(st.lists(st.integers(int(info.min), int(info.max)), min_size=1, max_size=4))
    values += data.draw(st.lists(st.sampled_from([int(info.min), int(info.max)]), max_size=2))
    batch = Batch.of({"x": np.array(values, dtype=dtype)})
    expected = [value + shift for value in values]
    wrong = [row for row, value in enumerate(expected) if not info.min <= value <= info.max]
    if wrong:
        with pytest.raises(LossyError) as caught:
            selected(batch, {"y": f"x {shift:+d}"})
        assert caught.value.row == wrong[0]
    else:
        assert selected(batch, {"y": f"x {shift:+d}"})["y"].tolist() == expected


def test_a_float_sum_that_rounds_is_refused():
    with pytest.raises(LossyError, match="row 1"):
        selected(labels([1.0], [2.0**24]), {"n": "label[0] + 1"})


@pytest.mark.parametrize(
    ("dtype", "value", "shift"),
    [("float32", 0, 2**24 + 1), ("float32", 0, -(2**24) - 1), ("float64", 0, 2**53 + 1), ("float16", 1, 10**6)],
)
def test_a_number_that_a_float_has_not_is_not_added(dtype, value, shift):
    batch = Batch.of({"x": np.array([value, value], dtype=dtype)})
    with pytest.raises(
        LossyError, match=re.escape(f"row 0 of field 'y': {value}.0 {shift:+d} is no {dtype}")
    ) as caught:
        selected(batch, {"y": f"x {shift:+d}"})
    assert (caught.value.field, caught.value.row) == ("y", 0)


@settings(deadline=None, max_examples=300)
@given(
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    value=st.integers(-(2**54), 2**54) | st.floats(-100, 100),
    shift=st.integers(1 - 2**55, 2**55 - 1),
)
@example("float32", 2**24 + 4, 1)  # rounds to itself, and back to itself
def test_a_float_sum_is_exact_or_refused(dtype, value, shift):
    assume(abs(value) <= float(np.finfo(dtype).max))
    batch = Batch.of({"x": np.array([value]).astype(dtype)})
    stored = float(batch["x"][0])
    with suppress(LossyError):
        found = selected(batch, {"y": f"x {shift:+d}"})["y"]
        assert Fraction(float(found[0])) == Fraction(stored) + shift


# ---- rows that are left out ----


def test_where_takes_the_rows_that_are_not_empty():
    batch = Batch.of({"id": [1, 2, 3], "image": [b"x", b"", b"y"]})
    selection = Selection({"id": "id"}, batch.schema, where="image")
    assert selection.sources == ("id", "image")
    assert selection.kept(batch).tolist() == [0, 2]
    assert selection.kept(batch.slice(0, 1)) is None


@pytest.mark.parametrize("where", ["id", "picture"])
def test_where_names_a_field_of_bytes(where):
    with pytest.raises(SelectError, match=f"where '{where}'"):
        Selection(None, Schema(Field("id", "int64"), Field("image", "bytes")), where=where)


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".rec", ".tfrecord"])
def test_a_field_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path, suffix):
    rb.write(
        tmp_path / f"a{suffix}", {"id": np.arange(3, dtype=np.uint64), "label": np.arange(3), "width": np.arange(3)}
    )
    with pytest.raises(rb.SelectError, match=r"no field 'klass'; there are id, label, width"):
        rb.convert(tmp_path / f"a{suffix}", tmp_path / "b.tfrecord", select={"label": "klass"})


@pytest.mark.parametrize("none", [{}, [], ()])
@pytest.mark.parametrize("suffix", [".rec", ".tfrecord", ".npz", ".h5"])
def test_no_column_is_an_error_and_no_dataset_without_rows(tmp_path, suffix, none):
    """It was written with no row, or with rows of nothing, and every check called that whole."""
    source = tmp_path / f"a{suffix}"
    rb.write(source, {"x": [b"1", b"2"]} if suffix == ".rec" else {"x": [1, 2]})
    for ask in (
        lambda: rb.convert(source, tmp_path / "b.npz", select=none),
        lambda: rb.migrate.run(source, tmp_path / "out", to="tfrecord", select=none),
        lambda: list(rb.read(source, fields=list(none))),
        lambda: rb.open(source, fields=list(none)),
    ):
        with pytest.raises(SelectError, match="chooses no column"):
            ask()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != "a") == []
