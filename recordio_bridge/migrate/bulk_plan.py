"""The plan of a migration: its outputs and their Orders, as JSON lines: a header, then one line an Order.

It is all that a later run needs to finish the work, so it is written before any Order is begun.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import BridgeError, FormatError
from ..formats import get_format
from ..formats.base import Skipped, Summary
from ..schema import Schema
from ..sources import Source, counted_anew
from ..tfds import DatasetName
from .agreement import check_agreement
from .claims import check_claims
from .fingerprints import SourceFile
from .gather import Found
from .migration import Migration
from .orders import Order, digests, distinct, sources_from_json
from .ours import States
from .planning import Plan
from .quarantine import Quarantined, quarantined_from_json, together
from .scout import summary_from_json, summary_to_json
from .wishes import Wishes

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Output:
    """One output: the orders first to stop of the plan, and what finishing it takes.

    wishes are those of the migration with the columns of their preset; expansion is how many bytes one byte of the
    sources becomes, by a sample; is_counted, whether the summary knows how many rows they have.
    """

    path: str
    source_format: str
    summary: Summary
    skipped: tuple[Skipped, ...]
    schema: Schema
    payload: str | None
    dataset: DatasetName | None
    wishes: Wishes
    first: int
    stop: int
    expansion: float
    is_counted: bool

    @classmethod
    def of(cls, plan: Plan, *, first: int, stop: int, expansion: float, is_counted: bool) -> Output:
        """The output of a conversion's plan."""
        known = (plan.summary, plan.skipped, plan.schema, plan.payload, plan.dataset, plan.wishes)
        return cls(plan.output, plan.source.format.name, *known, first, stop, expansion, is_counted)

    def as_conversion(self, orders: Sequence[Order]) -> Plan:
        """The plan of a conversion that has these orders."""
        format = get_format(self.source_format)
        extents = distinct(order.extents for order in orders)
        options = {extent.path: format.options(**opts) for each in extents for extent, opts in each}
        summary = replace(self.summary, notes=counted_anew(self.summary.notes, len(options)))  # one may be repaired
        return Plan(
            self.path,
            tuple(orders),
            Source(format, tuple(options), tuple(options.values()), self.wishes.on_bad_record),
            summary,
            self.skipped,
            self.schema,
            self.payload,
            self.dataset,
            self.wishes.tfmd,
            self.wishes,
        )

    def to_json(self) -> dict[str, object]:
        wishes = json.loads(json.dumps(asdict(self.wishes)))
        dataset = None if self.dataset is None else asdict(self.dataset)
        parts = {"summary": summary_to_json(self.summary), "skipped": [asdict(each) for each in self.skipped]}
        plain = {
            name: getattr(self, name) for name in ("path", "source_format", "payload", "first", "stop", "is_counted")
        }
        schema = self.schema.to_json()
        return {**plain, **parts, "schema": schema, "dataset": dataset, "wishes": wishes, "expansion": self.expansion}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Output:  # Any: what a JSON object holds
        known: dict[str, Any] = {  # Any: the fields are of several types
            "summary": summary_from_json(value["summary"]),
            "skipped": tuple(Skipped(**each) for each in value["skipped"]),
            "schema": Schema.from_json(value["schema"]),
            "dataset": value["dataset"] and DatasetName(**value["dataset"]),
            "wishes": Wishes(**value["wishes"]),
        }
        return cls(**{**value, **known})


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """What a migration will do.

    Attributes: migration, what was asked; found, the sources; files, what each of them was, None for one that could
    not be read; outputs; orders, of all outputs; lacking, sources that could not be read and so have no order;
        stale, files of what was here before, which go; replaceable, what was there before that may be replaced, or go,
        where it is still as it was (see ours.py); run, a mark of the run that began with it; counts, of a
        permutation: the rows of each source of its orders, () in plans of earlier versions.
    """

    migration: Migration
    found: tuple[Found, ...]
    files: tuple[SourceFile | None, ...]
    outputs: tuple[Output, ...]
    orders: tuple[Order, ...]
    lacking: tuple[Quarantined, ...] = ()
    stale: tuple[str, ...] = ()
    run: str = field(default_factory=lambda: secrets.token_hex(8), compare=False)
    counts: tuple[int, ...] = ()
    replaceable: States = field(default_factory=dict)

    @property
    def receipt_names(self) -> list[str]:
        """What the receipt of each order is called: those of a run that was begun again are not believed."""
        return [f"{digest}-{self.run}" for digest in digests(self.orders)]

    @property
    def nbytes(self) -> int:
        """Bytes of all sources that can be read."""
        return sum(file.nbytes for file in self.files if file is not None)

    @property
    def num_rows(self) -> int | None:
        """Rows of all sources, None where they were not counted."""
        if not all(output.is_counted for output in self.outputs):
            return None
        return sum(output.summary.num_rows for output in self._once)

    @property
    def _once(self) -> tuple[Output, ...]:
        """Outputs that are made of all sources together, each once: those of a split are all made of all of them."""
        return self.outputs[:1] if self.migration.is_permuted else self.outputs

    @property
    def quarantine(self) -> tuple[Quarantined, ...]:
        """What was found bad already."""
        return together([*self.lacking, *(each for order in self.orders for each in order.lacking)])

    @property
    def output_nbytes(self) -> int:
        """How many bytes the outputs will have, by a sample of each."""
        return int(sum(output.summary.nbytes * output.expansion for output in self._once))

    def orders_of(self, output: Output) -> tuple[Order, ...]:
        """Those that write an output."""
        return self.orders[output.first : output.stop]

    def with_order(self, number: int, order: Order) -> BulkPlan:
        """The plan with another order in the place of one."""
        return replace(self, orders=(*self.orders[:number], order, *self.orders[number + 1 :]))

    def to_lines(self) -> bytes:
        """The plan as it lies on disk."""
        header = {
            "recordio_bridge": _VERSION,
            "asked": self.migration.to_json(),
            "out": self.migration.out,
            "memory": self.migration.memory,
            "found": [asdict(each) for each in self.found],
            "files": [None if file is None else asdict(file) for file in self.files],
            "outputs": [output.to_json() for output in self.outputs],
            "lacking": [asdict(each) for each in self.lacking],
            "stale": list(self.stale),
            "run": self.run,
            "orders": len(self.orders),
            "shared": self._shared(),
            "counts": list(self.counts),
            "replaceable": dict(self.replaceable),
        }
        lines = [json.dumps(header), *(json.dumps(order.line_json()) for order in self.orders)]
        return "".join(line + "\n" for line in lines).encode()

    def _shared(self) -> dict[str, object] | None:
        """The sources of all orders of a permutation, which are kept once for all."""
        if self.orders[0].shuffle is None:
            return None
        return self.orders[0].sources_json()

    @classmethod
    def from_lines(cls, data: bytes, path: str) -> BulkPlan:
        """What to_lines gave; FormatError for anything else."""
        try:
            head, *lines = data.decode().splitlines()
            header = json.loads(head)
            if header["recordio_bridge"] != _VERSION or header["orders"] != len(lines):
                raise ValueError(f"version {header['recordio_bridge']!r}, {len(lines)} orders")
            plan = cls(
                Migration.from_json(header["asked"], header["out"], header["memory"]),
                tuple(Found(**each) for each in header["found"]),
                tuple(file and SourceFile(**file) for file in header["files"]),
                tuple(Output.from_json(each) for each in header["outputs"]),
                _orders(lines, header["shared"]),
                tuple(quarantined_from_json(each) for each in header["lacking"]),
                tuple(header["stale"]),
                header["run"],
                tuple(header.get("counts", ())),
                {path: (nbytes, time) for path, (nbytes, time) in header.get("replaceable", {}).items()},
            )
            _check(plan)
        except (AttributeError, BridgeError, LookupError, RecursionError, TypeError, ValueError, OverflowError) as err:
            raise FormatError(
                f"{path}: not a plan of recordio_bridge, version {_VERSION}, or damaged ({str(err)[:200]}); begin "
                "again with --overwrite",
                path=path,
            ) from err
        return plan


def _check(plan: BulkPlan) -> None:
    """TypeError, ValueError for a plan that cannot be: it lies where others can write."""
    check_claims(plan)
    for output in plan.outputs:
        if not 0 <= output.first < output.stop <= len(plan.orders):
            raise ValueError(f"{output.path}: orders {output.first} to {output.stop} of {len(plan.orders)}")
    if not plan.outputs:
        raise ValueError("no output")
    check_agreement(plan)


def _orders(lines: Sequence[str], shared: dict[str, Any] | None) -> tuple[Order, ...]:  # Any: what a JSON object holds
    """The orders of a plan; those of a permutation have their sources, which are many, in common."""
    parts = None if shared is None else sources_from_json(shared)
    return tuple(Order.from_json(json.loads(line), parts) for line in lines)
