"""The engine's own client against real servers: what it sends, keeps, replaces and closes."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http.scripted_server import (
    WAIT_S,
    Peer,
    Source,
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
from crypto_lakehouse.http.client import ExchangeClient, engine_client
from crypto_lakehouse.http.routes import EngineRoutes
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.http.transport import Answer, HttpTransport

#: What to do with an answer, how long it is, whether in chunks, and when to cancel.
Plan = tuple[str, int, bool, int]

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 1 << 20


@asynccontextmanager
async def client_of(
    connections: int = 8, timeout_s: float = WAIT_S, chunk_bytes: int = 1 << 20
) -> AsyncIterator[ExchangeClient]:
    """A client that must know of no connection once it is closed."""
    async with (
        asyncio.timeout(3 * WAIT_S),
        engine_client(connections, timeout_s, chunk_bytes) as client,
    ):
        assert isinstance(client, ExchangeClient)
        yield client
    assert not client.receivers
    assert not client.idle


def unmanaged(**settings: float) -> ExchangeClient:
    """A client that its test closes."""
    routes = EngineRoutes(0, WAIT_S, lambda _: None, lambda: tls_context(None, {}), **settings)
    return ExchangeClient(routes, 8, WAIT_S)


async def get(client: ExchangeClient, url: URL, **headers: str) -> bytes:
    """Send a request, read the body, and give the connection back."""
    found = await client.send(url, headers)
    try:
        return await found.read(LIMIT)
    finally:
        found.release()


async def echo(peer: Peer) -> None:
    """Answer each request with its own path."""
    while True:
        head = await peer.request()
        await peer.send(answer(head.split()[1]))


def answering(*pieces: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Answer each request alike."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


# What is sent -------------------------------------------------------------------------------


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


# Reuse --------------------------------------------------------------------------------------


async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with serving(echo) as source, client_of() as client:
        for number in range(20):
            assert await get(client, source.url(f"/{number}")) == b"/%d" % number
        assert len(source.peers) == 1
    await source.all_gone()


@pytest.mark.parametrize(
    "wire",
    [
        answer(b"a", "Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    ],
)
async def test_a_connection_that_is_not_to_be_kept_is_closed(wire: bytes) -> None:
    async with serving(answering(wire)) as source, client_of() as client:
        for _ in range(3):
            assert await get(client, source.url()) == b"a"
        assert len(source.peers) == 3
        await source.all_gone()


async def test_a_body_that_ends_with_its_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\nabc", b"def")
        peer.writer.close()

    async with serving(script) as source, client_of() as client:
        for _ in range(2):
            assert await get(client, source.url()) == b"abcdef"
        assert len(source.peers) == 2


async def test_no_more_idle_connections_are_kept_than_asked_for() -> None:
    async with serving(echo) as source, client_of(connections=2) as client:
        answers = [await client.send(source.url(f"/{n}"), {}) for n in range(5)]
        assert len(source.peers) == 5
        for n, found in enumerate(answers):
            assert await found.read(LIMIT) == b"/%d" % n
            found.release()
        assert len(client.receivers) == 2
        async with asyncio.timeout(WAIT_S):
            for peer in source.peers[2:]:
                await peer.is_gone.wait()


async def test_hosts_have_connections_of_their_own() -> None:
    async with serving(echo) as one, serving(echo) as other, client_of() as client:
        for _ in range(2):
            await get(client, one.url("/1"))
            await get(client, other.url("/2"))
        assert (len(one.peers), len(other.peers)) == (1, 1)
        assert all(b"GET /2 " in head for head in other.requests)


@pytest.mark.parametrize("resets", [False, True])
async def test_connections_that_were_closed_while_idle_are_replaced_unseen(resets: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first" if peer.number < 3 else b"second"))
        await leave.wait()
        if resets:
            peer.reset()
        else:
            peer.writer.close()

    leave = asyncio.Event()
    async with serving(script) as source, client_of() as client:
        answers = [await client.send(source.url(), {}) for _ in range(3)]
        for found in answers:
            assert await found.read(LIMIT) == b"first"
            found.release()
        leave.set()
        assert await get(client, source.url()) == b"second"
        assert len(source.peers) == 4
        await gently()
        assert len(client.receivers) == 1


async def test_a_request_on_a_connection_that_closes_at_that_moment_is_sent_again() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if peer.number == 0 and len(peer.requests) == 2:
                peer.writer.close()
                return
            await peer.send(answer(b"good"))

    async with serving(script) as source, client_of() as client:
        assert await get(client, source.url()) == b"good"
        assert await get(client, source.url()) == b"good"
        assert [len(peer.requests) for peer in source.peers] == [2, 1]


async def test_a_new_connection_that_closes_unanswered_is_an_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.close()

    async with serving(script) as source, client_of() as client:
        with pytest.raises(ConnectionFailed, match="closed the connection"):
            await client.send(source.url(), {})
        assert len(source.peers) == 1
        assert not client.receivers


async def test_an_answer_that_broke_after_its_first_byte_is_not_asked_for_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"good"))
        await peer.request()
        await peer.send(b"H")
        peer.writer.close()

    async with serving(script) as source, client_of() as client:
        assert await get(client, source.url()) == b"good"
        with pytest.raises(ConnectionFailed):
            await client.send(source.url(), {})
        assert len(source.peers) == 1
        assert not client.receivers


async def test_a_second_answer_never_reaches_the_next_request() -> None:
    evil = answer(b"evil", "ETag: evil", status="404 Not Found")

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.request()
            await peer.send(answer(head.split()[1], "ETag: good") + evil)

    async with serving(script) as source, client_of() as client:
        for number in range(5):
            found = await client.send(source.url(f"/{number}"), {})
            assert (found.status, found.headers["ETag"]) == (200, "good")
            assert await found.read(LIMIT) == b"/%d" % number
            found.release()
        assert len(source.peers) == 5


async def test_a_second_answer_after_a_large_body_never_reaches_the_next_request() -> None:
    size = 300_000

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.request()
            name = head.split()[1]
            await peer.send(OK + b"Content-Length: %d\r\n\r\n" % size)
            await peer.send(name[1:] * size + answer(b"evil", status="404 Not Found"))

    async with serving(script) as source, client_of(chunk_bytes=size) as client:
        for name in ("a", "b", "c"):
            found = await client.send(source.url(f"/{name}"), {})
            assert found.status == 200
            assert await found.read(LIMIT) == name.encode() * size
            found.release()
        assert len(source.peers) == 3


async def test_an_answer_that_was_given_back_reads_nothing_of_the_next() -> None:
    async with serving(echo) as source, client_of() as client:
        first = await client.send(source.url("/first"), {})
        first.release()
        second = await client.send(source.url("/second"), {})
        with pytest.raises(ConnectionFailed, match="already released"):
            await first.read(LIMIT)
        async with aclosing(first.chunks()) as chunks:
            with pytest.raises(ConnectionFailed, match="already released"):
                await anext(chunks)
        first.release()
        assert await second.read(LIMIT) == b"/second"
        second.release()
        assert len(source.peers) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "part", "release", "cancel"]),
            st.sampled_from([0, 1, 100, 40_000, 70_000, 200_000]),
            st.booleans(),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 6),
)
@settings(max_examples=40)
def test_a_connection_serves_one_request_at_a_time(plans: list[Plan], at_once: int) -> None:
    """Many requests at once, each with a body of its own: nobody gets another's."""

    async def main() -> None:
        async with serving(named) as source, client_of(at_once) as client:
            gate = asyncio.Semaphore(at_once)

            async def use(number: int, plan: Plan) -> None:
                async with gate:
                    await _use(client, source, number, plan)

            async with asyncio.TaskGroup() as tasks:
                for number, plan in enumerate(plans):
                    tasks.create_task(use(number, plan))
        await source.all_gone()

    asyncio.run(main())


async def named(peer: Peer) -> None:
    """Answer with bodies that hold nothing but the number in the path, again and again."""
    while True:
        head = await peer.request()
        assert not peer.reader._buffer  # type: ignore[attr-defined] # one request at a time
        _, name, size, kind = head.split(b" ")[1].split(b"/")
        body = (name + b".") * (int(size) // (len(name) + 1) + 1)
        if kind == b"length":
            await peer.send(answer(body, f"ETag: {name.decode()}"))
        else:
            await peer.send(
                OK + b"ETag: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % name,
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            )


async def _use(client: ExchangeClient, source: Source, number: int, plan: Plan) -> None:
    """Send a request and do with it as planned."""
    how, size, chunked, steps = plan
    kind = "chunked" if chunked else "length"
    sending = asyncio.ensure_future(client.send(source.url(f"/{number}/{size}/{kind}"), {}))
    if how == "cancel":
        for _ in range(steps):
            await asyncio.sleep(0)
        if sending.cancel():
            await asyncio.gather(sending, return_exceptions=True)
            return
    found = await sending
    assert found.headers["ETag"] == str(number)
    if how == "part":
        assert await found.read(1) == str(number)[:1].encode()
    elif how == "read":
        body = await found.read(LIMIT)
        assert set(body.split(b".")) == {b"%d" % number, b""}
        assert len(body) >= size
    found.release()


# Bodies -------------------------------------------------------------------------------------


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
            while not connection._is_paused:
                await gently()
            for _ in range(100):
                await gently()
            assert not sent.is_set()
            assert sum(map(len, connection._ready)) <= 300_000
            async for chunk in chunks:
                received += chunk
        assert received == body
        found.release()


# Cancellation and the end -------------------------------------------------------------------


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


# Connecting ---------------------------------------------------------------------------------


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


# TLS ----------------------------------------------------------------------------------------


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


async def take(found: Answer, chunks: list[bytes | bytearray]) -> None:
    """Take what comes of a body, until it ends or breaks off."""
    async for chunk in found.chunks():
        chunks.append(chunk)  # noqa: PERF401 - what came before a break-off counts


async def get_all(client: ExchangeClient, url: URL) -> bytes:
    """Read a body of any size, by chunks."""
    found = await client.send(url, {})
    try:
        return b"".join([bytes(chunk) async for chunk in found.chunks()])
    finally:
        found.release()


# Above it -----------------------------------------------------------------------------------


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
