"""The fuzz targets without a fuzzer: on what they found before, and on some changes by chance, wherever tests run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.mutators import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, check

FINDINGS = sorted((Path(__file__).parent / "findings").iterdir())
TRIES = 150


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda path: path.name)
def test_what_broke_a_promise_once_keeps_it(tmp_path: Path, finding: Path) -> None:
    name, _ = finding.name.rsplit("_", 1)
    path = tmp_path / TARGETS[name][0]
    path.write_bytes(finding.read_bytes())
    check(name, str(path))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    return seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize(
    "name", sorted(TARGETS.keys() - {"hdf5", "h5-said"})
)  # which may end the process, as h5py does
def test_changed_files_are_read_or_are_errors(tmp_path: Path, corpus: dict[str, list[bytes]], name: str) -> None:
    chance = random.Random(name)
    path = tmp_path / TARGETS[name][0]

    def changed(data: bytes, most: int) -> bytes:
        """As a fuzzer does, without seeing what comes of it."""
        bytes_ = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 4))):
            at = chance.randrange(len(bytes_) + 1)
            match chance.randrange(4):
                case 0:
                    bytes_[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del bytes_[at : at + chance.choice((1, 4, 40))]
                case 2:
                    bytes_[at:at] = chance.choice((b"\0" * 4, b"\xff" * 8, bytes_[:30], b"9"))
                case _ if at < len(bytes_):
                    bytes_[at] ^= 1 << chance.randrange(8)
        return bytes(bytes_[:most])

    assert corpus[name]
    for data in corpus[name]:
        path.write_bytes(data)
        check(name, str(path))
    for _ in range(TRIES):
        path.write_bytes(mutated(name, chance.choice(corpus[name]), chance, changed))
        check(name, str(path))
