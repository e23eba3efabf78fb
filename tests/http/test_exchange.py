"""The engine's own client against real servers: what it sends, and how it reads a body."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing

import aiohttp
import pytest
from tests.http.exchange_clients import LIMIT, OK, answering, client_of, echo, get, take
from tests.http.scripted_server import (
    Peer,
    answer,
    gently,
    serving,
)
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.transport import HttpTransport


async def test_a_request_says_what_is_wanted_and_nothing_else() -> None:
    async with serving(echo) as source, client_of() as client:
        assert await get(client, source.url("/a b/ü").with_query(x="1 2"), Range="bytes=1-")
        assert source.requests == [
            b"GET /a%20b/%C3%BC?x=1+2 HTTP/1.1\r\n"
            + f"Host: 127.0.0.1:{source.base.port}\r\n".encode()
            + b"User-Agent: crypto-lakehouse\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            b"Range: bytes=1-\r\n\r\n"
        ]


async def test_user_information_is_sent_nowhere() -> None:
    async with serving(echo) as source, client_of() as client:
        await get(client, source.url().with_user("me").with_password("secret"))
        assert b"me" not in source.requests[0].replace(b"agent", b"")
        assert b"secret" not in source.requests[0]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h.example/", b"h.example"),
        ("http://h.example:80/", b"h.example"),
        ("https://h.example:443/", b"h.example"),
        ("http://h.example:443/", b"h.example:443"),
        ("http://H.example:8080/", b"h.example:8080"),
        ("http://[2001:db8::1]/", b"[2001:db8::1]"),
        ("http://[2001:db8::1]:81/", b"[2001:db8::1]:81"),
        ("http://me:pw@h.example/", b"h.example"),
        ("http://bücher.example/", b"xn--bcher-kva.example"),
        ("http://h.example./", b"h.example"),
    ],
)
def test_the_host_header_names_the_host_and_a_port_that_is_not_the_usual_one(
    url: str, host: bytes
) -> None:
    async def main() -> bytes:
        async with client_of() as client:
            origin = await client.origin(URL(url))
            return origin.head(URL(url), {})

    assert b"\r\nHost: " + host + b"\r\n" in asyncio.run(main())


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\nX: y", "a\rX: y", "\r\n", "a\n"])
async def test_line_breaks_in_what_is_sent_are_refused(bad: str) -> None:
    async with serving(echo) as source, client_of() as client:
        for headers in ({"If-Range": bad}, {bad: "x"}):
            with pytest.raises(TransferError, match="line break") as caught:
                await client.send(source.url(), headers)
            assert type(caught.value) is TransferError
        with pytest.raises(TransferError, match="line break"):
            await client.send(source.base.with_path(f"/{bad}", encoded=True), {})
        assert not source.peers


async def test_headers_that_cannot_be_sent_are_refused() -> None:
    async with serving(echo) as source, client_of() as client:
        with pytest.raises(TransferError, match="latin-1"):
            await client.send(source.url(), {"If-Range": "\u20ac"})
        assert not source.peers


async def test_a_session_that_is_replaced_by_a_test_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def replaced(*_: object, **__: object) -> str:
        return "an answer"

    async with client_of() as client:
        monkeypatch.setattr(aiohttp.ClientSession, "_request", replaced)
        with pytest.raises(ConnectionFailed, match="passes `session=`"):
            await client.send(URL("http://h.example/x"), {})


@pytest.mark.parametrize(
    ("wire", "limit", "body"),
    [
        (answer(b"abc"), 3, b"abc"),
        (answer(b"abc"), 2, b"ab"),
        (answer(b"abc"), 4, b"abc"),
        (answer(b""), 4, b""),
        (answer(status="304 X")[:-2] + b"X: y\r\n\r\n", 4, b""),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 2, b"ab"),
    ],
)
async def test_a_body_is_read_up_to_a_limit(wire: bytes, limit: int, body: bytes) -> None:
    async with serving(answering(wire)) as source, client_of() as client:
        for _ in range(3):
            found = await client.send(source.url(), {})
            assert await found.read(limit) == body
            found.release()
        await gently()
        assert len(source.peers) == 1


async def test_a_body_that_breaks_off_says_what_was_due_and_what_came() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 10\r\n\r\nabc", b"de")
        peer.writer.close()

    async with serving(script) as source, client_of() as client:
        found = await client.send(source.url(), {})
        chunks: list[bytes | bytearray] = []
        with pytest.raises(TruncatedBody) as caught:
            await take(found, chunks)
        assert (caught.value.expected, caught.value.received) == (10, 5)
        assert b"".join(chunks) == b"abcde"
        found.release()
        found = await client.send(source.url(), {})
        with pytest.raises(TruncatedBody):
            await found.read(LIMIT)
        found.release()
        assert not client.receivers


@pytest.mark.parametrize("closes", ["", "Connection: close\r\n"])
async def test_a_body_in_chunks_that_breaks_off_is_never_whole(closes: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + closes.encode() + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        peer.writer.close()

    async with serving(script) as source, client_of() as client:
        found = await client.send(source.url(), {})
        with pytest.raises(ConnectionFailed):
            await found.read(LIMIT)
        found.release()
        assert not client.receivers


async def test_silence_is_told_apart_from_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        head = await peer.request()
        if b"/body" in head:
            await peer.send(OK + b"Content-Length: 10\r\n\r\nabc")

    async with serving(script) as source, client_of(timeout_s=0.05) as client:
        with pytest.raises(TimedOut):
            await client.send(source.url("/head"), {})
        await source.all_gone()
    # A head that does come must come in time.
    async with serving(script) as source, client_of(timeout_s=1.0) as client:
        found = await client.send(source.url("/body"), {})
        with pytest.raises(TimedOut):
            await found.read(LIMIT)
        found.release()
        assert not client.receivers
        await source.all_gone()


async def test_a_slow_consumer_makes_the_sender_wait() -> None:
    body = b"0123456789" * 3_000_000
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 100_000):
            await peer.send(body[at : at + 100_000])
        sent.set()

    async with serving(script) as source, client_of(chunk_bytes=100_000) as client:
        found = await client.send(source.url(), {})
        connection = next(iter(client.receivers))
        async with aclosing(found.chunks()) as chunks:
            received = bytearray(await anext(chunks))
            while connection.transport.is_reading():
                await gently()
            for _ in range(100):
                await gently()
            assert not sent.is_set()
            assert connection.held_bytes <= 400_000
            async for chunk in chunks:
                received += chunk
        assert received == body
        found.release()


async def test_redirects_reuse_the_connection() -> None:
    async def script(peer: Peer) -> None:
        while True:
            head = await peer.request()
            if b"/from" in head:
                await peer.send(answer(b"moved", "Location: /to", status="302 Found"))
            else:
                await peer.send(answer(b"here"))

    async with serving(script) as source, client_of() as client:
        transport = HttpTransport(client, AllowedHosts.of(str(source.base), []))
        async with transport.get(source.url("/from"), {}) as response:
            assert await response.read(LIMIT) == b"here"
        assert len(source.peers) == 1
        assert len(source.requests) == 2


async def test_nothing_is_left_of_many_requests() -> None:
    async with serving(echo) as source, client_of() as client:
        await get(client, source.url())
        gc.collect()
        gc.disable()
        try:
            before = len(gc.get_objects())
            for _ in range(50):
                await get(client, source.url())
            assert len(gc.get_objects()) - before < 100
        finally:
            gc.enable()
