"""Answers of any shape, in any pieces, by TLS or without: whole and unchanged, or an error."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from itertools import pairwise
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.http.scripted_server import WAIT_S, Peer, answer, gently, serving
from tests.http.test_receiver import CHUNK, CHUNKED, OK, SCRATCH, Line, body_of, line, use
from tests.http.test_receiver import clock as clock  # noqa: PLC0414 - a fixture

from crypto_lakehouse.core.errors import ConnectionFailed, TransferError, TruncatedBody
from crypto_lakehouse.http import exchange
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.exchange import missing_names
from crypto_lakehouse.http.session_client import AiohttpClient

LIMIT = 1 << 22
EDGES = (SCRATCH, CHUNK, SCRATCH + CHUNK, 2 * CHUNK, 3 * CHUNK)
SIZES = (0, 1, 2, *(edge + over for edge in EDGES for over in (-1, 0, 1)))


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


INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nETag: early\r\nLink: a\r\n\r\n",
    b"HTTP/1.1 102 X\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 150 X\r\nContent-Length: 4\r\n\r\nbody",
]


@st.composite
def sent(draw: st.DrawFn, kinds: tuple[str, ...] = ("length", "chunked", "eof", "none")) -> Sent:
    kind = draw(st.sampled_from(kinds))
    interim = b"".join(draw(st.lists(st.sampled_from(INTERIM), max_size=3)))
    value = draw(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=20))
    headers = {"X-Value": value}
    status = draw(st.sampled_from([200, 206, 404, 503]))
    if kind == "none":
        status = draw(st.sampled_from([204, 304]))
    version = draw(st.sampled_from([b"1.1", b"1.0"])) if kind == "eof" else b"1.1"
    line = b"HTTP/%s %d X\r\n" % (version, status)
    head = interim + line + f"X-Value:  {value} \t\r\n".encode()
    if kind == "none":
        return Sent(head + b"\r\n", status, b"", False, headers)
    size = draw(st.sampled_from(SIZES) | st.integers(0, 200))
    if kind == "length" and draw(st.booleans()):  # the first reading is exactly full, or nearly
        size = max(0, SCRATCH - len(head + b"Content-Length: 65000\r\n\r\n") + size % 5 - 2)
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    if kind == "length":
        head += b"Content-Length: %d\r\n\r\n" % size
        return Sent(head + body, status, body, False, headers, len(head))
    if kind == "eof":
        head += b"\r\n"
        return Sent(head + body, status, body, True, headers, len(head))
    sizes = draw(st.lists(st.integers(1, 50) | st.sampled_from(SIZES[1:]), max_size=6))
    extension = draw(st.sampled_from([b"", b";a=b", b';a="b c"']))
    trailers = draw(st.sampled_from([b"", b"X-Value: of the trailer\r\n", b"ETag: late\r\n"]))
    wire = chunked(body, sizes, extension) + b"0\r\n" + trailers + b"\r\n"
    return Sent(head + CHUNKED + wire, status, body, False, headers, len(head + CHUNKED))


@st.composite
def cuts(draw: st.DrawFn) -> list[float]:
    return sorted(draw(st.lists(st.floats(0, 1, width=32), max_size=8)))


def pieces_of(wire: bytes, at: list[float]) -> list[bytes]:
    if len(wire) < 300 and len(at) == 1:
        return [wire[i : i + 1] for i in range(len(wire))]
    places = [0, *(int(place * len(wire)) for place in at), len(wire)]
    return [wire[a:b] for a, b in pairwise(places) if b > a]


@given(sent(), cuts(), st.sampled_from([CHUNK, 1000, 1 << 20]), st.sampled_from([0, 0, 0, 1]))
@settings(max_examples=examples(250))
def test_any_answer_in_any_pieces_is_the_same(
    what: Sent, at: list[float], chunk_bytes: int, tls: int
) -> None:
    async def push(peer: Peer) -> None:
        await peer.send(*pieces_of(what.wire, at))
        if what.ends_with_connection:
            peer.writer.close()

    async def main() -> None:
        async with line(chunk_bytes=chunk_bytes, tls=bool(tls)) as it:
            sending = await it.begin()
            pushing = asyncio.create_task(push(it.peer))
            found = await sending
            assert found.status == what.status
            assert found.headers.items() >= what.headers.items()
            assert "ETag" not in found.headers
            assert await body_of(found) == what.body
            await pushing
            found.release()
            await gently()  # an answer that fills the buffer to its last byte is kept a bit later
            assert await it.is_kept() is not what.ends_with_connection

    asyncio.run(main())


@given(
    sent(("length", "chunked", "eof")),
    cuts(),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["close", "reset", "close as said"]),
    st.sampled_from([0, 0, 0, 1]),
)
@settings(max_examples=examples(250))
def test_an_answer_that_breaks_off_is_never_whole(
    what: Sent, at: list[float], place: float, end: str, tls: int
) -> None:
    """Every byte that came is handed out, then the error; nothing is left."""
    wire, head_bytes = what.wire[: int(place * len(what.wire))], what.head_bytes
    if end == "close as said" and b"X-Value:" in wire:
        wire = wire.replace(b"X-Value:", b"Connection: close\r\nX-Value:", 1)
        head_bytes += len(b"Connection: close\r\n")

    async def push(it: Line) -> None:
        await it.send(*pieces_of(wire, at))
        while it.client.receivers and it.receiver.answer_bytes < len(wire):
            await gently()  # a reset drops what is not read yet
        if end == "reset" or what.ends_with_connection:  # where it is closed, it is whole
            it.peer.reset()
        else:
            it.peer.writer.close()

    async def main() -> None:
        async with line(tls=bool(tls)) as it:
            sending = await it.begin()
            pushing = asyncio.create_task(push(it))
            taken: list[bytes] = []
            try:
                found = await sending
            except ConnectionFailed:
                assert len(wire) < head_bytes
            else:
                kind = ConnectionFailed if found.size_bytes is None else TruncatedBody
                for _ in range(2):
                    with pytest.raises(kind):
                        await body_of(found, taken)
                found.release()
            body = b"".join(taken)
            assert what.body.startswith(body)
            assert b"chunked" in wire or len(body) == max(0, len(wire) - head_bytes)
            await pushing
            assert not await it.settles()
            assert len(it.source.peers) == 1

    asyncio.run(main())


# A consumer that is slow --------------------------------------------------------------------

BIG = b"0123456789" * 500_000
TINY = b"1\r\na\r\n1\r\nb\r\n"
#: Wires, and in what body they end.
SLOW = {
    "length": (OK + b"Content-Length: %d\r\n\r\n" % len(BIG) + BIG, BIG),
    "chunked": (OK + CHUNKED + b"2710\r\n%s\r\n" % BIG[:10_000] * 500 + b"0\r\n\r\n", BIG),
    "tiny chunks": (OK + CHUNKED + TINY * 99_999 + b"0\r\n\r\n", b"ab" * 99_999),
    "ended by the connection": (OK + b"\r\n" + BIG, BIG),
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.usefixtures("clock")
async def test_a_slow_consumer_makes_the_source_wait_and_gets_everything(name: str) -> None:
    async def push() -> None:
        it.peer.writer.transport.set_write_buffer_limits(0)
        it.peer.writer.write(wire)
        await it.peer.writer.drain()
        if "ended" in name:
            it.peer.writer.close()

    wire, body = SLOW[name]
    async with line() as it:
        sending = await it.begin()
        pushing = asyncio.create_task(push())
        chunks = (await sending).chunks()
        taken = [bytes(await anext(chunks))]
        for _ in range(3):
            for _ in range(200):
                await gently()
            came = it.receiver.answer_bytes
            held = came - sum(map(len, taken)) * (6 if name == "tiny chunks" else 1)
            assert held <= 2 * CHUNK + 2 * SCRATCH
            assert came < len(wire) / 2
            taken.append(bytes(await anext(chunks)))
        taken += [bytes(chunk) async for chunk in chunks]
        await pushing
        assert b"".join(taken) == body
        assert len(taken) < 100  # however small the pieces are in which it came
        if name == "length":
            assert {len(chunk) for chunk in taken[1:-1]} == {CHUNK}
        (await sending).release()
        assert await it.is_kept() is ("ended" not in name)


# What is no answer --------------------------------------------------------------------------

BAD = {
    "garbage": b"garbage\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00",
    "short status": b"HTTP/1.1 20 OK\r\n\r\n",
    "long status": b"HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\na",
    "two spaces": b"HTTP/1.1  200 OK\r\nContent-Length: 1\r\n\r\na",
    "status 0": b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n" + answer(b"a"),
    "status 99": b"HTTP/1.1 099 X\r\nContent-Length: 4\r\n\r\nbody" + answer(b"a"),
    "status 101": b"HTTP/1.1 101 X\r\n\r\n" + answer(b"a"),
    "upgrade": b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + answer(b"a"),
    "same lengths": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\naa",
    "length, chunked": OK + b"Content-Length: 1\r\n" + CHUNKED + b"1\r\na\r\n0\r\n\r\n",
    "chunked, length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\na",
    "negative": OK + b"Content-Length: -1\r\n\r\n",
    "signed": OK + b"Content-Length: +1\r\n\r\na",
    "hexadecimal": OK + b"Content-Length: 0x1\r\n\r\na",
    "empty": OK + b"Content-Length: \r\n\r\na",
    "listed": OK + b"Content-Length: 1, 1\r\n\r\na",
    "2**63": OK + b"Content-Length: 9223372036854775808\r\n\r\nabc",
    "2**64 - 1": OK + b"Content-Length: 18446744073709551615\r\n\r\nabc",
    "2**64": OK + b"Content-Length: 18446744073709551616\r\n\r\n",
    "digits": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "header name": OK + b"X-\xff: a\r\n\r\n",
    "folded length": OK + b"Content-Length: 1\r\n 0\r\n\r\n0123456789",
    "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "chunked, gzip": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nabc",
    "chunked, identity": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
    b"1\r\na\r\n0\r\n\r\n",
    "no chunk": OK + CHUNKED + b"3\r\nabc\r\nzz\r\n",
    "long chunk": OK + CHUNKED + b"3\r\nabcX\r\n0\r\n\r\n",
    "negative chunk": OK + CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "huge chunk": OK + CHUNKED + b"ffffffffffffffffff\r\nabc",
    "no end": OK + CHUNKED + b"3\r\nabc\r\n0\r\n\r",
}


@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_answer_is_never_a_success(name: str, cut: str) -> None:
    wire = BAD[name]
    async with line() as it:
        sending = await it.begin()
        using = asyncio.create_task(use(sending, []))
        await it.send(*[wire] if cut == "whole" else [wire[i : i + 1] for i in range(len(wire))])
        it.peer.writer.close()
        with pytest.raises(TransferError):
            await using
        assert not await it.settles()
        assert len(it.source.peers) == 1


# What does not end --------------------------------------------------------------------------

#: So much may come before a connection is given up: what is allowed, and two readings more.
ENDLESS = (1 << 17) + 2 * SCRATCH
MARK = OK + CHUNKED + b"1\r\na\r\n"
#: How an answer begins, and what follows again and again.
NEVER = {
    "header": (OK + b"X: ", b"a" * 1000),
    "status line": (b"HTTP/1.1 200 ", b"a" * 1000),
    "headers": (OK, b"X: a\r\n" * 100),
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "103": (b"", b"HTTP/1.1 103 X\r\nLink: " + b"a" * 5000 + b"\r\n\r\n"),
    "line ends": (b"", b"\r\n" * 100),
    "trailer": (MARK + b"0\r\nX: ", b"a" * 1000),
    "trailers": (MARK + b"0\r\n", b"X: a\r\n" * 150),
    "extension": (MARK + b"1;x=", b"a" * 1000),
    "extension name": (MARK + b"1;", b"a" * 1000),
}


@pytest.mark.parametrize("name", NEVER)
async def test_heads_and_marks_that_do_not_end_are_given_up(name: str) -> None:
    start, more = NEVER[name]
    taken: list[bytes] = []
    async with line() as it:
        sending = await it.begin(start)
        taking = asyncio.create_task(use(sending, taken))
        sent_bytes = 0
        while not taking.done() and sent_bytes < 10 * ENDLESS:
            await it.send(more)
            sent_bytes += len(more)
        assert sent_bytes <= ENDLESS
        with pytest.raises(ConnectionFailed):
            await taking
        assert b"".join(taken) == b"a" * start.startswith(MARK)
        assert not await it.settles()


async def test_many_marks_between_chunks_are_no_endless_ones() -> None:
    async with line() as it:
        found = await it.ask(OK + CHUNKED)
        await it.send(*[b"1;" + b"x" * 1000 + b"\r\na\r\n"] * 300, b"0\r\n\r\n")
        assert await body_of(found) == b"a" * 300
        found.release()
        assert await it.is_kept()


# An installed aiohttp that lacks a name ---------------------------------------------------


def test_the_installed_aiohttp_has_every_name() -> None:
    assert missing_names() == []


def lacking(owner: type, name: str, parameter: str) -> type:
    """A stand-in for a class of aiohttp, without a method, or with one that lacks a parameter."""
    names = {known: getattr(owner, known) for known in dir(owner) if not known.startswith("__")}
    whole = names.pop(name)
    if parameter:

        def cut(*_: object) -> None: ...

        signature = inspect.signature(whole)
        left = [known for known in signature.parameters.values() if known.name != parameter]
        cut.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        cut.__qualname__ = whole.__qualname__
        names[name] = cut
    return type(owner.__name__, (), names)


STREAM = ("_read_nowait", "exception", "feed_eof", "is_eof", "on_eof", "readany", "set_exception",
          "total_bytes")  # fmt: skip
HANDLER = ("set_response_params", "read", "should_close", "set_exception")
NEEDED: list[tuple[type, str, str]] = [
    *((StreamReader, name, "") for name in STREAM),
    *((ResponseHandler, name, "") for name in HANDLER),
    *((ResponseHandler, "set_response_params", name)
      for name in ("read_until_eof", "auto_decompress", "read_bufsize")),
    (aiohttp.BaseConnector, "connect", ""),
    *((aiohttp.BaseConnector, "connect", name) for name in ("req", "traces", "timeout")),
    (aiohttp.ClientSession, "_request", ""),
    (aiohttp.ClientSession, "_request", "middlewares"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "name", "parameter"), NEEDED, ids=[f"{o.__name__}.{n}({p})" for o, n, p in NEEDED]
)
async def test_the_session_takes_over_where_a_name_is_missing(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, parameter: str
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(answer(b"good"))

    known = SimpleNamespace(**vars(aiohttp))
    monkeypatch.setattr(exchange, "aiohttp", known)
    place = exchange if hasattr(exchange, owner.__name__) else known
    monkeypatch.setattr(place, owner.__name__, lacking(owner, name, parameter))
    notes: list[str] = []
    async with serving(script) as source, engine_client(8, WAIT_S, note=notes.append) as client:
        assert isinstance(client, AiohttpClient)
        assert len(notes) == 1
        assert name in notes[0]
        assert parameter in notes[0]
        for _ in range(2):
            found = await client.send(source.url(), {})
            assert await found.read(LIMIT) == b"good"
            found.release()
        assert len(source.peers) == 1
