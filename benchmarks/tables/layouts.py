"""How should the bars of a table lie in files: the measurement behind `matrix/schemas.json`.

The same rows are written in several layouts, and both questions are asked of each. Files are
chosen as their partitions allow; the rest is the reader's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from attrs import frozen

from benchmarks.tables.sample_data import klines_text
from crypto_lakehouse.core.archive import Period

__all__ = ["run"]

_NAMES = ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
          "count", "taker_buy_volume", "taker_buy_quote_volume"]  # fmt: skip
_WANTED = ["symbol", *_NAMES[:6]]
_DAY = (datetime(2024, 6, 15, tzinfo=UTC), datetime(2024, 6, 16, tzinfo=UTC))
_BUCKETS = 8


@frozen
class _Layout:
    name: str
    files_of_symbol: list[Path]
    files_of_day: list[Path]
    files: int
    has_others: bool = False


def run(root: Path, *, rounds: int, quick: bool) -> dict[str, object]:
    """Write, ask, print, and return what was seen."""
    symbols = [f"S{number:04}USDT" for number in range(10 if quick else 100)]
    folder = root / f"layouts of {len(symbols)}"
    layouts = _write(folder, symbols)
    mine = symbols[len(symbols) // 2]
    seen: dict[str, dict[str, list[float]]] = {each.name: {} for each in layouts}
    for _ in range(rounds + 1):
        for layout in layouts:
            for question, ask in _questions(layout, mine).items():
                begin = time.perf_counter()
                ask()
                took = 1000 * (time.perf_counter() - begin)
                seen[layout.name].setdefault(question, []).append(took)
    for layout in layouts:
        told = "   ".join(
            f"{question} {statistics.median(times[1:]):7.1f} ms"
            for question, times in seen[layout.name].items()
        )
        print(f"  {layout.name:<34} {layout.files:5} files   {told}")
    return dict(seen)


def _questions(layout: _Layout, symbol: str) -> dict[str, Callable[[], object]]:
    def year() -> pl.DataFrame:
        rows = pl.scan_parquet(layout.files_of_symbol, hive_partitioning=False)
        if layout.has_others:
            rows = rows.filter(pl.col("symbol") == symbol)
        return rows.select(_WANTED).collect()

    def day() -> pl.DataFrame:
        when = pl.col("open_time")
        rows = pl.scan_parquet(layout.files_of_day, hive_partitioning=False)
        return rows.filter(when >= _DAY[0], when < _DAY[1]).select(_WANTED).collect()

    return {"one symbol, a year": year, "all symbols, a day": day}


def _write(folder: Path, symbols: list[str]) -> list[_Layout]:
    year = pl.concat([_month(month) for month in range(1, 13)])
    mine = len(symbols) // 2
    found: list[_Layout] = []
    for rows in (1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 19):
        files = [folder / f"symbol-{rows}" / f"{symbol}.parquet" for symbol in symbols]
        for symbol, path in zip(symbols, files, strict=True):
            _save(path, partial(_of, year, [symbol]), rows)
        found.append(
            _Layout(f"symbol and year, groups of {rows:,}", [files[mine]], files, len(files))
        )
    months = [folder / "month" / f"{month}.parquet" for month in range(1, 13)]
    for month, path in enumerate(months, 1):
        part = year.filter(pl.col("open_time").dt.month() == month)
        _save(path, partial(_of, part, symbols))
    found.append(_Layout("month, sorted by symbol", months, [months[5]], 12, has_others=True))
    buckets = [folder / "bucket" / f"{number}.parquet" for number in range(_BUCKETS)]
    for number, path in enumerate(buckets):
        some = symbols[number::_BUCKETS]
        _save(path, partial(_of, year, some))
    own = buckets[mine % _BUCKETS]
    found.append(_Layout("bucket and year, sorted by symbol", [own], buckets, 8, has_others=True))
    return found


def _month(month: int) -> pl.DataFrame:
    text = klines_text(Period.parse(f"2024-{month:02}"))
    frame = pl.read_csv(text, has_header=False, new_columns=[*_NAMES, "ignore"]).drop("ignore")
    times = pl.col("open_time", "close_time") * 1000
    return frame.with_columns(times.cast(pl.Datetime("us", "UTC")))


def _of(rows: pl.DataFrame, symbols: list[str]) -> pl.DataFrame:
    return pl.concat([rows.with_columns(pl.lit(symbol).alias("symbol")) for symbol in symbols])


def _save(path: Path, rows: Callable[[], pl.DataFrame], group: int = 1 << 16) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = ("open_time", "close_time", "count")
    pq.write_table(
        rows().to_arrow(),
        path,
        row_group_size=group,
        compression="lz4",
        use_dictionary=["symbol"],  # type: ignore[arg-type] # the stubs know only Booleans
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        store_schema=False,
    )
