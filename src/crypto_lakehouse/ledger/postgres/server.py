"""Connections to a PostgreSQL server, and errors that say what to do."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crypto_lakehouse.core.database_errors import database_exit_code
from crypto_lakehouse.core.errors import ExtraMissing, LedgerError
from crypto_lakehouse.core.redaction import redact_environment

if TYPE_CHECKING:
    import psycopg

__all__ = ["Server", "is_lost", "lock_key"]

#: The oldest version of PostgreSQL that has what is used here.
_OLDEST = 130000

#: How long a connection may take to open, in seconds.
_CONNECT_S = 10

#: Ends a connection whose other end is gone, here and on the server, so that the locks of a machine
#: that was switched off are free again after about a minute.
_CLIENT: dict[str, Any] = {
    "connect_timeout": _CONNECT_S,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "client_encoding": "utf8",
}
_SETTINGS = {
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
}

_SET = """
SELECT set_config(name, wanted ->> name, false) FROM pg_settings, CAST(%s AS jsonb) AS wanted
WHERE wanted ? name
"""

_PASSWORD = "a password comes from PGPASSWORD, ~/.pgpass or a service file"  # noqa: S105

#: What to do about an error, by its SQLSTATE.
_HINTS = {
    "3D000": "create the database, with `createdb`",
    "42501": "let the database's owner grant the right: CREATE on the database for the first run, "
    "and SELECT, INSERT, UPDATE and DELETE on the tables of the schema",
    "53100": "the disk of the server is full; free space there, and run again",
    "53200": "the server is out of memory, or `max_locks_per_transaction` is too low",
    "53300": "the server has no free connection; raise `max_connections`, or end other programs",
    "25006": "the server is a standby, or read-only; name the primary",
}


@frozen
class Server:
    """A database, and the schema in it that has the tables.

    Attributes:
        url: As `postgresql://host/database`, without a password.
        schema: The name of the schema.
    """

    url: str
    schema: str

    def connect(self) -> psycopg.Connection[Any]:
        """Connect; blocking. Every statement is a transaction, unless one is begun.

        Raises:
            ExtraMissing: The extra `postgres` is not installed.
            LedgerError: There is no server, it refuses, or it cannot hold a ledger.
        """
        self.check_driver()
        import psycopg
        from psycopg.types.json import Jsonb

        name = f"crypto-lakehouse {socket.gethostname()}"[:48] + f" {os.getpid()}"
        try:
            connection = psycopg.connect(
                self.url, autocommit=True, application_name=name, **_CLIENT
            )
        except psycopg.Error as error:
            raise self.refusal(error, "reached") from error
        try:
            self._check(connection)
            connection.execute(_SET, [Jsonb({**_SETTINGS, "search_path": self.schema})])
        except psycopg.Error as error:
            connection.close()
            raise self.refusal(error, "opened") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def check_driver(self) -> None:
        """Check that the package is installed that connects.

        Raises:
            ExtraMissing: It is not.
        """
        try:
            import psycopg  # noqa: F401
        except ImportError:
            reason = f"the ledger `{self.url}` is in PostgreSQL, which needs psycopg"
            raise ExtraMissing("postgres", reason) from None

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        if connection.info.server_version < _OLDEST:
            raise LedgerError(self.url, "the server is too old; PostgreSQL 13 or later is needed")
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            reason = f"the database has the encoding {encoding}; create one with UTF8"
            raise LedgerError(self.url, reason)

    def refusal(self, error: psycopg.Error, action: str) -> LedgerError:
        """Make the error for a ledger that cannot be reached, opened, read or written."""
        told = error.diag.message_primary or str(error)
        lines = (line.strip() for line in told.splitlines())
        text = redact_environment("; ".join(filter(None, lines)))
        hint = _HINTS.get(error.sqlstate or "")
        if hint is None and action == "reached":
            hint = f"see that the server runs and lets this user in; {_PASSWORD}"
        reason = f"the ledger cannot be {action}: {text}"
        code = database_exit_code(error)
        return LedgerError(self.url, f"{reason}; {hint}" if hint else reason, exit_code=code)


def is_lost(connection: psycopg.Connection[Any]) -> bool:
    """Whether a connection has ended, or its server has."""
    return bool(connection.closed or connection.broken)


def lock_key(*names: str) -> int:
    """Return the number of an advisory lock: 64 bits of a digest."""
    text = "\0".join(("crypto-lakehouse", *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)
