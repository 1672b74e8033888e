"""What a worker process is asked to be: the one place that knows all kinds."""

from __future__ import annotations

from .pool import Worker, serve


def be_worker(kind: str, mark: str, memory: str, *shared: str) -> int:
    """Do the jobs of one kind until they end; see pool.py."""
    return serve(_worker(kind, int(memory), *map(int, shared)), mark)


def _worker(kind: str, memory: int, *shared: int) -> Worker:
    if kind == "order":
        from .local import OrderWorker

        return OrderWorker(memory, *shared)
    if kind == "perform":
        from .perform import PerformWorker

        return PerformWorker(memory)
    from .scout import ScoutWorker

    return ScoutWorker()
