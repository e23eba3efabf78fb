"""What requests have used of the limits of a host."""

from __future__ import annotations

from attrs import define

__all__ = ["Usage"]


@define
class Usage:
    """Counts requests and their weight, also of those that failed, were refused or repeated.

    Attributes:
        requests: Requests sent.
        weight: What they used of the budget.
    """

    requests: int = 0
    weight: int = 0

    def add(self, weight: int) -> None:
        """Count a request."""
        self.requests += 1
        self.weight += weight
