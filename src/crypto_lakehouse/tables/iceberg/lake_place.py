"""Where a lake is: the place of its files, and a local folder for what one run at a time uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crypto_lakehouse.core.config.storage import StoreUrl, is_url, store_identity
from crypto_lakehouse.stores.objects.conditions import knows_conditions
from crypto_lakehouse.stores.state import LAKE_LOCK, lake_state
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.tables.iceberg.lake_formats import CATALOG, JOURNALS, has_records
from crypto_lakehouse.tables.iceberg.lost_tables import (
    committed_in_directory,
    committed_metadata,
    lost_at_url,
    lost_in_directory,
    of_no_table,
)
from crypto_lakehouse.tables.iceberg.table_records import TableRecords

if TYPE_CHECKING:
    from crypto_lakehouse.stores.objects.client import ObjectClient
    from crypto_lakehouse.stores.objects.opening import Connection

__all__ = ["LakePlace", "place_notes"]

#: The file that remembers whether the store honours conditions.
_CONDITIONS = "conditions.json"


@frozen
class LakePlace:
    """Where a lake is.

    Attributes:
        folder: The local folder of the embedded catalog, the journals, the lock and temporary
            files. For a lake in a directory it is that directory.
        client: The objects below the lake's URL; None for a lake in a directory.
        store: What tells the lake from those at the same URL in other stores, with its URL; empty
            if the URL suffices.
    """

    folder: Path
    client: ObjectClient | None = field(default=None, repr=False)
    store: str = ""

    def __str__(self) -> str:
        """The lake as messages name it."""
        return str(self.folder) if self.client is None else self.client.url

    @property
    def is_url(self) -> bool:
        """Whether the lake's files are in an object store."""
        return self.client is not None

    @property
    def root(self) -> str:
        """The lake as its metadata names it: its URL, or an absolute path without links."""
        return str(self.folder.resolve()) if self.client is None else self.client.url

    def has_conditions(self) -> bool:
        """Whether the store honours conditions; false for a lake in a directory.

        Raises:
            StoreError: The store fails.
        """
        return self.client is not None and knows_conditions(self.client, self.folder / _CONDITIONS)

    @property
    def identity(self) -> str:
        """A text that identifies the lake, also among stores in which its URL is the same."""
        return self.store or self.root

    @property
    def catalog(self) -> Path:
        """The file of the embedded catalog."""
        return self.folder / CATALOG

    @property
    def journals(self) -> Path:
        """The folder of journals."""
        return self.folder / JOURNALS

    @property
    def lock(self) -> Path:
        """The lock of a run that writes to the lake."""
        return self.folder / LAKE_LOCK

    def has_tables(self) -> bool:
        """Whether there are tables, which is one request to an object store.

        Raises:
            StoreError: The store fails.
        """
        if self.client is None:
            return self.catalog.is_file()
        return next(TableRecords(self.client).names(), None) is not None

    def has_copied_tables(self) -> bool:
        """Whether a copy from the other kind of place brought tables along; see `copied_tables`.

        That is one request to an object store.

        Raises:
            StoreError: The store fails.
        """
        if self.client is None:
            return has_records(self.folder)
        return self.client.head(CATALOG) is not None

    def is_used(self) -> bool:
        """Whether there are tables, or those of a copy.

        Raises:
            StoreError: The store fails.
        """
        return self.has_tables() or self.has_copied_tables()

    def lost_tables(self) -> str:
        """Say that there are tables which nothing names; empty if there are none.

        That is one or two requests to an object store.

        Raises:
            StoreError: The store fails.
        """
        if self.has_tables():
            return ""
        return lost_in_directory(self.folder) if self.client is None else lost_at_url(self.client)

    def tables_of_others(self) -> str:
        """Say that there are tables, for a catalog that has none; empty if there are none.

        Raises:
            StoreError: The store fails.
        """
        client = self.client
        found = committed_metadata(client) if client else committed_in_directory(self.folder)
        return "" if found is None else of_no_table(found)

    @classmethod
    def of(cls, place: Path | LakePlace) -> LakePlace:
        """Return the place of a lake in a directory; a place is returned as it is."""
        return place if isinstance(place, LakePlace) else cls(place)

    @classmethod
    def named(cls, path: str, **settings: Any) -> LakePlace:
        """Return the place of a lake that is named by its directory or its URL.

        Args:
            path: The directory, or the URL.
            settings: The arguments of `at_url` for a URL.

        Raises:
            ExtraMissing: The extra `stores` is not installed.
            ConfigurationError: The URL is wrong, or the settings do not fit together.
        """
        if is_url(path):
            return cls.at_url(StoreUrl.parse(path), **settings)
        return cls(absolute_path(path))

    @classmethod
    def at_url(
        cls,
        url: StoreUrl,
        storage: Mapping[str, Any] | None = None,
        connection: Connection | None = None,
        state_directory: str | None = None,
    ) -> LakePlace:
        """Return the place of a lake at a URL; no request is made.

        Args:
            url: The lake.
            storage: The settings of the object store.
            connection: How the store is connected to.
            state_directory: As in `lake_state`.

        Raises:
            ExtraMissing: The extra `stores` is not installed.
            ConfigurationError: The settings do not fit together, or a setting is missing.
        """
        from crypto_lakehouse.stores.objects.opening import open_objects

        store = open_objects(url, storage, connection)
        folder = lake_state(url, storage, state_directory)
        return cls(folder, store.client, store_identity(url, storage))


def place_notes(place: LakePlace, catalog: str | None = None) -> tuple[str, ...]:
    """Return remarks for a program that writes to a lake, one sentence each.

    Args:
        place: Where the lake is.
        catalog: The catalog that is used instead of the embedded one, if any.

    Raises:
        StoreError: The store fails.
    """
    if place.client is None:
        return ()
    what = "the catalog, the journals" if catalog is None else "the journals"
    notes = [f"{what} and the lock of {place} are in {place.folder}"]
    if not place.has_conditions():
        notes.append(
            f"{place} is in a store that ignores conditions: a second machine that writes at the "
            "same time may undo commits of this one; let one machine write"
        )
    return tuple(notes)
