"""Figures of a page: all sections, names of every length, and texts that try to be markup."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.coverage import UNEXPECTED, Hole, HoleCause, SeriesCoverage
from crypto_lakehouse.pages.figures import (
    FindingFigures,
    OriginFigures,
    PageFigures,
    RunFigure,
)
from crypto_lakehouse.workflows.page_figures import CoverageFold, coverage_figures

__all__ = ["HOSTILE", "NOW", "covered", "sample"]

NOW = datetime(2026, 11, 28, 15, tzinfo=UTC)
HOSTILE = "</td><script src=https://evil.example/x.js>alert(1)</script><img onerror=x> \" ' & \x00"

LONG = "币安人生" * 10 + "_" + "W" * 7


def hole(first: date, days: int, cause: HoleCause, filled: int = 0) -> Hole:
    last = first + timedelta(days - 1)
    return Hole(first_day=first, last_day=last, days=days, cause=cause, reason="", filled=filled)


def covered(
    series: Series, start: date, end: date, *holes: Hole, verdicts: dict[Verdict, int] | None = None
) -> SeriesCoverage:
    days = (end - start).days + 1
    missing = sum(each.days for each in holes)
    due = [each for each in holes if each.cause not in UNEXPECTED]
    return SeriesCoverage(
        series=series, start=start, end=end, first_day=start,
        last_day=end if not holes or holes[-1].last_day < end else holes[-1].first_day,
        verified_days=days - missing, expected_days=days - missing + sum(hole.days for hole in due),
        size_bytes=123_456 * days, refused_newer=0, holes=holes, verdicts=verdicts or {},
    )  # fmt: skip


def sample(most_series: int = 8) -> PageFigures:
    """Five groups over eight years, and every other section."""
    fold = CoverageFold(most_series)
    end, causes = date(2026, 11, 26), list(HoleCause)
    groups = (
        (Market.SPOT, DataType.KLINES, "1m"),
        (Market.SPOT, DataType.TRADES, None),
        (Market.FUTURES_UM, DataType.METRICS, None),
        (Market.FUTURES_UM, DataType.INDEX_PRICE_KLINES, "12h"),
        (Market.OPTIONS, DataType.BVOL_INDEX, None),
    )
    for place, (market, data_type, interval) in enumerate(groups):
        for number, symbol in enumerate(("BTCUSDT", LONG, "1000000MOGUSDT", "A_240628")):
            start = date(2018 + place, 1 + number, 1)
            holes = [
                hole(start + timedelta(100 * (1 + at)), 1 + 9 * at, cause, filled=at % 2)
                for at, cause in enumerate(causes[: 4 * number])
            ]
            of = Series(market, data_type, symbol, interval)
            verdicts = {verdict: 10**at for at, verdict in enumerate(Verdict)}
            fold.add(covered(of, start, end, *holes, verdicts=verdicts))
    by_days, span, made = fold.figures(NOW)
    return PageFigures(
        place="/data/" + "a-very-long-folder/" * 6 + HOSTILE,
        at=NOW,
        of="what runs were asked for",
        by_days=by_days,
        span=span,
        total=coverage_figures(fold.totals),
        groups=made,
        runs=[
            RunFigure(workflow="archive_collection", status=status, planned=1_234_567 // (1 + at),
                      started_at=NOW - timedelta(days=at), seconds=seconds)
            for at, (status, seconds) in enumerate(
                [("complete", 90_000.0), ("partial", 0.5), (None, None), (HOSTILE, 3.0)])
        ],
        origins=[
            OriginFigures(market="futures_um", data_type="aggTrades", segments=12_345, score=0.9999,
                          archive=(date(2019, 1, 1), end), fill=(end, end),
                          live=(date(2026, 1, 1), end)),
            OriginFigures(market="spot", data_type="klines", archive=None, fill=None, live=None,
                          segments=0, score=None),
        ],
        findings=[
            FindingFigures(table="futures_um.premium_index_klines", check=name, severity=severity,
                           archives=1_234, rows=987_654_321)
            for name, severity in (("high_low", "error"), ("gap", "warning"), (HOSTILE, "info"))
        ],
        stale=[
            "spot klines: the newest verified day, 2026-11-26, ended 39.0 h ago; "
            "at most 36.0 h are allowed"
        ],
        notes=[HOSTILE, "a note of which every word is " + "x" * 200],
    )  # fmt: skip
