"""Programs that run in a process of their own, in which TensorFlow is imported already: that takes longer than they do.

One process imports it, and forks itself for each program, as TensorFlow has started no thread by then. The fork runs it
as its main module, and ends as an interpreter does.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from functools import cache
from pathlib import Path

from tests.cli.running import PACKAGE_HOME

_DEADLINE_S = 300.0
_FORKING = """
import json, os, sys, warnings
import tensorflow

for line in sys.stdin:
    code, sys.argv, folder, outputs, fatal = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.chdir(folder)
for number, path in enumerate([os.devnull, *outputs]):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
if fatal:
    warnings.simplefilter("error", UserWarning)
__file__, sys.path[0] = sys.argv[0], os.path.dirname(sys.argv[0])
exec(compile(code, __file__, "exec"))
"""


def run_program(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A program with these arguments, to its end."""
    return _run(textwrap.dedent(program), ["-c", *map(str, arguments)], os.getcwd(), fatal=False)


def run_file(path: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same of a program that is a file, in this folder; warnings, such as those of Keras, are errors."""
    return _run(path.read_text(), [str(path), *arguments], str(folder), fatal=True)


@cache
def _forking() -> subprocess.Popen[str]:
    """The process that forks itself; it ends with this one."""
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _FORKING]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=settings)
    atexit.register(process.communicate)
    return process


def _run(code: str, arguments: list[str], folder: str, fatal: bool) -> subprocess.CompletedProcess[str]:
    forking = _forking()
    assert forking.stdin is not None
    assert forking.stdout is not None
    with tempfile.TemporaryDirectory() as place:
        outputs = [os.path.join(place, name) for name in ("stdout", "stderr")]
        print(json.dumps([code, arguments, folder, outputs, fatal]), file=forking.stdin, flush=True)
        watch = threading.Timer(_DEADLINE_S, os.kill, [int(forking.stdout.readline()), 9])
        watch.start()
        status = int(forking.stdout.readline())
        watch.cancel()
        stdout, stderr = (Path(path).read_text() for path in outputs)
    return subprocess.CompletedProcess(arguments, status, stdout, stderr)
