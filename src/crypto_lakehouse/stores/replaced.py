"""The replaced versions of a local store, kept as `<key>/<UTC moment>-<sha256>.zip`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.kept import KeptVersion

__all__ = ["kept_in", "remove_version"]


def kept_in(root: Path, inside: Path) -> Iterator[KeptVersion]:
    """Yield every version below `inside`, in the order of keys and of time; blocking."""
    for path in sorted(inside.rglob("*-*.zip")):
        sha256 = path.stem.rpartition("-")[2]
        if len(sha256) == 64 and path.is_file():
            key = path.parent.relative_to(inside).as_posix()
            place = path.relative_to(root).as_posix()
            yield KeptVersion(key, sha256, path.stat().st_size, place)


def remove_version(path: Path, inside: Path) -> int | None:
    """Remove one kept version with its sidecar; return its size, None if it was gone already.

    Raises:
        StoreError: It cannot be removed, or is not below `inside`.
    """
    real = path.parent.resolve() / path.name
    if not real.is_relative_to(inside.resolve()):
        raise StoreError(str(path), "it is not below the folder of replaced versions")
    try:
        size = path.lstat().st_size if path.exists() else None
        for file in (path, path.with_name(path.name + SIDECAR_SUFFIX)):
            file.unlink(missing_ok=True)
        _remove_empty(path.parent, inside)
    except OSError as error:
        raise StoreError(str(path), error.strerror or str(error)) from error
    return size


def _remove_empty(folder: Path, inside: Path) -> None:
    while folder != inside and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
