"""How many archives of an ingestion are done, while one table after another is read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from crypto_lakehouse.core.progress import OnProgress, StepProgress

__all__ = ["IngestProgress"]


@define
class IngestProgress:
    """Counts archives, and shows each change.

    Archives that are in the table already, or must not be used, count as done.

    Args:
        show: Called with the progress, in worker threads.
    """

    show: OnProgress
    _found: int = field(init=False, default=0)
    _done: int = field(init=False, default=0)
    _table: str = field(init=False, default="")
    _new: int = field(init=False, default=0)
    _read: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    def found(self) -> None:
        """Count an archive of the tree, whose digest is known now."""
        self._found += 1
        self.show(StepProgress("checking digests", self._found))

    def skip(self) -> None:
        """Count an archive that must not be used."""
        self._done += 1

    @contextmanager
    def table(self, name: str, archives: int, new: int) -> Iterator[None]:
        """Show the reading of a table's archives until the block ends.

        Args:
            name: The table.
            archives: How many archives it gets.
            new: How many of them must be read.
        """
        self._table, self._new, self._read = name, new, 0
        self._done += archives - new
        if new:
            self._show("reading")
        yield
        self._done += new
        self._read = 0

    def read(self, archives: int) -> None:
        """Count archives that were read; those of a table are never more than are new."""
        with self._lock:
            self._read = min(self._read + archives, self._new)
            self._show("reading")

    def committing(self) -> None:
        """Show that what was read is committed."""
        self._show("committing")

    def _show(self, verb: str) -> None:
        self.show(StepProgress(f"{verb} {self._table}", self._done + self._read, self._found))
