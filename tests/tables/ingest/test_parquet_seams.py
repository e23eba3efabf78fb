"""Ids are checked from archive to archive in Parquet files and tables, in any order of runs."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.tables.sample_data import put

from crypto_lakehouse.core.archive import Archive, Partition
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.workflows.ingestion import IngestWorkflow
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport

TRADES = "data/futures/um/{}/trades/BTCUSDT/BTCUSDT-trades-{}.zip"
AGGREGATES = "data/futures/um/{}/aggTrades/ETHUSDT/ETHUSDT-aggTrades-{}.zip"

#: Ids of trades; five are missing before the month.
PARTS = {"2022-06-30": (100, 199), "2022-07": (205, 300), "2022-08-01": (301, 340)}

FORMATS = pytest.mark.parametrize("kind", ["parquet", "iceberg"])


def archive(when: str, pattern: str = TRADES) -> Archive:
    part = Partition.DAILY if len(when) > 7 else Partition.MONTHLY
    return Archive.parse(pattern.format(part, when))


def source(root: Path, when: str, first: int, last: int, trade: int | None = None) -> Source:
    """Trades, or, with the first id of a trade, aggregates of one trade each."""
    of = archive(when, TRADES if trade is None else AGGREGATES)
    begin = datetime.fromisoformat(f"{of.period.first_day}T00:00:00+00:00")
    length = timedelta(days=(of.period.last_day - of.period.first_day).days + 1)
    lines = []
    for number in range(first, last + 1):
        at = int((begin + (number - first) * length / (last - first + 1)).timestamp() * 1000)
        flag = "true" if number % 2 else "false"
        if trade is None:
            lines.append(f"{number},10,1,10,{at},{flag}\n")
        else:
            nth = trade + number - first
            lines.append(f"{number},10,1,{nth},{nth},{at},{flag}\n")
    return put(root, of, "".join(lines))


def run(root: Path, kind: str) -> IngestReport:
    config = LakeConfig(output_directory=str(root), lake=str(root / "lake"), format=kind)
    report: IngestReport = IngestWorkflow(config).execute().report
    return report


def verdicts(reports: list[IngestReport]) -> dict[str, int]:
    return {
        verdict: sum(each.verdicts.get(verdict, 0) for each in reports)
        for verdict in ("good", "warning", "error")
    }


@pytest.mark.parametrize(
    ("kind", "order"),
    [("iceberg", sorted(PARTS, reverse=True)),
     *(("parquet", order) for order in itertools.permutations(PARTS))],
)  # fmt: skip
def test_a_gap_between_archives_is_told_in_every_order_of_runs(
    kind: str, order: list[str], tmp_path: Path
) -> None:
    later = archive("2022-07").key
    reports = []
    for when in order:
        source(tmp_path, when, *PARTS[when])
        reports.append(run(tmp_path, kind))
    warned = [each for each in reports if each.verdicts.get("warning")]
    (report,) = warned
    came_first = order.index("2022-07") < order.index("2022-06-30")
    # An archive that was good when it came, and is not any more, is told twice.
    assert verdicts(reports) == {"good": 3 if came_first else 2, "warning": 1, "error": 0}
    told = report.to_mapping().get("reviewed", [])
    assert [(each["key"], each["verdict"]) for each in told] == came_first * [(later, "warning")]
    for each in told:
        assert each["reason"].startswith("5 ids are missing: the archive begins at 205")
    assert [each.exit_code for each in reports] == [0, 0, 0]


@FORMATS
def test_a_gap_in_one_run_is_told(kind: str, tmp_path: Path) -> None:
    for when, (first, last) in PARTS.items():
        source(tmp_path, when, first, last)
    report = run(tmp_path, kind)
    assert dict(report.verdicts) == {"good": 2, "warning": 1}
    assert not report.reviewed


@FORMATS
@pytest.mark.parametrize("is_reversed", [False, True])
def test_ids_of_trades_of_aggregates_are_compared(
    kind: str, tmp_path: Path, *, is_reversed: bool
) -> None:
    parts = {"2022-06-30": (1, 50, 100), "2022-07-01": (51, 90, 157)}
    reports = []
    for when in sorted(parts, reverse=is_reversed):
        source(tmp_path, when, *parts[when])
        reports.append(run(tmp_path, kind))
    assert verdicts(reports)["warning"] == 1
    reasons = [each["reason"] for report in reports for each in report.reviewed]
    assert len(reasons) == is_reversed
    for each in reasons:
        assert each.startswith("7 trade ids are missing: the archive begins at 157")


@FORMATS
def test_a_new_version_that_meets_is_told(kind: str, tmp_path: Path) -> None:
    source(tmp_path, "2022-06-30", 100, 199)
    source(tmp_path, "2022-07", 205, 300)
    run(tmp_path, kind)
    source(tmp_path, "2022-06-30", 100, 204)
    (told,) = run(tmp_path, kind).reviewed
    assert told == {
        "key": archive("2022-07").key,
        "verdict": "good",
        "reason": "its ids follow those before it now",
    }


def test_the_metadata_of_a_file_has_the_ids(tmp_path: Path) -> None:
    source(tmp_path, "2022-06-30", 1, 50, 100)
    run(tmp_path, "parquet")
    (path,) = (tmp_path / "lake").rglob("*.parquet")
    notes = json.loads((pq.read_metadata(path).metadata or {})[b"crypto-lakehouse.archives"])
    (one,) = notes.values()
    ids = [one[f"{edge}_{kind}"] for kind in ("id", "trade_id") for edge in ("first", "last")]
    assert (ids, one["verdict"]) == ([1, 50, 100, 149], "good")
