"""The tests' own HTTP proxy does what one does, so that what passes through it means something."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme
from tests.proxies.forward_proxy import Cut, ForwardProxy, Refuse, Silent
from tests.proxies.loopback import WAIT_S
from tests.proxies.tls_front import TlsFront

from crypto_lakehouse.testing import ArchiveServer

NAME = "archive.example.test"
KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(generate=False) as server:
        server.put(KEY, b"0123456789" * 100)
        yield server


@pytest.fixture
def proxy(server: ArchiveServer) -> Iterator[ForwardProxy]:
    """A proxy that knows the server by a name."""
    with ForwardProxy(names={NAME: ("127.0.0.1", port_of(server))}) as proxy:
        yield proxy


def port_of(server: ArchiveServer) -> int:
    return int(server.url.rpartition(":")[2])


def ask(proxy: ForwardProxy, *lines: str) -> socket.socket:
    """Send a head; the connection is the caller's."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def answered(connection: socket.socket) -> bytes:
    """All that comes until the proxy closes the connection."""
    parts = []
    with connection:
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def test_a_request_for_a_whole_url_is_handed_on(proxy: ForwardProxy, server: ArchiveServer) -> None:
    answer = answered(
        ask(proxy, f"GET http://{NAME}:8080/{KEY}?a=b HTTP/1.1", f"Host: {NAME}:8080",
            "Proxy-Connection: keep-alive", "X-Mine: kept")
    )  # fmt: skip
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n" + b"0123456789" * 100)
    (request,) = server.requests
    assert request.path == KEY
    assert request.headers["Host"] == f"{NAME}:8080"
    assert request.headers["X-Mine"] == "kept"
    assert "Proxy-Connection" not in request.headers
    (asked,) = proxy.log
    assert (asked.method, asked.host, asked.port, asked.user) == ("GET", NAME, 8080, None)


def test_a_tunnel_carries_what_is_put_in(proxy: ForwardProxy, server: ArchiveServer) -> None:
    connection = ask(proxy, f"CONNECT {NAME}:443 HTTP/1.1", f"Host: {NAME}:443")
    assert connection.recv(1 << 16) == b"HTTP/1.1 200 Connection established\r\n\r\n"
    connection.sendall(f"HEAD /{KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answered(connection).startswith(b"HTTP/1.1 200 ")
    assert [(asked.method, asked.target) for asked in proxy.log] == [("CONNECT", f"{NAME}:443")]
    assert len(server.requests) == 1


def test_tls_is_spoken_to_the_proxy_and_through_it(server: ArchiveServer) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", NAME).configure_cert(context)
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with (
        TlsFront(behind=("127.0.0.1", port_of(server)), tls=context) as front,
        ForwardProxy(names={NAME: ("127.0.0.1", front.port)}, tls=context) as proxy,
    ):
        assert proxy.url.startswith("https://")
        plain = socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)
        with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as outer:
            outer.sendall(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())
            assert b" 200 " in outer.recv(1 << 16)
        front_alone = socket.create_connection(("127.0.0.1", front.port), WAIT_S)
        with trusting.wrap_socket(front_alone, server_hostname=NAME) as inner:
            inner.sendall(f"HEAD /{KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert inner.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_it_resolves_no_name_that_it_was_not_told(proxy: ForwardProxy) -> None:
    answer = answered(ask(proxy, "CONNECT localhost:443 HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    answer = answered(ask(proxy, f"GET http://127.0.0.1:{port}/x HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert proxy.hosts == ["localhost", "127.0.0.1"]


def test_it_serves_those_who_may(proxy: ForwardProxy, server: ArchiveServer) -> None:
    proxy.users = {"me": "p:w"}
    for user, status in ((None, 407), ("me:other", 407), ("you:p:w", 407), ("me:p:w", 200)):
        code = base64.b64encode((user or "").encode()).decode()
        lines = [f"Proxy-Authorization: Basic {code}"] if user else []
        answer = answered(ask(proxy, f"GET http://{NAME}/{KEY} HTTP/1.1", f"Host: {NAME}", *lines))
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert (b'Proxy-Authenticate: Basic realm="' in answer) == (status == 407)
    assert [asked.user for asked in proxy.log] == [None, "me:other", "you:p:w", "me:p:w"]
    (request,) = server.requests
    assert "Proxy-Authorization" not in request.headers


def test_it_fails_as_it_is_told_and_then_no_more(proxy: ForwardProxy) -> None:
    request = (f"GET http://{NAME}/{KEY} HTTP/1.1", f"Host: {NAME}")
    proxy.faults = [Refuse(503), Cut(after=50)]
    assert answered(ask(proxy, *request)).startswith(b"HTTP/1.1 503 ")
    assert len(answered(ask(proxy, *request))) == 50
    assert answered(ask(proxy, *request)).endswith(b"0123456789")
    proxy.faults = [Silent()]
    silent = ask(proxy, *request)
    silent.shutdown(socket.SHUT_WR)
    assert answered(silent) == b""


def test_what_is_no_request_to_a_proxy_is_dropped(proxy: ForwardProxy) -> None:
    assert answered(ask(proxy, "GET /x HTTP/1.1")) == b""
    assert proxy.log == []
