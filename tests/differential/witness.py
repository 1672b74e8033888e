"""Other people's readers and writers in a process of their own, as they may end it, or never come back.

Witness starts `python -m tests.differential.witness LIBRARY` and asks it to run functions of the module below, one by
one. A process that ends, or that takes longer than PATIENCE_S, is replaced, and the question is answered by Died.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import struct
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.differential.told import Failed

HOME = Path(__file__).resolve().parents[2]
PATIENCE_S = 60  # for one question; most take a millisecond
_SIZE = struct.Struct("<Q")


class Died(Exception):
    """The process ended, or was ended as it took too long."""

    def __init__(self, returncode: int) -> None:
        super().__init__(f"exit code {returncode}")
        self.was_late = returncode == -signal.SIGALRM


class Witness:
    """The functions of a module in another process."""

    def __init__(self, module: str, python: str = sys.executable, **settings: str) -> None:
        """python is that of the environment that the module needs, settings further ones for the process."""
        self._module, self._python, self._settings = module, python, settings
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, function: str, *arguments: Any) -> Any:
        """What a function of the module returns.

        Raises:
            Died: it ended its process.
            RuntimeError: it raised.
        """
        process = self._process or self._start()
        question = pickle.dumps((function, arguments))
        try:
            process.stdin.write(_SIZE.pack(len(question)) + question)  # type: ignore[union-attr]  # both are pipes
            process.stdin.flush()  # type: ignore[union-attr]
            answer = pickle.load(process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            self.close()
            raise Died(process.returncode) from None
        if isinstance(answer, Failed):
            raise RuntimeError(f"{self._module}.{function}{arguments!r:.300}: {answer.text}")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {**os.environ, "PYTHONPATH": str(HOME), "TF_CPP_MIN_LOG_LEVEL": "3", **self._settings}
        self._process = subprocess.Popen(
            [self._python, "-m", "tests.differential.witness", self._module],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                try:
                    pipe.close()  # type: ignore[union-attr]
                except BrokenPipeError:
                    continue
            self._process.wait()
            self._process = None

    def __enter__(self) -> Witness:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main(module: str) -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    functions = vars(importlib.import_module(module))
    while head := sys.stdin.buffer.read(_SIZE.size):
        function, arguments = pickle.loads(sys.stdin.buffer.read(*_SIZE.unpack(head)))
        signal.alarm(PATIENCE_S)  # which ends this process
        try:
            answer = functions[function](*arguments)
        except Exception:  # whatever a witness raises is its answer, and not the end of this process
            answer = Failed(traceback.format_exc())
        signal.alarm(0)
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
