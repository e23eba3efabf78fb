"""The catalog in a lake's directory, whose tables cannot change how their files are accessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError
from pyiceberg.io import FileIO
from pyiceberg.table import Table

from crypto_lakehouse.tables.iceberg.inner_names import (
    add_metadata_locations,
    metadata_locations,
    set_metadata_locations,
)
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, LocalIO
from crypto_lakehouse.tables.iceberg.table_metadata import check_metadata

__all__ = ["EmbeddedCatalog"]

#: The beginning of a property of a namespace: where a table's metadata was before a relocation.
_COPIED_FROM = "crypto-lakehouse.copied-from."


class EmbeddedCatalog(SqlCatalog):
    """pyiceberg's catalog in SQLite, for the files of one lake only."""

    def load_table(self, identifier: str | tuple[str, ...]) -> Table:
        """Load a table.

        Raises:
            LakeError: Its metadata decides how or where files are read or written.
        """
        table = super().load_table(identifier)
        name = ".".join(table.name())
        check_metadata(self.properties[LAKE_ROOT], name, table.location(), table.properties)
        return table

    def locations(self, name: str) -> tuple[str, str | None] | None:
        """Return the locations of a table's metadata and of the version before; None if absent."""
        namespace, _, table = name.rpartition(".")
        return metadata_locations(self, namespace, table)

    def set_locations(
        self, name: str, old: tuple[str, str | None], new: tuple[str, str | None]
    ) -> bool:
        """Change in one transaction what `locations` returns; return whether it was `old`."""
        namespace, _, table = name.rpartition(".")
        return set_metadata_locations(self, namespace, table, old, new)

    def settle(self, name: str) -> None:
        """Make the outcome of all commits to a table final that were begun before.

        There is nothing to do: what a run commits to a local database is known when it ends.
        """

    def register(
        self, tables: Mapping[str, tuple[str, str | None]], copied_from: Mapping[str, str]
    ) -> None:
        """Add tables to a catalog that has none, without reading their metadata.

        Args:
            tables: The locations of the metadata and of the version before, by name.
            copied_from: What `copied_from` returns, by name.
        """
        names = {name: name.rpartition(".")[0] for name in tables}
        for namespace in sorted({*names.values()}):
            found = {
                f"{_COPIED_FROM}{name}": copied_from[name]
                for name in names
                if names[name] == namespace and name in copied_from
            }
            self.create_namespace(namespace, {"exists": "true", **found})
        for name, locations in tables.items():
            add_metadata_locations(self, names[name], name.rpartition(".")[2], locations)

    def copied_from(self, name: str) -> str | None:
        """Return the location of a table's metadata before it was relocated from an object store.

        None if it was not.
        """
        try:
            found = self.load_namespace_properties(name.rpartition(".")[0])
        except NoSuchNamespaceError:
            return None
        return found.get(f"{_COPIED_FROM}{name}")

    def _load_file_io(self, *_properties: Any, **_location: Any) -> FileIO:
        # pyiceberg's own method lets the properties of a table replace those of the catalog.
        return LocalIO(self.properties)
