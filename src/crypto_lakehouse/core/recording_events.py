"""The events of a recording: what it has seen, and what is missing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen

__all__ = ["HoleRecorded", "RecordingIngested", "RecordingSeen"]


@frozen(kw_only=True)
class RecordingSeen:
    """What a recording has seen since it began; it comes every few seconds, and at the end.

    Attributes:
        streams: How many streams are recorded.
        messages: How many messages came, those that came twice included.
        size_bytes: The size of all messages.
        duplicates: How many came again, by their ids.
        unreadable: How many are no JSON, or have no id or a wrong one.
        filled: How many were fetched afterwards, as they had not come.
        holes: How many holes there are.
        connections: How many connections were opened.
        reconnects: How many of these replaced one that had ended.
        segments: How many segments were finished.
        lag_us: How long after its own time the newest message was received, in microseconds by the
            exchange's clock; None if no message names its time.
        skew_us: How far this machine's clock is ahead of the exchange's, in microseconds; None if
            that is not known.
        at: When that was so, in UTC.
    """

    streams: int
    messages: int
    size_bytes: int
    duplicates: int
    unreadable: int
    filled: int
    holes: int
    connections: int
    reconnects: int
    segments: int
    lag_us: int | None = None
    skew_us: int | None = None
    at: datetime


@frozen(kw_only=True)
class RecordingIngested:
    """Finished segments were ingested into tables beside the recording, or that failed.

    Attributes:
        rows: How many rows are new in the tables.
        files_merged: How many small data files were merged into others.
        snapshots_expired: How many snapshots expired.
        duration_seconds: How long it took.
        fault: What is not in the tables, or not kept in bounds, and why; empty if nothing.
        at: When it ended, in UTC.
    """

    rows: int = 0
    files_merged: int = 0
    snapshots_expired: int = 0
    duration_seconds: float = 0.0
    fault: str = ""
    at: datetime


@frozen(kw_only=True)
class HoleRecorded:
    """Messages of a recorded stream are missing, and could not be fetched.

    Attributes:
        market: The market.
        stream: The stream, as the exchange names it.
        first, last: The first and the last missing id; of update ids of futures, and of the open
            times of bars, the range in which they are. None if no ids say it.
        since_us, until_us: Between these times, in microseconds since 1970 by this machine's
            clock, messages may be missing, if no ids say which; else None.
        cause: Why.
    """

    market: str
    stream: str
    first: int | None = None
    last: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    cause: str

    def __str__(self) -> str:
        place = (
            f"ids {self.first} to {self.last}"
            if self.first is not None
            else f"from {self.since_us} to {self.until_us} us"
        )
        return f"{self.market} {self.stream}: {place}: {self.cause}"

    def facts(self) -> dict[str, Any]:
        """What is known of it, in plain types, without the market."""
        known = {
            "stream": self.stream, "first": self.first, "last": self.last,
            "since": self.since_us, "until": self.until_us, "cause": self.cause,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}
