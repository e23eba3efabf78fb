"""The name under which a database has the tables of a lake.

It has the endpoint and the account of the object store, so that lakes with the same URL in two
stores are two lakes. Earlier versions of this program named a lake by its URL alone: what is in
the database under that name belongs to the store that has the metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from attrs import frozen
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import text

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace

__all__ = ["adopt_tables", "catalog_name"]

#: The longest name of a catalog that pyiceberg's tables take, less the prefix.
_LONGEST = 200

_HAS_TABLES = text("SELECT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = :name)")

_OF_URL = text("""
SELECT catalog_name, table_namespace, table_name, metadata_location FROM iceberg_tables
WHERE starts_with(metadata_location, :url) AND catalog_name <> :name
ORDER BY table_namespace, table_name
""")

_ADOPT = text("""
UPDATE iceberg_tables SET catalog_name = :name
WHERE catalog_name = :old AND table_namespace = :namespace AND table_name = :table
""")

_ADOPT_NAMESPACES = text("""
INSERT INTO iceberg_namespace_properties (
    catalog_name, namespace, property_key, property_value
)
SELECT :name, namespace, property_key, property_value FROM iceberg_namespace_properties
WHERE catalog_name = :old ON CONFLICT DO NOTHING
""")


def catalog_name(place: LakePlace) -> str:
    """Return the name of a lake's catalog."""
    return _name_of(place.identity)


def _name_of(identity: str) -> str:
    if len(identity) <= _LONGEST:
        return f"lakehouse {identity}"
    return hashlib.sha256(identity.encode()).hexdigest()


@frozen
class _Row:
    catalog: str
    namespace: str
    table: str
    metadata: str


def adopt_tables(catalog: SqlCatalog, place: LakePlace) -> None:
    """Give a lake at a URL that has no tables those that are named by its URL alone.

    Only tables whose metadata is in the lake's object store are adopted.

    Args:
        catalog: The lake's catalog.
        place: The lake.

    Raises:
        LakeError: The database has tables of this lake under another endpoint or account.
        StoreError: The store fails.
    """
    if place.client is None:
        return
    names = {"name": catalog.name}
    with catalog.engine.begin() as connection:
        if connection.execute(_HAS_TABLES, names).scalar_one():
            return
        found = connection.execute(_OF_URL, {**names, "url": f"{place.root}/"}).all()
    here = [*_in_store(place, (_Row(*row) for row in found))]
    by_url = _name_of(place.root)
    if other := next((row.catalog for row in here if row.catalog != by_url), None):
        reason = (
            f"the catalog has tables of this lake as `{other}`, and would get others as "
            f"`{catalog.name}`: name the same `endpoint` and `account` in `storage` on each "
            "machine; if this store is a copy of that one, name another database for it"
        )
        raise LakeError(str(place), reason)
    if not here:
        return
    with catalog.engine.begin() as connection:
        connection.execute(_ADOPT_NAMESPACES, {**names, "old": by_url})
        for row in here:
            values = {"old": by_url, "namespace": row.namespace, "table": row.table}
            connection.execute(_ADOPT, {**names, **values})


def _in_store(place: LakePlace, rows: Iterator[_Row]) -> Iterator[_Row]:
    """Those tables whose metadata is in the store of a lake."""
    assert place.client is not None  # noqa: S101 - for the type checker
    for row in rows:
        if place.client.head(row.metadata.removeprefix(f"{place.root}/")) is not None:
            yield row
