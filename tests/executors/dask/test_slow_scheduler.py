"""Collections whose scheduler is behind a slow link: 0.4 s there and back, and packets are lost."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.executors.dask.cluster import cluster
from tests.executors.dask.hosts import missing
from tests.executors.dask.slow_link import Link, a_slow_host, missing_tun
from tests.executors.dask.test_dask_runs import Dask
from tests.executors.processes.support import key
from tests.workflows.conftest import Collection

from crypto_lakehouse.testing import faults

pytestmark = pytest.mark.usefixtures("uncovered_children")

SLOW_LINK = Link(delay_s=0.2, loss=0.02, bytes_per_second=250_000)


@pytest.fixture(scope="module", autouse=True)
def _needs_a_slow_link() -> None:
    if why := missing() or missing_tun():
        pytest.skip(f"a slow link was NOT tried: {why}")


async def test_a_scheduler_behind_a_slow_link_costs_time_alone(
    collection: Collection, tmp_path: Path
) -> None:
    """A first run, and one of whose workers one is killed while it has an archive."""
    with (
        a_slow_host(SLOW_LINK) as (host, directions),
        cluster(tmp_path / "dask", 0, host.own, within=host.command) as made,
    ):
        for _ in range(2):
            made.add(host=host.address)
        before = await made.workers(2)
        report, listener = await Dask(collection, made).run()
        assert not report.warnings
        assert report.totals["verified"] == 20
        assert listener.finished() == Counter(map(key, range(20)))
        assert await made.workers(2) == before
        collection.root.rename(collection.root.with_name("first"))

        async def kill() -> None:
            os.kill(next(iter(before.values())), signal.SIGKILL)

        report, listener = await Dask(collection, made).run_while(faults.Stall(), kill)
        assert report.totals["verified"] == 20
        assert listener.finished() == Counter(map(key, range(20)))
    assert all(each.dropped for each in directions)
