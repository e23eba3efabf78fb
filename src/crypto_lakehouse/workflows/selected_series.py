"""What is wrong with a selection of collected series that names what is not there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Protocol

from attrs import field, frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Series
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.errors import Problem, SelectionError
from crypto_lakehouse.core.messages import did_you_mean, existing_values, shown
from crypto_lakehouse.ledger.runs import RecordedRun, recorded_runs
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.stored_archives import stored_series
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at

__all__ = [
    "NOTHING_ABSENT", "Absent", "SeriesSelection", "absent_from", "asked_symbols",
    "check_stored", "is_selective",
]  # fmt: skip

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


@frozen
class Absent:
    """What a selection names and no series has.

    Attributes:
        problems: What must be corrected.
        awaited: Symbols that runs were asked for, as one that is not listed yet.
    """

    problems: list[Problem] = field(factory=list)
    awaited: list[str] = field(factory=list)

    def notes(self, place: str) -> tuple[str, ...]:
        """What is not wrong, in a sentence; the caller names the place."""
        names = ", ".join(f"`{shown(symbol)}`" for symbol in self.awaited)
        note = f"{place} has no series yet of {names}, which a run was asked for; none is selected"
        return (note,) if names else ()


NOTHING_ABSENT = Absent()


def asked_symbols(runs: Iterable[RecordedRun]) -> frozenset[tuple[Market | None, str]]:
    """Return the symbols and globs that runs were asked for by name, each of a market and of None.

    Args:
        runs: The runs of a ledger.
    """
    found: set[tuple[Market | None, str]] = set()
    for run in runs:
        selection = run.selection or {}
        symbols = selection.get("symbols") or ()
        markets = selection.get("markets") or [*Market]
        of = symbols if isinstance(symbols, Mapping) else dict.fromkeys(markets, symbols)
        for market, names in of.items():
            found |= {(each, name) for name in names for each in (None, Market(market))}
    return frozenset(found)


def is_selective(selection: SeriesSelection) -> bool:
    """Whether a selection names anything; an empty list names nothing, and is meant."""
    given = [getattr(selection, key) for key in _KEYS]
    return any(given) and () not in given


def check_stored(
    selection: SeriesSelection, output: Output, selects: Callable[[Series], bool]
) -> tuple[str, ...]:
    """Check that a selection of the archives of an output fits them; blocking.

    Returns:
        A note if it names symbols that the output does not have yet, and a run was asked for.

    Raises:
        LedgerError: The ledger cannot be read.
        SelectionError: The output has archives, but none of a symbol that no run was asked for, or
            none that is selected.
        ConfigurationError: The output is not there, or cannot be read.
        StoreError: The object store failed.
    """
    if not is_selective(selection):
        return ()
    place = f"`{output.place}`"
    ledger = ledger_at(output)

    def asked() -> frozenset[tuple[Market | None, str]]:
        return asked_symbols(recorded_runs(ledger) if ledger.exists() else ())

    series, under_pair = stored_series(output), load_matrix().files_under_pair
    if series is None:
        return ()
    absent = absent_from(selection, series, place, selects, asked, under_pair)
    if absent.problems:
        raise SelectionError(absent.problems)
    return absent.notes(place)


def absent_from(
    selection: SeriesSelection,
    there: Collection[Series],
    place: str,
    selects: Callable[[Series], bool],
    asked: Callable[[], Collection[tuple[Market | None, str]]],
    under_pair: Callable[[Series, str], bool],
) -> Absent:
    """Find the symbols that no series has, or else why no series is selected.

    Markets, data types and intervals may be absent as long as anything is selected, or a symbol is
    awaited.

    Args:
        selection: What is selected.
        there: The series that exist; without any there is no problem.
        place: Where they are, for the messages.
        selects: Whether a series is selected.
        asked: Returns the symbols that runs were asked for (`asked_symbols`); called if any symbol
            is absent.
        under_pair: Whether a series is stored under the pair of a contract's symbol or glob.
    """
    if not there or not is_selective(selection):
        return NOTHING_ABSENT
    absent = list(_absent_symbols(selection, there, place, under_pair))
    known = asked() if absent else ()
    problems = [problem for name, problem in absent if name not in known]
    awaited = sorted({symbol for (market, symbol), _ in absent if (market, symbol) in known})
    if absent or any(map(selects, there)):
        return Absent(problems, awaited)
    values = list(_absent_values(selection, there, place))
    return Absent(values or [_nothing_common(selection, place)])


def _absent_symbols(
    selection: SeriesSelection,
    there: Collection[Series],
    place: str,
    under_pair: Callable[[Series, str], bool],
) -> Iterator[tuple[tuple[Market | None, str], Problem]]:
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
                is_there = symbol in names
            if not is_there and not any(under_pair(each, symbol) for each in series):
                of = f" in {market}" if market else ""
                hint = existing_values(sorted(names), "symbols")
                near = did_you_mean(symbol.strip("*?"), sorted(names))
                reason = f"{place} has no series of `{shown(symbol)}`{of}; {hint}{near}"
                path = f"$.symbols.{market}" if market else "$.symbols"
                yield (market, symbol), Problem(path, reason)


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
