"""Which days of a series are recorded, by the records of the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import polars as pl

from crypto_lakehouse.core.archive import Archive, Origin, Series
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges, rows_between
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, PRESENT
from crypto_lakehouse.tables.ingest.recorded_days import RECORDED_DAYS

__all__ = ["recorded_series", "scored_days"]

#: The end of an excerpt's key, behind its day.
_BEHIND_DAY = r"\.[^./]+\.jsonl\.zst$"


def recorded_series(
    catalog: LakeCatalog, wanted: Callable[[Series], bool]
) -> Iterator[tuple[Series, list[date]]]:
    """Yield the series with ingested rows of recordings, and their days in order.

    Args:
        catalog: The tables.
        wanted: Selects series.

    Raises:
        LakeError: The lake cannot be read.
    """
    days: dict[Series, set[date]] = {}
    for key in _days_in(catalog):
        try:
            found = Archive.parse(key)
        except ArchiveKeyError:  # of a later version
            continue
        if wanted(found.series):
            days.setdefault(found.series, set()).add(found.period.first_day)
    for series in sorted(days):
        yield series, sorted(days[series])


def scored_days(
    catalog: LakeCatalog, wanted: Callable[[Series], bool]
) -> Iterator[tuple[Series, dict[str, Any]]]:
    """Yield the rows of `lakehouse.recorded_days`, by series and in the order of days.

    Args:
        catalog: The tables.
        wanted: Selects series.

    Raises:
        LakeError: The lake cannot be read.
    """
    with catalog.errors():
        table = catalog.find(RECORDED_DAYS)
        rows = [] if table is None else table.scan().to_arrow().to_pylist()
    for row in sorted(rows, key=lambda row: (row["archive"], row["day"])):
        series = Archive.parse(row["archive"]).series
        if wanted(series):
            yield series, row


def _days_in(catalog: LakeCatalog) -> list[str]:
    """The key of an excerpt of each series and day."""
    with catalog.errors():
        table = catalog.find(ARCHIVES)
        if table is None:
            return []
        known = pl.DataFrame(schema={"archive": pl.String, "day": pl.String})
        recorded = KeyRanges.beginning([f"{Origin.LIVE.folder}/"])
        for rows in rows_between(table, recorded, ("archive", "state")):
            found = pl.DataFrame(rows).filter(pl.col("state").is_in(list(PRESENT)))
            day = pl.col("archive").str.replace(_BEHIND_DAY, "").alias("day")
            found = found.select(pl.col("archive").cast(pl.String)).with_columns(day)
            known = pl.concat([known, found]).unique("day")
    return known["archive"].sort().to_list()
