"""Runs at once on one cluster, into stores that have the same URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from tests.executors.dask.cluster import cluster
from tests.executors.processes.support import DAYS, key
from tests.services.bucket import Bucket
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.testing import faults

pytestmark = pytest.mark.usefixtures("uncovered_children")


async def test_neither_ends_the_agents_of_the_other(
    collection: Collection,
    tmp_path: Path,
    ministack_bucket: Bucket,
    rclone_bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one begins and ends while the first one waits for an archive."""
    assert ministack_bucket.url == rclone_bucket.url
    rclone_bucket.give_credentials(monkeypatch)  # the other server takes any
    url, stall = f"{rclone_bucket.url}/{uuid4().hex}", faults.Stall()
    collection.server.inject(key(9), stall)
    reports: list[CollectionReport] = []
    with cluster(tmp_path / "dask", 1, **rclone_bucket.environment) as made:
        await made.workers(1)

        async def run(bucket: Bucket, state: str) -> None:
            options: dict[str, Any] = {
                **DAYS, "executor": "dask", "dask_scheduler": made.address,
                "output_directory": url, "storage": bucket.storage,
                "state_directory": str(tmp_path / state),
            }  # fmt: skip
            reports.append(await collection.run(**options))

        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, ministack_bucket, "first")
                await stall.reached.passed()
                await run(rclone_bucket, "second")
                stall.release.open()
    assert [each.totals["verified"] for each in reports] == [20, 20]
    assert collection.requested().count(key(9)) == 2
