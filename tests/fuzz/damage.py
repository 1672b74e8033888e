"""Damage to files whose records are known: those that it leaves whole come out, in one piece as in parts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path

import recordio_bridge as rb
from recordio_bridge.files import compression_of
from recordio_bridge.sources import Source
from tests.formats.frames import MAGIC, rec, tfr, unrec
from tests.fuzz.promises import Row, Target, broken, check_named, plain, promised, rows

RECORDS = [b"first", b"", b"wxyz" + MAGIC + b"tail!", b"abc", bytes(range(200)), b"the last one"]
BOUNDARY = {rec: 4, tfr: 1}
"""Where records may begin."""
PLAIN: dict[Callable[..., bytes], dict[str, object]] = {
    rec: {"format": "rec", "payload": "raw"},
    tfr: {"format": "tfrecord", "payload": "raw", "compression": ""},
}


def skipper(frame: Callable[..., bytes]) -> Target:
    """Leaves out what is damaged: no record before or behind it, and not a byte in silence. frame makes a file."""
    sound = frame(*RECORDS)
    edges = [0, *accumulate(len(frame(record)) for record in RECORDS)]

    def target(path: str) -> None:
        data = Path(path).read_bytes()
        left_out: list[tuple[int, int]] = []

        def records() -> list[object]:
            source = Source.open(path, PLAIN[frame], "skip")
            read = source.read(source.schema(), 2, lambda skipped: left_out.append((skipped.start, skipped.stop)))
            return [row["record"] for batch in read for row in batch.rows()]

        found = promised(path, records)
        front = _alike(sound, data)
        behind = min(_alike(sound[::-1], data[::-1]), len(sound) - front, len(data) - front)
        shift = len(data) - len(sound)
        whole = [] if shift % BOUNDARY[frame] else [at + shift for at in edges[:-1] if at >= len(sound) - behind]
        if found is None:
            is_packed = frame is rec and compression_of(data) != ""  # which a .rec cannot be
            if (whole or edges[1] <= front) and not is_packed:
                broken(f"nothing is read, and records are whole at {whole}, or before {front}")
            return
        before = RECORDS[: sum(stop <= front for stop in edges[1:])]
        if found[: len(before)] != before:
            broken(f"{found!r:.300} does not begin with {before!r:.300}")
        after = RECORDS[len(RECORDS) - len(whole) :]
        if not _ends_with(found, after, frame):
            broken(f"{found!r:.300} does not end with {after!r:.300}")
        if any(start <= at < stop for start, stop in left_out for at in whole):
            broken(f"{left_out} has records that are whole, of those at {whole}")
        ends = [0, *(end for pair in left_out for end in pair), len(data)]
        if any(start > stop for start, stop in pairwise(ends)):
            broken(f"left out are {left_out} of {len(data)}")
        kept = b"".join(data[start:stop] for start, stop in zip(ends[::2], ends[1::2], strict=True))
        if (unrec(kept) if frame is rec else kept) != (found if frame is rec else tfr(*found)):
            broken(f"all but {left_out} is not {found!r:.300}")

    return target


def _ends_with(found: list[object], after: list[bytes], frame: Callable[..., bytes]) -> bool:
    """Whether these are the last records; in a .rec, one whose length now goes so far may have taken their heads in."""
    left, rest = list(found), list(after)
    while left and rest and left[-1] == rest[-1]:
        del left[-1], rest[-1]
    return not rest or (frame is rec and bool(left) and rec(*rest)[:8] in left[-1])


def _alike(one: bytes, other: bytes) -> int:
    """How many bytes are alike at the beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def in_parts(**options: object) -> Target:
    """Reads each part of a file alone, as processes do that share one: there are the rows of the whole, or an error."""

    def target(path: str) -> None:
        whole, error = rows(path, 1, options)
        for nbytes in (1, 100):
            found, failed = _parts(path, nbytes, options)
            if (found != whole if not failed else error == "" and found != whole[: len(found)]) or (
                error and not failed
            ):
                broken(f"whole {whole!r:.200} {error}, in parts of {nbytes} bytes {found!r:.200} {failed}")

    return target


def _parts(path: str, nbytes: int, options: dict[str, object]) -> tuple[list[Row], str]:
    found: list[Row] = []
    try:
        source = Source.open(path, options)
        schema = source.schema()
        for extent in source.format.split(path, source.options[0], nbytes):
            request = source.request(schema, 2, lambda skipped: broken(f"skips {skipped}"))
            for batch in source.format.read(extent, source.options[0], request):
                found += map(plain, batch.rows())
    except rb.BridgeError as err:
        check_named(path, err)
        return found, type(err).__name__
    return found, ""


TARGETS: dict[str, tuple[str, Target]] = {
    "rec-damage": ("x.rec", skipper(rec)),
    "tfrecord-damage": ("x.tfrecord", skipper(tfr)),
    "rec-parts": ("x.rec", in_parts(payload="raw")),
    "rec-image-parts": ("x.rec", in_parts(payload="image")),
    "tfrecord-parts": ("x.tfrecord", in_parts(payload="raw")),
}
