"""The replaced versions of a local store, kept as `<key>/<UTC moment>-<sha256>.zip`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.kept import KeptVersion
from crypto_lakehouse.stores.confined import files_below, remove_empty, remove_file

__all__ = ["kept_in", "remove_version"]


def kept_in(root: Path, inside: Path) -> Iterator[KeptVersion]:
    """Yield every version below `inside`, in the order of keys and of time; blocking."""
    for entry in files_below(str(root), str(inside)):
        path = Path(entry.path)
        sha256 = path.stem.rpartition("-")[2]
        if path.suffix == ".zip" and len(sha256) == 64:
            key = path.parent.relative_to(inside).as_posix()
            place = path.relative_to(root).as_posix()
            yield KeptVersion(key, sha256, entry.stat(follow_symlinks=False).st_size, place)


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
