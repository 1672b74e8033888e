"""An interrupt before any one opcode, as the handler of a signal may raise it."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from types import CodeType, FrameType

_LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD")  # how the names begin of opcodes behind which Python looks for signals


class Stopped(BaseException):
    """What a handler raises; as KeyboardInterrupt, and not of the library's."""


def interrupt_at_opcode(
    at: int, is_meant: Callable[[CodeType], bool] = lambda code: True, *, as_signals: bool = False
) -> Callable[[], bool]:
    """Raise Stopped in this thread before the opcode of this number of the code that is meant; gives whether it came.

    as_signals: only those count before which a signal would be heard, where no code is safe from all.
    sys.settrace(None) ends it.
    """
    seen, before = [0], dict[int, str]()

    def trace(frame: FrameType, event: str, _: object) -> object:
        if not is_meant(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            is_heard = before.get(id(frame), "").startswith(_LOOKS)
            before[id(frame)] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            seen[0] += is_heard or not as_signals
            if seen[0] == at and (is_heard or not as_signals):
                raise Stopped
        elif event == "return":
            before.pop(id(frame), None)
        return trace

    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks whether any frame wants them when it is told to trace
    sys.settrace(trace)
    return lambda: seen[0] >= at
