"""The output of a recording: its lock, what a killed recording left, and finished segments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LakehouseError,
    Problem,
    SegmentError,
    StoreError,
)
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.ledger.lock import OnHeld, output_lock, take_when_free
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.segments.live_delivery import deliver_segment
from crypto_lakehouse.segments.live_recovery import recover_segments
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.output import Output, output_of

__all__ = ["RecordingOutput"]


@define
class RecordingOutput:
    """Where a recording writes its segments, and where they go when they are finished.

    Segments of an output in an object store are in the state folder until then.

    Args:
        config: Names the output.
        on_held: Called if another recording holds the lock; returns whether to try again.
        is_stopped: Whether to wait for the lock no longer.
        note: Takes a remark for the user.
        times: Where the time comes from.
        on_delivered: Called with the keys of segments that are in the output.

    Attributes:
        stage: Where segments are written; None before the output is open.
        finished: How many segments were finished.
    """

    config: WorkflowConfig
    on_held: OnHeld
    is_stopped: Callable[[], bool]
    note: Callable[[str], None]
    times: LiveTimes
    on_delivered: Callable[[list[str]], None] = lambda _keys: None
    stage: LocalStore | None = field(init=False, default=None)
    finished: int = field(init=False, default=0)
    _place: Output = field(init=False)
    _to_deliver: list[str] = field(init=False, factory=list)
    _damaged: int = field(init=False, default=0)
    _resources: ExitStack = field(init=False, factory=ExitStack)

    def __attrs_post_init__(self) -> None:
        self._place = output_of(self.config)

    async def open(self) -> None:
        """Take the lock, and finish the segments that a killed recording left.

        `stage` stays None if the run was stopped while it waited for the lock.

        Raises:
            LockHeldError: Another recording has the output.
            ConfigurationError: The output cannot be written.
        """
        try:
            await self._open()
        except StoreError as error:
            if error.stops_run:
                raise
            raise ConfigurationError([Problem("$.output_directory", str(error))]) from error
        except OSError as error:
            reason = f"`{self._place.state.path}` cannot be written: {error.strerror}"
            raise ConfigurationError([Problem("$.output_directory", reason)]) from error

    async def _open(self) -> None:
        state = self._place.state
        await to_thread.run_sync(state.make)

        async def take() -> None:
            self._resources.enter_context(output_lock(state.path / "record.lock"))

        if await take_when_free(take, self.on_held, self.is_stopped):
            with anyio.CancelScope(shield=True):
                await self._finish_what_is_left()

    async def _finish_what_is_left(self) -> None:
        place = self._place
        stage = place.stage
        await to_thread.run_sync(stage.prepare)
        if place.is_url:
            await to_thread.run_sync(place.store.prepare)
        self.stage = stage
        for each in await recover_segments(stage, self.times.wall_us()):
            what = "finished" if each.is_stored else "removed, as nothing of it was synced"
            self.note(f"a killed recording left `{each.key}`: it is {what}")
            if each.is_damaged:
                self.note(f"`{each.key}` was damaged; the rest of it is in quarantine")
        if place.is_url:
            self._to_deliver += await to_thread.run_sync(self._left_in, stage)

    def _left_in(self, stage: LocalStore) -> list[str]:
        """The finished segments that an earlier recording could not store; blocking."""
        return [key for key, _ in stage.segments(self._unread, Origin.LIVE)]

    def _unread(self, folder: str, reason: str) -> None:
        self.note(f"`{folder}`: {reason}")

    @property
    def undelivered(self) -> int:
        """How many finished segments are in the state folder, and not in the object store."""
        return len(self._to_deliver) + self._damaged

    def take(self, keys: list[str]) -> None:
        """Take segments that are finished."""
        self.finished += len(keys)
        if self._place.is_url:
            self._to_deliver += keys
        elif keys:
            self.on_delivered(keys)

    async def deliver(self) -> None:
        """Once a second, move finished segments to the object store."""
        while self._place.is_url:
            await self.deliver_now()
            await self.times.sleep(1.0)

    async def deliver_now(self) -> None:
        """Move all finished segments; what fails stays in the state folder.

        It is tried again, unless the segment itself is damaged.
        """
        while self._to_deliver and self.stage is not None:
            try:
                await deliver_segment(self.stage, self._place.store, self._to_deliver[0])
            except SegmentError as error:
                self.note(f"a segment is not stored: {error}")
                self._damaged += 1
                del self._to_deliver[0]
            except LakehouseError as error:
                self.note(f"a segment is not stored yet: {error}")
                return
            else:
                self.on_delivered([self._to_deliver.pop(0)])

    async def close(self) -> None:
        """Move the last segments to the object store, and release the lock."""
        try:
            await self.deliver_now()
        finally:
            self._resources.close()
