"""Sentences about symbols of which nothing is published in the selected days."""

from __future__ import annotations

from datetime import date

from crypto_lakehouse.core.archive import DataType, Market, Period, Series
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.planning.undue import UndueSymbols

DAY = Period.day(date(2025, 7, 15))


def undue(*symbols: str, named: tuple[str, ...] = (), due: tuple[str, ...] = ()) -> list[str]:
    """The sentences about a plan of one day of these symbols."""
    found = UndueSymbols(named)
    for symbol in symbols:
        series = Series(Market.SPOT, DataType.TRADES, symbol)
        found.add(PlannedSeries(series, [PlannedPeriod(DAY, f"{symbol} ended")]), 0)
    for symbol in due:
        series = Series(Market.SPOT, DataType.TRADES, symbol)
        found.add(PlannedSeries(series, [PlannedPeriod(DAY)]), 1)
    return list(found.notes())


def test_a_plan_without_anything_due_has_one_sentence_with_the_first_reasons() -> None:
    start = "nothing that is selected is published in these days: "
    assert undue("A", "B") == [f"{start}A ended; B ended"]
    assert undue("A", "B", "C", "D") == [f"{start}A ended; B ended; C ended; ..."]


def test_only_symbols_that_are_named_have_a_sentence_beside_others() -> None:
    assert undue("A", "B", named=("A", "X"), due=("X",)) == [
        "nothing of `spot A` is published in these days: A ended"
    ]


def test_a_symbol_with_anything_due_has_no_sentence() -> None:
    assert undue("A", named=("A",), due=("A",)) == []
    assert undue() == []


def test_many_symbols_are_counted() -> None:
    names = tuple(f"S{number}" for number in range(22))
    notes = undue(*names, named=names, due=("X",))
    assert len(notes) == 21
    assert notes[-1] == "nothing of 2 further symbols is published in these days"
