"""Give a table the columns that it lacks."""

from __future__ import annotations

from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import TimestamptzType

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.schema.received import RECEIVED_AT, RECEIVED_DOC, lacking_columns
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["add_columns", "take_recorded"]


def take_recorded(catalog: LakeCatalog, table: Table, schema: TableSchema) -> Table:
    """Prepare a table for recorded rows: they have a time of receipt, and lack some columns.

    Raises:
        LakeError: The catalog refused the change.
    """
    fields = {each.name: each for each in table.schema().fields}
    lacking = [name for name in lacking_columns(schema) if fields[name].required]
    if RECEIVED_AT in fields and not lacking:
        return table
    with catalog.errors(), table.update_schema() as update:
        for name in lacking:
            update.update_column(name, required=False)
        if RECEIVED_AT not in fields:
            update.add_column(RECEIVED_AT, TimestamptzType(), RECEIVED_DOC)
    return table


def add_columns(catalog: LakeCatalog, table: Table, schema: Schema) -> None:
    """Add the columns that a table made by an earlier version lacks; they must be optional.

    Raises:
        LakeError: The catalog refused the change.
    """
    known = table.schema().column_names
    missing = [each for each in schema.fields if each.name not in known]
    if not missing:
        return
    with catalog.errors(), table.update_schema() as update:
        for each in missing:
            update.add_column(each.name, each.field_type, each.doc)
