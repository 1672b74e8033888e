"""A broken manifest is said with the key that is wrong, and not in words of Python."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import recordio_bridge as rb
from recordio_bridge.errors import FormatError
from recordio_bridge.migrate.conclude import read_finished
from recordio_bridge.migrate.ledger import read_manifest
from tests.samples import image_rec, rewrite

PYTHON = r"NoneType|attribute|indices|iterable|subscript|__init__|argument|<class|KeyError|TypeError|invalid literal"
BAD = [None, 5, -1.5, "x", [], [None], [5], [[]], {}, {"name": None}, [{}], [{"name": 5}], {"x": {}}, True]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifest")
    image_rec(folder / "a.rec", 3)
    rb.convert(folder / "a.rec", folder / "b.tfrecord")
    return folder / "b.tfrecord.manifest.json"


def said(path: Path, content: dict[str, Any]) -> str | None:
    """What reading this content says; None where it is taken."""
    other = path.with_name("c.tfrecord.manifest.json")
    rewrite(other, content)
    try:
        read_manifest(str(other))
    except FormatError as err:
        return str(err).replace(str(path.parent), "")
    return None


def test_any_value_of_any_key_is_told_with_the_key(path):
    sound = json.loads(path.read_text())
    told = 0
    for key in sound.keys() - {"recordio_bridge", "complete", "crc32c"}:
        for bad in BAD:
            message = said(path, {**sound, key: bad})
            if message is not None:
                assert key in message, (key, bad, message)
                assert not re.search(PYTHON, message), (key, bad, message)
                told += 1
    assert told > 100


@pytest.mark.parametrize("key", ["shards", "sources"])
def test_any_value_in_a_list_is_told_with_its_place(path, key):
    sound = json.loads(path.read_text())
    for name in sound[key][0]:
        for bad in BAD:
            message = said(path, {**sound, key: [{**sound[key][0], name: bad}]})
            if message is not None and "num_rows" not in message:
                assert f"{key}[0]: " in message, (key, name, bad, message)
                assert not re.search(PYTHON, message), (key, name, bad, message)


@pytest.mark.parametrize("key", ["format", "payload", "verified", "num_rows", "schema", "sources", "skipped", "notes"])
def test_a_key_that_is_missing_is_named(path, key):
    content = json.loads(path.read_text())
    del content[key]
    message = said(path, content)
    assert message is not None
    assert f"lacks {key}; restore it, or remove it" in message


def test_what_is_wrong_is_shown(path):
    sound = json.loads(path.read_text())
    assert "shards[0]: not as it was written, found null" in str(said(path, {**sound, "shards": [None]}))
    assert 'notes: expected a list, found "x"' in str(said(path, {**sound, "notes": "x"}))
    shard = {**sound["shards"][0], "name": "../x"}
    assert "shards[0]: a shard is a file beside the manifest, not '../x'" in str(
        said(path, {**sound, "shards": [shard]})
    )


@pytest.mark.parametrize("key", ["outputs", "quarantine", "asked", "complete"])
def test_the_report_of_a_migration_is_told_with_the_key_too(tmp_path, key):
    image_rec(tmp_path / "a.rec", 3)
    rb.migrate.run(tmp_path / "a.rec", tmp_path / "out", to="tfrecord")
    report = tmp_path / "out/out.migration.json"
    sound = json.loads(report.read_text())
    told = []
    for content in [*({**sound, key: bad} for bad in BAD), {name: sound[name] for name in sound if name != key}]:
        rewrite(report, content)
        try:
            read_finished(str(report))
        except FormatError as err:
            told.append(str(err).replace(str(tmp_path), ""))
    assert len(told) > 5
    told = [message for message in told if "version 1, writes" not in message]  # which it is not at all
    assert [message for message in told if key not in message or re.search(PYTHON, message)] == []
