"""A short run of scripts/compare: .npy and .npz against numpy, .h5 against h5py; and the script itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.differential.arrays import compare_hdf5, compare_numpy
from tests.differential.trials import Comparison, tallied
from tests.differential.witness import HOME


@pytest.mark.parametrize(("comparison", "count"), [(compare_numpy, 300), (compare_hdf5, 60)], ids=["numpy", "h5py"])
def test_ours_and_the_other_differ_only_where_the_rule_says_so(
    tmp_path: Path, comparison: Comparison, count: int
) -> None:
    tally = tallied("arrays", comparison, tmp_path, seed=1, count=count)
    assert tally.differing == []
    assert tally.sound > 0


def test_the_script_prints_a_tally_of_each_comparison(tmp_path: Path) -> None:
    command = [sys.executable, HOME / "scripts/compare", "numpy", "hdf5", "--count", "50", "--keep", tmp_path / "kept"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["numpy", "hdf5", "seed 0"]
    assert "50 inputs" in lines[0]
    assert not (tmp_path / "kept").exists()


def test_the_script_knows_its_comparisons() -> None:
    done = subprocess.run(
        [sys.executable, HOME / "scripts/compare", "orc"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no comparison orc; there are recordio, index, header, tfrecord, example, numpy, hdf5" in done.stderr
