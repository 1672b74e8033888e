"""Files that lie elsewhere: s3://, gs://, memory:// and whatever else fsspec knows. The only importer of fsspec.

A path with a `scheme://` in front is remote, but for file://. Credentials, the endpoint, anonymous access and other
options are fsspec's own, and those of the package behind the scheme; there are none of ours. For s3://:

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws     who asks, as for every program of AWS
    FSSPEC_S3_ANON=true                                               nobody asks: a public bucket
    FSSPEC_S3_ENDPOINT_URL=https://...  (or AWS_ENDPOINT_URL)         another server that speaks S3
    ~/.config/fsspec/conf.json                                        the same, as {"s3": {"anon": true}}

A request that fails for a reason that may pass (a cut connection, a time-out, an answer of the 5xx kind) is repeated,
after a pause that doubles, up to six times or for a minute. What is left becomes an OSError that names the path:
PermissionError, FileNotFoundError, or OSError for the rest. Refused credentials are not tried again.

fsspec's listings are not kept, as other programs write to the same place. Within an operation, what a store said of a
path counts for two seconds where it is asked about once more (believed_info); whether something changed, is there, or
may be written is asked anew each time.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TypeVar

from .errors import MissingDependencyError

_log = logging.getLogger(__name__)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z][A-Za-z0-9+.-]*)*://")
_ATTEMPTS = 6
_PAUSE_S = 0.25  # before the second attempt; doubles from one to the next
_PATIENCE_S = 60.0  # after which there is no further attempt: the packages behind fsspec have patience of their own
_BELIEVED_S = 2.0
_MOST_HEARD = 1 << 14  # paths
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory", "hf"})
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_MARKS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "VersionId")
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_FINAL_NUMBERS = {errno.EINVAL, errno.ENOSYS, errno.EMSGSIZE, errno.ENAMETOOLONG, errno.ENOTEMPTY}  # and s3fs's words
_FINAL_STATUS = {400, 405, 409, 411, 412, 413, 414, 416, 501}  # of HTTP: to ask again brings the same answer

_Answer = TypeVar("_Answer")


def is_remote(path: str) -> bool:
    """Whether a path begins with a scheme, such as s3://, that is not file://."""
    return "://" in path and _SCHEME.match(path) is not None and not path.startswith("file://")


@dataclass(frozen=True, slots=True)
class Info:
    """What a store says of a file, or of a folder: mark is its own name for these bytes (an ETag), "" without one."""

    is_folder: bool
    nbytes: int = 0
    mtime_ns: int = 0
    mark: str = ""


class _Heard:
    """What stores said of paths, and when."""

    def __init__(self) -> None:
        self._infos: dict[str, tuple[float, Info | None]] = {}
        self._lock = Lock()

    def note(self, path: str, info: Info | None) -> None:
        with self._lock:
            if len(self._infos) >= _MOST_HEARD:
                self._infos.clear()
            self._infos[path] = time.monotonic(), info

    def forget(self, path: str) -> None:
        with self._lock:
            self._infos.pop(path, None)

    def forget_all(self) -> None:
        with self._lock:
            self._infos.clear()

    def recall(self, path: str) -> Info | None:
        """What was said; KeyError where that is nothing, or was too long ago."""
        with self._lock:
            heard, info = self._infos[path]
        if time.monotonic() - heard > _BELIEVED_S:
            raise KeyError(path)
        return info


_heard = _Heard()


def info_of(path: str) -> Info | None:
    """What a store says of a path; None where nothing is there."""
    try:
        found = asked(path, "looking at it", lambda fs, inner: fs.info(inner))
        if found["type"] != "directory" and found.get("size") is None:
            raise OSError(errno.EINVAL, "the server does not say how large it is; get a copy, and use that", path)
        info: Info | None = _info(found)
    except FileNotFoundError:
        info = None
    _heard.note(path, info)
    return info


def ask_anew() -> None:
    """Begin an operation: what was said before does not count."""
    _heard.forget_all()


def believed_info(path: str) -> Info | None:
    """What a store says of a path, or said two seconds ago."""
    try:
        return _heard.recall(path)
    except KeyError:
        return info_of(path)


def listed(folder: str) -> dict[str, Info]:
    """What is in a folder, by name, sorted.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    found = asked(folder, "listing it", lambda fs, inner: [(inner, each) for each in fs.ls(inner, detail=True)])
    named = {os.path.basename(each["name"].rstrip("/")): each for inner, each in found if not _is_itself(inner, each)}
    infos = {name: _info(named[name]) for name in sorted(named)}
    for name, info in infos.items():
        if info.mark or info.is_folder:  # else it may say less than when it is asked about alone
            _heard.note(f"{folder.rstrip('/')}/{name}", info)
    return infos


def globbed(pattern: str) -> list[str]:
    """The files that fit a pattern, sorted."""

    def find(fs: Any, inner: str) -> list[str]:  # Any: fsspec has no types
        front = pattern.removesuffix(inner.lstrip("/"))  # the scheme as the caller wrote it
        found = [name for name, each in fs.glob(inner, detail=True).items() if each["type"] == "file"]
        if front == pattern:  # there it is called something else
            return sorted(map(fs.unstrip_protocol, found))
        return sorted(front + name.lstrip("/") for name in found)

    return asked(pattern, "listing what fits it", find)


def read_range(path: str, start: int, stop: int) -> bytes:
    """These bytes of a file, which has them."""

    def read(fs: Any, inner: str) -> bytes:  # Any: fsspec has no types
        got: bytes = fs.cat_file(inner, start=start, end=stop)
        if len(got) != stop - start:  # of a connection that ended without a word, or of a file that is shorter now
            raise OSError(f"gave {len(got)} bytes of {stop - start} from byte {start} on")
        return got

    return asked(path, f"reading bytes {start} to {stop}", read) if stop > start else b""


def read_whole(path: str) -> bytes:
    """All bytes of a small file, by one request: those of one state of it."""
    return asked(path, "reading it", lambda fs, inner: bytes(fs.cat_file(inner)))


def put(path: str, data: bytes) -> None:
    """Write a small file, in place of one that may be there; readers see the old one or the new."""

    def write(fs: Any, inner: str) -> None:  # Any: fsspec has no types
        with _room_for(fs, inner, is_object_store(path)) as place:
            fs.pipe_file(place, data)

    _heard.forget(path)
    asked(path, "writing it", write)
    _heard.forget(path)


def upload(local: str, path: str, *, overwrite: bool) -> None:
    """Send a file, in several parts where it is large; it appears under its name when it is complete.

    Raises:
        FileExistsError: one is there, and overwrite is not asked for.
    """
    is_exclusive = not overwrite

    def send(fs: Any, inner: str) -> None:  # Any: fsspec has no types
        nonlocal is_exclusive
        with _room_for(fs, inner, is_object_store(path)) as place:
            try:
                fs.put_file(local, place, mode="create" if is_exclusive else "overwrite")
            except OSError as err:
                if err.errno != errno.ENOSYS or not is_exclusive:
                    raise
                is_exclusive = False  # a server that does not know If-None-Match; whoever calls has looked before
                fs.put_file(local, place)

    _heard.forget(path)
    asked(path, "uploading it", send)
    _heard.forget(path)


def abort_uploads(path: str) -> None:
    """End the uploads of this name that are on their way in parts, which S3 would else keep, unseen, for ever."""

    def abort(fs: Any, inner: str) -> None:  # Any: fsspec has no types
        if not hasattr(fs, "call_s3"):  # of s3fs; other stores let go of parts by themselves
            return
        bucket, key, _ = fs.split_path(inner)
        under_way = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", [])
        for each in under_way:
            if each["Key"] == key:
                fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=each["UploadId"])

    asked(path, "ending its upload", abort)


@contextmanager
def _room_for(fs: Any, inner: str, is_whole: bool) -> Iterator[str]:  # Any: fsspec has no types
    """Where to write what is to be called inner: there, where a store shows a file when it is complete; else beside."""
    if is_whole:
        yield inner
        return
    folder, slash, name = inner.rpartition("/")
    beside = f"{folder}{slash}.{name}.{secrets.token_hex(4)}.part"
    try:
        yield beside
        fs.mv(beside, inner)
    except BaseException:
        if fs.exists(beside):
            fs.rm_file(beside)
        raise


def delete(path: str) -> None:
    """Remove a file that may be there."""

    def remove(fs: Any, inner: str) -> None:  # Any: fsspec has no types
        fs.rm_file(inner)

    _heard.forget(path)
    with suppress(FileNotFoundError):
        asked(path, "removing it", remove)


def make_place(folder: str) -> None:
    """Make a folder where the store has such; an object store needs none, and its buckets are made by hand."""

    def make(fs: Any, inner: str) -> None:  # Any: fsspec has no types
        fs.makedirs(inner, exist_ok=True)

    if not is_object_store(folder):
        asked(folder, "making the folder", make)


def check_place(path: str) -> None:
    """FileNotFoundError where there is no place for a file of this name: no bucket, or no folder."""
    scheme, _, rest = path.partition("://")
    folder = os.path.dirname(rest)
    if not folder.strip("/"):
        raise ValueError(
            f"{path}: expected a bucket or a folder before the name of the file, as in {scheme}://place/name"
        )
    place = f"{scheme}://{folder if not is_object_store(path) else folder.lstrip('/').partition('/')[0]}"
    if scheme == "memory":
        return
    try:
        found = info_of(place)
    except PermissionError:  # whoever may write to a bucket need not be allowed to look at it
        return
    if found is None:
        raise FileNotFoundError(errno.ENOENT, f"{place} does not exist; make it first", path)


def is_object_store(path: str) -> bool:
    """Whether files appear whole or not at all, and folders are nothing but names."""
    return path.partition("://")[0].rpartition("::")[2] in _OBJECT_STORES


def asked(path: str, what: str, question: Callable[[Any, str], _Answer]) -> _Answer:  # Any: fsspec has no types
    """What question(file system, path inside it) answers, asked again where that may help.

    Raises:
        OSError: it does not; PermissionError, FileNotFoundError and the like where that is the reason.
        MissingDependencyError: fsspec, or the package for this scheme, is not installed.
    """
    fs, inner = _file_system(path)
    began = time.monotonic()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return question(fs, inner)
        except Exception as err:  # the packages behind fsspec raise what they like, with no common root
            if isinstance(err, (TypeError, AttributeError, AssertionError, NotImplementedError)):
                raise  # not an answer, but a mistake in a program
            failure = _as_system_error(err, path, what)
            is_last = attempt == _ATTEMPTS or time.monotonic() - began > _PATIENCE_S
            if is_last or _is_final(err, failure):
                raise failure from err
            _log.info("%s: %s: %s; attempt %d failed, trying again", path, what, err, attempt)
            time.sleep(_PAUSE_S * 2 ** (attempt - 1) * (1 + random.random() / 4))
    raise AssertionError("the last attempt returns or raises")


def _file_system(path: str) -> tuple[Any, str]:  # Any: fsspec has no types
    """The file system of a path, and what the path is there."""
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError as err:
        raise MissingDependencyError.for_extra("remote", "fsspec", "reading s3://, gs:// and the like") from err
    scheme = path.partition("://")[0].rpartition("::")[2]
    try:
        fs, inner = url_to_fs(path, use_listings_cache=False)
    except ImportError as err:
        if scheme in ("s3", "s3a"):
            raise MissingDependencyError.for_extra("remote", "s3fs", f"reading {scheme}://") from err
        raise MissingDependencyError(f"reading {scheme}:// needs another package: {err}") from err
    except ValueError as err:
        if scheme in fsspec.available_protocols():
            raise
        raise ValueError(f"{path}: fsspec {fsspec.__version__} knows no {scheme}://; is it misspelt?") from err
    return fs, inner


def _info(found: dict[str, Any]) -> Info:  # Any: what the store says
    time_of = next((found[name] for name in _TIMES if found.get(name)), None)
    mark = next((str(found[name]) for name in _MARKS if found.get(name)), "")
    return Info(found["type"] == "directory", int(found.get("size") or 0), _nanoseconds(time_of), mark)


def _nanoseconds(value: object) -> int:
    """A time that a store gives, in one of the ways that they have; 0 for none, and for another way."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1e6) * 1000
    return int(value * 1e9) if isinstance(value, (int, float)) else 0


def _is_itself(folder: str, found: dict[str, Any]) -> bool:  # Any: what the store says
    """Whether an entry of a listing is the empty object that some programs make to stand for the folder."""
    return str(found["name"]).strip("/") == folder.strip("/")


def _is_final(error: Exception, failure: OSError) -> bool:
    """Whether to ask again would bring the same answer."""
    status = _status(error)
    if isinstance(failure, _FINAL) or status in _FINAL_STATUS:
        return True
    return isinstance(error, OSError) and error.errno in _FINAL_NUMBERS


def _status(error: BaseException) -> int | None:
    """The status of the HTTP answer behind an error, where it says so (aiohttp, gcsfs, botocore)."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            status = getattr(seen, "status", None) or getattr(seen, "code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
        seen = seen.__cause__
    return None


def _as_system_error(error: Exception, path: str, what: str) -> OSError:
    """The error as the operating system would raise it for a file of its own: with a number, and the path."""
    said = str(error) or type(error).__name__
    status, scheme = _status(error), path.partition("://")[0].rpartition("::")[2]
    if isinstance(error, FileExistsError) or status == 412:  # what was asked of If-None-Match is not so
        return FileExistsError(errno.EEXIST, "exists; pass overwrite=True (--overwrite) to replace it", path)
    if isinstance(error, PermissionError) or status in (401, 403) or "Credential" in type(error).__name__:
        advice = f"check the credentials that fsspec finds for {scheme}://, and what they are allowed to do"
        if scheme in ("s3", "s3a"):
            advice += " (AWS_ACCESS_KEY_ID, AWS_PROFILE; FSSPEC_S3_ANON=true for a public bucket)"
        return PermissionError(errno.EACCES, f"{what}: access was refused ({said}); {advice}", path)
    if isinstance(error, FileNotFoundError) or status == 404:
        hint = said if "bucket" in said.lower() and path.partition("://")[2] not in said else "no such file or folder"
        return FileNotFoundError(errno.ENOENT, hint, path)
    if isinstance(error, IsADirectoryError):
        return IsADirectoryError(errno.EISDIR, "is a folder; give the name of a file", path)
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return OSError(errno.EIO, f"{what} failed ({kind}{said}); try again, or check the network and the endpoint", path)
