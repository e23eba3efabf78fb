"""Errors for a ledger that SQLite cannot open, read or write, with what the user can do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.sqlite_hints import is_refused, sqlite_hint
from crypto_lakehouse.ledger.record_locks import lock_code

__all__ = ["CHECKED_BYTES", "code_of", "damaged", "is_damage", "refusal", "unreadable"]

#: Ledgers up to this size are read whole when a run begins, in about 0.5 s.
CHECKED_BYTES = 1 << 27

#: Codes for a file or folder that this user may not read or write.
_NOT_ALLOWED = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH}
)

#: Codes for a file that is not a ledger any more: damaged pages, tables or columns.
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_SCHEMA,
    }
)

#: The longest path that SQLite takes, in bytes, less a little for the suffix of its journal.
_LONGEST_PATH = 500


def code_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary error code; 0 if the error is not SQLite's but Python's."""
    return _extended_code(error) & 0xFF


def _extended_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the content of the file is the reason: pages, tables or columns are damaged."""
    return code_of(error) in _DAMAGE


def refusal(path: Path, error: sqlite3.Error, action: str) -> LedgerError:
    """Make the error for a ledger that cannot be opened, read or written, with advice."""
    sqlite_code = lock_code(_extended_code(error), path.parent)
    hint = _hint(path, sqlite_code, action)
    reason = f"the ledger cannot be {action}: {error}"
    code = 2 if is_refused(sqlite_code) else 1
    return LedgerError(str(path), f"{reason}; {hint}" if hint else reason, exit_code=code)


def unreadable(path: Path, error: sqlite3.Error) -> LedgerError:
    """Make the error for a ledger that cannot be read; it says how a damaged one is rebuilt."""
    return damaged(path, str(error)) if is_damage(error) else refusal(path, error, "read")


def damaged(path: Path, reason: str) -> LedgerError:
    """Make the error for a ledger whose content is damaged; it says how that is mended."""
    files = "the files and their sidecars"
    if path.stat().st_size <= CHECKED_BYTES:
        remedy = f"sets it aside and rebuilds it from its sound rows, {files}"
    else:
        remedy = f"rebuilds it from {files} if you move it away"
    return LedgerError(
        str(path),
        f"the ledger cannot be read, it is damaged: {reason}; the next `collect` {remedy}",
    )


def _hint(path: Path, code: int, action: str) -> str | None:
    if path.exists() and not path.is_file():
        return "it is not a file; move it away and run again"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return "its path is too long for SQLite; choose an output directory with a shorter path"
    if code & 0xFF in _NOT_ALLOWED:
        verb = "read" if action == "read" else "write"
        return f"let this user {verb} it and the files beside it, in `{path.parent}`"
    return sqlite_hint(code, "output directory")
