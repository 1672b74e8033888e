"""HDF5 files on a disk that is full, or where files may not grow: errors, and no process that HDF5 ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb

HOME = Path(rb.__file__).resolve().parents[1]
LIMITED = """
import resource, sys
from recordio_bridge.cli import main
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""
LEFT = """
import sys
import recordio_bridge as rb
from recordio_bridge.formats import hdf5
batch = next(rb.read(sys.argv[1]))
writer = hdf5.FORMAT.create(sys.argv[2], batch.schema, hdf5.Hdf5Options())
for _ in range(20):
    writer.write(batch)
"""


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    random = np.random.default_rng(0)
    columns = {"id": np.arange(300), "image": [random.bytes(3000) for _ in range(300)]}
    rb.write(tmp_path / "in/a.rec", columns)
    return tmp_path / "in/a.rec"


@pytest.mark.parametrize("limit", [1, 2000, 100_000, 600_000])
@pytest.mark.parametrize("options", [(), ("--out", "compression=GZIP"), ("--workers", "2", "--shards", "2")])
def test_a_file_that_may_not_grow_is_one_line_and_leaves_nothing(
    source: Path, limit: int, options: tuple[str, ...]
) -> None:
    out = source.parents[1] / "out"
    if "--shards" in options:
        limit //= 2
    done = run(LIMITED, limit, "convert", source, out / "b.h5", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert "ulimit -f" in done.stderr
    assert f"{out}/b" in done.stderr
    assert os.listdir(out) == []


def test_a_writer_that_is_left_open_does_not_end_the_process_in_a_crash(source: Path) -> None:
    done = run(LEFT, source, source.parents[1] / "out/b.h5")
    assert (done.returncode, done.stderr) == (0, "")
