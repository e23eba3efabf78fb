"""Files for other programs: their rows, and what a second export does."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pytest
from attrs import evolve
from tests.tables.export.lakes import FIRST, add, future
from tests.tables.sample_data import bars, changed_text, days, ingest, put, text_of

from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LakeError,
    LockHeldError,
    QueryError,
    StoreError,
)
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.export import nautilus, ordered
from crypto_lakehouse.tables.export.export import LOCK, ExportReport, export_lake
from crypto_lakehouse.tables.export.record import RECORD
from crypto_lakehouse.tables.export.units import ExportSelection, Unit
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.maintenance import compact

BARS = "spot/klines/BTCUSDT/1h/BTCUSDT-1h-2023"
SPOT = ExportSelection(markets=["spot"])


def export(root: Path, target: str, to: Path, **selected: Any) -> ExportReport:
    with Lake.open(root / "lake") as lake:
        return export_lake(lake, target, to, ExportSelection(**{"markets": ["spot"], **selected}))


def files(folder: Path) -> dict[str, int]:
    """The files that are not an export's own, and when they were written."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in found
        if not path.name.startswith(".")
    }


def test_csv_and_parquet_files_have_all_rows_in_order(lake: Lake, tmp_path: Path) -> None:
    for name in ("csv", "parquet"):
        report = export_lake(lake, name, tmp_path / name)
        assert {*report.written} == {*files(tmp_path / name)}
        assert report.unchanged == 0
    assert f"{BARS}.csv" in files(tmp_path / "csv")
    of_trades = pl.read_parquet(tmp_path / "parquet/futures_um/trades/**/*.parquet")
    wanted = lake.scan("futures_um.trades").polars().collect().sort("id")
    assert of_trades.equals(wanted)
    for path in sorted((tmp_path / "parquet").rglob("*-1h-*.parquet")):
        rows = pl.read_parquet(path)
        assert rows["open_time"].is_sorted()
        text = (tmp_path / "csv" / path.relative_to(tmp_path / "parquet")).with_suffix(".csv")
        assert pl.read_csv(text, schema=rows.schema).equals(rows)
    both = pl.read_parquet(tmp_path / "parquet/spot/klines/**/*.parquet")
    assert both.height == lake.scan("spot.klines").pruning.rows


def test_only_what_is_selected_is_written(lake: Lake, tmp_path: Path) -> None:
    day = FIRST + timedelta(days=1)
    selection = ExportSelection(
        data_types=["klines"], symbols=["BTC*"], intervals=["1h"], start=day, end=day,
        markets=["spot"],
    )  # fmt: skip
    report = export_lake(lake, "parquet", tmp_path, selection)
    assert report.written == (f"{BARS}.parquet",)
    rows = pl.read_parquet(tmp_path / f"{BARS}.parquet")
    assert {when.date() for when in rows["open_time"]} == {day}
    assert report.rows == rows.height == 24


def test_a_second_export_writes_only_what_has_changed(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert len(export(root, "csv", to).written) == 4
    before = files(to)
    assert export(root, "csv", to).unchanged == 4
    add(root, bars(FIRST + timedelta(days=3)))
    again = export(root, "csv", to)
    assert again.written == ("spot/klines/BTCUSDT/1h/BTCUSDT-1h-2024.csv",)
    after = files(to)
    assert {name for name in before if after[name] != before[name]} == {*again.written}


def test_files_are_not_written_again_for_the_same_rows(root: Path, tmp_path: Path) -> None:
    """Data files that are merged have other names, and a copy of an export has other times."""
    to = tmp_path / "to"
    add(root, bars(FIRST + timedelta(days=3)))
    export(root, "parquet", to)
    before = files(to)
    catalog = LakeCatalog(root / "lake")
    compact(catalog, "spot.klines", tool_version="test")
    catalog.close()
    assert export(root, "parquet", to).written == ()
    assert files(to) == before
    os.utime(to / f"{BARS}.parquet", ns=(1, 1))
    assert export(root, "parquet", to).written == ()


def test_rows_that_were_published_again_are_written_again(root: Path, tmp_path: Path) -> None:
    export(root, "parquet", tmp_path / "to")
    catalog = LakeCatalog(root / "lake")
    archive = bars(FIRST)
    ingest(catalog, [put(root, archive, changed_text(archive))])
    catalog.close()
    assert export(root, "parquet", tmp_path / "to").written == (f"{BARS}.parquet",)
    rows = pl.read_parquet(tmp_path / f"to/{BARS}.parquet")
    assert rows.filter(pl.col("open_time").dt.date() == FIRST)["volume"].to_list() == [7.0] * 24


def test_files_whose_rows_are_all_gone_are_removed(root: Path, tmp_path: Path) -> None:
    """The publisher may replace an archive by one without rows."""
    to, selected = tmp_path / "to", {"markets": None, "data_types": ["klines", "markPriceKlines"]}
    gone = "futures/BTC_USDT_USDT-1h-mark.feather"
    assert gone in export(root, "freqtrade", to, **selected).written
    catalog = LakeCatalog(root / "lake")
    for day in days(FIRST, 2):
        mark = future("markPriceKlines", day)
        ingest(catalog, [put(root, mark, text_of(mark).splitlines()[0] + "\n")])
    catalog.close()
    for other in ({"markets": ["spot"]}, {"symbols": ["ETH*"]}, {"intervals": ["1h", "4h"],
                  "data_types": ["klines"]}):  # fmt: skip
        assert export(root, "freqtrade", to, **{**selected, **other}).removed == ()
    data = (to / gone).read_bytes()
    (to / gone).write_bytes(data + b"changed")
    with pytest.raises(ConfigurationError, match="was changed since an export wrote it"):
        export(root, "freqtrade", to, **selected)
    (to / gone).write_bytes(data)
    assert export(root, "freqtrade", to, **selected).removed == (gone,)
    assert gone not in files(to)
    assert export(root, "freqtrade", to, **selected).removed == ()


def test_a_table_of_another_time_has_no_file_of_later_rows(root: Path, tmp_path: Path) -> None:
    with Lake.open(root / "lake") as lake:
        snapshot = lake.table("spot.klines").current_snapshot()
    assert snapshot is not None
    before = datetime.fromtimestamp((snapshot.timestamp_ms + 1) / 1000, UTC)
    add(root, bars(FIRST + timedelta(days=3)), bars(date(2025, 1, 1)), bars(FIRST, "XRPUSDT"))
    later = ["BTCUSDT/1h/BTCUSDT-1h-2025", "XRPUSDT/1h/XRPUSDT-1h-2023"]
    to = tmp_path / "to"
    export(root, "csv", to)
    assert export(root, "csv", to, as_of=before, end="2024-12-31", symbols=["B*"]).removed == ()
    report = export(root, "csv", to, as_of=before)
    assert report.removed == tuple(f"spot/klines/{name}.csv" for name in later)
    assert not {*report.removed} & {*files(to)}
    assert len(report.written) + report.unchanged == len(files(to)) == 4
    # What another lake has exported stays, although this one has no such rows.
    add(tmp_path / "other", bars(date(2022, 1, 1)))
    export(tmp_path / "other", "csv", to)
    assert len(files(to)) == 5
    assert export(root, "csv", to, as_of=before).removed == ()


def test_rows_of_files_that_overlap_are_sorted_together(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "BATCH_ROWS", 7)
    scan = lake.scan("spot.klines")  # of two symbols
    found = [*ordered.ordered_batches(scan, ("open_time", "symbol"), ("symbol", "close"))]
    wanted = scan.polars().collect().sort("open_time", "symbol").select("symbol", "close")
    assert pl.DataFrame(pa.Table.from_batches(found)).equals(wanted)
    assert {batch.num_rows for batch in found[:-1]} == {7}


def test_rows_are_sorted_if_a_file_is_not(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unit, "row_key", ("volume", "open_time"))
    export_lake(lake, "parquet", tmp_path, SPOT)
    rows = pl.read_parquet(tmp_path / f"{BARS}.parquet")
    assert rows["volume"].is_sorted()
    assert rows.height == 48


def test_what_others_have_written_is_not_replaced(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    place = to / f"{BARS}.csv"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"2023\.csv: was not written by an export, and is "
                       r"not replaced; move it away, or name another folder"):  # fmt: skip
        export(root, "csv", to)
    assert place.read_text() == "mine"
    assert [*files(to)] == [f"{BARS}.csv"]
    place.unlink()
    export(root, "csv", to)
    place.write_text("changed")
    with pytest.raises(ConfigurationError, match="was changed since an export wrote it"):
        export(root, "csv", to)
    with pytest.raises(ConfigurationError, match="has an export for `csv`; name another folder"):
        export(root, "parquet", to)


def test_nothing_is_written_outside_the_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to/spot").symlink_to(tmp_path / "else")
    with pytest.raises(StoreError, match="symbolic link is in its place"):
        export(root, "csv", tmp_path / "to")
    (tmp_path / "to/spot").unlink()
    (tmp_path / "to" / RECORD).unlink()
    (tmp_path / "to" / RECORD).symlink_to(tmp_path / "else/record")
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        export(root, "csv", tmp_path / "to")
    assert [*(tmp_path / "else").iterdir()] == []


def test_a_folder_of_the_lake_is_refused(root: Path, tmp_path: Path) -> None:
    """The lake deletes files that no table refers to."""
    (tmp_path / "link").symlink_to(root / "lake")
    for folder in (root / "lake", root / "lake/new", tmp_path / "link/new"):
        with pytest.raises(ConfigurationError, match="a folder of the lake itself; name one besi"):
            export(root, "csv", folder)
    assert not (root / "lake/new").exists()


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        '{"path": 1}',
        json.dumps({"unit": "a", "path": "../a", "source": "", "sha256": "", "size_bytes": 1,
                    "mtime_ns": 1, "rows": 1}),
    ],
)  # fmt: skip
def test_a_damaged_record_is_named(root: Path, tmp_path: Path, line: str) -> None:
    export(root, "csv", tmp_path / "to")
    with (tmp_path / "to" / RECORD).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ConfigurationError, match="is not the record of an export"):
        export(root, "csv", tmp_path / "to")


def test_one_export_writes_to_a_folder_at_a_time(root: Path, tmp_path: Path) -> None:
    with output_lock(tmp_path / LOCK), pytest.raises(LockHeldError, match="name another folder"):
        export(root, "csv", tmp_path)


@pytest.mark.parametrize(
    ("target", "selected", "message"),
    [
        ("csv", {"symbols": ["BTCUSD"]}, r"of `BTCUSD` \(did you mean `BTCUSDT`\?\); it has BTCU"),
        ("csv", {"intervals": ["4h"]}, "the lake has no rows of what is selected"),
        ("csv", {"start": "soon"}, "`soon` is not a day"),
        ("freqtrade", {"data_types": ["trades"]}, "has no files for trades; allowed: klines, mark"),
        ("freqtrade", {"symbols": ["BTCUSDT_240329"], "markets": None}, "perpetual contracts only"),
    ],
)
def test_a_selection_without_a_file_is_an_error(
    lake: Lake, tmp_path: Path, target: str, selected: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigurationError, QueryError), match=message):
        export_lake(
            lake, target, tmp_path / "to", ExportSelection(**{"markets": ["spot"], **selected})
        )
    assert not (tmp_path / "to").exists()


def test_times_without_rows_make_no_file(lake: Lake, tmp_path: Path) -> None:
    """A file of one month has the funding rates of all its symbols, and of all its days."""
    selection = ExportSelection(
        data_types=["fundingRate"], start="2023-12-01T01:00", end="2023-12-01T02"
    )
    report = export_lake(lake, "csv", tmp_path, selection)
    assert report.written == ()
    assert files(tmp_path) == {}
    year = ("futures_um/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023.csv",)
    assert export_lake(lake, "csv", tmp_path, evolve(selection, start=None)).written == year
    assert export_lake(lake, "csv", tmp_path, selection).removed == year
    assert files(tmp_path) == {}


def test_freqtrade_finds_each_file_by_its_name(lake: Lake, tmp_path: Path) -> None:
    report = export_lake(lake, "freqtrade", tmp_path)
    assert {*report.written} == {
        "BTC_USDT-1h.feather",
        "ETH_USDT-1h.feather",
        "futures/BTC_USDT_USDT-1h-futures.feather",
        "futures/BTC_USDT_USDT-1h-mark.feather",
        "futures/BTC_USDT_USDT-1h-funding_rate.feather",
    }
    assert report.refused == {
        "Freqtrade trades perpetual contracts only": ("futures_um.klines/BTCUSDT_240329/1h",)
    }
    candles = pyarrow.feather.read_table(tmp_path / "BTC_USDT-1h.feather")
    assert candles.column_names == ["date", "open", "high", "low", "close", "volume"]
    assert candles.schema.types == [pa.timestamp("ms", "UTC"), *[pa.float64()] * 5]
    wanted = lake.scan("spot.klines", symbols="BTCUSDT").polars().collect().sort("open_time")
    assert candles["close"].to_pylist() == wanted["close"].to_list()
    funding = tmp_path / "futures/BTC_USDT_USDT-1h-funding_rate.feather"
    assert pyarrow.feather.read_table(funding).column_names == ["date", "funding_rate"]


def test_vectorbt_gets_frames_with_an_index(lake: Lake, tmp_path: Path) -> None:
    export_lake(lake, "vectorbt", tmp_path, SPOT)
    schema = pl.read_parquet_schema(tmp_path / "spot/klines/1h/BTCUSDT.parquet")
    assert [*schema][:6] == ["Open time", "Open", "High", "Low", "Close", "Volume"]
    known = pa.parquet.read_schema(tmp_path / "spot/klines/1h/ETHUSDT.parquet").pandas_metadata
    assert known["index_columns"] == ["Open time"]


def test_batches_are_joined_to_equal_ones() -> None:
    column = pa.array(range(10))
    batches = [
        pa.record_batch({"n": column[start:end]}) for start, end in ((0, 1), (1, 7), (7, 10))
    ]
    found = [*ordered.equal_batches(batches, 4)]
    assert [batch.num_rows for batch in found] == [4, 4, 2]
    assert [value for batch in found for value in batch["n"].to_pylist()] == [*range(10)]
    assert [*ordered.equal_batches([], 4)] == []


CATALOG = "data/bar/BTCUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"


def precision(folder: Path) -> dict[str, bytes]:
    """The decimal places of prices in each file of bars."""
    paths = (folder / CATALOG).glob("*.parquet")
    return {each.name: pa.parquet.read_schema(each).metadata[b"price_precision"] for each in paths}


def test_nautilus_gets_files_that_are_named_after_their_times(root: Path, tmp_path: Path) -> None:
    """A file of a year gets another name with each day, and the old one is gone."""
    to, hour = tmp_path / "to", "00-00-000000000Z"
    last_year = f"2023-12-30T01-{hour}_2024-01-01T00-{hour}.parquet"
    export(root, "nautilus", to)
    assert precision(to) == {
        last_year: b"2",
        f"2024-01-01T01-{hour}_2024-01-02T00-{hour}.parquet": b"2",
    }
    day = bars(FIRST + timedelta(days=3))
    add(root, day)
    this_year = f"2024-01-01T01-{hour}_2024-01-03T00-{hour}.parquet"
    assert export(root, "nautilus", to).written == (f"{CATALOG}/{this_year}",)
    assert precision(to) == {last_year: b"2", this_year: b"2"}
    # All files of an instrument have one precision.
    catalog = LakeCatalog(root / "lake")
    ingest(catalog, [put(root, day, changed_text(day).replace(".", ".000", 1))])
    catalog.close()
    assert len(export(root, "nautilus", to).written) == 2
    assert [*precision(to).values()] == [b"5", b"5"]


def test_numbers_that_nautilus_cannot_hold_are_refused(root: Path, tmp_path: Path) -> None:
    catalog = LakeCatalog(root / "lake")
    day = bars(FIRST)
    ingest(catalog, [put(root, day, changed_text(day).replace(",7,", ",34028236692094,"))])
    catalog.close()
    with pytest.raises(
        LakeError, match="has a size of 34,028,236,692,094, and NautilusTrader takes"
    ):
        export(root, "nautilus", tmp_path / "to")
    assert files(tmp_path / "to") == {}


def test_decimal_places_are_kept_exactly() -> None:
    texts = ["0.1", "21685.23", "0.00000712", "16999999999999.5", "1e-8", "0"]
    column = pa.array([float(text) for text in texts])
    assert [nautilus._decimals(column.slice(n, 1), 0) for n in range(6)] == [1, 2, 8, 1, 8, 0]
    unit: Any = None
    for text, value in zip(texts, column, strict=True):
        found = nautilus._fixed(unit, pa.array([value.as_py()]), "price", 8)
        raw = int.from_bytes(found[0].as_py(), "little")
        assert raw == int(Decimal(text) * 10**16)
