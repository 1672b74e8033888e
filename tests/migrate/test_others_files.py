"""Files of other programs where a migration is to write: whenever they came, they are not replaced unless asked for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError
from recordio_bridge.files import Pending
from recordio_bridge.migrate import conclude, perform
from tests.cli.running import PACKAGE_HOME
from tests.migrate.trees import arrays, npz_tree, numbers_in
from tests.samples import contents

MIRROR = {"to": "tfrecord", "mirror": True}


class Enough(Exception):
    """What the caller's own function raises."""


def when_written(files: int, then: Callable[[], object]) -> Callable[[object], None]:
    """Do something once, when so many files are written."""
    done = []

    def on_event(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and getattr(event, "files", 0) == files and not done:
            done.append(then)
            then()

    return on_event


def enough() -> None:
    raise Enough


def begun(src: Path, out: Path, files: int = 1, **options: object) -> None:
    """A migration that was interrupted after so many files."""
    with pytest.raises(Enough):
        rb.migrate.run(src, out, on_event=when_written(files, enough), **options)


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return npz_tree(tmp_path / "src", [5, 6, 7])


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Sources of the same names as the last two of src, with other rows."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for number in (1, 2):
        np.savez(folder / f"part-{number:04d}.npz", **arrays(1000 * number, 4))
    return folder


def files_in(out: Path) -> dict[str, str]:
    """What is there but what an unfinished migration keeps to itself."""
    return {name: digest for name, digest in contents(out).items() if "set.unfinished" not in name}


# ---- before it goes on ----


def test_the_files_of_a_mirror_that_was_done_meanwhile_are_not_replaced(tmp_path, src, theirs):
    out = tmp_path / "out"
    begun(src, out, name="set", **MIRROR)
    other = rb.migrate.run(theirs, out, name="other", **MIRROR)
    before = files_in(out)
    with pytest.raises(MigrationError, match=r"part-0001\.tfrecord\S*: would be replaced.*--resume.*--overwrite"):
        rb.migrate.run(src, out, name="set", resume=True, **MIRROR)
    assert files_in(out) == before
    assert numbers_in(other, "n") == [*range(1000, 1004), *range(2000, 2004)]


def test_moving_them_away_is_a_way_on(tmp_path, src, theirs):
    out = tmp_path / "out"
    rb.migrate.run(src, tmp_path / "clean", name="set", **MIRROR)
    begun(src, out, name="set", **MIRROR)
    rb.migrate.run(theirs, out, name="other", **MIRROR)
    (tmp_path / "aside").mkdir()
    for path in [*out.glob("part-0001*"), *out.glob("part-0002*"), *out.glob("other*")]:
        shutil.move(path, tmp_path / "aside")
    rb.migrate.run(src, out, name="set", resume=True, **MIRROR)
    assert contents(out) == contents(tmp_path / "clean")


def test_overwrite_is_a_way_on(tmp_path, src, theirs):
    out = tmp_path / "out"
    begun(src, out, name="set", **MIRROR)
    rb.convert(theirs / "part-0002.npz", out / "part-0002.tfrecord")
    outcome = rb.migrate.run(src, out, name="set", overwrite=True, **MIRROR)
    assert numbers_in(outcome, "n") == list(range(18))
    assert rb.migrate.verify(out).ok


@pytest.mark.parametrize("kept", [".tfrecord", ".tfrecord.schema.json", ".tfrecord.manifest.json"])
def test_each_file_of_a_conversion_that_was_done_meanwhile_stays(tmp_path, src, theirs, kept):
    out = tmp_path / "out"
    begun(src, out, name="set", **MIRROR)
    rb.convert(theirs / "part-0002.npz", tmp_path / "part-0002.tfrecord")
    shutil.copy(tmp_path / f"part-0002{kept}", out)
    before = (out / f"part-0002{kept}").read_bytes()
    with pytest.raises(MigrationError, match=rf"part-0002{kept}: would be replaced"):
        rb.migrate.run(src, out, name="set", resume=True, **MIRROR)
    assert (out / f"part-0002{kept}").read_bytes() == before


def test_what_another_overwrote_with_as_many_bytes_is_not_taken_for_done(tmp_path, src, theirs):
    out = tmp_path / "out"
    np.savez(theirs / "part-0000.npz", **arrays(100, 5))
    begun(src, out, name="set", **MIRROR)
    size = (out / "part-0000.tfrecord").stat().st_size
    rb.migrate.run(theirs, out, name="other", overwrite=True, **MIRROR)
    assert (out / "part-0000.tfrecord").stat().st_size == size
    before = files_in(out)
    with pytest.raises(MigrationError, match=r"part-0000\.tfrecord\S*: would be replaced"):
        rb.migrate.run(src, out, name="set", resume=True, **MIRROR)
    assert files_in(out) == before


def test_an_index_of_another_program_stays(tmp_path, src):
    out = tmp_path / "out"
    begun(src, out, to="rec", mirror=True)
    (out / "part-0002.idx").write_text("of another")
    with pytest.raises(MigrationError, match=r"part-0002\.idx: would be replaced"):
        rb.migrate.run(src, out, to="rec", mirror=True, resume=True)
    assert (out / "part-0002.idx").read_text() == "of another"
    assert not (out / "part-0002.rec").exists()


def test_a_file_that_was_put_there_and_not_noted_is_ours(tmp_path, src):
    """As of a run that was killed in between."""
    rb.migrate.run(src, tmp_path / "clean/out", to="rec", mirror=True)
    out = tmp_path / "out"
    begun(src, out, 2, to="rec", mirror=True)
    for path in (out / "out.unfinished").glob("*.json"):
        path.unlink()
    rb.migrate.run(src, out, to="rec", mirror=True, resume=True)
    assert contents(out) == contents(tmp_path / "clean/out")


@pytest.mark.parametrize(
    "change",
    [lambda data: data + b"more", lambda data: b"\0" + data[1:-7], lambda data: b"precious"],
    ids=["more", "cut", "other"],
)
def test_a_file_that_was_done_and_is_another_by_now_stays_and_moving_it_away_is_a_way_on(tmp_path, src, change):
    out = tmp_path / "out"
    begun(src, out, files=2, to="tfrecord", shards=3)
    mine = next(iter(out.glob("*.tfrecord")))
    mine.write_bytes(change(mine.read_bytes()))
    before = mine.read_bytes()
    with pytest.raises(MigrationError, match=r"would be replaced.*or was changed; it stays"):
        rb.migrate.run(src, out, to="tfrecord", shards=3, resume=True)
    assert mine.read_bytes() == before
    mine.rename(tmp_path / "mine")
    assert rb.migrate.run(src, out, to="tfrecord", shards=3, resume=True).is_complete
    assert rb.migrate.verify(out).ok


@pytest.mark.parametrize("options", [{"shards": 2}, {"shards": 2, "shuffle": True}])
@pytest.mark.parametrize("is_as_long", [True, False])
def test_a_file_of_another_in_the_place_of_one_that_is_redone_after_a_repair_stays(tmp_path, src, options, is_as_long):
    bad = src / "part-0001.npz"
    good = bad.read_bytes()
    bad.write_bytes(good[:-30])
    out = tmp_path / "out"
    rb.migrate.run(src, out, to="tfrecord", **options)
    bad.write_bytes(good)
    theirs = {}
    for path in out.glob("*.tfrecord"):
        theirs[path] = b"\1" * path.stat().st_size if is_as_long else b"precious"
        path.write_bytes(theirs[path])
    with pytest.raises(MigrationError, match="would be replaced"):
        rb.migrate.run(src, out, to="tfrecord", resume=True, **options)
    assert {path: path.read_bytes() for path in theirs} == theirs


@pytest.mark.parametrize("other", ["migration", "conversion"])
def test_what_is_done_is_not_believed_where_another_replaced_an_output(tmp_path, src, theirs, other):
    """Its rows are elsewhere then, or nowhere, whatever the manifest of the other says."""
    out = tmp_path / "out"
    rb.migrate.run(src, out, name="set", **MIRROR)
    if other == "migration":
        rb.migrate.run(theirs, out, name="other", overwrite=True, **MIRROR)
    else:
        rb.convert(src / "part-0001.npz", out / "part-0001.tfrecord", select={"n": "n"}, overwrite=True)
    before = files_in(out)
    with pytest.raises(
        MigrationError, match=r"part-0001\.tfrecord\.manifest\.json: was written, and is another by now"
    ):
        rb.migrate.run(src, out, name="set", resume=True, **MIRROR)
    assert files_in(out) == before
    assert rb.migrate.run(src, out, name="set", overwrite=True, **MIRROR).is_complete


# ---- before it is begun again ----


def test_an_output_that_is_of_another_migration_by_now_stays_when_it_is_begun_again(tmp_path, src, theirs, caplog):
    out = tmp_path / "out"
    rb.migrate.run(src, out, name="set", **MIRROR)
    rb.migrate.run(theirs, out, name="other", overwrite=True, **MIRROR)
    before = {name: digest for name, digest in files_in(out).items() if "part-0001" in name or "part-0002" in name}
    caplog.clear()
    rb.migrate.run(src, out, name="set", to="tfrecord", overwrite=True)
    after = files_in(out)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if "part-0000" in name]
    assert [record.getMessage().partition(": was of the migration")[0] for record in caplog.records] == [
        f"{out}/part-000{number}.tfrecord.manifest.json" for number in (1, 2)
    ]
    assert rb.migrate.verify(out).ok


def test_an_output_of_another_stays_also_where_it_was_begun_and_not_done(tmp_path, src, theirs, caplog):
    out = tmp_path / "out"
    begun(src, out, name="set", **MIRROR)
    rb.convert(theirs / "part-0001.npz", out / "part-0001.tfrecord", overwrite=True)
    before = {name: digest for name, digest in files_in(out).items() if "part-0001" in name}
    caplog.clear()
    rb.migrate.run(src, out, name="set", to="tfrecord", overwrite=True)
    after = files_in(out)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if "part-0000" in name]
    assert f"{out}/part-0001.tfrecord: was of the migration" in caplog.text


@pytest.mark.parametrize("is_done", [True, False])
def test_a_file_of_another_size_in_the_place_of_one_that_would_go_stays(tmp_path, src, caplog, is_done):
    out = tmp_path / "out"
    if is_done:
        rb.migrate.run(src, out, to="tfrecord", shards=3)
    else:
        begun(src, out, files=2, to="tfrecord", shards=3)
    mine = out / "out-00001-of-00003.tfrecord"
    mine.write_bytes(b"precious")
    rb.migrate.run(src, out, to="tfrecord", shards=2, overwrite=True)
    assert mine.read_bytes() == b"precious"
    assert f"{mine}: was of the migration that is begun again, and was replaced" in caplog.text
    assert [path.name for path in out.glob("*-of-00003.tfrecord")] == [mine.name]


def test_a_file_of_another_that_was_to_go_stays_also_the_second_time(tmp_path, src):
    out = tmp_path / "out"
    rb.migrate.run(src, out, to="tfrecord", shards=3)
    begun(src, out, to="tfrecord", shards=2, overwrite=True)
    mine = out / "out-00002-of-00003.tfrecord"
    mine.write_bytes(b"precious")
    rb.migrate.run(src, out, to="tfrecord", shards=1, overwrite=True)
    assert mine.read_bytes() == b"precious"


@pytest.mark.parametrize("to", ["tfrecord", "rec"])
def test_what_tells_of_a_conversion_onto_a_shard_goes_with_what_it_wrote(tmp_path, src, to):
    out = tmp_path / "out"
    rb.migrate.run(src, out, to=to, shards=3)
    before = contents(out)
    rb.convert(src / "part-0000.npz", out / f"out-00001-of-00003.{to}", overwrite=True)
    assert not rb.migrate.verify(out).ok
    rb.migrate.run(src, out, to=to, shards=3, overwrite=True)
    assert contents(out) == before
    assert rb.migrate.verify(out).ok


def test_it_is_begun_again_where_a_manifest_of_it_is_gone(tmp_path, src):
    out = tmp_path / "out"
    rb.migrate.run(src, out, **MIRROR)
    (out / "part-0001.tfrecord.manifest.json").unlink()
    rb.migrate.run(src, out, overwrite=True, **MIRROR)
    assert rb.migrate.verify(out).ok


# ---- while it runs ----


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"workers": 2}])
def test_a_conversion_that_is_done_while_it_runs_is_not_replaced(tmp_path, src, theirs, options):
    out = tmp_path / "out"

    def convert() -> None:
        rb.convert(theirs / "part-0002.npz", out / "part-0002.tfrecord")

    if "workers" in options:  # so that the last of the files is not begun when the first is done
        src = npz_tree(tmp_path / "many", [5] * 3 + [50_000] * 3)
        theirs_to = out / "part-0005.tfrecord"

        def convert() -> None:
            rb.convert(theirs / "part-0002.npz", theirs_to)

    with pytest.raises(MigrationError, match=r"part-000[25]\.tfrecord: would be replaced"):
        rb.migrate.run(src, out, on_event=when_written(1, convert), **MIRROR, **options)
    number = 5 if "workers" in options else 2
    with rb.open(out / f"part-000{number}.tfrecord") as file:
        assert file[0:4]["n"].tolist() == list(range(2000, 2004))
    assert rb.verify(out / f"part-000{number}.tfrecord").ok


def test_an_output_that_was_overwritten_while_it_ran_keeps_its_manifest(tmp_path, src, theirs):
    out = tmp_path / "out"

    def convert() -> None:
        rb.convert(theirs / "part-0002.npz", out / "part-0000.tfrecord", overwrite=True)

    with pytest.raises(MigrationError, match=r"part-0000\.tfrecord\S*: would be replaced|it ended without"):
        rb.migrate.run(src, out, on_event=when_written(1, convert), **MIRROR)
    assert rb.verify(out / "part-0000.tfrecord").num_rows == 4


# ---- what may be replaced ----


def test_an_overwrite_that_was_interrupted_still_may_replace_what_was_there(tmp_path, src):
    rb.migrate.run(src, tmp_path / "clean/out", to="rec", mirror=True)
    out = tmp_path / "out"
    rb.migrate.run(src, out, to="rec", mirror=True, select=["n=n"])
    begun(src, out, to="rec", mirror=True, overwrite=True)
    rb.migrate.run(src, out, to="rec", mirror=True, resume=True)
    assert contents(out) == contents(tmp_path / "clean/out")


def test_what_came_since_an_overwrite_was_interrupted_stays(tmp_path, src, theirs):
    out = tmp_path / "out"
    rb.migrate.run(src, out, name="set", shards=1, **MIRROR)
    begun(src, out, name="set", overwrite=True, **MIRROR)
    rb.migrate.run(theirs, out, name="other", overwrite=True, **MIRROR)
    before = files_in(out)
    with pytest.raises(MigrationError, match="would be replaced"):
        rb.migrate.run(src, out, name="set", resume=True, **MIRROR)
    assert files_in(out) == before


def test_a_file_that_took_the_name_of_one_that_was_to_go_stays(tmp_path, src):
    """One shard fewer: the others were to go."""
    out = tmp_path / "out"
    rb.migrate.run(src, out, to="tfrecord", shards=3)
    begun(src, out, to="tfrecord", shards=2, overwrite=True)
    stays = out / "out-00002-of-00003.tfrecord"
    stays.write_bytes(b"of another program")
    rb.migrate.run(src, out, to="tfrecord", shards=2, resume=True)
    assert stays.read_bytes() == b"of another program"


@pytest.mark.parametrize("options", [{"shards": 2}, {"shards": 2, "shuffle": True}, {"mirror": True}])
@pytest.mark.parametrize("to", ["tfrecord", "rec"])
def test_after_a_repair_files_of_this_migration_are_replaced(tmp_path, src, options, to):
    """Also where the run that began with that was interrupted."""
    rb.migrate.run(src, tmp_path / "clean/out", to=to, **options)
    bad = src / "part-0001.npz"
    good = bad.read_bytes()
    bad.write_bytes(good[:-30])
    out = tmp_path / "out"
    assert not rb.migrate.run(src, out, to=to, **options).is_complete
    assert not rb.migrate.run(src, out, to=to, resume=True, **options).is_complete
    bad.write_bytes(good)
    files = 3 if "mirror" in options else 2
    with pytest.raises(Enough):
        rb.migrate.run(src, out, to=to, resume=True, on_event=when_written(files, enough), **options)
    assert rb.migrate.run(src, out, to=to, resume=True, **options).is_complete
    assert contents(out) == contents(tmp_path / "clean/out")


def test_the_manifest_of_a_run_that_was_killed_when_it_had_written_that_is_ours(tmp_path, src):
    rb.migrate.run(src, tmp_path / "clean/out", **MIRROR)
    script = (
        "import os, signal, sys, recordio_bridge as rb\n"
        "from recordio_bridge.migrate import conclude\n"
        "real, done = conclude.put_in_place, []\n"
        "def put(files, there):\n"
        "    real(files, there)\n"
        "    done.append(files)\n"
        "    if len(done) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "conclude.put_in_place = put\n"
        "rb.migrate.run(sys.argv[1], sys.argv[2], to='tfrecord', mirror=True)\n"
    )
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    command = [sys.executable, "-c", script, str(src), str(tmp_path / "out")]
    assert subprocess.run(command, env=settings, check=False).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "out").glob("*.manifest.json"))) == 2
    rb.migrate.run(src, tmp_path / "out", resume=True, **MIRROR)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


# ---- another run at the same time ----


def test_two_mirrors_of_one_folder_do_not_run_at_once_whatever_their_names(tmp_path, src):
    (tmp_path / "other").mkdir()
    shutil.copy(src / "part-0000.npz", tmp_path / "other")
    out, said = tmp_path / "out", []

    def begin_another() -> None:
        with pytest.raises(
            MigrationError, match=r"out: another run with --mirror works in this folder; wait until"
        ) as err:
            rb.migrate.run(tmp_path / "other", out, name="two", **MIRROR)
        said.append(err)
        assert rb.migrate.run(src, out, to="tfrecord", name="set", shards=2).is_complete  # its files are called set

    before = when_written(2, begin_another)
    assert rb.migrate.run(src, out, name="one", on_event=before, **MIRROR).is_complete
    assert len(said) == 1
    assert not list(out.glob(".*"))
    assert rb.migrate.verify(out).ok


def test_a_mirror_goes_on_where_one_was_killed(tmp_path, src):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".mirror.lock").touch()
    assert rb.migrate.run(src, out, **MIRROR).is_complete
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("module", [perform, conclude], ids=["a shard", "the manifest"])
def test_a_file_that_appears_when_all_was_looked_at_stays(tmp_path, src, monkeypatch, module):
    """Between the last look and the naming."""
    out, put, theirs = tmp_path / "out", module.put_in_place, []

    def appear(files: Sequence[Pending], there: Collection[str]) -> None:
        if not theirs:
            theirs.append(Path(files[0].final))
            theirs[0].write_bytes(b"of another run")
        put(files, there)

    monkeypatch.setattr(module, "put_in_place", appear)
    with pytest.raises(MigrationError, match=r"would be replaced, .* Move it away and go on with --resume"):
        rb.migrate.run(src, out, **MIRROR)
    assert theirs[0].read_bytes() == b"of another run"
    theirs[0].unlink()
    assert rb.migrate.run(src, out, resume=True, **MIRROR).is_complete
    rb.migrate.run(src, tmp_path / "clean/out", **MIRROR)
    assert contents(out) == contents(tmp_path / "clean/out")


def test_of_two_that_write_the_same_bytes_at_once_none_is_in_the_way(tmp_path, src, monkeypatch):
    """As two workers of Beam that were given the same order."""
    out, put, done = tmp_path / "out", perform.put_in_place, []

    def appear(files: Sequence[Pending], there: Collection[str]) -> None:
        for file in files:
            shutil.copy(file.temporary, file.final)
        done.append(there)
        put(files, there)

    monkeypatch.setattr(perform, "put_in_place", appear)
    assert rb.migrate.run(src, out, **MIRROR).is_complete
    assert done == [set()] * 3
    assert not list(out.glob(".*"))


# ---- in the place of the report ----

NO_REPORTS = [
    b"my notes\n",
    b'{"path": "x"}\n',
    b"[" * 100_000,
    b'{"a": 1}\n{"a": 2}\n',
    b"\xff\xfe",
]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("theirs", NO_REPORTS, ids=range(len(NO_REPORTS)))
@pytest.mark.parametrize("is_bad", [False, True], ids=["all sound", "one in quarantine"])
def test_a_file_in_the_place_of_the_report_is_neither_replaced_nor_removed(tmp_path, src, overwrite, theirs, is_bad):
    out = tmp_path / "out"
    if overwrite:
        rb.migrate.run(src, out, to="tfrecord", name="set")
    if is_bad:
        (src / "part-0001.npz").write_bytes(b"PK\3\4 damaged")
    out.mkdir(exist_ok=True)
    (out / "set.quarantine.jsonl").write_bytes(theirs)
    before = contents(out)
    with pytest.raises(MigrationError, match=r"set\.quarantine\.jsonl: is in the place of the report.*--name"):
        rb.migrate.run(src, out, to="tfrecord", name="set", overwrite=overwrite)
    assert contents(out) == before


def test_a_file_that_took_the_place_of_the_report_meanwhile_stays_and_moving_it_away_is_a_way_on(tmp_path, src):
    out = tmp_path / "out"
    begun(src, out, name="set", to="tfrecord", shard_bytes=1)
    report = out / "set.quarantine.jsonl"
    report.write_bytes(b"my notes")
    with pytest.raises(MigrationError, match="is in the place of the report"):
        rb.migrate.run(src, out, name="set", resume=True, to="tfrecord", shard_bytes=1)
    assert report.read_bytes() == b"my notes"
    report.unlink()
    assert rb.migrate.run(src, out, name="set", resume=True, to="tfrecord", shard_bytes=1).num_rows == 18


@pytest.mark.parametrize("edited", [b"", b"# noted\n"])
def test_a_report_that_was_edited_costs_nothing_when_it_is_resumed(tmp_path, src, edited):
    sound, out = (src / "part-0001.npz").read_bytes(), tmp_path / "out"
    (src / "part-0001.npz").write_bytes(b"PK\3\4 damaged")
    rb.migrate.run(src, out, **MIRROR)
    report = out / "out.quarantine.jsonl"
    report.write_bytes(report.read_bytes() + edited if edited else b"")
    before = contents(out)
    (src / "part-0001.npz").write_bytes(sound)
    if edited:
        with pytest.raises(MigrationError, match=r"quarantine\.jsonl: .* was not written by one, or edited"):
            rb.migrate.run(src, out, resume=True, **MIRROR)
        assert contents(out) == before
        report.unlink()
    assert rb.migrate.run(src, out, resume=True, **MIRROR).num_rows == 18
    assert not report.exists()
    assert rb.migrate.verify(out).ok


def test_the_report_of_an_earlier_migration_is_replaced_and_removed(tmp_path, src):
    out, sound = tmp_path / "out", (src / "part-0001.npz").read_bytes()
    report = out / "set.quarantine.jsonl"
    for damage in (b"PK\3\4 damaged", b"other damage"):
        (src / "part-0001.npz").write_bytes(damage)
        rb.migrate.run(src, out, to="tfrecord", name="set", overwrite=True)
        assert report.read_bytes().count(b"\n") == 1
    (src / "part-0001.npz").write_bytes(sound)
    rb.migrate.run(src, out, to="tfrecord", name="set", overwrite=True)
    assert not report.exists()


@pytest.mark.parametrize("theirs", [b"mine", b'{"my": "notes"}', b"[]"])
def test_a_file_in_the_place_of_what_says_that_all_is_done_is_not_replaced(tmp_path, src, theirs):
    out = tmp_path / "out"
    out.mkdir()
    (out / "set.migration.json").write_bytes(theirs)
    before = contents(out)
    with pytest.raises(MigrationError, match=r"set\.migration\.json: is where .* was not written by one.*--name"):
        rb.migrate.run(src, out, to="tfrecord", name="set", overwrite=True)
    assert contents(out) == before


@pytest.mark.parametrize("left", [0, 100, None])
def test_a_damaged_end_of_an_earlier_migration_is_replaced(tmp_path, src, left):
    out = tmp_path / "out"
    rb.migrate.run(src, out, to="tfrecord", name="set")
    end = out / "set.migration.json"
    whole = end.read_bytes()
    end.write_bytes(whole[:left] if left is not None else whole.replace(b"true", b"trUe"))
    rb.migrate.run(src, out, to="tfrecord", name="set", overwrite=True)
    assert end.read_bytes() == whole


def done_but_for(src: Path, out: Path) -> Path:
    """A file that was written by a migration which is not done."""
    begun(src, out, 2, name="set", to="tfrecord", shards=3)
    return out / "set-00000-of-00003.tfrecord"


def test_a_file_of_the_same_size_in_the_place_of_one_that_was_written_is_not_believed(tmp_path, src):
    done = done_but_for(src, tmp_path / "out")
    good, theirs = done.read_bytes(), bytes(done.stat().st_size)
    done.write_bytes(theirs)
    with pytest.raises(MigrationError, match=rf"{done.name}: would be replaced.*or was changed"):
        rb.migrate.run(src, tmp_path / "out", name="set", to="tfrecord", shards=3, resume=True)
    assert done.read_bytes() == theirs
    done.unlink()
    assert rb.migrate.run(src, tmp_path / "out", name="set", to="tfrecord", shards=3, resume=True).num_rows == 18
    assert done.read_bytes() == good
    assert rb.migrate.verify(tmp_path / "out").ok


def test_a_file_that_was_copied_since_is_believed(tmp_path, src):
    done = done_but_for(src, tmp_path / "out")
    os.utime(done)
    before = done.stat()
    assert rb.migrate.run(src, tmp_path / "out", name="set", to="tfrecord", shards=3, resume=True).num_rows == 18
    assert os.path.samestat(before, done.stat())


def test_a_file_of_another_size_that_has_the_time_is_not_believed(tmp_path, src):
    done = done_but_for(src, tmp_path / "out")
    before = done.stat()
    done.write_bytes(b"mine")
    os.utime(done, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(MigrationError, match="would be replaced"):
        rb.migrate.run(src, tmp_path / "out", name="set", to="tfrecord", shards=3, resume=True)
