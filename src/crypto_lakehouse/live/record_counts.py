"""What a recording has seen: messages, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import define, field

from crypto_lakehouse.core.metrics import LISTED_PROBLEMS
from crypto_lakehouse.core.recording_events import HoleRecorded
from crypto_lakehouse.live.series import LiveSeries

__all__ = ["RecordCounts"]


@define
class RecordCounts:
    """Counts of a recording.

    Attributes:
        size_bytes: The size of all messages.
        past_messages: How many messages came of streams that are recorded no more, by market and
            kind.
        past_duplicates: How many of these came again.
        unreadable: How many of them are no JSON, or have no id or a wrong one; they are kept as
            they came.
        first_unreadable: The first of these and its fault, for the user.
        filled: How many messages were fetched, as they had not come.
        snapshots: How many order books were fetched.
        broken_books: How often an order book broke.
        connections: How many connections were opened.
        refusals: How many could not be opened.
        ends: How often a connection ended, by cause.
        hole_count: How many holes there are.
        holes: The first 100 of them.
    """

    size_bytes: int = 0
    past_messages: Counter[str] = field(factory=Counter)
    past_duplicates: int = 0
    unreadable: int = 0
    first_unreadable: str = ""
    filled: int = 0
    snapshots: int = 0
    broken_books: int = 0
    connections: int = 0
    refusals: int = 0
    ends: Counter[str] = field(factory=Counter)
    hole_count: int = 0
    holes: list[HoleRecorded] = field(factory=list)

    def saw_last(self, series: LiveSeries) -> None:
        """Keep the counts of a stream that is recorded no more."""
        self.past_messages[series.name] += series.messages
        self.past_duplicates += series.duplicates

    def messages_of(self, series: Iterable[LiveSeries]) -> dict[str, int]:
        """All messages by market and kind, with those of the streams that are recorded now."""
        messages = Counter(self.past_messages)
        for each in series:
            messages[each.name] += each.messages
        return dict(messages)

    def duplicates_of(self, series: Iterable[LiveSeries]) -> int:
        """All messages that came again."""
        return self.past_duplicates + sum(each.duplicates for each in series)

    def saw_hole(self, hole: HoleRecorded) -> None:
        """Count a hole."""
        self.hole_count += 1
        if len(self.holes) < LISTED_PROBLEMS:
            self.holes.append(hole)

    def saw_unreadable(self, place: str, data: bytes, fault: ValueError) -> None:
        """Count a message that cannot be read."""
        text = data[:80].decode(errors="replace")
        self._saw_unreadable(f"{place}: {fault}: {text!r}")

    def saw_wrong_id(self, place: str, fault: str) -> None:
        """Count a message whose id is not of its series."""
        self._saw_unreadable(f"{place}: {fault}")

    def _saw_unreadable(self, sentence: str) -> None:
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or sentence
