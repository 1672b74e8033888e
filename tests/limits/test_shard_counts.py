"""The number of shards that the name of a file claims, and other numbers that lists are made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import SchemaError, sidecar, tfds
from recordio_bridge.migrate import ledger
from recordio_bridge.migrate.wishes import MOST_SHARDS
from recordio_bridge.shards import parse_shard
from recordio_bridge.sidecar import ClassNames
from tests.limits.probing import INSPECT, READ, VERIFY, outcome
from tests.samples import image_rec


@pytest.mark.parametrize("code", [READ, INSPECT, VERIFY])
def test_a_set_that_claims_more_shards_than_there_are_lists_no_names(tmp_path: Path, code: str) -> None:
    image_rec(tmp_path / "x-00000000-of-99999999.rec", 2)
    printed = outcome(code, tmp_path / "x.rec", 1 << 28)
    assert printed.startswith(
        f"FormatError {tmp_path}/x-00000001-of-99999999.rec: is missing from its set of 99999999 "
    )


def test_numbers_of_more_digits_than_there_are_files_are_no_numbers_of_shards(tmp_path: Path) -> None:
    for digits in (19, 100):
        number = "9" * digits
        assert parse_shard(f"x-{number}-of-{number}.rec") is None
    assert parse_shard(f"x-{'0' * 18}-of-{'9' * 18}.rec") is not None
    assert parse_shard("x-٠٠٠٠٠-of-٠٠٠٠١.rec") is None  # digits to Python, which no tool writes


def test_whole_sets_are_found_as_before(tmp_path: Path) -> None:
    for number in range(12):
        image_rec(tmp_path / f"x-{number:05d}-of-00012.rec", 1)
    assert rb.inspect(tmp_path / "x.rec").num_rows == 12


def test_what_is_written_of_as_many_shards_as_may_be_asked_for_is_not_too_large_to_be_read(tmp_path: Path) -> None:
    count = 40
    (tmp_path / "src").mkdir()
    for number in range(count):
        image_rec(tmp_path / f"src/{number:06}.rec", 1, number)
    (manifest,) = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="rec", shards=count).manifests
    sidecar_path, manifest_path = manifest.files[-2:]
    for path, most in ((sidecar_path, sidecar._LARGEST), (manifest_path, ledger._LARGEST)):
        assert os.path.getsize(path) / count * MOST_SHARDS < most


def test_shards_are_not_asked_for_without_end(tmp_path: Path) -> None:
    source = image_rec(tmp_path / "x.rec", 2)
    for run in (rb.convert, lambda *args, **options: rb.migrate.run(*args, to="tfrecord", **options)):
        for count in (MOST_SHARDS + 1, 10**30):
            with pytest.raises(ValueError, match=f"shards={count}: expected at most {MOST_SHARDS}"):
                run(source, tmp_path / "y.tfrecord", shards=count)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.idx", "x.rec"]


@pytest.mark.parametrize("first", [tfds.MOST_BEFORE + 1, 10**40, 10**4000])
def test_names_of_classes_that_begin_nowhere_are_not_made_up(first: int) -> None:
    names = ClassNames("label", first, ("cat",))
    with pytest.raises(SchemaError, match=f"of which at most {tfds.MOST_BEFORE} are made up"):
        tfds.names_from_0(names)
    assert tfds.names_from_0(ClassNames("label", 2, ("cat",))) == ["0", "1", "cat"]
