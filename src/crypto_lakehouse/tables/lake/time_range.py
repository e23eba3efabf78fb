"""The range of time of a scan, as a caller gives it: by days or instants, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from attrs import frozen

from crypto_lakehouse.core.errors import QueryError

__all__ = ["Instant", "TimeRange"]

_DAY = timedelta(days=1)

#: The last instant that Python knows.
_LATEST = datetime.max.replace(tzinfo=UTC)

#: The types in which a day or an instant may be given.
Instant = str | date | datetime


@frozen
class TimeRange:
    """A half-open range of time; None means unbounded.

    Attributes:
        start: The first instant.
        end: The first instant after the range.
    """

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, start: Instant | None, end: Instant | None) -> TimeRange:
        """Make a range of two ends; a day is included whole, in UTC.

        Raises:
            QueryError: A text is not an ISO date or time, a time is outside of the years 1 to 9999,
                or the end is not after the start.
        """
        first = None if start is None else _instant(start)
        last = None if end is None else _instant(end)
        if last is not None and _is_day(end):
            last = min(last, _LATEST - _DAY) + _DAY
        if first is not None and last is not None and first >= last:
            raise QueryError("scan", f"the end `{end}` is not after the start `{start}`")
        return cls(first, last)

    def overlaps(self, low: datetime, high: datetime) -> bool:
        """Whether the range has an instant from `low` to `high`, both inclusive."""
        after = self.start is None or high >= self.start
        return after and (self.end is None or low < self.end)

    def holds(self, low: datetime, high: datetime) -> bool:
        """Whether the range has every instant from `low` to `high`, both inclusive."""
        after = self.start is None or low >= self.start
        return after and (self.end is None or high < self.end)


def _is_day(value: Instant | None) -> bool:
    if isinstance(value, str):
        return len(value.strip()) <= len("2024-01-01")
    return isinstance(value, date) and not isinstance(value, datetime)


def _instant(value: Instant) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            reason = f"`{value}` is not a day (2024-01-31) or a time (2024-01-31T12:00)"
            raise QueryError("scan", reason) from None
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise QueryError("scan", f"`{value}` is not within the years 1 to 9999 in UTC") from None
