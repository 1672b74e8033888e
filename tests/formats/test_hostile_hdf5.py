"""HDF5 with flipped bits and cut short. What h5py cannot survive, we cannot either, so each flip is read elsewhere.

Files in the newest format, with checksums of their own (libver="latest", fletcher32), are either read as they were, or
are errors. Those in the oldest have none but what deflate has, so a flipped bit may be another value, as in a .rec. On
some of them HDF5 itself never comes back, or late: there, and only there, reading may hang. h5py has a fraction of our
time to show it, as the same work may take twice as long on a busy machine.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError, SchemaError
from tests.formats.flipped_hdf5 import ours

HOME = Path(rb.__file__).resolve().parents[1]
DIED = "died"


def newest(path: Path) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        sealed = {"chunks": (10,), "compression": "gzip", "fletcher32": True}
        file.create_dataset("number", data=np.arange(40, dtype="<i4"), **sealed)
        file.create_dataset("group/point", data=np.zeros(40, [("x", "<i2"), ("y", "S3")]), **sealed)
    return path


def oldest(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("number", data=np.arange(40, dtype="<i4"), chunks=(10,), compression="gzip")
        file.create_dataset("text", data=["ab"] * 40, dtype=h5py.string_dtype())
        file.create_dataset("ragged", (40,), h5py.vlen_dtype("<f4"))[0] = [1, 2]
        file.create_dataset("point", data=np.zeros(40, [("x", "<i2"), ("y", "S3")]))
    return path


def outcomes(path: Path, step: int, first: int = 0, reader: str = "ours") -> Iterator[tuple[int, str]]:
    """How reading went with each bit flipped, every step-th; DIED where the process had to be killed, or crashed."""
    bits = path.stat().st_size * 8
    while first < bits:
        command = [sys.executable, "-m", "tests.formats.flipped_hdf5"]
        numbers = [str(path), str(path.parent), str(first), str(step), reader]
        reading = None
        with subprocess.Popen([*command, *numbers], cwd=HOME, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                number, found = line.rstrip("\n").split(" ", 1)
                reading = int(number) if found == "begins" else None
                if reading is None:
                    yield int(number), found
        if reading is None:
            assert child.returncode == 0
            return
        yield reading, DIED
        first = reading + step


def test_a_flipped_bit_under_a_checksum_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    path = newest(tmp_path / "x.h5")
    found = [outcome for _, outcome in outcomes(path, 23)]
    assert {outcome.split()[0].strip("'") for outcome in found} == {"error", "rows"}
    assert len({outcome for outcome in found if outcome.startswith("'rows")}) == 1
    assert all(outcome.startswith(("'rows", "'error FormatError'")) for outcome in found)


@pytest.mark.one_lane
def test_any_flipped_bit_is_an_error_of_ours_or_rows_or_more_than_h5py_survives(tmp_path: Path) -> None:
    path = oldest(tmp_path / "x.h5")
    for number, outcome in outcomes(path, 97):
        if outcome == DIED:
            ((_, alone),) = outcomes(path, path.stat().st_size * 8, number, "h5py")
            assert alone == DIED, number
        else:
            assert outcome.startswith("'rows ") or outcome in ("'error FormatError'", "'error SchemaError'"), number


@pytest.mark.parametrize("make", [newest, oldest])
def test_a_cut_file_is_an_error(tmp_path: Path, make: object) -> None:
    path = make(tmp_path / "x.h5")
    data = path.read_bytes()
    for size in [*range(0, len(data), 19), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match=r"x\.h5"):
            ours(path)


@pytest.mark.parametrize("label", ["values", "offsets", "inner_offsets"])
def test_of_rows_of_variable_length_the_part_that_cannot_be_read_is_named(tmp_path, label):
    path = tmp_path / "a.h5"
    parts = {"values": np.arange(3), "inner_offsets": np.array([0, 1, 3]), "offsets": np.array([0, 1, 2])}
    with h5py.File(path, "w") as file:
        for name, part in parts.items():
            external = [(str(tmp_path / "other"), 0, 8 * len(part))] if name == label else None
            file.create_dataset(f"x/{name}", data=part, external=external)
    with pytest.raises(SchemaError, match=f"'x/{label}' keeps its values in another file"):
        rb.inspect(path)
