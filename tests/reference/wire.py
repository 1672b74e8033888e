"""The protobuf wire format: a message is a row of fields, a field is a tag and a value.

A tag is a varint of number << 3 | wire type. The value is a varint (0), 8 bytes (1), a varint of a length and so many
bytes (2), the fields of a group up to the tag that ends it (3, 4), or 4 bytes (5). Which of them a reader knows is its
own affair: the rest is passed over, but must be well-formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.reference.faults import BAD_MESSAGE

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
_DEEPEST_GROUP = 32
_LONGEST_TAG = 5  # bytes: it has 32 bits
_LONGEST_VARINT = 10  # 7 bits each: 64 bits need ten


class WireError(Exception):
    """What stopped the reading of a message."""

    def __init__(self, fault: int, position: int) -> None:
        super().__init__(fault, position)
        self.fault, self.position = fault, position


class WireField(NamedTuple):
    """One field of a message: its value is data[start:end], or for a varint the number itself."""

    number: int
    wire: int
    start: int
    end: int
    varint: int = 0


def read_varint(data: memoryview, position: int, end: int, cut: int = BAD_MESSAGE) -> tuple[int, int]:
    """(value, position after it): 7 bits a byte, lowest first; the low 64 bits count. cut: the fault of a short one."""
    value = 0
    for index in range(_LONGEST_VARINT):
        if position + index == end:
            raise WireError(cut, position)
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise WireError(BAD_MESSAGE, position)


def _read_tag(data: memoryview, position: int, end: int) -> tuple[int, int, int]:
    """(number, wire type, position after it)"""
    tag, after = read_varint(data, position, end)
    number, wire = tag >> 3, tag & 7
    if number == 0 or tag >= 2**32 or after - position > _LONGEST_TAG or wire > FIXED32:
        raise WireError(BAD_MESSAGE, position)
    return number, wire, after


def read_fields(data: memoryview, position: int, end: int) -> Iterator[WireField]:
    """The fields of the message data[position:end], in order; raises WireError where it is none."""
    while position < end:
        number, wire, start = _read_tag(data, position, end)
        field, position = _read_value(data, number, wire, start, end, 0)
        yield field


def _read_value(data: memoryview, number: int, wire: int, start: int, end: int, depth: int) -> tuple[WireField, int]:
    """The field whose value begins at start, and the position after it; depth counts the groups around it."""
    if wire == VARINT:
        value, after = read_varint(data, start, end)
        return WireField(number, wire, start, after, value), after
    if wire == GROUP:
        after = _skip_group(data, number, start, end, depth + 1)
        return WireField(number, wire, start, after), after
    if wire == END_GROUP:  # of a group that is not open
        raise WireError(BAD_MESSAGE, start)
    size = 8 if wire == FIXED64 else 4
    if wire == LENGTH:
        size, start = read_varint(data, start, end)
    if size > end - start:
        raise WireError(BAD_MESSAGE, start)
    return WireField(number, wire, start, start + size), start + size


def _skip_group(data: memoryview, group: int, position: int, end: int, depth: int) -> int:
    """The position after the tag that ends the group."""
    if depth > _DEEPEST_GROUP:
        raise WireError(BAD_MESSAGE, position)
    while True:
        number, wire, start = _read_tag(data, position, end)
        if wire == END_GROUP and number == group:
            return start
        _, position = _read_value(data, number, wire, start, end, depth)
