"""The ids of one series: which are new, which are repeated, and which are missing."""

from __future__ import annotations

from heapq import heappop, heappush

from attrs import define, field, frozen

__all__ = ["PATIENCE_S", "Chain", "Gap"]

#: How long a message may be late, by its ids, before it counts as missing, in seconds.
PATIENCE_S = 3.0

#: So many links that wait for an earlier one are a gap at once: memory must not grow.
_MOST_WAITING = 10_000


@frozen
class Gap:
    """Ids that did not come.

    Attributes:
        after: The last id before them that came.
        until: The last one that is missing.
    """

    after: int
    until: int

    @property
    def first(self) -> int:
        """The first id that is missing; of update ids of futures, the first that may be."""
        return self.after + 1


@define
class Chain:
    """Follows events that are linked: each names its own id and that of the event before it.

    The event before a trade has the id before its own; a change of a futures book names the one
    before it. Events may come twice, and a few may come late: those that follow a missing one wait
    until it comes, or `break_at` says that it does not.

    Attributes:
        first: The id before the first event; None before there is one.
        last: The last id up to which nothing is missing.
        duplicates: How many events came again.
    """

    first: int | None = field(init=False, default=None)
    last: int = field(init=False, default=0)
    duplicates: int = field(init=False, default=0)
    _waiting: dict[int, int] = field(init=False, factory=dict)
    _order: list[int] = field(init=False, factory=list)
    _since: float = field(init=False, default=0.0)

    def take(self, before: int, last: int, now: float) -> bool:
        """Take an event.

        Args:
            before: The id of the event before it.
            last: Its own id, or the last of its ids.
            now: The time, in seconds.

        Returns:
            Whether it is new.
        """
        if before == self.last and not self._waiting and self.first is not None:
            self.last = last
            return True
        if self.first is None:
            self.first, self.last = before, last
            return True
        if last <= self.last or self._waiting.get(before, -1) >= last:
            self.duplicates += 1
            return False
        if before > self.last:
            if not self._waiting:
                self._since = now
            if before not in self._waiting:
                heappush(self._order, before)
            self._waiting[before] = last
            return True
        self.last = last
        self._close_up(now)
        return True

    def _close_up(self, now: float) -> None:
        """Go on with those that waited for what has come now."""
        while self._order and self._order[0] <= self.last:
            self.last = max(self.last, self._waiting.pop(heappop(self._order)))
        self._since = now

    def break_at(self, now: float, patience_s: float) -> Gap | None:
        """Return the first gap for which the events behind it have waited long enough.

        The chain goes on behind it, so that each gap is returned once.
        """
        if not self._waiting:
            return None
        if now - self._since < patience_s and len(self._waiting) < _MOST_WAITING:
            return None
        gap = Gap(self.last, self._order[0])
        self.last = gap.until
        self._close_up(now)
        return gap
