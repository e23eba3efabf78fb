"""Whether a file system has the record locks that SQLite needs.

SQLite takes the answer that there are none (ENOLCK, as of NFS without a lock daemon) for a lock
that another program holds: its code is SQLITE_BUSY either way.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from crypto_lakehouse.ledger.lock import NO_LOCKS_CODES

__all__ = ["lacks_record_locks", "lock_code"]


def lock_code(code: int, folder: Path) -> int:
    """Return the code of an error of SQLite, SQLITE_PROTOCOL if its file system has no locks.

    Args:
        code: The extended or primary result code, as `sqlite3.Error.sqlite_errorcode`.
        folder: Where the database is.
    """
    is_busy = code & 0xFF == sqlite3.SQLITE_BUSY
    return sqlite3.SQLITE_PROTOCOL if is_busy and lacks_record_locks(folder) else code


def lacks_record_locks(folder: Path) -> bool:
    """Try to lock a file without a name; False also if it cannot be tried.

    The database itself is not opened: to close it would give up the locks that this process has.
    """
    try:
        import fcntl
    except ImportError:  # Windows, whose file systems all have them
        return False
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS_CODES
    return False
