"""Going on with what was begun: with the same options and sources only, one run at a time, whoever else is there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError, MigrationError, PlanMismatchError, SourceChangedError
from recordio_bridge.migrate.sealed import sealed, unsealed
from recordio_bridge.migrate.state import State
from tests.cli.running import PACKAGE_HOME, run, run_module
from tests.migrate.killing import tree
from tests.migrate.orphans import STOPS, let_end, orphan_of
from tests.migrate.trees import ALL_TREES, ASKED, npz_tree, numbers_in, rec_tree
from tests.samples import contents, image_rec


class Enough(Exception):
    """What the caller's own function raises."""


def stop_at(files: int) -> Callable[[object], None]:
    """Raise Enough when so many files are written."""

    def on_event(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and getattr(event, "files", 0) == files:
            raise Enough

    return on_event


def begun(src: Path, out: Path, files: int = 1, **options: object) -> None:
    """A migration that was interrupted after so many files."""
    with pytest.raises(Enough):
        rb.migrate.run(src, out, on_event=stop_at(files), **{**ASKED, **options})


# ---- going on ----


@pytest.mark.parametrize("files", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_is_finished_with_the_same_bytes(tmp_path, src, clean, files, workers):
    with pytest.raises(Enough):
        rb.migrate.run(src, tmp_path / "out", on_event=stop_at(files), workers=workers, **ASKED)
    assert not [name for name in contents(tmp_path / "out") if ".part" in name or "manifest" in name]
    rb.migrate.run(src, tmp_path / "out", resume=True, workers=workers, **ASKED)
    assert contents(tmp_path / "out") == clean
    assert not (tmp_path / "out/out.unfinished").exists()


def test_an_interrupt_out_of_the_callers_function_ends_it_too(tmp_path, src):
    """With workers it is called by a thread, whose exceptions are carried over."""

    def interrupt(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and getattr(event, "files", 0) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run(src, tmp_path / "out", on_event=interrupt, workers=2, **ASKED)


def test_what_was_done_is_not_done_again(tmp_path, src):
    begun(src, tmp_path / "out", 2)
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    assert len(before) == 2
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    assert {name: after[name] for name in before} == before
    assert len(after) == 3


def test_a_file_that_was_done_and_is_gone_is_done_again(tmp_path, src, clean):
    begun(src, tmp_path / "out", 2)
    next(iter((tmp_path / "out").glob("*.tfrecord"))).unlink()
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


def test_an_index_that_was_done_and_is_gone_is_made_again(tmp_path, src):
    rb.migrate.run(src, tmp_path / "clean/out", to="rec", shards=3)
    begun(src, tmp_path / "out", 2, to="rec")
    next(iter((tmp_path / "out").glob("*.idx"))).unlink()
    rb.migrate.run(src, tmp_path / "out", to="rec", shards=3, resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:1], lambda data: b""])
def test_a_file_that_was_done_and_has_another_size_is_not_taken_for_done(tmp_path, src, clean, damage):
    begun(src, tmp_path / "out", 2)
    path = next(iter((tmp_path / "out").glob("*.tfrecord")))
    path.write_bytes(damage(path.read_bytes()))
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: b"", lambda data: data.replace(b"8", b"7")])
def test_a_receipt_that_is_cut_or_damaged_is_none(tmp_path, src, clean, damage):
    begun(src, tmp_path / "out", 2)
    receipt = sorted((tmp_path / "out/out.unfinished").glob("*.json"))[0]
    receipt.write_bytes(damage(receipt.read_bytes()))
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize("times", [[0], [0, 0, 0], ["0", "0"]])
def test_a_receipt_with_other_times_than_files_is_none(tmp_path, src, times):
    """It would hide that one of the files is gone."""
    rb.migrate.run(src, tmp_path / "clean/out", to="rec", shards=3)
    begun(src, tmp_path / "out", 2, to="rec")
    receipt = sorted((tmp_path / "out/out.unfinished").glob("*.json"))[0]
    content = json.loads(unsealed(receipt.read_bytes()))
    receipt.write_bytes(sealed(f"{json.dumps({**content, 'times': times})}\n".encode()))
    Path(content["files"][1]["final"]).unlink()
    rb.migrate.run(src, tmp_path / "out", to="rec", shards=3, resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def test_a_plan_that_is_damaged_is_an_error_that_says_what_to_do(tmp_path, src):
    begun(src, tmp_path / "out")
    plan = tmp_path / "out/out.unfinished/plan.jsonl"
    plan.write_bytes(plan.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"plan\.jsonl: not a plan.*--overwrite"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)


def test_a_plan_in_which_any_bit_flipped_is_refused(tmp_path, src):
    """Some of those in the numbers of its extents lost rows without a word."""
    begun(src, tmp_path / "out")
    state = State(str(tmp_path / "out"), "out")
    good = Path(state.plan_path).read_bytes()
    assert state.read_plan() is not None
    for bit in range(0, 8 * len(good), 97):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        Path(state.plan_path).write_bytes(bad)
        with pytest.raises(FormatError, match=r"plan\.jsonl: .*CRC-32C.*--overwrite"):
            state.read_plan()


def test_a_plan_of_a_version_that_kept_no_checksum_is_refused_and_can_be_begun_again(tmp_path, src, clean):
    begun(src, tmp_path / "out")
    plan = tmp_path / "out/out.unfinished/plan.jsonl"
    plan.write_bytes(b"".join(plan.read_bytes().splitlines(keepends=True)[:-1]))
    before = contents(tmp_path / "out")
    with pytest.raises(FormatError, match=r"plan\.jsonl: .*of an earlier version.*--overwrite"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == before
    rb.migrate.run(src, tmp_path / "out", overwrite=True, **ASKED)
    assert contents(tmp_path / "out") == clean


def test_resume_without_a_plan_begins_afresh(tmp_path, src, clean):
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


def test_resume_of_a_plan_that_had_no_time_to_be_written_begins_afresh(tmp_path, src, clean):
    (tmp_path / "out/out.unfinished").mkdir(parents=True)
    (tmp_path / "out/out.unfinished/lock").touch()
    (tmp_path / "out/out.unfinished/.plan.jsonl.0123abcd-4567cdef.part").write_text("half")
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


def test_the_leftovers_of_a_killed_run_go_and_those_of_others_stay(tmp_path, src, clean):
    begun(src, tmp_path / "out")
    ours = tmp_path / "out/.out-00002-of-00003.tfrecord.0123abcd-4567cdef.part"
    other = tmp_path / "out/.other.tfrecord.0123abcd-4567cdef.part"
    ours.write_text("half")
    other.write_text("half")
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out").keys() - clean.keys() == {other.name}


def test_resume_of_what_is_done_touches_nothing(tmp_path, src):
    first = rb.migrate.run(src, tmp_path / "out", **ASKED)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "out").iterdir()}
    again = rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "out").iterdir()} == before
    assert again.is_complete
    assert [manifest.shards for manifest in again.manifests] == [manifest.shards for manifest in first.manifests]


def test_resume_of_what_is_done_does_not_say_done_where_a_file_is_gone(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    clean = contents(tmp_path / "out")
    (tmp_path / "out/out-00001-of-00003.tfrecord").unlink()
    try:
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    except rb.BridgeError as err:
        assert "out-00001-of-00003" in str(err)  # noqa: PT017  # saying so is as good as mending it
    else:
        assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize(
    "name", ["out-00001-of-00003.tfrecord", "out.tfrecord.schema.json", "out.tfrecord.manifest.json"]
)
def test_resume_of_what_is_done_names_what_is_gone_and_the_way_on(tmp_path, src, name):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    (tmp_path / "out" / name).unlink()
    before = contents(tmp_path / "out")
    with pytest.raises(
        MigrationError, match=rf"{name}: was written, and is gone; .*verify {tmp_path}/out.*--overwrite"
    ):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == before


def test_resume_of_what_is_done_names_a_file_of_another_size(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    path = tmp_path / "out/out-00001-of-00003.tfrecord"
    nbytes = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MigrationError, match=rf"has {nbytes - 1} bytes where it had {nbytes}.*verify.*--overwrite"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)


def test_an_output_that_was_moved_is_finished_where_it_is_or_refused(tmp_path, src):
    """Never in its old place, where nobody looks."""
    begun(src, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    try:
        rb.migrate.run(src, tmp_path / "moved", name="out", resume=True, **ASKED)
    except (MigrationError, FileNotFoundError):
        assert not (tmp_path / "out").exists()
        return
    assert not (tmp_path / "out").exists()
    assert rb.migrate.verify(tmp_path / "moved").ok


# ---- another question ----


def test_without_resume_what_was_begun_is_refused_with_both_ways_on(tmp_path, src):
    begun(src, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(FileExistsError, match=r"begun.*--resume.*--overwrite"):
        rb.migrate.run(src, tmp_path / "out", **ASKED)
    assert contents(tmp_path / "out") == before


def test_without_resume_what_is_done_is_refused_with_both_ways_on(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    before = contents(tmp_path / "out")
    with pytest.raises(FileExistsError, match=r"done.*--resume.*--overwrite"):
        rb.migrate.run(src, tmp_path / "out", **ASKED)
    assert contents(tmp_path / "out") == before


OTHER = [
    ("shards", {"shards": 4}),
    ("to", {"to": "h5", "name": "out"}),
    ("mirror", {"mirror": True}),
    ("verify", {"verify": "counts"}),
    ("select", {"select": ["id=id"]}),
    ("on_bad_record", {"on_bad_record": "skip"}),
    ("target_options", {"target_options": {"compression": "GZIP"}}),
    ("source_options", {"source_options": {"payload": "raw"}}),
    ("pack", {"pack": {"label": "raw"}}),
    ("where", {"where": "image"}),
]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("named", "options"), OTHER)
def test_resume_with_other_options_says_what_differs_and_touches_nothing(tmp_path, src, named, options, done):
    if done:
        rb.migrate.run(src, tmp_path / "out", **ASKED)
    else:
        begun(src, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(PlanMismatchError, match=rf"{named} was .*, and is .* now.*--overwrite"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **{**ASKED, **options})
    assert contents(tmp_path / "out") == before


def test_resume_with_other_sources_says_so(tmp_path, src):
    begun(src, tmp_path / "out")
    with pytest.raises(PlanMismatchError, match="sources was"):
        rb.migrate.run([src, tmp_path], tmp_path / "out", resume=True, **ASKED)


@pytest.mark.parametrize("other", [{"workers": 2}, {"memory": 1 << 24}])
def test_what_does_not_change_the_bytes_may_differ(tmp_path, src, clean, other):
    begun(src, tmp_path / "out")
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED, **other)
    assert contents(tmp_path / "out") == clean


def test_the_same_sources_by_another_path_are_the_same(tmp_path, src, clean, monkeypatch):
    begun(src, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    rb.migrate.run("./src/", "out/", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize("spelling", ["other/../src", "../{home}/src/", "other/./..//src", "../{home}/sr?/*"])
def test_the_same_sources_with_dots_in_their_path_are_the_same(tmp_path, src, monkeypatch, spelling):
    (tmp_path / "other").mkdir()
    begun(tmp_path / "sr?/*" if "?" in spelling else src, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    rb.migrate.run(spelling.format(home=tmp_path.name), "other/../out", resume=True, **ASKED)
    assert rb.migrate.verify(tmp_path / "out").ok


def test_dots_behind_a_link_lead_where_the_link_leads(tmp_path):
    """Not to what lies beside the link, as the text of the path would have it."""
    rec_tree(tmp_path / "src", [9])
    rec_tree(tmp_path / "far/src", [2])
    (tmp_path / "far/deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far/deep")
    for number, source in enumerate(("link/../src", "link/../sr?/*", "lin?/../src/*")):
        assert rb.migrate.run(tmp_path / source, tmp_path / f"out{number}", to="tfrecord").num_rows == 2
    both = rb.migrate.run([tmp_path / "src", tmp_path / "link/../src"], tmp_path / "both", to="tfrecord")
    assert both.num_rows == 11


# ---- other sources ----


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


CHANGES = [changed, os.utime, Path.unlink, lambda path: path.write_bytes(path.read_bytes() * 2)]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("number", [0, 3])
def test_a_source_that_changed_between_runs_is_named_and_nothing_is_mixed(tmp_path, src, change, number):
    """Whether its rows are written already or not."""
    victim = src / f"part-{number:04d}.rec"
    begun(src, tmp_path / "out", 2)
    before = contents(tmp_path / "out")
    change(victim)
    with pytest.raises(SourceChangedError, match=victim.name):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == before


def test_a_source_that_is_new_is_named(tmp_path, src):
    begun(src, tmp_path / "out")
    image_rec(src / "new.rec", 3)
    with pytest.raises(SourceChangedError, match=r"new\.rec"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)


@pytest.mark.parametrize("change", [changed, lambda path: path.write_bytes(path.read_bytes() * 2)])
def test_a_source_that_changed_after_all_was_done_is_named(tmp_path, src, change):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    change(src / "part-0001.rec")
    with pytest.raises(SourceChangedError, match=r"part-0001\.rec"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)


def test_sources_that_were_deleted_after_all_was_done_are_not_missed(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    before = contents(tmp_path / "out")
    shutil.rmtree(src)
    assert rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED).num_rows == 30
    assert contents(tmp_path / "out") == before
    assert rb.migrate.verify(tmp_path / "out").ok


# ---- overwrite ----


@pytest.mark.parametrize("before", [{"shards": 7}, {"to": "rec", "shards": 2}, {"mirror": True}, {"shards": 3}])
def test_overwrite_leaves_what_a_clean_run_leaves(tmp_path, src, clean, before):
    rb.migrate.run(src, tmp_path / "out", **{**ASKED, **before, "shards": before.get("shards")})
    rb.migrate.run(src, tmp_path / "out", overwrite=True, **ASKED)
    found = contents(tmp_path / "out")
    assert {name: found[name] for name in clean} == clean
    if before.get("to") is None and not before.get("mirror"):
        assert found == clean


def test_overwrite_of_what_was_begun_leaves_what_a_clean_run_leaves(tmp_path, src, clean):
    begun(src, tmp_path / "out", 2, shards=7)
    rb.migrate.run(src, tmp_path / "out", overwrite=True, **ASKED)
    assert contents(tmp_path / "out") == clean


def test_overwrite_keeps_files_that_are_no_part_of_the_output(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    (tmp_path / "out/notes.txt").write_text("mine")
    image_rec(tmp_path / "out/mine.rec", 3)
    rb.migrate.run(src, tmp_path / "out", overwrite=True, **ASKED)
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
    assert (tmp_path / "out/mine.rec").exists()


# ---- two at once, and the dead ----


def test_a_second_run_at_the_same_time_is_told_so_and_does_no_harm(tmp_path, src, clean):
    said: list[str] = []

    def begin_another(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and not said:
            for how in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(MigrationError, match=r"another run works on this migration.*--resume") as caught:
                    rb.migrate.run(src, tmp_path / "out", **ASKED, **how)
                said.append(str(caught.value))
            with pytest.raises((MigrationError, FileExistsError)):
                rb.migrate.run(src, tmp_path / "out", **ASKED)

    rb.migrate.run(src, tmp_path / "out", on_event=begin_another, **ASKED)
    assert len(said) == 2
    assert contents(tmp_path / "out") == clean


def test_a_second_run_of_another_process_is_told_so(tmp_path, src, clean):
    answers = []

    def begin_another(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and not answers:
            command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--shards", 3, "--resume")
            answers.append(run_module(*command))

    rb.migrate.run(src, tmp_path / "out", on_event=begin_another, **ASKED)
    assert answers[0].code == 1
    assert "another run works on this migration" in answers[0].stderr
    assert contents(tmp_path / "out") == clean


def test_a_migration_of_another_name_in_the_same_folder_is_not_held_up(tmp_path, src):
    done = []

    def begin_another(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and not done:
            done.append(rb.migrate.run(src, tmp_path / "out", name="other", **ASKED))

    rb.migrate.run(src, tmp_path / "out", on_event=begin_another, **ASKED)
    assert done[0].is_complete
    assert rb.migrate.verify(tmp_path / "out").ok


@pytest.mark.one_lane
@pytest.mark.parametrize("stop", STOPS)
def test_a_worker_that_outlives_its_run_does_no_harm_to_the_next(tmp_path, src, clean, stop):
    orphan = orphan_of(tmp_path, src, stop)
    asked = json.loads((tmp_path / "out/out.unfinished/plan.jsonl").read_text().splitlines()[0])["asked"]
    given = {name: value for name, value in asked.items() if value not in (None, [], {}) and name != "sources"}
    rb.migrate.run(src, tmp_path / "out", resume=True, **given)
    expected = contents(tmp_path / "out")
    assert {name: digest for name, digest in expected.items() if name in clean and "migration" not in name} == {
        name: digest for name, digest in clean.items() if "migration" not in name
    }
    assert expected.keys() == clean.keys()
    let_end(orphan)
    assert contents(tmp_path / "out") == expected


@pytest.mark.one_lane
@pytest.mark.parametrize("stop", STOPS)
def test_a_worker_that_outlives_its_run_does_not_write_into_another(tmp_path, src, stop):
    """Begun again with other options, and half done when the old worker goes on: no mix of the two."""
    other = {**ASKED, "select": ["id=id"]}
    rb.migrate.run(src, tmp_path / "clean/out", **other)
    orphan = orphan_of(tmp_path, src, stop)
    with pytest.raises(Enough):
        rb.migrate.run(src, tmp_path / "out", overwrite=True, on_event=stop_at(1), **other)
    let_end(orphan)
    outcome = rb.migrate.run(src, tmp_path / "out", resume=True, **other)
    assert numbers_in(outcome, "id") == list(range(30))
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


@pytest.mark.one_lane
@pytest.mark.parametrize("stop", STOPS)
def test_a_worker_that_outlives_its_run_does_not_replace_what_is_done(tmp_path, src, stop):
    other = {**ASKED, "select": ["id=id"]}
    orphan = orphan_of(tmp_path, src, stop)
    rb.migrate.run(src, tmp_path / "out", overwrite=True, **other)
    before = contents(tmp_path / "out")
    let_end(orphan)
    assert contents(tmp_path / "out") == before
    assert rb.migrate.verify(tmp_path / "out").ok


@pytest.mark.one_lane
@pytest.mark.parametrize("stop", STOPS)
def test_a_worker_that_outlives_its_run_does_not_meddle_with_one_under_way(tmp_path, src, stop):
    """It goes on when the next run, of other options, has just done the file that it is at."""
    other = {**ASKED, "select": ["id=id"]}
    rb.migrate.run(src, tmp_path / "clean/out", **other)
    orphan = orphan_of(tmp_path, src, stop)

    def let_it(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and getattr(event, "files", 0) == 1:
            let_end(orphan)

    rb.migrate.run(src, tmp_path / "out", overwrite=True, on_event=let_it, **other)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


# ---- killed, with real signals ----

_KILLER = """
import json, os, signal, sys
import recordio_bridge as rb
src, out, options, at, whom = json.loads(sys.argv[1])
seen = 0
def on_event(event):
    global seen
    seen += event.phase == "writing"
    if seen == at:
        if whom == "all":
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    stat = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(stat[1]) == os.getpid():
                    os.kill(int(pid), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
rb.migrate.run(src, out, workers=2, on_event=on_event, **options)
"""

KILLED = [
    ("rec", {"to": "tfrecord", "shards": 4}, 2, "all"),
    ("npz", {"to": "tfrecord", "shard_bytes": 700}, 3, "coordinator"),
    ("tfrecord", {"to": "h5", "shards": 4}, 4, "all"),
    ("rec", {"to": "rec", "mirror": True}, 3, "coordinator"),
    ("npz", {"to": "tfrecord", "shards": 4, "shuffle": True, "seed": 7}, 2, "all"),
    ("tfrecord", {"to": "tfrecord", "split": "train=0.6,test=0.4", "seed": 7}, 1, "coordinator"),
    ("damaged", {"to": "tfrecord", "shards": 4}, 3, "all"),
    ("damaged", {"to": "rec", "mirror": True}, 2, "coordinator"),
    ("damaged", {"to": "npz", "shards": 4, "shuffle": True, "seed": 7}, 2, "coordinator"),
]


@pytest.mark.one_lane
@pytest.mark.parametrize(("kind", "options", "at", "whom"), KILLED)
def test_kill_9_of_everything_or_of_the_coordinator_alone(tmp_path, kind, options, at, whom):
    src = ALL_TREES[kind](tmp_path / "src", [8, 9, 10, 3])
    rb.migrate.run(src, tmp_path / "clean/out", **options)
    asked = json.dumps([str(src), str(tmp_path / "out"), options, at, whom])
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    killed = subprocess.run([sys.executable, "-c", _KILLER, asked], env=settings, check=False)
    assert killed.returncode == -signal.SIGKILL
    outcome = rb.migrate.run(src, tmp_path / "out", resume=True, **options)
    assert tree(tmp_path / "out") == tree(tmp_path / "clean/out")
    assert outcome.is_complete == (kind != "damaged")
    assert outcome.is_complete == (not list((tmp_path / "out").rglob("*.unfinished")))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_end_it_in_order_and_it_can_go_on(tmp_path, capsys, number, code):
    """The signal comes when the first files are there, as the lines of a log say."""
    src = npz_tree(tmp_path / "src", [50] * 4)
    assert run(capsys, "migrate", src, tmp_path / "clean/out", "--to", "tfrecord", "--shards", 16).code == 0
    script = (
        "import os, sys; from recordio_bridge.cli import main, progress; tell = progress.Shown.__call__\n"
        "def call(self, event):\n"
        "    tell(self, event)\n"
        f"    if event.phase == 'writing' and event.files == 5: os.kill(os.getpid(), {int(number)})\n"
        "progress.Shown.__call__ = call\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = ["migrate", src, tmp_path / "out", "--to", "tfrecord", "--shards", 16, "--workers", 2]
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True, env=settings, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not [name for name in contents(tmp_path / "out") if ".part" in name or "manifest" in name]
    resumed = run(capsys, *command, "--resume")
    assert resumed.code == 0, resumed.stderr
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")
