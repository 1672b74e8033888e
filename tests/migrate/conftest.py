"""What tests of migrations that are broken off or disturbed begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.migrate.trees import ASKED, rec_tree
from tests.samples import contents


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return rec_tree(tmp_path / "src", [8, 9, 10, 3])


@pytest.fixture
def clean(tmp_path: Path, src: Path) -> dict[str, str]:
    """What an undisturbed run gives."""
    rb.migrate.run(src, tmp_path / "clean/out", **ASKED)
    return contents(tmp_path / "clean/out")
