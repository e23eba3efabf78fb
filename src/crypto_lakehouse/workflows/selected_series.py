"""What is wrong with a selection of collected series that names what is not there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Series
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.errors import Problem, SelectionError
from crypto_lakehouse.core.messages import did_you_mean, existing_values, shown
from crypto_lakehouse.stores.state import existing_root
from crypto_lakehouse.workflows.stored_archives import stored_series

__all__ = ["SeriesSelection", "check_stored", "is_selective", "selection_problems"]

_KEYS = ("markets", "symbols", "data_types", "intervals")


class SeriesSelection(Protocol):
    """A selection by the keys of a configuration; None selects everything."""

    @property
    def markets(self) -> tuple[str, ...] | None:
        """Markets."""
        ...

    @property
    def data_types(self) -> tuple[str, ...] | None:
        """Data types."""
        ...

    @property
    def symbols(self) -> tuple[str, ...] | Mapping[Market, tuple[str, ...]] | None:
        """Symbols and globs, of all markets or of each."""
        ...

    @property
    def intervals(self) -> tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None:
        """Intervals, of all data types or of each."""
        ...


def is_selective(selection: SeriesSelection) -> bool:
    """Whether a selection names anything; an empty list names nothing, and is meant."""
    given = [getattr(selection, key) for key in _KEYS]
    return any(given) and () not in given


def check_stored(selection: SeriesSelection, root: Path, selects: Callable[[Series], bool]) -> None:
    """Check that a selection of the archives of a tree fits them; blocking.

    Raises:
        SelectionError: The tree has archives, but none of a symbol, or none that is selected.
        ConfigurationError: `root` is not a directory, or cannot be read.
    """
    if is_selective(selection):
        place = f"`{existing_root(root)}`"
        problems = selection_problems(selection, stored_series(root), place, selects)
        if problems:
            raise SelectionError(problems)


def selection_problems(
    selection: SeriesSelection,
    there: Collection[Series],
    place: str,
    selects: Callable[[Series], bool],
    folder_symbol: Callable[[Series, str], str | None] = lambda _, symbol: symbol,
) -> list[Problem]:
    """Find the symbols that no series has, or else why no series is selected.

    Markets, data types and intervals may be absent as long as anything is selected.

    Args:
        selection: What is selected.
        there: The series that exist; without any there is no problem.
        place: Where they are, for the messages.
        selects: Whether a series is selected.
        folder_symbol: The name by which a series would have a symbol.
    """
    if not there or not is_selective(selection):
        return []
    problems = list(_absent_symbols(selection, there, place, folder_symbol))
    if problems or any(map(selects, there)):
        return problems
    return list(_absent_values(selection, there, place)) or [_nothing_common(selection, place)]


def _absent_symbols(
    selection: SeriesSelection,
    there: Collection[Series],
    place: str,
    folder_symbol: Callable[[Series, str], str | None],
) -> Iterator[Problem]:
    wanted = selection.symbols
    groups: list[tuple[Market | None, tuple[str, ...]]]
    groups = [*wanted.items()] if isinstance(wanted, Mapping) else [(None, wanted or ())]
    for market, symbols in groups:
        series = [each for each in there if market in (None, each.market)]
        names = {each.symbol for each in series}
        for symbol in symbols:
            if is_glob(symbol):
                is_there = any(fnmatchcase(name, symbol) for name in names)
            else:
                is_there = symbol in names or any(
                    folder_symbol(each, symbol) == each.symbol for each in series
                )
            if not is_there:
                of = f" in {market}" if market else ""
                hint = existing_values(sorted(names), "symbols")
                near = did_you_mean(symbol.strip("*?"), sorted(names))
                reason = f"{place} has no series of `{shown(symbol)}`{of}; {hint}{near}"
                yield Problem(f"$.symbols.{market}" if market else "$.symbols", reason)


def _absent_values(
    selection: SeriesSelection, there: Collection[Series], place: str
) -> Iterator[Problem]:
    existing: dict[str, list[str]] = {
        "markets": [each for each in Market if any(one.market is each for one in there)],
        "data_types": [each for each in DataType if any(one.data_type is each for one in there)],
        "intervals": [each for each in INTERVALS if any(one.interval == each for one in there)],
    }
    for key, values in existing.items():
        given = getattr(selection, key)
        if given and not isinstance(given, Mapping) and not set(given) & set(values):
            words = ", ".join(f"`{each}`" for each in given)
            hint = existing_values(values, key.replace("_", " "))
            yield Problem(f"$.{key}", f"{place} has no series of {words}; {hint}")


def _nothing_common(selection: SeriesSelection, place: str) -> Problem:
    given = [key for key in _KEYS if getattr(selection, key)]
    names = ", ".join(f"`{key}`" for key in given)
    return Problem(f"$.{given[0]}", f"{place} has no series that fits all of {names}")
