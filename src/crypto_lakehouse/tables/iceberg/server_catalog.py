"""The catalog of a lake in PostgreSQL, so that several machines ingest into one lake.

The tables of pyiceberg's SQL catalog are in the default schema of the database. Each lake has rows
of its own: their `catalog_name` names it (`catalog_names`).
"""

from __future__ import annotations

from typing import Any

from pyiceberg.io import PY_IO_IMPL, FileIO
from sqlalchemy.exc import IntegrityError, ProgrammingError

from crypto_lakehouse.core.config.database_url import database_url_fault
from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing, Problem
from crypto_lakehouse.tables.iceberg.catalog_names import adopt_tables, catalog_name
from crypto_lakehouse.tables.iceberg.embedded_catalog import EmbeddedCatalog
from crypto_lakehouse.tables.iceberg.inner_names import wait_for_commits
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, WAREHOUSE, LocalIO, location_of
from crypto_lakehouse.tables.iceberg.object_io import ObjectIO
from crypto_lakehouse.tables.iceberg.stored_catalog import object_properties

__all__ = ["open_server_catalog"]

#: How long to wait for a commit whose answer was lost, in seconds.
_WAIT_S = 60


def open_server_catalog(url: str, place: LakePlace) -> EmbeddedCatalog:
    """Open the catalog of a lake in a PostgreSQL database; it is created if it is absent.

    Args:
        url: The database, as postgresql://host/database, without a password.
        place: The lake, whose files are where those of a lake with an embedded catalog are.

    Raises:
        ConfigurationError: It is not such a URL, or has a password.
        ExtraMissing: The extra `postgres` is not installed.
        LakeError: The database has the lake's tables under another endpoint or account.
        Exception: The server cannot be reached, or refuses.
    """
    if fault := database_url_fault(url):
        raise ConfigurationError([Problem("$.catalog", fault)])
    try:
        import psycopg  # noqa: F401 - SQLAlchemy's own error does not say what to install
    except ImportError:
        reason = f"the catalog `{url}` is in PostgreSQL, which needs psycopg"
        raise ExtraMissing("postgres", reason) from None
    properties: dict[str, Any] = {
        "uri": f"postgresql+psycopg://{url.partition('://')[2]}",
        "pool_pre_ping": "true",
        LAKE_ROOT: place.root,
    }
    kind: type[EmbeddedCatalog] = _ServerCatalog
    if place.client is not None:
        kind = _ObjectsCatalog
        properties |= object_properties(place.client, str(place.folder.resolve()))
    else:
        properties["warehouse"] = location_of(place.folder.resolve() / WAREHOUSE)
        properties[PY_IO_IMPL] = f"{LocalIO.__module__}.{LocalIO.__name__}"
    try:
        catalog = kind(catalog_name(place), **properties)
    except (IntegrityError, ProgrammingError):  # another machine creates the tables just now
        catalog = kind(catalog_name(place), **properties)
    try:
        adopt_tables(catalog, place)
    except BaseException:
        catalog.close()
        raise
    return catalog


class _ServerCatalog(EmbeddedCatalog):
    """A catalog on a server, to which a commit may be under way without the process that began it.

    A commit locks the row of its table before it asks the server to make it permanent. So if the
    answer to that is lost, the outcome is known once the row can be locked.
    """

    def settle(self, name: str) -> None:
        """Make the outcome of all commits to a table final that were begun before.

        Raises:
            Exception: The server fails, or a commit is still under way after a minute.
        """
        namespace, _, table = name.rpartition(".")
        wait_for_commits(self, namespace, table, _WAIT_S)


class _ObjectsCatalog(_ServerCatalog):
    """A catalog of a lake whose files are objects."""

    def _load_file_io(self, *_properties: Any, **_location: Any) -> FileIO:
        return ObjectIO(self.properties)
