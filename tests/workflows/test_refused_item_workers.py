"""What the workers of an ingestion must have, and what they cannot do."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, Request, behind_faults, error

from crypto_lakehouse.core.errors import ConfigurationError, StoreError
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import ignore_async
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows import LakeConfig
from crypto_lakehouse.workflows.wiring.item_messages import ArchivesPlace, DaskItemJob
from crypto_lakehouse.workflows.wiring.item_program import open_agent_work
from crypto_lakehouse.workflows.wiring.item_workers import _in_threads
from crypto_lakehouse.workflows.wiring.lake_at import LakeAt, lake_at
from crypto_lakehouse.workflows.wiring.workers_lake import WorkersLake, shown_lake

SHARE = Share(parallel=1, is_adaptive=False, bytes_per_second=None, requests_per_second=None)


async def opened(job: DaskItemJob) -> None:
    """Open the work of a worker with a job, and close it."""
    async with open_agent_work(job, SHARE, ByteMeter(), ignore_async):
        pass


def job_for(archives: Path, lake: WorkersLake) -> DaskItemJob:
    place = ArchivesPlace.of(output_of(str(archives)), with_credentials=False)
    return DaskItemJob(run_id="test", program="", output="", archives=place, lake=lake)


async def test_a_worker_that_sees_another_output_directory_is_refused(tmp_path: Path) -> None:
    with shown_lake(LakeAt("lake", tmp_path / "lake")) as lake:
        job = job_for(tmp_path, lake)
        await opened(job)
        other = evolve(job, archives=evolve(job.archives, place=str(tmp_path / "other")))
        with pytest.raises(ConfigurationError, match="is not the output directory"):
            await opened(other)


async def test_a_worker_that_sees_another_lake_is_refused(tmp_path: Path) -> None:
    """Its directory has the same path, and not what the run has just put there."""
    folder = tmp_path / "lake"
    with shown_lake(LakeAt("lake", folder)) as lake:
        folder.rename(tmp_path / "mounted elsewhere")
        folder.mkdir()
        with pytest.raises(ConfigurationError, match=r"is not the lake's directory .*; mount it"):
            await opened(job_for(tmp_path, lake))
    assert not [*folder.iterdir()]


def test_the_token_of_a_run_that_was_killed_is_deleted(tmp_path: Path) -> None:
    (tmp_path / f"{'5' * 32}.run").touch()
    (tmp_path / "of-the-user.run").touch()
    with shown_lake(LakeAt("lake", tmp_path)):
        assert len([*tmp_path.iterdir()]) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["of-the-user.run"]


async def test_a_context_in_threads_gets_the_exception_that_ends_its_body() -> None:
    seen: list[BaseException] = []

    @contextmanager
    def context() -> Iterator[str]:
        try:
            yield "entered"
        except BaseException as error:
            seen.append(error)
            if not isinstance(error, KeyError):
                raise

    async def ended_by(error: Exception) -> None:
        async with _in_threads(context()) as entered:
            assert entered == "entered"
            raise error

    await ended_by(KeyError("this context ends it"))
    with pytest.raises(ValueError, match="goes on"):
        await ended_by(ValueError("goes on"))
    with anyio.CancelScope() as scope:
        async with _in_threads(context()):
            scope.cancel()
            await anyio.sleep_forever()
    assert [type(each) for each in seen] == [KeyError, ValueError, asyncio.CancelledError]


class Stored:
    """A lake at a URL of a server, and a proxy for faults in front of it."""

    def __init__(self, bucket: Bucket, proxy: FaultProxy, state: Path, **values: Any) -> None:
        self.proxy, self.url = proxy, bucket.fresh_prefix()
        self.client = bucket.open(self.url).client
        storage, state_directory = bucket.storage, str(state / "state")
        self.config = LakeConfig(
            {"output_directory": str(state), "lake": self.url, **values},
            storage=storage, state_directory=state_directory, environ={},
        )  # fmt: skip

    def tokens(self) -> list[str]:
        return [info.key for info in self.client.objects(".lakehouse/workers/")]


@pytest.fixture
def stored(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stored]:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        yield Stored(bucket, proxy, tmp_path)


async def test_a_worker_proves_that_it_reads_and_writes_the_store(
    stored: Stored, tmp_path: Path
) -> None:
    with shown_lake(lake_at(stored.config)) as lake:
        assert stored.tokens() == [lake.token]
        await opened(job_for(tmp_path, lake))
        place = lake.open()
        assert (str(place), place.folder.is_dir()) == (stored.url, True)
        stored.client.delete(str(lake.token))
        with pytest.raises(ConfigurationError, match=r"is not the lake .*run's object store"):
            await opened(job_for(tmp_path, lake))
        assert stored.tokens() == []


@pytest.mark.parametrize("kind", ["get", "put"])
async def test_a_worker_that_may_not_read_or_write_the_store_is_refused(
    stored: Stored, tmp_path: Path, kind: str
) -> None:
    def refuse(request: Request, forward: Forward) -> Answer:
        return error(403, "AccessDenied") if request.kind == kind else forward()

    with shown_lake(lake_at(stored.config)) as lake:
        stored.proxy.fault = refuse
        with pytest.raises(StoreError, match="AccessDenied"):
            await opened(job_for(tmp_path, lake))
        stored.proxy.clear()
    assert stored.tokens() == []


def test_tokens_of_other_runs_stay_for_a_month(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other machines may ingest at the same time; the time is that of the store."""
    others = f".lakehouse/workers/{'5' * 32}.run"
    stored.client.put(others, b"")
    with shown_lake(lake_at(stored.config)) as lake:
        assert stored.tokens() == sorted([others, str(lake.token)])
    monkeypatch.setattr("crypto_lakehouse.workflows.wiring.workers_lake._TOKEN_LASTS_NS", -1)
    with shown_lake(lake_at(stored.config)):
        assert stored.tokens() == []


def test_a_token_of_a_run_that_was_killed_on_this_machine_is_deleted_by_the_next(
    stored: Stored,
) -> None:
    at = lake_at(stored.config)
    killed = shown_lake(at)
    killed.__enter__()
    (left,) = stored.tokens()
    with shown_lake(at) as lake:
        assert stored.tokens() == [lake.token]
    assert (stored.tokens(), [*at.folder.glob("*.run")]) == ([], [])
    assert left != lake.token


def test_no_credential_is_in_a_job(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is reached through a proxy with a password, here the server itself."""
    ministack_bucket.give_credentials(monkeypatch)
    proxy = ministack_bucket.storage["endpoint"]
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_PROXY", proxy.replace("//", "//me:s3cret@"))
    stored = Stored(ministack_bucket, FaultProxy(proxy), tmp_path)
    with shown_lake(lake_at(stored.config)) as lake:
        sent = pickle.dumps(job_for(tmp_path, lake))
        assert stored.url.encode() in sent
        for secret in ("s3cret", *ministack_bucket.environment.values()):
            assert secret.encode() not in sent
        assert lake.open().client is not None
        monkeypatch.delenv("CRYPTO_LAKEHOUSE_PROXY")
        with pytest.raises(ConfigurationError, match="set `CRYPTO_LAKEHOUSE_PROXY`"):
            lake.open()


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"executor": "dask", "format": "parquet"}, "format"),
        ({"executor": "dask", "dask_scheduler": "tcp://host:1"}, "shared_directory"),
        ({"dask_scheduler": "host"}, "dask_scheduler"),
        (
            {"executor": "dask", "dask_scheduler": "tcp://host:1", "lake": "s3://bucket/lake"},
            "if all of them mount the output directory$",
        ),
        (
            {
                "executor": "dask",
                "dask_scheduler": "tcp://host:1",
                "lake": "here",
                "output_directory": "s3://bucket/prefix",
            },
            "if all of them mount the lake$",
        ),
    ],
)
def test_what_other_processes_cannot_do_is_refused(options: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationError, match=place):
        LakeConfig({"output_directory": "data", **options}, environ={})


def test_workers_that_use_object_stores_alone_need_no_shared_directory() -> None:
    options = {"executor": "dask", "dask_scheduler": "tcp://host:1"}
    LakeConfig({"output_directory": "s3://bucket/prefix", **options}, environ={})
