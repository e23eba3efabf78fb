"""Which days are filled follows from what is covered and was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.conftest import query

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, RunStarted
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.asked_days import AskedDays
from crypto_lakehouse.coverage.coverage import Hole, HoleCause, SeriesCoverage
from crypto_lakehouse.ledger.sqlite_file import SqliteFile
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.rest import why_not
from crypto_lakehouse.workflows.fill_plan import (
    DaySpan,
    FillPlan,
    FillPlanner,
    FillWindow,
    spans_to_fill,
)

BARS = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h")
FIRST = date(2026, 5, 1)
TODAY = date(2026, 5, 8)
UNFILLABLE = {HoleCause.RETIRED, HoleCause.OUTSIDE_LIFE}


def at(number: int) -> date:
    return FIRST + timedelta(days=number)


def coverage_of(states: list[HoleCause | None]) -> SeriesCoverage:
    """A coverage whose days have these causes; None is a covered day."""
    holes = []
    for cause, group in groupby(enumerate(states), key=lambda item: item[1]):
        days = [number for number, _ in group]
        if cause is not None:
            holes.append(
                Hole(
                    first_day=at(days[0]), last_day=at(days[-1]), days=len(days), cause=cause,
                    reason="",
                )
            )  # fmt: skip
    covered = [number for number, cause in enumerate(states) if cause is None]
    return SeriesCoverage(
        series=BARS, start=FIRST, end=at(len(states) - 1),
        first_day=at(covered[0]) if covered else None,
        last_day=at(covered[-1]) if covered else None,
        verified_days=len(covered), expected_days=len(states), size_bytes=0, refused_newer=0,
        holes=tuple(holes),
    )  # fmt: skip


@given(
    states=st.lists(st.none() | st.sampled_from(HoleCause), min_size=1, max_size=30),
    asked=st.none() | st.tuples(st.integers(-5, 35), st.integers(-5, 35)).map(sorted),
    only_holes=st.booleans(),
)
def test_every_hole_is_filled_but_what_nobody_has_or_wants(
    states: list[HoleCause | None], asked: list[int] | None, only_holes: bool
) -> None:
    spans = None if asked is None else AskedDays.of([(at(asked[0]), at(asked[1]))], ())
    window = FillWindow(end=at(len(states) - 1), only_holes=only_holes)
    coverage = coverage_of(states)
    newest = max((n for n, cause in enumerate(states) if cause is None), default=-99)
    wanted = max([newest, asked[1] if asked else -99])
    expected = {
        at(number): cause
        for number, cause in enumerate(states)
        if cause is not None
        and cause not in UNFILLABLE
        and (cause is not HoleCause.NOT_ASKED or number > wanted)
        and (not only_holes or number <= newest)
    }
    found = list(spans_to_fill(coverage, spans, window))
    days = [(day, span.cause) for span in found for day in span.days()]
    assert dict(days) == expected
    assert [day for day, _ in days] == sorted(expected)
    assert sum(span.count for span in found) == len(expected)


class Planned:
    """A ledger, and what is planned from it."""

    def __init__(self, folder: Path) -> None:
        self.place = SqliteFile(folder / "ledger.sqlite")
        self.matrix = load_matrix()
        with self.place.locked():
            self.ledger, _ = self.place.open()

    def asked(self, **selection: Any) -> None:
        """Record a run."""
        given = {
            "markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"],
            "intervals": ["1h"], "partitions": ["daily"], "discovery": "calendar", **selection,
        }  # fmt: skip
        started = RunStarted(
            run_id=repr(selection), workflow="test", planned=1, selection=given,
            at=_noon(), source_url="https://data.example",
        )  # fmt: skip
        self.ledger.write([started])

    def has(self, verdict: Verdict, days: Iterable[int], series: Series = BARS) -> None:
        """Record verdicts on the archives of days of May."""
        facts = ObjectFacts(size_bytes=1, mark=1, sha256="a" * 64, published_sha256="a" * 64)
        self.ledger.write(
            [
                ArchiveFinished(
                    archive=Archive(series, Period.day(date(2026, 5, day))), verdict=verdict,
                    facts=facts if verdict is Verdict.VERIFIED else ObjectFacts(),
                )
                for day in days
            ]
        )  # fmt: skip

    def plan(self, only_holes: bool = False, until: date = TODAY, **keys: Any) -> FillPlan:
        """Plan by a configuration."""
        config = WorkflowConfig(output_directory="out", only="failed", environ={}, **keys)
        planner = FillPlanner(
            config=config, matrix=self.matrix, holes=KnownHoles(), ledger=self.place,
            why_not=why_not,
        )  # fmt: skip
        return planner.plan(FillWindow.of(config, until, only_holes=only_holes), TODAY)

    def days(self, **keys: Any) -> list[int]:
        """The days of May that are planned of the one series."""
        (fill,) = self.plan(**keys).series or (None,)
        return [] if fill is None else [day.day for day in fill.days()]


def _noon() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 5, 8, 12, tzinfo=UTC)


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    return Planned(tmp_path)


def test_holes_and_the_days_since_the_newest_are_planned(planned: Planned) -> None:
    planned.asked(date_range={"start": "2026-05-01", "end": "2026-05-05"})
    planned.has(Verdict.VERIFIED, [1, 3])
    planned.has(Verdict.MISSING, [2])
    planned.has(Verdict.CORRUPT, [4])
    assert planned.days() == [2, 4, 5, 6, 7, 8]
    assert planned.days(only_holes=True) == [2]
    assert planned.days(until=date(2026, 5, 5)) == [2, 4, 5]
    assert planned.days(date_range={"start": "2026-05-04", "end": "2026-05-06"}) == [4, 5, 6]
    assert planned.days(default_date="2026-05-02") == [2]
    assert planned.days(default_date="2026-05-03") == []


def test_what_lies_between_two_runs_is_not_wanted(planned: Planned) -> None:
    planned.asked(date_range={"start": "2026-05-01", "end": "2026-05-02"})
    planned.asked(date_range={"start": "2026-05-05", "end": "2026-05-06"})
    planned.has(Verdict.VERIFIED, [1, 2, 5])
    assert planned.days() == [6, 7, 8]
    assert planned.days(date_range={"start": "2026-05-02"}) == [3, 4, 6, 7, 8]


def test_what_was_only_asked_for_is_filled_from_the_first_day_on(planned: Planned) -> None:
    planned.asked(date_range={"start": "2026-05-07"})
    assert planned.days() == [7, 8]


def test_series_that_are_named_with_their_days_need_not_be_known(planned: Planned) -> None:
    keys: dict[str, Any] = {
        "markets": ["spot"], "symbols": ["ETHUSDT"], "data_types": ["klines", "trades"],
        "intervals": ["1m"],
    }  # fmt: skip
    assert planned.plan(**keys).series == ()
    found = planned.plan(**keys, default_date="2026-05-06")
    assert [str(each.series) for each in found.series] == ["spot klines ETHUSDT 1m"]
    assert found.series[0].spans[0].first == date(2026, 5, 6)
    assert list(found.refused.values()) == [1]  # trades need a key


def test_a_series_that_has_months_only_is_filled_by_whole_months(planned: Planned) -> None:
    keys: dict[str, Any] = {
        "markets": ["futures_um"], "symbols": ["BTCUSDT"], "data_types": ["fundingRate", "klines"],
        "intervals": ["1h", "1mo"], "date_range": {"start": "2026-04-28", "end": "2026-04-29"},
    }  # fmt: skip
    for until, last in ((TODAY, 30), (date(2026, 4, 29), 29)):
        found = {
            str(fill.series): [fill.spans[0].first.day, fill.spans[-1].last.day]
            for fill in planned.plan(**keys, until=until).series
        }
        assert found == {
            "futures_um klines BTCUSDT 1h": [28, 29],
            "futures_um klines BTCUSDT 1mo": [1, last],
            "futures_um fundingRate BTCUSDT": [1, last],
        }
    month = Series(Market.FUTURES_UM, DataType.FUNDING_RATE, "BTCUSDT")
    facts = ObjectFacts(size_bytes=1, mark=1, sha256="a" * 64, published_sha256="a" * 64)
    archive = Archive(month, Period.month(date(2026, 4, 1)))
    planned.ledger.write([ArchiveFinished(archive=archive, verdict=Verdict.VERIFIED, facts=facts)])
    assert planned.plan(**{**keys, "data_types": ["fundingRate"]}).series == ()


def test_only_what_is_selected_is_planned(planned: Planned) -> None:
    other = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1m")
    for series in (BARS, other):
        planned.has(Verdict.VERIFIED, [7], series)
    assert planned.plan().count == 2
    assert planned.days(intervals=["1h"]) == [8]
    assert planned.plan(symbols=["ETH*"]).series == ()
    assert planned.plan(markets=["futures_um"]).markets == ()


def test_a_ledger_that_is_not_there_has_nothing(tmp_path: Path, planned: Planned) -> None:
    planned.place = SqliteFile(tmp_path / "none.sqlite")
    assert planned.plan() == FillPlan()
    keys: dict[str, Any] = {
        "markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"], "intervals": ["1h"],
    }  # fmt: skip
    assert planned.plan(**keys, default_date="2026-05-06").count == 1
    assert query(tmp_path / "ledger.sqlite", "SELECT count(*) FROM fills") == [(0,)]


def test_a_span_has_its_days() -> None:
    span = DaySpan(date(2026, 2, 27), date(2026, 3, 1), HoleCause.MISSING)
    assert [day.day for day in span.days()] == [27, 28, 1]
    assert span.count == 3
