"""Damage of any length behind sound records: what is left out is not held."""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.formats import framed
from tests.formats.frames import image_payload, rec, tfr
from tests.limits.probing import outcome

HOLE, ROOM = 900 << 20, 300 << 20


@pytest.mark.one_lane
@pytest.mark.parametrize(("suffix", "frame"), [(".rec", rec), (".tfrecord", tfr)])
def test_a_hole_behind_sound_records_is_passed_over_in_little_memory(tmp_path: Path, suffix: str, frame) -> None:
    path = tmp_path / f"x{suffix}"
    front, back = frame(b"one", b"two"), frame(b"three", b"four")
    with path.open("wb") as file:
        file.write(front)
        file.seek(HOLE)
        file.write(back)
    read = 'rb.read(path, payload="raw", on_bad_record="skip")'
    assert outcome(f"[row['record'] for batch in {read} for row in batch.rows()]", path, ROOM) == (
        "gave [b'one', b'two', b'three', b'four']"
    )


def test_places_behind_a_hole_are_those_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(framed, "BLOCK", 1 << 17)
    monkeypatch.setattr(framed, "_HOLE", 1 << 17)
    path = tmp_path / "x.rec"
    two = rec(image_payload(b"\xff\xd8one"), image_payload(b"\xff\xd8two"))
    hole, lone = bytes(3 << 20), rec(b"12 bytes, no") * 2
    path.write_bytes(two + hole + two + hole + lone + two)
    rows = [row["image"] for batch in rb.read(path, payload="image", on_bad_record="skip") for row in batch.rows()]
    assert rows == [b"\xff\xd8one", b"\xff\xd8two"] * 3
    third = 2 * (len(two) + len(hole))
    told = [message.partition("left out bytes ")[2].partition(":")[0] for message in caplog.messages]
    assert told == [
        f"{len(two)} to {len(two + hole)}",
        f"{len(two + hole + two)} to {third}",
        f"{third} to {third + 20}",
        f"{third + 20} to {third + 40}",
    ]
