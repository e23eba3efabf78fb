"""Rows of recordings that are not ingested yet beside those of a table: no key twice."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import pytest
from attrs import define, field, frozen
from tests.segments.live_samples import RECEIVED_US, SAMPLES
from tests.segments.test_live_segment import NOON_US, writer
from tests.tables.sample_data import archive_of, ingest, put
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import NoLakeError, QueryError, SegmentError
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.tables import Lake, load_schemas
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.contents import SnapshotContents, WantedSeries
from crypto_lakehouse.tables.lake.sql import QuerySession
from crypto_lakehouse.tables.lake.time_range import TimeRange

TABLE = "spot.agg_trades"
DAY = date(2026, 5, 8)
NOON = datetime(2026, 5, 8, 12, tzinfo=UTC)
SECOND_US = 1_000_000


def archive(symbol: str = "BTCUSDT") -> Archive:
    return Archive(Series(Market.SPOT, DataType.AGG_TRADES, symbol), Period.day(DAY))


def line(number: int) -> str:
    time = NOON_US + number * SECOND_US
    return f"{number},{100 + number},1.5,{number},{number},{time},true,true\n"


def message(symbol: str, number: int, price: float | None = None) -> bytes:
    time = NOON_US + number * SECOND_US
    data = {
        "e": "aggTrade", "E": time, "s": symbol, "a": number, "p": str(price or 100.0 + number),
        "q": "1.5", "f": number, "l": number, "T": time, "m": True, "M": True,
    }  # fmt: skip
    # As the exchange writes it, or with blanks.
    apart = (",", ":") if number % 3 else (", ", ": ")
    whole = {"stream": f"{symbol.lower()}@aggTrade", "data": data}
    return json.dumps(whole, separators=apart).encode()


@frozen
class Trade:
    """A row as scans give it."""

    symbol: str
    number: int
    price: float
    origin: str
    received_at: datetime | None = None


@define
class Scene:
    """An output with a lake and recordings, and the rows that a query must give."""

    root: Path
    rows: dict[tuple[str, int], Trade] = field(factory=dict)

    def collect(self, symbol: str, numbers: range) -> None:
        """Ingest an archive."""
        catalog = LakeCatalog(self.root / ".lakehouse/lake", create=True)
        ingest(catalog, [put(self.root, archive(symbol), "".join(map(line, numbers)))])
        catalog.close()
        for each in numbers:
            self.rows[symbol, each] = Trade(symbol, each, 100.0 + each, "archive")

    async def record(
        self, trades: list[tuple[str, int, float]], *, recording: str, end: bool
    ) -> None:
        """Record trades; what is not synced is no row."""
        one = writer(
            LocalStore(self.root), market=Market.SPOT, kind=StreamKind.AGG_TRADE,
            recording=recording, rotate_s=300,
        )  # fmt: skip
        at = NOON_US
        for place, (symbol, number, price) in enumerate(trades):
            at = NOON_US + number * SECOND_US + place
            one.write(at, 1, message(symbol, number, price))
            received = datetime.fromtimestamp(at // SECOND_US, UTC) + timedelta(
                microseconds=at % SECOND_US
            )
            seen = Trade(symbol, number, price, "live", received)
            known = self.rows.get((symbol, number))
            if known is None or (known.received_at and known.received_at > received):
                self.rows[symbol, number] = seen
        await (one.close(at) if end else one.sync(at))
        if not end:
            one.write(at, 1, message("BTCUSDT", 10_000))

    def expected(
        self, symbols: set[str] | None = None, numbers: range | None = None
    ) -> list[Trade]:
        return sorted(
            (
                row
                for row in self.rows.values()
                if (symbols is None or row.symbol in symbols)
                and (numbers is None or row.number in numbers)
            ),
            key=lambda row: (row.symbol, row.number),
        )


COLUMNS = ["symbol", "agg_trade_id", "price", "origin", "received_at"]


def trades(frame: Any) -> list[Trade]:
    rows = pl.DataFrame(frame).select(COLUMNS).sort("symbol", "agg_trade_id")
    return [Trade(*row) for row in rows.iter_rows()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Archives with a hole, and three recordings with copies: two ended, one still running."""
    made = Scene(tmp_path_factory.mktemp("output"))
    made.collect("BTCUSDT", range(400))
    made.collect("ETHUSDT", range(5))
    random_ = random.Random(7)
    for recording, end in (("a" * 8, True), ("b" * 8, True), ("c" * 8, False)):
        numbers = sorted(random_.sample(range(300, 900), 250))
        some = [(random_.choice(["BTCUSDT", "NEWUSDT"]), each, 7.0) for each in numbers]
        anyio.run(partial(made.record, some, recording=recording, end=end))
    return made


@pytest.fixture
def lake(scene: Scene) -> Iterator[Lake]:
    with Lake.open(scene.root) as opened:
        yield opened


def all_ways(lake: Lake, **asked: Any) -> list[list[Trade]]:
    """The rows of a scan by each engine."""
    scan = lake.scan(TABLE, live=True, **asked)
    return [
        trades(scan.polars().collect()),
        trades(scan.arrow(batch_rows=100).read_all()),
        trades(scan.duckdb().to_arrow_table()),
    ]


def test_every_engine_gives_each_key_once_by_rank(lake: Lake, scene: Scene) -> None:
    expected = scene.expected()
    assert {row.origin for row in expected} == {"archive", "live"}
    assert all(found == expected for found in all_ways(lake))
    assert trades(lake.sql(f"FROM {TABLE}", live=True).to_arrow_table()) == expected
    assert not list(scene.root.rglob("spill/**/rows"))


def test_a_selection_bounds_what_is_added(lake: Lake, scene: Scene) -> None:
    for symbols, of in (("NEWUSDT", {"NEWUSDT"}), (["BTC*", "ETHUSDT"], {"BTCUSDT", "ETHUSDT"})):
        assert all(found == scene.expected(of) for found in all_ways(lake, symbols=symbols))
    start, end = NOON + timedelta(seconds=350), NOON + timedelta(seconds=500)
    expected = scene.expected(None, range(350, 500))
    assert all(found == expected for found in all_ways(lake, start=start, end=end))
    assert all(found == [] for found in all_ways(lake, symbols=[]))
    assert all(found == [] for found in all_ways(lake, start="2026-06-01"))


def test_origins_choose_as_in_tables(lake: Lake, scene: Scene) -> None:
    for origin in ("archive", "live", "fill"):
        expected = [row for row in scene.expected() if row.origin == origin]
        assert all(found == expected for found in all_ways(lake, origins=origin))
    stored = lake.scan(TABLE).polars().collect()
    assert stored.height == 405
    assert "received_at" not in stored.columns
    names = lake.scan(TABLE, live=True, columns=["price", "agg_trade_id"]).polars().collect()
    assert names.columns == ["price", "agg_trade_id"]
    assert names.height == len(scene.rows)


def test_rows_of_now_are_refused_as_of_a_time_and_outside_of_an_output(
    lake: Lake, tmp_path: Path, scene: Scene
) -> None:
    with pytest.raises(QueryError, match="rows that are not ingested yet are of now"):
        lake.scan(TABLE, live=True, as_of="2100-01-01")
    with pytest.raises(QueryError, match="rows that are not ingested yet are of now"):
        QuerySession(lake, live=True, as_of="2100-01-01")
    with pytest.raises(QueryError, match=r"no rows of `NONE`.*it has BTCUSDT, ETHUSDT"):
        lake.scan(TABLE, live=True, symbols="NONE")
    catalog = LakeCatalog(tmp_path / "other", create=True)
    ingest(catalog, [put(tmp_path, archive(), line(1))])
    catalog.close()
    refused = pytest.raises(QueryError, match="the lake is in no output")
    with Lake.open(tmp_path / "other") as other, refused:
        other.scan(TABLE, live=True)
    with Lake.open(tmp_path / "other", output=scene.root) as other:
        assert other.scan(TABLE, live=True).polars().collect().height > 250


async def test_a_damaged_segment_is_an_error_by_name(tmp_path: Path) -> None:
    made = Scene(tmp_path)
    made.collect("BTCUSDT", range(3))
    await made.record([("BTCUSDT", 5, 7.0)], recording="d" * 8, end=True)
    (path,) = tmp_path.glob("live/spot/aggTrade/*/*.zst")
    path.write_bytes(path.read_bytes()[:-1])
    with Lake.open(tmp_path) as lake, pytest.raises(SegmentError, match=path.name):
        lake.scan(TABLE, live=True)


async def test_what_is_ingested_is_read_from_the_table_alone(tmp_path: Path) -> None:
    made = Scene(tmp_path)
    made.collect("BTCUSDT", range(3))
    await made.record([("BTCUSDT", 2, 7.0), ("BTCUSDT", 5, 7.0)], recording="d" * 8, end=True)
    with Lake.open(tmp_path) as lake:
        before = all_ways(lake)
        assert before == [made.expected()] * 3
        assert (await ingested(tmp_path)).exit_code == 0
        # A segment that is ingested while a query begins gives nothing that the table has.
        contents = SnapshotContents(lake.table(TABLE), lake.snapshots(TABLE)[-1].snapshot_id, "")
        asked = (lake.data_schema(TABLE), contents, WantedSeries(), TimeRange(), frozenset[str]())
        assert lake.recordings.rows(*asked).rows.num_rows == 0
        (path,) = tmp_path.glob("live/spot/aggTrade/*/*.zst")
        path.write_bytes(b"never read again")
        assert all_ways(lake) == before
        await made.record([("NEWUSDT", 7, 7.0)], recording="e" * 8, end=False)
        assert all_ways(lake) == [made.expected()] * 3
        assert trades(lake.sql(f"FROM {TABLE}", live=True).to_arrow_table()) == made.expected()


async def test_rows_of_which_nothing_is_ingested_yet(tmp_path: Path) -> None:
    """There is no lake, then one without the table."""
    made = Scene(tmp_path)
    await made.record([("BTCUSDT", 2, 7.0), ("NEWUSDT", 5, 8.0)], recording="d" * 8, end=True)
    with pytest.raises(NoLakeError, match="has no lake"):
        Lake.open(tmp_path)
    with pytest.raises(NoLakeError, match="is not a directory"):
        Lake.open(tmp_path / "tables", output=tmp_path, live=True)
    (tmp_path / "tables").mkdir()
    with pytest.raises(NoLakeError, match="has no lake"):
        Lake.open(tmp_path / "tables", output=tmp_path, live=True)
    with Lake.open(tmp_path, live=True) as lake:
        check_recorded_alone(lake, made)
    assert not (tmp_path / ".lakehouse").exists()
    catalog = LakeCatalog(tmp_path / ".lakehouse/lake", create=True)
    ingest(catalog, [put(tmp_path, archive_of(load_schemas()[Market.SPOT, DataType.TRADES]))])
    catalog.close()
    with Lake.open(tmp_path) as lake:
        check_recorded_alone(lake, made)
        assert (await ingested(tmp_path)).exit_code == 0
        assert all_ways(lake) == [made.expected()] * 3


def check_recorded_alone(lake: Lake, made: Scene) -> None:
    assert all_ways(lake) == [made.expected()] * 3
    assert all_ways(lake, symbols="NEWUSDT") == [made.expected({"NEWUSDT"})] * 3
    assert trades(lake.sql(f"FROM {TABLE}", live=True).to_arrow_table()) == made.expected()
    with pytest.raises(QueryError, match=r"no table `spot\.agg_trades`"):
        lake.scan(TABLE)
    with pytest.raises(QueryError, match=r"no table `spot\.klines`"):
        lake.scan("spot.klines", live=True)
    with pytest.raises(QueryError, match="the table has no rows yet"):
        lake.scan(TABLE, live=True, symbols="NONE")
    shown = lake.sql("SHOW TABLES", live=True).fetchall()
    assert (TABLE,) in shown


#: Kinds whose rows lack a column that the archive has, and have an interval.
KINDS = [(Market.FUTURES_CM, StreamKind.TRADE), (Market.FUTURES_UM, StreamKind.KLINE)]


async def test_rows_of_other_types_are_added_too(tmp_path: Path) -> None:
    samples = {(each.market, each.kind): each for each in SAMPLES if each.connection}
    schemas = []
    catalog = LakeCatalog(tmp_path / ".lakehouse/lake", create=True)
    for market, kind in KINDS:
        one = samples[market, kind]
        schemas.append(load_schemas()[market, one.series.data_type])
        ingest(catalog, [put(tmp_path, archive_of(schemas[-1], interval="1m"))])
        recorder = writer(LocalStore(tmp_path), market=market, kind=kind)
        whole = json.dumps(json.loads(one.body), separators=(",", ":")).encode()
        recorder.write(RECEIVED_US, 1, whole)
        recorder.write(RECEIVED_US, 1, b'{"stream":"\xff')
        recorder.write(RECEIVED_US, 1, b"no JSON")
        await recorder.sync(RECEIVED_US)
    catalog.close()
    with Lake.open(tmp_path) as lake:
        for schema in schemas:
            scan = lake.scan(schema.name, start="2026-05-08", live=True)
            (row,) = scan.polars().collect().to_dicts()
            assert row["origin"] == "live"
            assert row == scan.arrow().read_all().to_pylist()[0]
            assert scan.duckdb().to_arrow_table().to_pylist() == [row]
            lacking = {column.name for column in schema.stored if not column.streamed}
            assert {name for name, value in row.items() if value is None} == lacking
            of_one = {"symbols": row["symbol"], "interval": row.get("interval"), "origins": "live"}
            chosen = lake.scan(schema.name, live=True, **of_one).polars().collect()
            assert chosen.to_dicts() == [row]
            every = lake.scan(schema.name, live=True).polars().collect()
            assert every.height == lake.scan(schema.name).polars().collect().height + 1
