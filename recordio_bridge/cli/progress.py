"""Showing how far a migration is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from .options import counted
from .terminal import tell

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..migrate.engines import Event

_EVERY_S = 10.0  # between lines


class Shown:
    """What on_event calls; closed at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self.is_writing = False
        self._quiet, self._on_terminal = quiet, sys.stderr.isatty()
        self._bar: tqdm[None] | None = None
        self._phase = ""
        self._began = self._told = time.monotonic()
        self._nbytes_before: int | None = None

    def __call__(self, event: Event) -> None:
        self.is_writing = event.phase == "writing"
        if self._quiet:
            return
        if self._on_terminal:
            self._draw(event)
        else:
            self._tell(event)

    def _draw(self, event: Event) -> None:
        from tqdm import tqdm

        if event.phase != self._phase or self._bar is None:
            self.close()
            self._phase = event.phase
            if event.phase == "planning":
                self._bar = tqdm(total=event.of_files, desc="looking at sources", unit=" files")
            else:
                self._bar = tqdm(total=event.of_nbytes, unit="B", unit_scale=True, initial=event.nbytes)
        done = event.files if event.phase == "planning" else event.nbytes
        if event.phase == "writing":
            self._bar.set_postfix_str(f"{event.rows:,} rows, {event.files} of {event.of_files} files", refresh=False)
        self._bar.update(done - self._bar.n)
        if event.phase == "planning" and event.files == event.of_files:
            self.close()  # what is said of the sources gets lines of its own

    def _tell(self, event: Event) -> None:
        now = time.monotonic()
        if self._nbytes_before is None and event.phase == "writing":
            self._began, self._nbytes_before = now, event.nbytes
        is_last = event.files == event.of_files
        if now - self._told < _EVERY_S and not is_last:
            return
        self._told = now
        tell(f"recordio-bridge: {self._line(event, now)}")

    def _line(self, event: Event, now: float) -> str:
        if event.phase == "planning":
            return f"looked at {event.files:,} of {counted(event.of_files, 'source')}"
        read = event.nbytes - (self._nbytes_before or 0)
        rate = read / max(now - self._began, 1e-9)
        is_last = event.nbytes == event.of_nbytes
        left = f", {_lasting((event.of_nbytes - event.nbytes) / rate)} left" if rate > 0 and not is_last else ""
        speed = f", {sized(rate)}/s" if rate >= 1 else ""  # of a run that is over at its first event, nobody knows
        return (
            f"wrote {event.files:,} of {counted(event.of_files, 'file')}, {counted(event.rows, 'row')}; read "
            f"{sized(event.nbytes)} of {sized(event.of_nbytes)}{speed}{left}"
        )

    def close(self) -> None:
        """Let the bar stand as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Shown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sized(nbytes: float) -> str:
    """Bytes for people: "12.3 MB"."""
    value = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _lasting(seconds: float) -> str:
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"
