"""Other programs read the tables of a lake in an object store: they find the same rows."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from attrs import frozen
from pyiceberg.table import StaticTable
from tests.services.bucket import Bucket
from tests.services.installed import program
from tests.tables.lake.conftest import contents
from tests.tables.sample_data import bars, changed_text, days, put

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.tables import Lake

TABLE = "spot.klines"
COLUMNS = ("symbol", "open_time", "open", "high", "low", "close", "volume", "count")

#: Each row. JSON has no times: they are text.
ROWS = """
    SELECT symbol, strftime(open_time, '%Y-%m-%d %H:%M:%S'), open, high, low, close, volume, "count"
    FROM {table} ORDER BY symbol, open_time
"""

#: Decimals have the same sum in any order. JSON has no decimals: they are text.
SUMS = """
    SELECT symbol, count(*), sum(close::DECIMAL(38, 10))::VARCHAR,
           sum(volume::DECIMAL(38, 10))::VARCHAR
    FROM {table} GROUP BY symbol ORDER BY symbol
"""

SCRIPT = Path(__file__).with_name("iceberg_scan.py")


@frozen
class Published:
    """A table in an object store: what another program needs to read it, and what it must find.

    Attributes:
        metadata: The URL of the table's metadata.
        endpoint: The address of the store.
        credentials: The variables with the credentials.
        rows: The answer of this package to `ROWS`.
        sums: Its answer to `SUMS`.
    """

    metadata: str
    endpoint: str
    credentials: dict[str, str]
    rows: list[tuple[Any, ...]]
    sums: list[tuple[Any, ...]]

    @property
    def options(self) -> dict[str, str]:
        """What pyiceberg, and Polars with it, need to read from the store."""
        return {
            "s3.endpoint": self.endpoint,
            "s3.region": "us-east-1",
            "s3.access-key-id": self.credentials["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": self.credentials["AWS_SECRET_ACCESS_KEY"],
        }


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


@pytest.fixture(scope="module", params=["in the store", "in a directory"])
def published(
    request: pytest.FixtureRequest,
    ministack_bucket: Bucket,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    """Bars of three symbols and four years, compacted, then one day replaced and one added.

    The tables are made in the store, or in a directory that is copied to it and relocated.
    """
    folder = tmp_path_factory.mktemp("archives")
    url, storage = ministack_bucket.fresh_prefix(), dict(ministack_bucket.storage)
    state = str(tmp_path_factory.mktemp("state"))
    wanted = [date(2022, 12, 31), *days(date(2023, 12, 30), 4), date(2025, 1, 1)]
    archives = [bars(day, symbol) for symbol in ("AUSDT", "BUSDT", "CUSDT") for day in wanted]
    with ministack_bucket.credentials(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(storage))
        environment.setenv("XDG_STATE_HOME", state)
        made = str(folder / "lake") if request.param == "in a directory" else url
        for archive in archives[:-1]:
            put(folder, archive)
        run("ingest", "-o", str(folder), "--lake", made)
        run("lake", "compact", "-o", str(folder), "--lake", made)
        put(folder, archives[1], changed_text(archives[1]))
        put(folder, archives[-1])
        run("ingest", "-o", str(folder), "--lake", made)
        if made != url:
            for key, data in contents(Path(made)).items():
                ministack_bucket.open(url).client.put(key, data)
            shutil.rmtree(made)
            run("lake", "relocate", "-o", str(folder), "--lake", url)
        record = ministack_bucket.open(url).client.read(f".lakehouse/tables/{TABLE}.json")
        assert record is not None
        with Lake.open(url, storage=storage) as lake:
            rows, sums = (lake.sql(sql.format(table=TABLE)).fetchall() for sql in (ROWS, SUMS))
    assert [len(rows), [row[6] for row in rows].count(7)] == [18 * 24, 24]
    return Published(
        json.loads(record)["metadata"],
        ministack_bucket.storage["endpoint"],
        dict(ministack_bucket.environment),
        rows,
        sums,
    )


def by_duckdb_extension(published: Published, sql: str) -> list[tuple[Any, ...]]:
    """Ask DuckDB's Iceberg extension, which knows the table as `witnessed`."""
    place = (published.metadata, published.endpoint)
    done = subprocess.run(
        [program("duckdb"), "-I", SCRIPT, *place, sql.format(table="witnessed")],
        env=published.credentials,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(row) for row in json.loads(done.stdout)]


def check(published: Published, found: pl.DataFrame) -> None:
    """Rows that another program read are those of this package, and so are their sums."""
    time = pl.col("open_time").dt.strftime("%Y-%m-%d %H:%M:%S")
    rows = found.sort("symbol", "open_time").with_columns(time)
    assert rows.rows() == published.rows
    exact = pl.col("close", "volume").cast(pl.Decimal(38, 10)).sum().cast(pl.String)
    assert found.group_by("symbol").agg(pl.len(), exact).sort("symbol").rows() == published.sums


def test_the_iceberg_extension_of_duckdb_reads_the_same(published: Published) -> None:
    assert by_duckdb_extension(published, ROWS) == published.rows
    assert by_duckdb_extension(published, SUMS) == published.sums


def test_pyiceberg_reads_the_same(published: Published) -> None:
    table = StaticTable.from_metadata(published.metadata, published.options)
    found = pl.from_arrow(table.scan(selected_fields=COLUMNS).to_arrow())
    assert isinstance(found, pl.DataFrame)
    check(published, found.select(COLUMNS))


def test_polars_reads_the_same(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # else it warns of an absent plugin
    frame = pl.scan_iceberg(
        published.metadata, storage_options=published.options, reader_override="native"
    )
    check(published, frame.select(COLUMNS).collect())
