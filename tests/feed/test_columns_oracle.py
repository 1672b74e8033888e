"""What becomes of each kind of column: its dtype, its shape, its values, in both modes and both units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.schema import DTYPES
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import within
from tests.feed.running_oracle import session

ROWS, SIZE = 11, 4
NUMBERS = [dtype for dtype in DTYPES if dtype != "bytes"]


def numbers(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values to the limits of a dtype."""
    field = rb.Field("x", dtype)
    kind = field.numpy_dtype.kind
    if dtype == "bool":
        pool = np.array([True, False, False])
    elif kind in "iu":
        info = np.iinfo(field.numpy_dtype)
        pool = np.array([info.min, info.max, 1, 2], field.numpy_dtype)
    else:
        pool = np.array([-1.5, 2.0, 0.0, 0.25, np.inf]).astype(field.numpy_dtype)
    return np.resize(pool, shape)


def ragged(dtype: str) -> list[np.ndarray]:
    return [numbers(dtype, (n * 5 % 4,)) for n in range(ROWS)]  # of 0 to 3 values


def source(columns: dict[str, object]) -> Callable[[], Iterator[dict[str, object]]]:
    """An iterator that gives the numbers of the rows and these columns, at once."""
    return lambda: iter([{"id": np.arange(ROWS), **columns}])


def fed(runner: CustomRunner, mode: str) -> dict[int, list]:
    """The columns of each row, by its number; every batch as TensorFlow gives it."""

    def run() -> list[tuple]:
        if mode == "eager":
            with runner:
                return [tuple(plain(value) for value in values) for values in runner.dataset()]
        found = []
        with session(runner) as take:
            try:
                while True:
                    found.append(tuple(plain(value) for value in take()))
            except tf.errors.OutOfRangeError:
                runner.stop()
        return found

    rows = {}
    for number, *columns in within(60, run):
        for at, row in enumerate(number.tolist()):
            rows[row] = [column[at] for column in columns]
    return rows


def plain(value: object) -> object:
    """The rows of a tensor, of either mode."""
    if isinstance(value, (tf.RaggedTensor, tf.compat.v1.ragged.RaggedTensorValue)):
        splits, flat = np.asarray(value.row_splits), np.asarray(value.values)
        return [flat[start:end] for start, end in pairwise(splits)]
    return np.asarray(value)


@pytest.mark.parametrize("unit", ["batch", "row"])
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_numbers_of_every_dtype_arrive_as_they_are(mode, unit):
    columns = {f"{dtype} {len(shape)}": numbers(dtype, (ROWS, *shape)) for dtype in NUMBERS for shape in ((), (2, 3))}
    found = fed(CustomRunner(source(columns), SIZE, epochs=1, unit=unit, capacity=2), mode)
    assert sorted(found) == list(range(ROWS))
    for row, values in found.items():
        for (name, column), value in zip(columns.items(), values, strict=True):
            assert np.asarray(value).dtype == column.dtype, name
            assert np.array_equal(value, column[row]), (name, row)


@pytest.mark.parametrize("unit", ["batch", "row"])
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_ragged_numbers_of_every_dtype_arrive_as_they_are(mode, unit):
    columns = {dtype: rb.Ragged.of(ragged(dtype), dtype) for dtype in NUMBERS}
    found = fed(CustomRunner(source(columns), SIZE, epochs=1, unit=unit, capacity=2), mode)
    assert sorted(found) == list(range(ROWS))
    for row, values in found.items():
        for dtype, value in zip(columns, values, strict=True):
            assert value.dtype == rb.Field("x", dtype).numpy_dtype, dtype
            assert np.array_equal(value, ragged(dtype)[row]), (dtype, row)


@pytest.mark.parametrize("unit", ["batch", "row"])
@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("pad", [0, 1])
def test_pad_fills_ragged_numbers_of_every_dtype_to_the_longest_of_the_batch(mode, unit, pad):
    columns = {dtype: rb.Ragged.of(ragged(dtype), dtype) for dtype in NUMBERS}
    found = fed(CustomRunner(source(columns), SIZE, epochs=1, unit=unit, capacity=2, pad=pad), mode)
    assert sorted(found) == list(range(ROWS))
    for row, values in found.items():
        for dtype, value in zip(columns, values, strict=True):
            expected = ragged(dtype)[row]
            assert value.dtype == expected.dtype, dtype
            assert np.array_equal(value[: len(expected)], expected), (dtype, row)
            assert (value[len(expected) :] == pad).all()


@pytest.mark.parametrize("pad", [-1, np.nan, np.inf, 0.5, 0.1])
def test_pad_is_a_value_of_the_field(pad):
    columns = {"x": rb.Ragged.of(ragged("float32"), "float32")}
    found = fed(CustomRunner(source(columns), ROWS, epochs=1, pad=pad), "eager")
    assert [len(values[0]) for values in found.values()] == [3] * ROWS
    assert np.array_equal(found[0][0], np.full(3, pad, np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "pad"),
    [("int64", 0.5), ("uint8", -1), ("uint8", 256), ("int32", np.nan), ("int64", 2**63), ("bool", 2), ("float16", 1e9)],
)
def test_a_pad_that_is_none_of_the_field_is_refused(dtype, pad):
    runner = CustomRunner(source({"x": rb.Ragged.of(ragged(dtype), dtype)}), SIZE, pad=pad)
    with runner, pytest.raises(rb.SchemaError, match=r"pad=.*'x'"):
        runner.dataset()


@pytest.mark.parametrize("unit", ["batch", "row"])
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_bytes_arrive_as_strings(mode, unit):
    strings = [b"", b"\xff\0\xff", "zwölf".encode(), b"x" * 5000, *[b"%d" % n for n in range(ROWS - 4)]]
    found = fed(CustomRunner(source({"name": strings}), SIZE, epochs=1, unit=unit, capacity=2), mode)
    assert [found[row][0] for row in range(ROWS)] == strings


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_lists_of_bytes_arrive_as_ragged_strings(mode):
    lists = [[b"%d" % k for k in range(n % 4)] for n in range(ROWS)]
    found = fed(CustomRunner(source({"names": lists}), SIZE, epochs=1), mode)
    assert [list(found[row][0]) for row in range(ROWS)] == lists
    with pytest.raises(rb.SchemaError, match="unit='batch'"), CustomRunner(source({"names": lists}), unit="row") as row:
        row.dataset()


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_lists_of_a_fixed_number_of_bytes_arrive_as_a_dense_tensor(tmp_path, mode):
    schema = rb.Schema(rb.Field("id", "int64"), rb.Field("names", "bytes", (2,)))
    pairs = [[b"%d" % n, b"-%d" % n] for n in range(ROWS)]
    rb.write(tmp_path / "a.tfrecord", {"id": np.arange(ROWS), "names": pairs}, schema)
    runner = CustomRunner(tmp_path / "a.tfrecord", SIZE, epochs=1)
    if mode == "eager":
        assert runner.dataset().element_spec[1] == tf.TensorSpec([None, 2], tf.string)
    found = fed(runner, mode)
    assert [list(found[row][0]) for row in range(ROWS)] == pairs


@pytest.mark.parametrize("unit", ["batch", "row"])
def test_types_and_static_shapes_are_known_before_the_first_batch(unit):
    columns = {
        "ragged": rb.Ragged.of(ragged("int32"), "int32"),
        "name": [b"a"] * ROWS,
        "pixels": np.zeros((ROWS, 28, 28), np.uint8),
    }
    for size, drop in ((None, False), (SIZE, True)):
        runner = CustomRunner(source(columns), SIZE, unit=unit, drop_remainder=drop)
        number, many, name, pixels = runner.dataset().element_spec
        assert (number.shape.as_list(), name.shape.as_list(), name.dtype) == ([size], [size], tf.string)
        assert (pixels.shape.as_list(), pixels.dtype) == ([size, 28, 28], tf.uint8)
        assert isinstance(many, tf.RaggedTensorSpec)
        assert many.dtype == tf.int32
        padded = CustomRunner(source(columns), SIZE, unit=unit, drop_remainder=drop, pad=0).dataset().element_spec[1]
        assert (padded.shape.as_list(), padded.dtype) == ([size, None], tf.int32)
        with tf.Graph().as_default():
            given = CustomRunner(source(columns), SIZE, unit=unit, drop_remainder=drop).get_inputs()
            assert isinstance(given[1], tf.RaggedTensor)
            assert [given[at].shape.as_list() for at in (0, 2, 3)] == [[size], [size], [size, 28, 28]]
            padded = CustomRunner(source(columns), SIZE, unit=unit, drop_remainder=drop, pad=0).get_inputs()[1]
            assert padded.shape.as_list() == [size, None]


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_select_makes_a_plain_column_of_a_label_vector(tmp_path, mode):
    labels = rb.Ragged.of([np.array([n % 3, 0.5, 0.25][: 1 + n % 3], np.float32) for n in range(ROWS)], "float32")
    batch = {
        "id": np.arange(ROWS).astype(np.uint64),
        "label": labels,
        "image": [b"\xff\xd8\xff%d" % n for n in range(ROWS)],
    }
    rb.write(tmp_path / "a.rec", batch)
    select = ["id=id", "label:int64=label[0]"]
    found = fed(CustomRunner(tmp_path / "a.rec", SIZE, select=select, epochs=1), mode)
    assert [found[row] for row in range(ROWS)] == [[n % 3] for n in range(ROWS)]
    assert all(values[0].dtype == np.int64 for values in found.values())
    found = fed(CustomRunner(tmp_path / "a.rec", SIZE, epochs=1, pad=-1), mode)
    assert found[2][0].tolist() == [2, 0.5, 0.25]
    assert found[0][1] == b"\xff\xd8\xff0"


@pytest.mark.parametrize("unit", ["batch", "row"])
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_a_transform_decides_what_arrives(mode, unit):
    def transform(batch: rb.Batch) -> dict[str, object]:
        numbers = batch["id"]
        many = [np.arange(number % 3) for number in numbers]
        return {"id": numbers, "half": numbers.astype(np.float16) / 2, "text": [str(n) for n in numbers], "many": many}

    runner = CustomRunner(source({}), SIZE, epochs=1, transform=transform, unit=unit, capacity=2)
    found = fed(runner, mode)
    for row in range(ROWS):
        half, text, many = found[row]
        assert (half, text, many.tolist()) == (row / 2, b"%d" % row, list(range(row % 3)))
        assert half.dtype == np.float16


def test_by_rows_a_field_without_values_is_refused():
    """TensorFlow's queues end the process on it."""
    batches = [{"id": np.arange(2), "none": np.zeros((2, 0), np.float32)}]
    for unit in ("batch", "row"):
        with CustomRunner(lambda: iter(batches), 2, unit=unit) as runner:
            if unit == "row":
                with pytest.raises(rb.SchemaError, match=r"'none'.*unit='batch'"):
                    runner.dataset()
            else:
                assert [each.shape.as_list() for each in next(iter(runner.dataset()))] == [[2], [2, 0]]
