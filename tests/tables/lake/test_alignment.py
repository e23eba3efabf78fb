"""What was known at each time of a grid: by a plain search, and from when on a row is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables.lake.alignment import Wanted, aligned
from crypto_lakehouse.tables.lake.grid import Grid, length_of
from crypto_lakehouse.tables.lake.panel_sources import PanelField, PanelSource
from crypto_lakehouse.tables.schema.schemas import schema_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
SECOND, MS, US = timedelta(seconds=1), timedelta(milliseconds=1), timedelta(microseconds=1)
TIME = pl.Datetime("us", "UTC")


@given(
    # Few times, so that several rows have one of them, in any order.
    rows=st.lists(st.tuples(st.integers(0, 40), st.none() | st.floats(-1, 1)), max_size=30),
    first=st.integers(-5, 45),
    count=st.integers(1, 20),
    step=st.sampled_from([1, 2, 7]),
    ages=st.lists(st.sampled_from([1, 3, 100]), min_size=1, max_size=3),
)
def test_each_time_has_the_last_row_that_was_known_then(
    rows: list[tuple[int, float | None]], first: int, count: int, step: int, ages: list[int]
) -> None:
    # By key, the first row is the last one.
    known = [(second, -place, value) for place, (second, value) in enumerate(rows)]
    frame = pl.DataFrame(
        {"known_at": [BEGIN + second * SECOND for second, _, _ in known],
         "key": [key for _, key, _ in known], "value": [value for _, _, value in known]},
        schema={"known_at": TIME, "key": pl.Int64, "value": pl.Float64},
    )  # fmt: skip
    grid = Grid(BEGIN + first * SECOND, count, step * SECOND)
    wanted = [Wanted(str(place), "value", age * SECOND) for place, age in enumerate(ages)]
    found = aligned(frame, grid.times, wanted, ["key"])
    for place, age in enumerate(ages):
        model = []
        for when in range(first, first + count * step, step):
            before = [row for row in known if row[0] <= when]
            second, _, value = max(before, default=(when - age, 0, None), key=lambda row: row[:2])
            model.append(value if when - second < age else None)
        assert found[str(place)].to_list() == model


@given(
    start=st.datetimes(datetime(1969, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    length=st.timedeltas(US, timedelta(days=60)),
    every=st.sampled_from(["7s", "15m", "4h", "1d", "3d", "1w", "2w"]),
)
def test_a_grid_has_the_multiples_of_its_step(
    start: datetime, length: timedelta, every: str
) -> None:
    step, end = length_of(every, "every"), start + length
    monday = EPOCH + 4 * timedelta(days=1)
    origin = monday if every.endswith("w") else EPOCH
    after = -((origin - start) // step)  # the first multiple that is not before the start
    if origin + after * step >= end:
        with pytest.raises(QueryError, match="choose a shorter step or more time"):
            Grid.within(start, end, step)
        return
    grid = Grid.within(start, end, step)
    assert grid.first == origin + after * step
    assert grid.last < end <= grid.last + step
    assert grid.times.len() == grid.count
    assert [grid.times[0], grid.times[-1]] == [grid.first, grid.last]


def known_at(
    data_type: DataType, interval: str | None, market: Market = Market.SPOT, **row: Any
) -> datetime:
    source = PanelSource(schema_for(market, data_type), interval, ())
    frame = pl.DataFrame({name: [value] for name, value in row.items()}).cast(TIME)
    found: datetime = frame.with_columns(source.computed())["known_at"][0]
    return found


@pytest.mark.parametrize(
    ("interval", "closed", "known"),
    [
        pytest.param("1h", timedelta(hours=1) - MS, timedelta(hours=1), id="milliseconds"),
        pytest.param("1h", timedelta(hours=1) - US, timedelta(hours=1), id="microseconds"),
        pytest.param("1h", 30 * SECOND - MS, 30 * SECOND, id="ended early"),
        pytest.param("1h", timedelta(0) - MS, timedelta(hours=1), id="closed before it opened"),
        pytest.param("1mo", timedelta(0) - MS, timedelta(days=31), id="month closed before"),
    ],
)
def test_a_bar_is_known_once_it_has_ended(
    interval: str, closed: timedelta, known: timedelta
) -> None:
    found = known_at(DataType.KLINES, interval, open_time=BEGIN, close_time=BEGIN + closed)
    assert found == BEGIN + known


def test_what_happens_at_a_time_is_known_then() -> None:
    assert known_at(DataType.TRADES, None, time=BEGIN + US) == BEGIN + US


@pytest.mark.parametrize(
    ("market", "labelled", "later"),
    [
        (Market.FUTURES_UM, datetime(2026, 6, 24, 23, 55, tzinfo=UTC), timedelta(0)),
        (Market.FUTURES_UM, datetime(2026, 6, 25, tzinfo=UTC), timedelta(minutes=5)),
        (Market.FUTURES_UM, datetime(2026, 11, 1, tzinfo=UTC), timedelta(minutes=5)),
        (Market.FUTURES_CM, datetime(2025, 1, 1, tzinfo=UTC), timedelta(minutes=5)),
    ],
)
def test_metrics_are_known_at_the_end_of_their_five_minutes(
    market: Market, labelled: datetime, later: timedelta
) -> None:
    found = known_at(DataType.METRICS, None, market, create_time=labelled)
    assert found == labelled + later


@pytest.mark.parametrize(
    "value",
    ["", "1", "h", "0h", "-1h", "1mo", "1.5h", "36501d", "9" * 9 + "w", timedelta(0), 5, None],
)
def test_what_is_not_a_length_is_refused(value: Any) -> None:
    message = r"`every` is `.*`, and must be a length of time, at most 36,500 days: 90s"
    with pytest.raises(QueryError, match=message):
        length_of(value, "every")


@pytest.mark.parametrize("text", ["close", "klines.close", "spot.klines", "spot.klines[1h]", "", 5])
def test_what_is_not_a_column_is_refused(text: Any) -> None:
    with pytest.raises(QueryError, match=r"is not a column; write `spot\.klines\.close`"):
        PanelField.parse("label", text)
