"""Replaced versions, kept as `<key>/<UTC moment>-<sha256>.zip`: their names, and a directory's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.kept import KEPT_FOLDER, KeptVersion
from crypto_lakehouse.stores.confined import files_below, remove_empty, remove_file

__all__ = ["kept_as", "kept_in", "parse_kept", "remove_version"]

_ZIP = ".zip"


def kept_as(key: str, sha256: str) -> str:
    """Return where a version that is replaced now is kept, relative to its store."""
    return f"{KEPT_FOLDER}{key}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{sha256}{_ZIP}"


def parse_kept(place: str, size_bytes: int) -> KeptVersion | None:
    """Return the version that is kept at a place; None if it is none, as a sidecar."""
    key, _, name = place.removeprefix(KEPT_FOLDER).rpartition("/")
    sha256 = name.removesuffix(_ZIP).rpartition("-")[2]
    is_version = name.endswith(_ZIP) and len(sha256) == 64
    return KeptVersion(key, sha256, size_bytes, place) if is_version else None


def kept_in(root: Path, inside: Path) -> Iterator[KeptVersion]:
    """Yield every version below `inside`, in the order of keys and of time; blocking."""
    for entry in files_below(str(root), str(inside)):
        place = Path(entry.path).relative_to(root).as_posix()
        if kept := parse_kept(place, entry.stat(follow_symlinks=False).st_size):
            yield kept


def remove_version(root: Path, path: str, inside: Path) -> int | None:
    """Remove one kept version with its sidecar; return its size, None if it was gone already.

    Raises:
        StoreError: It cannot be removed, is not below `inside`, or a link leads to it.
    """
    if not path.startswith(f"{inside}/"):
        raise StoreError(path, "it is not below the folder of replaced versions")
    top = str(root)
    try:
        size = remove_file(top, path)
        remove_file(top, path + SIDECAR_SUFFIX)
        remove_empty(top, path.rpartition("/")[0], up_to=str(inside))
    except OSError as error:
        raise StoreError(path, error.strerror or str(error)) from error
    return size
