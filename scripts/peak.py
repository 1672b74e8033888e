"""How much memory a conversion takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# VmHWM, as ru_maxrss would also count what this process held when it started the other.
_PROGRAM = """
import sys
import recordio_bridge as rb
rb.convert(sys.argv[1], sys.argv[2], overwrite=True)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mib(source: Path, target: Path) -> float:
    """The most MiB of memory that a process of its own holds while it converts source to target."""
    command = [sys.executable, "-c", _PROGRAM, str(source), str(target)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
