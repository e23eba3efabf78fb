"""The table `lakehouse.archives`: the state of each archive in the lake, and its history.

Rows are only added: the newest row of an archive is its current state, older rows are its history.
Newest means the greatest sequence numbers, which only grow; the clock of the machine may have been
wrong. The column `archive` is the key by which data tables are joined.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from attrs import frozen
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import BooleanType, LongType, StringType, TimestamptzType

from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.column_changes import add_columns
from crypto_lakehouse.tables.iceberg.filters import equals
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges, rows_between
from crypto_lakehouse.tables.ingest.commits import newest_sequence
from crypto_lakehouse.tables.ingest.records import RecordChange, write_records
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Finding
from crypto_lakehouse.tables.schema.schemas import PartitionField
from crypto_lakehouse.tables.schema.table_types import arrow_schema, record_schema

__all__ = [
    "ARCHIVES",
    "NOT_TAKEN",
    "ORDER",
    "PRESENT",
    "Standing",
    "can_be_recorded",
    "newest_between",
    "newest_of",
    "newest_rows",
    "plain_finding",
    "provenance_row",
    "record",
    "recorded_again",
    "standings",
    "standings_between",
]

ARCHIVES = "lakehouse.archives"

#: The states in which an archive's rows are in the table, under its name or another's.
PRESENT = frozenset({"ingested", "superseded"})

#: The states in which an archive was read and has no row in the table.
NOT_TAKEN = frozenset({"refused", "quarantined"})

#: - ingested: its rows are in the table;
#: - superseded: other archives of its month have the same rows, or rows that are preferred, so
#:   none is in the table under its name;
#: - refused: it cannot be read;
#: - quarantined: a check with the policy `quarantine` found bad rows.
STATES = ("ingested", "superseded", "refused", "quarantined")

_FIELDS = (
    ("archive", StringType(), True, "object key of the archive"),
    ("table", StringType(), True, "the table that its rows are for"),
    ("state", StringType(), True, f"how it stands: {', '.join(STATES)}"),
    ("sha256", StringType(), True, "digest of the zip that was read"),
    ("rows", LongType(), True, "rows in the table"),
    ("rows_read", LongType(), True, "rows in the archive"),
    ("first_at", TimestamptzType(), False, "first time in it"),
    ("last_at", TimestamptzType(), False, "last time in it"),
    ("time_unit", StringType(), True, "unit of its times: ms, us or text"),
    ("header", BooleanType(), True, "whether it had a header"),
    ("columns", StringType(), True, "its columns as published, with commas"),
    ("verdict", StringType(), True, "what the checks say: good, warning, error, ..."),
    ("findings", StringType(), True, "what they found, as JSON"),
    ("tool_version", StringType(), True, "version of crypto-lakehouse"),
    ("commit", StringType(), True, "the commit that brought it"),
    ("recorded_at", TimestamptzType(), True, "when, by the clock of the machine"),
    ("table_sequence", LongType(), False, "sequence number of the table when it was recorded"),
    ("sequence", LongType(), False, "sequence number of lakehouse.archives after that"),
    ("first_id", LongType(), False, "smallest id in it, if its rows have ids"),
    ("last_id", LongType(), False, "largest id in it"),
    ("first_trade_id", LongType(), False, "smallest id of a trade in it, of aggTrades"),
    ("last_trade_id", LongType(), False, "largest id of a trade in it"),
    ("origin", StringType(), False, "archive, fill (REST responses) or live (a recording)"),
    ("proven_by", StringType(), False, "what proves a fill's rows: ids, or nothing"),
    ("not_in_archive", BooleanType(), False, "whether archives of its time lack its rows"),
    ("request_count", LongType(), False, "requests that a fill took"),
    ("requests", StringType(), False, "the first ten: url, params, at, sha256 of the body; JSON"),
)

#: The columns that order the rows of an archive, oldest first; NULL, as rows of earlier versions of
#: this program have it, comes first.
ORDER = ("table_sequence", "sequence", "recorded_at")

_SCHEMA = record_schema(_FIELDS)


@frozen
class Standing:
    """The state of an archive in the lake.

    Attributes:
        state: One of `STATES`.
        sha256: Digest of the version that was read.
        rows: How many of its rows are in the table.
        first_at, last_at: Its first and last time; None if it has no rows.
        rows_read: How many rows it has; None if it is not recorded.
        first_id, last_id, first_trade_id, last_trade_id: Its smallest and largest ids; None if it
            has no such ids, or if they are not known.
        verdict: What the checks of the archive alone say; empty if it is not known.
        not_in_archive: Whether it is a segment with rows that the archives of its time lack.
    """

    state: str
    sha256: str
    rows: int
    first_at: datetime | None = None
    last_at: datetime | None = None
    rows_read: int | None = None
    first_id: int | None = None
    last_id: int | None = None
    first_trade_id: int | None = None
    last_trade_id: int | None = None
    verdict: str = ""
    not_in_archive: bool | None = None


def provenance_row(
    table: str,
    state: str,
    sha256: str,
    rows: int,
    quality: ArchiveQuality,
    *,
    not_in_archive: bool = False,
    commit: str,
    tool_version: str,
) -> dict[str, Any]:
    """Make the row of one archive, with values that JSON can represent."""
    origin = Origin.of(quality.key)
    is_provisional = origin is not Origin.ARCHIVE
    findings = [plain_finding(each) for each in quality.findings]
    if quality.fault:
        findings.append({"check": "readable", "severity": "error", "sentence": quality.fault})
    return {
        "archive": quality.key,
        "table": table,
        "state": state,
        "sha256": sha256,
        "rows": rows,
        "rows_read": quality.rows,
        "first_at": None if quality.first_at is None else quality.first_at.isoformat(),
        "last_at": None if quality.last_at is None else quality.last_at.isoformat(),
        "first_id": quality.first_id,
        "last_id": quality.last_id,
        "first_trade_id": quality.first_trade_id,
        "last_trade_id": quality.last_trade_id,
        "time_unit": quality.time_unit,
        "header": quality.header,
        "columns": ",".join(quality.columns),
        "origin": str(origin),
        "proven_by": quality.proven_by if origin is Origin.FILL else None,
        "request_count": None if quality.requests is None else quality.requests.count,
        "requests": None if quality.requests is None else json.dumps(quality.requests.first),
        "not_in_archive": not_in_archive if is_provisional else None,
        "verdict": quality.verdict,
        "findings": json.dumps(findings, ensure_ascii=False),
        "tool_version": tool_version,
        "commit": commit,
        "recorded_at": datetime.now(UTC).isoformat(),
    }


def plain_finding(finding: Finding) -> dict[str, Any]:
    """A finding as an element of the column `findings`."""
    return {
        "check": finding.check,
        "severity": str(finding.severity),
        "rows": finding.rows,
        "sentence": finding.sentence,
        "policy": str(finding.policy),
        "source": finding.source,
    }


def record(
    catalog: LakeCatalog,
    rows: Iterable[Mapping[str, Any]],
    *,
    table_sequence: int | None,
    damaged: tuple[DataFile, ...] = (),
) -> None:
    """Append rows, in one commit.

    Args:
        catalog: The lake's tables.
        rows: Rows made by `provenance_row`, all of one table and commit.
        table_sequence: The sequence number of that table's snapshot by which the rows are true.
        damaged: Data files that the commit takes out of `lakehouse.archives`.
    """
    plain = [_with_times(row) for row in rows]
    if not plain:
        return
    table = catalog.find(ARCHIVES) or catalog.create(
        ARCHIVES, _SCHEMA, (PartitionField("table", "identity"),), ("archive", "recorded_at"), {}
    )
    add_columns(catalog, table, _SCHEMA)
    sequence = newest_sequence(table) + 1
    numbered = [{**row, "table_sequence": table_sequence, "sequence": sequence} for row in plain]
    numbered.sort(key=lambda row: row["archive"])
    first = numbered[0]
    change = RecordChange(
        of_table=first["table"],
        rows=pa.Table.from_pylist(numbered, schema=arrow_schema(table.schema())),
        damaged=damaged,
        commit=first["commit"],
        tool_version=first["tool_version"],
    )
    write_records(catalog, table, change)


def can_be_recorded(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether rows from a file are such as `record` takes."""
    try:
        plain = [_with_times(row) for row in rows]
        pa.Table.from_pylist(plain, schema=arrow_schema(_SCHEMA))
        texts = [row[name] for row in plain for name in _TEXTS]
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return False
    return all(isinstance(text, str) for text in texts)


#: What every row has.
_TEXTS = ("archive", "table", "commit", "tool_version")


def _with_times(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: row[name] for name in ("first_at", "last_at", "recorded_at")}
    return {**row, **{name: text and datetime.fromisoformat(text) for name, text in times.items()}}


#: Of these, a table of an earlier version lacks the last ones.
_STANDING = (
    "state", "sha256", "rows", "first_at", "last_at", "rows_read", "first_id", "last_id",
    "not_in_archive",
)  # fmt: skip


def standings(archives: Table | None, table: str) -> dict[str, Standing]:
    """The state of every archive of a table, by key."""
    rows = newest_rows(archives, equals("table", table), ("archive", *_STANDING))
    return {key: _standing(row) for key, row in rows.items()}


def standings_between(
    archives: Table | None, wanted: KeyRanges, table: str | None = None
) -> dict[str, Standing]:
    """The state of every archive that is wanted, by key, as `newest_between` reads it."""
    rows = newest_between(archives, wanted, table, ("archive", *_STANDING))
    return {key: _standing(row) for key, row in rows.items()}


def _standing(row: Mapping[str, Any]) -> Standing:
    values: dict[str, Any] = {name: row.get(name) for name in _STANDING}
    return Standing(**values)


def newest_rows(
    archives: Table | None, wanted: BooleanExpression, columns: Sequence[str] = ("*",)
) -> dict[str, dict[str, Any]]:
    """The newest row of every archive that is wanted, by key.

    Args:
        archives: The table `lakehouse.archives`; None if there is none yet.
        wanted: A filter that is true of all rows of an archive, or of none.
        columns: The columns that are read besides those that order the rows; those that the table
            does not have are left out.
    """
    if archives is None:
        return {}
    known = archives.schema().column_names
    fields = columns if "*" in columns else _there(known, columns)
    found = archives.scan(row_filter=wanted, selected_fields=tuple(fields))
    return newest_of(found.to_arrow().to_pylist(), known)


def newest_between(
    archives: Table | None,
    wanted: KeyRanges,
    table: str | None = None,
    columns: Sequence[str] = ("*",),
) -> dict[str, dict[str, Any]]:
    """The newest row of every archive in ranges of keys, by key; few others are read.

    Args:
        archives: As of `newest_rows`.
        wanted: The keys.
        table: The table of these archives; None if they may be of several.
        columns: As of `newest_rows`.
    """
    if archives is None or not wanted.pairs:
        return {}
    known = archives.schema().column_names
    fields = known if "*" in columns else _there(known, columns)
    found = (rows.to_pylist() for rows in rows_between(archives, wanted, fields, table))
    return newest_of((row for rows in found for row in rows), known)


def _there(known: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Those of some columns, and of those that order the rows, that a table has."""
    return [name for name in (*columns, *ORDER) if name in known]


def newest_of(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The newest of some rows of every archive, by key; `columns` are those of the table."""
    order = [name for name in ORDER if name in columns]
    ordered = sorted(rows, key=lambda row: [_or_oldest(row[name]) for name in order])
    return {row["archive"]: row for row in ordered}


def _or_oldest(value: Any) -> Any:
    return -1 if value is None else value


def recorded_again(row: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A recorded row with some changes, as `provenance_row` makes it."""
    # `record` numbers the rows again.
    plain = {name: value for name, value in row.items() if name not in ORDER}
    times = {name: row[name] and row[name].isoformat() for name in ("first_at", "last_at")}
    return plain | times | {"recorded_at": datetime.now(UTC).isoformat()} | changes
