"""What a run of an orchestrator is asked for, and what it came to by market and data type."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crypto_lakehouse import WorkflowConfig
from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, RunNoted, RunStarted
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.integrations.series_groups import SeriesGroups, is_key_of
from crypto_lakehouse.integrations.unit_of_work import is_unfinished, one_step, read_unit
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.selection import select
from crypto_lakehouse.workflows.composition import StepReport

CONFIG: dict[str, Any] = {
    "output_directory": "out", "discovery": "calendar", "markets": ["spot", "futures_cm"],
    "symbols": ["BTCUSDT", "BTCUSD_PERP"], "data_types": ["klines", "trades", "fundingRate"],
    "intervals": {"klines": ["1h"]}, "date_range": {"start": "2025-07-01"},
}  # fmt: skip

SPOT, CM = Market.SPOT, Market.FUTURES_CM
KLINES, TRADES, FUNDING = DataType.KLINES, DataType.TRADES, DataType.FUNDING_RATE

FOLDER = "data/spot/daily/klines/{}/1h/"


@pytest.mark.parametrize(
    ("groups", "runs"),
    [
        ([], 0),
        ([(SPOT, KLINES)], 1),
        ([(SPOT, KLINES), (SPOT, TRADES), (CM, KLINES), (CM, TRADES), (CM, FUNDING)], 1),
        ([(SPOT, KLINES), (CM, KLINES)], 1),
        ([(SPOT, KLINES), (CM, TRADES)], 2),
        ([(SPOT, KLINES), (CM, KLINES), (CM, TRADES)], 2),
    ],
)
def test_runs_select_exactly_what_is_asked_for(
    groups: list[tuple[Market, DataType]], runs: int
) -> None:
    unit = read_unit(CONFIG)
    divided = unit.runs(groups)
    assert len(divided) == runs
    assert sorted(group for run in divided for group in run) == sorted(groups)
    for run in divided:
        config = WorkflowConfig(CONFIG, overrides=unit.selection(run))
        rows = select(config, load_matrix(None)).rows
        assert {(each.row.market, each.row.data_type) for each in rows} == set(run)


def test_patterns_and_symbols_by_market_stay_where_they_fit() -> None:
    symbols = {"spot": ["*USDT"], "futures_cm": ["BTCUSD*"]}
    unit = read_unit({**CONFIG, "symbols": symbols, "discovery": "listing"})
    assert unit.selection([(SPOT, TRADES)])["symbols"] == {"spot": ["*USDT"]}
    assert unit.selection(unit.rows)["symbols"] == symbols
    everything = read_unit({**CONFIG, "symbols": None, "discovery": "listing"})
    assert "symbols" not in everything.selection([(SPOT, TRADES)])


@pytest.mark.parametrize(
    ("days", "start", "first"),
    [
        ({"date_range": {"start": "2025-07-03"}}, None, date(2025, 7, 3)),
        ({"date_range": {"start": date(2025, 7, 3)}}, None, date(2025, 7, 3)),
        ({"date_range": None, "default_date": "2025"}, None, date(2025, 1, 1)),
        ({"date_range": {"start": "7d"}}, date(2025, 7, 3), date(2025, 7, 3)),
        ({"date_range": None, "default_date": "yesterday"}, date(2025, 7, 3), date(2025, 7, 3)),
    ],
)
def test_the_first_day_stays_the_same(days: Any, start: date | None, first: date) -> None:
    assert read_unit({**CONFIG, **days}, start).first_day == first


@pytest.mark.parametrize("below", [{"date_range": None}, {"date_range": {"start": "7d"}}, {}])
def test_the_first_day_is_that_of_the_tenant_or_a_variable(
    below: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"output_directory": "own", "date_range": {"start": "2025-07-04"}}
    values = {**CONFIG, **below, "tenants": {"desk-a": own}, "tenant": "desk-a"}
    assert read_unit(values).first_day == date(2025, 7, 4)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_DATE_RANGE_START", "2025-07-05")
    assert read_unit(values).first_day == date(2025, 7, 5)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_DATE_RANGE_START", "7d")
    with pytest.raises(ConfigurationError, match="stays the same"):
        read_unit(values)


@pytest.mark.parametrize("days", [{"date_range": {"start": "7d"}}, {"date_range": None}])
def test_a_first_day_that_changes_is_refused(days: Any) -> None:
    with pytest.raises(ConfigurationError, match="date_range"):
        read_unit({**CONFIG, **days})
    assert read_unit({**CONFIG, "date_range": {"start": "7d"}}, needs_days=False).first_day is None


async def test_a_file_is_read_and_its_pipelines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lakehouse.yaml"
    path.write_text("pipelines: {nightly: {steps: {collect: {}}}}\noutput_directory: out\n")
    values = await one_step("compact", path, {"tables": ["spot.klines"]})
    assert [*values["pipelines"].values()] == [
        {"steps": {"compact": {"with": {"tables": ["spot.klines"]}}}}
    ]
    assert (await one_step("collect", CONFIG, {}))["symbols"] == CONFIG["symbols"]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_unit(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("state", "code", "is_so"),
    [("done", 0, False), ("done", 4, False), ("done", 5, True), ("failed", 0, True)],
)
def test_a_step_is_unfinished_unless_its_plan_was_done(state: str, code: int, is_so: bool) -> None:
    assert is_unfinished(StepReport(name="a", state=state, exit_code=code)) is is_so


def finished(day: int, verdict: Verdict, symbol: str = "BTCUSDT", **more: Any) -> ArchiveFinished:
    key = f"{FOLDER.format(symbol)}{symbol}-1h-2025-07-{day:02}.zip"
    return ArchiveFinished(archive=Archive.published(key), verdict=verdict, reason="why", **more)


async def test_archives_are_counted_by_group_and_day() -> None:
    sink = SeriesGroups()
    started = RunStarted(run_id="a", workflow="w", planned=9, at=None)  # type: ignore[arg-type]
    await sink.handle([RunNoted(message="x"), started, finished(1, Verdict.VERIFIED)])
    await sink.handle(
        [ArchivesUnchanged(folder=FOLDER.format("ETHUSDT"), count=2, details=lambda: iter(()))]
    )
    await sink.handle([
        finished(2, Verdict.CORRUPT),
        finished(3, Verdict.MISSING),
        finished(3, Verdict.NOT_PUBLISHED, "ETHUSDT"),
        finished(4, Verdict.UPSTREAM_MISMATCH, accepted=True),
        finished(4, Verdict.FAILED, "ETHUSDT", acknowledged=True),
        finished(5, Verdict.CORRUPT, stands=True),
        finished(5, Verdict.NOT_PUBLISHED, "ETHUSDT"),
    ])  # fmt: skip
    await sink.flush()
    await sink.close()
    (found,) = sink.groups.values()
    stored = found.stored_days(date(2025, 7, 1), date(2025, 7, 5))
    assert [day.day for day in stored] == [1, 2, 4, 5]
    assert found.verdicts[Verdict.UNCHANGED] == 2
    assert (found.problem_count, found.is_severe) == (4, True)
    assert [reason.split(":")[0] for reason in found.problems.values()] == [
        "corrupt", "missing", "upstream_mismatch", "corrupt",
    ]  # fmt: skip
    assert len(sink.plan_sha256) == 64


async def test_a_day_is_stored_if_one_of_its_archives_is() -> None:
    both = read_unit({**CONFIG, "partitions": ["daily", "monthly"]})
    sink = SeriesGroups(takes_unchanged=not both.has_overlaps)
    assert not sink.takes_unchanged
    assert read_unit(CONFIG).has_overlaps is False
    assert read_unit({**CONFIG, "partitions": "monthly"}).has_overlaps is False
    month = Archive.published("data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07.zip")
    await sink.handle([
        ArchiveFinished(archive=month, verdict=Verdict.NOT_PUBLISHED),
        finished(1, Verdict.VERIFIED), finished(2, Verdict.UNCHANGED), finished(3, Verdict.MISSING),
    ])  # fmt: skip
    (found,) = sink.groups.values()
    assert [day.day for day in found.stored_days(date(2025, 7, 1), date(2025, 7, 3))] == [1, 2]


async def test_only_the_first_problems_are_named_and_a_wrong_sidecar_is_not_severe() -> None:
    sink = SeriesGroups()
    await sink.handle([finished(day, Verdict.UPSTREAM_MISMATCH) for day in range(1, 31)])
    found = sink.groups[SPOT, KLINES]
    assert (found.problem_count, len(found.problems), found.is_severe) == (30, 20, False)
    assert found.stored_days(date(2025, 7, 1), date(2025, 7, 30)) == []


def test_a_key_is_of_its_group() -> None:
    assert is_key_of((SPOT, KLINES), FOLDER.format("BTCUSDT"))
    assert not is_key_of((SPOT, TRADES), FOLDER.format("BTCUSDT"))
    assert not is_key_of((CM, KLINES), FOLDER.format("BTCUSDT"))
