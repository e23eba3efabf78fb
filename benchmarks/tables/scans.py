"""The two questions that tables are asked: one symbol over a year, all symbols over a day.

Against reading the zips with Polars, which has to unzip and parse what it then drops.
"""

from __future__ import annotations

import statistics
import time
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.tables.sample_data import kline_archives, klines_text, write_all
from crypto_lakehouse.core.archive import Archive, Period
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import schema_of

__all__ = ["run"]

_NAMES = ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
          "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"]  # fmt: skip
_CANDLES = _NAMES[:6]


def run(root: Path, *, rounds: int, quick: bool) -> dict[str, object]:
    """Make the table once, ask, print, and return what was seen."""
    symbols = 20 if quick else 200
    months = [Period.month(date(2024, month, 1)) for month in range(1, 13)]
    archives = kline_archives(symbols, months, "1m")
    folder = root / f"lake of {symbols}"
    if not (folder / "catalog.db").exists():
        _build(root, folder, archives)
    symbol = archives[len(archives) // 2].symbol
    mine = [archive for archive in archives if archive.symbol == symbol]
    with Lake.open(folder) as lake:
        return _ask(lake, folder, root, mine, rounds)


def _build(root: Path, folder: Path, archives: list[Archive]) -> None:
    missing = [each for each in archives if not (root / each.key).exists()]
    for _path in write_all(root, missing, klines_text):
        pass
    catalog = LakeCatalog(folder, create=True)
    ingestion = Ingestion(catalog, IngestSettings(workers=2))
    schema = schema_of(archives[0])
    sources = [Source(each, LocalFiles(root), "0" * 64) for each in archives]
    ingestion.run(schema, ingestion.plan(schema, sources))


def _ask(
    lake: Lake, folder: Path, root: Path, mine: list[Archive], rounds: int
) -> dict[str, object]:
    symbol = mine[0].symbol
    year: dict[str, Any] = {"interval": "1m", "start": "2024-01-01", "end": "2024-12-31"}
    day: dict[str, Any] = {"interval": "1m", "start": "2024-06-15", "end": "2024-06-15"}

    def scan(columns: list[str] | None, **which: Any) -> Any:
        return lake.scan("spot.klines", columns=columns, **which)

    def opened() -> pl.DataFrame:
        with Lake.open(folder) as fresh:
            return fresh.scan("spot.klines", symbols=symbol, **year).polars().collect()

    questions: dict[str, Callable[[], object]] = {
        "a year, zips with Polars": lambda: _zips(root, mine, None),
        "a year, zips with Polars, six columns": lambda: _zips(root, mine, _CANDLES),
        "a year, scan": lambda: scan(None, symbols=symbol, **year).polars().collect(),
        "a year, scan, six columns": lambda: (
            scan(_CANDLES, symbols=symbol, **year).polars().collect()
        ),
        "a year, lake opened anew": opened,
        "a year, Arrow": lambda: scan(_CANDLES, symbols=symbol, **year).arrow().read_all(),
        "a year, DuckDB": lambda: scan(_CANDLES, symbols=symbol, **year).duckdb().to_arrow_table(),
        "all symbols, a day": lambda: scan(["symbol", *_CANDLES], **day).polars().collect(),
    }
    seen: dict[str, list[float]] = {name: [] for name in questions}
    order = [*questions]
    for _ in range(rounds + 1):
        for name in order:
            begin = time.perf_counter()
            questions[name]()
            seen[name].append(time.perf_counter() - begin)
        order.append(order.pop(0))
    times = {name: statistics.median(each[1:]) for name, each in seen.items()}  # the first warms
    print(f"\n1m bars of 2024: {scan(None, **year).pruning}")
    print(f"one symbol: {scan(None, symbols=symbol, **year).pruning}")
    for name, seconds in times.items():
        base = times["a year, zips with Polars" + (", six columns" if "six" in name else "")]
        ratio = f"{base / seconds:7.1f} x the zips" if name.startswith("a year") else ""
        print(f"  {name:<40} {1000 * seconds:8.1f} ms {ratio}")
    return {name: [1000 * each for each in runs] for name, runs in seen.items()}


def _zips(root: Path, archives: list[Archive], columns: list[str] | None) -> pl.DataFrame:
    places = None if columns is None else [_NAMES.index(name) for name in columns]
    frames = []
    for archive in archives:
        with zipfile.ZipFile(root / archive.key) as file:
            text = file.read(archive.member)
        frames.append(pl.read_csv(text, has_header=False, new_columns=_NAMES, columns=places))
    return pl.concat(frames)
