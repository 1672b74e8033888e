"""Going on, or beginning again, where the world has changed meanwhile: nothing is lost, mixed or passed over."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError, SourceChangedError
from recordio_bridge.migrate.engines import Event
from tests.migrate.trees import npz_tree, numbers_in, rec_tree
from tests.samples import contents


class Stop(Exception):
    """The caller's own."""


def stop_after(files: int) -> object:
    def stop(event: Event) -> None:
        if event.phase == "writing" and event.files == files:
            raise Stop

    return stop


def test_overwriting_in_a_copy_leaves_the_original_alone(tmp_path):
    src = rec_tree(tmp_path / "src", [5, 5])
    (src / "part-0002.rec").write_bytes(b"no records at all")
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", name="set", shards=2)
    before = contents(tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    rb.migrate.run(src, tmp_path / "copy", to="tfrecord", name="set", shards=1, overwrite=True)
    assert contents(tmp_path / "out") == before


def test_an_overwrite_that_is_overwritten_leaves_no_files_of_the_first(tmp_path):
    src = rec_tree(tmp_path / "src", [5, 5, 5, 5])
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=4)
    with pytest.raises(Stop):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, overwrite=True, on_event=stop_after(1))
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tfrecord")) == [
        f"out-0000{number}-of-00002.tfrecord" for number in range(2)
    ]
    assert rb.migrate.verify(tmp_path / "out").ok


def test_labels_that_were_changed_meanwhile_are_not_mixed(tmp_path):
    src = rec_tree(tmp_path / "src", [5, 5])
    labels = tmp_path / "labels.lst"
    labels.write_text("".join(f"{number}\t1\tx.png\n" for number in range(10)))
    asked = {"to": "tfrecord", "shards": 2, "source_options": {"labels": str(labels)}}
    with pytest.raises(Stop):
        rb.migrate.run(src, tmp_path / "out", on_event=stop_after(1), **asked)
    labels.write_text("".join(f"{number}\t2\tx.png\n" for number in range(10)))
    with pytest.raises(SourceChangedError, match=r"labels\.lst"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **asked)


def test_an_index_that_came_meanwhile_is_named(tmp_path):
    """With it the source has a column that the plan is without."""
    src = rec_tree(tmp_path / "src", [40])
    index = src / "part-0000.idx"
    index.unlink(missing_ok=True)
    asked = {"to": "tfrecord", "shards": 2}
    with pytest.raises(Stop):
        rb.migrate.run(src, tmp_path / "out", on_event=stop_after(1), **asked)
    rb.index(src / "part-0000.rec")
    lines = [line.split("\t") for line in index.read_text().splitlines()]
    index.write_text("".join(f"{1000 + int(key)}\t{at}\n" for key, at in lines))
    with pytest.raises(SourceChangedError, match=r"part-0000\.idx: has appeared.*--resume.*--overwrite") as caught:
        rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert "--scan" not in str(caught.value)
    index.unlink()
    assert rb.migrate.run(src, tmp_path / "out", resume=True, **asked).num_rows == 40


def test_a_source_that_came_after_all_was_done_is_named(tmp_path):
    src = rec_tree(tmp_path / "src", [5])
    rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    shutil.copy(src / "part-0000.rec", src / "part-0001.rec")
    with pytest.raises(SourceChangedError, match=r"part-0001\.rec: was not there"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True)


def test_a_bad_source_that_was_replaced_by_another_bad_one_stays_in_quarantine(tmp_path):
    src = rec_tree(tmp_path / "src", [5, 200, 5])
    bad = src / "part-0001.rec"
    data = bytearray(bad.read_bytes())
    data[len(data) // 2 & ~3 : (len(data) // 2 & ~3) + 40] = bytes(40)
    bad.write_bytes(data)
    first = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    assert len(first.quarantine) >= 1
    bad.write_bytes(b"<html>404</html>")
    again = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, resume=True)
    assert {each.path for each in again.quarantine} == {str(bad)}
    assert all("1 at byte" not in each.reason for each in again.quarantine)
    assert set(numbers_in(again, "id")) >= {*range(5), *range(205, 210)}
    assert rb.migrate.verify(tmp_path / "out").ok


def test_a_full_folder_for_temporary_files_is_not_blamed_on_the_sources(tmp_path, monkeypatch):
    from recordio_bridge.formats import npz

    src = npz_tree(tmp_path / "src", [5, 5])

    def full(self: object, extent: object, options: object, request: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x"))

    with monkeypatch.context() as patch:
        patch.setattr(type(npz.FORMAT), "read", full)
        with pytest.raises(OSError, match="No space left"):
            rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True).num_rows == 10


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC])
def test_what_runs_out_while_planning_is_not_blamed_on_the_sources(tmp_path, monkeypatch, code):
    from recordio_bridge.formats import npz

    src = npz_tree(tmp_path / "src", [5, 5])
    presume = type(npz.FORMAT).presume

    def used_up(self: object, path: str, options: object) -> object:
        if path.endswith("part-0001.npz"):
            raise OSError(code, os.strerror(code), path)
        return presume(self, path, options)

    with monkeypatch.context() as patch:
        patch.setattr(type(npz.FORMAT), "presume", used_up)
        with pytest.raises(OSError, match=re.escape(os.strerror(code))):
            rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert not (tmp_path / "out").exists()
    assert rb.migrate.run(src, tmp_path / "out", to="tfrecord").num_rows == 10


def test_two_mirrors_in_one_folder_are_both_sound(tmp_path):
    one, two = rec_tree(tmp_path / "one/a", [3]), rec_tree(tmp_path / "two/b", [3])
    for name, src in (("a", one.parent), ("b", two.parent)):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", mirror=True, name=name)
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok, report.problems


def test_memory_is_that_of_the_run_that_goes_on(tmp_path, monkeypatch):
    from recordio_bridge.migrate import engines

    src = rec_tree(tmp_path / "src", [5, 5])
    with pytest.raises(Stop):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, shuffle=True, on_event=stop_after(1))
    seen = []
    performer = engines.Performer
    monkeypatch.setattr(engines, "Performer", lambda memory: (seen.append(memory), performer(memory))[1])
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, shuffle=True, resume=True, memory=1 << 24)
    assert seen == [1 << 24]


@pytest.mark.parametrize("options", [{}, {"mirror": True}])
def test_a_source_without_what_is_selected_costs_itself_alone(tmp_path, options):
    src = npz_tree(tmp_path / "src", [3, 4, 5])
    np.savez(src / "part-0001.npz", other=np.arange(9))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", select={"n": "n"}, **options)
    assert [os.path.basename(each.path) for each in outcome.quarantine] == ["part-0001.npz"]
    assert outcome.num_rows == 8


def test_a_source_that_the_target_cannot_hold_does_not_stop_a_mirror(tmp_path):
    src = npz_tree(tmp_path / "src", [3, 4])
    np.savez(src / "part-0009.npz", x=np.arange(9.0))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", mirror=True)
    assert [os.path.basename(each.path) for each in outcome.quarantine] == ["part-0009.npz"]
    assert "float64" in outcome.quarantine[0].reason


def test_a_pipe_among_the_sources_is_not_waited_for(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    os.mkfifo(tmp_path / "pipe.rec")
    outcome = rb.migrate.run([src, tmp_path / "pipe.rec"], tmp_path / "out", to="tfrecord")
    assert [os.path.basename(each.path) for each in outcome.quarantine] == ["pipe.rec"]
    assert outcome.num_rows == 3


def test_a_file_that_is_named_by_two_paths_is_migrated_once(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    sources = [src / "part-0000.rec", src / ".." / "src" / "part-0000.rec"]
    assert rb.migrate.run(sources, tmp_path / "out", to="tfrecord").num_rows == 3


def test_verify_says_that_sources_are_missing(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    (src / "part-0001.rec").write_bytes(b"no records at all")
    rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    report = rb.migrate.verify(tmp_path / "out")
    assert (report.ok, report.is_complete) == (True, False)


def test_what_is_in_quarantine_cannot_be_gone_on_with_without_its_plan(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    (src / "part-0001.rec").write_bytes(b"no records at all")
    rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    shutil.rmtree(tmp_path / "out/out.unfinished")
    with pytest.raises(MigrationError, match="overwrite"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True)


def test_a_folder_that_cannot_be_listed_is_in_quarantine(tmp_path, monkeypatch):
    src: Path = rec_tree(tmp_path / "src", [3])
    rec_tree(src / "closed", [4])
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("closed") and access(path, mode))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert [os.path.basename(each.path) for each in outcome.quarantine] == ["closed"]
    assert outcome.num_rows == 3
