"""Stands in for recordio_bridge.migrate.perform, in a module that Beam's workers can import."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path


def write_file(line: str) -> str:
    """Write the file that a line asks for under its final name at once, and remember the process that did it."""
    order = json.loads(line)
    target = Path(order["target"])
    with (target.parent / "workers").open("a") as workers:
        workers.write(f"{order['number']} {os.getpid()}\n")
    pending = target.with_name(f".{target.name}.{os.getpid()}")
    pending.write_bytes(content_of(order["number"]))
    pending.rename(target)
    return json.dumps({"number": order["number"]})


def content_of(number: int) -> bytes:
    return b"row %d\n" % number * 1000


def fail_at_two(line: str) -> str:
    """Find the disk full at order 2."""
    order = json.loads(line)
    if order["number"] == 2:
        raise OSError(errno.ENOSPC, "No space left on device", order["target"])
    return write_file(line)
