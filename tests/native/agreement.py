"""How a kernel is compared with its twin: the same call on both, on fresh copies of everything that is written to."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from recordio_bridge import _kernels
from tests import reference

REFUSED = "refused"  # TypeError or ValueError: a mistake in the arguments
_UNWRITTEN = -77


def block_of(data: bytes) -> np.ndarray:
    """A writable block with these bytes."""
    return np.frombuffer(bytearray(data), np.uint8)


def room(rows: int) -> np.ndarray:
    """An int64 array that takes results; what is not written keeps a number that no kernel gives."""
    return np.full(rows, _UNWRITTEN, np.int64)


def spans_of(base: bytes, spans: list[tuple[int, int]]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """(base, starts, lengths)"""
    return base, np.array([s for s, _ in spans], np.int64), np.array([n for _, n in spans], np.int64)


def values_of(values: list[bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The spans of values that lie one behind the other."""
    lengths = np.array([len(value) for value in values], np.int64)
    return b"".join(values), np.cumsum(lengths, dtype=np.int64) - lengths, lengths


def outcome(call: Callable[[ModuleType], object], module: ModuleType) -> object:
    """What the call gives, in a form that can be compared, or that the arguments were refused."""
    try:
        return call(module)
    except (TypeError, ValueError):
        return REFUSED


def agreed(call: Callable[[ModuleType], object]) -> object:
    """Make the call on the kernels and on the twins, demand the same outcome, and return it."""
    expected = outcome(call, reference)
    actual = outcome(call, _kernels)
    assert actual == expected, f"the kernel gives {actual!r}, the twin {expected!r}"
    return expected


def assert_refused(calls: dict[str, Callable[[ModuleType], object]]) -> None:
    """Every call must be refused, by the kernel and by its twin."""
    accepted = {}
    for what, call in calls.items():
        for module in (_kernels, reference):
            try:
                answer = outcome(call, module)
            except Exception as error:  # any other error: shown with the rest, and beside the name of its call
                answer = error
            if answer != REFUSED:
                accepted[what, module.__name__] = answer
    assert accepted == {}, accepted


def scan(
    module: ModuleType, function: str, data: bytes, start: int, size: int, final: bool, capacity: int
) -> dict[str, object]:
    """What a scan of either format reports, and what it left of the block."""
    block, starts, lengths = block_of(data), room(capacity), room(capacity)
    count, consumed, wanted, fault, position = getattr(module, function)(block, start, size, final, starts, lengths)
    spans = list(zip(starts[:count].tolist(), lengths[:count].tolist(), strict=True))
    return {
        "spans": spans,
        "payloads": [block[s : s + n].tobytes() for s, n in spans],
        "consumed": consumed,
        "wanted": None if fault else wanted,
        "fault": fault,
        "position": position if fault else None,
        "block": block.tobytes(),
    }


def scan_whole(function: str, data: bytes) -> dict[str, object]:
    """What both find in a whole file."""
    return agreed(lambda module: scan(module, function, data, 0, len(data), True, len(data) // 8 + 1))


def scan_in_pieces(function: str, data: bytes, pieces: list[int], capacity: int) -> tuple[list[bytes], int, int]:
    """Read a file as a block reader does: keep what is not consumed, add the next piece; (payloads, fault, offset).

    pieces are the sizes of the reads, used round and round. Kernel and twin must agree at every step.
    """
    payloads: list[bytes] = []
    origin, have, reads = 0, 0, 0  # the offset of the block in the file, and up to where it was read
    while True:
        block = data[origin:have]
        final = have == len(data)
        answer = agreed(lambda module: scan(module, function, block, 0, len(block), final, capacity))  # noqa: B023
        payloads += answer["payloads"]
        if answer["fault"]:
            return payloads, answer["fault"], origin + answer["position"]
        is_full = len(answer["payloads"]) == capacity
        if final and not is_full:
            assert answer["consumed"] == answer["wanted"] == len(block)
            return payloads, reference.OK, len(data)
        if not is_full:
            assert answer["wanted"] >= len(block)
            assert block[answer["consumed"] :] == answer["block"][answer["consumed"] :]
        origin += answer["consumed"]
        if not is_full:
            have = min(len(data), have + pieces[reads % len(pieces)])
            reads += 1
