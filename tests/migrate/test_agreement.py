"""Plans that were edited, with a checksum that was made to fit: what does not agree is refused, and nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.migrate.bulk_plan import BulkPlan
from recordio_bridge.migrate.parts import parts_of, path_of, with_parts
from recordio_bridge.migrate.quarantine import Quarantined
from tests.migrate.trees import TREES, npz_tree, rec_tree

Header = dict[str, Any]
Orders = list[dict[str, Any]]
Change = Callable[[Header, Orders], object]


def refused(plan: BulkPlan, change: Change, match: str = "") -> None:
    """A plan of which change made another one is refused, and itself is not."""
    header, *orders = map(json.loads, plan.to_lines().splitlines())
    change(header, orders)
    lines = "".join(json.dumps(line) + "\n" for line in (header, *orders)).encode()
    with pytest.raises(FormatError, match=rf"p\.jsonl: not a plan.*{match}.*--overwrite"):
        BulkPlan.from_lines(lines, "p.jsonl")
    BulkPlan.from_lines(plan.to_lines(), "p.jsonl")


def planned(src: Path, **asked: Any) -> BulkPlan:
    return rb.migrate.plan(src, src.parent / "out", **{"to": "tfrecord", **asked})


def extent(order: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = order["extents"][number][0]
    return found


def all_set(name: str, value: object) -> Change:
    """Changes a field of all orders."""
    return lambda header, orders: [order.update({name: value}) for order in orders]


# ---- rows ----


@pytest.fixture
def cut(tmp_path: Path) -> BulkPlan:
    """One source that three orders share."""
    plan = planned(rec_tree(tmp_path / "src", [60]), shards=3)
    assert [len(order.extents) for order in plan.orders] == [1, 1, 1]
    return plan


@pytest.mark.parametrize(
    "change",
    [
        lambda header, orders: extent(orders[1]).update(start=extent(orders[1])["start"] + 4),
        lambda header, orders: extent(orders[1]).update(start=extent(orders[1])["start"] - 4),
        lambda header, orders: extent(orders[0]).update(stop=extent(orders[0])["stop"] - 4),
        lambda header, orders: extent(orders[0]).update(start=4),
        lambda header, orders: extent(orders[2]).update(stop=1 << 20),
        lambda header, orders: orders[1].update(extents=orders[0]["extents"]),
        lambda header, orders: orders[1].update(extents=[], sources=[]),
        lambda header, orders: orders[1].update(extents=2 * orders[1]["extents"], sources=2 * orders[1]["sources"]),
        lambda header, orders: extent(orders[1]).update(stop=None),
    ],
)
def test_orders_that_leave_a_part_of_a_source_out_or_have_it_twice_are_refused(cut: BulkPlan, change: Change) -> None:
    refused(cut, change, r"part-0000\.rec")


def test_records_that_are_numbered_otherwise_are_refused(cut: BulkPlan) -> None:
    refused(cut, lambda header, orders: extent(orders[0]).update(first_record=7), "numbered")


@pytest.mark.parametrize("mirror", [False, True])
def test_orders_that_read_the_source_of_another_are_refused(tmp_path: Path, mirror: bool) -> None:
    """Those of orders 2 and 3 in the place of which stood those of 1 lost 19 rows without a word."""
    asked: dict[str, Any] = {"mirror": True} if mirror else {"shards": 3}
    plan = planned(rec_tree(tmp_path / "src", [8, 9, 10]), **asked)

    def change(header: Header, orders: Orders) -> None:
        for order in orders[1:]:
            order.update(extents=orders[0]["extents"], sources=orders[0]["sources"])

    refused(plan, change)


def test_sources_in_another_order_or_of_another_state_are_refused(tmp_path: Path) -> None:
    plan = planned(rec_tree(tmp_path / "src", [3, 4]))
    for name in ("extents", "sources"):
        refused(plan, lambda header, orders, name=name: orders[0][name].reverse())  # type: ignore[misc]
    refused(plan, lambda header, orders: orders[0]["sources"][0].update(nbytes=1), "another file")
    refused(plan, lambda header, orders: header["files"].pop())
    refused(plan, lambda header, orders: header["files"].reverse())
    refused(plan, lambda header, orders: header["found"].append({"path": "/x.rec", "relative": "x.rec"}))


def test_a_source_that_goes_into_quarantine_without_a_reason_to_be_there_takes_no_rows_of_others(
    tmp_path: Path,
) -> None:
    src = rec_tree(tmp_path / "src", [3, 4, 5])
    (src / "part-0001.rec").write_bytes(b"garbage garbage garbage!")
    plan = planned(src, shards=2)
    assert plan.quarantine
    lacks = next(number for number, order in enumerate(plan.orders) if order.lacking)
    refused(plan, lambda header, orders: orders[lacks].update(lacking=[]))
    refused(plan, lambda header, orders: orders[lacks]["lacking"][0].update(part=7), "place")


def test_a_source_that_is_read_to_its_end_lacks_nothing_behind_it(cut: BulkPlan) -> None:
    for number in (1, 2):
        order = cut.orders[number]
        bad = Quarantined(path_of(parts_of(order)[0]), None, None, "is bad", (os.path.basename(order.target),), 0)
        cut = cut.with_order(number, with_parts(order, [bad]))
    refused(cut, lambda header, orders: extent(orders[0]).update(stop=None), "read to its end, and said to lack")


def test_rows_of_arrays_of_which_the_last_are_left_out_are_refused(tmp_path: Path) -> None:
    plan = planned(TREES["h5"](tmp_path / "src", [50, 60]), shards=4, scan=True)
    refused(plan, lambda header, orders: extent(orders[-1], -1).update(stop=59), "109 rows of 110")


def test_orders_of_a_permutation_have_each_row_once(tmp_path: Path) -> None:
    src = npz_tree(tmp_path / "src", [20, 10])
    for asked in ({"shuffle": True, "seed": 3}, {"split": "a=0.5,b=0.5"}):
        plan = planned(src, shards=2, **asked)
        for change in (
            lambda header, orders: orders[1].update(shuffle=orders[0]["shuffle"]),
            lambda header, orders: orders[0]["shuffle"].update(first=1),
            lambda header, orders: orders[-1]["shuffle"].update(stop=29),
            lambda header, orders: orders[-1].update(num_rows=1),
            lambda header, orders: [order["shuffle"].update(seed=9) for order in orders],
            lambda header, orders: [order["shuffle"].update(sorted_parts=[0, 7, 30]) for order in orders],
            lambda header, orders: header["shared"]["extents"].pop(),
            lambda header, orders: header["shared"]["extents"][0][0].update(stop=5),
            lambda header, orders: header.update(counts=[20]),
            lambda header, orders: header.update(counts=[20, 9]),
            lambda header, orders: orders[0].update(without=[str(src / "part-0000.npz")]),
        ):
            refused(plan, change)


def test_orders_that_are_of_no_output_or_called_as_others_are_refused(tmp_path: Path) -> None:
    plan = planned(rec_tree(tmp_path / "src", [8, 9, 10]), shards=3)
    refused(plan, lambda header, orders: header["outputs"][0].update(stop=2))
    refused(plan, lambda header, orders: header["outputs"][0].update(first=1))
    refused(plan, lambda header, orders: orders[1].update(target=orders[0]["target"]))
    refused(plan, lambda header, orders: header["outputs"][0].update(path=header["outputs"][0]["path"] + ".x"))


# ---- what was asked ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verify", "none"),
        ("on_bad_record", "skip"),
        ("select", [["label", "label + 5"]]),
        ("where", "image"),
        ("allow_lossy", ["label"]),
        ("pack", [["label", "raw"]]),
        ("target_options", {"compression": "ZLIB"}),
        ("target_options", {"payload": "raw"}),
        ("target_format", "recordio"),
        ("encode", [["image", "png"]]),
        ("looks", True),
    ],
)
def test_orders_that_do_other_than_was_asked_are_refused(tmp_path: Path, name: str, value: object) -> None:
    plan = planned(rec_tree(tmp_path / "src", [8, 9, 10]), shards=3)
    refused(plan, all_set(name, value))
    refused(plan, lambda header, orders: orders[1].update({name: value}))


def test_fields_that_orders_do_not_write_are_missed(tmp_path: Path) -> None:
    plan = planned(rec_tree(tmp_path / "src", [8]))
    refused(plan, lambda header, orders: orders[0]["schema"].pop(), "expected")


@pytest.mark.parametrize("name", ["verify", "on_bad_record", "select"])
def test_wishes_of_an_output_that_are_not_those_of_the_migration_are_refused(tmp_path: Path, name: str) -> None:
    plan = planned(rec_tree(tmp_path / "src", [8]))
    value = {"verify": "counts", "on_bad_record": "skip", "select": ["id"]}[name]

    def change(header: Header, orders: Orders) -> None:
        header["outputs"][0]["wishes"][name] = value
        if name != "select":
            orders[0][name] = value

    refused(plan, change, name)


@pytest.mark.parametrize("option", ["labels", "index"])
def test_a_file_that_was_not_asked_for_is_not_read_with_a_source(tmp_path: Path, option: str) -> None:
    plan = planned(rec_tree(tmp_path / "src", [8]))
    refused(plan, lambda header, orders: orders[0]["extents"][0][1].update({option: "/some/other.lst"}), option)


def test_a_pipe_in_the_place_of_an_index_is_not_waited_for(tmp_path: Path) -> None:
    plan = planned(rec_tree(tmp_path / "src", [8]))
    os.mkfifo(tmp_path / "pipe")
    pipe = {"path": str(tmp_path / "pipe"), "nbytes": 4, "crc32c": 0, "mtime_ns": 0}
    refused(plan, lambda header, orders: orders[0].update(beside=[pipe]), "is of no source")


def test_a_list_of_labels_that_was_asked_for_is_read(tmp_path: Path) -> None:
    src = rec_tree(tmp_path / "src", [3])
    (tmp_path / "x.lst").write_text("".join(f"{n}\t{n + 5}\tx.jpg\n" for n in range(3)))
    plan = planned(src, source_options={"labels": str(tmp_path / "x.lst")})
    assert str(tmp_path / "x.lst") in {file.path for file in plan.orders[0].beside}
    refused(plan, lambda header, orders: orders[0]["extents"][0][1].update(labels=None), "labels")


OPTIONS: list[dict[str, Any]] = [
    {"shards": 7},
    {"mirror": True, "shards": 2},
    {"shuffle": True, "shards": 2},
    {"split": "a=0.3,b=0.7", "seed": 4},
    {"on_bad_record": "skip", "scan": True},
    {"tfds": "my:1.0.0", "split": "train=0.5,test=0.5"},
    {"to": "rec"},
    {"to": "npz", "shards": 2},
    {"preset": "imagenet", "label_offset": 3, "select": ["x=id"]},
    {"where": "image"},
    {"select": ["label:int64=label[0]"], "allow_lossy": ["label"]},
    {"allow_lossy": ["x"]},
    {"pack": {"x": "raw"}},
    {"target_options": {"compression": "GZIP"}, "source_options": {"payload": "raw"}},
]


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_was_planned_agrees_with_itself_whatever_was_asked(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    src = TREES[kind](tmp_path / "src", [5, 0, 90, 7])
    try:
        plan = planned(src, **options)
    except (rb.BridgeError, ValueError):
        return  # what this source has not
    read = BulkPlan.from_lines(plan.to_lines(), "p.jsonl")
    assert read.orders == plan.orders
    assert replace(read, migration=plan.migration, outputs=plan.outputs) == plan
