"""What scripts/bench runs: our speed as ratios to what people use today, measured side by side.

Every line is a ratio of medians taken in one run, on files in memory-backed storage, the two sides in turn. Absolute
numbers depend on the machine; they are printed to show what the ratio is made of.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import recordio_bridge as rb
from recordio_bridge import Batch, Field, Ragged, Schema
from tests.oracles import import_mxnet

IMAGE = Schema(Field("id", "uint64"), Field("label", "float32"), Field("image", "bytes"))
ROW = Schema(Field("label", "int64"), Field("pixels", "float32", (784,)))


def make_rec(path: str, rows: int, nbytes: int) -> None:
    """A .rec of random payloads, in Batches of about 16 MB."""
    random = np.random.default_rng(0)
    step = max(1, (1 << 24) // nbytes)

    def batches():
        for first in range(0, rows, step):
            count = min(step, rows - first)
            payload = random.integers(0, 256, count * nbytes, dtype=np.uint8)
            image = Ragged(payload, nbytes * np.arange(count), np.full(count, nbytes), "bytes")
            ids = np.arange(first, first + count, dtype=np.uint64)
            yield Batch({"id": ids, "label": (ids % 1000).astype(np.float32), "image": image}, IMAGE)

    rb.write(path, batches(), IMAGE, overwrite=True)


def make_rows(path: str, rows: int) -> None:
    """A TFRecord of 784 float32 and a label in each record."""
    random = np.random.default_rng(0)
    batches = (
        {"label": random.integers(0, 10, 1000), "pixels": random.random((1000, 784), dtype=np.float32)}
        for _ in range(rows // 1000)
    )
    rb.write(path, batches, ROW, overwrite=True)


def loop(source: str, target: str) -> None:
    """What users write today."""
    import tensorflow as tf

    recordio = import_mxnet().recordio
    reader = recordio.MXRecordIO(source, "r")
    with tf.io.TFRecordWriter(target) as writer:
        while (item := reader.read()) is not None:
            header, image = recordio.unpack(item)
            feature = {
                "id": tf.train.Feature(int64_list=tf.train.Int64List(value=[header.id])),
                "label": tf.train.Feature(float_list=tf.train.FloatList(value=[header.label])),
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(runs: int, actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median seconds of each action; they take turns, and the first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(runs + 1):
        for name, action in actions.items():
            elapsed = timed(action)
            if turn:
                seconds[name].append(elapsed)
    return {name: statistics.median(values) for name, values in seconds.items()}


def line(letter: str, what: str, ratio: float, goal: str, detail: str) -> dict[str, object]:
    print(f"{letter:<4} {what:<58} {ratio:>7.2f}x   {goal:<10} {detail}", flush=True)
    return {"line": letter, "what": what, "ratio": ratio, "goal": goal, "detail": detail}


def bench_convert(folder: Path, letter: str, rows: int, nbytes: int, runs: int, goals: dict[str, str]) -> list[dict]:
    source, target = str(folder / f"{letter}.rec"), str(folder / f"{letter}.tfrecord")
    make_rec(source, rows, nbytes)
    size = os.path.getsize(source)

    def ours(verify: str) -> Callable[[], object]:
        return lambda: rb.convert(source, target, verify=verify, overwrite=True)

    def copy() -> None:
        Path(target + ".copy").unlink(missing_ok=True)
        subprocess.run(["cp", source, target + ".copy"], check=True)

    def fresh(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            Path(target).unlink(missing_ok=True)
            action()

        return run

    fast = compare(runs, {"none": fresh(ours("none")), "content": fresh(ours("content")), "cp": copy})
    slow = compare(max(1, runs // 2), {"loop": lambda: loop(source, target + ".loop"), "none": fresh(ours("none"))})
    per = f"{rows:,} x {nbytes:,} B"
    rate = f"{rows / fast['none'] / 1e6:.2f} M records/s, {size / fast['none'] / 1e9:.2f} GB/s"
    copied = f"cp {size / fast['cp'] / 1e9:.2f} GB/s"
    return [
        line(
            letter,
            f"{per}: .rec to TFRecord / the loop",
            slow["loop"] / slow["none"],
            goals["loop"],
            f"loop {rows / slow['loop'] / 1e3:.0f} k records/s",
        ),
        line(letter, f"{per}: speed of cp, verify none", fast["cp"] / fast["none"], goals["none"], f"{rate}; {copied}"),
        line(
            letter,
            f"{per}: speed of cp, verify content",
            fast["cp"] / fast["content"],
            goals["content"],
            f"{size / fast['content'] / 1e9:.2f} GB/s",
        ),
    ]


def bench_index(folder: Path, runs: int) -> list[dict]:
    source = str(folder / "c.rec")
    os.link(folder / "a.rec", source)  # without an .idx beside it: what is timed is the scan that would make one
    recordio = import_mxnet().recordio

    def sequential() -> None:
        reader = recordio.MXRecordIO(source, "r")
        while reader.read() is not None:
            pass

    result = compare(runs, {"ours": lambda: rb.inspect(source), "mxnet": sequential})
    detail = f"{result['ours'] * 1e3:.0f} ms, mxnet {result['mxnet'] * 1e3:.0f} ms"
    return [
        line(
            "c",
            "scan for an index, 300,000 records / mxnet's reader",
            result["mxnet"] / result["ours"],
            ">= 20",
            detail,
        )
    ]


def bench_columns(folder: Path, runs: int, rows: int) -> list[dict]:
    import tensorflow as tf

    path = str(folder / "d.tfrecord")
    make_rows(path, rows)
    spec = {"label": tf.io.FixedLenFeature([], tf.int64), "pixels": tf.io.FixedLenFeature([784], tf.float32)}

    def theirs() -> None:
        data = tf.data.TFRecordDataset(path).batch(1024)
        data = data.map(lambda batch: tf.io.parse_example(batch, spec), num_parallel_calls=tf.data.AUTOTUNE)
        for _ in data.prefetch(tf.data.AUTOTUNE):
            pass

    def ours() -> None:
        for batch in rb.read(path, 1024, schema=ROW):
            batch["label"], batch["pixels"]

    result = compare(runs, {"ours": ours, "tf.data": theirs})
    detail = f"{rows / result['ours'] / 1e6:.2f} M rows/s, tf.data {rows / result['tf.data'] / 1e6:.2f} M"
    return [
        line(
            "d",
            "TFRecord to columns (784 float32, label) / tf.data",
            result["tf.data"] / result["ours"],
            ">= 6",
            detail,
        )
    ]


# VmHWM, as ru_maxrss would also count what this process held when it started the other.
_PEAK = """
import sys
import recordio_bridge as rb
rb.convert(sys.argv[1], sys.argv[2], overwrite=True)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def bench_memory(folder: Path, rows: int) -> list[dict]:
    def peak(rows: int, indexed: bool) -> int:
        source, target = str(folder / "e.rec"), str(folder / "e.tfrecord")
        make_rec(source, rows, 800)
        if not indexed:
            Path(source).with_suffix(".idx").unlink()
        done = subprocess.run([sys.executable, "-c", _PEAK, source, target], check=True, capture_output=True, text=True)
        return int(done.stdout)

    lines = []
    for indexed in (False, True):
        small, large = peak(rows, indexed), peak(10 * rows, indexed)
        what = f"peak memory of a file ten times larger, {'with' if indexed else 'without'} .idx"
        detail = f"{small / 1024:.0f} MiB for {rows:,} records, {large / 1024:.0f} MiB for {10 * rows:,}"
        lines.append(line("e", what, large / small, "no growth", detail))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="counted turns of each side")
    parser.add_argument("--only", default="abcde", help="letters of the lines to run")
    parser.add_argument("--json", metavar="FILE", help="write the lines there, too")
    args = parser.parse_args()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = Path(tempfile.mkdtemp(prefix="recordio_bridge-bench-", dir=memory))
    lines: list[dict] = []
    try:
        if "a" in args.only or "c" in args.only:
            goals = {"loop": ">= 25", "none": ">= 0.6", "content": ">= 0.35"}
            lines += bench_convert(folder, "a", 300_000, 800, args.runs, goals)
        if "b" in args.only:
            goals = {"loop": ">= 1.8", "none": ">= 0.8", "content": "-"}
            lines += bench_convert(folder, "b", 5_000, 100_000, args.runs, goals)
        if "c" in args.only:
            lines += bench_index(folder, args.runs)
        if "d" in args.only:
            lines += bench_columns(folder, args.runs, 100_000)
        if "e" in args.only:
            lines += bench_memory(folder, 150_000)
    finally:
        shutil.rmtree(folder)
    if args.json:
        Path(args.json).write_text(json.dumps(lines, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
