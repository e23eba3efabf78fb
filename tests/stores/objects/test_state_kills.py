"""`kill -9` of a run at a request for its lease or the copy of its ledger: the next run completes.

It does so at once with the same state folder. With a new one it first waits for the lease of the
dead run, if that held one.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Fault, Request, behind_faults
from tests.stores.objects.killing import killing
from tests.stores.objects.scene import SMALL, Scene

from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.stores.objects.lease import LEASE_KEY
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.zips import good_zip

#: The kind of a request, what its key contains, which of those it is, and whether it is one of a
#: run that begins without a state folder.
STEPS = {
    "probe": ("put", "/probe/", 1, False),
    "lease taken": ("put", "/lease.json", 1, False),
    "lease released": ("put", "/lease.json", 2, False),
    "ledger copied": ("put", "/ledger.sqlite.gz", 1, False),
    "ledger fetched": ("get", "/ledger.sqlite.gz", 1, True),
}


@pytest.fixture
def scene(
    ministack_bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uncovered_children: None,
) -> Iterator[Scene]:
    ministack_bucket.give_credentials(monkeypatch)
    with (
        ArchiveServer(generate=False) as source,
        behind_faults(ministack_bucket) as (proxy, bucket),
    ):
        for key in SMALL:
            source.publish(key, good_zip(key, key.encode()))
        url = ministack_bucket.fresh_prefix()
        yield Scene(source, proxy, ministack_bucket, bucket, url, tmp_path / "state", SMALL)


def kill_at(step: str, pids: Queue[int], *, is_done: bool) -> Fault:
    """Return what kills the client at a step."""
    kind, part, nth, _ = STEPS[step]

    def matches(request: Request) -> bool:
        return request.kind == kind and part in request.key

    return killing(matches, nth, pids, is_done=is_done)


def collect(scene: Scene, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    path = folder / "run.json"
    path.write_text(json.dumps(scene.config()))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def run_and_kill(scene: Scene, folder: Path, step: str, *, is_done: bool) -> None:
    if STEPS[step][3]:
        await scene.complete()
        shutil.rmtree(scene.state)
    pids: Queue[int] = Queue()
    scene.proxy.clear()
    scene.proxy.fault = kill_at(step, pids, is_done=is_done)
    with collect(scene, folder) as run:
        pids.put(run.pid)
        _, err = run.communicate(timeout=200)
    assert run.returncode == -signal.SIGKILL, err.decode()
    scene.proxy.clear()
    scene.check_stored()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_the_next_run_goes_on_at_once(
    scene: Scene, tmp_path: Path, step: str, is_done: bool
) -> None:
    await run_and_kill(scene, tmp_path, step, is_done=is_done)
    await scene.complete()
    assert not (scene.state / "copying").exists()
    report = await scene.collect(force_redownload=True)
    assert not [each for each in report.warnings if "another machine" in each]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", ["lease taken", "ledger copied"])
async def test_a_run_without_the_state_folder_waits_for_the_lease(
    scene: Scene, tmp_path: Path, step: str
) -> None:
    await run_and_kill(scene, tmp_path, step, is_done=True)
    shutil.rmtree(scene.state)
    with pytest.raises(LockHeldError, match=r"if that run was killed, .* is free in 120 s"):
        await scene.collect()
    client = scene.server.open(scene.url).client
    record = json.loads(client.read(LEASE_KEY) or b"")
    client.put(LEASE_KEY, json.dumps({**record, "lease_seconds": 0.5}).encode())
    with collect(scene, tmp_path, "--wait") as run:
        _, err = run.communicate(timeout=200)
    assert run.returncode == 0, err.decode()
    assert f"waiting for process {record['process']} on {record['host']}" in err.decode()
    assert "if that run was killed, the lease is free in 1 s" in err.decode()
    await scene.complete()
