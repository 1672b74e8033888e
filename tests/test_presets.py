"""Presets: what they select, and what of a conversion is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, LossyError, Ragged, Schema, SchemaError, SelectError
from recordio_bridge.migrate.orders import Order
from recordio_bridge.presets import ready
from tests.native.test_image_kernel import jpeg, png
from tests.samples import GOLDEN, copy_golden, image_payload, read_examples, rewrite, write_rec

PHOTO = jpeg(100, 200)


def labelled(folder: Path, *labels: object, image: bytes = PHOTO) -> Path:
    """A .rec with a record for each label."""
    return write_rec(folder / "a.rec", [image_payload(n, label, image) for n, label in enumerate(labels)])


def converted(source: Path, preset: str, **options: object) -> tuple[list[dict], rb.Manifest]:
    target = source.parent / "out.tfrecord"
    manifest = rb.convert(source, target, preset=preset, overwrite=True, **options)
    assert rb.verify(target).ok
    return read_examples(target), manifest


def golden_truth(name: str) -> list[dict]:
    return json.loads((GOLDEN / f"{name}.json").read_text())["records"]


# ---- imagenet ----


def test_imagenet_gives_the_keys_of_imagenet_with_classes_as_they_are(tmp_path):
    examples, manifest = converted(copy_golden(tmp_path, "h_im2rec.rec"), "imagenet")
    truth = golden_truth("h_im2rec")
    assert [each["image/class/label"] for each in examples] == [[int(r["header"]["label"])] for r in truth]
    assert [each["image/height"] + each["image/width"] for each in examples] == [r["image_shape"][:2] for r in truth]
    assert {each["image/format"][0] for each in examples} == {b"png"}
    assert set(examples[0]) == {
        "image/encoded",
        "image/format",
        "image/height",
        "image/width",
        "image/class/label",
    }
    assert "image/class/label holds 0 to 1 (label_offset 0)" in manifest.notes


def test_a_label_offset_is_added_and_told(tmp_path):
    examples, manifest = converted(labelled(tmp_path, 0.0, 999.0), "imagenet", label_offset=1)
    assert [each["image/class/label"] for each in examples] == [[1], [1000]]
    assert "image/class/label holds 1 to 1000 (label_offset 1)" in manifest.notes
    examples, _ = converted(tmp_path / "a.rec", "imagenet", label_offset=-1)
    assert [each["image/class/label"] for each in examples] == [[-1], [998]]


def test_labels_of_several_values_stay_vectors(tmp_path):
    examples, _ = converted(labelled(tmp_path, [3.0, 4.0], [5.0, 6.0], 7.0), "imagenet")
    assert [each["image/class/label"] for each in examples] == [[3, 4], [5, 6], [7]]


def test_a_vector_behind_many_single_labels_is_no_loss_but_an_error(tmp_path):
    with pytest.raises(SchemaError, match=r"a\.rec: record 30 at byte .*has 2 values, expected one") as caught:
        converted(labelled(tmp_path, *[1.0] * 30, [1.0, 2.0]), "imagenet")
    assert (caught.value.record, caught.value.row) == (30, 30)


def test_a_class_that_is_no_integer_is_an_error_that_names_the_record(tmp_path):
    with pytest.raises(LossyError, match=r"record 1 at byte .*3\.5"):
        converted(labelled(tmp_path, 3.0, 3.5), "imagenet")


def test_arrays_of_labels_and_images_in_other_formats_fit_too(tmp_path):
    for labels, shape in ((np.array([1, 2]), ()), (np.array([[1], [2]]), (1,)), (np.array([[1, 3], [2, 4]]), (2,))):
        schema = Schema(Field("image", "bytes"), Field("label", "int64", shape))
        rb.write(tmp_path / "a.npz", {"image": [png(1, 2), png(3, 4)], "label": labels}, schema, overwrite=True)
        rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", preset="imagenet", overwrite=True)
        found = [each["image/class/label"] for each in read_examples(tmp_path / "b.tfrecord")]
        assert found == [np.atleast_1d(label).tolist() for label in labels]


def test_pixels_instead_of_image_files_are_refused_before_any_row_is_read(tmp_path):
    rb.write(tmp_path / "a.npz", {"image": np.zeros((2, 8, 8), np.uint8), "label": np.zeros(2, np.int64)})
    with pytest.raises(SelectError, match="format takes one image file"):
        rb.convert(tmp_path / "a.npz", tmp_path / "b.tfrecord", preset="imagenet")


# ---- detection ----


def test_detection_gives_the_keys_of_the_object_detection_api(tmp_path):
    examples, manifest = converted(copy_golden(tmp_path, "h_det.rec"), "detection")
    for example, record in zip(examples, golden_truth("h_det"), strict=True):
        header = np.frombuffer(bytes.fromhex(record["header"]["label_hex"]), "<f4")
        objects = header[int(header[0]) :].reshape(-1, int(header[1]))
        assert example["image/object/class/label"] == (objects[:, 0].astype(int) + 1).tolist()
        for column, name in enumerate(("xmin", "ymin", "xmax", "ymax"), 1):
            assert example[f"image/object/bbox/{name}"] == objects[:, column].tolist()
        assert example["image/source_id"] == [str(record["header"]["id"]).encode()]
        assert example["image/height"] + example["image/width"] == record["image_shape"][:2]
    assert "image/object/class/label holds 2 to 19 (label_offset 1)" in manifest.notes
    assert manifest.warnings == ()


def test_further_values_of_objects_are_columns_of_their_own(tmp_path):
    source = labelled(tmp_path, [2.0, 7, 1, 0, 0, 0.5, 0.5, 8, 9.5, 2, 0, 0, 1, 1, 10, 11])
    ((example,), _) = converted(source, "detection")
    assert example["image/object/extra/0"] == [8.0, 10.0]
    assert example["image/object/extra/1"] == [9.5, 11.0]
    assert "image/object/extra/2" not in example


def test_an_image_without_objects_stays(tmp_path):
    examples, manifest = converted(labelled(tmp_path, [2.0, 5], [2.0, 5, 1, 0, 0, 1, 1]), "detection")
    assert "image/object/class/label" not in examples[0]
    assert examples[1]["image/object/class/label"] == [2]
    assert "rows without objects: 1" in manifest.notes


def test_boxes_in_pixels_are_divided_by_the_size_of_the_image(tmp_path):
    source = labelled(tmp_path, [2.0, 5, 0, 50, 25, 200, 100], [2.0, 5, 0, 20, 10, 100, 90])
    examples, manifest = converted(source, "detection")
    names = ("xmin", "ymin", "xmax", "ymax")
    found = [[each[f"image/object/bbox/{name}"][0] for name in names] for each in examples]
    assert np.allclose(found, [[0.25, 0.25, 1, 1], [0.1, 0.1, 0.5, 0.9]])
    assert any(note.startswith("rows whose boxes, in pixels") and note.endswith(": 2") for note in manifest.notes)
    assert manifest.warnings == ()


def test_pixels_and_fractions_in_one_file_are_a_warning(tmp_path):
    source = labelled(tmp_path, [2.0, 5, 0, 50, 25, 200, 100], [2.0, 5, 0, 0.1, 0.1, 1, 1])
    _, manifest = converted(source, "detection")
    (warning,) = manifest.warnings
    assert "in pixels: 1, with fractions of the image: 1;" in warning
    assert warning in manifest.notes


def test_boxes_with_a_coordinate_that_is_no_number_are_a_warning(tmp_path):
    source = labelled(tmp_path, [2.0, 5, 0, float("nan"), 0.1, 1, 1], [2.0, 5, 0, 0.1, 0.1, float("inf"), 1])
    _, manifest = converted(source, "detection")
    assert manifest.warnings == (
        "boxes with a coordinate that is no finite number (NaN, inf), written as they are; a loss that is computed "
        "from them is NaN, so mend their labels or leave the rows out: 2",
    )
    assert manifest.warnings[0] in manifest.notes


def test_padding_is_left_out_and_told(tmp_path):
    examples, manifest = converted(labelled(tmp_path, [2.0, 5, 3, 0, 0, 1, 1, -1, -1, -1, -1, -1]), "detection")
    assert examples[0]["image/object/class/label"] == [4]
    assert "objects of class -1, which is padding, left out: 1" in manifest.notes


def test_what_is_no_detection_label_is_an_error_that_names_the_record(tmp_path):
    with pytest.raises(SchemaError, match=r"record 0 at byte 0: its label \[1.0\]") as caught:
        converted(labelled(tmp_path, 1.0), "detection")
    assert caught.value.record == 0


def test_objects_of_another_width_further_on_are_an_error_and_no_loss(tmp_path):
    with pytest.raises(SchemaError, match=r"record 1 .*have 6 values, expected 5"):
        converted(labelled(tmp_path, [2.0, 5, 1, 0, 0, 1, 1], [2.0, 6, 1, 0, 0, 1, 1, 9]), "detection")


def test_labels_of_a_list_are_taken_for_those_of_the_records(tmp_path):
    copy_golden(tmp_path, "h_det.rec", "h_det.lst")
    examples, _ = converted(tmp_path / "h_det.rec", "detection", source_options={"labels": str(tmp_path / "h_det.lst")})
    assert examples[0]["image/object/class/label"] == [8]


# ---- what others may change ----


def test_select_replaces_a_column_of_the_same_name_and_adds_others(tmp_path):
    select = {"image/class/label": "label", "key:int64": "id", "image/height:int32": "height(image)"}
    examples, manifest = converted(labelled(tmp_path, 3.5), "imagenet", select=select)
    assert examples[0]["image/class/label"] == [3.5]
    assert examples[0]["key"] == [0]
    assert list(manifest.schema) == [
        "image/encoded",
        "image/format",
        "image/height",
        "image/width",
        "image/class/label",
        "key",
    ]
    assert manifest.schema["image/height"].dtype == "int32"


@pytest.mark.parametrize("options", [{"shards": 3, "workers": 2}, {"shuffle": True, "seed": 3, "shards": 2}])
def test_shards_workers_and_shuffle_give_the_same_rows(tmp_path, options):
    source = copy_golden(tmp_path, "h_det.rec")
    expected, plain = converted(source, "detection")
    manifest = rb.convert(source, tmp_path / "set.tfrecord", preset="detection", **options)
    found = [each for path in manifest.paths for each in read_examples(Path(path))]
    by_id = {each["image/source_id"][0]: each for each in found}
    assert [by_id[each["image/source_id"][0]] for each in expected] == expected
    assert len(found) == len(expected)
    assert manifest.notes == plain.notes


def test_an_order_says_all_that_a_preset_comes_to(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(Order, "selection", _recording(Order.selection, lines))
    source = labelled(tmp_path, 1.0)
    rb.convert(source, tmp_path / "b.tfrecord", preset="faces", label_offset=5)
    order = Order.from_json(json.loads(lines[-1]))
    assert dict(order.select or ())["image/class/label:int64"] == "label[0] + 5"
    assert order.where == "image"
    assert json.dumps(order.to_json()) == lines[-1]


def _recording(selection, lines):
    def recorded(self):
        lines.append(json.dumps(self.to_json()))
        return selection(self)

    return recorded


def test_an_offset_for_a_class_that_a_select_replaces_is_a_mistake(tmp_path):
    source = labelled(tmp_path, 0.0, 3.0)
    select = ["image/class/label:int64=label[0]"]
    with pytest.raises(SelectError, match=r"label_offset=5 .*'image/class/label:int64=label\[0\]' .*\+ 5'") as raised:
        rb.convert(source, tmp_path / "b.tfrecord", preset="imagenet", select=select, label_offset=5)
    assert raised.value.field == "image/class/label"
    assert not (tmp_path / "b.tfrecord").exists()
    _, manifest = converted(source, "imagenet", select=["image/class/label:int64=label[0] + 2"])
    assert "image/class/label holds 2 to 5" in manifest.notes  # and no offset that the preset would have added
    _, manifest = converted(source, "imagenet", select=["k=id"], label_offset=1)
    assert "image/class/label holds 1 to 4 (label_offset 1)" in manifest.notes


@pytest.mark.parametrize("offset", [10**18, -(10**18), 2**63 - 1, 10**30])
def test_an_offset_that_no_expression_holds_is_a_mistake(tmp_path, offset):
    source = labelled(tmp_path, 0.0)
    with pytest.raises(ValueError, match=rf"label_offset={offset} \(--label-offset\): expected at most 18 digits"):
        rb.convert(source, tmp_path / "b.tfrecord", preset="imagenet", label_offset=offset)
    _, manifest = converted(source, "imagenet", label_offset=10**18 - 1)
    assert "image/class/label holds 999999999999999999 (label_offset 999999999999999999)" in manifest.notes


def test_one_class_is_no_range(tmp_path):
    _, manifest = converted(labelled(tmp_path, 4.0, 4.0), "imagenet", class_names=["a", "b"])
    assert "image/class/label holds 4 (label_offset 0)" in manifest.notes
    (warning,) = manifest.warnings
    assert warning.startswith("image/class/label holds 4, and there are names for 0 to 1: ")
    _, manifest = converted(labelled(tmp_path, 4.0), "imagenet", class_names=["a"])
    assert "and there are names for 0: " in manifest.warnings[0]


def test_unknown_presets_and_offsets_without_one_are_mistakes(tmp_path):
    source = labelled(tmp_path, 1.0)
    with pytest.raises(ValueError, match="'detection', 'faces', 'imagenet'"):
        rb.convert(source, tmp_path / "b.tfrecord", preset="voc")
    with pytest.raises(ValueError, match=r"label\[0\] \+ 1"):
        rb.convert(source, tmp_path / "b.tfrecord", label_offset=1)
    rb.write(tmp_path / "c.npz", {"x": np.zeros(3)})
    with pytest.raises(SelectError, match="image"):
        rb.convert(tmp_path / "c.npz", tmp_path / "b.tfrecord", preset="imagenet")
    assert not list(tmp_path.glob("b.*"))


def test_every_preset_is_a_select_that_gives_the_same(tmp_path):
    for name, golden in (("imagenet", "h_im2rec"), ("detection", "h_det"), ("faces", "g_insightface")):
        source = copy_golden(tmp_path, f"{golden}.rec")
        examples, _ = converted(source, name)
        select, where = ready(name)
        rb.convert(source, tmp_path / "same.tfrecord", select=select, where=where, overwrite=True)
        assert read_examples(tmp_path / "same.tfrecord") == examples


def test_where_leaves_out_rows_of_any_format_and_counts_them(tmp_path):
    columns = {"name": Ragged.of([b"a", b"", b"c"]), "n": np.array([1, 2, 3])}
    for number, suffix in enumerate((".npz", ".tfrecord", ".h5")):
        rb.write(tmp_path / f"a{suffix}", columns)
        manifest = rb.convert(tmp_path / f"a{suffix}", tmp_path / f"b{number}.tfrecord", where="name", shards=2)
        assert manifest.num_rows == 2
        assert manifest.left_out == {"name is empty": 1}
        found = [each for path in manifest.paths for each in read_examples(Path(path))]
        assert found == [{"name": [b"a"], "n": [1]}, {"name": [b"c"], "n": [3]}]


def test_where_alone_keeps_a_rec_a_rec(tmp_path):
    source = copy_golden(tmp_path, "g_insightface.rec")
    manifest = rb.convert(source, tmp_path / "b.rec", where="image")
    assert (manifest.num_rows, manifest.payload) == (10, "image")
    assert rb.open(tmp_path / "b.rec").take(range(10))["id"].tolist() == list(range(1, 11))


def test_rows_behind_those_left_out_keep_their_place_in_messages(tmp_path):
    payloads = [image_payload(0, 1.0, b""), image_payload(1, 1.0, PHOTO), image_payload(2, 2.5, PHOTO)]
    source = write_rec(tmp_path / "a.rec", payloads)
    at = sum(8 + len(payload) + (-len(payload) & 3) for payload in payloads[:2])
    for shards, shuffle in ((None, False), (2, False), (None, True)):
        with pytest.raises(LossyError, match=f"record 2 at byte {at}: .*2.5"):
            rb.convert(source, tmp_path / "b.tfrecord", preset="faces", shards=shards, shuffle=shuffle)


# ---- names of classes ----


def test_class_names_are_in_sidecar_manifest_and_info(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog  \n\n")
    source = copy_golden(tmp_path, "h_im2rec.rec")
    _, manifest = converted(source, "imagenet", class_names=tmp_path / "names.txt", label_offset=1)
    assert manifest.class_names.to_json() == {"field": "image/class/label", "first": 1, "names": ["cat", "dog"]}
    for sidecar in ("schema", "manifest"):
        content = json.loads((tmp_path / f"out.tfrecord.{sidecar}.json").read_text())
        assert content["class_names"] == manifest.class_names.to_json()
    summary = rb.inspect(tmp_path / "out.tfrecord")
    assert "the sidecar names 2 classes of image/class/label, from 1: cat, dog" in summary.notes
    assert manifest.warnings == ()


def test_a_class_without_a_name_is_a_warning(tmp_path):
    _, manifest = converted(labelled(tmp_path, 0.0, 2.0), "imagenet", class_names=["a", "b"])
    (warning,) = manifest.warnings
    assert "holds 0 to 2, and there are names for 0 to 1" in warning


def test_names_go_with_a_label_without_a_preset(tmp_path):
    source = labelled(tmp_path, 0.0, 1.0)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", select=["label:int64=label[0]"], class_names=["a", "b"])
    assert manifest.class_names.field == "label"
    with pytest.raises(SelectError, match="class_names"):
        rb.convert(source, tmp_path / "c.tfrecord", select=["x=label"], class_names=["a", "b"])


def test_class_names_go_with_records_that_pass_through(tmp_path):
    source = labelled(tmp_path, 1.0, 0.0)
    manifest = rb.convert(source, tmp_path / "named.rec", class_names=["a", "b"])
    assert (tmp_path / "named.rec").read_bytes() == source.read_bytes()
    assert manifest.class_names.to_json() == {"field": "label", "first": 0, "names": ["a", "b"]}


NAMES = ["cat", "dog", "eel"]


def named_tfrecord(folder: Path, first: int = 0, names: list[str] = NAMES) -> Path:
    """A TFRecord of the preset imagenet whose classes, from first on, have names."""
    source = labelled(folder, 0.0, 2.0)
    rb.convert(source, folder / "a.tfrecord", preset="imagenet", label_offset=first, class_names=names)
    return folder / "a.tfrecord"


@pytest.mark.parametrize(
    ("wishes", "field", "first"),
    [
        ({}, "image/class/label", 0),
        ({"shards": 2, "shuffle": True}, "image/class/label", 0),
        ({"select": ["y=image/class/label"]}, "y", 0),
        ({"select": ["x=image/encoded", "y:int32=image/class/label + 1"]}, "y", 1),
        ({"select": ["x=image/encoded"]}, None, 0),
        ({"class_names": ["a", "b", "c"]}, "image/class/label", 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".tfrecord", ".h5", ".rec"])
def test_class_names_are_carried_on_with_their_field(tmp_path, wishes, field, first, suffix):
    manifest = rb.convert(named_tfrecord(tmp_path), tmp_path / f"b{suffix}", **wishes)
    names = wishes.get("class_names", NAMES)
    expected = None if field is None else {"field": field, "first": first, "names": names}
    assert (manifest.class_names and manifest.class_names.to_json()) == expected
    said = [note for note in manifest.notes if "class names are those of the source" in note]
    assert len(said) == (field is not None and "class_names" not in wishes)
    assert any(note.startswith("the sidecar names") for note in rb.inspect(tmp_path / f"b{suffix}").notes) == bool(
        field
    )
    back = rb.convert(tmp_path / f"b{suffix}", tmp_path / "c.npz", select=None if field is None else [f"z={field}"])
    assert (back.class_names and back.class_names.first) == (None if field is None else first)


def test_class_names_of_a_label_go_through_presets(tmp_path):
    source = labelled(tmp_path, 1.0, 0.0)
    rb.convert(source, tmp_path / "named.rec", class_names=["a", "b"])
    manifest = rb.convert(tmp_path / "named.rec", tmp_path / "b.tfrecord", preset="imagenet", label_offset=5)
    assert manifest.class_names.to_json() == {"field": "image/class/label", "first": 5, "names": ["a", "b"]}


def test_sources_that_name_classes_otherwise_leave_them_without_names(tmp_path):
    for name, names in (("one", ["a", "b", "c"]), ("two", ["a", "b", "d"]), ("three", None)):
        (tmp_path / name).mkdir()
        if names is None:
            rb.convert(labelled(tmp_path / name, 0.0, 2.0), tmp_path / name / "a.tfrecord", preset="imagenet")
        else:
            named_tfrecord(tmp_path / name, names=names)
    sources = {name: tmp_path / name / "a.tfrecord" for name in ("one", "two", "three")}
    assert rb.convert([sources["one"]] * 2, tmp_path / "b.tfrecord").class_names.names == ("a", "b", "c")
    for other in ("two", "three"):
        manifest = rb.convert([sources["one"], sources[other]], tmp_path / f"{other}.tfrecord")
        assert manifest.class_names is None
        assert any("do not all have the same class names" in note for note in manifest.notes)


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"a\n\nb\n", "line 2 is empty"), (b"\xff", "UTF-8")])
def test_a_file_that_holds_no_names_is_refused(tmp_path, content, said):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(rb.FormatError, match=said):
        converted(labelled(tmp_path, 0.0), "imagenet", class_names=str(tmp_path / "names.txt"))


@pytest.mark.parametrize(
    "names", [7, {"field": "x"}, {"field": "x", "first": "0", "names": []}, {"field": "x", "first": 0, "names": [1]}]
)
def test_a_sidecar_with_broken_names_is_refused(tmp_path, names):
    converted(labelled(tmp_path, 0.0), "imagenet", class_names=["a"])
    sidecar = tmp_path / "out.tfrecord.schema.json"
    rewrite(sidecar, {**json.loads(sidecar.read_text()), "class_names": names})
    with pytest.raises(rb.FormatError, match="class_names"):
        rb.inspect(tmp_path / "out.tfrecord")
    assert not rb.verify(tmp_path / "out.tfrecord").ok


# ---- which preset fits ----


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("a_scalar", None),
        ("b_vector", None),
        ("d_empty_content", None),
        ("e_images", "imagenet"),
        ("g_insightface", "faces"),
        ("h_det", "detection"),
        ("h_im2rec", "imagenet"),
        ("r_photos", "imagenet"),
    ],
)
def test_inspect_says_which_preset_fits_a_golden_file(name, preset):
    assert rb.inspect(GOLDEN / f"{name}.rec").preset == preset


@pytest.mark.parametrize(
    ("labels", "preset"),
    [
        ([[2.0, 6, 1, 0, 0, 1, 1, 0], [2.0, 6]], "detection"),
        ([[2.0, 5], [2.0, 5]], None),  # no objects, or two classes
        ([[4.0, 5, 500, 375]], None),
        ([[2.0, 5], [2.0, 6]], "imagenet"),
        ([[2.0, 5, 1, 0, 0, 1, 1], [2.0, 6, 1, 0, 0, 1, 1, 3]], "imagenet"),
        ([[2.0, 5, 1, 0.5, 0, 1, 1], 1.0], None),
        ([[0.0, 1.0, 1.0], [1.0, 0.0]], "imagenet"),
        ([0.5], None),
        ([-1.0], None),
    ],
)
def test_the_preset_is_judged_by_the_first_labels(tmp_path, labels, preset):
    assert rb.inspect(labelled(tmp_path, *labels)).preset == preset


def test_no_preset_fits_what_holds_no_images(tmp_path):
    assert rb.inspect(labelled(tmp_path, 1.0, image=b"\x93NUMPY\1\0")).preset is None
    assert rb.inspect(write_rec(tmp_path / "b.rec", [])).preset is None


def test_files_of_two_layouts_have_no_preset(tmp_path):
    copy_golden(tmp_path, "h_det.rec", "h_im2rec.rec")
    assert rb.inspect([tmp_path / "h_det.rec", tmp_path / "h_im2rec.rec"]).preset is None
    assert rb.inspect([tmp_path / "h_det.rec", tmp_path / "h_det.rec"]).preset == "detection"
