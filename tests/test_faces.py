"""The preset faces on InsightFace's layout, in every order in which its tools write it."""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.native.test_image_kernel import jpeg
from tests.samples import GOLDEN, copy_golden, image_payload, read_examples, write_rec

PEOPLE = [2, 1, 3]  # images of each identity


def images(label_of=lambda number, person: float(person)) -> list[bytes]:
    people = [person for person, count in enumerate(PEOPLE) for _ in range(count)]
    return [image_payload(n, label_of(n, person), jpeg(112, 112)) for n, person in enumerate(people, 1)]


def identities(first: int = sum(PEOPLE) + 1) -> list[bytes]:
    ends = [1]
    for count in PEOPLE:
        ends.append(ends[-1] + count)
    return [image_payload(first + n, [float(ends[n]), float(ends[n + 1])], b"") for n in range(len(PEOPLE))]


def header(first: int = sum(PEOPLE) + 1, last: int = sum(PEOPLE) + len(PEOPLE) + 1, id2: int = 0) -> bytes:
    return image_payload(0, [float(first), float(last)], b"", id2)


def mixed(number: int, person: int) -> float | list[float]:
    """A label of one value, with the flag aligned, or with many more, as jmlr packs them."""
    return [float(person), [float(person), 1.0], [float(person), *[0.5] * 20]][number % 3]


ORDERS = {
    "header first": lambda: [header(), *images(), *identities()],
    "rec_builder": lambda: [*images(), *identities(), header(id2=1)],
    "face2rec2": lambda: [*images(lambda number, person: [float(person), 1.0]), header(), *identities()],
    "labels of all kinds": lambda: [*images(mixed), *identities(), header()],
    "from the back": lambda: [header(), *images(), *identities()][::-1],
}
CLASSES = [0, 0, 1, 2, 2, 2]


def faces(path: Path, payloads: list[bytes], keys: bool = True) -> Path:
    """A .rec of these records, with an .idx of their ids."""
    ids = [int.from_bytes(payload[8:16], "little") for payload in payloads]
    return write_rec(path, payloads, ids if keys else None)


def rows(manifest: rb.Manifest) -> list[tuple[int, int]]:
    found = [each for path in manifest.paths for each in read_examples(Path(path))]
    return sorted((each["image/id"][0], each["image/class/label"][0]) for each in found)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("keys", [True, False])
def test_images_are_kept_with_their_own_class_whatever_the_order(tmp_path, order, keys):
    source = faces(tmp_path / "a.rec", ORDERS[order](), keys)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", preset="faces")
    assert rows(manifest) == list(enumerate(CLASSES, 1))
    assert manifest.num_rows == 6
    assert manifest.left_out == {"image is empty": 4}
    assert set(read_examples(tmp_path / "b.tfrecord")[0]) == {
        "image/encoded",
        "image/format",
        "image/class/label",
        "image/id",
    }
    assert rb.inspect(source).preset == "faces"
    (note,) = [note for note in manifest.notes if note.startswith("InsightFace")]
    assert note == (
        "InsightFace: 6 images (ids 1 to 6); 4 of 10 records hold no image: 1 header record, 3 identities (ids 7 to 9)"
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "options",
    [
        {"shards": 3},
        {"shards": 3, "workers": 2},
        {"shuffle": True, "seed": 5},
        {"shuffle": True, "shards": 3, "workers": 2},
        {"verify": "none"},
        {"verify": "counts", "shards": 2},
        {"on_bad_record": "skip"},
        {"on_bad_record": "skip", "shards": 3},
        {"on_bad_record": "skip", "shuffle": True, "shards": 2},
    ],
)
def test_the_counts_are_right_in_every_way_of_converting(tmp_path, order, options):
    source = faces(tmp_path / "a.rec", ORDERS[order]())
    manifest = rb.convert(source, tmp_path / "b.tfrecord", preset="faces", **options)
    assert rows(manifest) == list(enumerate(CLASSES, 1))
    assert manifest.left_out == {"image is empty": 4}
    assert [shard.num_rows for shard in manifest.shards] == [6 // len(manifest.shards)] * len(manifest.shards)
    assert rb.verify(tmp_path / "b.tfrecord").num_rows == 6


def test_progress_ends_at_the_rows_that_are_written(tmp_path):
    source = faces(tmp_path / "a.rec", ORDERS["rec_builder"]())
    for options in ({}, {"shards": 2}, {"shuffle": True}):
        seen: list[tuple[int, int]] = []

        def progress(done: int, of: int, seen: list[tuple[int, int]] = seen) -> None:
            seen.append((done, of))

        rb.convert(source, tmp_path / "b.tfrecord", preset="faces", progress=progress, overwrite=True, **options)
        assert sum(done for done, _ in seen) == 6
        assert {of for _, of in seen} == {6}


def test_damage_is_skipped_and_told_apart_from_what_is_left_out(tmp_path):
    payloads = ORDERS["rec_builder"]()
    source = faces(tmp_path / "a.rec", payloads, keys=False)
    data = bytearray(source.read_bytes())
    data[0:4] = b"oops"
    source.write_bytes(data)
    for options in ({}, {"shards": 2}, {"shuffle": True}):
        manifest = rb.convert(
            source, tmp_path / "b.tfrecord", preset="faces", on_bad_record="skip", overwrite=True, **options
        )
        assert rows(manifest) == list(enumerate(CLASSES, 1))[1:]
        assert (manifest.left_out, len(manifest.skipped)) == ({"image is empty": 4}, 1)


def test_several_files_one_of_which_holds_metadata_only(tmp_path):
    faces(tmp_path / "a.rec", images())
    faces(tmp_path / "b.rec", [*identities(), header()])
    for options in ({}, {"shards": 2}, {"shuffle": True, "shards": 2}):
        manifest = rb.convert(
            [tmp_path / "a.rec", tmp_path / "b.rec"], tmp_path / "c.tfrecord", preset="faces", overwrite=True, **options
        )
        assert rows(manifest) == list(enumerate(CLASSES, 1))
        assert manifest.left_out == {"image is empty": 4}


def test_a_file_without_metadata_keeps_every_record(tmp_path):
    source = faces(tmp_path / "a.rec", images())
    manifest = rb.convert(source, tmp_path / "b.tfrecord", preset="faces")
    assert manifest.num_rows == 6
    assert manifest.left_out == {"image is empty": 0}
    assert rb.inspect(source).preset == "imagenet"


def test_the_golden_file_holds_ten_images(tmp_path):
    source = copy_golden(tmp_path, "g_insightface.rec", "g_insightface.idx", "g_insightface.property")
    manifest = rb.convert(source, tmp_path / "b.tfrecord", preset="faces")
    assert (manifest.num_rows, manifest.left_out) == (10, {"image is empty": 5})
    assert not any("property" in note for note in (*manifest.notes, *rb.inspect(source).notes))
    labels = [each["image/class/label"][0] for each in read_examples(tmp_path / "b.tfrecord")]
    assert labels == [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]


# ---- what the metadata says ----


def test_a_header_that_says_other_ids_than_the_records_have_is_told(tmp_path):
    source = faces(tmp_path / "a.rec", [header(5, 9), *images(), *identities()])
    notes = rb.inspect(source).notes
    assert any("identities have ids 5 to 8; the ids of the records count" in note for note in notes)
    assert rows(rb.convert(source, tmp_path / "b.tfrecord", preset="faces")) == list(enumerate(CLASSES, 1))


def test_ids_that_float32_cannot_hold_are_taken_from_the_records(tmp_path):
    first = 2**24 + 1
    source = faces(tmp_path / "a.rec", [header(first, first + 3), *images(), *identities(first)])
    notes = rb.inspect(source).notes
    assert any(f"ids {first} to {first + 2}" in note for note in notes)
    assert any("float32" in note for note in notes)


def test_a_missing_image_is_told(tmp_path):
    source = faces(tmp_path / "a.rec", [header(), *images()[:2], *images()[3:], *identities()])
    assert any("5 images with ids 1 to 6: some are missing" in note for note in rb.inspect(source).notes)


def test_a_record_without_an_image_of_another_kind_is_counted_apart(tmp_path):
    source = faces(tmp_path / "a.rec", [header(), *images(), *identities(), image_payload(99, 1.0, b"")])
    assert any("3 identities (ids 7 to 9), 1 of another kind" in note for note in rb.inspect(source).notes)


@pytest.mark.parametrize("label", [[0.5, 9.0], [9.0, 7.0], [0.0, 0.0], [float("nan"), 9.0], [7.0, float("inf")]])
def test_an_empty_record_with_id_0_alone_makes_no_insightface_file(tmp_path, label):
    source = faces(tmp_path / "a.rec", [image_payload(0, label, b""), *images()])
    summary = rb.inspect(source)
    assert summary.preset == "imagenet"
    assert any("1 of 7 records hold no image" in note for note in summary.notes)


# ---- property ----


@pytest.mark.parametrize("name", ["property", "a.property"])
def test_a_property_file_that_fits_is_no_note(tmp_path, name):
    source = faces(tmp_path / "a.rec", ORDERS["face2rec2"]())
    (tmp_path / name).write_text("3,112,112\n6\nshuffled\n")
    manifest = rb.convert(source, tmp_path / "b.tfrecord", preset="faces", label_offset=7)
    assert not any("property" in note for note in (*manifest.notes, *rb.inspect(source).notes))


@pytest.mark.parametrize(
    ("text", "in_info", "in_convert"),
    [
        ("4,112,112", "says 4 classes, and there are 3 identities", "and there are 3 classes by their labels"),
        ("3,112,96", "says images of 112 by 96, and they are 112 by 112", "and they are 112 by 112"),
        ("three", "first line is 'three', expected classes,height,width", "first line is 'three'"),
        ("", "first line is ''", "first line is ''"),
    ],
)
def test_a_property_file_that_does_not_fit_is_a_warning(tmp_path, text, in_info, in_convert):
    source = faces(tmp_path / "a.rec", ORDERS["rec_builder"]())
    (tmp_path / "property").write_text(text)
    summary = rb.inspect(source)
    assert any(in_info in warning for warning in summary.warnings)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", preset="faces")
    assert any(in_convert in warning for warning in manifest.warnings)
    assert {*summary.warnings} <= {*summary.notes}
    assert {*manifest.warnings} <= {*manifest.notes}


def test_images_of_several_sizes_do_not_fit_a_property(tmp_path):
    payloads = [*images(), image_payload(7, 2.0, jpeg(96, 112))]
    (tmp_path / "property").write_text("3,112,112")
    manifest = rb.convert(faces(tmp_path / "a.rec", payloads), tmp_path / "b.tfrecord", preset="faces")
    assert any("they are 96 to 112 by 112" in note for note in manifest.notes)


def test_golden_property_is_that_of_the_golden_file():
    assert (GOLDEN / "g_insightface.property").read_text().startswith("4,32,32")
