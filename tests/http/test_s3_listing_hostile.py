"""Listings that lie in ways that only their reader would notice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from attrs import define
from tests.conftest import SleepRecorder
from tests.http.listers import (
    Answer,
    Answers,
    Bucket,
    holding,
    keys_of,
    lister_of,
    listing,
    numbered,
    objects,
    page,
    read,
)
from yarl import URL

from crypto_lakehouse.core.errors import ListingError, NoListing
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing.faults import Redirect, Status

URL_ENCODED = "<EncodingType>url</EncodingType>"


@pytest.mark.parametrize(
    "body",
    [
        page(objects("p/a\tb")),
        page(objects("p/a\x7f")),
        page(objects("p/a\x9b2J")),
        page(URL_ENCODED, objects("p/a%00")),
        page(URL_ENCODED, objects("p/%1B%5B2J")),
        page(URL_ENCODED, objects("q/%1B%5B2J")),
        page(folders=["p/\x9b/"]),
        page(URL_ENCODED, marker="p/%0A", more=True),
        page(objects("p/a").replace("<Size>3", "<Size>\x9b2J")),
        page("<EncodingType>\x9b2J</EncodingType>"),
    ],
)
async def test_control_characters_are_refused_and_not_repeated(body: str) -> None:
    with pytest.raises(ListingError) as caught:
        await read(lister_of(Answers([body])), "p/", delimiter="/")
    assert str(caught.value).isprintable()


async def test_characters_that_only_look_odd_are_kept() -> None:
    key = "p/\u3000\u2028币"
    assert keys_of(await read(lister_of(Answers([page(objects(key))])), "p/")) == [key]


@pytest.mark.parametrize("folder", ["p/", "p/a/b/", "p//a/"])
async def test_a_folder_that_is_not_right_below_the_prefix_is_refused(folder: str) -> None:
    with pytest.raises(ListingError, match=f"`{folder}` was not requested"):
        await lister_of(Answers([page(folders=[folder])])).folders("p/")


async def test_a_folder_without_a_name_is_one() -> None:
    assert await lister_of(Answers([page(folders=["p//"])])).folders("p/") == ["p//"]


async def test_a_message_is_not_as_long_as_what_the_source_sent() -> None:
    body = page(f"<EncodingType>{'x' * 100_000}</EncodingType>")
    with pytest.raises(ListingError) as caught:
        await read(lister_of(Answers([body])), "p/")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("size", "fits"), [(0, True), (2**63 - 1, True), (2**63, False)])
async def test_a_size_is_one_that_the_ledger_can_hold(size: int, *, fits: bool) -> None:
    lister = lister_of(Answers([page(objects("p/a").replace("<Size>3", f"<Size>{size}"))]))
    if not fits:
        with pytest.raises(ListingError, match=f"of size `{size}`"):
            await read(lister, "p/")
        return
    ((found,),) = [page.objects for page in await read(lister, "p/")]
    assert found.size_bytes == size


@pytest.mark.parametrize(
    "fault", [Status(300), Status(304), Status(301), Redirect("https://login.example/")]
)
async def test_a_source_that_sends_elsewhere_has_no_listing(
    retry: RetryPolicy, sleeps: SleepRecorder, fault: Status | Redirect
) -> None:
    async with holding() as server, listing(server.url, retry) as lister:
        server.inject("list:*", fault, endless=True)
        with pytest.raises(NoListing):
            await lister.check()
    assert not sleeps.waits


@define
class Endless:
    """Answers each request with further keys, and says that there are further pages."""

    entries: int = 1
    requests: int = 0

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        self.requests += 1
        keys = (f"p/{self.requests:09}{number:09}" for number in range(self.entries))
        yield Answer(page(objects(*keys), more=True).encode(), 200)


async def test_a_listing_that_never_ends_is_refused() -> None:
    source = Endless()
    lister = lister_of(source, most_pages=7)
    with pytest.raises(ListingError, match=r"`p/`.* more than 7 pages"):
        await read(lister, "p/")
    assert source.requests == 7


async def test_larger_pages_do_not_make_a_longer_listing() -> None:
    source = Endless(entries=3_000)
    with pytest.raises(ListingError, match=r"`p/`.* more than 7 pages of 1000 entries"):
        await read(lister_of(source, most_pages=7), "p/")
    assert source.requests == 3


async def test_a_listing_of_exactly_the_most_pages_is_whole() -> None:
    source = Bucket(numbered("p/", 12))
    found = await read(lister_of(source, most_pages=6), "p/", page_keys=2)
    assert keys_of(found) == numbered("p/", 12)
    assert source.pages == 6
