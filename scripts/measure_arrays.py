"""Lines f to i: .npz, .npy and .h5, against loops over tf.train.Example, tf.data and h5py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from peak import peak_mib
from timing import Bench, Line, compare, fresh, line

import recordio_bridge as rb
from recordio_bridge import Field, Schema

Array = NDArray[Any]


def save(path: Path, array: Array) -> None:
    """The array as users save it, not compressed; "data" is its name where it has one."""
    if path.suffix == ".npz":
        np.savez(path, data=array)
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        with h5py.File(path, "w") as file:
            file["data"] = array


def load(path: Path) -> Array:
    """The array as users load it."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return archive["data"]
    if path.suffix == ".npy":
        return np.load(path)
    with h5py.File(path, "r") as file:
        return file["data"][:]


def loop(rows: Array, target: str, listed: bool = False) -> None:
    """What users write today; with tolist() (listed) it is faster, which few do."""
    import tensorflow as tf

    def feature(row: Array) -> tf.train.Feature:
        if row.dtype == np.uint8:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[row.tobytes()]))
        values = row.tolist() if listed else row
        if row.dtype == np.float32:
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    with tf.io.TFRecordWriter(target) as writer:
        for row in rows:
            example = tf.train.Example(features=tf.train.Features(feature={"data": feature(row)}))
            writer.write(example.SerializeToString())


def bench_file(source: Path, runs: int, array: Array, goal: str) -> Line:
    """The file of an array to TFRecord, and the loop over a tenth of its rows, which lie in memory.

    A row costs the loop its part of loading the file, and its part of the loop.
    """
    save(source, array)
    rows, tenth, target = len(array), array[: len(array) // 10], str(source.with_suffix(".tfrecord"))
    sides: dict[str, Callable[[], object]] = {
        "ours": fresh(target, lambda: rb.convert(source, target, verify="none", overwrite=True)),
        "load": lambda: load(source),
        "loop": lambda: loop(tenth, target + ".loop"),
    }
    if array.dtype != np.uint8:
        sides["listed"] = lambda: loop(tenth, target + ".loop", listed=True)
    took = compare(runs, sides)
    source.unlink()
    rates = {name: 1 / (took["load"] / rows + took[name] / len(tenth)) for name in ("loop", "listed") if name in took}
    ours = rows / took["ours"]
    detail = (
        f"{ours / 1e3:.0f} k rows/s, {array.nbytes / took['ours'] / 1e9:.2f} GB/s; loop {rates['loop'] / 1e3:.1f} k"
    )
    if "listed" in rates:
        detail += f", with tolist() {rates['listed'] / 1e3:.1f} k"
    what = f"{source.suffix} of {array.dtype}{list(array.shape[1:])} to TFRecord / the loop"
    return line("f", what, ours / rates["loop"], goal, detail)


def bench_arrays(folder: Path, runs: int) -> list[Line]:
    random = np.random.default_rng(0)
    arrays: list[tuple[Callable[[], Array], str]] = [
        (lambda: random.random((120_000, 784), dtype=np.float32), ">= 60"),
        (lambda: random.integers(0, 256, (120_000, 784)), ">= 40"),
        (lambda: random.integers(0, 256, (400_000, 28, 28), dtype=np.uint8), ">= 20"),
    ]
    lines = []
    for make, goal in arrays:
        array = make()
        lines += [bench_file(folder / f"f{suffix}", runs, array, goal) for suffix in (".npz", ".npy", ".h5")]
    return lines


def bench_to_npz(folder: Path, runs: int, rows: int) -> list[Line]:
    import tensorflow as tf

    source, target = str(folder / "g.tfrecord"), str(folder / "g.npz")
    random = np.random.default_rng(0)
    batches = ({"data": random.random((1000, 784), dtype=np.float32)} for _ in range(rows // 1000))
    rb.write(source, batches, Schema(Field("data", "float32", (784,))))
    spec = {"data": tf.io.FixedLenFeature([784], tf.float32)}

    def theirs() -> None:
        data = tf.data.TFRecordDataset(source).batch(1024)
        data = data.map(lambda batch: tf.io.parse_example(batch, spec), num_parallel_calls=tf.data.AUTOTUNE)
        parsed = [batch["data"] for batch in data.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()]
        np.savez(target, data=np.concatenate(parsed))

    ours = fresh(target, lambda: rb.convert(source, target, verify="none", overwrite=True))
    result = compare(runs, {"ours": ours, "tf.data": fresh(target, theirs)})
    detail = f"{rows / result['ours'] / 1e3:.0f} k rows/s, tf.data {rows / result['tf.data'] / 1e3:.0f} k"
    what = "TFRecord to .npz (784 float32) / tf.data and np.savez"
    return [line("g", what, result["tf.data"] / result["ours"], "-", detail)]


def bench_gzip(folder: Path, runs: int, rows: int) -> list[Line]:
    path = folder / "h.h5"
    chunk = 128  # rows: 400 kB
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 784)).astype(np.float32) / 256
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=pixels, chunks=(chunk, 784), compression="gzip", compression_opts=4)

    def ours() -> None:
        for batch in rb.read(path):
            batch["data"]

    def theirs() -> None:
        with h5py.File(path, "r") as file:
            data = file["data"]
            for at in range(0, rows, chunk):
                data[at : at + chunk]

    result = compare(runs, {"ours": ours, "h5py": theirs})
    detail = f"{pixels.nbytes / result['ours'] / 1e6:.0f} MB/s, h5py {pixels.nbytes / result['h5py'] / 1e6:.0f} MB/s"
    what = "all Batches of a gzipped .h5 / h5py alone, chunk by chunk"
    return [line("h", what, result["h5py"] / result["ours"], ">= 0.9", detail)]


def bench_memory(folder: Path, rows: int) -> list[Line]:
    source = folder / "i.npz"

    def peak(rows: int, deflated: bool) -> float:
        numbers = np.random.default_rng(0).integers(0, 256, (rows, 784)).astype(np.float32)
        (np.savez_compressed if deflated else np.savez)(source, data=numbers)
        del numbers
        return peak_mib(source, folder / "i.tfrecord")

    lines = []
    for deflated in (False, True):
        small, large = peak(rows, deflated), peak(10 * rows, deflated)
        what = f"peak memory of a .npz ten times larger, {'deflated' if deflated else 'stored'}"
        detail = f"{small:.0f} MiB for {rows:,} rows, {large:.0f} MiB for {10 * rows:,}"
        lines.append(line("i", what, large / small, "no growth", detail))
    return lines


LINES: dict[str, Bench] = {
    "f": bench_arrays,
    "g": lambda folder, runs: bench_to_npz(folder, runs, 60_000),
    "h": lambda folder, runs: bench_gzip(folder, runs, 40_000),
    "i": lambda folder, runs: bench_memory(folder, 15_000),
}
