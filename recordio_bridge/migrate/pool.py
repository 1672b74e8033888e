"""Worker processes on this machine, which do jobs of any kind that this package has.

A worker is `python -m recordio_bridge _work`: a new interpreter that never imports the caller's __main__. It reads
a job as a line of JSON, and answers with lines: {"progress": ...} as it goes on, then {"done": ...} or an error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Protocol, TypeAlias

from .. import errors
from ..errors import BridgeError, MigrationError
from ..temporary import share_run_mark
from . import WORKER_VERB

Json: TypeAlias = dict[str, Any]  # Any: what a JSON object holds
_ANSWER = b"recordio_bridge> "  # how the lines of a worker begin that are answers
OnAnswer: TypeAlias = Callable[[int, Json], None]
"""Called with the number of a job and what its worker answered; by one thread at a time."""


class Jobs(Protocol):
    """Jobs by their numbers; each may be made when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Json: ...


class Worker(Protocol):
    """What a worker process does with the jobs that it gets."""

    def obey(self, job: Json, progress: Callable[[Json], None]) -> Json:
        """Do a job; call progress now and then."""

    def leave(self) -> None:
        """The jobs ended, or nobody takes the answers: clear up."""


def run_jobs(
    jobs: Jobs,
    workers: int,
    mark: str,
    *,
    on_progress: OnAnswer,
    on_done: OnAnswer,
    kind: str,
    memory: int,
    shared: int | None = None,
    if_one_dies: str = "run it again",
) -> None:
    """Do all jobs in worker processes, in their order as far as that goes; no new ones after one has failed.

    Args:
        mark: of the names of temporary files; see temporary.new_run_mark.
        kind: which Worker the processes have; see workers.py.
        memory: the bytes that each may take for a shuffle.
        shared: a file that they inherit.
        if_one_dies: what to do then, for the message.

    Raises:
        what a job raised; MigrationError when a worker process dies.
    """
    work = _Work(jobs, on_progress, on_done, if_one_dies)
    with _processes(min(workers, len(jobs)), [kind, mark, str(memory)], shared) as started:
        threads = [threading.Thread(target=work.attend, args=(process,), daemon=True) for process in started]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for process in started:
                process.kill()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()  # which ends with its process
    if work.failures:
        raise work.failures[0]


class _Work:
    """Jobs that are left, and what came of those that are not. Threads share it, one for each worker."""

    def __init__(self, jobs: Jobs, on_progress: OnAnswer, on_done: OnAnswer, if_one_dies: str) -> None:
        self._jobs, self._on_progress, self._on_done = jobs, on_progress, on_done
        self._if_one_dies = if_one_dies
        self._left: SimpleQueue[int] = SimpleQueue()
        for number in range(len(jobs)):
            self._left.put(number)
        self._turn = threading.Lock()
        self.failures: list[BaseException] = []

    def attend(self, process: subprocess.Popen[bytes]) -> None:
        """Give one worker jobs until there are none left, or something failed anywhere."""
        try:
            while not self.failures:
                try:
                    number = self._left.get_nowait()
                except Empty:
                    return
                job = self._jobs[number]
                done = _await(process, job, partial(self._tell, self._on_progress, number))
                if done is None:
                    raise MigrationError(f"{job['name']}: its worker process {_end_of(process)}; {self._if_one_dies}")
                self._tell(self._on_done, number, done)
        except BaseException as err:  # the border of a thread: carried to the caller, interrupts too
            self.failures.append(err)

    def _tell(self, call: OnAnswer, number: int, answer: Json) -> None:
        with self._turn:  # the caller's function need not know of threads
            call(number, answer)


@contextmanager
def _processes(count: int, arguments: Sequence[str], shared: int | None) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            started.append(_start(arguments, shared))
        yield started
    finally:
        for process in started:
            _end(process)


def _start(arguments: Sequence[str], shared: int | None) -> subprocess.Popen[bytes]:
    """A worker, which inherits the shared file.

    -P: what lies in the current folder is not imported in place of the library's modules.
    """
    package_home = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH", "")]))
    inherited = [] if shared is None else [str(shared)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "recordio_bridge", WORKER_VERB, *arguments, *inherited],
        pass_fds=() if shared is None else (shared,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends its workers
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # a job that it did not take
                pipe.close()


def _await(process: subprocess.Popen[bytes], job: Json, progress: Callable[[Json], None]) -> Json | None:
    """What a worker answers to a job; None where it dies."""
    assert process.stdin is not None  # both are pipes
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # then there is no answer either, which says more
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    answers: IO[bytes] = process.stdout
    for line in answers:
        if not line.startswith(_ANSWER):  # whatever else the interpreter prints, as where it is set up for a site
            sys.stderr.write(line.decode(errors="replace"))
            continue
        answer = json.loads(line.removeprefix(_ANSWER))
        if "progress" in answer:
            progress(answer["progress"])
        elif "error" in answer:
            raise _restored(answer)
        else:
            done: Json = answer["done"]
            return done
    return None


def _end_of(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    if status == -signal.SIGKILL:
        return "was killed, as the system does where memory runs out"
    return f"died (exit status {status})"


def _restored(answer: Json) -> BaseException:
    """The error that a worker reported, as its own class where that is ours or the system's."""
    if answer["error"] == "OSError":
        return OSError(*answer["args"])
    kind = getattr(errors, answer["error"], MigrationError)
    error: BaseException = kind(answer["message"])
    error.__dict__.update(answer["attributes"])
    return error


def serve(worker: Worker, mark: str) -> int:
    """Be a worker process: jobs from standard input, answers to standard output.

    Whoever gave the jobs kills its workers when it has done with them. When the jobs end by themselves, it was killed.
    """
    share_run_mark(mark)
    lines: SimpleQueue[bytes] = SimpleQueue()
    under_way = False

    def break_off(number: int, frame: object) -> None:
        if under_way:  # and not when its job has ended by itself, or while it clears up
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, break_off)
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    with suppress(KeyboardInterrupt):
        while line := lines.get():
            under_way = True
            _answer(_obey(worker, line))
            under_way = False
    under_way = False
    worker.leave()
    return 0


def _listen(lines: SimpleQueue[bytes]) -> None:
    """Hand jobs on. At their end a job that is under way is broken off: it would be done for a run that died."""
    for line in sys.stdin.buffer:
        lines.put(line)
    lines.put(b"")
    interrupt_main()


def _obey(worker: Worker, line: bytes) -> Mapping[str, object]:
    """Do the job on a line; what it gave, or the error."""
    try:
        return {"done": worker.obey(json.loads(line), lambda progress: _answer({"progress": progress}))}
    except BridgeError as err:
        attributes = {name: value for name, value in vars(err).items() if not name.startswith("_")}
        return {"error": type(err).__name__, "message": str(err), "attributes": attributes}
    except OSError as err:
        return {"error": "OSError", "args": [err.errno, err.strerror, err.filename]}
    except Exception as err:  # the border of an order: the caller gets it, whatever it is
        return {"error": "MigrationError", "message": f"{type(err).__name__}: {err}", "attributes": {}}


def _answer(content: Mapping[str, object]) -> None:
    try:
        sys.stdout.write(f"{_ANSWER.decode()}{json.dumps(content)}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # nobody takes it: the jobs end, too, which breaks this one off, in one way only
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
