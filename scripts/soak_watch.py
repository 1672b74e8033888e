"""What scripts/soak writes down of a process while it works, and whether it stayed flat."""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import TextIO

_SHARE = 0.05  # of what there was, which memory and maps may gain in the second half
_ENDING_S = 5.0
_PAIRS = 200  # samples of which a slope is taken at most: it takes all pairs


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds between two rounds."""

    seconds: float
    rounds: int
    rss_kib: int
    child_kib: int
    """Resident memory of its child processes, none of which should be left."""
    descriptors: int
    threads: int
    children: int
    maps: int
    """Mapped pieces of files, libraries too."""
    leftovers: int
    """Files and folders in the folder for temporary files, but those that TensorFlow keeps to its end."""


NAMES = [field.name for field in fields(Sample)]
SLACK = {"rss_kib": 4096, "child_kib": 0, "descriptors": 2, "threads": 2, "children": 0, "maps": 8, "leftovers": 0}
"""What each may gain whatever there was; TensorFlow and malloc begin some things late."""


def status_of(pid: int | str, name: str) -> int:
    """A number out of the status that Linux has of a process; 0 of one that is gone, or a zombie."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def children() -> list[int]:
    """The child processes of this one, whichever of its threads began them."""
    found = []
    for folder in Path("/proc/self/task").iterdir():
        try:
            found += map(int, (folder / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            continue
    return found


def our_threads() -> list[str]:
    """The names of the threads that the library began and that live."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("recordio_bridge")]


def num_descriptors() -> int:
    """Open files; that of the look itself is one."""
    return len(os.listdir("/proc/self/fd")) - 1


def take_sample(began: float, rounds: int, workshop: Path) -> Sample:
    """A look at this process, where all that can be collected is, and what is under way has ended.

    A feed that is dropped lets its threads end by themselves, and its temporary files go with them: that has some time,
    and is collected anew, as a thread may have held the last of a cycle.
    """
    gc.collect()
    until = time.monotonic() + _ENDING_S
    while (our_threads() or left_over(workshop)) and time.monotonic() < until:
        time.sleep(0.01)
        gc.collect()
    lines = Path("/proc/self/maps").read_text().splitlines()
    mine = children()
    return Sample(
        round(time.monotonic() - began, 1),
        rounds,
        status_of("self", "VmRSS"),
        sum(status_of(pid, "VmRSS") for pid in mine),
        num_descriptors(),
        status_of("self", "Threads"),
        len(mine),
        sum(1 for line in lines if len(line.split(maxsplit=5)) == 6 and "/" in line.split(maxsplit=5)[5]),
        len(left_over(workshop)),
    )


def left_over(workshop: Path) -> list[Path]:
    """Temporary files and folders, but those that TensorFlow keeps to its end."""
    return [path for path in workshop.rglob("*") if not path.name.startswith("__autograph_generated_file")]


def put_line(out: TextIO, values: Iterable[object]) -> None:
    """A line of TSV, at once."""
    print(*values, sep="\t", file=out, flush=True)


def put_sample(out: TextIO, sample: Sample) -> None:
    put_line(out, astuple(sample))


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file that scripts/soak wrote."""
    head, *lines = path.read_text().splitlines()
    if head.split("\t") != NAMES:
        raise SystemExit(f"{path}: begins with {head!r}, expected the names {' '.join(NAMES)}; is it of scripts/soak?")
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [Sample(float(row[0]), *map(int, row[1:])) for row in rows]


def slope_of(values: Sequence[float]) -> float:
    """The median of the slopes between all pairs (Theil and Sen), a step: a few outliers do not move it."""
    step = max(1, len(values) // _PAIRS)
    pairs = combinations(range(0, len(values), step), 2)
    return statistics.median((values[b] - values[a]) / (b - a) for a, b in pairs)


def verdict(samples: Sequence[Sample]) -> list[str]:
    """What grew in the second half: by its slope, or beyond the most there was at the end of the first half."""
    if len(samples) < 8:
        return [f"{len(samples)} samples are too few to tell; run it for longer"]
    grew = []
    for name, slack in SLACK.items():
        values = [float(getattr(sample, name)) for sample in samples]
        half = len(values) // 2
        end, second = values[half // 2 : half], values[half:]
        share = _SHARE * statistics.median(end) if name in ("rss_kib", "maps") else 0
        allowed = max(slack, share)
        gained, above = slope_of(second) * len(second), max(second) - max(end)
        if gained > allowed or above > allowed + (max(end) - min(end) if share else 0):
            grew.append(
                f"{name}: gained {gained:+.0f} by its slope over the second half, and reached {max(second):.0f}, "
                f"from at most {max(end):.0f} at the end of the first; allowed are {allowed:.0f}"
            )
    return grew


def memory_gained(samples: Sequence[Sample]) -> str:
    """What the verdict lets pass: the slope of memory over the second half, for each round."""
    second = samples[len(samples) // 2 :]
    if len(second) < 4:
        return "too few samples for the slope of memory"
    gained = slope_of([sample.rss_kib for sample in second]) * len(second)
    rounds = second[-1].rounds - second[0].rounds
    return f"memory gained {gained:+.0f} KiB by its slope over the second half, {gained / max(rounds, 1):+.2f} a round"


def plot(samples: Sequence[Sample], target: Path) -> None:
    """Draw all columns over time."""
    try:
        from matplotlib import pyplot
    except ImportError as err:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib, in any environment") from err
    names = [name for name in NAMES[2:] if name not in ("child_kib", "children")]
    figure, axes = pyplot.subplots(len(names), 1, sharex=True, figsize=(9, 1.7 * len(names)), layout="constrained")
    minutes = [sample.seconds / 60 for sample in samples]
    for axis, name in zip(axes, names, strict=True):
        values = [getattr(sample, name) for sample in samples]
        if name == "rss_kib":
            name, values = "resident MiB", [value / 1024 for value in values]
        axis.plot(minutes, values, linewidth=1)
        axis.set_ylim(0, max(1.0, 1.15 * max(values)))
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    axes[0].set_title(f"{samples[-1].rounds:,} rounds of converting, migrating, reading and feeding")
    figure.savefig(target, dpi=90)
