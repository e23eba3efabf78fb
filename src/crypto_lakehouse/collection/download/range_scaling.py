"""Whether further connections make one large body faster: arithmetic without clock and tasks.

If the source caps each connection, two of them bring twice as much; if the line is full, two bring
as much as one. So goodput alone distinguishes the two cases.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from attrs import define, frozen

from crypto_lakehouse.collection.download.stream_to_part import BUFFER_BYTES

__all__ = ["ByteCounts", "Prospects", "RangeRules", "RangeScaler"]

#: The share of a body's gain that the whole run must gain; other archives may lose the rest.
_RUN_SHARE = 0.5

#: The share of the connections that is left after a refusal, as in `http.adaptive_limit`.
_RETREAT = 0.7

#: By this factor each failed probe lengthens the pause before the next one.
_LONGER_REST = 4


@frozen(kw_only=True)
class RangeRules:
    """When a body is fetched over several connections, and over how many.

    Attributes:
        least_bytes, least_rest_bytes: A smaller body, or rest of one, is not probed.
        least_rest_s: A body that would arrive sooner, in seconds, is not probed either.
        range_bytes: The size of one request.
        settle_s: How many seconds connections take to reach full speed, without measurement.
        watch_s, trial_s: Seconds of measurement of one connection, and of each further number.
        gain: Two connections must bring so many times what one did.
        growth: Each further step must bring so many times what the last one did.
        levels: The numbers of connections that are tried, in ascending order; the first is 2.
        rest_s: Seconds from a failed probe to the next one; four times more after each.
        buffer_bytes: How much of a body goes to the disk at once.
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
    buffer_bytes: int = BUFFER_BYTES


class ByteCounts(NamedTuple):
    """The bytes received up to a moment.

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
        run_rate: Bytes per second of the whole run at that level.
    """

    rules: RangeRules
    level: int = 1
    phase: Literal["watching", "probing", "steady", "trying"] = "watching"
    rate: float = 0.0
    run_rate: float = 0.0
    _paid_level: int = 1
    _may_grow: bool = True
    _is_doubtful: bool = False  # The first measurement of a level was too low; it gets another.
    _since: float | None = None
    _window_start: ByteCounts | None = None

    @property
    def next_level(self) -> int | None:
        """The level to try next; None while nothing is to be tried."""
        if self.phase != "steady" or not self._may_grow:
            return None
        return next((level for level in self.rules.levels if level > self.level), None)

    def observe(self, counts: ByteCounts, connections: int) -> bool:
        """Take new counts; return whether they complete a measurement.

        Args:
            counts: The bytes received by now.
            connections: How many connections receive bytes; while these are fewer than the level,
                the level is not measured.
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
        """End a probe now, with the measurement so far."""
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
        """Reduce the connections after a refusal; no further level is tried."""
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
            run_gain = run_rate - self.run_rate
            if rate < needed or run_gain < (rate - self.rate) * _RUN_SHARE:
                self._doubt(counts)
                return
            self._go_to("steady", self.level)
        self.rate, self.run_rate = rate, run_rate

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
    """What a run has learned about further connections to one source.

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
        """Whether no probe is ever tried again."""
        return self._not_before == math.inf

    def may_probe(self, now: float) -> bool:
        """Whether a probe may begin at this time, in seconds by a monotonic clock."""
        return not self.is_probing and now >= self._not_before

    def fruitless(self, now: float) -> None:
        """Pause before the next probe, each time longer."""
        rest_s = self.rest_s * _LONGER_REST**self._fruitless
        self._not_before = max(self._not_before, now + rest_s)
        self._fruitless += 1

    def paid(self) -> None:
        """Reset the pause: a probe has paid."""
        self._fruitless = 0

    def no_ranges(self) -> None:
        """Never request a range again: the source does not support them."""
        self._not_before = math.inf
