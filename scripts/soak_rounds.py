"""The rounds of scripts/soak: random small files, converted, migrated, read, fed, spoilt and broken off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

import recordio_bridge as rb
from recordio_bridge.feed import Feeder

SUFFIXES = (".rec", ".tfrecord", ".tfrecord.gz", ".tfrecord.zz", ".h5", ".npz", ".npy")
_PACKED = {".h5": ["", "GZIP", "LZF"], ".npz": ["", "DEFLATE"]}
_WORKERS = (1, 1, 1, 2)  # two of them are two new interpreters each time


class Wrong(Exception):
    """The library gave something other than what was written, or passed over what is damaged."""


class Stopped(Exception):
    """What the soak itself raises, to break something off."""


def columns(numbers: np.ndarray) -> dict[str, object]:
    """Rows with these numbers; all columns follow from them."""
    return {
        "data": numbers.astype(np.int64),
        "x": (numbers[:, None] * [0.5, -1.0, 2.0]).astype(np.float32),
        "name": [b"row %d " % number * (1 + number % 5) for number in numbers.tolist()],
        "boxes": [np.arange(number % 4, dtype=np.float32) for number in numbers.tolist()],
    }


def checked(batch: rb.Batch) -> list[int]:
    """The numbers of the rows of a batch, where its other columns fit them."""
    numbers = batch["data"]
    expected = rb.Batch.of(columns(numbers)) if len(numbers) else None
    for name in batch.schema if expected is not None else ():
        for found, wanted in zip(batch[name], expected[name], strict=True):
            if not np.array_equal(found, wanted):
                raise Wrong(f"{name} of a row is {found!r}, not {wanted!r}")
    return numbers.tolist()


def same(found: list[int], expected: list[int], what: str) -> None:
    """Wrong where these are not the rows expected."""
    if found != expected:
        raise Wrong(f"{what}: {len(found)} rows, expected {len(expected)}, or in another order")


class Rounds:
    """Rounds in a folder, each of which leaves it empty."""

    def __init__(self, folder: Path, chance: Random, tensorflow: bool) -> None:
        self._folder, self._chance = folder, chance
        self._does: list[Callable[[], None]] = [
            self.convert, self.convert_broken_off, self.migrate, self.read, self.open, self.feed, self.damage
        ]  # fmt: skip
        if tensorflow:
            import soak_tensorflow

            self._runners = soak_tensorflow
            self._does += [self.feed_dataset, self.feed_graph]
        self._source, self._count, self._damage = Path(), 0, "none"

    def run(self) -> None:
        """One round: a source, and everything with it, in some order."""
        self._folder.mkdir()
        self._source, self._count = self.write("source")
        for do in self._chance.sample(self._does, len(self._does)):
            try:
                do()
            except Exception as err:
                err.add_note(
                    f"in {do.__name__}, of {self._source.name} with {self._count} rows; damage: {self._damage}"
                )
                raise
        shutil.rmtree(self._folder)

    def write(self, stem: str, first: int = 0) -> tuple[Path, int]:
        """A random file, and how many rows it has."""
        suffix = self._chance.choice(SUFFIXES)
        count = self._chance.choice([1, 7, 100, 700, 3000])
        path = self._folder / f"{stem}{suffix}"
        options = {"compression": self._chance.choice(_PACKED[suffix])} if suffix in _PACKED else {}
        rows = columns(np.arange(first, first + count))
        rb.write(path, {"data": rows["data"]} if suffix == ".npy" else rows, **options)
        return path, count

    def target(self, stem: str) -> tuple[Path, dict[str, object]]:
        """A random output in a folder of its own, and how a conversion is to select for it."""
        suffix = self._chance.choice(SUFFIXES)
        out = self._folder / stem
        out.mkdir()
        return out / f"out{suffix}", {"select": ["data=data"]} if suffix == ".npy" else {}

    # ---- converting ----

    def convert(self) -> None:
        target, options = self.target("converted")
        is_shuffled, shards = self._chance.random() < 0.4, self._chance.choice([None, None, 2, 3])
        options |= {"shuffle": True, "seed": self._chance.randrange(9)} if is_shuffled else {}
        rb.convert(self._source, target, shards=shards, workers=self._chance.choice(_WORKERS), **options)
        found = [row for batch in rb.read(target) for row in checked(batch)]
        expected = list(range(self._count))
        same(sorted(found) if is_shuffled else found, expected, f"{self._source.name} to {target.name}")
        report = rb.verify(target)
        if not report.ok or report.num_rows != self._count:
            raise Wrong(f"{target.name} does not verify: {report.problems}")
        shutil.rmtree(target.parent)

    def convert_broken_off(self) -> None:
        """By an exception while it writes; nothing is left."""
        target, options = self.target("broken-off")

        def stop(rows: int, of: int) -> None:
            raise Stopped

        shards = self._chance.choice([None, 2])
        try:
            rb.convert(self._source, target, shards=shards, progress=stop, **options)
        except Stopped:
            pass
        else:
            raise Wrong(f"{self._source.name} to {target.name}: an exception in progress= was passed over")
        target.parent.rmdir()

    def migrate(self) -> None:
        folder, out = self._folder / "tree", self._folder / "migrated"
        (folder / "sub").mkdir(parents=True)
        suffix = self._chance.choice([".rec", ".tfrecord", ".h5", ".npz"])
        for number in range(4):
            numbers = np.arange(50 * number, 50 * number + 50)
            rb.write(folder / ("sub" if number % 2 else ".") / f"{number}{suffix}", columns(numbers))
        is_damaged = self._chance.random() < 0.3
        if is_damaged:
            (folder / f"zz{suffix}").write_bytes(b"not what it is called")
        options = self._chance.choice([{"mirror": True}, {"shards": 2}, {"shards": 3, "shuffle": True, "seed": 5}])
        to = self._chance.choice(["tfrecord", "rec", "h5", "npz"])
        outcome = rb.migrate.run(folder, out, to=to, workers=self._chance.choice(_WORKERS), **options)
        found = [row for manifest in outcome.manifests for batch in rb.read(manifest.paths) for row in checked(batch)]
        same(sorted(found), list(range(200)), f"{suffix} migrated to {to}")
        if outcome.is_complete is is_damaged or not rb.migrate.verify(out).ok:
            raise Wrong(f"{suffix} migrated to {to}: {outcome.quarantine}, {rb.migrate.verify(out).problems}")
        shutil.rmtree(folder)
        shutil.rmtree(out)

    # ---- reading ----

    def read(self) -> None:
        """To the end; and broken off, with and without close()."""
        rows = self._chance.choice([1 + self._count // 3, 64, 1024])
        found = [row for batch in rb.read(self._source, batch_rows=rows) for row in checked(batch)]
        same(found, list(range(self._count)), f"{self._source.name}, read")
        for closes in (True, False):
            batches = rb.read(self._source, batch_rows=rows)
            kept = list(islice(batches, self._chance.randrange(3)))
            if closes:
                batches.close()
            del batches
            same([row for batch in kept for row in checked(batch)], list(range(sum(map(len, kept)))), "read in part")

    def open(self) -> None:
        with rb.open(self._source) as file:
            asked = [self._chance.randrange(self._count) for _ in range(50)]
            same(checked(file.take(asked)), asked, f"{self._source.name}, opened")
            same([int(file[row]["data"]) for row in asked], asked, f"{self._source.name}, row by row")
        dropped = rb.open(self._source)
        dropped[0]

    # ---- feeding ----

    def feed_options(self) -> dict[str, object]:
        chance = self._chance
        return {
            "batch_size": chance.choice([1 + self._count // 4, 64, 500]),
            **chance.choice([{}, {"shuffle": True}, {"shuffle": True, "seed": chance.randrange(9)}]),
            "capacity": chance.choice([1, 3]),
        }

    def feed(self) -> None:
        """To the end, and broken off."""
        threads = self._chance.choice([1, 2, 3])
        with Feeder(self._source, epochs=2, n_threads=threads, **self.feed_options()) as feeder:
            found = [row for batch in feeder for row in checked(batch)]
        same(sorted(found), sorted([*range(self._count)] * 2), f"{self._source.name}, fed")
        with Feeder(self._source, epochs=None, n_threads=threads, **self.feed_options()) as feeder:
            next(feeder)
        dropped = Feeder(self._source, epochs=None, n_threads=threads, **self.feed_options())
        next(dropped)

    def feed_dataset(self) -> None:
        found = self._runners.rows_of_passes(self._source, self._chance, **self.feed_options())
        same(sorted(found), list(range(self._count)), f"{self._source.name}, a pass over a dataset")

    def feed_graph(self) -> None:
        found = self._runners.rows_of_steps(self._source, self._chance, **self.feed_options())
        same(sorted(found), list(range(self._count)), f"{self._source.name}, steps of a graph")

    # ---- damage ----

    def damage(self) -> None:
        """A file cut, or with a byte flipped: all of it is rows as they were, or an error."""
        path, count = self.write("damaged")
        data = bytearray(path.read_bytes())
        at = self._chance.randrange(len(data))
        is_cut = self._chance.random() < 0.5 or path.suffix == ".h5"  # HDF5 may crash at others (see formats/hdf5.py)
        bit = self._chance.randrange(8)
        self._damage = f"{path.name} with {count} rows, " + (f"cut at {at}" if is_cut else f"bit {bit} of byte {at}")
        if is_cut:
            del data[at:]
        else:
            data[at] ^= 1 << bit
        path.write_bytes(data)
        out = self._folder / "out.tfrecord"
        uses: list[Callable[[], object]] = [
            lambda: [len(batch) for batch in rb.read(path)],
            lambda: rb.open(path).take([count - 1]),
            lambda: rb.convert(path, out, overwrite=True),
            lambda: rb.verify(path),
            lambda: [len(batch) for batch in Feeder(path, 64, n_threads=2)],
            lambda: [len(batch) for batch in Feeder(path, 64, shuffle=True, on_bad_record="skip")],
            lambda: [len(batch) for batch in rb.read(path, on_bad_record="skip")],
            lambda: rb.convert(path, out, shards=2, on_bad_record="skip", overwrite=True),
        ]
        for use in uses:
            try:
                use()
            except (rb.BridgeError, IndexError):  # of rows that are not there
                continue
        if is_cut and path.suffix != ".rec" and len(data) and not _is_refused(path, count):
            raise Wrong(f"{path.name}, cut at byte {at}, was read as if it were whole")


def _is_refused(path: Path, count: int) -> bool:
    """Whether a cut file is an error, or a TFRecord that was cut between two records and so has fewer rows."""
    try:
        found = sum(map(len, rb.read(path)))
    except rb.BridgeError:
        return True
    return path.suffix == ".tfrecord" and found < count
