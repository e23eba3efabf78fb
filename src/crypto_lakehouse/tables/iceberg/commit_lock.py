"""A lock in the database of a shared catalog, for the moment of a commit.

Commits are atomic without it: a writer that is overtaken plans its commit again. But a commit and
its record in `lakehouse.archives` are two commits, and between them a second writer cannot know
that the rows it finds are recorded soon. With the lock it waits for the record.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import text
from sqlalchemy.engine import Connection

__all__ = ["commit_lock"]

#: How long a writer waits for another one, in seconds. One that is suspended with the lock must not
#: keep all others from working: the tables are right without it, and only the reports of both may
#: then count an archive.
_WAIT_S = 120.0

#: How long it pauses between two attempts, in seconds.
_PAUSE_S = 0.1

_TAKE = text("SELECT pg_try_advisory_lock(:key)")
_GIVE_BACK = text("SELECT pg_advisory_unlock(:key)")


@contextmanager
def commit_lock(
    catalog: SqlCatalog, table: str, check: Callable[[], None], wait_s: float = _WAIT_S
) -> Iterator[None]:
    """Hold the lock of a table in PostgreSQL; the server frees it if the connection is lost.

    Args:
        catalog: The catalog of one lake.
        table: The table's full name.
        check: Called while another writer holds the lock; may raise to cancel.
        wait_s: How long to wait for the other writer; after that, go on without the lock.
    """
    name = f"crypto-lakehouse\0commit\0{catalog.name}\0{table}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    # Each statement is a transaction of its own: an open one would keep the server from cleaning.
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ends_at = time.monotonic() + wait_s
        while not (taken := _is_taken(connection, key)) and time.monotonic() < ends_at:
            check()
            time.sleep(_PAUSE_S)
        try:
            yield
        finally:
            if taken:
                with suppress(Exception):  # it may be lost, and the lock with it
                    connection.execute(_GIVE_BACK, {"key": key})
                connection.invalidate()  # if it is not lost, it must not be used with the lock


def _is_taken(connection: Connection, key: int) -> bool:
    return bool(connection.execute(_TAKE, {"key": key}).scalar_one())
