"""Ids are checked from archive to archive, in the files and in the lake, in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import ingest, put

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.quality.checks import checked_policies
from crypto_lakehouse.tables.quality.findings import Finding, Severity
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.quality.seams import (
    SEAM_CHECK,
    TRADE_SEAM_CHECK,
    ArchiveIds,
    ids_of,
    seam_findings,
)
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import PartitionField
from crypto_lakehouse.tables.schema.table_types import arrow_schema
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.validation import ValidationWorkflow

TRADES = "data/futures/um/{}/trades/BTCUSDT/BTCUSDT-trades-{}.zip"
AGGREGATES = "data/futures/um/{}/aggTrades/ETHUSDT/ETHUSDT-aggTrades-{}.zip"


def archive(when: str, pattern: str = TRADES) -> Archive:
    return Archive.parse(pattern.format("daily" if len(when) > 7 else "monthly", when))


def ids(when: str, first: int, last: int, pattern: str = TRADES) -> ArchiveIds:
    of = archive(when, pattern)
    begin = datetime.combine(of.period.first_day, datetime.min.time(), UTC)
    end = datetime.combine(of.period.last_day, datetime.max.time(), UTC)
    return ArchiveIds(of, first, last, begin, end)


def found(*archives: ArchiveIds) -> dict[str, Finding]:
    """The only finding of each archive that has one."""
    by_key = seam_findings(archives, load_known_row_holes())
    return {key: finding for key, (finding,) in by_key.items()}


@pytest.mark.parametrize("pattern", [TRADES, AGGREGATES])
@pytest.mark.parametrize(
    ("one", "other"),
    [("2022-06", "2022-07"), ("2022-06-30", "2022-07-01"), ("2022-06", "2022-07-01"),
     ("2022-06-30", "2022-07")],
)  # fmt: skip
def test_ids_that_do_not_meet_are_found_in_the_later_archive(
    one: str, other: str, pattern: str
) -> None:
    before = ids(one, 100, 199, pattern)
    assert found(before, ids(other, 200, 300, pattern)) == {}
    for pair in ((before, ids(other, 203, 300, pattern)), (ids(other, 203, 300, pattern), before)):
        ((key, finding),) = found(*pair).items()
        assert key == finding.key == archive(other, pattern).key
        assert (finding.check, finding.rows, finding.severity) == (SEAM_CHECK, 3, Severity.WARNING)
        name = before.archive.name
        assert finding.sentence == (
            f"3 ids are missing: the archive begins at 203, and `{name}` before it ends at 199"
        )


@pytest.mark.parametrize("other", ["2022-07-02", "2022-06-28", "2022-08"])
def test_archives_that_do_not_meet_are_not_compared(other: str) -> None:
    assert found(ids("2022-06-30", 100, 199), ids(other, 900, 999)) == {}
    assert found(ids("2022-06-30", 1, 2), ids("2022-07-01", 9, 9, AGGREGATES)) == {}


def test_ids_in_two_archives_and_ids_that_begin_again_are_found() -> None:
    (finding,) = found(ids("2022-06-30", 100, 199), ids("2022-07-01", 198, 300)).values()
    assert (finding.rows, finding.source) == (2, "binance-public-data#353")
    assert "2 ids may be in two archives" in finding.sentence
    (finding,) = found(ids("2022-06-30", 100, 199), ids("2022-07-01", 7, 300)).values()
    assert (finding.rows, finding.severity) == (1, Severity.WARNING)
    assert "the ids begin again: the archive begins at 7" in finding.sentence
    (finding,) = found(ids("2022-06-30", 100, 199), ids("2022-07-01", 1, 300)).values()
    assert finding.severity is Severity.INFO


def test_what_a_month_or_its_last_day_has_is_not_missing() -> None:
    short, whole = ids("2022-06", 100, 150), ids("2022-06-30", 140, 199)
    assert found(short, whole, ids("2022-07", 200, 300)) == {}
    assert len(found(short, whole, ids("2022-07", 201, 300))) == 1


def test_each_kind_of_ids_is_compared_with_its_own() -> None:
    of = [
        evolve(each, check=check)
        for check, step in ((SEAM_CHECK, 0), (TRADE_SEAM_CHECK, 4))
        for each in (
            ids("2022-06-30", 100, 199, AGGREGATES), ids("2022-07-01", 200 + step, 300, AGGREGATES)
        )
    ]  # fmt: skip
    (finding,) = found(*of).values()
    assert (finding.check, finding.rows) == (TRADE_SEAM_CHECK, 4)
    assert finding.sentence.startswith("4 trade ids are missing: the archive begins at 204")
    both = seam_findings(
        [evolve(each, first_id=each.first_id + 9 * (each.first_id > 199)) for each in of],
        load_known_row_holes(),
    )
    ((first, second),) = both.values()
    assert {first.check, second.check} == {SEAM_CHECK, TRADE_SEAM_CHECK}


def test_aggregates_without_trades_are_not_compared() -> None:
    known = {"first_id": 5, "last_id": 9, "first_trade_id": -1, "last_trade_id": 3,
             "first_at": datetime.now(UTC), "last_at": datetime.now(UTC)}  # fmt: skip
    (one,) = ids_of(archive("2022-07", AGGREGATES), known.get)
    assert one.check == SEAM_CHECK


def test_a_known_hole_at_a_seam_is_info() -> None:
    cut = evolve(ids("2023-01-24", 100, 199), last_at=datetime(2023, 1, 24, 20, 14, 17, tzinfo=UTC))
    (finding,) = found(cut, ids("2023-01-25", 300, 400)).values()
    assert (finding.severity, finding.source) == (Severity.INFO, "binance-public-data#213")
    assert "; known: the trades of the evening were not published" in finding.sentence


@pytest.mark.parametrize(
    ("one", "other"),
    [("2023-12-31", "2024-01-01"), ("2023-12", "2024-01"), ("2024-01", "2024-02"),
     ("2023-01-10", "2023-01-11")],
)  # fmt: skip
def test_a_hole_that_is_known_of_other_archives_explains_no_seam(one: str, other: str) -> None:
    for market in ("spot", "futures/um"):
        pattern = TRADES.replace("futures/um", market)
        (finding,) = found(ids(one, 1, 99, pattern), ids(other, 104, 200, pattern)).values()
        assert (finding.severity, finding.rows) == (Severity.WARNING, 4)
        assert "known" not in finding.sentence


def test_a_seam_is_only_reported() -> None:
    for check in (SEAM_CHECK, TRADE_SEAM_CHECK):
        with pytest.raises(ConfigurationError, match="not for a check of several archives"):
            checked_policies({check: "quarantine"})
        assert checked_policies({check: "report"})


def trades(root: Path, when: str, first: int, last: int, pattern: str = TRADES) -> Source:
    of = archive(when, pattern)
    begin = datetime.combine(of.period.first_day, datetime.min.time(), UTC)
    end = datetime.combine(of.period.last_day + timedelta(days=1), datetime.min.time(), UTC)
    step = (end - begin) / (last - first + 1)
    lines = []
    for number in range(first, last + 1):
        at = int((begin + (number - first) * step).timestamp() * 1000)
        flag = "true" if number % 2 else "false"
        lines.append(f"{number},10,1,10,{at},{flag}\n")
    return put(root, of, "".join(lines))


#: The ids of five archives: three are missing before August, and one of July is also in June's day.
PARTS = {
    "2022-06-29": (100, 149),
    "2022-06-30": (150, 199),
    "2022-07": (199, 300),
    "2022-08-01": (304, 340),
    "2022-08-02": (341, 380),
}

WANTED = {"2022-07": "1 id may be in two", "2022-08-01": "3 ids are missing"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for when, (first, last) in PARTS.items():
        trades(root, when, first, last)
    return root


def sources(root: Path) -> Iterator[Source]:
    for when, (first, last) in PARTS.items():
        yield trades(root, when, first, last)


def records(catalog: LakeCatalog) -> dict[str, tuple[str, list[str]]]:
    rows = Lake(catalog).sql("FROM lakehouse.archives").to_arrow_table().to_pylist()
    return {
        row["archive"]: (
            row["verdict"],
            [
                each["sentence"]
                for each in json.loads(row["findings"])
                if each["check"] == SEAM_CHECK
            ],
        )
        for row in rows
    }


def check_records(noted: dict[str, tuple[str, list[str]]]) -> None:
    assert len(noted) == len(PARTS)
    for when in PARTS:
        verdict, sentences = noted[archive(when).key]
        if when in WANTED:
            assert verdict == "warning"
            (sentence,) = sentences
            assert WANTED[when] in sentence
        else:
            assert (verdict, sentences) == ("good", [])


def test_validation_reports_the_seams_of_a_tree(tree: Path) -> None:
    metrics = ValidationWorkflow(LakeConfig({"output_directory": str(tree)})).execute()
    noted = {
        quality.key: (quality.verdict, [each.sentence for each in quality.findings])
        for quality in metrics.report.archives
    }
    check_records(noted)


@settings(max_examples=examples(3), deadline=None)
@given(data=st.data())
def test_the_lake_says_the_same_in_any_order_of_ingestion(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("lake")
    left = data.draw(st.permutations([*sources(root)]))
    catalog = LakeCatalog(root / "lake", create=True)
    while left:
        size = data.draw(st.integers(1, len(left)))
        for ingested in ingest(catalog, left[:size]):
            assert ingested.state == "ingested"
        left = left[size:]
    check_records(records(catalog))
    history = Lake(catalog).sql("FROM lakehouse.archive_history").to_arrow_table().to_pylist()
    for row in history:
        assert (row["first_id"], row["last_id"]) == (
            PARTS[Archive.parse(row["archive"]).period.text]
        )
    catalog.close()


def test_a_new_version_that_meets_takes_the_finding_back(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [trades(tmp_path, "2022-06", 100, 190), trades(tmp_path, "2022-07", 200, 300)])
    assert records(catalog)[archive("2022-07").key][0] == "warning"
    ingest(catalog, [trades(tmp_path, "2022-06", 100, 199)])
    assert records(catalog)[archive("2022-07").key] == ("good", [])
    catalog.close()


def test_a_finding_stays_when_a_later_neighbour_comes(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(
        catalog, [trades(tmp_path, "2022-07", 200, 300), trades(tmp_path, "2022-08-01", 304, 340)]
    )
    before = records(catalog)[archive("2022-08-01").key]
    assert before[0] == "warning"
    ingest(catalog, [trades(tmp_path, "2022-08-02", 341, 380)])
    assert records(catalog)[archive("2022-08-01").key] == before
    catalog.close()


def test_a_lake_without_ids_opens_and_gets_them(tmp_path: Path) -> None:
    """As made by earlier versions, which did not record ids."""
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    june, july = trades(tmp_path, "2022-06", 100, 190), trades(tmp_path, "2022-07", 200, 300)
    ingest(catalog, [june])
    without_ids(catalog)
    ingest(catalog, [july])
    assert records(catalog)[july.archive.key] == ("good", [])
    (again,) = ingest(catalog, [trades(tmp_path, "2022-06", 100, 191)])
    assert again.state == "ingested"
    assert records(catalog)[july.archive.key][0] == "warning"
    catalog.close()


def without_ids(catalog: LakeCatalog) -> None:
    table = catalog.catalog.load_table(ARCHIVES)
    rows: list[dict[str, Any]] = table.scan().to_arrow().to_pylist()
    fields = [each for each in table.schema().fields if not each.name.endswith("_id")]
    catalog.catalog.drop_table(ARCHIVES)
    earlier = catalog.create(
        ARCHIVES, type(table.schema())(*fields), (PartitionField("table", "identity"),),
        ("archive", "recorded_at"), {},
    )  # fmt: skip
    plain = [{each.name: row[each.name] for each in fields} for row in rows]
    earlier.append(pa.Table.from_pylist(plain, schema=arrow_schema(earlier.schema())))
