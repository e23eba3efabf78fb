"""What was known at each time of a grid: the last row that was known then, if it is not too old.

A value is never taken from a row that became known later, whatever the order of the rows is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
from attrs import frozen

from crypto_lakehouse.tables.lake.grid import MICROSECOND
from crypto_lakehouse.tables.lake.panel_sources import KNOWN_AT

__all__ = ["Wanted", "aligned"]


@frozen
class Wanted:
    """One column to align.

    Attributes:
        label: Its name afterwards.
        column: The column of the rows.
        max_age: How long a value stands from the time when it was known, that end excluded.
    """

    label: str
    column: str
    max_age: timedelta


def aligned(
    rows: pl.DataFrame, times: pl.Series, wanted: Sequence[Wanted], key: Sequence[str]
) -> pl.DataFrame:
    """Take for each time the values of the last row of one symbol that was known by then.

    All columns of a time are of the same row: a NULL in it stays, and no older value takes its
    place. Of rows that became known at one time the last one by its key counts.

    Args:
        rows: The rows of one symbol, in any order, with `known_at`, which is never NULL.
        times: The grid, ascending.
        wanted: The columns.
        key: The columns that order rows of one time.

    Returns:
        A frame with a row for each time and a column for each label.
    """
    known = rows[KNOWN_AT].to_physical()
    if not (known[1:] > known[:-1]).all():
        rows = rows.sort([KNOWN_AT, *key])
        known = rows[KNOWN_AT].to_physical()
    # Each call of Polars costs more than what it does here: hence only three for all columns.
    grid = times.to_physical()
    place = (known.search_sorted(grid, side="right").cast(pl.Int64) - 1).alias("place")
    when, at = pl.lit(grid), pl.when(pl.col("place") >= 0).then(pl.col("place"))
    age = when - pl.lit(known).gather(at)
    limits = {each.max_age: f"{each.max_age // MICROSECOND}" for each in wanted}
    places = place.to_frame().select_seq(
        pl.when(age < limit // MICROSECOND).then(at).alias(name) for limit, name in limits.items()
    )
    return rows.select_seq(
        pl.col(each.column).gather(places[limits[each.max_age]]).alias(each.label)
        for each in wanted
    )
