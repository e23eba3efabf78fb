"""A concurrency limit that adapts the number of parallel requests to the measured throughput.

It works like the congestion control of TCP, with requests instead of packets:

* Slow start (RFC 5681), with the gain and the full-pipe test of BBR (Cardwell et al., ACM Queue
  2016): the limit triples while goodput grows by a quarter, and otherwise returns to the
  last limit at which it did.
* Hill climbing on goodput (Hellerstein, Morrison, Eilebrecht: Optimizing Concurrency Levels in
  the .NET ThreadPool, 2008), by experiments like those of PCC (Dong et al., NSDI 2015): from
  time to time another limit is tried, and kept if goodput improves.
* After a refusal: a multiplicative decrease and a remembered ceiling (CUBIC, RFC 9438), and
  recovery by the binary search of BIC (Xu, Harfoush, Rhee, INFOCOM 2004).
* Windows with free slots are ignored, because they do not show the capacity of the source
  (RFC 7661).

TCP Vegas and Netflix's gradient limits compare durations, which depend on the size of the
object. By Little's law the mean duration in a full window is the limit over the throughput, so
goodput alone shows when latency rises without a gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from attrs import define, field

from crypto_lakehouse.core.errors import ServerError, TransferError
from crypto_lakehouse.http.concurrency_limit import REFUSALS, ResizableSemaphore

__all__ = ["AdaptiveLimit", "Controller"]


#: The first limit of `AdaptiveLimit` and its maximum, in parallel requests.
START, MOST = 16, 256
#: A request counts as this many bytes of body: what one connection transfers in the time to the
#: first byte (30 ms at 4 MB/s). The work of a slot per second is then nearly independent of the
#: size of the objects.
REQUEST_BYTES = 128 * 1024


#: The minimum duration of a window, in rounds (one unit of work for each slot) and in seconds. The
#: quick window is for slow start and recovery, the long one for experiments.
QUICK_WINDOW, LONG_WINDOW = (1, 0.02), (4, 0.25)
#: A window is full if at least this share of the slots was taken on average.
FULL = 0.9

#: Slow start: the factor, and the growth of goodput needed for the next step. (BBR: 2.89, 1.25.)
START_GAIN, START_GROWTH = 3, 1.25
#: A refusal reduces the limit to this share; recovery ends at this share of it. (CUBIC: 0.7.)
RETREAT, RETURN = 0.7, 0.95
#: Refusals up to this share are tolerated, with this many in a row at most, because some occur at
#: any limit.
BORNE_SHARE, BORNE_AT_ONCE = 0.0125, 3.0
#: If a larger share of the requests of a window fails, the limit is reduced to this share.
FAILED_BORNE, FAILED_RETREAT = 0.05, 0.85

#: Experiments: the first step up, and the step down, as shares of the limit.
STEP_UP, STEP_DOWN = 0.25, 0.2
#: The gain in goodput that a step up needs, and the loss allowed for a step down, relative to the
#: step.
GAIN_NEEDED, LOSS_BORNE = 0.15, 0.05
#: Windows between two experiments; doubled after each failed experiment.
REST_LEAST, REST_MOST = 4, 16


@define
class Controller:
    """The arithmetic of `AdaptiveLimit`: deterministic, without a clock or tasks.

    Attributes:
        limit, most: The current and the largest number of slots; at least 1.
        ceiling: The lowest limit that the source has refused; infinite if there is none.
        reason: Why the limit was last changed, for display.
    """

    limit: int = START
    most: int = MOST
    ceiling: float = math.inf
    reason: str = "start"
    _phase: Literal["starting", "returning", "resting", "trying"] = "starting"
    _goodput: float = 0.0  # The baseline for an experiment or the next step of slow start.
    _proven: int = 1  # The limit at which `_goodput` was measured.
    _doubtful: bool = False  # The last window of slow start gained too little; one more follows.
    _settling: bool = False  # The limit has just changed: the next window mixes both limits.
    _target: int = 1  # The limit at which the recovery from a refusal ends.
    _upwards: bool = True  # The next experiment's direction.
    _streak: int = 0  # Successful steps up in a row; each doubles the next.
    _rested: int = 0
    _rest: int = REST_LEAST

    @property
    def window(self) -> tuple[int, float]:
        """The minimum duration of the next window, in rounds and in seconds."""
        quick = self._settling or self._phase in {"starting", "returning"}
        return QUICK_WINDOW if quick else LONG_WINDOW

    def observe(self, goodput: float, *, full: bool = True, failed: float = 0.0) -> int:
        """Process a window without refusals; return the new limit.

        Args:
            goodput: Work done per second, a request and `REQUEST_BYTES` of body being 1 each.
            full: Whether nearly all slots were taken.
            failed: The share of requests without a complete response.
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
            self._set((self.limit + self._target + 1) // 2, "recovering from a refusal")
        else:
            self._phase = "resting"
            self._rested += 1
            if self._rested >= self._rest:
                self._try_from(goodput)
        return self.limit

    def bound(self, most: int) -> int:
        """Change the largest number of slots; return the new limit."""
        self.most = most
        if self.limit > most:
            self._rest_at(most, "fewer requests are allowed")
        return self.limit

    def refused(self, level: int) -> int:
        """Process the refusal that starts a congestion epoch; return the new limit.

        Args:
            level: The number of requests in flight.
        """
        if self._phase == "trying":
            self._fruitless()
        level = min(level, self.limit)
        self.ceiling = max(2, level)  # Above the smallest limit, so that it can be tried again.
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
            self._doubtful = True  # New connections need time to reach full speed.
        else:
            self._rest_at(self._proven, "slow start ends: more requests gain nothing")

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
        """Return the next level up: in steps below the ceiling, by a single slot beyond it."""
        level = self.limit + max(1, int(self.limit * min(1.0, STEP_UP * 2**self._streak)))
        if level >= self.ceiling:
            level = max(self.limit + 1, int(self.ceiling) - 1)
        return level if self.limit >= self.most else min(level, self.most)

    def _judge(self, goodput: float) -> None:
        step = self.limit / self._proven - 1
        needed = self._goodput * (1 + (GAIN_NEEDED if step > 0 else LOSS_BORNE) * step)
        if self.limit >= self.ceiling:
            self.ceiling = math.inf  # Tolerated; the gain of one slot is too small to measure.
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
    """The current window; it ends after `due` units of work."""

    opened_at: float
    due: float
    work: float = 0.0
    answers: int = 0
    failures: int = 0
    samples: int = 0
    taken: int = 0


@define
class AdaptiveLimit(ResizableSemaphore):
    """A limit that follows the measured goodput; see the module's docstring.

    Args:
        clock: Monotonic time in seconds.
        workers: The upper bound of the limit.
        on_change: Called with each new limit and its reason.
    """

    limit: int = field(init=False, default=START)
    workers: int = MOST
    on_change: Callable[[int, str], None] = field(default=lambda _limit, _reason: None, repr=False)
    _controller: Controller = field(init=False)
    _tally: _Tally = field(init=False, repr=False)
    _epoch_began_at: float = field(init=False, default=-math.inf)
    _credit: float = field(init=False, default=0.0)  # How many refusals are tolerated now.

    def __attrs_post_init__(self) -> None:
        self.limit = min(START, self.workers)
        self._controller = Controller(self.limit, self.workers)
        self._open(-math.inf)

    def resize(self, workers: int) -> None:
        """Change the upper bound of the limit; see `ConcurrencyLimit`."""
        self.workers = workers
        self._set(self._controller.bound(workers))

    def received(self, size_bytes: int) -> None:
        """Count a part of a large body, so that slow transfers are measured while they run."""
        self._count(size_bytes / REQUEST_BYTES)

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:
        """Return a slot and record the result of the request; see `ConcurrencyLimit`."""
        if isinstance(error, ServerError) and error.status in REFUSALS:
            self._refused(acquired_at)
        elif error is None or isinstance(error, TransferError):  # others are not the source's
            self._credit = min(BORNE_AT_ONCE, self._credit + BORNE_SHARE)
            self._tally.answers += 1
            self._tally.failures += error is not None and error.transient
            self._count(1 + size_bytes / REQUEST_BYTES)
        self._give_back()
        if not self._taken:  # Idle: the next window starts with the next request.
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
            self._open(
                self.clock()
            )  # The window starts when the requests above the limit are done.
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
            tally.due += self.limit  # Whole rounds only: requests that start together end together.
            return
        goodput = (tally.work - tally.failures) / seconds
        full = tally.taken >= FULL * tally.samples * self.limit
        failed = max(0, tally.failures - 1) / max(1, tally.answers)  # A single failure is ignored.
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
