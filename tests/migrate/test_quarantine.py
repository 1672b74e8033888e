"""What is bad goes to quarantine with its place and its reason, costs its own rows only, and can be repaired."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError, SourceChangedError
from recordio_bridge.migrate.repair import repaired, seen_now
from recordio_bridge.migrate.state import State
from tests.cli.running import run
from tests.migrate.trees import (
    NUMBERS,
    TREES,
    example,
    npz_tree,
    numbers_in,
    rec_tree,
    report_of,
    tfrecord_tree,
    tree_with_a_half,
)
from tests.samples import contents, image_of, image_payload, image_rec, write_rec, write_tfrecord
from tests.test_images import encoded

SIZES = [10, 12, 14]
BAD = range(10, 22)
"""The rows of the middle one, which is damaged."""
Damage = Callable[[Path], object]


def overwritten(at: int | float, data: bytes) -> Damage:
    """Other bytes in a file, at a byte or a part of its length; the size stays."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        place = at if isinstance(at, int) else int(at * len(content))
        content[place : place + len(data)] = data
        path.write_bytes(content)

    return damage


def cut(nbytes: int) -> Damage:
    """So many bytes less at the end."""
    return lambda path: path.write_bytes(path.read_bytes()[:-nbytes])


def rec_record_at(path: Path, number: int) -> int:
    """Where a record of a .rec of image_rec begins."""
    offsets = [int(line.split("\t")[1]) for line in path.with_suffix(".idx").read_text().splitlines()]
    return offsets[number]


DAMAGES: list[tuple[str, Damage]] = [
    ("rec", lambda path: overwritten(rec_record_at(path, 7), b"\0\0\0\0")(path)),  # no magic in the middle
    ("rec", overwritten(0, b"\0\0\0\0")),
    ("rec", cut(3)),
    ("rec", lambda path: path.write_bytes(b"no records at all, only text")),
    ("tfrecord", overwritten(0.5, b"\xff\xff\xff")),
    ("tfrecord", overwritten(0, b"\xff")),
    ("tfrecord", cut(1)),
    ("h5", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])),
    ("h5", overwritten(0, b"garbage!")),
    ("npz", lambda path: path.write_bytes(b"PK\x03\x04" + b"garbage" * 40)),
    ("npz", overwritten(0.3, b"\xff\xff\xff\xff")),
    ("npz", cut(20)),
]


def middle(src: Path, kind: str) -> Path:
    return src / f"part-0001.{kind}"


def rows_but(missing: range) -> list[int]:
    return [n for n in range(sum(SIZES)) if n not in missing]


# ---- found, named and left out ----


@pytest.mark.parametrize(("kind", "damage"), DAMAGES)
@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
def test_a_bad_source_costs_its_own_rows_only_and_comes_back_when_repaired(tmp_path, kind, damage, options):
    src = TREES[kind](tmp_path / "src", SIZES)
    clean = rb.migrate.run(src, tmp_path / "clean/set", to="tfrecord", **options)
    bad = middle(src, kind)
    good, times = bad.read_bytes(), os.stat(bad)
    damage(bad)

    first = rb.migrate.run(src, tmp_path / "out/set", to="tfrecord", **options)
    assert not first.is_complete
    found = numbers_in(first, NUMBERS[kind])
    assert (
        set(rows_but(BAD)) <= set(found) < set(range(sum(SIZES)))
    )  # of a .rec, the sound part before the damage is there
    assert found == sorted(found)
    assert [each.path for each in first.quarantine] == [str(bad)]
    assert report_of(tmp_path / "out/set")[0]["path"] == str(bad)
    assert all(each.reason and str(bad) not in each.reason for each in first.quarantine)
    report = rb.migrate.verify(tmp_path / "out/set")
    assert report.ok, report.problems
    assert str(bad) in " ".join(report.warnings)

    again = rb.migrate.run(src, tmp_path / "out/set", to="tfrecord", resume=True, **options)
    assert again.quarantine == first.quarantine
    assert numbers_in(again, NUMBERS[kind]) == found

    same_size = bad.stat().st_size == len(good)
    bad.write_bytes(good)
    os.utime(bad, ns=(times.st_atime_ns, times.st_mtime_ns))
    mended = rb.migrate.run(src, tmp_path / "out/set", to="tfrecord", resume=True, **options)
    assert mended.is_complete
    assert numbers_in(mended, NUMBERS[kind]) == numbers_in(clean, NUMBERS[kind])
    assert rb.migrate.verify(tmp_path / "out/set").ok
    if same_size or "mirror" in options:  # else the files may be cut elsewhere, as none that is sound is written again
        assert contents(tmp_path / "out/set") == contents(tmp_path / "clean/set")
    assert not (tmp_path / "out/set/set.unfinished").exists()


def test_where_a_rec_is_damaged_is_said_by_record_and_byte(tmp_path):
    src = rec_tree(tmp_path / "src", SIZES)
    bad = middle(src, "rec")
    byte = rec_record_at(bad, 7)
    overwritten(byte, b"\0\0\0\0")(bad)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    (line,) = report_of(tmp_path / "out")
    assert (line["path"], line["record"], line["byte"]) == (str(bad), 7, byte)
    assert "magic" in line["reason"]


@pytest.mark.parametrize("options", [{}, {"shards": 8}, {"mirror": True, "shards": 3}])
@pytest.mark.parametrize("scan", [False, True])
def test_the_record_is_numbered_in_its_file_also_where_the_file_is_cut(tmp_path, options, scan):
    src = rec_tree(tmp_path / "src", [200, 20])
    bad = src / "part-0000.rec"
    byte = rec_record_at(bad, 150)
    overwritten(byte, b"\0\0\0\0")(bad)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", scan=scan, **options)
    (line,) = report_of(tmp_path / "out")
    assert (line["path"], line["record"], line["byte"]) == (str(bad), 150, byte)
    assert numbers_in(outcome, "id")[-20:] == list(range(200, 220))


def test_where_a_file_is_cut_the_sound_parts_are_there(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    write_rec(src / "a.rec", [image_payload(n, 0.5 if n == 150 else 1.0, image_of(n)) for n in range(200)])
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=8, select=["id=id", "y:int64=label[0]"])
    numbers = numbers_in(outcome, "id")
    (line,) = report_of(tmp_path / "out")
    assert line["record"] == 150
    assert set(range(100)) <= set(numbers)
    assert 150 not in numbers
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("leads_to", ["nowhere.rec", None], ids=["nowhere", "to itself"])
@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
def test_a_file_that_is_a_dead_link_is_not_passed_over_in_silence(tmp_path, options, leads_to):
    """Another machine's disk that is not mounted, as of the sets that git-annex keeps."""
    src = rec_tree(tmp_path / "src", SIZES)
    bad = middle(src, "rec")
    bad.unlink()
    bad.symlink_to(leads_to or bad.name)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", **options)
    assert numbers_in(outcome, "id") == rows_but(BAD)
    assert [each.path for each in outcome.quarantine] == [str(bad)]


def test_a_value_that_the_selection_cannot_take_is_named_by_its_record(tmp_path):
    src = tree_with_a_half(tmp_path / "src", (5, 6, 4))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", select=["id=id", "y:int64=label[0]"])
    assert numbers_in(outcome, "id") == [0, 1, 2, 3, 4, 11, 12, 13, 14]
    (line,) = report_of(tmp_path / "out")
    assert (line["path"], line["record"]) == (str(src / "b.rec"), 3)
    assert "0.5" in line["reason"]


def test_values_that_the_target_cannot_hold_in_several_sources_are_all_in_quarantine(tmp_path):
    """Only the writer sees them, not who reads."""
    src = tmp_path / "src"
    src.mkdir()
    image_rec(src / "a.rec", 5)
    write_rec(src / "b.rec", [image_payload(5), image_payload(2**63 + 1)])
    write_rec(src / "c.rec", [image_payload(2**63 + 2), image_payload(7)])
    image_rec(src / "d.rec", 2, 10)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, "id") == [0, 1, 2, 3, 4, 10, 11]
    lines = report_of(tmp_path / "out")
    assert [(Path(line["path"]).name, line["record"]) for line in lines] == [("b.rec", 1), ("c.rec", 0)]


def test_every_bad_source_of_many_is_in_the_report_once(tmp_path):
    src = tfrecord_tree(tmp_path / "src", [3] * 30)
    bad = sorted(src.iterdir())[::3]
    for number, path in enumerate(bad):
        overwritten(0 if number % 2 else 0.5, b"\xff\xfe\xfd")(path)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=4, workers=2)
    assert sorted(line["path"] for line in report_of(tmp_path / "out")) == [str(path) for path in bad]
    assert outcome.num_rows == 60
    manifest = json.loads((tmp_path / "out/out.tfrecord.manifest.json").read_text())
    assert manifest["complete"] is False
    assert len(manifest["quarantine"]) == len(bad)


def test_where_all_sources_are_bad_the_error_says_so_and_nothing_is_left(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    for path in src.glob("*.rec"):
        path.write_bytes(b"no records at all, only text")
    with pytest.raises(MigrationError, match=r"none of the sources can be read: .*part-0000"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert not (tmp_path / "out").exists()


def test_skipping_bad_records_leaves_out_only_them_and_lists_them(tmp_path):
    src = tfrecord_tree(tmp_path / "src", SIZES)
    bad = middle(src, "tfrecord")
    byte = sum(16 + len(example(n)) for n in range(10, 15))
    overwritten(byte + 20, b"\xff\xff\xff")(bad)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", on_bad_record="skip")
    assert numbers_in(outcome, "n") == rows_but(range(15, 16))
    assert outcome.is_complete
    (skipped,) = outcome.manifests[0].skipped
    assert (skipped.path, skipped.start) == (str(bad), byte)


def image_tree(folder: Path, kind: str, sizes: Sequence[int]) -> Path:
    """Files of small images and their numbers."""
    folder.mkdir()
    images = [encoded(np.full((4, 4, 3), n % 256, np.uint8)) for n in range(sum(sizes))]
    for number, (first, stop) in enumerate(pairwise([0, *accumulate(sizes)])):
        rb.write(folder / f"part-{number:04d}.{kind}", {"n": np.arange(first, stop), "image": images[first:stop]})
    return folder


def break_image(path: Path, row: int) -> None:
    """Make one image of a file of arrays none."""
    with rb.open(path) as file:
        whole = file[:]
    images = [whole["image"][each] for each in range(len(whole))]
    images[row] = images[row][:20]
    rb.write(path, {"n": whole["n"], "image": images}, overwrite=True)


@pytest.mark.parametrize("options", [{}, {"shards": 5}, {"shuffle": True, "shards": 3}, {"split": "a=0.5,b=0.5"}])
@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_a_broken_image_of_arrays_is_left_out_by_its_own_file_and_row(tmp_path, kind, options):
    """However the files are cut, and whatever lies before them."""
    src = image_tree(tmp_path / "src", kind, [30, 300, 7])
    bad = [(src / f"part-0001.{kind}", 290), (src / f"part-0002.{kind}", 5)]
    for path, row in bad:
        break_image(path, row)
    asked = {"to": "tfrecord", "decode": ["image"], "on_bad_record": "skip", **options}
    outcome = rb.migrate.run(src, tmp_path / "out", **asked)
    assert sorted(numbers_in(outcome, "n")) == [n for n in range(337) if n not in (320, 335)]
    skipped = sorted((each for manifest in outcome.manifests for each in manifest.skipped), key=lambda each: each.path)
    assert [(each.path, each.record, each.where) for each in skipped] == [(str(p), n, f"row {n}") for p, n in bad]
    assert [each.reason.partition(" of ")[0] for each in skipped] == ["row 290", "row 5"]
    assert outcome.is_complete


# ---- in mid-run ----


def on_first_file(action: Callable[[], object]) -> Callable[[object], None]:
    """Do something when the first file is written."""
    done: list[object] = []

    def on_event(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and getattr(event, "files", 0) == 1 and not done:
            done.append(action())

    return on_event


@pytest.mark.parametrize("options", [{"shards": 3}, {"mirror": True}])
def test_a_source_deleted_in_mid_run_goes_to_quarantine_and_the_rest_goes_on(tmp_path, options):
    src = npz_tree(tmp_path / "src", [10, 10, 10])
    gone = src / "part-0002.npz"
    good, times = gone.read_bytes(), os.stat(gone)
    clean = rb.migrate.run(src, tmp_path / "clean/out", to="tfrecord", **options)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", on_event=on_first_file(gone.unlink), **options)
    assert numbers_in(outcome, "n") == list(range(20))
    assert [each.path for each in outcome.quarantine] == [str(gone)]
    gone.write_bytes(good)
    os.utime(gone, ns=(times.st_atime_ns, times.st_mtime_ns))
    mended = rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True, **options)
    assert numbers_in(mended, "n") == numbers_in(clean, "n")
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


@pytest.mark.parametrize("damage", [overwritten(0.5, b"\0\0\0\0"), cut(10), lambda path: os.utime(path)])
def test_a_source_changed_in_mid_run_ends_it_and_is_named_and_nothing_is_mixed(tmp_path, damage):
    src = npz_tree(tmp_path / "src", [10, 10, 10])
    victim = src / "part-0002.npz"
    good, times = victim.read_bytes(), os.stat(victim)
    with pytest.raises(SourceChangedError, match=r"part-0002\.npz"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, on_event=on_first_file(lambda: damage(victim)))
    assert not [name for name in contents(tmp_path / "out") if ".part" in name or "manifest" in name]
    with pytest.raises(SourceChangedError, match=r"part-0002\.npz"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, resume=True)
    victim.write_bytes(good)
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, resume=True)
    assert numbers_in(outcome, "n") == list(range(30))


# ---- repaired to something else ----


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
@pytest.mark.parametrize("rows", [1, 5, 30])
def test_a_repaired_source_may_have_other_rows(tmp_path, options, rows):
    src = tfrecord_tree(tmp_path / "src", SIZES)
    bad = middle(src, "tfrecord")
    cut(5)(bad)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", **options)
    write_tfrecord(bad, map(example, range(100, 100 + rows)))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True, **options)
    assert outcome.is_complete
    assert numbers_in(outcome, "n") == [*range(10), *range(100, 100 + rows), *range(22, 36)]
    assert not (tmp_path / "out/out.quarantine.jsonl").exists()
    assert rb.migrate.verify(tmp_path / "out").ok


def test_the_files_that_make_up_the_dataset_are_counted_anew_after_a_repair(tmp_path):
    src = tfrecord_tree(tmp_path / "src", SIZES)
    bad = middle(src, "tfrecord")
    good = bad.read_bytes()
    bad.write_bytes(b"no record" * 10)
    for damaged in (1, 0):
        outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, resume=not damaged)
        assert outcome.manifests[0].notes[0] == f"{len(SIZES) - damaged} files, as one dataset"
        bad.write_bytes(good)


def test_a_big_source_that_was_damaged_while_it_was_cut_has_each_row_once_when_repaired(tmp_path):
    src = tfrecord_tree(tmp_path / "src", [20, 400, 20])
    clean = rb.migrate.run(src, tmp_path / "clean/out", to="tfrecord", shards=6, select=["n=n"])
    bad = middle(src, "tfrecord")
    good = bad.read_bytes()
    overwritten(0.5, b"\xff\xff\xff")(bad)
    first = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=6, select=["n=n"])
    assert first.quarantine
    bad.write_bytes(good)
    mended = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=6, select=["n=n"], resume=True)
    assert numbers_in(mended, "n") == numbers_in(clean, "n") == list(range(440))
    assert rb.migrate.verify(tmp_path / "out").ok


def test_what_was_bad_while_planning_is_cut_as_in_a_clean_run_when_repaired(tmp_path):
    """By size, and with the same bytes as if it had never been bad."""
    src = tfrecord_tree(tmp_path / "src", [20, 400, 20])
    rb.migrate.run(src, tmp_path / "clean/out", to="npz", shard_bytes=8000)
    bad = middle(src, "tfrecord")
    good, times = bad.read_bytes(), os.stat(bad)
    overwritten(0, b"\xff")(bad)
    rb.migrate.run(src, tmp_path / "out", to="npz", shard_bytes=8000)
    bad.write_bytes(good)
    os.utime(bad, ns=(times.st_atime_ns, times.st_mtime_ns))
    rb.migrate.run(src, tmp_path / "out", to="npz", shard_bytes=8000, resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def test_a_repair_with_other_columns_stays_in_quarantine(tmp_path):
    src = npz_tree(tmp_path / "src", SIZES)
    bad = middle(src, "npz")
    cut(20)(bad)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    np.savez(bad, other=np.arange(9))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, resume=True)
    assert numbers_in(outcome, "n") == rows_but(BAD)
    assert [each.path for each in outcome.quarantine] == [str(bad)]


def test_a_repair_that_does_not_fit_says_which_fields_and_what_was_expected(tmp_path):
    """Two are repaired, of which one makes a new plan impossible; so the old one is kept, and compared with."""
    src = npz_tree(tmp_path / "src", [10, 12, 14])
    bad = middle(src, "npz")
    cut(20)(bad)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    plan = State(str(tmp_path / "out"), "out").read_plan()
    assert plan is not None
    np.savez(bad, n=np.arange(9, dtype=np.int32), x=np.zeros((9, 3), np.float32), more=np.zeros((9, 2)))
    renewed = repaired(plan, [seen_now(plan, str(bad))])
    (each,) = renewed.quarantine
    assert each.reason == (
        "does not fit the plan: field 'n' is int32, expected int64, field 'x' is float32[3], expected float32[2], "
        "field 'more' is float64[2], expected no such field; migrate it apart, or begin again (--overwrite)"
    )


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
def test_a_repair_in_another_format_is_not_mixed_in(tmp_path, options):
    """A .rec that holds an .npz now: in a mirror it is sound, in one output it stays out."""
    src = rec_tree(tmp_path / "src", SIZES)
    bad = middle(src, "rec")
    cut(3)(bad)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", **options)
    with bad.open("wb") as file:
        np.savez(file, id=np.arange(9), label=np.zeros((9, 1), np.float32))
    try:
        outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True, **options)
    except rb.BridgeError as err:
        assert str(bad) in str(err)  # noqa: PT017  # a refusal that names it is as good
        return
    assert rb.migrate.verify(tmp_path / "out").ok
    if "shards" in options:
        assert numbers_in(outcome, "id") == rows_but(BAD)


def test_a_second_source_that_goes_bad_while_the_first_waits_is_an_error_and_not_a_mix(tmp_path):
    src = npz_tree(tmp_path / "src", SIZES)
    cut(20)(middle(src, "npz"))
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    cut(20)(src / "part-0000.npz")
    with pytest.raises(SourceChangedError, match=r"part-0000\.npz"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, resume=True)


def test_shards_that_lack_nothing_are_not_written_again_for_a_repair(tmp_path):
    src = npz_tree(tmp_path / "src", [10, 10, 10])
    bad = src / "part-0002.npz"
    good = bad.read_bytes()
    cut(20)(bad)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3)
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    bad.write_bytes(good)
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=3, resume=True)
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    assert [name for name in sorted(after) if after[name] != before[name]] == ["out-00002-of-00003.tfrecord"]


# ---- what to do ----


def test_the_advice_is_that_of_a_migration(tmp_path):
    src = rec_tree(tmp_path / "src", SIZES)
    bad = middle(src, "rec")
    overwritten(rec_record_at(bad, 7), b"\0\0\0\0")(bad)
    (each,) = rb.migrate.run(src, tmp_path / "out", to="tfrecord").quarantine
    assert "begin again with --on-bad-record skip --overwrite" in each.reason
    assert "convert" not in each.reason
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", on_bad_record="skip", overwrite=True)
    assert outcome.is_complete
    assert outcome.num_rows >= sum(SIZES) - 2


def test_columns_that_differ_are_said_of_each_source_by_its_own_name(tmp_path):
    src = npz_tree(tmp_path / "src", SIZES)
    for name in ("y.npz", "z.npz"):
        np.savez(src / name, n=np.arange(3), x=np.zeros((3, 2)))
    for shuffle in (False, True):
        outcome = rb.migrate.run(src, tmp_path / f"out{shuffle}", to="tfrecord", shuffle=shuffle)
        for each in outcome.quarantine:
            assert f"float64[2] in {each.path}; migrate it apart, choose columns" in each.reason
            assert "schema=" not in each.reason
        assert [Path(each.path).name for each in outcome.quarantine] == ["y.npz", "z.npz"]
        assert sorted(numbers_in(outcome, "n")) == list(range(sum(SIZES)))


def test_what_the_target_cannot_hold_is_said_of_its_own_name(tmp_path):
    src = npz_tree(tmp_path / "src", [3, 4])
    np.save(src / "one.npy", np.arange(5))
    outcome = rb.migrate.run(src, tmp_path / "out", to="npy", mirror=True)
    assert [each.reason.partition(": ")[0] for each in outcome.quarantine] == [
        str(tmp_path / f"out/part-{number:04d}.npy") for number in (0, 1)
    ]
    with pytest.raises(rb.SchemaError, match=rf"^{tmp_path}/two/two\.npy: a \.npy holds one array"):
        rb.migrate.run(list(src.glob("*.npz")), tmp_path / "two", to="npy")


# ---- the command line ----


def test_where_an_option_is_the_cure_the_command_does_not_speak_of_repair(tmp_path, capsys):
    src = rec_tree(tmp_path / "src", [3])
    write_rec(src / "b.rec", [image_payload(5), image_payload(2**63 + 1)])
    command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1)
    done = run(capsys, *command)
    assert done.code == 1
    assert "--pack id=raw" in done.stderr
    assert "begin again with it and --overwrite" in done.stderr
    assert "repair" not in done.stderr
    assert run(capsys, *command, "--overwrite", "--pack", "id=raw").code == 0


def test_where_one_is_damaged_and_one_needs_an_option_the_command_says_both(tmp_path, capsys):
    src = rec_tree(tmp_path / "src", SIZES)
    cut(3)(middle(src, "rec"))
    write_rec(src / "z.rec", [image_payload(2**63 + 1)])
    done = run(capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1)
    assert "begin again with it and --overwrite" in done.stderr
    assert "repair them and go on with --resume" in done.stderr


def test_a_place_that_was_left_out_of_a_split_is_one(tmp_path, capsys):
    src = rec_tree(tmp_path / "src", SIZES)
    overwritten(rec_record_at(middle(src, "rec"), 7), b"\0\0\0\0")(middle(src, "rec"))
    command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--on-bad-record", "skip", "--seed", 1)
    done = run(capsys, *command, "--split", "train=0.4,test=0.3,validation=0.3")
    assert done.code == 0
    assert "left out 1 damaged place; the manifest lists all" in done.stderr


def test_the_command_ends_with_1_and_says_how_to_go_on(tmp_path, capsys):
    src = rec_tree(tmp_path / "src", SIZES)
    bad = middle(src, "rec")
    good = bad.read_bytes()
    byte = rec_record_at(bad, 7)
    overwritten(byte, b"\0\0\0\0")(bad)
    command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--workers", 1)
    first = run(capsys, *command)
    assert first.code == 1
    assert str(bad) in first.stderr
    assert "record 7" in first.stderr
    assert "--resume" in first.stderr
    verified = run(capsys, "verify", tmp_path / "out")
    assert verified.code == 0
    assert str(bad) in verified.stderr
    assert run(capsys, *command, "--resume").code == 1
    bad.write_bytes(good)
    assert run(capsys, *command, "--resume").code == 0
    assert run(capsys, "verify", tmp_path / "out").code == 0


def test_an_image_is_what_it_was_in_what_is_left(tmp_path):
    """Not only numbers: the bytes of the rows around a bad source."""
    src = rec_tree(tmp_path / "src", SIZES)
    cut(3)(middle(src, "rec"))
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2)
    rows = [row for path in outcome.manifests[0].paths for batch in rb.read(path) for row in batch.rows()]
    assert [bytes(row["image"]) for row in rows] == [image_of(n) for n in rows_but(BAD)]


def test_files_without_rows_do_not_say_what_columns_the_others_have(tmp_path):
    src = TREES["rec"](tmp_path / "src", [4])
    for name in ("empty-0.rec", "empty-1.rec"):
        (src / name).touch()
    write_rec(src / "z.rec", [image_payload(9, id2=7)])
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    (odd,) = outcome.quarantine
    assert odd.path == str(src / "z.rec")
    assert "part-0000.rec" in odd.reason
