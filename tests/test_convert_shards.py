"""convert: shards, their order, the shuffle, and what lies beside them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import Field, Schema
from recordio_bridge.migrate.planning import make_plan
from recordio_bridge.migrate.shuffled import ShuffledRows
from recordio_bridge.migrate.wishes import Wishes
from recordio_bridge.sources import Source
from tests.reference import crc32c
from tests.samples import contents, frame_rec, image_payload, image_rec, read_examples, read_rec, read_tfrecord


def ids_of(paths: list[Path]) -> list[int]:
    return [example["id"][0] for path in paths for example in read_examples(path)]


def shards_of(output: Path, count: int) -> list[Path]:
    return [output.with_name(f"{output.stem}-{n:05d}-of-{count:05d}{output.suffix}") for n in range(count)]


def shuffled_ids(folder: Path, source: Path, name: str, **options: object) -> list[int]:
    rb.convert(source, folder / name, shuffle=True, **options)
    count = options.get("shards")
    return ids_of(shards_of(folder / name, count) if isinstance(count, int) else [folder / name])


# ---- shards ----


def test_without_shards_the_one_file_has_exactly_the_name_given(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    rb.convert(source, tmp_path / "b.tfrecord")
    names = {"a.rec", "a.idx", "b.tfrecord", "b.tfrecord.schema.json", "b.tfrecord.manifest.json"}
    assert set(os.listdir(tmp_path)) == names


def test_one_shard_is_numbered_too(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "out").mkdir()
    rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=1)
    names = {"b-00000-of-00001.tfrecord", "b.tfrecord.schema.json", "b.tfrecord.manifest.json"}
    assert set(os.listdir(tmp_path / "out")) == names


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10])
def test_shards_hold_all_rows_in_order_and_nearly_equal_parts(tmp_path, count):
    source = image_rec(tmp_path / "a.rec", 10)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", shards=count)
    shards = shards_of(tmp_path / "b.tfrecord", count)
    assert ids_of(shards) == list(range(10))
    sizes = [len(read_tfrecord(shard)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert [shard.num_rows for shard in manifest.shards] == sizes
    assert manifest.num_rows == 10


def test_more_shards_than_rows_gives_some_that_are_empty_and_all_that_were_asked_for(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    rb.convert(source, tmp_path / "b.tfrecord", shards=8)
    shards = shards_of(tmp_path / "b.tfrecord", 8)
    assert all(shard.exists() for shard in shards)
    assert sum(shard.stat().st_size == 0 for shard in shards) == 5
    assert ids_of(shards) == [0, 1, 2]
    assert rb.inspect(tmp_path / "b.tfrecord").num_rows == 3


def test_empty_shards_of_rec_and_gzip_are_legal_files(tmp_path):
    source = image_rec(tmp_path / "a.rec", 1)
    for name in ("b.rec", "b.tfrecord.gz"):
        rb.convert(source, tmp_path / name, shards=3)
        assert rb.inspect(tmp_path / name).num_rows == 1
        assert rb.verify(tmp_path / name).ok


@pytest.mark.parametrize("count", [1, 3, 5])
def test_shards_cut_through_several_sources(tmp_path, count):
    image_rec(tmp_path / "a.rec", 4)
    image_rec(tmp_path / "b.rec", 0)
    image_rec(tmp_path / "c.rec", 7, first_id=4)
    rb.convert([tmp_path / f"{name}.rec" for name in "abc"], tmp_path / "out.tfrecord", shards=count)
    assert ids_of(shards_of(tmp_path / "out.tfrecord", count)) == list(range(11))


def test_a_shard_set_is_resharded_by_its_base_name(tmp_path):
    source = image_rec(tmp_path / "a.rec", 10)
    rb.convert(source, tmp_path / "b.tfrecord", shards=4)
    rb.convert(tmp_path / "b.tfrecord", tmp_path / "c.tfrecord", shards=3)
    before = [payload for shard in shards_of(tmp_path / "b.tfrecord", 4) for payload in read_tfrecord(shard)]
    after = [payload for shard in shards_of(tmp_path / "c.tfrecord", 3) for payload in read_tfrecord(shard)]
    assert after == before
    assert rb.inspect(tmp_path / "c.tfrecord").schema == rb.inspect(source).schema


def test_every_shard_of_a_rec_has_its_own_index(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    rb.convert(source, tmp_path / "b.rec", shards=2)
    for shard in shards_of(tmp_path / "b.rec", 2):
        offsets = [int(line.split("\t")[1]) for line in shard.with_suffix(".idx").read_text().splitlines()]
        assert offsets[0] == 0
        assert len(offsets) == len(read_rec(shard))


# ---- shuffle ----


def test_a_shuffle_writes_every_row_exactly_once_and_not_in_order(tmp_path):
    source = image_rec(tmp_path / "a.rec", 100)
    order = shuffled_ids(tmp_path, source, "b.tfrecord", seed=1)
    assert sorted(order) == list(range(100))
    assert order != list(range(100))


def test_rows_stay_whole_when_they_are_shuffled(tmp_path):
    source = image_rec(tmp_path / "a.rec", 30)
    rb.convert(source, tmp_path / "plain.tfrecord")
    rb.convert(source, tmp_path / "b.tfrecord", shuffle=True, seed=3)
    plain, shuffled = read_tfrecord(tmp_path / "plain.tfrecord"), read_tfrecord(tmp_path / "b.tfrecord")
    assert sorted(shuffled) == sorted(plain)
    assert shuffled != plain


def test_the_order_depends_on_the_seed_alone_and_not_on_shards_or_workers(tmp_path):
    source = image_rec(tmp_path / "a.rec", 50)
    order = shuffled_ids(tmp_path, source, "one.tfrecord", seed=5)
    assert shuffled_ids(tmp_path, source, "again.tfrecord", seed=5) == order
    assert shuffled_ids(tmp_path, source, "single.tfrecord", seed=5, shards=1) == order
    assert shuffled_ids(tmp_path, source, "shards.tfrecord", seed=5, shards=7) == order
    assert shuffled_ids(tmp_path, source, "workers.tfrecord", seed=5, shards=4, workers=2) == order
    assert shuffled_ids(tmp_path, source, "other.tfrecord", seed=6) != order


def test_the_order_does_not_depend_on_how_the_rows_lie_in_files(tmp_path):
    whole = image_rec(tmp_path / "whole.rec", 20)
    image_rec(tmp_path / "a.rec", 13)
    image_rec(tmp_path / "b.rec", 7, first_id=13)
    order = shuffled_ids(tmp_path, whole, "one.tfrecord", seed=5)
    rb.convert([tmp_path / "a.rec", tmp_path / "b.rec"], tmp_path / "two.tfrecord", shuffle=True, seed=5)
    assert ids_of([tmp_path / "two.tfrecord"]) == order


def test_without_a_seed_a_shuffle_is_still_the_same_each_time(tmp_path):
    source = image_rec(tmp_path / "a.rec", 40)
    order = shuffled_ids(tmp_path, source, "b.tfrecord")
    assert shuffled_ids(tmp_path, source, "c.tfrecord") == order
    assert order != list(range(40))


def test_the_permutation_of_a_seed_never_changes_between_versions(tmp_path):
    source = image_rec(tmp_path / "a.rec", 8)
    assert shuffled_ids(tmp_path, source, "b.tfrecord", seed=0) == [3, 2, 1, 6, 0, 7, 4, 5]


SHUFFLED = (
    "f9d123b1618eeeff262cdf0bd817eb440e4497987d1bbfeab15f015dd49bf27e"  # as written when each shard looked for itself
)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_bytes_of_a_seed_never_change_between_versions(tmp_path, workers):
    sources = [image_rec(tmp_path / "a.rec", 50), image_rec(tmp_path / "b.rec", 30)]
    manifest = rb.convert(sources, tmp_path / "c.tfrecord", shuffle=True, seed=11, shards=4, workers=workers)
    written = b"".join(Path(path).read_bytes() for path in manifest.paths)
    assert hashlib.sha256(written).hexdigest() == SHUFFLED


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_shuffle_into_more_shards_than_rows_keeps_every_row(tmp_path, rows, workers):
    source = image_rec(tmp_path / "a.rec", rows)
    order = shuffled_ids(tmp_path, source, "b.tfrecord", seed=1, shards=9, workers=workers)
    assert sorted(order) == list(range(rows))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_shards_of_a_shuffle_share_one_look_through_the_source(tmp_path, monkeypatch, workers):
    source, looks = image_rec(tmp_path / "a.rec", 40), []
    of = ShuffledRows.of
    monkeypatch.setattr(ShuffledRows, "of", lambda order, memory: looks.append(order) or of(order, memory))
    rb.convert(source, tmp_path / "b.tfrecord", shuffle=True, shards=8, workers=workers)
    assert len(looks) == 1


def test_what_workers_of_a_shuffle_share_comes_back_as_it_was(tmp_path):
    frames = [frame_rec(image_payload(n)) for n in range(9)]
    (tmp_path / "a.rec").write_bytes(b"".join([*frames[:3], b"damage!!", *frames[3:]]))
    paths = [tmp_path / "a.rec", image_rec(tmp_path / "b.rec", 4)]
    source = Source.open(paths, None, "skip")
    plan = make_plan(source, str(tmp_path / "c.tfrecord"), Wishes(shards=2, shuffle=True, on_bad_record="skip"))
    with ShuffledRows.of(plan.orders[0]) as made:
        loaded = ShuffledRows.inherit(plan.orders[1], made.rows.fileno())
        assert loaded.serves(plan.orders[0])
        assert loaded.rows.contents == made.rows.contents
        assert loaded.rows.read(0, 13).tolist() == made.rows.read(0, 13).tolist()
        rows = np.sort(loaded.rows.read(0, 13), order="row")
    assert rows["record"].tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3]


def test_an_order_of_another_seed_or_source_is_not_served(tmp_path):
    a, b = image_rec(tmp_path / "a.rec", 9), image_rec(tmp_path / "b.rec", 9)
    wishes = Wishes(shuffle=True, seed=1)
    first, other_source, other_seed, none = (
        make_plan(Source.open(path), str(tmp_path / "c.tfrecord"), each).orders[0]
        for path, each in ((a, wishes), (b, wishes), (a, Wishes(shuffle=True, seed=2)), (a, Wishes()))
    )
    with ShuffledRows.of(first) as made:
        assert [made.serves(each) for each in (first, other_source, other_seed, none)] == [True, False, False, False]


def test_neighbours_are_torn_apart_over_the_whole_file_and_not_within_a_window(tmp_path):
    source = image_rec(tmp_path / "a.rec", 400)
    order = shuffled_ids(tmp_path, source, "b.tfrecord", seed=2, shards=4)
    firsts = [order[n * 100 : n * 100 + 100] for n in range(4)]
    for quarter in firsts:  # each shard holds rows of each quarter of the source
        assert {number // 100 for number in quarter} == {0, 1, 2, 3}


def test_keys_follow_their_rows_through_a_shuffle_from_rec_to_rec(tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.rec", shuffle=True, seed=1)
    payloads = read_rec(tmp_path / "b.rec")
    keys = [int(line.split("\t")[0]) for line in (tmp_path / "b.idx").read_text().splitlines()]
    assert [int.from_bytes(payload[8:16], "little") for payload in payloads] == keys
    assert sorted(payloads) == sorted(read_rec(source))
    assert keys != list(range(9))


def test_a_shuffle_over_many_blocks_keeps_every_row(tmp_path):
    rb.write(tmp_path / "a.rec", {"id": list(range(200)), "image": [bytes([n]) * 60_000 for n in range(200)]})
    rb.convert(tmp_path / "a.rec", tmp_path / "b.rec", shuffle=True, seed=1)
    before, after = read_rec(tmp_path / "a.rec"), read_rec(tmp_path / "b.rec")
    assert sorted(after) == before
    assert after != before


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 40), count=st.integers(1, 9), seed=st.one_of(st.none(), st.integers(0, 2**40)))
def test_any_rows_in_any_shards_are_all_there_once(tmp_path, rows, count, seed):
    source = image_rec(tmp_path / "a.rec", rows)
    shuffle = {} if seed is None else {"shuffle": True, "seed": seed}
    rb.convert(source, tmp_path / "b.tfrecord", shards=count, overwrite=True, verify="counts", **shuffle)
    order = ids_of(shards_of(tmp_path / "b.tfrecord", count))
    assert (sorted(order) if shuffle else order) == list(range(rows))


# ---- manifest and sidecars ----


def test_the_manifest_names_every_shard_with_rows_bytes_and_checksum(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    content = json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())
    shards = shards_of(tmp_path / "b.tfrecord", 2)
    assert [shard["name"] for shard in content["shards"]] == [shard.name for shard in shards]
    assert [shard["num_rows"] for shard in content["shards"]] == [2, 3]
    assert [shard["nbytes"] for shard in content["shards"]] == [shard.stat().st_size for shard in shards]
    assert [shard["crc32c"] for shard in content["shards"]] == [crc32c(shard.read_bytes()) for shard in shards]
    assert content["num_rows"] == manifest.num_rows == 5
    assert manifest.nbytes == sum(shard.stat().st_size for shard in shards)
    assert [Path(path) for path in manifest.paths] == shards


@pytest.mark.parametrize("level", ["content", "counts", "none"])
def test_the_manifest_states_the_level_of_verification(tmp_path, level):
    source = image_rec(tmp_path / "a.rec", 5)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", verify=level)
    assert manifest.verified == level
    assert json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())["verified"] == level


def test_the_manifest_names_the_sources_and_their_sizes(tmp_path):
    image_rec(tmp_path / "a.rec", 5)
    image_rec(tmp_path / "b.rec", 5)
    rb.convert([tmp_path / "a.rec", tmp_path / "b.rec"], tmp_path / "c.tfrecord")
    sources = json.loads((tmp_path / "c.tfrecord.manifest.json").read_text())["sources"]
    assert [source["path"] for source in sources] == [str(tmp_path / "a.rec"), str(tmp_path / "b.rec")]
    assert [source["nbytes"] for source in sources] == [os.path.getsize(tmp_path / name) for name in ("a.rec", "b.rec")]


def test_the_schema_sidecar_names_every_shard(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    rb.convert(source, tmp_path / "b.tfrecord", shards=2, select={"image/encoded": "image", "n:int16": "label[0]"})
    content = json.loads((tmp_path / "b.tfrecord.schema.json").read_text())
    assert content["files"] == [shard.name for shard in shards_of(tmp_path / "b.tfrecord", 2)]
    assert content["schema"] == Schema(Field("image/encoded", "bytes"), Field("n", "int16")).to_json()


def test_the_manifest_is_written_last(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 5)
    (tmp_path / "out").mkdir()
    seen = []
    link = os.link

    def watch(old: str, new: str) -> None:
        link(old, new)
        seen.append(os.path.basename(new))

    monkeypatch.setattr(os, "link", watch)
    rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=2)
    assert set(seen) == set(os.listdir(tmp_path / "out"))
    assert seen[-1] == "b.tfrecord.manifest.json"


def test_no_shard_has_its_name_before_all_are_written(tmp_path):
    source = image_rec(tmp_path / "a.rec", 40)
    (tmp_path / "out").mkdir()
    seen: list[str] = []

    def watch(rows: int, of: int) -> None:
        seen.extend(name for name in os.listdir(tmp_path / "out") if not name.startswith("."))

    rb.convert(source, tmp_path / "out" / "b.rec", shards=8, progress=watch)
    assert seen == []
    assert len(os.listdir(tmp_path / "out")) == 8 + 8 + 2


def test_the_same_input_gives_the_same_bytes_at_any_time(tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)
    results = []
    for mtime in (0, 10**18):
        os.utime(source, ns=(mtime, mtime))
        (tmp_path / "out").mkdir()
        rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=3, shuffle=True, seed=1)
        rb.convert(source, tmp_path / "out" / "c.rec", shards=3)
        rb.convert(source, tmp_path / "out" / "d.tfrecord.gz", select={"z": "image", "a:int32": "label[0]"})
        results.append(contents(tmp_path / "out"))
        (tmp_path / "out").rename(tmp_path / f"out{mtime}")
    assert results[0] == results[1]
    assert len(results[0]) == (3 + 2) + (3 + 3 + 2) + (1 + 2)


def test_progress_is_told_every_row_once_and_how_many_there_will_be(tmp_path):
    source = image_rec(tmp_path / "a.rec", 55)
    calls: list[tuple[int, int]] = []
    for shards, workers in ((None, 1), (4, 1), (4, 2)):
        calls.clear()
        rb.convert(
            source,
            tmp_path / "b.tfrecord",
            shards=shards,
            workers=workers,
            overwrite=True,
            progress=lambda rows, of: calls.append((rows, of)),
        )
        assert sum(rows for rows, _ in calls) == 55
        assert {of for _, of in calls} == {55}
