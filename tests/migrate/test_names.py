"""Outputs that cannot be put where they belong: told while they are planned, and in the way of no others."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError
from recordio_bridge.migrate.state import mirroring
from tests.migrate.trees import npz_tree, numbers_in
from tests.samples import contents

MIRROR = {"to": "tfrecord", "mirror": True}
LONGEST = 255 - len(".") - len(".tfrecord.manifest.json.12345678-12345678.part")


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return npz_tree(tmp_path / "src", [5, 6])


@pytest.mark.parametrize("options", [{}, {"shards": 1}, {"shards": 2}])
def test_a_mirror_goes_on_where_the_name_of_one_output_would_be_too_long(tmp_path, src, options):
    """Also with an option by which that is cut, which takes some letters more."""
    bad = src / f"{'n' * (LONGEST + 1)}.npz"
    rb.write(bad, {"x": np.arange(3)})
    for resume in (False, True):
        outcome = rb.migrate.run(src, tmp_path / "out", resume=resume, **MIRROR, **options)
        (each,) = outcome.quarantine
        assert each.path == str(bad)
        assert "would have too long a name: with what is put beside it while it is made 25" in each.reason
        assert outcome.num_rows == 11


def test_a_mirror_goes_on_where_the_path_of_one_output_would_be_too_long(tmp_path, src, monkeypatch):
    out, deep = tmp_path / ("o" * 200), src  # by 197 bytes longer
    while len(bytes(deep)) < 3900:
        deep = deep / ("d" * 99)
    monkeypatch.chdir(src)
    for name in deep.relative_to(src).parts:  # no call takes the whole path
        os.mkdir(name)
        os.chdir(name)
    shutil.copy(src / "part-0000.npz", f"{'a' * (4040 - len(bytes(deep)))}.npz")
    os.chdir(src)
    outcome = rb.migrate.run(src, out, **MIRROR)
    (bad,) = outcome.quarantine
    assert "would have too long a path" in bad.reason
    assert "file systems take 4095" in bad.reason
    assert outcome.num_rows == 11


@pytest.mark.parametrize("options", [{}, {"shards": 2}])
def test_the_longest_name_that_fits_is_written(tmp_path, src, options):
    name = "n" * (LONGEST - bool(options))
    (src / "part-0001.npz").rename(src / f"{name}.npz")
    assert rb.migrate.run(src, tmp_path / "out", **MIRROR, **options).is_complete
    assert rb.migrate.verify(tmp_path / "out").ok


def test_a_source_of_a_mirror_that_was_mended_and_still_has_no_output_stays_in_quarantine(tmp_path, src):
    bad = src / f"{'n' * (LONGEST + 1)}.npz"
    bad.write_bytes(b"PK\x03\x04 cut")
    out = tmp_path / "out"
    (first,) = rb.migrate.run(src, out, **MIRROR).quarantine
    rb.write(bad, {"x": np.arange(3)}, overwrite=True)
    (second,) = rb.migrate.run(src, out, resume=True, **MIRROR).quarantine
    assert "too long a name" not in first.reason
    assert "too long a name" in second.reason
    assert first.shards == second.shards == (f"{bad.stem}.tfrecord",)


def test_a_mirror_of_nothing_but_too_long_names_says_so(tmp_path):
    (tmp_path / "src").mkdir()
    rb.write(tmp_path / f"src/{'n' * (LONGEST + 1)}.npz", {"x": np.arange(3)})
    with pytest.raises(MigrationError, match="too long a name"):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", **MIRROR)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"split": "train=0.5,test=0.5"}])
def test_too_long_a_name_of_the_output_is_refused_before_anything_is_begun(tmp_path, src, options):
    with pytest.raises(MigrationError, match="too long a name"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", name="n" * 220, **options)
    assert not (tmp_path / "out").exists()


def test_a_file_where_a_folder_of_a_mirror_is_to_be_is_refused_before_anything_is_begun(tmp_path, src):
    (src / "d/e").mkdir(parents=True)
    shutil.copy(src / "part-0000.npz", src / "d/e")
    out = tmp_path / "out"
    out.mkdir()
    (out / "d").write_text("theirs")
    with pytest.raises(NotADirectoryError, match=r"out/d: is a file, and a folder of the output is to be there"):
        rb.migrate.run(src, out, **MIRROR)
    assert os.listdir(out) == ["d"]
    (out / "d").unlink()
    assert rb.migrate.run(src, out, **MIRROR).is_complete


def moved(src: Path, place: str) -> Path:
    """The tree with its second source in a folder of it."""
    (src / place).mkdir(parents=True)
    (src / "part-0001.npz").rename(src / place / "a.npz")
    return src


@pytest.mark.parametrize(
    "place", [f"out.unfinished{inner}" for inner in ("", "/unpacked", "/unpacked/d", "/lock", "/plan.jsonl", "/x")]
)
def test_an_output_of_a_mirror_among_its_state_is_refused_before_anything_is_begun(tmp_path, src, place):
    """It would go with the state, in the end."""
    moved(src, place)
    for ask in (rb.migrate.plan, rb.migrate.run):
        with pytest.raises(ValueError, match=r"a\.npz would become .*out\.unfinished.* keeps its state.*--name"):
            ask(src, tmp_path / "out", **MIRROR)
    assert not (tmp_path / "out").exists()
    assert rb.migrate.run(src, tmp_path / "out", name="set", **MIRROR).is_complete
    assert (tmp_path / "out" / place / "a.tfrecord").exists()
    assert rb.migrate.verify(tmp_path / "out").ok


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("part-0000.tfrecord", {}),
        ("part-0000.tfrecord/d/e", {}),
        ("part-0000.tfrecord.manifest.json", {}),
        ("part-0000.tfrecord.schema.json", {}),
        ("part-0000.tfrecord.schema.pbtxt", {"tfmd": True}),
        ("part-0000.idx", {"to": "rec"}),
        ("part-0000-00001-of-00002.tfrecord", {"shards": 2}),
        ("part-0000.tfrecord", {"shards": 2}),
        ("out.migration.json", {}),
        ("out.quarantine.jsonl", {}),
    ],
)
@pytest.mark.parametrize("is_bad", [False, True])
def test_a_folder_of_a_mirror_where_a_file_is_to_be_is_refused_before_anything_is_begun(
    tmp_path, src, place, options, is_bad
):
    moved(src, place)
    if is_bad:  # once it is repaired, it needs the folder all the same
        (src / place / "a.npz").write_bytes(b"PK\x03\x04 cut")
    asked = {**MIRROR, **options}
    for ask in (rb.migrate.plan, rb.migrate.run):
        with pytest.raises(
            ValueError, match=r"would be a folder, for .*a\.npz, and is the name of another output, or of a file of one"
        ):
            ask(src, tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", ["d", "d/e"])
def test_an_output_of_a_mirror_that_a_link_leads_into_its_state_is_refused(tmp_path, src, link):
    moved(src, "d/e")
    out = tmp_path / "out"
    (out / "out.unfinished").mkdir(parents=True)
    (out / link).parent.mkdir(exist_ok=True)
    (out / link).symlink_to(out / "out.unfinished")
    with pytest.raises(ValueError, match=r"a\.npz would become .*keeps its state"):
        rb.migrate.run(src, out, **MIRROR)


@pytest.mark.parametrize("asked", [{}, {"overwrite": True}])
def test_two_outputs_of_a_mirror_that_a_link_makes_one_are_refused(tmp_path, src, asked):
    moved(src, "d")
    (src / "sub").mkdir()
    shutil.copy(src / "part-0000.npz", src / "sub/a.npz")
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "d").symlink_to("sub")
    with pytest.raises(ValueError, match=r"out/sub/a\.tfrecord and .*out/d/a\.tfrecord would be one file, by a link"):
        rb.migrate.run(src, out, **asked, **MIRROR)
    (out / "d").unlink()
    assert rb.migrate.run(src, out, **MIRROR).is_complete


def test_outputs_of_a_mirror_in_a_folder_called_as_the_state_of_another_are_not_taken_for_that(tmp_path, src):
    moved(src, "other.unfinished/unpacked")
    (src / "other.unfinished/unpacked/a.npz").rename(src / "other.unfinished/unpacked/00001-a.npz")
    out = tmp_path / "out"
    rb.migrate.run(src, out, **MIRROR)
    before = contents(out)
    with pytest.raises(MigrationError, match=r"other\.unfinished/unpacked: was not put there by a migration"):
        rb.migrate.run(src, out, to="tfrecord", name="other")
    assert contents(out) == before


def test_a_file_in_the_place_of_the_lock_of_mirrors_is_refused_and_stays(tmp_path, src):
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out/.mirror.lock"
    mine.write_text("mine")
    with pytest.raises(MigrationError, match=r"\.mirror\.lock: was not put there by a migration"):
        rb.migrate.run(src, tmp_path / "out", **MIRROR)
    assert mine.read_text() == "mine"


def test_a_mirror_whose_lock_was_removed_leaves_that_of_the_next_one(tmp_path):
    """Else a third would run beside the second."""
    out, lock = str(tmp_path), tmp_path / ".mirror.lock"
    with ExitStack() as second:
        with mirroring(out):
            lock.unlink()
            second.enter_context(mirroring(out))
        with pytest.raises(MigrationError, match="another run with --mirror"), mirroring(out):
            pass
    assert not lock.exists()


@pytest.mark.parametrize("place", [".mirror.lock", "out.unfinished/lock", "out.unfinished/plan.jsonl"])
def test_a_folder_in_the_place_of_a_file_of_the_state_is_refused_and_stays(tmp_path, src, place):
    inside = tmp_path / "out" / place / "mine"
    inside.parent.mkdir(parents=True)
    inside.write_text("mine")
    with pytest.raises(MigrationError, match=rf"{place}: was not put there by a migration"):
        rb.migrate.run(src, tmp_path / "out", **MIRROR)
    assert inside.read_text() == "mine"


def test_a_packed_source_with_a_long_name_is_shuffled(tmp_path):
    (tmp_path / "src").mkdir()
    with h5py.File(tmp_path / "src" / f"{'é' * 120}.h5", "w") as file:
        file.create_dataset("n", data=np.arange(50), chunks=(10,), compression="gzip")
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shuffle=True, shards=2)
    assert sorted(numbers_in(outcome, "n")) == list(range(50))


@pytest.mark.parametrize("out", ["/", "//", "///"])
def test_below_the_root_lie_all_sources(src, out):
    with pytest.raises(FileNotFoundError, match="no file of a known format is there, but for those below /"):
        rb.migrate.plan(src, out, to="tfrecord", name="set")


# ---- sources that come and go ----


def test_sources_that_appear_after_the_plan_are_refused_with_it(tmp_path, src):
    plan = rb.migrate.plan(src, tmp_path / "out", to="tfrecord")
    shutil.copy(src / "part-0000.npz", src / "new.npz")
    with pytest.raises(rb.SourceChangedError, match=r"new\.npz: was not there when the plan was made"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", planned=plan)
    assert not (tmp_path / "out").exists()
    (src / "new.npz").unlink()
    assert rb.migrate.run(src, tmp_path / "out", to="tfrecord", planned=plan).num_rows == 11


@pytest.mark.parametrize("options", [{"to": "tfrecord"}, MIRROR])
def test_sources_that_appear_while_it_runs_are_told_in_the_end(tmp_path, src, caplog, options):
    rb.migrate.run(src, tmp_path / "clean/out", **options)
    assert caplog.messages == []

    def appear(event: object) -> None:
        if getattr(event, "phase", "") == "writing":
            for name in ("new.npz", "newer.npz"):
                shutil.copy(src / "part-0000.npz", src / name)

    outcome = rb.migrate.run(src, tmp_path / "out", on_event=appear, **options)
    assert outcome.num_rows == 11
    (said,) = caplog.messages
    assert said.startswith(f"{src}/new.npz (and 1 more): appeared while the migration ran, and is not in its output")
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def test_sources_that_cannot_be_listed_again_are_told_in_the_end(tmp_path, src, caplog):
    def two_sets(event: object) -> None:
        if getattr(event, "phase", "") == "writing":
            for name in ("a-00000-of-00001.npz", "a-00000-of-00002.npz", "a-00001-of-00002.npz"):
                shutil.copy(src / "part-0000.npz", src / name)

    assert rb.migrate.run(src, tmp_path / "out", to="tfrecord", on_event=two_sets).is_complete
    assert "cannot be listed again" in caplog.text
