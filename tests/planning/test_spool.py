"""The series of a listed plan on disk: what is read back is what was added, in order."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import periods, series

from crypto_lakehouse.core.archive import DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.planning.periods import Window
from crypto_lakehouse.planning.spool import SeriesSpool

texts = st.none() | st.text(max_size=20)
listed_archives = st.builds(
    ListedArchive,
    size_bytes=st.integers(0, 2**63),
    etag=texts,
    last_modified=texts,
    sidecar_etag=texts,
)
planned_periods = st.builds(
    PlannedPeriod,
    period=periods(),
    not_published=st.text(max_size=20),
    lag_days=st.integers(0, 90),
    listed=st.none() | listed_archives,
    unlisted=st.booleans(),
)
planned_series = st.builds(
    PlannedSeries, series=series(), periods=st.lists(planned_periods, max_size=5).map(tuple)
)
places = st.tuples(st.integers(0, 30), st.text(max_size=4), st.integers(0, 15))


def numbered(number: int, size: int = 1) -> PlannedSeries:
    days = Window(date(2025, 1, 1), date(2030, 1, 1), date(2031, 1, 1)).days()
    listed = ListedArchive(size_bytes=number, etag='"0f"', last_modified="2025-07-15T03:00:00Z")
    return PlannedSeries(
        Series(Market.SPOT, DataType.TRADES, f"COIN{number}USDT"),
        tuple(PlannedPeriod(day, "", 3, listed) for day, _ in zip(days, range(size), strict=False)),
    )


@given(st.lists(st.tuples(places, planned_series), max_size=6))
def test_series_are_read_back_as_they_were_in_the_order_of_their_places(
    added: list[tuple[tuple[int, str, int], PlannedSeries]],
) -> None:
    spool = SeriesSpool()
    for place, planned in added:
        spool.add(place, planned)
    wanted = [planned for _, planned in sorted(added, key=lambda item: item[0])]
    assert list(spool) == wanted
    assert list(spool) == wanted, "a spool may be read again"
    assert len(spool) == len(added)
    spool.close()


def test_the_order_of_adding_does_not_count() -> None:
    numbers = list(range(50))
    random.Random(7).shuffle(numbers)
    spool = SeriesSpool()
    for number in numbers:
        spool.add((number // 10, f"S{number:02}", 0), numbered(number))
    assert [planned.periods[0].listed.size_bytes for planned in spool
            if planned.periods[0].listed] == sorted(numbers)  # fmt: skip
    spool.close()


def test_rows_come_before_symbols_and_symbols_before_intervals() -> None:
    spool = SeriesSpool()
    order = [
        (0, "A", 1),
        (0, "A", 10),
        (0, "Z", 0),
        (0, "币安人生USDT", 0),
        (2, "A", 0),
        (10, "A", 0),
    ]
    for number, place in enumerate(order):
        spool.add(place, numbered(number))
    spool.add((0, "A", 0), numbered(99))
    names = [planned.series.symbol for planned in spool]
    assert names == [f"COIN{number}USDT" for number in (99, 0, 1, 2, 3, 4, 5)]
    spool.close()


def test_a_spool_may_be_read_by_two_and_added_to_meanwhile() -> None:
    spool = SeriesSpool()
    for number in range(4):
        spool.add((number, "", 0), numbered(number))
    one, other = iter(spool), iter(spool)
    assert next(one) == next(other) == numbered(0)
    assert next(one) == numbered(1)
    spool.add((9, "", 0), numbered(9))
    assert [*other][:3] == [numbered(1), numbered(2), numbered(3)]
    assert list(one)[:2] == [numbered(2), numbered(3)]
    assert list(spool)[-1] == numbered(9)
    spool.close()


def test_a_full_disk_is_an_error_that_names_the_folder() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    spool = SeriesSpool(full.open("r+b", buffering=0))
    with pytest.raises(StoreError, match="the plan cannot be kept there: No space left") as error:
        spool.add((0, "A", 0), PlannedSeries(Series(Market.SPOT, DataType.TRADES, "A"), ()))
    assert error.value.stops_run
    spool.close()


def test_no_folder_for_temporary_files_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match="No such file"):
        SeriesSpool()


def test_an_empty_spool_has_nothing() -> None:
    spool = SeriesSpool()
    assert (len(spool), list(spool)) == (0, [])
    spool.close()


def test_a_closed_spool_is_gone_and_may_be_closed_again() -> None:
    spool = SeriesSpool()
    spool.add((0, "", 0), numbered(0))
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="closed file"):
        list(spool)


def test_unpadded_months_and_names_of_any_script_survive() -> None:
    planned = PlannedSeries(
        Series(Market.SPOT, DataType.KLINES, "币安人生USDT", "1mo"),
        (PlannedPeriod(Period(date(2020, 8, 1), Partition.MONTHLY, padded=False)),),
    )
    spool = SeriesSpool()
    spool.add((0, "", 0), planned)
    (found,) = spool
    assert found == planned
    assert next(found.archives()).archive.key.endswith("币安人生USDT-1mo-2020-8.zip")
    spool.close()


def test_memory_does_not_grow_with_what_is_added() -> None:
    spool = SeriesSpool()
    long = numbered(0, size=1000)
    spool.add((0, "", 0), long)
    tracemalloc.start()
    for number in range(1, 21):
        spool.add((number, "", 0), long)
    count = sum(len(planned.periods) for planned in spool)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 21_000
    assert peak < 2_500_000, "21 000 periods in memory would be several times as much"
    spool.close()
