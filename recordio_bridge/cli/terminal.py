"""Where all text of the command line goes through: whoever names a file or a field writes no line of it.

A name may hold what clears the screen, or ends the line and begins another that says "ok". Such characters are shown
as in a Python string: \\x1b, \\n, \\u202e, and \\udcff for a byte of a file's name that is no UTF-8.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def say(line: str) -> None:
    """A line of the answer, on standard output."""
    _answer(escaped(line))


def say_json(content: object) -> None:
    """A document on a line of standard output, which is ASCII: json escapes all else."""
    _answer(json.dumps(content))


def say_help(text: str) -> None:
    """Lines of our own, which name nothing."""
    _answer(text, end="")


def tell(line: str) -> None:
    """A line for people, on standard error. Where nobody can take it, the exit code still tells."""
    try:
        print(escaped(line), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def finish() -> None:
    """Have the answer written, so that it fails while there is somebody to tell."""
    _answer("", end="", flush=True)


def discard(stream: TextIO) -> None:
    """Let what the stream still holds, and all that comes, go nowhere: else the interpreter complains as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _answer(text: str, *, end: str = "\n", flush: bool = False) -> None:
    try:
        print(text, end=end, flush=flush)
    except BrokenPipeError:
        raise  # which has a meaning of its own
    except OSError as err:
        discard(sys.stdout)
        raise OSError(err.errno, err.strerror, "standard output") from err


def escaped(line: str) -> str:
    """The same with escapes for what is not printable: commands, ends of lines, invisible and reversing signs."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


class LogOnStandardError(logging.Handler):
    """Tells what is logged, each in a line."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(f"recordio-bridge: {self.format(record)}")


class Warnings(logging.Handler):
    """Keeps the warnings that are logged, each once, for an answer in JSON."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.said[record.getMessage()] = None


@contextmanager
def heeded() -> Iterator[Warnings]:
    """Keep what the library warns of meanwhile."""
    logger, handler = logging.getLogger("recordio_bridge"), Warnings()
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
