"""One archive is one unit: nothing twice, nothing lost, whatever comes in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.tables.sample_data import bars, days, ingest, month_of, put, text_of

from crypto_lakehouse.core.archive import Archive, Period
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.files import series_writer
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire, sweep
from crypto_lakehouse.tables.quality.findings import Policy
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.reading.reader import read_batches

FIRST = date(2023, 12, 28)
TABLE = "spot.klines"


@pytest.fixture
def catalog(tmp_path: Path) -> LakeCatalog:
    return LakeCatalog(tmp_path / "lake", create=True)


def rows(catalog: LakeCatalog, as_of: datetime | None = None) -> list[tuple[Any, ...]]:
    scan = Lake(catalog).scan(TABLE, columns=["archive", "open_time", "volume"], as_of=as_of)
    return sorted(scan.polars().collect().iter_rows())


def files(catalog: LakeCatalog) -> list[Any]:
    return list(Lake(catalog).data_files(TABLE)[1])


def with_volume(archive: Archive, volume: int) -> str:
    lines = [line.split(",") for line in text_of(archive).splitlines()]
    for line in lines:
        line[5] = line[9] = f"{volume}.5"
        line[9] = "0"
        line[10] = "0"
    return "\n".join(map(",".join, lines)) + "\n"


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


def test_a_month_takes_the_place_of_its_days(catalog: LakeCatalog, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 6)]  # 4 in December, 2 in January
    ingest(catalog, daily)
    month = put(tmp_path, month_of(daily[0].archive))
    (told,) = ingest(catalog, [*daily, month])
    assert (told.rows, told.replaced) == (31 * 24, 4)
    found = rows(catalog)
    assert len(found) == len({row[1] for row in found}) == 33 * 24
    assert ingest(catalog, daily) == []
    assert rows(catalog) == found
    states = Lake(catalog).sql("SELECT state, count(*) n FROM lakehouse.archives GROUP BY ALL")
    assert {row["state"]: row["n"] for row in states.to_arrow_table().to_pylist()} == {
        "ingested": 3,
        "superseded": 4,
    }


def test_both_at_once_is_the_month(catalog: LakeCatalog, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 6)]
    told = ingest(catalog, [*daily, put(tmp_path, month_of(daily[0].archive))])
    assert sorted(each.rows for each in told) == [24, 24, 744]
    assert len(rows(catalog)) == 33 * 24


def stray_of(archive: Archive) -> Archive:
    """The month under the name that some have a second time, `2023-8`."""
    month = Period.month(archive.period.first_day)
    return evolve(archive, period=evolve(month, padded=False))


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("stray_first", [True, False])
def test_a_month_under_two_names_is_in_the_table_once(
    catalog: LakeCatalog, tmp_path: Path, *, together: bool, stray_first: bool
) -> None:
    day = bars(date(2023, 8, 3))
    padded, stray = put(tmp_path, month_of(day)), put(tmp_path, stray_of(day))
    order = [stray, padded] if stray_first else [padded, stray]
    for some in [order] if together else [[each] for each in order]:
        ingest(catalog, [*some, put(tmp_path, day)])
    found = rows(catalog)
    assert {row[0] for row in found} == {padded.archive.key}
    assert len(found) == len({row[1] for row in found}) == 31 * 24
    assert ingest(catalog, [*order, put(tmp_path, day)]) == []


def test_a_month_under_its_stray_name_covers_its_days(catalog: LakeCatalog, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(date(2023, 8, 1), 3)]
    ingest(catalog, daily)
    (told,) = ingest(catalog, [*daily, put(tmp_path, stray_of(daily[0].archive))])
    assert (told.rows, told.replaced) == (31 * 24, 3)
    assert ingest(catalog, daily) == []
    assert len(rows(catalog)) == 31 * 24


def test_a_month_with_fewer_rows_than_its_days_is_held_back(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 4)]
    ingest(catalog, daily)
    before = rows(catalog)
    month = month_of(daily[0].archive)
    short = put(tmp_path, month, "".join(text_of(month).splitlines(keepends=True)[:95]))
    (told,) = ingest(catalog, [short])
    assert told.state == "held_back"
    assert "has 95 rows, fewer than the 96 of its 4 days in the table" in told.quality.fault
    assert rows(catalog) == before


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
        data = bytearray(sources[1].path.read_bytes())
        place = data.index(b"PK\x01\x02") + 16
        data[place] ^= 1
        sources[1].path.write_bytes(data)
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


class Ingesting(RuleBasedStateMachine):
    """A table against a dictionary: archive -> what its rows say."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.catalog = LakeCatalog(self.root / "lake", create=True)
        self.model: dict[str, int] = {}
        self.sources: dict[str, tuple[Source, int]] = {}

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.catalog.close()
            shutil.rmtree(self.root)

    @rule(day=st.integers(0, 7), symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
          volume=st.integers(1, 9))  # fmt: skip
    def publish_day(self, day: int, symbol: str, volume: int) -> None:
        archive = bars(FIRST + timedelta(days=day), symbol, "1d")
        source = put(self.root, archive, with_volume(archive, volume))
        self.sources[archive.key] = (source, volume)

    @rule(symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]), volume=st.integers(1, 9))
    def publish_month(self, symbol: str, volume: int) -> None:
        archive = month_of(bars(FIRST, symbol, "1d"))
        source = put(self.root, archive, with_volume(archive, volume))
        self.sources[archive.key] = (source, volume)

    @rule()
    def ingest(self) -> None:
        ingest(self.catalog, [source for source, _ in self.sources.values()])
        self.model = {key: volume for key, (_, volume) in self.sources.items()}
        months = [key for key in self.model if "/monthly/" in key]
        for key in months:
            symbol = key.split("/")[4]
            covered = f"data/spot/daily/klines/{symbol}/1d/{symbol}-1d-2023-12-"
            self.model = {
                each: volume for each, volume in self.model.items() if not each.startswith(covered)
            }

    @rule()
    def compact(self) -> None:
        if self.model:
            compact(self.catalog, TABLE, tool_version="test")
            partitions = [str(file.partition) for file in files(self.catalog)]
            assert len(partitions) == len(set(partitions))

    @rule()
    def expire(self) -> None:
        if self.model:
            expire(self.catalog, TABLE, before=datetime.now(UTC) + timedelta(days=1))
            assert len(Lake(self.catalog).snapshots(TABLE)) == 1
            assert sweep(self.catalog, TABLE, before=None) == []

    @invariant()
    def holds_what_the_model_says(self) -> None:
        if not getattr(self, "model", None):
            return
        found = rows(self.catalog)
        assert {(key, volume) for key, _, volume in found} == {
            (key, volume + 0.5) for key, volume in self.model.items()
        }
        count = sum(31 if "/monthly/" in key else 1 for key in self.model)
        assert len(found) == count


Ingesting.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestIngesting = Ingesting.TestCase
