"""What was added since works on what version 0.1.0 has left, whose archives and verdicts stay.

Fills, recordings, pipelines, tenants, daemons, pages, objectives, a ledger in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compatibility.archives import BARS, BTC, ETH, holds, zips_asked_for
from tests.compatibility.conftest import Command, Legacy
from tests.segments.test_live_segment import writer
from tests.services.postgres import PostgresServer

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ArchiveServer, ExchangeClock, ExchangeServer, Tape
from crypto_lakehouse.workflows import Daemon, load_schedules

#: The verdict of each archive that 0.1.0 has recorded.
VERDICTS = "SELECT folder, name, verdict, sha256 FROM archives ORDER BY folder, name"

#: 2023-07-08, in microseconds.
RECORDED_US = 1_688_774_400_000_000


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    tape = Tape(start=datetime(2023, 7, 1, tzinfo=UTC))
    with ExchangeServer(tape, clock=ExchangeClock(datetime(2023, 7, 8, tzinfo=UTC))) as server:
        yield server


def write(legacy: Legacy, server: ArchiveServer, **more: Any) -> Path:
    """A configuration file of what was collected."""
    place = {"source_url": server.url, "listing_url": server.url, "max_retries": 0}
    values = {**BARS, "output_directory": "output", **place, **more}
    file = legacy.place / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def in_ledger(legacy: Legacy, query: str) -> list[Any]:
    with sqlite3.connect(legacy.output / ".lakehouse" / "ledger.sqlite") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_a_fill_adds_days_and_the_ledger_keeps_its_rows(
    legacy: Legacy, command: Command, server: ArchiveServer, exchange: ExchangeServer
) -> None:
    before, stored = in_ledger(legacy, VERDICTS), legacy.digests("output/data")
    urls = {market: exchange.url(market) for market in ("spot", "futures_um", "futures_cm")}
    file = write(legacy, server, fill={"urls": urls, "until": "2023-07-06"})
    result = command("fill", "--config", file, "--json")
    assert result.code == 0, result.err
    assert result.json["totals"]["filled"] > 0
    assert in_ledger(legacy, VERDICTS) == before
    assert legacy.digests("output/data") == stored
    (version,) = in_ledger(legacy, "PRAGMA user_version")
    assert version > (2,)
    status = command("status", "-o", "output", "--json")
    assert any(series["filled_days"] for series in status.json["series"])
    assert command("ingest", "-o", "output", "--json").code in {0, 4}
    with Lake.open(legacy.output) as lake:
        origins = lake.sql(
            "SELECT DISTINCT split_part(archive, '/', 1) FROM spot.klines"
        ).fetchall()
    assert {*origins} == {("data",), ("rest",)}


def test_recorded_rows_come_into_a_table_that_has_no_column_for_them(
    legacy: Legacy, command: Command
) -> None:
    one = writer(
        LocalStore(legacy.output), market=Market.SPOT, kind=StreamKind.TRADE, recording="a" * 8
    )
    trade = {"e": "trade", "E": RECORDED_US, "s": "BTCUSDT", "t": 9_000_000_001, "p": "30000.1",
             "q": "0.5", "T": RECORDED_US, "m": True, "M": True}  # fmt: skip
    body = json.dumps({"stream": "btcusdt@trade", "data": trade}).encode()
    one.write(RECORDED_US + 1000, 1, body)
    asyncio.run(one.close(RECORDED_US + 2000))
    result = command("ingest", "-o", "output", "--only-recordings", "--json")
    assert result.code == 0, result.err
    with Lake.open(legacy.output) as lake:
        found = lake.sql("SELECT id, received_at IS NOT NULL FROM spot.trades").fetchall()
    assert found == [(9_000_000_001, True)]


def test_a_pipeline_runs_every_step(
    legacy: Legacy, command: Command, server: ArchiveServer
) -> None:
    steps = {
        "collect": {}, "ingest": {"needs": "collect"}, "validate": {}, "verify": {},
        "compact": {"needs": "ingest"}, "expire": {"needs": "compact"},
    }  # fmt: skip
    file = write(legacy, server, pipelines={"all": {"steps": steps, "every": "1h"}})
    result = command("run", file, "--json")
    states = {name: step["state"] for name, step in result.json["steps"].items()}
    assert states == dict.fromkeys(steps, "done"), result.err
    assert set(zips_asked_for(server)) - {BTC.format(5)} == {BTC.format(7), ETH.format(7)}


async def test_a_daemon_begins_beside_what_is_there(
    legacy: Legacy, server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(legacy.place)
    before = legacy.digests("output/data")
    file = write(legacy, server, pipelines={"all": {"steps": {"verify": {}}, "every": "1d"}})
    has_begun = asyncio.Event()
    daemon = Daemon(await load_schedules(file), say=lambda *_: has_begun.set())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(daemon.run())
        await has_begun.wait()
        daemon.stop()
    assert legacy.digests("output/data") == before


def test_it_becomes_the_output_of_a_tenant(
    legacy: Legacy, command: Command, server: ArchiveServer
) -> None:
    tenants = {"desk-a": {"output_directory": "output"}, "desk-b": {"output_directory": "new"}}
    file = write(legacy, server, tenants=tenants)
    values = yaml.safe_load(file.read_text())
    del values["output_directory"]
    file.write_text(yaml.safe_dump(values))
    result = command("collect", "--config", file, "--tenant", "desk-a", "--json", "-q")
    assert result.json["totals"]["unchanged"] == 6
    found = command("status", "--config", file, "--tenant", "desk-a", "--json").json
    assert [series["verified_days"] for series in found["series"]][:1] == [3]


def test_pages_and_objectives_show_it(
    legacy: Legacy, command: Command, server: ArchiveServer
) -> None:
    before = legacy.digests("output")
    file = write(legacy, server, freshness={"*": "1d"})
    assert command("status", "-o", "output", "--config", file, "--strict").code == 4
    assert command("report", "-o", "output", "--html", "report.html").code in {0, 4}
    assert "BTCUSDT" in (legacy.place / "report.html").read_text()
    result = command("fill", "-o", "output", "--dry-run", "--until", "2023-07-06", "--json")
    assert result.json["totals"]["days"] > 0
    assert legacy.digests("output") == before


def test_a_ledger_in_a_database_begins_without_fetching(
    legacy: Legacy, server: ArchiveServer, postgres_server: PostgresServer
) -> None:
    stored = legacy.digests("output/data")
    schema = {"ledger": postgres_server.url(), "ledger_schema": "from_v0_1_0"}
    report = legacy.collect(server, **BARS, **schema)
    again = legacy.collect(server, **BARS, **schema)
    assert (report.totals["unchanged"], again.totals["unchanged"]) == (6, 8)
    assert not {BTC.format(1), ETH.format(1)} & {*zips_asked_for(server)}
    assert {**legacy.digests("output/data"), **stored} == legacy.digests("output/data")
    assert holds(in_ledger(legacy, "PRAGMA user_version"), [(2,)])
