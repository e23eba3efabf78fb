"""Checks of an archive as a whole: whether it covers its period, and how its rows are labelled.

Source: the checks in docs/archive-rows.md#data-types, and docs/archive-faults.md#wrong-content.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from attrs import frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.tables.quality.findings import Policy, Severity

__all__ = [
    "Found",
    "Span",
    "band_findings",
    "bounds_of",
    "doubled",
    "length_of_step",
    "origin_of",
    "step_of",
    "whole_findings",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

#: The day on which labels of um metrics moved from the end of a period to its start (#491).
_LABELS_MOVED = date(2026, 6, 25)

#: Snapshots of a band before its ratio can be called frozen, and the days' usual bands.
_FROZEN_SNAPSHOTS = 30
_BANDS = (10, 12)

#: The steps of types without intervals.
_STEPS = {DataType.METRICS: timedelta(minutes=5), DataType.BVOL_INDEX: timedelta(seconds=1)}


@frozen
class Found:
    """A finding of a check, before known holes and policies are applied.

    Attributes:
        rows: The total weight of the bad rows.
        sentence: The finding, as in `RowCheck`.
        hole: The times between which rows are absent: that of the last row before the hole, or of
            the one that would precede the archive, and the first instant after the hole.
        example: The first bad row.
    """

    check: str
    severity: Severity
    rows: int
    sentence: str
    policy: Policy = Policy.REPORT
    source: str = ""
    hole: tuple[datetime, datetime] | None = None
    example: str = ""

    @property
    def text(self) -> str:
        """The sentence with its numbers and its example."""
        text = agreeing(self.rows, self.sentence)
        return text.format(rows=f"{self.rows:,}", example=self.example)


@frozen
class Span:
    """The number of rows in an archive, and their first and last time."""

    rows: int
    first: datetime | None
    last: datetime | None


def step_of(archive: Archive) -> int | None:
    """Microseconds from one bar to the next; None for types without bars."""
    interval = archive.interval
    if interval is None:
        return None
    if interval == "1mo":
        first, after = bounds_of(_month_of(archive))
        return (after - first) // _MICROSECOND
    return int(interval[:-1]) * _SECONDS[interval[-1]] * 1_000_000


def origin_of(archive: Archive) -> datetime:
    """Where the multiples of an archive's interval begin: weeks on Mondays, months on the 1st."""
    if archive.interval == "1mo":
        return bounds_of(_month_of(archive))[0]
    return _MONDAY if archive.interval == "1w" else _EPOCH


def _month_of(archive: Archive) -> Period:
    return Period.month(archive.period.first_day)


def bounds_of(period: Period) -> tuple[datetime, datetime]:
    """The first instant of a period, and the first one after it."""
    first = datetime.combine(period.first_day, time(), UTC)
    return first, datetime.combine(period.last_day + timedelta(days=1), time(), UTC)


def whole_findings(archive: Archive, span: Span) -> Iterator[Found]:
    """Check an archive by its first and last row, and the number of rows."""
    if span.first is None or span.last is None:
        yield Found("coverage", Severity.WARNING, 0, "the archive has no row")
        return
    length = length_of_step(archive)
    start, end = bounds_of(archive.period)
    first, last = span.first, span.last
    if archive.data_type is DataType.METRICS:
        yield from _label(archive, span)
    if length is None:
        return
    origin = origin_of(archive)
    if archive.data_type is not DataType.METRICS:
        # A bar of a week or three days belongs to the month in which it opens.
        start, end = start + (origin - start) % length, end + (origin - end) % length
    elif _has_labels_of_ends(archive, span):  # the period before its start is not in it
        start, end = start + length, end + length
    parts, holes, missing = [], [], 0
    if first - start >= length:
        missing += (first - start) // length
        parts.append(("beginning", f"the first is at {_shown(first)}"))
        holes.append((start - length, first))
    if end - last > length:
        missing += (end - last) // length - (0 if (end - last) % length else 1)
        parts.append(("end", f"the last is at {_shown(last)}"))
        holes.append((last, end))
    if parts:
        ends, times = (" and ".join(each) for each in zip(*parts, strict=True))
        sentence = f"{{rows}} row[s] [is|are] missing at the {ends}: {times}"
        # Of two holes, one may be known and the other be new.
        hole = holes[0] if len(holes) == 1 else None
        yield Found("coverage", Severity.WARNING, missing, sentence, hole=hole)


def length_of_step(archive: Archive) -> timedelta | None:
    """The time from one row to the next; None for types without a fixed one."""
    if archive.data_type in _STEPS:
        return _STEPS[archive.data_type]
    step = step_of(archive)
    return None if step is None else step * _MICROSECOND


def _has_labels_of_ends(archive: Archive, span: Span) -> bool:
    """Whether rows of metrics are labelled by the end of their period, also if some are missing."""
    start, end = bounds_of(archive.period)
    is_usual = archive.market is Market.FUTURES_UM and archive.period.first_day < _LABELS_MOVED
    step = _STEPS[DataType.METRICS]
    return span.last == end or (is_usual and span.first == start + step)


def _label(archive: Archive, span: Span) -> Iterator[Found]:
    """Check whether the rows of metrics are labelled as usual on their day."""
    if archive.market is not Market.FUTURES_UM or span.last is None or span.first is None:
        return
    _, end = bounds_of(archive.period)
    moved = archive.period.first_day >= _LABELS_MOVED
    has_ends = span.last == end
    starts = span.first == bounds_of(archive.period)[0]
    source = "binance-public-data#491"
    if has_ends and moved:
        sentence = "rows are labelled by the end of their period, as before 2026-06-25"
        yield Found("label_shift", Severity.WARNING, span.rows, sentence, source=source)
    elif starts and not moved:
        sentence = "rows are labelled by the start of their period, as since 2026-06-25"
        yield Found("label_shift", Severity.WARNING, span.rows, sentence, source=source)


def band_findings(frame: pl.DataFrame) -> Iterator[Found]:
    """Check the bands of book depth as a whole, in the rows of an archive or a part of it."""
    counts = frame.group_by("timestamp").len()["len"].value_counts(sort=True)
    odd = counts.filter(~pl.col("len").is_in(_BANDS))
    if odd.height:
        rows = int(odd["count"].sum())
        sentence = f"{{rows}} snapshot[s] [has|have] neither 10 nor 12 bands, but {odd['len'][0]}"
        yield Found("bands", Severity.WARNING, rows, sentence)
    price = pl.col("notional").cast(pl.Float64) / pl.col("depth").cast(pl.Float64)
    frozen_bands = (
        frame.filter(pl.col("depth") > 0)
        .group_by("percentage")
        .agg(
            price.round_sig_figs(9).n_unique().alias("prices"),
            pl.col("depth").n_unique().alias("depths"),
            pl.len().alias("snapshots"),
        )
        .filter((pl.col("snapshots") >= _FROZEN_SNAPSHOTS) & (pl.col("prices") == 1))
        .sort("percentage")
    )
    if frozen_bands.height:
        names = ", ".join(f"{float(each):+g} %" for each in frozen_bands["percentage"])
        rows = int(frozen_bands["snapshots"].sum())
        sentence = f"bands are frozen at one mean price: {names}"
        yield Found(
            "frozen_bands", Severity.ERROR, rows, sentence, source="binance-public-data#496"
        )


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    """Count each distinct row of each archive (`_piece`), as `times`."""
    return frame.group_by(pl.all(), maintain_order=True).len("times")


def _shown(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S")


def instant(microseconds: int) -> datetime:
    """An instant from microseconds since 1970."""
    return _EPOCH + microseconds * _MICROSECOND
