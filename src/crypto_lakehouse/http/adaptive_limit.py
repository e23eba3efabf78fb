"""A concurrency limit that finds out how many requests pay.

It is congestion control as TCP does it, with requests for packets:

* Slow start (RFC 5681), with the gain and the full-pipe test of BBR (Cardwell et al., ACM Queue
  2016): the limit is tripled while goodput grows by a quarter; where it no longer does, the
  limit goes back to where it last did.
* Hill climbing on goodput (Hellerstein, Morrison, Eilebrecht: Optimizing Concurrency Levels in
  the .NET ThreadPool, 2008), by experiments like those of PCC (Dong et al., NSDI 2015): now and
  then another limit is tried, and kept where goodput says so.
* On a refusal a multiplicative decrease and a remembered ceiling (CUBIC, RFC 9438); the way
  back is the binary search of BIC (Xu, Harfoush, Rhee, INFOCOM 2004).
* Windows in which places stayed free say nothing about the source (RFC 7661).

TCP Vegas and Netflix's gradient limits compare durations, which depend on the size of the
object. By Little's law the mean duration in a full window is the limit over the throughput, so
goodput alone tells where latency rises for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from attrs import define, field

from crypto_lakehouse.core.errors import ServerError, TransferError
from crypto_lakehouse.http.concurrency_limit import REFUSALS, ResizableSemaphore

__all__ = ["AdaptiveLimit", "Controller"]


#: Where `AdaptiveLimit` begins, and how far it may go, in requests under way.
START, MOST = 16, 256
#: A request counts as much as this many bytes of body: what one connection brings in the time
#: that the first byte takes (30 ms at 4 MB/s). So the work that a place does in a second hardly
#: depends on the size of the objects.
REQUEST_BYTES = 128 * 1024


#: A window lasts so many rounds (each as much work as there are places), at least; and so many
#: seconds. The quick one is for slow start and the way back, the long one for experiments.
QUICK_WINDOW, LONG_WINDOW = (1, 0.02), (4, 0.25)
#: A window is full where so large a share of the places was taken, on average.
FULL = 0.9

#: Slow start: the factor, and how much goodput has to grow for the next one. (BBR: 2.89, 1.25.)
START_GAIN, START_GROWTH = 3, 1.25
#: A refusal leaves this share of the limit; the way back ends at this share of it. (CUBIC: 0.7.)
RETREAT, RETURN = 0.7, 0.95
#: Refusals up to this share are borne, at most so many in a row: some come whatever the limit is.
BORNE_SHARE, BORNE_AT_ONCE = 0.0125, 3.0
#: A window in which a larger share of requests failed on the way leaves this share of the limit.
FAILED_BORNE, FAILED_RETREAT = 0.05, 0.85

#: Experiments: the first step up, and the step down, as shares of the limit.
STEP_UP, STEP_DOWN = 0.25, 0.2
#: What a step must gain, or may lose, in goodput, as a share of the step.
GAIN_NEEDED, LOSS_BORNE = 0.15, 0.05
#: Windows between two experiments; doubled after each that came to nothing.
REST_LEAST, REST_MOST = 4, 16


@define
class Controller:
    """The arithmetic of `AdaptiveLimit`: no clock, no tasks, no chance.

    Attributes:
        limit, most: Places, and how many there may be; at least 1.
        ceiling: The lowest limit that the source refused, as far as is remembered.
        reason: Why the limit was last changed, for people.
    """

    limit: int = START
    most: int = MOST
    ceiling: float = math.inf
    reason: str = "start"
    _phase: Literal["starting", "returning", "resting", "trying"] = "starting"
    _goodput: float = 0.0  # What a trial, or the next step of slow start, is compared with.
    _proven: int = 1  # The limit that `_goodput` was seen at.
    _doubtful: bool = False  # Slow start's last window brought too little; it gets another one.
    _settling: bool = False  # The limit has just changed: the next window is of both limits.
    _target: int = 1  # Where the way back from a refusal ends.
    _upwards: bool = True  # The next experiment's direction.
    _streak: int = 0  # Steps up in a row that were worth it; each doubles the next.
    _rested: int = 0
    _rest: int = REST_LEAST

    @property
    def window(self) -> tuple[int, float]:
        """How long the next window has to be: rounds and seconds."""
        quick = self._settling or self._phase in {"starting", "returning"}
        return QUICK_WINDOW if quick else LONG_WINDOW

    def observe(self, goodput: float, *, full: bool = True, failed: float = 0.0) -> int:
        """Take in a window without refusals; return the limit from now on.

        Args:
            goodput: Work done per second, a request and `REQUEST_BYTES` of body being 1 each.
            full: Whether hardly a place was free.
            failed: The share of requests that got no whole answer.
        """
        if failed > FAILED_BORNE:
            self._rest_at(max(1, int(self.limit * FAILED_RETREAT)), "requests fail")
        elif not full:
            pass
        elif self._settling:
            self._settling = False
        elif self._phase == "starting":
            self._start(goodput)
        elif self._phase == "trying":
            self._judge(goodput)
        elif self._phase == "returning" and self.limit < self._target:
            self._set((self.limit + self._target + 1) // 2, "back from a refusal")
        else:
            self._phase = "resting"
            self._rested += 1
            if self._rested >= self._rest:
                self._try_from(goodput)
        return self.limit

    def refused(self, level: int) -> int:
        """Take in the refusal that begins a congestion epoch; return the limit from now on.

        Args:
            level: How many requests were under way.
        """
        if self._phase == "trying":
            self._fruitless()
        level = min(level, self.limit)
        self.ceiling = max(2, level)  # Above the least limit, so that it can be tried again.
        self._target = max(1, int(level * RETURN))
        self._phase = "returning"
        self._set(max(1, int(level * RETREAT)), f"refused at {level}")
        return self.limit

    def _set(self, limit: int, reason: str) -> None:
        self.limit, self.reason = limit, reason
        self._settling = self._phase != "starting"

    def _rest_at(self, limit: int, reason: str) -> None:
        self._phase = "resting"
        self._upwards, self._streak, self._rested, self._rest = True, 0, 0, REST_LEAST
        self._set(limit, reason)

    def _start(self, goodput: float) -> None:
        if goodput >= self._goodput * START_GROWTH:
            self._goodput, self._proven, self._doubtful = goodput, self.limit, False
            if self.limit < self.most:
                self._set(min(self.most, self.limit * START_GAIN), "slow start")
            else:
                self._rest_at(self.limit, self.reason)
        elif not self._doubtful:
            self._doubtful = True  # New connections need a while to come up to speed.
        else:
            self._rest_at(self._proven, "slow start ends: more brings nothing")

    def _try_from(self, goodput: float) -> None:
        down = self.limit - max(1, int(self.limit * STEP_DOWN))
        trial = self._above() if self._upwards else down
        self._rested = 0
        if 1 <= trial <= self.most:
            self._goodput, self._proven = goodput, self.limit
            self._phase = "trying"
            self._set(trial, f"trying from {self._proven}")
        else:
            self._phase = "resting"
            self._upwards = not self._upwards

    def _above(self) -> int:
        """The next level up: below the ceiling in steps, beyond it by a single place."""
        level = self.limit + max(1, int(self.limit * min(1.0, STEP_UP * 2**self._streak)))
        if level >= self.ceiling:
            level = max(self.limit + 1, int(self.ceiling) - 1)
        return level if self.limit >= self.most else min(level, self.most)

    def _judge(self, goodput: float) -> None:
        step = self.limit / self._proven - 1
        needed = self._goodput * (1 + (GAIN_NEEDED if step > 0 else LOSS_BORNE) * step)
        if self.limit >= self.ceiling:
            self.ceiling = math.inf  # Borne; what one place more brings is too little to see.
        elif goodput <= needed:
            self._fruitless()
            self._set(self._proven, f"no better at {self.limit}")
            return
        if step > 0:
            self._streak += 1
            self._rest = REST_LEAST
        self._try_from(goodput)

    def _fruitless(self) -> None:
        self._phase = "resting"
        self._upwards, self._streak = not self._upwards, 0
        self._rest = min(REST_MOST, self._rest * 2)


@define
class _Tally:
    """The window that is being seen; it ends once it holds the work that is due."""

    opened_at: float
    due: float
    work: float = 0.0
    answers: int = 0
    failures: int = 0
    samples: int = 0
    taken: int = 0


@define
class AdaptiveLimit(ResizableSemaphore):
    """As many places as bring something; see the module's docstring.

    Args:
        clock: As above.
        workers: The limit's upper bound.
        on_change: Told of each new limit and its reason.
    """

    limit: int = field(init=False, default=START)
    workers: int = MOST
    on_change: Callable[[int, str], None] = field(default=lambda _limit, _reason: None, repr=False)
    _controller: Controller = field(init=False)
    _tally: _Tally = field(init=False, repr=False)
    _epoch_began_at: float = field(init=False, default=-math.inf)
    _credit: float = field(init=False, default=0.0)  # How many refusals are borne.

    def __attrs_post_init__(self) -> None:
        self.limit = min(START, self.workers)
        self._controller = Controller(self.limit, self.workers)
        self._open(-math.inf)

    def received(self, size_bytes: int) -> None:
        """Count a part of a large body, so that slow transfers can be judged while they last."""
        self._count(size_bytes / REQUEST_BYTES)

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:
        """Give a place back, and learn from how it went; see `ConcurrencyLimit`."""
        if isinstance(error, ServerError) and error.status in REFUSALS:
            self._refused(acquired_at)
        elif error is None or isinstance(error, TransferError):  # Else it is not the source's.
            self._credit = min(BORNE_AT_ONCE, self._credit + BORNE_SHARE)
            self._tally.answers += 1
            self._tally.failures += error is not None and error.transient
            self._count(1 + size_bytes / REQUEST_BYTES)
        self._give_back()
        if not self._taken:  # A pause; the next window begins with the next request.
            self._open(-math.inf)

    def _refused(self, acquired_at: float) -> None:
        if acquired_at <= self._epoch_began_at:
            return
        if self._credit >= 1:
            self._credit -= 1
        else:
            self._epoch_began_at = self.clock()
            self._set(self._controller.refused(self._taken))

    def _count(self, work: float) -> None:
        if self._taken > self.limit:
            self._open(self.clock())  # The window begins when those above the limit are done.
            return
        tally = self._tally
        tally.work += work
        tally.samples, tally.taken = tally.samples + 1, tally.taken + self._taken
        if tally.work >= tally.due:
            self._look(tally)

    def _look(self, tally: _Tally) -> None:
        now = self.clock()
        seconds = now - max(tally.opened_at, self._busy_since)
        if seconds < self._controller.window[1]:
            tally.due += self.limit  # Whole rounds only: what began together ends together.
            return
        goodput = (tally.work - tally.failures) / seconds
        full = tally.taken >= FULL * tally.samples * self.limit
        failed = max(0, tally.failures - 1) / max(1, tally.answers)  # One is nobody's fault.
        self._set(self._controller.observe(goodput, full=full, failed=failed))
        self._open(now)

    def _open(self, now: float) -> None:
        self._tally = _Tally(now, self._controller.window[0] * self.limit)

    def _set(self, limit: int) -> None:
        if limit != self.limit:
            self.limit = limit
            self._open(self.clock())
            self.on_change(limit, self._controller.reason)
            self._admit()
