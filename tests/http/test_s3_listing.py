"""The lister: page after page, try after try, and never an empty answer for a failure."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from itertools import chain

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.http.listers import (
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

from crypto_lakehouse.core.listed import ListedObject, ListingPage
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing import Lister
from crypto_lakehouse.testing.faults import Redirect, Stall

KLINES = "data/spot/daily/klines/"
ONE_MINUTE = f"{KLINES}BTCUSDT/1m/"


# Pages ---------------------------------------------------------------------------------------


async def test_a_prefix_is_read_page_by_page(retry: RetryPolicy) -> None:
    keys = numbered(ONE_MINUTE, 5)
    async with holding(*keys) as server, listing(server.url, retry) as lister:
        pages = await read(lister, ONE_MINUTE, page_keys=2)
        assert lister.requests == 3
    assert [keys_of([page]) for page in pages] == [keys[:2], keys[2:4], keys[4:]]
    assert [page.has_more for page in pages] == [True, True, False]
    markers = [request.query.get("marker") for request in server.requests]
    assert markers == [None, keys[1], keys[3]]


async def test_objects_are_as_the_source_wrote_them(retry: RetryPolicy) -> None:
    key = f"{ONE_MINUTE}BTCUSDT-1m-2025-07-14.zip"
    async with holding(key) as server, listing(server.url, retry) as lister:
        (page,) = await read(lister, ONE_MINUTE)
    expected = ListedObject(key, 3, '"0f"', "2025-07-15T03:00:00.000Z")
    assert page == ListingPage((expected,), (), has_more=False)


async def test_folders_are_rolled_up_page_by_page(retry: RetryPolicy) -> None:
    names = ["AAAUSDT", "BTCUSDT", "BTCUSDT_250627", "ZZZUSDT"]
    keys = [key for name in names for key in numbered(f"{KLINES}{name}/1m/", 3)]
    async with holding(*keys, f"{KLINES}note") as server, listing(server.url, retry) as lister:
        pages = await read(lister, KLINES, delimiter="/", page_keys=2)
        assert await lister.folders(KLINES) == [f"{KLINES}{name}/" for name in names]
    assert [folder for page in pages for folder in page.folders] == [
        f"{KLINES}{name}/" for name in names
    ]
    assert keys_of(pages) == [f"{KLINES}note"]
    assert len(pages) == 3


async def test_one_page_is_all_that_a_caller_has_to_read(retry: RetryPolicy) -> None:
    """One connection and one permit: what the first listing kept, the second would wait for."""
    async with (
        holding(*numbered(ONE_MINUTE, 5)) as server,
        listing(server.url, retry, limit=1) as lister,
    ):
        pages = lister.pages(ONE_MINUTE, page_keys=2)
        assert (await anext(pages)).has_more
        await pages.aclose()
        assert lister.requests == server.count() == 1
        assert len(await read(lister, ONE_MINUTE)) == 1


async def test_a_caller_may_leave_in_the_middle_of_a_page(retry: RetryPolicy) -> None:
    stall = Stall(at=100)
    async with (
        holding(*numbered(ONE_MINUTE, 5)) as server,
        listing(server.url, retry, limit=1) as lister,
    ):
        server.inject("list:*", stall)
        reading = asyncio.create_task(read(lister, ONE_MINUTE))
        await stall.reached.passed()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert len(keys_of(await read(lister, ONE_MINUTE))) == 5


async def test_without_a_next_marker_the_last_key_is_it() -> None:
    source = Answers([page(objects("p/a", "p/b"), more=True), page(objects("p/c"))])
    assert keys_of(await read(lister_of(source), "p/")) == ["p/a", "p/b", "p/c"]
    assert source.markers == ["", "p/b"]


@pytest.mark.parametrize(("key", "folder"), [("p/b", "p/c/"), ("p/d", "p/c/")])
async def test_without_a_next_marker_the_last_entry_is_it(key: str, folder: str) -> None:
    source = Answers([page(objects(key), folders=[folder], more=True), page()])
    await read(lister_of(source), "p/", delimiter="/")
    assert source.markers == ["", max(key, folder)]


async def test_a_next_marker_may_be_behind_the_last_entry() -> None:
    source = Answers([page(objects("p/a"), marker="p/x", more=True), page(objects("p/y"))])
    assert keys_of(await read(lister_of(source), "p/")) == ["p/a", "p/y"]
    assert source.markers == ["", "p/x"]


async def test_a_page_may_be_empty_and_not_the_last() -> None:
    source = Answers([page(marker="p/x", more=True), page(objects("p/y"))])
    assert keys_of(await read(lister_of(source), "p/")) == ["p/y"]


async def test_after_is_a_cursor_into_a_flat_folder(retry: RetryPolicy) -> None:
    stem = f"{ONE_MINUTE}BTCUSDT-1m-2025-07-"
    keys = [f"{stem}{day:02}.zip{end}" for day in range(1, 10) for end in ("", ".CHECKSUM")]
    async with holding(*keys) as server, listing(server.url, retry) as lister:
        pages = await read(lister, ONE_MINUTE, after=f"{stem}05", page_keys=3)
        assert await read(lister, ONE_MINUTE, after=keys[-1]) == [ListingPage((), (), False)]
    assert keys_of(pages) == keys[8:]


async def test_an_interval_is_not_another_that_begins_like_it(retry: RetryPolicy) -> None:
    keys = [f"{KLINES}BTCUSDT/1m/a.zip", f"{KLINES}BTCUSDT/1mo/b.zip"]
    async with holding(*keys) as server, listing(server.url, retry) as lister:
        assert keys_of(await read(lister, ONE_MINUTE)) == keys[:1]


async def test_a_symbol_is_not_another_that_begins_like_it(retry: RetryPolicy) -> None:
    keys = [f"{KLINES}BTCUSDT/1m/a.zip", f"{KLINES}BTCUSDT_250627/1m/b.zip"]
    async with holding(*keys) as server, listing(server.url, retry) as lister:
        assert keys_of(await read(lister, f"{KLINES}BTCUSDT/")) == keys[:1]
        assert await lister.folders(KLINES) == [f"{KLINES}BTCUSDT/", f"{KLINES}BTCUSDT_250627/"]


@pytest.mark.parametrize("prefix", ["data/spot/daily/klines/BTCUSDT/1m", "data", ""])
async def test_a_prefix_ends_with_a_slash(prefix: str) -> None:
    source = Bucket([])
    with pytest.raises(ValueError, match="must end with a slash"):
        await read(lister_of(source), prefix)
    assert source.pages == 0


async def test_keys_are_utf_8_in_the_query_and_in_the_answer(retry: RetryPolicy) -> None:
    prefix = f"{KLINES}币安人生USDT/1m/"
    keys = numbered(prefix, 3)
    async with holding(*keys) as server, listing(server.url, retry) as lister:
        assert keys_of(await read(lister, prefix, page_keys=1)) == keys
        assert await lister.folders(KLINES) == [f"{KLINES}币安人生USDT/"]
    assert server.requests[1].query["marker"] == keys[0]


async def test_keys_are_percent_encoded_where_they_are_sent() -> None:
    source = Answers([page()])
    await read(lister_of(source), "币 +&=%/", after="币 +&=%/#?")
    assert source.urls[0].raw_query_string == (
        "prefix=%E5%B8%81%20%2B%26%3D%25%2F&marker=%E5%B8%81%20%2B%26%3D%25%2F%23%3F&max-keys=1000"
    )


async def test_a_prefix_that_the_source_does_not_have_is_empty(retry: RetryPolicy) -> None:
    async with holding("data/other/a.zip") as server, listing(server.url, retry) as lister:
        assert await read(lister, ONE_MINUTE) == [ListingPage((), (), has_more=False)]
        assert await lister.folders(ONE_MINUTE) == []


@pytest.mark.parametrize(("asked", "sent"), [(1, "1"), (1000, "1000"), (5000, "1000")])
async def test_no_more_keys_are_asked_for_than_a_page_can_have(asked: int, sent: str) -> None:
    source = Answers([page()])
    await read(lister_of(source), "p/", page_keys=asked)
    assert source.urls[0].query["max-keys"] == sent


@pytest.mark.parametrize("asked", [0, -1])
async def test_a_page_without_keys_cannot_be_asked_for(asked: int) -> None:
    source = Bucket(["p/a"])
    with pytest.raises(ValueError, match="empty listing"):
        await read(lister_of(source), "p/", page_keys=asked)
    assert source.pages == 0


#: Characters that URLs, XML and orders treat in their own ways, one beyond UTF-16's first plane.
KEYS = st.text(st.sampled_from("ab1mo/_-+%&<>'\" 币\uff21\U0001f600"), min_size=1, max_size=6).map(
    lambda text: f"p/{text}"
)


@given(st.sets(KEYS | KEYS.map("q".__add__), max_size=12), st.integers(1, 13))
async def test_pages_put_together_are_what_the_source_holds(keys: set[str], size: int) -> None:
    pages = await read(lister_of(Bucket(keys)), "p/", page_keys=size)
    assert keys_of(pages) == sorted(key for key in keys if key.startswith("p/"))


@given(st.sets(KEYS, max_size=12), st.integers(1, 13), KEYS)
async def test_pages_put_together_are_what_lies_behind_a_key(
    keys: set[str], size: int, after: str
) -> None:
    pages = await read(lister_of(Bucket(keys)), "p/", page_keys=size, after=after)
    assert keys_of(pages) == sorted(key for key in keys if key > after)


@given(st.sets(KEYS, max_size=12), st.integers(1, 13))
async def test_folders_and_objects_put_together_are_what_a_folder_holds(
    keys: set[str], size: int
) -> None:
    pages = await read(lister_of(Bucket(keys)), "p/", delimiter="/", page_keys=size)
    names = [key.removeprefix("p/") for key in keys]
    folders = {f"p/{name[: name.index('/') + 1]}" for name in names if "/" in name}
    assert [folder for page in pages for folder in page.folders] == sorted(folders)
    assert keys_of(pages) == sorted(f"p/{name}" for name in names if "/" not in name)


# Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "sent"),
    [
        ("http://b.example", "http://b.example/"),
        ("http://b.example/", "http://b.example/"),
        ("https://b.example:8443/one%20two/three/", "https://b.example:8443/one%20two/three"),
        ("http://me:hunter2@b.example/bucket", "http://b.example/bucket"),
        ("http://b.example/bucket?a=b#c", "http://b.example/bucket"),
    ],
)
async def test_a_base_url_may_have_a_path_and_shows_no_user(base: str, sent: str) -> None:
    source = Answers([page()])
    await read(lister_of(source, base=base), "p/")
    assert str(source.urls[0]) == f"{sent}?prefix=p%2F&max-keys=1000"


async def test_a_bucket_may_be_named_in_the_path(retry: RetryPolicy) -> None:
    async with holding("data/a") as server:
        path_style = listing(f"{server.url}/data.binance.vision", retry)
        async with path_style as lister:
            assert keys_of(await read(lister, "data/")) == ["data/a"]


async def test_user_information_is_sent_to_its_origin_only(retry: RetryPolicy) -> None:
    async with holding() as source, holding("p/a") as other:
        host = other.url.removeprefix("http://")
        source.inject("list:*", Redirect(f"{other.url}/?prefix=p/"))
        base = source.url.replace("//", "//me:hunter2@")
        async with listing(base, retry, redirects=[host]) as lister:
            assert keys_of(await read(lister, "p/")) == ["p/a"]
    secret = f"Basic {b64encode(b'me:hunter2').decode()}"
    assert source.requests[0].headers["Authorization"] == secret
    assert "Authorization" not in other.requests[0].headers


# Many at once --------------------------------------------------------------------------------


async def list_at_once(lister: Lister, folders: list[str]) -> dict[str, list[str]]:
    """The keys of each folder, two a page."""
    found: dict[str, list[str]] = {}

    async def list_one(folder: str) -> None:
        found[folder] = keys_of(await read(lister, folder, page_keys=2))

    async with anyio.create_task_group() as group:
        for folder in folders:
            group.start_soon(list_one, folder)
    return found


FOLDERS = {f"p/{number:02}/": numbered(f"p/{number:02}/", 5) for number in range(20)}


async def test_many_prefixes_are_listed_at_once(retry: RetryPolicy) -> None:
    keys = chain.from_iterable(FOLDERS.values())
    async with holding(*keys) as server, listing(server.url, retry) as lister:
        assert await list_at_once(lister, [*FOLDERS]) == FOLDERS
        assert lister.requests == server.count() == 60
        assert lister.limiter.value == 4


async def test_many_prefixes_share_one_limit() -> None:
    source = Bucket([*chain.from_iterable(FOLDERS.values())])
    assert await list_at_once(lister_of(source), [*FOLDERS]) == FOLDERS
    assert source.pages == 60
    assert source.peak == 4


async def test_a_retry_waits_without_holding_the_limit() -> None:
    free: list[int] = []

    async def wait(_seconds: float) -> None:
        free.append(lister.limiter.value)

    lister = lister_of(Answers([503, page()]), RetryPolicy(max_retries=1, sleep=wait))
    await read(lister, "p/")
    assert free == [4]
