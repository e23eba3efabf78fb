"""What a run will do, one archive at a time."""

from __future__ import annotations

from datetime import date, timedelta

from attrs import frozen

from crypto_lakehouse.core.archive import Archive

__all__ = ["PlannedArchive"]


@frozen
class PlannedArchive:
    """One archive of a plan.

    Attributes:
        archive: The archive.
        not_published: Why it cannot exist, empty where it may; such an archive is never
            requested.
        lag_days: For how many days after the period's last day its absence is normal.
    """

    archive: Archive
    not_published: str = ""
    lag_days: int = 0

    def may_be_late(self, today: date) -> bool:
        """Whether an absence seen on `today` is within the publication lag."""
        return today <= self.archive.period.last_day + timedelta(days=self.lag_days)
