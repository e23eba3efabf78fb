"""Write a run's facts to the ledger in batches: single rows would cost a fifth of the speed.

The files of a batch are synced before the batch is written, so that after a power loss the ledger
lists no file that the disk does not have.
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
    FillFinished,
    FolderListed,
    RunFinished,
    RunStarted,
)
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.place import LedgerEvent, RunLedger

__all__ = ["LedgerSink"]

#: How many rows one transaction takes (ARCHITECTURE.md#ledger-batches).
BATCH_ROWS = 500


@define
class LedgerSink:
    """The only writer of the ledger; a required sink.

    Args:
        ledger: Takes the rows.
        make_durable: Syncs archives, given their keys, so that they survive a power loss; blocking.
        batch_rows: How many rows one transaction takes.
    """

    ledger: RunLedger
    make_durable: Callable[[Collection[str]], None]
    name: str = "ledger"
    required: bool = True
    takes_unchanged = True
    batch_rows: int = field(default=BATCH_ROWS, kw_only=True)
    _pending: list[LedgerEvent] = field(init=False, factory=list)

    async def handle(self, events: Sequence[Event]) -> None:
        """Collect the events that the ledger records, and write them once a batch is full."""
        for event in events:
            if _is_recorded(event):
                self._pending.append(event)
        # That a run goes on is written at once, for programs that read what it stores.
        begins = any(isinstance(event, RunStarted) for event in events)
        if begins or len(self._pending) >= self.batch_rows:
            await self.flush()

    async def flush(self) -> None:
        """Write the pending events."""
        if self._pending:
            await self._sync()
            # Cleared only once written: `close` repeats a flush that was cancelled.
            await to_thread.run_sync(self.ledger.write, self._pending, from_thread.check_cancelled)
            self._pending = []

    async def _sync(self) -> None:
        keys = [change.archive.key for change in self._pending if _claims_a_file(change)]
        if keys:
            # A slow disk must not delay the end of a run; the next run finds the rows out again.
            await to_thread.run_sync(self.make_durable, keys, abandon_on_cancel=True)

    async def close(self) -> None:
        """Write the remaining events."""
        await self.flush()


def _is_recorded(event: Event) -> TypeGuard[LedgerEvent]:
    """Whether an event has something new for the ledger.

    An archive that was settled by its row alone has nothing new, and one that is not published has
    nothing worth storing.
    """
    if isinstance(event, ArchiveFinished):
        if event.verdict is Verdict.UNCHANGED:
            return event.elapsed_s > 0 or event.seen
        return event.verdict is not Verdict.NOT_PUBLISHED
    if isinstance(event, ArchivesUnchanged):
        return event.seen
    if isinstance(event, FillFinished):
        return event.is_new
    return isinstance(event, BodyStarted | FolderListed | RunStarted | RunFinished)


def _claims_a_file(change: LedgerEvent) -> TypeGuard[ArchiveFinished | FillFinished]:
    """Whether the row lists a file that was stored or proven now."""
    if isinstance(change, FillFinished):
        return change.sha256 is not None
    return isinstance(change, ArchiveFinished) and change.facts.mark is not None
