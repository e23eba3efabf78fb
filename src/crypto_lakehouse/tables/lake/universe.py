"""Which symbols have rows on each day: by the rows, not by a list of those that are traded now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import polars as pl

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import existing_values, shown
from crypto_lakehouse.tables.lake.scanned_lake import ScannedLake
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange

__all__ = ["universe_of"]

_COLUMNS = {"date": pl.Date, "market": pl.String, "data_type": pl.String, "symbol": pl.String}


def universe_of(
    lake: ScannedLake,
    start: Instant,
    end: Instant | None = None,
    *,
    tables: Iterable[str] | str | None = None,
    interval: str | None = None,
    as_of: Instant | None = None,
) -> pl.DataFrame:
    """Find the symbols of each day, as `Lake.universe` says."""
    first = _day(start)
    last = first if end is None else _day(end)
    if last < first:
        raise QueryError("universe", f"the last day {last} is before the first day {first}")
    names = [tables] if isinstance(tables, str) else None if tables is None else [*tables]
    names = _tables_of_klines(lake) if names is None else names
    if not names:
        raise QueryError("universe", "no table is named; name some, or leave `tables` out")
    once = dict.fromkeys(lake.data_schema(name).name for name in names)
    frames = [_of_table(lake, name, first, last, interval, as_of) for name in once]
    found = pl.concat([pl.DataFrame(schema=_COLUMNS), *frames])
    if found.is_empty():
        days = f"on {first}" if first == last else f"from {first} to {last}"
        reason = (
            f"no symbol has rows {days} in {', '.join(names)}; choose other days, or ingest theirs"
        )
        raise QueryError("universe", reason)
    return found.sort([*_COLUMNS])


def _day(given: Instant) -> date:
    """The day that is given.

    Raises:
        QueryError: It does not exist, or is a time.
    """
    is_time = isinstance(given, datetime)
    when = None if is_time else TimeRange.of(given, None).start
    if when is None or (isinstance(given, str) and len(given.strip()) > len("2024-01-01")):
        reason = f"`{shown(given)}` is a time; give a day, as 2024-01-31"
        raise QueryError("universe", reason)
    return when.date()


def _tables_of_klines(lake: ScannedLake) -> list[str]:
    """The tables of klines that the lake has.

    Raises:
        QueryError: It has none.
    """
    schemas = (lake.schema(name) for name in lake.tables)
    found = [each.name for each in schemas if each and each.data_type is DataType.KLINES]
    if not found:
        has = existing_values(lake.tables, "tables") if lake.tables else "the lake has no table yet"
        raise QueryError("universe", f"the lake has no table of klines; name `tables`: {has}")
    return found


def _of_table(
    lake: ScannedLake,
    name: str,
    first: date,
    last: date,
    interval: str | None,
    as_of: Instant | None,
) -> pl.DataFrame:
    schema = lake.data_schema(name)
    scan = lake.scan(
        name, interval=interval if schema.has_interval else None, start=first, end=last,
        columns=tuple(dict.fromkeys(["symbol", schema.time])), as_of=as_of,
    )  # fmt: skip
    rows = scan.polars().select(pl.col(schema.time).dt.date().alias("date"), "symbol").unique()
    return rows.collect(engine="streaming").select(
        "date",
        pl.lit(str(schema.market)).alias("market"),
        pl.lit(str(schema.data_type)).alias("data_type"),
        "symbol",
    )
