"""Requests of the engine's own client that are cancelled, and a client that is closed."""

from __future__ import annotations

import asyncio

import pytest
from tests.http.exchange_clients import OK, client_of, echo, get, unmanaged
from tests.http.scripted_server import (
    Peer,
    gently,
    serving,
)

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    TruncatedBody,
)


@pytest.mark.parametrize("steps", range(12))
async def test_a_request_that_is_cancelled_anywhere_leaves_nothing_open(steps: int) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(OK, b"Content-Length: 6\r\n\r\n", b"abc", b"def")

    async with serving(script) as source, client_of() as client:
        for _ in range(3):
            using = asyncio.ensure_future(get(client, source.url()))
            for _ in range(steps):
                await asyncio.sleep(0)
            using.cancel()
            await asyncio.gather(using, return_exceptions=True)
        assert await get(client, source.url()) == b"abcdef"
        assert len(client.receivers) == 1
    await source.all_gone()


async def test_cancelling_whoever_waits_for_the_head_or_the_body() -> None:
    async def script(peer: Peer) -> None:
        if b"/head" not in await peer.request():
            await peer.send(OK + b"Content-Length: 100000\r\n\r\nabc")
        arrived.set()

    async with serving(script) as source, client_of() as client:
        for path in ("/head", "/body"):
            arrived = asyncio.Event()
            using = asyncio.ensure_future(get(client, source.url(path)))
            await arrived.wait()
            await gently()
            using.cancel()
            with pytest.raises(asyncio.CancelledError):
                await using
            assert not client.receivers
        await source.all_gone()


async def test_closing_ends_requests_under_way_and_refuses_others() -> None:
    async def script(peer: Peer) -> None:
        head = await peer.request()
        if b"/head" not in head:
            await peer.send(OK + b"Content-Length: 10\r\n\r\nabc")
        if len(source.requests) == 3:
            arrived.set()

    arrived = asyncio.Event()
    async with serving(script) as source:
        client = unmanaged()
        head = asyncio.ensure_future(client.send(source.url("/head"), {}))
        body = asyncio.ensure_future(get(client, source.url("/body")))
        drained = await client.send(source.url("/drained"), {})
        drained.release()
        await arrived.wait()
        await gently()
        assert len(client.receivers) == 3
        await client.aclose()
        assert not client.receivers
        with pytest.raises(ConnectionFailed, match="aborted"):
            await head
        with pytest.raises(TruncatedBody):
            await body
        await source.all_gone()
        with pytest.raises(ConnectionFailed, match="closed"):
            await client.send(source.url(), {})
        assert len(source.peers) == 3
        await client.aclose()


async def test_closing_while_connecting_opens_nothing() -> None:
    async with serving(echo) as source:
        for steps in range(12):
            client = unmanaged()
            sending = asyncio.ensure_future(client.send(source.url(), {}))
            for _ in range(steps):
                await asyncio.sleep(0)
            await client.aclose()
            found = (await asyncio.gather(sending, return_exceptions=True))[0]
            if not isinstance(found, BaseException):
                found.release()
            else:
                assert isinstance(found, ConnectionFailed)
            assert not client.receivers
        await source.all_gone()


async def test_a_client_closes_idle_connections_at_its_end() -> None:
    async with serving(echo) as source:
        async with client_of() as client:
            answers = [await client.send(source.url(f"/{n}"), {}) for n in range(3)]
            for found in answers:
                found.release()
            assert len(client.receivers) == 3
        await source.all_gone()
