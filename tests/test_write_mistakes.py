"""What cannot be written is said with its field and row, and with what was expected."""

from __future__ import annotations

import numpy as np
import pytest

import recordio_bridge as rb

LONE = "\ud800"


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        (["a", LONE], 1),
        ([[b"a"], ["b", LONE]], 1),
        (np.array([LONE, "a"]), 0),
        (np.array(["a", "b", LONE], dtype=object), 2),
    ],
)
@pytest.mark.parametrize("is_given", [True, False])
def test_text_that_is_no_unicode_is_an_error_with_its_field_and_row(tmp_path, rows, row, is_given):
    schema = rb.Schema(rb.Field("x", "bytes", (None,) if isinstance(rows[0], list) else ())) if is_given else None
    with pytest.raises(rb.SchemaError) as caught:
        rb.write(tmp_path / "a.rec", [{"x": rows}], schema)
    assert (caught.value.field, caught.value.row) == ("x", row)
    assert str(caught.value) == (
        f"row {row} of field 'x': expected bytes or text, found text with a lone surrogate, which UTF-8 has not; "
        "encode it yourself"
    )
    assert list(tmp_path.iterdir()) == []


def test_rows_are_counted_through_all_batches(tmp_path):
    with pytest.raises(rb.SchemaError, match="row 5 of field 'x': expected bytes or text, found int") as caught:
        rb.write(tmp_path / "a.tfrecord", [{"x": [b"a"] * 4}, {"x": [b"a", 7]}])
    assert caught.value.row == 5


@pytest.mark.parametrize("found", [None, 5, object(), "abc", b"abc"])
def test_a_column_that_is_none_names_its_field(tmp_path, found):
    with pytest.raises(rb.SchemaError, match="field 'x': a column is an array or a list, not ") as caught:
        rb.write(tmp_path / "a.rec", {"x": found})
    assert caught.value.field == "x"


@pytest.mark.parametrize("rows", [[[1], "a"], [[1], [[2], [3, 4]]], [[1], [None, 2]], [[1], [object()]], [[1], {}]])
def test_rows_that_no_numbers_are_name_their_field(tmp_path, rows):
    with pytest.raises(rb.SchemaError, match=r"'x'|x: row") as caught:
        rb.write(tmp_path / "a.rec", {"x": rows})
    assert caught.value.field == "x"


@pytest.mark.parametrize("found", [None, 5])
def test_batches_that_are_none_are_a_mistake_that_says_what_is_expected(tmp_path, found):
    expected = f"batches: expected a Batch, a dict of columns, or an iterable of these; found {type(found).__name__}"
    with pytest.raises(TypeError, match=expected):
        rb.write(tmp_path / "a.rec", found)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", [None, 5, "abc", [1], b"abc"])
def test_a_batch_that_is_none_is_a_mistake_with_its_number(tmp_path, found):
    expected = f"batch 1: expected a Batch or a dict of columns, found {type(found).__name__}"
    with pytest.raises(TypeError, match=expected):
        rb.write(tmp_path / "a.rec", [{"x": [1]}, found])
    assert list(tmp_path.iterdir()) == []


def test_whatever_has_keys_is_taken_as_columns(tmp_path):
    class Table:
        """As a DataFrame of pandas: no Mapping, and iterated by its columns."""

        def keys(self) -> list[str]:
            return ["x"]

        def __iter__(self):
            return iter(self.keys())

        def __getitem__(self, name: str) -> object:
            return np.array([1, 2])

    rb.write(tmp_path / "a.npz", [Table()])
    assert [row["x"] for batch in rb.read(tmp_path / "a.npz") for row in batch.rows()] == [1, 2]
