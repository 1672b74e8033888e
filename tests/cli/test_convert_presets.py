"""recordio-bridge convert --preset"""

from __future__ import annotations

import shlex

import pytest

from recordio_bridge import inspect
from tests.cli.running import run
from tests.samples import copy_golden, image_payload, read_examples, write_rec


def test_a_preset_is_written_and_what_was_left_out_is_said(capsys, tmp_path):
    source = copy_golden(tmp_path, "g_insightface.rec")
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--preset", "faces", "--workers", "1")
    assert outcome.code == 0
    assert "left out 5 rows: image is empty" in outcome.stderr
    assert "note: image/class/label holds 0 to 3 (label_offset 0)" in outcome.stderr
    quiet = run(capsys, "convert", source, tmp_path / "c.tfrecord", "--preset", "faces", "-q")
    assert quiet.stderr == "left out 5 rows: image is empty\n"
    found = run(capsys, "convert", source, tmp_path / "d.tfrecord", "--preset", "faces", "--json").json
    assert (found["num_rows"], found["left_out"]) == (10, {"image is empty": 5})


def test_explain_shows_arguments_that_do_the_same_and_does_nothing(capsys, tmp_path):
    source = copy_golden(tmp_path, "g_insightface.rec")
    before = sorted(tmp_path.iterdir())
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--preset", "faces", "--explain")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert sorted(tmp_path.iterdir()) == before
    assert outcome.stdout.splitlines() == [
        "--select image/encoded=image",
        "--select 'image/format=format(image)'",
        "--select 'image/class/label:int64=label[0]'",
        "--select image/id=id",
        "--where image",
    ]
    run(capsys, "convert", source, tmp_path / "a.tfrecord", "--preset", "faces")
    assert run(capsys, "convert", source, tmp_path / "b.tfrecord", *shlex.split(outcome.stdout)).code == 0
    assert read_examples(tmp_path / "b.tfrecord") == read_examples(tmp_path / "a.tfrecord")


@pytest.mark.parametrize("preset", ["imagenet", "detection", "faces"])
def test_explain_needs_no_source(capsys, preset):
    outcome = run(capsys, "convert", "--preset", preset, "--explain")
    assert outcome.code == 0
    assert "--select image/encoded=image" in outcome.stdout


def test_explain_looks_at_the_source(capsys, tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(1, [2.0, 6, 1, 0, 0, 1, 1, 1])])
    outcome = run(capsys, "convert", source, "--preset", "detection", "--explain", "--json", "--label-offset", "0")
    assert outcome.json["preset"] == "detection"
    assert outcome.json["select"]["image/object/extra/0"] == "objects(label, 6)[5]"
    assert outcome.json["select"]["image/object/class/label:int64"] == "objects(label, 6)[0]"
    assert outcome.json["where"] is None


@pytest.mark.parametrize(
    ("name", "preset", "why"),
    [
        ("h_im2rec", "detection", "record 0 at byte 0: its label ["),
        ("h_det", "faces", None),
        ("h_det", "detection", None),
        ("h_im2rec", "imagenet", None),
        ("g_insightface", "faces", None),
    ],
)
def test_explain_warns_where_the_first_rows_do_not_fit(capsys, tmp_path, name, preset, why):
    source = copy_golden(tmp_path, f"{name}.rec")
    outcome = run(capsys, "convert", source, "--preset", preset, "--explain")
    assert outcome.code == 0
    assert outcome.stdout.startswith("--select")
    if why is None:
        assert outcome.stderr == ""
    else:
        assert outcome.stderr.startswith(f"warning: the preset {preset} does not fit the first rows: {source}: ")
        assert why in outcome.stderr
    assert run(capsys, "convert", source, tmp_path / "b.tfrecord", "--preset", preset).code == (1 if why else 0)


def test_explain_shows_what_is_overridden(capsys):
    outcome = run(capsys, "convert", "--preset", "imagenet", "--explain", "--select", "image/class/label=label", "k=id")
    assert outcome.stdout.splitlines()[-2:] == ["--select image/class/label=label", "--select k=id"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--explain"],
        ["--preset", "voc", "--explain"],
        ["--preset", "imagenet"],
        ["a.rec", "--preset", "imagenet"],
        [],
        ["a.rec", "b.tfrecord", "--label-offset", "1"],
        ["--preset", "imagenet", "--explain", "--select", "image/class/label=label", "--label-offset", "1"],
    ],
)
def test_what_cannot_be_done_is_a_usage_error(capsys, tmp_path, monkeypatch, arguments):
    copy_golden(tmp_path, "h_im2rec.rec").rename(tmp_path / "a.rec")
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "convert", *arguments).code == 2


def test_names_of_classes_come_from_a_file(capsys, tmp_path):
    source = copy_golden(tmp_path, "h_im2rec.rec")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    outcome = run(
        capsys,
        "convert",
        source,
        tmp_path / "b.tfrecord",
        "--preset",
        "imagenet",
        "--class-names",
        tmp_path / "names.txt",
    )
    assert outcome.code == 0
    assert "classes of image/class/label, from 0: cat, dog" in run(capsys, "info", tmp_path / "b.tfrecord").stdout
    missing = run(capsys, "convert", source, tmp_path / "c.tfrecord", "--class-names", tmp_path / "none.txt")
    assert missing.code == 1


def test_where_leaves_out_rows(capsys, tmp_path):
    source = copy_golden(tmp_path, "g_insightface.rec")
    assert run(capsys, "convert", source, tmp_path / "b.rec", "--where", "image", "-q").code == 0
    assert inspect(tmp_path / "b.rec").num_rows == 10
    assert run(capsys, "convert", source, tmp_path / "c.rec", "--where", "label").code == 2


def test_info_says_which_preset_fits(capsys, tmp_path):
    source = copy_golden(tmp_path, "h_det.rec")
    assert "preset: detection fits" in run(capsys, "info", source).stdout
    assert run(capsys, "info", source, "--json").json["preset"] == "detection"
