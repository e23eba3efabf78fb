"""How far an operation has come, for displays."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

__all__ = ["OnProgress", "StepProgress"]


@frozen
class StepProgress:
    """How far one step of an operation has come.

    Attributes:
        step: What is being done, as `reading spot.klines`.
        done: How many units are done.
        total: How many there are; None if that is not known yet.
        unit: What is counted, in the singular.
        size_bytes: The bytes of what is done; None if they are not counted.
    """

    step: str
    done: int
    total: int | None = None
    unit: str = "archive"
    size_bytes: int | None = None


#: Called whenever there is progress, possibly in a worker thread.
OnProgress = Callable[[StepProgress], None]
