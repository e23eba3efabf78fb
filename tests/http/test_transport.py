"""The edges of the HTTP client: which error of aiohttp becomes which of ours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import aioresponses
from attrs import define
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    RedirectRefused,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.client import engine_client, session_client
from crypto_lakehouse.http.rate_limit import ByteRate, RequestRate
from crypto_lakehouse.http.transport import Client, HttpTransport, object_url, retry_after_s

BASE = "https://mirror.example"
ARCHIVE_URL = URL(f"{BASE}/data/x.zip")


Opening = Callable[[int, float], AbstractAsyncContextManager[Client]]


@pytest.fixture(params=[engine_client, session_client])
def opening(request: pytest.FixtureRequest) -> Opening:
    """Both clients, which are to behave alike."""
    return cast("Opening", request.param)


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    async with session_client(4, 1.0) as client:
        yield HttpTransport(client, AllowedHosts.of(BASE, ["s3.example", "Other.example:8443"]))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (aiohttp.ClientConnectionError("refused"), ConnectionFailed),
        (aiohttp.ServerDisconnectedError(), ConnectionFailed),
        (aiohttp.ClientPayloadError("cut"), ConnectionFailed),
        (ConnectionResetError("reset"), ConnectionFailed),
        (TimeoutError(), TimedOut),
        (aiohttp.SocketTimeoutError(), TimedOut),
        (ValueError("bad header"), TransferError),
    ],
)
async def test_errors_are_translated_where_they_are_born(
    transport: HttpTransport, error: Exception, ours: type[TransferError]
) -> None:
    with aioresponses() as source:
        source.get(str(ARCHIVE_URL), exception=error)
        with pytest.raises(ours) as caught:
            async with transport.get(ARCHIVE_URL, {}):
                pass
    assert type(caught.value) is ours
    assert caught.value.transient
    assert str(ARCHIVE_URL) in str(caught.value)


async def test_a_foreign_reason_is_one_line_and_never_empty(transport: HttpTransport) -> None:
    with aioresponses() as source:
        source.get(str(ARCHIVE_URL), exception=aiohttp.ClientError("bad\n  header:\n\n  b'x'"))
        source.get(str(ARCHIVE_URL), exception=aiohttp.ClientError())
        for reason in ("bad header: b'x'", "ClientError"):
            with pytest.raises(ConnectionFailed) as caught:
                async with transport.get(ARCHIVE_URL, {}):
                    pass
            assert caught.value.reason == reason


async def test_errors_of_nobody_we_know_pass_unchanged(transport: HttpTransport) -> None:
    with aioresponses() as source:
        source.get(str(ARCHIVE_URL), exception=LookupError("a fault in the program"))
        with pytest.raises(LookupError):
            async with transport.get(ARCHIVE_URL, {}):
                pass


@asynccontextmanager
async def serving(answer: web.StreamResponse | bytes) -> AsyncIterator[URL]:
    """A server with one answer to everything."""

    async def respond(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=answer) if isinstance(answer, bytes) else answer

    app = web.Application()
    app.router.add_get("/{path:.*}", respond)
    async with TestServer(app) as server:
        yield server.make_url("/data/x.zip")


@pytest.mark.parametrize(("limit", "read"), [(4, b"0123"), (10, b"0123456789"), (99, None)])
async def test_a_body_is_read_up_to_a_limit(
    limit: int, read: bytes | None, opening: Opening
) -> None:
    async with serving(b"0123456789") as url, opening(1, 5.0) as client:
        transport = HttpTransport(client, AllowedHosts.of(str(url.origin()), []))
        async with transport.get(url, {}) as response:
            assert response.status == 200
            assert await response.read(limit) == (read or b"0123456789")


async def test_a_cap_is_paid_for_in_steps_of_what_it_allows(opening: Opening) -> None:
    async with serving(b"x" * 250) as url, opening(1, 5.0) as client:
        cap = ByteRate(100_000.0)
        transport = HttpTransport(client, AllowedHosts.of(str(url.origin()), []), cap)
        async with transport.get(url, {}) as response:
            assert len(await response.read(1000)) == 250


async def test_a_refused_redirect_shows_no_secret(opening: Opening) -> None:
    location = "https://u:hunter2@evil.example/?X-Amz-Signature=deadbeef"
    redirect = web.Response(status=302, headers={"Location": location})
    async with serving(redirect) as url, opening(1, 5.0) as client:
        transport = HttpTransport(client, AllowedHosts.of(str(url.origin()), []))
        with pytest.raises(RedirectRefused) as caught:
            async with transport.get(url, {}):
                pass
    assert "hunter2" not in str(caught.value)
    assert "deadbeef" not in str(caught.value)
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("https://mirror.example/elsewhere", True),
        ("https://mirror.example:444/x", False),
        ("http://mirror.example/x", False),
        ("https://s3.example/x", True),
        ("http://s3.example/x", False),
        ("https://other.example:8443/x", True),
        ("https://other.example/x", False),
        ("https://s3.example.evil/x", False),
        ("https://10.0.0.1/x", False),
    ],
)
def test_only_named_hosts_may_be_redirected_to(target: str, *, allowed: bool) -> None:
    hosts = AllowedHosts.of(BASE, ["s3.example", "Other.example:8443"])
    assert (not hosts.refusal(hosts.source, URL(target))) is allowed


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://mirror.example", "https://mirror.example/data/%E5%B8%81%20%25/a.zip"),
        ("https://mirror.example/", "https://mirror.example/data/%E5%B8%81%20%25/a.zip"),
        ("https://u:p@mirror.example:8443/some/base/",
         "https://mirror.example:8443/some/base/data/%E5%B8%81%20%25/a.zip"),
    ],
)  # fmt: skip
def test_a_key_is_encoded_where_the_url_is_made(base: str, expected: str) -> None:
    assert str(object_url(URL(base), "data/币 %/a.zip")) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 5_000, math.inf),
        ("Mon, 23 Nov 99999999999999999999 12:00:30 GMT", None),
        ("\n", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    now = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s(value, now) == seconds


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[URL]:
    """A server that says this to every connection, and closes it."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/data/x.zip")


async def test_a_body_that_breaks_off_says_where(opening: Opening) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123"
    async with speaking(cut) as url, opening(1, 5.0) as client:
        transport = HttpTransport(client, AllowedHosts.of(str(url.origin()), []))
        async with transport.get(url, {}) as response:
            with pytest.raises(TruncatedBody) as broken:
                await response.read(10)
    assert broken.value.expected == 10


async def test_a_body_that_nobody_reads_is_no_harm(opening: Opening) -> None:
    async with serving(b"x" * 5_000_000) as url, opening(1, 5.0) as client:
        transport = HttpTransport(client, AllowedHosts.of(str(url.origin()), []))
        for _ in range(2):
            async with transport.get(url, {}) as response:
                assert response.size_bytes == 5_000_000


@define
class CountedRate(RequestRate):
    """A rate that says how often it was paid."""

    paid: int = 0

    async def pay(self) -> None:
        await super().pay()
        self.paid += 1


async def test_each_request_is_paid_for(opening: Opening) -> None:
    async with serving(b"x") as url, opening(1, 5.0) as client:
        rate = CountedRate(1000.0)
        transport = HttpTransport(client, AllowedHosts.of(str(url.origin()), []), None, rate)
        for sent in range(1, 4):
            async with transport.get(url, {}) as response:
                assert rate.paid == sent
                assert await response.read(1) == b"x"
        assert rate.paid == 3
