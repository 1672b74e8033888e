"""Rows in the order of a permutation: which order that is, in what memory, and under a name for later."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.errors import MigrationError, SourceChangedError
from recordio_bridge.formats.base import Request
from recordio_bridge.migrate import keysort, rowfile, shuffled
from recordio_bridge.migrate.local import run_orders
from recordio_bridge.migrate.orders import Order, Shuffle
from recordio_bridge.migrate.planning import make_plan
from recordio_bridge.migrate.shuffled import ShuffledRows
from recordio_bridge.migrate.wishes import Wishes
from recordio_bridge.sources import Source
from tests.samples import image_rec, read_examples

ROWS = 57
BOUNDS = (0, 40, 40, 52, ROWS)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Three files, one of them empty, with ids from 0 to 56."""
    return [
        image_rec(tmp_path / "a.rec", 20),
        image_rec(tmp_path / "b.rec", 0),
        image_rec(tmp_path / "c.rec", 37, first_id=20),
    ]


def orders_of(sources: list[Path], seed: int = 3, shards: int = 1, parts: tuple[int, ...] = ()) -> list[Order]:
    """Orders for shards of a shuffle; or, of a split that is not shuffled, for its parts."""
    wishes = Wishes(shuffle=True, seed=seed, shards=shards)
    plan = make_plan(Source.open(sources), str(sources[0].with_name("out.tfrecord")), wishes)
    if not parts:
        return list(plan.orders)
    return [
        replace(
            plan.orders[0],
            target=str(sources[0].with_name(f"part{first}-{stop}.tfrecord")),
            num_rows=stop - first,
            shuffle=Shuffle(seed, first, stop, parts),
        )
        for first, stop in pairwise(parts)
    ]


def permutation(seed: int = 3, rows: int = ROWS) -> list[int]:
    """As it was made when all of it was held in memory."""
    return np.argsort(np.random.PCG64(seed).random_raw(rows), kind="stable").tolist()


def rows_in(made: ShuffledRows) -> list[int]:
    return made.rows.read(0, len(made.rows))["row"].tolist()


@pytest.fixture(params=["in memory", "on disk"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether all rows fit in memory, or five together."""
    if request.param == "on disk":
        monkeypatch.setattr(keysort, "_COPIES", shuffled.LEAST_MEMORY // 32 // 5)
    return request.param


@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_the_order_is_that_of_the_sorted_keys_of_the_seed(sources: list[Path], memory: str, seed: int) -> None:
    with ShuffledRows.of(orders_of(sources, seed)[0], shuffled.LEAST_MEMORY) as made:
        assert rows_in(made) == permutation(seed)
        assert made.rows.contents.ends == (20, 20, 57)


@pytest.mark.parametrize("bounds", [BOUNDS, (0, ROWS), (0, 0, 1, ROWS)])
def test_the_rows_of_a_part_that_is_sorted_are_in_the_order_of_the_files(
    sources: list[Path], memory: str, bounds: tuple[int, ...]
) -> None:
    with ShuffledRows.of(orders_of(sources, parts=bounds)[0], shuffled.LEAST_MEMORY) as made:
        expected = [row for first, stop in pairwise(bounds) for row in sorted(permutation()[first:stop])]
        assert rows_in(made) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_of_a_split_are_written_with_the_same_rows_shuffled_or_not(
    sources: list[Path], memory: str, workers: int
) -> None:
    written = []
    for parts in ((), BOUNDS):
        orders = [
            replace(order, shuffle=replace(order.shuffle, sorted_parts=parts))
            for order in orders_of(sources, parts=BOUNDS)
            if order.shuffle is not None
        ]
        receipts = run_orders(orders, workers, lambda rows: None, memory=shuffled.LEAST_MEMORY)
        files = [Path(receipt.files[0].temporary) for receipt in receipts]
        written.append([[example["id"][0] for example in read_examples(file)] for file in files])
    assert written[0] == [permutation()[first:stop] for first, stop in pairwise(BOUNDS)]
    assert written[1] == [sorted(ids) for ids in written[0]]


def test_an_order_of_a_part_crosses_as_json() -> None:
    shuffle = Shuffle(3, 40, 52, BOUNDS)
    assert Shuffle.from_json(json.loads(json.dumps(asdict(shuffle)))) == shuffle
    assert Shuffle.from_json({"seed": 1, "first": 2, "stop": 3}) == Shuffle(1, 2, 3)


def test_parts_of_another_number_of_rows_than_there_are_is_an_error(sources: list[Path]) -> None:
    with pytest.raises(MigrationError, match=r"a\.rec: found 57 rows in all sources, planned were 58; run it again"):
        ShuffledRows.of(orders_of(sources, parts=(0, 40, 58))[0])
    order = replace(orders_of(sources)[0], shuffle=Shuffle(3, 50, 58))
    with (
        ShuffledRows.of(order) as made,
        pytest.raises(MigrationError, match="found 57 rows in all sources, planned were 58"),
    ):
        next(made.batches(order, Request(order.schema)))


def test_rows_that_are_read_together_are_no_more_than_memory_allows(tmp_path: Path) -> None:
    sizes = [300_000, 100, 700_000, 5_000_000, 1, 400_000] * 5
    rb.write(tmp_path / "a.rec", {"id": list(range(30)), "image": [bytes(size) for size in sizes]})
    (order,) = orders_of([tmp_path / "a.rec"])
    with ShuffledRows.of(order) as made:
        steps = [batch["id"].tolist() for batch, _ in made.batches(order, Request(order.schema), 1 << 24)]
    assert [number for numbers in steps for number in numbers] == permutation(3, 30)
    assert all(sum(sizes[number] for number in numbers) < 1 << 21 for numbers in steps if len(numbers) > 1)
    assert len(steps) < 30


def test_of_more_files_than_stay_open_more_rows_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffled, "MOST_FILES", 2)
    monkeypatch.setattr(shuffled, "_STEP", 1000)
    files = [image_rec(tmp_path / f"{number}.rec", 8, 8 * number) for number in range(9)]
    steps = []
    for some in (files[:3], files):
        (order,) = orders_of(some)
        with ShuffledRows.of(order) as made:
            batches = list(made.batches(order, Request(order.schema)))
        assert [row["id"] for batch, _ in batches for row in batch.rows()] == permutation(3, 8 * len(some))
        steps.append(max(len(batch) for batch, _ in batches))
    assert steps[1] > 3 * steps[0]


def test_rows_of_arrays_are_listed_and_written_whole_however_many(tmp_path: Path) -> None:
    rows = (1 << 16) + 3
    np.save(tmp_path / "a.npy", np.arange(rows))
    for options in ({"shuffle": True, "seed": 3}, {"shards": 3}, {"shuffle": True, "seed": 3, "shards": 2}):
        manifest = rb.convert(tmp_path / "a.npy", tmp_path / "b.npy", overwrite=True, **options)
        written = np.concatenate([np.load(path) for path in manifest.paths]).tolist()
        assert written == (permutation(3, rows) if "seed" in options else list(range(rows)))


# ---- under a name ----


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows whenever a source is looked through."""
    seen: list[str] = []
    look_through = shuffled._look_through

    def looking(*arguments: object) -> object:
        seen.append("looked")
        return look_through(*arguments)

    monkeypatch.setattr(shuffled, "_look_through", looking)
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def test_what_was_made_in_a_folder_is_used_again(
    sources: list[Path], folder: Path, memory: str, looks: list[str]
) -> None:
    first, second = orders_of(sources, shards=2)
    for order in (first, second, second):
        with ShuffledRows.of(order, shuffled.LEAST_MEMORY, str(folder)) as made:
            assert rows_in(made) == permutation()
            assert made.serves(first)
    with ShuffledRows.load(second, str(folder)) as loaded:
        batches = loaded.batches(second, Request(second.schema))
        assert [number for batch, _ in batches for number in batch["id"]] == permutation()[28:]
    assert len(looks) == 1
    (file,) = folder.iterdir()
    assert file.stat().st_size < ROWS * 24 + 1000


def test_rows_of_other_seeds_parts_and_sources_lie_side_by_side(
    sources: list[Path], folder: Path, looks: list[str]
) -> None:
    orders = [
        orders_of(sources)[0],
        orders_of(sources, seed=4)[0],
        orders_of(sources, parts=BOUNDS)[0],
        orders_of(sources[:1])[0],
        orders_of(sources[::-1])[0],
    ]
    for order in orders * 2:
        ShuffledRows.of(order, folder=str(folder)).close()
    assert len(looks) == len(list(folder.iterdir())) == len(orders)


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "flipped at its end", "flipped before its end", "longer"])
def test_a_file_that_is_damaged_is_refused_and_made_again(
    sources: list[Path], folder: Path, looks: list[str], how: str
) -> None:
    (order,) = orders_of(sources)
    ShuffledRows.of(order, folder=str(folder)).close()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    flipped = bytes([whole[100] ^ 1])
    damaged = {
        "cut": whole[:-1],
        "empty": b"",
        "flipped": whole[:100] + flipped + whole[101:],
        "flipped at its end": whole[:-1] + b"2",
        "flipped before its end": whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
        "longer": whole[:100] + b"x" + whole[100:],
    }[how]
    file.write_bytes(damaged)
    with pytest.raises(MigrationError, match=rf"{file.name}: .*, damaged; remove it, and it is made again"):
        ShuffledRows.load(order, str(folder))
    with ShuffledRows.of(order, folder=str(folder)) as made:
        assert rows_in(made) == permutation()
    assert file.read_bytes() == whole
    assert list(folder.iterdir()) == [file]
    assert len(looks) == 2


def test_a_source_that_changed_is_looked_through_again(sources: list[Path], folder: Path, looks: list[str]) -> None:
    (order,) = orders_of(sources)
    ShuffledRows.of(order, folder=str(folder)).close()
    image_rec(sources[0], 21)
    with pytest.raises(SourceChangedError, match=r"a\.rec: changed since its rows were found"):
        ShuffledRows.load(order, str(folder))
    with ShuffledRows.of(order, folder=str(folder)) as made:
        assert rows_in(made) == permutation(rows=58)
    assert len(looks) == 2


def test_rows_that_nobody_made_are_not_found(sources: list[Path], folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="rows-"):
        ShuffledRows.load(orders_of(sources)[0], str(folder))


def test_nothing_is_left_of_a_file_that_was_not_finished(
    sources: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(sort: keysort.KeySort) -> Iterator[np.ndarray]:
        yield np.zeros(5, dtype=rowfile.PLAIN)
        raise KeyboardInterrupt

    monkeypatch.setattr(keysort.KeySort, "sorted_rows", failing)
    for place in (str(folder), None):
        with pytest.raises(KeyboardInterrupt):
            ShuffledRows.of(orders_of(sources)[0], folder=place)
    assert os.listdir(folder) == []
