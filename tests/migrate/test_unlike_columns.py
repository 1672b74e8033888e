"""Sources whose columns are of several types: each costs itself alone, and the advice leads to all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import SchemaError
from tests.cli.running import run
from tests.migrate.trees import numbers_in, rec_tree
from tests.samples import read_rec, write_rec

KINDS = ("int32", "int64", "int64")
CAST = {"x:int64": "x", "y": "y"}


def tree(folder: Path, kinds: tuple[str, ...] = KINDS) -> Path:
    """Files of five rows, whose x are of these dtypes."""
    folder.mkdir()
    for number, kind in enumerate(kinds):
        rows = np.arange(5 * number, 5 * number + 5)
        np.savez(folder / f"{number}.npz", x=rows.astype(kind), y=rows)
    return folder


@pytest.mark.parametrize("options", [{}, {"shards": 2}, {"scan": True}, {"shuffle": True, "seed": 1}])
@pytest.mark.parametrize("select", [CAST, {"x": "x"}, {"first": "x + 1", "y": "y"}])
def test_a_selected_column_that_is_unlike_costs_its_source_alone(tmp_path, options, select):
    src = tree(tmp_path / "src")
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord", select=select, **options)
    assert outcome.num_rows == 10
    ((path, reason),) = ((each.path, each.reason) for each in outcome.quarantine)
    assert path == str(src / "0.npz")
    assert reason == (
        f"field 'x' is int64 in {src}/1.npz, and int32 in {src}/0.npz; a select takes what is alike in all sources; "
        "leave it out, or cast it first, each source by itself (--mirror --select NAME:DTYPE=NAME), and migrate what "
        "that makes"
    )
    assert outcome.quarantine[0].needs_option


def test_the_advice_leads_to_all_rows(tmp_path, capsys):
    src = tree(tmp_path / "src")
    outcome = run(capsys, "migrate", src, tmp_path / "a", "--to", "tfrecord")
    assert outcome.code == 1
    assert "(--mirror --select NAME:DTYPE=NAME)" in outcome.stderr
    cast = run(capsys, "migrate", src, tmp_path / "b", "--to", "npz", "--mirror", "--select", "x:int64=x", "y=y")
    assert cast.code == 0
    assert run(capsys, "migrate", tmp_path / "b", tmp_path / "c", "--to", "tfrecord").code == 0
    assert [int(n) for batch in rb.read(tmp_path / "c") for n in batch["x"]] == list(range(15))
    left = run(capsys, "migrate", src, tmp_path / "d", "--to", "tfrecord", "--select", "y=y")
    assert left.code == 0
    assert rb.inspect(tmp_path / "d").num_rows == 15


def test_of_a_conversion_the_files_are_named(tmp_path):
    src = tree(tmp_path / "src")
    expected = r"'x' is int32 in .*/0\.npz, and int64 in .*/1\.npz; a select takes what is"
    with pytest.raises(SchemaError, match=expected) as caught:
        rb.convert(src, tmp_path / "x.tfrecord", select=CAST)
    assert caught.value.field == "x"
    np.savez(src / "3.npz", y=np.arange(3))
    with pytest.raises(SchemaError, match=r"'x' is int64 in .*/2\.npz, and missing in .*/3\.npz"):
        rb.convert([src / "2.npz", src / "3.npz"], tmp_path / "x.tfrecord", select=["x=x"])
    with pytest.raises(SchemaError, match=r"there is no field 'z'; there are x, y"):
        rb.convert(src, tmp_path / "x.tfrecord", select=["z=z"])


def test_a_cut_shard_whose_sidecar_is_not_believed_costs_itself_alone(tmp_path):
    """Whose ids are int64 then, and uint64 in the others."""
    rb.migrate.run(rec_tree(tmp_path / "src", [30]), tmp_path / "s", to="tfrecord", shards=3)
    ids = [[int(n) for batch in rb.read(path) for n in batch["id"]] for path in sorted((tmp_path / "s").glob("*-of-*"))]
    (bad,) = (tmp_path / "s").glob("*-00001-*")
    bad.write_bytes(bad.read_bytes()[:-9])
    options = {"select": ["id:uint64=id", "image=image"], "on_bad_record": "skip"}
    outcome = rb.migrate.run(tmp_path / "s", tmp_path / "a", to="tfrecord", **options)
    assert numbers_in(outcome, "id") == ids[0] + ids[2]
    assert [each.path for each in outcome.quarantine] == [str(bad)]
    assert rb.migrate.run(tmp_path / "s", tmp_path / "b", to="npz", mirror=True, **options).is_complete
    whole = rb.migrate.run(tmp_path / "b", tmp_path / "c", to="tfrecord")
    assert numbers_in(whole, "id") == ids[0] + ids[1][:-1] + ids[2]


def test_keys_that_only_some_indexes_have_are_not_dropped(tmp_path):
    """Of raw records, which have them nowhere else."""
    (tmp_path / "src").mkdir()
    payloads = [b"%d" % number for number in range(5)]
    keyed, bare = tmp_path / "src/a.rec", tmp_path / "src/b.rec"
    write_rec(keyed, payloads, range(10, 15))
    write_rec(bare, payloads)
    raw = {"source_options": {"payload": "raw"}}
    with pytest.raises(SchemaError, match=r"'key' is int64 in .*a\.rec, and missing in .*b\.rec"):
        rb.convert([keyed, bare], tmp_path / "x.rec", **raw)
    for scan in (False, True):
        outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="rec", scan=scan, overwrite=scan, **raw)
        assert [each.path for each in outcome.quarantine] == [str(bare)]
        assert "and missing in" in outcome.quarantine[0].reason
    index = (tmp_path / "out/out-00000-of-00001.idx").read_text()
    assert [line.split()[0] for line in index.splitlines()] == ["10", "11", "12", "13", "14"]
    whole = rb.migrate.run(tmp_path / "src", tmp_path / "all", to="rec", select=["record=record"], **raw)
    assert read_rec(Path(whole.manifests[0].paths[0])) == payloads * 2


def test_the_advice_names_no_argument_that_a_migration_has_not(tmp_path):
    (tmp_path / "src").mkdir()
    np.savez(tmp_path / "src/a.npz", x=np.arange(3), y=np.arange(4))
    np.savez(tmp_path / "src/b.npz", x=np.arange(3), y=np.arange(3).astype(object), allow_pickle=True)
    np.savez(tmp_path / "src/c.npz", x=np.arange(3), y=np.arange(3))
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord")
    reasons = {Path(each.path).name: each.reason for each in outcome.quarantine}
    assert set(reasons) == {"a.npz", "b.npz"}
    assert all("--select NAME=NAME" in reason and "fields=" not in reason for reason in reasons.values())
