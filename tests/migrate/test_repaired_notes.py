"""What is said of a source that was repaired is what is to be said of it then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.formats.base import OF_ONE_FILE
from recordio_bridge.migrate.fingerprints import fingerprint
from recordio_bridge.migrate.repair import repaired, seen_now
from recordio_bridge.sources import said_anew
from tests.migrate.trees import npz_tree, numbers_in
from tests.samples import image_rec

ALARM = "DATA MAY BE MISSING"


def tree(folder: Path, *names: str) -> list[Path]:
    """Files of 40 rows with their indexes, the last of them cut inside a record."""
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        image_rec(path, 40, first_id=40 * number)
    return paths


def cut(path: Path) -> bytes:
    """Cut a file; what it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 5 + 1])
    return whole


def told(outcome: rb.migrate.Outcome) -> list[str]:
    """The notes and warnings of all manifests."""
    return [note for manifest in outcome.manifests for note in (*manifest.notes, *manifest.warnings)]


@pytest.mark.parametrize("options", [{}, {"shards": 2}, {"mirror": True}, {"shuffle": True, "seed": 1}])
@pytest.mark.parametrize("names", [("x.rec",), ("w.rec", "x.rec"), ("a/x.rec", "b/x.rec")])
def test_the_alarm_of_a_repaired_source_goes(tmp_path, options, names):
    *_, bad = tree(tmp_path / "src", *names)
    whole = cut(bad)
    if len(names) == 1:  # of which something must be readable
        tree(tmp_path / "src", "v.npz.rec")
    arguments = (tmp_path / "src", tmp_path / "out")
    first = rb.migrate.run(*arguments, to="tfrecord", **options)
    assert not first.is_complete
    assert options.get("shuffle") or any(ALARM in note for note in told(first))
    bad.write_bytes(whole)
    second = rb.migrate.run(*arguments, to="tfrecord", **options, resume=True)
    assert second.is_complete
    assert told(second) == told(rb.migrate.run(tmp_path / "src", tmp_path / "clean", to="tfrecord", **options)) or (
        not any(ALARM in note for note in told(second)) and options.get("shards")  # of which some may be empty
    )
    assert rb.migrate.verify(tmp_path / "out").warnings == []


def test_the_alarm_of_a_namesake_stays(tmp_path):
    first, second = tree(tmp_path / "src", "a/x.rec", "b/x.rec")
    whole = cut(second)
    other = cut(first)
    assert rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2).quarantine
    second.write_bytes(whole)
    half = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2, resume=True)
    alarms = [note for note in half.manifests[0].warnings if ALARM in note]
    assert len(alarms) == 1
    assert f"{first.with_suffix('.idx')}:" in alarms[0]
    first.write_bytes(other)
    whole_now = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2, resume=True)
    assert not any(ALARM in note for note in told(whole_now))


@pytest.mark.parametrize("way", ["rebuilt", "gone"])
def test_the_index_of_a_repaired_source_may_be_another(tmp_path, way):
    _, bad = tree(tmp_path / "src", "w.rec", "x.rec")
    whole = cut(bad)
    assert not rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2).is_complete
    bad.write_bytes(whole)
    bad.with_suffix(".idx").unlink()
    if way == "rebuilt":
        image_rec(bad, 38, first_id=40)
    second = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2, resume=True)
    assert numbers_in(second, "id") == list(range(78 if way == "rebuilt" else 80))


def test_what_a_repaired_source_brings_is_said(tmp_path):
    sound, bad = tree(tmp_path / "src", "w.rec", "x.rec")
    whole = cut(bad)
    assert not rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2, scan=True).is_complete
    bad.write_bytes(whole)
    index = bad.with_suffix(".idx")
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:-3]))
    second = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", shards=2, scan=True, resume=True)
    assert second.is_complete
    assert numbers_in(second, "id") == list(range(80))
    (note,) = (note for note in second.manifests[0].notes if "x.idx" in note)
    assert note.startswith("x.rec: ")
    assert ALARM not in note
    assert sound.name not in note


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "seed": 1}, {"mirror": True}])
def test_the_reason_is_that_of_now(tmp_path, options):
    sound, bad = tree(tmp_path / "src", "w.rec", "x.rec")
    for index in (tmp_path / "src").glob("*.idx"):
        index.unlink()
    bad.write_bytes(b"no records at all")
    (before,) = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", **options).quarantine
    assert "expected the magic" in before.reason
    bad.unlink()
    sources = [sound, bad]
    with pytest.raises(rb.PlanMismatchError):
        rb.migrate.run(sources, tmp_path / "out", to="tfrecord", resume=True, **options)
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", resume=True, **options)
    (after,) = outcome.quarantine
    assert after.path == str(bad)
    assert "No such file" in after.reason
    assert "No such file" in (tmp_path / "out/out.quarantine.jsonl").read_text()
    assert numbers_in(outcome, "id") == sorted(range(40)) or options.get("shuffle")


@pytest.mark.parametrize(
    ("notes", "path", "new", "paths", "expected"),
    [
        (["old"], "/a/x.rec", ["new"], ["/a/x.rec"], ["new"]),
        (["all", "x.rec: old"], "/a/x.rec", ["new"], ["/a/x.rec", "/a/y.rec"], ["all", "x.rec: new"]),
        (["all", "x.rec: old"], "/a/x.rec", ["all"], ["/a/x.rec", "/a/y.rec"], ["all"]),
        (["x.rec: one", "x.rec: two"], "/a/x.rec", [], ["/a/x.rec", "/b/x.rec"], ["x.rec: one", "x.rec: two"]),
        (["x.rec: /a/x.idx", "x.rec: /b/x.idx"], "/a/x.rec", [], ["/a/x.rec", "/b/x.rec"], ["x.rec: /b/x.idx"]),
        (["/a/x.idx is void", "/a/x2.idx"], "/a/x.rec", [], ["/a/x.rec", "/b/x.rec"], ["/a/x2.idx"]),
        (["/a/x.old.idx", "/z/a/x.idx"], "/a/x.rec", [], ["/a/x.rec", "/b/y.rec"], ["/a/x.old.idx", "/z/a/x.idx"]),
        (["y.rec: /a/x.idx: names"], "/a/x.rec", [], ["/a/x.rec", "/b/y.rec"], []),
        (["all"], "/a/x.rec", [f"{OF_ONE_FILE}3"], ["/a/x.rec", "/b/y.rec"], ["all"]),
    ],
)
def test_notes_of_a_source_make_room_for_new_ones(notes, path, new, paths, expected):
    assert said_anew(notes, path, new, paths) == tuple(expected)


def test_of_a_mirror_the_alarm_of_another_source_stays(tmp_path):
    first, second = tree(tmp_path / "src", "w.rec", "x.rec")
    wholes = cut(first), cut(second)
    assert len(rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True).quarantine) == 2
    second.write_bytes(wholes[1])
    half = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True, resume=True)
    assert [any(ALARM in note for note in manifest.warnings) for manifest in half.manifests] == [True, False]


def test_a_sidecar_of_a_repaired_source_may_be_another(tmp_path):
    tree(tmp_path / "src", "w.rec")
    bad = tmp_path / "src/x.tfrecord"
    rb.convert(tree(tmp_path / "else", "v.rec")[0], bad)
    (tmp_path / "src/w.rec").unlink()
    rb.convert(tree(tmp_path / "else2", "v.rec")[0], tmp_path / "src/a.tfrecord")
    bad.write_bytes(bad.read_bytes()[:-9])
    assert not rb.migrate.run(tmp_path / "src", tmp_path / "out", to="npz", shards=2).is_complete
    rb.convert(image_rec(tmp_path / "new.rec", 38), bad, overwrite=True)
    second = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="npz", shards=2, resume=True)
    assert (second.is_complete, second.num_rows) == (True, 78)


def test_what_planning_left_out_of_a_source_is_that_of_now(tmp_path):
    rb.convert(tree(tmp_path / "a", "w.rec")[0], tmp_path / "src.tfrecord")
    path = tmp_path / "src.tfrecord"
    whole = path.read_bytes()
    damaged = whole[:200] + b"\xff" + whole[201:]
    for before, after, count in ((damaged, whole, 0), (whole, damaged, 1)):
        path.write_bytes(before)
        plan = rb.migrate.plan(path, tmp_path / "out", to="tfrecord", on_bad_record="skip", scan=True)
        assert len(plan.outputs[0].skipped) == 1 - count
        path.write_bytes(after)
        renewed = repaired(plan, [seen_now(plan, str(path))])
        assert len(renewed.outputs[0].skipped) == count


def test_a_repaired_set_of_one_shard_may_have_another_sidecar(tmp_path):
    source, bad = tmp_path / "src", tmp_path / "src/set-00000-of-00001.tfrecord"
    source.mkdir()
    for number, (output, how) in enumerate([("a.tfrecord", {}), ("set.tfrecord", {"shards": 1})]):
        npz = npz_tree(tmp_path / f"npz{number}", [20])
        rb.convert(npz / "part-0000.npz", source / output, **how)
    sidecar = source / "set.tfrecord.schema.json"
    Path(f"{source}/set.tfrecord.manifest.json").unlink()
    plan = rb.migrate.plan(source, tmp_path / "out", to="tfrecord", shards=1)
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()), indent=7))
    now = repaired(plan, [seen_now(plan, str(bad))])
    (order,) = now.orders
    (file,) = (file for file in order.beside if file.path == str(sidecar))
    assert file.nbytes == sidecar.stat().st_size


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
def test_a_plan_knows_what_a_repaired_source_is_now(tmp_path, options):
    """Also of a mirror, whose plan is made anew but where that of another version had other orders."""
    sound, bad = tree(tmp_path / "src", "w.rec", "x.rec")
    whole = bad.read_bytes()
    bad.write_bytes(b"no records at all")
    plan = rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", **options)
    paths = [str(sound), str(bad)]
    assert [each.path for each in plan.found] == paths
    still = repaired(plan, [seen_now(plan, str(bad))])
    assert (still.files, still.outputs, len(still.orders)) == (plan.files, plan.outputs, len(plan.orders))
    assert [each.path for each in still.quarantine] == [str(bad)]
    bad.write_bytes(whole)
    mended = repaired(plan, [seen_now(plan, str(bad))])
    assert mended.files == (plan.files[0], fingerprint(str(bad)))
    assert mended.quarantine == ()
    assert {path for order in mended.orders for path in order.paths} == set(paths)
    bad.write_bytes(b"again")
    again = repaired(mended, [seen_now(mended, str(bad))])
    assert again.files == plan.files
    assert [each.path for each in again.quarantine] == [str(bad)]
