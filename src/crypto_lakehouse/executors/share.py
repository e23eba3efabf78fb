"""What one process of a run may ask of the source."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Share"]


@frozen(kw_only=True)
class Share:
    """What one process of a run may ask of the source.

    Attributes:
        parallel: Requests under way at once, at most.
        is_adaptive: Whether fewer are used where fewer do.
        bytes_per_second, requests_per_second: Caps, None where there is none.
    """

    parallel: int
    is_adaptive: bool
    bytes_per_second: float | None
    requests_per_second: float | None
