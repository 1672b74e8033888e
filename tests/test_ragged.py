"""Ragged: rows of different sizes as spans into one buffer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import Ragged, SchemaError
from recordio_bridge.batch import as_column, concat_columns, sealed

byte_rows = st.lists(st.binary(max_size=9), max_size=20)
nested_rows = st.lists(st.lists(st.binary(max_size=5), max_size=4), max_size=12)
number_rows = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=15)
slices = st.builds(slice, *[st.one_of(st.none(), st.integers(-25, 25))] * 2, st.sampled_from([None, 1, 2, 3, -1, -2]))


def ints(rows: list[list[int]]) -> Ragged:
    return Ragged.of(rows, "int32")


def listed(column: Ragged) -> list:
    """The rows as plain Python values."""
    return [row.tolist() if isinstance(row, np.ndarray) else row for row in column]


def test_rows_of_bytes_come_back_as_bytes():
    column = Ragged.of([b"abc", b"", b"\0\xff"])
    assert len(column) == 3
    assert column[0] == b"abc"
    assert column[-1] == b"\0\xff"
    assert listed(column) == [b"abc", b"", b"\0\xff"]
    assert type(column[0]) is bytes


def test_rows_of_numbers_come_back_as_arrays_of_the_dtype():
    column = Ragged.of([[1.5], [], [2, 3]], "float32")
    assert [row.dtype for row in column] == [np.float32] * 3
    assert listed(column) == [[1.5], [], [2.0, 3.0]]


def test_rows_of_lists_of_bytes_come_back_as_lists():
    column = Ragged.of([[b"a", b""], [], [b"ccc"]])
    assert column.is_nested
    assert listed(column) == [[b"a", b""], [], [b"ccc"]]


def test_spans_may_overlap_repeat_and_lie_in_any_order():
    buffer = np.frombuffer(b"abcdef", dtype=np.uint8)
    column = Ragged(buffer, np.array([3, 0, 0, 6]), np.array([3, 6, 2, 0]), "bytes")
    assert listed(column) == [b"def", b"abcdef", b"ab", b""]


def test_numbers_may_lie_at_any_alignment():
    buffer = np.frombuffer(b"\xff" + np.array([1.5, -2.0], "<f4").tobytes(), dtype=np.uint8)
    column = Ragged(buffer, np.array([1, 5]), np.array([4, 4]), "float32")
    assert listed(column) == [[1.5], [-2.0]]
    assert column.numbers().tolist() == [1.5, -2.0]


def test_lists_of_lists_of_bytes_do_not_nest_twice():
    inner = Ragged.of([[b"a"]])
    with pytest.raises(SchemaError, match="nest"):
        Ragged(inner, np.array([0]), np.array([1]), "bytes")


def test_only_bytes_nest():
    with pytest.raises(SchemaError, match="nest"):
        Ragged(Ragged.of([b"abcd"]), np.array([0]), np.array([1]), "float32")


def test_an_unknown_dtype_is_refused_by_name():
    with pytest.raises(SchemaError, match="float33"):
        Ragged(np.zeros(4, np.uint8), np.array([0]), np.array([4]), "float33")
    with pytest.raises((SchemaError, TypeError), match="float33"):
        Ragged.of([[1]], "float33")


def test_starts_and_lengths_of_different_counts_are_refused():
    with pytest.raises(SchemaError):
        Ragged(np.zeros(4, np.uint8), np.array([0, 1]), np.array([1]), "bytes")


@pytest.mark.parametrize("rows", [[1], [None], [object()], [b"a", 3]])
def test_rows_that_are_no_bytes_are_refused(rows):
    with pytest.raises(SchemaError, match="bytes"):
        Ragged.of(rows)


def test_an_index_that_is_not_there_is_an_index_error():
    column = Ragged.of([b"a", b"b"])
    for index in (2, -3):
        with pytest.raises(IndexError):
            column[index]


def test_counts_are_of_bytes_of_numbers_or_of_members():
    assert Ragged.of([b"abc", b""]).counts.tolist() == [3, 0]
    assert Ragged.of([[1, 2], []], "int16").counts.tolist() == [2, 0]
    assert Ragged.of([[b"abc", b"d"], []]).counts.tolist() == [2, 0]


def test_nbytes_counts_the_rows_and_not_the_buffer():
    column = Ragged.of([b"abc", b"de", b"f"])
    assert column[1:].nbytes == 3
    assert column.take([0, 0]).nbytes == 6
    assert Ragged.of([[b"abc", b"d"], [b"xy"]])[:1].nbytes == 4


def test_compact_leaves_only_the_bytes_of_the_rows():
    part = Ragged.of([b"abc", b"de", b"f"]).take([2, 0]).compact()
    assert bytes(part.values) == b"fabc"
    assert part.starts.tolist() == [0, 1]
    assert part.lengths.tolist() == [1, 3]


def test_numbers_of_bytes_is_a_type_error():
    with pytest.raises(TypeError):
        Ragged.of([b"abc"]).numbers()


def test_a_ragged_is_not_equal_to_a_list_or_another_dtype():
    column = Ragged.of([[1, 2]], "int32")
    assert column != [[1, 2]]
    assert column != Ragged.of([[1, 2]], "int64")
    assert Ragged.of([b""]) != Ragged.of([[]])


def test_members_are_compared_by_their_borders():
    assert Ragged.of([[b"ab", b"c"]]) != Ragged.of([[b"a", b"bc"]])
    assert Ragged.of([[b"a"], [b"b", b"c"]]) != Ragged.of([[b"a", b"b"], [b"c"]])
    assert Ragged.of([b"ab", b"c"]) != Ragged.of([b"a", b"bc"])


def test_a_ragged_has_no_hash():
    with pytest.raises(TypeError):
        hash(Ragged.of([b"a"]))


def test_starts_and_lengths_are_read_only():
    column = Ragged.of([b"ab", b"c"])
    for array in (column.starts, column.lengths):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def spans() -> tuple[np.ndarray, np.ndarray]:
    return np.array([0, 2]), np.array([2, 3])


WAYS_TO_HOLD = {  # what a caller gives, and keeps a writable hold of
    "the arrays": lambda: (spans(),) * 2,
    "read-only views": lambda: [(kept := spans()), tuple(read_only(array.view()) for array in kept)],
    "read-only parts": lambda: [
        (kept := tuple(np.append(a, 9) for a in spans())),
        tuple(read_only(a[:2]) for a in kept),
    ],
    "a bytearray": lambda: [
        (kept := tuple(np.frombuffer(bytearray(a.tobytes()), np.int64) for a in spans())),
        tuple(read_only(np.frombuffer(a.base, np.int64)) for a in kept),
    ],
    "every second": lambda: [(kept := tuple(np.repeat(a, 2) for a in spans())), tuple(a[::2] for a in kept)],
    "unsigned": lambda: [(kept := tuple(a.astype(np.uint64) for a in spans())), kept],
    "unsigned views": lambda: [(kept := spans()), tuple(a.view(np.uint64) for a in kept)],
}


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("given", WAYS_TO_HOLD.values(), ids=WAYS_TO_HOLD)
def test_writing_to_the_arrays_of_spans_afterwards_changes_nothing(given):
    """A kernel goes by spans that were seen to be in the buffer, while other threads run."""
    kept, (starts, lengths) = given()
    column = Ragged(np.frombuffer(b"abcde", np.uint8), starts, lengths, "bytes")
    for array in kept:
        array[:] = 1 << 40
    assert listed(column) == [b"ab", b"cde"]
    assert not column.starts.flags.writeable
    assert not column.lengths.flags.writeable


def test_spans_that_nobody_can_write_to_are_not_copied():
    for starts, lengths in (
        map(sealed, spans()),
        (np.frombuffer(array.tobytes(), np.int64) for array in spans()),
    ):
        column = Ragged(np.frombuffer(b"abcde", np.uint8), starts, lengths, "bytes")
        assert np.shares_memory(column.starts, starts)
        assert np.shares_memory(column.lengths, lengths)
        part = column[1:]
        assert np.shares_memory(part.starts, starts)
        assert np.shares_memory(part.lengths, lengths)


def test_making_a_ragged_leaves_the_callers_arrays_writable():
    starts, lengths = np.array([0, 1]), np.array([1, 1])
    Ragged(np.zeros(4, np.uint8), starts, lengths, "bytes")
    starts[0] = lengths[0] = 0
    assert starts.tolist() == [0, 1]


@pytest.mark.parametrize("column", [Ragged.of([b"ab", b""]), ints([[1], [2, 3]]), Ragged.of([[b"x"], []])])
def test_a_ragged_pickles(column):
    copy = pickle.loads(pickle.dumps(column))
    assert copy == column
    assert listed(copy) == listed(column)


@settings(deadline=None)
@given(rows=byte_rows)
def test_bytes_come_back_as_they_were(rows):
    assert listed(Ragged.of(rows)) == rows


@settings(deadline=None)
@given(rows=nested_rows)
def test_lists_of_bytes_come_back_as_they_were(rows):
    column = Ragged.of(rows, "bytes") if rows else Ragged.of([])
    assert listed(column) == rows


@settings(deadline=None)
@given(rows=number_rows, part=slices)
def test_a_slice_of_numbers_equals_the_slice_of_the_list(rows, part):
    column = ints(rows)[part]
    assert isinstance(column, Ragged)
    assert listed(column) == rows[part]
    assert column.numbers().tolist() == [value for row in rows[part] for value in row]


@settings(deadline=None)
@given(rows=nested_rows.filter(bool), part=slices)
def test_a_slice_of_lists_equals_the_slice_of_the_list(rows, part):
    assert listed(Ragged.of(rows)[part]) == rows[part]


@settings(deadline=None)
@given(data=st.data(), rows=nested_rows.filter(bool))
def test_take_then_compact_then_slice_gives_the_rows_asked_for(data, rows):
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
    expected = [rows[index] for index in indices]
    taken = Ragged.of(rows).take(indices)
    assert listed(taken) == expected
    assert listed(taken.compact()) == expected
    assert taken.compact() == taken
    assert listed(taken.compact()[1:]) == expected[1:]


@settings(deadline=None)
@given(left=number_rows, right=number_rows)
def test_raggeds_are_equal_exactly_when_their_rows_are(left, right):
    assert (ints(left) == ints(right)) == (left == right)
    assert ints(left) == ints(left)
    assert (ints(left) == ints(right).take(np.arange(len(right)))) == (left == right)


@settings(deadline=None)
@given(left=byte_rows, right=byte_rows)
def test_joined_columns_hold_the_rows_of_both(left, right):
    joined = concat_columns([Ragged.of(left)[1:], Ragged.of(right)])
    assert isinstance(joined, Ragged)
    assert listed(joined) == left[1:] + right


@settings(deadline=None)
@given(left=nested_rows.filter(bool), right=nested_rows.filter(bool))
def test_joined_nested_columns_hold_the_rows_of_both(left, right):
    joined = concat_columns([Ragged.of(left)[::-1], Ragged.of(right)])
    assert isinstance(joined, Ragged)
    assert listed(joined) == left[::-1] + right


def test_a_ragged_of_big_endian_arrays_has_their_values():
    column = Ragged.of([np.array([1, 2], ">i4"), np.array([3], ">i4")], "int32")
    assert [row.tolist() for row in column] == [[1, 2], [3]]


@pytest.mark.parametrize("order", "<>")
def test_an_object_array_of_arrays_of_numbers_is_ragged_also_where_they_are_equal_in_length(order):
    for lengths in ([2, 0, 1], [2, 2], [0, 0]):
        rows = np.empty(len(lengths), object)
        rows[:] = [np.arange(length).astype(f"{order}i4") for length in lengths]
        column = as_column(rows, "x")
        assert isinstance(column, Ragged)
        assert column == Ragged.of(list(rows), "int32")


def test_an_object_array_of_lists_of_numbers_is_ragged():
    column = as_column(np.array([[1, 2], [], [3]], dtype=object), "x")
    assert column == Ragged.of([[1, 2], [], [3]], "int64")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [np.ones(2), np.ones(3, np.int32)],
            r"field 'x': rows of float64 and of int32; .*rb\.Ragged\.of\(rows, dtype\)",
        ),
        ([np.ones((2, 2)), np.ones(3)], r"field 'x': a row of shape \(2, 2\).*only one dimension"),
        ([np.ones(2), b"a"], "field 'x': expected"),
        ([1, 2], "row 0 of field 'x': expected bytes or text, found int"),
    ],
)
def test_object_arrays_of_what_makes_no_column_are_told(rows, message):
    values = np.empty(len(rows), object)
    values[:] = rows
    with pytest.raises(SchemaError, match=message):
        as_column(values, "x")


def test_rows_of_more_than_one_dimension_are_refused():
    with pytest.raises(SchemaError, match=r"x: row 1 is \(3, 2\)"):
        Ragged.of([np.zeros(2), np.zeros((3, 2))], "float64", name="x")
