"""A run that is suspended in a write loses its lease: it overwrites nothing when it goes on.

The proxy in front of the store holds the request, and stops the processes of the run. Another
machine takes the lease over and collects newer versions; then the request is forwarded.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import Queue

import anyio
import pytest
from attrs import define, evolve, field
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, Forward, Request, behind_faults
from tests.stores.objects.scene import LARGE, SMALL, Scene, random_zip

from crypto_lakehouse.stores.objects.lease import LEASE_KEY, LEASE_S, elapsed_s
from crypto_lakehouse.stores.objects.lease_memory import LeaseMemory
from crypto_lakehouse.testing import ArchiveServer

#: Three parts of an upload: the first is held, the second fills, the third is not read.
LARGE_BYTES = 17 << 20

#: Which request is held, for which object, whether it replaces one, and by how many processes.
STAGES = {
    "zip of a new archive": ("put", SMALL[0], False, 1),
    "zip of a replaced archive": ("put", SMALL[0], True, 1),
    "sidecar of a replaced archive": ("put", f"{SMALL[0]}.CHECKSUM", True, 2),
    "part of a new archive": ("part", LARGE, False, 1),
}


@define
class Held:
    """Stops the processes of a run at a request, until it may go on."""

    kind: str
    key: str
    pids: Queue[int] = field(factory=Queue)
    is_held: Queue[int] = field(factory=Queue)
    may_go_on: Queue[None] = field(factory=Queue)

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if (request.kind, request.key.endswith(self.key)) != (self.kind, True):
            return forward()
        self.key = "/"
        pid = self.pids.get()
        os.killpg(pid, signal.SIGSTOP)
        self.is_held.put(pid)
        self.may_go_on.get()
        return forward()


@pytest.fixture(params=["ministack_bucket", "azurite_bucket"])
def scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uncovered_children: None,
) -> Iterator[Scene]:
    server: Bucket = request.getfixturevalue(request.param)
    server.give_credentials(monkeypatch)
    with ArchiveServer(generate=False) as source, behind_faults(server) as (proxy, bucket):
        url = server.fresh_prefix()
        yield Scene(source, proxy, server, bucket, url, tmp_path / "one", [*SMALL, LARGE])


def publish(scene: Scene, keys: Sequence[str]) -> dict[str, bytes]:
    """Publish another version of some archives."""
    sizes = {LARGE: LARGE_BYTES}
    zips = {key: random_zip(key, os.urandom(sizes.get(key, 100))) for key in keys}
    for key, data in zips.items():
        scene.source.publish(key, data)
    return zips


def watched_for_long(scene: Scene, state: Path) -> None:
    """Let a state folder have watched the present version of the lease for two lease times."""
    state.mkdir()
    (state / "lock").touch()
    info = scene.server.open(scene.url).client.head(LEASE_KEY)
    assert info is not None
    memory = LeaseMemory(state / "lease.json", state / "lock")
    memory.watch(info.etag, elapsed_s() - 2 * LEASE_S)


async def suspended(
    scene: Scene, processes: int, held: Held, meanwhile: Callable[[], Awaitable[None]]
) -> tuple[int, str]:
    """Start a run that is held at a request; return how it ends once it goes on."""
    path = scene.state.parent / "run.json"
    path.write_text(json.dumps(scene.config(processes=processes)))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    async with await anyio.open_process(command, start_new_session=True) as run:
        try:
            held.pids.put(run.pid)
            await anyio.to_thread.run_sync(partial(held.is_held.get, timeout=60))
            await meanwhile()
        finally:
            held.may_go_on.put(None)
            os.killpg(run.pid, signal.SIGCONT)
        assert run.stderr is not None
        said = b"".join([chunk async for chunk in run.stderr])
        return await run.wait(), said.decode()


@pytest.mark.parametrize("stage", STAGES)
async def test_what_the_next_holder_has_stored_stays(scene: Scene, stage: str) -> None:
    kind, key, replaces, processes = STAGES[stage]
    if replaces:
        publish(scene, scene.keys)
        await scene.complete()
    newest = publish(scene, scene.keys)
    other = evolve(scene, bucket=scene.server, state=scene.state.parent / "two")

    async def take_over() -> None:
        # The sidecar of a large body is fetched after it, and would not be that of these bytes.
        newest.update(publish(scene, SMALL))
        watched_for_long(scene, other.state)
        report = await other.collect()
        settled = report.totals["verified"] + report.totals["unchanged"]
        assert (report.status, settled) == ("complete", len(scene.keys)), report

    scene.proxy.fault = held = Held(kind, key)
    code, said = await suspended(scene, processes, held, take_over)
    assert code == 11, said
    assert "another run has taken over the lease" in said
    stored = scene.stored()
    assert {key: stored[key] for key in scene.keys} == newest
    scene.check_stored()
    again = await other.collect()
    assert again.totals["unchanged"] == len(scene.keys)
