"""A lake at a URL is read as one in a directory is, and a query reads its tables only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from pyiceberg.types import DoubleType, StringType
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, Request, behind_faults, error
from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.sample_data import bars, days, ingest, put

from crypto_lakehouse.core.errors import LakeError, QueryError, StoreError
from crypto_lakehouse.stores.objects.reading import open_object
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.object_files import ObjectHandler
from crypto_lakehouse.tables.lake import object_system
from crypto_lakehouse.tables.lake.connection import explained
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.object_system import DataObjects
from crypto_lakehouse.tables.lake.scan import Scan

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
EVERY = "FROM spot.klines ORDER BY symbol, open_time"


@pytest.fixture
def at_url(tmp_path: Path) -> LakeAtUrl:
    return LakeAtUrl.in_memory(tmp_path)


def archives(root: Path) -> list[Any]:
    """Days of three symbols, over the end of a year, so that each has two files."""
    wanted = days(date(2023, 12, 30), 4)
    return [put(root, bars(day, symbol)) for symbol in SYMBOLS for day in wanted]


@pytest.fixture
def lake(at_url: LakeAtUrl, tmp_path: Path) -> Iterator[Lake]:
    at_url.ingest(archives(tmp_path / "tree"))
    with Lake(at_url.catalog(create=False)) as lake:
        yield lake


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Lake]:
    catalog = LakeCatalog(tmp_path / "local", create=True)
    ingest(catalog, archives(tmp_path / "tree"))
    with Lake(catalog) as lake:
        yield lake


SELECTIONS: list[dict[str, Any]] = [
    {},
    {"symbols": ["AUSDT"], "start": "2023-12-31", "end": "2024-01-01", "columns": ["open_time"]},
    {"symbols": "B*", "columns": ["symbol", "close", "archive"]},
    {"start": "2030-01-01"},
]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_engine_reads_what_it_reads_in_a_directory(
    lake: Lake, local: Lake, selection: dict[str, Any]
) -> None:
    there, here = (each.scan("spot.klines", **selection) for each in (lake, local))
    assert here.pruning.rows == there.pruning.rows
    wanted = here.arrow().read_all()
    assert there.arrow(batch_rows=7).read_all().equals(wanted)
    assert there.polars().collect().equals(here.polars().collect())
    assert sorted(there.duckdb().fetchall()) == sorted(here.duckdb().fetchall())


def test_polars_pushes_columns_rows_and_filters_into_the_scan(lake: Lake, local: Lake) -> None:
    def asked(scan: Scan) -> pl.DataFrame:
        wanted = scan.polars().filter(pl.col("symbol") == "BUSDT").select("symbol", "volume")
        return wanted.head(5).collect()

    there, here = (asked(each.scan("spot.klines")) for each in (lake, local))
    assert there.equals(here)
    assert lake.scan("spot.klines").polars().head(3).collect().height == 3


def test_sql_reads_what_it_reads_in_a_directory(lake: Lake, local: Lake) -> None:
    assert lake.sql(EVERY).fetchall() == local.sql(EVERY).fetchall()
    grouped = "SELECT symbol, interval, count(*) FROM spot.klines GROUP BY ALL ORDER BY ALL"
    assert lake.sql(grouped).fetchall() == local.sql(grouped).fetchall()
    kept = "SELECT archive, state, rows, sha256 FROM lakehouse.archives ORDER BY ALL"
    assert lake.sql(kept).fetchall() == local.sql(kept).fetchall()
    assert lake.sql("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


READERS: dict[str, Callable[[Lake], Any]] = {
    "polars": lambda lake: lake.scan("spot.klines").polars().collect().sort("symbol", "open_time"),
    "arrow": lambda lake: pl.from_arrow(lake.scan("spot.klines").arrow().read_all()),
    "duckdb": lambda lake: lake.scan("spot.klines").duckdb().order("symbol, open_time").pl(),
    "sql": lambda lake: lake.sql(EVERY).pl(),
    "a part": lambda lake: lake.scan("spot.klines", columns=["added", "symbol"]).polars().collect(),
}


def add_columns(lake: Lake) -> None:
    """Do what another program may do: files have no such columns."""
    with lake.catalog.catalog.load_table("spot.klines").update_schema() as update:
        update.add_column("added", DoubleType())
        update.add_column("said", StringType())


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_columns_that_were_added_are_null_in_older_objects(
    lake: Lake, local: Lake, read: Callable[[Lake], pl.DataFrame]
) -> None:
    add_columns(lake)
    add_columns(local)
    found, wanted = (read(each) for each in (lake, local))
    assert found.schema == wanted.schema
    by = [name for name in ("symbol", "open_time") if name in found.columns]
    assert found.sort(by).equals(wanted.sort(by))
    assert found["added"].null_count() == found.height == len(SYMBOLS) * 4 * 24


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_arrows_own_file_system_reads_no_objects(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, read: Callable[[Lake], pl.DataFrame]
) -> None:
    """An error that it meets in a thread of Arrow may keep the process for ever."""
    add_columns(lake)

    def refused(*_given: Any) -> Any:
        raise AssertionError("Arrow opens an object")

    monkeypatch.setattr(ObjectHandler, "open_input_file", refused)
    assert read(lake).height == len(SYMBOLS) * 4 * 24


def test_an_arrow_dataset_of_objects_is_refused_with_a_remedy(lake: Lake, local: Lake) -> None:
    with pytest.raises(LakeError, match=r"spot\.klines.* use `arrow\(\)`") as refused:
        lake.scan("spot.klines").dataset()
    assert refused.value.exit_code == 2
    assert lake.scan("spot.klines", start="2030-01-01").dataset().count_rows() == 0
    assert local.scan("spot.klines").dataset().count_rows() == len(SYMBOLS) * 4 * 24


def test_an_object_of_a_changed_table_that_fails_is_an_error(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_columns(lake)

    def failing(*_given: Any, **_named: Any) -> Any:
        raise StoreError("memory://bucket/lake", "503 SlowDown")

    monkeypatch.setattr(object_system, "open_object", failing)
    for read in READERS.values():
        with pytest.raises(LakeError, match="503 SlowDown"):
            read(lake)


def test_a_selection_opens_only_its_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[str] = set()

    def counted(client: Any, key: str, *rest: Any, **options: Any) -> Any:
        opened.add(key)
        return open_object(client, key, *rest, **options)

    monkeypatch.setattr(f"{object_system.__name__}.open_object", counted)
    lake.sql("SELECT sum(volume) FROM spot.klines WHERE symbol = 'BUSDT'").fetchall()
    assert len([key for key in opened if "symbol=AUSDT" in key]) <= 1  # DuckDB opens the first file
    assert not [key for key in opened if "symbol=CUSDT" in key]


def test_large_files_are_read_in_ranges_and_small_ones_are_kept_up_to_a_limit(
    lake: Lake, local: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_system, "_KEPT_BYTES", 1)
    assert lake.sql(EVERY).fetchall() == local.sql(EVERY).fetchall()


READS = ("read_text", "read_blob", "read_parquet", "read_csv", "glob")


@pytest.mark.parametrize("read", READS)
def test_a_query_reads_no_other_object(lake: Lake, at_url: LakeAtUrl, read: str) -> None:
    at_url.client.put("warehouse/neighbour.parquet", b"secret")
    url = at_url.client.url
    (file, *_) = lake.scan("spot.klines").paths
    places = ("/etc/passwd", f"{url}/warehouse/neighbour.parquet", f"{url}/../other/x", file,
              f"{url}/.lakehouse/tables/spot.klines.json", "s3://other/x", "http://127.0.0.1:1/x",
              f"{url}/warehouse/*", "*")  # fmt: skip
    for place in places:
        for path in (place, _own_scheme(place)):
            query = f"SELECT * FROM spot.klines, {read}('{path}') LIMIT 1"  # noqa: S608
            with pytest.raises(QueryError, match="Permission Error: Cannot access"):
                lake.sql(query)


def _own_scheme(place: str) -> str:
    """The path in the scheme of a session's own file system, whatever its number is."""
    return f"lake1://{place.partition('://')[2]}"


def test_the_file_system_has_the_data_files_alone(lake: Lake) -> None:
    table, files = lake.data_files("spot.klines")
    objects = DataObjects(table)
    (path, *rest) = objects.add(table, files)
    assert objects.glob(path) == [path]
    assert objects.info(path)["size"] == files[0].file_size_in_bytes
    assert objects.exists(rest[0])
    other = path.replace("AUSDT", "XUSDT")
    assert (objects.glob(other), objects.exists(other)) == ([], False)
    for refused in (objects.open, objects.info, objects.modified):
        with pytest.raises(LakeError, match="is not a data file"):
            refused(other)
    with pytest.raises(LakeError, match="is only read"):
        objects.open(path, "wb")


@pytest.fixture
def behind(ministack_bucket: Bucket, tmp_path: Path) -> Iterator[tuple[FaultProxy, Lake]]:
    with behind_faults(ministack_bucket) as (proxy, bucket), bucket.credentials():
        at_url = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        at_url.ingest(archives(tmp_path / "tree"))
        with Lake(at_url.catalog(create=False)) as lake:
            yield proxy, lake


def expired(request: Request, forward: Forward) -> Answer | None:
    """Refuse the data files, and nothing else."""
    if request.kind == "get" and request.key.endswith(".parquet"):
        return error(403, "ExpiredToken", "SECRET")
    return forward()


ENGINES: dict[str, Callable[[Lake], object]] = {
    "sql": lambda lake: lake.sql(EVERY).fetchall(),
    "duckdb": lambda lake: lake.scan("spot.klines").duckdb().fetchall(),
    "arrow": lambda lake: lake.scan("spot.klines").arrow().read_all(),
    "polars": lambda lake: lake.scan("spot.klines").polars().collect(),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_credentials_that_expire_end_a_query_with_that_error(
    behind: tuple[FaultProxy, Lake], engine: str
) -> None:
    """Again and again, as Arrow's own threads waited for ever in one of a few tries."""
    proxy, lake = behind
    proxy.fault = expired
    for _ in range(8):
        with pytest.raises((LakeError, duckdb.Error, pl.exceptions.ComputeError)) as caught:
            ENGINES[engine](lake)
        found = caught.value
        text = explained(found) if isinstance(found, duckdb.Error) else str(found)
        assert "ExpiredToken (SECRET); renew the credentials" in text
        assert "Traceback" not in text
    proxy.clear()
    assert ENGINES[engine](lake) is not None
