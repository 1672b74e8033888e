"""A server that speaks S3 on the loopback (moto), and a wire to it that can be cut."""

from __future__ import annotations

import logging
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import boto3
import pytest
from moto import backends
from moto.server import ThreadedMotoServer

KEYS = {"aws_access_key_id": "reader", "aws_secret_access_key": "secret"}
BUCKET = "lake"

_MODULES = list(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: _MODULES  # else looked up in the file system twice for each request


class Wire:
    """Passes bytes on between its own port and that of a server.

    cuts: how many connections are still to be cut, each after so many bytes of what it sends (sent) or gets (got).
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self.cuts, self.after, self.direction = 0, 0, "got"
        self.made = 0
        self._turn = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self, cuts: int, after: int, direction: str) -> None:
        """Cut the next connections that carry so many bytes."""
        with self._turn:
            self.cuts, self.after, self.direction, self.made = cuts, after, direction, 0

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            for ends in ((client, server, "sent"), (server, client, "got")):
                self._threads.append(threading.Thread(target=self._pass_on, args=ends))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                passed += len(piece)
                with self._turn:
                    is_cut = self.cuts > 0 and direction == self.direction and passed > self.after
                    self.cuts, self.made = self.cuts - is_cut, self.made + is_cut
                if is_cut:
                    break
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def authenticate_after(server: tuple[str, int], requests: int) -> None:
    """Let the server ask who it is after so many requests: it knows nobody."""
    address = f"http://{server[0]}:{server[1]}/moto-api/reset-auth"
    asked = urllib.request.Request(address, str(requests).encode(), {"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(asked).close()


@contextmanager
def pointed_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """s3:// is this server, here and in processes that are started."""
    import fsspec
    import s3fs

    options = {"endpoint_url": url, "key": KEYS["aws_access_key_id"], "secret": KEYS["aws_secret_access_key"]}
    with monkeypatch.context() as patch:
        patch.setitem(fsspec.config.conf, "s3", options)
        for name, value in options.items():
            patch.setenv(f"FSSPEC_S3_{name.upper()}", value)
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            yield
        finally:
            s3fs.S3FileSystem.clear_instance_cache()


class Witness:
    """What is in the bucket, by boto3, which shares no code with us or with s3fs."""

    def __init__(self, url: str) -> None:
        self._client: Any = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **KEYS)

    def make(self) -> None:
        self._client.create_bucket(Bucket=BUCKET)

    def clear(self) -> None:
        for name in self.names():
            self.remove(name)

    def names(self, prefix: str = "") -> list[str]:
        found = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]

    def get(self, name: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return content

    def put(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=name, Body=data)

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=name)

    def etag(self, name: str) -> str:
        return str(self._client.head_object(Bucket=BUCKET, Key=name)["ETag"])

    def under_way(self) -> list[str]:
        """Uploads in parts that were begun, and neither completed nor ended."""
        return [each["Key"] for each in self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """A server with the empty bucket lake; its address."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a failed test shows each of thousands of requests
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        Witness(f"http://{host}:{port}").make()
        yield host, port
    finally:
        moto.stop()


@contextmanager
def refusing(status: str, code: str) -> Iterator[tuple[str, list[int]]]:
    """A server that answers every request alike; its address, and one entry for each request."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>'.encode()
    answer = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n".encode()
    seen: list[int] = []
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client, suppress(OSError):
                head = client.recv(1 << 16)
                seen.append(len(head))
                client.sendall(answer + b"Connection: close\r\n\r\n" + (b"" if head.startswith(b"HEAD") else body))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", seen
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(timeout=10)
