"""Lines o to s: bulk migration of .rec to TFRecord: verification, workers, many small files, shuffling, memory."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from measure_records import make_rec
from peak import Cost, cost_of
from timing import Bench, Line, compare, line

import recordio_bridge as rb

_PHOTO, _SMALL = 20_000, 800  # bytes of a record
_GB = 1_000_000_000
_FILES = 8
_MANY = 10_000
_MIRRORED = 2_000  # of which each takes several times as long
_ROWS, _ROW = 20, 1_000  # of each of many files
_TURNS = 3  # counted turns are a third of what is asked for: a side takes seconds


def make_folder(folder: Path, nbytes: int, record: int, files: int = _FILES) -> Path:
    """A folder of .rec files of so many bytes together: copies of one, without the sidecar that would only be its."""
    folder.mkdir()
    made = folder.with_name(f"{folder.name}.rec")
    make_rec(str(made), nbytes // files // record, record)
    for number in range(files):
        for suffix in (".rec", ".idx"):
            shutil.copyfile(made.with_suffix(suffix), folder / f"{number}{suffix}")
    for file in folder.parent.glob(f"{folder.name}.*"):
        file.unlink()
    return folder


def migration(source: Path, out: Path, **options: object) -> Callable[[], object]:
    def run() -> None:
        outcome = rb.migrate.run(str(source), str(out), to="tfrecord", **options)  # type: ignore[arg-type]
        assert outcome.is_complete, outcome.quarantine[0]

    return run


def planning(source: Path, out: Path, **options: object) -> Callable[[], object]:
    return lambda: rb.migrate.plan(str(source), str(out), to="tfrecord", **options)  # type: ignore[arg-type]


def compared(runs: int, out: Path, actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """As compare, each action into a new folder; that the former one goes is not counted."""
    return compare(max(1, runs // _TURNS), actions, lambda: shutil.rmtree(out, ignore_errors=True))


def rate(nbytes: int, seconds: float) -> str:
    return f"{nbytes / seconds / 1e6:.0f} MB/s"


def bench_verification(folder: Path, runs: int) -> list[Line]:
    lines, out = [], folder / "out"
    for record, nbytes in ((_PHOTO, 2 * _GB), (_SMALL, _GB)):
        source = make_folder(folder / "in", nbytes, record)
        levels = ("none", "counts", "content")
        result = compared(runs, out, {level: migration(source, out, verify=level) for level in levels})
        shutil.rmtree(source)
        for level, goal in (("counts", "-"), ("content", "-")):
            what = f"{nbytes // _GB} GB of {record:,} B records: --verify {level} / none"
            detail = f"{rate(nbytes, result[level])}, none {rate(nbytes, result['none'])}"
            lines.append(line("o", what, result[level] / result["none"], goal, detail))
    return lines


def bench_workers(folder: Path, runs: int) -> list[Line]:
    """One worker also reads ahead on a thread, so it is measured on one core, too."""
    lines, out = [], folder / "out"
    for record, nbytes in ((_PHOTO, 2 * _GB), (_SMALL, _GB)):
        source = make_folder(folder / "in", nbytes, record)
        one, two = (migration(source, out, workers=count) for count in (1, 2))
        result = compared(runs, out, {"two": two, "one": one, "on one core": on_one_core(one)})
        shutil.rmtree(source)
        for side, goal in (("one", "-"), ("on one core", ">= 1.7")):
            what = f"{nbytes // _GB} GB of {record:,} B records: 2 workers / {side.replace('one', '1', 1)}"
            detail = f"{rate(nbytes, result['two'])}, {rate(nbytes, result[side])}"
            lines.append(line("p", what, result[side] / result["two"], goal, detail))
    return lines


def on_one_core(action: Callable[[], object]) -> Callable[[], object]:
    """The action, with this thread, and those that it starts, on one core."""

    def run() -> None:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        try:
            action()
        finally:
            os.sched_setaffinity(0, cores)

    return run


def bench_many(folder: Path, runs: int) -> list[Line]:
    """What each of many files costs beside its bytes, which one file of all of them shows."""
    lines, out = [], folder / "out"
    for how, files, options in (("flat", _MANY, {}), ("--mirror", _MIRRORED, {"mirror": True})):
        many = make_folder(folder / f"many {how}", files * _ROWS * _ROW, _ROW, files)
        one = make_folder(folder / f"one {how}", files * _ROWS * _ROW, _ROW, 1)
        result = compared(
            runs,
            out,
            {
                "plan": planning(many, out, **options),
                "many": migration(many, out, **options),
                "one": migration(one, out, **options),
            },
        )
        for what, seconds, detail in (
            ("planning", result["plan"], f"{result['plan']:.1f} s"),
            ("all but the bytes", result["many"] - result["one"], f"{result['many']:.1f} s, one {result['one']:.2f} s"),
        ):
            named = f"{files:,} files of {_ROWS * _ROW // 1000} KB, {how}: {what}, a file"
            lines.append(line("q", named, seconds / files * 1e3, "< 2 ms", detail, "ms"))
    return lines


def costs(runs: int, out: Path, sides: dict[str, Callable[[], Cost]]) -> dict[str, Cost]:
    """The median cost of each side; they take turns."""
    found: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(max(1, runs // _TURNS)):
        for name, side in sides.items():
            shutil.rmtree(out, ignore_errors=True)
            found[name].append(side())
    return {name: Cost(*map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}


def bench_shuffle(folder: Path, runs: int) -> list[Line]:
    lines, out = [], folder / "out"
    memory = 256 << 20
    for record, nbytes in ((_PHOTO, 2 * _GB), (_SMALL, _GB)):
        source = make_folder(folder / "in", nbytes, record)
        result = costs(
            runs,
            out,
            {
                "plain": lambda source=source: cost_of("run", source, out, workers=2, memory=memory),
                "shuffled": lambda source=source: cost_of(
                    "run", source, out, workers=2, memory=memory, shuffle=True, seed=1
                ),
            },
        )
        shutil.rmtree(source)
        plain, shuffled = result["plain"], result["shuffled"]
        what = f"{nbytes // _GB} GB of {record:,} B records, 256 MiB: shuffled / not"
        rates = f"{rate(nbytes, shuffled.seconds)}, {rate(nbytes, plain.seconds)}"
        lines.append(line("r", f"{what}, time", shuffled.seconds / plain.seconds, "-", rates))
        peaks = f"{shuffled.mib:.0f} MiB, {plain.mib:.0f} MiB, of 3 processes"
        lines.append(line("r", f"{what}, peak memory", shuffled.mib / plain.mib, "-", peaks))
    return lines


def bench_memory(folder: Path, runs: int) -> list[Line]:
    lines, out = [], folder / "out"
    for how, files, options in (("", _MANY, {}), (" --mirror", _MIRRORED, {"mirror": True})):
        few = make_folder(folder / f"few{how}", files // 10 * _ROWS * _ROW, _ROW, files // 10)
        many = make_folder(folder / f"many{how}", files * _ROWS * _ROW, _ROW, files)
        for verb, what in (("plan", "planning"), ("run", "migrating")):
            small, large = (cost_of(verb, each, out / each.name, **options).mib for each in (few, many))
            said = f"{small:.0f} MiB, {large:.0f} MiB"
            lines.append(line("s", f"peak memory of {what} {files:,} files / a tenth{how}", large / small, "-", said))
            shutil.rmtree(out, ignore_errors=True)
    small = cost_of("run", make_folder(folder / "small", _GB // 5, _PHOTO, 1), out).mib
    shutil.rmtree(out)
    large = cost_of("run", make_folder(folder / "large", 2 * _GB, _PHOTO, 1), out).mib
    said = f"{small:.0f} MiB, {large:.0f} MiB"
    return [*lines, line("s", "peak memory of one file of 2 GB / of 200 MB", large / small, "no growth", said)]


LINES: dict[str, Bench] = {
    "o": bench_verification,
    "p": bench_workers,
    "q": bench_many,
    "r": bench_shuffle,
    "s": bench_memory,
}
