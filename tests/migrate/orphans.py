"""Workers that outlive their run: stopped just before a call, while their coordinator is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.cli.running import PACKAGE_HOME

_STOPS = """
import os, signal, sys
if "STOP_BEFORE" in os.environ and "_work" in sys.orig_argv:
    name, _, file = os.environ["STOP_BEFORE"].partition(" ")
    real, at, pid = getattr(os, name), 1 if name == "replace" else 0, os.getpid()
    def stop_and_call(*arguments, **options):
        if file in str(arguments[at]) and (name == "replace" or str(arguments[0]).endswith(".part")):
            setattr(os, name, real)
            with open(os.environ["TELL"], "w") as tell:
                tell.write(f"{pid}\\n")
            os.kill(pid, signal.SIGSTOP)
        return real(*arguments, **options)
    setattr(os, name, stop_and_call)
"""
STOPS = [f"{call} {file}" for call in ("open", "replace") for file in ("00000-of-00003.tfrecord", "out.unfinished")]


def orphan_of(tmp_path: Path, src: Path, stop: str) -> int:
    """The process id of a worker that is stopped just before this call for this file, its coordinator killed."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(_STOPS)
    os.mkfifo(tmp_path / "tell")
    settings = {
        **os.environ,
        "PYTHONPATH": f"{PACKAGE_HOME}:{tmp_path / 'site'}",
        "STOP_BEFORE": stop,
        "TELL": str(tmp_path / "tell"),
    }
    command = ["migrate", src, tmp_path / "out", "--to", "tfrecord", "--shards", "3", "--workers", "2", "-q"]
    process = subprocess.Popen([sys.executable, "-m", "recordio_bridge", *map(str, command)], env=settings)
    with open(tmp_path / "tell") as tell:
        worker = int(tell.readline())
    others = [pid for pid in children_of(process.pid) if pid != worker]
    process.kill()
    process.wait()
    for pid in others:  # else it would write whenever it has the time for it, or wait for who listens to it
        watch = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert select.select([watch], [], [], 30)[0]
        os.close(watch)
    return worker


def children_of(pid: int) -> list[int]:
    """The processes that another one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def let_end(pid: int) -> None:
    """Let a stopped process go on, and wait until it is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    os.kill(pid, signal.SIGCONT)
    assert select.select([watch], [], [], 30)[0]
    os.close(watch)
