"""Bodies without an end, or larger than they may be: nothing of them stays, and nothing hangs.

A small bound takes the place of `LARGEST_BODY_BYTES`. The sources send for ever, or nearly so, so
only a client that stops by itself lets these tests end.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, run
from tests.attack.raw_source import RawSource, Request, Script, answer
from tests.attack.test_answers import check_tree, for_ever
from yarl import URL

from crypto_lakehouse.collection.download.fetcher import Fetched, Fetcher
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import BodyTooLarge, TransferError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.concurrency_limit import FixedLimit
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import HttpTransport
from crypto_lakehouse.stores.directory import LocalStore

KEY = KEYS[0]
ARCHIVE = Archive.parse(KEY)
MIB = 1 << 20
MOST = 3 * MIB
ETAG = '"0123456789abcdef0123456789abcdef"'
PIECE = b"evil" * 4096
CHUNK = b"%x\r\n" % len(PIECE) + PIECE + b"\r\n"
CHUNKED = answer(b"", "200 OK", "Transfer-Encoding: chunked", length="")
REST = "206 Partial Content"

WITHOUT_AN_END: dict[str, Script] = {
    "up to the end of the connection": for_ever(answer(b"", length=""), PIECE),
    "in chunks": for_ever(CHUNKED, CHUNK),
    "of http 1.0": for_ever(b"HTTP/1.0 200 OK\r\n\r\n", PIECE),
    "compressed, it says": for_ever(
        answer(b"", "200 OK", "Content-Encoding: gzip", length=""), PIECE
    ),
    "longer than its length": for_ever(answer(b"", length=MOST + 1), PIECE),
    "of a length that no disk holds": for_ever(answer(b"", length=2**62), PIECE),
}  # fmt: skip


class Place:
    """A fetcher with a small bound, and what it stores."""

    def __init__(self, source: RawSource, root: Path) -> None:
        self.source, self.store = source, LocalStore(root)
        self.resume: ObjectFacts | None = None

    async def fetch(self, listed_bytes: int | None = None, *, tries: int = 3) -> Fetched | None:
        async def emit(_events: list[Event] | tuple[Event, ...] | object) -> None:
            return None

        base = URL(self.source.url)
        async with engine_client(1, 5.0) as client:
            transport = HttpTransport(client, AllowedHosts.of(self.source.url, []))
            fetcher = Fetcher(
                transport, base, self.store, RetryPolicy(max_retries=tries - 1), FixedLimit(1),
                emit, largest_bytes=MOST,
            )  # fmt: skip
            transfer = fetcher.transfer(ARCHIVE, self.resume, listed_bytes)
            try:
                return await fetcher.archive(transfer)
            finally:
                self.fetched_bytes, self.resume = transfer.fetched_bytes, transfer.resume

    async def hold(self, size: int, known: int | None) -> None:
        """Leave the beginning of a body, of which this size is known."""
        part = await self.store.open_part(KEY, resume=False)
        await part.append(bytes(size))
        await part.close()
        self.resume = ObjectFacts(size_bytes=known, etag=ETAG)

    def files(self) -> list[str]:
        return [path.name for path in self.store.root.rglob("*") if path.is_file()]


@pytest.fixture
def place(source: RawSource, tmp_path: Path) -> Place:
    root = tmp_path / "out"
    root.mkdir()
    return Place(source, root)


@pytest.mark.parametrize("name", WITHOUT_AN_END)
async def test_a_body_without_an_end_is_refused_and_requested_once(
    source: RawSource, place: Place, name: str
) -> None:
    source.scripts[KEY] = WITHOUT_AN_END[name]
    with pytest.raises(BodyTooLarge, match=f"more than {MOST} bytes") as refused:
        await place.fetch()
    assert refused.value.most_bytes == MOST
    assert source.requests == [KEY], "a retry would fetch as much again"
    assert place.fetched_bytes <= MOST + MIB
    assert place.files() == []
    assert place.resume is None


@pytest.mark.parametrize("listed", [0, 1, len(PIECE), MIB + 1])
async def test_no_byte_more_than_listed_is_stored(
    source: RawSource, place: Place, listed: int
) -> None:
    source.scripts[KEY] = WITHOUT_AN_END["in chunks"]
    with pytest.raises(BodyTooLarge, match="its size in the listing") as refused:
        await place.fetch(listed)
    assert refused.value.most_bytes == listed
    assert place.files() == []


async def test_a_body_of_exactly_its_bound_is_fetched(source: RawSource, place: Place) -> None:
    body = bytes(MOST)
    for head in (answer(body), answer(body, length="")):
        for listed in (None, MOST):
            source.scripts[KEY] = _once(head)
            fetched = await place.fetch(listed)
            assert fetched is not None
            assert fetched.body.size_bytes == MOST
            await fetched.body.discard()


async def test_a_listed_size_lifts_no_bound(source: RawSource, place: Place) -> None:
    source.scripts[KEY] = WITHOUT_AN_END["in chunks"]
    with pytest.raises(BodyTooLarge):
        await place.fetch(2**62)
    assert place.files() == []


def _once(data: bytes) -> Script:
    def script(connection: socket.socket, _request: Request) -> bool:
        with suppress(OSError):
            connection.sendall(data)
        return False

    return script


def resumed(*lines: str, length: object = "") -> Script:
    """Answer a request for the rest with a body without an end, and any other with 503."""
    endless = for_ever(answer(b"", REST, f"ETag: {ETAG}", *lines, length=length), PIECE)

    def script(connection: socket.socket, request: Request) -> bool:
        if "range" in request.headers:
            return endless(connection, request)
        return _once(answer(b"", "503 Busy"))(connection, request)

    return script


#: The size that is known of a body whose first MiB is there, and how the rest is announced.
RESUMED: dict[str, tuple[int | None, Script]] = {
    "its range says where it ends": (
        2 * MIB, resumed(f"Content-Range: bytes {MIB}-{2 * MIB - 1}/{2 * MIB}"),
    ),
    "its range has no total": (None, resumed(f"Content-Range: bytes {MIB}-{2 * MIB - 1}/*")),
    "its range ends later than the body": (
        2 * MIB, resumed(f"Content-Range: bytes {MIB}-{2**62}/{2**62 + 1}"),
    ),
    "its range has another total": (
        2 * MIB, resumed(f"Content-Range: bytes {MIB}-{2 * MIB - 1}/{2 * MIB + 1}"),
    ),
    "its range is larger than any body": (
        None, resumed(f"Content-Range: bytes {MIB}-{2**62}/{2**62 + 1}"),
    ),
    "its length is not that of its range": (
        2 * MIB, resumed(f"Content-Range: bytes {MIB}-{2 * MIB - 1}/{2 * MIB}", length=2**62),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESUMED)
async def test_a_resumed_body_without_an_end_is_refused(
    source: RawSource, place: Place, name: str
) -> None:
    known, source.scripts[KEY] = RESUMED[name]
    await place.hold(MIB, known)
    with pytest.raises(TransferError):
        await place.fetch(tries=1)
    assert place.fetched_bytes <= 2 * MIB
    assert place.files() == [], "what follows of it would follow other bytes"
    assert place.resume is None


async def test_a_part_that_is_larger_than_any_body_is_not_continued(
    source: RawSource, place: Place
) -> None:
    source.scripts[KEY] = resumed(f"Content-Range: bytes {MOST + 1}-{MOST + 9}/*")
    await place.hold(MOST + 1, None)
    with pytest.raises(BodyTooLarge):
        await place.fetch()
    assert place.files() == []


@pytest.mark.parametrize("status", ["500 No", "404 Not Found", "302 Found"])
@pytest.mark.parametrize("head", ["", "Transfer-Encoding: chunked"])
async def test_the_body_of_an_error_is_not_read(
    source: RawSource, place: Place, status: str, head: str
) -> None:
    lines = [head] if head else []
    source.scripts[KEY] = for_ever(answer(b"", status, *lines, length=""), CHUNK)
    with suppress(TransferError):
        assert await place.fetch(tries=1) is None
    assert place.fetched_bytes == 0
    assert place.files() == []


@pytest.mark.parametrize("name", ["up to the end of the connection", "in chunks"])
def test_a_run_ends_with_a_verdict_on_it_alone(source: RawSource, here: Path, name: str) -> None:
    arguments = (
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url, "--json", "-q",
        "--discovery", "listing", "--listing-url", source.url,
    )  # fmt: skip
    source.scripts[KEY] = WITHOUT_AN_END[name]
    ended = run(*arguments)
    report = json.loads(ended.out)
    assert ended.code == 3
    (problem,) = report["problems"]
    assert (problem["key"], problem["verdict"]) == (KEY, "failed")
    size = len(source.files[KEY])
    assert f"the body has more than {size} bytes (its size in the listing)" in problem["reason"]
    assert source.requests.count(KEY) == 1
    assert not list((here / "out").rglob("*.part"))
    source.scripts.clear()
    assert run(*arguments).code == 0
    check_tree(here)


def test_the_second_source_is_bounded_too(source: RawSource, here: Path) -> None:
    with RawSource() as second:
        second.scripts[KEY] = WITHOUT_AN_END["in chunks"]
        good, source.files[KEY] = source.files[KEY], b"evil"
        ended = run(
            "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines",
            "-i", "1h", "--start", DAYS[0], "--end", DAYS[-1], "--source-url", source.url,
            "--second-source-url", second.url, "--json", "-q", "--listing-url", source.url,
            "--discovery", "listing",
        )  # fmt: skip
        assert second.requests == [KEY]
    assert ended.code == 4
    (problem,) = json.loads(ended.out)["problems"]
    assert (problem["key"], problem["verdict"]) == (KEY, "corrupt")
    assert not list((here / "out").rglob("*.part"))
    source.files[KEY] = good
