"""What a ledger holds of one series, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from attrs import field, frozen

from crypto_lakehouse.core.archive import Partition, Period, Series
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.asked_days import AskedDays

__all__ = ["ArchiveRun", "FolderRecord", "SeriesRecord"]


@frozen(kw_only=True)
class ArchiveRun:
    """Consecutive archives of one folder with the same result.

    A folder of thousands of archives has only a few runs.

    Attributes:
        first_day, last_day: UTC days of data, both inclusive.
        verdict: The latest verdict on them.
        reason: Why, in a sentence; empty for plain successes.
        is_let_in: Whether the bytes are at the final name although the sidecar disagrees.
        is_acknowledged: Whether the user knows that the source lacks it or serves it damaged.
    """

    first_day: date
    last_day: date
    verdict: Verdict
    reason: str = ""
    is_let_in: bool = False
    is_acknowledged: bool = False


@frozen(kw_only=True)
class FolderRecord:
    """One partition of a series.

    Attributes:
        runs: In any order; no archive is in two.
        size_bytes: Of the files at their final names.
        refused_newer: How many verified archives have a newer version at the source that could
            not take their place.
        verdicts: How many archives have each verdict.
        first_listed, last_listed: What the source listed as the first and the last archive of
            the folder; None where that end is not known.
        listed_on: The UTC day of that listing, None where there was none.
    """

    runs: Sequence[ArchiveRun] = ()
    size_bytes: int = 0
    refused_newer: int = 0
    verdicts: Mapping[Verdict, int] = field(factory=dict)
    first_listed: Period | None = None
    last_listed: Period | None = None
    listed_on: date | None = None


@frozen
class SeriesRecord:
    """What a ledger holds of one series, or of those of its archives that touch a window.

    Attributes:
        asked: The days that runs were asked for; None if that is not known, or is not to count.
        filled: The days that are filled from the exchange and were over then, as ordinals, in
            order.
        filled_span: The first and the last day that has a segment, also the current one; None if
            none has.
    """

    series: Series
    folders: Mapping[Partition, FolderRecord]
    asked: AskedDays | None = None
    filled: Sequence[int] = ()
    filled_span: tuple[int, int] | None = None

    @property
    def used(self) -> frozenset[Partition]:
        """The partitions of which any archive was settled."""
        return frozenset(partition for partition, folder in self.folders.items() if folder.runs)
