"""Orders as JSON: the same as dataclasses would give, and the same Order again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, replace

import pytest

import recordio_bridge as rb
from recordio_bridge import Field, Schema
from recordio_bridge.migrate.bulk_plan import BulkPlan
from recordio_bridge.migrate.orders import Order, Shuffle, digests, distinct
from recordio_bridge.migrate.perform import job_of
from recordio_bridge.migrate.quarantine import Quarantined
from recordio_bridge.migrate.shared import read_shared
from recordio_bridge.migrate.spill import spilled
from recordio_bridge.migrate.state import State
from tests.migrate.trees import rec_tree

_CHANGES = (
    {},
    {"shuffle": Shuffle(7, 3, 9, (0, 5, 9))},
    {"holds": ("example", Schema(Field("id", "uint64"))), "select": (("a:int64", "id"),), "where": "image"},
    {"lacking": (Quarantined("x.rec", 3, 16, "cut", ("a.tfrecord",), 1),), "without": ("x.rec",)},
    {"decode": Schema(Field("image", "uint8", (2, 2))), "encode": (("image", "png"),)},
)


def by_asdict(order: Order) -> dict[str, object]:
    """What to_json gives, by the slow way."""
    holds = None if order.holds is None else [order.holds[0], order.holds[1].to_json()]
    plain = asdict(replace(order, schema=Schema(), holds=None, decode=Schema()))
    del plain["_digest"]
    return {**plain, "schema": order.schema.to_json(), "decode": order.decode.to_json(), "holds": holds}


@pytest.fixture
def planned(tmp_path) -> Order:
    rec_tree(tmp_path / "in", [3, 2])
    return rb.migrate.plan(tmp_path / "in", tmp_path / "out", to="tfrecord").orders[0]


@pytest.mark.parametrize("changes", _CHANGES)
def test_an_order_is_the_json_that_dataclasses_make_of_it(planned, changes):
    order = replace(planned, **changes)
    assert json.dumps(order.to_json()) == json.dumps(by_asdict(order))
    assert set(order.to_json()) == {each.name for each in fields(Order) if each.init}


@pytest.mark.parametrize("changes", _CHANGES)
def test_an_order_crosses_as_json_and_stays_the_same(planned, changes):
    order = replace(planned, **changes)
    again = Order.from_json(json.loads(json.dumps(order.to_json())))
    assert (again, again.digest) == (order, order.digest)


@pytest.mark.parametrize("changes", _CHANGES)
def test_the_digest_is_that_of_the_whole_json_with_its_keys_sorted(planned, changes):
    """Receipts of a migration that an earlier version began are named after it."""
    order = replace(planned, **changes)
    text = json.dumps(by_asdict(order), sort_keys=True)
    assert order.digest == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_digests_of_orders_together_are_those_of_each_alone(planned):
    less = replace(planned, extents=planned.extents[:1], sources=planned.sources[:1])
    orders = [replace(each, target=f"{n}.tfrecord") for n, each in enumerate([planned, planned, less, planned, less])]
    alone = [replace(order).digest for order in orders]
    assert digests(orders) == alone
    assert len(set(alone)) == 5


def test_the_jobs_of_a_permutation_do_not_carry_its_sources_and_share_them_when_they_are_read(tmp_path):
    rec_tree(tmp_path / "in", [2] * 50)
    plan = rb.migrate.plan(tmp_path / "in", tmp_path / "out", to="tfrecord", shuffle=True, seed=1, shards=5)
    state = State(tmp_path / "out", "out")
    state.write_plan(plan)
    with spilled(plan, state, can_unpack=False) as shared:
        lines = [json.dumps(job_of(plan, number, (0, 0), shared)) for number in range(5)]
        known = read_shared(shared.shared)
    assert max(map(len, lines)) < 3000
    assert not [line for line in lines if "part-00" in line]
    orders = [Order.from_json(json.loads(line)["order"], known.sources) for line in lines]
    assert orders == list(plan.orders)
    assert len(distinct(order.extents for order in orders)) == 1
    read = BulkPlan.from_lines(plan.to_lines(), "plan")
    assert (read.orders, read.counts) == (plan.orders, (2,) * 50)
    assert [len(distinct(getattr(order, name) for order in read.orders)) for name in ("extents", "sources")] == [1, 1]


def test_an_order_that_differs_has_another_digest_also_when_that_of_the_first_is_known(planned):
    known = planned.digest
    assert replace(planned, num_rows=planned.num_rows + 1).digest != known == planned.digest
