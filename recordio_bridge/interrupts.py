"""Ctrl-C while the command line begins.

What imports numpy and the like for a second is not prepared for an exception between any two steps: it would be a
traceback, or be told as a broken installation. Nothing is under way by then, so the process just ends.
"""

from __future__ import annotations

import os
import signal
import threading

INTERRUPTED = 130


def leave_at_once() -> None:
    """From now on Ctrl-C ends the process with one line. Not where it is ignored, as in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again, as there is something to clear up."""
    if signal.getsignal(signal.SIGINT) is _leave and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: object) -> None:
    os.write(2, b"recordio-bridge: error: interrupted before anything was begun\n")
    os._exit(INTERRUPTED)
