"""What many tests begin with; and a skipped test proves nothing, so a run with one has failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.s3 import Wire, Witness


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line(f"{len(reporter.stats['skipped'])} skipped: a run with skipped tests has failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, here and in processes that are started, which is to be empty in the end."""
    folder = tmp_path / "workshop"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


# ---- S3; tests/s3.py needs moto, which only the tests that are named _oracle may ask for ----


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, int]]:
    """The address of an S3 server, one for all tests: to start one takes longer than most of them."""
    from tests.s3 import serving

    with serving() as address:
        yield address


@pytest.fixture
def wire(server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The way to the server, on which nothing is cut as yet; attempts follow one another at once."""
    from recordio_bridge import remote
    from tests.s3 import Wire, pointed_at

    monkeypatch.setattr(remote, "_PAUSE_S", 0.0)
    wire = Wire(server)
    try:
        with pointed_at(wire.url, monkeypatch):
            yield wire
    finally:
        wire.close()


@pytest.fixture
def bucket(wire: Wire, server: tuple[str, int]) -> Iterator[Witness]:
    """The bucket lake, empty."""
    from tests.s3 import Witness

    witness = Witness(f"http://{server[0]}:{server[1]}")
    witness.clear()
    yield witness
    witness.clear()
