"""Connections of the engine's own client: which are kept, and what is sent on them again."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.http.exchange_clients import LIMIT, OK, Plan, answering, client_of, echo, get
from tests.http.scripted_server import (
    WAIT_S,
    Peer,
    Source,
    answer,
    gently,
    serving,
)
from tests.http.test_receiver import line

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
)
from crypto_lakehouse.http.client import ExchangeClient
from crypto_lakehouse.http.receiver import is_readable


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


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("pushed", [answer(b"evil", status="404 Not Found"), b""])
async def test_an_answer_pushed_just_before_a_request_is_not_its_answer(
    pushed: bytes, *, tls: bool
) -> None:
    async with line(tls=tls) as it:
        found = await it.ask(answer(b"good"))
        assert await found.read(LIMIT) == b"good"
        found.release()
        peer = it.source.peers[0]
        if pushed:
            peer.writer.write(pushed)  # in the client's socket now, and not read yet
        else:
            peer.writer.transport.abort()
        second = await it.ask(answer(b"better"))
        assert (second.status, await second.read(LIMIT)) == (200, b"better")
        second.release()
        assert [len(each.requests) for each in it.source.peers] == [1, 1]


async def test_a_connection_is_used_again_whose_unread_bytes_are_no_answer() -> None:
    """TLS sends tickets and keys of its own at any time."""
    async with serving(echo) as source, client_of() as client:
        assert await get(client, source.url("/a")) == b"/a"
        (receiver,) = client.idle
        unread = iter([True, False])
        receiver.has_unread = lambda: next(unread)  # type: ignore[method-assign]
        assert await get(client, source.url("/b")) == b"/b"
        assert len(source.peers) == 1


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
@settings(max_examples=examples(40))
def test_a_connection_serves_one_request_at_a_time(plans: list[Plan], at_once: int) -> None:
    """Many requests at once, each with a body of its own: none gets another's."""

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


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_transport_without_a_socket_has_nothing_unread(*, is_closed: bool) -> None:
    closed = socket.socket()
    closed.close()
    assert not is_readable(closed if is_closed else None)
