"""What lies behind an answer, or comes with the end of a connection, is never mistaken."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import aiohttp
import pytest
import trustme
from attrs import define
from tests.http.scripted_server import WAIT_S, Peer, answer, gently, serving
from tests.http.test_receiver import line
from yarl import URL

from crypto_lakehouse import http
from crypto_lakehouse.core.errors import ConnectionFailed, TransferError
from crypto_lakehouse.http.body_chunks import CHUNK_BYTES
from crypto_lakehouse.http.client import ExchangeClient, engine_client, session_client
from crypto_lakehouse.http.receiver import Receiver
from crypto_lakehouse.http.routes import IDLE_LIMIT_S
from crypto_lakehouse.http.session_client import transfer_error

LIMIT = 1 << 23
OK = b"HTTP/1.1 200 OK\r\n"
BARE = b"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody"
EVIL = {
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nEVIL",
    "a 404": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    "half a head": b"HTTP/1.1 200",
}
FIRST = {
    "bare": BARE,
    "bare 304": b"HTTP/1.1 304 Not Modified\n\n",
    "behind a 103": b"HTTP/1.1 103 Early Hints\r\n\r\n" + BARE,
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("first", FIRST)
async def test_an_answer_behind_a_head_of_bare_line_feeds(
    first: str, evil: str, *, tls: bool
) -> None:
    async with line(tls=tls) as it:
        found = await it.ask(FIRST[first] + EVIL[evil])
        assert await found.read(LIMIT) == (b"body" if found.status == 200 else b"")
        found.release()
        assert not await it.is_kept()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("by", [-1, 0, 1])
async def test_an_answer_that_begins_where_the_buffer_ends(by: int, *, tls: bool) -> None:
    head = OK + b"Content-Length: %d\r\n\r\n"
    size = (1 << 16) + by - len(head % 65_000)
    async with line(tls=tls) as it:
        found = await it.ask(head % size + b"b" * size + EVIL["a 404"])
        assert await found.read(LIMIT) == b"b" * size
        found.release()
        assert not await it.is_kept()


def filling() -> bytes:
    """An answer that fills the buffer to its last byte."""
    head = OK + b"Content-Length: %d\r\n\r\n"
    size = (1 << 16) - len(head % 65_000)
    return head % size + b"b" * size


async def test_a_connection_is_kept_once_nothing_lies_behind_a_full_buffer() -> None:
    async with line() as it:
        found = await it.ask(filling())
        found.release()
        found.release()
        await gently()
        assert await it.is_kept()


async def test_a_client_may_be_closed_before_that_is_known() -> None:
    async with line() as it:
        (await it.ask(filling())).release()
        await it.client.aclose()


@pytest.mark.parametrize("behind", [b"", EVIL["a 404"]], ids=["nothing", "an answer"])
async def test_what_lies_behind_a_full_buffer_is_read_before_the_next_request(
    behind: bytes,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(filling() + behind)
        await peer.request()
        await peer.send(answer(b"next"))

    async with serving(script) as source, engine_client(4, WAIT_S) as client:
        found = await client.send(source.url(), {})
        found.release()  # at once: what lies behind is not read yet
        for _ in range(5):
            await gently()
        found = await client.send(source.url(), {})
        assert found.status == 200
        found.release()
        assert len(source.peers) == (2 if behind else 1)


class Fixed:
    """An exchange whose head is there."""

    def has_head(self) -> bool:
        return True

    def parsed_bytes(self) -> int:
        return 0

    def failed(self, error: Exception) -> None:
        """Nothing waits."""

    def drained(self) -> None:
        """Nothing is drained."""


async def test_what_comes_before_the_exchange_has_seen_the_head_is_held() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, handler = await loop.create_connection(asyncio.Protocol, sock=ours)
    receiver = Receiver(handler, transport, WAIT_S, CHUNK_BYTES, lambda _: None)
    receiver.begin(Fixed())
    for piece in (OK + b"Content-Length: 4\r\n\r\nab", b"cd"):
        receiver.get_buffer(-1)[: len(piece)] = piece
        receiver.buffer_updated(len(piece))
    receiver.take_body(4, b"")
    assert await receiver.chunk() == b"abcd"
    assert await receiver.chunk() == b""
    receiver.fail(ConnectionError("the test is over"))
    await gently()
    theirs.close()


def test_an_url_that_aiohttp_refuses_is_an_error_of_the_request() -> None:
    error = transfer_error(URL("http://h.example/"), aiohttp.InvalidURL("x"))
    assert type(error) is TransferError


def test_names_that_the_package_does_not_export() -> None:
    assert http.RetryPolicy is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = http.nothing


async def test_a_connection_that_was_idle_for_too_long_is_not_used() -> None:
    async with line() as it:
        (await it.ask(answer(b"first"))).release()
        it.receiver.timeout.last_received_at -= IDLE_LIMIT_S + 1
        assert not await it.is_kept()


async def test_a_closed_client_opens_nothing_for_an_origin_that_it_knows() -> None:
    async with line() as it:
        (await it.ask(answer(b"first"))).release()
        await it.client.aclose()
        with pytest.raises(ConnectionFailed, match="closed"):
            await it.client.send(it.source.url(), {})


async def test_the_parser_is_told_when_it_cannot_be_written_to() -> None:
    async with line() as it:
        (await it.ask(answer(b"first"))).release()
        it.receiver.pause_writing()
        it.receiver.resume_writing()
        assert await it.is_kept()


# The end of a connection over TLS -----------------------------------------------------------------


@define
class Closing:
    """A source with TLS that sends an answer and closes at once, as its own thread does it."""

    url: URL
    authority: trustme.CA

    def trusting(self) -> ssl.SSLContext:
        """How a client speaks TLS that trusts it."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@contextmanager
def closing(wire: bytes) -> Iterator[Closing]:
    """Serve connections, one after the other, until the end."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(plain, server_side=True) as peer:
                    peer.recv(1 << 16)
                    peer.sendall(wire)
                    peer.setblocking(False)
                    with suppress(ssl.SSLError, OSError):
                        peer.unwrap()  # tells that this is the end, and waits for nothing
                    with suppress(OSError):
                        peer.shutdown(socket.SHUT_WR)
                    peer.setblocking(True)
                    while peer.recv(1 << 16):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Closing(URL(f"https://127.0.0.1:{listener.getsockname()[1]}/x"), authority)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(WAIT_S)


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "length": lambda body: OK + b"Content-Length: %d\r\n\r\n" % len(body) + body,
    "chunks": lambda body: (
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    ),
    "the end": lambda body: OK + b"Connection: close\r\n\r\n" + body,
}


@pytest.mark.parametrize("chunk_bytes", [4096, CHUNK_BYTES])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("size", [1 << 20, 3 << 20])
async def test_a_body_is_whole_though_the_source_closes_at_once(
    frame: str, size: int, chunk_bytes: int
) -> None:
    body = b"0123456789abcdef" * (size // 16)
    with closing(FRAMES[frame](body)) as source:
        opening = engine_client(4, WAIT_S, chunk_bytes, make_tls=source.trusting)
        async with opening as client:
            found = await client.send(source.url, {})
            taken = bytearray()
            async for chunk in found.chunks():
                taken += chunk
                for _ in range(3):
                    await gently()  # a consumer that is slower than the source
            found.release()
    assert len(taken) == len(body)
    assert taken == body


async def test_a_body_without_a_length_that_may_have_lost_its_end_is_an_error() -> None:
    """Aiohttp stops reading what is not taken, and asyncio may then lose the end."""
    body = b"0123456789abcdef" * (3 << 18)
    with closing(FRAMES["the end"](body)) as source:
        async with engine_client(4, WAIT_S, make_tls=source.trusting) as client:
            assert isinstance(client, ExchangeClient)
            found = await client.send(source.url, {})
            (receiver,) = client.receivers
            while receiver.answer_bytes <= 2 << 22 and receiver.error is None:
                await gently()
            with pytest.raises(ConnectionFailed, match="faster than it was read"):
                async for _ in found.chunks():
                    pass
            found.release()


# Proxies, and what is shown of them -----------------------------------------------------------


async def test_closing_ends_requests_that_wait_for_a_proxy() -> None:
    async def silent(peer: Peer) -> None:
        asked.set()
        await peer.reader.read(-1)

    asked = asyncio.Event()
    async with serving(silent) as proxy:
        way = URL(f"http://127.0.0.1:{proxy.base.port}")
        async with engine_client(4, 300.0, proxy_of=lambda _: way) as client:
            assert isinstance(client, ExchangeClient)
            sending = asyncio.ensure_future(client.send(URL("https://h.example/x"), {}))
            await asked.wait()
            await client.aclose()
            with pytest.raises(ConnectionFailed, match="closed"):
                await sending
        await proxy.all_gone()


async def forwarding(peer: Peer) -> None:
    """A proxy of http requests that answers by itself."""
    while True:
        await peer.request()
        await peer.send(answer(b"through the proxy"))


@pytest.mark.parametrize("opening", [engine_client, session_client])
@pytest.mark.parametrize(("user", "sent"), [("me", b"bWU6cHc="), (None, b"OnB3")])
async def test_a_proxys_user_is_sent_and_not_shown(
    opening: Callable[..., object], user: str | None, sent: bytes
) -> None:
    async with serving(forwarding) as proxy:
        way = URL.build(
            scheme="http", user=user, password="pw", host="127.0.0.1", port=proxy.base.port
        )
        async with opening(4, WAIT_S, proxy_of=lambda _: way) as client:  # type: ignore[attr-defined]
            found = await client.send(URL("http://h.example/x"), {})
            assert await found.read(LIMIT) == b"through the proxy"
            found.release()
            assert sent.decode() not in repr(client)
            assert "pw" not in repr(client)
        assert b"\r\nProxy-Authorization: Basic " + sent + b"\r\n" in proxy.requests[0]
        assert b"GET http://h.example/x HTTP/1.1" in proxy.requests[0]


async def test_an_error_of_a_proxy_holds_no_password() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")

    async with serving(refuse) as proxy:
        way = URL(f"http://me:pw@127.0.0.1:{proxy.base.port}")
        async with engine_client(4, WAIT_S, proxy_of=lambda _: way) as client:
            with pytest.raises(TransferError, match="407") as caught:
                await client.send(URL("https://h.example/x"), {})
    cause = caught.value.__cause__
    assert cause is not None
    assert "bWU6cHc=" not in repr(cause) + repr(vars(cause)) + repr(cause.args)


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
@pytest.mark.parametrize("ends", [True, False], ids=["hangs up", "is silent"])
async def test_a_socks_proxy_that_fails_is_an_error_of_the_request(
    scheme: str, *, ends: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        if ends:
            peer.writer.close()
        else:
            await peer.reader.read(-1)

    async with serving(script) as proxy:
        way = URL(f"{scheme}://127.0.0.1:{proxy.base.port}")
        timeout_s = WAIT_S if ends else 0.05
        async with engine_client(4, timeout_s, proxy_of=lambda _: way) as client:
            with pytest.raises(TransferError):
                await client.send(URL("http://h.example/x"), {})
