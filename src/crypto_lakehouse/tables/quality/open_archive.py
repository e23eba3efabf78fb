"""What is known of an archive while its batches are checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import define, evolve, field

from crypto_lakehouse.tables.quality.archive_checks import Found
from crypto_lakehouse.tables.quality.tallies import Tally

__all__ = ["OpenArchive"]


@define
class OpenArchive:
    """The state of an archive whose batches are not complete."""

    rows: int = 0
    edges: dict[str, Any] = field(factory=dict)
    found: dict[str, Found] = field(factory=dict)
    tally: Tally = field(factory=dict)

    def extend(self, edges: Mapping[str, Any]) -> None:
        """Take the first and last times and ids of a further part into account."""
        for name, value in edges.items():
            choose = _least if name.startswith("first") else _greatest
            self.edges[name] = choose(self.edges.get(name), value)

    def add(self, found: Found) -> None:
        """Add a finding, or add its rows to an earlier finding, whose example is kept."""
        before = self.found.get(found.check)
        if before is not None:
            hole = _around(before.hole, found.hole)
            found = evolve(before, rows=before.rows + found.rows, hole=hole)
        self.found[found.check] = found


def _around(*holes: tuple[datetime, datetime] | None) -> tuple[datetime, datetime] | None:
    """From the first of some holes to the last: only what explains all of it explains them."""
    given = [hole for hole in holes if hole is not None]
    if len(given) < len(holes):
        return None
    return min(start for start, _ in given), max(end for _, end in given)


def _least(*values: Any) -> Any:
    return min((value for value in values if value is not None), default=None)


def _greatest(*values: Any) -> Any:
    return max((value for value in values if value is not None), default=None)
