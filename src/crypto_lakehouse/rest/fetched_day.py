"""What was fetched of one series and day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import frozen

from crypto_lakehouse.segments.fill_segment import FillResponse
from crypto_lakehouse.segments.kept_responses import KeptResponses

__all__ = ["FetchedDay", "Span"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class FetchedDay:
    """The responses that have the rows of one series and UTC day; to be closed.

    Attributes:
        responses: In the order in which they were asked for; some of their rows may be of the days
            before and after.
        rows: How many rows of the day they have.
        complete: Whether the day gets no further rows.
        proven_by: `ids` if the day's ids have no gap and meet those of the days before and after;
            otherwise empty.
        none_due: Whether a day without rows is as it should be: bars that are longer than a day
            begin on some days only.
    """

    responses: list[FillResponse] | KeptResponses
    rows: int
    complete: bool
    proven_by: str
    none_due: bool = False

    def close(self) -> None:
        """Remove what is kept on disk."""
        if isinstance(self.responses, KeptResponses):
            self.responses.close()

    @classmethod
    def empty(cls) -> FetchedDay:
        """Nothing was asked for, because the day has no finished row yet."""
        return cls([], 0, complete=False, proven_by="")


@frozen
class Span:
    """Two moments, in microseconds since the epoch."""

    start_us: int
    end_us: int

    @classmethod
    def of(cls, start: datetime, end: datetime) -> Span:
        """From two aware moments."""
        one = timedelta(microseconds=1)
        return cls((start - _EPOCH) // one, (end - _EPOCH) // one)
