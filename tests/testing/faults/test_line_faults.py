"""Faults of the line, byte by byte, as a bare socket meets them."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.testing.server.test_objects import KEY

from crypto_lakehouse.testing import ArchiveServer, faults

BODY = b"0123456789" * 20


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """A server with one object."""
    with ArchiveServer() as running:
        running.put(KEY, BODY)
        yield running


def ask(
    server: ArchiveServer, fault: faults.Fault, *headers: str, keep: bool = False
) -> tuple[bytes, bytes, bool]:
    """Head and body of an answer as they came, and whether the connection was reset.

    Reads until the server closes, as it is asked to unless `keep` is set.
    """
    server.inject(KEY, fault)
    address = urlsplit(server.url)
    kept = [] if keep else ["Connection: close"]
    lines = [f"GET /{KEY} HTTP/1.1", f"Host: {address.netloc}", *kept, *headers, "", ""]
    received, was_reset = b"", False
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode())
        try:
            while data := connection.recv(1 << 16):
                received += data
        except ConnectionResetError:
            was_reset = True
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body, was_reset


def test_a_reset_comes_before_the_head_or_within_the_body(server: ArchiveServer) -> None:
    assert ask(server, faults.Reset()) == (b"", b"", True)
    head, body, was_reset = ask(server, faults.Reset(at=50))
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) <= 50
    assert was_reset


def test_a_length_may_be_announced_too_long(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.Announce(300))
    assert b"Content-Length: 300" in head
    assert body == BODY


def test_a_length_may_be_announced_too_short(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.Announce(150))
    assert b"Content-Length: 150" in head
    assert body == BODY


def test_no_length_may_be_announced(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.Unannounced())
    assert b"Content-Length" not in head
    assert b"chunked" not in head
    assert body == BODY


def test_a_body_of_no_announced_length_may_be_cut(server: ArchiveServer) -> None:
    head, body, was_reset = ask(server, faults.Unannounced() & faults.Truncate(at=70))
    assert b"Content-Length" not in head
    assert (body, was_reset) == (BODY[:70], False)


def test_more_may_follow_than_was_announced(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.Surplus(b"junk"))
    assert b"Content-Length: 200" in head
    assert body == BODY + b"junk"


def test_a_connection_that_was_to_be_kept_may_be_closed(server: ArchiveServer) -> None:
    head, body, was_reset = ask(server, faults.HangUp(), keep=True)
    assert b"close" not in head.lower()
    assert (body, was_reset) == (BODY, False)


def test_a_body_may_drip(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.Drip(every_s=0.001))
    assert b"Content-Length: 200" in head
    assert body == BODY


def test_a_body_may_be_compressed_unasked(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.Gzip())
    assert b"Content-Encoding: gzip" in head
    assert gzip.decompress(body) == BODY


def test_a_range_may_be_another(server: ArchiveServer) -> None:
    head, _, _ = ask(server, faults.OtherRange(by=7), "Range: bytes=10-")
    assert b"206" in head.splitlines()[0]
    assert b"Content-Range: bytes 17-199/200" in head


def test_an_answer_without_a_range_has_no_other_one(server: ArchiveServer) -> None:
    head, body, _ = ask(server, faults.OtherRange())
    assert b"Content-Range" not in head
    assert body == BODY
