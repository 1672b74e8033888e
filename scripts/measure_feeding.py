"""Lines j to n: feeding a model from files, against TensorFlow's own ways and the posts' CustomRunner (ladder.py)."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from ladder import make_files, make_photos
from timing import Bench, Line, line

_LADDER = str(Path(__file__).with_name("ladder.py"))
_PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "photos.rec"
_DRAWN = Path(__file__).resolve().parents[1] / "examples" / "shapes.rec"
_ROWS, _MANY_ROWS, _IMAGES = 20_000, 60_000, 720


def rates(folder: Path, runs: int, steps: list[str], seconds: float = 3.0) -> dict[str, float]:
    """The median of examples per second of each step; they take turns, each in a process of its own."""
    found: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(runs):
        for step in steps:
            command = [sys.executable, "-W", "ignore", _LADDER, step, str(folder), "--seconds", str(seconds)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[step].append(float(json.loads(done.stdout)))
    return {step: statistics.median(values) for step, values in found.items()}


def bench_ladder(folder: Path, runs: int) -> list[Line]:
    """Rows that fit into the 64 MiB which a shuffled feed keeps."""
    goals = {"filled": ">= 0.8", "posts": ">= 1.4", "tfrecord-queues": ">= 12", "tf.data": ">= 1"}
    return climbed("j", "feeding from", folder, runs, _ROWS, goals)


def bench_large_ladder(folder: Path, runs: int) -> list[Line]:
    """Rows that a shuffled feed reads from their file in each epoch, in memory-backed storage."""
    goals = {"filled": "-", "posts": "-", "tf.data": "-"}
    return climbed("n", f"{_MANY_ROWS:,} rows, from", folder, runs, _MANY_ROWS, goals)


def climbed(letter: str, what: str, folder: Path, runs: int, rows: int, goals: dict[str, str]) -> list[Line]:
    """Our steps of the ladder against others."""
    make_files(folder, rows)
    names = {
        "filled": "a queue filled before",
        "posts": "the posts' CustomRunner",
        "tfrecord-queues": "TFRecord queues",
        "tf.data": "tf.data from memory",
    }
    ours = ["rec", "h5", "npz", "tfrecord"]
    found = rates(folder, runs, [*goals, *ours])
    return [
        line(
            letter,
            f"{what} .{mine} / {names[other]}",
            found[mine] / found[other],
            goal,
            f"{found[mine] / 1e3:.0f} k rows/s, {found[other] / 1e3:.0f} k",
        )
        for other, goal in goals.items()
        for mine in ours
    ]


def bench_keras(folder: Path, runs: int) -> list[Line]:
    make_files(folder, _ROWS)
    found = rates(folder, runs, ["keras-rec", "keras-tf.data"])
    detail = f"{found['keras-rec'] / 1e3:.0f} k rows/s, tf.data {found['keras-tf.data'] / 1e3:.0f} k"
    what = "Keras fit from .rec / from tf.data, Examples"
    return [line("k", what, found["keras-rec"] / found["keras-tf.data"], ">= 1", detail)]


def bench_photos(folder: Path, runs: int) -> list[Line]:
    source = _PHOTOS if _PHOTOS.exists() else _DRAWN
    make_photos(folder, source, _IMAGES)
    found = rates(folder, runs, ["photos-transform", "photos-tf.data", "photos-map", "photos-tf.data-region"])
    return [
        line(
            "l",
            f"{source.stem}, {what}",
            found[mine] / found[theirs],
            goal,
            f"{found[mine]:.0f} images/s, tf.data {found[theirs]:.0f}",
        )
        for what, mine, theirs, goal in (
            ("decode_and_crop / decode_jpeg + random_crop", "photos-transform", "photos-tf.data", ">= 1"),
            ("dataset().map(decode_and_crop_jpeg) / tf.data", "photos-map", "photos-tf.data-region", ">= 0.95"),
        )
    ]


def bench_waiting(folder: Path, runs: int) -> list[Line]:
    make_files(folder, _ROWS)
    share = rates(folder, runs, ["waiting"])["waiting"]
    return [line("m", "waiting of a model that is the slower side / its time", share, "<= 0.05", f"{share:.2%} of it")]


LINES: dict[str, Bench] = {
    "j": bench_ladder,
    "k": bench_keras,
    "l": bench_photos,
    "m": bench_waiting,
    "n": bench_large_ladder,
}
