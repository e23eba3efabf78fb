"""What `crypto-lakehouse status --origins` prints: where archive, fill and live begin and end."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.cli.status_output import LONGEST_TABLE
from crypto_lakehouse.core.messages import plural

if TYPE_CHECKING:
    from crypto_lakehouse.coverage.coverage import SeriesCoverage
    from crypto_lakehouse.workflows.reports import StatusReport
    from crypto_lakehouse.workflows.series_origins import (
        Recording,
        ScoredDay,
        SeriesOrigins,
        Span,
    )

__all__ = ["OriginsTable"]

_COLUMNS = ("market", "data type", "symbol", "interval", "archive", "fill", "live", "recorded")
_DROPPABLE = ("market", "data type", "interval")
_LINE = "{:<10} {:<19} {:<16} {:<8}  archive {}; fill {}; live {}; recorded {}"
_RECORDED = ("market", "data type", "segments", "first begins", "last begins")


class OriginsTable:
    """Prints a line for each series, and one for each kind of recorded stream."""

    def take(self, coverage: SeriesCoverage) -> None:
        """Do nothing: the report has what is printed."""

    def finish(self, status: StatusReport) -> None:
        """Print both."""
        from crypto_lakehouse.cli.render import print_table, print_text

        rows = [_cells(each) for each in status.origins or ()]
        if len(rows) > LONGEST_TABLE:
            for row in rows:
                click.echo(_LINE.format(*row))
        elif rows:
            title = f"where the rows come from, as of {status.today}"
            print_table(title, _COLUMNS, rows, droppable=_DROPPABLE, foldable=_COLUMNS[-4:])
        else:
            print_text("neither the ledger nor the lake has such series")
        recordings = status.recordings or ()
        if recordings:
            print_table("segments of recordings", _RECORDED, map(_recorded, recordings))


def _cells(origins: SeriesOrigins) -> tuple[str, ...]:
    series = origins.series
    name = (series.market, series.data_type, series.symbol, series.interval or "-")
    spans = map(_text, (origins.archive, origins.fill, origins.live))
    return (*name, *spans, _score(origins.scores))


def _score(scores: tuple[ScoredDay, ...]) -> str:
    """The share of the archives' rows that were recorded as they are, and the worst day."""
    rows = sum(each.archive_rows for each in scores)
    if not rows:
        return "-"
    share = sum((each.score or 0.0) * each.archive_rows for each in scores) / rows
    text = f"{_percent(share)} of {plural(len(scores), 'day')}"
    if share == 1.0:
        return text
    worst, day = min((each.score, each.day) for each in scores if each.score is not None)
    return f"{text}; least {_percent(worst)} on {day}"


def _percent(share: float) -> str:
    """Rounded down, so that 100 % means all."""
    return f"{floor(round(share * 10_000, 6)) / 100:.2f} %"


def _text(span: Span | None) -> str:
    if span is None:
        return "-"
    days = "" if span.days is None else f", {plural(span.days, 'day')}"
    return f"{span.first} to {span.last}{days}"


def _recorded(recording: Recording) -> tuple[str, ...]:
    return (
        recording.market,
        recording.data_type,
        str(recording.segments),
        f"{recording.first:%Y-%m-%d %H:%M:%S}",
        f"{recording.last:%Y-%m-%d %H:%M:%S}",
    )
