"""A source that was cut where no record begins: what lies behind is in quarantine, and never a row."""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.migrate.conclude import Outcome
from recordio_bridge.migrate.engines import Event
from tests.cli.running import run
from tests.formats.frames import part, rec, rec_parts
from tests.migrate.trees import numbers_in, report_of, rows_of
from tests.samples import contents, image_rec

OUTER = [b"outer %d " % n + b"." * 4000 for n in range(60)]
INNER = [b"inner %d" % n for n in range(5000)]
ASKED = {"to": "tfrecord", "source_options": {"payload": "raw"}, "shard_bytes": 20_000}


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """a.rec and c.rec are sound. Record 30 of b.rec is a whole .rec, which its writer did not cut at the magics."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.rec").write_bytes(rec(*OUTER))
    (folder / "b.rec").write_bytes(b"".join(part(0, each) for each in [*OUTER[:30], rec(*INNER), *OUTER[30:]]))
    (folder / "c.rec").write_bytes(rec(*OUTER))
    return folder


def records(outcome: Outcome) -> list[bytes]:
    paths = [path for manifest in outcome.manifests for path in manifest.paths]
    return [row["record"][0] for path in paths for row in rows_of(path, "record")]


def check_left_out(outcome: Outcome) -> None:
    """That all rows are there but those of b.rec from some record before the misleading one on."""
    found = records(outcome)
    of_b = found[len(OUTER) : -len(OUTER)]
    assert found == OUTER + OUTER[: len(of_b)] + OUTER
    assert 20 < len(of_b) <= 30
    (bad,) = outcome.quarantine
    assert (bad.path.rpartition("/")[2], bad.record) == ("b.rec", 30)
    assert "records lie in its payload as they are" in bad.reason
    assert not outcome.is_complete


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("on_bad_record", ["raise", "skip"])
def test_records_in_a_payload_are_no_rows(src: Path, tmp_path: Path, on_bad_record: str, workers: int) -> None:
    outcome = rb.migrate.run(src, tmp_path / "out", workers=workers, on_bad_record=on_bad_record, **ASKED)
    check_left_out(outcome)
    (line,) = report_of(tmp_path / "out")
    lacking = [shard.name for shard in outcome.manifests[0].shards if shard.name in line["shards"]]
    assert len(lacking) == len(line["shards"]) > 5
    report = rb.migrate.verify(tmp_path / "out")
    assert report.ok
    assert report.num_rows == outcome.num_rows


def test_a_mirror_is_as_strict(src: Path, tmp_path: Path) -> None:
    check_left_out(rb.migrate.run(src, tmp_path / "out", mirror=True, **ASKED))


def test_in_one_piece_the_record_is_whole(src: Path, tmp_path: Path) -> None:
    asked = {**ASKED, "shard_bytes": None}
    outcome = rb.migrate.run(src / "b.rec", tmp_path / "out", shards=1, **asked)
    assert outcome.is_complete
    assert records(outcome) == [*OUTER[:30], rec(*INNER), *OUTER[30:]]


@pytest.mark.parametrize("at", range(1, 60, 4))
def test_who_is_interrupted_and_goes_on_has_the_same(src: Path, tmp_path: Path, at: int) -> None:
    expected = rb.migrate.run(src, tmp_path / "whole" / "out", **ASKED)
    left = at

    def interrupt(event: Event) -> None:
        nonlocal left
        left -= event.phase == "writing"
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run(src, tmp_path / "out", on_event=interrupt, **ASKED)
    outcome = rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert outcome.quarantine == expected.quarantine
    done = [contents(folder) for folder in (tmp_path / "out", tmp_path / "whole" / "out")]
    names = [{name for name in each if ".unfinished" not in name} for each in done]
    assert names[0] == names[1]
    assert all(done[0][name] == done[1][name] for name in names[0])


def test_what_is_in_quarantine_is_tried_again_and_can_be_mended(src: Path, tmp_path: Path) -> None:
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    check_left_out(rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED))
    (src / "b.rec").write_bytes(rec(*OUTER[:30], b"now a plain one", *OUTER[30:]))
    outcome = rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert outcome.is_complete
    assert records(outcome) == [*OUTER, *OUTER[:30], b"now a plain one", *OUTER[30:], *OUTER]


@pytest.mark.one_lane
def test_a_length_that_leads_to_no_head_costs_its_own_part(tmp_path: Path) -> None:
    """Damage, and so the records behind it are what they seem to be."""
    image_rec(tmp_path / "a.rec", 30_000)
    damaged = bytearray((tmp_path / "a.rec").read_bytes())
    head = [found.start for found in rec_parts(bytes(damaged))][20_000]
    damaged[head + 4 : head + 8] = (200_002).to_bytes(4, "little")
    (tmp_path / "a.rec").write_bytes(damaged)
    (tmp_path / "a.idx").unlink()
    outcome = rb.migrate.run(tmp_path / "a.rec", tmp_path / "out", to="tfrecord", shard_bytes=100_000)
    (bad,) = outcome.quarantine
    assert (bad.record, bad.byte, len(bad.shards)) == (20_000, head, 1)
    assert "its length goes beyond byte" in bad.reason
    found = numbers_in(outcome, "id")
    missing = sorted(set(range(30_000)) - set(found))
    assert found == sorted(found)
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert 20_000 in missing
    assert len(missing) < 2 * 30_000 / len(outcome.manifests[0].shards)


def test_an_unfinished_record_at_the_end_of_a_part_costs_that_part_alone(tmp_path: Path) -> None:
    """Its error, too, is where the part ends; but another record begins there."""
    source = image_rec(tmp_path / "a.rec", 30_000)
    (tmp_path / "a.idx").unlink()
    asked = {"to": "tfrecord", "shard_bytes": 100_000}
    good = source.read_bytes()
    heads = [found.start for found in rec_parts(good)]

    def ends_where_unfinished(number: int) -> list[int | None]:
        damaged = bytearray(good)
        damaged[heads[number] + 7] |= 1 << 5  # the first of several parts
        source.write_bytes(damaged)
        plan = rb.migrate.plan(source, tmp_path / "out", **asked)
        return [extent.stop for order in plan.orders for extent, _ in order.extents]

    end = ends_where_unfinished(5000)[7]
    last = heads.index(end) - 1
    assert end in ends_where_unfinished(last)
    outcome = rb.migrate.run(source, tmp_path / "out", **asked)
    (bad,) = outcome.quarantine
    assert (bad.byte, len(bad.shards)) == (end, 1)
    missing = set(range(30_000)) - set(numbers_in(outcome, "id"))
    assert last in missing
    assert len(missing) < 2 * 30_000 / len(outcome.manifests[0].shards)


def test_the_command_ends_with_one_and_says_how_to_go_on(
    src: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--to", "tfrecord", "--in", "payload=raw", "--shard-bytes", "20kB"]
    outcome = run(capsys, "migrate", src, tmp_path / "out", *asked)
    assert outcome.code == 1
    assert "b.rec: record 30 goes beyond byte" in outcome.stderr
    assert "--shards 1" in outcome.stderr
