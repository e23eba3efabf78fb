"""Scripted faults, as a client meets them."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from tests.testing.server.test_objects import KEY, Answer, fetch

from crypto_lakehouse.testing import ArchiveServer, Latch, faults


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """A server for one test."""
    with ArchiveServer() as running:
        yield running


def statuses(server: ArchiveServer, count: int, key: str = KEY) -> list[int]:
    """The statuses of so many requests in turn."""
    return [fetch(server, key).status for _ in range(count)]


def test_each_request_takes_the_next_fault(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Status(503) * 2, faults.NotFound(), faults.Status(429))
    assert statuses(server, 5) == [503, 503, 404, 429, 200]
    assert [record.status for record in server.requests] == [503, 503, 404, 429, 200]


def test_a_script_may_be_endless_until_healed(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Status(503), faults.Status(500), endless=True)
    assert statuses(server, 5) == [503, 500, 503, 500, 503]
    server.heal()
    assert statuses(server, 1) == [200]


def test_scripts_are_for_keys_and_globs_and_go_in_order(server: ArchiveServer) -> None:
    server.inject("*.zip", faults.Status(500))
    server.inject(KEY, faults.Status(503))
    server.inject("*.CHECKSUM", faults.Status(404))
    assert statuses(server, 3) == [500, 503, 200]
    assert statuses(server, 2, KEY + ".CHECKSUM") == [404, 200]


def test_a_listing_can_fail(server: ArchiveServer) -> None:
    server.inject("list:data/spot/*", faults.Status(503))
    assert fetch(server, "?prefix=data/futures/&delimiter=/").status == 200
    assert fetch(server, "?prefix=data/spot/&delimiter=/").status == 503
    assert fetch(server, "?prefix=data/spot/&delimiter=/").status == 200


def test_status_says_when_to_come_back(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Status(429, retry_after="7", body=b"slow down"))
    answer = fetch(server, KEY)
    assert (answer.status, answer.body) == (429, b"slow down")
    assert answer.headers["Retry-After"] == "7"
    server.inject(KEY, faults.Status(503))
    assert fetch(server, KEY).headers["Retry-After"] is None


def test_redirect(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Redirect("/elsewhere"), faults.Redirect("/far", status=307))
    answers = [fetch(server, KEY) for _ in range(2)]
    assert [item.status for item in answers] == [302, 307]
    assert [item.headers["Location"] for item in answers] == ["/elsewhere", "/far"]


@pytest.mark.parametrize("at", [0, 100, 999_999_999])
def test_truncate_announces_all_and_sends_a_part(server: ArchiveServer, at: int) -> None:
    whole = server.read(KEY)
    server.inject(KEY, faults.Truncate(at=at))
    if at > len(whole):  # the cut is behind the end, and harms nothing
        assert fetch(server, KEY).body == whole
        return
    with pytest.raises(http.client.IncompleteRead) as caught:
        fetch(server, KEY)
    assert caught.value.partial == whole[:at]
    assert caught.value.expected == len(whole) - at


def test_truncate_counts_from_the_start_of_a_range(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Truncate(at=5))
    with pytest.raises(http.client.IncompleteRead) as caught:
        fetch(server, KEY, {"Range": "bytes=10-"})
    assert caught.value.partial == server.read(KEY)[10:15]


def test_cut_comes_before_any_header(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Cut())
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(server, KEY)
    assert server.requests[-1].status == 0
    assert statuses(server, 1) == [200]


def test_body_replaces_one_answer(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Body(b"<html>", {"Content-Type": "text/html"}))
    answer = fetch(server, KEY, {"Range": "bytes=0-1"})
    assert (answer.status, answer.body) == (200, b"<html>")
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["ETag"] is None
    assert fetch(server, KEY).body == server.read(KEY)


def test_replace_changes_the_object_for_good(server: ArchiveServer) -> None:
    before = fetch(server, KEY)
    server.inject(KEY, faults.Headers({}), faults.Replace(b"new version"))
    assert fetch(server, KEY).headers["ETag"] == before.headers["ETag"]
    for _ in range(2):
        answer = fetch(server, KEY)
        assert answer.body == b"new version"
        assert answer.headers["ETag"] != before.headers["ETag"]
        assert answer.headers["Last-Modified"] == "Sat, 09 May 2026 09:06:34 GMT"
    etag = before.headers["ETag"]
    assert fetch(server, KEY, {"Range": "bytes=1-", "If-Range": etag}).status == 200


def test_replace_lets_an_absent_object_appear(server: ArchiveServer) -> None:
    server.inject("late.zip", faults.Headers({}), faults.Replace(b"here"))
    assert statuses(server, 3, "late.zip") == [404, 200, 200]


def test_flip_corrupts_one_byte_and_tells_nobody(server: ArchiveServer) -> None:
    whole = fetch(server, KEY)
    server.inject(KEY, faults.Flip(at=60) * 3)
    flipped = fetch(server, KEY)
    assert len(flipped.body) == len(whole.body)
    assert [
        at
        for at, pair in enumerate(zip(whole.body, flipped.body, strict=True))
        if pair[0] != pair[1]
    ] == [60]
    assert flipped.headers["ETag"] == whole.headers["ETag"]
    assert fetch(server, KEY, {"Range": "bytes=50-69"}).body == flipped.body[50:70]
    assert fetch(server, KEY, {"Range": "bytes=61-"}).body == whole.body[61:]
    server.inject("absent", faults.Flip())
    assert fetch(server, "absent").status == 404


def test_headers_are_changed_added_and_taken_away(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Headers({"etag": '"x"', "X-Extra": "1", "Last-Modified": None}))
    answer = fetch(server, KEY)
    assert answer.body == server.read(KEY)
    assert (answer.headers["ETag"], answer.headers["X-Extra"]) == ('"x"', "1")
    assert answer.headers["Last-Modified"] is None


def test_a_body_can_be_sent_in_chunks_of_unknown_number(server: ArchiveServer) -> None:
    chunked = faults.Headers({"Transfer-Encoding": "chunked"})
    server.inject(KEY, chunked, chunked & faults.Truncate(at=10))
    answer = fetch(server, KEY)
    assert answer.body == server.read(KEY)
    assert answer.headers["Content-Length"] is None
    with pytest.raises(http.client.IncompleteRead):
        fetch(server, KEY)


def test_faults_compose(server: ArchiveServer) -> None:
    both = faults.Status(500, body=b"a long apology") & faults.Truncate(at=6)
    server.inject(KEY, both, faults.Replace(b"abc") & faults.Flip(at=0) & faults.Status(206))
    with pytest.raises(http.client.IncompleteRead) as caught:
        fetch(server, KEY)
    assert caught.value.partial == b"a long"
    assert fetch(server, KEY).status == 206
    assert fetch(server, KEY).body == b"\x9ebc", "what lasts is altered as a whole"


def test_head_and_other_methods_meet_faults_too(server: ArchiveServer) -> None:
    server.inject(KEY, faults.Status(503), faults.Truncate(at=1), faults.Status(418))
    assert fetch(server, KEY, method="HEAD").status == 503
    assert fetch(server, KEY, method="HEAD").status == 200, "there is no body to cut"
    assert fetch(server, KEY, method="PUT").status == 418


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that asks each time on a new connection."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client


async def get(session: aiohttp.ClientSession, server: ArchiveServer, key: str = KEY) -> bytes:
    """Read one object."""
    async with session.get(f"{server.url}/{key}") as response:
        return await response.read()


@pytest.mark.parametrize("at", [None, 0, 100, 999_999_999])
async def test_a_stalled_answer_goes_on_when_released(
    session: aiohttp.ClientSession, at: int | None
) -> None:
    async with ArchiveServer() as server:
        stall = faults.Stall(at=at)
        server.inject(KEY, stall)
        task = asyncio.ensure_future(get(session, server))
        await stall.reached.passed()
        assert not task.done()
        stall.release.open()
        assert await task == server.read(KEY)


async def test_a_stall_shows_what_was_sent_before_it(session: aiohttp.ClientSession) -> None:
    async with ArchiveServer() as server:
        server.inject(KEY, faults.Stall(at=100))
        async with session.get(f"{server.url}/{KEY}") as response:
            assert await response.content.readexactly(100) == server.read(KEY)[:100]
            server.release()
            assert await response.content.read() == server.read(KEY)[100:]


async def test_one_release_ends_all_silences_and_later_ones_are_kept(
    session: aiohttp.ClientSession,
) -> None:
    async with ArchiveServer() as server:
        stalls = [faults.Stall(), faults.Stall(at=0), faults.Stall(at=9)]
        server.inject(KEY, *stalls)
        tasks = [asyncio.ensure_future(get(session, server)) for _ in stalls]
        for stall in stalls:
            await stall.reached.passed()
        assert server.peak_concurrency == 3
        server.release()
        assert set(await asyncio.gather(*tasks)) == {server.read(KEY)}
        later = faults.Stall()
        server.inject(KEY, later & faults.Status(500))
        task = asyncio.ensure_future(session.get(f"{server.url}/{KEY}"))
        await later.reached.passed()
        server.release()
        (await task).release()
        assert (await task).status == 500


async def test_silences_end_with_the_server(session: aiohttp.ClientSession) -> None:
    async with ArchiveServer() as server:
        stalls = [faults.Stall(), faults.Stall(at=0), faults.Stall(at=9)]
        server.inject(KEY, *stalls)
        tasks = [asyncio.ensure_future(get(session, server)) for _ in stalls]
        for stall in stalls:
            await stall.reached.passed()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientError) for result in results)


async def test_a_client_that_leaves_ends_its_request(session: aiohttp.ClientSession) -> None:
    async with ArchiveServer() as server:
        stall = faults.Stall(at=0)
        server.inject(KEY, stall)
        task = asyncio.ensure_future(get(session, server))
        await stall.reached.passed()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while server.concurrency:  # noqa: ASYNC110 - nothing tells when it ends
            await asyncio.sleep(0)
        assert await get(session, server) == server.read(KEY)


def test_a_stall_holds_a_server_in_another_thread(server: ArchiveServer) -> None:
    stall = faults.Stall(at=10)
    server.inject(KEY, stall)
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(fetch(server, KEY)))
    client.start()
    assert stall.reached.wait(200)
    assert not answers
    server.release()
    client.join()
    assert answers[0].body == server.read(KEY)


def test_a_latch_can_be_waited_for_with_a_limit() -> None:
    latch = Latch()
    assert not latch.wait(0)
    latch.open()
    latch.open()
    assert latch.is_open
    assert latch.wait(0)


async def test_a_latch_lets_all_waiters_through_and_forgets_who_gave_up() -> None:
    latch = Latch()
    waiters = [asyncio.ensure_future(latch.passed()) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    latch.open()
    waiters[1].cancel()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(result) for result in results[:2]] == [asyncio.CancelledError] * 2
    assert results[2] is None
    await latch.passed()


def test_a_latch_does_not_mind_a_loop_that_has_ended() -> None:
    latch = Latch()
    waiting = latch.passed()

    async def begin() -> None:
        waiting.send(None)

    asyncio.run(begin())
    latch.open()
    waiting.close()
    assert latch.is_open
