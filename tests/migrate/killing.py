"""Kill a migration at every call that changes the disk, resume it, and compare with one that nobody killed.

python killing.py SPEC, in a process of its own, as it forks. SPEC is JSON: folder, to work in; steps, the arguments of
migrate.run without out, or {"copy": [from, to]}. The last step is killed at its first such call, at its second, and so
on, until it comes to its end; after each it is resumed. Gives JSON: points, at how many calls; wrong, what went wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path

import recordio_bridge as rb

_KILLED = 77
_CALLS = ("replace", "link", "rename", "fsync", "unlink", "rmdir", "mkdir", "open", "write")


def tree(folder: Path) -> dict[str, str]:
    """All files and folders in a folder, with a digest of bytes; not what a state has, which tells the place."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.parent.suffix != ".unfinished" or path.suffix == ".part":
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            found[str(path.relative_to(folder))] = digest
    return found


def die_at(number: int, say: Callable[[str], object]) -> None:
    """Let this process end without a word just before the call with this number, a write in its middle."""
    calls = count(1)

    def doomed(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            if name == "open" and not int(str(arguments[1])) & os.O_CREAT:
                return real(*arguments, **options)
            if next(calls) == number:
                if name == "write":
                    real(arguments[0], memoryview(arguments[1])[: len(arguments[1]) // 2])  # type: ignore[arg-type]
                say(f"{name} {arguments[0]}")
                os._exit(_KILLED)
            return None if name == "fsync" else real(*arguments, **options)  # killing is not a power loss

        return call

    for name in _CALLS:
        setattr(os, name, doomed(name))


def forked(step: dict, out: Path, log: Path, at: int = 0) -> int:
    """Do a step in a process of its own, which dies at this call; its exit status."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    write = os.write
    try:
        if "copy" in step:
            shutil.copy2(*step["copy"])
        else:
            die_at(at, lambda text: write(fd, text.encode()))
            rb.migrate.run(step["sources"], out, **{name: step[name] for name in step if name != "sources"})
        os._exit(0)
    except BaseException:
        write(fd, traceback.format_exc().encode())
        os._exit(1)


def main(spec: dict) -> dict:
    folder, wrong = Path(spec["folder"]), []
    *before, last = spec["steps"]
    resumed = {**last, "resume": True, "overwrite": False}
    log = folder / "log"

    def prepared(name: str) -> Path:
        out = folder / name / "out"
        out.parent.mkdir(parents=True)
        for step in before:
            assert forked(step, out, log) == 0, log.read_text()
        return out

    for number, step in enumerate(each for each in spec["steps"] if "sources" in each):
        if not step.get("resume"):  # so that all is imported, and none of the many processes has to
            rb.migrate.run(step["sources"], folder / f"warm-{number}", **{k: step[k] for k in step if k != "sources"})
    whole = prepared("whole")
    assert forked(last, whole, log) == 0, log.read_text()
    expected = tree(whole)
    for at in count(1, spec["every"]):
        out = prepared(f"{at:04d}")
        earlier = tree(out) if out.is_dir() else {}
        status = forked(last, out, log, at)
        if status == 0:
            return {"points": at - 1, "wrong": wrong, "files": sorted(expected)}
        killed = log.read_text()
        assert status == _KILLED, killed
        if at % 3 == 0:  # killed again while it goes on
            forked(resumed, out, log, random.Random(at).randrange(1, 40))
            killed += f", then at {log.read_text()}"
        status = forked(resumed, out, log)
        found = tree(out) if out.is_dir() else {}
        if last.get("overwrite") and earlier.items() <= found.items() and "PlanMismatchError" in log.read_text():
            status = forked(last, out, log)
            found = tree(out)
        if status != 0 or found != expected:
            wrong.append(
                {
                    "at": at,
                    "killed": killed,
                    "error": log.read_text()[-600:] if status else "",
                    "extra": sorted(set(found) - set(expected)),
                    "missing": sorted(set(expected) - set(found)),
                    "other": sorted(name for name in set(found) & set(expected) if found[name] != expected[name]),
                }
            )
        shutil.rmtree(folder / f"{at:04d}")
    raise AssertionError


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
