"""A skipped test proves nothing, so a run with one has failed."""

from __future__ import annotations

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line(f"{len(reporter.stats['skipped'])} skipped: a run with skipped tests has failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
