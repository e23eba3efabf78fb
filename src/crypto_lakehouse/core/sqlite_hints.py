"""What the user can do about an error of SQLite that comes from the file system under a database.

The core imports no database, so the codes are numbers. Source: https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

__all__ = ["is_refused", "sqlite_hint"]

_BUSY, _LOCKED, _IOERR, _FULL, _PROTOCOL, _NOLFS = 5, 6, 10, 13, 15, 22

#: PERM, READONLY, CANTOPEN, AUTH: a file or folder that this user may not read or write.
_NOT_ALLOWED = frozenset({3, 8, 14, 23})

#: RDLOCK, UNLOCK, CHECKRESERVEDLOCK, LOCK, SHMOPEN, SHMLOCK, SHMMAP.
_OF_LOCKS = frozenset(_IOERR | number << 8 for number in (9, 8, 14, 15, 18, 20, 21))

#: FSYNC, DIR_FSYNC.
_OF_SYNC = frozenset(_IOERR | number << 8 for number in (4, 5))

_HINTS = {
    _FULL: "free some space and run again",
    _IOERR: "check whether the disk is full, over a quota, or failing",
    _NOLFS: "its file system allows no file that large; choose another one",
}


def is_refused(code: int) -> bool:
    """Whether this user may not use a database's files, or their file system has no locks.

    Args:
        code: As `sqlite_hint` takes it.

    Examples:
        >>> is_refused(14), is_refused(13)
        (True, False)
    """
    primary = code & 0xFF
    return primary in _NOT_ALLOWED or primary == _PROTOCOL or code in _OF_LOCKS


def sqlite_hint(code: int, place: str) -> str | None:
    """Return advice for an error of SQLite; None if there is none for its code.

    Args:
        code: The extended or primary result code, as `sqlite3.Error.sqlite_errorcode`.
        place: What the user can move to another file system, as `output directory`.

    Examples:
        >>> sqlite_hint(13, "lake")
        'free some space and run again'
    """
    primary = code & 0xFF
    no_locks = (
        f"if the {place} is on a network file system (NFS, SMB) or in a shared folder of a virtual "
        f"machine, SQLite may not be able to lock files there: move the {place} to a local disk"
    )
    if primary in {_BUSY, _LOCKED}:
        return f"another program holds it: end that, and run again; {no_locks}"
    if primary == _PROTOCOL or code in _OF_LOCKS:
        return no_locks
    if code in _OF_SYNC:
        return (
            "its file system may not support fsync, as some network and FUSE file systems do not: "
            f"move the {place} to another one; if it does, check whether the disk is failing"
        )
    return _HINTS.get(primary)
