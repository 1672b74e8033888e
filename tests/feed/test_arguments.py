"""Arguments that are wrong: the error names them, says what was found, and what is expected."""

from __future__ import annotations

import json

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from tests.feed.deadline import within
from tests.feed.sources import ROWS, SIZE, arrays, ids, write
from tests.feed.test_feeder_sources import DataIter

WRONG = {  # of a Feeder, and of a CustomRunner (test_runner_arguments_oracle.py)
    "fields": ("id", TypeError, r"fields='id': expected a list of names, such as \['id'\]"),
    "fields-bytes": (b"id", TypeError, "fields=b'id': expected a list of names"),
    "fields-numbers": ([0, 1], TypeError, r"fields=\[0, 1\]: expected a list of names"),
    "fields-none": ([], ValueError, r"fields=\[\]: expected a list of names, of one or more"),
    "select": (
        3,
        TypeError,
        r"select=3: expected \{'name\[:dtype\]': 'expression'\}, or a list of texts '.*=expression'",
    ),
    "select-bytes": (b"a=id", TypeError, "select=b'a=id': expected"),
    "select-numbers": ([3], TypeError, r"select=\[3\]: expected"),
    "select-to-number": ({"a": 3}, TypeError, r"select=\{'a': 3\}: expected"),
    "select-from-number": ({3: "id"}, TypeError, r"select=\{3: 'id'\}: expected"),
    "shuffle": ("no", TypeError, "shuffle='no': expected True or False"),
    "shuffle-none": (None, TypeError, "shuffle=None: expected True or False"),
    "shuffle-number": (2, TypeError, "shuffle=2: expected True or False"),
    "drop_remainder": ("no", TypeError, "drop_remainder='no': expected True or False"),
    "drop_remainder-list": ([], TypeError, r"drop_remainder=\[\]: expected True or False"),
    "state": ('{"epoch": 0}', TypeError, r"state is text: expected the dict .*json\.loads\(state\) makes"),
    "state-list": ([1], TypeError, "state is an object of type list: expected the dict"),
    "shard": (3, TypeError, r"shard=3: expected \(index, count\)"),
    "shard-three": ((0, 2, 3), TypeError, r"shard=\(0, 2, 3\): expected \(index, count\)"),
    "shard-text": (("0", "2"), TypeError, r"shard=\('0', '2'\): expected \(index, count\)"),
    "shard-range": ((2, 2), ValueError, r"shard=\(2, 2\): expected \(index, count\) with index from 0 to count - 1"),
    "batch_size": ("8", TypeError, "batch_size='8': expected a whole number, 1 or more"),
    "batch_size-part": (2.5, TypeError, r"batch_size=2\.5: expected a whole number, 1 or more"),
    "batch_size-none": (0, ValueError, "batch_size=0: expected a whole number, 1 or more"),
    "seed": (1.5, TypeError, r"seed=1\.5: expected a whole number, 0 or more"),
    "seed-less": (-1, ValueError, "seed=-1: expected a whole number, 0 or more"),
    "epochs": (1.5, TypeError, r"epochs=1\.5: expected None, or a whole number, [01] or more"),
    "epochs-text": ("3", TypeError, "epochs='3': expected None, or a whole number, [01] or more"),
    "epochs-less": (-1, ValueError, "epochs=-1: expected None, or a whole number, [01] or more"),
    "capacity": ("8", TypeError, "capacity='8': expected a number of batches, 1 or more"),
    "capacity-none": (0, ValueError, "capacity=0: expected a number of batches, 1 or more"),
    "transform": ("gray", TypeError, "transform is text: expected a function"),
    "source_options": ("payload=raw", TypeError, r"source_options is text: expected a dict .*\{'payload': 'raw'\}"),
}


class Nearly:
    """A DataIter that lacks what says its columns."""

    def next(self) -> None: ...
    def reset(self) -> None: ...


SOURCES = {
    "array": (np.zeros(3), "ndarray is no source"),
    "arrays": ([np.zeros(3)], r"expected a path, or a list of paths; found an object of type ndarray"),
    "data_iter": ([DataIter(ROWS, 16)], "list of paths; found an object of type DataIter"),
    "callable": ([arrays()], "list of paths; found an object of type function"),
    "bytes": (b"a.rec", r"found an object of type bytes.*os\.fsdecode"),
    "listed-bytes": ([b"a.rec"], r"found an object of type bytes.*os\.fsdecode"),
    "number": ([3], "list of paths; found 3"),
    "nearly": (Nearly(), "Nearly is no source: .*mx.io.DataIter.*lacks provide_data, provide_label"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named(tmp_path, case):
    value, kind, message = WRONG[case]
    with pytest.raises(kind, match=f"^{message}"):
        Feeder(write(tmp_path, "rec"), **{case.split("-")[0]: value})


@pytest.mark.parametrize(("value", "kind"), [("2", TypeError), (1.5, TypeError), (0, ValueError), (True, TypeError)])
def test_a_wrong_number_of_threads_is_named(tmp_path, value, kind):
    with pytest.raises(kind, match=f"^n_threads={value!r}: expected a whole number, 1 or more"):
        Feeder(write(tmp_path, "rec"), n_threads=value)


@pytest.mark.parametrize("case", SOURCES)
def test_what_is_no_source_is_told(case):
    source, message = SOURCES[case]
    with pytest.raises(TypeError, match=message):
        Feeder(source)


def test_numbers_may_be_those_of_numpy_and_a_shard_a_list(tmp_path):
    path, n = write(tmp_path, "rec"), np.int64
    options = {"seed": n(1), "shuffle": True, "shard": [n(0), n(2)], "capacity": n(2), "n_threads": n(2)}
    with Feeder(path, n(SIZE), epochs=n(1), **options) as feeder:
        found = within(60, lambda: [row for batch in feeder for row in ids(batch)])
        assert json.loads(json.dumps(feeder.state()))["shard"] == [0, 2]
    assert len(found) == len(set(found)) == (ROWS + 1) // 2


def test_flags_may_be_those_of_numpy(tmp_path):
    path = write(tmp_path, "npz")
    with Feeder(path, SIZE, shuffle=np.True_, drop_remainder=np.True_, seed=1) as feeder:
        found = within(60, lambda: [ids(batch) for batch in feeder])
        assert json.loads(json.dumps(feeder.state()))["drop_remainder"] is True
    with Feeder(path, SIZE, shuffle=True, drop_remainder=True, seed=1) as feeder:
        assert found == [ids(batch) for batch in feeder]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_select_may_be_a_text_or_an_iterator_of_texts(tmp_path, shuffle):
    path = write(tmp_path, "rec")
    for select in ("a=id", iter(["a=id"])):
        with Feeder(path, SIZE, select=select, shuffle=shuffle) as feeder:
            assert list(feeder.schema) == ["a"]


def test_no_epochs_are_no_batches(tmp_path):
    with Feeder(write(tmp_path, "rec"), epochs=0) as feeder:
        assert within(30, lambda: list(feeder)) == []


@pytest.mark.parametrize("nothing", [{}, rb.Batch({})])
def test_a_transform_that_gives_no_columns_is_told(tmp_path, nothing):
    feeder = Feeder(write(tmp_path, "npz"), SIZE, transform=lambda batch: nothing)
    with feeder, pytest.raises(rb.FeedError, match="the transform gave no columns; expected a Batch, or a dict"):
        within(30, lambda: list(feeder))


@pytest.mark.parametrize("nothing", [{}, (), rb.Batch({})])
def test_an_iterator_that_gives_no_columns_is_told(nothing):
    with pytest.raises(rb.SchemaError, match="item 0 of the iterator has no columns; expected"):
        Feeder(lambda: iter([nothing]))
