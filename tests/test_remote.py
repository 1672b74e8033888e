"""Remote files, on fsspec's store in memory: quick, and without a network. S3's protocol: test_remote_oracle.py."""

from __future__ import annotations

import gc
import os
import pickle
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import copies, files, publishing, rangefile, remote
from recordio_bridge.errors import FormatError, MissingDependencyError, SourceChangedError, VerificationError

fsspec = pytest.importorskip("fsspec")


def left_in(folder: Path) -> list[str]:
    """What is in a folder when all copies are gone that nobody holds any more."""
    gc.collect()
    return os.listdir(folder)


@pytest.fixture
def store() -> Iterator[str]:
    """An empty folder on a remote store, of a new name: whoever still holds a file of a test before holds no other."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield f"memory://lake/data-{secrets.token_hex(4)}"
    memory.store.clear()


@pytest.fixture(params=["here", "there"])
def place(request: pytest.FixtureRequest, tmp_path: Path, store: str) -> str:
    """A folder on this machine, then one on a remote store."""
    return str(tmp_path) if request.param == "here" else store


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that follow one another at once."""
    monkeypatch.setattr(remote, "_PAUSE_S", 0.0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/a.rec", True),
        ("memory://a", True),
        ("simplecache::s3://bucket/a", True),
        ("a.rec", False),
        ("/data/a.rec", False),
        ("file:///data/a.rec", False),
        ("data/odd://name", False),
    ],
)
def test_a_path_with_a_scheme_is_remote(path: str, expected: bool) -> None:
    assert remote.is_remote(path) is expected


def test_small_files_are_put_listed_read_and_removed_here_and_there(place: str) -> None:
    path = files.join(place, "plan.json")
    files.make_folder(place)
    assert not files.exists(path)
    publishing.put_bytes(path, b"one")
    publishing.put_bytes(path, b"two more")
    files.make_folder(files.join(place, "receipts"))
    publishing.put_bytes(files.join(files.join(place, "receipts"), "1"), b"")
    assert files.exists(path)
    assert not files.is_folder(path)
    assert files.is_folder(place)
    assert files.is_folder(files.join(place, "receipts"))
    assert files.list_folder(place) == ["plan.json", "receipts"]
    assert files.read_bytes(path, 8) == b"two more"
    assert files.state_of(path)[0] == 8
    assert files.state_of(path)[1] > 0
    files.remove([path, path, files.join(place, "never")])
    assert files.list_folder(place) == ["receipts"]


def test_what_is_not_there_or_too_large_is_an_error_here_and_there(place: str) -> None:
    files.make_folder(place)
    path = files.join(place, "a")
    publishing.put_bytes(path, b"12345")
    with pytest.raises(FormatError, match="5 bytes, expected at most 4"):
        files.read_bytes(path, 4)
    for missing in (files.join(place, "b"), files.join(place, "b/c")):
        assert not files.exists(missing)
        assert not files.is_folder(missing)
        with pytest.raises(FileNotFoundError) as caught:
            files.read_bytes(missing, 4)
        assert caught.value.filename == missing
        with pytest.raises(FileNotFoundError):
            files.state_of(missing)
        with pytest.raises(FileNotFoundError):
            files.list_folder(missing)


def test_nothing_of_a_small_file_that_could_not_be_put_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        publishing.put_bytes(str(tmp_path / "folder"), b"x")
    assert os.listdir(tmp_path) == ["folder"]


class Failing:
    """Answers with these errors, one after another, then with the rest of fsspec."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, *failures: Exception) -> None:
        self.calls = 0
        kind = type(fsspec.filesystem("memory"))
        answer = getattr(kind, name)

        def fail_first(fs: Any, *args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls <= len(failures):
                raise failures[self.calls - 1]
            return answer(fs, *args, **options)

        monkeypatch.setattr(kind, name, fail_first)


class ServerError(Exception):
    """As those of aiohttp and gcsfs, which are no OSErrors."""

    status = 503


def test_failures_that_may_pass_are_tried_again(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publishing.put_bytes(f"{store}/a", b"bytes")
    failing = Failing(monkeypatch, "cat_file", ConnectionResetError("cut"), TimeoutError(), ServerError("busy"))
    assert remote.read_range(f"{store}/a", 1, 4) == b"yte"
    assert failing.calls == 4


def test_endless_failures_end_in_an_error_that_names_the_path(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publishing.put_bytes(f"{store}/a", b"bytes")
    failing = Failing(monkeypatch, "cat_file", *[ServerError("busy")] * 100)
    with pytest.raises(OSError, match=r"reading bytes 1 to 4 failed \(ServerError: busy\); try again") as caught:
        remote.read_range(f"{store}/a", 1, 4)
    assert caught.value.filename == f"{store}/a"
    assert failing.calls == 6


def test_a_short_answer_is_never_taken_for_the_bytes(store: str) -> None:
    publishing.put_bytes(f"{store}/a", b"bytes")
    with pytest.raises(OSError, match="gave 1 bytes of 2 from byte 4 on"):
        remote.read_range(f"{store}/a", 4, 6)


def test_refused_credentials_are_not_tried_again(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore's."""

    for failure in (PermissionError("Forbidden"), NoCredentialsError("Unable to locate credentials")):
        failing = Failing(monkeypatch, "info", failure)
        with pytest.raises(PermissionError, match=f"access was refused .{failure}.; check the credentials"):
            files.exists(f"{store}/a")
        assert failing.calls == 1


def run_without(package: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in which a package is not installed."""
    hidden = f"import sys; sys.modules[{package!r}] = None\n"
    return subprocess.run([sys.executable, "-c", hidden + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["fsspec", "s3fs"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str) -> None:
    code = "from recordio_bridge import files\nfiles.exists('s3://bucket/a')"
    done = run_without(package, code)
    assert MissingDependencyError.__name__ in done.stderr
    assert f"needs {package}: pip install 'recordio_bridge[remote]'" in done.stderr


def test_a_scheme_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"nope://a: fsspec .* knows no nope://; is it misspelt"):
        files.exists("nope://a")


def test_the_library_alone_does_not_import_fsspec() -> None:
    code = "import sys, recordio_bridge.files, recordio_bridge.api\nprint([n for n in sys.modules if 'fsspec' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- reading and writing whole files ----

SHAPES = Path(__file__).resolve().parents[1] / "examples" / "shapes.rec"


def put(path: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(path, data)


def get(path: str) -> bytes:
    content: bytes = fsspec.filesystem("memory").cat_file(path)
    return content


def names(folder: str) -> list[str]:
    return sorted(os.path.basename(name) for name in fsspec.filesystem("memory").find(folder))


def put_shapes(store: str) -> str:
    for suffix in (".rec", ".idx"):
        put(f"{store}/train{suffix}", SHAPES.with_suffix(suffix).read_bytes())
    return f"{store}/train.rec"


@pytest.mark.parametrize("suffix", [".tfrecord", ".tfrecord.gz", ".rec", ".h5", ".npz"])
def test_what_is_written_there_is_what_is_written_here(suffix: str, store: str, tmp_path: Path, workshop: Path) -> None:
    rb.convert(SHAPES, tmp_path / f"x{suffix}")
    rb.convert(put_shapes(store), f"{store}/out/x{suffix}")
    assert names(f"{store}/out") == sorted(path.name for path in tmp_path.glob("x*"))
    for name in set(names(f"{store}/out")) - {f"x{suffix}.manifest.json"}:  # which names the source
        assert get(f"{store}/out/{name}") == (tmp_path / name).read_bytes()
    assert rb.verify(f"{store}/out/x{suffix}").ok
    there = list(rb.read(f"{store}/out/x{suffix}", batch_rows=7))
    here = list(rb.read(tmp_path / f"x{suffix}", batch_rows=7))
    assert [list(batch["image"]) for batch in there] == [list(batch["image"]) for batch in here]
    assert left_in(workshop) == []


def test_a_npy_is_written_and_read_there(store: str, workshop: Path) -> None:
    values = np.arange(12, dtype="<f8").reshape(4, 3)
    rb.write(f"{store}/x.npy", {"x": values})
    assert np.array_equal(next(rb.read(f"{store}/x.npy"))["x"], values)
    assert any("fetched whole to a temporary file" in note for note in rb.inspect(f"{store}/x.npy").notes)
    assert left_in(workshop) == []


@pytest.mark.parametrize("suffix", [".rec", ".h5", ".npz", ".tfrecord.gz"])
def test_errors_name_the_remote_file_and_not_its_copy(suffix: str, store: str, tmp_path: Path, workshop: Path) -> None:
    rb.convert(SHAPES, tmp_path / f"x{suffix}")
    put(f"{store}/x{suffix}", (tmp_path / f"x{suffix}").read_bytes()[:-1000])
    for use in (lambda path: list(rb.read(path)), rb.open, lambda path: rb.convert(path, f"{store}/y.tfrecord")):
        with pytest.raises(FormatError) as caught:
            use(f"{store}/x{suffix}")
        assert f"{store}/x{suffix}" in str(caught.value)
        assert str(workshop) not in str(caught.value)
        assert caught.value.path == f"{store}/x{suffix}"
    assert names(store) == [f"x{suffix}"]
    del caught
    gc.collect()  # what a traceback held
    assert left_in(workshop) == []


def test_an_upload_that_fails_leaves_nothing(store: str, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put_shapes(store)
    Failing(monkeypatch, "put_file", *[ServerError("busy")] * 100)
    with pytest.raises(OSError, match="uploading it failed"):
        rb.convert(source, f"{store}/out/x.tfrecord", shards=3)
    assert names(store) == ["train.idx", "train.rec"]
    assert left_in(workshop) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_bytes_that_a_store_damages_are_noticed(
    overwrite: bool, store: str, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put_shapes(store)
    if overwrite:
        rb.convert(source, f"{store}/x.tfrecord")
    kind = type(fsspec.filesystem("memory"))
    send = kind.put_file

    def spoil(fs: Any, local: str, path: str, **options: Any) -> None:
        send(fs, local, path, **options)
        if path.endswith(".tfrecord"):
            fs.store[path].getbuffer()[1000] ^= 1

    monkeypatch.setattr(kind, "put_file", spoil)
    with pytest.raises(VerificationError, match=r"x\.tfrecord: read back other bytes than were uploaded"):
        rb.convert(source, f"{store}/x.tfrecord", overwrite=overwrite)
    assert f"{store}/x.tfrecord" not in names(store)
    assert "x.tfrecord.manifest.json" not in names(store)
    assert left_in(workshop) == []


def steps_of(monkeypatch: pytest.MonkeyPatch, *verbs: str) -> list[tuple[str, str]]:
    """What the store is asked from now on to do with files of the output x: the verb and the name of the file."""
    kind = type(fsspec.filesystem("memory"))
    steps: list[tuple[str, str]] = []

    def note(verb: str) -> None:
        answer = getattr(kind, verb)

        def noted(fs: Any, *args: Any, **options: Any) -> Any:
            name = os.path.basename(args[1] if verb == "put_file" else args[0])
            if name.startswith("x"):
                steps.append((verb, name))
            return answer(fs, *args, **options)

        monkeypatch.setattr(kind, verb, noted)

    for verb in verbs:
        note(verb)
    return steps


def test_the_manifest_goes_first_and_comes_last(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put_shapes(store)
    rb.convert(source, f"{store}/x.tfrecord", shards=2)
    steps = steps_of(monkeypatch, "put_file", "rm_file", "cat_file")
    rb.convert(source, f"{store}/x.tfrecord", shards=2, overwrite=True)
    changes = [step for step in steps if step[0] != "cat_file"]
    assert changes[0] == ("rm_file", "x.tfrecord.manifest.json")
    assert changes[-1] == ("put_file", "x.tfrecord.manifest.json")
    last = steps.index(changes[-1])
    for name in ("x-00000-of-00002.tfrecord", "x-00001-of-00002.tfrecord", "x.tfrecord.schema.json"):
        assert steps.index(("put_file", name)) < last
        assert ("cat_file", name) in steps[steps.index(("put_file", name)) : last]  # read back before


@pytest.mark.parametrize("name", ["x.rec", "x.idx"])
def test_of_a_migration_no_file_of_another_that_appeared_is_replaced(store: str, workshop: Path, name: str) -> None:
    put(f"{store}/{name}", b"of another run")
    pending = [files.pending_file(f"{store}/{each}", b"ours") for each in ("x.rec", "x.idx")]
    with pytest.raises(FileExistsError, match="appeared while this ran"):
        publishing.put_in_place(pending, there=())
    assert get(f"{store}/{name}") == b"of another run"
    assert left_in(workshop) == []
    pending = [files.pending_file(f"{store}/{each}", b"ours") for each in ("x.rec", "x.idx")]
    publishing.put_in_place(pending, there=[f"{store}/x.rec", f"{store}/x.idx"])
    assert get(f"{store}/{name}") == b"ours"


def test_a_store_that_refuses_to_say_what_it_lacks_can_be_read(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put_shapes(store)
    fsspec.filesystem("memory").rm_file(f"{store}/train.idx")
    kind = type(fsspec.filesystem("memory"))
    look = kind.info

    def refuse(fs: Any, path: str, **options: Any) -> Any:
        try:
            return look(fs, path, **options)
        except FileNotFoundError:
            raise PermissionError("Forbidden") from None  # as S3 without the permission to list

    monkeypatch.setattr(kind, "info", refuse)
    assert rb.inspect(source).num_rows == 60
    assert sum(map(len, rb.read(source))) == 60


def test_a_source_that_changes_while_it_is_read_is_an_error(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put_shapes(store)
    batches = rb.read(source, batch_rows=5)
    info = remote.info_of(source)
    monkeypatch.setattr(remote, "info_of", lambda path: replace(info, mtime_ns=1) if path == source else None)
    with pytest.raises(SourceChangedError, match=r"train\.rec: changed while it was read"):
        list(batches)


def test_a_forked_child_has_copies_of_its_own(store: str, workshop: Path) -> None:
    for name in ("a", "b"):
        put(f"{store}/{name}", b"one")
    with copies.on_disk(f"{store}/a") as parents:
        child = os.fork()
        if child == 0:
            with copies.on_disk(f"{store}/b") as own:
                os._exit(Path(own).read_bytes() != b"one" or Path(own).parent == Path(parents).parent)
        assert os.waitpid(child, 0)[1] == 0
        assert Path(parents).read_bytes() == b"one"


def test_copies_are_shared_while_kept_and_renewed_when_the_file_changes(store: str, workshop: Path) -> None:
    path = f"{store}/a"
    put(path, b"one")
    with copies.Keep([path]):
        with copies.on_disk(path) as first:
            assert Path(first).read_bytes() == b"one"
        with copies.on_disk(path) as second:
            assert second == first
        put(path, b"three")
        remote.ask_anew()
        with copies.on_disk(path) as third:
            assert Path(third).read_bytes() == b"three"
        assert left_in(workshop) == [Path(third).parent.name]
        assert set(left_in(Path(third).parent)) == {".lock", os.path.basename(third)}
    assert left_in(workshop) == []
    with copies.on_disk(path) as alone:
        assert Path(alone).read_bytes() == b"three"
    assert left_in(workshop) == []


def test_a_pickled_recordfile_fetches_for_itself(store: str, workshop: Path) -> None:
    with rb.open(put_shapes(store)) as file, pickle.loads(pickle.dumps(file)) as other:
        assert other[7]["image"] == file[7]["image"]
        assert len(left_in(workshop)) == 2
    assert left_in(workshop) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 50)), max_size=12), st.integers(1, 30))
def test_ranges_are_those_of_the_file_in_whatever_order(reads: list[tuple[int, int]], block: int) -> None:
    data = bytes(range(100))
    put("/lake/ranges", data)
    remote.ask_anew()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rangefile, "BLOCK", block)
        patch.setattr(rangefile, "_NEAR", block // 2)
        with closing(rangefile.RangeFile("memory://lake/ranges")) as file:
            for offset, nbytes in reads:
                assert file.pread(nbytes, offset) == data[offset : offset + nbytes]
            file.seek(3)
            assert file.read() == data[3:]


def test_a_server_that_does_not_say_how_large_a_file_is_cannot_be_read(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(kind, "info", lambda fs, path, **options: {"name": path, "type": "file", "size": None})
    with pytest.raises(OSError, match="the server does not say how large it is"):
        rb.inspect(f"{store}/a.rec")


def test_an_output_needs_a_folder_or_a_bucket_in_its_path(store: str) -> None:
    with pytest.raises(ValueError, match="expected a bucket or a folder before the name of the file"):
        rb.write("memory://x.npy", {"x": [1, 2]})
    put_shapes(store)
    with pytest.raises(IsADirectoryError, match="give the name of a file"):
        rb.convert(f"{store}/train.rec", store, target_options={"format": "tfrecord"})


@pytest.mark.parametrize("shuffle", [False, True])
def test_what_is_left_out_is_told_of_the_remote_file(shuffle: bool, store: str) -> None:
    data = bytearray(SHAPES.read_bytes())
    heads = [int(line.split("\t")[1]) for line in SHAPES.with_suffix(".idx").read_text().splitlines()]
    data[heads[3] : heads[3] + 4] = bytes(4)  # no magic
    put(f"{store}/bad.rec", bytes(data))
    manifest = rb.convert(f"{store}/bad.rec", f"{store}/x.tfrecord", on_bad_record="skip", shuffle=shuffle)
    assert [(each.path, each.record) for each in manifest.skipped] == [(f"{store}/bad.rec", 3)]
    assert manifest.num_rows == 59
