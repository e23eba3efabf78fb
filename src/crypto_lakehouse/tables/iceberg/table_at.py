"""Tables in known states, for a process that only reads them and writes data files."""

from __future__ import annotations

from attrs import define, field
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table

from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, LocalIO
from crypto_lakehouse.tables.iceberg.object_io import ObjectIO
from crypto_lakehouse.tables.iceberg.stored_catalog import object_properties
from crypto_lakehouse.tables.iceberg.table_metadata import check_metadata

__all__ = ["TableStates"]


@define(eq=False)
class TableStates:
    """Loads states of the tables of one lake, and keeps the last one; for one thread at a time.

    The embedded catalog is not opened: it is a SQLite database, which other machines must not open.

    Attributes:
        place: Where the lake is.
    """

    place: LakePlace
    _last: tuple[tuple[str | None, str, str], Table] | None = field(init=False, default=None)

    def at(self, catalog: str | None, name: str, metadata: str) -> Table:
        """Load the state of a table that a metadata file describes.

        Args:
            catalog: The catalog of pyiceberg's configuration; None for one of this package.
            name: The table's full name.
            metadata: The location of the metadata file.

        Raises:
            LakeError: The metadata decides how or where files are read or written.
            OSError: It cannot be read.
            StoreError: The object store fails.
        """
        wanted = catalog, name, metadata
        if self._last is None or self._last[0] != wanted:
            self._last = wanted, self._load(*wanted)
        return self._last[1]

    def _load(self, catalog: str | None, name: str, metadata: str) -> Table:
        files, known = self._files(catalog, name)
        table = Table(
            tuple(name.split(".")),
            FromInputFile.table_metadata(files.new_input(metadata)),
            metadata,
            files,
            known,
        )
        if catalog is None:
            check_metadata(self.place.root, name, table.location(), table.properties)
        return table

    def _files(self, catalog: str | None, name: str) -> tuple[FileIO, Catalog]:
        if catalog is not None:
            opened = load_catalog(catalog)
            return opened.load_table(name).io, opened
        place, known = self.place, NoopCatalog("lakehouse")
        root = {LAKE_ROOT: place.root}
        if place.client is None:
            return LocalIO(root), known
        return ObjectIO({**root, **object_properties(place.client, str(place.folder))}), known
