"""The recordings of a lake's output, for queries that add what is not ingested yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa
from attrs import frozen
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.config.storage import StoreUrl, is_url
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.live_keys import live_stream_at
from crypto_lakehouse.segments.live_open import HasSegments, RecordedFiles
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.stores.state import LAKE_FOLDER, StateFolder
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.recordings import recorded_segments
from crypto_lakehouse.tables.lake.contents import SnapshotContents, WantedSeries
from crypto_lakehouse.tables.lake.scan import Scan
from crypto_lakehouse.tables.lake.scanned_files import time_bounds
from crypto_lakehouse.tables.lake.time_range import TimeRange
from crypto_lakehouse.tables.lake.uncommitted import Uncommitted, uncommitted_rows
from crypto_lakehouse.tables.schema.received import RECEIVED_AT
from crypto_lakehouse.tables.schema.schemas import TableSchema, schema_for
from crypto_lakehouse.tables.schema.table_types import arrow_schema

if TYPE_CHECKING:
    from crypto_lakehouse.stores.objects.opening import Connection
    from crypto_lakehouse.tables.iceberg.lake_place import LakePlace

__all__ = ["LIVE_IS_NOW", "LakeRecordings", "added_columns", "no_output", "output_around"]

LIVE_IS_NOW = "rows that are not ingested yet are of now: choose them, or the tables as of a time"

#: Recorded times may differ so much from those of the archive, and be of the same key.
_NEAR = timedelta(days=1)


def output_around(
    place: LakePlace,
    storage: Mapping[str, Any] | None = None,
    state_directory: str | None = None,
    connection: Connection | None = None,
) -> Output | None:
    """Return the output whose lake folder a lake is; None if it is elsewhere.

    Args:
        place: The lake.
        storage: The settings of its object store.
        state_directory: The directory of its local folder.
        connection: How its object store is connected to.
    """
    text = str(place)
    if not text.endswith(f"/{LAKE_FOLDER}"):
        return None
    around = text.removesuffix(f"/{LAKE_FOLDER}")
    if not is_url(around):
        return output_of(around)
    from crypto_lakehouse.stores.objects.opening import open_objects

    url = StoreUrl.parse(around)
    state = StateFolder.of_url(url, storage, state_directory)
    return Output(around, state, True, None, lambda: open_objects(url, storage, connection))


def added_columns(table: Table) -> pa.Schema:
    """The columns of a table with rows of recordings beside it.

    Recorded rows have a time of receipt, and may lack what streams do not have.
    """
    fields = [each.with_nullable(True) for each in arrow_schema(table.schema())]
    if RECEIVED_AT not in table.schema().column_names:
        fields.append(pa.field(RECEIVED_AT, pa.timestamp("us", "UTC")))
    return pa.schema(fields)


@frozen
class LakeRecordings:
    """The recordings of an output.

    Attributes:
        catalog: The tables.
        output: The output.
    """

    catalog: LakeCatalog
    output: Output

    def tables(self) -> list[str]:
        """The names of the tables that recorded rows are for, sorted; blocking.

        Raises:
            StoreError: The segments cannot be listed.
        """
        recorded = self._files().keys()
        streams = {live_stream_at(key) for key in recorded}
        known = [(each[0], data_type_of(each[1])) for each in streams if each is not None]
        return sorted(schema_for(*each).name for each in known)

    def settled(self, table: str, as_of: object = None) -> frozenset[str]:
        """The segments that are ingested as a whole.

        The table must be read after this: a segment may be ingested meanwhile.

        Raises:
            LakeError: The lake cannot be read.
            QueryError: The table is read as of a time.
        """
        if as_of is not None:
            raise QueryError(table, LIVE_IS_NOW)
        known = recorded_segments(self.catalog)
        return frozenset(key for key, each in known.items() if each.state == "ingested")

    def rows(
        self,
        schema: TableSchema,
        contents: SnapshotContents,
        wanted: WantedSeries,
        times: TimeRange,
        settled: frozenset[str],
    ) -> Uncommitted:
        """Read the selected rows that a table does not have; blocking.

        Args:
            schema: The table.
            contents: What it has.
            wanted: The series.
            times: The times.
            settled: What `settled` returned.

        Raises:
            SegmentError: A segment is damaged.
            StoreError: A segment cannot be read.
        """

        def is_wanted(series: Series) -> bool:
            if wanted.interval not in (None, series.interval):
                return False
            names = wanted.symbols
            return names is None or any(wanted.matching([series.symbol], each) for each in names)

        def known_keys(series: Series, rows: pl.DataFrame) -> pl.DataFrame:
            return _known_keys(schema, contents, series, rows)

        return uncommitted_rows(
            self._files(), schema, added_columns(contents.table), wanted=is_wanted, times=times,
            settled=settled, known_keys=known_keys, lake=self.catalog.place.folder,
        )  # fmt: skip

    def _files(self) -> RecordedFiles:
        output = self.output
        output.check()
        return RecordedFiles(
            output.stage, cast("HasSegments", output.store) if output.is_url else None
        )


def _known_keys(
    schema: TableSchema, contents: SnapshotContents, series: Series, rows: pl.DataFrame
) -> pl.DataFrame:
    """The keys of a table in the range of some rows."""
    table, first = contents.table, rows[schema.key[0]]
    when: Any = rows[schema.time]
    wanted = WantedSeries((series.symbol,), series.interval)
    times = TimeRange(when.min() - _NEAR, when.max() + _NEAR)
    bounds = time_bounds(table, schema.time)
    scan = Scan(
        table=schema.name,
        iceberg=table,
        files=tuple(each for each in contents.files(wanted) if times.overlaps(*bounds(each))),
        symbols=wanted.symbols,
        interval=series.interval,
        times=times,
        time_column=schema.time,
        columns=schema.key,
        exact=False,
        totals=(0, 0),
    )
    near = pl.col(schema.key[0]).is_between(first.min(), first.max())
    return scan.polars().filter(near).collect()


def no_output(lake: LakeCatalog) -> QueryError:
    """The error if recordings are asked for, and the output of a lake is not known."""
    reason = (
        "the lake is in no output, so it is not known where its recordings are; name the output "
        "with `Lake.open(..., output=...)`"
    )
    return QueryError(str(lake.place), reason)
