"""--overwrite, and a run that goes on, beside files of users that nothing says a migration has written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError
from recordio_bridge.files import crc_of
from tests.migrate.test_others_files import begun
from tests.migrate.trees import npz_tree, rec_tree
from tests.samples import contents


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return npz_tree(tmp_path / "src", [5, 6, 7])


@pytest.mark.parametrize("to", ["tfrecord", "rec"])
def test_a_file_where_one_was_not_written_as_yet_stays(tmp_path, src, caplog, to):
    out = tmp_path / "out"
    begun(src, out, 1, name="set", to=to, shards=3)
    mine = out / f"set-00002-of-00003.{to}"
    mine.write_bytes(b"precious")
    rb.migrate.run(src, out, name="set", to=to, shards=2, overwrite=True)
    assert mine.read_bytes() == b"precious"
    assert (
        f"{mine}: was of the migration that is begun again, and was replaced or changed since; it stays" in caplog.text
    )


@pytest.mark.parametrize("is_done", [False, True])
def test_the_index_of_a_file_that_stays_stays_with_it(tmp_path, is_done):
    out, src = tmp_path / "out", rec_tree(tmp_path / "src", [5, 6, 7])
    if is_done:
        rb.migrate.run(src, out, name="set", to="rec", shards=3)
    else:
        begun(src, out, 2, name="set", to="rec", shards=3)
    mine = [out / f"set-00001-of-00003.{suffix}" for suffix in ("rec", "idx")]
    for path in mine:
        path.write_bytes(b"precious")
    rb.migrate.run(src, out, name="set", to="rec", shards=2, overwrite=True)
    assert [path.read_bytes() for path in mine] == [b"precious"] * 2
    assert not list(out.glob("set-00000-of-00003.*"))


@pytest.mark.parametrize("changed", ["rec", "idx"])
@pytest.mark.parametrize("is_done", [False, True])
def test_an_index_that_may_be_anothers_stays(tmp_path, caplog, is_done, changed):
    """Where it is another, or its file is; a file whose index alone is another is ours, and goes."""
    out, src = tmp_path / "out", rec_tree(tmp_path / "src", [5, 6, 7])
    if is_done:
        rb.migrate.run(src, out, name="set", to="rec", shards=3)
    else:
        begun(src, out, 2, name="set", to="rec", shards=3)
    file, index = (out / f"set-00001-of-00003.{suffix}" for suffix in ("rec", "idx"))
    (file if changed == "rec" else index).write_bytes(b"precious")
    expected = index.read_bytes()
    rb.migrate.run(src, out, name="set", to="rec", shards=2, overwrite=True)
    assert index.read_bytes() == expected
    assert file.exists() == (changed == "rec")
    assert f"{index}: was of the migration that is begun again, and was replaced or changed" in caplog.text


def test_what_a_copied_state_tells_of_is_in_another_folder_and_stays_there(tmp_path, src):
    begun(src, tmp_path / "one", 2, name="set", to="tfrecord", shards=3)
    before = contents(tmp_path / "one")
    (tmp_path / "two").mkdir()
    shutil.copytree(tmp_path / "one/set.unfinished", tmp_path / "two/set.unfinished")
    rb.migrate.run(src, tmp_path / "two", name="set", to="tfrecord", shards=2, overwrite=True)
    assert contents(tmp_path / "one") == before
    assert rb.migrate.run(src, tmp_path / "one", name="set", to="tfrecord", shards=3, resume=True).num_rows == 18


@pytest.mark.parametrize(("name", "why"), [("set.quarantine.jsonl", "report"), ("set.migration.json", "says that it")])
def test_a_file_that_takes_a_name_of_the_end_while_it_runs_stays(tmp_path, src, name, why):
    out = tmp_path / "out"
    (src / "part-0001.npz").write_bytes(b"no data")  # so that there is a report

    def put(event: rb.migrate.Event) -> None:
        if event.phase == "writing":
            (out / name).write_text("mine")

    with pytest.raises(MigrationError, match=why):
        rb.migrate.run(src, out, name="set", to="tfrecord", on_event=put)
    assert (out / name).read_text() == "mine"
    (out / name).unlink()
    assert rb.migrate.run(src, out, name="set", to="tfrecord", resume=True).num_rows == 12


def test_the_first_rows_of_a_shard_that_another_wrote_stay_with_their_manifest(tmp_path, src):
    """They are the bytes with which ours begins, as of one that a power cut has cut."""
    out = tmp_path / "out"
    begun(src, out, 1, name="set", to="tfrecord", shards=3)
    shard = out / "set-00002-of-00003.tfrecord"
    rows = np.load(src / "part-0002.npz")
    np.savez(tmp_path / "first.npz", **{name: rows[name][:2] for name in rows})
    rb.convert(tmp_path / "first.npz", shard)
    before = contents(out)
    with pytest.raises(MigrationError, match=rf"{shard.name}: would be replaced, and it is not of this migration"):
        rb.migrate.run(src, out, name="set", to="tfrecord", shards=3, resume=True)
    assert {name: data for name, data in contents(out).items() if shard.name in name} == {
        name: data for name, data in before.items() if shard.name in name
    }


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_file_that_took_the_name_of_what_says_that_all_is_done_stays(tmp_path, src, how):
    out = tmp_path / "out"
    begun(src, out, 1, name="set", to="tfrecord", shards=3)
    (out / "set.migration.json").write_text("mine")
    before = contents(out)
    with pytest.raises(MigrationError, match=r"set\.migration\.json: is where a migration says that it is done"):
        rb.migrate.run(src, out, name="set", to="tfrecord", shards=3, **how)
    assert contents(out) == before


@pytest.mark.parametrize("is_done", [False, True])
def test_a_file_of_as_many_bytes_in_the_place_of_one_that_would_go_stays(tmp_path, src, caplog, is_done):
    out = tmp_path / "out"
    if is_done:
        rb.migrate.run(src, out, name="set", to="tfrecord", shards=3)
    else:
        begun(src, out, 2, name="set", to="tfrecord", shards=3)
    mine = out / "set-00001-of-00003.tfrecord"
    theirs = bytes(mine.stat().st_size)
    mine.write_bytes(theirs)
    rb.migrate.run(src, out, name="set", to="tfrecord", shards=2, overwrite=True)
    assert mine.read_bytes() == theirs
    assert f"{mine}: was of the migration that is begun again, and was replaced" in caplog.text
    assert not (out / "set-00000-of-00003.tfrecord").exists()


def test_a_copy_of_what_was_there_goes(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", name="set", to="rec", shards=3)
    for path in (tmp_path / "out").glob("*-of-00003.*"):
        os.utime(path)
    rb.migrate.run(src, tmp_path / "out", name="set", to="rec", shards=2, overwrite=True)
    assert not list((tmp_path / "out").glob("*-of-00003.*"))


@pytest.mark.parametrize(("suffix", "how"), [("rec", "same size"), ("idx", "same size"), ("idx", "cut")])
def test_what_is_done_is_not_believed_where_a_file_of_it_was_changed_since(tmp_path, suffix, how):
    src, out = rec_tree(tmp_path / "src", [5, 6, 7]), tmp_path / "out"
    rb.migrate.run(src, out, name="set", to="rec", shards=3)
    changed = out / f"set-00001-of-00003.{suffix}"
    good = changed.read_bytes()
    os.utime(changed)
    assert rb.migrate.run(src, out, name="set", to="rec", shards=3, resume=True).num_rows == 18
    changed.write_bytes(good[:-3] if how == "cut" else bytes(len(good)))
    with pytest.raises(MigrationError, match=rf"{changed.name}: was written, and (was changed since|has .* bytes)"):
        rb.migrate.run(src, out, name="set", to="rec", shards=3, resume=True)


def test_what_was_copied_is_read_once_when_it_is_resumed(tmp_path, src, monkeypatch):
    begun(src, tmp_path / "out", 2, name="set", to="tfrecord", shards=3)
    copied = sorted(map(str, (tmp_path / "out").glob("*.tfrecord")))
    for path in copied:
        os.utime(path)
    read = []
    monkeypatch.setattr("recordio_bridge.migrate.state.crc_of", lambda path: read.append(path) or crc_of(path))
    assert rb.migrate.run(src, tmp_path / "out", name="set", to="tfrecord", shards=3, resume=True).num_rows == 18
    assert sorted(read) == copied


@pytest.mark.parametrize("how", [{}, {"overwrite": True}])
def test_a_link_to_a_file_with_an_index_of_its_own_is_refused(tmp_path, how):
    src, out = rec_tree(tmp_path / "src", [5, 6]), tmp_path / "out"
    out.mkdir()
    rb.convert(rec_tree(tmp_path / "mine", [7]), out / "big.rec")
    (out / "set-00000-of-00002.rec").symlink_to("big.rec")
    with pytest.raises((ValueError, FileExistsError), match=r"set-00000-of-00002\.rec"):
        rb.migrate.run(src, out, name="set", to="rec", shards=2, **how)
    assert rb.verify(out / "big.rec").ok
    (out / "set-00000-of-00002.rec").unlink()
    assert rb.migrate.run(src, out, name="set", to="rec", shards=2).num_rows == 11


def test_what_may_be_all_that_is_left_of_its_sources_stays(tmp_path, src):
    out, other = tmp_path / "out", npz_tree(tmp_path / "other", [3])
    rb.migrate.run(src, out, name="set", to="tfrecord")
    before = contents(out)
    (src / "part-0001.npz").unlink()
    with pytest.raises(MigrationError, match=r"set\.migration\.json: .*part-0001\.npz is gone: its output may be all"):
        rb.migrate.run(other, out, name="set", to="tfrecord", overwrite=True)
    assert contents(out) == before
    rb.migrate.run(other, out, name="another", to="tfrecord")
    assert contents(out).items() > before.items()


def test_it_is_replaced_while_its_sources_are_there(tmp_path, src):
    out, other = tmp_path / "out", npz_tree(tmp_path / "other", [3])
    rb.migrate.run(src, out, name="set", to="tfrecord")
    assert rb.migrate.run(other, out, name="set", to="tfrecord", overwrite=True).num_rows == 3


def test_it_stays_where_some_of_its_sources_are_taken_again(tmp_path, src):
    """As of whoever removed what was migrated, and would add what came since."""
    out = tmp_path / "out"
    rb.migrate.run(src, out, name="set", to="tfrecord", mirror=True)
    before = contents(out)
    (src / "part-0001.npz").unlink()
    (src / "part-0002.npz").unlink()
    with pytest.raises(MigrationError, match=r"part-0001\.npz, and 1 more, are gone: its output may be all that is"):
        rb.migrate.run(src, out, name="set", to="tfrecord", overwrite=True)
    assert contents(out) == before


@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"shuffle": True}])
def test_it_is_replaced_where_a_source_is_gone_of_which_it_has_no_rows(tmp_path, src, options):
    """As one that was in quarantine, and is no data."""
    out = tmp_path / "out"
    (src / "part-0001.npz").write_bytes(b"no data")
    assert not rb.migrate.run(src, out, name="set", to="tfrecord", **options).is_complete
    (src / "part-0001.npz").unlink()
    assert rb.migrate.run(src, out, name="set", to="tfrecord", overwrite=True, **options).num_rows == 12
