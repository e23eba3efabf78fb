"""In place of tables that are not there yet, and of a lake without any: for rows of recordings."""

from __future__ import annotations

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.table import Table
from pyiceberg.table.metadata import new_table_metadata

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.inner_names import PyArrowFileIO
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.schema.schemas import TableSchema
from crypto_lakehouse.tables.schema.table_types import iceberg_schema, partition_spec, sort_order

__all__ = ["NoTables", "blank_table"]


class NoTables(LakeCatalog):
    """The catalog of a lake that is not there yet: it has no table, and nothing is written.

    Args:
        place: Where the lake will be.
    """

    def __init__(self, place: LakePlace) -> None:
        self.place = place
        self.name = None
        self.purpose = ""
        self.catalog = NoopCatalog("none")

    def names(self) -> list[str]:
        """Return no name."""
        return []

    def find(self, name: str) -> None:
        """Find no table."""

    def version(self) -> None:
        """Have no version."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


def blank_table(schema: TableSchema, *, exact: bool) -> Table:
    """A table of a type without rows, which no catalog has.

    Args:
        schema: The type.
        exact: Whether its numbers are decimals.
    """
    columns = iceberg_schema(schema, exact=exact)
    metadata = new_table_metadata(
        columns,
        partition_spec(schema.partitioning, columns),
        sort_order(schema.sort_key, columns),
        location="",
    )
    return Table(tuple(schema.name.split(".")), metadata, "", PyArrowFileIO(), NoopCatalog("none"))
