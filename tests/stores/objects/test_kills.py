"""`kill -9` of a run at a request to the store: nothing false is stored, the next run completes.

The proxy in front of the store counts the requests, and kills the client at one of them: before
the server has it, or after the server has done it.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from queue import Queue

import pytest
from attrs import define, field
from tests.examples import IS_THOROUGH
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Fault, Request, behind_faults
from tests.stores.objects.killing import killing
from tests.stores.objects.scene import Scene, random_zip

from crypto_lakehouse.testing import ArchiveServer

DAYS = [f"2025-03-0{day}" for day in range(1, 6)]
SMALL = [f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{day}.zip" for day in DAYS]
LARGE = [f"data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-{day}.zip" for day in DAYS[:2]]
KEYS = [*SMALL, *LARGE]

#: Two parts of an upload.
LARGE_BYTES = 9 << 20

#: Kinds of requests, what their keys end with, and how many a run makes.
STAGES = {
    "body": ("put", ".zip", len(SMALL)),
    "sidecar": ("put", ".CHECKSUM", len(KEYS)),
    "part": ("part", ".zip", 2 * len(LARGE)),
    "completion": ("complete", ".zip", len(LARGE)),
}


def kills(stage: str) -> range:
    """Numbers of kills: each request of a stage once, or 13 for each of the 16 tests: 208."""
    return range(13 if IS_THOROUGH else STAGES[stage][2])


@define
class Versions:
    """What the source publishes, and has ever published."""

    source: ArchiveServer
    rng: random.Random
    digests: dict[str, set[str]] = field(factory=dict)

    def publish_all(self) -> None:
        """Publish another version of everything."""
        for key in KEYS:
            size_bytes = LARGE_BYTES if key in LARGE else 100
            data = random_zip(key, self.rng.randbytes(size_bytes))
            self.source.publish(key, data)
            self.digests.setdefault(key, set()).add(sha256(data).hexdigest())


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
        yield Scene(source, proxy, ministack_bucket, bucket, "", tmp_path / "state", KEYS)


def kill_at(stage: str, nth: int, pids: Queue[int], *, is_done: bool) -> Fault:
    """Return what kills the client at the n-th request of a stage."""
    kind, suffix, _ = STAGES[stage]

    def matches(request: Request) -> bool:
        key = request.key
        return request.kind == kind and key.endswith(suffix) and "/data/" in key

    return killing(matches, nth, pids, is_done=is_done)


def run_and_kill(scene: Scene, folder: Path, stage: str, nth: int, *, is_done: bool) -> None:
    pids: Queue[int] = Queue()
    scene.proxy.clear()
    scene.proxy.fault = kill_at(stage, nth, pids, is_done=is_done)
    path = folder / "run.json"
    path.write_text(json.dumps(scene.config()))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        pids.put(run.pid)
        _, err = run.communicate(timeout=200)
    assert run.returncode == -signal.SIGKILL, err.decode()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_first_run_may_be_killed_at_every_request(
    scene: Scene, tmp_path: Path, stage: str, is_done: bool
) -> None:
    rng = random.Random(f"{stage} {is_done}")
    versions = Versions(scene.source, rng)
    versions.publish_all()
    for number in kills(stage):
        scene.url, scene.state = scene.server.fresh_prefix(), tmp_path / f"state-{number}"
        nth = number % STAGES[stage][2] + 1
        run_and_kill(scene, tmp_path, stage, nth, is_done=is_done)
        scene.check_stored()
        await scene.complete()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_run_that_replaces_may_be_killed_at_every_request(
    scene: Scene, tmp_path: Path, stage: str, is_done: bool
) -> None:
    rng = random.Random(f"{stage} {is_done}")
    versions = Versions(scene.source, rng)
    versions.publish_all()
    scene.url = scene.server.fresh_prefix()
    await scene.complete()
    for number in kills(stage):
        versions.publish_all()
        nth = number % STAGES[stage][2] + 1
        run_and_kill(scene, tmp_path, stage, nth, is_done=is_done)
        stored = scene.stored()
        assert {key for key in stored if key.endswith(".zip")} == set(KEYS)
        for key in KEYS:
            assert sha256(stored[key]).hexdigest() in versions.digests[key], key
        await scene.complete()
