"""The targets for atheris, which sees the branches that an input takes, and keeps what takes a new one."""

from __future__ import annotations

import logging
import os
import random
import tempfile

import atheris

with atheris.instrument_imports(include=["recordio_bridge"]):
    from tests.fuzz import targets

from tests.fuzz.mutators import mutated


def fuzz(name: str, arguments: list[str]) -> None:
    """Run one target until libFuzzer's arguments let it end, which ends the process."""
    logging.disable(logging.CRITICAL)
    path = os.path.join(tempfile.mkdtemp(), targets.TARGETS[name][0])

    def once(data: bytes) -> None:
        with open(path, "wb") as out:
            out.write(data)
        targets.check(name, path)

    def changed(data: bytes, size: int, seed: int) -> bytes:
        return mutated(name, data, random.Random(seed), atheris.Mutate)[:size]

    atheris.Setup([name, *arguments], once, custom_mutator=changed)
    atheris.Fuzz()
