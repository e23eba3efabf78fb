"""Slots that several parties share, such as the runs of several tenants."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from attrs import define, field

__all__ = ["FairSlots"]


@define(eq=False)
class FairSlots:
    """A number of slots for several parties, divided fairly.

    No party waits while a slot is free. A slot that becomes free goes to the waiting party that
    holds the fewest, and of several to the one that was served the longest ago. A party that does
    not need its part leaves it to the others.

    Args:
        limit: How many slots there are; at least 1.
    """

    limit: int
    _held: Counter[str] = field(init=False, factory=Counter)
    _waiting: dict[str, deque[asyncio.Future[None]]] = field(init=False, factory=dict)
    _served: int = field(init=False, default=0)
    _last_served: Counter[str] = field(init=False, factory=Counter)

    @property
    def free(self) -> int:
        """The number of free slots; nothing waits while there is one."""
        return self.limit - self._held.total()

    async def acquire(self, party: str) -> None:
        """Wait for a slot; the slots of one party are given in the order of arrival.

        A caller that is cancelled here has no slot, and must not call `release`.
        """
        if self.free > 0:
            self._take(party)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it got its slot before the cancellation
                self.release(party)
            raise

    def release(self, party: str) -> None:
        """Return a slot of a party."""
        self._held[party] -= 1
        while self.free > 0 and self._waiting:
            self._admit(min(self._waiting, key=self._order))

    def _order(self, party: str) -> tuple[int, int]:
        return self._held[party], self._last_served[party]

    def _admit(self, party: str) -> None:
        """Give a slot to the request of a party that waits the longest."""
        turns = self._waiting[party]
        turn = turns.popleft()
        if not turns:
            del self._waiting[party]
        if not turn.done():  # else its caller was cancelled
            self._take(party)
            turn.set_result(None)

    def _take(self, party: str) -> None:
        self._held[party] += 1
        self._served += 1
        self._last_served[party] = self._served
