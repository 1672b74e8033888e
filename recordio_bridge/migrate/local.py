"""Running Orders on this machine: here, or in worker processes.

A worker is `python -m recordio_bridge _work`: a new interpreter that never imports the caller's __main__. It reads
an Order as a line of JSON, and answers with lines: {"rows": n} as it goes on, then a receipt or an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from .. import errors
from ..errors import BridgeError, MigrationError
from ..files import Pending, discard, discard_temporaries, new_run_mark, share_run_mark
from ..formats import get_format
from . import WORKER_VERB
from .plan import Order
from .shuffled import ShuffledRows, share_rows
from .work import OnSummary, Progress, Receipt, run_order


def run_orders(
    orders: Sequence[Order], workers: int, progress: Progress, on_summary: OnSummary | None = None
) -> list[Receipt]:
    """Run all orders and return their receipts in the same order. When one fails, none of the files stays.

    Raises:
        what an order raised; MigrationError when a worker process dies.
    """
    done: dict[int, Receipt] = {}
    shuffled = ShuffledRows.of(orders[0]) if share_rows(orders) else None
    try:
        if min(workers, len(orders)) == 1:
            for number, order in enumerate(orders):
                done[number] = run_order(order, progress, on_summary, shuffled)
        elif shuffled is None:
            _run_in_workers(orders, min(workers, len(orders)), progress, done)
        else:
            with shuffled.save() as shared:
                del shuffled
                _run_in_workers(orders, min(workers, len(orders)), progress, done, shared.fileno())
    except BaseException:
        for receipt in done.values():
            discard(receipt.files)
        raise
    return [done[number] for number in range(len(orders))]


def _run_in_workers(
    orders: Sequence[Order], workers: int, progress: Progress, done: dict[int, Receipt], shared: int | None = None
) -> None:
    todo: SimpleQueue[int] = SimpleQueue()
    for number in range(len(orders)):
        todo.put(number)
    failures: list[BaseException] = []
    turn = threading.Lock()

    def in_turn(rows: int) -> None:
        with turn:  # the caller's function need not know of threads
            progress(rows)

    mark = new_run_mark()
    processes: list[subprocess.Popen[bytes]] = []
    threads: list[threading.Thread] = []
    try:
        for _ in range(workers):
            processes.append(_start(mark, shared))
            arguments = (processes[-1], orders, todo, done, failures, in_turn)
            threads.append(threading.Thread(target=_attend, args=arguments, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for process in processes:
            process.kill()
        for thread in threads:
            if thread.ident is not None:
                thread.join()  # which ends with its process
        for process in processes:
            _end(process)
        if len(done) < len(orders):  # a worker that was killed could not clear up
            discard_temporaries(
                [file for order in orders for file in get_format(order.target_format).files_of(order.target)], mark
            )
    if failures:
        raise failures[0]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # an order that it did not take
                pipe.close()


def _start(mark: str, shared: int | None) -> subprocess.Popen[bytes]:
    """A worker, which inherits the file with the ShuffledRows.

    -P: what lies in the current folder is not imported in place of the library's modules.
    """
    package_home = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "recordio_bridge", WORKER_VERB, mark, *([] if shared is None else [str(shared)])],
        pass_fds=() if shared is None else (shared,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends its workers
    )


def _attend(
    process: subprocess.Popen[bytes],
    orders: Sequence[Order],
    todo: SimpleQueue[int],
    done: dict[int, Receipt],
    failures: list[BaseException],
    progress: Progress,
) -> None:
    """Give one worker orders until there are none left, or something failed anywhere."""
    assert process.stdin is not None  # both are pipes
    assert process.stdout is not None
    try:
        while not failures:
            try:
                number = todo.get_nowait()
            except Empty:
                return
            with suppress(BrokenPipeError):  # then there is no answer either, which says more
                process.stdin.write(json.dumps(orders[number].to_json()).encode() + b"\n")
                process.stdin.flush()
            done[number] = _await_receipt(process, process.stdout, orders[number], progress)
    except Exception as err:  # the border of a thread: carried to the caller
        failures.append(err)


def _await_receipt(process: subprocess.Popen[bytes], answers: IO[bytes], order: Order, progress: Progress) -> Receipt:
    for line in answers:
        answer = json.loads(line)
        if "rows" in answer:
            progress(answer["rows"])
        elif "error" in answer:
            raise _restored(answer)
        else:
            return Receipt.from_json(answer)
    raise MigrationError(f"{order.target}: its worker process died (exit status {process.wait()})")


def _restored(answer: dict[str, Any]) -> BaseException:  # Any: what a JSON object holds
    """The error that a worker reported, as its own class where that is ours or the system's."""
    if answer["error"] == "OSError":
        return OSError(*answer["args"])
    kind = getattr(errors, answer["error"], MigrationError)
    error: BaseException = kind(answer["message"])
    error.__dict__.update(answer["attributes"])
    return error


def serve(mark: str, shared: int | None = None) -> int:
    """The worker: orders from standard input, answers to standard output; shared is a file with ShuffledRows.

    Whoever gave the orders kills its workers when it has done with them. When the orders end by themselves, or no
    one takes the answers, it was killed: nobody will give these files their names, or clear them away.
    """
    share_run_mark(mark)
    worker = _Worker(shared)
    try:
        for line in sys.stdin.buffer:
            _answer(worker.obey(line))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
    discard(worker.written)
    return 0


class _Worker:
    """Runs orders, and keeps what they share."""

    def __init__(self, shared: int | None) -> None:
        self.written: list[Pending] = []
        self._shared = shared
        self._shuffled: ShuffledRows | None = None

    def obey(self, line: bytes) -> dict[str, object]:
        """Run the order on a line; its receipt, or the error."""
        try:
            order = Order.from_json(json.loads(line))
            if self._shared is not None and self._shuffled is None:
                self._shuffled = ShuffledRows.load(order, self._shared)
            receipt = run_order(order, lambda rows: _answer({"rows": rows}), shuffled=self._shuffled)
        except BrokenPipeError:  # of the answers
            raise
        except BridgeError as err:
            attributes = {name: value for name, value in vars(err).items() if not name.startswith("_")}
            return {"error": type(err).__name__, "message": str(err), "attributes": attributes}
        except OSError as err:
            return {"error": "OSError", "args": [err.errno, err.strerror, err.filename]}
        except Exception as err:  # the border of an order: the caller gets it, whatever it is
            return {"error": "MigrationError", "message": f"{type(err).__name__}: {err}", "attributes": {}}
        self.written += receipt.files
        return receipt.to_json()


def _answer(content: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()
