"""Migrations from and to a remote store, on fsspec's in memory. S3's protocol: test_remote_oracle.py."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier

import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError, remote
from recordio_bridge.migrate.state import State
from tests.migrate.trees import rec_tree
from tests.samples import contents, image_rec

fsspec = pytest.importorskip("fsspec")

SRC, OUT = "memory://lake/src", "memory://lake/out"
KINDS = {
    "flat": {"to": "tfrecord", "shards": 3},
    "mirror": {"to": "rec", "mirror": True},
    "shuffle": {"to": "tfrecord", "shards": 3, "shuffle": True, "seed": 3},
    "split": {"to": "h5", "split": "train=0.8,test=0.2", "seed": 3},
    "tfds": {"to": "tfrecord", "split": "train=0.8,test=0.2", "seed": 3, "tfds": "digits:1.0.0"},
}


def left_in(folder: Path) -> list[str]:
    """What is in a folder when all copies are gone that nobody holds any more."""
    gc.collect()
    return os.listdir(folder)


@pytest.fixture(autouse=True)
def no_pauses(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that follow one another at once."""
    monkeypatch.setattr(remote, "_PAUSE_S", 0.0)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A tree of .rec with indexes, on this machine and in the store."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    src = rec_tree(tmp_path / "here/src", [30, 0, 41])
    (src / "x").mkdir()
    image_rec(src / "x/d.rec", 25, 71)
    for path in src.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"{SRC}/{path.relative_to(src)}", path.read_bytes())
    yield tmp_path / "here"
    memory.store.clear()


def found(place: str = OUT) -> dict[str, bytes]:
    """All that is in a folder of the store."""
    memory = fsspec.filesystem("memory")
    folder = f"{place.removeprefix('memory:/')}/"
    return {path.removeprefix(folder): memory.cat_file(path) for path in memory.find(folder)}


def is_told_of_places(name: str) -> bool:
    """Whether a file names the sources, or says where they are."""
    return name.endswith((".manifest.json", ".migration.json"))


def assert_as_local(here: Path, **asked: object) -> None:
    """The files in the store are those of a migration on this machine."""
    rb.migrate.run(here / "src", here / "out", **asked)
    mine, theirs = {name: (here / "out" / name).read_bytes() for name in contents(here / "out")}, found()
    assert theirs.keys() == mine.keys()
    assert [name for name in mine if mine[name] != theirs[name] and not is_told_of_places(name)] == []


class Enough(Exception):
    """What the caller's own function raises."""


def stop_at_first_file(event) -> None:
    if event.phase == "writing" and event.files == 1:
        raise Enough


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_migrated_there_is_what_is_migrated_here(here, workshop, kind):
    outcome = rb.migrate.run(SRC, OUT, **KINDS[kind])
    assert (outcome.is_complete, outcome.num_rows) == (True, 96)
    assert_as_local(here, **KINDS[kind])
    report = rb.migrate.verify(OUT)
    assert (report.ok, report.num_rows) == (True, 96)
    before = found()
    assert rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind]).num_rows == 96
    assert found() == before
    assert left_in(workshop) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_begun_is_refused_then_finished_with_the_same_bytes(here, workshop, kind):
    with pytest.raises(Enough):
        rb.migrate.run(SRC, OUT, on_event=stop_at_first_file, **KINDS[kind])
    assert not [name for name in found() if is_told_of_places(name)]
    with pytest.raises(FileExistsError, match=r"begun.*--resume"):
        rb.migrate.run(SRC, OUT, **KINDS[kind])
    assert rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind]).is_complete
    assert_as_local(here, **KINDS[kind])
    assert left_in(workshop) == []


def test_a_file_that_appears_there_with_the_first_bytes_of_ours_is_of_another(here):
    """What a power cut leaves on a disk: a store has nothing of a file, or all of it."""
    memory = fsspec.filesystem("memory")
    rb.migrate.run(SRC, "memory://lake/clean/out", **KINDS["flat"])
    ours = memory.cat_file("memory://lake/clean/out/out-00002-of-00003.tfrecord")
    theirs = f"{OUT}/out-00002-of-00003.tfrecord"

    def appear(event) -> None:
        if event.phase == "writing" and event.files == 1:
            memory.pipe_file(theirs, ours[:100])

    with pytest.raises(MigrationError, match=r"out-00002-of-00003\.tfrecord: would be replaced"):
        rb.migrate.run(SRC, OUT, on_event=appear, **KINDS["flat"])
    assert memory.cat_file(theirs) == ours[:100]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_source_is_quarantined_and_taken_in_when_it_is_repaired(here, workshop, kind):
    memory, path = fsspec.filesystem("memory"), f"{SRC}/part-0002.rec"
    good = memory.cat_file(path)
    memory.pipe_file(path, bytes(4) + good[4:])
    first = rb.migrate.run(SRC, OUT, **KINDS[kind])
    assert ([each.path for each in first.quarantine], first.num_rows) == ([path], 55)
    assert path.encode() in found()["out.quarantine.jsonl"]
    assert path in " ".join(rb.migrate.verify(OUT).warnings)
    memory.pipe_file(path, good)
    assert rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind]).is_complete
    assert_as_local(here, **KINDS[kind])
    assert left_in(workshop) == []


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_a_flipped_bit_and_a_missing_file(here, kind):
    memory = fsspec.filesystem("memory")
    outcome = rb.migrate.run(SRC, OUT, **KINDS[kind])
    path = outcome.manifests[0].paths[0]
    good = memory.cat_file(path)
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 16
    memory.pipe_file(path, bytes(damaged))
    assert path in str(rb.migrate.verify(OUT).problems)
    memory.pipe_file(path, good)
    assert rb.migrate.verify(OUT).ok
    memory.rm_file(path)
    assert path in str(rb.migrate.verify(OUT).problems)


def test_overwrite_replaces_what_was_there_and_leaves_nothing_of_it(here):
    rb.migrate.run(SRC, OUT, to="tfrecord", shards=5)
    rb.migrate.run(SRC, OUT, overwrite=True, **KINDS["flat"])
    assert_as_local(here, **KINDS["flat"])


def test_a_plan_alone_writes_nothing(here, workshop):
    plan = rb.migrate.plan(SRC, OUT, **KINDS["flat"])
    assert plan.nbytes == sum(path.stat().st_size for path in (here / "src").rglob("*.rec"))
    assert found() == {}
    assert left_in(workshop) == []
    assert rb.migrate.run(SRC, OUT, planned=plan, **KINDS["flat"]).num_rows == 96


@pytest.mark.parametrize("kind", ["shuffle", "split"])
def test_a_source_of_a_permutation_that_is_gone_when_it_is_fetched_costs_its_own_rows(here, workshop, kind):
    memory, path = fsspec.filesystem("memory"), f"{SRC}/part-0002.rec"
    plan = rb.migrate.plan(SRC, OUT, **KINDS[kind])
    good, info = memory.cat_file(path), memory.store[path.removeprefix("memory:/")]
    memory.rm(path)
    first = rb.migrate.run(SRC, OUT, planned=plan, **KINDS[kind])
    assert ([each.path for each in first.quarantine], first.num_rows) == ([path], 55)
    assert first.quarantine[0].reason == os.strerror(errno.ENOENT)
    memory.pipe_file(path, good)
    memory.store[path.removeprefix("memory:/")].modified = info.modified
    assert rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind]).is_complete
    assert_as_local(here, **KINDS[kind])
    assert left_in(workshop) == []


def test_receipts_in_a_store_are_read_side_by_side_and_told_apart(here, monkeypatch):
    asked = {"to": "rec", "mirror": True}
    with pytest.raises(Enough):
        rb.migrate.run(SRC, OUT, on_event=stop_when_all_are_written, **asked)
    state = State(OUT, "out")
    plan = state.read_plan()
    alone = {
        number: state.receipt(name, plan.orders[number].target_format, plan.orders[number].target)
        for number, name in enumerate(plan.receipt_names)
    }
    assert (len(alone), None in alone.values()) == (4, False)
    met = Barrier(len(alone), timeout=60)
    one = State.receipt
    monkeypatch.setattr(State, "receipt", lambda self, name: (met.wait(), one(self, name))[1])
    assert state.receipts(plan) == alone


def stop_when_all_are_written(event) -> None:
    if event.phase == "writing" and event.files == event.of_files:
        raise Enough
