"""Files for other programs beside an output, and names as tensorflow_datasets has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.shards import parse_shard, shard_names
from recordio_bridge.tfds import Contents, DatasetName
from tests.cli.running import run
from tests.native.test_image_kernel import png
from tests.samples import contents, frame_rec, image_payload, image_rec, rewrite

SHARDS = ["mydata-train.tfrecord-00000-of-00002", "mydata-train.tfrecord-00001-of-00002"]
SIDECARS = ["mydata-train.tfrecord.schema.json", "mydata-train.tfrecord.manifest.json"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return image_rec(tmp_path / "a.rec", 7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- names ----


def test_a_name_has_a_version_and_may_have_a_split():
    assert DatasetName.parse("my_Data9:1.20.3") == DatasetName("my_Data9", "1.20.3", "train")
    assert DatasetName.parse("x:0.0.1:te-st_2").file_name == "x-te-st_2.tfrecord"
    assert str(DatasetName.parse("x:0.0.1")) == "x:0.0.1:train"


@pytest.mark.parametrize(
    "text",
    ["", "x", "x:1", "x:1.0", "x:1.0.0.0", "x:01.0.0", "x:1.0.*", "9x:1.0.0", "x-y:1.0.0", "x:1.0.0:", "ü:1.0.0"],
)
def test_another_text_is_a_mistake_in_the_arguments(text, source, folder, capsys):
    with pytest.raises(ValueError, match="expected NAME:VERSION or NAME:VERSION:SPLIT, such as"):
        rb.convert(source, folder, tfds=text)
    assert run(capsys, "convert", source, folder, "--tfds", text).code == 2


def test_the_number_of_a_shard_may_stand_behind_the_suffix():
    assert shard_names("out/mydata-train.tfrecord", 2, number_last=True) == [f"out/{name}" for name in SHARDS]
    shard = parse_shard(f"out/{SHARDS[1]}")
    assert shard is not None
    assert (shard.output, shard.index, shard.count) == ("out/mydata-train.tfrecord", 1, 2)


# ---- what is written ----


def test_a_folder_gets_shards_features_and_info_all_of_them_listed(source, folder):
    manifest = rb.convert(source, folder, tfds="mydata:1.0.0", shards=2)
    assert manifest.files == [str(folder / name) for name in [*SHARDS, "features.json", "dataset_info.json", *SIDECARS]]
    assert names(folder) == {Path(file).name for file in manifest.files}
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info == {
        "name": "mydata",
        "version": "1.0.0",
        "description": "Converted by recordio_bridge.",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": "train",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "shardLengths": ["4", "3"],
                "numBytes": str(manifest.nbytes),
            }
        ],
    }
    features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    assert {name: feature["pythonClassName"].rpartition(".")[2] for name, feature in features.items()} == {
        "id": "Tensor",
        "label": "Sequence",
        "image": "Image",
    }


def test_one_shard_is_numbered_and_the_name_itself_will_do_for_the_folder(source, folder):
    rb.convert(source, folder / "mydata-train.tfrecord", tfds="mydata:1.0.0")
    assert "mydata-train.tfrecord-00000-of-00001" in names(folder)


def test_a_folder_that_is_not_there_is_made_with_those_it_is_in(source, tmp_path, capsys):
    assert run(capsys, "convert", source, tmp_path / "mydata" / "1.0.0", "--tfds", "mydata:1.0.0").code == 0
    assert "mydata-train.tfrecord-00000-of-00001" in names(tmp_path / "mydata" / "1.0.0")
    rb.convert(source, tmp_path / "other" / "1.0.0" / "mydata-test.tfrecord", tfds="mydata:1.0.0:test")
    assert "mydata-test.tfrecord-00000-of-00001" in names(tmp_path / "other" / "1.0.0")


def test_no_folder_is_left_of_a_conversion_that_failed(source, tmp_path):
    (tmp_path / "mydata").mkdir()
    source.write_bytes(frame_rec(image_payload(1, 300.0)))
    for select in (["x=none"], ["x:int8=label"]):  # by its arguments, and by a value
        with pytest.raises(rb.SchemaError):
            rb.convert(source, tmp_path / "mydata" / "1.0.0" / "x", select=select, tfds="mydata:1.0.0")
    with pytest.raises(FileNotFoundError):
        rb.convert(tmp_path / "none.rec", tmp_path / "mydata" / "1.0.0", tfds="mydata:1.0.0")
    assert names(tmp_path) == {"a.rec", "a.idx", "mydata"}
    assert names(tmp_path / "mydata") == set()


@pytest.mark.parametrize("name", ["b.tfrecord", "b.tfrecord.gz", "a.rec", "plain"])
def test_a_file_is_not_taken_for_the_folder_to_be_made(source, tmp_path, name):
    (tmp_path / "plain").touch()
    with pytest.raises(ValueError, match=rf"{name}: with tfds= \(--tfds\), the output is the folder of the dataset"):
        rb.convert(source, tmp_path / name, tfds="mydata:1.0.0", overwrite=True)
    assert names(tmp_path) == {"a.rec", "a.idx", "plain"}


def test_the_same_input_gives_the_same_bytes(source, folder, tmp_path):
    rb.convert(source, folder, tfds="mydata:1.0.0", tfmd=True, shards=3, workers=2)
    (tmp_path / "again").mkdir()
    rb.convert(source, tmp_path / "again", tfds="mydata:1.0.0", tfmd=True, shards=3)
    assert contents(folder) == contents(tmp_path / "again")


def test_we_read_such_a_folder_by_its_name_by_the_set_and_by_shard(source, folder):
    rb.convert(source, folder, tfds="mydata:1.0.0", shards=9)  # two of them stay empty
    for path, rows in ((folder, 7), (folder / "mydata-train.tfrecord", 7)):
        (batch,) = rb.read(path)
        assert batch["id"].tolist() == list(range(rows))
        assert rb.inspect(path).schema["label"] == rb.Field("label", "float32", (None,))
    assert rb.inspect(folder / "mydata-train.tfrecord-00000-of-00009").num_rows in (0, 1)
    rb.convert(folder, folder.parent / "back.rec")
    (folder / "mydata-train.tfrecord-00003-of-00009").unlink()
    with pytest.raises(rb.FormatError, match="-00003-of-00009: is missing from its set of 9"):
        rb.inspect(folder / "mydata-train.tfrecord")


def test_sets_of_both_ways_to_number_are_not_mixed(source, folder):
    rb.convert(source, folder, tfds="mydata:1.0.0", shards=2)
    for name in (*SIDECARS, "features.json", "dataset_info.json"):
        (folder / name).unlink()
    rb.convert(source, folder / "mydata-train.tfrecord", shards=2)
    with pytest.raises(rb.FormatError, match="shards of several sets"):
        rb.inspect(folder / "mydata-train.tfrecord")


# ---- verify ----


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json", "mydata-train.tfrecord.schema.pbtxt"])
def test_verify_looks_at_every_file_that_was_written(source, folder, capsys, name):
    rb.convert(source, folder, tfds="mydata:1.0.0", tfmd=True)
    assert rb.verify(folder).ok
    assert rb.verify(folder / "mydata-train.tfrecord").ok
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("mydata", "yourdata").replace("label", "lebal"))
    report = rb.verify(folder)
    assert [(problem.path, str(problem)) for problem in report.problems] == [
        (str(folder / name), f"{folder / name}: is not what was written; damaged, or another file")
    ]
    (folder / name).unlink()
    assert "is missing; the manifest names it" in str(rb.verify(folder).problems[0])
    assert run(capsys, "verify", folder).code == 3


def test_a_manifest_that_names_a_file_elsewhere_is_none_of_ours(source, folder):
    rb.convert(source, folder, tfds="mydata:1.0.0")
    manifest = folder / SIDECARS[1]
    rewrite(manifest, json.loads(manifest.read_text().replace('"features.json"', '"../features.json"')))
    assert "a shard is a file beside the manifest" in str(rb.verify(folder).problems[0])


# ---- all or nothing ----


def test_nothing_is_replaced_without_overwrite_and_all_with_it(source, folder):
    rb.convert(source, folder, tfds="mydata:1.0.0", tfmd=True, shards=2)
    before = contents(folder)
    with pytest.raises(FileExistsError):
        rb.convert(source, folder, tfds="mydata:1.0.0")
    for name in (*SHARDS, *SIDECARS):
        (folder / name).unlink()
    for name in ("dataset_info.json", "features.json"):
        with pytest.raises(FileExistsError, match="pass overwrite=True"):
            rb.convert(source, folder, tfds="mydata:1.0.0")
        (folder / name).unlink()
    with pytest.raises(FileExistsError, match=r"schema\.pbtxt"):
        rb.convert(source, folder / "mydata-train.tfrecord", tfmd=True)
    rb.convert(source, folder, tfds="mydata:1.0.0", tfmd=True, shards=2, overwrite=True)
    assert contents(folder) == before
    rb.convert(source, folder, tfds="mydata:1.0.1", overwrite=True)
    assert names(folder) == {"mydata-train.tfrecord-00000-of-00001", "features.json", "dataset_info.json", *SIDECARS}
    rb.convert(source, folder / "mydata-train.tfrecord", overwrite=True)
    assert names(folder) == {"mydata-train.tfrecord", *SIDECARS}


def test_a_conversion_that_fails_at_its_end_leaves_nothing(source, folder, monkeypatch):
    def fail(*arguments: object) -> bytes:
        raise OSError(28, "No space left on device", "dataset_info.json")

    monkeypatch.setattr("recordio_bridge.migrate.neighbours.dataset_info", fail)
    with pytest.raises(OSError, match="No space left"):
        rb.convert(source, folder, tfds="mydata:1.0.0", shards=2)
    assert names(folder) == set()


@pytest.mark.parametrize("other", ["mydata:1.0.0:test", "yourdata:1.0.0:train"])
def test_another_split_or_dataset_needs_a_folder_of_its_own(source, folder, other):
    rb.convert(source, folder, tfds="mydata:1.0.0")
    before = contents(folder)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"is of mydata:train; .* tfds\.builder_from_directories"):
            rb.convert(source, folder, tfds=other, overwrite=overwrite)
    assert contents(folder) == before


def test_a_file_of_that_name_that_is_no_json_is_not_replaced(source, folder):
    (folder / "dataset_info.json").write_text("my notes")
    with pytest.raises(FileExistsError, match=r"cannot be read: .*dataset_info\.json: not JSON"):
        rb.convert(source, folder, tfds="mydata:1.0.0", overwrite=True)


# ---- what cannot be ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "GZIP"}, "reads TFRecord that is not compressed"),
        ({"payload": "raw"}, "is for records that are tf.train.Examples"),
        ({"format": "rec"}, "is for records that are tf.train.Examples"),
        ({"format": "rec", "payload": "example"}, "reads TFRecord"),
        ({"format": "npz"}, "is for records that are tf.train.Examples"),
    ],
)
def test_the_output_is_examples_in_plain_tfrecord(source, folder, options, message):
    select = {"record": "image"} if options.get("payload") == "raw" else None
    with pytest.raises(ValueError, match=message):
        rb.convert(source, folder, tfds="mydata:1.0.0", target_options=options, select=select)
    assert names(folder) == set()


def test_a_schema_for_tfmd_is_of_examples_too(source, tmp_path, capsys):
    outcome = run(capsys, "convert", source, tmp_path / "b.rec", "--tfmd")
    assert (outcome.code, "tfmd (--tfmd) is for records that are" in outcome.stderr) == (2, True)
    manifest = rb.convert(source, tmp_path / "b.rec", tfmd=True, target_options={"payload": "example"})
    assert str(tmp_path / "b.rec.schema.pbtxt") in manifest.files


# ---- on the command line ----


def test_the_command_line_lists_the_files_and_says_the_same_in_json(source, folder, capsys):
    outcome = run(capsys, "convert", source, folder, "--tfds", "mydata:1.0.0:val", "--tfmd", "--shards", "2")
    assert outcome.code == 0
    lines = outcome.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        str(folder / name)
        for name in (
            *(f"mydata-val.tfrecord-0000{n}-of-00002" for n in range(2)),
            "features.json",
            "dataset_info.json",
            *(f"mydata-val.tfrecord.{end}" for end in ("schema.pbtxt", "schema.json", "manifest.json")),
        )
    ]
    assert lines[2] == f"{folder / 'features.json'}: {(folder / 'features.json').stat().st_size:,} bytes"
    outcome = run(
        capsys,
        "convert",
        source,
        folder,
        "--tfds",
        "mydata:1.0.0:val",
        "--tfmd",
        "--shards",
        "2",
        "--json",
        "--overwrite",
    )
    assert isinstance(outcome.json, dict)
    assert outcome.json["files"] == [line.partition(": ")[0] for line in lines]
    assert [each["name"] for each in outcome.json["neighbours"]] == [
        "features.json",
        "dataset_info.json",
        "mydata-val.tfrecord.schema.pbtxt",
    ]


# ---- what bytes hold ----


def test_contents_of_parts_are_those_of_the_whole():
    rows = [png(5, 6, depth, colour) for depth, colour in ((8, 0), (16, 6), (1, 3))]
    rows += [b"\xff\xd8\xff\xe0", b"text", b"\xff", b"\x89PNG\r\n\x1a\n"]
    whole = Contents()
    whole.add(rb.Batch.of({"x": rows, "n": np.arange(7), "l": [[b"a"]] * 7}))
    assert whole.to_json() == {"x": ["16", "8", "alpha", "colour", "gray", "jpeg", "other", "png"]}
    parts = []
    for row in rows:
        part = Contents()
        part.add(rb.Batch.of({"x": [row]}))
        parts.append(part.to_json())
    assert parts[4] == {"x": ["text"]}
    assert Contents.joined(parts).found["x"] == {*whole.found["x"], "text"}
    empty = Contents()
    empty.add(rb.Batch.of({"x": []}, rb.Schema(rb.Field("x", "bytes"))))
    assert empty.to_json() == {}
