"""If one of a month and its days cannot be read at present, or raises, nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.tables.quality.test_seams import records, trades
from tests.tables.sample_data import bars, changed_text, ingest, month_of, put

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.merging import ArchiveMerge
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import sweep
from crypto_lakehouse.tables.reading.batch import Source

DAY, NEXT = date(2023, 8, 3), date(2023, 8, 4)
MONTH_ROWS = 31 * 24


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[LakeCatalog]:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    yield catalog
    catalog.close()


def found(catalog: LakeCatalog) -> list[dict[str, Any]]:
    query = """
        SELECT archive, symbol, count(*) n, count(DISTINCT open_time) times,
            count(*) FILTER (volume = 7) sevens
        FROM spot.klines GROUP BY ALL ORDER BY ALL
    """
    rows: list[dict[str, Any]] = Lake(catalog).sql(query).to_arrow_table().to_pylist()
    return rows


def states(catalog: LakeCatalog) -> dict[str, str]:
    rows = Lake(catalog).sql("FROM lakehouse.archives").to_arrow_table().to_pylist()
    return {row["archive"]: row["state"] for row in rows}


def cannot_open(patch: pytest.MonkeyPatch, source: Source) -> None:
    opened = Path.open

    def refusing(path: Path, *rest: Any, **options: Any) -> Any:
        if path == Path(source.place):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **options)

    patch.setattr(Path, "open", refusing)


def test_a_changed_day_that_cannot_be_opened_waits(
    catalog: LakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = put(tmp_path, month_of(bars(DAY)))
    day, other = put(tmp_path, bars(DAY)), put(tmp_path, bars(NEXT), changed_text(bars(NEXT)))
    with monkeypatch.context() as patch:
        cannot_open(patch, other)
        told = {each.archive.key: each for each in ingest(catalog, [month, day, other])}
    assert told[other.archive.key].state == "held_back"
    assert "Permission denied" in told[other.archive.key].quality.fault
    assert states(catalog) == {month.archive.key: "ingested", day.archive.key: "superseded"}
    assert [row["n"] for row in found(catalog)] == [MONTH_ROWS]
    (told_again,) = ingest(catalog, [month, day, other])
    assert (told_again.state, told_again.rows, told_again.differing) == ("ingested", 24, 24)
    assert [(row["n"], row["sevens"]) for row in found(catalog)] == [
        (24, 24),
        (MONTH_ROWS - 24, 0),
    ]


@pytest.mark.parametrize("among_sources", [True, False])
def test_a_merge_waits_for_an_archive_that_cannot_be_opened(
    catalog: LakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, among_sources: bool
) -> None:
    month, day = put(tmp_path, month_of(bars(DAY))), put(tmp_path, bars(DAY))
    ingest(catalog, [month, day])
    before, stood = found(catalog), states(catalog)
    changed = put(tmp_path, bars(DAY), changed_text(bars(DAY)))
    sources = [month, changed] if among_sources else [changed]
    with monkeypatch.context() as patch:
        cannot_open(patch, month)
        (told,) = ingest(catalog, sources)
    assert told.state == "held_back"
    assert month.archive.key in told.quality.fault
    assert "Permission denied" in told.quality.fault
    assert (found(catalog), states(catalog)) == (before, stood)
    (told,) = ingest(catalog, sources)
    assert (told.state, told.rows, told.changes.changed) == ("ingested", 24, 24)
    assert [row["sevens"] for row in found(catalog)] == [24, 0]


def test_a_merge_that_raises_halfway_is_held_back_alone(
    catalog: LakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are read again, and nothing of them is counted or written twice."""
    first: list[Source] = []
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    for symbol in symbols:
        day = bars(DAY, symbol)
        first += [put(tmp_path, month_of(day)), put(tmp_path, day)]
    ingest(catalog, first)
    changed = [bars(DAY, symbol) for symbol in symbols]
    second = [put(tmp_path, each, changed_text(each)) for each in changed]
    months = first[::2]
    written = ArchiveMerge._write

    def raising(it: ArchiveMerge, check: Any) -> Iterator[Any]:
        yield from written(it, check)
        if it.series.symbol == "ETHUSDT":
            raise IndexError("no code foresaw it")

    with monkeypatch.context() as patch:
        patch.setattr(ArchiveMerge, "_write", raising)
        told = {each.archive.symbol: each for each in ingest(catalog, [*months, *second])}
    assert {symbol: each.state for symbol, each in told.items()} == {
        "BTCUSDT": "ingested", "ETHUSDT": "held_back", "XRPUSDT": "ingested",
    }  # fmt: skip
    assert "unforeseen IndexError: no code foresaw it" in told["ETHUSDT"].quality.fault
    for symbol in ("BTCUSDT", "XRPUSDT"):
        each = told[symbol]
        assert (each.rows, each.changes.changed, each.changes.added, each.differing) == (
            24, 24, 0, 24,
        )  # fmt: skip
    assert {row["symbol"]: row["sevens"] for row in found(catalog) if row["n"] == 24} == {
        "BTCUSDT": 24, "XRPUSDT": 24,
    }  # fmt: skip
    assert sum(row["n"] for row in found(catalog)) == 3 * MONTH_ROWS
    assert sweep(catalog, "spot.klines", before=None) == []
    (again,) = ingest(catalog, [*months, *second])
    assert (again.archive.symbol, again.state, again.rows) == ("ETHUSDT", "ingested", 24)
    assert sum(row["sevens"] for row in found(catalog)) == 3 * 24


@pytest.mark.parametrize("days_first", [True, False])
def test_a_month_and_its_days_have_their_ids_and_seams(
    catalog: LakeCatalog, tmp_path: Path, *, days_first: bool
) -> None:
    """Three ids are missing before the month, and so before its first day."""
    june = trades(tmp_path, "2022-06", 100, 196)
    month, day = trades(tmp_path, "2022-07", 200, 510), trades(tmp_path, "2022-07-01", 200, 209)
    for source in [day, june, month] if days_first else [month, day, june]:
        ingest(catalog, [source])
    rows = Lake(catalog).sql("FROM lakehouse.archives").to_arrow_table().to_pylist()
    assert {row["archive"]: (row["first_id"], row["last_id"], row["verdict"]) for row in rows} == {
        june.archive.key: (100, 196, "good"),
        month.archive.key: (200, 510, "warning"),
        day.archive.key: (200, 209, "warning"),
    }
    for each in (month, day):
        (sentence,) = records(catalog)[each.archive.key][1]
        assert "3 ids are missing" in sentence
    ingest(catalog, [trades(tmp_path, "2022-06", 100, 199)])
    assert set(records(catalog)) == {each.archive.key for each in (june, month, day)}
    for verdict, sentences in records(catalog).values():
        assert (verdict, sentences) == ("good", [])
