"""Reads a catalog that a killed run left within a commit, if this user cannot roll it back.

SQLite undoes an unfinished commit when it next opens the file, for which it must write. On a
read-only file system, or in a lake of another user, it cannot, and refuses to read. Then a copy is
rolled back and read.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.file_identity import FileIdentity, has_content, identity_of

__all__ = ["rolled_back_copy"]

#: SQLite's codes for a file that it would have to write.
_CANNOT_WRITE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})


def rolled_back_copy(path: Path) -> TemporaryDirectory[str] | None:
    """Copy a catalog, without its unfinished commit, if it can be read in no other way; blocking.

    Args:
        path: The catalog's file.

    Returns:
        A directory with the copy, of the same name, for the caller to remove; None if the catalog
        can be read as it is.

    Raises:
        LakeError: Another program wrote to the catalog in the meantime.
        OSError: No copy can be made.
    """
    if not has_content(str(_journal(path))) or _is_readable(path):
        return None
    before = _state(path)
    folder = TemporaryDirectory(prefix="crypto-lakehouse-", ignore_cleanup_errors=True)
    try:
        copy = Path(folder.name) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(_journal(path), _journal(copy))
        if _state(path) != before:
            reason = "another program wrote to the catalog while it was copied; run again"
            raise LakeError(str(path.parent), reason)
        _read(copy)  # rolls back
    except BaseException:
        folder.cleanup()
        raise
    return folder


def _is_readable(path: Path) -> bool:
    try:
        _read(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _CANNOT_WRITE:
            return False
        raise
    return True


def _read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _state(path: Path) -> tuple[FileIdentity | None, FileIdentity | None]:
    """What changes with every write to the catalog or its journal."""
    return identity_of(str(path)), identity_of(str(_journal(path)))
