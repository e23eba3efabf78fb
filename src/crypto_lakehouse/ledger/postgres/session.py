"""The connection of a run that holds its locks, and writes for it.

Both are one connection, so that a run that has lost its locks cannot write. The server frees the
locks when the connection ends, as after `kill -9`, and no clock decides who may go on. After a lost
connection a new one takes the same locks again; if another run has taken one, the run ends.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from attrs import define, field

from crypto_lakehouse.core.errors import LedgerError, LostLockError
from crypto_lakehouse.ledger.place import do_nothing
from crypto_lakehouse.ledger.postgres.server import Server, is_lost

if TYPE_CHECKING:
    import psycopg

    _Work = Callable[[psycopg.Connection[Any]], object]

__all__ = ["HOLDERS", "RECONNECT_WITHIN_S", "Session", "holders_of"]

#: How long a run tries to connect again, in seconds.
RECONNECT_WITHIN_S = 60.0

#: How long an answer of the server proves that the locks are held, in seconds. It frees those of a
#: connection that is silent after 50 at the earliest; one that it ends at once can be seen here.
_PROVEN_S = 5.0

#: How long it pauses between two attempts, in seconds.
_PAUSE_S = 0.25

#: The processes of the server that hold a lock; a number of 64 bits is in two columns.
HOLDERS = """
SELECT pid, backend_start::text, application_name, coalesce(host(client_addr), 'this machine')
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = %s
ORDER BY backend_start
"""


def holders_of(connection: psycopg.Connection[Any], key: int) -> list[tuple[int, str, str, str]]:
    """Return process number, start, program and address of each connection that holds a lock."""
    found: list[tuple[int, str, str, str]] = connection.execute(HOLDERS, [key]).fetchall()
    return found


@define
class Session:
    """A connection with locks; several threads may use it, one at a time.

    Args:
        server: Where to connect.
        reconnect_within_s: How long to try after the connection was lost.

    Attributes:
        losses: How often the connection was lost, and the locks taken again.
    """

    server: Server
    reconnect_within_s: float = RECONNECT_WITHIN_S
    losses: int = field(init=False, default=0)
    _held: dict[int, bool] = field(init=False, factory=dict)
    _mutex: threading.RLock = field(init=False, factory=threading.RLock)
    _connection: psycopg.Connection[Any] | None = field(init=False, default=None)
    _backend: tuple[int, str] = field(init=False, default=(0, ""))
    #: When the latest statement began that the server has answered, in monotonic seconds.
    _proven_at: float = field(init=False, default=0.0)
    #: Why the session has ended for good.
    _end: LedgerError | None = field(init=False, default=None)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection to one thread; it may prove to be lost.

        Raises:
            LostLockError: It was lost, and another run has taken a lock.
        """
        with self._mutex:
            if self._end is not None:
                raise copy(self._end)  # each with a traceback of its own
            if self._connection is None or is_lost(self._connection):
                self._connect()
            assert self._connection is not None  # noqa: S101 - for the type checker
            yield self._connection

    def write(
        self,
        work: Callable[[psycopg.Connection[Any]], object],
        check: Callable[[], None] = do_nothing,
    ) -> None:
        """Make changes in one transaction, exactly once, also if the connection is lost meanwhile.

        Args:
            work: Makes the changes.
            check: Called before each further attempt; may raise to give up.

        Raises:
            LedgerError: The server refuses, or cannot be reached again in time.
        """
        number = ""

        def attempt(connection: psycopg.Connection[Any]) -> None:
            nonlocal number
            if number and _is_committed(connection, number):
                return
            with connection.transaction():
                row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
                number = row[0] if row else ""
                work(connection)

        self._repeat(attempt, check)

    def _repeat(
        self,
        work: Callable[[psycopg.Connection[Any]], object],
        check: Callable[[], None] = do_nothing,
    ) -> None:
        """Do what does no harm if it is done twice; again as long as the connection is lost.

        Raises:
            LedgerError: The server refuses, or cannot be reached again in time.
        """
        self.server.check_driver()
        import psycopg

        ends_at = time.monotonic() + self.reconnect_within_s
        while True:
            try:
                with self.connected() as connection:
                    began_at = time.monotonic()
                    work(connection)
                    self._proven_at = began_at
                return
            except psycopg.Error as error:
                if not self._is_lost():
                    raise self.server.refusal(error, "written") from error
                refusal: LedgerError = self._lost(error)
            except _Unreachable as error:
                refusal = error
            if time.monotonic() > ends_at:
                self._end = LedgerError(refusal.path, refusal.reason, exit_code=5)
                raise self._end from refusal
            check()
            time.sleep(_PAUSE_S)

    def confirm(self) -> None:
        """Check that the locks are held, and take them again if the connection was lost; blocking.

        Raises:
            LedgerError: As `write`.
        """
        self._repeat(lambda connection: connection.execute("SELECT 1"))

    def is_sure(self) -> bool:
        """Whether the locks are held for certain; does not ask the server, and never waits."""
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            if self._end is not None or self._connection is None or is_lost(self._connection):
                return False
            is_proven = time.monotonic() - self._proven_at < _PROVEN_S
            return is_proven and not _has_unread(self._connection)
        finally:
            self._mutex.release()

    def make_sure(self, check: Callable[[], None] = do_nothing) -> None:
        """Check that the locks are held, as `confirm`, unless that is certain; blocking.

        Args:
            check: Called before each further attempt; may raise to give up.

        Raises:
            LedgerError: As `write`.
        """
        with self._mutex:
            if not self.is_sure():
                self._repeat(lambda connection: connection.execute("SELECT 1"), check)

    def take(self, key: int, *, shared: bool = False) -> bool:
        """Take a lock, unless another connection holds it; blocking.

        Raises:
            LedgerError: The server refuses, or cannot be reached again in time.
        """
        taken: list[bool] = []
        with self._mutex:
            self._repeat(lambda connection: taken.append(_try(connection, key, shared=shared)))
            if taken[-1]:
                self._held[key] = shared
        return taken[-1]

    def drop(self, key: int) -> None:
        """Give a lock back; blocking.

        Raises:
            LedgerError: As `take`.
        """
        with self._mutex:
            shared = self._held.pop(key)
            self._repeat(lambda connection: _unlock(connection, key, shared=shared))

    def close(self) -> None:
        """Free the locks, and end the connection; blocking.

        The server learns only some moments later that a connection was closed, and the next run
        must not be refused until then.
        """
        with self._mutex:
            self._held.clear()
            if self._connection is None:
                return
            with suppress(Exception):  # it may be lost, and the locks with it
                self._connection.execute("SELECT pg_advisory_unlock_all()")
            self._connection.close()

    def _is_lost(self) -> bool:
        return self._connection is not None and is_lost(self._connection)

    def _lost(self, error: Exception) -> LedgerError:
        text = " ".join(str(error).split())
        return LedgerError(
            self.server.url,
            f"the connection to the ledger was lost ({text}), and the server could not be reached "
            f"again within {self.reconnect_within_s:.0f} s; run again: what is verified stays, and "
            "is not fetched again",
        )

    def _connect(self) -> None:
        """Connect, and take the locks again that were held."""
        is_first = self._connection is None
        try:
            connection = self.server.connect()
        except LedgerError as error:
            if is_first:
                raise
            raise _Unreachable(error.path, self._lost(error).reason, exit_code=5) from error
        try:
            for key, shared in self._held.items():
                self._take_again(connection, key, shared=shared)
            row = connection.execute(
                "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            ).fetchone()
        except BaseException:
            connection.close()
            raise
        self._connection, self._backend = connection, row or (0, "")
        self.losses += not is_first

    def _take_again(self, connection: psycopg.Connection[Any], key: int, *, shared: bool) -> None:
        """Take a lock that the lost connection held; the server may not know yet that it is lost.

        Raises:
            LostLockError: Another run has taken it.
        """
        while not _try(connection, key, shared=shared):
            holders = holders_of(connection, key)
            own = [pid for pid, start, *_ in holders if (pid, start) == self._backend]
            if not own:
                if not holders:
                    continue  # it was given back in between
                self._end = LostLockError(
                    self.server.url,
                    "the connection to the ledger was lost for a time, and another run has taken "
                    "over what this one was working on; this run ends, and nothing is lost",
                )
                raise self._end
            with suppress(IndexError):
                connection.execute("SELECT pg_terminate_backend(%s)", [own[0]])
            time.sleep(_PAUSE_S)


class _Unreachable(LedgerError):
    """The server cannot be reached now; it may be later."""


def _has_unread(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has sent something without a question: that it ends the connection."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def _try(connection: psycopg.Connection[Any], key: int, *, shared: bool) -> bool:
    name = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    row = connection.execute(f"SELECT {name}(%s)", [key]).fetchone()
    return row is not None and bool(row[0])


def _unlock(connection: psycopg.Connection[Any], key: int, *, shared: bool) -> None:
    name = "pg_advisory_unlock_shared" if shared else "pg_advisory_unlock"
    connection.execute(f"SELECT {name}(%s)", [key])


def _is_committed(connection: psycopg.Connection[Any], number: str) -> bool:
    """Whether a transaction was committed whose answer was lost."""
    while True:
        row = connection.execute("SELECT pg_xact_status(%s::xid8)", [number]).fetchone()
        status = row[0] if row else None
        if status != "in progress":
            return bool(status == "committed")
        time.sleep(_PAUSE_S)
