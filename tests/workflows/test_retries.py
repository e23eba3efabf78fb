"""Which failures are tried again, and after how long."""

from __future__ import annotations

import pytest
from tests.conftest import SleepRecorder
from tests.workflows.conftest import KEY, SIDECAR, Collection

from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import faults


@pytest.mark.parametrize("status", [403, 408, 429, 500, 502, 503, 504])
async def test_a_passing_status_is_retried(collection: Collection, status: int) -> None:
    collection.server.inject(KEY, *faults.Status(status) * 2)
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert len(collection.sleeps.waits) == 2
    assert collection.requested() == [KEY, KEY, KEY, SIDECAR]


@pytest.mark.parametrize("status", [400, 401, 405, 410, 418, 204, 304])
async def test_any_other_status_is_final(collection: Collection, status: int) -> None:
    collection.server.inject(KEY, faults.Status(status))
    report = await collection.run()
    assert report.totals["failed"] == 1
    assert f"answered {status}" in report.problems[0].reason
    assert collection.sleeps.waits == []


async def test_retries_end(collection: Collection) -> None:
    collection.server.inject(KEY, *faults.Status(503) * 10)
    report = await collection.run()
    assert report.totals["failed"] == 1
    assert report.exit_code == 3
    assert report.status == "failed"
    assert collection.requested() == [KEY] * 4
    assert KEY in report.problems[0].reason


async def test_the_configuration_says_how_often(collection: Collection) -> None:
    collection.server.inject(KEY, faults.Status(503))
    report = await collection.run(max_retries=0, retry=None)
    assert report.totals["failed"] == 1


async def test_retry_after_is_obeyed(collection: Collection) -> None:
    collection.server.inject(KEY, faults.Status(429, retry_after="17"))
    report = await collection.run()
    assert report.totals["verified"] == 1
    (wait_s,) = collection.sleeps.waits
    assert 17.0 <= wait_s <= 18.7


async def test_an_absurd_retry_after_is_capped(collection: Collection) -> None:
    collection.server.inject(KEY, faults.Status(503, retry_after="86400"))
    await collection.run()
    (wait_s,) = collection.sleeps.waits
    assert 300.0 <= wait_s <= 330.0


async def test_a_retry_after_that_says_nothing_is_a_usual_wait(
    collection: Collection, sleeps: SleepRecorder
) -> None:
    collection.server.inject(KEY, faults.Status(503, retry_after="soon"))
    exact = RetryPolicy(max_retries=1, sleep=sleeps, jitter=lambda _low, high: high)
    report = await collection.run(retry=exact)
    assert report.totals["verified"] == 1
    assert sleeps.waits == [0.5]


@pytest.mark.parametrize(
    "fault", [faults.Cut(), faults.Truncate(at=0), faults.Truncate(at=100)], ids=repr
)
async def test_a_broken_connection_is_retried(collection: Collection, fault: faults.Fault) -> None:
    collection.server.inject(KEY, fault)
    report = await collection.run()
    assert report.totals["verified"] == 1
    # aiohttp itself asks once more, at once, where a connection closes without an answer.
    assert collection.requested() == [KEY, KEY, SIDECAR]


async def test_a_sidecar_that_fails_is_retried(collection: Collection) -> None:
    collection.server.inject(SIDECAR, faults.Status(503), faults.Truncate(at=10))
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert len(collection.sleeps.waits) == 2


async def test_a_sidecar_that_keeps_failing_fails_the_archive(collection: Collection) -> None:
    collection.server.inject(SIDECAR, *faults.Status(500) * 10)
    report = await collection.run()
    assert report.totals["failed"] == 1
    assert not collection.path(KEY).exists()


async def test_silence_is_a_timeout(collection: Collection) -> None:
    collection.server.inject(KEY, *[faults.Stall(at=0)] * 4)
    report = await collection.run(timeout_seconds=0.05)
    assert report.totals["failed"] == 1
    assert "silent" in report.problems[0].reason


async def test_a_source_that_does_not_answer_fails(collection: Collection) -> None:
    collection.config["source_url"] = "http://127.0.0.1:9"
    report = await collection.run()
    assert report.totals["failed"] == 1
    assert report.exit_code == 3
    assert len(collection.sleeps.waits) == 3


async def test_other_archives_are_unharmed(collection: Collection) -> None:
    collection.server.inject(KEY, *faults.Status(503) * 10)
    report = await collection.run(intervals=["1h", "4h", "1d"])
    assert report.totals["verified"] == 2
    assert report.totals["failed"] == 1
    assert report.status == "partial"
