"""The requests whose responses a fill has, as they are recorded beside its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, field

from crypto_lakehouse.segments.fill_segment import FillResponse

__all__ = ["FillRequests"]

#: A day of the busiest symbols takes more than a thousand: its segment has all of them.
_MOST = 10


@define
class FillRequests:
    """The requests of one fill.

    Attributes:
        count: How many there are.
        first: The first ten, each with address, parameters, time and digest of the body.
    """

    count: int = 0
    first: list[dict[str, Any]] = field(factory=list)

    def passed(self, responses: Iterable[FillResponse]) -> Iterator[FillResponse]:
        """Note responses as they pass."""
        for each in responses:
            self.count += 1
            if len(self.first) < _MOST:
                at = each.received_at.isoformat()
                known = {
                    "url": each.url,
                    "params": {**each.params},
                    "at": at,
                    "sha256": each.sha256,
                }
                self.first.append(known)
            yield each
