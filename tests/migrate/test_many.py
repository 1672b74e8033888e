"""Ten thousand small files, flat and as a tree; and how little of the sources planning reads (on Linux)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.cli.running import PACKAGE_HOME
from tests.migrate.trees import rec_tree
from tests.samples import image_rec, read_examples, write_rec

MANY = 10_000
ROWS = 20


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with as many rows each, a hundred to a folder: copies of one, which is quick to make."""
    folder = tmp_path_factory.mktemp("many")
    one = image_rec(folder / "one.rec", ROWS)
    data = one.read_bytes()
    one.unlink()
    one.with_suffix(".idx").unlink()
    for number in range(MANY):
        if number % 100 == 0:
            (folder / f"{number // 100:03d}").mkdir()
        (folder / f"{number // 100:03d}/{number:05d}.rec").write_bytes(data)
    return folder


@pytest.mark.one_lane
def test_ten_thousand_files_become_a_few(many, tmp_path):
    outcome = rb.migrate.run(many, tmp_path / "out", to="tfrecord", shards=4, workers=2)
    assert outcome.is_complete
    assert outcome.num_rows == MANY * ROWS
    path = Path(outcome.manifests[0].paths[2])
    assert [row["id"][0] for row in read_examples(path)[: 3 * ROWS]] == 3 * list(range(ROWS))
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok
    assert report.num_rows == MANY * ROWS


@pytest.mark.one_lane
def test_a_tree_of_many_files_is_mirrored(many, tmp_path):
    """Each output has three files, synced to disk, so only some are; scripts/soak-kill --many has them all."""
    for number in range(2):
        shutil.copytree(many / f"{number:03d}", tmp_path / f"src/{number:03d}")
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True, workers=2)
    assert len(outcome.manifests) == 200
    assert outcome.num_rows == 200 * ROWS
    found = sorted((tmp_path / "out").rglob("*.tfrecord"))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in found[98:102]] == [
        "000/00098.tfrecord",
        "000/00099.tfrecord",
        "001/00100.tfrecord",
        "001/00101.tfrecord",
    ]
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.is_file()]
    assert rb.migrate.verify(tmp_path / "out").ok


_READS = """
import json, sys
import recordio_bridge as rb
src, out, options = json.loads(sys.argv[1])
def read():
    return int(open("/proc/self/io").read().split()[1])
rb.migrate.plan(src, out, **options)  # what imports read
before = read()
plan = rb.migrate.plan(src, out, **options)
print(json.dumps([read() - before, plan.nbytes]))
"""


@pytest.mark.parametrize("options", [{"to": "tfrecord"}, {"to": "h5"}, {"to": "tfrecord", "mirror": True}])
def test_planning_reads_heads_and_not_whole_files(tmp_path, options):
    src = tmp_path / "src"
    src.mkdir()
    payloads = [bytes(24) + b"\xff\xd8\xff" + bytes(40_000)] * 2500
    write_rec(src / "large.rec", payloads)
    asked = json.dumps([str(src), str(tmp_path / "out"), options])
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    command = [sys.executable, "-c", _READS, asked]
    read, nbytes = json.loads(subprocess.run(command, capture_output=True, check=True, env=settings).stdout)
    assert nbytes > 100_000_000
    assert read < nbytes / 2  # the beginning and the ends of each, and a sample


def test_looking_at_many_files_counts_them_all(tmp_path):
    rec_tree(tmp_path / "src", [1] * 300)
    seen = []
    rb.migrate.plan(tmp_path / "src", tmp_path / "out", to="tfrecord", workers=2, on_event=seen.append)
    assert (seen[-1].phase, seen[-1].files, seen[-1].of_files) == ("planning", 300, 300)
    assert [each.files for each in seen] == sorted(each.files for each in seen)
