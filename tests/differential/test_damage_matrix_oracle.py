"""docs/damage.md: what it says of ours is so."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.differential.told import Told
from tests.differential.witness import HOME, Died


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    """scripts/damage_matrix.py."""
    spec = importlib.util.spec_from_file_location("damage_matrix", HOME / "scripts/damage_matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


def rows_of(table: str, columns: int = 4) -> list[list[str]]:
    """The first cells of each line of a table in Markdown."""
    return [line.split("|")[1 : columns + 1] for line in table.splitlines() if line.startswith("| ")]


def test_the_columns_of_ours_are_those_of_the_page(matrix: ModuleType, tmp_path: Path) -> None:
    page = (HOME / "docs/damage.md").read_text()
    tables = [
        matrix.rec_table(tmp_path, lambda index: []),
        matrix.tfrecord_table(tmp_path, lambda index: []),
        matrix.gzip_table(tmp_path, []),
    ]
    assert rows_of("".join(tables)) == rows_of(page)


def test_each_outcome_has_its_own_words(matrix: ModuleType, tmp_path: Path) -> None:
    truth = Told(["a", "b", "c"])

    def died(path: Path) -> Told:
        raise Died(-14 if path.name == "late" else -6)

    def cell(told: Told) -> str:
        return matrix.cell(matrix.Reader("peer", lambda path: told), tmp_path, truth)

    assert cell(Told(["a"], "cut")) == "error"
    assert cell(truth) == "equal"
    assert cell(Told(["a", "c"])) == "**loses 1 silently**"
    assert cell(Told(["a", "x"])) == "**1 wrong, loses 1**"
    assert cell(Told(["a", "b", "c", "c"])) == "**1 wrong**"
    assert matrix.cell(matrix.Reader("peer", died), tmp_path / "late", truth) == "**hang**"
    assert matrix.cell(matrix.Reader("peer", died), tmp_path / "x", truth) == "**crash**"
