"""Write a run's facts to the ledger, in batches: one row at a time costs a fifth of the speed.

What a batch claims of files is synced before it is written, so that after a power loss the ledger
claims nothing that the disk does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeGuard

from anyio import from_thread, to_thread
from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    BodyStarted,
    Event,
    FolderListed,
    RunFinished,
    RunStarted,
)
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import LedgerEvent, SqliteLedger

__all__ = ["LedgerSink"]

#: How many rows one transaction takes (ARCHITECTURE.md#ledger-batches).
BATCH_ROWS = 500


@define
class LedgerSink:
    """The ledger's only writer. The run cannot do without it.

    Args:
        ledger: Takes the rows.
        make_durable: Lets archives, by their keys, survive a power loss; blocking.
    """

    ledger: SqliteLedger
    make_durable: Callable[[Collection[str]], None]
    name: str = "ledger"
    required: bool = True
    takes_unchanged = True
    _pending: list[LedgerEvent] = field(init=False, factory=list)

    async def handle(self, events: Sequence[Event]) -> None:
        """Keep what the ledger records, and write it once there is enough."""
        for event in events:
            if _is_recorded(event):
                self._pending.append(event)
        if len(self._pending) >= BATCH_ROWS:
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending."""
        if self._pending:
            await self._sync()
            # Forgotten only once written: a flush that is cancelled is repeated at the close.
            await to_thread.run_sync(self.ledger.write, self._pending, from_thread.check_cancelled)
            self._pending = []

    async def _sync(self) -> None:
        keys = [change.archive.key for change in self._pending if _claims_a_file(change)]
        if keys:
            # A slow disk must not hold up a run that is to end: its rows are found out again.
            await to_thread.run_sync(self.make_durable, keys, abandon_on_cancel=True)

    async def close(self) -> None:
        """Write what is left."""
        await self.flush()


def _is_recorded(event: Event) -> TypeGuard[LedgerEvent]:
    """Whether the ledger does not know this already, or will not find it out again for free.

    An archive that was settled by its row alone has nothing new to write, and one that is not
    published has nothing to remember.
    """
    if isinstance(event, ArchiveFinished):
        if event.verdict is Verdict.UNCHANGED:
            return event.elapsed_s > 0 or event.seen
        return event.verdict is not Verdict.NOT_PUBLISHED
    if isinstance(event, ArchivesUnchanged):
        return event.seen
    return isinstance(event, BodyStarted | FolderListed | RunStarted | RunFinished)


def _claims_a_file(change: LedgerEvent) -> TypeGuard[ArchiveFinished]:
    """Whether the row says of a file that it is there, and not only that it still is."""
    return isinstance(change, ArchiveFinished) and change.facts.mark is not None
