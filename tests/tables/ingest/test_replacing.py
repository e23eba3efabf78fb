"""One archive is one unit: nothing twice, nothing lost, whatever comes in whatever order."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.tables.ingest.lake_contents import FIRST, TABLE, files, joined, rows, with_volume
from tests.tables.sample_data import bars, days, ingest, put, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.files import series_writer
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.ingest.row_changes import RowChanges
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.quality.findings import Policy
from crypto_lakehouse.tables.reading.reader import read_batches


@pytest.fixture
def catalog(tmp_path: Path) -> LakeCatalog:
    return LakeCatalog(tmp_path / "lake", create=True)


def test_twice_changes_nothing(catalog: LakeCatalog, tmp_path: Path) -> None:
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 5)]
    assert [each.state for each in ingest(catalog, sources)] == ["ingested"] * 5
    before, snapshots = rows(catalog), Lake(catalog).snapshots(TABLE)
    assert len(before) == 120
    assert ingest(catalog, sources) == []
    assert rows(catalog) == before
    assert Lake(catalog).snapshots(TABLE) == snapshots
    assert [each.rows for each in ingest(catalog, sources, IngestSettings(again=True))] == [24] * 5
    assert rows(catalog) == before


def test_a_new_version_replaces_exactly_its_rows(catalog: LakeCatalog, tmp_path: Path) -> None:
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 5)]
    ingest(catalog, sources)
    before = rows(catalog)
    then = datetime.now(UTC)
    changed = put(tmp_path, sources[2].archive, with_volume(sources[2].archive, 7))
    (told,) = ingest(catalog, [*sources[:2], changed, *sources[3:]])
    assert (told.rows, told.replaced) == (24, 1)
    after = rows(catalog)
    key = changed.archive.key
    assert [row for row in after if row[0] != key] == [row for row in before if row[0] != key]
    assert {row[2] for row in after if row[0] == key} == {7.5}
    assert len(after) == 120
    assert rows(catalog, then) == before
    newest = Lake(catalog).sql(
        f"SELECT sha256 FROM lakehouse.archives WHERE archive = '{key}'"  # noqa: S608
    )
    assert newest.to_arrow_table().to_pylist() == [{"sha256": changed.sha256}]
    history = Lake(catalog).sql("FROM lakehouse.archive_history").to_arrow_table()
    assert history.num_rows == 6


def test_it_is_told_how_many_rows_a_new_version_changes(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 3)]
    archive = sources[1].archive
    lines = [line.split(",") for line in text_of(archive).splitlines()]
    ingest(catalog, [sources[0], put(tmp_path, archive, joined(lines[3:])), sources[2]])
    changed = [[*line[:8], "5", *line[9:]] for line in lines[10:14]]
    newer = put(tmp_path, archive, joined([*lines[:10], *changed, *lines[14:-2]]))
    (told,) = ingest(catalog, [newer])
    assert told.changes == RowChanges(added=3, changed=4, removed=2)
    assert len(rows(catalog)) == 70
    (told,) = ingest(catalog, [put(tmp_path, archive, joined(lines[-1:]))])
    assert told.changes == RowChanges(added=1, removed=22)


def test_what_cannot_be_read_leaves_the_version_before(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 3)]
    ingest(catalog, sources)
    before = rows(catalog)
    text = text_of(sources[1].archive).replace(".", "x", 1)
    (told,) = ingest(catalog, [put(tmp_path, sources[1].archive, text)])
    assert told.state == "refused"
    assert told.quality.fault.startswith("line 1, column `open`")
    assert rows(catalog) == before


def test_quarantine_keeps_an_archive_out_and_its_neighbours_in(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 3)]
    lines = text_of(sources[1].archive).splitlines()
    del lines[5]
    sources[1] = put(tmp_path, sources[1].archive, "\n".join(lines))
    settings = IngestSettings(policies={"continuity": Policy.QUARANTINE})
    told = ingest(catalog, sources, settings)
    assert [each.state for each in told] == ["ingested", "quarantined", "ingested"]
    assert {row[0] for row in rows(catalog)} == {sources[0].archive.key, sources[2].archive.key}
    assert ingest(catalog, sources, settings) == []
    (told_again,) = ingest(catalog, sources[1:2], IngestSettings(again=True))
    assert told_again.state == "ingested"


@pytest.mark.parametrize("fault", ["line", "crc", "hole"])
def test_rows_of_a_large_archive_go_when_its_end_is_bad(
    fault: str, catalog: LakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(*args: Any, **named: Any) -> Any:
        return read_batches(*args, **named, batch_bytes=1000)

    monkeypatch.setattr(series_writer, "read_batches", small)
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 3)]
    lines = text_of(sources[1].archive).splitlines()
    if fault == "line":
        lines[20] = "1,2,3"
    if fault == "hole":
        del lines[20]
    sources[1] = put(tmp_path, sources[1].archive, "\n".join(lines))
    if fault == "crc":
        data = bytearray(Path(sources[1].place).read_bytes())
        place = data.index(b"PK\x01\x02") + 16
        data[place] ^= 1
        Path(sources[1].place).write_bytes(data)
    settings = IngestSettings(
        policies={"continuity": Policy.QUARANTINE}, layout=FileLayout(row_group_rows=5)
    )
    told = {each.archive: each.state for each in ingest(catalog, sources, settings)}
    assert told[sources[1].archive] == ("quarantined" if fault == "hole" else "refused")
    assert {row[0] for row in rows(catalog)} == {sources[0].archive.key, sources[2].archive.key}
    assert len(rows(catalog)) == 48
    table = catalog.find(TABLE)
    assert table is not None
    assert sweep_table(table) == []


def test_a_run_adds_one_sorted_file_to_a_partition(catalog: LakeCatalog, tmp_path: Path) -> None:
    sources = [
        put(tmp_path, bars(day, symbol, interval))
        for symbol in ("BTCUSDT", "ETHUSDT")
        for interval in ("1h", "5m")
        for day in reversed(days(FIRST, 8))
    ]
    ingest(catalog, sources, IngestSettings(workers=2, layout=FileLayout(row_group_rows=100)))
    found = files(catalog)
    assert len(found) == len({str(file.partition) for file in found}) == 8
    for file in found:
        times = Lake(catalog).sql(
            "SELECT symbol, interval, open_time FROM spot.klines"
        ).to_arrow_table().num_rows  # fmt: skip
        assert times == 2 * (24 + 288) * 8
        assert file.lower_bounds
        assert file.upper_bounds
    import pyarrow.parquet as pq

    for file in found:
        read = pq.read_table(file.file_path.removeprefix("file://"), partitioning=None)
        times_of: list[Any] = read["open_time"].to_pylist()
        assert times_of == sorted(times_of)
        assert len(set(read["symbol"].to_pylist())) == 1


def test_metrics_of_the_next_year_are_in_its_partition(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    key = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2023-12-31.zip"
    ingest(catalog, [put(tmp_path, Archive.parse(key))])
    _, found = Lake(catalog).data_files("futures_um.metrics")
    assert sorted(file.record_count for file in found) == [1, 287]


def test_floats_and_decimals_do_not_mix(catalog: LakeCatalog, tmp_path: Path) -> None:
    source = put(tmp_path, bars(FIRST))
    ingest(catalog, [source])
    with pytest.raises(LakeError, match=r"table `spot\.klines` has floats; decimals cannot"):
        ingest(catalog, [put(tmp_path, bars(FIRST, "ETHUSDT"))], IngestSettings(exact=True))
