"""How many requests one process of a run may send to the source, and how fast."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Share"]


@frozen(kw_only=True)
class Share:
    """How many requests one process of a run may send to the source, and how fast.

    Attributes:
        parallel: The largest number of requests at the same time.
        is_adaptive: Whether fewer are used if more bring nothing.
        bytes_per_second, requests_per_second: Rate limits; None if there is none.
    """

    parallel: int
    is_adaptive: bool
    bytes_per_second: float | None
    requests_per_second: float | None
