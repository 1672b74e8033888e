"""recordio-bridge formats"""

from __future__ import annotations

from tests.cli.running import run


def test_every_format_is_listed_with_suffixes_and_options(capsys):
    outcome = run(capsys, "formats")
    assert (outcome.code, outcome.stderr) == (0, "")
    for word in ("rec", "tfrecord", ".rec", ".tfrecord", "payload", "compression", "GZIP", "raw"):
        assert word in outcome.stdout
    assert "Literal" not in outcome.stdout


def test_json_is_one_document_with_every_format(capsys):
    outcome = run(capsys, "formats", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    formats = {entry["name"]: entry for entry in outcome.json}
    assert {"recordio", "tfrecord"} <= set(formats)
    assert ".rec" in formats["recordio"]["suffixes"]
    assert "payload" in formats["recordio"]["options"]
    assert formats["tfrecord"]["options"]["compression"] == ["auto", "", "GZIP", "ZLIB"]
    assert formats["recordio"]["options"]["labels"] is None


def test_formats_takes_no_path(capsys):
    assert run(capsys, "formats", "a.rec").code == 2
