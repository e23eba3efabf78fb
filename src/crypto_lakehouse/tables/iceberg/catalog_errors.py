"""Turn the exceptions of a lake's catalog and its storage into errors with a remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_lakehouse.core.database_errors import database_exit_code
from crypto_lakehouse.core.errors import LakeError, LakehouseError
from crypto_lakehouse.core.os_error_hints import exit_code_of
from crypto_lakehouse.core.sqlite_hints import is_refused, sqlite_hint
from crypto_lakehouse.ledger.record_locks import lock_code
from crypto_lakehouse.stores.os_errors import REFUSALS, what_to_do
from crypto_lakehouse.tables.iceberg.damage import is_damage, with_remedy
from crypto_lakehouse.tables.iceberg.lake_formats import CATALOG

__all__ = ["as_lake_errors"]

#: What SQLite cannot do with the catalog, by primary error code, and what to allow.
_REFUSED = {
    sqlite3.SQLITE_READONLY: ("written", "write"),
    sqlite3.SQLITE_CANTOPEN: ("opened", "read and write"),
    sqlite3.SQLITE_PERM: ("opened", "read and write"),
}


@contextmanager
def as_lake_errors(lake: str, catalog: str | None = None) -> Iterator[None]:
    """Convert the exceptions of a catalog and its storage to `LakeError`.

    Args:
        lake: The lake.
        catalog: The URL of a catalog in PostgreSQL, which errors of its server name; or None.

    Raises:
        LakeError: Instead of any exception that is not a `LakehouseError`.
    """
    try:
        yield
    except LakehouseError:
        raise
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps the errors of SQLite
        reason = _reason(cause, lake)
        if catalog is not None and hasattr(cause, "sqlstate"):
            reason = f"its catalog `{catalog}` cannot be used: {reason}"
        said = with_remedy(lake, reason) if is_damage(cause) else reason
        code = _exit_code(cause, lake)
        raise LakeError(lake, said, is_refused=code == 2, is_unreachable=code == 5) from error


def _exit_code(cause: Exception, lake: str) -> int:
    """2 if this user may not use the files or the database, 5 if its server is not reached."""
    if hasattr(cause, "sqlstate"):  # an error of psycopg, which only some have installed
        return database_exit_code(cause)
    refused = exit_code_of(cause) == 2 or is_refused(_code(cause, lake))
    return 2 if refused else 1


def _code(cause: Exception, lake: str) -> int:
    return lock_code(int(getattr(cause, "sqlite_errorcode", 0)), Path(lake))


def _reason(cause: Exception, lake: str) -> str:
    """Say why a catalog or its storage fails, and what to do if the system refuses a file."""
    text = (str(cause) or type(cause).__name__).splitlines()[0][:500]
    if isinstance(cause, OSError) and cause.errno in REFUSALS:
        return what_to_do(cause, "", instead="")
    if isinstance(cause, sqlite3.OperationalError):
        code = _code(cause, lake)
        if hint := sqlite_hint(code, "lake"):
            return f"`{CATALOG}` cannot be used: {text}; {hint}"
        action = _REFUSED.get(code & 0xFF)
        if action is not None:
            return (
                f"`{CATALOG}` cannot be {action[0]}: {text}; let this user {action[1]} it and the "
                "files beside it"
            )
    return text
