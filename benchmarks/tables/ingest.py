"""How fast do archives become tables, against what people do with pandas.

Rows a second of whole archives: unzip, parse, check, sort, write Parquet, commit. The rivals write
Parquet as it comes. pandas and binance-vision run on one core; they have no threads.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from pathlib import Path

from attrs import frozen

from benchmarks.tables.rounds import Entry, interleaved
from benchmarks.tables.sample_data import kline_archives, klines_text, trades_text, write_all
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series

__all__ = ["Workload", "run", "workloads"]


@frozen
class Workload:
    """Archives of one kind."""

    name: str
    archives: list[Archive]
    rivals: bool = True


def workloads(root: Path, *, quick: bool) -> list[Workload]:
    """Make the archives below a root, where they are not there yet."""
    part = 10 if quick else 1
    months = [Period.month(date(2024, month, 1)) for month in range(1, 13)]
    days = [Period.day(date(2024, 1, 1) + timedelta(days=number)) for number in range(100 // part)]
    bars = kline_archives(10, months[: 12 // min(part, 6)], "1m")
    minutes = kline_archives(20 // min(part, 5), days, "1m")
    small = kline_archives(100 // part, days, "1h")
    trades = _trades(4 // min(part, 4))
    made = (
        ("1m bars, months of 44,640 rows", bars, klines_text, True),
        ("1m bars, days of 1,440 rows", minutes, klines_text, True),
        ("1h bars, days of 24 rows", small, partial(klines_text, step_ms=3_600_000), True),
        ("trades, days of 2,000,000 rows", trades,
         partial(trades_text, count=2_000_000 // part), True),
    )  # fmt: skip
    for _, archives, text_of, _ in made:
        missing = [each for each in archives if not (root / each.key).exists()]
        for _path in write_all(root, missing, text_of):
            pass
    return [Workload(name, archives, rivals) for name, archives, _, rivals in made]


def _trades(days: int) -> list[Archive]:
    series = Series(Market.SPOT, DataType.TRADES, "S0000USDT")
    return [
        Archive(series, Period.day(date(2024, 1, 1) + timedelta(days=day))) for day in range(days)
    ]


def month_of_trades(root: Path, rows: int) -> Workload:
    """One month's archive of so many trades: 75 bytes of text each."""
    archive = Archive(
        Series(Market.SPOT, DataType.TRADES, "S0001USDT"), Period.month(date(2024, 1, 1))
    )
    if not (root / archive.key).exists():
        for _path in write_all(root, [archive], partial(trades_text, count=rows)):
            pass
    size = (root / archive.key).stat().st_size
    return Workload(f"a month of {rows:,} trades, {size / 1e6:,.0f} MB of zip", [archive], False)


def run(root: Path, *, rounds: int, quick: bool) -> dict[str, object]:
    """Run, print, and return what was seen."""
    found: dict[str, object] = {}
    loads = workloads(root, quick=quick)
    loads.append(month_of_trades(root, 1_400_000 if quick else 14_000_000))
    for load in loads:
        entries = [Entry("crypto-lakehouse", 1), Entry("crypto-lakehouse", 2)]
        if load.rivals:
            entries += [Entry("pandas", 1), Entry("binance-vision", 1)]
        interleaved(entries, root, load.archives, rounds)
        ours = entries[0].seconds
        print(f"\n{load.name}: {len(load.archives):,} archives")
        for entry in entries:
            print(
                f"  {entry.name:<17} {entry.cores} core{'s'[: entry.cores > 1]:<1}"
                f" {entry.seconds:8.2f} s {entry.rows / entry.seconds / 1e6:7.2f} M rows/s"
                f" {len(load.archives) / entry.seconds:9.0f} archives/s"
                f" {entry.peak_mb:6.0f} MB   ours on one core is {entry.seconds / ours:.2f} x"
            )
        found[load.name] = [
            {"name": each.name, "cores": each.cores, "runs": each.runs} for each in entries
        ]
    return found
