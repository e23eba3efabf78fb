"""How the engine's own client looks names up and connects."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.http.exchange_clients import LIMIT, answering, client_of, echo, get, unmanaged
from tests.http.scripted_server import (
    Peer,
    answer,
    serving,
)
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    TimedOut,
    TransferError,
)


async def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with client_of() as client:
            with pytest.raises(ConnectionFailed, match="Connect call failed"):
                await client.send(URL(f"http://127.0.0.1:{port}/"), {})


async def test_silence_while_connecting() -> None:
    """TLS with one who says nothing."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)

    async with serving(script) as source, client_of(timeout_s=0.05) as client:
        with pytest.raises(TimedOut):
            await client.send(source.url().with_scheme("https"), {})
        assert not client.receivers
        await source.all_gone()


async def test_ipv6_literals() -> None:
    async with serving(echo, host="::1") as source, client_of() as client:
        assert await get(client, source.url("/six")) == b"/six"
        assert f"\r\nHost: [::1]:{source.base.port}\r\n".encode() in source.requests[0]


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The lookups that really go out."""
    asked: list[Any] = []
    whole = socket.getaddrinfo

    def ask(*args: Any, **kwargs: Any) -> Any:
        asked.append(args[0])
        return whole(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    yield asked
    del asked[:]


async def test_addresses_are_asked_for_once(lookups: list[Any]) -> None:
    async with serving(echo) as source, client_of() as client:
        url = source.url().with_host("localhost")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(get(client, url))
        assert len(source.peers) > 1
        assert lookups == ["localhost"]


async def test_addresses_are_asked_for_again_in_time(lookups: list[Any]) -> None:
    client = unmanaged(addresses_kept_s=-1.0)
    async with serving(answering(answer(b"a", "Connection: close"))) as source:
        for _ in range(2):
            await get(client, source.url().with_host("localhost"))
        assert lookups == ["localhost"] * 2
        await client.aclose()


async def test_a_name_that_is_not_known_is_asked_for_again(lookups: list[Any]) -> None:
    async with client_of() as client:
        for _ in range(2):
            with pytest.raises(ConnectionFailed):
                await client.send(URL("http://nothing.invalid/"), {})
        assert lookups == ["nothing.invalid"] * 2


async def test_a_name_that_cannot_be_one_is_an_error_of_ours() -> None:
    async with client_of() as client:
        with pytest.raises(TransferError):
            await client.send(URL(f"http://{'a' * 64}.example/"), {})


async def test_connections_begin_with_another_address_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(answer(peer.writer.get_extra_info("sockname")[0].encode()))

    def look_up(_host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (f"127.0.0.{n}", port)) for n in (1, 2, 3)]

    async with serving(script, host="0.0.0.0") as source, client_of() as client:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        url = source.url().with_host("h.example")
        answers = [await client.send(url, {}) for _ in range(4)]
        first = [await found.read(LIMIT) for found in answers]
        assert len(set(first)) == 3
        assert first[0] == first[3]
        for found in answers:
            found.release()


async def test_a_hanging_name_lookup_delays_neither_the_request_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, leave = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        leave.wait()
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        async with client_of(timeout_s=0.05) as client:
            with pytest.raises(TimedOut):
                await client.send(URL("http://h.example/"), {})
        async with client_of() as client:
            sending = [asyncio.ensure_future(client.send(URL("http://h.example/"), {}))
                       for _ in range(3)]  # fmt: skip
            await asyncio.to_thread(asked.wait)
            await client.aclose()
            for found in await asyncio.gather(*sending, return_exceptions=True):
                assert isinstance(found, ConnectionFailed)
    finally:
        leave.set()
