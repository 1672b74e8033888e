"""Sources of a permutation that turn out to be bad after it was planned: they cost their own rows, in its order."""

from __future__ import annotations

import errno
import gzip
import os
import random
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import SourceChangedError
from recordio_bridge.formats import npz
from recordio_bridge.migrate import shuffled, spill
from recordio_bridge.migrate.shared import put_shared
from tests.cli.running import run
from tests.migrate.test_kill import killed_about_a_repair
from tests.migrate.test_quarantine import break_image, image_tree, on_first_file
from tests.migrate.test_shuffle import KINDS, NUMBER, PARTS, SPLIT, permutation
from tests.migrate.trees import arrays, numbers_in, report_of, tree_with_a_half
from tests.samples import contents, make_example, read_examples, write_tfrecord

SIZES = [10, 12, 14]
ROWS = sum(SIZES)
LOST = range(10, 22)
"""The rows of the middle one."""


def deflated_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """Compressed .npz files, in which the last array is larger than what is looked at for its head."""
    folder.mkdir()
    noise = np.random.default_rng(5)
    for number, (first, stop) in enumerate(pairwise([0, *accumulate(sizes)])):
        large = noise.integers(256, size=(stop - first, 20_000), dtype=np.uint8)
        np.savez_compressed(folder / f"part-{number:04d}.npz", **arrays(first, stop - first), large=large)
    return folder


TREES = {**KINDS, "deflated": deflated_tree}
FIELD = {**NUMBER, "deflated": "n"}


def middle(src: Path) -> Path:
    return sorted(path for path in src.iterdir() if path.suffix != ".idx")[1]


def damage_array(path: Path) -> None:
    """Flip bits of the last array of a compressed file, which nobody sees who looks at its head alone."""
    content = bytearray(path.read_bytes())
    place = len(content) - 10_000 if path.suffix == ".npz" else chunk_of(path)
    for at in range(place, place + 4):
        content[at] ^= 0xFF
    path.write_bytes(content)


def chunk_of(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file["x"].id.get_chunk_info(1).byte_offset) + 3


def put_back(path: Path, good: bytes, times: os.stat_result) -> None:
    path.write_bytes(good)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def left_of(numbers: Iterable[int], lost: Iterable[int] = LOST) -> list[int]:
    """Those rows of a permutation that are not lost."""
    return [number for number in numbers if number not in set(lost)]


def shards_in(outcome, field: str) -> list[list[int]]:
    paths = outcome.manifests[0].paths
    return [[row[field][0] for row in read_examples(Path(path))] for path in paths]


# ---- damage that shows when it is written plain ----


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("on_bad_record", ["raise", "skip"])
@pytest.mark.parametrize("kind", ["deflated", "chunked"])
def test_damage_inside_costs_its_own_rows_of_the_same_permutation(tmp_path, kind, on_bad_record, workers):
    src = TREES[kind](tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3, "on_bad_record": on_bad_record}
    rb.migrate.run(src, tmp_path / "clean/out", **asked)
    bad = middle(src)
    good, times = bad.read_bytes(), os.stat(bad)
    damage_array(bad)

    first = rb.migrate.run(src, tmp_path / "out", workers=workers, **asked)
    whole = permutation(3, ROWS)
    assert shards_in(first, "n") == [left_of(whole[at : at + 12]) for at in (0, 12, 24)]
    (line,) = report_of(tmp_path / "out")
    assert line["path"] == str(bad)
    assert line["reason"]
    assert "unpacked" not in line["reason"]
    lacking = [set(whole[at : at + 12]) & set(LOST) for at in (0, 12, 24)]
    assert line["shards"] == [f"out-0000{n}-of-00003.tfrecord" for n, rows in enumerate(lacking) if rows]
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok, report.problems
    assert not report.is_complete
    assert not (tmp_path / "out/out.unfinished/unpacked").exists()

    again = rb.migrate.run(src, tmp_path / "out", resume=True, workers=workers, **asked)
    assert again.quarantine == first.quarantine
    assert numbers_in(again, "n") == numbers_in(first, "n")

    put_back(bad, good, times)
    assert rb.migrate.run(src, tmp_path / "out", resume=True, workers=workers, **asked).is_complete
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def test_a_member_of_gzip_whose_inside_was_changed_unnoticed_costs_its_own_rows(tmp_path):
    """Size, time, and both ends, are what they were when the plan was made."""
    src = tmp_path / "src"
    src.mkdir()
    noise = random.Random(7)
    for number in range(3):
        plain = tmp_path / "plain"
        rows = range(10 * number, 10 * number + 10)
        write_tfrecord(plain, [make_example({"n": [n], "x": [noise.randbytes(30_000)]}) for n in rows])
        (src / f"{number}.tfrecord.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3}
    clean = rb.migrate.run(src, tmp_path / "clean/out", **asked)
    plan = rb.migrate.plan(src, tmp_path / "out", **asked)
    bad = src / "1.tfrecord.gz"
    good, times = bad.read_bytes(), os.stat(bad)
    changed = bytearray(good)
    changed[len(good) // 2] ^= 0xFF
    put_back(bad, bytes(changed), times)

    first = rb.migrate.run(src, tmp_path / "out", planned=plan, **asked)
    assert numbers_in(first, "n") == left_of(numbers_in(clean, "n"), range(10, 20))
    (line,) = report_of(tmp_path / "out")
    assert line["path"] == str(bad)
    put_back(bad, good, times)
    assert rb.migrate.run(src, tmp_path / "out", resume=True, **asked).is_complete
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def test_quarantine_and_repair_may_be_killed_anywhere(tmp_path):
    src = deflated_tree(tmp_path / "src", [5, 6, 7])
    killed_about_a_repair(tmp_path, src, middle(src), damage_array, every=9)


def test_several_bad_ones_of_a_split_are_each_named_once(tmp_path):
    src = deflated_tree(tmp_path / "src", [10, 0, 12, 14, 1])
    bad = [src / "part-0000.npz", src / "part-0003.npz"]
    for path in bad:
        damage_array(path)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", split=SPLIT, seed=3)
    lost, dealt = {*range(10), *range(22, 36)}, permutation(3, 37)
    found = [[row["n"][0] for path in each.paths for row in read_examples(Path(path))] for each in outcome.manifests]
    assert found == [sorted(left_of(dealt[first:stop], lost)) for first, stop in PARTS.values()]
    assert [line["path"] for line in report_of(tmp_path / "out")] == list(map(str, bad))
    assert rb.migrate.verify(tmp_path / "out").ok


def test_the_command_ends_with_1_and_goes_on_with_the_repaired_source(tmp_path, capsys):
    src = deflated_tree(tmp_path / "src", SIZES)
    bad = middle(src)
    good = bad.read_bytes()
    damage_array(bad)
    command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--shuffle", "--seed", 1, "--workers", 1)
    first = run(capsys, *command)
    assert first.code == 1
    assert str(bad) in first.stderr
    bad.write_bytes(good)
    assert run(capsys, *command, "--resume").code == 0
    assert run(capsys, "verify", tmp_path / "out").code == 0


def test_a_full_disk_is_not_blamed_on_the_source_that_is_written_plain(tmp_path, monkeypatch):
    src = deflated_tree(tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3}

    def full(*args: object, **known: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x"))

    with monkeypatch.context() as patch:
        patch.setattr(type(npz.FORMAT), "unpack", full)
        with pytest.raises(OSError, match="No space left"):
            rb.migrate.run(src, tmp_path / "out", **asked)
    assert rb.migrate.run(src, tmp_path / "out", resume=True, **asked).is_complete


# ---- where what is read together is of bad sources alone ----


@pytest.mark.parametrize("options", [{"shuffle": True, "shards": ROWS}, {"split": "train=0.9,test=0.1"}])
def test_one_bad_value_costs_no_other_source_a_row(tmp_path, monkeypatch, options):
    """A split alone is in the order of the files: all rows of a step are of one, where it has more bytes than that."""
    monkeypatch.setattr(shuffled, "_STEP", 1)
    src = tree_with_a_half(tmp_path / "src", (10, 12, 14))
    asked = {"to": "tfrecord", "seed": 3, "select": ["id=id", "y:int64=label[0]"], **options}
    first = rb.migrate.run(src, tmp_path / "out", **asked)
    (line,) = report_of(tmp_path / "out")
    assert (line["path"], line["record"]) == (str(src / "b.rec"), 3)
    lost = {13} if "shuffle" in options else {*LOST} & {*permutation(3, ROWS)[:32]}
    assert sorted(numbers_in(first, "id")) == left_of(range(ROWS), lost)
    assert rb.migrate.verify(tmp_path / "out").ok
    again = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert again.quarantine == first.quarantine
    assert numbers_in(again, "id") == numbers_in(first, "id")


@pytest.mark.parametrize("kind", ["rec", "npz", "tfrecord.gz", "chunked"])
def test_a_file_that_would_have_had_rows_of_one_deleted_source_alone_has_none(tmp_path, kind):
    src = TREES[kind](tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": ROWS}
    plan = rb.migrate.plan(src, tmp_path / "out", **asked)
    gone = middle(src)
    good, times = gone.read_bytes(), os.stat(gone)
    gone.unlink()
    first = rb.migrate.run(src, tmp_path / "out", planned=plan, **asked)
    assert numbers_in(first, FIELD[kind]) == left_of(permutation(3, ROWS))
    (line,) = report_of(tmp_path / "out")
    assert len(line["shards"]) == len(LOST)
    assert rb.migrate.verify(tmp_path / "out").ok
    put_back(gone, good, times)
    whole = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert numbers_in(whole, FIELD[kind]) == permutation(3, ROWS)


# ---- values of arrays that cannot be taken, of which only the row is known ----


def with_values(folder: Path, kind: str, bad: object, dtype: str) -> Path:
    """Files of arrays n and v, of which row 3 of the middle one holds a bad value; deflated, they are written plain."""
    folder.mkdir()
    for number, (first, stop) in enumerate(pairwise([0, *accumulate(SIZES)])):
        values = np.ones(stop - first, dtype)
        values[3] = bad if number == 1 else 1
        path, columns = folder / f"part-{number:04d}.{suffix_of(kind)}", {"n": np.arange(first, stop), "v": values}
        np.savez_compressed(path, **columns) if kind == "deflated" else rb.write(path, columns)
    return folder


def suffix_of(kind: str) -> str:
    return "npz" if kind == "deflated" else kind


LOSSY: dict[str, tuple[object, str, dict[str, object]]] = {
    "cast": (0.5, "float32", {"select": ["n=n", "v:int64=v"]}),
    "target": (2**64 - 1, "uint64", {}),
}


@pytest.mark.parametrize(
    "options", [{"shuffle": True, "seed": 3, "shards": 3}, {"split": "train=0.9,test=0.1"}, {"shards": 1}]
)
@pytest.mark.parametrize("why", LOSSY)
@pytest.mark.parametrize("kind", ["npz", "h5", "deflated"])
def test_a_value_of_arrays_that_cannot_be_written_puts_its_file_in_quarantine(tmp_path, kind, why, options):
    bad, dtype, wishes = LOSSY[why]
    src = with_values(tmp_path / "src", kind, bad, dtype)
    asked = {"to": "tfrecord", **options, **wishes}
    outcome = rb.migrate.run(src, tmp_path / "out", **asked)
    (each,) = outcome.quarantine
    assert (each.path, each.record) == (str(src / f"part-0001.{suffix_of(kind)}"), 3)
    assert str(bad) in each.reason
    assert "row 3 of" in each.reason
    assert "part-0001" not in each.reason
    if "shuffle" in options:
        expected = [left_of(order, LOST) if 13 in order else order for order in in_shards(permutation(3, ROWS))]
        assert shards_in(outcome, "n") == expected
    assert rb.migrate.verify(tmp_path / "out").ok


def in_shards(numbers: list[int]) -> list[list[int]]:
    return [numbers[at : at + 12] for at in range(0, ROWS, 12)]


@pytest.mark.parametrize("options", [{"shuffle": True, "shards": 2}, {"split": "train=0.9,test=0.1"}, {"shards": 1}])
@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_a_broken_image_of_arrays_puts_its_file_in_quarantine(tmp_path, kind, options):
    src = image_tree(tmp_path / "src", kind, SIZES)
    bad = src / f"part-0001.{kind}"
    break_image(bad, 7)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", decode=["image"], **options)
    (each,) = outcome.quarantine
    assert (each.path, each.record) == (str(bad), 7)
    assert "row 7 of field 'image'" in each.reason
    assert len(set(numbers_in(outcome, "n"))) == outcome.num_rows >= ROWS - 12
    assert not {17} & set(numbers_in(outcome, "n"))


# ---- gone, or changed, between the plan and the run ----


@pytest.mark.parametrize("options", [{"shuffle": True, "shards": 3}, {"split": SPLIT}])
@pytest.mark.parametrize("kind", TREES)
def test_a_source_that_is_gone_when_the_run_begins_costs_its_own_rows(tmp_path, kind, options):
    src = TREES[kind](tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "seed": 3, "workers": 2, **options}
    clean = rb.migrate.run(src, tmp_path / "clean/out", **asked)
    plan = rb.migrate.plan(src, tmp_path / "out", **asked)
    gone = middle(src)
    good, times = gone.read_bytes(), os.stat(gone)
    gone.unlink()

    first = rb.migrate.run(src, tmp_path / "out", planned=plan, **asked)
    assert numbers_in(first, FIELD[kind]) == left_of(numbers_in(clean, FIELD[kind]))
    (line,) = report_of(tmp_path / "out")
    assert (line["path"], line["reason"]) == (str(gone), os.strerror(errno.ENOENT))
    assert rb.migrate.verify(tmp_path / "out").ok
    again = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert again.quarantine == first.quarantine

    put_back(gone, good, times)
    assert rb.migrate.run(src, tmp_path / "out", resume=True, **asked).is_complete
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


@pytest.mark.parametrize("kind", ["rec", "tfrecord", "npz", "h5"])
def test_a_plain_source_that_is_deleted_in_mid_run_costs_what_was_not_read_of_it(tmp_path, kind):
    src = TREES[kind](tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3}
    gone = middle(src)
    outcome = rb.migrate.run(src, tmp_path / "out", on_event=on_first_file(gone.unlink), **asked)
    whole = permutation(3, ROWS)
    assert shards_in(outcome, FIELD[kind]) == [whole[:12], left_of(whole[12:24]), left_of(whole[24:])]
    assert [each.path for each in outcome.quarantine] == [str(gone)]


@pytest.mark.parametrize("kind", TREES)
def test_a_source_that_was_changed_when_the_run_begins_ends_it_before_a_row_is_written(tmp_path, kind):
    """Were it noticed at the end only, what was written of it would be believed when it is put back."""
    src = TREES[kind](tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3}
    plan = rb.migrate.plan(src, tmp_path / "out", **asked)
    changed = middle(src)
    good, times = changed.read_bytes(), os.stat(changed)
    changed.write_bytes(sorted(src.glob(f"*{changed.suffix}"))[2].read_bytes())
    with pytest.raises(SourceChangedError, match="is not the file that the plan was made for"):
        rb.migrate.run(src, tmp_path / "out", planned=plan, **asked)
    assert not list((tmp_path / "out").glob("*.tfrecord"))
    put_back(changed, good, times)
    outcome = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert numbers_in(outcome, FIELD[kind]) == permutation(3, ROWS)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_that_is_changed_when_its_rows_were_found_ends_it_before_a_row_is_written(
    tmp_path, monkeypatch, workers
):
    src = TREES["rec"](tmp_path / "src", SIZES)
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3, "workers": workers}
    changed = middle(src)
    good, times = changed.read_bytes(), os.stat(changed)

    def put_and_change(*args: object) -> str:
        path = put_shared(*args)
        changed.write_bytes((src / "part-0002.rec").read_bytes())
        return path

    with monkeypatch.context() as patch:
        patch.setattr(spill, "put_shared", put_and_change)
        with pytest.raises(SourceChangedError, match=r"part-0001\.rec"):
            rb.migrate.run(src, tmp_path / "out", **asked)
    assert not list((tmp_path / "out").glob("*.tfrecord"))
    put_back(changed, good, times)
    outcome = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert numbers_in(outcome, "id") == permutation(3, ROWS)


def test_a_plan_that_does_not_say_how_many_rows_a_source_had_ends_with_what_is_wrong_with_it(tmp_path):
    """One that an earlier version made."""
    src = deflated_tree(tmp_path / "src", SIZES)
    damage_array(middle(src))
    plan = rb.migrate.plan(src, tmp_path / "out", to="tfrecord", shuffle=True, seed=3)
    known = type(plan).from_lines(plan.to_lines().replace(b'"counts"', b'"others"'), "plan")
    assert known.counts == ()
    with pytest.raises(rb.FormatError, match=r"part-0001\.npz"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shuffle=True, seed=3, planned=known)
