"""How many files each test writes, which of the tests with damaged files is how many were tried: docs/reliability.md.

scripts/test -p tests.counting tests/formats/test_hostile.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_counts: Counter[str] = Counter()
_running = ""
_write_bytes = Path.write_bytes


def _counted(path: Path, data: Any) -> int:  # Any: whatever has a buffer
    _counts[_running] += 1
    return _write_bytes(path, data)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    global _running
    _running = item.nodeid.partition("[")[0]
    Path.write_bytes = _counted  # type: ignore[method-assign, assignment]
    try:
        return (yield)
    finally:
        Path.write_bytes = _write_bytes  # type: ignore[method-assign]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, count in _counts.most_common():
        terminalreporter.write_line(f"{count:7,}  {name}")
