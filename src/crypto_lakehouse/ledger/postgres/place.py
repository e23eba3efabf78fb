"""Which ledger in PostgreSQL an output has, and the lock of the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from crypto_lakehouse.core.errors import LedgerError, LockHeldError
from crypto_lakehouse.ledger.postgres.claims import SeriesClaims
from crypto_lakehouse.ledger.postgres.identity import OutputIdentity
from crypto_lakehouse.ledger.postgres.ledger import PostgresLedger
from crypto_lakehouse.ledger.postgres.rows import PostgresReading, has_fills
from crypto_lakehouse.ledger.postgres.schema import bring_up_to_date, version_of
from crypto_lakehouse.ledger.postgres.server import Server, lock_key
from crypto_lakehouse.ledger.postgres.session import RECONNECT_WITHIN_S, Session, holders_of
from crypto_lakehouse.ledger.postgres.unsound import is_checked, set_unsound_aside

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresPlace"]

_FIND = "SELECT output_id FROM outputs WHERE name = %s"

#: What the user may run to be rid of rows that no run writes.
_OF_OUTPUT = "output_id = (SELECT output_id FROM {schema}.outputs WHERE name = {output})"
_DELETE_ARCHIVE = f"DELETE FROM {{schema}}.archives WHERE folder || name = {{key}} AND {_OF_OUTPUT}"  # noqa: S608
_DELETE_FOLDER = (
    f"DELETE FROM {{schema}}.archives WHERE folder = {{key}} AND {_OF_OUTPUT}; "  # noqa: S608
    f"DELETE FROM {{schema}}.listings WHERE folder = {{key}} AND {_OF_OUTPUT}"
)

_ADD = "INSERT INTO outputs (name) VALUES (%s) ON CONFLICT DO NOTHING"


@define
class PostgresPlace:
    """The place of one output's ledger; see `LedgerPlace`.

    Args:
        server: The database.
        output: What identifies the output.
        allows_many: Whether several runs may work on the output at once.
        reconnect_within_s: How long a run tries to connect again.
    """

    server: Server
    output: OutputIdentity
    allows_many: bool = False
    reconnect_within_s: float = RECONNECT_WITHIN_S
    is_shared = True
    _session: Session | None = field(init=False, default=None)

    @property
    def name(self) -> str:
        """The URL of the database."""
        return self.server.url

    @contextmanager
    def locked(self, *, alone: bool = True) -> Iterator[None]:
        """Hold the output's lock, which the server frees when the connection ends; blocking.

        Args:
            alone: Whether no other run may hold it; if not, others may if the output allows many.

        Raises:
            LockHeldError: Another run holds it.
            LedgerError: The server cannot be reached, or refuses.
        """
        session = Session(self.server, self.reconnect_within_s)
        try:
            self._take(session, shared=self.allows_many and not alone)
            self._session = session
            yield
        finally:
            self._session = None
            session.close()

    def _take(self, session: Session, *, shared: bool) -> None:
        name = self.output.make()
        key = self._lock_of(str(name))
        if session.take(key, shared=shared):
            return
        with session.connected() as connection:
            holders = holders_of(connection, key)
        who = [f"{program} on {address} (since {start})" for _, start, program, address in holders]
        raise LockHeldError(f"{name} in {self.name}", ", ".join(who))

    def _lock_of(self, name: str) -> int:
        return lock_key("output", self.server.schema, name)

    def exists(self) -> bool:
        """Whether the database has rows of the output; blocking.

        Raises:
            LedgerError: The server cannot be reached, or refuses.
        """
        with self._connected() as connection:
            return self._output_id(connection) is not None

    def open(self) -> tuple[PostgresLedger, str]:
        """Open or create the ledger for a run that holds the lock; blocking.

        Rows that no run writes are moved to a table of their own, and the warning says so.

        Raises:
            LedgerError: The server cannot be reached, or refuses.
        """
        assert self._session is not None, "the caller must hold the lock"  # noqa: S101
        with self._session.connected() as connection, self._translated("opened"):
            bring_up_to_date(connection, self.server)
            connection.execute(_ADD, [self.output.make()])
            found = set_unsound_aside(connection, self._existing(connection))
        return self._opened(self._session), f"the ledger `{self.name}`: {found}" if found else ""

    def open_read_only(self) -> PostgresLedger:
        """Open a ledger that exists; blocking.

        Raises:
            LedgerError: There is none, or the server cannot be reached, or refuses.
        """
        return self._opened(None)

    def _opened(self, session: Session | None) -> PostgresLedger:
        reader = self.server.connect()
        try:
            with self._translated("read"):
                output_id = self._existing(reader)
        except BaseException:
            reader.close()
            raise
        name = str(self.output.read())
        claims = None
        if session is not None and self.allows_many:
            claims = SeriesClaims(session, (self.server.schema, name))
        lock = self._lock_of(name)
        return PostgresLedger(self.server, output_id, lock, reader, session, claims)

    @contextmanager
    def reading(self) -> Iterator[PostgresReading]:
        """Open a ledger that exists for queries; blocking.

        Raises:
            LedgerError: There is none, or the server cannot be reached, or refuses.
        """
        with self._connected() as connection:
            output_id = self._existing(connection)
            yield PostgresReading(connection, output_id, has_fills(connection))

    def forget_kept(self, numbers: Sequence[int]) -> None:
        """Record that kept bytes are gone, in one transaction; blocking.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        with self._connected("written") as connection:
            connection.execute(
                "UPDATE versions SET kept_as = NULL WHERE number = ANY(%s)", [list(numbers)]
            )

    def forget_unfinished(self) -> int:
        """Remove what is recorded of unfinished bodies, and return how many; blocking.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        with self._connected("written") as connection:
            output_id = self._existing(connection)
            if len(holders_of(connection, self._lock_of(str(self.output.read())))) > 1:
                return 0  # they are those of another run, which goes on
            done = connection.execute("DELETE FROM parts WHERE output_id = %s", [output_id])
            return int(done.rowcount)

    def damaged(self, reason: str, key: str = "") -> LedgerError:
        """Make the error for rows that no run writes: the next run sets them aside.

        If the tables are too large for that, it has the statement that deletes them.
        """
        with self._connected() as connection:
            is_mended = is_checked(connection)
        if is_mended:
            remedy = "the next `collect` moves it to the table `set_aside`, and goes on"
        elif key:
            remedy = f"correct it, or delete it in the database: {self._deletion(key)}"
        else:
            remedy = f"correct or delete it, in the schema `{self.server.schema}`"
        return LedgerError(
            self.name, f"the ledger has a row that no run writes: {reason}; {remedy}"
        )

    def _deletion(self, key: str) -> str:
        from psycopg.sql import SQL, Identifier, Literal

        is_folder = key.endswith("/")
        template = _DELETE_FOLDER if is_folder else _DELETE_ARCHIVE
        statement = SQL(template).format(
            schema=Identifier(self.server.schema),
            output=Literal(self.output.read()),
            key=Literal(key),
        )
        return statement.as_string(None)

    @contextmanager
    def _connected(self, action: str = "read") -> Iterator[psycopg.Connection[Any]]:
        with self.server.connect() as connection, self._translated(action):
            yield connection

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise self.server.refusal(error, action) from error

    def _output_id(self, connection: psycopg.Connection[Any]) -> int | None:
        name = self.output.read()
        if name is None or version_of(connection, self.server) is None:
            return None
        row = connection.execute(_FIND, [name]).fetchone()
        return None if row is None else int(row[0])

    def _existing(self, connection: psycopg.Connection[Any]) -> int:
        found = self._output_id(connection)
        if found is None:
            reason = f"the schema `{self.server.schema}` has no ledger of this output"
            raise LedgerError(self.name, f"{reason}; only `collect` makes one")
        return found
