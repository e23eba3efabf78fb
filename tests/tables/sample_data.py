"""Archives for tests of the tables: made up, or of given lines."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import zstandard
from attrs import evolve

from crypto_lakehouse.core.archive import (
    Archive,
    DataType,
    Market,
    Origin,
    Partition,
    Period,
    Series,
)
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.segments.fill_segment import FillHeader, FillResponse, write_fill
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import TableSchema, load_schemas, schema_of
from crypto_lakehouse.testing.made_up.generator import csv_chunks

SYMBOLS = {
    Market.SPOT: "BTCUSDT",
    Market.FUTURES_UM: "BTCUSDT",
    Market.FUTURES_CM: "BTCUSD_PERP",
    Market.OPTIONS: "BTCUSDT",
}

#: Within the life of every type.
DAY = date(2023, 7, 15)


@cache
def matrix() -> Matrix:
    return load_matrix()


def row_of(schema: TableSchema) -> MatrixRow:
    row = matrix().row(schema.market, schema.data_type)
    assert row is not None
    return row


def every_schema() -> list[TableSchema]:
    """Every table that has archives."""
    return [schema for schema in load_schemas().values() if not schema.recorded]


def archive_of(schema: TableSchema, day: date = DAY, interval: str = "1h") -> Archive:
    """An archive of a type: a day's where there are such, else a month's."""
    row = row_of(schema)
    symbol = row.symbols[0] if row.symbols else SYMBOLS[schema.market]
    if row.symbol_form == "pair":
        symbol = symbol.partition("_")[0]
    chosen = interval if schema.has_interval else None
    daily = Partition.DAILY in row.partitions
    period = Period.day(day) if daily else Period.month(day)
    return Archive(Series(schema.market, schema.data_type, symbol, chosen), period)


def bars(day: date, symbol: str = "BTCUSDT", interval: str = "1h") -> Archive:
    """A day of spot bars."""
    return Archive(Series(Market.SPOT, DataType.KLINES, symbol, interval), Period.day(day))


def month_of(archive: Archive) -> Archive:
    """The archive of its whole month."""
    return evolve(archive, period=Period.month(archive.period.first_day))


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


def text_of(archive: Archive) -> str:
    """The made-up CSV of an archive."""
    row = matrix().row(archive.market, archive.data_type)
    assert row is not None
    return b"".join(csv_chunks(archive, row)).decode()


def changed_text(archive: Archive) -> str:
    """Other lines for an archive of bars: the volume is 7 everywhere."""
    lines = [line.split(",") for line in text_of(archive).splitlines()]
    return "\n".join(",".join([*each[:5], "7", *each[6:]]) for each in lines) + "\n"


def zipped(member: str, text: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo(member, (2025, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def put(root: Path, archive: Archive, text: str | bytes | None = None) -> Source:
    """Write an archive below a root, of its made-up lines or of others."""
    return put_zip(
        root, archive, zipped(archive.member, text_of(archive) if text is None else text)
    )


def put_segment(root: Path, archive: Archive, text: str | None = None) -> Source:
    """Write the segment of a day of bars below a root, of the lines of an archive."""
    rows: list[list[object]] = []
    for line in (text_of(archive) if text is None else text).splitlines():
        values: list[object] = [*line.split(",")]
        for place in (0, 6, 8):
            values[place] = int(str(values[place]))
        rows.append(values)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    response = FillResponse(
        url="https://exchange.example/api/v3/klines", params={"symbol": archive.symbol},
        received_at=moment, server_time=moment, status=200, body=json.dumps(rows),
    )  # fmt: skip
    header = FillHeader(
        series=archive.series, day=archive.period.first_day, complete=True, tool_version="test",
        filled_at=moment,
    )  # fmt: skip
    return put_zip(root, evolve(archive, origin=Origin.FILL), write_fill(header, [response]))


def put_excerpt(root: Path, archive: Archive, text: str, received: timedelta) -> Source:
    """Write an excerpt of bars at its own key, each received so much after it opened."""
    begin, microsecond = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    rows, times = [], []
    for line in text.splitlines():
        values = line.split(",")[:-1]  # the last one is no column of the table
        times.append(begin + timedelta(milliseconds=int(values[0])))
        moment = (times[-1] + received - begin) // microsecond
        close = int(values[6]) * 1000
        rows.append(
            ",".join([f"{values[0]}000", *values[1:6], str(close), *values[7:], str(moment)])
        )
    data = zstandard.ZstdCompressor(1).compress("".join(f"{row}\n" for row in rows).encode())
    return evolve(put_zip(root, archive, data), keys=(times[0], times[-1]))


def put_zip(root: Path, archive: Archive, data: bytes) -> Source:
    path = root / archive.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (root / archive.sidecar_key).write_text(f"{digest}  {archive.name}\n")
    return Source(archive, LocalFiles(root), digest)


def ingest(
    catalog: LakeCatalog,
    sources: Iterable[Source],
    settings: IngestSettings | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Ingested]:
    """Ingest archives of any tables; what each came to."""
    told: list[Ingested] = []
    ingestion = Ingestion(catalog, settings or IngestSettings(), told.append, check)
    by_schema: dict[str, list[Source]] = {}
    for source in sources:
        by_schema.setdefault(schema_of(source.archive).name, []).append(source)
    for some in by_schema.values():
        schema = schema_of(some[0].archive)
        ingestion.run(schema, ingestion.plan(schema, some))
    return told
