"""Whether the tables of the ledger in PostgreSQL are all there, with their columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger.postgres.server import Server

if TYPE_CHECKING:
    import psycopg

__all__ = ["check_tables"]

_TABLE = re.compile(r"^CREATE TABLE (\w+) \((?: +--[^\n]*)?\n(.*?)^\);", re.DOTALL | re.MULTILINE)
_COLUMN = re.compile(r"^    ([a-z]\w*) ", re.MULTILINE)

_THERE = """
SELECT relname, attname FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND attnum > 0 AND NOT attisdropped
"""


def check_tables(
    connection: psycopg.Connection[Any], server: Server, statements: Iterable[str]
) -> None:
    """Check that the tables which some statements create are there: one query.

    Args:
        connection: A connection to the database.
        server: The database and the schema.
        statements: Create the tables, each column on a line.

    Raises:
        LedgerError: A table or a column is not there.
        psycopg.Error: The server refuses.
    """
    there = {(table, column) for table, column in connection.execute(_THERE, [server.schema])}
    tables = {table for table, _ in there}
    lacking: dict[str, None] = {}
    for table, column in _columns(statements):
        if table not in tables:
            lacking[f"the table `{table}`"] = None
        elif (table, column) not in there:
            lacking[f"the column `{column}` of `{table}`"] = None
    if lacking:
        reason = (
            f"the schema `{server.schema}` lacks {' and '.join(lacking)}: restore it from a "
            "backup, or name another one with `ledger_schema`: the next `collect` then proves the "
            "stored files again, and the history of replaced versions begins there"
        )
        raise LedgerError(server.url, reason)


def _columns(statements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each table that the statements create, with each of its columns."""
    for table, columns in _TABLE.findall("".join(statements)):
        for column in _COLUMN.findall(columns):
            yield table, column
