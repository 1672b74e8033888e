"""Damage by chance, of the kinds that disks, copies and programs do: the same for the same chance."""

from __future__ import annotations

import random


def damaged(chance: random.Random, data: bytes, places: list[int] | None = None) -> bytes:
    """The data after one to three accidents; it may be the same again.

    places: where heads, lengths and checksums lie. Half of the accidents happen near them, as in a large file nearly
    all others would only meet payloads.
    """
    made = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        chance.choice(ACCIDENTS)(chance, made, _place(chance, made, places))
    return bytes(made)


def _place(chance: random.Random, data: bytearray, places: list[int] | None) -> int:
    if places and chance.random() < 0.5:
        return min(len(data), max(0, chance.choice(places) + chance.randrange(-4, 16)))
    return chance.randrange(len(data) + 1)


def _span(chance: random.Random, data: bytearray, at: int) -> slice:
    size = chance.choice([1, 2, 3, 4, 4, 8, 8, 12, 16, 24, 100, chance.randrange(len(data) + 1)])
    return slice(at, min(len(data), at + size))


def _flip(chance: random.Random, data: bytearray, at: int) -> None:
    if at < len(data):
        data[at] ^= 1 << chance.randrange(8)


def _overwrite(chance: random.Random, data: bytearray, at: int) -> None:
    if at < len(data):
        data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])


def _cut_off(chance: random.Random, data: bytearray, at: int) -> None:
    del data[at:]


def _cut_out(chance: random.Random, data: bytearray, at: int) -> None:
    del data[_span(chance, data, at)]


def _zero(chance: random.Random, data: bytearray, at: int) -> None:
    span = _span(chance, data, at)
    data[span] = bytes(span.stop - span.start)


def _insert(chance: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = chance.choice([chance.randbytes(chance.choice([1, 2, 3, 4, 8, 12])), data[_span(chance, data, at)]])


def _append(chance: random.Random, data: bytearray, at: int) -> None:
    data += chance.choice([chance.randbytes(chance.randrange(1, 40)), bytes(chance.randrange(1, 600)), bytes(data)])


def _swap(chance: random.Random, data: bytearray, at: int) -> None:
    """Two pieces of the same size change places."""
    size = chance.choice([4, 8, 12, 16, 64])
    other = chance.randrange(len(data) + 1)
    first, second = sorted((at, other))
    if first + size <= second and second + size <= len(data):
        data[first : first + size], data[second : second + size] = (
            data[second : second + size],
            data[first : first + size],
        )


ACCIDENTS = [_flip, _flip, _flip, _overwrite, _cut_off, _cut_out, _zero, _insert, _append, _swap]
