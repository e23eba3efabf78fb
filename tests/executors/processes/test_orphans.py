"""Worker processes that outlive their run, as one does that is killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from anyio import to_thread
from attrs import evolve
from tests.executors.processes.support import DAYS, jobs_of, key, work, workers
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.executors.shards import Shard
from crypto_lakehouse.ledger.lock import wait_for_workers
from crypto_lakehouse.testing import faults

pytestmark = pytest.mark.usefixtures("uncovered_children")


async def test_the_next_run_waits_for_the_workers_of_one_that_was_killed(
    collection: Collection, tmp_path: Path
) -> None:
    """They may write for a moment more, and must not write while the next run does."""
    stall = faults.Stall()
    collection.server.inject(key(3), stall)
    path = tmp_path / "run.json"
    config = {**collection.config, **DAYS, "processes": 2, "discovery": "calendar"}
    path.write_text(json.dumps({name: value for name, value in config.items() if value}))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    with subprocess.Popen(  # noqa: ASYNC220
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        assert await to_thread.run_sync(stall.reached.wait, 30)
        orphans = workers(run.pid)
        for pid in orphans:
            os.kill(pid, signal.SIGSTOP)
        run.kill()
    locks = collection.root / ".lakehouse" / "workers"
    with pytest.raises(LockHeldError, match="workers"):
        wait_for_workers(locks, 0.05)
    for pid in orphans:
        os.kill(pid, signal.SIGCONT)
    report = await collection.run(**DAYS)
    assert report.totals["verified"] + report.totals["unchanged"] == 20
    wait_for_workers(locks, 0.0)


def test_a_worker_whose_run_is_gone_before_it_begins_does_nothing(collection: Collection) -> None:
    (job,) = jobs_of(collection)
    orphan = evolve(job, parent=1)
    command = [sys.executable, "-m", "crypto_lakehouse.workflows.wiring.worker_program"]
    given = pickle.dumps(orphan) + pickle.dumps(Shard(1, [work()]))
    done = subprocess.run(command, input=given, capture_output=True, timeout=200, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert collection.server.requests == []
