"""What lies among the state of a migration and was put there by another: refused, or removed without more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recordio_bridge as rb
from recordio_bridge import MigrationError
from recordio_bridge.migrate import resuming
from recordio_bridge.migrate.bulk_plan import BulkPlan
from recordio_bridge.migrate.quarantine import Quarantined
from recordio_bridge.migrate.rowfile import Contents, open_named, write_named
from recordio_bridge.migrate.shared import put_shared, read_shared
from recordio_bridge.migrate.state import State
from tests.migrate.trees import rec_tree
from tests.samples import contents


def test_a_plan_that_repaired_sources_make_does_not_lead_out_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = rec_tree(tmp_path / "src", [3, 4])
    good = (src / "part-0001.rec").read_bytes()
    (src / "part-0001.rec").write_bytes(b"garbage garbage garbage!")
    asked: dict[str, Any] = {"to": "tfrecord", "shards": 2}
    assert not rb.migrate.run(src, tmp_path / "out", **asked).is_complete
    (src / "part-0001.rec").write_bytes(good)
    planned_of = resuming.planned_of

    def elsewhere(*arguments: Any) -> BulkPlan:
        plan = planned_of(*arguments)
        return plan.with_order(1, replace(plan.orders[1], target=str(tmp_path / "mine.tfrecord")))

    monkeypatch.setattr(resuming, "planned_of", elsewhere)
    before = contents(tmp_path)
    with pytest.raises(MigrationError, match=r"mine\.tfrecord': is not in"):
        rb.migrate.run(src, tmp_path / "out", resume=True, **asked)
    assert contents(tmp_path) == before


def test_what_orders_share_is_of_the_right_types(tmp_path: Path) -> None:
    plan = rb.migrate.plan(rec_tree(tmp_path / "src", [3]), tmp_path / "out", to="tfrecord", shuffle=True)
    bad = Quarantined("a.rec", None, None, "is bad", (), 0)
    path = Path(put_shared(plan.orders[0], {}, {0: bad}, str(tmp_path)))
    assert read_shared(str(path)).bad == {0: bad}
    content = json.loads(path.read_bytes())
    content["bad"][0][1]["path"] = 5
    refused = [content, json.loads(path.read_bytes())]
    refused[1]["sources"]["extents"][0][0]["start"] = "x"
    for number, each in enumerate(refused):
        other = tmp_path / f"other-{number}.json"
        other.write_text(json.dumps(each))
        with pytest.raises(MigrationError, match=r"other-\d\.json: damaged"):
            read_shared(str(other))


def test_a_link_among_what_is_kept_goes_and_the_folder_that_it_leads_to_stays(tmp_path: Path) -> None:
    state = State(str(tmp_path / "out"), "out")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.txt").write_bytes(b"mine")
    Path(state.folder).mkdir(parents=True)
    link = Path(state.folder, "unpacked")
    link.symlink_to(mine)
    state.clear_work()
    assert not link.is_symlink()
    assert (mine / "a.txt").read_bytes() == b"mine"


def test_a_file_of_fewer_than_no_rows_is_damaged(tmp_path: Path) -> None:
    """It was a ValueError out of len()."""
    path = str(tmp_path / "rows-x.order")
    with pytest.raises(MigrationError, match=r"rows-x\.order: has \d+ bytes, which is not what -1 rows take"):
        write_named(path, Contents("x", (), (-1,), is_numbered=False), [])
    with pytest.raises(MigrationError, match="-1 rows"):
        open_named(path)
