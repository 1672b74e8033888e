"""A short run of scripts/compare: RecordIO against mxnet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.recordio import compare_files, compare_headers, compare_indexed
from tests.differential.trials import Comparison, tallied

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")  # of a label of 1e39


@pytest.mark.parametrize(
    ("comparison", "count"),
    [(compare_files, 150), (compare_indexed, 60), (compare_headers, 300)],
    ids=["files", "index", "headers"],
)
def test_ours_and_mxnet_differ_only_where_the_rule_says_so(tmp_path: Path, comparison: Comparison, count: int) -> None:
    tally = tallied("recordio", comparison, tmp_path, seed=1, count=count)
    assert tally.differing == []
    assert min(tally.sound, tally.damaged, *tally.verdicts.values()) > 0
