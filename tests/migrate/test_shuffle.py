"""Rows dealt out by a permutation: that of convert for a shuffle, in the order of the files for a split alone."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.migrate import keysort, shuffled
from tests.cli.running import run
from tests.migrate.test_kill import killed_about_a_repair, killed_everywhere
from tests.migrate.trees import NUMBERS, TREES, arrays, npz_tree, numbers_in, rec_tree, report_of, tree_with_a_half
from tests.samples import contents, image_of, read_examples

SIZES = [10, 0, 12, 14, 1]
ROWS = sum(SIZES)
LEAST = shuffled.LEAST_MEMORY
SPLIT = "train=0.7,validation=0.2,test=0.1"
PARTS = {"train": (0, 26), "validation": (26, 33), "test": (33, 37)}
"""The bounds of the parts of SPLIT in the permutation: 37 times 0.7 and 0.9, rounded."""


def permutation(seed: int, rows: int = ROWS) -> list[int]:
    """The numbers of the rows, sorted by the keys that numpy's generator gives them."""
    return np.argsort(np.random.PCG64(seed).random_raw(rows), kind="stable").tolist()


def gz_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """TFRecord files in gzip."""
    TREES["tfrecord"](folder, sizes)
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return folder


def chunked_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """HDF5 in compressed chunks of 4 rows."""
    folder.mkdir()
    for number, (first, stop) in enumerate(pairwise([0, *accumulate(sizes)])):
        with h5py.File(folder / f"part-{number:04d}.h5", "w") as file:
            for name, values in arrays(first, stop - first).items():
                kind = {"compression": "gzip", "maxshape": (None, *values.shape[1:])}
                file.create_dataset(name, data=values, chunks=(4, *values.shape[1:]), **kind)
    return folder


KINDS = {**TREES, "tfrecord.gz": gz_tree, "chunked": chunked_tree}
NUMBER = {**NUMBERS, "tfrecord.gz": "n", "chunked": "n"}


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return rec_tree(tmp_path / "src", SIZES)


def shards_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "-of-" in path.name}


# ---- a shuffle ----


@pytest.mark.parametrize(("kind", "workers"), [*((kind, 1) for kind in KINDS), ("rec", 3), ("npz", 2), ("chunked", 2)])
def test_the_shards_are_those_of_convert_to_the_byte(tmp_path, kind, workers):
    src = KINDS[kind](tmp_path / "src", SIZES)
    (tmp_path / "one").mkdir()
    rb.convert(src, tmp_path / "one/set.tfrecord", shards=4, shuffle=True, seed=5)
    outcome = rb.migrate.run(
        src, tmp_path / "set", to="tfrecord", shards=4, shuffle=True, seed=5, workers=workers, memory=LEAST
    )
    assert shards_of(tmp_path / "set") == shards_of(tmp_path / "one")
    assert len(shards_of(tmp_path / "set")) == 4
    assert numbers_in(outcome, NUMBER[kind]) == permutation(5)
    assert rb.migrate.verify(tmp_path / "set").ok
    assert not (tmp_path / "set/set.unfinished").exists()


@pytest.mark.parametrize("to", ["rec", "h5", "npz"])
def test_the_shards_of_other_formats_are_those_of_convert(tmp_path, src, to):
    (tmp_path / "one").mkdir()
    rb.convert(src, tmp_path / f"one/set.{to}", shards=3, shuffle=True, seed=2)
    rb.migrate.run(src, tmp_path / "set", to=to, shards=3, shuffle=True, seed=2, workers=2)
    assert shards_of(tmp_path / "set") == shards_of(tmp_path / "one")


def test_memory_decides_nothing_but_how_it_is_done(tmp_path, src, monkeypatch):
    made = []
    for name, rows_in_memory in (("plenty", 1 << 40), ("five", 5), ("one", 1)):
        monkeypatch.setattr(keysort, "_COPIES", max(1, LEAST // 32 // rows_in_memory))
        rb.migrate.run(src, tmp_path / name / "set", to="tfrecord", shards=3, shuffle=True, seed=5, memory=LEAST)
        made.append(contents(tmp_path / name))
    assert made[0] == made[1] == made[2]


def test_the_commands_migrate_and_convert_give_the_same_shards(tmp_path, src, capsys):
    (tmp_path / "one").mkdir()
    asked = ("--shards", 3, "--shuffle", "--seed", 9, "--memory", "16MiB", "--workers", 2)
    assert run(capsys, "convert", src, tmp_path / "one/set.tfrecord", *asked).code == 0
    assert run(capsys, "migrate", src, tmp_path / "set", "--to", "tfrecord", *asked).code == 0
    assert shards_of(tmp_path / "set") == shards_of(tmp_path / "one")


def test_an_image_stays_with_its_number(tmp_path, src):
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", shuffle=True, seed=1)
    rows = [row for path in outcome.manifests[0].paths for row in read_examples(Path(path))]
    assert [row["image"] for row in rows] == [[image_of(row["id"][0])] for row in rows]


def test_another_seed_is_another_order_of_the_same_rows(tmp_path, src):
    found = []
    for seed in (0, 1):
        outcome = rb.migrate.run(src, tmp_path / str(seed), to="tfrecord", shuffle=True, seed=seed)
        found.append(numbers_in(outcome, "id"))
    assert found == [permutation(0), permutation(1)]
    assert found[0] != found[1]


# ---- a split ----


def parts_in(outcome) -> dict[str, list[int]]:
    """The ids in each part."""
    found = {}
    for manifest in outcome.manifests:
        part = Path(manifest.output).name.removesuffix(".tfrecord").rpartition("-")[2]
        found[part] = [row["id"][0] for path in manifest.paths for row in read_examples(Path(path))]
    return found


@pytest.mark.parametrize(("options", "workers"), [({}, 1), ({"shards": 2}, 2), ({"tfds": "digits:1.0.0"}, 1)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_split_deals_each_row_to_one_part(tmp_path, src, shuffle, options, workers):
    asked = {"to": "tfrecord", "split": SPLIT, "seed": 4, "shuffle": shuffle, **options}
    outcome = rb.migrate.run(src, tmp_path / "out", workers=workers, **asked)
    order = sorted if not shuffle else list
    dealt = {part: order(permutation(4)[first:stop]) for part, (first, stop) in PARTS.items()}
    assert parts_in(outcome) == dealt
    assert sorted(number for part in dealt.values() for number in part) == list(range(ROWS))
    assert rb.migrate.verify(tmp_path / "out").ok
    assert not (tmp_path / "out/out.unfinished").exists()


def test_the_same_rows_are_in_each_part_with_and_without_a_shuffle_and_for_a_seed_always(tmp_path, src):
    made = [{"seed": 4}, {"seed": 4}, {"seed": 4, "shuffle": True}, {"seed": 5}]
    found, files = [], []
    for number, asked in enumerate(made):
        folder = tmp_path / str(number)
        found.append(parts_in(rb.migrate.run(src, folder / "out", to="tfrecord", split=SPLIT, **asked)))
        files.append(contents(folder))
    assert files[0] == files[1]
    assert {part: sorted(rows) for part, rows in found[2].items()} == found[0]
    assert found[2] != found[0]
    assert found[3] != found[0]


@pytest.mark.parametrize("options", [{"split": SPLIT}, {"shuffle": True}, {"split": SPLIT, "shuffle": True}])
@pytest.mark.parametrize("on_bad_record", ["raise", "skip"])
@pytest.mark.parametrize("sizes", [[0], [1], [0, 0], [0, 1, 0], [1, 1]])
@pytest.mark.parametrize("kind", ["rec", "npz"])
def test_so_few_rows_that_parts_are_empty_are_dealt_out_as_well(tmp_path, kind, sizes, on_bad_record, options):
    src = KINDS[kind](tmp_path / "src", sizes)
    asked = {"to": "npz", "on_bad_record": on_bad_record, **options}
    outcome = rb.migrate.run(src, tmp_path / "out", workers=1, **asked)
    found = [n for manifest in outcome.manifests for path in manifest.paths for n in np.load(path)[NUMBER[kind]]]
    assert sorted(found) == list(range(sum(sizes)))
    assert rb.migrate.verify(tmp_path / "out").ok


def test_the_files_of_a_split_are_named_after_its_parts(tmp_path, src):
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", split="train=0.9,test=0.1", seed=1, shards=2)
    assert sorted(contents(tmp_path / "out")) == [
        "out-test-00000-of-00002.tfrecord",
        "out-test-00001-of-00002.tfrecord",
        "out-test.tfrecord.manifest.json",
        "out-test.tfrecord.schema.json",
        "out-train-00000-of-00002.tfrecord",
        "out-train-00001-of-00002.tfrecord",
        "out-train.tfrecord.manifest.json",
        "out-train.tfrecord.schema.json",
        "out.migration.json",
    ]


def test_the_parts_of_a_dataset_of_tfds_have_folders_of_their_own(tmp_path, src):
    asked = {"split": "train=0.9,test=0.1", "seed": 1, "shards": 2, "tfds": "digits:1.0.0"}
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", **asked)
    names = [
        "dataset_info.json",
        "digits-{}.tfrecord-00000-of-00002",
        "digits-{}.tfrecord-00001-of-00002",
        "digits-{}.tfrecord.manifest.json",
        "digits-{}.tfrecord.schema.json",
        "features.json",
    ]
    of_parts = [f"{part}/{name.format(part)}" for part in ("test", "train") for name in names]
    assert sorted(contents(tmp_path / "out")) == sorted(["out.migration.json", *of_parts])
    for part, shard_rows in (("train", ["16", "17"]), ("test", ["2", "2"])):
        info = json.loads((tmp_path / "out" / part / "dataset_info.json").read_text())
        assert [(split["name"], split["shardLengths"]) for split in info["splits"]] == [(part, shard_rows)]
    again = rb.migrate.run(src, tmp_path / "out", to="tfrecord", overwrite=True, **asked)
    assert again.num_rows == ROWS


# ---- bad sources ----


def test_a_row_that_cannot_be_cast_costs_its_sources_rows_of_that_file_alone(tmp_path):
    src = tree_with_a_half(tmp_path / "src", (10, 12, 14))
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3, "select": ["id=id", "y:int64=label[0]"]}
    outcome = rb.migrate.run(src, tmp_path / "out", workers=2, **asked)
    order = permutation(3, 36)
    shards = [order[:12], order[12:24], order[24:]]
    (holding,) = [number for number, rows in enumerate(shards) if 13 in rows]
    shards[holding] = [row for row in shards[holding] if not 10 <= row < 22]
    found = [[row["id"][0] for row in read_examples(Path(path))] for path in outcome.manifests[0].paths]
    assert found == shards
    (line,) = report_of(tmp_path / "out")
    assert (line["path"], line["record"]) == (str(src / "b.rec"), 3)
    assert line["shards"] == [f"out-0000{holding}-of-00003.tfrecord"]
    assert "0.5" in line["reason"]
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok, report.problems
    again = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert again.quarantine == outcome.quarantine
    assert numbers_in(again, "id") == numbers_in(outcome, "id")


@pytest.mark.parametrize("options", [{"shuffle": True, "shards": 3}, {"split": SPLIT}])
@pytest.mark.parametrize("kind", ["rec", "tfrecord.gz", "chunked"])
def test_for_a_source_that_was_bad_while_planning_and_is_repaired_all_is_written_anew(tmp_path, kind, options):
    src = KINDS[kind](tmp_path / "src", [10, 12, 14])
    asked = {"to": "tfrecord", "seed": 3, **options}
    rb.migrate.run(src, tmp_path / "clean/out", **asked)
    bad = sorted(path for path in src.iterdir() if path.suffix != ".idx")[1]
    good, times = bad.read_bytes(), os.stat(bad)
    bad.write_bytes(good[: len(good) // 2])
    first = rb.migrate.run(src, tmp_path / "out", **asked)
    assert [each.path for each in first.quarantine] == [str(bad)]
    numbers = [*range(10), *range(22, 36)]
    assert sorted(numbers_in(first, NUMBER[kind])) == numbers
    if "shuffle" in options:  # of those that are left
        assert numbers_in(first, NUMBER[kind]) == [numbers[row] for row in permutation(3, 24)]
    assert not list((tmp_path / "out").rglob("unpacked"))
    bad.write_bytes(good)
    os.utime(bad, ns=(times.st_atime_ns, times.st_mtime_ns))
    mended = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert mended.is_complete
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")
    assert not (tmp_path / "out/out.unfinished").exists()


@pytest.mark.parametrize("on_bad_record", ["raise", "skip"])
@pytest.mark.parametrize("options", [{"shuffle": True, "shards": 3}, {"split": SPLIT}])
def test_a_flipped_bit_that_makes_another_column_costs_the_rows_of_its_source(tmp_path, caplog, options, on_bad_record):
    """The permutation is then that of the others; and of all when it is repaired."""
    src = rec_tree(tmp_path / "src", [10, 12, 14])
    asked = {"to": "tfrecord", "seed": 3, "on_bad_record": on_bad_record, **options}
    rb.migrate.run(src, tmp_path / "clean/out", **asked)
    bad = src / "part-0001.rec"
    good, times = bad.read_bytes(), os.stat(bad)
    bad.write_bytes(good[:24] + b"\1" + good[25:])  # the second id of the first record, which is 0 in all others

    first = rb.migrate.run(src, tmp_path / "out", workers=2, **asked)
    (line,) = report_of(tmp_path / "out")
    assert line["path"] == str(bad)
    assert "id2" in line["reason"]
    assert line["reason"].endswith("(--mirror --select NAME:DTYPE=NAME), and migrate what that makes")
    bad.rename(src / "bad")
    others = rb.migrate.run(src, tmp_path / "others/out", **asked)
    (src / "bad").rename(bad)
    assert numbers_in(first, "id") == numbers_in(others, "id")
    assert sorted(numbers_in(first, "id")) == [*range(10), *range(22, 36)]
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok, report.problems
    assert not report.is_complete

    before = {path: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    again = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert again.quarantine == first.quarantine
    assert {path: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")} == before
    assert "another permutation" not in caplog.text

    bad.write_bytes(good)
    os.utime(bad, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert rb.migrate.run(src, tmp_path / "out", resume=True, **asked).is_complete
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def test_a_source_that_is_repaired_to_other_columns_stays_in_quarantine(tmp_path):
    src = TREES["npz"](tmp_path / "src", [10, 12, 14])
    bad = src / "part-0001.npz"
    bad.write_bytes(bad.read_bytes()[:-20])
    asked = {"to": "tfrecord", "shuffle": True, "seed": 3, "shards": 3}
    first = rb.migrate.run(src, tmp_path / "out", **asked)
    np.savez(bad, other=np.arange(9))
    again = rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert numbers_in(again, "n") == numbers_in(first, "n")
    (each,) = again.quarantine
    assert each.path == str(bad)
    assert each.reason.startswith("field 'n' is int64 in ")
    np.savez(bad, **arrays(10, 12))
    assert sorted(numbers_in(rb.migrate.run(src, tmp_path / "out", resume=True, **asked), "n")) == list(range(36))


@pytest.mark.parametrize("options", [{"shuffle": True, "shards": 3}, {"split": SPLIT}])
def test_each_output_says_that_it_lacks_a_source_that_was_bad_while_planning(tmp_path, options):
    """Also to who asks about one of them, or one of its files, alone."""
    src = npz_tree(tmp_path / "src", [10, 12, 14])
    bad = src / "part-0001.npz"
    bad.write_bytes(bad.read_bytes()[:-30])
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", seed=3, **options)
    for manifest in outcome.manifests:
        told = json.loads(Path(manifest.files[-1]).read_text())
        assert not told["complete"]
        assert [each["path"] for each in told["quarantine"]] == [str(bad)]
        for path in (manifest.output, manifest.paths[0]):
            report = rb.verify(path)
            assert report.ok
            assert not report.is_complete
            assert [str(bad) in warning for warning in report.warnings] == [True]
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok
    assert not report.is_complete
    assert sum(str(bad) in warning for warning in report.warnings) == len(outcome.manifests)


# ---- killed ----


@pytest.mark.one_lane
@pytest.mark.parametrize("kind", ["rec", "tfrecord.gz", "chunked"])
def test_a_shuffle_that_was_killed_anywhere_is_finished_with_the_same_bytes(tmp_path, kind):
    KINDS[kind](tmp_path / "src", [5, 9])
    step = {"sources": [str(tmp_path / "src")], "to": "tfrecord", "shuffle": True, "seed": 3, "shards": 2}
    report = killed_everywhere(tmp_path, step, every=3)
    assert not [name for name in report["files"] if "unfinished" in name]


@pytest.mark.one_lane
def test_a_split_that_was_killed_anywhere_is_finished_with_the_same_bytes(tmp_path):
    rec_tree(tmp_path / "src", [5, 9])
    step = {"sources": [str(tmp_path / "src")], "to": "tfrecord", "split": "a=0.7,b=0.3", "seed": 3}
    report = killed_everywhere(tmp_path, step, every=4)
    assert not [name for name in report["files"] if "unfinished" in name]


@pytest.mark.one_lane
def test_going_on_with_a_shuffle_after_a_repair_may_be_killed_anywhere(tmp_path):
    """All is written anew then; nothing of the earlier permutation may stay."""
    src = gz_tree(tmp_path / "src", [5, 6, 7])
    cut = src / "part-0001.tfrecord.gz"
    killed_about_a_repair(tmp_path, src, cut, lambda path: os.truncate(path, path.stat().st_size - 30), every=6)
