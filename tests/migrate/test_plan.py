"""The plan of a migration: which sources go where, under which names, and that no row is lost, doubled or moved."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import FormatError, MigrationError
from recordio_bridge.files import PlainStream
from recordio_bridge.formats.framed import BLOCK
from recordio_bridge.migrate import assembly
from recordio_bridge.migrate.bulk_plan import BulkPlan
from tests.migrate.trees import (
    NUMBERS,
    TREES,
    arrays,
    example,
    h5_tree,
    npz_tree,
    numbers_in,
    rec_tree,
    report_of,
    tfrecord_tree,
)
from tests.samples import contents, image_payload, image_rec, write_rec, write_tfrecord

SIZES = [0, 1, 2, 7, 40, 3, 0, 0, 90, 1, 5, 0]


def names_in(folder: Path, *suffixes: str) -> list[str]:
    """The files with one of these suffixes, relative to the folder, sorted."""
    return sorted(name for name in contents(folder) if name.endswith(suffixes))


# ---- all rows, in order ----


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("cut", [{"shards": n} for n in (1, 2, 3, 7, 40)] + [{"shard_bytes": n} for n in (100, 2000)])
def test_the_files_have_all_rows_in_the_order_of_the_sources(tmp_path, kind, cut):
    TREES[kind](tmp_path / "src", SIZES)
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", **cut)
    assert outcome.quarantine == ()
    assert numbers_in(outcome, NUMBERS[kind]) == list(range(sum(SIZES)))
    assert outcome.num_rows == sum(SIZES)
    if "shards" in cut:
        assert len(outcome.manifests[0].shards) == cut["shards"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(TREES)),
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=7).filter(any),
    cut=st.one_of(
        st.builds(lambda n: {"shards": n}, st.integers(1, 12)),
        st.builds(lambda n: {"shard_bytes": n}, st.integers(60, 20_000)),
    ),
)
def test_no_sizes_and_no_cuts_lose_move_or_double_a_row(tmp_path_factory, kind, sizes, cut):
    folder = tmp_path_factory.mktemp("plan")
    TREES[kind](folder / "src", sizes)
    outcome = rb.migrate.run(folder / "src", folder / "out", to="tfrecord", verify="none", **cut)
    assert numbers_in(outcome, NUMBERS[kind]) == list(range(sum(sizes)))
    shutil.rmtree(folder)


@pytest.mark.parametrize("to", ["rec", "h5", "npz", "tfrecord"])
def test_other_formats_get_all_rows_too(tmp_path, to):
    tfrecord_tree(tmp_path / "src", SIZES)
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to=to, shards=3)
    found = [int(n[0]) for path in outcome.manifests[0].paths for batch in rb.read(path) for n in batch["n"]]
    assert found == list(range(sum(SIZES)))
    assert rb.migrate.verify(tmp_path / "out").ok


def test_a_big_file_is_cut_into_files_of_about_the_size_asked_for(tmp_path):
    rec_tree(tmp_path / "src", [2000])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shard_bytes=10_000)
    sizes = [shard.nbytes for shard in outcome.manifests[0].shards]
    assert len(sizes) > 5
    assert max(sizes) < 20_000
    assert min(sizes[:-1]) > 5000


def test_a_source_that_cannot_be_cut_makes_no_empty_files(tmp_path):
    npz_tree(tmp_path / "src", [20_000])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shard_bytes=100_000)
    assert [shard.num_rows for shard in outcome.manifests[0].shards] == [20_000]


def test_small_files_are_put_together(tmp_path):
    tfrecord_tree(tmp_path / "src", [10] * 60)
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", shard_bytes=6000)
    total = sum(os.path.getsize(tmp_path / "src" / name) for name in os.listdir(tmp_path / "src"))
    assert total // 6000 <= len(plan.orders) <= total // 6000 + 2
    assert max(len(order.extents) for order in plan.orders) > 3


def test_without_a_size_a_small_migration_has_one_file_named_after_the_folder(tmp_path):
    rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(tmp_path / "src", tmp_path / "set", to="tfrecord")
    assert names_in(tmp_path / "set", ".tfrecord", ".json") == [
        "set-00000-of-00001.tfrecord",
        "set.migration.json",
        "set.tfrecord.manifest.json",
        "set.tfrecord.schema.json",
    ]


@pytest.mark.parametrize("to", ["tfrecord", "h5"])
def test_sources_that_are_all_empty_give_an_empty_output(tmp_path, to):
    npz_tree(tmp_path / "src", [0, 0])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to=to)
    assert outcome.is_complete
    assert outcome.num_rows == 0
    assert rb.migrate.verify(tmp_path / "out").ok


# ---- names and trees ----


def test_name_is_the_stem_of_all_that_is_written(tmp_path):
    rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", name="train", shards=2)
    assert all(name.startswith("train") for name in contents(tmp_path / "out"))
    assert "train.migration.json" in contents(tmp_path / "out")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/abs", "../up"])
def test_a_name_that_is_a_path_is_refused_and_nothing_is_made(tmp_path, name):
    rec_tree(tmp_path / "src", [3])
    with pytest.raises(ValueError, match="name"):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", name=name)
    assert not (tmp_path / "out").exists()


def test_two_migrations_share_a_folder_under_two_names(tmp_path):
    rec_tree(tmp_path / "a", [3])
    rec_tree(tmp_path / "b", [4])
    rb.migrate.run(tmp_path / "a", tmp_path / "out", to="tfrecord", name="train")
    rb.migrate.run(tmp_path / "b", tmp_path / "out", to="tfrecord", name="test")
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok, report.problems
    assert report.num_rows == 7


def test_names_that_begin_alike_do_not_touch_each_other(tmp_path):
    """train and train-00000-of-00002: one is as a shard of the other."""
    rec_tree(tmp_path / "a", [3])
    rec_tree(tmp_path / "b", [4])
    rb.migrate.run(tmp_path / "a", tmp_path / "out", to="tfrecord", name="train")
    before = contents(tmp_path / "out")
    rb.migrate.run(tmp_path / "b", tmp_path / "out", to="tfrecord", name="train-b", overwrite=True)
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before


def test_mirror_makes_the_same_tree(tmp_path):
    src = tmp_path / "src"
    (src / "b/deep/er").mkdir(parents=True)
    (src / "a").mkdir()
    for number, name in enumerate(["top.rec", "a/one.rec", "a/two.rec", "b/deep/er/one.rec"]):
        image_rec(src / name, 3 + number, 100 * number)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", mirror=True)
    assert names_in(tmp_path / "out", ".tfrecord") == [
        "a/one.tfrecord",
        "a/two.tfrecord",
        "b/deep/er/one.tfrecord",
        "top.tfrecord",
    ]
    assert outcome.num_rows == 3 + 4 + 5 + 6
    assert len(outcome.manifests) == 4
    assert rb.migrate.verify(tmp_path / "out").ok


def test_mirror_takes_files_of_several_formats(tmp_path):
    rec_tree(tmp_path / "src/r", [3])
    h5_tree(tmp_path / "src/h", [4])
    npz_tree(tmp_path / "src/n", [5])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True)
    assert sorted(manifest.num_rows for manifest in outcome.manifests) == [3, 4, 5]
    assert rb.migrate.verify(tmp_path / "out").ok


def test_mirror_cuts_each_file_where_it_is_told_to(tmp_path):
    npz_tree(tmp_path / "src", [50, 60])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True, shards=2)
    assert [len(manifest.shards) for manifest in outcome.manifests] == [2, 2]
    assert numbers_in(outcome, "n") == list(range(110))


def test_mirror_refuses_two_sources_that_would_become_one_file(tmp_path):
    image_rec(tmp_path / "x.rec", 3)
    np.savez(tmp_path / "x.npz", **arrays(0, 4))
    with pytest.raises(ValueError, match=r"x\.(rec|npz) and .*x\.(rec|npz) would both become .*x\.tfrecord"):
        rb.migrate.run([tmp_path / "x.rec", tmp_path / "x.npz"], tmp_path / "out", to="tfrecord", mirror=True)
    assert not (tmp_path / "out").exists()


def test_mirror_of_a_folder_of_several_formats_says_how_to_migrate_them_apart(tmp_path):
    src = npz_tree(rec_tree(tmp_path / "src", [3]) / "deep", [4]).parent
    rec_tree(src / "deep", [5])
    with pytest.raises(ValueError, match="would both become") as caught:
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", mirror=True)
    patterns = [f"{src}/**/*.npz", f"{src}/**/*.rec"]
    assert all(f"'{pattern}'" in str(caught.value) for pattern in patterns)
    rows = [
        rb.migrate.run(pattern, tmp_path / f"out{number}", to="tfrecord", mirror=True).num_rows
        for number, pattern in enumerate(patterns)
    ]
    assert rows == [4, 8]


def test_mirror_refuses_a_shard_of_one_source_that_is_another_ones_file(tmp_path):
    """x in one shard is x-00000-of-00001, which the other source is called by itself."""
    npz_tree(tmp_path / "src", [3, 4])
    (tmp_path / "src/part-0000.npz").rename(tmp_path / "src/x.npz")
    (tmp_path / "src/part-0001.npz").rename(tmp_path / "src/x-00000-of-00001.npz")
    try:
        outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True, shards=1)
    except (ValueError, FileExistsError):
        return
    assert sorted(numbers_in(outcome, "n")) == list(range(7))
    assert len({path for manifest in outcome.manifests for path in manifest.paths}) == 2


def test_mirror_of_a_dataset_in_shards_keeps_every_shard(tmp_path):
    """tensorflow_datasets numbers its files behind the suffix."""
    src = tmp_path / "src"
    src.mkdir()
    for number in range(3):
        rows = map(example, range(4 * number, 4 * number + 4))
        write_tfrecord(src / f"mnist-train.tfrecord-{number:05d}-of-00003", rows)
    outcome = rb.migrate.run(src, tmp_path / "out", to="npz", mirror=True)
    paths = [path for manifest in outcome.manifests for path in manifest.paths]
    found = [int(n) for path in paths for n in np.load(path)["n"]]
    assert sorted(found) == list(range(12))


def test_hidden_files_and_folders_and_strangers_are_left_alone(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    image_rec(src / ".hidden.rec", 5)
    (src / ".trash").mkdir()
    image_rec(src / ".trash/x.rec", 5)
    (src / "README.txt").write_text("nothing")
    plan = rb.migrate.plan(src, tmp_path / "out", to="tfrecord")
    assert [each.relative for each in plan.found] == ["part-0000.rec"]
    assert plan.quarantine == ()


def test_a_source_that_is_named_twice_is_migrated_once(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    sources = [src / "part-0000.rec", src, str(src / "*.rec")]
    outcome = rb.migrate.run(sources, tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, "id") == list(range(7))


def test_a_source_that_is_named_twice_by_a_link_is_migrated_once_or_refused(tmp_path):
    """The tree of a mirror shows both; one output with rows twice would be a mix."""
    src = rec_tree(tmp_path / "src", [3])
    (tmp_path / "again").symlink_to(src)
    outcome = rb.migrate.run([src, tmp_path / "again"], tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, "id") in ([0, 1, 2], [0, 1, 2, 0, 1, 2])


def test_sources_go_in_the_order_they_are_given(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    outcome = rb.migrate.run([src / "part-0001.rec", src / "part-0000.rec"], tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, "id") == [3, 4, 5, 6, 0, 1, 2]


def test_a_source_that_is_not_there_is_named(tmp_path):
    rec_tree(tmp_path / "src", [3])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rb.migrate.run([tmp_path / "src", tmp_path / "nowhere"], tmp_path / "out", to="tfrecord")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_said_to_be_one(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(FileNotFoundError, match="src: no file of a known format"):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord")


# ---- an output among its sources ----


def test_an_output_inside_the_folder_of_its_sources_is_no_source_when_resumed(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    before = contents(src)
    rb.migrate.run(src, src / "out", to="tfrecord")
    after = contents(src)
    rb.migrate.run(src, src / "out", to="tfrecord", resume=True)
    assert contents(src) == after
    assert {name: after[name] for name in before} == before


def test_an_unfinished_output_inside_the_folder_of_its_sources_can_be_resumed(tmp_path, monkeypatch):
    src = rec_tree(tmp_path / "src", [3, 4])
    _break_off(monkeypatch, src, src / "out")
    outcome = rb.migrate.run(src, src / "out", to="tfrecord", shards=2, resume=True)
    assert numbers_in(outcome, "id") == list(range(7))


def test_an_output_inside_the_folder_of_its_sources_is_no_source_of_the_next(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(src, src / "out", to="rec")
    outcome = rb.migrate.run(src, src / "out", to="rec", overwrite=True)
    assert outcome.num_rows == 7


def _break_off(monkeypatch: pytest.MonkeyPatch, src: Path, out: Path) -> None:
    """Begin a migration to two files, and end it after the first."""

    def stop(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and getattr(event, "files", 0) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run(src, out, to="tfrecord", shards=2, on_event=stop)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("options", [{"mirror": True}, {"name": "part", "shards": 2}])
def test_sources_are_never_replaced_by_the_output(tmp_path, overwrite, options):
    src = tmp_path / "src"
    src.mkdir()
    image_rec(src / "part-00000-of-00002.rec", 3, 0)
    image_rec(src / "part-00001-of-00002.rec", 4, 3)
    before = contents(src)
    with pytest.raises((ValueError, FileExistsError, MigrationError)):
        rb.migrate.run(src, src, to="rec", overwrite=overwrite, select=["id=id"], **options)
    assert contents(src) == before


def test_an_output_is_not_written_over_its_own_sources_in_other_shards(tmp_path):
    """Its stale shards would be the sources, and go before they are read."""
    npz_tree(tmp_path / "src", [10, 12])
    rb.migrate.run(tmp_path / "src", tmp_path / "set", to="tfrecord", shards=4)
    before = contents(tmp_path / "set")
    with pytest.raises((ValueError, FileExistsError, MigrationError)):
        rb.migrate.run(tmp_path / "set", tmp_path / "set", to="tfrecord", shards=2, overwrite=True)
    assert contents(tmp_path / "set") == before


# ---- sources that differ ----


def test_sources_of_several_formats_are_refused_by_name_where_they_go_into_one_output(tmp_path):
    rec_tree(tmp_path / "src", [3])
    npz_tree(tmp_path / "src", [3])
    with pytest.raises(
        FormatError, match=r"several formats: .*part-0000\.npz is npz.*part-0000\.rec is recordio.*mirror"
    ):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord")
    assert not (tmp_path / "out").exists()


def test_a_source_with_other_columns_than_most_goes_to_quarantine(tmp_path):
    src = npz_tree(tmp_path / "src", [3, 4, 5])
    np.savez(src / "part-0001.npz", m=np.arange(9))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    assert numbers_in(outcome, "n") == [0, 1, 2, 7, 8, 9, 10, 11]
    assert [
        (os.path.basename(each.path), "'m'" in each.reason or "m" in each.reason) for each in outcome.quarantine
    ] == [("part-0001.npz", True)]
    assert report_of(tmp_path / "out")[0]["path"] == str(src / "part-0001.npz")


def test_the_first_source_is_not_the_measure_of_all(tmp_path):
    src = npz_tree(tmp_path / "src", [3, 4, 5])
    np.savez(src / "part-0000.npz", m=np.arange(9))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    assert numbers_in(outcome, "n") == list(range(3, 12))
    assert [os.path.basename(each.path) for each in outcome.quarantine] == ["part-0000.npz"]


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_a_source_of_another_dtype_is_not_cast_in_silence(tmp_path, dtype):
    src = npz_tree(tmp_path / "src", [3, 4, 5])
    np.savez(src / "part-0001.npz", n=np.full(4, 7.25, dtype), x=np.zeros((4, 2), np.float32))
    outcome = rb.migrate.run(src, tmp_path / "out", to="npz", shards=1)
    found = np.load(outcome.manifests[0].paths[0])["n"]
    if outcome.quarantine:
        assert [os.path.basename(each.path) for each in outcome.quarantine] == ["part-0001.npz"]
        assert found.tolist() == [0, 1, 2, *range(7, 12)]
    else:
        assert found.astype(float).tolist() == [0, 1, 2, *np.full(4, 7.25, dtype).astype(float), *range(7, 12)]


def test_a_column_that_only_later_records_show_is_not_lost_in_silence(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    rows = [example(n) for n in range(3000)]
    late = rb_example(late=[1], n=[3000])
    write_tfrecord(src / "a.tfrecord", [*rows, late])
    try:
        outcome = rb.migrate.run(src, tmp_path / "out", to="h5")
    except MigrationError as err:
        assert re.search("late.*--scan", str(err))  # noqa: PT017  # either is a promise kept
        outcome = rb.migrate.run(src, tmp_path / "out", to="h5", scan=True, overwrite=True)
    found = [value for path in outcome.manifests[0].paths for batch in rb.read(path) for value in batch["late"]]
    assert len(found) == 3001
    assert np.asarray(found[-1]).tolist() in (1, [1])


def rb_example(**features: list) -> bytes:
    """A tf.train.Example."""
    from tests.samples import make_example

    return make_example(features)


def test_labels_of_other_lengths_in_some_sources_are_kept_as_they_are(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    image_rec(src / "a.rec", 5)
    write_rec(src / "b.rec", [image_payload(5 + n, [1.0, 2.0, 3.0 + n]) for n in range(4)])
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert outcome.is_complete, outcome.quarantine
    assert numbers_in(outcome, "id") == list(range(9))


# ---- the plan itself ----


def test_the_plan_is_the_same_for_any_number_of_workers(tmp_path):
    rec_tree(tmp_path / "src", [n % 3 for n in range(300)])
    (tmp_path / "src/part-0007.rec").write_bytes(b"garbage garbage garbage!")
    plans = [
        rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=7, workers=workers)
        for workers in (1, 2, 3)
    ]
    assert plans[0] == plans[1] == plans[2]
    lines = [replace(plan, run="").to_lines() for plan in plans]
    assert lines[0] == lines[1] == lines[2]
    assert len(plans[0].quarantine) == 1


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("options", [{"shards": 3}, {"mirror": True}, {"scan": True}, {"shard_bytes": 500}])
def test_the_plan_comes_back_from_disk_as_it_was(tmp_path, kind, options):
    TREES[kind](tmp_path / "src", SIZES)
    next(iter((tmp_path / "src").iterdir())).write_bytes(b"garbage garbage garbage!")
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", **options)
    lines = plan.to_lines()
    again = BulkPlan.from_lines(lines, "plan.jsonl")
    assert again.to_lines() == lines
    assert again.migration.to_json() == plan.migration.to_json()


def test_a_plan_writes_nothing(tmp_path):
    rec_tree(tmp_path / "src", [3])
    before = contents(tmp_path)
    rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord")
    assert contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("at", [0, 1, 50])
def test_a_plan_that_is_cut_or_changed_on_disk_is_refused_in_words(at, tmp_path):
    rec_tree(tmp_path / "src", [3, 4])
    lines = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2).to_lines()
    with pytest.raises(FormatError, match=r"plan\.jsonl: not a plan"):
        BulkPlan.from_lines(lines[:at] if at else b"", "plan.jsonl")
    with pytest.raises(FormatError, match=r"plan\.jsonl: not a plan"):
        BulkPlan.from_lines(lines.splitlines(keepends=True)[0], "plan.jsonl")


def test_a_plan_that_was_made_before_is_what_is_run(tmp_path):
    rec_tree(tmp_path / "src", [3, 4])
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2)
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2, planned=plan)
    assert numbers_in(outcome, "id") == list(range(7))


def test_a_plan_that_was_made_for_other_arguments_is_refused(tmp_path):
    rec_tree(tmp_path / "src", [3, 4])
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "elsewhere", to="tfrecord", shards=2)
    with pytest.raises((ValueError, MigrationError)):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=3, planned=plan)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("kind", "to"), [("rec", "tfrecord"), ("npz", "tfrecord"), ("tfrecord", "h5"), ("h5", "tfrecord"), ("rec", "npz")]
)
@pytest.mark.parametrize("options", [{}, {"mirror": True}])
def test_the_output_is_about_as_large_as_the_plan_says(tmp_path, kind, to, options):
    TREES[kind](tmp_path / "src", [400, 500, 600])
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to=to, **options)
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to=to, **options)
    assert 0.7 * outcome.nbytes < plan.output_nbytes < 1.5 * outcome.nbytes


def test_what_a_preset_leaves_out_counts_in_the_expected_size(tmp_path):
    npz_tree(tmp_path / "src", [5000, 6000])
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", select=["n=n"])
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", select=["n=n"])
    assert 0.7 * outcome.nbytes < plan.output_nbytes < 1.5 * outcome.nbytes


def test_rows_are_said_where_headers_tell_them(tmp_path):
    h5_tree(tmp_path / "src", [400, 500])
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", scan=True)
    assert plan.num_rows == 900


@pytest.mark.parametrize(
    "options",
    [
        {"shards": 0},
        {"shards": -1},
        {"shard_bytes": 0},
        {"shards": 2, "shard_bytes": 100},
        {"mirror": True, "shuffle": True},
        {"nonsense": 1},
        {"workers": 0},
        {"target_options": {"nonsense": "1"}},
        {"to": "nonsense"},
        {"to": "bin"},
        {"resume": True, "overwrite": True},
        {"verify": "nonsense"},
        {"engine": "nonsense"},
        {"engine_arguments": ["--runner=x"]},
        {"on_bad_record": "nonsense"},
        {"select": ["x=nothing_there"]},
        {"select": ["broken("]},
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path, options):
    rec_tree(tmp_path / "src", [3])
    with pytest.raises((ValueError, TypeError, LookupError)):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", **{"to": "tfrecord", **options})
    assert not (tmp_path / "out").exists()


def test_no_sources_at_all_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no sources"):
        rb.migrate.run([], tmp_path / "out", to="tfrecord")


def test_an_out_that_is_a_file_is_refused_in_words(tmp_path):
    rec_tree(tmp_path / "src", [3])
    (tmp_path / "out").write_text("mine")
    for function in (rb.migrate.plan, rb.migrate.run):
        with pytest.raises(NotADirectoryError, match="out: is a file, and a migration writes a folder"):
            function(tmp_path / "src", tmp_path / "out", to="tfrecord")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_file_of_another_program_is_not_replaced(tmp_path):
    rec_tree(tmp_path / "src", [3])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/out-00000-of-00001.tfrecord").write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord")
    assert contents(tmp_path / "out").keys() == {"out-00000-of-00001.tfrecord"}
    assert (tmp_path / "out/out-00000-of-00001.tfrecord").read_text() == "mine"
    assert not (tmp_path / "out/out.unfinished").exists()


# ---- what planning reads ----


def test_planning_reads_no_more_of_a_large_source_than_two_blocks_and_a_sample(tmp_path, monkeypatch):
    """It read four, of 4 MiB, of each of ten thousand sources: two of them ahead, for nobody."""
    (tmp_path / "in").mkdir()
    write_rec(tmp_path / "in" / "a.rec", [image_payload(number, bytes(20_000)) for number in range(1000)])
    read: list[int] = []
    readinto = PlainStream.readinto

    def counted(self: PlainStream, buffer: memoryview) -> int:
        got = readinto(self, buffer)
        read.append(got)
        return got

    monkeypatch.setattr(PlainStream, "readinto", counted)
    monkeypatch.setattr(assembly, "expansion", lambda *args: 1.0)  # the sample, which is one for each output
    rb.migrate.plan(tmp_path / "in", tmp_path / "out", to="tfrecord")
    assert sum(read) < 2 * BLOCK + (1 << 19)
