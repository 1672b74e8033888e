"""Arguments that several verbs share."""

from __future__ import annotations

import argparse

import pytest

from recordio_bridge.cli.options import parse_nbytes
from tests.cli.running import run
from tests.samples import image_rec


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("0", 0),
        ("65536", 65536),
        ("12B", 12),
        ("1GiB", 1 << 30),
        ("1 gib", 1 << 30),
        ("256MiB", 256 << 20),
        ("64MB", 64_000_000),
        ("64M", 64_000_000),
        ("1.5kB", 1500),
        ("0.5KiB", 512),
        ("2Ti", 2 << 40),
        ("1PB", 10**15),
    ],
)
def test_a_size_is_a_number_of_bytes(text: str, nbytes: int) -> None:
    assert parse_nbytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e9", "1XB", "1,5GB", "1.GiB", "1GiBs", "0x10", "\u0661", "nan"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no size; expected such as 1GiB"):
        parse_nbytes(text)


def test_a_part_of_a_byte_is_no_size() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number of bytes"):
        parse_nbytes("0.5")


def test_a_wrong_size_of_memory_is_a_usage_error_that_says_so(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--memory", "much")
    assert outcome.code == 2
    assert "--memory: 'much' is no size" in outcome.stderr
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--memory", "1MiB")
    assert outcome.code == 2
    assert "memory=1048576: expected at least 16777216 (16 MiB)" in outcome.stderr
    assert run(capsys, "convert", source, tmp_path / "b.tfrecord", "--shuffle", "--memory", "16MiB").code == 0
