"""What the columns of each data type are: read from `matrix/schemas.json`, which is data.

Source: docs/archive-rows.md#data-types; each column names its source.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.matrix.files import parse_facts, read_facts

__all__ = [
    "DECIMAL_PRECISION",
    "DECIMAL_SCALE",
    "Column",
    "PartitionField",
    "TableSchema",
    "load_schemas",
    "schema_for",
    "schema_of",
    "table_name",
]

FORMAT = "crypto-lakehouse/schemas/1"

_SHIPPED = "schemas.json"

#: Digits of exact numbers.
DECIMAL_PRECISION = 38

#: Decimal places of exact numbers; metrics are published with 16
#: (docs/archive-rows.md#decimals).
DECIMAL_SCALE = 18

#: - time: epoch milliseconds or microseconds; - datetime: `YYYY-MM-DD HH:MM:SS` in UTC;
#: - date: `YYYY-MM-DD`; - id, count: whole numbers; - number: a decimal as text;
#: - flag: true or false in any case; - text: unchanged.
Kind = Literal["time", "datetime", "date", "id", "count", "number", "flag", "text"]

_TRANSFORM = re.compile(r"(?:(year|month)\((\w+)\)|(\w+))")


@frozen(kw_only=True)
class Column:
    """One column, as published and as stored in the table.

    Attributes:
        published: Its name in the published header, or in the publisher's description.
        name: Its name in the table, which differs if the published name is misleading.
        kind: How its text is read.
        unit: The unit of its numbers.
        meaning: What it means.
        source: The source of these facts.
        nullable: Whether a blank is allowed, and becomes NULL.
        stored: Whether the table has it; fillers are read, checked and left out.
        constant: The attribute of the archive that every row must repeat; it is checked and not
            stored.
        optional: Whether some files lack it. Only files with a header may have it.
        streamed: Whether recorded messages have it; if not, it is NULL in their rows.
    """

    published: str
    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str
    nullable: bool = False
    stored: bool = True
    constant: Literal["symbol"] | None = None
    optional: bool = False
    streamed: bool = True


@frozen
class PartitionField:
    """One field of a table's partitioning: a column as it is, or its year or month.

    Attributes:
        column: The table's column.
        transform: `identity`, `year` or `month`.
    """

    column: str
    transform: Literal["identity", "year", "month"]

    @classmethod
    def parse(cls, text: str) -> PartitionField:
        """Read `symbol`, `year(open_time)` or `month(time)`.

        Raises:
            ValueError: The text is not of one of these forms.
        """
        match = _TRANSFORM.fullmatch(text)
        if match is None:
            raise ValueError(f"`{text}` is not a column, year(column) or month(column)")
        transform, of, alone = match.groups()
        if alone:
            return cls(alone, "identity")
        return cls(of, "year" if transform == "year" else "month")

    @property
    def name(self) -> str:
        """The field's name in the partition spec and in paths."""
        return self.column if self.transform == "identity" else f"{self.column}_{self.transform}"


@frozen(kw_only=True)
class TableSchema:
    """One table: the archives or the recorded messages of one data type of one market.

    Attributes:
        columns: All published columns, in their order.
        key: Columns that identify a row within one symbol (and interval).
        unique: Whether the key is unique; that of liquidations is not.
        time: The column by which scans and partitions select times.
        partition: Fields of the partitioning, outermost first.
        recorded: Whether all its rows are recorded messages: there are no archives of it.
    """

    market: Market
    data_type: DataType
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: bool = True
    time: str
    partition: tuple[str, ...]
    recorded: bool = False
    partitioning: tuple[PartitionField, ...] = field(init=False)

    @partitioning.default
    def _parse_partition(self) -> tuple[PartitionField, ...]:
        return tuple(PartitionField.parse(text) for text in self.partition)

    @property
    def namespace(self) -> str:
        """The table's namespace: the market."""
        return str(self.market)

    @property
    def table(self) -> str:
        """The table's name within its namespace, as `agg_trades`."""
        return table_name(self.data_type)

    @property
    def name(self) -> str:
        """The table's full name, as `spot.agg_trades`."""
        return f"{self.namespace}.{self.table}"

    @property
    def stored(self) -> tuple[Column, ...]:
        """The published columns that the table has."""
        return tuple(column for column in self.columns if column.stored)

    @property
    def has_interval(self) -> bool:
        """Whether the table has a column `interval`."""
        return self.data_type.has_interval

    @property
    def derives_time(self) -> bool:
        """Whether the time column is derived from `date` and `hour`, as in EOHSummary."""
        return all(column.name != self.time for column in self.columns)

    @property
    def sort_key(self) -> tuple[str, ...]:
        """The order of rows within a data file."""
        first = ("interval",) if self.has_interval else ()
        rest = self.key if self.time in self.key else (self.time, *self.key)
        ids = any(column.name in self.key and column.kind == "id" for column in self.columns)
        return (*first, "symbol", *(self.key if ids else rest))


def table_name(data_type: DataType) -> str:
    """The table's name for a data type, in lower case with underscores.

    Examples:
        >>> table_name(DataType.AGG_TRADES), table_name(DataType.BVOL_INDEX)
        ('agg_trades', 'bvol_index')
    """
    return data_type.name.lower()


@frozen(kw_only=True)
class _SchemasFile:
    format: str
    observed: str = ""
    tables: tuple[TableSchema, ...]


def load_schemas(
    path: str | os.PathLike[str] | None = None,
) -> Mapping[tuple[Market, DataType], TableSchema]:
    """Read a file of schemas; None means the shipped file, which a process reads once.

    Raises:
        MatrixError: The file cannot be read, or has faults; all faults are named.
    """
    return _shipped() if path is None else _read(path)


@functools.cache
def _shipped() -> Mapping[tuple[Market, DataType], TableSchema]:
    return MappingProxyType(_read(None))


def _read(path: str | os.PathLike[str] | None) -> dict[tuple[Market, DataType], TableSchema]:
    content, origin = read_facts(path, _SHIPPED)
    checks = {_SchemasFile: _file_faults, TableSchema: _table_faults}
    file: _SchemasFile = parse_facts(
        content, origin, "file of schemas", _SchemasFile, checks, every_type=True
    )
    return {(table.market, table.data_type): table for table in file.tables}


def schema_of(archive: Archive) -> TableSchema:
    """The shipped schema of an archive's table.

    Raises:
        KeyError: The market has no such data type.
    """
    return schema_for(archive.market, archive.data_type)


def schema_for(market: Market, data_type: DataType) -> TableSchema:
    """The shipped schema of a table.

    Raises:
        KeyError: The market has no such data type.
    """
    return _shipped()[market, data_type]


def _file_faults(fields: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if fields.get("format", FORMAT) != FORMAT:
        yield Problem(f"{path}.format", f"must be `{FORMAT}`")


def _table_faults(fields: Mapping[str, Any], path: str) -> Iterator[Problem]:
    columns: Iterable[Column] | None = fields.get("columns")
    if columns is None:
        return
    names = [column.name for column in columns]
    yield from (
        Problem(f"{path}.columns", f"`{name}` is given twice")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    known = {*names, "symbol", "interval", fields.get("time", "")}
    for text in fields.get("partition", ()):
        try:
            column = PartitionField.parse(text).column
        except ValueError as error:
            yield Problem(f"{path}.partition", str(error))
            continue
        if column not in known:
            yield Problem(f"{path}.partition", f"the table has no column `{column}`")
    for name in fields.get("key", ()):
        if name not in known:
            yield Problem(f"{path}.key", f"the table has no column `{name}`")
