"""docs/reliability.md promises nothing that no test holds: each that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs/reliability.md").read_text()
PROMISES = [
    line
    for line in TEXT.partition("## The long runs")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| promise ")
]
NAMED = sorted(set(re.findall(r"(?:tests|scripts)/[\w./:-]*\w", TEXT)))


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line.split("|")[1].strip())
def test_every_promise_names_what_keeps_it(line: str) -> None:
    assert re.search(r"(?:tests|scripts)/\w+", line.split("|")[2])


@pytest.mark.parametrize("name", NAMED)
def test_what_a_promise_names_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    assert (ROOT / path).exists()
    if test:
        found = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
        assert test in found


def test_the_readme_leads_there() -> None:
    assert "docs/reliability.md" in (ROOT / "README.md").read_text()
    assert "SECURITY.md" in (ROOT / "README.md").read_text()
