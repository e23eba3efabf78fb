"""Answers that are no listings are errors, and never an empty store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext, suppress
from itertools import islice, product
from pathlib import Path
from typing import Any

import obstore
import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, Fault, FaultProxy, Request, behind_faults
from tests.stores.objects.scene import SMALL, Scene, large_source, on
from tests.stores.objects.short_pages import ShortPages

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import NotAStore
from crypto_lakehouse.stores.objects.listings import WITNESS_KEY
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.questions import run_plan, run_verification

KLINES = {"data_types": ["klines"]}
HTML = b"<html><body>captive portal</body></html>"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated>"

LIES = {
    "a page": HTML,
    "a page that is no XML": b"<!DOCTYPE html><html><head><meta charset=utf-8></head></html>",
    "another document": b"<Foo><Bar>1</Bar></Foo>",
    "an error with the status of a success": b"<Error><Code>SlowDown</Code></Error>",
    "a listing of nothing": LISTING + b"</ListBucketResult>",
    "a listing that is cut": LISTING,
    "a listing that is cut in a tag": LISTING + b"<Na",
    "nothing": b"",
    "text": b"hello",
    "JSON": b'{"a": 1}',
}

NO_STORE = "is not that of an object store.*; check `storage: {endpoint: ...}`, and what is between"


def page(body: bytes) -> Answer:
    return Answer(200, {"Content-Type": "text/html"}, body)


def everything(body: bytes) -> Fault:
    """Return what answers all requests as the proxy of a network does."""
    return lambda _request, _forward: page(body)


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveServer]:
    with large_source() as server:
        yield server


@pytest.fixture
def scene(
    source: ArchiveServer,
    ministack_bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        url = ministack_bucket.fresh_prefix()
        yield Scene(source, proxy, ministack_bucket, bucket, url, tmp_path / "state")


COMMANDS: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "collect": lambda scene: scene.collect(**KLINES),
    "collect without a state folder": lambda scene: scene.collect(
        **KLINES, state_directory=f"{scene.state}-new"
    ),
    "plan": lambda scene: run_plan(scene.config(**KLINES)),
    "verify": lambda scene: run_verification(scene.config(**KLINES)),
    "verify without a ledger": lambda scene: run_verification(
        scene.config(**KLINES, state_directory=f"{scene.state}-new")
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_command_takes_another_answer_for_an_empty_store(
    command: str, scene: Scene
) -> None:
    await scene.collect(**KLINES)
    for body in LIES.values():
        for fault in (on(["list"], page(body)), everything(body)):
            scene.proxy.fault = fault
            with pytest.raises(StoreError, match=NO_STORE) as caught:
                await COMMANDS[command](scene)
            assert f"`{scene.url}/" in str(caught.value)
            assert (caught.value.stops_run, caught.value.exit_code) == (True, 5)
    scene.proxy.clear()
    assert await COMMANDS[command](scene)


async def test_no_command_takes_another_answer_for_the_end_of_a_listing(scene: Scene) -> None:
    await scene.collect(**KLINES)
    fetched = requests_of_zips(scene)
    for name, command in COMMANDS.items():
        scene.proxy.clear()
        right: Any = await command(scene)
        # An archive and its sidecar are listed; the others are behind them.
        scene.proxy.fault = ShortPages(2, page(HTML))
        found: Any = await command(scene)
        assert found.totals == right.totals, name
    scene.proxy.fault = behind_a_name
    for command in COMMANDS.values():
        with suppress(NotAStore):
            await command(scene)
    assert requests_of_zips(scene) == fetched


def behind_a_name(request: Request, forward: Callable[[], Answer]) -> Answer:
    """Answer every listing that begins behind a name as the proxy of a network does."""
    return page(HTML) if "start-after" in request.query else forward()


def requests_of_zips(scene: Scene) -> int:
    return sum(request.path.endswith(".zip") for request in scene.source.requests)


async def test_a_new_output_is_not_believed_to_be_empty_either(scene: Scene) -> None:
    scene.proxy.fault = on(["list"], page(HTML))
    with pytest.raises(StoreError, match=NO_STORE):
        await scene.collect(**KLINES)
    scene.proxy.fault = everything(HTML)
    # The plan asks for the copy of the ledger first, by a request for its headers.
    with pytest.raises(StoreError, match="if the answer is of something else, check `storage"):
        await run_plan(scene.config(**KLINES))


async def test_a_new_output_is_planned_and_collected(scene: Scene) -> None:
    planned = await run_plan(scene.config(**KLINES))
    assert planned.totals.to_fetch == len(SMALL)
    assert (await scene.collect(**KLINES)).totals["verified"] == len(SMALL)


@pytest.mark.parametrize("server", ["ministack", "rclone", "azurite", "gcs"])
@pytest.mark.parametrize("lie", [name for name in LIES if name != "a listing of nothing"])
def test_the_listings_of_every_server_are_doubted(
    server: str, lie: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Bucket = request.getfixturevalue(f"{server}_bucket")
    real.give_credentials(monkeypatch)
    with behind_faults(real) as (proxy, bucket):
        client = bucket.open(real.fresh_prefix()).client
        client.put("data/a/x.zip", b"x")
        client.put(WITNESS_KEY, b"")
        for prefix in ("", "data/", "data/a/", "data/b/", "other/"):
            proxy.clear()
            wanted = [info.key for info in client.objects(prefix)]
            assert wanted == [
                key for key in (WITNESS_KEY, "data/a/x.zip") if key.startswith(prefix)
            ]
            proxy.fault = everything(LIES[lie])
            with pytest.raises(NotAStore, match=NO_STORE):
                list(client.objects(prefix))


IN_FOLDERS = [f"data/{name}/{day}.zip" for name in ("a", "a-b", "b") for day in range(4)]


@pytest.mark.parametrize("server", ["ministack", "rclone", "azurite", "gcs"])
def test_pages_with_a_few_keys_are_no_end_of_a_listing(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Bucket = request.getfixturevalue(f"{server}_bucket")
    real.give_credentials(monkeypatch)
    with behind_faults(real) as (proxy, bucket):
        client = bucket.open(real.fresh_prefix()).client
        for key in IN_FOLDERS:
            client.put(key, b"x")
        for keys, after in product((2, 11), ("", "data/a-b/")):
            wanted = {key for key in IN_FOLDERS if key >= after}
            for lie in (None, *map(page, LIES.values())):
                proxy.fault = ShortPages(keys, lie)
                with suppress(NotAStore) if lie else nullcontext():
                    pages = client.pages("data/", after=after)
                    found = {info.key for infos in pages for info in infos}
                    assert {key for key in found if key >= after} == wanted


def once(body: bytes, number: int) -> Fault:
    """Return what answers one listing so, and all other requests as the server does."""
    return on(["list"], page(body), first=number, last=number)


def test_a_single_answer_that_is_no_listing_changes_nothing(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    client.put("data/a/b/x.zip", b"x")
    for number in range(1, 6):
        for prefix, wanted in (("data/a/b/", 1), ("data/a/c/", 0), ("data/b/", 0)):
            proxy.fault = once(HTML, number)
            assert len(list(client.objects(prefix))) == wanted


def test_the_folders_below_one_that_has_some_are_not_none(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    client.put("data/a/b/x.zip", b"x")
    assert client.folders("data/a/") == (["data/a/b/"], False)
    proxy.fault = once(HTML, 1)
    with pytest.raises(NotAStore, match=NO_STORE):
        client.folders("data/a/")


def test_nothing_after_a_folder_is_believed_if_another_folder_is_listed(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    client.put("data/b/x.zip", b"x")
    after = {"data/a/": 1, "data/b/": 1, "data/c/": 0}
    for folder, wanted in after.items():
        for number in (1, 2, 3):
            proxy.fault = once(HTML, number)
            found = [info for page in client.pages("data/", after=folder) for info in page]
            assert len(found) == wanted, (folder, number)


def test_answers_to_all_listings_that_begin_behind_a_name_are_doubted(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    client.put("data/b/c/x.zip", b"x")
    proxy.fault = behind_a_name
    for folder in ("data/a/", "data/b/"):
        with pytest.raises(NotAStore, match=NO_STORE):
            list(client.pages("data/", after=folder))
    assert list(client.pages("data/", after="data/c/")) == []


def test_a_last_object_that_is_listed_and_not_there_ends_the_listing_with_an_error(
    memory_client: ObjectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = filled(memory_client, 3)
    real, head = obstore.list, obstore.head

    def listing(*args: Any, offset: str | None = None, **kwargs: Any) -> Iterator[Any]:
        return iter(()) if offset else iter(real(*args, **kwargs))

    def facts(store: Any, key: str) -> Any:
        if key == keys[-1]:
            raise FileNotFoundError
        return head(store, key)

    monkeypatch.setattr("obstore.list", listing)
    monkeypatch.setattr("obstore.head", facts)
    with pytest.raises(StoreError, match="end with objects that are not there any more"):
        list(memory_client.objects("data/"))


def test_what_is_written_a_moment_after_an_empty_listing_is_listed(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    keys = ("data/x.zip", WITNESS_KEY)

    def write(forward: Callable[[], Answer]) -> Answer:
        got = forward()
        for key in keys:
            client.put(key, b"x")
        return got

    # The listings of the folder and of the root are empty; then both objects are there.
    proxy.fault = on(["list"], write, first=2, last=2)
    assert [info.key for info in client.objects("data/")] == ["data/x.zip"]


def filled(client: ObjectClient, count: int) -> list[str]:
    """Store so many objects, and return their keys."""
    keys = [f"data/{number:05}.zip" for number in range(count)]
    for key in keys:
        client.put(key, b"x")
    return keys


def end_early(monkeypatch: pytest.MonkeyPatch, *pages: int) -> None:
    """End each of the first listings after so many pages, as an answer without keys does."""
    left = list(pages)
    real = obstore.list

    def listing(*args: Any, **kwargs: Any) -> Iterator[Any]:
        return islice(iter(real(*args, **kwargs)), left.pop(0) if left else None)

    monkeypatch.setattr("obstore.list", listing)


@pytest.mark.parametrize(
    ("count", "pages"), [(1005, (1,)), (1005, (1, 0)), (2500, (1, 1)), (1000, ())]
)
def test_an_answer_without_keys_ends_no_listing_of_full_pages(
    memory_client: ObjectClient,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    pages: tuple[int, ...],
) -> None:
    keys = filled(memory_client, count)
    end_early(monkeypatch, *pages)
    assert [info.key for info in memory_client.objects("data/")] == keys


def test_a_listing_without_an_object_that_is_there_is_none(
    memory_client: ObjectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(memory_client, 1005)
    end_early(monkeypatch, 1, 0, 0)
    with pytest.raises(NotAStore, match=NO_STORE):
        list(memory_client.objects("data/"))


def test_a_last_object_may_be_removed_while_it_is_listed(memory_client: ObjectClient) -> None:
    keys = filled(memory_client, 1000)
    found = []
    for page in memory_client.pages("data/"):
        found += [info.key for info in page]
        memory_client.delete(keys[-1])
    assert found == keys
