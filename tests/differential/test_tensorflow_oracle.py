"""A short run of scripts/compare: TFRecord against TensorFlow, Examples against protobuf."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.examples import compare_messages
from tests.differential.tfrecord import compare_files
from tests.differential.trials import Comparison, tallied


@pytest.mark.parametrize(
    ("comparison", "count"), [(compare_files, 100), (compare_messages, 250)], ids=["files", "messages"]
)
def test_ours_and_tensorflow_differ_only_where_the_rule_says_so(
    tmp_path: Path, comparison: Comparison, count: int
) -> None:
    tally = tallied("tensorflow", comparison, tmp_path, seed=1, count=count)
    assert tally.differing == []
    assert min(tally.sound, tally.damaged) > 0
