"""recordio-bridge migrate: what it prints, where it prints it, and its exit codes."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest

from recordio_bridge.cli.progress import Shown
from recordio_bridge.migrate.engines import Event
from tests.cli.running import run, run_module
from tests.migrate.trees import arrays, h5_tree, npz_tree, rec_tree
from tests.samples import contents, frame_rec, image_rec, read_examples, read_rec


@pytest.fixture
def src(tmp_path):
    return rec_tree(tmp_path / "src", [8, 9, 10])


# ---- doing it ----


def test_it_prints_the_outputs_with_their_rows(tmp_path, src, capsys):
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1)
    assert done.code == 0
    assert "out.tfrecord: 1 file, 27 rows" in done.stdout


def test_json_says_what_was_written(tmp_path, src, capsys):
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1, "--json")
    assert done.code == 0
    assert done.json == {
        "complete": True,
        "num_rows": 27,
        "nbytes": os.path.getsize(tmp_path / "out/out-00000-of-00001.tfrecord"),
        "manifests": [str(tmp_path / "out/out.tfrecord.manifest.json")],
        "notes": [f"{len(list(src.glob('*.rec')))} files, as one dataset"],
        "warnings": [],
        "skipped": 0,
        "quarantine": [],
    }


def test_json_counts_the_places_that_were_left_out(tmp_path, src, capsys):
    bad = src / "bad.rec"
    records = frame_rec(b"\1" * 8) + frame_rec(b"\2" * 8)
    bad.write_bytes(records[:-16] + b"\0" * 16)
    asked = ("migrate", bad, tmp_path / "out", "--to", "tfrecord", "--in", "payload=raw", "--workers", 1, "--json")
    done = run(capsys, *asked, "--on-bad-record", "skip")
    assert done.code == 0
    assert (done.json["num_rows"], done.json["skipped"]) == (1, 1)


def test_json_holds_what_is_warned_of(tmp_path, src, capsys):
    (src / "notes.txt").write_text("nothing")
    (src / "empty.rec").touch()
    for more in ([], ["--plan-only"]):
        done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--json", *more)
        passed, empty = done.json["warnings"]
        assert passed.startswith("1 file or folder of the sources not taken")
        assert empty.startswith("1 file holds no rows")
        assert done.stderr.count(passed) == done.stderr.count(empty) == 1


def test_json_holds_nothing_that_is_no_warning(tmp_path, src, capsys):
    handlers = list(logging.getLogger("recordio_bridge").handlers)
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--json", "-v", "--workers", 1)
    assert "is read as" in done.stderr
    assert done.json["warnings"] == []
    assert logging.getLogger("recordio_bridge").handlers == handlers


def test_json_holds_the_alarms_of_manifests(tmp_path, src, capsys):
    whole = image_rec(src / "z.rec", 40)
    whole.write_bytes(b"".join(map(frame_rec, read_rec(whole)[:30])))
    for more in (["--plan-only"], []):
        done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--json", *more)
        assert done.code == 0
        (alarm,) = done.json["warnings"]
        assert alarm.startswith("z.rec: DATA MAY BE MISSING")
        assert alarm in done.json["notes"]
    done = run(capsys, "migrate", src, tmp_path / "out2", "--to", "tfrecord", "--plan-only")
    assert f"warning: {alarm}" in done.stderr


def test_json_lists_what_is_in_quarantine(tmp_path, src, capsys):
    bad = src / "part-0001.rec"
    bad.write_bytes(b"no records at all, only text")
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1, "--json")
    assert done.code == 1
    assert done.json["complete"] is False
    assert [each["path"] for each in done.json["quarantine"]] == [str(bad)]


def test_several_sources_go_before_out(tmp_path, capsys):
    one, two = rec_tree(tmp_path / "one", [3]), rec_tree(tmp_path / "two", [4])
    done = run(capsys, "migrate", one, two / "part-0000.rec", tmp_path / "out", "--to", "tfrecord", "--workers", 1)
    assert done.code == 0
    assert "7 rows" in done.stdout


def test_a_pattern_in_quotes_and_options_of_convert(tmp_path, capsys):
    npz_tree(tmp_path / "src", [3, 4])
    np.savez(tmp_path / "src/other.npz", **arrays(7, 2))
    done = run(
        capsys, "migrate", f"{tmp_path}/src/part-*.npz", tmp_path / "out", "--to", "tfrecord", "--name", "train",
        "--select", "y:float32=x[0]", "n=n", "--shards", 1, "--workers", 1, "--verify", "counts",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    rows = read_examples(tmp_path / "out/train-00000-of-00001.tfrecord")
    assert [row["n"] for row in rows] == [[n] for n in range(7)]
    assert set(rows[3]) == {"y", "n"}


def test_shard_bytes_takes_units(tmp_path, capsys):
    rec_tree(tmp_path / "src", [500])
    found = []
    for number, size in enumerate(["4000", "4kB", "0.004MB", "4 KB"]):
        out = tmp_path / f"{number}/out"
        command = ("migrate", tmp_path / "src", out, "--to", "tfrecord", "--shard-bytes", size, "--workers", 1)
        assert run(capsys, *command).code == 0
        found.append([path.stat().st_size for path in sorted(out.glob("*.tfrecord"))])
    assert len(found[0]) > 3
    assert found == 4 * found[:1]


def test_in_a_pipe_there_are_lines_and_no_bar(tmp_path, src):
    done = run_module("migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 2, "--shards", 3)
    assert done.code == 0
    assert "\r" not in done.stderr
    assert "wrote 3 of 3 files, 27 rows" in done.stderr
    assert "%|" not in done.stderr


def test_a_speed_that_nobody_knows_is_not_said(tmp_path, src, capsys):
    """Of one file that was resumed, or done at its first event, nothing was read since."""
    event = Event("writing", rows=27, nbytes=500, of_nbytes=500, files=1, of_files=1)
    Shown(quiet=False)(event)
    assert capsys.readouterr().err == "recordio-bridge: wrote 1 of 1 file, 27 rows; read 500 bytes of 500 bytes\n"


def test_quiet_says_nothing_but_what_matters(tmp_path, src, capsys):
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1, "--quiet")
    assert done.code == 0
    assert done.stderr == ""


def test_what_is_begun_or_done_is_refused_with_both_ways_on(tmp_path, src, capsys):
    command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1)
    assert run(capsys, *command).code == 0
    again = run(capsys, *command)
    assert again.code == 1
    assert "--resume" in again.stderr
    assert "--overwrite" in again.stderr
    assert run(capsys, *command, "--resume").code == 0
    assert run(capsys, *command, "--overwrite").code == 0
    other = run(capsys, *command, "--resume", "--shards", 2)
    assert other.code == 1
    assert "shards was not given, and is 2 now" in other.stderr


# ---- looking only ----


def test_plan_only_says_files_rows_bytes_and_room_and_writes_nothing(tmp_path, capsys):
    src = h5_tree(tmp_path / "src", [300, 400])
    before = contents(tmp_path)
    done = run(
        capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--plan-only", "--scan", "--shards", 3,
        "--workers", 1,
    )  # fmt: skip
    assert done.code == 0
    assert "sources: 2 files, 700 rows" in done.stdout
    assert f"output: 3 files in {tmp_path / 'out'}, about" in done.stdout
    assert "free there" in done.stdout
    assert "out-00001-of-00003.tfrecord" in done.stdout
    assert contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_plan_only_as_json(tmp_path, src, capsys):
    (src / "bad.rec").write_bytes(b"no records at all, only text")
    done = run(
        capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--plan-only", "--json", "--shards", 2,
        "--workers", 1,
    )  # fmt: skip
    assert done.code == 0
    plan = done.json
    assert plan["sources"] == 4
    assert plan["source_nbytes"] == sum(path.stat().st_size for path in src.glob("part-*.rec"))
    assert 0 < plan["output_nbytes"] < 10 * plan["source_nbytes"]
    assert plan["free_nbytes"] > 0
    assert [os.path.basename(each["file"]) for each in plan["files"]] == [
        "out-00000-of-00002.tfrecord",
        "out-00001-of-00002.tfrecord",
    ]
    assert [each["path"] for each in plan["quarantine"]] == [str(src / "bad.rec")]


def test_plan_only_of_a_mirror_lists_twenty_and_counts_the_rest(tmp_path, capsys):
    src = rec_tree(tmp_path / "src", [1] * 23)
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "h5", "--mirror", "--plan-only", "--workers", 1)
    assert done.code == 0
    assert "part-0019.h5" in done.stdout
    assert "part-0020.h5" not in done.stdout
    assert "and 3 more" in done.stdout


@pytest.mark.parametrize("plan_only", [True, False])
def test_too_little_room_is_said_before_work_starts(tmp_path, src, capsys, monkeypatch, plan_only):
    from recordio_bridge.cli import migrate
    from recordio_bridge.migrate import beginning

    for module in (migrate, beginning):
        monkeypatch.setattr(module, "free_bytes", lambda path: 100)
    how = ["--plan-only"] if plan_only else []
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1, *how)
    assert "free" in done.stderr


# ---- mistakes ----


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "SRC... and OUT"),
        (("src",), "SRC... and OUT"),
        (("src", "out"), "--to"),
        (("src", "out", "--to", "nonsense"), "nonsense"),
        (("src", "out", "--to", "tfrecord", "--shards", "x"), "shards"),
        (("src", "out", "--to", "tfrecord", "--shards", "0"), "shards"),
        (("src", "out", "--to", "tfrecord", "--shard-bytes", "many"), "256MiB"),
        (("src", "out", "--to", "tfrecord", "--shard-bytes", "0"), "shard_bytes"),
        (("src", "out", "--to", "tfrecord", "--shards", "2", "--shard-bytes", "1MB"), "give one"),
        (("src", "out", "--to", "tfrecord", "--resume", "--overwrite"), "give one of the two"),
        (("src", "out", "--to", "tfrecord", "--mirror", "--shuffle"), "give one of the two"),
        (("src", "out", "--to", "tfrecord", "--name", "a/b"), "name"),
        (("src", "out", "--to", "tfrecord", "--nonsense"), "--nonsense"),
        (("src", "out", "--to", "tfrecord", "--workers", "0"), "workers"),
        (("src", "out", "--to", "tfrecord", "--engine", "spark"), "spark"),
        (("src", "out", "--to", "tfrecord", "--", "--runner=x"), "--engine beam"),
        (("src", "out", "--to", "tfrecord", "--select", "x=nothing_there"), "nothing_there"),
        (("src", "out", "--to", "tfrecord", "--in", "nonsense=1"), "nonsense"),
        (("src", "out", "--to", "tfrecord", "--out", "nonsense=1"), "nonsense"),
        (("src", "out", "--to", "tfrecord", "--config", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_mistakes_in_the_arguments_are_usage_errors_and_make_nothing(
    tmp_path, src, capsys, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    done = run(capsys, "migrate", *arguments)
    assert done.code == 2, done.stderr
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_is_no_usage_error(tmp_path, capsys):
    done = run(capsys, "migrate", tmp_path / "nowhere", tmp_path / "out", "--to", "tfrecord")
    assert done.code == 1
    assert "nowhere" in done.stderr
    assert not (tmp_path / "out").exists()
