"""state(): a feed that goes on gives what the one that was broken off would have given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder, position
from tests.feed.deadline import within
from tests.feed.sources import BATCHES, FORMATS, ROWS, SIZE, arrays, columns, ids, write, write_chunked
from tests.samples import image_rec

STOPS = [0, 1, 4, BATCHES - 1, BATCHES, BATCHES + 1, 2 * BATCHES, 2 * BATCHES + 3, 3 * BATCHES]
"""Batches that were taken before the state was asked for: at a beginning, in a middle, and at an end of an epoch."""


def taken(make: Callable[..., Feeder], stop: int | None = None, **options: object) -> tuple[list[list[int]], dict]:
    """The rows of the first `stop` batches, and the state behind them, which has been through JSON."""

    def take() -> tuple[list[list[int]], dict]:
        with make(**options) as feeder:
            batches = [ids(batch) for batch in feeder] if stop is None else [ids(next(feeder)) for _ in range(stop)]
            text = json.dumps(feeder.state())
            assert len(text) < 400
            return batches, json.loads(text)

    return within(60, take)


def check(make: Callable[..., Feeder], stops: list[int] = STOPS) -> None:
    """That a feed of three epochs, broken off at any of these places, is gone on with as if it were not."""
    whole, _ = taken(make)
    assert len(whole) >= max(stops)
    for stop in stops:
        before, state = taken(make, stop)
        after, _ = taken(make, state=state)
        assert before + after == whole, stop


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_gone_on_with(tmp_path, suffix, shuffle):
    path = write(tmp_path, suffix)
    check(lambda **state: Feeder(path, SIZE, shuffle=shuffle, seed=7, epochs=3, **state))


@pytest.mark.parametrize("threads", [(1, 3), (3, 1)])
def test_other_threads_go_on_in_the_same_order(tmp_path, threads):
    path = write(tmp_path, "rec")
    make = {count: lambda n=count, **state: Feeder(path, SIZE, shuffle=True, seed=1, epochs=3, n_threads=n, **state)
            for count in threads}  # fmt: skip
    whole, _ = taken(make[1])
    before, state = taken(make[threads[0]], 13)
    assert before + taken(make[threads[1]], state=state)[0] == whole


def test_windows_are_gone_on_with(tmp_path, monkeypatch):
    path = write_chunked(tmp_path)
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", 700)
    check(lambda **state: Feeder(path, SIZE, shuffle=True, seed=7, epochs=3, **state))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_shard_is_gone_on_with(tmp_path, shuffle):
    for path in (write(tmp_path, "tfrecord"), write_chunked(tmp_path)):
        stops = [1, 3, 4, 5, 8]
        check(lambda p=path, **s: Feeder(p, SIZE, shuffle=shuffle, seed=7, epochs=3, shard=(1, 3), **s), stops)


def test_drop_remainder_is_gone_on_with(tmp_path):
    path = write(tmp_path, "npz")
    check(lambda **state: Feeder(path, SIZE, drop_remainder=True, epochs=3, **state), [1, 8, 9, 10, 18, 27])


def test_a_record_file_a_list_and_a_compressed_file_are_gone_on_with(tmp_path):
    rb.write(tmp_path / "a.tfrecord", columns(np.arange(40)))
    rb.write(tmp_path / "b.tfrecord", columns(np.arange(40, ROWS)))
    rb.write(tmp_path / "c.tfrecord", columns(np.arange(ROWS)), compression="GZIP")
    with rb.open(tmp_path / "a.tfrecord") as file:
        check(lambda **state: Feeder(file, SIZE, epochs=3, shuffle=True, seed=1, **state), [1, 4, 5, 12])
    check(lambda **state: Feeder([tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"], SIZE, epochs=3, **state))
    check(lambda **state: Feeder(tmp_path / "c.tfrecord", SIZE, epochs=3, **state))


@pytest.mark.parametrize("size", [SIZE, 16, 200])
def test_an_iterator_is_gone_on_with(size):
    check(lambda **state: Feeder(arrays(ROWS, size), SIZE, epochs=3, **state))


def test_an_iterator_is_told_which_pass_it_is():
    """With which it seeds what is random, so that an epoch that is gone on with is as it was."""

    def shuffled() -> Iterator[dict[str, np.ndarray]]:
        order = np.random.default_rng(position.get().epoch).permutation(ROWS)
        for at in range(0, ROWS, 16):
            yield columns(order[at : at + 16])

    check(lambda **state: Feeder(shuffled, SIZE, epochs=3, n_threads=2, **state))
    whole, _ = taken(lambda: Feeder(shuffled, SIZE, epochs=3))
    assert len({str(whole[at : at + BATCHES]) for at in range(0, len(whole), BATCHES)}) == 3
    with pytest.raises(LookupError):
        position.get()


def test_an_endless_iterator_is_gone_on_with():
    def endless():
        return chain.from_iterable(arrays()() for _ in range(100))

    whole, _ = taken(lambda: Feeder(endless, SIZE), 40)
    before, state = taken(lambda: Feeder(endless, SIZE), 23)
    after, _ = taken(lambda **state: Feeder(endless, SIZE, **state), 17, state=state)
    assert before + after == whole


@pytest.mark.parametrize("shuffle", [False, True])
def test_bad_records_that_are_left_out_do_not_shift_what_comes(tmp_path, shuffle):
    path = image_rec(tmp_path / "bad.rec", ROWS)
    data = bytearray(path.read_bytes())
    offsets = [int(line.split("\t")[1]) for line in path.with_suffix(".idx").read_text().splitlines()]
    for bad in (2, 33, 60):
        data[offsets[bad] : offsets[bad] + 4] = bytes(4)
    path.write_bytes(data)
    stops = [1, 3, 4, 9, 10, 11, 20, 25]
    check(lambda **s: Feeder(path, SIZE, epochs=3, shuffle=shuffle, seed=3, on_bad_record="skip", **s), stops)


@pytest.mark.parametrize("bad", [{0}, {3}, {0, 1, 5, 6, BATCHES - 1}], ids=str)
def test_batches_of_which_no_row_is_left_do_not_shift_what_comes(tmp_path, bad):
    def transform(batch: rb.Batch) -> rb.Batch:
        return batch.slice(0, 0) if position.get().batch in bad else batch

    path, count = write(tmp_path, "npz"), BATCHES - len(bad)
    stops = [0, 1, 3, count - 1, count, count + 1, 2 * count, 3 * count]
    check(lambda **s: Feeder(path, SIZE, epochs=3, shuffle=True, seed=3, transform=transform, **s), stops)


def test_a_state_without_end_goes_on_without_end(tmp_path):
    path = write(tmp_path, "h5")
    whole, _ = taken(lambda: Feeder(path, SIZE, epochs=None, shuffle=True, seed=2), 45)
    _, state = taken(lambda: Feeder(path, SIZE, epochs=None, shuffle=True, seed=2), 31)
    after, _ = taken(lambda **state: Feeder(path, SIZE, epochs=None, shuffle=True, **state), 14, state=state)
    assert whole[31:] == after


def test_states_of_states_go_on(tmp_path):
    path = write(tmp_path, "rec")
    whole, _ = taken(lambda: Feeder(path, SIZE, epochs=3, shuffle=True, seed=2))
    found, state = taken(lambda: Feeder(path, SIZE, epochs=3, shuffle=True, seed=2), 3)
    for _ in range(9):
        more, state = taken(lambda **state: Feeder(path, SIZE, epochs=3, shuffle=True, **state), 3, state=state)
        found += more
    assert found == whole


def test_a_transform_is_told_the_same_positions(tmp_path):
    path = write(tmp_path, "npz")

    def mark(batch: rb.Batch) -> dict[str, object]:
        epoch, number = position.get()
        return {"id": batch["id"] * 10_000 + epoch * 100 + number}

    check(lambda **state: Feeder(path, SIZE, epochs=3, shuffle=True, seed=2, transform=mark, n_threads=2, **state))


def test_the_schema_of_a_transform_may_be_asked_for_behind_a_state(tmp_path):
    path = write(tmp_path, "npz")
    _, state = taken(lambda: Feeder(path, SIZE, epochs=2), 15)
    with Feeder(path, SIZE, epochs=2, state=state, transform=lambda batch: {"id": batch["id"]}) as feeder:
        assert list(feeder.schema) == ["id"]
        assert [len(batch) for batch in feeder] == [SIZE] * 4 + [ROWS % SIZE]


# ---- states of something else ----


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("batch_size", {"batch_size": SIZE + 1}),
        ("seed", {"seed": 8}),
        ("seed", {"shuffle": False}),
        ("shard", {"shard": (0, 2)}),
        ("drop_remainder", {"drop_remainder": True}),
    ],
)
def test_a_state_of_other_options_is_refused(tmp_path, name, options):
    path = write(tmp_path, "rec")
    usual = {"batch_size": SIZE, "shuffle": True, "seed": 7}
    _, state = taken(lambda: Feeder(path, epochs=3, **usual), 4)
    with pytest.raises(rb.FeedError, match=name):
        Feeder(path, **{**usual, **options}, state=state)


def test_a_state_of_another_source_is_refused(tmp_path):
    path = write(tmp_path, "rec")
    _, state = taken(lambda: Feeder(path, SIZE), 4)
    longer = write(tmp_path, "npz")
    with pytest.raises(rb.FeedError, match="source"):
        Feeder(longer, SIZE, state=state)


def test_files_in_another_order_are_another_source_and_in_another_folder_the_same(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        for name in ("a.rec", "b.rec"):
            image_rec(tmp_path / folder / name, 10)
    here, there = ([str(tmp_path / folder / name) for name in ("a.rec", "b.rec")] for folder in ("here", "there"))
    _, state = taken(lambda **_: Feeder(here, 4), 2)
    with pytest.raises(rb.FeedError, match="listing"):
        Feeder(here[::-1], 4, state=state)
    image_rec(tmp_path / "here" / "a.rec", 10, first_id=10)
    with pytest.raises(rb.FeedError, match="listing"):
        Feeder(here, 4, state=state)
    with Feeder(there, 4, state=state) as feeder:
        assert len(list(feeder)) == 3


@pytest.mark.parametrize(
    "state",
    [{}, {"epoch": 1}, {"epoch": -1}, {"batch": "3"}, {"batch": True}, {"epoch": None}, {"more": 1}],
    ids=str,
)
def test_what_is_no_state_is_refused(tmp_path, state):
    path = write(tmp_path, "rec")
    _, good = taken(lambda: Feeder(path, SIZE), 4)
    broken = {} if not state else {"epoch": 1} if state == {"epoch": 1} else {**good, **state}
    with pytest.raises(ValueError, match="state"):
        Feeder(path, SIZE, state=broken)


def test_a_state_behind_the_end_of_an_epoch_is_refused(tmp_path):
    path = write(tmp_path, "rec")
    _, state = taken(lambda: Feeder(path, SIZE), 4)
    with pytest.raises(rb.FeedError, match=f"batch {BATCHES + 1} of an epoch that has {BATCHES}"):
        Feeder(path, SIZE, state={**state, "batch": BATCHES + 1})


def test_the_state_of_a_closed_feeder_is_where_it_was_left(tmp_path):
    feeder = Feeder(write(tmp_path, "rec"), SIZE)
    next(feeder)
    feeder.close()
    assert (feeder.state()["epoch"], feeder.state()["batch"]) == (0, 1)


def test_numbers_of_numpy_make_a_state_of_json_too(tmp_path):
    with Feeder(write(tmp_path, "npz"), np.int64(SIZE), shuffle=True, seed=np.uint32(3)) as feeder:
        next(feeder)
        state = json.loads(json.dumps(feeder.state()))
    assert (state["batch_size"], state["seed"]) == (SIZE, 3)


def test_a_state_with_other_rows_left_out_is_refused(tmp_path):
    path = write(tmp_path, "rec")
    with Feeder(path, SIZE, on_bad_record="skip") as feeder:
        next(feeder)
        state = feeder.state()
    with pytest.raises(rb.FeedError, match="on_bad_record 'skip'"):
        Feeder(path, SIZE, state=state)
