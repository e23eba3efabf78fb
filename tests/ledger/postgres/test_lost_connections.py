"""A run whose connection to the database is lost: it goes on with its locks, or it ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit

import pytest
from attrs import define, field
from tests.ledger.postgres.test_place import ask, of_output, opened
from tests.services.postgres import PostgresServer
from tests.stores.conftest import ARCHIVE, FOLDER, NAME, OTHER, finished

from crypto_lakehouse.core.errors import LedgerError, LockHeldError
from crypto_lakehouse.ledger.history import versions_of
from crypto_lakehouse.ledger.postgres.server import Server

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

END_ALL = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name LIKE 'crypto-lakehouse %%' AND pid IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory'
)
"""


def test_a_run_goes_on_with_its_lock_over_a_new_connection(database: Server) -> None:
    with opened(of_output(database)) as ledger:
        ledger.write([finished()])
        assert ask(database, END_ALL) != []
        ledger.write([finished(archive=OTHER)])
        assert list(ledger.rows_now(OTHER.folder)) == [OTHER.name]
        with pytest.raises(LockHeldError), of_output(database).locked():
            pass


def test_a_reader_of_a_run_connects_again(database: Server) -> None:
    with opened(of_output(database)) as ledger:
        ledger.write([finished()])
        ask(
            database,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name LIKE 'crypto-lakehouse %%'",
        )
        assert list(ledger.verified_now(FOLDER)) == [NAME]
        assert ledger.has_open_run()


def test_a_run_ends_if_another_has_taken_its_lock(database: Server) -> None:
    with opened(of_output(database)) as ledger:
        ask(database, END_ALL)
        taken_over = pytest.raises(LedgerError, match="another run has taken over")
        with of_output(database).locked(), taken_over:
            ledger.write([finished()])
        with pytest.raises(LedgerError, match="another run has taken over") as caught:
            ledger.write([finished()])
        assert caught.value.exit_code == 11
    with closing(of_output(database).open_read_only()) as reader:
        assert reader.rows_now(FOLDER) == {}


# Answers that are lost ----------------------------------------------------------------------------


@define
class _Cutter:
    """Forwards connections to the server, and can cut one off around a COMMIT."""

    server: tuple[str, int]
    listener: socket.socket = field(
        init=False, factory=lambda: socket.create_server(("127.0.0.1", 0))
    )
    #: Whether the next COMMIT is lost: `before` it reaches the server, `after` that, or `half`, so
    #: that the server does not learn that the connection has ended; empty if not.
    cut: str = ""
    #: How many further COMMITs come before that one.
    passes: int = 0

    opened: list[socket.socket] = field(init=False, factory=list)

    def instead_of(self, database: Server) -> Server:
        """The database, as it is reached through this."""
        port = self.listener.getsockname()[1]
        url = database.url.replace(f":{urlsplit(database.url).port}/", f":{port}/")
        return Server(url, database.schema)

    def end(self) -> None:
        """End every connection, and take no further one."""
        _end(self.listener, *self.opened)
        self.listener.close()

    def serve(self) -> None:
        """Forward until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.server)
                self.opened += [client, server]
                Thread(target=self._requests, args=(client, server), daemon=True).start()
                Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _is_the_one(self, data: bytes) -> bool:
        if b"COMMIT" not in data:
            return False
        self.passes -= 1
        if self.passes >= 0:
            return False
        self.cut = ""
        return True

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self.cut == "half" and self._is_the_one(data):
                    _end(client)
                    return  # to the server the connection is open
                if self.cut == "before" and self._is_the_one(data):
                    break
                server.sendall(data)
        _end(client, server)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if self.cut == "after" and self._is_the_one(data):
                    break
                client.sendall(data)
        _end(client, server)


def _end(*connections: socket.socket) -> None:
    for each in connections:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(server: PostgresServer | tuple[str, int]) -> Iterator[_Cutter]:
    cutter = _Cutter(server if isinstance(server, tuple) else (server.host, server.port))
    thread = Thread(target=cutter.serve, daemon=True)
    thread.start()
    try:
        yield cutter
    finally:
        cutter.end()
        thread.join()
        for each in cutter.opened:
            each.close()


@pytest.mark.parametrize("moment", ["before", "after", "half"])
def test_a_batch_whose_answer_is_lost_is_written_exactly_once(
    postgres_server: PostgresServer, database: Server, moment: str
) -> None:
    with (
        cutting(postgres_server) as cutter,
        opened(of_output(cutter.instead_of(database))) as ledger,
    ):
        ledger.write([finished(sha256="a" * 64)])
        cutter.cut = moment
        ledger.write([finished(sha256="b" * 64, change="replaced", kept_as="x")])
        assert cutter.cut == "", "the answer was lost"
    versions = versions_of(of_output(database), ARCHIVE)
    assert [(each.sha256, each.change) for each in versions] == [
        ("a" * 64, "replaced"),
        ("b" * 64, ""),
    ]


def test_a_server_that_stays_away_ends_the_run(
    postgres_server: PostgresServer, database: Server
) -> None:
    with cutting(postgres_server) as cutter:
        place = of_output(cutter.instead_of(database))
        place.reconnect_within_s = 0.5
        with opened(place) as ledger:
            ledger.write([finished()])
            cutter.end()
            with pytest.raises(LedgerError, match=r"was lost .* run again: what is verified stays"):
                ledger.write([finished(archive=OTHER)])
            with pytest.raises(LedgerError, match="was lost"):
                ledger.verified_now(FOLDER)
    with closing(of_output(database).open_read_only()) as reader:
        assert list(reader.rows_now(FOLDER)) == [NAME]
