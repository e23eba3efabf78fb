"""What a configuration selects and the source does not list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from operator import itemgetter

from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.plan import PlannedSeries
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.planning.selection import SelectedRow
from crypto_lakehouse.planning.spool import Place

__all__ = ["SymbolNames", "UnlistedSeries"]

#: How many stray keys are named.
NAMED_STRAYS = 3

#: A symbol as configured: in one market, or in all markets (None).
_Name = tuple[Market | None, str]


@define
class SymbolNames:
    """Which of the configured symbols the source lists.

    Attributes:
        configured: The symbols of the configuration: for each market, for all, or None.
    """

    configured: Mapping[Market, tuple[str, ...]] | tuple[str, ...] | None
    _seen: set[_Name] = field(init=False, factory=set)

    def see(self, row: MatrixRow, symbol: str) -> None:
        """Record that the source lists a folder symbol, or may do so."""
        self._seen |= self._of(row, symbol)

    def is_seen(self, row: MatrixRow, symbol: str) -> bool:
        """Whether the source lists the configured symbol of a folder in any row."""
        return bool(self._of(row, symbol) & self._seen)

    def unmatched(self, rows: tuple[SelectedRow, ...]) -> list[str]:
        """Name the patterns that match no listed symbol, a sentence each."""
        patterns = {
            pattern
            for item in rows
            for pattern in filter(is_glob, item.symbols)
            if not self.is_seen(item.row, pattern)
        }
        return [f"the source lists no symbol like `{pattern}`" for pattern in sorted(patterns)]

    def named(self, row: MatrixRow, symbol: str) -> set[_Name]:
        """The configured names, globs apart, of a folder symbol."""
        wanted = self.configured
        return {
            (market, name)
            for market, name in self._of(row, symbol)
            if name in ((wanted.get(row.market) if isinstance(wanted, Mapping) else wanted) or ())
        }

    def _of(self, row: MatrixRow, symbol: str) -> set[_Name]:
        """The configured names of a folder symbol.

        A folder that is named after a pair also has the names of the pair's contracts.
        """
        wanted, market = self.configured, None
        if isinstance(wanted, Mapping):
            wanted, market = wanted.get(row.market), row.market
        names = {symbol}
        if row.symbol_form == "pair":
            names |= {name for name in wanted or () if row.folder_symbol(name) == symbol}
        return {(market, name) for name in names}


@define
class UnlistedSeries:
    """Collects the series that are selected and not listed.

    Not every symbol has every data type, so such a series is planned only if the source lists
    nothing at all of its symbol: then the symbol is mistyped or gone, and must be reported.

    Attributes:
        strays: Listed keys that are not archives.
    """

    names: SymbolNames
    strays: list[str] = field(init=False, factory=list)
    _series: list[tuple[Place, PlannedSeries, MatrixRow]] = field(init=False, factory=list)
    _undated: dict[tuple[Market, str], MatrixRow] = field(init=False, factory=dict)

    def add(self, row: MatrixRow, place: Place, planned: PlannedSeries) -> None:
        """Add one series."""
        self._series.append((place, planned, row))

    def add_undated(self, row: MatrixRow, symbol: str) -> None:
        """Add a symbol of a row; no days are configured, so there is nothing to plan."""
        self._undated[row.market, symbol] = row

    def forget(self) -> None:
        """Drop all of them, as the listing says nothing of any symbol."""
        self._series.clear()
        self._undated.clear()

    def nowhere(self) -> Iterator[tuple[Place, PlannedSeries]]:
        """The series whose symbol the source does not list at all, in the plan's order."""
        for place, planned, row in sorted(self._series, key=itemgetter(0)):
            if not self.names.is_seen(row, planned.series.symbol):
                yield place, planned

    def unknown(self) -> list[_Name]:
        """The configured symbols that the source does not list in any selected series."""
        unseen = [(row, planned.series.symbol) for _, planned, row in self._series]
        unseen += [(row, symbol) for (_, symbol), row in self._undated.items()]
        names = {name for row, symbol in unseen if not self.names.is_seen(row, symbol)
                 for name in self.names.named(row, symbol)}  # fmt: skip
        return sorted(names, key=lambda name: (name[0] or "", name[1]))

    def notes(self) -> Iterator[str]:
        """What is left out of the plan, a sentence each."""
        yield from self._elsewhere()
        for (market, symbol), row in sorted(self._undated.items(), key=itemgetter(0)):
            if not self.names.is_seen(row, symbol):
                yield f"the source lists none of the selected series of `{market} {symbol}`"
        if self.strays:
            named = ", ".join(f"`{key}`" for key in sorted(self.strays)[:NAMED_STRAYS])
            more = " ..." if len(self.strays) > NAMED_STRAYS else ""
            count = len(self.strays)
            said = "[is|are] left out, as [it is not an archive|they are not archives]"
            yield agreeing(count, f"{count} listed key[s] {said}") + f": {named}{more}"

    def _elsewhere(self) -> Iterator[str]:
        counts = Counter(
            f"{planned.series.market} {planned.series.data_type}"
            for _, planned, row in sorted(self._series, key=itemgetter(0))
            if self.names.is_seen(row, planned.series.symbol)
        )
        for name, count in counts.items():
            text = agreeing(count, "[is|are] left out, the source lists nothing of [it|them]")
            yield f"{name}: {count} series {text}"
