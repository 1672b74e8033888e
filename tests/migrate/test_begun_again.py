"""--overwrite, and a run that goes on, beside files of users that nothing says a migration has written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError
from tests.migrate.test_others_files import begun
from tests.migrate.trees import npz_tree, rec_tree
from tests.samples import contents


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return npz_tree(tmp_path / "src", [5, 6, 7])


@pytest.mark.parametrize("to", ["tfrecord", "rec"])
def test_a_file_where_one_was_not_written_as_yet_stays(tmp_path, src, caplog, to):
    out = tmp_path / "out"
    begun(src, out, 1, name="set", to=to, shards=3)
    mine = out / f"set-00002-of-00003.{to}"
    mine.write_bytes(b"precious")
    rb.migrate.run(src, out, name="set", to=to, shards=2, overwrite=True)
    assert mine.read_bytes() == b"precious"
    assert (
        f"{mine}: was of the migration that is begun again, and was replaced or changed since; it stays" in caplog.text
    )


@pytest.mark.parametrize("is_done", [False, True])
def test_the_index_of_a_file_that_stays_stays_with_it(tmp_path, is_done):
    out, src = tmp_path / "out", rec_tree(tmp_path / "src", [5, 6, 7])
    if is_done:
        rb.migrate.run(src, out, name="set", to="rec", shards=3)
    else:
        begun(src, out, 2, name="set", to="rec", shards=3)
    mine = [out / f"set-00001-of-00003.{suffix}" for suffix in ("rec", "idx")]
    for path in mine:
        path.write_bytes(b"precious")
    rb.migrate.run(src, out, name="set", to="rec", shards=2, overwrite=True)
    assert [path.read_bytes() for path in mine] == [b"precious"] * 2
    assert not list(out.glob("set-00000-of-00003.*"))


def test_the_first_rows_of_a_shard_that_another_wrote_stay_with_their_manifest(tmp_path, src):
    """They are the bytes with which ours begins, as of one that a power cut has cut."""
    out = tmp_path / "out"
    begun(src, out, 1, name="set", to="tfrecord", shards=3)
    shard = out / "set-00002-of-00003.tfrecord"
    rows = np.load(src / "part-0002.npz")
    np.savez(tmp_path / "first.npz", **{name: rows[name][:2] for name in rows})
    rb.convert(tmp_path / "first.npz", shard)
    before = contents(out)
    with pytest.raises(MigrationError, match=rf"{shard.name}: would be replaced, and it is not of this migration"):
        rb.migrate.run(src, out, name="set", to="tfrecord", shards=3, resume=True)
    assert {name: data for name, data in contents(out).items() if shard.name in name} == {
        name: data for name, data in before.items() if shard.name in name
    }


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_file_that_took_the_name_of_what_says_that_all_is_done_stays(tmp_path, src, how):
    out = tmp_path / "out"
    begun(src, out, 1, name="set", to="tfrecord", shards=3)
    (out / "set.migration.json").write_text("mine")
    before = contents(out)
    with pytest.raises(MigrationError, match=r"set\.migration\.json: is where a migration says that it is done"):
        rb.migrate.run(src, out, name="set", to="tfrecord", shards=3, **how)
    assert contents(out) == before
