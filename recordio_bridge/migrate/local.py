"""Running the Orders of a conversion on this machine: here, or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from ..copies import Keep
from ..files import Pending, discard
from ..formats import get_format
from ..temporary import discard_left_over, new_run_mark
from .orders import Order
from .pool import Json, run_jobs
from .shuffled import MEMORY, ShuffledRows, share_rows
from .work import OnSummary, Progress, Receipt, run_order

KIND = "order"
"""What pool.py's workers are asked to be for this."""


def run_orders(
    orders: Sequence[Order],
    workers: int,
    progress: Progress,
    on_summary: OnSummary | None = None,
    memory: int = MEMORY,
) -> list[Receipt]:
    """Run all orders and return their receipts in the same order. When one fails, none of the files stays.

    Args:
        memory: the bytes that a shuffle may take, in all processes together.

    Raises:
        what an order raised; MigrationError when a worker process dies.
    """
    done: dict[int, Receipt] = {}
    count = min(workers, len(orders))
    try:
        with ShuffledRows.of(orders[0], memory) if share_rows(orders) else nullcontext() as shuffled:
            if count == 1:
                for number, order in enumerate(orders):
                    done[number] = run_order(order, progress, on_summary, shuffled, memory)
            else:
                _run_in_workers(orders, count, progress, done, memory // count, shuffled)
    except BaseException:
        for receipt in done.values():
            discard(receipt.files)
        raise
    return [done[number] for number in range(len(orders))]


def _run_in_workers(
    orders: Sequence[Order],
    workers: int,
    progress: Progress,
    done: dict[int, Receipt],
    memory: int,
    shuffled: ShuffledRows | None,
) -> None:
    def take(number: int, answer: Json) -> None:
        done[number] = Receipt.from_json(answer)

    mark = new_run_mark()
    jobs = [{"name": order.target, "order": order.to_json()} for order in orders]
    try:
        run_jobs(
            jobs,
            workers,
            mark,
            on_progress=lambda number, answer: progress(answer["rows"]),
            on_done=take,
            kind=KIND,
            memory=memory,
            shared=None if shuffled is None else shuffled.rows.fileno(),
            if_one_dies="nothing was written: run it again, if need be with fewer workers",
        )
    finally:
        if len(done) < len(orders):  # a worker that was killed could not clear up
            discard_left_over(
                [file for order in orders for file in get_format(order.target_format).files_of(order.target)], mark
            )


class OrderWorker:
    """Runs orders, and keeps what they share. Nobody but who gave them will give their files names."""

    def __init__(self, memory: int, shared: int | None = None) -> None:
        self._written: list[Pending] = []
        self._memory, self._shared = memory, shared
        self._shuffled: ShuffledRows | None = None
        self._keep: Keep | None = None

    def obey(self, job: Json, progress: Callable[[Json], None]) -> Json:
        order = Order.from_json(job["order"])
        self._keep = Keep(extent.path for extent, _ in order.extents)  # the order before let go of others only
        if self._shared is not None and self._shuffled is None:
            self._shuffled = ShuffledRows.inherit(order, self._shared)
        receipt = run_order(order, lambda rows: progress({"rows": rows}), shuffled=self._shuffled, memory=self._memory)
        self._written += receipt.files
        return receipt.to_json()

    def leave(self) -> None:
        discard(self._written)
