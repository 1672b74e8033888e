"""Programs that run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from tests.cli.running import PACKAGE_HOME


def run_program(program: str, *arguments: object) -> subprocess.CompletedProcess:
    """A program with these arguments, to its end, which must come within two minutes."""
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=settings, timeout=120)
