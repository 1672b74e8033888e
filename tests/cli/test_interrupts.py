"""Ctrl-C while the command line begins, when all it does is to import."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PACKAGE_HOME

INTERRUPT_AT_IMPORT = """
import os, signal, sys

def interrupt(event, arguments):
    if event == "import" and arguments[0] == {name!r}:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(interrupt)
"""
AS_MODULE = ["-m", "recordio_bridge"]
AS_SCRIPT = ["-c", "import sys; from recordio_bridge.__main__ import start; sys.exit(start())"]


def run_interrupted(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A new interpreter that gets an interrupt when it begins to import this module."""
    (folder / "sitecustomize.py").write_text(INTERRUPT_AT_IMPORT.format(name=name))
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{PACKAGE_HOME}"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("start", [AS_MODULE, AS_SCRIPT])
@pytest.mark.parametrize(
    "name",
    [
        "argparse",
        "numpy",
        "numpy.linalg",
        "recordio_bridge.batch",
        "recordio_bridge._kernels",
        "recordio_bridge.cli.progress",
    ],
)
def test_an_interrupt_while_modules_are_imported_is_one_line_and_130(tmp_path, start, name):
    ended = run_interrupted(tmp_path, name, *start, "info", tmp_path / "none.rec")
    expected = "recordio-bridge: error: interrupted before anything was begun\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", expected)


def test_an_interrupt_while_a_verb_imports_what_it_needs_is_told_as_one_of_its_work(tmp_path):
    ended = run_interrupted(tmp_path, "recordio_bridge.migrate.check", *AS_MODULE, "verify", tmp_path / "none.rec")
    expected = "recordio-bridge: error: interrupted; nothing was left half-written\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", expected)


def test_an_interrupt_that_is_ignored_stays_so(tmp_path):
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {AS_SCRIPT[1]}"
    ended = run_interrupted(tmp_path, "numpy", "-c", ignoring, "--version")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_command_starts_where_interrupts_are_seen_to():
    setup = configparser.ConfigParser()
    setup.read(PACKAGE_HOME / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    assert [line for line in scripts if line] == ["recordio-bridge = recordio_bridge.__main__:start"]
