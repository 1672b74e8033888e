"""The functions of --select: what they make of a column, and what they refuse, by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import Batch, Field, LossyError, Ragged, Schema, SchemaError, SelectError
from recordio_bridge.select import Selection, named_fields
from recordio_bridge.tally import Tally
from tests.native.test_image_kernel import bmp, gif, jpeg, png, webp

IMAGES = [jpeg(10, 20), png(30, 40), gif(50, 60), bmp(70, 80), webp(90, 100)]


def pictures(*rows: bytes) -> Batch:
    return Batch.of({"image": list(rows)}, Schema(Field("image", "bytes")))


def detections(*rows: list[float], images: list[bytes] | None = None, dtype: str = "float32") -> Batch:
    return Batch.of({"label": Ragged.of(rows, dtype), "image": images or [png(100, 200)] * len(rows)})


def selected(batch: Batch, select: object, tally: Tally | None = None) -> Batch:
    return Selection(select, batch.schema).apply(batch, tally)


def one(batch: Batch, expression: str, tally: Tally | None = None) -> list[object]:
    column = selected(batch, {"n": expression}, tally)["n"]
    return [row.tolist() if isinstance(row, np.ndarray) else row for row in column]


def refused(batch: Batch, expression: str) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        selected(batch, {"n": expression})
    assert not isinstance(caught.value, SelectError)
    assert caught.value.field == "n"
    return caught.value


# ---- images ----


def test_format_height_and_width_of_each_kind_of_image():
    batch = selected(pictures(*IMAGES), {"f": "format(image)", "h": "height(image)", "w": "width(image)"})
    assert batch.schema == Schema(Field("f", "bytes"), Field("h", "int64"), Field("w", "int64"))
    assert list(batch["f"]) == [b"jpeg", b"png", b"gif", b"bmp", b"webp"]
    assert batch["h"].tolist() == [10, 30, 50, 70, 90]
    assert batch["w"].tolist() == [20, 40, 60, 80, 100]


def test_sizes_may_be_cast():
    assert selected(pictures(png(3, 4)), {"h:int32": "height(image)"})["h"].dtype == np.int32


def test_no_rows_are_no_error():
    assert one(pictures(), "format(image)") == one(pictures(), "height(image)") == []


@pytest.mark.parametrize("function", ["format", "height", "width"])
def test_what_is_no_image_is_named_with_its_row_and_first_bytes(function):
    error = refused(pictures(png(1, 2), b"hello world"), f"{function}(image)")
    assert error.row == 1
    assert "68 65 6c 6c 6f" in str(error)


@pytest.mark.parametrize("function", ["format", "height"])
def test_an_empty_image_is_said_to_be_empty_and_how_to_leave_it_out(function):
    error = refused(pictures(png(1, 2), b""), f"{function}(image)")
    assert error.row == 1
    assert "--where image" in str(error)


def test_a_cut_image_has_a_format_and_no_size():
    batch = pictures(png(1, 2)[:20])
    assert one(batch, "format(image)") == [b"png"]
    assert "cut" in str(refused(batch, "width(image)"))


# ---- one value, and digits ----


def test_one_takes_the_value_of_rows_that_have_one():
    assert one(Batch.of({"x": Ragged.of([[1.0], [2.0]], "float32")}), "one(x)") == [1.0, 2.0]
    assert one(Batch.of({"x": np.array([[1], [2]])}), "one(x)") == [1, 2]
    assert one(Batch.of({"x": [[b"a"], [b"bb"]]}), "one(x) ".strip()) == [b"a", b"bb"]


@pytest.mark.parametrize("rows", [[[1.0], [1.0, 2.0]], [[1.0], []]])
def test_one_refuses_a_row_of_more_or_none(rows):
    error = refused(Batch.of({"x": Ragged.of(rows, "float32")}), "one(x)")
    assert error.row == 1
    assert "x[0]" in str(error)


def test_one_of_a_fixed_width_that_is_not_one_is_refused():
    assert refused(Batch.of({"x": np.zeros((2, 3))}), "one(x)").row == 0


def test_text_gives_the_digits():
    batch = Batch.of({"x": np.array([0, 7, 2**64 - 1], dtype=np.uint64), "y": np.array([-(2**63), 0, -1])})
    assert one(batch, "text(x)") == [b"0", b"7", b"18446744073709551615"]
    assert one(batch, "text(y)") == [b"-9223372036854775808", b"0", b"-1"]
    assert one(batch.slice(0, 0), "text(x)") == []


# ---- detection labels ----

GLUON = [4, 5, 40, 30, 7, 0.25, 0.5, 0.75, 1.0, 3, 0.0, 0.0, 0.5, 0.5]
SSD = [2, 6, 7, 0.25, 0.5, 0.75, 1.0, 1]


def test_the_values_of_each_object_are_columns():
    batch = detections(GLUON, [2, 5], [2, 5, 1, 0.5, 0.5, 1.0, 1.0])
    assert one(batch, "objects(label)[0]") == [[7.0, 3.0], [], [1.0]]
    assert one(batch, "objects(label, 5)[4]") == [[1.0, 0.5], [], [1.0]]
    assert selected(batch, {"n:int64": "objects(label, 5)[0] + 1"})["n"][0].tolist() == [8, 4]


def test_further_values_of_objects_are_kept():
    assert one(detections(SSD), "objects(label, 6)[5]") == [[1.0]]


def test_labels_may_be_dense_and_of_any_number_type():
    for dtype in ("float64", "int64", "float16"):
        batch = Batch.of({"label": np.array([[2, 5, 1, 0, 0, 1, 1], [2, 5, 9, 0, 0, 1, 1]], dtype=dtype)})
        assert one(batch, "objects(label)[0]") == [[1], [9]]


def test_boxes_that_are_fractions_stay_as_they_are():
    batch, tally = detections(GLUON, [2, 5]), Tally()
    assert one(batch, "boxes(label, 5, image)[0]", tally) == [[0.25, 0.0], []]
    assert one(batch, "boxes(label, image)[3]") == [[1.0, 0.5], []]
    assert tally.counts == {"rows in fractions": 1, "rows without objects": 1}


def test_fractions_keep_every_bit_of_their_float32():
    value = float(np.float32(0.1))
    column = selected(detections([2, 5, 1, value, 0, 1, 1]), {"n": "boxes(label, image)[0]"})["n"]
    assert column.numbers().tobytes() == np.float32(0.1).tobytes()


def test_boxes_in_pixels_are_divided_by_width_and_height_and_counted():
    batch = detections([2, 5, 1, 20, 10, 200, 100], GLUON, images=[png(100, 200), b""])
    tally = Tally()
    select = [f"{k}=boxes(label, 5, image)[{k}]" for k in range(4)]
    found = selected(batch, select, tally)
    assert [found[str(k)][0].tolist() for k in range(4)] == [
        [np.float32(0.1)],
        [np.float32(0.1)],
        [1.0],
        [1.0],
    ]
    assert tally.counts == {"rows in pixels": 1, "rows in fractions": 1}  # once, not once for each column


def test_two_is_a_fraction_and_more_is_a_pixel():
    tally = Tally()
    assert one(detections([2, 5, 1, 0, 0, 2, 1]), "boxes(label, image)[2]", tally) == [[2.0]]
    assert tally.counts["boxes outside"] == 1
    assert one(detections([2, 5, 1, 0, 0, 2.5, 1]), "boxes(label, image)[2]") == [[np.float32(0.0125)]]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_no_number_is_counted_and_decides_nothing(odd):
    batch = detections([2, 5, 1, odd, 10, 200, 100], [2, 5, 1, odd, 0.5, 1, 1], images=[png(100, 200)] * 2)
    tally = Tally()
    found = selected(batch, [f"{k}=boxes(label, image)[{k}]" for k in range(4)], tally)
    assert [[found[str(k)][row].tolist() for k in range(4)] for row in range(2)] == [
        [pytest.approx([odd], nan_ok=True), [np.float32(0.1)], [1.0], [1.0]],
        [pytest.approx([odd], nan_ok=True), [0.5], [1.0], [1.0]],
    ]
    assert tally.counts == {"rows in pixels": 1, "rows in fractions": 1, "boxes without numbers": 2}


def test_a_pixel_box_of_an_image_without_a_size_is_refused():
    batch = detections(GLUON, [2, 5, 1, 0, 0, 50, 50], images=[png(1, 1), b"?"])
    assert refused(batch, "boxes(label, image)[0]").row == 1
    assert one(batch, "objects(label)[1]") == [[0.25, 0.0], [0.0]]


def test_padding_is_left_out_and_counted():
    padding = [-1.0] * 5
    batch, tally = detections([2, 5, *padding, 3, 0, 0, 1, 1, *padding], [2, 5, *padding]), Tally()
    assert one(batch, "objects(label)[0]", tally) == [[3.0], []]
    assert tally.counts["padding"] == 3
    assert tally.counts["rows without objects"] == 1


def test_boxes_without_area_are_kept_and_counted():
    tally = Tally()
    assert one(detections([2, 5, 1, 0.5, 0.5, 0.5, 1.0]), "boxes(label, image)[0]", tally) == [[0.5]]
    assert tally.counts["boxes without area"] == 1


@pytest.mark.parametrize(
    "label",
    [
        [],
        [3.0],
        [2.0],
        [1, 5],
        [2, 4, 1, 0, 0, 1],
        [2.5, 5],
        [2, 5.5],
        [2, 5, 1],
        [4, 5, 1],
        [2, 5, 1, 0, 0, 1, 1, 9],
        [float("nan"), 5],
        [2, float("inf")],
        [float("inf"), 5],
        [1e38, 1e38],
        [-2, -5],
        [0.0, 0.0],
    ],
)
def test_what_is_no_detection_label_is_refused_by_row(label):
    error = refused(detections(GLUON, label), "objects(label)[0]")
    assert error.row == 1
    assert "[A, B" in str(error)


def test_objects_of_another_width_are_refused_where_one_is_expected():
    error = refused(detections(GLUON, SSD), "objects(label, 5)[0]")
    assert error.row == 1
    assert "have 6 values, expected 5" in str(error)


def test_a_class_that_is_no_integer_is_refused_with_its_row():
    with pytest.raises(LossyError, match=r"row 1 .*7\.5") as caught:
        selected(detections(GLUON, [2, 5, 7.5, 0, 0, 1, 1]), {"n:int64": "objects(label)[0] + 1"})
    assert caught.value.row == 1


def slowly(label: list[float]) -> list[list[float]]:
    """The objects of one label, one by one."""
    header, width = int(label[0]), int(label[1])
    return [label[at : at + width] for at in range(header, len(label), width) if label[at] != -1]


_numbers = st.floats(-2, 2, width=32)


@st.composite
def label_rows(draw: st.DrawFn) -> list[list[float]]:
    width = draw(st.integers(5, 7))
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        header = [float(draw(st.integers(2, 4))), float(width)]
        header += draw(st.lists(_numbers, min_size=int(header[0]) - 2, max_size=int(header[0]) - 2))
        objects = st.tuples(st.integers(-1, 3).map(float), *([_numbers] * (width - 1)))
        rows.append(header + [value for each in draw(st.lists(objects, max_size=4)) for value in each])
    return rows


@settings(deadline=None, max_examples=200)
@given(label_rows())
def test_objects_are_those_that_are_found_one_by_one(rows):
    batch = detections(*rows)
    width = int(rows[0][1])
    for index in range(width):
        assert one(batch, f"objects(label, {width})[{index}]") == [
            [each[index] for each in slowly(row)] for row in rows
        ]
    for index in range(4):
        assert one(batch, f"boxes(label, {width}, image)[{index}]") == [
            [each[index + 1] for each in slowly(row)] for row in rows
        ]


def test_no_rows_have_no_objects():
    batch = detections(GLUON).slice(0, 0)
    assert one(batch, "objects(label, 5)[0]") == one(batch, "boxes(label, 5, image)[0]") == []


# ---- how functions are called ----

SCHEMA = Schema(Field("image", "bytes"), Field("label", "float32", (None,)), Field("id", "uint64"))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("size(image)", "no function 'size'"),
        ("format(picture)", "no field 'picture'"),
        ("format(label)", "format takes one image"),
        ("format(image, image)", "format(FIELD)"),
        ("format()", "format(FIELD)|no field"),
        ("format(image)[0]", "format(FIELD)"),
        ("format(image, 5)", "format(FIELD)"),
        ("height(image)[0:1]", "format|height|expected"),
        ("objects(label)", "objects(LABEL, B)[k]"),
        ("objects(label, 4)[0]", "5 values at least"),
        ("objects(label, 5)[5]", "from 0 to 4"),
        ("objects(label)[5]", "from 0 to 4"),
        ("objects(id)[0]", "vector of numbers"),
        ("objects(image)[0]", "vector of numbers"),
        ("boxes(label)[0]", "boxes(LABEL, B, IMAGE)[k]"),
        ("boxes(label, 5, image)[4]", "from 0 to 3"),
        ("boxes(label, 5, id)[0]", "one image"),
        ("one(id)", "several values"),
        ("text(label)", "one integer"),
        ("text(image)", "one integer"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_before_any_row_is_read(expression, said):
    with pytest.raises(SelectError) as caught:
        Selection({"n": expression}, SCHEMA)
    assert any(part in str(caught.value) for part in said.split("|"))


def test_a_field_whose_name_looks_like_a_call_wins():
    batch = Batch.of({"format(image)": [7]})
    assert one(batch, "format(image)") == [7]


def test_the_fields_of_a_call_are_read():
    selection = Selection({"n": "boxes(label, 5, image)[0]", "m": "id"}, SCHEMA)
    assert set(selection.sources) == {"label", "image", "id"}
    assert {"label", "image", "id", "x"} <= named_fields(
        {"n": "boxes(label, 5, image)[0]", "m": "id + 1", "o": "x[0] - 2"}
    )
