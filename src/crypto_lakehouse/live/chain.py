"""The ids of one series: which are new, repeated, missing or wrong."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from attrs import define, field, frozen

__all__ = ["PATIENCE_S", "Chain", "Gap"]

#: How long a message may be late, by its ids, before it counts as missing, in seconds.
PATIENCE_S = 3.0

#: So many links that wait for an earlier one are a gap at once: memory must not grow.
_MOST_WAITING = 10_000

#: An event alone is doubted if it is so many times its own ids ahead of those before it.
_FAR = 1000

#: Another connection repeats what came within this time, in seconds.
_REPEATS_S = 600.0


#: What a chain takes over of the one that follows a new beginning.
_POSITION = ("first", "last", "_waiting", "_order", "_since", "_taken", "_low")


@frozen
class Gap:
    """Ids that did not come.

    Attributes:
        after: The last id before them that came.
        until: The last one that is missing.
        is_sure: Whether several events came behind them; one alone may have a wrong id.
    """

    after: int
    until: int
    is_sure: bool = True

    @property
    def first(self) -> int:
        """The first id that is missing; of update ids of futures, the first that may be."""
        return self.after + 1


@frozen
class _Early:
    """An event whose predecessor has not come.

    Attributes:
        last: Its last id.
        since: When it came, in seconds.
        taken: How many late events had been taken before it.
    """

    last: int
    since: float
    taken: int


@define
class Chain:
    """Follows events that are linked: each names its own id and that of the event before it.

    The event before a trade has the id before its own; a change of a futures book names the one
    before it. Events may come twice, and a few may come late: those that follow a missing one wait
    until it comes, or `break_at` says that it does not.

    An event alone may have a wrong id. One that is far ahead waits until another one comes near it;
    it is wrong if others follow those before it meanwhile. One with an id that is less than all
    that came, or than those of ten minutes ago, is no repetition: it is the first of a series that
    begins again if the next ones follow it, and else is wrong.

    Attributes:
        first: The id before the first event; None before there is one.
        last: The last id up to which nothing is missing.
        duplicates: How many events came again.
        restarts: How often the ids began again.
    """

    first: int | None = field(init=False, default=None)
    last: int = field(init=False, default=0)
    duplicates: int = field(init=False, default=0)
    restarts: int = field(init=False, default=0)
    _waiting: dict[int, _Early] = field(init=False, factory=dict)
    _order: list[int] = field(init=False, factory=list)
    _since: float = field(init=False, default=0.0)
    _taken: int = field(init=False, default=0)
    _jump: tuple[int, int, int] | None = field(init=False, default=None)
    _low: _LowEvents | None = field(init=False, default=None)
    _old: int = field(init=False, default=-1)
    _old_next: tuple[float, int] | None = field(init=False, default=None)
    _wrong: list[str] = field(init=False, factory=list)
    _begun: list[str] = field(init=False, factory=list)

    def take(self, before: int, last: int, now: float) -> bool:
        """Take an event.

        Args:
            before: The id of the event before it.
            last: Its own id, or the last of its ids.
            now: The time, in seconds.

        Returns:
            Whether it is new.
        """
        is_clear = not self._waiting and self._jump is None and self._low is None
        if before == self.last and is_clear and self.first is not None:
            self.last = last
            return True
        if self.first is None:
            self.first, self.last = before, last
            return True
        self._go_back(before, now)
        if last <= self.last:
            return self._take_low(before, last, now)
        self._jump = None
        self._end_low()
        if before in self._waiting and self._waiting[before].last >= last:
            self.duplicates += 1
            return False
        if before > self.last:
            if not self._waiting:
                self._since = now
            if before not in self._waiting:
                heappush(self._order, before)
            self._waiting[before] = _Early(last, now, self._taken)
            return True
        self.last = last
        self._taken += 1
        self._close_up(now)
        return True

    @property
    def is_waiting(self) -> bool:
        """Whether events wait for an earlier one."""
        return bool(self._waiting)

    def taken_wrong(self) -> list[str]:
        """What is wrong with events that were taken, as sentences; each is returned once."""
        found, self._wrong = self._wrong, []
        return found

    def taken_beginnings(self) -> list[str]:
        """How the ids began again, as sentences; each is returned once."""
        found, self._begun = self._begun, []
        return found

    def _close_up(self, now: float) -> None:
        """Go on with those that waited for what has come now."""
        while self._order and self._order[0] <= self.last:
            self.last = max(self.last, self._waiting.pop(heappop(self._order)).last)
            self._taken += 1
        self._since = now

    def break_at(self, now: float, patience_s: float) -> Gap | None:
        """Return the first gap for which the events behind it have waited long enough.

        The chain goes on behind it, so that each gap is returned once.
        """
        self._grow_old(now)
        self._judge_low(now, patience_s)
        self._leave_out_far(now, patience_s)
        if not self._waiting:
            return None
        if now - self._since < patience_s and len(self._waiting) < _MOST_WAITING:
            return None
        is_sure = not self._is_doubtful(self._order[0])
        if patience_s and not is_sure:
            return None
        gap = Gap(self.last, self._order[0], is_sure)
        if len(self._waiting) == 1:
            self._jump = gap.after, gap.until, self._waiting[gap.until].last
        self.last = gap.until
        self._close_up(now)
        return gap

    # -- an event far ahead

    def _is_far(self, before: int) -> bool:
        return before - self.last > _FAR * (self._waiting[before].last - before)

    def _is_doubtful(self, before: int) -> bool:
        """Whether an event is far ahead, and no two that wait are near each other."""
        if not self._is_far(before) or len(self._waiting) >= _MOST_WAITING:
            return False
        return all(self._is_alone(each) for each in self._waiting)

    def _is_alone(self, before: int) -> bool:
        """Whether no other event that waits is near one."""
        last = self._waiting[before].last
        near = _FAR * (last - before)
        return not any(
            other.last >= before - near and each <= last + near
            for each, other in self._waiting.items()
            if each != before
        )

    def _is_linked(self, before: int) -> bool:
        """Whether another event that waits follows one, or is followed by it."""
        is_followed = self._waiting[before].last in self._waiting
        return is_followed or any(each.last == before for each in self._waiting.values())

    def _leave_out_far(self, now: float, patience_s: float) -> None:
        """Leave out events that are far ahead, if others have followed those before them."""
        passed = [
            before
            for before, early in self._waiting.items()
            if early.taken < self._taken
            and now - early.since >= patience_s
            and self._is_far(before)
        ]
        for before in passed:
            if not self._is_linked(before):
                last = self._waiting.pop(before).last
                self._wrong.append(f"its id {last} is far ahead of those before and behind it")
                self._order.remove(before)
                heapify(self._order)

    def _go_back(self, before: int, now: float) -> None:
        """Go on before a gap, if an event is of it; the only one behind it waits again."""
        if self._jump is not None and self._jump[0] <= before < self._jump[1]:
            self.last, until, last = self._jump
            self._waiting, self._order = {until: _Early(last, now, self._taken)}, [until]
            self._old = min(self._old, self.last)
            self._jump, self._since = None, now

    # -- events that go back

    def _grow_old(self, now: float) -> None:
        """Note the id of ten minutes ago."""
        if self._old_next is None or now - self._old_next[0] >= _REPEATS_S:
            self._old = -1 if self._old_next is None else self._old_next[1]
            self._old_next = now, self.last

    def _take_low(self, before: int, last: int, now: float) -> bool:
        """Take an event that is not behind the others: one of them again, or of a new beginning."""
        if last > max(self.first or 0, self._old):
            self.duplicates += 1
            return False
        if self._low is None:
            self._low = _LowEvents(Chain(), now)
        low = self._low
        is_new = low.chain.take(before, last, now)
        low.events += is_new
        self.duplicates += not is_new
        if self._old < 0 and low.chain.last == self.first:
            self.first, self._low = low.chain.first, None  # they were late
        return is_new

    def _judge_low(self, now: float, patience_s: float) -> None:
        """Begin again, if several events have come that follow each other far below."""
        low = self._low
        if low is None or now - low.since < patience_s:
            return
        if low.events == 1:
            if not patience_s:
                self._end_low()
            return
        chain = low.chain
        self.restarts += 1
        self._begun.append(f"its ids begin again at {(chain.first or 0) + 1}, behind {self.last}")
        for name in _POSITION:
            setattr(self, name, getattr(chain, name))
        self._jump, self._old, self._old_next = None, -1, None

    def _end_low(self) -> None:
        """Go on with those before, as the next one follows them: what went back is wrong."""
        if self._low is not None:
            last, self._low = self._low.chain.last, None
            self._wrong.append(f"its id {last} is far behind those before and behind it")


@define
class _LowEvents:
    """Events that may be the first of a series that begins again.

    Attributes:
        chain: Follows them.
        since: When the first one came, in seconds.
        events: How many there are.
    """

    chain: Chain
    since: float
    events: int = 0
