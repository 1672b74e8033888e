"""How long what LZF packed is."""

from __future__ import annotations

from tests.reference.arguments import octets


def lzf_length(data: object) -> int:
    """The bytes that a stream unpacks to, found by unpacking it; -1 where it is cut, or refers to what is not there."""
    packed = bytes(octets(data))
    unpacked = bytearray()
    at = 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:
            literals = packed[at : at + control + 1]
            if len(literals) < control + 1:
                return -1
            unpacked += literals
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            if at == len(packed):
                return -1
            length += packed[at]
            at += 1
        if at == len(packed):
            return -1
        start = len(unpacked) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        if start < 0:
            return -1
        for number in range(start, start + length + 2):  # one by one: a reference may reach into what it makes
            unpacked.append(unpacked[number])
    return len(unpacked)
