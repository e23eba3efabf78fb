"""A sweep over `max_parallel_downloads` against a real server, and what it fetches."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from tests.conftest import SleepRecorder
from yarl import URL

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, ListingMalformed
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.http.transport import Response, Transport
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Fault, NotFound, Redirect, Stall, Status, Truncate
from crypto_lakehouse.workflows.bench import bench
from crypto_lakehouse.workflows.bench.bench import (
    SourceUnusable,
    Sweep,
    open_transport,
    planned_keys,
)

KEYS = [f"data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2025-07-{day:02}.zip" for day in range(1, 9)]


@pytest.fixture
def server(archive_server: ArchiveServer) -> ArchiveServer:
    """A source of eight archives of 1000 bytes."""
    for key in KEYS:
        archive_server.put(key, bytes(1000))
    return archive_server


class Stopped(SleepRecorder):
    """Pauses take no time and are remembered; a setting's time never runs out by itself."""

    async def __call__(self, seconds: float) -> None:
        if seconds == 5:
            await anyio.sleep_forever()
        await super().__call__(seconds)


def config_of(server: ArchiveServer, **values: Any) -> WorkflowConfig:
    basic = {"output_directory": ".", "symbols": ["BTCUSDT"], "default_date": "2025-07-01"}
    return WorkflowConfig({**basic, "source_url": server.url, **values}, environ={})


def sweep_of(server: ArchiveServer, sleep: Any, max_bytes: int = 40_000, **options: Any) -> Sweep:
    """A sweep of the server whose settings end with their part of the bytes."""
    return Sweep(
        keys=deque(options.pop("keys", KEYS)),
        source_url=server.url,
        opening=partial(open_transport, options.pop("config", config_of(server))),
        max_bytes=max_bytes,
        sleep=sleep,
        **options,
    )


@pytest.fixture
def small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few archives be enough to judge by."""
    monkeypatch.setattr(bench, "LEAST_SHARE_BYTES", 1)


@pytest.mark.usefixtures("small_shares")
async def test_archives_are_fetched_in_turn_and_nothing_else(server: ArchiveServer) -> None:
    sleep = Stopped()
    told: list[str] = []
    sweep = sweep_of(server, sleep, settings=(1, 2), on_note=told.append)
    await sweep.run()
    paths = [request.path for request in server.requests]
    assert paths[:20] == [*KEYS, *KEYS, *KEYS[:4]]
    assert set(paths) == set(KEYS)
    first, second = sweep.report.results
    assert (first.requests, first.received_bytes, first.ended_by) == (20 - 1, 20_000, "bytes")
    assert second.received_bytes in {20_000, 21_000}, "what was read at the same moment counts"
    assert (set(first.sizes), first.errors, first.missing) == ({1000}, {}, 0)
    assert len(first.first_byte_s) > len(first.whole_s) > 0
    assert sleep.waits == [1.0]
    assert [line.split(",")[0] for line in told] == ["1 at once", "2 at once"]


@pytest.mark.usefixtures("small_shares")
async def test_each_setting_has_so_many_requests_under_way(server: ArchiveServer) -> None:
    gates = [Stall() for _ in range(6)]
    server.inject("*", gates)
    sweep = sweep_of(server, Stopped(), settings=(6,))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sweep.run)
        for gate in gates:
            await gate.reached.passed()
        assert server.peak_concurrency == 6
        server.release()
    assert server.peak_concurrency <= 6
    assert sweep.report.results[0].setting == 6


@pytest.mark.usefixtures("small_shares")
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(500), "500"),
        (Status(403, body=bytes(70_000)), "403"),
        (Truncate(at=500), "truncated"),
        (Redirect("http://elsewhere.example/"), "redirect"),
    ],
)
async def test_failures_are_counted_by_kind_and_not_tried_again(
    server: ArchiveServer, fault: Fault, kind: str
) -> None:
    server.inject(KEYS[2], fault)
    told: list[str] = []
    sweep = sweep_of(server, Stopped(), 200_000, settings=(1,), on_note=told.append)
    await sweep.run()
    (only,) = sweep.report.results
    assert only.errors == {kind: 1}
    assert only.goodput_bytes % 1000 == 0
    assert [request.path for request in server.requests][2:4] == KEYS[2:4]
    assert KEYS[2] in told[-1]


@pytest.mark.usefixtures("small_shares")
@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_ends_the_setting_and_is_waited_out(
    server: ArchiveServer, status: int
) -> None:
    server.inject("*", [Fault()] * 30, Status(status, retry_after="17"))
    sleep = Stopped()
    sweep = sweep_of(server, sleep, 100_000, settings=(1, 2))
    await sweep.run()
    first, second = sweep.report.results
    assert (first.ended_by, first.errors) == ("refused", {str(status): 1})
    assert (first.requests, first.retry_after_s) == (31, 17)
    assert second.errors == {}
    assert sleep.waits == [17]


@pytest.mark.usefixtures("small_shares")
async def test_a_refusal_without_a_word_is_waited_out_too(server: ArchiveServer) -> None:
    server.inject("*", [Fault()] * 30, Status(503))
    sleep = Stopped()
    await sweep_of(server, sleep, 100_000, settings=(1, 2)).run()
    assert sleep.waits == [bench.REFUSED_WAIT_S]


@pytest.mark.usefixtures("small_shares")
async def test_a_source_that_wants_a_long_rest_gets_it(server: ArchiveServer) -> None:
    server.inject("*", [Fault()] * 30, Status(503, retry_after="3600"))
    sleep = Stopped()
    sweep = sweep_of(server, sleep, 100_000, settings=(1, 2))
    await sweep.run()
    assert (len(sweep.report.results), sweep.report.stopped, sleep.waits) == (1, "refused", [])


async def test_of_two_reasons_to_stop_the_first_one_is_given(server: ArchiveServer) -> None:
    server.inject("*", Fault(), Fault(), Status(503, body=bytes(2000)))
    sweep = sweep_of(server, Stopped(), 3000, settings=(1, 2))
    await sweep.run()
    assert len(sweep.report.results) == 1
    assert sweep.report.received_bytes >= 3000
    assert sweep.report.stopped == "refused"


@pytest.mark.usefixtures("small_shares")
async def test_archives_that_are_missing_are_asked_for_once(server: ArchiveServer) -> None:
    server.remove(KEYS[1])
    sweep = sweep_of(server, Stopped(), settings=(1, 2))
    await sweep.run()
    assert server.count(KEYS[1]) == 1
    assert [result.missing for result in sweep.report.results] == [1, 0]
    assert sweep.report.results[0].error_share() == 0
    assert [result.errors for result in sweep.report.results] == [{}, {}]


async def test_one_key_may_be_missed_by_several_requests(server: ArchiveServer) -> None:
    server.inject(KEYS[0], NotFound(), endless=True)
    with pytest.raises(ConfigurationError, match=r"has no archive of the plan \(4 requested"):
        await sweep_of(server, Stopped(), settings=(4,), keys=KEYS[:1]).run()


async def test_a_source_without_any_of_the_archives_is_told(server: ArchiveServer) -> None:
    for key in KEYS:
        server.remove(key)
    with pytest.raises(ConfigurationError, match=r"no archive of the plan \(8 requested\); choose"):
        await sweep_of(server, Stopped()).run()
    assert server.count() == 8


async def test_nothing_to_fetch_is_told(server: ArchiveServer) -> None:
    with pytest.raises(ConfigurationError, match="no archive that can be fetched"):
        await sweep_of(server, Stopped(), keys=[]).run()
    assert server.requests == []


async def test_a_source_that_only_fails_is_left_after_a_few_requests(
    server: ArchiveServer,
) -> None:
    server.inject("*", Status(500), endless=True)
    with pytest.raises(SourceUnusable, match=r"no archive came: .*answered 500") as failed:
        await sweep_of(server, Stopped()).run()
    assert failed.value.exit_code == 5
    assert server.count() == 5


async def test_a_source_that_is_not_there_is_told() -> None:
    with ArchiveServer(generate=False) as gone:
        config = config_of(gone)
        sweep = sweep_of(gone, Stopped(), config=config)
    with pytest.raises(SourceUnusable, match="no archive came"):
        await sweep.run()
    assert sweep.report.results[0].errors == {"connection": 5}


@pytest.mark.usefixtures("small_shares")
async def test_a_source_that_goes_away_ends_the_sweep(server: ArchiveServer) -> None:
    sweep = sweep_of(server, Stopped(), settings=(1, 2, 4))

    def break_at_two(sentence: str) -> None:
        if sentence.startswith("2 at once"):
            server.inject("*", Status(500), endless=True)

    sweep.on_note = break_at_two
    await sweep.run()
    assert len(sweep.report.results) == 2
    assert sweep.report.results[1].ended_by == "failures"
    assert sweep.report.stopped == "nothing_came"


async def test_what_was_measured_survives_an_interruption(server: ArchiveServer) -> None:
    sweep = sweep_of(server, Stopped(), 10**9, settings=(1, 2))
    async with anyio.create_task_group() as tasks:

        def interrupt(sentence: str) -> None:
            if sentence.startswith("2"):
                tasks.cancel_scope.cancel()

        sweep.on_note = interrupt
        sweep.seconds = 0.05
        sweep.sleep = anyio.sleep
        await sweep.run()
    assert [result.setting for result in sweep.report.results] == [1]


@pytest.mark.usefixtures("small_shares")
async def test_a_cap_on_bytes_per_second_is_kept(server: ArchiveServer) -> None:
    config = config_of(server, max_bytes_per_second=10**9)
    async with open_transport(config, 2) as transport:
        assert getattr(transport, "bytes_rate", None) is not None
    sweep = sweep_of(server, Stopped(), settings=(2,), config=config)
    await sweep.run()
    assert sweep.report.results[0].archives > 0


async def test_errors_of_no_known_kind_are_counted(server: ArchiveServer) -> None:
    class Broken:
        def get(
            self, url: URL, headers: Mapping[str, str]
        ) -> AbstractAsyncContextManager[Response]:
            raise ListingMalformed(str(url), "strange")

    @asynccontextmanager
    async def opening(connections: int) -> AsyncIterator[Transport]:
        yield Broken()

    sweep = sweep_of(server, Stopped())
    sweep.opening = opening
    with pytest.raises(SourceUnusable):
        await sweep.run()
    assert sweep.report.results[0].errors == {"other": 5}


# What is fetched --------------------------------------------------------------------------------


def planned(symbol: str, *days: int, **facts: Any) -> PlannedSeries:
    keys = [KEYS[day - 1].replace("BTCUSDT", symbol) for day in days]
    archives = [Archive.parse(key) for key in keys]
    periods = [PlannedPeriod(archive.period, **facts) for archive in archives]
    return PlannedSeries(archives[0].series, periods)


def test_series_take_turns() -> None:
    keys = planned_keys(iter([planned("A", 1, 2, 3), planned("B", 1), planned("C", 1, 2)]))
    assert [Archive.parse(key).symbol for key in keys] == ["A", "B", "C", "A", "C", "A"]
    assert len(set(keys)) == 6


def test_what_cannot_be_fetched_is_left_out() -> None:
    late = planned("A", 1, 2, not_published="not yet")
    absent = planned("B", 1, unlisted=True)
    assert planned_keys(iter([late, absent, planned("C", 1)])) == [KEYS[0].replace("BTCUSDT", "C")]


def test_of_a_large_plan_only_a_part_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MOST_KEYS", 5)
    monkeypatch.setattr(bench, "MOST_SERIES", 2)
    series = iter([planned("A", 1, 2, 3), planned("B", 1, 2, 3), planned("C", 1)])
    keys = planned_keys(series)
    assert [Archive.parse(key).symbol for key in keys] == ["A", "B", "A", "B", "A"]
