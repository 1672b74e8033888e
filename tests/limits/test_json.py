"""JSON and TOML that lie beside data: any text gives an error of ours that names the file, or is read."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import recordio_bridge as rb
from recordio_bridge import BridgeError, FormatError, sidecar
from recordio_bridge.cli import main
from recordio_bridge.migrate import claims, conclude, ledger, neighbours, state
from recordio_bridge.migrate.bulk_plan import BulkPlan
from recordio_bridge.migrate.sealed import sealed
from recordio_bridge.migrate.state import State
from recordio_bridge.paths import read_bytes
from tests.samples import image_rec, rewrite

DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 5000
ODD = [None, True, 0.5, -1, 1 << 70, 10**400, "x", "", "\ud800", [], [1], {}, {"a": 1}]
"""What JSON can hold in the place of anything."""
TEXTS = [
    "",
    "{",
    DEEP,
    '{"recordio_bridge": ' + DIGITS + "}",
    "NaN",
    "null",
    "[]",
    '"x"',
    '{"recordio_bridge": 1}',
    "\0",
]


def mutations(value: Any, limit: int) -> Iterator[Any]:
    """JSON with one of its values replaced by something odd, or gone; of long lists the first entries only."""
    places = list(_places(value))
    step = max(1, len(places) * len(ODD) // limit)
    choices = [(place, odd) for place in places for odd in [*ODD, ...]]
    for place, odd in choices[::step]:
        copy = json.loads(json.dumps(value))
        inner = copy
        for key in place[:-1]:
            inner = inner[key]
        if odd is ...:
            del inner[place[-1]]
        else:
            inner[place[-1]] = odd
        yield copy


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        yield from _places(inner, (*way, key))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """src, three small .rec; out, a migration of them that is done; begun, its plan; and one conversion."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "src").mkdir()
    for number in range(3):
        image_rec(folder / f"src/{number}.rec", 3, 3 * number)
    rb.migrate.run(folder / "src", folder / "out", to="tfrecord", shards=2)
    rb.convert(folder / "src/0.rec", folder / "one.tfrecord")
    return folder


def survives(named: str, look: Any, *arguments: object) -> None:
    """Anything but an error of ours that names a file so fails the test; so does a report of one that does not."""
    try:
        found = look(*arguments)
    except BridgeError as err:
        said = [str(err)]
    else:
        said = [each.message for each in found.problems] if isinstance(found, rb.Report) else []
    for each in said:
        assert named in each
        assert len(each) < 2000
        each.encode("utf-8", "backslashreplace")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("suffix", ["schema.json", "manifest.json"])
def test_any_text_beside_a_file_is_an_error_of_ours(home: Path, suffix: str, text: str) -> None:
    path = home / f"one.tfrecord.{suffix}"
    before = path.read_bytes()
    try:
        path.write_text(text)
        report = rb.verify(home / "one.tfrecord")
        assert not report.ok
        survives("one.tfrecord", rb.inspect, home / "one.tfrecord")
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("suffix", ["schema.json", "manifest.json"])
def test_any_value_in_what_lies_beside_a_file_is_an_error_of_ours_or_read(home: Path, suffix: str) -> None:
    path = home / f"one.tfrecord.{suffix}"
    before = path.read_bytes()
    try:
        for content in mutations(json.loads(before), 250):
            rewrite(path, content)
            survives("one.tfrecord", rb.verify, home / "one.tfrecord")
            survives("one.tfrecord", lambda: list(rb.read(home / "one.tfrecord")))
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_in_the_report_of_a_migration_is_an_error_of_ours(home: Path, text: str) -> None:
    path = home / "out/out.migration.json"
    before = path.read_bytes()
    try:
        path.write_text(text)
        assert not rb.verify(home / "out").ok
        with pytest.raises(FormatError, match=r"migration\.json"):
            rb.migrate.run(home / "src", home / "out", to="tfrecord", shards=2, resume=True)
    finally:
        path.write_bytes(before)


def test_any_value_in_the_report_of_a_migration_is_an_error_of_ours_or_read(home: Path) -> None:
    path = home / "out/out.migration.json"
    before = path.read_bytes()
    try:
        for content in mutations(json.loads(before), 150):
            rewrite(path, content)
            survives("out", rb.verify, home / "out")
            survives(
                str(home), lambda: rb.migrate.run(home / "src", home / "out", to="tfrecord", shards=2, resume=True)
            )
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def plan(home: Path) -> BulkPlan:
    return rb.migrate.plan(home / "src", home / "begun", to="tfrecord", shards=2, split="a=0.5,b=0.5", seed=1 << 100)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_in_a_plan_is_an_error_that_says_what_to_do(plan: BulkPlan, text: str) -> None:
    header, *orders = plan.to_lines().decode().splitlines()
    for lines in ([text], [text, *orders], [header, text, *orders[1:]]):
        with pytest.raises(FormatError, match=r"^p\.jsonl: not a plan of recordio_bridge.*--overwrite") as caught:
            BulkPlan.from_lines("\n".join(lines).encode(), "p.jsonl")
        assert len(str(caught.value)) < 500


def test_any_value_in_a_plan_is_an_error_or_a_plan_of_the_right_types(home: Path) -> None:
    made = rb.migrate.plan(home / "src", home / "begun", to="tfrecord", shards=2)
    header, *orders = map(json.loads, made.to_lines().decode().splitlines())
    changed = [[each, *orders] for each in mutations(header, 1500)]
    changed += [[header, each, *orders[1:]] for each in mutations(orders[0], 1500)]
    refused = 0
    for lines in changed:
        try:
            found = BulkPlan.from_lines("".join(json.dumps(line) + "\n" for line in lines).encode(), "p.jsonl")
        except FormatError:
            refused += 1
        except BridgeError:  # of a field, or of a format
            refused += 1
        else:
            claims.check_claims(found)
            assert found.receipt_names
    assert refused > len(changed) // 2


def test_a_plan_with_a_number_in_the_place_of_a_text_is_refused_when_it_is_gone_on_with(home: Path) -> None:
    """split was looked into as text, which gave an AttributeError."""
    made = rb.migrate.plan(home / "src", home / "begun", to="tfrecord", shards=2)
    header, *orders = made.to_lines().decode().splitlines()
    content = json.loads(header)
    content["outputs"][0]["wishes"]["split"] = content["asked"]["split"] = 5
    kept = State(str(home / "begun"), "begun")
    os.makedirs(kept.folder, exist_ok=True)
    Path(kept.plan_path).write_bytes(sealed("".join(line + "\n" for line in [json.dumps(content), *orders]).encode()))
    with pytest.raises(FormatError, match=r"plan\.jsonl: not a plan"):
        rb.migrate.run(home / "src", home / "begun", to="tfrecord", shards=2, resume=True)


def test_a_plan_comes_back_with_a_seed_of_any_size(plan: BulkPlan) -> None:
    found = BulkPlan.from_lines(plan.to_lines(), "p.jsonl")
    assert (found.migration.wishes.seed, found.to_lines()) == (1 << 100, plan.to_lines())


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_in_a_dataset_info_is_said_to_be_in_the_way(home: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset_info.json").write_text(text)
    try:
        rb.convert(home / "src/0.rec", tmp_path, tfds="my:1.0.0", overwrite=True)
    except FileExistsError as err:
        assert "dataset_info.json" in str(err)  # noqa: PT017  # one that is read, and tells of no other split, is replaced
        assert (tmp_path / "dataset_info.json").read_text() == text
    else:
        json.loads(text)  # which it is
        assert json.loads((tmp_path / "dataset_info.json").read_text())["name"] == "my"


def test_splits_that_are_no_list_are_of_no_other_dataset(home: Path, tmp_path: Path) -> None:
    for number, splits in enumerate([5, "x", {"name": 1}, [5], [{"name": [1]}], None, True, 1.5]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "dataset_info.json").write_text(json.dumps({"name": "my", "splits": splits}))
        try:
            rb.convert(home / "src/0.rec", folder, tfds="my:1.0.0", overwrite=True)
        except FileExistsError as err:
            assert "dataset_info.json" in str(err)  # noqa: PT017
        else:
            (split,) = json.loads((folder / "dataset_info.json").read_text())["splits"]
            assert split["name"] == "train"


@pytest.mark.parametrize(
    "text",
    ["a = " + DEEP, "a = " + DIGITS, "seed = " + DIGITS, "[" + "a." * 20_000 + "a]", "\0", "a = " + "{b = " * 5000],
)
def test_any_text_in_a_config_is_an_error_with_its_name(tmp_path: Path, text: str, capsys: Any) -> None:
    config = tmp_path / "m.toml"
    config.write_text(text)
    assert main(["migrate", "--config", str(config)]) == 2
    assert "m.toml" in capsys.readouterr().err


@pytest.mark.parametrize("most", [1 << 20, 1 << 32])
def test_a_small_file_takes_little_memory_whatever_a_large_one_may_have(tmp_path: Path, most: int) -> None:
    path = tmp_path / "x.json"
    for data in (b"", b"{}", b"x" * (1 << 20)):
        path.write_bytes(data)
        tracemalloc.start()
        try:
            assert read_bytes(str(path), most) == data
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


def test_what_is_larger_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.touch()
    os.truncate(path, (1 << 40))
    with pytest.raises(FormatError, match="expected at most 67108864"):
        read_bytes(str(path), 1 << 26)
    largest = {ledger: 30, conclude: 30, state: 32, neighbours: 26, sidecar: 28}
    assert {module: module._LARGEST for module in largest} == {module: 1 << bits for module, bits in largest.items()}


@pytest.mark.parametrize("suffix", ["schema.json", "manifest.json"])
def test_a_pipe_or_a_device_beside_a_file_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    path = image_rec(tmp_path / "x.rec", 3)
    beside = Path(f"{path}.{suffix}")
    os.mkfifo(beside)
    assert "is a pipe" in rb.verify(path).problems[0].message
    beside.unlink()
    beside.symlink_to("/dev/zero")
    assert "is a pipe or a device" in rb.verify(path).problems[0].message
