"""How complete a collected directory is, and whose fault each hole is; against real collections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.workflows.conftest import KEY, SIDECAR, Collection, sidecar_of

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LedgerError,
    MatrixError,
    SelectionError,
)
from crypto_lakehouse.coverage.coverage import HoleCause, SeriesCoverage
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows.reports import StatusReport
from crypto_lakehouse.workflows.status import StatusTotals, coverage_mapping, status_of

#: The archives of these days have long been there.
JULY = {"start": "2025-07-13", "end": "2025-07-17"}


def key_of(day: str) -> str:
    return KEY.replace("2025-07-15", day)


def one(root: Path, **options: Any) -> SeriesCoverage:
    today = options.pop("today", None)
    (coverage,) = status_of(root, options, today=today)
    return coverage


def causes(coverage: SeriesCoverage) -> dict[str, str]:
    """Each hole's cause, by its first and last day."""
    return {f"{hole.first_day} {hole.last_day}": hole.cause for hole in coverage.holes}


async def test_a_collected_month_is_complete(collection: Collection) -> None:
    july = {"start": "2025-07-01", "end": "2025-07-31"}
    await collection.run(default_date=None, date_range=july, partitions=["daily"])
    coverage = one(collection.root, **july)
    assert (coverage.verified_days, coverage.expected_days) == (31, 31)
    assert coverage.holes == ()
    stored = sum(path.stat().st_size for path in (collection.root / "data").rglob("*.zip"))
    assert coverage.size_bytes == stored > 0
    (later,) = status_of(collection.root, today=date(2025, 8, 6), of="published")
    assert causes(later) == {"2025-08-01 2025-08-02": "not_collected"}


async def test_every_hole_has_its_cause(collection: Collection) -> None:
    server = collection.server
    server.inject(key_of("2025-07-13"), *(faults.Status(500) * 4))
    server.remove(key_of("2025-07-14"))
    server.put(SIDECAR, sidecar_of(b"other bytes", KEY.rpartition("/")[2]))
    server.put(key_of("2025-07-16"), b"junk")
    server.remove(key_of("2025-07-17") + ".CHECKSUM")
    await collection.run(default_date=None, date_range={**JULY, "end": "2025-07-18"})
    coverage = one(collection.root, start="2025-07-12", end="2025-07-19")
    assert causes(coverage) == {
        "2025-07-12 2025-07-12": "not_collected",
        "2025-07-13 2025-07-13": "failed",
        "2025-07-14 2025-07-14": "missing",
        "2025-07-15 2025-07-16": "quarantined",
        "2025-07-17 2025-07-17": "unproven",
        "2025-07-19 2025-07-19": "not_collected",
    }
    reasons = {hole.cause: hole.reason for hole in coverage.holes}
    assert "answered 500" in reasons[HoleCause.FAILED]
    assert "must exist" in reasons[HoleCause.MISSING]
    assert "(and 1 more reason)" in reasons[HoleCause.QUARANTINED]
    assert (coverage.first_day, coverage.last_day) == (date(2025, 7, 18), date(2025, 7, 18))
    assert (coverage.verified_days, coverage.expected_days) == (1, 8)
    kept = [collection.path(key_of(day)).stat().st_size for day in ("2025-07-17", "2025-07-18")]
    assert coverage.size_bytes == sum(kept), "what is quarantined is not here"


async def test_a_second_run_mends_what_can_be_mended(collection: Collection) -> None:
    collection.server.inject(KEY, *(faults.Status(500) * 4))
    await collection.run()
    assert causes(one(collection.root, start="2025-07-15", end="2025-07-15"))
    await collection.run()
    assert one(collection.root, start="2025-07-15", end="2025-07-15").ratio == 1.0


async def test_an_archive_that_a_policy_let_in_is_unproven(collection: Collection) -> None:
    collection.server.put(SIDECAR, sidecar_of(b"other bytes", "x"))
    await collection.run(accept_upstream_mismatch=True)
    coverage = one(collection.root, start="2025-07-15", end="2025-07-15")
    assert causes(coverage) == {"2025-07-15 2025-07-15": "unproven"}
    assert coverage.size_bytes == collection.path(KEY).stat().st_size


async def test_a_verified_archive_stays_one_when_its_successor_is_bad(
    collection: Collection,
) -> None:
    await collection.run()
    collection.server.put(KEY, b"junk")
    await collection.run(force_redownload=True)
    coverage = one(collection.root, start="2025-07-15", end="2025-07-15")
    assert coverage.holes == ()
    assert coverage.refused_newer == 1


async def test_what_is_late_is_not_published_yet(collection: Collection) -> None:
    today = datetime.now(UTC).date()
    days = [str(today - timedelta(days=number)) for number in (1, 2)]
    for day in days:
        collection.server.remove(key_of(day))
    window = {"start": days[1], "end": days[0]}
    await collection.run(default_date=None, date_range=window)
    assert list(status_of(collection.root)) == [], "nothing is settled yet"
    collection.config["default_date"] = str(today - timedelta(days=20))
    await collection.run()
    coverage = one(collection.root, today=today, **window)
    assert causes(coverage) == {f"{days[1]} {days[0]}": "not_published_yet"}
    assert coverage.ratio == 1.0


async def test_a_known_hole_is_the_sources(collection: Collection) -> None:
    stem = "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-"
    for day in ("2025-12-15", "2025-12-16"):
        collection.server.remove(f"{stem}{day}.zip")
    window = {"start": "2025-12-13", "end": "2025-12-16"}
    await collection.run(markets=["options"], data_types=["BVOLIndex"], intervals=None,
                         symbols=["BTCBVOLUSDT"], default_date=None,
                         date_range=window)  # fmt: skip
    coverage = one(collection.root, **window)
    assert causes(coverage) == {"2025-12-15 2025-12-16": "upstream_hole"}
    assert coverage.holes[0].reason == "known upstream hole (binance-public-data#499)"
    assert coverage.ratio == 1.0


async def test_a_retired_feed_is_not_missed(collection: Collection) -> None:
    window = {"start": "2024-03-29", "end": "2024-05-02"}
    await collection.run(markets=["futures_um"], data_types=["bookTicker"], intervals=None,
                         symbols=["SUIUSDT"], partitions=["daily"], default_date=None,
                         date_range=window)  # fmt: skip
    coverage = one(collection.root)
    assert (coverage.end, coverage.ratio) == (date(2024, 3, 30), 1.0)
    assert causes(one(collection.root, **window))["2024-05-01 2024-05-02"] == "retired"


async def test_days_and_months_are_one_series(collection: Collection) -> None:
    window = {"start": "2025-05-30", "end": "2025-07-01"}
    await collection.run(default_date=None, date_range=window)
    coverage = one(collection.root, **window)
    assert (coverage.verified_days, coverage.expected_days) == (33, 33)


@pytest.fixture
def listing_server() -> Iterator[ArchiveServer]:
    """An archive that begins and ends."""
    with ArchiveServer(start=date(2025, 7, 14), end=date(2025, 7, 16)) as server:
        yield server


async def test_the_listing_tells_when_a_series_began_and_ended(
    collection: Collection, listing_server: ArchiveServer
) -> None:
    await collection.run(source_url=listing_server.url, discovery="listing", default_date=None,
                         date_range=JULY, partitions=["daily"])  # fmt: skip
    coverage = one(collection.root, **JULY)
    assert causes(coverage) == {
        "2025-07-13 2025-07-13": "outside_life",
        "2025-07-17 2025-07-17": "outside_life",
    }
    assert coverage.holes[0].reason == "the source lists this series from 2025-07-14 on"
    assert coverage.holes[1].reason == "the source lists this series up to 2025-07-16"
    assert one(collection.root).holes == (), "without a window they are left out"


async def test_a_series_that_was_only_listed_is_judged_where_a_window_asks_for_it(
    collection: Collection, listing_server: ArchiveServer
) -> None:
    await collection.run(source_url=listing_server.url, discovery="listing", partitions=["daily"],
                         default_date="2025-07-10")  # fmt: skip
    assert list(status_of(collection.root)) == [], "no run has settled anything"
    coverage = one(collection.root, start="2025-07-10", end="2025-07-15")
    assert causes(coverage) == {
        "2025-07-10 2025-07-13": "outside_life",
        "2025-07-14 2025-07-15": "not_collected",
    }


# The selection ------------------------------------------------------------------------------------


@pytest.fixture
async def many(collection: Collection) -> Path:
    """Several series of two markets."""
    await run_collection(
        {
            **collection.config,
            "markets": ["spot", "futures_cm"],
            "symbols": {"spot": ["BTCUSDT", "ETHUSDT"], "futures_cm": ["BTCUSD_PERP"]},
            "data_types": ["klines", "indexPriceKlines", "metrics"],
            "intervals": ["1h", "4h"],
        }
    )
    return collection.root


def names(root: Path, **options: Any) -> list[str]:
    return [str(coverage.series) for coverage in status_of(root, options)]


ALL = [
    "spot klines BTCUSDT 1h",
    "spot klines BTCUSDT 4h",
    "spot klines ETHUSDT 1h",
    "spot klines ETHUSDT 4h",
    "futures_cm klines BTCUSD_PERP 1h",
    "futures_cm klines BTCUSD_PERP 4h",
    "futures_cm indexPriceKlines BTCUSD 1h",
    "futures_cm indexPriceKlines BTCUSD 4h",
    "futures_cm metrics BTCUSD_PERP",
]


async def test_series_come_in_a_stable_order(many: Path) -> None:
    assert names(many) == ALL


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"markets": ["spot"]}, ALL[:4]),
        ({"data_types": ["metrics"]}, ALL[8:]),
        ({"symbols": ["ETH*"]}, ALL[2:4]),
        ({"symbols": ["BTCUSD_PERP"]}, ALL[4:]),
        ({"symbols": ["*_PERP"]}, ALL[4:]),
        ({"symbols": {"spot": ["BTC*"]}}, ALL[:2]),
        ({"intervals": ["4h"], "markets": ["futures_cm"]}, [*ALL[5:8:2], ALL[8]]),
        ({"intervals": {"klines": ["1h"]}, "markets": ["futures_cm"]}, [ALL[4], *ALL[6:]]),
    ],
)
async def test_a_selection_is_that_of_a_configuration(
    many: Path, selection: dict[str, Any], expected: list[str]
) -> None:
    assert names(many, **selection) == expected


@pytest.mark.parametrize(
    ("selection", "faults"),
    [
        ({"symbols": ["XRPUSDT", "ETH*"]}, {"$.symbols": "has no series of `XRPUSDT`"}),
        (
            {"symbols": {"spot": ["BTCUSD_PERP"]}},
            {"$.symbols.spot": "has no series of `BTCUSD_PERP` in spot; it has BTCUSDT, ETHUSDT"},
        ),
        ({"markets": ["options"]}, {"$.markets": "has no series of `options`; it has spot, fut"}),
        (
            {"markets": ["spot"], "data_types": ["metrics"]},
            {"$.markets": "has no series that fits all of `markets`, `data_types`"},
        ),
        (
            {"intervals": {"klines": ["1m"]}, "data_types": ["klines"]},
            {"$.data_types": "has no series that fits all of `data_types`, `intervals`"},
        ),
    ],
)
async def test_a_selection_of_what_no_run_asked_for_is_refused(
    many: Path, selection: dict[str, Any], faults: dict[str, str]
) -> None:
    with pytest.raises(SelectionError) as refused:
        status_of(many, selection)
    found = {problem.path: problem.message for problem in refused.value.problems}
    assert found.keys() == faults.keys()
    for path, words in faults.items():
        assert words in found[path]


async def test_everything_is_json_types_with_totals(many: Path) -> None:
    window = {"start": date(2025, 7, 15), "end": "2025-07-16"}
    status = status_of(many, window, today=date(2025, 8, 1))
    totals = StatusTotals()
    for coverage in status:
        totals.add(coverage)
    report = StatusReport(
        today=status.today, of=status.of, notes=status.notes, totals=totals, series=tuple(status)
    )
    mapping = report.to_mapping()
    assert set(mapping) == {"today", "of", "totals", "series"}
    assert mapping["today"] == "2025-08-01"
    assert mapping["totals"]["series"] == len(mapping["series"]) == 9
    assert mapping["totals"]["verified_days"] == 9
    assert mapping["totals"]["expected_days"] == 18
    assert mapping["totals"]["coverage"] == 50.0
    assert mapping["totals"]["holes"]["not_collected"] == 9
    assert set(mapping["totals"]["holes"]) == set(HoleCause)
    assert mapping["totals"]["bytes"] == sum(item["bytes"] for item in mapping["series"]) > 0
    assert mapping["series"][0] == {
        "market": "spot", "data_type": "klines", "symbol": "BTCUSDT", "interval": "1h",
        "start": "2025-07-15", "end": "2025-07-16", "first": "2025-07-15", "last": "2025-07-15",
        "first_filled": None, "last_filled": None, "filled_days": 0,
        "verified_days": 1, "expected_days": 2, "coverage": 50.0,
        "bytes": mapping["series"][0]["bytes"], "refused_newer": 0,
        "holes": [{"first": "2025-07-16", "last": "2025-07-16", "days": 1,
                   "cause": "not_collected", "filled": 0, "reason": "no run has settled it"}],
    }  # fmt: skip


async def test_a_status_can_be_read_again(many: Path) -> None:
    status = status_of(many)
    assert list(status) == list(status)


async def test_nothing_is_called_complete_that_is_not(collection: Collection) -> None:
    await collection.run()
    coverage = one(collection.root, start="2025-07-15", end="2025-07-15")
    totals = StatusTotals(verified_days=99_999, expected_days=100_000)
    assert totals.to_mapping()["coverage"] == 99.99
    assert coverage_mapping(coverage)["coverage"] == 100.0
    assert StatusTotals().ratio == 1.0


# What cannot be answered --------------------------------------------------------------------------


def test_a_directory_without_a_ledger_is_said_and_every_other_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        status_of(tmp_path, {"markets": ["spott"], "symbols": ["../x"], "start": "2025-02-30"})
    faults_by_place = {problem.path: problem.message for problem in caught.value.problems}
    fault = faults_by_place["$.output_directory"]
    assert "has no ledger; `collect` makes one; if its ledger is in PostgreSQL" in fault
    assert "did you mean `spot`?" in faults_by_place["$.markets[0]"]
    assert set(faults_by_place) == {"$.output_directory", "$.markets[0]", "$.symbols[0]", "$.start"}
    assert list(tmp_path.iterdir()) == [], "nothing is made"


async def test_a_reversed_window_is_a_fault(many: Path) -> None:
    with pytest.raises(ConfigurationError, match="is after end 2025-07-01; swap them"):
        status_of(many, {"start": "2025-07-02", "end": "2025-07-01"})


async def test_a_matrix_of_ones_own_is_used(many: Path, tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match="cannot be read"):
        status_of(many, matrix_path=tmp_path / "absent.json")
    older = Path(__file__).parents[1] / "data" / "matrices" / "format-2.json"
    status = status_of(many, matrix_path=older)
    assert status.notes, "what was corrected is told"
    assert len(list(status)) == 9


async def test_a_damaged_ledger_is_an_error_of_the_ledger(tmp_path: Path) -> None:
    own = tmp_path / ".lakehouse"
    own.mkdir()
    (own / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="cannot be read"):
        list(status_of(tmp_path))
