"""A connection to a ledger that reads damaged text, and notices changes that no lock prevents."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.errors import LedgerError

__all__ = ["CHANGED", "LedgerConnection"]

CHANGED = "another program wrote to the ledger while it was read; run the command again"


class LedgerConnection(sqlite3.Connection):
    """SQLite's connection, with `fetch`; made by `sqlite3.connect(..., factory=...)`."""

    _is_unchanged: Callable[[], bool] | None = None
    _path: Path = Path()
    _after_close: Callable[[], None] | None = None

    def watch(self, is_unchanged: Callable[[], bool], path: Path) -> None:
        """Let `check_unchanged` call a function, for a file that is read without a lock."""
        self._is_unchanged, self._path = is_unchanged, path

    def check_unchanged(self) -> None:
        """Check that what was read so far is one state of the ledger.

        Raises:
            LedgerError: The file is read without a lock, and was changed meanwhile.
        """
        if self._is_unchanged is not None and not self._is_unchanged():
            raise LedgerError(str(self._path), CHANGED)

    def after_close(self, call: Callable[[], None]) -> None:
        """Let `close` call a function, once."""
        self._after_close = call

    def close(self) -> None:
        """As in the base class; then call what `after_close` was given."""
        super().close()
        call, self._after_close = self._after_close, None
        if call is not None:
            call()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """As in the base class.

        Raises:
            sqlite3.DatabaseError: Also if SQLite's own message cannot be decoded, as it quotes
                declarations of tables that are damaged.
        """
        try:
            return super().execute(*arguments)
        except UnicodeDecodeError as error:
            damage = sqlite3.DatabaseError("the declarations of its tables are not UTF-8")
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage from error

    def replace_undecodable(self) -> None:
        """Let texts that are not UTF-8 be read, with U+FFFD in place of what cannot be decoded."""
        self.text_factory = _decoded

    def fetch(self, statement: str, parameters: Iterable[Any] = ()) -> list[Any]:
        """Return all rows of a query; bytes that are not UTF-8 become U+FFFD.

        Raises:
            LedgerError: As `check_unchanged`.
            sqlite3.Error: SQLite refuses.
        """
        given = tuple(parameters)
        try:
            rows = self.execute(statement, given).fetchall()
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorcode"):
                raise
            # It is Python that cannot decode a text. Replacing bytes costs a call for each text,
            # so it is only done for a ledger that needs it.
            self.replace_undecodable()
            rows = self.execute(statement, given).fetchall()
        self.check_unchanged()
        return rows


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
