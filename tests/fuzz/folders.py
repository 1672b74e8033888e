"""Folders of migrations, begun or done, of which any one file is hostile: `migrate --resume` and `verify` look at all.

Each target takes the path of such a file, and puts it in place in a fresh copy of a folder, which the first call makes.
Whatever it says, the sources stay, nothing lies beside the output, and what a checksum covers is as it was written. In
seeds, words stand for what is another in each folder: its path, and the checksum of a manifest, which has paths.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import recordio_bridge as rb
from recordio_bridge.documents import as_document, parse_document
from recordio_bridge.files import crc_of
from recordio_bridge.migrate import (
    beginning,
    bulk,
    check,
    check_migration,
    earlier,
    engines,
    finish,
    local,
    ours,
    perform,
    resuming,
    work,
)
from recordio_bridge.migrate.sealed import sealed, unsealed
from tests.formats.frames import image_payload, rec
from tests.fuzz.promises import Target, broken, check_named

LOADED = (beginning, bulk, check, check_migration, earlier, engines, finish, local, ours, perform, resuming, work)
SOURCES = {
    f"{name}.rec": rec(*(image_payload(b"\xff\xd8\xff" + name.encode() * 9, float(n), id=n) for n in range(4)))
    for name in ("a", "b")
}
_ROOT, _CRC = "/the/root", "1111111111"
_TIME = 1_000_000_000
_OPTIONS: dict[bool, rb.migrate.Options] = {False: {"shards": 2}, True: {"shards": 2, "shuffle": True, "seed": 1}}


class Place:
    """The sources of a migration, its folder as it was when it was broken off, and as it was when it was done."""

    def __init__(self, beside: str, shuffled: bool) -> None:
        self.root = Path(beside).parent / ("shuffled" if shuffled else "plain")
        self._options = _OPTIONS[shuffled]
        self.source, self.out, self.begun, self.done = (self.root / name for name in ("src", "out", "begun", "done"))
        if not self.root.exists():
            self._make()

    def _make(self) -> None:
        self.source.mkdir(parents=True)
        for name, data in SOURCES.items():
            (self.source / name).write_bytes(data)
            os.utime(self.source / name, (_TIME, _TIME))

        def stop(event: rb.migrate.Event) -> None:
            if event.phase == "writing" and event.files:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            self.run(on_event=stop)
        shutil.copytree(self.out, self.begun)
        self.run(resume=True)
        shutil.copytree(self.out, self.done)

    def run(self, **options: object) -> rb.migrate.Outcome:
        """Migrate, from the beginning or not."""
        return rb.migrate.run(self.source, self.out, to="tfrecord", **self._options, **options)

    def folder(self, name: str) -> Path:
        """The output as it was begun, or done."""
        return self.root / name

    def fresh(self, folder: Path, pattern: str, data: bytes) -> None:
        """The output as it was in one of the folders, but for the files of a pattern, which are these bytes."""
        shutil.rmtree(self.out)
        shutil.copytree(folder, self.out)
        for path in self.out.glob(pattern):
            path.write_bytes(swapped(data, {_ROOT: str(self.root), _CRC: self._manifest_crc()}))

    def seeds(self, folder: Path, pattern: str) -> list[bytes]:
        """The files of a pattern in one of the folders, with words."""
        words = {str(self.root): _ROOT, self._manifest_crc(): _CRC}
        return [swapped(data, words) for data in contents(folder, pattern).values()]

    def _manifest_crc(self) -> str:
        (manifest,) = self.done.glob("*.manifest.json")
        return str(crc_of(str(manifest)))

    def is_as(self, folder: Path, pattern: str = "*") -> bool:
        """Whether the files of a pattern are as in one of the folders."""
        return contents(self.out, pattern) == contents(folder, pattern)

    def check_outside(self) -> None:
        """Nothing was done to what is not the output."""
        if contents(self.source) != SOURCES or sorted(os.listdir(self.root)) != ["begun", "done", "out", "src"]:
            broken(f"the sources are {contents(self.source)!r:.200}, beside {os.listdir(self.root)}")


def contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """The files of a pattern."""
    return {path.name: path.read_bytes() for path in folder.glob(pattern) if path.is_file()}


def swapped(data: bytes, words: dict[str, str]) -> bytes:
    """The same with other words; what has a checksum has that of what it says now."""

    def other(text: bytes) -> bytes:
        for old, new in words.items():
            text = text.replace(old.encode(), new.encode())
        return text

    if has_seal(data):
        return sealed(other(unsealed(data)))
    with suppress(rb.FormatError):
        content = parse_document("", data)
        if isinstance(content, dict) and b'"crc32c"' in data:
            return as_document(json.loads(other(json.dumps(content).encode())))
    return other(data)


def has_seal(data: bytes) -> bool:
    """Whether the last line is the checksum of the others."""
    with suppress(ValueError):
        unsealed(data)
        return True
    return False


def resumed(kind: str, shuffled: bool, is_sealed: Callable[[bytes], bool]) -> Target:
    """Goes on. What was damaged, and not sealed again, ends in an error, or in the same files as if nothing was."""

    def target(path: str) -> None:
        data = Path(path).read_bytes()
        place = Place(path, shuffled)
        folder, pattern = PLACES[kind]
        place.fresh(place.folder(folder), pattern, data)
        try:
            outcome = place.run(resume=True)
        except (rb.BridgeError, FileExistsError) as err:
            check_named(str(place.root), err)
        else:
            if not is_sealed(data) and not (outcome.is_complete and place.is_as(place.done)):
                broken(f"{outcome!r:.300} is of other files")
        place.check_outside()
        if folder == "done" and not place.is_as(place.done, "*.tfrecord"):
            broken("what was done is another by now")

    return target


def verified(kind: str, is_covered: bool) -> Target:
    """Verifies what was done: a change of what a checksum covers is a problem, and nothing else is."""

    def target(path: str) -> None:
        data = Path(path).read_bytes()
        place = Place(path, False)
        place.fresh(place.done, PLACES[kind][1], data)
        try:
            report = rb.migrate.verify(place.out)
        except rb.BridgeError as err:
            check_named(str(place.out), err)
        else:
            for problem in report.problems:
                check_named(str(place.out), RuntimeError(str(problem)))
            if is_covered and report.ok != place.is_as(place.done):
                broken(f"a {kind} is another, and verify says {report!r:.500}")
        place.check_outside()

    return target


def _is_any(data: bytes) -> bool:
    return True


def _is_none(data: bytes) -> bool:
    return False


PLACES = {
    "plan": ("begun", "*.unfinished/plan.jsonl"),
    "receipt": ("begun", "*.unfinished/*-*.json"),
    "shared": ("begun", "*.unfinished/sources-*.json"),
    "order": ("begun", "*.unfinished/*.order"),
    "done": ("done", "*.migration.json"),
    "manifest": ("done", "*.manifest.json"),
    "sidecar": ("done", "*.schema.json"),
    "shard": ("done", "*-00000-*.tfrecord"),
}
"""What may be hostile: in which folder it is, and what it is called."""
TARGETS: dict[str, tuple[str, Target]] = {
    "resume-plan": ("x.jsonl", resumed("plan", False, has_seal)),
    "resume-receipt": ("x.json", resumed("receipt", False, has_seal)),
    "resume-shuffled": ("x.jsonl", resumed("plan", True, has_seal)),
    "resume-shared": ("x.json", resumed("shared", True, _is_none)),
    "resume-order": ("x.order", resumed("order", True, _is_none)),
    "resume-done": ("x.json", resumed("done", False, _is_any)),
    "resume-manifest": ("x.json", resumed("manifest", False, _is_any)),
    "verify-done": ("x.json", verified("done", False)),
    "verify-manifest": ("x.json", verified("manifest", True)),
    "verify-sidecar": ("x.json", verified("sidecar", False)),
    "verify-shard": ("x.tfrecord", verified("shard", True)),
}


def written(folder: Path) -> dict[str, list[bytes]]:
    """What a migration leaves in the place of each, with words."""
    found = {}
    for name in TARGETS:
        kind = "plan" if name == "resume-shuffled" else name.partition("-")[2]
        place = Place(str(folder / "x"), name in ("resume-shuffled", "resume-shared", "resume-order"))
        found[name] = place.seeds(place.folder(PLACES[kind][0]), PLACES[kind][1])
    return found
