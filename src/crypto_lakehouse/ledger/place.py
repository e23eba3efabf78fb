"""What a ledger can do for a run and its readers, whichever database it is in.

A `LedgerPlace` says where the ledger of one output is. `open` gives a run its `RunLedger`;
`reading` gives rows as plain tuples, of which `history`, `runs` and `coverage_view` make values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    BodyStarted,
    FillFinished,
    FolderListed,
    RunFinished,
    RunStarted,
)
from crypto_lakehouse.core.fills import FillRow
from crypto_lakehouse.core.ledger_protocols import Claims, InventoryLedger, LedgerRow
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["LedgerEvent", "LedgerPlace", "LedgerReading", "RunLedger", "do_nothing"]

LedgerEvent = (
    ArchiveFinished
    | ArchivesUnchanged
    | BodyStarted
    | FillFinished
    | FolderListed
    | RunStarted
    | RunFinished
)
"""What a run records."""

_Rows = Sequence[Sequence[Any]]


def do_nothing() -> None:
    """Do nothing: the default of `RunLedger.write`'s `check`."""


class RunLedger(InventoryLedger, Protocol):
    """A ledger that is open, for a run or for a command that only reads.

    Every method raises LedgerError if the ledger cannot be read or written.
    """

    @property
    def claims(self) -> Claims | None:
        """Divides the plan of a run with others; None if there are no others at the same time."""
        ...

    async def folders(self) -> list[str]:
        """Return every key prefix in the ledger, in order."""
        ...

    async def archives_of(self, verdicts: Iterable[Verdict]) -> list[Archive]:
        """Return every archive with one of these verdicts on its stored or a newer version."""
        ...

    def archives_of_now(self, verdicts: Iterable[Verdict]) -> list[Archive]:
        """As `archives_of`; blocking."""
        ...

    async def has_verified(self, prefix: str) -> bool:
        """Whether any archive below a prefix, with its slash, is verified."""
        ...

    def row_now(self, folder: str, name: str) -> LedgerRow | None:
        """Return what is known about one archive; blocking."""
        ...

    def fills_now(self, folder: str) -> Mapping[str, FillRow]:
        """Return what is known of the segments in a key prefix, by file name; blocking."""
        ...

    def has_open_run(self) -> bool:
        """Whether the latest run has not ended, as it goes on or was killed; blocking."""
        ...

    def write(self, changes: Iterable[LedgerEvent], check: Callable[[], None] = do_nothing) -> None:
        """Write changes in one transaction; blocking.

        Args:
            changes: The events to record.
            check: Called repeatedly while the ledger makes the writer wait; may raise to give up.
        """
        ...

    def close(self) -> None:
        """Close the ledger; blocking."""
        ...


class LedgerReading(Protocol):
    """Reads the rows of a ledger; blocking. A row is a tuple of the columns that are named."""

    def snapshot(self) -> AbstractContextManager[object]:
        """Let all queries inside see the ledger as it is at one moment."""
        ...

    def folders(self) -> list[Any]:
        """Return every key prefix that has archives or was listed."""
        ...

    def verified(self, folder: str, low: str, high: str) -> _Rows:
        """Return name, size and newer verdict of verified archives, by name, from low to high."""
        ...

    def others(self, folder: str, low: str, high: str) -> _Rows:
        """Return name, size, verdict, reason and `accepted_at` of others, in the same way."""
        ...

    def filled_folders(self) -> list[Any]:
        """Return every key prefix of segments that were filled, or asked for."""
        ...

    def fills(self, folder: str) -> _Rows:
        """Return the columns of each segment of a folder, from its name on, in order."""
        ...

    def listed(self, folder: str) -> _Rows:
        """Return first name, last name and time of the last listing, if there was one."""
        ...

    def runs(self) -> _Rows:
        """Return the columns of every run, in the order in which they began."""
        ...

    def versions(self, folder: str, name: str) -> _Rows:
        """Return every version of an archive, oldest first and the current one last.

        A row has key, verdict, size, both digests, ETag, date, first and last time seen, end,
        change, place of the kept bytes, whether it was accepted, newer verdict and its reason.
        """
        ...

    def changes(self, since: str) -> Iterator[Sequence[Any]]:
        """Yield every change from a time on, in the order of recording.

        A row has key, change, time, place of the kept bytes, and size, digest, ETag and date of the
        object before and after.
        """
        ...

    def names(self, folder: str) -> tuple[int, str, str]:
        """Return how many archives a folder has, and their first and last name."""
        ...

    def kept(self, before: str) -> list[tuple[int, str, object]]:
        """Return number, key and place of the kept bytes that were replaced before a time."""
        ...


class LedgerPlace(Protocol):
    """Where the ledger of one output is; nothing is open."""

    @property
    def name(self) -> str:
        """Its path or its URL, without a secret; for messages."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether several machines use it, so that its lock keeps them apart."""
        ...

    def exists(self) -> bool:
        """Whether there is a ledger; blocking.

        Raises:
            LedgerError: That cannot be found out.
        """
        ...

    def locked(self, *, alone: bool = True) -> AbstractContextManager[None]:
        """Hold the lock of a ledger that several machines may share; blocking.

        A ledger in the output's folder of states needs none: the folder has one.

        Args:
            alone: Whether no other run may hold it; if not, several may that divide their plans,
                where the output allows for it.

        Raises:
            LockHeldError: Another run holds it.
            LedgerError: It cannot be taken.
        """
        ...

    def open(self) -> tuple[RunLedger, str]:
        """Open or create the ledger for a run that holds the lock; blocking.

        Returns:
            The ledger, and a warning for the user, empty if there is none.

        Raises:
            LedgerError: It cannot be opened, or was written by a later version.
        """
        ...

    def open_read_only(self) -> RunLedger:
        """Open a ledger that exists without changing anything; blocking.

        Raises:
            LedgerError: There is no ledger, or it cannot be read.
        """
        ...

    def reading(self) -> AbstractContextManager[LedgerReading]:
        """Open a ledger that exists for queries; blocking.

        Raises:
            LedgerError: It cannot be read, or its version is too old or too new.
        """
        ...

    def forget_kept(self, numbers: Sequence[int]) -> None:
        """Record that kept bytes are gone, in one transaction; blocking.

        The caller must hold the lock.

        Args:
            numbers: As `LedgerReading.kept` returns them.
        """
        ...

    def forget_unfinished(self) -> int:
        """Remove what is recorded of unfinished bodies; the caller holds the lock; blocking.

        Returns:
            How many there were.
        """
        ...

    def damaged(self, reason: str, key: str = "") -> LedgerError:
        """Make the error for a ledger whose content is damaged; it says how that is mended.

        Args:
            reason: What is wrong.
            key: The key or the folder that the row of `archives` is of; empty if it is not known.
        """
        ...
