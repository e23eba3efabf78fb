"""The Iceberg and Arrow types of a table, its partitioning and its sort order.

Every table has, besides its published columns, `symbol`, `interval` where its type has one, and
`archive`: the object key of the archive that a row came from, the key of `lakehouse.archives`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
from pyiceberg.partitioning import PartitionField as IcebergField
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform, MonthTransform, Transform, YearTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from crypto_lakehouse.tables.schema.schemas import (
    DECIMAL_SCALE,
    Column,
    PartitionField,
    TableSchema,
)

__all__ = [
    "arrow_schema",
    "column_names",
    "iceberg_schema",
    "partition_spec",
    "period_value",
    "record_schema",
    "sort_order",
]

_TYPES: Mapping[str, IcebergType] = {
    "time": TimestamptzType(),
    "datetime": TimestamptzType(),
    "date": DateType(),
    "id": LongType(),
    "count": LongType(),
    "number": DoubleType(),
    "flag": BooleanType(),
    "text": StringType(),
}
_EXACT = DecimalType(38, DECIMAL_SCALE)

_ARROW: Mapping[type[IcebergType], pa.DataType] = {
    TimestamptzType: pa.timestamp("us", tz="UTC"),
    DateType: pa.date32(),
    LongType: pa.int64(),
    DoubleType: pa.float64(),
    BooleanType: pa.bool_(),
    StringType: pa.string(),
    DecimalType: pa.decimal128(38, DECIMAL_SCALE),
}

_TRANSFORMS: Mapping[str, Transform[Any, Any]] = {
    "identity": IdentityTransform(),
    "year": YearTransform(),
    "month": MonthTransform(),
}

#: Iceberg numbers partition fields from here.
_FIRST_PARTITION_ID = 1000


def iceberg_schema(schema: TableSchema, *, exact: bool) -> Schema:
    """The table's schema in Iceberg's types."""
    fields: list[tuple[str, IcebergType, bool, str]] = [
        ("symbol", StringType(), True, "the archive's symbol")
    ]
    if schema.has_interval:
        fields.append(("interval", StringType(), True, "length of the bar, as 1m or 1mo"))
    if schema.derives_time:
        fields.append((schema.time, TimestamptzType(), True, "beginning of the hour, UTC"))
    for column in schema.stored:
        kind = _EXACT if exact and column.kind == "number" else _TYPES[column.kind]
        fields.append((column.name, kind, not column.nullable, _doc(column)))
    fields.append(("archive", StringType(), True, "object key of the row's archive"))
    return Schema(
        *(
            NestedField(field_id=number, name=name, field_type=kind, required=required, doc=doc)
            for number, (name, kind, required, doc) in enumerate(fields, 1)
        )
    )


def _doc(column: Column) -> str:
    return f"{column.meaning} [{column.unit}]"


def column_names(schema: TableSchema) -> list[str]:
    """The table's columns, in their order."""
    return [field.name for field in iceberg_schema(schema, exact=False).fields]


def record_schema(fields: Iterable[tuple[str, IcebergType, bool, str]]) -> Schema:
    """The Iceberg schema of a table of records: name, type, whether required, and description."""
    return Schema(
        *(
            NestedField(field_id=number, name=name, field_type=kind, required=required, doc=doc)
            for number, (name, kind, required, doc) in enumerate(fields, 1)
        )
    )


def arrow_schema(schema: Schema) -> pa.Schema:
    """An Iceberg schema in Arrow's types, with the field ids that Parquet files carry."""
    return pa.schema(
        [
            pa.field(
                field.name,
                _ARROW[type(field.field_type)],
                nullable=not field.required,
                metadata={b"PARQUET:field_id": str(field.field_id).encode()},
            )
            for field in schema.fields
        ]
    )


def partition_spec(partitioning: tuple[PartitionField, ...], schema: Schema) -> PartitionSpec:
    """The Iceberg partition spec of a partitioning."""
    return PartitionSpec(
        *(
            IcebergField(
                source_id=schema.find_field(field.column).field_id,
                field_id=_FIRST_PARTITION_ID + number,
                transform=_TRANSFORMS[field.transform],
                name=field.name,
            )
            for number, field in enumerate(partitioning)
        )
    )


def sort_order(key: tuple[str, ...], schema: Schema) -> SortOrder:
    """The Iceberg sort order of rows within a data file."""
    return SortOrder(
        *(
            SortField(source_id=schema.find_field(name).field_id, transform=IdentityTransform())
            for name in key
        )
    )


def period_value(field: PartitionField, day: date) -> int:
    """The number that Iceberg gives a year or month, counted from 0 in 1970."""
    years = day.year - 1970
    return years if field.transform == "year" else 12 * years + day.month - 1
