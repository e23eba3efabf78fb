"""What a panel is made of: columns of tables, and from when on each row of a table is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import polars as pl
from attrs import frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.tables.lake.grid import MICROSECOND
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["KNOWN_AT", "SETTLED_AT", "PanelField", "PanelSource", "interval_length"]

#: From when on a row was known; every table has it in a panel.
KNOWN_AT = "known_at"

#: The full hour of a funding rate, which is published some milliseconds late.
SETTLED_AT = "settled_at"

_COLUMN = re.compile(r"(\w+\.\w+)(?:\[(\w+)\])?\.(\w+)")

#: Labels that the frames of a panel have already, and the one that Polars replaces.
_TAKEN = {"", "symbol", "time"}

_LENGTHS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: How long a value stands until the next one is due. Rates are settled every 8, 4 or 1 hours, and
#: up to 11 ms late; metrics come every 5 minutes, some of them late, and single ones are missing.
#: Source: docs/archive-rows.md#fundingrate, docs/archive-rows.md#metrics.
_PERIODS = {
    DataType.FUNDING_RATE: timedelta(hours=8, seconds=1),
    DataType.METRICS: timedelta(minutes=10),
}


def interval_length(interval: str) -> timedelta:
    """The length of a bar; the longest one of a month.

    Examples:
        >>> str(interval_length("4h")), interval_length("1mo").days
        ('4:00:00', 31)
    """
    if interval == "1mo":
        return timedelta(days=31)
    return timedelta(**{_LENGTHS[interval[-1]]: int(interval[:-1])})


#: Metrics are of five minutes. Their time is the end of these for USD-M until this instant, and the
#: beginning from then on; for COIN-M it is the beginning.
#: Source: docs/archive-faults.md#metrics-labels.
_METRICS_PERIOD = timedelta(minutes=5)
_METRICS_LABELLED_BY_BEGINNING = datetime(2026, 6, 25, tzinfo=UTC)


@frozen
class PanelField:
    """A column of a panel, as its caller names it.

    Attributes:
        label: Its name in the panel.
        table: The table.
        interval: The interval of its bars; None if none was named.
        column: The column of the table, `known_at`, or `settled_at`.
    """

    label: str
    table: str
    interval: str | None
    column: str

    @classmethod
    def parse(cls, label: str, text: object) -> PanelField:
        """Read `spot.klines.close` or `spot.klines[4h].close`.

        Raises:
            QueryError: The text is not of this form, or the label is not that of a column.
        """
        if not isinstance(label, str) or label in _TAKEN:
            reason = f"`{label}` cannot be the label of a column; choose another one"
            raise QueryError("panel", f"{reason}, that is a text, and neither `symbol` nor `time`")
        match = _COLUMN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            reason = (
                f"`{text}` of `{label}` is not a column; write `spot.klines.close`, or "
                "`spot.klines[4h].close` for an interval that is not the step of the panel"
            )
            raise QueryError("panel", reason)
        table, interval, column = match.groups()
        return cls(label, table, "1mo" if interval == "1M" else interval, column)


@frozen
class PanelSource:
    """Rows of one table, and of one interval, that a panel is made of.

    Attributes:
        schema: The table.
        interval: The interval of its bars; None for other types.
        fields: The columns of the panel that come from it.
    """

    schema: TableSchema
    interval: str | None
    fields: tuple[PanelField, ...]

    @property
    def name(self) -> str:
        """The table, with the interval."""
        return self.schema.name + ("" if self.interval is None else f"[{self.interval}]")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read: those wanted, and those that say when and in which order."""
        ends = ("close_time",) if self.interval is not None else ()
        wanted = (each.column for each in self.fields if each.column not in (KNOWN_AT, SETTLED_AT))
        return tuple(dict.fromkeys([self.schema.time, *ends, *self.schema.key, *wanted]))

    @property
    def duration(self) -> timedelta:
        """How long after its time a row is known at the latest: the length of a bar."""
        if self.schema.data_type is DataType.METRICS:
            return _METRICS_PERIOD
        return timedelta() if self.interval is None else interval_length(self.interval)

    def stands(self, every: timedelta) -> timedelta:
        """How long a value stands if nothing else is said: until the next, and at least a step."""
        due = _PERIODS.get(self.schema.data_type, self.duration)
        return max(due, every)

    def computed(self) -> list[pl.Expr]:
        """The columns that the table does not have: when a row was known, and what is wanted."""
        when = pl.col(self.schema.time)
        made = [self._known_at().alias(KNOWN_AT)]
        if any(each.column == SETTLED_AT for each in self.fields):
            made.append(when.dt.truncate("1h").alias(SETTLED_AT))
        return made

    def _known_at(self) -> pl.Expr:
        when = pl.col(self.schema.time)
        if self.interval is not None:
            return self._end_of_bar()
        if self.schema.data_type is not DataType.METRICS:
            return when
        if self.schema.market is Market.FUTURES_CM:
            return when + _METRICS_PERIOD
        by_end = when < _METRICS_LABELLED_BY_BEGINNING
        return pl.when(by_end).then(when).otherwise(when + _METRICS_PERIOD)

    def _end_of_bar(self) -> pl.Expr:
        """A bar is known one unit of its archive after `close_time`, which is its last instant.

        If that is before the bar, it is wrong, and would make the bar known before its time.
        """
        opened, closed = pl.col(self.schema.time), pl.col("close_time")
        is_micro = closed.dt.microsecond() % 1000 != 0
        unit = pl.when(is_micro).then(MICROSECOND).otherwise(1000 * MICROSECOND)
        length = str(self.interval)
        return pl.when(closed >= opened).then(closed + unit).otherwise(opened.dt.offset_by(length))

    @classmethod
    def of(
        cls, schemas: Mapping[str, TableSchema], fields: Iterable[PanelField], every: timedelta
    ) -> list[PanelSource]:
        """Group columns by their tables and intervals.

        Args:
            schemas: The schema of each table that is named.
            fields: The columns.
            every: The step, which is the interval of bars if none is named.

        Raises:
            QueryError: A table has several rows of a symbol at a time, or an interval is missing,
                unknown or out of place.
        """
        found: dict[tuple[str, str | None], list[PanelField]] = {}
        for each in fields:
            schema = schemas[each.table]
            found.setdefault((each.table, _interval(schema, each, every)), []).append(each)
        return [cls(schemas[table], interval, tuple(fields))
                for (table, interval), fields in found.items()]  # fmt: skip


def _interval(schema: TableSchema, wanted: PanelField, every: timedelta) -> str | None:
    """The interval of a column's bars, once it is certain that a panel may have the column."""
    if not schema.unique or len(schema.key) != 1:
        reason = (
            "it may have several rows of a symbol at one time, so there is no one value; take one "
            "for each time from `lake.scan` or `lake.sql` first"
        )
        raise QueryError(schema.name, reason)
    if wanted.column == SETTLED_AT and schema.data_type is not DataType.FUNDING_RATE:
        raise QueryError(schema.name, f"`{SETTLED_AT}` is a column of funding rates only")
    if not schema.has_interval:
        if wanted.interval is not None:
            reason = f"the table has no intervals; leave `[{wanted.interval}]` out"
            raise QueryError(schema.name, reason)
        return None
    if wanted.interval is None:
        fixed = (each for each in INTERVALS if each != "1mo")
        alike = [each for each in fixed if interval_length(each) == every]
        if not alike:
            reason = (
                f"no bars are as long as a step of the panel, {every}; name their interval, as "
                f"`{wanted.table}[1h].{wanted.column}`"
            )
            raise QueryError(schema.name, reason)
        return alike[0]
    if wanted.interval not in INTERVALS:
        reason = f"no interval `{wanted.interval}`; {allowed_values(wanted.interval, INTERVALS)}"
        raise QueryError(schema.name, reason)
    return wanted.interval
