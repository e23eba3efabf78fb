"""A scan of one table: which data files may hold the selected rows, and how they are read.

Files are selected by the table's metadata alone: by partition, then by the bounds of their times.
The engine that reads them skips row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from attrs import evolve, frozen
from polars.io.plugins import register_io_source
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.core.html_tables import html_table
from crypto_lakehouse.core.messages import some_of
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.tables.iceberg.column_names import has_one_schema
from crypto_lakehouse.tables.iceberg.data_files import partition_of
from crypto_lakehouse.tables.lake.object_system import DataObjects, objects_source, reads_objects
from crypto_lakehouse.tables.lake.origins import (
    ORIGIN,
    arrow_filter,
    arrow_origin,
    has_archives_only,
    has_origin,
    may_have,
    polars_filter,
    polars_origin,
    sql_filter,
    sql_origin,
    with_origin,
)
from crypto_lakehouse.tables.lake.pandas_frames import import_pandas, pandas_frame
from crypto_lakehouse.tables.lake.scanned_files import (
    Pruning,
    dataset_of,
    has_pattern,
    literal_glob,
    local_path,
    time_bounds,
)
from crypto_lakehouse.tables.lake.time_range import TimeRange
from crypto_lakehouse.tables.schema.table_types import arrow_schema

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

__all__ = ["Scan", "chosen_columns"]

#: The most rows in a batch, unless the caller says otherwise.
_BATCH_ROWS = 1 << 17


@frozen(eq=False, kw_only=True)
class Scan:
    """A lazy selection of rows of one table.

    Attributes:
        table: The table's full name.
        iceberg: The table.
        files: The data files that may hold selected rows.
        symbols: The selected symbols, None for all.
        interval: The selected interval, None for all.
        times: The selected times.
        time_column: The column that `times` applies to.
        columns: The selected columns, in order.
        exact: Whether `files` hold no rows of other symbols and intervals.
        totals: The numbers of files and rows in the snapshot.
        lake: The lake's directory, for DuckDB's temporary files.
        origins: The selected origins, None for all.
        added: Selected rows that are not in the table yet; None for none. They have all columns of
            the table, and may have more.
    """

    table: str
    iceberg: Table
    files: tuple[DataFile, ...]
    symbols: tuple[str, ...] | None
    interval: str | None
    times: TimeRange
    time_column: str
    columns: tuple[str, ...]
    exact: bool
    totals: tuple[int, int]
    lake: Path | None = None
    origins: tuple[Origin, ...] | None = None
    added: pa.Table | None = None

    def __repr__(self) -> str:
        return f"<Scan of {self.table}: {self.pruning}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        symbols = "all" if self.symbols is None else some_of(self.symbols, 10).replace("`", "")
        rows = [("symbols", symbols), ("interval", self.interval or "all"),
                ("from", self.times.start or "the first row"),
                ("before", self.times.end or "the end"), ("columns", ", ".join(self.columns)),
                ("is read", self.pruning)]  # fmt: skip
        return html_table(f"scan of {self.table}", rows)

    @property
    def pruning(self) -> Pruning:
        """How much of the table is read; rows that are not in it yet are not counted."""
        rows = sum(file.record_count for file in self.files)
        size = sum(file.file_size_in_bytes for file in self.files)
        return Pruning(len(self.files), self.totals[0], rows, self.totals[1], size)

    @property
    def paths(self) -> list[str]:
        """The locations of the data files: paths of local files, URLs of others."""
        return [local_path(self.iceberg, file.file_path) for file in self.files]

    def polars(self) -> pl.LazyFrame:
        """The rows as a Polars LazyFrame; Polars pushes filters and projections into the files."""
        if not self.files and self.added is None:
            return pl.LazyFrame(schema=pl.DataFrame(self._empty()).schema)
        if self.files and reads_objects(self.iceberg):
            return self._polars_of_objects()
        if self._needs_dataset():
            frame = pl.scan_pyarrow_dataset(self.dataset())
        else:
            frame = pl.scan_parquet(self.paths, hive_partitioning=False, glob=False, cache=False)
        known = self._constants()
        read = [name for name in self.columns if name not in known] or [self.time_column]
        frame = frame.filter(*self._polars_filters())
        if self._computes_origin and ORIGIN in read:
            frame = frame.with_columns(polars_origin())
        frame = frame.select(read).with_columns(**{name: pl.lit(known[name]) for name in known})
        return frame.select(self.columns)

    def arrow(self, *, batch_rows: int = _BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, in bounded memory.

        Args:
            batch_rows: The most rows in a batch.
        """
        if self.files and reads_objects(self.iceberg):
            batches = self.batches_of_objects(batch_rows)
            return pa.RecordBatchReader.from_batches(self._empty().schema, batches)
        columns: dict[str, Any] = {name: ds.field(name) for name in self.columns}
        if self._computes_origin:
            columns[ORIGIN] = arrow_origin()
        scanner = self.dataset().scanner(
            columns=cast("Any", columns), filter=self._arrow_filter(), batch_size=batch_rows
        )
        return scanner.to_reader()

    def pandas(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, all of them in memory, with a plain index.

        Times are `datetime64[us, UTC]`, numbers `float64`, those of a lake made with `--exact`
        `decimal128` of Arrow, whole numbers and flags `Int64` and `boolean` where the table allows
        NULL, else `int64` and `bool`, and text `str`.

        Raises:
            ExtraMissing: The extra `pandas` is not installed.
        """
        import_pandas()  # before anything is read
        return pandas_frame(self.arrow().read_all(), self._empty().schema)

    def duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> Any:
        """The rows as a DuckDB relation, on the given connection or on a new one."""
        from crypto_lakehouse.tables.lake.connection import open_connection

        connection = connection or open_connection(self.lake)
        if not self.files and self.added is None:
            return connection.from_arrow(self._empty())
        if self.files and reads_objects(self.iceberg):
            relation = self._relation_of_objects(connection)
        elif self._needs_dataset():
            relation = connection.from_arrow(self.dataset())
        else:
            paths = [literal_glob(path) for path in self.paths]
            relation = connection.read_parquet(paths, hive_partitioning=False)
        for text in self._sql_filters():
            relation = relation.filter(text)
        names = (
            sql_origin() if name == ORIGIN and self._computes_origin else f'"{name}"'
            for name in self.columns
        )  # fmt: skip
        return relation.project(", ".join(names))

    def _relation_of_objects(self, connection: Any) -> Any:
        objects = DataObjects(self.iceberg)
        objects.register(connection)
        paths = objects.add(self.iceberg, self.files)
        source = objects_source(connection, self.iceberg, paths)
        stored = connection.sql(f"FROM {source}")
        if self.added is None:
            return stored
        rows = connection.from_arrow(self.added)
        columns = (
            f'"{name}"' if name in stored.columns else f'CAST(NULL AS {kind}) AS "{name}"'
            for name, kind in zip(rows.columns, rows.types, strict=True)
        )
        return stored.project(", ".join(columns)).union(rows)

    def batches_of_objects(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of files that are objects, by DuckDB, as `object_system` says.

        Raises:
            LakeError: A file cannot be read.
        """
        import duckdb

        from crypto_lakehouse.tables.lake.connection import explained

        schema = self._empty().schema
        try:
            with self.duckdb().to_arrow_reader(batch_rows) as reader:
                for batch in reader:
                    yield batch.cast(schema)
        except duckdb.Error as error:
            raise LakeError(self.table, explained(error)) from error

    def _polars_of_objects(self) -> pl.LazyFrame:
        """The same; Polars says which columns and how many rows it needs."""

        def frames(
            names: list[str] | None,
            predicate: pl.Expr | None,
            most: int | None,
            batch_rows: int | None,
        ) -> Iterator[pl.DataFrame]:
            scan = self if names is None else evolve(self, columns=tuple(names))
            for batch in scan.batches_of_objects(batch_rows or _BATCH_ROWS):
                frame = cast("pl.DataFrame", pl.from_arrow(batch))
                frame = frame if predicate is None else frame.filter(predicate)
                frame = frame if most is None else frame.head(most)
                most = None if most is None else most - frame.height
                yield frame
                if most == 0:
                    return

        return register_io_source(frames, schema=pl.DataFrame(self._empty()).schema)

    def dataset(self) -> ds.Dataset:
        """The files as an Arrow dataset, which has no filter yet.

        Raises:
            LakeError: They are objects: threads of Arrow would read them, and may keep the process
                from ending if the store fails. `arrow`, `polars` and `duckdb` read objects.
        """
        if self.files and reads_objects(self.iceberg):
            reason = (
                "a lake at a URL is not read as an Arrow dataset, whose threads may keep the "
                "process from ending if the store fails; use `arrow()`, `polars()` or `duckdb()` "
                "of the scan"
            )
            raise LakeError(self.table, reason, is_refused=True)
        locations = [file.file_path for file in self.files]
        if self.added is None:
            return dataset_of(self.iceberg, locations)
        added = ds.dataset(self.added)
        stored = dataset_of(self.iceberg, locations, self.added.schema)
        return ds.dataset([stored, added]) if locations else added

    @property
    def _computes_origin(self) -> bool:
        return ORIGIN in self.columns and has_origin(self.iceberg.schema())

    def _needs_dataset(self) -> bool:
        """Whether DuckDB cannot name the files, or they may lack columns; or it has rows beside."""
        if self.added is not None:
            return True
        return not (all(map(has_pattern, self.paths)) and has_one_schema(self.iceberg))

    def _constants(self) -> dict[str, str]:
        """Selected columns that have the same value in all files, according to their partitions.

        To read these columns as text would increase the bytes read and allocated by half.
        """
        known: dict[str, str] = {}
        if self.added is not None:
            return known
        if self._computes_origin and has_archives_only(self.iceberg, self.files):
            known[ORIGIN] = str(Origin.ARCHIVE)
        spec = self.iceberg.spec()
        if any(file.spec_id != spec.spec_id for file in self.files):
            return known
        partitions = {partition_of(file) for file in self.files}
        values = zip(*partitions, strict=True)
        return known | {
            field.name: value[0]
            for field, value in zip(spec.fields, values, strict=True)
            if str(field.transform) == "identity"
            and field.name in self.columns
            and len(set(value)) == 1
            and isinstance(value[0], str)
        }

    def _empty(self) -> pa.Table:
        schema = arrow_schema(self.iceberg.schema()) if self.added is None else self.added.schema
        rows = schema.empty_table()
        rows = with_origin(rows) if self._computes_origin else rows
        return rows.select(list(self.columns))

    @property
    def _filtered_origins(self) -> tuple[Origin, ...] | None:
        """The selected origins, if some file may have rows of others."""
        if self.origins is None:
            return None
        found = frozenset[Origin]().union(*(may_have(self.iceberg, each) for each in self.files))
        return None if found <= {*self.origins} else self.origins

    def _bounded(self) -> bool:
        """Whether some file has rows outside the selected times."""
        bounds = time_bounds(self.iceberg, self.time_column)
        return any(not self.times.holds(*bounds(file)) for file in self.files)

    def _polars_filters(self) -> list[pl.Expr]:
        filters: list[pl.Expr] = []
        if not self.exact and self.symbols is not None:
            filters.append(pl.col("symbol").is_in(list(self.symbols)))
        if not self.exact and self.interval is not None:
            filters.append(pl.col("interval") == self.interval)
        if (origins := self._filtered_origins) is not None:
            filters.append(polars_filter(origins))
        if self._bounded():
            when = pl.col(self.time_column)
            if self.times.start is not None:
                filters.append(when >= self.times.start)
            if self.times.end is not None:
                filters.append(when < self.times.end)
        return filters

    def _arrow_filter(self) -> ds.Expression | None:
        filters: list[Any] = []
        if not self.exact and self.symbols is not None:
            filters.append(ds.field("symbol").isin(pa.array(self.symbols, pa.string())))
        if not self.exact and self.interval is not None:
            filters.append(ds.field("interval") == self.interval)
        if (origins := self._filtered_origins) is not None:
            filters.append(arrow_filter(origins))
        if self._bounded():
            kind = pa.timestamp("us", tz="UTC")
            if self.times.start is not None:
                filters.append(ds.field(self.time_column) >= pa.scalar(self.times.start, kind))
            if self.times.end is not None:
                filters.append(ds.field(self.time_column) < pa.scalar(self.times.end, kind))
        joined = None
        for each in filters:
            joined = each if joined is None else joined & each
        return joined

    def _sql_filters(self) -> list[str]:
        filters: list[str] = []
        if not self.exact and self.symbols is not None:
            filters.append(f"symbol IN ({', '.join(map(_quoted, self.symbols))})")
        if not self.exact and self.interval is not None:
            filters.append(f"interval = {_quoted(self.interval)}")
        if (origins := self._filtered_origins) is not None:
            filters.append(sql_filter(origins))
        if self._bounded():
            if self.times.start is not None:
                filters.append(f'"{self.time_column}" >= {_timestamp(self.times.start)}')
            if self.times.end is not None:
                filters.append(f'"{self.time_column}" < {_timestamp(self.times.end)}')
        return filters


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _timestamp(when: datetime) -> str:
    return f"TIMESTAMPTZ '{when.isoformat()}'"


def chosen_columns(
    table: Table, wanted: Sequence[str] | None, more: Sequence[str] = ()
) -> tuple[str, ...]:
    """The columns of a scan: those wanted, or all but `archive`, with `origin` at the end.

    Args:
        table: The table.
        wanted: The columns wanted; None for all.
        more: Columns that the scan has beside those of the table.

    Raises:
        QueryError: The table does not have some of them; the message names all of those.
    """
    known = [*dict.fromkeys([*(field.name for field in table.schema().fields), *more])]
    known += [ORIGIN] if has_origin(table.schema()) else []
    if wanted is None:
        return tuple(name for name in known if name != "archive")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        name, has = ".".join(table.name()), ", ".join(known)
        raise QueryError(name, f"no column {', '.join(map(repr, unknown))}; it has {has}")
    return tuple(wanted)
