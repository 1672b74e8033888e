"""docs/limits.md says what is in the code, and each of its lines is held by a test that there is."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/limits.md").read_text()
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith("|--") and "::" in line
]
"""The cells of all tables, without heads."""


def names_in(path: Path) -> set[str]:
    """The names of all tests of a file."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_line_of_a_table_names_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert len(rows) == len(LINES) > 40


@pytest.mark.parametrize("line", LINES, ids=[line[0] for line in LINES])
def test_the_test_that_a_line_names_is_there(line: list[str]) -> None:
    path, _, name = line[-1].partition("::")
    assert name in names_in(ROOT / path)


@pytest.mark.parametrize("line", [line for line in LINES if len(line) == 6 and line[4]], ids=lambda line: line[4])
def test_the_number_of_a_line_is_that_of_the_code(line: list[str]) -> None:
    module, _, name = line[4].rpartition(".")
    value = getattr(importlib.import_module(f"recordio_bridge.{module}"), name)
    assert f"{value:,}" in re.findall(r"[\d,]*\d", line[1])


def test_every_test_file_of_limits_is_in_a_table() -> None:
    named = {line[-1].partition("::")[0] for line in LINES}
    there = {f"tests/limits/{path.name}" for path in (ROOT / "tests/limits").glob("test_*.py")}
    assert there - named == {"tests/limits/test_table.py"}


def test_the_readme_leads_to_the_table() -> None:
    assert "docs/limits.md" in (ROOT / "README.md").read_text()
