"""Days of series that are filled from the exchange: their segments, verdicts and ledger rows."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Origin, Period, Series
from crypto_lakehouse.core.object_facts import FileStat

__all__ = ["FillRow", "FillVerdict", "fill_folder", "segment_of"]


def segment_of(series: Series, day: date) -> Archive:
    """Return the segment of one UTC day of a series."""
    return Archive(series, Period.day(day), Origin.FILL)


def fill_folder(series: Series) -> str:
    """Return the key prefix of a series' segments, with a trailing slash."""
    return segment_of(series, date.min).folder


class FillVerdict(StrEnum):
    """The result of filling one UTC day of a series from the exchange."""

    FILLED = "filled"
    """What the exchange answered is stored as a segment."""
    UNAVAILABLE = "unavailable"
    """The exchange does not have it: an unknown symbol, or a day that is too old."""
    FAILED = "failed"
    """The exchange could not be reached, or answered wrongly, after all retries."""

    def __repr__(self) -> str:
        """Return the word in quotes, so that a mapping of counts can be read."""
        return repr(self.value)


@frozen(kw_only=True)
class FillRow:
    """What the ledger knows of one day of a series.

    Attributes:
        reason: Why, in a sentence; empty for plain successes.
        rows: How many rows the day has.
        sha256: The digest of the stored segment; None if there is none.
        complete: Whether the day was over when it was filled.
        proven_by: `ids` if the ids meet those of the days before and after; else empty.
        filled_at: When it was asked for, in UTC.
        size_bytes, mark: Of the stored segment when it was last proven, as in `FileStat`; None if
            there is none.
    """

    verdict: FillVerdict
    reason: str = ""
    rows: int = 0
    sha256: str | None = None
    complete: bool = False
    proven_by: str = ""
    filled_at: datetime
    size_bytes: int | None = None
    mark: int | None = None

    def describes(self, stat: FileStat | None) -> bool:
        """Whether this is about the very file that is stored; without a segment, about none."""
        return self.sha256 is None or (self.size_bytes, self.mark) == stat

    @property
    def is_final(self) -> bool:
        """Whether there is nothing more to ask for."""
        return self.verdict is FillVerdict.FILLED and self.complete
