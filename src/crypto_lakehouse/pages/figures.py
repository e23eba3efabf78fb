"""The values of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from attrs import frozen

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.hole_causes import HoleCause
from crypto_lakehouse.pages.calendar import Cell, Strip

__all__ = [
    "CoverageFigures",
    "FindingFigures",
    "GroupFigures",
    "OriginFigures",
    "PageFigures",
    "Progress",
    "RunFigure",
    "SeriesFigures",
]

#: What a run has done so far, by name; numbers and short texts.
Progress = Mapping[str, int | float | str | None]


@frozen(kw_only=True)
class CoverageFigures:
    """How complete something is, in days; as of `StatusTotals`."""

    series: int
    verified_days: int
    expected_days: int
    size_bytes: int
    holes: Mapping[HoleCause, int]
    open_holes: Mapping[HoleCause, int]
    verdicts: Mapping[Verdict, int]

    @property
    def ratio(self) -> float:
        """The verified part of the expected days, 0 to 1; 1 if none is expected."""
        return self.verified_days / self.expected_days if self.expected_days else 1.0


@frozen(kw_only=True)
class SeriesFigures:
    """One series of a group, with a strip of its own.

    Attributes:
        name: Its symbol, and its interval if it has one.
        verified_days, expected_days: As of `CoverageFigures`.
        newest: Its newest verified day; None if none is.
        holes: Days by cause.
        strip: Its months or days.
    """

    name: str
    verified_days: int
    expected_days: int
    newest: date | None
    holes: Mapping[HoleCause, int]
    strip: Strip


@frozen(kw_only=True)
class GroupFigures:
    """A data type of a market.

    Attributes:
        coverage: The sum over its series.
        newest: The newest verified day of all; None if none is.
        age_s: How long ago that day ended, in seconds.
        lag_days: How many days the series that is furthest behind is behind what it should have.
        cells: Its months or days, by number.
        series: Those with a strip of their own, the least complete first.
        left_out: How many others there are, and how many of these are complete.
    """

    market: str
    data_type: str
    coverage: CoverageFigures
    newest: date | None
    age_s: float | None
    lag_days: int
    cells: Mapping[int, Cell]
    series: Sequence[SeriesFigures]
    left_out: tuple[int, int]


@frozen(kw_only=True)
class RunFigure:
    """One run: as of `TimedRun`."""

    workflow: str
    status: str | None
    planned: int
    started_at: datetime
    seconds: float | None

    @property
    def rate(self) -> float | None:
        """How many archives, or days to fill, it settled a second; None if that is not known."""
        return self.planned / self.seconds if self.seconds else None


@frozen(kw_only=True)
class OriginFigures:
    """Where the rows of a data type of a market come from.

    Attributes:
        archive, fill, live: The first and the last day; None if there is none of an origin.
        segments: How many segments of recordings there are.
        score: The share of the archive's rows that were recorded as they are, over the days that
            have both; None if there is none.
    """

    market: str
    data_type: str
    archive: tuple[date, date] | None
    fill: tuple[date, date] | None
    live: tuple[date, date] | None
    segments: int
    score: float | None


@frozen(kw_only=True)
class FindingFigures:
    """What one check has found in a table of the lake, with one severity."""

    table: str
    check: str
    severity: str
    archives: int
    rows: int


@frozen(kw_only=True)
class PageFigures:
    """All that a page shows.

    Attributes:
        place: The output; empty on a page that is served.
        at: When the figures were read, UTC.
        of: What counts as complete, in words of a sentence.
        by_days: Whether strips have days; months if not.
        span: The first and the last month or day of all strips, by number; None without a strip.
        total: The sum over all series; None if there is no ledger.
        groups: By market and data type.
        stale: Which groups are older than they may be, one sentence each.
        runs: The newest first.
        origins: By market and data type; None if they were not read.
        findings: The worst first; None if there is no lake, or it was not read.
        notes: Remarks for the reader, one sentence each.
    """

    place: str
    at: datetime
    of: str
    by_days: bool
    span: tuple[int, int] | None
    total: CoverageFigures | None
    groups: Sequence[GroupFigures] = ()
    stale: Sequence[str] = ()
    runs: Sequence[RunFigure] = ()
    origins: Sequence[OriginFigures] | None = None
    findings: Sequence[FindingFigures] | None = None
    notes: Sequence[str] = ()
