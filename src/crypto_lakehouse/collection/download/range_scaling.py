"""Whether further connections pay for one large body: arithmetic without a clock and without tasks.

A source that caps each connection gives two of them twice as much; a line that is full gives two
of them what it gave one. So goodput alone tells the one from the other.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from attrs import define, frozen

__all__ = ["ByteCounts", "Prospects", "RangeRules", "RangeScaler"]

#: So much of what a body gains the whole run has to gain; the rest may be other archives' loss.
_RUN_SHARE = 0.5

#: What a refusal leaves of the connections, as in `http.adaptive_limit`.
_RETREAT = 0.7

#: Each fruitless probe makes the rest before the next one so many times longer.
_LONGER_REST = 4


@frozen(kw_only=True)
class RangeRules:
    """When a body is taken over several connections, and over how many.

    Attributes:
        least_bytes, least_rest_bytes: A smaller body, or rest of one, is left alone.
        least_rest_s: A body that would arrive sooner, in seconds, is left alone, too.
        range_bytes: What one request asks for.
        settle_s: What connections need to come up to speed, in seconds; it is not measured.
        watch_s, trial_s: Seconds of measurement of one connection, and of each further number.
        gain: Two connections must bring so many times what one did.
        growth: Each further step must bring so many times what the last one did.
        levels: The numbers of connections that are tried, in ascending order; the first is 2.
        rest_s: Seconds from a fruitless probe to the next one; four times more after each.
    """

    least_bytes: int = 32 << 20
    least_rest_bytes: int = 16 << 20
    least_rest_s: float = 3.0
    range_bytes: int = 4 << 20
    settle_s: float = 0.5
    watch_s: float = 1.5
    trial_s: float = 1.0
    gain: float = 1.5
    growth: float = 1.2
    levels: tuple[int, ...] = (2, 3, 4, 6, 8)
    rest_s: float = 60.0


class ByteCounts(NamedTuple):
    """What had come at a moment.

    Attributes:
        at: In seconds.
        own: Bytes of this body.
        run: Bytes of the whole run.
    """

    at: float
    own: int
    run: int


@define
class RangeScaler:
    """Decides over how many connections a body is fetched.

    Attributes:
        level: How many connections there should be, the first one included.
        phase: `watching` one connection, `probing` with a second one, `steady` at a level that
            has paid, or `trying` a higher one.
        rate: Bytes per second of the body at the last level that has paid.
    """

    rules: RangeRules
    level: int = 1
    phase: Literal["watching", "probing", "steady", "trying"] = "watching"
    rate: float = 0.0
    _run_rate: float = 0.0
    _paid_level: int = 1
    _may_grow: bool = True
    _is_doubtful: bool = False  # A level's first measurement was too little; it gets another.
    _since: float | None = None
    _window_start: ByteCounts | None = None

    @property
    def next_level(self) -> int | None:
        """The level to try next; None while nothing is to be tried."""
        if self.phase != "steady" or not self._may_grow:
            return None
        return next((level for level in self.rules.levels if level > self.level), None)

    def observe(self, counts: ByteCounts, connections: int) -> bool:
        """Take in what has come; return whether a measurement has ended with it.

        Args:
            counts: What has come by now.
            connections: How many bring something; while that is less than the level, nothing can
                be said of the level.
        """
        if connections < self.level or self.phase == "steady":
            self._restart()
            return False
        if self._since is None:
            self._since = counts.at
        if counts.at - self._since < self.rules.settle_s:
            return False
        if self._window_start is None:
            self._window_start = counts
        if counts.at - self._window_start.at < self._window_s:
            return False
        self._judge(counts, self._window_start)
        return True

    def conclude(self, counts: ByteCounts) -> None:
        """End a probe now: what was measured must do."""
        start = self._window_start
        if start is None or counts.at - start.at < self._window_s / 2:
            self.give_up()
        else:
            self._judge(counts, start)

    def probe(self) -> None:
        """Begin to compare two connections with the one that was watched."""
        self._go_to("probing", self.rules.levels[0])

    def grow(self, level: int) -> None:
        """Begin to compare a level with the one that has paid."""
        self._paid_level = self.level
        self._go_to("trying", level)

    def give_up(self) -> None:
        """Go back to one connection."""
        self._go_to("watching", 1)

    def refused(self) -> None:
        """The source says that it is too much; there will be no further trial."""
        self._may_grow = False
        self._go_to("steady", max(1, int(self.level * _RETREAT)))

    @property
    def _window_s(self) -> float:
        return self.rules.watch_s if self.phase == "watching" else self.rules.trial_s

    def _judge(self, counts: ByteCounts, start: ByteCounts) -> None:
        seconds = counts.at - start.at
        rate, run_rate = (
            (counts.own - start.own) / seconds,
            (counts.run - start.run) / seconds,
        )
        if self.phase == "watching":
            self._window_start = counts
        else:
            needed = self.rate * (self.rules.gain if self.phase == "probing" else self.rules.growth)
            run_gain = run_rate - self._run_rate
            if rate < needed or run_gain < (rate - self.rate) * _RUN_SHARE:
                self._doubt(counts)
                return
            self._go_to("steady", self.level)
        self.rate, self._run_rate = rate, run_rate

    def _doubt(self, counts: ByteCounts) -> None:
        if self.phase == "probing":
            self.give_up()
        elif not self._is_doubtful:
            self._is_doubtful, self._window_start = True, counts
        else:
            self._may_grow = False
            self._go_to("steady", self._paid_level)

    def _go_to(self, phase: Literal["watching", "probing", "steady", "trying"], level: int) -> None:
        self.phase, self.level, self._is_doubtful = phase, level, False
        self._restart()

    def _restart(self) -> None:
        self._since = self._window_start = None


@define
class Prospects:
    """What a run has learnt about further connections to one source.

    Args:
        rest_s: As in `RangeRules`.

    Attributes:
        is_probing: Whether a probe is under way; two at a time would measure each other.
    """

    rest_s: float
    is_probing: bool = False
    _fruitless: int = 0
    _not_before: float = -math.inf

    @property
    def are_none(self) -> bool:
        """Whether no probe will ever be worth it."""
        return self._not_before == math.inf

    def may_probe(self, now: float) -> bool:
        """Whether a probe may begin now."""
        return not self.is_probing and now >= self._not_before

    def fruitless(self, now: float) -> None:
        """Let a while pass before the next probe, and a longer one each time."""
        rest_s = self.rest_s * _LONGER_REST**self._fruitless
        self._not_before = max(self._not_before, now + rest_s)
        self._fruitless += 1

    def paid(self) -> None:
        """Forget what came to nothing before."""
        self._fruitless = 0

    def no_ranges(self) -> None:
        """The source does not keep to ranges: never ask for one again."""
        self._not_before = math.inf
