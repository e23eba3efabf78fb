"""Divide a listing into folders, whose objects it may mix with those of folders in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

__all__ = ["folder_of", "folders_of", "symbol_of", "type_of"]


def folders_of(
    pages: Iterable[list[ObjectInfo]],
) -> Iterator[tuple[str, list[ObjectInfo] | None]]:
    """Yield the folders of a listing, each once, with the objects in them.

    Memory depends on the largest symbol of a data type: all of its objects are read before its
    folders are yielded.

    Args:
        pages: The objects, in the order of their keys or of the names on their paths.

    Yields:
        A folder, and its objects; None for those of a folder above the symbols, which may have more
        of them behind its other folders.

    Raises:
        StoreError: The listing is in neither order.
    """
    groups = groupby((info for page in pages for info in page), key=_group_of)
    done: set[str] = set()
    for group, found in groups:
        is_symbol = type_of(group) != group
        if group in done and is_symbol:
            reason = (
                "the store lists its objects in no order, so that it is not known when a folder "
                "ends; use a bucket that lists them in the order of their keys"
            )
            raise StoreError(group, reason)
        folders: dict[str, list[ObjectInfo]] = {}
        for info in found:
            folders.setdefault(folder_of(info.key), []).append(info)
        if group not in done:
            done.add(group)
            for folder in sorted(folders):
                yield folder, folders[folder] if is_symbol else None


def folder_of(key: str) -> str:
    """Return the folder of a key, with its slash at the end."""
    return key[: key.rfind("/") + 1]


def _group_of(info: ObjectInfo) -> str:
    """Return the prefix of an object's symbol; its folder if it is of no data type."""
    folder = folder_of(info.key)
    return symbol_of(folder, type_of(folder))


def type_of(folder: str) -> str:
    """Return the prefix of a folder's data type; the folder itself if it is of no data type."""
    parts = folder.split("/")
    depth = 5 if parts[1:2] == ["futures"] else 4
    if parts[0] != "data" or len(parts) <= depth + 1:
        return folder
    return "/".join(parts[:depth]) + "/"


def symbol_of(folder: str, prefix: str) -> str:
    """Return what precedes all folders of a folder's symbol: a plan has its own order of these."""
    symbol, slash, _ = folder[len(prefix) :].partition("/")
    return f"{prefix}{symbol}{slash}"
