"""Runs that find a lock held, and wait for it as `on_held` says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.lakes import ingested, row_count, tree

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.ledger.lock import output_lock, wait_for_workers, worker_lock
from crypto_lakehouse.workflows import (
    ArchiveCollectionWorkflow,
    CollectAndIngest,
    IngestWorkflow,
    LakeConfig,
    run_repair,
)


class Waits:
    """Calls functions, one for each time that a run finds a lock held, and lets it try again."""

    def __init__(self, *calls: Callable[[], Any]) -> None:
        self.calls = [*calls]
        self.paths: list[str] = []

    async def __call__(self, error: LockHeldError) -> bool:
        self.paths.append(Path(error.path).name)
        if not self.calls:
            return False
        self.calls.pop(0)()
        return True


def config_of(collection: Collection) -> WorkflowConfig:
    return WorkflowConfig(collection.config, environ={})


@pytest.fixture
def other_run(collection: Collection) -> ExitStack:
    """Another run holds the lock of the output directory until it is closed."""
    state = collection.root / ".lakehouse"
    state.mkdir(parents=True)
    held = ExitStack()
    held.enter_context(output_lock(state / "lock"))
    return held


def lake_of(root: Path) -> ExitStack:
    """Another run holds the lock of the lake until it is closed."""
    lake = root / ".lakehouse" / "lake"
    lake.mkdir(parents=True)
    held = ExitStack()
    held.enter_context(output_lock(lake / "lock"))
    return held


async def test_a_collection_begins_when_the_other_has_ended(
    collection: Collection, other_run: ExitStack
) -> None:
    waits = Waits(lambda: None, other_run.close)
    report = await ArchiveCollectionWorkflow(config_of(collection), on_held=waits).run()
    assert (report.exit_code, report.totals["verified"]) == (0, 1)
    assert waits.paths == ["lock", "lock"]


async def test_a_collection_that_may_not_wait_any_longer_is_refused(
    collection: Collection, other_run: ExitStack
) -> None:
    with other_run, pytest.raises(LockHeldError):
        await ArchiveCollectionWorkflow(config_of(collection), on_held=Waits(lambda: None)).run()
    assert not (collection.root / "data").exists()
    assert (await collection.run()).exit_code == 0


async def test_a_collection_waits_for_the_workers_of_a_killed_run(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_for_workers, "__defaults__", (0.0,))
    held = ExitStack()
    held.enter_context(worker_lock(collection.root / ".lakehouse" / "workers", 3))
    waits = Waits(held.close)
    report = await ArchiveCollectionWorkflow(config_of(collection), on_held=waits).run()
    assert (report.exit_code, waits.paths) == (0, ["3.lock"])


async def test_a_collection_that_is_stopped_while_it_waits_does_nothing(
    collection: Collection, other_run: ExitStack
) -> None:
    events: list[Any] = []
    workflow = ArchiveCollectionWorkflow(
        config_of(collection), sinks=[events.extend], on_held=Waits(lambda: workflow.stop(143))
    )
    with other_run:
        report = await workflow.run()
    assert (report.status, report.exit_code, events) == ("interrupted", 143, [])
    assert [path.name for path in (collection.root / ".lakehouse").iterdir()] == ["lock"]


async def test_a_repair_waits(collection: Collection, other_run: ExitStack) -> None:
    (collection.root / KEY).parent.mkdir(parents=True)
    (collection.root / KEY).write_bytes(b"damaged")
    (collection.root / f"{KEY}.CHECKSUM").write_bytes(collection.server.read(f"{KEY}.CHECKSUM"))
    report = await run_repair(config_of(collection), on_held=Waits(other_run.close))
    assert report.repaired == (KEY,)


async def test_an_ingestion_waits(tmp_path: Path) -> None:
    tree(tmp_path)
    config = LakeConfig(output_directory=str(tmp_path))
    held = lake_of(tmp_path)
    report = (await IngestWorkflow(config, on_held=Waits(held.close)).run()).report
    assert (report.exit_code, row_count(tmp_path)) == (0, 72)


async def test_an_ingestion_that_is_stopped_while_it_waits_does_nothing(tmp_path: Path) -> None:
    tree(tmp_path)
    config = LakeConfig(output_directory=str(tmp_path))
    with lake_of(tmp_path):
        workflow = IngestWorkflow(config, on_held=Waits(lambda: workflow.stop(143)))
        report = (await workflow.run()).report
        assert (report.status, report.exit_code) == ("interrupted", 143)
    assert [path.name for path in (tmp_path / ".lakehouse" / "lake").iterdir()] == ["lock"]
    assert (await ingested(tmp_path)).archives == 3


@pytest.mark.parametrize("batch", [1, 100])
async def test_both_wait_for_the_lock_of_the_lake(collection: Collection, batch: int) -> None:
    lake = LakeConfig(output_directory=str(collection.root))
    held = lake_of(collection.root)
    workflow = CollectAndIngest(
        config_of(collection), lake, batch_archives=batch, on_held=Waits(held.close)
    )
    assert (await workflow.run()).report.exit_code == 0
    assert row_count(collection.root) == 24
