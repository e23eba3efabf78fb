"""One HTTP/1.1 connection against whatever a source may send, in whatever pieces."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.collection.scripted_server import WAIT_S, Peer, answer, gently, serving

from crypto_lakehouse.collection import connection as module
from crypto_lakehouse.collection.answers import Lost
from crypto_lakehouse.collection.connection import Connection

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SCRATCH = 1 << 15
HEAD_LIMIT = 1 << 16
CHUNK = 40_000
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
SIZES = (0, 1, 2, SCRATCH - 1, SCRATCH, SCRATCH + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK)


@define
class Line:
    """A connection, the other end of its socket, and how often it said that it is free."""

    connection: Connection
    source: socket.socket
    freed: list[Connection]

    async def send(self, *pieces: bytes) -> None:
        """Send pieces; what the client can read of one it reads before the next one goes."""
        for piece in pieces:
            await asyncio.get_running_loop().sock_sendall(self.source, piece)
            await gently()

    async def request(self) -> bytes:
        """Receive what the client asks."""
        async with asyncio.timeout(WAIT_S):
            return await asyncio.get_running_loop().sock_recv(self.source, 1 << 16)

    async def ask(self, *pieces: bytes) -> None:
        """Ask, and let the source answer with these pieces."""
        async with asyncio.timeout(WAIT_S):
            asking = asyncio.ensure_future(self.connection.ask(REQUEST))
            try:
                await self.request()
                with suppress(OSError):
                    await self.send(*pieces)
                await asking
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def body(self) -> bytes:
        """Take the body to its end."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes | bytearray]:
        """Take the chunks."""
        async with asyncio.timeout(WAIT_S):
            while chunk := await self.connection.chunk():
                yield chunk

    async def is_closed(self) -> bool:
        """Whether the client closed the socket; waits for it."""
        with suppress(OSError):
            while await self.request():
                pass
        return True

    @property
    def is_kept(self) -> bool:
        """Whether the connection can serve another request."""
        return self.connection.is_idle and not self.connection.is_closed


@asynccontextmanager
async def line(timeout_s: float = WAIT_S, chunk_bytes: int = CHUNK) -> AsyncIterator[Line]:
    """Open a connection over a pair of sockets; nothing may be left of it, nor be logged."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    freed: list[Connection] = []
    _, connection = await loop.create_connection(
        lambda: Connection(timeout_s, freed.append, chunk_bytes), sock=ours
    )
    try:
        yield Line(connection, theirs, freed)
    finally:
        connection.abort()
        theirs.close()
        await gently()
    assert ours.fileno() == -1
    assert not connection._patience.is_watching
    assert not complaints, complaints


# Any valid answer, in any pieces -----------------------------------------------------------


@define
class Sent:
    """An answer as it goes over the line, and what must come out of it."""

    wire: bytes
    status: int
    body: bytes
    ends_with_connection: bool = False
    headers: dict[str, str] = field(factory=dict)
    head_bytes: int = 0


def chunked(body: bytes, sizes: Iterable[int], extension: bytes = b"") -> bytes:
    parts, at = [], 0
    for size in sizes:
        if piece := body[at : at + size]:
            parts.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
            at += size
    if rest := body[at:]:
        parts.append(b"%X\r\n%s\r\n" % (len(rest), rest))
    return b"".join(parts)


@st.composite
def sent(draw: st.DrawFn, kinds: tuple[str, ...] = ("length", "chunked", "eof", "none")) -> Sent:
    kind = draw(st.sampled_from(kinds))
    interim = b"".join(
        draw(
            st.lists(
                st.sampled_from(
                    [
                        b"HTTP/1.1 100 Continue\r\n\r\n",
                        b"HTTP/1.1 103 Early Hints\r\nETag: early\r\nLink: a\r\n\r\n",
                        b"HTTP/1.1 102 X\r\nContent-Length: 7\r\n\r\n",
                        b"HTTP/1.1 150 X\r\nContent-Length: 4\r\n\r\nbody",
                    ]
                ),
                max_size=3,
            )
        )
    )
    value = draw(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=20))
    headers = {"X-Value": value}
    head = f"X-Value:  {value} \t\r\n".encode()
    size = draw(st.sampled_from(SIZES) | st.integers(0, 200))
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    status = draw(st.sampled_from([200, 206, 404, 503]))
    if kind == "none":
        status = draw(st.sampled_from([204, 304]))
        head = b"HTTP/1.1 %d X\r\n" % status + head + b"\r\n"
        return Sent(interim + head, status, b"", False, headers, len(interim + head))
    head = b"HTTP/1.1 %d X\r\n" % status + head
    if kind == "length":
        head = interim + head + b"Content-Length: %d\r\n\r\n" % size
        if draw(st.booleans()):  # the first reading is exactly full, or nearly
            size = max(0, SCRATCH - len(head) + draw(st.integers(-2, 2)))
            tail = b"Content-Length: %d\r\n\r\n" % size
            head = head[: head.rindex(b"Content-Length")] + tail
            body = (b"0123456789" * SCRATCH)[:size]
        return Sent(head + body, status, body, False, headers, len(head))
    if kind == "eof":
        head = interim + head + b"\r\n"
        return Sent(head + body, status, body, True, headers, len(head))
    sizes = draw(st.lists(st.integers(1, 50) | st.sampled_from(SIZES[1:]), max_size=6))
    extension = draw(st.sampled_from([b"", b";a=b", b';a="b c"']))
    trailers = draw(st.sampled_from([b"", b"X-Value: of the trailer\r\n", b"ETag: late\r\n"]))
    wire = chunked(body, sizes, extension) + b"0\r\n" + trailers + b"\r\n"
    head = interim + head + CHUNKED
    return Sent(head + wire, status, body, False, headers, len(head))


@st.composite
def cuts(draw: st.DrawFn) -> list[float]:
    return sorted(draw(st.lists(st.floats(0, 1, width=32), max_size=8)))


def pieces_of(wire: bytes, at: list[float]) -> list[bytes]:
    if len(wire) < 300 and len(at) == 1:
        return [wire[i : i + 1] for i in range(len(wire))]
    places = [0, *(int(place * len(wire)) for place in at), len(wire)]
    return [wire[a:b] for a, b in pairwise(places)]


@given(sent(), cuts(), st.sampled_from([CHUNK, 1000, 1 << 20]))
@settings(max_examples=250)
def test_any_answer_in_any_pieces_is_the_same(
    what: Sent, at: list[float], chunk_bytes: int
) -> None:
    async def main() -> None:
        async with line(chunk_bytes=chunk_bytes) as it:

            async def serve() -> None:
                await it.request()
                await it.send(*pieces_of(what.wire, at))
                if what.ends_with_connection:
                    it.source.shutdown(socket.SHUT_WR)

            sending = asyncio.ensure_future(serve())
            await it.connection.ask(REQUEST)
            assert it.connection.status == what.status
            body = it.connection.whole_body()
            assert body is None or body == what.body
            assert (body or b"") + await it.body() == what.body
            assert (
                dict(it.connection.headers).items()
                >= {k.lower(): v for k, v in what.headers.items()}.items()
            )
            assert "ETag" not in it.connection.headers
            await sending
            it.connection.release()
            if what.ends_with_connection:
                assert not it.is_kept
            if it.is_kept:
                await it.ask(answer(b"next"))
                assert (it.connection.whole_body(), await it.body()) == (b"next", b"")

    asyncio.run(main())


@given(sent(("length", "chunked")), cuts(), st.floats(0, 1, exclude_max=True), st.booleans())
@settings(max_examples=150)
def test_an_answer_that_breaks_off_is_never_whole(
    what: Sent, at: list[float], end: float, closes: bool
) -> None:
    wire = what.wire[: int(end * len(what.wire))]
    if closes:
        wire = wire.replace(b"X-Value:", b"Connection: close\r\nX-Value:")

    async def main() -> None:
        async with line() as it:

            async def serve() -> None:
                await it.request()
                await it.send(*pieces_of(wire, at))
                it.source.close()

            sending = asyncio.ensure_future(serve())
            try:
                await it.connection.ask(REQUEST)
            except Lost as error:
                assert not error.in_body
                assert it.connection.was_answered is (wire != b"")
            else:
                body = b""
                broken: Lost | None = None
                try:
                    async for chunk in it.chunks():
                        body += chunk
                except Lost as error:
                    broken = error
                assert broken is not None
                assert broken.in_body
                assert what.body.startswith(body)
                if it.connection.size_bytes is not None:  # all that came is handed out
                    assert len(body) == len(what.wire[: int(end * len(what.wire))]) - (
                        what.head_bytes
                    )
                with pytest.raises(Lost):
                    await it.connection.chunk()
            await sending
            assert it.freed
            assert it.connection.is_closed

    asyncio.run(main())


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=100).map(lambda junk: OK + junk),
        st.binary(max_size=100).map(lambda junk: OK + CHUNKED + junk),
        st.binary(max_size=100).map(lambda junk: OK + b"X: " + junk + b"\r\n\r\n"),
        st.binary(max_size=60).map(lambda junk: OK + b"Content-Length: " + junk + b"\r\n\r\n"),
    ),
    cuts(),
)
@example(b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nrest", [])
@settings(max_examples=200)
def test_any_bytes_are_an_answer_or_lost(wire: bytes, at: list[float]) -> None:
    async def main() -> None:
        async with line() as it:

            async def serve() -> None:
                await it.request()
                with suppress(OSError):
                    await it.send(*pieces_of(wire, at))
                it.source.close()

            sending = asyncio.ensure_future(serve())
            with suppress(Lost):
                await it.connection.ask(REQUEST)
                assert it.connection.status >= 200
                assert all(isinstance(value, str) for value in it.connection.headers.values())
                await it.body()
            await sending

    asyncio.run(main())


# Heads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n" + answer(b"a"),
        b"HTTP/1.1 099 X\r\n\r\nbody",
        b"HTTP/1.1 101 X\r\n\r\n" + answer(b"a"),
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + answer(b"a"),
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\naa",
        OK + b"Content-Length: 1\r\n" + CHUNKED + b"1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\na",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1, 1\r\n\r\na",
        OK + b"Content-Length: 18446744073709551616\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        OK + b"X-\xff: a\r\n\r\n",
        OK + b"X: a\r\n b\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_refused_and_closes(head: bytes) -> None:
    async with line() as it:
        with pytest.raises(Lost, match="not an answer") as caught:
            await it.ask(head)
        assert not caught.value.in_body
        assert it.connection.was_answered
        assert it.connection.is_closed
        assert await it.is_closed()


@pytest.mark.parametrize(
    "piece",
    [
        OK + b"X: " + b"a" * 1000,
        b"HTTP/1.1 200 " + b"a" * 1000,
        OK + b"X: a\r\n" * 100,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"\r\n" * 100,
    ],
)
async def test_a_head_that_does_not_end_is_given_up(piece: bytes) -> None:
    more = piece[-100:] if b"\r\n\r\n" not in piece else piece
    if piece.endswith(b"X: a\r\n"):
        more = b"X: a\r\n" * 100
    sent_bytes = 0
    async with line() as it:
        asking = asyncio.ensure_future(it.connection.ask(REQUEST))
        await it.request()
        await it.send(piece)
        with suppress(OSError):
            while not it.connection.is_closed and sent_bytes < 10 * HEAD_LIMIT:
                await it.send(more)
                sent_bytes += len(more)
        with pytest.raises(Lost, match="does not end"):
            await asking
        assert sent_bytes <= HEAD_LIMIT + SCRATCH


@pytest.mark.parametrize("start", [b"0\r\nX: ", b"1;x="])
async def test_trailers_and_extensions_that_do_not_end_are_given_up(start: bytes) -> None:
    async with line() as it:
        await it.ask(OK + CHUNKED + b"1\r\na\r\n" + start)
        assert await it.connection.chunk() == b"a"
        taking = asyncio.ensure_future(it.connection.chunk())
        sent_bytes = 0
        with suppress(OSError):
            while not it.connection.is_closed and sent_bytes < 10 * HEAD_LIMIT:
                await it.send(b"a" * 1000)
                sent_bytes += 1000
        with pytest.raises(Lost, match="do not end"):
            await taking
        assert sent_bytes <= HEAD_LIMIT + SCRATCH


async def test_many_marks_between_chunks_are_no_endless_ones() -> None:
    extension = b";" + b"x" * 1000
    async with line() as it:
        await it.ask(OK + CHUNKED)
        await it.send(*([b"1", extension, b"\r\n", b"a\r\n"] * 100), b"0\r\n\r\n")
        assert await it.body() == b"a" * 100


async def test_tiny_chunks_are_joined() -> None:
    async with line() as it:
        await it.ask(OK + CHUNKED + b"1\r\na\r\n" * 5000, b"0\r\n\r\n")
        assert [len(chunk) async for chunk in it.chunks()] == [5000]


async def test_an_idle_connection_holds_no_body() -> None:
    body = b"a" * (CHUNK * 2)
    for reads in (True, False):
        async with line() as it:
            await it.ask(answer(body)[:100])
            await it.send(answer(body)[100:])
            while reads and await it.connection.chunk():
                pass
            it.connection.release()
            assert it.is_kept
            assert not it.connection._ready
            assert not it.connection._last
            assert not it.connection._chunk


async def test_headers_are_found_in_any_case_and_the_last_counts() -> None:
    async with line() as it:
        await it.ask(answer(b"", "ETag: a", "X-Twice: 1", "x-twice: 2", "Empty:", "S: a b \t"))
        headers = it.connection.headers
        assert headers["etag"] == headers["ETAG"] == "a"
        assert headers["X-Twice"] == "2"
        assert headers["Empty"] == ""
        assert headers["S"] == "a b"
        assert headers.get("nothing") is None
        assert set(headers) == {"content-length", "etag", "x-twice", "empty", "s"}
        assert len(headers) == 5


async def test_header_values_that_are_no_utf_8_become_surrogates() -> None:
    async with line() as it:
        await it.ask(OK + b"Location: /\xff\xfe\xc3\xa9\r\nContent-Length: 0\r\n\r\n")
        assert it.connection.headers["location"] == "/\udcff\udcfe\u00e9"


# Bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1])
async def test_an_impossible_length_is_none_and_the_body_never_whole(length: int) -> None:
    async with line() as it:
        await it.ask(OK + b"Content-Length: %d\r\n\r\nabc" % length)
        assert it.connection.size_bytes is None
        assert await it.connection.chunk() == b"abc"
        it.source.close()
        with pytest.raises(Lost):
            await it.connection.chunk()


@pytest.mark.parametrize("encoding", ["gzip", "identity", "chunked, gzip"])
async def test_a_coding_without_an_end_is_never_whole(encoding: str) -> None:
    async with line() as it:
        await it.ask(OK + f"Transfer-Encoding: {encoding}\r\n\r\nabc".encode())
        assert await it.connection.chunk() == b"abc"
        it.source.close()
        with pytest.raises(Lost):
            await it.connection.chunk()


async def test_a_chunk_that_is_none_ends_the_body_after_what_came() -> None:
    async with line() as it:
        await it.ask(OK + CHUNKED + b"3\r\nabc\r\nzz\r\n")
        assert await it.connection.chunk() == b"abc"
        with pytest.raises(Lost, match="not an answer") as caught:
            await it.connection.chunk()
        assert caught.value.in_body


async def test_a_body_of_unknown_length_that_is_reset_is_lost() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\nabc")
        await release.wait()
        peer.reset()

    release = asyncio.Event()
    async with serving(script) as source:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(WAIT_S, lambda _: None), "127.0.0.1", source.base.port or 0
        )
        await connection.ask(REQUEST)
        assert await connection.chunk() == b"abc"
        release.set()
        with pytest.raises(Lost, match="reset"):
            await connection.chunk()


async def test_large_bodies_come_in_chunks_of_the_size_asked_for() -> None:
    body = bytes(range(256)) * 1000
    async with line(chunk_bytes=CHUNK) as it:
        await it.ask(OK + b"Content-Length: %d\r\n\r\n" % len(body))
        sending = asyncio.ensure_future(it.send(body))
        chunks = [bytes(chunk) async for chunk in it.chunks()]
        await sending
        assert b"".join(chunks) == body
        assert [len(chunk) for chunk in chunks] == [CHUNK] * 6 + [len(body) - 6 * CHUNK]


async def test_a_chunk_that_fills_slowly_is_handed_over_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CHUNK_AGE_S", 0.0)
    async with line() as it:
        await it.ask(OK + b"Content-Length: 7\r\n\r\n")
        await it.send(b"abc")
        assert await it.connection.chunk() == b"abc"
        await it.send(b"de", b"fg")
        assert await it.connection.chunk() == b"de"
        assert await it.connection.chunk() == b"fg"
        assert await it.connection.chunk() == b""
        it.connection.release()
        assert it.is_kept


async def test_a_slow_consumer_makes_the_source_wait_and_gets_everything() -> None:
    async def run(head: bytes, body: bytes, wire: bytes) -> None:
        async with line(chunk_bytes=CHUNK) as it:
            it.source.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await it.ask(head)
            sent_bytes = 0
            with suppress(BlockingIOError):
                while True:
                    await gently()
                    sent_bytes += it.source.send(wire[sent_bytes : sent_bytes + 4096])
            assert it.connection._paused
            held = sum(map(len, it.connection._ready)) + len(it.connection._chunk)
            assert held <= 2 * CHUNK + SCRATCH
            assert len(it.connection._ready) < 20
            assert sent_bytes < len(wire) / 2
            sending = asyncio.ensure_future(it.send(wire[sent_bytes:]))
            assert await it.body() == body
            await sending
            it.connection.release()
            assert it.is_kept

    body = b"0123456789" * 500_000
    await run(OK + b"Content-Length: %d\r\n\r\n" % len(body), body, body)
    await run(OK + CHUNKED, body, chunked(body, [9999] * 501) + b"0\r\n\r\n")
    tiny = b"ab" * 200_000
    wire = b"1\r\na\r\n1\r\nb\r\n" * 200_000
    await run(OK + CHUNKED, tiny, wire + b"0\r\n\r\n")


# A second answer ----------------------------------------------------------------------------


SECOND = b"HTTP/1.1 404 Not Found\r\nETag: evil\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize(
    "junk",
    [SECOND, SECOND[:1], SECOND[:20], b"\x00", b"0" * 70_000],
    ids=["whole", "one byte", "begun", "no answer", "long"],
)
@pytest.mark.parametrize(
    ("first", "body"),
    [
        (answer(b"good"), b"good"),
        (answer(), b""),
        (b"HTTP/1.1 304 X\r\n\r\n", b""),
        (OK + CHUNKED + b"4\r\ngood\r\n0\r\n\r\n", b"good"),
        (answer(b"good", "Connection: close"), b"good"),
        (answer(b"g" * SCRATCH), b"g" * SCRATCH),
        (answer(b"g" * CHUNK * 2), b"g" * CHUNK * 2),
    ],
)
async def test_an_answer_that_nobody_asked_for_reaches_no_request(
    first: bytes, body: bytes, junk: bytes
) -> None:
    status = int(first[9:12])
    async with line() as it:
        sending = asyncio.ensure_future(it.ask(first + junk))
        while not sending.done():
            await gently()
            if it.connection.status:
                break
        assert it.connection.status == status
        assert "etag" not in it.connection.headers
        assert await it.body() == body
        it.connection.release()
        await sending
        assert it.connection.status == status
        assert not it.is_kept
        assert await it.is_closed()


@pytest.mark.parametrize("over", [-1, 0, 1])
async def test_a_first_reading_that_is_full_lets_nothing_slip_into_the_next_answer(
    over: int,
) -> None:
    size = SCRATCH - len(answer(b"a" * 10_000)) + 10_000 + over
    async with line() as it:
        await it.ask(answer(b"a" * size))
        assert len(await it.body()) == size
        it.connection.release()
        assert it.is_kept is (over != 0)


async def test_what_comes_while_idle_closes() -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        assert it.connection.whole_body() == b"good"
        it.connection.release()
        assert it.freed == [it.connection]
        await it.send(SECOND)
        assert it.connection.is_closed
        assert it.freed == [it.connection] * 2
        with pytest.raises(Lost):
            await it.connection.ask(REQUEST)
        assert await it.is_closed()


async def test_what_comes_after_the_body_leaves_the_body_readable() -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        await it.send(SECOND)
        assert it.connection.whole_body() == b"good"
        assert await it.connection.chunk() == b""
        it.connection.release()
        assert not it.is_kept


async def test_line_ends_after_an_answer_are_let_pass() -> None:
    async with line() as it:
        await it.ask(answer(b"good") + b"\r\n")
        assert await it.body() == b"good"
        it.connection.release()
        assert it.is_kept


# The connection's end -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "kept"),
    [
        (answer(b"a"), True),
        (answer(), True),
        (answer(b"a", "Connection: close"), False),
        (OK + CHUNKED + b"0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", True),
        (b"HTTP/1.1 204 X\r\n\r\n", True),
        (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", True),
    ],
)
async def test_connections_are_kept_where_the_source_keeps_them(wire: bytes, kept: bool) -> None:
    async with line() as it:
        await it.ask(wire)
        await it.body()
        it.connection.release()
        assert it.is_kept is kept
        assert it.freed == [it.connection]
        if not kept:
            assert await it.is_closed()


async def test_a_source_that_closes_after_a_whole_body_leaves_the_body_readable() -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        it.source.shutdown(socket.SHUT_WR)
        await gently()
        assert await it.body() == b"good"
        it.connection.release()
        assert not it.is_kept


async def test_a_connection_that_is_closing_takes_no_request() -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        await it.body()
        it.connection.release()
        it.connection._transport.close()
        with pytest.raises(Lost):
            await it.connection.ask(REQUEST)
        assert not it.connection.was_answered


async def test_a_source_that_closes_between_body_and_release_is_not_kept() -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        await it.body()
        it.connection._transport.close()
        it.connection.release()
        assert not it.is_kept


async def test_a_connection_that_was_idle_for_long_takes_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        await it.body()
        it.connection.release()
        monkeypatch.setattr(module, "_IDLE_LIMIT_S", -1.0)
        with pytest.raises(Lost, match="idle"):
            await it.connection.ask(REQUEST)
        assert not it.connection.was_answered
        assert await it.is_closed()


# Silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", [b"", b"HTTP", OK, b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_silence_before_or_in_the_head(wire: bytes) -> None:
    async with line(timeout_s=0.05) as it:
        with pytest.raises(TimeoutError):
            await it.ask(wire)
        assert it.connection.is_closed
        assert await it.is_closed()


@pytest.mark.parametrize(
    "head", [b"Content-Length: 9\r\n\r\n", CHUNKED + b"9\r\n", b"\r\n", CHUNKED + b"3\r\n"]
)
async def test_silence_in_the_body_hands_out_what_came(head: bytes) -> None:
    async with line(timeout_s=0.05) as it:
        await it.ask(OK + head, b"abc")
        assert await it.connection.chunk() == b"abc"
        with pytest.raises(TimeoutError):
            await it.connection.chunk()
        assert it.connection.is_closed
        assert await it.is_closed()


async def test_what_came_before_the_last_chunk_grew_full_is_handed_out() -> None:
    async with line(timeout_s=0.05) as it:
        await it.ask(OK + b"Content-Length: 9\r\n\r\n")
        await it.send(b"abc")
        assert await it.connection.chunk() == b"abc"
        with pytest.raises(TimeoutError):
            await it.connection.chunk()


async def test_a_source_that_keeps_sending_is_not_silent() -> None:
    loop = asyncio.get_running_loop()
    async with line(timeout_s=0.1) as it:
        await it.ask(OK + b"Content-Length: 1000000\r\n\r\n")
        taking = asyncio.ensure_future(it.body())
        until = loop.time() + 0.25
        while loop.time() < until:
            await it.send(b"a")
        assert not taking.done()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def test_nobody_waits_and_nothing_is_timed() -> None:
    async with line(timeout_s=0.01) as it:
        await it.ask(OK + b"Content-Length: 3\r\n\r\n")
        while it.connection._patience.is_watching:
            await gently()
        assert not it.connection.is_closed
        await it.send(b"abc")
        assert await it.body() == b"abc"


# Given back, given up -----------------------------------------------------------------------


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 100])
@pytest.mark.parametrize("rest", [1, 1000, HEAD_LIMIT - 1, HEAD_LIMIT])
async def test_a_short_rest_is_received_for_the_connection(rest: int, chunk_bytes: int) -> None:
    async with line(chunk_bytes=chunk_bytes) as it:
        await it.ask(OK + b"Content-Length: %d\r\n\r\nabc" % (rest + 3))
        it.connection.release()
        assert not it.freed
        await it.send(b"a" * rest)
        assert it.freed == [it.connection]
        await it.ask(answer(b"next"))
        assert await it.body() == b"next"


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 100])
async def test_a_short_rest_in_chunks_is_received_for_the_connection(chunk_bytes: int) -> None:
    async with line(chunk_bytes=chunk_bytes) as it:
        piece = b"4e20\r\n" + b"a" * 20_000 + b"\r\n"
        await it.ask(OK + CHUNKED, piece, piece)
        assert it.connection._paused is (chunk_bytes == 100)
        it.connection.release()
        await it.send(*[b"5\r\nabcde\r\n" * 200] * 10, b"0\r\nX: y\r\n\r\n")
        assert it.is_kept
        await it.ask(answer(b"next"))
        assert await it.body() == b"next"


@pytest.mark.parametrize("head", [b"Content-Length: %d\r\n\r\n" % (HEAD_LIMIT + 1), b"\r\n"])
async def test_a_long_or_unknown_rest_closes_at_once(head: bytes) -> None:
    async with line() as it:
        await it.ask(OK + head)
        it.connection.release()
        assert it.connection.is_closed
        assert await it.is_closed()


async def test_a_rest_in_chunks_that_is_long_closes() -> None:
    async with line() as it:
        await it.ask(OK + CHUNKED)
        it.connection.release()
        with suppress(OSError):
            while not it.connection.is_closed:
                await it.send(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
        assert await it.is_closed()


@pytest.mark.parametrize("more", [b"!", SECOND, b"0" * 200])
async def test_a_rest_that_is_more_than_was_due_is_not_kept(more: bytes) -> None:
    async with line() as it:
        await it.ask(OK + b"Content-Length: 5\r\n\r\n")
        it.connection.release()
        await it.send(b"12345" + more)
        assert not it.is_kept
        assert await it.is_closed()


async def test_a_rest_that_is_no_chunk_closes() -> None:
    async with line() as it:
        await it.ask(OK + CHUNKED)
        it.connection.release()
        await it.send(b"zz\r\n")
        assert it.connection.is_closed
        assert it.freed


@pytest.mark.parametrize("head", [b"Content-Length: 5\r\n\r\n", CHUNKED])
async def test_a_rest_that_never_comes_closes(head: bytes) -> None:
    async with line(timeout_s=0.05) as it:
        await it.ask(OK + head)
        it.connection.release()
        assert await it.is_closed()
        assert it.connection.is_closed
        assert it.freed == [it.connection]


async def test_a_rest_that_breaks_off_closes() -> None:
    async with line() as it:
        await it.ask(OK + b"Content-Length: 5\r\n\r\n")
        it.connection.release()
        it.source.close()
        await gently()
        assert it.connection.is_closed
        assert it.freed == [it.connection]


async def test_a_connection_that_closes_is_released_still() -> None:
    async with line() as it:
        await it.ask(OK + b"Content-Length: 5\r\n\r\n")
        it.source.close()
        await gently()
        it.connection.release()
        assert it.connection.is_closed


async def test_a_paused_body_is_given_up_where_it_is_long() -> None:
    async with line(chunk_bytes=1000) as it:
        await it.ask(OK + b"Content-Length: 500000\r\n\r\n", b"a" * 5000)
        assert it.connection._paused
        it.connection.release()
        assert await it.is_closed()


async def test_a_paused_body_with_a_short_rest_goes_on() -> None:
    async with line(chunk_bytes=1000) as it:
        await it.ask(OK + b"Content-Length: 5000\r\n\r\n", b"a" * 4000)
        assert it.connection._paused
        it.connection.release()
        await it.send(b"a" * 1000)
        assert it.is_kept


@pytest.mark.parametrize("wire", [b"", OK, OK + CHUNKED, OK + b"Content-Length: 5\r\n\r\nab"])
async def test_giving_up_ends_whoever_waits(wire: bytes) -> None:
    async with line() as it:

        async def use() -> None:
            await it.connection.ask(REQUEST)
            await it.body()

        using = asyncio.ensure_future(use())
        await it.request()
        await it.send(wire)
        it.connection.abort()
        with pytest.raises(Lost, match="given up"):
            await using
        assert await it.is_closed()


async def test_a_connection_that_ended_is_collected_at_once_or_by_the_next_collection() -> None:
    async with line() as it:
        await it.ask(answer(b"good"))
        reference = weakref.ref(it.connection)
        it.connection.abort()
    await gently()
    del it
    gc.collect()
    assert reference() is None
