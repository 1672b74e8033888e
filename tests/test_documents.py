"""What lies beside outputs says what was written, or is an error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from tests.reference import crc32c

KEPT = ["out/b.tfrecord.schema.json", "out/b.tfrecord.manifest.json", "out/b.migration.json"]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a migration in out/, where it is."""
    monkeypatch.chdir(tmp_path)
    rb.write("a.npz", {"x": np.arange(3), "y": np.arange(6, dtype=np.float32).reshape(3, 2)})
    rb.migrate.run(["a.npz"], "out", to="tfrecord", shards=1, name="b")
    return tmp_path


def look() -> None:
    """Whatever reads one of them."""
    list(rb.read("out/b.tfrecord"))
    assert rb.verify("out").ok


@pytest.mark.parametrize("name", KEPT)
def test_each_has_the_checksum_of_all_else_that_it_says(kept, name):
    content = json.loads(Path(name).read_text())
    known = content.pop("crc32c")
    assert crc32c(json.dumps(content, separators=(",", ":")).encode()) == known


@pytest.mark.parametrize("name", KEPT)
def test_spaces_and_lines_mean_nothing(kept, name):
    Path(name).write_text(json.dumps(json.loads(Path(name).read_text())))
    if name.endswith("manifest.json"):  # of which the migration has a checksum of its own
        Path("out/b.migration.json").unlink()
    look()


def test_a_sidecar_that_lost_a_column_is_an_error_and_hides_nothing(kept):
    path = Path(KEPT[0])
    content = json.loads(path.read_text())
    del content["schema"][1]
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=re.escape(f"{path}: damaged or edited: its 'crc32c' is")):
        rb.inspect("out/b.tfrecord")
    del content["crc32c"]  # as the message says
    path.write_text(json.dumps(content))
    assert list(rb.inspect("out/b.tfrecord").schema) == ["x"]


@pytest.mark.parametrize("name", KEPT)
def test_no_digit_or_letter_of_it_changes_unnoticed(kept, name):
    path = Path(name)
    sound = path.read_bytes()
    ends = re.search(rb'"crc32c": \d+\n}\n$', sound)
    for at in range(ends.start() - 2):  # the last key names the checksum: under another name it is none
        if chr(sound[at]).isalnum():
            path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
            try:
                list(rb.read("out/b.tfrecord"))
                report = rb.verify("out")
            except FormatError:
                continue
            assert not report.ok, (at, sound[at - 20 : at + 20])


@pytest.mark.parametrize("name", KEPT)
def test_no_bit_of_the_name_of_the_checksum_turns_the_check_off(kept, name):
    path = Path(name)
    sound = path.read_bytes()
    first = sound.rindex(b'"crc32c"')
    for at in range(first, first + len('"crc32c":')):
        for bit in range(8):
            path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << bit]) + sound[at + 1 :])
            try:
                list(rb.read("out/b.tfrecord"))
                report = rb.verify("out")
            except FormatError:
                continue
            assert not report.ok, (at - first, bit)


@pytest.mark.parametrize("key", ["num_rows", "complete", "outputs"])
def test_the_end_of_a_migration_cannot_be_edited_unnoticed(kept, key):
    path = Path(KEPT[2])
    content = json.loads(path.read_text())
    content[key] = {"num_rows": 2, "complete": False, "outputs": []}[key]
    path.write_text(json.dumps(content))
    assert not rb.verify("out").ok
