"""Running the command line: main in this process, or the module in a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import recordio_bridge
from recordio_bridge.cli import main

PACKAGE_HOME = Path(recordio_bridge.__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What a command answered."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> object:
        """Standard output as the one JSON document that it is, by the letter of the standard."""
        return strict_json(self.stdout)

    @property
    def json_lines(self) -> list:
        """Standard output as one JSON document a line."""
        return [strict_json(line) for line in self.stdout.splitlines()]


def strict_json(text: str) -> object:
    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """main with these arguments, and what it wrote."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Outcome(code, captured.out, captured.err)


def start_module(*arguments: object, **environment: str) -> subprocess.Popen:
    """python -m recordio_bridge with these arguments, both outputs as pipes of text."""
    command = [sys.executable, "-m", "recordio_bridge", *map(str, arguments)]
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME), **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings)


def run_module(*arguments: object, **environment: str) -> Outcome:
    """python -m recordio_bridge with these arguments, to its end."""
    process = start_module(*arguments, **environment)
    stdout, stderr = process.communicate()
    return Outcome(process.returncode, stdout, stderr)
