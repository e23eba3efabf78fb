"""One connection's receiver under aiohttp's parser: silence, surplus, draining, back-pressure."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import pytest
import trustme
from attrs import define, field
from tests.http.scripted_server import WAIT_S, Gone, Peer, Source, answer, gently, serving

from crypto_lakehouse.core.errors import ConnectionFailed, TimedOut
from crypto_lakehouse.http.client import ExchangeClient, engine_client
from crypto_lakehouse.http.receiver import DRAIN_BYTES, Receiver
from crypto_lakehouse.http.transport import Answer

SCRATCH = 1 << 16
CHUNK = 100_000
LIMIT = 1 << 24
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"HTTP/1.1 404 Not Found\r\nETag: evil\r\nContent-Length: 4\r\n\r\nevil"


@cache
def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """How a server speaks TLS, and how a client does that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def length(size: int) -> bytes:
    """The head of an answer with a body of this size."""
    return OK + b"Content-Length: %d\r\n\r\n" % size


@define
class Line:
    """A client, and a source that does what the test says, at its end of each connection."""

    client: ExchangeClient
    source: Source
    asked: asyncio.Queue[Peer]
    peer: Peer = field(init=False)

    async def begin(self, *pieces: bytes) -> asyncio.Task[Answer]:
        """Ask, and let the source answer with these pieces."""
        sending = asyncio.create_task(self.client.send(self.source.url(), {}))
        self.peer = await self.asked.get()
        await self.send(*pieces)
        return sending

    async def ask(self, *pieces: bytes) -> Answer:
        """As `begin`; the answer."""
        return await (await self.begin(*pieces))

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each of which is read before the next one goes, if the client reads."""
        with suppress(Gone):
            await self.peer.send(*filter(None, pieces))

    @property
    def receiver(self) -> Receiver:
        """The one connection's."""
        (receiver,) = self.client.receivers
        return receiver

    async def settles(self) -> bool:
        """Whether the connection that was given back is kept; it must be decided at once."""
        for _ in range(200):
            await gently()
        assert self.client.receivers == self.client.idle
        if self.client.idle:
            return True
        await self.source.all_gone()
        return False

    async def is_kept(self) -> bool:
        """Whether another request is answered, by its own answer, and on the same connection."""
        opened = len(self.source.peers)
        found = await self.ask(answer(b"next"))
        assert (found.status, await found.read(LIMIT)) == (200, b"next")
        found.release()
        assert len(self.client.receivers) == 1
        return len(self.source.peers) == opened


@asynccontextmanager
async def line(
    timeout_s: float = WAIT_S, chunk_bytes: int = CHUNK, tls: bool = False
) -> AsyncIterator[Line]:
    """Open a client and a source; nothing may be left of them, nor be complained of."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            asked.put_nowait(peer)

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    asked: asyncio.Queue[Peer] = asyncio.Queue()
    opening = engine_client(8, timeout_s, chunk_bytes, make_tls=lambda: tls_pair()[1])
    async with serving(script, tls_pair()[0] if tls else None) as source, opening as client:
        assert isinstance(client, ExchangeClient)
        it = Line(client, source, asked)
        yield it
        await client.aclose()
        assert not client.receivers
        await source.all_gone()
    del it, client
    gc.collect(1)  # 'Unclosed connection' would be a complaint, and a warning
    assert not complaints, complaints


async def body_of(found: Answer, taken: list[bytes] | None = None) -> bytes:
    """Take a body by chunks, none of which changes afterwards; `taken` gets copies at once."""
    copies = [] if taken is None else taken
    chunks = []
    async for chunk in found.chunks():
        chunks.append(chunk)
        copies.append(bytes(chunk))
    assert chunks == copies
    return b"".join(copies)


async def use(sending: asyncio.Task[Answer], taken: list[bytes]) -> None:
    """Take an answer to its end, or until it breaks off, and give it back."""
    found = await sending
    try:
        await body_of(found, taken)
    finally:
        found.release()


@define
class Clock:
    """The loop's clock, which stands still until a test moves it on."""

    now: float

    async def pass_by(self, seconds: float) -> None:
        """Move on, and let what is due happen."""
        self.now += seconds
        await gently()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    loop = asyncio.get_running_loop()
    clock = Clock(loop.time())
    monkeypatch.setattr(loop, "time", lambda: clock.now)
    return clock


# Silence ------------------------------------------------------------------------------------

BODIES = {
    "parsed": length(60_000),
    "taken over": length(1_000_000),
    "chunked": OK + CHUNKED + b"f4240\r\n",
    "ended by the connection": OK + b"\r\n",
}
HEADS = {"nothing": b"", "no line": b"HTTP", "a line": OK, "100": b"HTTP/1.1 100 Continue\r\n\r\n"}


async def begun(it: Line, head: bytes) -> tuple[asyncio.Task[None], list[bytes]]:
    """Begin to take an answer, of which the head came; what is taken shows in the list."""
    taken: list[bytes] = []
    using = asyncio.create_task(use(await it.begin(head), taken))
    await gently()
    return using, taken


@pytest.mark.parametrize("name", [*HEADS, *BODIES])
async def test_silence_ends_a_request_and_hands_out_what_came(name: str, clock: Clock) -> None:
    async with line(timeout_s=10) as it:
        using, taken = await begun(it, {**HEADS, **BODIES}[name])
        await it.send(b"abc" * (name in BODIES))
        await clock.pass_by(9.9)
        assert not using.done()
        await clock.pass_by(0.2)
        with pytest.raises(TimedOut, match="silent"):
            await using
        assert b"".join(taken) == b"abc" * (name in BODIES)
        assert not await it.settles()


@pytest.mark.parametrize("name", ["a line", *BODIES])
async def test_a_source_that_drips_counts_as_silent(name: str, clock: Clock) -> None:
    async with line(timeout_s=10) as it:
        using, taken = await begun(it, {**HEADS, **BODIES}[name])
        for _ in range(20):
            await it.send(b"X: y\r\n" if name in HEADS else b"x" * 400)  # 80 bytes a second
            await clock.pass_by(5)
        with pytest.raises(TimedOut, match="fewer than"):
            await using
        assert len(b"".join(taken)) < 3000
        assert bool(taken) is (name in BODIES)
        assert not await it.settles()


@pytest.mark.parametrize("name", BODIES)
async def test_a_source_that_is_slow_but_not_silent_is_waited_for(name: str, clock: Clock) -> None:
    async with line(timeout_s=10) as it:
        using, taken = await begun(it, BODIES[name])
        for _ in range(20):
            await it.send(b"x" * 1000)
            await clock.pass_by(5)
        assert not using.done()
        assert b"".join(taken) == b"x" * 20_000
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
        await clock.pass_by(20)  # what could be drained was waited for
        assert not await it.settles()


@pytest.mark.parametrize("name", BODIES)
async def test_the_consumers_own_time_does_not_count(name: str, clock: Clock) -> None:
    async with line(timeout_s=10) as it:
        found = await it.ask(BODIES[name] + b"abc")
        chunks = found.chunks()
        assert await anext(chunks) == b"abc"
        await clock.pass_by(1000)
        taking = asyncio.ensure_future(anext(chunks))
        await gently()
        await clock.pass_by(9.9)
        await it.send(b"d" * 2000)
        await clock.pass_by(0.3)
        await it.send(b"e")
        assert (await taking).startswith(b"d" * 2000)
        await clock.pass_by(1000)
        assert it.client.receivers
        await chunks.aclose()
        found.release()


# Chunks -------------------------------------------------------------------------------------


async def test_a_chunk_that_fills_slowly_is_handed_over_early(clock: Clock) -> None:
    async with line() as it:
        found = await it.ask(length(CHUNK))
        chunks = found.chunks()
        taking = asyncio.ensure_future(anext(chunks))
        await it.send(b"a" * 1000)
        await clock.pass_by(0.24)
        await it.send(b"b" * 1000)
        assert not taking.done()
        await clock.pass_by(0.01)
        await it.send(b"c")
        assert await taking == b"a" * 1000 + b"b" * 1000 + b"c"
        await it.send(b"d" * (CHUNK - 2001))
        assert await anext(chunks) == b"d" * (CHUNK - 2001)
        assert [chunk async for chunk in chunks] == []
        found.release()
        assert await it.is_kept()


@pytest.mark.parametrize("is_read", [True, False])
async def test_an_idle_connection_holds_no_body(is_read: bool) -> None:
    async with line() as it:
        found = await it.ask(length(2 * CHUNK), b"a" * 2 * CHUNK)
        if is_read:
            await body_of(found)
        found.release()
        assert await it.settles()
        assert it.receiver.held_bytes == 0


# What is more than the answer ---------------------------------------------------------------

BEGUN = {"answer": SECOND, "one byte": SECOND[:1], "begun": SECOND[:20]}
JUNK = {**BEGUN, "zero": b"\0", "long": b"0" * 70_000}
FIRST = {
    "short": (answer(b"good"), b"good"),
    "empty": (answer(), b""),
    "304": (b"HTTP/1.1 304 X\r\n\r\n", b""),
    "chunked": (OK + CHUNKED + b"4\r\ngood\r\n0\r\n\r\n", b"good"),
    "last": (answer(b"good", "Connection: close"), b"good"),
    "one reading": (answer(b"g" * SCRATCH), b"g" * SCRATCH),
    "large": (answer(b"g" * 2 * CHUNK), b"g" * 2 * CHUNK),
}


@pytest.mark.parametrize("cut", ["in one", "after it", "in pieces"])
@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("first", FIRST)
async def test_an_answer_that_was_not_asked_for_reaches_no_request(
    first: str, junk: str, cut: str
) -> None:
    (wire, body), more = FIRST[first], JUNK[junk]
    rest = {"in one": [], "after it": [more], "in pieces": [more[:4], more[4:8], more[8:]]}[cut]
    async with line(tls=first == "large") as it:
        sending = await it.begin()
        pushing = asyncio.create_task(it.send(wire if rest else wire + more, *rest))
        try:
            found = await sending
            assert (found.status, found.headers.get("ETag")) == (int(wire[9:12]), None)
            assert await body_of(found) == body
            found.release()
        except ConnectionFailed:  # aiohttp's parser refuses an answer with what is in one with it
            assert cut == "in one"
            assert junk in {"zero", "long"} or first == "last"
        await pushing
        assert not await it.settles()
        assert not await it.is_kept()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("pieces", [[SECOND], [b"H"], [b"\r\n"], [SECOND[:9], SECOND[9:]]])
async def test_what_comes_while_a_connection_is_idle_closes_it(
    pieces: list[bytes], tls: bool
) -> None:
    async with line(tls=tls) as it:
        assert not await it.is_kept()
        await it.send(*pieces)
        assert not await it.settles()
        assert not await it.is_kept()


# What is not wanted -------------------------------------------------------------------------

LAST = b"Connection: close\r\nContent-Length: 5\r\n\r\n"
FIVES = b"5\r\nabcde\r\n" * 200
K = b"3e8\r\n" + b"a" * 1000 + b"\r\n"
#: What comes before an answer is given back, what comes after, and whether it is received.
RESTS = {
    "whole": ([answer(b"abc")], [], True),
    "whole and large": ([length(2 * CHUNK), b"a" * 2 * CHUNK], [], True),
    "short": ([length(1003) + b"abc"], [b"a" * 999, b"a"], True),
    "longest": ([length(DRAIN_BYTES + 3) + b"abc"], [b"a" * DRAIN_BYTES], True),
    "too long": ([length(DRAIN_BYTES + 4) + b"abc"], [], False),
    "end of a large body": ([length(CHUNK), b"a" * 99_000], [b"a" * 999, b"a"], True),
    "end of two chunks": ([length(2 * CHUNK), b"a" * 199_000], [b"a" * 1000], True),
    "end of two chunks and more": ([length(250_000), b"a" * 250_000], [], True),
    "two chunks and much more": ([length(9 * CHUNK), b"a" * 300_000], [], False),
    "one byte more": ([length(5)], [b"12345!"], False),
    "one byte more after a large body": ([length(CHUNK), b"a" * 99_000], [b"a" * 1001], False),
    "an answer more": ([length(5)], [b"12345" + SECOND], False),
    "chunks": ([OK + CHUNKED], [*[FIVES] * 10, b"0\r\nX: y\r\n\r\n"], True),
    "chunks, some unread": ([OK + CHUNKED, K * 60], [*[FIVES] * 10, b"0\r\n\r\n"], True),
    "chunks, many unread": ([OK + CHUNKED, K * 900], [K], False),
    "chunks, too long": ([OK + CHUNKED], [K] * 70, False),
    "no chunk": ([OK + CHUNKED], [b"zz\r\n"], False),
    "ended by the connection": ([OK + b"\r\n"], [], False),
    "last": ([OK + LAST], [], False),
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", RESTS)
async def test_a_short_rest_is_received_for_the_connection(name: str, tls: bool) -> None:
    before, after, is_kept = RESTS[name]
    async with line(tls=tls) as it:
        found = await it.ask(*before)
        for _ in range(100):
            await gently()
        found.release()
        await it.send(*after)
        assert await it.settles() is is_kept
        assert await it.is_kept() is is_kept


@pytest.mark.parametrize("end", ["silence", "close", "reset"])
@pytest.mark.parametrize(
    "before", [[length(5)], [length(CHUNK), b"a" * 99_000], [OK + CHUNKED]], ids=len
)
async def test_a_rest_that_never_comes_closes(before: list[bytes], end: str, clock: Clock) -> None:
    async with line(timeout_s=10) as it:
        found = await it.ask(*before)
        found.release()
        await clock.pass_by(9.9)
        assert it.client.receivers
        await clock.pass_by(0.2 if end == "silence" else 0)
        if end != "silence":
            it.peer.reset() if end == "reset" else it.peer.writer.close()
        assert not await it.settles()
        found.release()


async def test_an_answer_that_was_given_back_is_not_read() -> None:
    async with line() as it:
        found = await it.ask(length(5) + b"abc")
        found.release()
        reading = asyncio.create_task(body_of(found))
        await gently()
        reading.cancel()  # it has ended by now
        with pytest.raises(ConnectionFailed, match="already released"):
            await reading
