"""What is wrong with a selection that fits nothing, or names symbols that do not exist.

Only a listing shows which symbols exist, so these faults are found while a plan is made from one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from attrs import define, field

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ListingError, Problem
from crypto_lakehouse.core.messages import did_you_mean, shown
from crypto_lakehouse.core.protocols import Listing
from crypto_lakehouse.core.symbols import SymbolFilter, traits_of
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.planning.emptied import no_symbols
from crypto_lakehouse.planning.listed_folders import symbol_names, type_folder

__all__ = [
    "SymbolCounts",
    "empty_selection",
    "filter_problems",
    "reference_rows",
    "unknown_symbols",
]

#: The criteria of a `SymbolFilter`, which are keys of the configuration, too.
_CRITERIA = ("quote_assets", "contracts", "leveraged_tokens", "stable_pairs")


def reference_rows(rows: Iterable[MatrixRow], matrix: Matrix) -> list[MatrixRow]:
    """The rows that show which symbols a market has: those selected, and its klines."""
    chosen = list(rows)
    markets = dict.fromkeys(row.market for row in chosen)
    klines = (matrix.row(market, DataType.KLINES) for market in markets)
    return list({row.name: row for row in (*chosen, *filter(None, klines))}.values())


async def unknown_symbols(
    names: Iterable[tuple[Market | None, str]], rows: list[MatrixRow], listing: Listing
) -> list[Problem]:
    """List the symbols of markets, and find configured ones that no market has.

    Args:
        names: Configured symbols, each of one market or of all (None).
        rows: The rows that show which symbols the markets have.
        listing: The source's listing.

    Returns:
        A fault for each; none if a folder cannot be listed, as it may have the symbol.

    Raises:
        ListingError: The source lists no symbols at all.
    """
    try:
        listed = {row.name: await _symbols_of(row, listing) for row in rows}
    except ListingError:
        return []
    if not any(listed.values()):
        raise no_symbols()
    problems = []
    for market, symbol in names:
        here = [row for row in rows if market in (None, row.market)]
        existing = {name for row in here for name in listed[row.name]}
        if existing and not any(row.folder_symbol(symbol) in listed[row.name] for row in here):
            markets = " or ".join(dict.fromkeys(row.market for row in here))
            hint = did_you_mean(symbol, sorted(existing))
            path = f"$.symbols.{market}" if market else "$.symbols"
            problems.append(Problem(path, f"no such symbol in {markets}: `{shown(symbol)}`{hint}"))
    return problems


async def _symbols_of(row: MatrixRow, listing: Listing) -> set[str]:
    """The folders of a row's symbols, in all its partitions."""
    prefixes = [type_folder(row, partition) for partition in row.partitions]
    return {name for prefix in prefixes for name in await symbol_names(listing, prefix)}


@define
class SymbolCounts:
    """The symbols that a plan has considered, before and after its filter.

    Attributes:
        accepts: The filter.
        names: The symbols that the source lists, as far as folders of symbols were listed.
        rejected: Those that the filter rejects; forgotten as soon as it accepts one.
        accepted: Whether the filter has accepted any.
    """

    accepts: Callable[[str, Market], bool]
    names: set[str] = field(init=False, factory=set)
    rejected: set[tuple[str, Market]] = field(init=False, factory=set)
    accepted: bool = field(init=False, default=False)

    def filtered(self, symbols: Iterable[str], market: Market) -> list[str]:
        """Return the symbols that the filter accepts, in their order."""
        kept = []
        for symbol in symbols:
            if self.accepts(symbol, market):
                kept.append(symbol)
            elif not self.accepted:
                self.rejected.add((symbol, market))
        if kept:
            self.accepted = True
            self.rejected.clear()
        return kept


def filter_problems(
    wanted: SymbolFilter, symbols: Collection[tuple[str, Market]]
) -> Iterator[Problem]:
    """Say which criterion rejects all symbols, or that they do so only together."""
    given = {name: getattr(wanted, name) for name in _CRITERIA}
    given = {name: value for name, value in given.items() if value != getattr(SymbolFilter(), name)}
    markets = " or ".join(sorted({market for _, market in symbols}))
    found = False
    for name, value in given.items():
        alone = SymbolFilter(**{name: value})
        if any(alone.accepts(*each) for each in symbols):
            continue
        found = True
        words = (value,) if isinstance(value, str) else value
        hint = _quote_hint(words, symbols) if name == "quote_assets" else ""
        text = ", ".join(f"`{shown(word)}`" for word in words)
        yield Problem(f"$.{name}", f"no selected symbol of {markets} fits {text}{hint}")
    if not found:
        names = ", ".join(f"`{name}`" for name in given)
        yield Problem("$.symbols", f"no selected symbol of {markets} fits all of {names}")


def _quote_hint(words: Iterable[str], symbols: Iterable[tuple[str, Market]]) -> str:
    quotes = sorted({traits_of(*each).quote for each in symbols} - {""})
    return next(filter(None, (did_you_mean(word, quotes) for word in words)), "")


def empty_selection(config: WorkflowConfig, counts: SymbolCounts) -> list[Problem]:
    """Say why no symbol is left of a selection; empty if the source lists no symbol at all."""
    if counts.rejected and not counts.accepted:
        return list(filter_problems(config.symbol_filter, counts.rejected))
    if counts.accepted or not counts.names:
        return []
    patterns = dict.fromkeys(filter(is_glob, config.all_symbols))
    return [
        Problem("$.symbols", f"the source lists no symbol like `{shown(pattern)}`{hint}")
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in counts.names)
        for hint in [did_you_mean(pattern.strip("*?"), sorted(counts.names))]
    ]
