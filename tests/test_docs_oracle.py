"""The snippets of the README that need TensorFlow are run; the others are in test_docs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_docs import blocks, needs_tensorflow
from tests.test_docs import folder as folder  # a fixture

SNIPPETS = [snippet for snippet in blocks("python") if needs_tensorflow(snippet)]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_that_feeds_tensorflow_runs(number: int, folder: Path) -> None:
    exec(compile(SNIPPETS[number], "README.md", "exec"), {})


def test_there_are_snippets_for_keras_graph_mode_and_restarts() -> None:
    assert len(SNIPPETS) >= 3
