"""Migrates on a Beam runner, kills a worker on the way, and compares every byte with what the local engine writes.

    python scripts/kill_a_worker.py --runner=FlinkRunner ...    the runner's arguments, but for its environment

The workers are in processes of Beam's worker pool (--environment_type=EXTERNAL), of which one is killed with SIGKILL
as soon as the first file has its name. A runner may start another worker and go on, or give up, or wait for it for
ever and be ended as by Ctrl-C; then the same command with --resume must finish what is left. Sources and targets are
in a temporary folder, which goes at the end.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recordio_bridge import mxrecordio

FILES, RECORDS, IMAGE = 24, 400, 50_000  # long enough for a worker to be killed amid them: half a gigabyte
TIMEOUT_S = 600  # Flink takes half a minute to start
PATIENCE_S = 60  # without another file, after which a runner that has lost a worker is taken to wait for it
COMMAND = [sys.executable, "-P", "-m", "recordio_bridge", "migrate"]
OPTIONS = ["--to", "tfrecord", "--shards", str(FILES), "--name", "set"]
POOL = [sys.executable, "-P", "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port=0"]


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="kill-a-worker-") as folder:
        sources, local, target = (Path(folder) / name for name in ("sources", "local", "beam"))
        write_sources(sources)
        subprocess.run([*COMMAND, str(sources), str(local), *OPTIONS], check=True)
        with worker_pool(folder) as (pool, address):
            engine = ["--engine", "beam", "--", *arguments]
            environment = ["--environment_type=EXTERNAL", f"--environment_config={address}"]
            command = [*COMMAND, str(sources), str(target), *OPTIONS]
            began = time.monotonic()
            migration = subprocess.Popen([*command, *engine, *environment])
            try:
                done = kill_a_worker(pool, target, migration)
                code = end_of(migration, target)
            finally:
                migration.kill()
            told(f"the migration ended with exit code {code} after {time.monotonic() - began:.1f} s")
            if done == FILES:
                told("every file was done before a worker was killed: this run proves nothing; give it more files")
                return 1
            if code:
                subprocess.run([*command, "--resume", *engine, *environment], check=True, timeout=TIMEOUT_S)
        return compare(local, target)


def write_sources(folder: Path) -> None:
    folder.mkdir()
    dice = random.Random(2016)
    for number in range(FILES):
        writer = mxrecordio.MXRecordIO(str(folder / f"part-{number:02d}.rec"), "w")
        for row in range(RECORDS):
            header = mxrecordio.IRHeader(0, float(row % 10), number * RECORDS + row, 0)
            writer.write(mxrecordio.pack(header, dice.randbytes(IMAGE)))
        writer.close()


@contextmanager
def worker_pool(folder: str) -> Iterator[tuple[int, str]]:
    """Beam's worker pool: its process and its address. It starts a process for each worker that a runner asks for.

    Away from this checkout: its workers import what they find in the current folder before what is installed.
    """
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts workers as plain `python`
    pool = subprocess.Popen(POOL, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": search})
    assert pool.stderr is not None  # a pipe
    try:
        for line in pool.stderr:
            if found := re.search(r"Started worker pool servicer at port: (\S+)", line):
                break
        else:
            raise SystemExit("Beam's worker pool did not start")
        threading.Thread(target=pool.stderr.read, daemon=True).start()  # else it stops when the pipe is full
        yield pool.pid, found[1]
    finally:
        pool.terminate()
        pool.wait()


def kill_a_worker(pool: int, target: Path, migration: subprocess.Popen[bytes]) -> int:
    """Kill the worker that was started first once there is a file; how many files there were then."""
    while migration.poll() is None:
        if done := len(files_in(target)):
            worker = children(pool)[0]
            os.kill(worker, signal.SIGKILL)
            told(f"worker {worker} was killed when {done} of {FILES} files were done")
            return done
        time.sleep(0.005)
    raise SystemExit(f"the migration ended with exit code {migration.returncode} before any file was done")


def end_of(migration: subprocess.Popen[bytes], target: Path) -> int:
    """Its exit code; one that stands still is interrupted, as its user would."""
    done, since = 0, time.monotonic()
    while migration.poll() is None and time.monotonic() < since + PATIENCE_S:
        if done != (done := len(files_in(target))):
            since = time.monotonic()
        time.sleep(0.1)
    if migration.poll() is None:
        told(f"no file in {PATIENCE_S} s, and {done} of {FILES} are done: the runner waits for the worker; interrupted")
        migration.send_signal(signal.SIGINT)
    return migration.wait(TIMEOUT_S)


def children(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=True)
    return sorted(map(int, listed.stdout.split()))


def compare(local: Path, target: Path) -> int:
    """Whether both have the same files with the same bytes, manifests included."""
    wanted, found = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (local, target))
    if sorted(wanted) != sorted(found):
        told(f"there are other files: {sorted(wanted.keys() ^ found.keys())}")
        return 1
    differing = [name for name, data in wanted.items() if data != found[name]]
    told(f"{len(wanted)} files, {len(differing)} of which differ from the local engine's {differing or ''}")
    return 1 if differing or len(files_in(target)) != FILES else 0


def files_in(folder: Path) -> list[Path]:
    """The TFRecords that have their final names."""
    return [path for path in folder.glob("*.tfrecord") if not path.name.startswith(".")]


def told(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
