"""Runs the fuzz targets, some at a time, and prints what each did: see scripts/fuzz, which makes what this needs.

All Python targets are forked from one process, as importing the library takes long where atheris marks its branches.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import parsers
from tests.fuzz.targets import TARGETS

PLACE = Path(__file__).resolve().parents[2] / ".fuzz"
KERNELS = sorted(path.name for path in PLACE.glob("kernel-*"))
LONGEST_S = 20  # for one input
LIMITS = ("-max_len=20000", f"-timeout={LONGEST_S}", "-rss_limit_mb=2048", "-print_final_stats=1")
H5PY_S = 2  # a tenth of it: what h5py alone does not read in that time is no finding of ours


def start(target: str, arguments: list[str], log: Path) -> int:
    """Begin to run a target; the number of its process."""
    sys.stdout.flush()  # else each child writes what is in there, too
    pid = os.fork()
    if pid:
        return pid
    with log.open("ab") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    if target in KERNELS:
        os.execv(PLACE / target, [target, *arguments])
    parsers.fuzz(target, arguments)
    os._exit(1)  # libFuzzer ends the process, and keeps an input that made it end otherwise


def is_h5pys_own(path: Path) -> bool:
    """Whether h5py without us fares no better: it crashes, or needs long."""
    code = (
        "import sys, h5py\n"
        "def read(item):\n"
        "    if isinstance(item, h5py.Dataset) and item.shape:\n"
        "        for at in range(0, min(len(item), 400), 2): item[at : at + 2]\n"
        "        step = 4096 * (item.chunks or (1,))[0]\n"  # of all of it some chunks at a time: see hdf5_boxes.py
        "        for at in range(0, len(item) if item.nbytes < 1 << 28 else 0, step): item[at : at + step]\n"
        "with h5py.File(sys.argv[1]) as file: file.visititems(lambda _, item: read(item))\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, timeout=H5PY_S, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode < 0


def passes_alone(target: str, path: Path) -> bool:
    """Whether an input at which too much memory was taken takes little alone: libFuzzer's own grows with the inputs.

    By 4 to 12 KiB an input of rec-any, where the same 20,000 inputs without it, instrumented or not, left nothing.
    """
    pid = start(target, [*LIMITS, str(path)], Path(os.devnull))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Turn:
    """A target that is fuzzed for so long."""

    def __init__(self, target: str, seconds: int) -> None:
        self.target, self.seconds, self.count, self.found = target, seconds, 0, list[str]()
        self.excused = 0  # inputs at which HDF5 itself, or libFuzzer, ended
        self.log = PLACE / "logs" / f"{target}.txt"
        self.log.write_bytes(b"")
        self._until = time.monotonic() + seconds
        self._read = 0

    def start(self) -> int:
        """Begin, or go on; the number of its process."""
        corpus = PLACE / "corpus" / self.target
        corpus.mkdir(parents=True, exist_ok=True)
        left = max(1, round(self._until - time.monotonic()))
        findings = PLACE / "findings" / self.target
        arguments = [*LIMITS, f"-max_total_time={left}", f"-artifact_prefix={findings}-", str(corpus)]
        return start(self.target, arguments, self.log)

    @property
    def is_overdue(self) -> bool:
        """Whether it should have ended long ago."""
        return time.monotonic() > self._until + 3 * LONGEST_S

    def is_done(self) -> bool:
        """Take what the process said that has ended; whether that was all."""
        said = self.log.read_bytes()[self._read :].decode(errors="replace")
        self._read = self.log.stat().st_size
        tried = re.search(r"^stat::number_of_executed_units: *(\d+)", said, re.MULTILINE)
        steps = re.findall(r"^#(\d+)\t", said, re.MULTILINE)  # where a crash left no sum
        self.count += int(tried[1]) if tried else int(steps[-1]) if steps else 0
        written = re.findall(r"Test unit written to (.*)", said)
        left = self._until - time.monotonic()
        found = Path(written[-1]) if written else None
        is_grown = found is not None and "-oom-" in found.name and passes_alone(self.target, found)
        is_broken_promise = "Uncaught Python exception" in said  # else it ended, or lasted, in HDF5
        is_hdf5s = self.target in ("hdf5", "h5-said") and not is_broken_promise
        if found is not None and (is_grown or (is_hdf5s and is_h5pys_own(found))):
            self.excused += 1
            found.unlink()
            if left > 1:
                return False
        elif written or not tried:
            self.found = written or [f"ended by itself: {self.log}"]
        with (PLACE / "runs.tsv").open("a") as runs:
            runs.write(f"{self.target}\t{self.count}\t{self.seconds - max(0, round(left))}\t{len(self.found)}\n")
        return True

    def row(self) -> str:
        """What came of it, and of all runs before."""
        ever, lasted_s = totals()[self.target]
        numbers = f"{self.count:>12,}{self.count // self.seconds:>10,}{ever:>14,}{lasted_s / 60:>9.1f}"
        excused = f" (and {self.excused} of h5py's own, or of the fuzzer's memory)" if self.excused else ""
        return f"{self.target:<18}{numbers}  {', '.join(self.found) or '-'}{excused}"


def first_ended(running: dict[int, Turn]) -> int:
    """The process that ends first. One that goes on beyond its time hangs, and is killed.

    So does the handler of atheris for inputs that take long, where it breaks off whoever holds the lock of malloc.
    """
    while True:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid:
            return pid
        for pid, turn in running.items():
            if turn.is_overdue:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def totals() -> dict[str, tuple[int, int]]:
    """Inputs and seconds of all runs, by target."""
    sums: dict[str, tuple[int, int]] = {}
    for line in (PLACE / "runs.tsv").read_text().splitlines():
        target, count, seconds, _ = line.split("\t")
        before = sums.get(target, (0, 0))
        sums[target] = before[0] + int(count), before[1] + int(seconds)
    return sums


def main() -> int:
    """Run targets, with their files in a folder of this process: they are ended, and cannot remove it."""
    folder = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    tempfile.tempdir, parent = folder, os.getpid()
    try:
        return run()
    finally:
        if os.getpid() == parent:  # a target that found something comes along here, too
            shutil.rmtree(folder)


def run() -> int:
    parser = argparse.ArgumentParser(description="Run fuzz targets.")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--again", type=Path)
    parser.add_argument("targets", nargs="*", default=[*KERNELS, *TARGETS])
    args = parser.parse_args()
    unknown = set(args.targets) - {*KERNELS, *TARGETS}
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join([*KERNELS, *TARGETS])}")
    for name in ("findings", "logs"):
        (PLACE / name).mkdir(parents=True, exist_ok=True)
    if args.again:
        named = [each for each in [*KERNELS, *TARGETS] if re.match(rf"{each}-[a-z]+-", args.again.name)]
        target = max(named, key=len)  # tfrecord-raw begins with tfrecord
        pid = start(target, ["-timeout=20", str(args.again)], Path("/dev/stdout"))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    at_once = os.cpu_count() or 1
    seconds = max(1, round(args.minutes * 60 * at_once / len(args.targets)))
    print(f"{len(args.targets)} targets, {seconds} s each, {at_once} at once", flush=True)
    print(f"{'target':<18}{'inputs':>12}{'a second':>10}{'in all':>14}{'minutes':>9}  findings", flush=True)
    waiting, running, status = args.targets[::-1], dict[int, Turn](), 0
    while waiting or running:
        while waiting and len(running) < at_once:
            turn = Turn(waiting.pop(), seconds)
            running[turn.start()] = turn
        turn = running.pop(first_ended(running))
        if turn.is_done():
            print(turn.row(), flush=True)
            status |= bool(turn.found)
        else:
            running[turn.start()] = turn
    return status


if __name__ == "__main__":
    sys.exit(main())
