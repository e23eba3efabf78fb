"""Sentences about selected symbols of which nothing is published in the selected days."""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.plan import PlannedSeries

__all__ = ["UndueSymbols"]

#: How many symbols get a sentence of their own, and how many reasons one sentence has.
NAMED_SYMBOLS = 20
NAMED_REASONS = 3


@define
class UndueSymbols:
    """Collects the symbols of a plan that have no archive to be requested.

    Attributes:
        named: The symbols that are configured by name; a pattern may fit symbols of other times.
    """

    named: Collection[str] = ()
    _reasons: dict[tuple[Market, str], str] = field(init=False, factory=dict)
    _due: set[tuple[Market, str]] = field(init=False, factory=set)

    def add(self, planned: PlannedSeries, due: int) -> None:
        """Add one series, of which `due` archives may exist."""
        name = planned.series.market, planned.series.symbol
        if due:
            self._due.add(name)
        else:
            self._reasons.setdefault(name, planned.periods[-1].not_published)

    def notes(self) -> tuple[str, ...]:
        """What a reader should know: one sentence for the whole plan, or for each symbol."""
        undue = {name: why for name, why in self._reasons.items() if name not in self._due}
        if undue and not self._due:
            reasons = list(dict.fromkeys(undue.values()))
            more = "; ..." if len(reasons) > NAMED_REASONS else ""
            text = "; ".join(reasons[:NAMED_REASONS])
            return (f"nothing that is selected is published in these days: {text}{more}",)
        told = sorted(name for name in undue if name[1] in self.named)
        notes = [
            f"nothing of `{' '.join(name)}` is published in these days: {undue[name]}"
            for name in told[:NAMED_SYMBOLS]
        ]
        if len(told) > NAMED_SYMBOLS:
            count = len(told) - NAMED_SYMBOLS
            notes.append(f"nothing of {plural(count, 'further symbol')} is published in these days")
        return tuple(notes)
