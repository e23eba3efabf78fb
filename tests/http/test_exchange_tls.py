"""The engine's own client over TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
import trustme
from tests.http.exchange_clients import OK, client_of, echo, get
from tests.http.scripted_server import (
    Peer,
    answer,
    serving,
)
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
)
from crypto_lakehouse.http.client import ExchangeClient


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def speaking(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """How a server speaks TLS that has a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system trusts the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.mark.usefixtures("trusting")
async def test_tls_with_a_host_that_is_trusted(authority: trustme.CA) -> None:
    protocols = []

    async def script(peer: Peer) -> None:
        protocols.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await echo(peer)

    tls = speaking(authority, "127.0.0.1", "localhost")
    async with serving(script, tls) as source, client_of() as client:
        for number in range(3):
            assert await get(client, source.url(f"/{number}")) == b"/%d" % number
        assert await get(client, source.url("/named").with_host("localhost")) == b"/named"
        assert len(source.peers) == 2
        assert protocols == ["http/1.1"] * 2


@pytest.mark.usefixtures("trusting")
async def test_tls_names_may_end_with_a_dot(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda h, *a, **k: whole(h.rstrip("."), *a, **k))
    async with serving(echo, speaking(authority, "localhost")) as source, client_of() as client:
        assert await get(client, source.url("/dot").with_host("localhost.")) == b"/dot"


async def test_tls_with_a_host_that_nobody_vouches_for(authority: trustme.CA) -> None:
    tls = speaking(authority, "127.0.0.1")
    async with serving(echo, tls) as source, client_of() as client:
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            await client.send(source.url(), {})
        assert not client.receivers
        assert not source.peers


@pytest.mark.usefixtures("trusting")
async def test_tls_with_a_host_of_another_name(authority: trustme.CA) -> None:
    tls = speaking(authority, "other.example")
    async with serving(echo, tls) as source, client_of() as client:
        for host, what in (
            ("127.0.0.1", "IP address mismatch"),
            ("localhost", "Hostname mismatch"),
        ):
            with pytest.raises(ConnectionFailed, match=what):
                await client.send(source.url().with_host(host), {})
        assert not client.receivers
        assert not source.peers


async def test_tls_with_one_who_speaks_none() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(answer(b"plain"))

    async with serving(script) as source, client_of() as client:
        with pytest.raises(ConnectionFailed):
            await client.send(source.url().with_scheme("https"), {})
        assert not client.receivers


async def test_plain_connections_need_no_certificates() -> None:
    async with serving(echo) as source, client_of() as client:
        await get(client, source.url())
        assert client.routes.made_tls is None


@pytest.mark.usefixtures("trusting")
async def test_large_bodies_over_tls_and_a_source_that_closes(authority: trustme.CA) -> None:
    body = b"0123456789" * 300_000

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await peer.writer.drain()
        await peer.request()
        peer.writer.close()

    async with serving(script, speaking(authority, "127.0.0.1")) as source, client_of() as client:
        for _ in range(2):
            assert await get_all(client, source.url()) == body
        assert len(source.peers) == 2


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_cancelling_over_tls(authority: trustme.CA, steps: int) -> None:
    async with serving(echo, speaking(authority, "127.0.0.1")) as source, client_of() as client:
        using = asyncio.ensure_future(get(client, source.url()))
        for _ in range(steps):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
        assert await get(client, source.url("/after")) == b"/after"
    await source.all_gone()


@pytest.mark.usefixtures("trusting")
async def test_one_who_speaks_before_being_asked_over_tls(authority: trustme.CA) -> None:
    """With TLS 1.2 the bytes are here before the client knows of its own connection."""

    async def script(peer: Peer) -> None:
        await peer.send(answer(b"unasked"))

    tls = speaking(authority, "127.0.0.1")
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(script, tls) as source, client_of() as client:
        for _ in range(3):
            with pytest.raises(ConnectionFailed):
                await client.send(source.url(), {})
        assert not client.receivers
        await source.all_gone()


async def get_all(client: ExchangeClient, url: URL) -> bytes:
    """Read a body of any size, by chunks."""
    found = await client.send(url, {})
    try:
        return b"".join([bytes(chunk) async for chunk in found.chunks()])
    finally:
        found.release()
