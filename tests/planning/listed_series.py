"""What the tests of covers share: series as sources list them, and what is planned of them."""

from __future__ import annotations

from datetime import date
from typing import Any

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.planning.listed_cover import ListedSeries, cover_listed
from crypto_lakehouse.planning.listed_folders import ListedFolder
from crypto_lakehouse.planning.periods import Life, Window

__all__ = [
    "ARCHIVE",
    "DAILY",
    "MONTHLY",
    "NOTHING",
    "TODAY",
    "cover",
    "folder",
    "listed_of",
    "missing_of",
    "periods",
    "reasons_of",
    "series",
]

TODAY = date(2025, 10, 1)
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
ARCHIVE = ListedArchive(size_bytes=7)
BOTH = Life(date(2017, 8, 1), None, 3), Life(date(2017, 8, 1), None, 35)
NOTHING = ListedFolder(archives={})


def periods(first: str, last: str) -> list[Period]:
    """All days, or all months, from the first to the last."""
    begin, end = Period.parse(first), Period.parse(last)
    window = Window(begin.first_day, end.last_day, TODAY)
    return list(window.days() if begin.partition is DAILY else window.months())


def folder(*spans: tuple[str, str], **facts: Any) -> ListedFolder:
    """A folder with these spans of archives; its ends are known where they are named."""
    for name in ("first", "last"):
        if name in facts:
            facts[name] = Period.parse(facts[name])
    listed = {period: ARCHIVE for span in spans for period in periods(*span)}
    return ListedFolder(archives=listed, **facts)


def series(
    daily: ListedFolder | None = None, monthly: ListedFolder | None = None, **facts: Any
) -> ListedSeries:
    """A series with these folders, of which nothing else is known."""
    named = {DAILY: daily, MONTHLY: monthly}
    return ListedSeries(
        folders={name: one for name, one in named.items() if one is not None},
        lives=facts.get("lives", dict(zip((DAILY, MONTHLY), BOTH, strict=True))),
        known_hole=facts.get("known_hole", lambda _period: ""),
    )


def cover(
    listed: ListedSeries, first: str, last: str, *partitions: Partition, today: date = TODAY
) -> dict[str, PlannedPeriod]:
    """Cover a window; what is planned, by period."""
    window = Window(date.fromisoformat(first), date.fromisoformat(last), today)
    planned = cover_listed(listed, window, partitions or None)
    found = {item.period.text: item for item in planned}
    assert len(found) == len(planned), "a period is planned twice"
    return found


def listed_of(planned: dict[str, PlannedPeriod]) -> list[str]:
    return [text for text, item in planned.items() if item.listed]


def missing_of(planned: dict[str, PlannedPeriod]) -> list[str]:
    return [text for text, item in planned.items() if item.unlisted]


def reasons_of(planned: dict[str, PlannedPeriod]) -> dict[str, str]:
    return {text: item.not_published for text, item in planned.items() if item.not_published}
