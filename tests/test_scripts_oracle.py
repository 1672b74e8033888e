"""The scripts for bulk migration, run as a user runs them, and what they leave for TensorFlow's programs."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.migrate.trees import arrays, h5_tree, rec_tree
from tests.s3 import BUCKET
from tests.samples import GOLDEN, contents, image_of, image_payload, parse_example, read_examples, read_rec, write_rec

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}

# tensorflow_datasets 4.9.10 asks protobuf 6.33 in a way that it warns of
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of this checkout to its end."""
    command = [str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **SETTINGS}, check=False)


def done(name: str, *arguments: object) -> str:
    """What a script says that must end with 0."""
    ended = script(name, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", ["faces-to-tfrecord", "h5-tree-to-tfds", "s3-rec-with-beam"])
def test_without_arguments_a_script_says_how_it_is_used(name):
    ended = script(name)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"    scripts/{name} " in ended.stderr
    assert "#" not in ended.stderr
    assert "set -e" not in ended.stderr


# ---- faces ----

IMAGES = [b"\xff\xd8\xff\xe0 face %d" % n for n in range(6)]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder as InsightFace has it, with what mxnet wrote, and two verification sets."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for name, golden in (("train.rec", "rec"), ("train.idx", "idx"), ("property", "property")):
        (folder / name).write_bytes((GOLDEN / f"g_insightface.{golden}").read_bytes())
    (folder / "lfw.bin").write_bytes(pickle.dumps((IMAGES[:4], [True, False])))
    (folder / "cfp_fp.bin").write_bytes(pickle.dumps((IMAGES[4:], [True])))
    return folder


def images_of(path: Path) -> dict[int, bytes]:
    """The images of a .rec by their ids, by the layout of MXNet's header."""
    found = {}
    for payload in read_rec(path):
        flag, id = int.from_bytes(payload[:4], "little"), int.from_bytes(payload[8:16], "little")
        if image := payload[24 + 4 * flag :]:
            found[id] = image
    return found


def test_an_insightface_folder_becomes_tfrecord(tmp_path, faces):
    out = tmp_path / "out"
    said = done("faces-to-tfrecord", faces, out)
    assert "sources: 1 file" in said
    (shard,) = (out / "train").glob("*.tfrecord")
    rows = read_examples(shard)
    assert {"image/encoded", "image/format", "image/class/label", "image/id"} == set(rows[0])
    images = images_of(faces / "train.rec")
    assert {row["image/id"][0]: row["image/encoded"][0] for row in rows} == images
    assert len(rows) == len(images) > 0
    pairs = {path.name: read_examples(path) for path in (out / "verification").glob("*.tfrecord")}
    assert [(row["image_a"], row["image_b"], row["same"]) for row in pairs["lfw.tfrecord"]] == [
        ([IMAGES[0]], [IMAGES[1]], [1]),
        ([IMAGES[2]], [IMAGES[3]], [0]),
    ]
    assert len(pairs["cfp_fp.tfrecord"]) == 1
    read = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
    assert [parse_example(record) for record in read] == rows
    before = contents(out)
    done("faces-to-tfrecord", faces, out)
    assert contents(out) == before


def test_an_insightface_folder_without_verification_sets_and_with_options_of_migrate(tmp_path, faces):
    for path in faces.glob("*.bin"):
        path.unlink()
    done("faces-to-tfrecord", faces, tmp_path / "out", "--shards", 3)
    assert len(list((tmp_path / "out/train").glob("*-of-00003.tfrecord"))) == 3
    assert not (tmp_path / "out/verification").exists()


def test_a_verification_set_that_is_damaged_fails_the_script_and_costs_no_other(tmp_path, faces):
    good = (faces / "lfw.bin").read_bytes()
    (faces / "lfw.bin").write_bytes(good[:-20])
    ended = script("faces-to-tfrecord", faces, tmp_path / "out")
    assert ended.returncode == 1
    assert "lfw.bin" in ended.stderr
    assert len(read_examples(tmp_path / "out/verification/cfp_fp.tfrecord")) == 1
    (faces / "lfw.bin").write_bytes(good)
    done("faces-to-tfrecord", faces, tmp_path / "out")
    assert len(read_examples(tmp_path / "out/verification/lfw.tfrecord")) == 2


# ---- a tree of .h5 ----


def numbers_in(out: Path) -> dict[str, list[int]]:
    """What tensorflow_datasets finds in each part, after a look at the values."""
    builder = tfds.builder_from_directories([str(out / "train"), str(out / "validation")])
    assert (builder.info.name, str(builder.info.version)) == ("mydata", "1.0.0")
    found = {}
    for part in ("train", "validation"):
        rows = list(builder.as_dataset(split=part))
        found[part] = [int(row["n"]) for row in rows]
        assert builder.info.splits[part].num_examples == len(rows)
        for row in rows:
            assert row["x"].numpy().tolist() == [int(row["n"]) / 2, float(row["n"])]
    return found


def measurements(tmp_path: Path) -> Path:
    """Files of numbers 0 to 79, in folders."""
    tree = h5_tree(tmp_path / "tree", [30, 20])
    (tree / "deep/er").mkdir(parents=True)
    with h5py.File(tree / "deep/er/more.h5", "w") as file:
        for name, values in arrays(50, 30).items():
            file[name] = values
    return tree


def test_a_tree_of_h5_becomes_a_dataset_of_tfds(tmp_path):
    tree, out = measurements(tmp_path), tmp_path / "out"
    done("h5-tree-to-tfds", tree, out, "mydata:1.0.0")
    found = numbers_in(out)
    assert {part: len(rows) for part, rows in found.items()} == {"train": 72, "validation": 8}
    assert sorted(found["train"] + found["validation"]) == list(range(80))
    before = contents(out)
    done("h5-tree-to-tfds", tree, out, "mydata:1.0.0")
    assert contents(out) == before


def test_a_bad_file_of_the_tree_is_reported_and_taken_in_when_it_is_repaired(tmp_path):
    tree, out = measurements(tmp_path), tmp_path / "out"
    bad = tree / "part-0001.h5"  # 30 to 49, or behind deep/er/more.h5
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    ended = script("h5-tree-to-tfds", tree, out, "mydata:1.0.0")
    assert ended.returncode == 1
    assert str(bad) in ended.stderr
    assert "--resume" in ended.stderr
    (report,) = out.glob("*.quarantine.jsonl")
    (line,) = map(json.loads, report.read_text().splitlines())
    assert line["path"] == str(bad)
    found = numbers_in(out)
    assert sorted(found["train"] + found["validation"]) == [*range(30), *range(50, 80)]
    bad.write_bytes(good)
    done("h5-tree-to-tfds", tree, out, "mydata:1.0.0")
    assert not report.exists()
    done("h5-tree-to-tfds", tree, tmp_path / "clean/out", "mydata:1.0.0")
    shards = {name: digest for name, digest in contents(out).items() if not name.endswith(".json")}
    assert shards == {n: d for n, d in contents(tmp_path / "clean/out").items() if not n.endswith(".json")}
    found = numbers_in(out)
    assert sorted(found["train"] + found["validation"]) == list(range(80))


# ---- S3 and Beam ----


def test_rec_on_s3_become_tfrecord_on_s3_by_beam(tmp_path, bucket):
    rec_tree(tmp_path / "src", [20, 30])
    for path in (tmp_path / "src").iterdir():
        bucket.put(f"old/{path.name}", path.read_bytes())
    direct = ("--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    for arguments in (direct, ()):  # begun, then done already
        done("s3-rec-with-beam", f"s3://{BUCKET}/old/*.rec", f"s3://{BUCKET}/new", *arguments)
        assert bucket.names("new/") == [
            "new/new-00000-of-00001.tfrecord",
            "new/new.migration.json",
            "new/new.tfrecord.manifest.json",
            "new/new.tfrecord.schema.json",
        ]
    (tmp_path / "got").write_bytes(bucket.get("new/new-00000-of-00001.tfrecord"))
    rows = read_examples(tmp_path / "got")
    assert [row["id"][0] for row in rows] == list(range(50))
    assert [row["image"] for row in rows] == [[image_of(n)] for n in range(50)]


def test_a_bad_rec_on_s3_is_told_and_done_when_it_is_repaired(tmp_path, bucket):
    write_rec(tmp_path / "a", [image_payload(n) for n in range(5)])
    write_rec(tmp_path / "b", [image_payload(n) for n in range(5, 9)])
    bucket.put("old/a.rec", (tmp_path / "a").read_bytes())
    bucket.put("old/b.rec", b"no record")
    places = (f"s3://{BUCKET}/old/*.rec", f"s3://{BUCKET}/new")
    ended = script("s3-rec-with-beam", *places)
    assert ended.returncode == 1
    assert f"s3://{BUCKET}/old/b.rec" in ended.stderr
    assert "new/new.quarantine.jsonl" in bucket.names("new/")
    bucket.put("old/b.rec", (tmp_path / "b").read_bytes())
    done("s3-rec-with-beam", *places)
    (tmp_path / "got").write_bytes(bucket.get("new/new-00000-of-00001.tfrecord"))
    assert [row["id"][0] for row in read_examples(tmp_path / "got")] == list(range(9))
    assert "new/new.quarantine.jsonl" not in bucket.names("new/")
