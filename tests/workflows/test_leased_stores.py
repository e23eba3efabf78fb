"""Runs that share an output in an object store hold its lease, and end if they lose it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define
from obstore.store import MemoryStore
from tests.workflows.conftest import KEY, Collection, make_zip, member_of

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LockHeldError, StoreError
from crypto_lakehouse.core.events import Event, RunWarned
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.ledger.place import do_nothing
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.lease import LEASE_KEY, LEASE_S, Lease, elapsed_s
from crypto_lakehouse.stores.objects.lease_memory import LeaseMemory
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow, run_prune, run_repair
from crypto_lakehouse.workflows.wiring import opened_output


@pytest.fixture
def client() -> ObjectClient:
    return ObjectClient(MemoryStore(), "memory://bucket")


@pytest.fixture
def store(client: ObjectClient) -> ObjectStore:
    return ObjectStore(client)


@pytest.fixture
def other(client: ObjectClient) -> Lease:
    """The lease of a run on another machine."""
    return Lease(client, "other")


def record(client: ObjectClient) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.read(LEASE_KEY) or b"")
    return found


async def test_a_run_holds_the_lease_and_releases_it(
    collection: Collection, store: ObjectStore, client: ObjectClient, other: Lease
) -> None:
    seen: list[dict[str, Any]] = []
    report = await collection.run(store=store, sinks=[lambda _: seen.append(record(client))])
    assert report.status == "complete"
    assert {(each["run"], each["released"]) for each in seen} == {(report.run_id, False)}
    assert record(client)["released"] is True
    other.take()


async def test_a_run_is_refused_while_another_one_holds_the_lease(
    collection: Collection, store: ObjectStore, client: ObjectClient, other: Lease
) -> None:
    other.take()
    before = record(client)
    with pytest.raises(LockHeldError, match=r"holds the lease .*run other\)") as caught:
        await collection.run(store=store)
    assert caught.value.exit_code == 11
    assert collection.requested() == []
    assert record(client) == before
    other.release()
    assert (await collection.run(store=store)).status == "complete"


async def test_a_run_waits_for_the_lease(
    collection: Collection, store: ObjectStore, other: Lease
) -> None:
    other.take()

    async def release(held: LockHeldError) -> bool:
        assert "run other" in held.holder
        other.release()
        workflow._output._keeper.lease._looks_at = 0.0  # type: ignore[union-attr]
        return True

    config = WorkflowConfig(collection.config, environ={})
    workflow = ArchiveCollectionWorkflow(config, store=store, on_held=release)
    assert (await workflow.run()).report.status == "complete"


def rest(state: Path, other: Lease) -> None:
    """Let a state folder have watched the lease of another run for long."""
    other.take()
    memory = LeaseMemory(state / "lease.json", state / "lock")
    memory.watch(other._etag or "", elapsed_s() - 2 * LEASE_S)


async def test_a_run_says_from_whom_it_has_taken_the_lease_over(
    collection: Collection, store: ObjectStore, other: Lease
) -> None:
    await collection.run(store=store)
    rest(collection.root / ".lakehouse", other)
    events: list[Event] = []
    report = await collection.run(store=store, sinks=[events.extend])
    (said,) = [each for each in report.warnings if "took over the lease" in each]
    assert re.search(r"from process \d+ on .* \(run other\), which .* for 1\d\d s$", said)
    assert [each.message for each in events if isinstance(each, RunWarned)] == [said]
    assert not (await collection.run(store=store)).warnings


async def test_a_refused_run_lets_the_next_one_take_over(
    collection: Collection, store: ObjectStore, other: Lease
) -> None:
    """Its state folder is new, and must stay: it says since when the lease rests."""
    other.take()
    with pytest.raises(LockHeldError):
        await collection.run(store=store)
    state = collection.root / ".lakehouse"
    note = json.loads((state / "lease.json").read_text())
    note["since"] -= 2 * LEASE_S
    (state / "lease.json").write_text(json.dumps(note))
    report = await collection.run(store=store)
    assert (report.status, len(report.warnings)) == ("complete", 1)


async def test_pruning_says_from_whom_it_has_taken_the_lease_over(
    collection: Collection, store: ObjectStore, other: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    await collection.run(store=store)
    rest(collection.root / ".lakehouse", other)
    await run_prune(collection.config, 0, store=store)
    assert "took over the lease" in caplog.text
    caplog.clear()
    await run_prune(collection.config, 0, store=store)
    assert caplog.text == ""


async def test_a_run_that_is_stopped_while_it_waits_takes_nothing(
    collection: Collection, store: ObjectStore, client: ObjectClient, other: Lease
) -> None:
    other.take()

    async def stop(_: LockHeldError) -> bool:
        workflow.stop()
        return True

    config = WorkflowConfig(collection.config, environ={})
    workflow = ArchiveCollectionWorkflow(config, store=store, on_held=stop)
    assert (await workflow.run()).report.status == "interrupted"
    assert record(client)["run"] == "other"


@define
class Interrupted(ObjectStore):
    """A store in which a body takes for ever, while another run takes the lease over."""

    lose: Callable[[], None] = do_nothing

    async def put_archive(self, key: str, data: bytes, sidecar: bytes, *, sha256: str) -> FileStat:
        taken = json.dumps({"holder": "another", "host": "elsewhere", "process": 1})
        self.client.put(LEASE_KEY, taken.encode())
        self.lose()  # as its thread does as soon as it finds that out
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_run_that_loses_the_lease_ends(
    collection: Collection, client: ObjectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened_output, "_LOOKS_EVERY_S", 0.01)
    store = Interrupted(client)
    workflow = ArchiveCollectionWorkflow(
        WorkflowConfig(collection.config, environ={}),
        store=store,
    )

    def lose() -> None:
        workflow._output._keeper.lease.give_up()  # type: ignore[union-attr]

    store.lose = lose
    with pytest.raises(StoreError, match="this run could not renew its lease") as caught:
        await workflow.run()
    assert caught.value.stops_run
    assert record(client)["holder"] == "another"
    client.delete(LEASE_KEY)
    report = await collection.run(store=ObjectStore(client))
    assert (report.status, report.totals["verified"]) == ("complete", 1)


async def test_nothing_is_pruned_without_the_lease(
    collection: Collection, store: ObjectStore, other: Lease
) -> None:
    await collection.run(store=store)
    collection.publish(KEY, make_zip(member_of(KEY), b"other,bars\n"))
    await collection.run(store=store, force_redownload=True)
    assert len(list(store.kept_versions())) == 1

    async def release(_: LockHeldError) -> bool:
        other.release()
        return True

    other.take()
    with pytest.raises(LockHeldError, match="holds the lease"):
        await run_prune(collection.config, 0, store=store)
    assert len(list(store.kept_versions())) == 1
    result = await run_prune(collection.config, 0, store=store, on_held=release)
    assert (result.files, list(store.kept_versions())) == (1, [])


async def test_a_run_that_lost_the_lease_at_its_end_prunes_nothing(
    collection: Collection, store: ObjectStore
) -> None:
    await collection.run(store=store)
    collection.publish(KEY, make_zip(member_of(KEY), b"other,bars\n"))
    config = {**collection.config, "force_redownload": True, "replaced_retention_days": 1}

    def give_up(_: object) -> None:
        workflow._output._keeper.lease.give_up()  # type: ignore[union-attr]

    workflow = ArchiveCollectionWorkflow(
        WorkflowConfig(config, environ={}),
        store=store,
        sinks=[give_up],
    )
    with pytest.raises(StoreError, match="could not renew its lease"):
        await workflow.run()
    assert len(list(store.kept_versions())) == 1


async def test_a_repair_needs_the_lease(
    collection: Collection, store: ObjectStore, other: Lease
) -> None:
    await collection.run(store=store)
    await store.put(KEY, b"rotten")
    other.take()
    with pytest.raises(LockHeldError):
        await run_repair(collection.config, store=store, retry=collection.retry)
    other.release()
    report = await run_repair(collection.config, store=store, retry=collection.retry)
    assert report.repaired == (KEY,)


async def test_a_run_after_one_that_was_killed_here_goes_on_at_once(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    state: Path = collection.root / ".lakehouse"
    Lease(client, "killed", LeaseMemory(state / "lease.json", state / "lock")).take()
    assert (await collection.run(store=store)).status == "complete"
