"""Final names: nothing that appeared meanwhile is replaced, and two runs never leave a mixture."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import api, publishing
from recordio_bridge.files import pending_file
from recordio_bridge.migrate import finish
from tests.samples import contents, image_rec

TARGETS = [
    "b-00000-of-00002.rec",
    "b-00001-of-00002.rec",
    "b-00001-of-00002.idx",
    "b.rec.schema.json",
    "b.rec.manifest.json",
]


@pytest.fixture(params=["hard links", "no hard links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """On a file system with hard links, and on one without (FAT, some network file systems)."""
    if request.param == "no hard links":

        def refuse(source: str, target: str) -> None:
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "File exists", source, None, target)
            raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)

        monkeypatch.setattr(os, "link", refuse)
    return request.param == "hard links"


def before_publishing(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once, between the last check and the first final name."""
    publish, done = publishing.publish, []

    def act_and_publish(*arguments: object, **options: object) -> None:
        if not done:
            done.append(action())
        publish(*arguments, **options)

    for module in (publishing, finish, api):
        monkeypatch.setattr(module, "publish", act_and_publish)


def with_file(folder: Path, name: str, data: bytes) -> dict[str, str]:
    """The contents that a folder has with one more file."""
    (folder / name).write_bytes(data)
    expected = contents(folder)
    (folder / name).unlink()
    return expected


@pytest.mark.parametrize("name", TARGETS)
def test_a_file_that_appears_before_the_files_take_their_names_is_not_replaced(tmp_path, monkeypatch, links, name):
    source = image_rec(tmp_path / "a.rec", 6)
    expected = with_file(tmp_path, name, b"from another run")
    before_publishing(monkeypatch, lambda: (tmp_path / name).write_bytes(b"from another run"))
    with pytest.raises(FileExistsError, match=rf"appeared while this ran.*overwrite.*{name}"):
        rb.convert(source, tmp_path / "b.rec", shards=2)
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("name", TARGETS)
def test_a_file_that_appears_in_place_of_one_moved_aside_is_not_replaced_either(tmp_path, monkeypatch, links, name):
    rb.convert(image_rec(tmp_path / "old.rec", 4), tmp_path / "b.rec", shards=2)
    source = image_rec(tmp_path / "a.rec", 6)
    names = contents(tmp_path).keys()
    rename = os.rename

    def rename_and_appear(old: str, new: str) -> None:
        rename(old, new)
        if os.path.basename(old) == name:
            Path(old).write_bytes(b"from another run")

    monkeypatch.setattr(os, "rename", rename_and_appear)
    with pytest.raises(FileExistsError, match=name):
        rb.convert(source, tmp_path / "b.rec", shards=2, overwrite=True)
    assert (tmp_path / name).read_bytes() == b"from another run"
    assert contents(tmp_path).keys() == names


def test_a_file_that_appears_while_one_is_written_is_not_replaced(tmp_path, links):
    def batches():
        yield {"id": [1], "image": [b"x"]}
        (tmp_path / "a.idx").write_bytes(b"from another run")

    with pytest.raises(FileExistsError, match=r"a\.idx"):
        rb.write(tmp_path / "a.rec", batches())
    assert contents(tmp_path) == with_file(tmp_path, "a.idx", b"from another run")


def test_an_index_that_appears_while_one_is_made_is_not_replaced(tmp_path, monkeypatch, links):
    image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "a.idx").unlink()
    expected = with_file(tmp_path, "a.idx", b"from another run")
    before_publishing(monkeypatch, lambda: (tmp_path / "a.idx").write_bytes(b"from another run"))
    with pytest.raises(FileExistsError, match=r"a\.idx"):
        rb.index(tmp_path / "a.rec")
    assert contents(tmp_path) == expected
    rb.index(tmp_path / "a.rec", overwrite=True)
    assert (tmp_path / "a.idx").read_bytes().startswith(b"0\t0\n")


@pytest.mark.parametrize("shards", [None, 3])
def test_of_two_conversions_to_one_target_the_first_to_end_wins(tmp_path, links, shards):
    source, other = image_rec(tmp_path / "a.rec", 6), image_rec(tmp_path / "other.rec", 9)
    ended: list[dict[str, str]] = []

    def convert_the_other(rows: int, of: int) -> None:
        if not ended:
            rb.convert(other, tmp_path / "b.tfrecord", shards=3)
            ended.append({name: digest for name, digest in contents(tmp_path).items() if ".part" not in name})

    with pytest.raises(FileExistsError, match="appeared"):
        rb.convert(source, tmp_path / "b.tfrecord", shards=shards, progress=convert_the_other)
    assert contents(tmp_path) == ended[0]
    assert rb.verify(tmp_path / "b.tfrecord").num_rows == 9


def test_of_two_conversions_that_may_overwrite_the_last_to_end_wins(tmp_path, links):
    source, other = image_rec(tmp_path / "a.rec", 6), image_rec(tmp_path / "other.rec", 9)
    rb.convert(other, tmp_path / "b.tfrecord", shards=3)

    def convert_the_other(rows: int, of: int) -> None:
        rb.convert(other, tmp_path / "b.tfrecord", shards=3, overwrite=True)

    rb.convert(source, tmp_path / "b.tfrecord", shards=2, overwrite=True, progress=convert_the_other)
    report = rb.verify(tmp_path / "b.tfrecord")
    assert (report.ok, report.num_rows, len(report.files)) == (True, 6, 2)
    assert not [name for name in contents(tmp_path) if ".part" in name]


def interrupted(call: Callable[..., object], at: Callable[[str], bool], before: bool = False) -> Callable[..., object]:
    """A call that a Ctrl-C comes just after, or before, once, where its last path is so."""
    done = []

    def call_and_interrupt(*arguments: object, **options: object) -> object:
        is_now = not done and at(str(arguments[1 if isinstance(arguments[1], str) else 0]))
        if is_now:
            done.append(True)
        if is_now and before:
            os.kill(os.getpid(), signal.SIGINT)
        result = call(*arguments, **options)
        if is_now and not before:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    return call_and_interrupt


@pytest.mark.parametrize(
    ("call", "before"), [("open", True), ("rename", True), ("rename", False), ("link", True), ("link", False)]
)
@pytest.mark.parametrize("name", ["x.npy", "x.npy.schema.json"])
def test_an_interrupt_while_files_are_replaced_keeps_the_old_or_gives_the_new(
    tmp_path, monkeypatch, links, name, call, before
):
    rb.write(tmp_path / "x.npy", {"data": np.arange(1000)})
    old = contents(tmp_path)
    rb.write(tmp_path / "x.npy", {"data": np.arange(5)}, overwrite=True)
    new = contents(tmp_path)
    rb.write(tmp_path / "x.npy", {"data": np.arange(1000)}, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupted(getattr(os, call), lambda path: path == str(tmp_path / name), before))
        with suppress(KeyboardInterrupt):
            rb.write(tmp_path / "x.npy", {"data": np.arange(5)}, overwrite=True)
    assert contents(tmp_path) in (old, new)


def test_a_second_interrupt_while_old_files_come_back_loses_none(tmp_path, monkeypatch, links):
    target = tmp_path / "b.rec"
    rb.convert(image_rec(tmp_path / "a.rec", 9), target, shards=3)
    old = contents(tmp_path)
    failed: list[str] = []

    def fail_first(call: Callable[..., object]) -> Callable[..., object]:
        def fail_or_call(source: str, final: str) -> object:
            if not os.path.basename(final).startswith(".") and not failed:
                failed.append(final)
                raise KeyboardInterrupt
            result = call(source, final)
            if failed and len(failed) < 3:
                failed.append(final)
                if len(failed) == 3:  # the second of those that come back
                    raise KeyboardInterrupt
            return result

        return fail_or_call

    for call in ("link", "rename"):
        monkeypatch.setattr(os, call, fail_first(getattr(os, call)))
    with pytest.raises(KeyboardInterrupt):
        rb.convert(tmp_path / "a.rec", target, shards=3, overwrite=True)
    assert len(failed) == 3
    assert contents(tmp_path) == old
    assert not any("manifest" in path for path in failed[1:]), "which says that all is there, and comes last"


@pytest.mark.parametrize("there", [(), ("x.idx",)])
def test_of_files_that_belong_together_none_that_is_new_stays_where_another_has_a_name(tmp_path, links, there):
    for name in ("x.rec", *there):
        (tmp_path / name).write_bytes(b"of another run")
    files = [pending_file(str(tmp_path / name), b"ours") for name in ("x.rec", "x.idx")]
    with pytest.raises(FileExistsError, match=r"appeared while this ran.*x\.rec"):
        publishing.put_in_place(files, [str(tmp_path / name) for name in there])
    assert (tmp_path / "x.rec").read_bytes() == b"of another run"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["x.rec", *there])
