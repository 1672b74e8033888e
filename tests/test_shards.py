"""The names of shards and sidecars."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordio_bridge.shards import manifest_path, parse_shard, schema_path, shard_names


def test_without_a_count_the_output_has_exactly_the_name_given():
    assert shard_names("out/train.tfrecord", None) == ["out/train.tfrecord"]


def test_one_shard_is_numbered_too():
    assert shard_names("train.tfrecord", 1) == ["train-00000-of-00001.tfrecord"]


def test_shards_are_numbered_from_0_with_five_digits():
    assert shard_names("out/train.tfrecord", 3) == [
        "out/train-00000-of-00003.tfrecord",
        "out/train-00001-of-00003.tfrecord",
        "out/train-00002-of-00003.tfrecord",
    ]


def test_more_shards_have_more_digits():
    names = shard_names("a.rec", 123456)
    assert names[0] == "a-000000-of-123456.rec"
    assert names[-1] == "a-123455-of-123456.rec"
    assert shard_names("a.rec", 99999)[0] == "a-00000-of-99999.rec"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("train.tfrecord.gz", "train-00000-of-00002.tfrecord.gz"),
        ("train.tfrecord.zz", "train-00000-of-00002.tfrecord.zz"),
        ("a.b.rec", "a.b-00000-of-00002.rec"),
        ("a.b/c.rec", "a.b/c-00000-of-00002.rec"),
        ("train-v2.rec", "train-v2-00000-of-00002.rec"),
    ],
)
def test_the_number_stands_before_the_suffix(output, expected):
    assert shard_names(output, 2)[0] == expected


def test_a_shards_name_says_its_output_its_number_and_the_count():
    shard = parse_shard("out/train-00003-of-00064.tfrecord")
    assert shard is not None
    assert (shard.output, shard.index, shard.count) == ("out/train.tfrecord", 3, 64)


@pytest.mark.parametrize(
    "name", ["train.tfrecord", "train-3-of-64.tfrecord", "train-00003-64.tfrecord", "train-00003-of-.rec", "", "a/b"]
)
def test_other_names_are_no_shards(name):
    assert parse_shard(name) is None


def test_a_folder_that_looks_like_a_shard_does_not_make_its_files_shards():
    assert parse_shard("a-00000-of-00001.d/train.rec") is None


def test_the_names_of_tf_slim_and_tfds_are_shards_too():
    slim, tfds = parse_shard("train-00000-of-01024"), parse_shard("mydata-train.tfrecord-00001-of-00002")
    assert slim is not None
    assert (slim.index, slim.count) == (0, 1024)
    assert tfds is not None
    assert (tfds.output, tfds.index, tfds.count) == ("mydata-train.tfrecord", 1, 2)


def test_sidecars_are_named_after_the_output_as_given():
    assert schema_path("out/train.tfrecord") == "out/train.tfrecord.schema.json"
    assert manifest_path("out/train.tfrecord") == "out/train.tfrecord.manifest.json"


stems = st.text(st.characters(codec="utf-8", exclude_characters="/\0\n."), min_size=1, max_size=12)


@given(stem=stems, suffix=st.sampled_from([".rec", ".tfrecord", ".tfrecord.gz"]), count=st.integers(1, 300))
def test_every_shard_of_an_output_is_known_as_its_shard(stem, suffix, count):
    output = os.path.join("folder", stem + suffix)
    shards = [parse_shard(name) for name in shard_names(output, count)]
    assert [(shard.output, shard.index, shard.count) for shard in shards if shard] == [
        (output, index, count) for index in range(count)
    ]
