"""The starts of scripts/soak: feeds that are stopped, dropped, failed, forked and gone on with at random moments."""

from __future__ import annotations

import os
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from soak_rounds import Stopped, Wrong, same
from soak_watch import children, our_threads

import recordio_bridge as rb
from recordio_bridge.feed import Feeder

ROWS, SIZE = 97, 10
_SUFFIXES = (".rec", ".tfrecord", ".tfrecord.gz", ".h5", ".npz")
_MOMENT_S = 0.02  # in which something is closed
_PATIENCE_S = 30.0  # for threads that were let go


class Starts:
    """Feeds of the files of a folder."""

    def __init__(self, folder: Path, chance: Random, tensorflow: bool) -> None:
        self._chance = chance
        folder.mkdir()
        numbers = np.arange(ROWS)
        self._files = [folder / f"rows{suffix}" for suffix in _SUFFIXES]
        for file in self._files:
            rb.write(file, {"id": numbers, "x": (numbers[:, None] * [0.5, 2.0]).astype(np.float32)})
        self._schema = rb.inspect(self._files[0]).schema
        self._bad = folder / "cut.rec"
        self._bad.write_bytes(self._files[0].read_bytes()[:-30])
        self._does: list[Callable[[], None]] = [
            self.close, self.close_elsewhere, self.drop, self.leave_a_loop, self.fail_in_the_source,
            self.fail_in_the_transform, self.fail_in_the_consumer, self.fail_at_a_bad_record, self.never_start,
            self.fork, self.go_on, self.feed_an_open_file, self.refuse,
        ]  # fmt: skip
        if tensorflow:
            import soak_tensorflow

            self._does += [
                lambda: soak_tensorflow.start_dataset(self._file, chance),
                lambda: soak_tensorflow.start_graph(self._file, chance),
            ]
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # of the forks

    def run(self) -> None:
        """One of them."""
        self._chance.choice(self._does)()

    def settle(self) -> None:
        """Wrong where a thread, or a child process, is left."""
        end = time.monotonic() + _PATIENCE_S
        while (left := our_threads()) or children():
            if time.monotonic() > end:
                raise Wrong(f"left behind: threads {left}, processes {children()}")
            time.sleep(0.005)

    @property
    def _file(self) -> Path:
        return self._chance.choice(self._files)

    def _feeder(self, source: object = None, **options: object) -> Feeder:
        chance = self._chance
        asked = {
            "epochs": None,
            "n_threads": chance.choice([1, 2, 3]),
            "capacity": chance.choice([1, 2, 8]),
            "shuffle": source is None and chance.random() < 0.5,
            **options,
        }
        return Feeder(self._file if source is None else source, SIZE, **asked)

    def _take(self, feeder: Feeder, most: int = 25) -> None:
        for _ in islice(feeder, self._chance.randrange(most)):
            pass

    # ---- each of these is one start ----

    def close(self) -> None:
        feeder = self._feeder()
        self._take(feeder)
        feeder.close()

    def close_elsewhere(self) -> None:
        """While this thread takes, or waits."""
        feeder, moment_s = self._feeder(), self._chance.uniform(0, _MOMENT_S)
        closing = threading.Thread(target=lambda: (time.sleep(moment_s), feeder.close()))
        closing.start()
        try:
            for _ in feeder:
                pass
        except rb.FeedError:
            closing.join()
        else:
            raise Wrong("a feed without end that was closed ended as if it had one")

    def drop(self) -> None:
        self._take(self._feeder())

    def leave_a_loop(self) -> None:
        with self._feeder() as feeder:
            for number, _ in enumerate(feeder):
                if number == self._chance.randrange(10):
                    break
                if number > 50:
                    return

    def fail_in_the_source(self) -> None:
        at, shapes = self._chance.randrange(1, 8), [(np.arange(SIZE),)] * 8

        def source() -> Iterator[tuple[np.ndarray, ...]]:
            yield from shapes[:at]
            raise Stopped

        self._fails(self._feeder(source, epochs=1))

    def fail_in_the_transform(self) -> None:
        left = [self._chance.randrange(20)]

        def transform(batch: rb.Batch) -> rb.Batch:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return batch

        self._fails(self._feeder(transform=transform))

    def _fails(self, feeder: Feeder, kind: type[Exception] = Stopped) -> None:
        try:
            with feeder:
                for _ in feeder:
                    pass
        except rb.FeedError as err:
            if not isinstance(err.__cause__, kind):
                raise
        else:
            raise Wrong("a feed that failed ended as if it were whole")

    def fail_in_the_consumer(self) -> None:
        try:
            with self._feeder() as feeder:
                self._take(feeder)
                raise Stopped
        except Stopped:
            pass

    def fail_at_a_bad_record(self) -> None:
        def source() -> Iterator[rb.Batch]:
            return rb.read(self._bad, batch_rows=SIZE, schema=self._schema)

        self._fails(self._feeder(source, epochs=1), rb.TruncatedError)

    def never_start(self) -> None:
        feeder = self._feeder()
        if self._chance.random() < 0.5:
            feeder.close()

    def fork(self) -> None:
        """The child is told; the parent goes on."""
        with self._feeder() as feeder:
            next(feeder)
            child = os.fork()
            if not child:
                code = 1
                try:
                    for _ in range(20):
                        next(feeder)
                except rb.FeedError:
                    feeder.close()
                    code = 7
                finally:
                    os._exit(code)
            self._take(feeder)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 7:
                raise Wrong("a child took batches of a feed whose threads its parent has")

    def go_on(self) -> None:
        """One epoch in two feeds, the state of the first through a pickle."""
        options = {"epochs": 1, "shuffle": True, "seed": self._chance.randrange(1000)}
        file, stop = self._file, self._chance.randrange(11)
        with self._feeder(file, **options) as feeder:
            found = [row for batch in islice(feeder, stop) for row in batch["id"].tolist()]
            state = pickle.loads(pickle.dumps(feeder.state()))
        with self._feeder(file, state=state, **options) as feeder:
            found += [row for batch in feeder for row in batch["id"].tolist()]
        same(sorted(found), list(range(ROWS)), f"{file.name}, gone on with after {stop} batches")

    def feed_an_open_file(self) -> None:
        with rb.open(self._file) as file, self._feeder(file) as feeder:
            self._take(feeder)

    def refuse(self) -> None:
        """What cannot be begun."""
        for source, options in [(self._bad.with_name("missing.rec"), {}), (self._file, {"fields": ["none such"]})]:
            try:
                self._feeder(source, **options)
            except (OSError, rb.SchemaError):
                continue
            raise Wrong(f"{source.name} was fed with {options}")
