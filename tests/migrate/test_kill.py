"""Kill -9 at every step of a migration that changes the disk, then --resume: the same bytes, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import PACKAGE_HOME
from tests.migrate.trees import TREES, npz_tree, rec_tree

pytestmark = pytest.mark.one_lane

_SCRIPT = Path(__file__).with_name("killing.py")


def killed_everywhere(tmp_path: Path, *steps: dict, every: int = 5) -> dict:
    """Steps of which the last is killed at each of its calls; the report, in which nothing may be wrong."""
    spec = json.dumps({"folder": str(tmp_path / "runs"), "steps": steps, "every": every})
    (tmp_path / "runs").mkdir()
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    command = [sys.executable, str(_SCRIPT), spec]
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["wrong"] == [], json.dumps(report["wrong"][:4], indent=1) + f"\n{len(report['wrong'])} in all"
    assert report["points"] > 20
    assert not [name for name in report["files"] if ".part" in name]
    return report


def killed_about_a_repair(folder: Path, src: Path, bad: Path, damage: Callable[[Path], None], every: int) -> None:
    """The same of a shuffle of these sources, one of which is damaged, and repaired before it goes on."""
    good, damaged = folder / "good", folder / "damaged"
    shutil.copy2(bad, good)
    damage(bad)
    shutil.copy2(bad, damaged)
    step = {"sources": [str(src)], "to": "tfrecord", "shuffle": True, "seed": 3, "shards": 2}
    report = killed_everywhere(
        folder,
        {"copy": [str(damaged), str(bad)]},
        step,
        {"copy": [str(good), str(bad)]},
        {**step, "resume": True},
        every=every,
    )
    assert "out.quarantine.jsonl" not in report["files"]


def migration(tmp_path: Path, **options: object) -> dict:
    return {"sources": [str(tmp_path / "src")], "to": "tfrecord", **options}


def test_rec_to_tfrecord(tmp_path):
    rec_tree(tmp_path / "src", [5, 0, 9])
    killed_everywhere(tmp_path, migration(tmp_path, shards=2), every=1)


def test_npz_to_tfrecord_by_size(tmp_path):
    npz_tree(tmp_path / "src", [30, 40])
    killed_everywhere(tmp_path, migration(tmp_path, shard_bytes=1500))


def test_tfrecord_to_h5(tmp_path):
    TREES["tfrecord"](tmp_path / "src", [5, 9])
    killed_everywhere(tmp_path, migration(tmp_path, to="h5", shards=2))


def test_a_mirror_of_rec_with_indexes_in_folders(tmp_path):
    rec_tree(tmp_path / "src", [5])
    rec_tree(tmp_path / "src/deep/er", [4])
    report = killed_everywhere(tmp_path, migration(tmp_path, to="rec", mirror=True))
    assert "deep/er/part-0000.idx" in report["files"]


def test_an_earlier_output_that_is_overwritten_by_fewer_files(tmp_path):
    rec_tree(tmp_path / "src", [5, 9])
    killed_everywhere(tmp_path, migration(tmp_path, shards=4), migration(tmp_path, shards=2, overwrite=True))


def test_an_earlier_mirror_that_is_overwritten_by_one_of_other_shards(tmp_path):
    rec_tree(tmp_path / "src", [5, 9])
    first = migration(tmp_path, to="rec", mirror=True, shards=2)
    killed_everywhere(tmp_path, first, migration(tmp_path, to="rec", mirror=True, overwrite=True))


def test_with_a_source_in_quarantine(tmp_path):
    npz_tree(tmp_path / "src", [5, 6, 7])
    np.savez(tmp_path / "src/part-0001.npz", m=np.arange(9))
    report = killed_everywhere(tmp_path, migration(tmp_path, shards=2))
    assert "out.quarantine.jsonl" in report["files"]


def test_going_on_after_a_repair(tmp_path):
    """The killed one is itself the --resume that takes in what was repaired."""
    npz_tree(tmp_path / "src", [5, 6, 7])
    bad, good = tmp_path / "src/part-0001.npz", tmp_path / "good.npz"
    good.write_bytes(bad.read_bytes())
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(bad.read_bytes()[:-30])
    report = killed_everywhere(
        tmp_path,
        {"copy": [str(damaged), str(bad)]},
        migration(tmp_path, shards=2),
        {"copy": [str(good), str(bad)]},
        migration(tmp_path, shards=2, resume=True),
    )
    assert "out.quarantine.jsonl" not in report["files"]


def test_with_files_for_other_programs(tmp_path):
    npz_tree(tmp_path / "src", [5, 6])
    report = killed_everywhere(tmp_path, migration(tmp_path, shards=2, tfds="digits:1.0.0", tfmd=True))
    assert any("features.json" in name for name in report["files"])
