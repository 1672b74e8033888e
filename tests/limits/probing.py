"""Running code on a hostile file where memory is short, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import recordio_bridge as rb

HOME = Path(rb.__file__).resolve().parents[1]
_BOUNDS = """
import resource, sys
import recordio_bridge as rb
from recordio_bridge.cli import main
if sys.platform == "linux":
    used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + {room}, used + {room}))
"""
_PROGRAM = """
path = {path!r}
try:
    print("gave", {code})
except rb.BridgeError as err:
    print(type(err).__name__, str(err)[:1000].replace(chr(10), " "))
"""
READ = "sum(map(len, rb.read(path)))"
INSPECT = "rb.inspect(path).num_rows"
VERIFY = "[problem.message for problem in rb.verify(path).problems]"
OPEN = "len(rb.open(path))"


def outcome(code: str, path: Path, room: int = 1 << 30) -> str:
    """What an expression gives, or our error, with so many bytes of writable memory more than the imports took.

    Not of address space, of which malloc reserves 128 MiB for a thread that begins at a bad moment. Any other error,
    MemoryError among them, fails the test, as does a process that is killed.
    """
    done = _run(_PROGRAM.format(path=str(path), code=code), room)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def told(arguments: Sequence[object], room: int = 1 << 27) -> tuple[int, str]:
    """What a command gives, and all that it writes, with so much memory; a traceback fails the test."""
    done = _run(f"sys.exit(main({list(map(str, arguments))!r}))", room)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done.returncode, done.stdout + done.stderr


def _run(program: str, room: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _BOUNDS.format(room=room) + program]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
