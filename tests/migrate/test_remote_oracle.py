"""Migrations from S3 to S3 (moto): the files of local ones, whatever is cut, killed, damaged or refused on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.cli.running import PACKAGE_HOME, run
from tests.s3 import BUCKET, Witness, authenticate_after
from tests.samples import contents, image_payload, image_rec, write_rec
from tests.test_remote import left_in

SIZES = {"a": 30, "c": 41, "x/d": 25}
SRC, OUT = f"s3://{BUCKET}/src", f"s3://{BUCKET}/out"
KINDS = {
    "flat": {"to": "tfrecord", "shards": 3},
    "mirror": {"to": "rec", "mirror": True},
    "shuffle": {"to": "tfrecord", "shards": 3, "shuffle": True, "seed": 3},
}


pytestmark = pytest.mark.usefixtures("workshop")


@pytest.fixture
def here(tmp_path: Path, bucket: Witness) -> Path:
    """A tree of .rec with indexes, on this machine and in the bucket."""
    first = 0
    for name, rows in SIZES.items():
        path = tmp_path / f"here/src/{name}.rec"
        path.parent.mkdir(parents=True, exist_ok=True)
        image_rec(path, rows, first)
        first += rows
    put_tree(bucket, tmp_path / "here/src")
    return tmp_path / "here"


def put_tree(bucket: Witness, folder: Path, place: str = "src") -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(f"{place}/{path.relative_to(folder)}", path.read_bytes())


def found(bucket: Witness, place: str = "out") -> dict[str, bytes]:
    """All that is in a folder of the bucket."""
    return {name.removeprefix(f"{place}/"): bucket.get(name) for name in bucket.names(f"{place}/")}


def is_told_of_places(name: str) -> bool:
    """Whether a file names the sources, or says where they are."""
    return name.endswith((".manifest.json", ".migration.json"))


def assert_as_local(bucket: Witness, here: Path, **asked: object) -> None:
    """The files in the bucket are those of a migration on this machine."""
    rb.migrate.run(here / "src", here / "out", **asked)
    mine, theirs = {name: (here / "out" / name).read_bytes() for name in contents(here / "out")}, found(bucket)
    assert theirs.keys() == mine.keys()
    other = [name for name in mine if mine[name] != theirs[name] and not is_told_of_places(name)]
    assert other == []


@pytest.mark.parametrize(("kind", "workers"), [("flat", 2), ("mirror", 1), ("shuffle", 1)])
def test_what_is_migrated_on_s3_is_what_is_migrated_here(bucket, here, workshop, kind, workers):
    outcome = rb.migrate.run(SRC, OUT, workers=workers, **KINDS[kind])
    assert (outcome.is_complete, outcome.num_rows) == (True, 96)
    assert_as_local(bucket, here, **KINDS[kind])
    report = rb.migrate.verify(OUT)
    assert (report.ok, report.num_rows) == (True, 96)
    assert left_in(workshop) == []


def test_from_here_to_s3_and_back(bucket, here):
    rb.migrate.run(here / "src", OUT, to="tfrecord", mirror=True)
    rb.migrate.run(OUT, here / "back", to="rec", mirror=True, select=["id=id", "label=label", "image=image"])
    for name in SIZES:
        assert (here / f"back/{name}.rec").read_bytes() == (here / f"src/{name}.rec").read_bytes()


# ---- broken off ----

CHILD = """
import json, sys
import recordio_bridge as rb

def wait_for_death(event):
    if event.phase == "writing" and event.files == 1:
        print("one file", flush=True)
        sys.stdin.read()

sources, out, asked = json.loads(sys.argv[1])
rb.migrate.run(sources, out, on_event=wait_for_death, **asked)
"""


@pytest.mark.parametrize(("kind", "workers"), [("flat", 1), ("shuffle", 2)])
def test_a_run_that_was_killed_is_finished_with_the_same_bytes(bucket, here, kind, workers):
    spec = json.dumps([SRC, OUT, {**KINDS[kind], "workers": workers}])
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", CHILD, spec], text=True, env=settings, **pipes) as child:
        assert child.stdout.readline() == "one file\n"
        child.kill()
    begun = found(bucket)
    assert "out.unfinished/plan.jsonl" in begun
    assert not [name for name in begun if is_told_of_places(name)]
    with pytest.raises(FileExistsError, match=r"begun.*--resume"):
        rb.migrate.run(SRC, OUT, **KINDS[kind])
    outcome = rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind])
    assert outcome.is_complete
    assert_as_local(bucket, here, **KINDS[kind])
    assert bucket.under_way() == []


@pytest.mark.parametrize(("kind", "direction"), [("flat", "got"), ("shuffle", "got"), ("flat", "sent")])
def test_connections_that_are_cut_in_mid_transfer_change_nothing(wire, bucket, here, workshop, kind, direction):
    for name in "ef":  # large enough to be cut
        rows = [image_payload(1000 + n, 1.0, os.urandom(100_000)) for n in range(30)]
        bucket.put(f"src/{name}.rec", write_rec(here / f"src/{name}.rec", rows).read_bytes())
    wire.cut(4, 700_000, direction)
    outcome = rb.migrate.run(SRC, OUT, **KINDS[kind])
    assert wire.made == 4
    assert outcome.is_complete
    assert_as_local(bucket, here, **KINDS[kind])
    assert bucket.under_way() == []
    assert left_in(workshop) == []


# ---- refused ----


@pytest.mark.parametrize("sources", [SRC, f"{SRC}/a.rec", f"{SRC}/*.rec", "here"])
def test_wrong_credentials_are_an_error_at_once_that_leaves_nothing(server, bucket, here, workshop, sources):
    before = found(bucket, "src")
    authenticate_after(server, 0)
    try:
        with pytest.raises(PermissionError, match=r"access was refused .* check the credentials") as caught:
            rb.migrate.run(here / "src" if sources == "here" else sources, OUT, to="tfrecord")
    finally:
        authenticate_after(server, 1_000_000_000)
    assert str(caught.value.filename).startswith(f"s3://{BUCKET}/")
    assert found(bucket, "src") == before
    assert found(bucket) == {}
    assert left_in(workshop) == []


def test_credentials_that_expire_in_mid_run_end_it_and_it_goes_on_with_new_ones(server, bucket, here, workshop):
    def expire(event) -> None:
        if event.phase == "writing" and event.files == 1:
            authenticate_after(server, 0)

    try:
        with pytest.raises(PermissionError, match=r"access was refused .* check the credentials"):
            rb.migrate.run(SRC, OUT, on_event=expire, **KINDS["flat"])
    finally:
        authenticate_after(server, 1_000_000_000)
    assert not [name for name in found(bucket) if is_told_of_places(name)]
    outcome = rb.migrate.run(SRC, OUT, resume=True, **KINDS["flat"])
    assert outcome.is_complete
    assert_as_local(bucket, here, **KINDS["flat"])
    assert left_in(workshop) == []


def test_a_bucket_that_is_not_there_is_named(bucket, here):
    with pytest.raises(FileNotFoundError, match="s3://nowhere"):
        rb.migrate.run(SRC, "s3://nowhere/out", to="tfrecord")


# ---- damaged, and repaired ----


@pytest.mark.parametrize("kind", ["mirror", "shuffle"])
def test_a_damaged_source_is_quarantined_and_taken_in_when_it_is_repaired(bucket, here, workshop, kind):
    good = bucket.get("src/c.rec")
    bucket.put("src/c.rec", bytes(4) + good[4:])
    first = rb.migrate.run(SRC, OUT, **KINDS[kind])
    assert [each.path for each in first.quarantine] == [f"{SRC}/c.rec"]
    assert first.num_rows == 55
    (line,) = map(json.loads, bucket.get("out/out.quarantine.jsonl").splitlines())
    assert line["path"] == f"{SRC}/c.rec"
    report = rb.migrate.verify(OUT)
    assert report.ok
    assert f"{SRC}/c.rec" in " ".join(report.warnings)
    assert rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind]).quarantine == first.quarantine
    bucket.put("src/c.rec", good)
    assert rb.migrate.run(SRC, OUT, resume=True, **KINDS[kind]).is_complete
    assert_as_local(bucket, here, **KINDS[kind])
    assert left_in(workshop) == []


def test_a_source_that_was_replaced_since_stops_what_goes_on(server, bucket, here):
    def stop(event) -> None:
        if event.phase == "writing" and event.files == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run(SRC, OUT, on_event=stop, **KINDS["flat"])
    bucket.put("src/c.rec", bucket.get("src/a.rec"))
    with pytest.raises(rb.SourceChangedError, match=f"{SRC}/c.rec: is not the file that the plan was made for"):
        rb.migrate.run(SRC, OUT, resume=True, **KINDS["flat"])


def test_verify_finds_a_flipped_bit_and_a_missing_object(bucket, here, capsys):
    rb.migrate.run(SRC, OUT, **KINDS["flat"])
    name = max(
        (name for name in found(bucket) if not name.endswith(".json")), key=lambda name: len(found(bucket)[name])
    )
    damaged = bytearray(bucket.get(f"out/{name}"))
    damaged[len(damaged) // 2] ^= 16
    bucket.put(f"out/{name}", bytes(damaged))
    flipped = run(capsys, "verify", OUT, "--json")
    assert flipped.code == 3
    assert f"{OUT}/{name}" in flipped.stdout
    bucket.remove(f"out/{name}")
    missing = run(capsys, "verify", OUT, "--json")
    assert missing.code == 3
    assert f"{OUT}/{name}" in missing.stdout


# ---- the command ----


def test_overwrite_replaces_what_was_there_and_leaves_nothing_of_it(bucket, here, capsys):
    command = ("migrate", SRC, OUT, "--to", "tfrecord", "--workers", 1)
    first = run(capsys, *command, "--shards", 4)
    assert first.code == 0, first.stderr
    before = found(bucket)
    refused = run(capsys, *command, "--shards", 3)
    assert refused.code == 1
    assert "--overwrite" in refused.stderr
    assert found(bucket) == before
    assert run(capsys, *command, "--shards", 3, "--overwrite").code == 0
    assert_as_local(bucket, here, **KINDS["flat"])


@pytest.mark.parametrize("kind", ["flat", "shuffle"])
def test_a_plan_alone_writes_nothing(bucket, here, workshop, capsys, kind):
    plan = rb.migrate.plan(SRC, OUT, **KINDS[kind])
    assert plan.nbytes == sum(path.stat().st_size for path in (here / "src").rglob("*.rec"))
    shown = run(capsys, "migrate", SRC, OUT, "--to", "tfrecord", "--plan-only", "--json")
    assert shown.code == 0
    assert shown.json["source_nbytes"] == plan.nbytes
    assert found(bucket) == {}
    assert left_in(workshop) == []
    outcome = rb.migrate.run(SRC, OUT, planned=plan, **KINDS[kind])
    assert outcome.num_rows == 96
