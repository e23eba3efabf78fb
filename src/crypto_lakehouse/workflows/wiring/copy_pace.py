"""How often a run copies its ledger: as often as costs a twentieth of its time and of its bytes."""

from __future__ import annotations

from attrs import define, field

__all__ = ["CopyPace"]

#: A run takes this many times as long, and moves as many bytes, as its copies.
_TIMES = 20

#: The first copy, and each further one, comes no earlier than so many seconds after the last.
_LEAST_S = 30.0

#: What a first copy is expected to take: seconds, and bytes of a ledger in a second.
_START_S, _BYTES_PER_S = 0.5, 10e6


@define
class CopyPace:
    """Decides when a copy is due, from what the copies of the run have cost.

    Args:
        size_bytes: The size of the ledger when the run begins.

    Attributes:
        spent_s: What all copies have taken.
        spent_bytes: What all copies have sent.
    """

    size_bytes: int
    spent_s: float = field(init=False, default=0.0)
    spent_bytes: int = field(init=False, default=0)
    _next_s: float = field(init=False)
    _next_bytes: int = field(init=False)
    _last_at_s: float = field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self._next_s = _START_S + self.size_bytes / _BYTES_PER_S
        self._next_bytes = self.size_bytes

    def is_due(self, elapsed_s: float, moved_bytes: int) -> bool:
        """Whether a copy that costs as much as the last one keeps to the share.

        Args:
            elapsed_s: The time since the run began.
            moved_bytes: The bytes that it has received.
        """
        return (
            elapsed_s - self._last_at_s >= _LEAST_S
            and (self.spent_s + self._next_s) * _TIMES <= elapsed_s
            and (self.spent_bytes + self._next_bytes) * _TIMES <= moved_bytes
        )

    def add(self, elapsed_s: float, cost_s: float, cost_bytes: int) -> None:
        """Record a copy.

        Args:
            elapsed_s: The time since the run began.
            cost_s: What the copy took.
            cost_bytes: What it sent; 0 if it failed.
        """
        self.spent_s += cost_s
        self.spent_bytes += cost_bytes
        self._next_s, self._next_bytes = cost_s, max(cost_bytes, self._next_bytes // 2)
        self._last_at_s = elapsed_s
