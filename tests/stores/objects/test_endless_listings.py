"""A listing that does not end is an error, and a run in it can be stopped."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, behind_faults
from tests.stores.objects.scene import Scene, large_source, on

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow

TRUNCATED = "<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>"
KLINES = {"data_types": ["klines"]}
REPEATED = "lists the same objects again and again, and does not end the listing"


def endless(has_new_keys: Callable[[], bool] = lambda: False) -> Callable[[Forward], Answer]:
    """Return what says of each page of a listing that another one follows."""
    numbers = count(1)

    def answer(forward: Forward) -> Answer:
        got = forward()
        text = re.sub("<IsTruncated>false</IsTruncated>", TRUNCATED, got.body.decode())
        if has_new_keys():
            text = text.replace(".zip", f"-{next(numbers):09}.zip")
        headers = {k: v for k, v in got.headers.items() if k.lower() != "content-length"}
        return evolve(got, headers=headers, body=text.encode())

    return answer


def test_a_listing_that_repeats_is_an_error(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    for number in range(21):
        client.put(f"data/{number}.zip", b"x")
    assert len(list(client.objects("data/"))) == 21
    proxy.fault = on(["list"], endless())
    with pytest.raises(StoreError, match=REPEATED):
        list(client.objects("data/"))


@pytest.mark.parametrize("pages", [1, 2, 3, 5, 8, 21])
def test_a_repetition_of_any_length_is_found(
    memory_client: ObjectClient, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    memory_client.put("data/x.zip", b"x")
    (info,) = memory_client.objects("data/")
    meta = {"e_tag": info.etag, "size": 1, "last_modified": None}
    asked = 0

    def listing(*_: object, **__: object) -> Iterator[list[dict[str, object]]]:
        nonlocal asked
        for asked in count(1):
            yield [{**meta, "path": f"data/{(asked - 1) % pages}.zip"}]

    monkeypatch.setattr("obstore.list", listing)
    with pytest.raises(StoreError, match=REPEATED):
        list(memory_client.pages("data/"))
    assert asked <= 3 * pages


def without_keys(forward: Forward) -> Answer:
    """A page without keys that says that another one follows."""
    body = f"<ListBucketResult>{TRUNCATED}</ListBucketResult>".encode()
    return Answer(200, {"Content-Type": "application/xml"}, body)


def join_listings(proxy: FaultProxy) -> None:
    """Let the listings end that were left behind."""
    proxy.clear()
    for thread in threading.enumerate():
        if thread.name == "object-listing":
            thread.join()


@pytest.mark.parametrize("is_empty", [True, False])
def test_pages_without_keys_are_an_error(
    faulty: tuple[FaultProxy, ObjectClient], is_empty: bool
) -> None:
    proxy, client = faulty
    if not is_empty:
        client.put("data/x.zip", b"x")
    # The first listing has an end and is empty; the one of the folder above has none.
    first = 2 if is_empty else 1
    proxy.fault = on(["list"], without_keys, first=first)
    with pytest.raises(
        StoreError, match=r"has listed no object for \S+ s, and does not end"
    ) as caught:
        list(evolve(client, longest_page_s=0.2).objects("data/"))
    assert caught.value.stops_run
    join_listings(proxy)


@pytest.fixture
def scene(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    ministack_bucket.give_credentials(monkeypatch)
    with large_source() as source, behind_faults(ministack_bucket) as (proxy, bucket):
        url = ministack_bucket.fresh_prefix()
        yield Scene(source, proxy, ministack_bucket, bucket, url, tmp_path / "state")


async def test_a_run_ends_at_a_listing_that_repeats(scene: Scene) -> None:
    await scene.collect(**KLINES)
    scene.proxy.fault = on(["list"], endless())
    with pytest.raises(Exception, match=REPEATED):
        await scene.collect(**KLINES)


async def test_a_run_is_stopped_in_a_listing_that_does_not_end(scene: Scene) -> None:
    await scene.collect(**KLINES)
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(scene.config(**KLINES), environ={}))
    scanned = anyio.Event()
    token = anyio.lowlevel.current_token()
    lists = count(1)

    def has_new_keys() -> bool:
        if next(lists) == 400:
            anyio.from_thread.run_sync(scanned.set, token=token)
        return True

    scene.proxy.fault = on(["list"], endless(has_new_keys))
    await stop_when(scanned, workflow)


async def stop_when(scanned: anyio.Event, workflow: ArchiveCollectionWorkflow) -> None:
    """Run, and stop the run after an event."""
    async with anyio.create_task_group() as tasks:

        async def stop() -> None:
            await scanned.wait()
            workflow.stop(143)

        tasks.start_soon(stop)
        metrics = await workflow.run()
        tasks.cancel_scope.cancel()
    assert metrics.report.status == "interrupted"


@pytest.mark.parametrize("first", [1, 2])
async def test_a_run_is_stopped_in_a_listing_without_keys(scene: Scene, first: int) -> None:
    """The first listing is that of the preparation, the second one that of a folder."""
    await scene.collect(**KLINES)
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(scene.config(**KLINES), environ={}))
    scanned = anyio.Event()
    token = anyio.lowlevel.current_token()
    lists = count(1)

    def answer(forward: Forward) -> Answer:
        if next(lists) == 3:
            anyio.from_thread.run_sync(scanned.set, token=token)
        return without_keys(forward)

    scene.proxy.fault = on(["list"], answer, first=first)
    await stop_when(scanned, workflow)
    join_listings(scene.proxy)


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_a_command_is_ended_in_a_listing_without_keys(scene: Scene, command: str) -> None:
    asyncio.run(scene.collect(**KLINES))
    lists = count(1)
    is_listing = threading.Event()

    def answer(forward: Forward) -> Answer:
        if next(lists) == 3:
            is_listing.set()
        return without_keys(forward)

    scene.proxy.fault = on(["list"], answer)
    path = scene.state.parent / "config.json"
    path.write_text(json.dumps(scene.config(**KLINES)))
    storage, state = json.dumps(scene.config()["storage"]), str(scene.state)
    options = ["--output", scene.url, "--storage", storage, "--state-directory", state]
    given = ["--config", str(path)] if command == "plan" else options
    process = subprocess.Popen([sys.executable, "-m", "crypto_lakehouse", command, *given])
    try:
        assert is_listing.wait(60)
        process.terminate()
        assert process.wait(60) == 143
    finally:
        process.kill()
