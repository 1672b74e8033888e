"""Reads an HDF5 file with each of its bits flipped, and says how each went; to be run in a process of its own.

    python -m tests.formats.flipped_hdf5 FILE FOLDER FIRST STEP READER

HDF5 itself loops for ever, or for a second, or ends its process, on some damaged files, and nothing in that process can
help it. So the system ends this one when a file takes long; who runs it sees by its lines which one it was.
"""

from __future__ import annotations

import itertools
import pickle
import signal
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py

import recordio_bridge as rb

PATIENCE_S = {"ours": 4.0, "h5py": 0.5}  # of the processor, for a file; most take some milliseconds
MOST = 200  # batches; a flipped bit may make rows without end, which HDF5 fills in


def ours(path: Path) -> object:
    """The rows, up to some."""
    batches = itertools.islice(rb.read(path, batch_rows=2), MOST)
    return [
        {n: v if isinstance(v, (bytes, list)) else v.tobytes() for n, v in row.items()}
        for batch in batches
        for row in batch.rows()
    ]


def plain_h5py(path: Path) -> object:
    """What h5py gives of all datasets, some rows at a time."""
    values = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            values.append([item[at : at + 2] for at in range(0, min(len(item), 2 * MOST), 2)])

    with h5py.File(path) as file:
        file.visititems(visit)
    return values


READERS: dict[str, Callable[[Path], object]] = {"ours": ours, "h5py": plain_h5py}


def main(file: str, folder: str, first: str, step: str, reader: str) -> None:
    data = Path(file).read_bytes()
    for number in range(int(first), len(data) * 8, int(step)):
        damaged = bytearray(data)
        damaged[number // 8] ^= 1 << number % 8
        path = Path(folder) / "damaged.h5"
        path.write_bytes(damaged)
        print(f"{number} begins", flush=True)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S[reader])
        try:
            found = f"rows {zlib.crc32(pickle.dumps(READERS[reader](path)))}"
        except rb.BridgeError as err:
            found = f"error {type(err).__name__}{'' if str(path) in str(err) else ' without its file: ' + str(err)}"
        except Exception as err:
            found = f"foreign {type(err).__name__}: {err}"
        print(f"{number} {found!r}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
