"""Scans and queries: the same rows by every way, and only the files that may have them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import archive_of, bars, days, ingest, put

import crypto_lakehouse
from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.tables import Lake, load_schemas
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.bars import bars_of
from crypto_lakehouse.tables.lake.sql import QuerySession
from crypto_lakehouse.tables.lake.time_range import TimeRange

FIRST = date(2023, 12, 29)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "币安人生USDT")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    root = tmp_path_factory.mktemp("asked")
    catalog = LakeCatalog(root / "lake", create=True)
    sources = [
        put(root, bars(day, symbol, interval))
        for symbol in SYMBOLS
        for interval in ("1h", "4h")
        for day in days(FIRST, 6)
    ]
    ingest(catalog, sources, IngestSettings(layout=FileLayout(row_group_rows=40)))
    catalog.close()
    with Lake.open(root / "lake") as opened:
        yield opened


@pytest.fixture(scope="module")
def everything(lake: Lake) -> pl.DataFrame:
    return lake.scan("spot.klines").polars().collect()


INSTANTS = st.none() | st.one_of(
    st.integers(-1, 7).map(lambda number: FIRST + timedelta(days=number)),
    st.integers(-1, 7).map(lambda number: str(FIRST + timedelta(days=number))),
    st.integers(-20, 180).map(
        lambda hours: datetime(2023, 12, 29, tzinfo=UTC) + timedelta(hours=hours, minutes=30)
    ),
    st.integers(0, 180).map(
        lambda hours: datetime(2023, 12, 29, tzinfo=timezone(timedelta(hours=5)))
        + timedelta(hours=hours)
    ),
    st.integers(0, 150).map(
        lambda hours: (datetime(2023, 12, 29) + timedelta(hours=hours)).isoformat()  # noqa: DTZ001
    ),
)  # fmt: skip


def instant(value: str | date) -> datetime:
    day = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(day, datetime):
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    return day if day.tzinfo else day.replace(tzinfo=UTC)


def is_day(value: Any) -> bool:
    return len(value) == 10 if isinstance(value, str) else not isinstance(value, datetime)


@settings(max_examples=examples(80), deadline=None)
@given(
    symbols=st.none() | st.lists(st.sampled_from(SYMBOLS), unique=True),
    interval=st.sampled_from([None, "1h", "4h"]),
    start=INSTANTS,
    end=INSTANTS,
    columns=st.none() | st.sampled_from([["close"], ["open_time", "symbol"], ["archive", "count"]]),
)
def test_every_way_gives_the_same_rows(
    lake: Lake,
    everything: pl.DataFrame,
    symbols: list[str] | None,
    interval: str | None,
    start: Any,
    end: Any,
    columns: list[str] | None,
) -> None:
    first = None if start is None else instant(start)
    after = None if end is None else instant(end) + timedelta(days=is_day(end))
    if first is not None and after is not None and first >= after:
        with pytest.raises(QueryError, match="is not after the start"):
            TimeRange.of(start, end)
        return
    wanted = everything
    if symbols is not None:
        wanted = wanted.filter(pl.col("symbol").is_in(symbols))
    if interval is not None:
        wanted = wanted.filter(pl.col("interval") == interval)
    if first is not None:
        wanted = wanted.filter(pl.col("open_time") >= first)
    if after is not None:
        wanted = wanted.filter(pl.col("open_time") < after)
    scan = lake.scan(
        "spot.klines", symbols=symbols, interval=interval, start=start, end=end, columns=columns
    )
    names = columns or [name for name in everything.columns if name != "archive"]
    frame = scan.polars().collect()
    assert frame.columns == names
    assert frame.height == wanted.height
    arrow = pl.DataFrame(scan.arrow().read_all())
    duck = pl.DataFrame(scan.duckdb().to_arrow_table())
    times = [name for name in names if name.endswith("_time")]
    duck = duck.with_columns(pl.col(times).dt.convert_time_zone("UTC"))
    for other in (arrow, duck):
        assert other.columns == names
        assert sorted(map(repr, other.rows())) == sorted(map(repr, frame.rows()))
    assert scan.pruning.rows >= wanted.height
    assert scan.pruning.files_total == 12


def test_files_that_cannot_have_the_rows_are_not_opened(lake: Lake, tmp_path: Path) -> None:
    scan = lake.scan("spot.klines", symbols="BTCUSDT", interval="1h", start="2024-01-01")
    assert scan.pruning.files == 1
    assert scan.pruning.files_total == 12
    assert str(scan.pruning).startswith("1 of 12 files, 72 of 540 rows")
    _, files = lake.data_files("spot.klines")
    others = {file.file_path.removeprefix("file://") for file in files} - set(scan.paths)
    hidden = {path: tmp_path / f"{number}" for number, path in enumerate(sorted(others))}
    for path, place in hidden.items():
        Path(path).rename(place)
    try:
        assert scan.polars().collect().height == 72
        assert scan.arrow().read_all().num_rows == 72
    finally:
        for path, place in hidden.items():
            place.rename(path)
    asked = "SELECT count(*) n FROM spot.klines WHERE symbol = 'BTCUSDT' AND interval = '1h'"
    plan = lake.sql(f"EXPLAIN ANALYZE {asked}").to_arrow_table().to_pydict()
    assert lake.sql(asked).to_arrow_table().to_pylist() == [{"n": 144}]
    assert "2/12" in str(plan).replace(" ", "") or "ScanningFiles:2/12" in str(plan).replace(
        " ", ""
    )


@pytest.mark.parametrize(
    "asked", [{"symbols": []}, {"symbols": ()}, {"symbols": "BTCUSDT", "start": "2030-01-01"}]
)
def test_a_scan_of_nothing_keeps_its_columns(lake: Lake, asked: dict[str, Any]) -> None:
    scan = lake.scan("spot.klines", columns=["symbol", "close", "open_time"], **asked)
    assert scan.paths == []
    for empty in (
        scan.polars().collect(),
        pl.DataFrame(scan.arrow().read_all()),
        pl.DataFrame(scan.duckdb().to_arrow_table()),
    ):
        assert empty.height == 0
        assert empty.columns == ["symbol", "close", "open_time"]
        assert empty["close"].dtype == pl.Float64


def test_no_symbols_are_none_in_a_table_that_is_not_partitioned_by_them(tmp_path: Path) -> None:
    schema = next(each for each in load_schemas().values() if "symbol" not in each.partition)
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [put(tmp_path, archive_of(schema))])
    catalog.close()
    with Lake.open(tmp_path / "lake") as opened:
        assert opened.scan(schema.name).polars().collect().height > 0
        scan = opened.scan(schema.name, symbols=[])
        assert scan.polars().collect().height == 0
        assert scan.arrow().read_all().num_rows == 0
        assert scan.duckdb().to_arrow_table().num_rows == 0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"name": "spot.kline"}, "did you mean `spot.klines`"),
        ({"name": "lakehouse.archives"}, "not a table of a data type"),
        ({"name": "spot.trades"}, "no table `spot.trades`"),
        ({"interval": "7m"}, "no interval `7m`"),
        ({"columns": ["close", "colour"]}, "no column 'colour'; it has symbol"),
        ({"start": "yesterday"}, "`yesterday` is not a day"),
        ({"as_of": "2020-01-01"}, "no snapshot before 2020-01-02"),
    ],
)
def test_what_cannot_be_scanned_is_told(lake: Lake, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError) as refused:
        lake.scan(**{"name": "spot.klines", **asked})
    assert words in str(refused.value)
    assert refused.value.exit_code == 2


def test_names_are_found_however_they_are_spelled(lake: Lake) -> None:
    assert lake.resolve("spot.aggTrades") == "spot.agg_trades"
    assert lake.resolve("Spot.Klines") == "spot.klines"
    assert lake.resolve("lakehouse.archives") == "lakehouse.archives"
    schema = lake.schema("futures_um.premiumIndexKlines")
    assert schema is not None
    assert schema.name == "futures_um.premium_index_klines"
    assert set(load_schemas()) == {
        (each.market, each.data_type) for each in load_schemas().values()
    }


def test_there_must_be_a_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="crypto-lakehouse ingest` creates one"):
        Lake.open(tmp_path)
    LakeCatalog(tmp_path / ".lakehouse" / "lake", create=True).close()
    with Lake.open(tmp_path) as empty:
        assert empty.tables == []
        with pytest.raises(QueryError, match="the lake has no table yet"):
            empty.scan("spot.klines")


def test_rows_are_joined_with_their_archives(lake: Lake) -> None:
    found = lake.sql(
        "SELECT a.time_unit, a.verdict, count(*) n, count(DISTINCT a.archive) archives "
        "FROM spot.klines k JOIN lakehouse.archives a USING (archive) GROUP BY ALL"
    )
    assert found.to_arrow_table().to_pylist() == [
        {"time_unit": "ms", "verdict": "good", "n": 540, "archives": 36}
    ]


REFUSED = [
    "COPY (SELECT 1) TO '{tmp}/x.csv'",
    "COPY spot.klines TO '{tmp}/x.parquet'",
    "ATTACH '{tmp}/x.db'",
    "EXPORT DATABASE '{tmp}/x'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('{tmp}/secret')",
    "SELECT * FROM glob('{tmp}/*')",
    "SELECT * FROM '{tmp}/secret.parquet'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "SET enable_external_access = true",
    "SET allowed_paths = ['{tmp}/secret']",
    "PREPARE p AS COPY (SELECT 1) TO '{tmp}/x.csv'",
    "EXECUTE p",
    "SELECT 1; COPY (SELECT 1) TO '{tmp}/x.csv'",
    "SELECT count(*) FROM spot.klines; ATTACH '{tmp}/x.db'",
]


@pytest.mark.parametrize("query", REFUSED, ids=range(len(REFUSED)))
def test_a_query_reads_the_tables_and_nothing_else(lake: Lake, query: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    pl.DataFrame({"a": ["secret"]}).write_parquet(tmp_path / "secret.parquet")
    with pytest.raises(QueryError) as refused:
        lake.sql(query.format(tmp=tmp_path)).to_arrow_table()
    assert "secret\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "secret.parquet"]


def test_a_data_file_cannot_be_written_by_a_query(lake: Lake) -> None:
    _, files = lake.data_files("spot.klines")
    path = Path(files[0].file_path.removeprefix("file://"))
    before = path.read_bytes()
    with pytest.raises(QueryError):
        lake.sql(f"COPY (FROM spot.klines) TO '{path}'")
    with pytest.raises(QueryError):
        lake.sql(f"EXPLAIN /* ! */ ANALYZE COPY (FROM spot.klines) TO '{path}'")
    with pytest.raises(QueryError):
        lake.sql(f"SELECT 1; PREPARE p AS COPY (FROM spot.klines) TO '{path}'; EXECUTE p")
    assert path.read_bytes() == before


def test_faults_of_a_query_name_what_is_there(lake: Lake) -> None:
    for sql, words in (
        ("SELECT * FROM spot.trades", "no table `spot.trades`; it has "),
        ("SELECT * FROM spot.kline", "no table `spot.kline` (did you mean `spot.klines`?); "),
        ("SELECT * FROM kline", "no table `kline` (did you mean `spot.klines`?); "),
        ("FROM futures_um.klines", "`futures_um.klines` (did you mean `spot.klines`?); "),
        ("FROM sopt.klines", "`sopt.klines` (did you mean `spot.klines`?); "),
        ("FROM spto.kline", "`spto.kline` (did you mean `spot.klines`?); "),
        ("FROM spot.klines JOIN spot.nix USING (symbol)", "no table `spot.nix`; "),
        ("FROM spot.klines JOIN nix USING (symbol)", "no table `nix`; "),
    ):
        with pytest.raises(QueryError) as refused:
            lake.sql(sql)
        assert words in refused.value.reason
        assert "it has lakehouse.archives, spot.klines" in refused.value.reason
        assert "schema" not in refused.value.reason
    with pytest.raises(QueryError, match=r"no table `spot\.trades`; it has "):
        bars_of(lake, "spot.trades", symbols="BTCUSDT", interval="1h")
    with pytest.raises(QueryError) as refused:
        lake.sql("SELECT foo(close) FROM spot.klines")
    assert "it has" not in refused.value.reason
    with pytest.raises(QueryError, match="colour"):
        lake.sql("SELECT colour FROM spot.klines")
    with pytest.raises(QueryError, match="syntax"):
        lake.sql("SELEKT 1")


def test_the_tables_are_shown_by_full_names_without_internals(lake: Lake) -> None:
    wanted = ["lakehouse.archive_history", "lakehouse.archives", "spot.klines"]
    for sql in ("SHOW TABLES", "  show tables ;\n"):
        assert [row[0] for row in lake.sql(sql).fetchall()] == wanted
    found = lake.sql("SHOW ALL TABLES")
    assert found.columns[:3] == ["database", "schema", "name"]
    assert sorted(f"{row[1]}.{row[2]}" for row in found.fetchall()) == wanted
    session = QuerySession(lake, tables=lake.tables)
    session.sql("CREATE TEMP TABLE mine AS SELECT 1 AS one")
    assert ("mine",) in session.sql("SHOW TABLES").fetchall()
    session.close()


def test_a_session_keeps_what_it_made(lake: Lake) -> None:
    session = QuerySession(lake, tables=lake.tables)
    session.sql("CREATE TEMP TABLE mine AS SELECT symbol FROM spot.klines LIMIT 3")
    assert session.sql("SELECT count(*) n FROM mine").to_arrow_table().to_pylist() == [{"n": 3}]
    session.close()


def test_a_closed_catalog_of_another_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(LakeError):
        Lake.open(tmp_path, catalog="there_is_no_such_catalog")


DAYS = """
import sys
from crypto_lakehouse.tables import Lake
with Lake.open(sys.argv[1]) as lake:
    days = "date_trunc('day', open_time)"
    found = lake.scan("spot.klines", symbols=["BTCUSDT"], interval="1h", start="2023-12-29",
                      end="2023-12-29").duckdb().aggregate("count(*)", days)
    print([count for count, in found.fetchall()])
    print([count for count, in lake.sql(f"SELECT count(*) FROM spot.klines WHERE "
           f"symbol = 'BTCUSDT' AND interval = '1h' GROUP BY {days}").fetchall()])
"""


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_days_are_those_of_utc_wherever_the_machine_is(lake: Lake, zone: str) -> None:
    command = [sys.executable, "-c", DAYS, str(lake.catalog.place.folder)]
    done = subprocess.run(
        command, env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[24]", str([24] * 6)]


def test_every_connection_is_opened_in_one_place() -> None:
    source = Path(crypto_lakehouse.__file__).parent
    opened = [path.name for path in source.rglob("*.py") if "duckdb.connect(" in path.read_text()]
    assert opened == ["connection.py"]
