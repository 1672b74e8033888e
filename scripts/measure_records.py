"""Lines a to e: .rec and TFRecord, against loops over mxnet, against cp and against tf.data."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peak import peak_mib
from timing import Bench, Line, compare, fresh, line

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


def bench_convert(folder: Path, letter: str, rows: int, nbytes: int, runs: int, goals: dict[str, str]) -> list[Line]:
    source, target = str(folder / f"{letter}.rec"), str(folder / f"{letter}.tfrecord")
    make_rec(source, rows, nbytes)
    size = os.path.getsize(source)

    def ours(verify: str) -> Callable[[], object]:
        return lambda: rb.convert(source, target, verify=verify, overwrite=True)

    def copy() -> None:
        Path(target + ".copy").unlink(missing_ok=True)
        subprocess.run(["cp", source, target + ".copy"], check=True)

    fast = compare(runs, {"none": fresh(target, ours("none")), "content": fresh(target, ours("content")), "cp": copy})
    sides = {"loop": lambda: loop(source, target + ".loop"), "none": fresh(target, ours("none"))}
    slow = compare(max(1, runs // 2), sides)
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


def bench_index(folder: Path, runs: int, rows: int) -> list[Line]:
    make_rec(str(folder / "made.rec"), rows, 800)
    source = str(folder / "c.rec")
    os.link(folder / "made.rec", source)  # without an .idx beside it: what is timed is the scan that would make one
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
            f"scan for an index, {rows:,} records / mxnet's reader",
            result["mxnet"] / result["ours"],
            ">= 20",
            detail,
        )
    ]


def bench_columns(folder: Path, runs: int, rows: int) -> list[Line]:
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


def bench_memory(folder: Path, rows: int) -> list[Line]:
    def peak(rows: int, indexed: bool) -> float:
        source = folder / "e.rec"
        make_rec(str(source), rows, 800)
        if not indexed:
            source.with_suffix(".idx").unlink()
        return peak_mib(source, folder / "e.tfrecord")

    lines = []
    for indexed in (False, True):
        small, large = peak(rows, indexed), peak(10 * rows, indexed)
        what = f"peak memory of a file ten times larger, {'with' if indexed else 'without'} .idx"
        detail = f"{small:.0f} MiB for {rows:,} records, {large:.0f} MiB for {10 * rows:,}"
        lines.append(line("e", what, large / small, "no growth", detail))
    return lines


def bench_small(folder: Path, runs: int) -> list[Line]:
    goals = {"loop": ">= 25", "none": ">= 0.6", "content": ">= 0.35"}
    return bench_convert(folder, "a", 300_000, 800, runs, goals)


def bench_large(folder: Path, runs: int) -> list[Line]:
    goals = {"loop": ">= 1.8", "none": ">= 0.8", "content": "-"}
    return bench_convert(folder, "b", 5_000, 100_000, runs, goals)


LINES: dict[str, Bench] = {
    "a": bench_small,
    "b": bench_large,
    "c": lambda folder, runs: bench_index(folder, runs, 300_000),
    "d": lambda folder, runs: bench_columns(folder, runs, 100_000),
    "e": lambda folder, runs: bench_memory(folder, 150_000),
}
