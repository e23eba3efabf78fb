"""Where the lake of an output is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.storage import (
    StoreUrl,
    is_url,
    state_directory_fault,
    store_url_fault,
)
from crypto_lakehouse.core.errors import ConfigurationError, LakeError, Problem
from crypto_lakehouse.stores.confined import leads_out
from crypto_lakehouse.stores.state import LAKE_FOLDER
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.lake_formats import CATALOG
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace

if TYPE_CHECKING:
    from crypto_lakehouse.stores.objects.opening import Connection

__all__ = ["lake_folder", "lake_place", "place_within"]


def lake_folder(path: str | os.PathLike[str]) -> Path:
    """The directory of a lake: the path itself if it holds a catalog, else its lake folder.

    Raises:
        LakeError: The path cannot be read, or the lake folder leads out of it by a symbolic link,
            and its owner may not want its files changed.
    """
    root = absolute_path(path)
    inside = root / LAKE_FOLDER
    with as_lake_errors(str(root)):
        if (root / CATALOG).is_file() or not inside.is_dir():
            return root
    if leads_out(str(root), str(inside)):
        reason = f"it leads out of `{root}` by a symbolic link; name the directory that it leads to"
        raise LakeError(str(inside), reason)
    return inside


def lake_place(
    path: str | os.PathLike[str],
    *,
    catalog: str | None = None,
    storage: Mapping[str, Any] | None = None,
    state_directory: str | None = None,
    connection: Connection | None = None,
) -> LakePlace:
    """Return where a lake is; the arguments and errors are those of `Lake.open`.

    There need not be a lake.
    """
    if not is_url(os.fspath(path)):
        return LakePlace(lake_folder(path))
    text = os.fspath(path)
    if fault := store_url_fault(text) or own_folder_fault(text, is_lake=True):
        raise ConfigurationError([Problem("lake", fault)])
    if fault := state_directory_fault(state_directory):
        raise ConfigurationError([Problem("state_directory", fault)])
    url = StoreUrl.parse(text)
    place = LakePlace.at_url(url, storage, connection, state_directory)
    if catalog is None and not place.is_used():
        inside = StoreUrl.parse(f"{url}/{LAKE_FOLDER}")
        inner = LakePlace.at_url(inside, storage, connection, state_directory)
        return inner if inner.is_used() else place
    return place


def place_within(
    output: str | os.PathLike[str],
    storage: Mapping[str, Any] | None = None,
    state_directory: str | None = None,
    connection: Connection | None = None,
) -> LakePlace:
    """Return where the lake of an output will be, if there is none yet.

    Args: as of `Lake.open`.
    """
    if not is_url(os.fspath(output)):
        return LakePlace(absolute_path(output) / LAKE_FOLDER)
    url = StoreUrl.parse(f"{StoreUrl.parse(os.fspath(output))}/{LAKE_FOLDER}")
    return LakePlace.at_url(url, storage, connection, state_directory)
