"""What is said of the sources of a migration beside errors: what is not taken, taken twice, or empty."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from tests.cli.running import run
from tests.migrate.trees import NUMBERS, TREES, h5_tree, npz_tree, numbers_in, rec_tree
from tests.samples import image_rec


def said(caplog: pytest.LogCaptureFixture, source: object, out: Path, **options: object) -> list[str]:
    """What planning logs."""
    caplog.clear()
    rb.migrate.plan(source, out, to="tfrecord", **options)
    return [record.getMessage() for record in caplog.records]


# ---- what another migration keeps ----


def left_by_a_killed_one(folder: Path) -> Path:
    """A folder of a source, and of what a shuffle to it of packed sources kept when it was killed: rows, once more."""
    rec_tree(folder, [3])
    state = folder / "new.unfinished"
    (state / "unpacked/00001").mkdir(parents=True)
    (state / "lock").touch()
    image_rec(state / "unpacked/00000-a.rec", 5)
    image_rec(state / "unpacked/00001/b.rec", 5)
    return state


@pytest.mark.parametrize("pattern", ["", "/**/*.rec"])
@pytest.mark.parametrize("inner", ["", "data/deep"])
def test_what_an_unfinished_migration_keeps_is_no_source_and_is_told(tmp_path, caplog, pattern, inner):
    state = left_by_a_killed_one(tmp_path / "src" / inner)
    source = f"{tmp_path / 'src'}{pattern}"
    (line,) = said(caplog, source, tmp_path / "out")
    assert line.startswith(f"{state}: is what a migration keeps that was begun in {state.parent} and is not done")
    outcome = rb.migrate.run(source, tmp_path / "out", to="tfrecord", mirror=True)
    assert numbers_in(outcome, "id") == [0, 1, 2]


def test_what_it_keeps_can_be_named(tmp_path):
    """As by whoever looks for rows that are nowhere else."""
    state = left_by_a_killed_one(tmp_path / "src")
    assert rb.migrate.run(state / "unpacked", tmp_path / "a", to="tfrecord").num_rows == 10
    assert rb.migrate.run(state / "unpacked/00000-a.rec", tmp_path / "b", to="tfrecord").num_rows == 5


def test_a_folder_that_is_called_as_one_of_its_is_a_source(tmp_path, caplog):
    left_by_a_killed_one(tmp_path / "src")
    (tmp_path / "src/new.unfinished/lock").unlink()
    assert said(caplog, tmp_path / "src", tmp_path / "out") == []
    assert rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord").num_rows == 13


# ---- not taken ----


def test_hidden_files_and_strangers_are_told_by_number_and_name(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3])
    image_rec(src / ".hidden.rec", 5)
    (src / "notes.txt").write_text("nothing")
    (src / "sub/.cache").mkdir(parents=True)
    image_rec(src / "sub/.cache/x.rec", 5)
    (line,) = said(caplog, src, tmp_path / "out")
    assert line.startswith("3 files or folders of the sources not taken")
    assert f"{src}/.hidden.rec, {src}/notes.txt, {src}/sub/.cache/" in line


def test_of_many_strangers_the_first_are_named(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3])
    for number in range(1200):
        (src / f"z{number:04d}.txt").touch()
    (line,) = said(caplog, src, tmp_path / "out")
    assert line.startswith("1,200 files")
    assert f"{src}/z0004.txt, and 1,195 more" in line
    assert "z0005" not in line


def test_an_insightface_set_that_a_folder_does_not_stand_for_is_told(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3])
    (src / "lfw.bin").write_bytes(b"\x80\x03]q\x00.")
    (line,) = said(caplog, src, tmp_path / "out")
    assert "lfw.bin" in line


def test_what_belongs_to_data_files_is_not_told(tmp_path, caplog):
    src = tmp_path / "src"
    src.mkdir()
    rb.write(src / "a.rec", [{"id": np.arange(3, dtype=np.uint64), "label": np.zeros((3, 1), np.float32),
                              "image": [b"\xff\xd8x"] * 3}])  # fmt: skip
    assert (src / "a.idx").exists()
    for name in ("a.lst", "property", "a.property", "a.rec.schema.json", "a.rec.manifest.json", "set.migration.json"):
        (src / name).touch()
    for name in ("features.json", "dataset_info.json", "label.labels.txt", "a.tfindex", "a.schema.pbtxt"):
        (src / name).touch()
    (src / "a.rec.schema.json").unlink()
    assert said(caplog, src, tmp_path / "out") == []


def test_an_output_among_its_sources_is_told(tmp_path, caplog):
    """As it may be another's, and then is replaced (overwrite)."""
    src = rec_tree(tmp_path / "src", [3])
    rb.migrate.run(src, src / "out", to="tfrecord", shards=2)
    (src / "out/mine.txt").write_text("nothing")
    (line,) = said(caplog, src, src / "out")
    assert line.startswith(f"2 files or folders of the sources not taken, as the output goes to {src}/out, where they ")
    assert line.endswith(f"{src}/out/out-00000-of-00002.tfrecord, {src}/out/out-00001-of-00002.tfrecord")


def test_a_source_that_lies_where_the_output_goes_is_refused(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    with pytest.raises(ValueError, match=r"part-0000\.rec: is a source, and lies in the folder of the output"):
        rb.migrate.plan([src / "part-0000.rec"], src, to="tfrecord")


def test_of_a_pattern_what_fits_and_is_not_taken_is_told_with_its_folders(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3])
    rec_tree(src / "sub", [4])
    (src / "notes.txt").write_text("nothing")
    (line,) = said(caplog, src / "*", tmp_path / "out")
    assert line.startswith("2 files or folders")
    assert f"{src}/notes.txt, {src}/sub/" in line
    assert said(caplog, src / "*.rec", tmp_path / "out") == []
    (line,) = said(caplog, src / "**" / "*", tmp_path / "out")
    assert "1 file or folder" in line
    assert "sub" not in line


def test_what_one_source_passes_over_and_another_names_is_taken(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3])
    image_rec(src / ".hidden.rec", 5)
    assert said(caplog, [src, src / ".hidden.rec"], tmp_path / "out") == []


@pytest.mark.parametrize("how", [["--plan-only"], [], ["--quiet"]])
def test_the_command_says_it_on_standard_error(tmp_path, capsys, how):
    src = rec_tree(tmp_path / "src", [3])
    (src / "notes.txt").write_text("nothing")
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1, *how)
    assert done.code == 0
    why = "hidden, empty, of no known format, or a folder that fits a pattern"
    assert f"not taken ({why}): {src}/notes.txt" in done.stderr
    assert "notes.txt" not in done.stdout


# ---- dead links ----


def test_a_dead_link_that_a_pattern_fits_is_in_quarantine(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    (src / "part-0000-b.rec").symlink_to("nowhere.rec")
    outcome = rb.migrate.run(src / "*.rec", tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, "id") == list(range(7))
    assert [each.path for each in outcome.quarantine] == [str(src / "part-0000-b.rec")]


def test_a_pattern_that_only_dead_links_fit_says_that_none_can_be_read(tmp_path):
    (tmp_path / "a.rec").symlink_to("nowhere.rec")
    with pytest.raises(rb.MigrationError, match=r"none of the sources can be read: .*a\.rec"):
        rb.migrate.run(tmp_path / "*.rec", tmp_path / "out", to="tfrecord")


# ---- twice ----


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_two_names_of_one_file_are_told(tmp_path, caplog, make):
    src = rec_tree(tmp_path / "src", [3, 4])
    make(src / "part-0000.rec", src / "z.rec")
    (line,) = said(caplog, src, tmp_path / "out")
    assert f"{src}/z.rec is the same file as {src}/part-0000.rec" in line
    assert "taken twice" in line


def test_a_folder_that_is_named_twice_by_a_link_is_told_in_one_line(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3, 4, 5])
    (tmp_path / "again").symlink_to(src)
    (line,) = said(caplog, [src, tmp_path / "again"], tmp_path / "out")
    assert "as are those of 2 more" in line


# ---- empty ----

LATER = "; filled later, they are others, which --resume refuses"


@pytest.mark.parametrize("name", ["a.rec", "b.tfrecord"])
def test_a_file_without_a_byte_is_told(tmp_path, caplog, name):
    kind = name.rpartition(".")[2]
    src = TREES[kind](tmp_path / "src", [3])
    (src / name).touch()
    assert said(caplog, src, tmp_path / "out") == [f"1 file holds no rows: {src}/{name}{LATER}"]
    caplog.clear()
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, NUMBERS[kind]) == [0, 1, 2]
    assert "no rows" in caplog.text


def test_tables_without_rows_are_told(tmp_path, caplog):
    src = npz_tree(tmp_path / "src", [3, 0, 2, 0])
    (line,) = said(caplog, src, tmp_path / "out", mirror=True)
    assert line == f"2 files hold no rows: {src}/part-0001.npz, {src}/part-0003.npz{LATER}"


def test_no_rows_are_a_number_of_rows(tmp_path):
    h5_tree(tmp_path / "src", [3, 0, 2])
    assert rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True).num_rows == 5
    assert rb.migrate.plan(tmp_path / "src/part-0001.h5", tmp_path / "out", to="tfrecord").num_rows == 0
    (tmp_path / "empty.rec").touch()
    assert rb.migrate.plan(tmp_path / "empty.rec", tmp_path / "out", to="tfrecord").num_rows == 0


def test_rows_that_are_not_counted_are_none_also_beside_counted_ones(tmp_path):
    rec_tree(tmp_path / "src", [3])
    h5_tree(tmp_path / "src/h5", [4])
    assert rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True).num_rows is None


def test_rows_and_bytes_of_a_split_are_those_of_the_sources_once(tmp_path):
    src = h5_tree(tmp_path / "src", [300, 400])
    plan = rb.migrate.plan(src, tmp_path / "out", to="tfrecord")
    split = rb.migrate.plan(src, tmp_path / "split", to="tfrecord", split="a=0.5,b=0.3,c=0.2", seed=1)
    assert split.num_rows == plan.num_rows == 700
    assert split.output_nbytes == plan.output_nbytes


def test_an_empty_table_of_another_dtype_says_which_field_and_where(tmp_path):
    src = h5_tree(tmp_path / "src", [3, 4])
    with h5py.File(src / "zero.h5", "w") as file:
        file["n"], file["x"] = np.zeros(0, np.int64), np.zeros((0, 2), np.float64)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    (each,) = outcome.quarantine
    assert each.path == str(src / "zero.h5")
    assert f"field 'x' is float32[2] in {src}/part-0000.h5, and float64[2] in {src}/zero.h5" in each.reason


# ---- written before ----


def test_an_earlier_output_among_its_sources_is_told(tmp_path, caplog):
    src = npz_tree(tmp_path / "src", [5, 6])
    rb.migrate.run(src, src / "old", to="npz", shards=2)
    (line,) = said(caplog, src, tmp_path / "out")
    shards = [str(src / f"old/old-0000{number}-of-00002.npz") for number in range(2)]
    assert line.startswith(f"{shards[0]}, and 1 more of the sources, are the output of an earlier conversion (by {src}")
    assert said(caplog, [src / "part-0000.npz", src / "part-0001.npz"], tmp_path / "out") == []


def test_a_dataset_that_is_all_an_earlier_output_is_migrated_without_a_word(tmp_path, caplog):
    src = npz_tree(tmp_path / "src", [5, 6])
    rb.migrate.run(src, tmp_path / "old", to="rec", shards=2)
    assert said(caplog, tmp_path / "old", tmp_path / "out") == []


def test_a_file_that_lacks_all_that_is_selected_is_not_called_empty(tmp_path, caplog):
    src = tmp_path / "src"
    src.mkdir()
    for number in range(3):
        rb.write(src / f"{number}.npz", {"a": np.arange(5), **({"b": np.arange(5)} if number else {})})
    rb.write(src / "none.npz", {"a": np.arange(0), "b": np.arange(0)})
    caplog.clear()
    (bad,) = rb.migrate.run(src, tmp_path / "out", to="tfrecord", select="b=b").quarantine
    assert bad.path == str(src / "0.npz")
    told = [line for line in caplog.messages if "no rows" in line]
    assert told == [f"1 file holds no rows: {src}/none.npz; filled later, they are others, which --resume refuses"]


def test_an_empty_file_is_called_so_also_where_columns_are_selected(tmp_path, caplog):
    src = tmp_path / "src"
    src.mkdir()
    rb.write(src / "a.tfrecord.gz", {"a": np.arange(5)})
    (src / "b.tfrecord.gz").write_bytes(gzip.compress(b""))
    caplog.clear()
    assert rb.migrate.run(src, tmp_path / "out", to="npz", select="a=a").num_rows == 5
    assert any(line.startswith(f"1 file holds no rows: {src}/b.tfrecord.gz; ") for line in caplog.messages)
