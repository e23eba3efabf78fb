"""Listings that fail, that are none, or that lie: each is an error and never an empty answer."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.conftest import SleepRecorder
from tests.http.listers import (
    Answers,
    Heard,
    holding,
    keys_of,
    lister_of,
    listing,
    numbered,
    objects,
    page,
    read,
)

from crypto_lakehouse.core.errors import ConnectionFailed, ListingError, NoListing
from crypto_lakehouse.core.events import ListingRetried
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing_xml import PAGE_LIMIT_BYTES
from crypto_lakehouse.testing.faults import Body, Cut, Status, Truncate

HTML = b"<!DOCTYPE html><html><body>It works!</body></html>"


# Retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Status(503),
        Status(429),
        Truncate(at=100),
        Cut(),
        Body(page(objects("p/a"))[:-9].encode()),
        Body(page(objects("p/a")).replace("false", "perhaps").encode()),
    ],
)
async def test_a_page_that_fails_is_asked_for_again(
    retry: RetryPolicy, sleeps: SleepRecorder, fault: Body | Cut | Status | Truncate
) -> None:
    keys, heard = numbered("p/", 4), Heard()
    async with holding(*keys) as server, listing(server.url, retry, emit=heard) as lister:
        server.inject("list:*", fault * 2)
        assert keys_of(await read(lister, "p/", page_keys=3)) == keys
    retries = [event for event in heard.events if isinstance(event, ListingRetried)]
    assert [event.wait_s for event in retries] == sleeps.waits
    assert [event.attempt for event in retries] == list(range(1, len(retries) + 1))
    assert {event.prefix for event in retries} == {"p/"}
    assert all(event.reason for event in retries)


async def test_a_later_page_has_retries_of_its_own(
    retry: RetryPolicy, sleeps: SleepRecorder
) -> None:
    first = page(objects("p/a"), more=True)
    source = Answers([503, 503, 503, first, 503, 503, 503, page(objects("p/b"))])
    assert keys_of(await read(lister_of(source, retry), "p/")) == ["p/a", "p/b"]
    assert source.markers == [""] * 4 + ["p/a"] * 4
    assert len(sleeps.waits) == 6


@pytest.mark.parametrize("answer", [503, page()[:-1], ConnectionFailed("u", "reset")])
async def test_a_page_that_cannot_be_had_is_an_error(
    retry: RetryPolicy, answer: str | int | ConnectionFailed
) -> None:
    source = Answers([page(objects("p/a"), more=True), answer])
    pages = lister_of(source, retry).pages("p/")
    assert keys_of([await anext(pages)]) == ["p/a"]
    with pytest.raises(ListingError, match="`p/` cannot be listed") as caught:
        await anext(pages)
    assert caught.value.prefix == "p/"
    assert len(source.urls) == 5


@pytest.mark.parametrize("body", [HTML.decode(), HTML[15:].decode(), "", "{}"])
async def test_a_page_of_something_else_is_an_error_at_once(
    retry: RetryPolicy, sleeps: SleepRecorder, body: str
) -> None:
    source = Answers([page(objects("p/a"), more=True), body])
    with pytest.raises(ListingError, match="`p/` cannot be listed"):
        await read(lister_of(source, retry), "p/")
    assert len(source.urls) == 2
    assert not sleeps.waits


async def test_folders_that_cannot_be_had_are_an_error(retry: RetryPolicy) -> None:
    source = Answers([page(folders=["p/a/"], more=True), 503])
    with pytest.raises(ListingError, match="the source answered 503"):
        await lister_of(source, retry).folders("p/")


@pytest.mark.parametrize("status", [204, 301, 400, 404, 501])
async def test_a_status_without_a_page_is_never_an_empty_listing(
    retry: RetryPolicy, status: int
) -> None:
    with pytest.raises(ListingError, match=f"the source answered {status}"):
        await read(lister_of(Answers([status]), retry), "p/")


async def test_an_error_is_one_line_without_secrets(retry: RetryPolicy) -> None:
    error = ConnectionFailed("http://me:hunter2@b.example/", "no\nanswer")
    heard = Heard()
    lister = lister_of(Answers([error]), retry)
    lister.emit = heard
    with pytest.raises(ListingError, match="no answer") as caught:
        await read(lister, "p/")
    assert "hunter2" not in f"{caught.value} {heard.events}"


# The first question --------------------------------------------------------------------------


async def test_a_source_with_a_listing_is_asked_for_one_entry(retry: RetryPolicy) -> None:
    async with holding(*numbered("data/", 5)) as server, listing(server.url, retry) as lister:
        await lister.check()
    (request,) = server.requests
    assert request.query == {"prefix": "data/", "delimiter": "/", "max-keys": "1"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
async def test_a_source_that_knows_no_listing_has_none(retry: RetryPolicy, status: int) -> None:
    async with holding() as server, listing(server.url, retry) as lister:
        server.inject("list:*", Status(status), endless=True)
        with pytest.raises(NoListing, match=f"the source answered {status}"):
            await lister.check()


@pytest.mark.parametrize("body", [HTML, HTML[15:], b"", b"{}", b"<Error/>"])
async def test_a_source_that_answers_with_something_else_has_no_listing(
    retry: RetryPolicy, sleeps: SleepRecorder, body: bytes
) -> None:
    async with holding() as server, listing(server.url, retry) as lister:
        server.inject("list:*", Body(body))
        with pytest.raises(NoListing, match="the source has no listing"):
            await lister.check()
    assert not sleeps.waits


@pytest.mark.parametrize("fault", [Status(503), Truncate(at=50), Body(b"<ListBucketResult/>")])
async def test_a_source_in_trouble_may_have_a_listing(
    retry: RetryPolicy, fault: Body | Status | Truncate
) -> None:
    async with holding() as server, listing(server.url, retry) as lister:
        server.inject("list:*", fault, endless=True)
        with pytest.raises(ListingError) as caught:
            await lister.check()
    assert type(caught.value) is ListingError
    assert server.count() == 4


async def test_a_source_that_does_not_answer_may_have_a_listing(retry: RetryPolicy) -> None:
    async with holding() as server:
        url = server.url
    async with listing(url, retry) as lister:
        with pytest.raises(ListingError) as caught:
            await lister.check()
    assert type(caught.value) is ListingError
    assert caught.value.prefix == "data/"


# Pages that cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (page(objects("q/a")), "`q/a` was not requested"),
        (page(objects("p")), "`p` was not requested"),
        (page(objects("p/b", "p/a")), "`p/a` is out of order"),
        (page(objects("p/a", "p/a")), "`p/a` is out of order"),
        (page(objects("p/😀", "p/Ａ")), "`p/Ａ` is out of order"),
        (page(folders=["p/a/"]), "`p/a/` was not requested"),
    ],
)
async def test_a_page_that_is_none_of_this_prefix_is_refused(
    retry: RetryPolicy, body: str, reason: str
) -> None:
    source = Answers([body])
    with pytest.raises(ListingError, match=f"malformed listing: {reason}"):
        await read(lister_of(source, retry), "p/")
    assert len(source.urls) == 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (page(folders=["q/"]), "`q/` was not requested"),
        (page(folders=["p/b/", "p/a/"]), "`p/a/` is out of order"),
        (page(folders=["p/a"]), "`p/a` was not requested"),
        (page(folders=[""]), "`` was not requested"),
        (page(objects("p/a/b")), "`p/a/b` was not requested"),
    ],
)
async def test_a_page_that_does_not_roll_up_as_asked_is_refused(
    retry: RetryPolicy, body: str, reason: str
) -> None:
    with pytest.raises(ListingError, match=f"malformed listing: {reason}"):
        await lister_of(Answers([body]), retry).folders("p/")


async def test_the_object_of_a_folder_itself_is_no_folder_below_it() -> None:
    assert await lister_of(Answers([page(objects("p/"), folders=["p/a/"])])).folders("p/") == [
        "p/a/"
    ]


async def test_keys_that_an_earlier_page_had_are_refused(retry: RetryPolicy) -> None:
    source = Answers([page(objects("p/a", "p/b"), more=True)])
    with pytest.raises(ListingError, match="`p/a` is out of order"):
        await read(lister_of(source, retry), "p/")


@pytest.mark.parametrize(
    "body",
    [
        page(more=True),
        page(more=True, marker="p/5"),
        page(more=True, marker="p/4"),
        page(objects("p/6", "p/8"), more=True, marker="p/7"),
        page(objects("p/6"), folders=["p/8/"], more=True, marker="p/7"),
        page(objects("p/6"), more=True, marker="q/"),
    ],
)
async def test_a_listing_that_would_not_end_is_refused_at_once(
    retry: RetryPolicy, sleeps: SleepRecorder, body: str
) -> None:
    source = Answers([body])
    with pytest.raises(ListingError, match="malformed listing: its next page"):
        await read(lister_of(source, retry), "p/", after="p/5", delimiter="/")
    assert len(source.urls) == 1
    assert not sleeps.waits


async def test_a_page_without_end_is_read_no_further_than_it_may_be() -> None:
    """What was sent and not read lies in the buffers of two sockets, a few megabytes of it."""
    sent = 0

    async def respond(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"<ListBucketResult>")
        for _ in range(100):
            await response.write(b" " * (1 << 20))
            sent += 1 << 20
        return response

    app = web.Application()
    app.router.add_get("/", respond)
    async with TestServer(app) as server:
        once = RetryPolicy(max_retries=0)
        async with listing(str(server.make_url("/")), once) as lister:
            with pytest.raises(ListingError, match="a page of more than 16777216 bytes"):
                await read(lister, "p/")
    assert PAGE_LIMIT_BYTES / 2 < sent < 3 * PAGE_LIMIT_BYTES
