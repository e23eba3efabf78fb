"""The tables that version 0.1.0 has left are read, and gone on with; see `test_v0_1_0`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from tests.compatibility.archives import BARS, BTC, ETH, TICKS, holds, republished
from tests.compatibility.conftest import Command, Legacy

from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ArchiveServer

RATES_OF_AUGUST = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-08.zip"

#: Each lake and what was recorded of it.
LAKES = [("output", "tables"), ("exact", "exact_tables")]

Row = list[Any]


def plain(value: Any) -> Any:
    """A value as it was recorded."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def rows(lake: Lake, name: str, columns: list[str], at: str | None = None) -> list[Row]:
    """The rows of a table, as they were at a snapshot."""
    moment = None if at is None else datetime.fromisoformat(at) + timedelta(milliseconds=1)
    found = lake.scan(name, columns=columns, as_of=moment).polars().collect().rows()
    return sorted([plain(value) for value in row] for row in found)


def assert_versions_are_there(lake: Lake, recorded: Mapping[str, Any]) -> None:
    """Every snapshot that there was is there, with all its rows."""
    for name, table in recorded.items():
        snapshots = lake.snapshots(name)
        assert len(snapshots) >= len(table["snapshots"])
        for found, snapshot in zip(snapshots, table["snapshots"], strict=False):
            for fact, value in snapshot["facts"].items():
                assert plain(getattr(found, fact)) == value
            at = snapshot["facts"]["at"]
            assert rows(lake, name, table["columns"], at) == snapshot["rows"]


def newest(legacy: Legacy, name: str) -> tuple[list[str], list[Row]]:
    """Columns and rows of a table, as they were left."""
    table = legacy.expected["tables"][name]
    return table["columns"], table["snapshots"][-1]["rows"]


@pytest.mark.parametrize(("place", "recorded_as"), LAKES)
def test_every_row_of_every_version_is_there(legacy: Legacy, place: str, recorded_as: str) -> None:
    recorded = legacy.expected[recorded_as]
    with Lake.open(legacy.place / place) as lake:
        assert lake.tables == sorted([*recorded, "lakehouse.archives"])
        assert_versions_are_there(lake, recorded)
        for name, table in recorded.items():
            assert len(lake.snapshots(name)) == len(table["snapshots"])
            assert rows(lake, name, table["columns"]) == table["snapshots"][-1]["rows"]


def test_every_way_to_scan_gives_the_rows(legacy: Legacy) -> None:
    columns, expected = newest(legacy, "spot.klines")
    with Lake.open(legacy.output) as lake:
        scan = lake.scan("spot.klines", columns=columns)
        of_arrow = scan.arrow().read_all().to_pylist()
        of_duckdb = scan.duckdb().to_arrow_table().to_pylist()
        for found in (of_arrow, of_duckdb):
            assert sorted([plain(row[name]) for name in columns] for row in found) == expected
        some = lake.scan(
            "spot.klines", symbols="BTCUSDT", interval="4h", start="2023-07-02", columns=columns
        )
        assert sorted([*map(plain, row)] for row in some.polars().collect().rows()) == [
            row for row in expected if row[columns.index("archive")] == BTC.format(2)
        ]


def provenance(lake: Lake) -> list[dict[str, Any]]:
    relation = lake.sql("FROM lakehouse.archive_history ORDER BY recorded_at, archive")
    found = relation.to_arrow_table().to_pylist()
    return [{name: plain(value) for name, value in row.items()} for row in found]


def test_the_provenance_is_there(legacy: Legacy) -> None:
    recorded = legacy.expected["archives"]
    assert {row["state"] for row in recorded} == {"ingested", "superseded", "refused"}
    with Lake.open(legacy.output) as lake:
        found = provenance(lake)
        relation = lake.sql("SELECT archive, sha256 FROM lakehouse.archives")
        now = dict(relation.fetchall())
    assert holds(found, recorded)
    assert now[BTC.format(2)] == legacy.expected["versions"][BTC.format(2)][-1]["sha256"]


def test_the_commands_read_the_tables(legacy: Legacy, command: Command) -> None:
    tables = command("lake", "tables", "-o", "output", "--json").json
    for name, table in legacy.expected["tables"].items():
        assert tables[name]["rows"] == len(table["snapshots"][-1]["rows"])
        assert tables[name]["snapshots"] == len(table["snapshots"])
        listed = command("lake", "snapshots", "-o", "output", name).out
        assert all(str(each["facts"]["snapshot_id"]) in listed for each in table["snapshots"])
    first = legacy.expected["tables"]["spot.klines"]["snapshots"][0]
    moment = datetime.fromisoformat(first["facts"]["at"]) + timedelta(milliseconds=1)
    result = command(
        "query", "-o", "output", "SELECT count(*) AS n FROM spot.klines",
        "--as-of", moment.isoformat(), "--format", "csv",
    )  # fmt: skip
    assert result.out.split()[-1] == str(len(first["rows"]))


def test_an_ingestion_goes_on(legacy: Legacy, command: Command, server: ArchiveServer) -> None:
    legacy.collect(server, **BARS)
    legacy.collect(server, **TICKS)
    result = command("ingest", "-o", "output", "--json")
    assert result.code == 4, "an archive that nothing proves stays out, as it did"
    brought = {each["table"]: (each["archives"], each["rows"]) for each in result.json["tables"]}
    assert brought == {
        "futures_um.funding_rate": (0, 0),
        "spot.klines": (2, 12),
        "spot.trades": (1, 15_000),
    }
    columns, before = newest(legacy, "spot.klines")
    with Lake.open(legacy.output) as lake:
        found = rows(lake, "spot.klines", columns)
        new = {BTC.format(7), ETH.format(7)}
        assert [row for row in found if row[columns.index("archive")] not in new] == before
        assert len(found) == len(before) + 12
        assert len(lake.snapshots("spot.klines")) == 3
        assert_versions_are_there(lake, legacy.expected["tables"])
        assert lake.scan("spot.trades").polars().collect().height == 15_000
    again = command("ingest", "-o", "output", "--json").json
    assert again["totals"]["archives"] == 0


def test_an_ingestion_that_was_killed_is_completed(legacy: Legacy, command: Command) -> None:
    """It had committed the rows of August, and not recorded where they are from."""
    table = legacy.expected["tables"]["futures_um.funding_rate"]
    assert RATES_OF_AUGUST not in {row["archive"] for row in legacy.expected["archives"]}
    assert command("ingest", "-o", "output", "--json").json["totals"]["archives"] == 0
    with Lake.open(legacy.output) as lake:
        (found,) = [row for row in provenance(lake) if row["archive"] == RATES_OF_AUGUST]
        left = rows(lake, "futures_um.funding_rate", table["columns"])
    assert found["state"] == "ingested"
    assert found["tool_version"] == "0.1.0"
    assert found["commit"] == table["snapshots"][-1]["facts"]["commit"]
    assert left == table["snapshots"][-1]["rows"]


def test_a_re_published_archive_replaces_its_rows(
    legacy: Legacy, command: Command, server: ArchiveServer
) -> None:
    key = BTC.format(1)
    server.publish(key, republished(legacy, key))
    legacy.collect(server, **BARS)
    command("ingest", "-o", "output", "--json")
    columns, before = newest(legacy, "spot.klines")
    archive = columns.index("archive")
    with Lake.open(legacy.output) as lake:
        found = rows(lake, "spot.klines", columns)
        assert_versions_are_there(lake, legacy.expected["tables"])
    then = [row for row in before if row[archive] == key]
    assert [row for row in found if row[archive] == key] == then[1:]
    kept = {row[archive] for row in before} - {key}
    assert [row for row in found if row[archive] in kept] == [
        row for row in before if row[archive] in kept
    ]


def test_the_tables_can_be_compacted(legacy: Legacy, command: Command) -> None:
    assert command("lake", "compact", "-o", "output").code == 0
    with Lake.open(legacy.output) as lake:
        assert_versions_are_there(lake, legacy.expected["tables"])
        for name in legacy.expected["tables"]:
            columns, before = newest(legacy, name)
            assert rows(lake, name, columns) == before


def test_a_lake_of_decimals_goes_on(legacy: Legacy, command: Command) -> None:
    result = command(
        "ingest", "-o", "output", "--lake", "exact", "--exact", "-t", "fundingRate", "--json"
    )
    assert (result.code, result.json["totals"]["archives"]) == (0, 1)
    recorded = legacy.expected["exact_tables"]
    (name,) = recorded
    columns, before = recorded[name]["columns"], recorded[name]["snapshots"][-1]["rows"]
    with Lake.open(legacy.place / "exact") as lake:
        assert_versions_are_there(lake, recorded)
        found = rows(lake, name, columns)
    assert found[: len(before)] == before
    assert len(found) == len(before) + 93


def test_a_lake_is_relocated(legacy: Legacy, command: Command) -> None:
    """Other engines read it where it is; without that they look for files where it was made."""
    result = command("lake", "relocate", "-o", "output", "--json")
    recorded = legacy.expected["tables"]
    assert set(result.json["tables"]) == {*recorded, "lakehouse.archives"}
    catalog = SqlCatalog("lakehouse", uri=f"sqlite:///{result.json['lake']}/catalog.db")
    for name, table in recorded.items():
        found = catalog.load_table(name)
        counts = [
            found.scan(snapshot_id=each.snapshot_id).to_arrow().num_rows
            for each in found.snapshots()
        ]
        assert counts == [len(each["rows"]) for each in table["snapshots"]]
    with Lake.open(legacy.output) as lake:
        assert_versions_are_there(lake, recorded)


def test_plain_parquet_files_go_on(legacy: Legacy, command: Command) -> None:
    before = legacy.digests("parquet")
    del before["parquet/lock"]  # it names the process that has held it last
    result = command(
        "ingest", "-o", "output", "--lake", "parquet", "--format", "parquet", "-t", "fundingRate",
        "--json",
    )  # fmt: skip
    totals = result.json["totals"]
    assert (result.code, totals["unchanged"], totals["archives"]) == (0, 2, 1)
    after = legacy.digests("parquet")
    assert {name: after[name] for name in before} == before
