"""The table `lakehouse.recordings`: the segments of recordings that were read, a row for each.

A segment is recorded after its excerpts. If a run is killed between the two, the next one splits
the segment again, and finds its excerpts in `lakehouse.archives`, by their digest. One that is
damaged is recorded, too, and is tried again in each run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from attrs import frozen
from pyiceberg.types import LongType, StringType, TimestamptzType

from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.live_keys import live_begin, live_name_of, live_stream_of
from crypto_lakehouse.segments.live_segment import moment_of
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.column_changes import add_columns
from crypto_lakehouse.tables.iceberg.file_check import wrong_sizes
from crypto_lakehouse.tables.iceberg.filters import ALWAYS, among
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.ingest.commits import newest_sequence
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.records import RecordChange, write_records
from crypto_lakehouse.tables.live.excerpt_files import SplitSegment
from crypto_lakehouse.tables.schema.schemas import schema_for
from crypto_lakehouse.tables.schema.table_types import arrow_schema, record_schema

__all__ = [
    "RECORDINGS",
    "RecordedSegment",
    "ingested_row",
    "mend_recordings",
    "record_segments",
    "recorded_segments",
    "refused_row",
]

RECORDINGS = "lakehouse.recordings"

_SCHEMA = record_schema(
    (
        ("segment", StringType(), True, "object key of the segment"),
        ("table", StringType(), True, "the table that its rows are for"),
        ("kind", StringType(), True, "the kind of stream"),
        ("market", StringType(), True, "the market"),
        ("recording", StringType(), True, "id of the recording"),
        ("sha256", StringType(), True, "digest of the segment"),
        ("size_bytes", LongType(), True, "size of the segment"),
        ("state", StringType(), True, "ingested, or refused if it is damaged"),
        ("messages", LongType(), True, "messages in it"),
        ("rows", LongType(), True, "rows that were made of them, of all series and days"),
        ("excerpts", LongType(), True, "series and days that they are of"),
        ("copies", LongType(), True, "messages left out, as an earlier one has their id"),
        ("bad_messages", StringType(), True, "messages that are no rows, by reason, as JSON"),
        ("holes", StringType(), True, "what the recording says is missing, as JSON"),
        ("begun_at", TimestamptzType(), True, "time of its first line, by the recorder's clock"),
        ("ended_at", TimestamptzType(), True, "time of its last line"),
        ("clock_skew_us", LongType(), False, "how far that clock was ahead of the exchange's"),
        ("commit", StringType(), True, "the commit of this record"),
        ("tool_version", StringType(), True, "version of crypto-lakehouse"),
        ("recorded_at", TimestamptzType(), True, "when, by the clock of the machine"),
        ("sequence", LongType(), True, "sequence number of lakehouse.recordings after that"),
        ("fault", StringType(), False, "why it is refused"),
    )
)


_STANDING = ("segment", "sequence", "size_bytes", "state", "fault")


@frozen
class RecordedSegment:
    """The version of a segment that was read.

    Attributes:
        size_bytes: Its size.
        state: Whether it is `ingested` as a whole, or `refused`.
        fault: Why it is refused; None if it is not.
    """

    size_bytes: int
    state: str
    fault: str | None


def recorded_segments(
    catalog: LakeCatalog, among_keys: Collection[str] | None = None
) -> dict[str, RecordedSegment]:
    """The segments that were read, by key.

    Args:
        catalog: The lake's tables.
        among_keys: Only those of these keys; None for all.

    Raises:
        LakeError: The table cannot be read.
    """
    with catalog.errors():
        table = catalog.find(RECORDINGS)
        if table is None:
            return {}
        known = table.schema().column_names  # a table of an earlier version has no faults
        fields = [name for name in _STANDING if name in known]
        wanted = ALWAYS if among_keys is None else among("segment", sorted(among_keys))
        rows = table.scan(wanted, selected_fields=tuple(fields)).to_arrow().to_pylist()
    rows.sort(key=lambda row: int(row["sequence"]))
    return {
        row["segment"]: RecordedSegment(row["size_bytes"], row["state"], row.get("fault"))
        for row in rows
    }


def ingested_row(segment: str, found: SplitSegment, *, tool_version: str) -> dict[str, Any]:
    """The record of a segment whose excerpts were ingested."""
    split, header = found.split, found.split.header
    return {
        "segment": segment,
        "table": schema_for(header.market, data_type_of(header.kind)).name,
        "kind": str(header.kind),
        "market": str(header.market),
        "recording": header.recording,
        "sha256": found.sha256,
        "size_bytes": found.identity.size_bytes,
        "state": "ingested",
        "messages": split.messages,
        "rows": sum(each.rows for each in split.excerpts),
        "excerpts": len(split.excerpts),
        "copies": split.copies,
        "bad_messages": json.dumps(
            {
                reason: {"messages": bad.messages, "line": bad.line, "example": bad.example}
                for reason, bad in sorted(split.bad.items())
            },
            ensure_ascii=False,
        ),
        "holes": json.dumps(
            [{"mark": mark.name, "at": mark.at_us, **mark.facts} for mark in split.holes],
            ensure_ascii=False,
        ),
        "begun_at": header.begun_at,
        "ended_at": moment_of(split.ended_at_us) if split.ended_at_us else header.begun_at,
        "clock_skew_us": header.clock_skew_us,
        "tool_version": tool_version,
        "recorded_at": datetime.now(UTC),
    }


def refused_row(segment: str, size_bytes: int, fault: str, *, tool_version: str) -> dict[str, Any]:
    """The record of a segment that is damaged.

    Raises:
        ArchiveKeyError: It is not named as a segment.
    """
    begun = live_begin(segment)
    market, kind = live_stream_of(segment) or (None, None)
    if market is None or kind is None:
        raise ArchiveKeyError(segment, "a segment of a recording is in the folder of its day")
    return {
        "segment": segment,
        "table": schema_for(market, data_type_of(kind)).name,
        "kind": str(kind),
        "market": str(market),
        "recording": live_name_of(segment).rpartition("-")[2],
        "sha256": "",
        "size_bytes": size_bytes,
        "state": "refused",
        "messages": 0, "rows": 0, "excerpts": 0, "copies": 0, "bad_messages": "{}", "holes": "[]",
        "begun_at": begun,
        "ended_at": begun,
        "tool_version": tool_version,
        "recorded_at": datetime.now(UTC),
        "fault": fault,
    }  # fmt: skip


def mend_recordings(catalog: LakeCatalog, tool_version: str) -> None:
    """Take damaged files out of the table: their segments are read again, if they are there.

    Raises:
        LakeError: The table cannot be read or written.
    """
    with catalog.errors():
        table = catalog.find(RECORDINGS) if catalog.name is None else None
        damaged = () if table is None else tuple(wrong_sizes(table, live_files(table)))
        if table is not None and damaged:
            change = RecordChange(
                of_table=None,
                rows=pa.Table.from_pylist([], schema=arrow_schema(table.schema())),
                damaged=damaged,
                commit=uuid.uuid4().hex,
                tool_version=tool_version,
            )
            write_records(catalog, table, change)


def record_segments(catalog: LakeCatalog, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append records of segments, in one commit.

    Raises:
        LakeError: The table cannot be written.
    """
    plain = sorted(rows, key=lambda row: str(row["segment"]))
    if not plain:
        return
    with catalog.errors():
        order = ("segment", "recorded_at")
        table = catalog.find(RECORDINGS) or catalog.create(RECORDINGS, _SCHEMA, (), order, {})
        add_columns(catalog, table, _SCHEMA)
        commit, sequence = uuid.uuid4().hex, newest_sequence(table) + 1
        numbered = [{**row, "commit": commit, "sequence": sequence} for row in plain]
        change = RecordChange(
            of_table=None,
            rows=pa.Table.from_pylist(numbered, schema=arrow_schema(table.schema())),
            commit=commit,
            tool_version=str(plain[0]["tool_version"]),
        )
        with Journal(catalog.place.journals, commit, RECORDINGS):
            write_records(catalog, table, change)
