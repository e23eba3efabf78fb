"""What the archive lacks is filled from the exchange, and nothing is asked for twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LakehouseError,
    SelectionError,
    StoreError,
)
from crypto_lakehouse.core.events import Event, FillFinished
from crypto_lakehouse.core.fills import segment_of
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.segments.fill_rows import csv_rows
from crypto_lakehouse.segments.fill_segment import read_fill
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.testing import ArchiveServer, ExchangeServer, faults
from crypto_lakehouse.workflows import (
    ArchiveCollectionWorkflow,
    FillReport,
    RestCollectionWorkflow,
    new_segment,
    run_fill,
    run_fill_estimate,
    run_status,
)
from crypto_lakehouse.workflows.fill_request import last_day_of

BARS = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h")
SEGMENT = segment_of(BARS, date(2026, 5, 6))
WINDOW = {"start": "2026-05-05", "end": "2026-05-07"}


class Filled:
    """An output of which a day of bars is missing, and the exchange that has it."""

    def __init__(self, root: Path, archives: ArchiveServer, exchange: ExchangeServer) -> None:
        self.root, self.archives, self.exchange = root, archives, exchange
        urls = {str(market): exchange.url(market) for market in Market if market != "options"}
        self.keys: dict[str, Any] = {
            "output_directory": str(root), "source_url": archives.url, "discovery": "calendar",
            "max_retries": 0, "partitions": ["daily"], "fill": {"urls": urls},
        }  # fmt: skip
        self.bars: dict[str, Any] = {
            "markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"],
            "intervals": ["1h"],
        }  # fmt: skip

    async def collect(self, **keys: Any) -> None:
        """Collect three days of bars, of which the source lacks the second."""
        for day in (5, 7):
            name = f"BTCUSDT-1h-2026-05-0{day}.zip"
            self.exchange.publish(self.archives, f"data/spot/daily/klines/BTCUSDT/1h/{name}")
        given = {**self.keys, **self.bars, "date_range": WINDOW, **keys}
        await ArchiveCollectionWorkflow(WorkflowConfig(given, environ={})).run()

    def config(self, **keys: Any) -> WorkflowConfig:
        """A configuration that selects all that was asked for."""
        return WorkflowConfig({**self.keys, "only": "failed", **keys}, environ={})

    async def fill(self, *, sinks: Any = (), **given: Any) -> FillReport:
        """Fill; what is not an argument of `run_fill` is a key."""
        names = ("until", "only_holes", "retry_failed", "store")
        arguments = {name: given.pop(name) for name in names if name in given}
        return await run_fill(self.config(**given), sinks=sinks, **arguments)

    def segments(self) -> set[str]:
        """The files below rest/."""
        below = (path for path in (self.root / "rest").rglob("*") if path.is_file())
        return {path.name for path in below}


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Filled]:
    async with ArchiveServer(generate=False) as archives, ExchangeServer() as exchange:
        yield Filled(tmp_path / "out", archives, exchange)


async def test_a_hole_and_today_are_filled_and_a_second_run_asks_only_for_today(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled.collect()
    events: list[Event] = []
    report = await filled.fill(sinks=[events.extend])
    assert report.totals == {
        "planned": 2, "filled": 2, "unchanged": 0, "unavailable": 0, "failed": 0,
    }  # fmt: skip
    assert (report.exit_code, report.status, report.rows) == (0, "complete", 24 + 12)
    assert report.weight == report.requests * 2 == 2  # one page has both days
    done = [event for event in events if isinstance(event, FillFinished)]
    assert {(event.archive.period.text, event.complete) for event in done} == {
        ("2026-05-06", True), ("2026-05-08", False),
    }  # fmt: skip

    path = filled.root / SEGMENT.key
    sidecar = (filled.root / SEGMENT.sidecar_key).read_text()
    assert sidecar == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {SEGMENT.name}\n"
    with path.open("rb") as file:
        header, responses = read_fill(file, SEGMENT.key)
        rows = b"".join(csv_rows(BARS, header, responses)).decode().split()
    assert len(rows) == 24
    assert header.complete

    asked = len(filled.exchange.requests)
    report = await filled.fill()
    assert (report.totals["unchanged"], report.totals["filled"]) == (1, 1)
    assert len(filled.exchange.requests) - asked == 2  # the time, and today
    report = await filled.fill(only_holes=True)
    assert (report.totals["unchanged"], report.totals["filled"]) == (1, 0)

    path.unlink()  # it is not there, whatever the ledger says
    report = await filled.fill(until="2026-05-07")
    assert (report.totals["planned"], report.totals["filled"]) == (1, 1)
    assert path.is_file()
    before = path.read_bytes()
    monkeypatch.setattr(new_segment, "_SMALL_BYTES", 0)
    report = await filled.fill(until="2026-05-07", force_redownload=True)
    assert report.totals["filled"] == 1
    after = path.read_bytes()
    assert after != before  # it says when it was filled
    sidecar = (filled.root / SEGMENT.sidecar_key).read_text()
    assert sidecar.startswith(hashlib.sha256(after).hexdigest())


async def test_a_filled_hole_stays_a_hole_and_is_marked(filled: Filled) -> None:
    await filled.collect()
    await filled.fill()
    status = await run_status(filled.config(), of="asked")
    (series,) = status.series
    assert (series.verified_days, series.expected_days, series.filled_days) == (2, 3, 1)
    assert [(hole.first_day.day, hole.cause, hole.filled) for hole in series.holes] == [
        (6, "missing", 1)
    ]
    (item,) = status.to_mapping()["series"]
    assert (item["filled_days"], item["first_filled"], item["last_filled"]) == (
        1, "2026-05-06", "2026-05-08",
    )  # fmt: skip


async def test_a_series_that_is_only_filled_has_a_status(filled: Filled) -> None:
    days = {"start": "2026-05-06", "end": "2026-05-07"}
    await filled.fill(**filled.bars, date_range=days)
    status = await run_status(filled.config())
    (series,) = status.series
    assert (series.first_filled, series.last_filled) == (date(2026, 5, 6), date(2026, 5, 7))
    assert (series.expected_days, series.verified_days, series.filled_days) == (0, 0, 2)
    assert [hole.cause for hole in series.holes] == ["not_asked"]
    await filled.collect(date_range=days)
    (series,) = (await run_status(filled.config())).series
    assert (series.expected_days, series.first_filled) == (2, date(2026, 5, 6))


async def test_an_unknown_symbol_is_remembered(filled: Filled) -> None:
    await filled.collect()
    keys: dict[str, Any] = {**filled.bars, "symbols": ["BTCUSDC"], "date_range": WINDOW}
    report = await filled.fill(**keys)
    assert (report.totals["unavailable"], report.exit_code) == (3, 3)
    assert filled.exchange.count("spot/api/v3/klines", status=400) == 1
    problem = report.problems[0]
    assert problem.reason == (
        "the exchange does not know the symbol `BTCUSDC`; did you mean `BTCUSDT`?"
    )
    asked = filled.exchange.count("*/klines")
    again = await filled.fill(**{**keys, "date_range": {**WINDOW, "start": "2026-05-01"}})
    assert again.totals["unavailable"] == 7  # also days that were not asked for before
    assert filled.exchange.count("*/klines") == asked
    known = await filled.fill(**keys, acknowledge=["data/spot/daily/klines/BTCUSDC/*.zip"])
    assert (known.exit_code, known.acknowledged, known.problems) == (0, 3, ())
    await filled.fill(**keys, retry_failed=True)
    assert filled.exchange.count("*/klines") > asked


async def test_what_is_too_old_is_not_to_be_had(filled: Filled) -> None:
    keys: dict[str, Any] = {
        "markets": ["futures_um"], "symbols": ["BTCUSDT"], "data_types": ["metrics"],
        "date_range": {"start": "2026-03-01", "end": "2026-03-02"},
    }  # fmt: skip
    report = await filled.fill(**keys)
    assert (report.totals["unavailable"], report.exit_code) == (2, 3)
    assert filled.exchange.count("*/futures/data/*") == 0


@pytest.mark.parametrize("status", [403, 451])
async def test_a_host_that_refuses_ends_the_run_in_order(filled: Filled, status: int) -> None:
    await filled.collect()
    filled.exchange.refuse(Market.SPOT, status)
    report = await filled.fill()
    assert (report.exit_code, report.status) == (5, "interrupted")
    assert f"answered {status}" in report.error
    assert len(filled.exchange.requests) == 1
    filled.exchange.refuse(Market.SPOT, None)
    assert (await filled.fill()).exit_code == 0


async def test_a_ban_ends_the_run_and_what_was_filled_stays(filled: Filled) -> None:
    await filled.collect()
    filled.exchange.inject("spot/api/v3/klines", faults.Status(418), endless=True)
    report = await filled.fill()
    assert report.exit_code == 5
    assert "banned" in report.error
    assert filled.segments() == set()
    filled.exchange.heal()
    assert (await filled.fill()).totals["filled"] == 2


async def test_a_damaged_answer_fails_its_day_by_name_and_is_kept(filled: Filled) -> None:
    await filled.collect()
    filled.exchange.inject("spot/api/v3/klines", faults.MalformedJson())
    report = await filled.fill()
    assert (report.totals["failed"], report.totals["filled"], report.exit_code) == (1, 1, 3)
    # That of the day that failed counts, too; one more asked for the time.
    assert (report.requests, report.weight) == (len(filled.exchange.requests) - 1, 4)
    (problem,) = report.problems
    kept = filled.root / ".lakehouse" / "quarantine" / f"{problem.key}.answer"
    assert kept.read_bytes().startswith(b"[[")
    note = json.loads(kept.with_name(f"{kept.name}.json").read_text())
    assert note["verdict"] == "failed"
    assert "cannot be used" in note["reason"]
    assert (await filled.fill()).exit_code == 0


async def test_an_exchange_that_is_down_ends_the_run(filled: Filled) -> None:
    await filled.collect()
    filled.exchange.inject("spot/*", faults.Status(503), endless=True)
    report = await filled.fill()
    assert report.exit_code == 5
    assert "cannot be reached" in report.error
    assert report.totals["planned"] == 0


async def test_an_error_that_ends_a_run_is_no_success_in_its_metrics(
    filled: Filled, tmp_path: Path
) -> None:
    file = tmp_path / "lake.prom"
    await filled.collect()
    (filled.root / "rest").write_text("not a folder")
    with pytest.raises(LakehouseError):
        await filled.fill(metrics_textfile=str(file))
    text = file.read_text()
    assert 'runs_total{status="failed",workflow="rest_collection"} 1.0' in text
    assert "run_last_success" not in text


async def test_a_run_that_is_stopped_keeps_what_it_has(filled: Filled) -> None:
    await filled.collect()
    workflow: RestCollectionWorkflow

    def stop(events: Any) -> None:
        if any(isinstance(event, FillFinished) for event in events):
            workflow.stop(143)

    workflow = RestCollectionWorkflow(
        filled.config(**filled.bars, date_range={"start": "2026-01-05", "end": "2026-05-04"}),
        sinks=[stop],
    )
    report = await workflow.run()
    assert (report.exit_code, report.status) == (143, "interrupted")
    again = await filled.fill(
        **filled.bars, date_range={"start": "2026-01-05", "end": "2026-05-04"}
    )
    assert again.exit_code == 0
    assert again.totals["unchanged"] >= report.totals["filled"] > 0


async def test_segments_survive_a_lost_ledger(filled: Filled) -> None:
    await filled.collect()
    days: dict[str, Any] = {**filled.bars, "date_range": {**WINDOW, "start": "2026-05-04"}}
    assert (await filled.fill(**days)).totals["filled"] == 2
    for path in (filled.root / ".lakehouse").glob("ledger.sqlite*"):
        path.unlink()
    asked = filled.exchange.count("*/klines")
    # All four days are holes of a ledger that knows nothing; two have no segment.
    events: list[Event] = []
    report = await filled.fill(**days, sinks=[events.extend])
    assert (report.totals["unchanged"], report.totals["filled"]) == (2, 2)
    assert filled.exchange.count("*/klines") - asked == 1  # one page has both days
    found = [event for event in events if isinstance(event, FillFinished) and event.known]
    assert [event.rows for event in found] == [24, 24]
    path = filled.root / SEGMENT.key
    for is_known in (True, False):
        path.write_bytes(path.read_bytes()[:-1])
        if not is_known:
            for ledger in (filled.root / ".lakehouse").glob("ledger.sqlite*"):
                ledger.unlink()
        report = await filled.fill(**days)
        assert (report.totals["unchanged"], report.totals["filled"]) == (3, 1)
    path.write_bytes(path.read_bytes())  # another file with the same bytes
    for is_new in (True, False):
        report = await filled.fill(**days, sinks=[events.extend])
        assert report.totals["unchanged"] == 4
        last = [event for event in events[-5:] if isinstance(event, FillFinished)]
        assert [event.is_new for event in last if event.archive == SEGMENT] == [is_new]


class NoSegments(LocalStore):
    """A store whose disk is full when a segment comes."""

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        if key.endswith(".zst"):
            raise StoreError(key, "the disk is full")
        return await super().put(key, data, sync=sync)


async def test_a_segment_never_comes_before_its_sidecar(filled: Filled) -> None:
    await filled.collect()
    with pytest.raises(StoreError, match="the disk is full"):
        await filled.fill(store=NoSegments(filled.root), until="2026-05-07")
    assert filled.segments() == {SEGMENT.sidecar_key.rpartition("/")[2]}
    assert (await filled.fill(until="2026-05-07")).totals["filled"] == 1


async def test_only_the_exchange_is_asked_and_at_its_configured_address(filled: Filled) -> None:
    await filled.collect()
    before = len(filled.archives.requests)
    await filled.fill(**{**filled.bars, "markets": ["futures_um"]}, date_range=WINDOW)
    assert len(filled.archives.requests) == before
    assert filled.exchange.count("futures_um/*") > 0
    assert filled.exchange.count("spot/*") == 0


async def test_redirects_lead_to_hosts_that_are_named_and_no_others(filled: Filled) -> None:
    await filled.collect()
    async with ExchangeServer() as other:
        query = "symbol=BTCUSDT&interval=1h&startTime=1778025600000&endTime=1778111999999"
        there = faults.Redirect(f"{other.url('spot')}/api/v3/klines?{query}")
        filled.exchange.inject("spot/api/v3/klines", there, endless=True)
        refused = await filled.fill(until="2026-05-07")
        assert "add it to `redirect_hosts` if you trust it" in refused.problems[0].reason
        assert not other.requests
        host = other.url("spot").partition("//")[2]
        report = await filled.fill(until="2026-05-07", redirect_hosts=[host])
        assert (report.totals["filled"], report.rows, len(other.requests)) == (1, 24, 1)


async def test_the_cost_is_known_before(filled: Filled) -> None:
    await filled.collect()
    today = date(2026, 5, 8)
    found = (await run_fill_estimate(filled.config(), today=today)).to_mapping()
    assert found["totals"] == {
        "days": 2, "requests": 1, "weight": 2, "at_least": True, "seconds": 0,  # one page has both
    }  # fmt: skip
    assert not filled.exchange.requests
    assert not (filled.root / "rest").exists()
    trades: dict[str, Any] = {
        "markets": ["futures_um"], "symbols": ["BTCUSDT"], "default_date": "2026-05-07",
    }  # fmt: skip
    of_trades = await run_fill_estimate(
        filled.config(**trades, data_types=["aggTrades", "fundingRate"]), today=today
    )
    assert of_trades.total.is_least
    assert of_trades.total.requests == 2
    assert of_trades.seconds > 0
    await filled.fill(until="2026-05-07")
    report = await filled.fill(until="2026-05-07")
    assert report.totals["unchanged"] == 1
    estimate = await run_fill_estimate(filled.config(), until="2026-05-07", today=today)
    assert estimate.total.days == 0
    assert estimate.seconds == 0


async def test_what_is_not_there_is_not_filled_in_silence(filled: Filled) -> None:
    await filled.collect()
    with pytest.raises(SelectionError, match="did you mean `BTCUSDT`"):
        await filled.fill(symbols=["BTCUSDX"])
    with pytest.raises(ConfigurationError, match="until: `soon` is neither"):
        await filled.fill(until="soon")


async def test_an_output_without_a_ledger_needs_symbols_and_days(filled: Filled) -> None:
    with pytest.raises(ConfigurationError, match=r"has no ledger.*; or name symbols and days"):
        await filled.fill()
    with pytest.raises(ConfigurationError, match="has no ledger"):
        await run_fill_estimate(filled.config())
    assert not filled.root.exists()
    report = await filled.fill(**filled.bars, default_date="2026-05-06")
    assert report.totals["filled"] == 1


async def test_a_day_without_rows_is_not_filled(filled: Filled) -> None:
    days = {"start": "2025-12-30", "end": "2025-12-31"}  # before everything happened
    report = await filled.fill(**filled.bars, date_range=days)
    assert (report.totals["unavailable"], report.exit_code) == (2, 3)
    assert report.problems[0].reason == "the exchange has no rows of this day"
    assert filled.segments() == set()
    weeks = {**filled.bars, "intervals": ["1w"], "date_range": {"start": "2026-03"}}
    for _ in range(2):  # only Mondays begin a week; on other days there is nothing to ask for
        report = await filled.fill(**weeks, until="2026-03-31")
        assert (report.totals["planned"], report.exit_code) == (31, 0)
    assert filled.exchange.count("spot/api/v3/klines") == 1 + 5
    assert len(filled.segments()) == 2 * 5
    assert report.totals["unchanged"] == 31


@pytest.mark.parametrize("kind", ["rclone"])
async def test_segments_go_where_archives_are(
    filled: Filled, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket: Bucket = request.getfixturevalue(f"{kind}_bucket")
    bucket.give_credentials(monkeypatch)
    where: dict[str, Any] = {
        "output_directory": bucket.fresh_prefix(), "storage": dict(bucket.storage),
        "state_directory": str(filled.root),
    }  # fmt: skip
    await filled.collect(**where)
    monkeypatch.setattr(new_segment, "_SMALL_BYTES", 0)
    report = await filled.fill(**where, until="2026-05-07")
    assert (report.totals["filled"], report.exit_code) == (1, 0)
    store = output_of(filled.config(**where)).store
    data = await store.read(SEGMENT.key, 1 << 20)
    sidecar = await store.read(SEGMENT.sidecar_key, 1 << 10)
    assert data is not None
    assert sidecar == f"{hashlib.sha256(data).hexdigest()}  {SEGMENT.name}\n".encode()
    assert (await filled.fill(**where, until="2026-05-07")).totals["unchanged"] == 1

    shutil.rmtree(filled.root)  # the state folder
    estimate = await run_fill_estimate(
        filled.config(**where), until="2026-05-07", today=date(2026, 5, 8)
    )
    (note,) = estimate.notes
    assert (estimate.total.days, "in its place its copy" in note) == (0, True)
    assert not filled.root.exists()
    assert (await filled.fill(**where, until="2026-05-07")).totals["unchanged"] == 1
    assert filled.root.exists()


@pytest.mark.parametrize("kind", ["rclone"])
async def test_runs_with_one_ledger_divide_the_series(
    filled: Filled, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    bucket: Bucket = request.getfixturevalue(f"{kind}_bucket")
    bucket.give_credentials(monkeypatch)
    where: dict[str, Any] = {
        **filled.bars, "intervals": ["15m", "30m", "1h", "4h"], "date_range": WINDOW,
        "output_directory": bucket.fresh_prefix(), "storage": dict(bucket.storage),
        "ledger": postgres.url(), "ledger_schema": f"fills_{uuid4().hex}",
    }  # fmt: skip
    runs = [filled.fill(**where, state_directory=str(filled.root / name)) for name in "ab"]
    reports = await asyncio.gather(*runs)
    assert [report.exit_code for report in reports] == [0, 0]
    assert sum(report.totals["filled"] for report in reports) == 4 * 3
    assert sum(report.totals["unchanged"] for report in reports) == 4 * 3
    assert filled.exchange.count("spot/api/v3/klines") == 4  # one page has all days of a series


def test_the_last_day_is_a_day_or_now() -> None:
    assert last_day_of("now") is None
    assert last_day_of(date(2026, 5, 7)) == last_day_of("2026-05-07") == date(2026, 5, 7)
