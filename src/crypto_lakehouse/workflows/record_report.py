"""The report of a recording: what came, what is missing, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.recording_events import HoleRecorded
from crypto_lakehouse.workflows.micro_batches import BatchCounts
from crypto_lakehouse.workflows.run_report import RunReport

__all__ = ["RecordReport", "StreamChange"]


@frozen(kw_only=True)
class RecordReport(RunReport):
    """The result of one recording, as `run_recording` and `RecordingWorkflow.run` return it.

    Attributes:
        status: `complete`, `partial` (there are holes, or the output or tables lack what was
            recorded), `failed` or `interrupted`.
        streams: How many streams were recorded.
        messages: How many messages of each kind came, duplicates included; by market and kind.
        size_bytes: The size of all messages.
        duplicates: How many messages came again, by their ids; they are kept.
        unreadable: How many messages are no JSON, or have no id or a wrong one; they are kept as
            they came.
        filled: How many messages were fetched afterwards, as they had not come.
        snapshots: How many order books were fetched.
        broken_books: How often an order book broke, because a change of it was missing or damaged.
        hole_count: How many holes there are: missing messages that could not be fetched,
            and changes of order books that cannot be used.
        holes: The first 100 of them.
        connections: How many connections were opened.
        ends: How many ended, by cause.
        segments: How many segments were finished.
        undelivered: How many finished segments the object store of the output has not taken; they
            stay in the state folder, and the next recording tries again.
        ingested: What came of ingesting them; None if no tables are filled.
        error: Why the run ended early; empty if it did not.
        run_id: The recording's id, which begins the names of its segments.
    """

    streams: int = 0
    messages: Mapping[str, int] = {}
    size_bytes: int = 0
    duplicates: int = 0
    unreadable: int = 0
    filled: int = 0
    snapshots: int = 0
    broken_books: int = 0
    hole_count: int = 0
    holes: tuple[HoleRecorded, ...] = ()
    connections: int = 0
    ends: Mapping[str, int] = {}
    segments: int = 0
    undelivered: int = 0
    ingested: BatchCounts | None = None

    @property
    def is_partial(self) -> bool:
        """Whether there are holes, or the output or tables lack what was recorded."""
        is_behind = self.undelivered > 0 or bool(self.ingested and self.ingested.fault)
        return self.hole_count > 0 or is_behind

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `record --json` prints."""
        return {
            **({"error": self.error} if self.error else {}),
            "workflow": self.workflow,
            "status": self.status,
            "recording": self.run_id,
            "streams": self.streams,
            "messages": dict(self.messages),
            "bytes": self.size_bytes,
            "duplicates": self.duplicates,
            "unreadable": self.unreadable,
            "filled": self.filled,
            "snapshots": self.snapshots,
            "broken_books": self.broken_books,
            "hole_count": self.hole_count,
            "holes": [{"market": str(each.market), **each.facts()} for each in self.holes],
            "connections": self.connections,
            "ends": dict(self.ends),
            "segments": self.segments,
            "undelivered": self.undelivered,
            **({"ingested": self.ingested.to_mapping()} if self.ingested else {}),
            "duration_seconds": round(self.duration_seconds, 3),
            "warnings": list(self.warnings),
        }


@frozen
class StreamChange:
    """What another selection has changed.

    Attributes:
        added, removed: How many streams are recorded since then, and how many no more.
        streams: How many are recorded now.
    """

    added: int
    removed: int
    streams: int
