"""The time of a server, from the moments that it names and a clock that only goes forward.

A client's own clock may be wrong by minutes, and windows of limits follow the server's. A moment
that a response names lies between sending the request and receiving the response: each one bounds
the difference of the two clocks, and the bounds of many are narrower than those of one.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

__all__ = ["ServerClock"]

#: How far the two clocks may diverge in a second.
_DRIFT = 2e-4

#: Waits are not shorter: they would be lost in rounding.
_SHORTEST_S = 0.001

#: So many moments in turn that contradict what is known are believed: the server's clock was set.
_CONTRADICTIONS = 3


@define
class ServerClock:
    """Estimates a server's time in seconds since the epoch.

    Args:
        local: A clock that only goes forward, in seconds from any beginning.
    """

    local: Callable[[], float]
    _low: float = field(init=False, default=0.0)
    _high: float = field(init=False, default=0.0)
    _at: float | None = field(init=False, default=None)
    _contradictions: int = field(init=False, default=0)

    @property
    def is_known(self) -> bool:
        """Whether the server has named a moment yet."""
        return self._at is not None

    def now(self) -> float:
        """The server's time: it is at least this late there. Before the first moment, 0."""
        if self._at is None:
            return 0.0
        here = self.local()
        return here + self._low - _DRIFT * (here - self._at)

    def wait_s(self, moment_s: float) -> float:
        """How long to wait, by `local`, until the server is at least at a moment; 0 if it is."""
        left_s = moment_s - self.now()
        return max(left_s / (1 - _DRIFT), _SHORTEST_S) if left_s > 0 else 0.0

    def saw(self, moment_s: float, resolution_s: float, sent: float, received: float) -> None:
        """Take a moment that the server has named.

        Args:
            moment_s: The moment, rounded down.
            resolution_s: To what: 1 for a Date header, 0.001 for milliseconds.
            sent: When the request was sent, by `local`.
            received: When the response was received, by `local`.
        """
        low, high = moment_s - received, moment_s + resolution_s - sent
        if self._at is not None:
            drift = _DRIFT * (received - self._at)
            joint = max(low, self._low - drift), min(high, self._high + drift)
            if joint[0] > joint[1]:
                self._contradictions += 1
                if self._contradictions < _CONTRADICTIONS:
                    return  # one wrong Date, as of a cache, changes nothing
                joint = low, high
            low, high = joint
        self._contradictions = 0
        self._low, self._high, self._at = low, high, received
