"""Where the tables of an ingestion are: in a directory, or below a URL in an object store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.storage import StoreUrl, store_url_fault
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.stores.state import LAKE_LOCK, lake_state
from crypto_lakehouse.workflows.wiring.stored_output import stored_config

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["LakeAt", "lake_at", "url_settings"]


@frozen
class LakeAt:
    """Where a lake is.

    Attributes:
        name: The path of its directory, or its URL; for messages.
        folder: Its directory; for a lake at a URL, its local folder.
        url: The URL; None for a lake in a directory.
        stored: The configuration of its object store.
    """

    name: str
    folder: Path
    url: StoreUrl | None = None
    stored: WorkflowConfig | None = None

    @property
    def lock(self) -> Path:
        """The lock that a run which writes to the lake holds."""
        return self.folder / LAKE_LOCK

    def place(self) -> LakePlace:
        """Return the place of the tables; no request is made.

        Raises:
            ExtraMissing: An extra is not installed.
            ConfigurationError: The settings of the object store do not fit together.
        """
        from crypto_lakehouse.stores.objects.opening import Connection
        from crypto_lakehouse.tables.iceberg.lake_place import LakePlace

        if self.url is None or self.stored is None:
            return LakePlace(self.folder)
        stored = self.stored
        return LakePlace.at_url(
            self.url, stored.storage, Connection.of(stored), stored.state_directory
        )


def lake_at(config: LakeConfig) -> LakeAt:
    """Return where the tables of an ingestion are; nothing is read.

    Raises:
        ConfigurationError: The URL or a setting of its store is wrong.
    """
    url = config.lake_url
    if url is None:
        return LakeAt(str(config.lake_folder), config.lake_folder)
    given = {"storage": config.storage, "state_directory": config.state_directory}
    stored = _checked(str(url), {**given, "credentials": config.credentials})
    folder = lake_state(url, stored.storage, stored.state_directory)
    return LakeAt(str(url), folder, url, stored)


def url_settings(lake: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Lake.open` that say how the store of a lake at a URL is reached.

    Args:
        lake: The URL of the lake, or of the output that it is in.
        given: `storage` and `state_directory`, None if they are not given; then the variables of
            collections decide.

    Raises:
        ConfigurationError: The URL or a setting is wrong.
    """
    from crypto_lakehouse.stores.objects.opening import Connection

    stored = _checked(lake, given)
    return {
        "storage": stored.storage,
        "state_directory": stored.state_directory,
        "connection": Connection.of(stored),
    }


def _checked(lake: str, given: Mapping[str, Any]) -> WorkflowConfig:
    if fault := store_url_fault(lake) or own_folder_fault(lake, is_lake=True):
        raise ConfigurationError([Problem("$.lake", fault)])
    stored = stored_config(lake, **given)
    if stored.problems:
        raise ConfigurationError(stored.problems)
    return stored
