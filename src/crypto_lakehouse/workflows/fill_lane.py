"""Fill the days of one market: several at once, in the order of series and days."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import anyio
from anyio import to_thread
from attrs import define, field, frozen

from crypto_lakehouse.core.acknowledged import Acknowledged
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import BadAnswerError, TransferError
from crypto_lakehouse.core.events import FillFinished, RunNoted
from crypto_lakehouse.core.fills import FillRow, FillVerdict, fill_folder
from crypto_lakehouse.core.ledger_protocols import Claims
from crypto_lakehouse.core.messages import agreeing
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

#: How long to wait before claims are tried again, in seconds.
_PAUSE_S = 0.5

_pause = partial(anyio.sleep, _PAUSE_S)


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

    async def of(
        self, fill: SeriesFill, *, reads: bool = True
    ) -> tuple[list[FillFinished], list[Archive]]:
        """Return the verdicts that are known, and the segments of the days to ask for.

        Args:
            fill: The days.
            reads: Whether stored segments are read that the ledger does not describe.
        """
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
            elif reads and (
                found := await self._found(segment, rows.get(segment.name), stored(segment))
            ):
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
        claims: Divides series with other runs on the same ledger; None if there can be none.
        pause: Waits before claims are tried again.
    """

    known: KnownFills
    filler: DayFiller
    breaker: FillBreaker
    emit: Emit
    claims: Claims | None = None
    pause: Callable[[], Awaitable[None]] = _pause

    async def run(self, fills: Iterable[SeriesFill]) -> None:
        """Fill the days of some series.

        Raises:
            HostRefusedError: The host refuses this machine.
            LedgerError: Claims cannot be made or kept.
            StoreError: A segment cannot be stored.
        """
        send, receive = anyio.create_memory_object_stream[Archive](CONNECTIONS)
        async with anyio.create_task_group() as tasks:
            for _ in range(CONNECTIONS):
                tasks.start_soon(self._work, receive.clone())
            receive.close()
            async with send:
                left = [fill for fill in fills if not await self._send(fill, send)]
                if left:
                    text = agreeing(len(left), f"{len(left)} series [is|are] filled by another run")
                    await self.emit([RunNoted(message=f"{text}; this one waits for it")])
                while left:
                    await self.pause()
                    left = [fill for fill in left if not await self._send(fill, send)]

    async def _send(self, fill: SeriesFill, send: anyio.abc.ObjectSendStream[Archive]) -> bool:
        """Send the days of a series to the workers, unless another run works on it."""
        known, to_ask = await self.known.of(fill, reads=self.claims is None)
        if to_ask and self.claims is not None:
            name = fill_folder(fill.series)
            if not await to_thread.run_sync(self.claims.take, name):
                return False
            known, to_ask = await self.known.of(fill)  # another run may have filled it meanwhile
            keys = [event.archive.key for event in known if event.is_new]
            keys += [segment.key for segment in to_ask]
            await to_thread.run_sync(self.claims.works_on, name, keys)
        if known:
            await self.emit(known)
        for segment in to_ask:
            await send.send(segment)
        return True

    async def _work(self, segments: anyio.abc.ObjectReceiveStream[Archive]) -> None:
        async with segments:
            async for segment in segments:
                result, error = await self.filler.fill(segment)
                await self.emit([result])
                self.breaker.saw(error)
