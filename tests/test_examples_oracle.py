"""The programs of examples/ run as they are, in processes of their own, and what they train learns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.feed.forked import run_file

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = {  # and arguments with which they are done soon
    "step1_feed_dict.py": ["60"],
    "step2_tfrecord.py": ["60"],
    "step3_custom_runner.py": ["60"],
    "step4_whole_batches.py": ["60"],
    "step5_shuffle_batch.py": ["60"],
    "eager_loop.py": ["3"],
    "keras_images.py": ["--epochs", "6"],
    "tensorflow_augments.py": ["--epochs", "6"],
    "resume.py": ["20"],
}
PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "photos.rec"
OTHERS = {"make_shapes.py", "toy_digits.py"}


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints."""
    done = run_file(EXAMPLES / name, folder, *(arguments or PROGRAMS[name]))
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_runs_and_its_loss_falls(name, tmp_path):
    printed = run_example(name, tmp_path)
    losses = [float(loss) for loss in re.findall(r"\bloss:? ([\d.]+)", printed)]
    assert len(losses) >= 2
    assert losses[-1] < 0.9 * losses[0]
    if name == "resume.py":
        assert "goes on with batch 20 of epoch 0" in printed
        assert "the first epoch: 4000 rows, 4000 different ones" in printed


def test_photographs_are_trained_on_as_the_shapes_are(tmp_path):
    if not PHOTOS.exists():
        pytest.skip(f"{PHOTOS} is not in this checkout")
    printed = run_example("keras_images.py", tmp_path, str(PHOTOS), "--epochs", "8", "--size", "96")
    losses = [float(loss) for loss in re.findall(r" loss: ([\d.]+)", printed)]
    assert len(losses) == 8
    assert losses[-1] < 0.9 * losses[0]


def test_each_example_is_run_here_and_has_its_line_in_the_readme():
    readme = (EXAMPLES / "README.md").read_text()
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PROGRAMS) | OTHERS
    assert [name for name in PROGRAMS if f"| `{name}` |" not in readme] == []
    assert [name for name in OTHERS if f"`{name}`" not in readme] == []
