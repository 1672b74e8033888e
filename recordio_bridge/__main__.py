"""python -m recordio_bridge, and recordio-bridge: the command line; and the worker processes of a conversion."""

import sys

from .interrupts import leave_at_once


def start() -> int:
    """Run the command that the process was started for, and return its exit code."""
    leave_at_once()
    from .cli import main  # which imports numpy

    return main()


if __name__ == "__main__":
    sys.exit(start())
