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
    calls, _, file = os.environ["STOP_BEFORE"].partition(" ")
    names, at, pid, done = calls.split("|"), 0 if calls == "open" else 1, os.getpid(), []
    def stopping(real):
        def stop_and_call(*arguments, **options):
            if not done and file in str(arguments[at]) and (at or str(arguments[0]).endswith(".part")):
                done.append(file)
                with open(os.environ["TELL"], "w") as tell:
                    tell.write(f"{pid}\\n")
                os.kill(pid, signal.SIGSTOP)
            return real(*arguments, **options)
        return stop_and_call
    for name in names:
        setattr(os, name, stopping(getattr(os, name)))
"""
_CALLS = ["open", "link|replace"]  # a file is begun, and given its name
STOPS = [f"{calls} {file}" for calls in _CALLS for file in ("00000-of-00003.tfrecord", "out.unfinished")]


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
    with open(os.open(tmp_path / "tell", os.O_RDWR)) as tell, open(os.pidfd_open(process.pid)) as end:
        told, _, _ = select.select([tell, end], [], [])
        assert tell in told, "it ended before any worker stopped"
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
