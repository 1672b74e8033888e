"""An interrupt before any one opcode, as the handler of a signal may raise it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType


class Stopped(BaseException):
    """What a handler raises; as KeyboardInterrupt, and not of the library's."""


def interrupt_at_opcode(at: int, is_meant: Callable[[CodeType], bool] = lambda code: True) -> Callable[[], bool]:
    """Raise Stopped in this thread before the opcode of this number of the code that is meant; gives whether it came.

    sys.settrace(None) ends it.
    """
    seen = [0]

    def trace(frame: FrameType, event: str, _: object) -> object:
        if not is_meant(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen[0] += 1
            if seen[0] == at:
                raise Stopped
        return trace

    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks whether any frame wants them when it is told to trace
    sys.settrace(trace)
    return lambda: seen[0] >= at
