"""How much memory a conversion, or a migration, takes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# VmHWM, as ru_maxrss would also count what this process held when it started the other.
_PROGRAM = """
import sys
import recordio_bridge as rb
rb.convert(sys.argv[1], sys.argv[2], overwrite=True)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_MIGRATION = """
import json, sys, time
import recordio_bridge as rb
verb, source, out, options = sys.argv[1:]
start = time.perf_counter()
done = getattr(rb.migrate, verb)(source, out, to="tfrecord", **json.loads(options))
print(time.perf_counter() - start)
assert not done.quarantine, done.quarantine[0]
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_EVERY_S = 0.02


class Cost(NamedTuple):
    """What a migration took: seconds without the start of its interpreter, and MiB of memory of all its processes."""

    seconds: float
    mib: float


def peak_mib(source: Path, target: Path) -> float:
    """The most MiB of memory that a process of its own holds while it converts source to target."""
    command = [sys.executable, "-c", _PROGRAM, str(source), str(target)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def cost_of(verb: str, source: Path, out: Path, **options: object) -> Cost:
    """The cost of rb.migrate.plan or .run in a process of its own.

    Memory is the sum of what each process held at most. Of workers, which are killed in the end, that is seen by
    looking at them now and then.
    """
    command = [sys.executable, "-W", "ignore", "-c", _MIGRATION, verb, str(source), str(out), json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peaks: dict[int, int] = {}
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, peaks, ended))
        watch.start()
        said, _ = process.communicate()
        ended.set()
        watch.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds, own = said.split()
    peaks.pop(process.pid, None)
    return Cost(float(seconds), (int(own) + sum(peaks.values())) / 1024)


def _watch(parent: int, peaks: dict[int, int], ended: threading.Event) -> None:
    """Note the VmHWM of all processes below a parent, in KiB."""
    while not ended.wait(_EVERY_S):
        for pid in _children(parent):
            with suppress(OSError, StopIteration):  # it ended meanwhile
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                peaks[pid] = int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


def _children(parent: int) -> Iterator[int]:
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):
            for pid in map(int, task.read_text().split()):
                yield pid
                yield from _children(pid)
