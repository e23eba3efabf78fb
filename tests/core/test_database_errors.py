"""What an error of a database server says, by its code or its text."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.database_errors import database_exit_code

psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (psycopg.OperationalError("connection to server failed: Connection refused"), 5),
        (psycopg.OperationalError("FATAL:  the database system is starting up"), 5),
        (psycopg.OperationalError('FATAL:  role "me" does not exist'), 2),
        (psycopg.errors.AdminShutdown("terminating connection"), 5),
        (psycopg.errors.TooManyConnections("sorry, too many clients already"), 5),
        (psycopg.errors.InsufficientPrivilege("permission denied"), 2),
        (psycopg.errors.ReadOnlySqlTransaction("a standby"), 2),
        (psycopg.errors.UndefinedTable("no such relation"), 1),
        (psycopg.ProgrammingError("the query has no placeholders"), 1),
    ],
    ids=str,
)
def test_what_an_error_of_postgresql_says(error: Exception, code: int) -> None:
    assert database_exit_code(error) == code
