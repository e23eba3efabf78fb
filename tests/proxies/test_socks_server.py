"""The tests' own SOCKS server does what RFC 1928 and RFC 1929 say, and SOCKS 4a besides."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Self

import pytest
from tests.proxies.loopback import WAIT_S
from tests.proxies.socks_server import FORBIDDEN, GRANTED, UNREACHABLE, SocksServer

from crypto_lakehouse.testing import ArchiveServer

NAME = "archive.example.test"
HEAD = b"HEAD /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(generate=False) as server:
        yield server


@pytest.fixture
def port(server: ArchiveServer) -> int:
    """The port of a server that says 404."""
    return int(server.url.rpartition(":")[2])


@pytest.fixture
def proxy(port: int) -> Iterator[SocksServer]:
    """A proxy that knows the server by a name."""
    with SocksServer(names={NAME: ("127.0.0.1", port)}) as proxy:
        yield proxy


class Client:
    """A client that says what it is told, and reads as much as it expects."""

    def __init__(self, proxy: SocksServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)

    def __call__(self, data: bytes, expected: int) -> bytes:
        self._socket.sendall(data)
        return self.rest(expected)

    def say_all(self, data: bytes) -> bytes:
        """Say the last thing; what comes until the proxy closes the connection."""
        self._socket.sendall(data)
        self._socket.shutdown(socket.SHUT_WR)
        return self.rest()

    def rest(self, expected: int = 1 << 20) -> bytes:
        """What comes, at most so many bytes, until the proxy closes the connection."""
        parts = b""
        while len(parts) < expected and (part := self._socket.recv(expected - len(parts))):
            parts += part
        return parts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def named(name: str, port: int) -> bytes:
    """A CONNECT of SOCKS 5 to a name."""
    return b"\5\1\0\3" + bytes((len(name),)) + name.encode() + struct.pack("!H", port)


def answer(reply: int) -> bytes:
    """An answer of SOCKS 5."""
    return bytes((5, reply, 0, 1)) + bytes(6)


def test_a_name_arrives_as_it_is(proxy: SocksServer) -> None:
    with Client(proxy) as client:
        assert client(b"\5\1\0", 2) == b"\5\0"
        assert client(named(NAME, 443), 10) == answer(GRANTED)
        assert client(HEAD, 13) == b"HTTP/1.1 404 "
    (asked,) = proxy.log
    assert (asked.version, asked.kind, asked.host, asked.port) == (5, "name", NAME, 443)
    assert asked.user is None
    assert proxy.url() == f"socks5h://127.0.0.1:{proxy.port}"


def test_an_address_is_told_from_a_name(proxy: SocksServer, port: int) -> None:
    with Client(proxy) as client:
        client(b"\5\2\0\2", 2)
        request = b"\5\1\0\1" + socket.inet_aton("127.0.0.1") + struct.pack("!H", port)
        assert client(request, 10) == answer(GRANTED)
        assert client(HEAD, 13) == b"HTTP/1.1 404 "
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = unused.getsockname()[1]
    with Client(proxy) as client:
        client(b"\5\1\0", 2)
        six = socket.inet_pton(socket.AF_INET6, "::1")
        assert client(b"\5\1\0\4" + six + struct.pack("!H", closed), 10) == answer(UNREACHABLE)
    assert [(asked.kind, asked.host) for asked in proxy.log] == [
        ("ipv4", "127.0.0.1"),
        ("ipv6", "::1"),
    ]


def test_it_resolves_no_name_that_it_was_not_told(proxy: SocksServer) -> None:
    with Client(proxy) as client:
        client(b"\5\1\0", 2)
        assert client(named("localhost", 80), 10) == answer(UNREACHABLE)
        assert client.rest() == b""


def test_it_serves_those_who_may(proxy: SocksServer) -> None:
    proxy.users = {"me": "p:w"}
    with Client(proxy) as client:
        assert client(b"\5\1\0", 2) == b"\5\xff"
        assert client.rest() == b""
    with Client(proxy) as client:
        assert client(b"\5\2\0\2", 2) == b"\5\2"
        assert client(b"\1\2me\5other", 2) == b"\1\1"
        assert client.rest() == b""
    with Client(proxy) as client:
        client(b"\5\2\0\2", 2)
        assert client(b"\1\2me\3p:w", 2) == b"\1\0"
        assert client(named(NAME, 443), 10) == answer(GRANTED)
    assert [asked.user for asked in proxy.log] == ["me:p:w"]


def test_it_refuses_and_breaks_off_as_it_is_told(proxy: SocksServer) -> None:
    proxy.reply = FORBIDDEN
    with Client(proxy) as client:
        client(b"\5\1\0", 2)
        assert client(named(NAME, 443), 10) == answer(FORBIDDEN)
    proxy.reply, proxy.cut_after = GRANTED, 5
    with Client(proxy) as client:
        client(b"\5\1\0", 2)
        client(named(NAME, 443), 10)
        assert client(HEAD, 1 << 20) == b"HTTP/"
    proxy.is_silent = True
    with Client(proxy) as client:
        assert client.say_all(b"\5\1\0") == b""


@pytest.mark.parametrize(
    ("address", "name", "kind"),
    [("0.0.0.1", NAME.encode() + b"\0", "name"), ("127.0.0.1", b"", "ipv4")],
)
def test_version_4_has_names_and_addresses_as_well(
    proxy: SocksServer, port: int, address: str, name: bytes, kind: str
) -> None:
    place = struct.pack("!H", port) + socket.inet_aton(address)
    with Client(proxy) as client:
        assert client(b"\4\1" + place + b"me\0" + name, 8) == b"\0\x5a" + bytes(6)
        assert client(HEAD, 13) == b"HTTP/1.1 404 "
    proxy.reply = FORBIDDEN
    with Client(proxy) as client:
        assert client(b"\4\1" + place + b"\0" + name, 8) == b"\0\x5b" + bytes(6)
    assert [(asked.version, asked.kind, asked.user) for asked in proxy.log] == [
        (4, kind, "me"),
        (4, kind, None),
    ]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\5\1\0\5\2\0\1", b"\4\2" + bytes(6)])
def test_what_is_no_request_is_dropped(proxy: SocksServer, data: bytes) -> None:
    with Client(proxy) as client:
        assert client(data, 1 << 20) in {b"", b"\5\0"}
    assert proxy.log == []
