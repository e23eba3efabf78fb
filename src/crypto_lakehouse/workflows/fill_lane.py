"""Fill the days of one market: several at once, in the order of series and days."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio
from anyio import to_thread
from attrs import define, field, frozen

from crypto_lakehouse.core.acknowledged import Acknowledged
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import BadAnswerError, TransferError
from crypto_lakehouse.core.events import FillFinished
from crypto_lakehouse.core.fills import FillRow, FillVerdict, fill_folder
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Emit, Store
from crypto_lakehouse.ledger.empty import EmptyLedger
from crypto_lakehouse.ledger.place import RunLedger
from crypto_lakehouse.workflows.day_filler import DayFiller, is_acknowledged, known_days
from crypto_lakehouse.workflows.fill_plan import SeriesFill
from crypto_lakehouse.workflows.stored_segment import found_in_store
from crypto_lakehouse.workflows.wiring.rest_stack import CONNECTIONS

__all__ = ["FillBreaker", "FillLane", "KnownFills"]

#: After so many days in turn without any answer, the exchange is taken to be down.
_MOST_SILENT = 2 * CONNECTIONS


@define
class FillBreaker:
    """Ends a run whose requests get no answers.

    Args:
        end: Is called with the reason, once.
    """

    end: Callable[[str], None]
    _silent: int = field(init=False, default=0)

    def saw(self, error: TransferError | None) -> None:
        """Take how a day ended: with an error, or without one."""
        if error is None or isinstance(error, BadAnswerError) or not error.transient:
            self._silent = 0
            return
        self._silent += 1
        if self._silent == _MOST_SILENT:
            self.end(f"the exchange does not answer ({_MOST_SILENT} days in turn failed): {error}")


@frozen
class KnownFills:
    """Finds the days that need no request, by the ledger and the stored segments.

    Attributes:
        ledger: What earlier runs found out.
        store: Has the segments.
        acknowledged: The archives that the user knows to be missing or damaged.
        retry: Whether what was not to be had is asked for once more.
        again: Whether what is there is asked for once more.
    """

    ledger: RunLedger | EmptyLedger
    store: Store
    acknowledged: Acknowledged
    retry: bool = False
    again: bool = False

    async def of(self, fill: SeriesFill) -> tuple[list[FillFinished], list[Archive]]:
        """Return the verdicts that are known, and the segments of the days to ask for."""
        folder = fill_folder(fill.series)
        rows = await to_thread.run_sync(self.ledger.fills_now, folder)
        files = await self.store.scan(folder)

        def stored(segment: Archive) -> FileStat | None:
            has_sidecar = segment.sidecar_key.removeprefix(folder) in files
            return files.get(segment.name) if has_sidecar else None

        known: list[FillFinished] = []
        to_ask: list[Archive] = []
        for segment, row in known_days(
            fill.series, fill.days(), rows, stored, retry=self.retry, again=self.again
        ):
            if row is not None:
                known.append(self._event(segment, row))
            elif found := await self._found(segment, rows.get(segment.name), stored(segment)):
                known.append(found)
            else:
                to_ask.append(segment)
        return known, to_ask

    async def _found(
        self, segment: Archive, row: FillRow | None, stat: FileStat | None
    ) -> FillFinished | None:
        """Return what a stored segment says that the ledger has lost, or does not describe."""
        if self.again or stat is None or (row is not None and not row.is_final):
            return None
        return await to_thread.run_sync(found_in_store, self.store, segment, stat)

    def _event(self, segment: Archive, row: FillRow) -> FillFinished:
        is_filled = row.verdict is FillVerdict.FILLED
        return FillFinished(
            archive=segment,
            verdict=row.verdict,
            reason=row.reason,
            rows=row.rows,
            sha256=row.sha256,
            complete=row.complete,
            proven_by=row.proven_by,
            at=row.filled_at,
            known=True,
            acknowledged=not is_filled and is_acknowledged(self.acknowledged, segment),
        )


@frozen
class FillLane:
    """Fills days of series that one host has.

    Attributes:
        known: Finds the days that need no request.
        filler: Fills a day.
        breaker: Ends the run if nothing is answered.
        emit: Receives the verdict on each day.
    """

    known: KnownFills
    filler: DayFiller
    breaker: FillBreaker
    emit: Emit

    async def run(self, fills: Iterable[SeriesFill]) -> None:
        """Fill the days of some series.

        Raises:
            HostRefusedError: The host refuses this machine.
            StoreError: A segment cannot be stored.
        """
        send, receive = anyio.create_memory_object_stream[Archive](CONNECTIONS)
        async with anyio.create_task_group() as tasks:
            for _ in range(CONNECTIONS):
                tasks.start_soon(self._work, receive.clone())
            receive.close()
            async with send:
                for fill in fills:
                    known, to_ask = await self.known.of(fill)
                    if known:
                        await self.emit(known)
                    for segment in to_ask:
                        await send.send(segment)

    async def _work(self, segments: anyio.abc.ObjectReceiveStream[Archive]) -> None:
        async with segments:
            async for segment in segments:
                result, error = await self.filler.fill(segment)
                await self.emit([result])
                self.breaker.saw(error)
