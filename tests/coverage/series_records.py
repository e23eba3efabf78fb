"""Records of a series, and what is covered by them."""

from __future__ import annotations

from datetime import date
from typing import Any

from crypto_lakehouse.core.archive import DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.coverage import (
    SeriesCoverage,
    cover_series,
)
from crypto_lakehouse.coverage.records import ArchiveRun, FolderRecord, SeriesRecord
from crypto_lakehouse.matrix.known_holes import KnownHole, KnownHoles
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import MatrixRow

DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
TODAY = date(2026, 11, 23)
TRADES = Series(Market.FUTURES_UM, DataType.TRADES, "BTCUSDT")
NONE = KnownHoles()


def row_of(series: Series) -> MatrixRow:
    row = load_matrix().row(series.market, series.data_type)
    assert row is not None
    return row


def day(text: str) -> date:
    return date.fromisoformat(text)


def run(
    period: str, verdict: Verdict = Verdict.VERIFIED, *, to: str = "", **more: Any
) -> ArchiveRun:
    """Archives from one period up to another one."""
    first, last = Period.parse(period).first_day, Period.parse(to or period).last_day
    return ArchiveRun(first_day=first, last_day=last, verdict=verdict, **more)


def folder(*runs: ArchiveRun, first: str = "", last: str = "", on: str = "") -> FolderRecord:
    return FolderRecord(
        runs=runs,
        first_listed=Period.parse(first) if first else None,
        last_listed=Period.parse(last) if last else None,
        listed_on=day(on) if on else None,
    )


def cover(
    daily: FolderRecord | None = None,
    monthly: FolderRecord | None = None,
    *,
    start: str = "",
    end: str = "",
    series: Series = TRADES,
    row: MatrixRow | None = None,
    holes: KnownHoles = NONE,
    today: date = TODAY,
) -> SeriesCoverage | None:
    folders = {DAILY: daily, MONTHLY: monthly}
    record = SeriesRecord(series, {part: known for part, known in folders.items() if known})
    return cover_series(
        record,
        row or row_of(series),
        holes,
        today,
        start=day(start) if start else None,
        end=day(end) if end else None,
    )


def covered(*arguments: Any, **more: Any) -> SeriesCoverage:
    coverage = cover(*arguments, **more)
    assert coverage is not None
    return coverage


def listed(coverage: SeriesCoverage) -> list[tuple[str, str, str]]:
    """Each hole as its first day, its last day and its cause."""
    return [(str(hole.first_day), str(hole.last_day), hole.cause) for hole in coverage.holes]


def known_hole(
    first: str, last: str, series: Series = TRADES, source: str = "tracker#1"
) -> KnownHole:
    return KnownHole(
        market=series.market, data_type=series.data_type, symbol=series.symbol, first=day(first),
        last=day(last), kind="missing", source=source,
    )  # fmt: skip


FUNDING = Series(Market.FUTURES_UM, DataType.FUNDING_RATE, "BTCUSDT")
WEEKS = Series(Market.FUTURES_UM, DataType.PREMIUM_INDEX_KLINES, "BTCUSDT", "1w")
