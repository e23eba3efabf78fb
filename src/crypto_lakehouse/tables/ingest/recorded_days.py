"""The table `lakehouse.recorded_days`: how much of an archive's day was recorded.

There is a row for each series and day of which the lake has both an archive and recordings. It
follows from their contents, and is replaced whenever they are merged again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyiceberg.types import DateType, DoubleType, LongType, StringType, TimestamptzType

from crypto_lakehouse.core.archive import Archive, Period, Series
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.day_scores import DayScore
from crypto_lakehouse.tables.ingest.merge_outcome import MergeOutcome
from crypto_lakehouse.tables.ingest.records import RecordChange, recorded_among, write_records
from crypto_lakehouse.tables.schema.schemas import PartitionField
from crypto_lakehouse.tables.schema.table_types import arrow_schema, record_schema

__all__ = ["RECORDED_DAYS", "record_days"]

RECORDED_DAYS = "lakehouse.recorded_days"

_SCHEMA = record_schema(
    (
        ("archive", StringType(), True, "object key of the day's archive, if there is one"),
        ("table", StringType(), True, "the table"),
        ("symbol", StringType(), True, "the symbol"),
        ("interval", StringType(), False, "length of the bar"),
        ("day", DateType(), True, "the UTC day"),
        (
            "score",
            DoubleType(),
            False,
            "share of the archive's rows that were recorded as they are",
        ),
        ("archive_rows", LongType(), True, "rows of the archive, or of its month, on the day"),
        ("recorded", LongType(), True, "those of them that were recorded"),
        ("missing", LongType(), True, "those of them that were not"),
        ("missing_keys", StringType(), True, "the first ranges of these, as JSON"),
        ("differing", LongType(), True, "those of `recorded` with other values"),
        ("not_in_archive", LongType(), True, "recorded rows whose keys the archive does not have"),
        ("commit", StringType(), True, "the commit that compared them"),
        ("tool_version", StringType(), True, "version of crypto-lakehouse"),
        ("recorded_at", TimestamptzType(), True, "when, by the clock of the machine"),
    )
)


def record_days(
    catalog: LakeCatalog,
    table: str,
    merges: Iterable[MergeOutcome],
    *,
    commit: str,
    tool_version: str,
) -> None:
    """Replace the scores of the days of some merges.

    Args:
        catalog: The lake's tables.
        table: The table of the rows.
        merges: What they came to.
        commit: The name of the commit.
        tool_version: Recorded with each.
    """
    scores = ((each.rebuild.series, score) for each in merges for score in each.scores)
    rows = [*_rows(table, scores, commit, tool_version)]
    if not rows:
        return
    partition = (PartitionField("table", "identity"),)
    found = catalog.find(RECORDED_DAYS) or catalog.create(
        RECORDED_DAYS, _SCHEMA, partition, ("archive",), {}
    )
    change = RecordChange(
        of_table=table,
        rows=pa.Table.from_pylist(rows, schema=arrow_schema(found.schema())),
        replaced=recorded_among(found, [str(row["archive"]) for row in rows]),
        commit=commit,
        tool_version=tool_version,
    )
    write_records(catalog, found, change)


def _rows(
    table: str, scores: Iterable[tuple[Series, DayScore]], commit: str, tool_version: str
) -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    for series, each in scores:
        missing = [[_plain(run.first), _plain(run.last), run.rows] for run in each.missing]
        yield {
            "archive": Archive(series, Period.day(each.day)).key,
            "table": table,
            "symbol": series.symbol,
            "interval": series.interval,
            "day": each.day,
            "score": each.score,
            "archive_rows": each.archive_rows,
            "recorded": each.recorded,
            "missing": each.archive_rows - each.recorded,
            "missing_keys": json.dumps(missing),
            "differing": each.differing,
            "not_in_archive": each.not_in_archive,
            "commit": commit,
            "tool_version": tool_version,
            "recorded_at": now,
        }


def _plain(key: int | datetime) -> int | str:
    return key if isinstance(key, int) else key.isoformat()
