"""Twenty days of one symbol, for runs on more than one archive."""

from __future__ import annotations

from datetime import date

from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.testing import ArchiveServer

__all__ = ["DAYS", "july_server", "key_of", "select_july"]

DAYS = 20


def july_server() -> ArchiveServer:
    """A source of the days, to be started."""
    return ArchiveServer(start=date(2025, 7, 1), end=date(2025, 7, DAYS), symbols=["BTCUSDT"])


def select_july(collection: Collection) -> None:
    """Let a collection select the days, planned by the calendar."""
    del collection.config["default_date"]
    collection.config |= {
        "date_range": {"start": "2025-07-01", "end": f"2025-07-{DAYS}"},
        "partitions": ["daily"],
        "discovery": "calendar",
    }


def key_of(day: int) -> str:
    return KEY.replace("07-15", f"07-{day:02}")
