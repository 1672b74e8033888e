"""The index of a .rec file: a line for each record, its key and the offset of its head."""

from __future__ import annotations

import re

import numpy as np

from tests.reference.arguments import check_results, octets

# No leading zeros: a key that is not an integer but a name, such as 007, must not lose them
_LINE = re.compile(rb"(0|[1-9][0-9]{0,17})\t(0|[1-9][0-9]{0,17})(\n|\Z)")


def parse_index(text: object, keys: np.ndarray, offsets: np.ndarray) -> tuple[int, int]:
    """Parse lines of `key TAB offset`, as long as both are decimal integers: (lines, bytes taken)."""
    data = bytes(octets(text))
    capacity = check_results(keys, offsets)
    lines, parsed = 0, 0
    while lines < capacity:
        line = _LINE.match(data, parsed)
        if line is None:
            break
        keys[lines], offsets[lines] = int(line[1]), int(line[2])
        lines, parsed = lines + 1, line.end()
    return lines, parsed
