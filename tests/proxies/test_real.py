"""tinyproxy and microsocks run, and resolve names that this process cannot."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.proxies.loopback import WAIT_S
from tests.proxies.real import RealProxy, microsocks, needs, tinyproxy
from yarl import URL

from crypto_lakehouse.testing import ArchiveServer

NAME = "archive.example.test"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that says 404."""
    with ArchiveServer(generate=False) as server:
        yield int(server.url.rpartition(":")[2])


def connect(proxy: RealProxy) -> socket.socket:
    """Connect to a proxy."""
    return socket.create_connection(("127.0.0.1", URL(proxy.url).port or 0), WAIT_S)


@needs("tinyproxy")
def test_tinyproxy_resolves_names_of_its_own(tmp_path: Path, port: int) -> None:
    with tinyproxy(tmp_path, {NAME: "127.0.0.1"}, "me:pw") as proxy:
        code = base64.b64encode(b"me:pw").decode()
        for header, status in (
            ("", b" 407 "),
            (f"Proxy-Authorization: Basic {code}\r\n", b" 404 "),
        ):
            with connect(proxy) as connection:
                head = f"GET http://{NAME}:{port}/none HTTP/1.1\r\nHost: {NAME}\r\n{header}\r\n"
                connection.sendall(head.encode())
                assert status in connection.recv(1 << 16)
        assert proxy.url == f"http://me:pw@127.0.0.1:{URL(proxy.url).port}"
        assert proxy.said(NAME)


@needs("microsocks")
def test_microsocks_resolves_names_of_its_own(tmp_path: Path, port: int) -> None:
    with microsocks(tmp_path, {NAME: "127.0.0.1"}) as proxy, connect(proxy) as connection:
        connection.sendall(b"\5\1\0")
        assert connection.recv(2) == b"\5\0"
        name = bytes((len(NAME),)) + NAME.encode()
        connection.sendall(b"\5\1\0\3" + name + struct.pack("!H", port))
        assert connection.recv(10)[:2] == b"\5\0"
        connection.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(13) == b"HTTP/1.1 404 "
        assert proxy.said(NAME)


def test_a_program_that_is_missing_is_named_loudly() -> None:
    mark = needs("a-proxy-that-there-is-none-of").mark
    assert mark.args == (True,)
    assert "IS NOT INSTALLED" in mark.kwargs["reason"]
