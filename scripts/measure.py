"""What scripts/bench runs: our speed as ratios to what people use today, measured side by side.

Every line is a ratio of medians taken in one run, on files in memory-backed storage, the two sides in turn; those of q
are milliseconds for each file. Absolute numbers depend on the machine; they are printed to show what the ratio is
made of.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import measure_arrays
import measure_feeding
import measure_migration
import measure_records
from timing import Bench, Line

LINES: dict[str, Bench] = {
    **measure_records.LINES,
    **measure_arrays.LINES,
    **measure_feeding.LINES,
    **measure_migration.LINES,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="counted turns of each side")
    parser.add_argument("--only", default="".join(LINES), help="letters of the lines to run")
    parser.add_argument("--json", metavar="FILE", help="write the lines there, too")
    args = parser.parse_args()
    unknown = sorted(set(args.only) - set(LINES))
    if unknown:
        parser.error(f"--only: there is no line {', '.join(unknown)}; there are {''.join(LINES)}")
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    lines: list[Line] = []
    for letter, bench in LINES.items():
        if letter in args.only:
            with tempfile.TemporaryDirectory(prefix="recordio_bridge-bench-", dir=memory) as folder:
                lines += bench(Path(folder), args.runs)
    if args.json:
        Path(args.json).write_text(json.dumps(lines, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
