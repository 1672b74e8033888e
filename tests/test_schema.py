"""Field and Schema: what may be declared, and how it is written down."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordio_bridge import Field, Schema, SchemaError

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*DTYPES, "bytes"])
def test_every_documented_dtype_makes_a_field(dtype):
    assert Field("x", dtype).dtype == dtype


def test_a_field_holds_one_value_a_row_unless_told_otherwise():
    field = Field("x", "int64")
    assert (field.name, field.dtype, field.shape, field.packing) == ("x", "int64", (), "list")


@pytest.mark.parametrize(
    ("dtype", "shape", "packing"),
    [
        ("uint8", (28, 28), "raw"),
        ("uint8", (2, 3, 4), "raw"),
        ("uint8", (784,), "list"),
        ("uint8", (), "list"),
        ("uint8", (None,), "list"),
        ("int8", (28, 28), "list"),
        ("float32", (28, 28), "list"),
        ("bytes", (), "list"),
    ],
)
def test_only_uint8_tensors_of_two_or_more_dimensions_are_packed_raw_by_default(dtype, shape, packing):
    assert Field("x", dtype, shape).packing == packing


def test_packing_may_be_chosen_either_way():
    assert Field("x", "uint8", (2, 2), "list").packing == "list"
    assert Field("x", "float32", (4,), "raw").packing == "raw"
    assert Field("x", "float64", (None,), "raw").packing == "raw"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "float33"), "float33"),
        (("x", "str"), "str"),
        (("x", "int64", (None, 2)), r"\(None, 2\)"),
        (("x", "int64", (2, None)), r"\(2, None\)"),
        (("x", "int64", (None, None)), "None"),
        (("x", "int64", (-1,)), "-1"),
        (("x", "int64", (2.5,)), "2.5"),
        (("x", "bytes", (2, 2)), "bytes"),
        (("x", "bytes", (), "raw"), "raw"),
        (("x", "int64", (), "zip"), "zip"),
    ],
)
def test_what_makes_no_field_is_refused_with_its_name_and_the_fault(arguments, said):
    with pytest.raises(SchemaError, match=said) as caught:
        Field(*arguments)
    assert caught.value.field == "x"
    assert "'x'" in str(caught.value)


def test_a_name_is_text():
    with pytest.raises(SchemaError, match="int"):
        Field(3, "int64")


def test_names_may_hold_slashes_colons_and_any_language():
    names = ["image/class/label", "a:b", "größe", "a[0]", "", " "]
    assert list(Schema(*(Field(name, "int64") for name in names))) == names


def test_fields_are_found_by_name_and_keep_their_order():
    schema = Schema(Field("b", "int64"), Field("a", "bytes"))
    assert list(schema) == ["b", "a"]
    assert len(schema) == 2
    assert schema["a"] == Field("a", "bytes")
    assert "b" in schema
    assert "c" not in schema


def test_an_unknown_field_is_an_error_that_lists_those_there_are():
    with pytest.raises(SchemaError, match=r"'lable'.*label") as caught:
        Schema(Field("label", "int64"))["lable"]
    assert caught.value.field == "lable"


def test_two_fields_of_one_name_are_refused():
    with pytest.raises(SchemaError, match="'a'") as caught:
        Schema(Field("a", "int64"), Field("b", "int64"), Field("a", "bytes"))
    assert caught.value.field == "a"


def test_schemas_are_equal_when_fields_and_order_are():
    a, b = Field("a", "int64"), Field("b", "bytes")
    assert Schema(a, b) == Schema(a, b)
    assert hash(Schema(a, b)) == hash(Schema(a, b))
    assert Schema(a, b) != Schema(b, a)
    assert Schema(a) != Schema(a, b)
    assert Schema(a) != Schema(Field("a", "int32"))


def test_a_schema_is_not_equal_to_a_dict_of_its_fields():
    assert Schema(Field("a", "int64")) != {"a": Field("a", "int64")}


def test_pick_gives_fields_in_the_order_asked_for():
    schema = Schema(Field("a", "int64"), Field("b", "bytes"), Field("c", "bool"))
    assert list(schema.pick(["c", "a"])) == ["c", "a"]
    with pytest.raises(SchemaError, match="zzz"):
        schema.pick(["zzz"])


def test_pack_changes_the_packing_of_the_fields_named():
    schema = Schema(Field("a", "uint8", (2, 2)), Field("b", "float32", (3,)))
    packed = schema.pack({"a": "list", "b": "raw"})
    assert [field.packing for field in packed.values()] == ["list", "raw"]
    with pytest.raises(SchemaError, match="zzz"):
        schema.pack({"zzz": "raw"})
    with pytest.raises(SchemaError, match="zip"):
        schema.pack({"a": "zip"})


def test_a_schema_pickles():
    schema = Schema(Field("a", "uint8", (2, 2)), Field("b", "bytes", (None,)))
    assert pickle.loads(pickle.dumps(schema)) == schema


def test_fields_are_frozen():
    with pytest.raises(AttributeError):
        Field("a", "int64").dtype = "int32"


def test_the_json_of_a_schema_is_a_list_of_fields():
    schema = Schema(Field("label", "float32", (None,)), Field("pixels", "uint8", (28, 28)))
    assert schema.to_json() == [
        {"name": "label", "dtype": "float32", "shape": [None], "packing": "list"},
        {"name": "pixels", "dtype": "uint8", "shape": [28, 28], "packing": "raw"},
    ]


shapes = st.one_of(st.just((None,)), st.lists(st.integers(0, 2**40), max_size=4).map(tuple))
number_fields = st.builds(Field, st.text(), st.sampled_from(DTYPES), shapes, st.sampled_from(["list", "raw"]))
bytes_fields = st.builds(Field, st.text(), st.just("bytes"), st.sampled_from([(), (None,), (3,)]))
schemas = st.lists(st.one_of(number_fields, bytes_fields), max_size=5, unique_by=lambda field: field.name)


@given(fields=schemas)
def test_a_schema_comes_back_from_its_json_text(fields):
    schema = Schema(*fields)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "x",
        [3],
        [{}],
        [{"name": "a"}],
        [{"name": "a", "dtype": "int64", "shape": [], "packing": "list", "more": 1}],
        [{"name": 1, "dtype": "int64", "shape": [], "packing": "list"}],
        [{"name": "a", "dtype": "int65", "shape": [], "packing": "list"}],
        [{"name": "a", "dtype": ["int64"], "shape": [], "packing": "list"}],
        [{"name": "a", "dtype": "int64", "shape": None, "packing": "list"}],
        [{"name": "a", "dtype": "int64", "shape": ["2"], "packing": "list"}],
        [{"name": "a", "dtype": "int64", "shape": [[2]], "packing": "list"}],
        [{"name": "a", "dtype": "int64", "shape": [True], "packing": "list"}],
        [{"name": "a", "dtype": "int64", "shape": [-1], "packing": "list"}],
        [{"name": "a", "dtype": "int64", "shape": [], "packing": None}],
        [{"name": "a", "dtype": "int64", "shape": [], "packing": ["list"]}],
        [{"name": "a", "dtype": "int64", "shape": [], "packing": "list"}] * 2,
    ],
)
def test_json_that_is_no_schema_is_a_schema_error(value):
    with pytest.raises(SchemaError):
        Schema.from_json(value)


def test_a_field_reads_as_its_name_and_type():
    assert str(Field("label", "float32", (None,))) == "label: float32[*]"
    assert str(Field("id", "uint64")) == "id: uint64"
    assert "28, 28" in str(Field("pixels", "uint8", (28, 28)))


def test_num_values_is_the_product_of_the_shape():
    assert Field("x", "int64").num_values == 1
    assert Field("x", "int64", (2, 3)).num_values == 6
    assert Field("x", "int64", (0, 3)).num_values == 0
    assert Field("x", "int64", (None,)).num_values is None


def test_bytes_and_variable_lengths_are_ragged():
    assert Field("x", "bytes").is_ragged
    assert Field("x", "bytes", (None,)).is_ragged
    assert Field("x", "int64", (None,)).is_ragged
    assert not Field("x", "int64", (2,)).is_ragged
