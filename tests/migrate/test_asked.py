"""Arguments of rb.migrate that are of no type that they can be: each error names the argument, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from tests.migrate.trees import npz_tree, numbers_in


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sources", 5),
        ("sources", None),
        ("sources", b"src"),
        ("sources", ["src", 5]),
        ("sources", [["src"]]),
        ("sources", {"src": "src"}),
        ("out", 5),
        ("out", None),
        ("to", None),
        ("to", 4),
        ("name", 3),
        ("shard_bytes", "1MB"),
        ("shards", "3"),
        ("shards", 2.5),
        ("shards", True),
        ("mirror", "no"),
        ("split", 0.9),
        ("split", {"train": 0.9, "validation": 0.1}),
        ("shuffle", "no"),
        ("seed", "a"),
        ("memory", "1GiB"),
        ("scan", 1),
        ("select", 5),
        ("select", "x"),
        ("select", {"x": 3}),
        ("preset", 3),
        ("label_offset", "a"),
        ("class_names", 4),
        ("where", 3),
        ("verify", 3),
        ("on_bad_record", 1),
        ("allow_lossy", 3),
        ("allow_lossy", "label"),
        ("pack", "label=raw"),
        ("source_options", 3),
        ("target_options", "compression=GZIP"),
        ("decode", 3),
        ("encode", "x"),
        ("tfds", 4),
        ("tfmd", "no"),
        ("workers", "2"),
        ("on_event", 3),
        ("sources", ""),
        ("sources", ["src", ""]),
        ("out", ""),
    ],
)
def test_what_is_of_no_such_type_is_named(tmp_path, name, value):
    npz_tree(tmp_path / "src", [3])
    given = {"sources": tmp_path / "src", "out": tmp_path / "out", "to": "tfrecord", name: value}
    for function in (rb.migrate.plan, rb.migrate.run):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}\b"):
            function(given["sources"], given["out"], **{k: v for k, v in given.items() if k not in ("sources", "out")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "value"), [("overwrite", "no"), ("resume", "no"), ("planned", 3)])
def test_what_only_run_takes_is_named_too(tmp_path, name, value):
    npz_tree(tmp_path / "src", [3])
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord")
    with pytest.raises(TypeError, match=rf"^{name}\b"):
        rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", **{name: value})


def test_numbers_of_numpy_paths_and_none_are_taken(tmp_path):
    src = npz_tree(tmp_path / "src", [3, 4])
    nothing = dict.fromkeys(("name", "memory", "split", "where", "allow_lossy", "decode", "pack", "mirror", "verify"))
    sources = (Path(each) for each in sorted(src.iterdir()))
    outcome = rb.migrate.run(sources, tmp_path / "out", to="tfrecord", shards=np.int64(2), **nothing)
    assert len(outcome.manifests[0].shards) == 2
    assert numbers_in(outcome, "n") == list(range(7))
