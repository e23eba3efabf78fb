"""The UTC day of a segment, in the unit of the times that came, and the rows of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.segments.answers import Place

__all__ = ["FillDay", "Row", "us_per_unit"]

#: The labels of metrics on USD-M moved from the end of five minutes to their start on this day
#: (docs/archive-faults.md#metrics-labels).
_LABELS_MOVED = date(2026, 6, 25)

#: Times from here on are in microseconds, earlier ones in milliseconds (docs/archive-rows.md).
_MICROSECONDS_FROM = 10**14

_DAY_US = 86_400_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Row:
    """One row.

    Attributes:
        key: The id or time that identifies it.
        time: Its time, in the unit that came.
        line: The archive's CSV of it, with its line end.
    """

    key: int
    time: int
    line: bytes


@define
class FillDay:
    """The rows of a series and UTC day.

    Attributes:
        series: The series.
        day: The day.
    """

    series: Series
    day: date
    _unit: int = field(init=False, default=0)

    @property
    def key_name(self) -> str:
        """What identifies a row, for errors."""
        return "id" if self.series.data_type is DataType.AGG_TRADES else "time"

    def has(self, place: Place, time: int) -> bool:
        """Whether a time is within the day.

        Args:
            place: The row, for errors.
            time: Its time, in milliseconds or microseconds.

        Raises:
            SegmentError: It is in another unit than the times before.
        """
        unit = us_per_unit(time)
        if unit != (self._unit or unit):
            place.refuse(f"its time, {time}, is in another unit than those of earlier rows")
        self._unit = unit
        begin = (datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) - _EPOCH) // (
            timedelta(microseconds=1)
        )
        since = time * unit - begin
        return 0 < since <= _DAY_US if self.is_labelled_at_end else 0 <= since < _DAY_US

    @property
    def is_labelled_at_end(self) -> bool:
        """Whether rows have the time of their end, so that the last one has the next day's."""
        is_um = self.series.market is Market.FUTURES_UM
        return is_um and self.series.data_type is DataType.METRICS and self.day < _LABELS_MOVED


def us_per_unit(time: int) -> int:
    """How many microseconds a unit of an epoch time has."""
    return 1 if time >= _MICROSECONDS_FROM else 1000
