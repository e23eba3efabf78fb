"""What a run holds of its output while it works: the locks, the prepared store, the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.ledger.lock import (
    OnHeld,
    has_no_locks,
    output_lock,
    take_when_free,
    wait_for_workers,
)
from crypto_lakehouse.ledger.place import LedgerPlace, RunLedger
from crypto_lakehouse.stores.objects.lease_keeper import LeaseKeeper
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.workflows.wiring.ledger_copies import LedgerCopies, ledger_copies
from crypto_lakehouse.workflows.wiring.output_lease import (
    NO_CONDITIONS,
    lease_keeper,
    writing_under,
)

__all__ = ["OpenedOutput"]

#: How often a run looks whether its lease is lost, or whether it was stopped, in seconds.
_LOOKS_EVERY_S = 1.0


@define
class OpenedOutput:
    """Opens an output for one run, and gives it back at the run's end.

    Args:
        state: The folder of the ledger and the locks.
        store: Has the bytes.
        ledger_place: Where the ledger is.
        on_held: Called if another run holds a lock; returns whether to try again.
        is_stopped: Whether the run was stopped while it waited for a lock.
        resources: Gives everything back when it is closed.
        run_id: The run, which a lease names.
        check_place: Called before the store is prepared; raises if its place cannot be used.

    Attributes:
        has_begun: Whether the run has a plan. What was created for one that has none is removed.
        notes: Remarks on the ledger, for the run's warnings.
    """

    state: StateFolder
    store: Store
    ledger_place: LedgerPlace
    on_held: OnHeld
    is_stopped: Callable[[], bool]
    resources: AsyncExitStack
    run_id: str
    check_place: Callable[[], None]
    has_begun: bool = field(init=False, default=False)
    notes: list[str] = field(init=False, factory=list)
    _ledger: RunLedger | None = field(init=False, default=None)
    _keeper: LeaseKeeper | None = field(init=False, default=None)
    _copies: LedgerCopies | None = field(init=False, default=None)

    @property
    def is_open(self) -> bool:
        """Whether the run has the output; a run that was stopped while it waited does not."""
        return self._ledger is not None

    @property
    def ledger(self) -> RunLedger:
        """The ledger of an output that is open."""
        assert self._ledger is not None  # noqa: S101 - for the type checker
        return self._ledger

    async def open(self) -> None:
        """Take the locks and the lease, prepare the store and open the ledger.

        Raises:
            LockHeldError: Another run holds a lock or the lease.
            ConfigurationError: The output cannot be written, or the folder of the ledger is another
                store's.
            StoreError: The store fails, and would fail for every archive.
        """
        try:
            made = await to_thread.run_sync(self.state.make)
            workers = partial(to_thread.run_sync, wait_for_workers, self.state.workers)
            lock = partial(self._lock, made)
            if not (
                await self._take(lock)
                and await self._take(workers)
                and await self._take(self._lock_ledger)
            ):
                return
            if not (await self._prepare() and await self._take_lease()):
                return
            await self._restore_ledger()
            await self._open_ledger()
        except StoreError as error:
            if error.stops_run:
                raise
            raise ConfigurationError([Problem("$.output_directory", str(error))]) from error
        except OSError as error:
            # The first folder that cannot be made is one of these two; neither is named twice.
            root, path = str(self.state.root), str(self.state.path)
            place = root if error.filename == root else path
            reason = f"`{root}` cannot be written: {what_to_do(error, place)}"
            raise ConfigurationError([Problem("$.output_directory", reason)]) from error

    async def _open_ledger(self) -> None:
        """Open the ledger; one that is damaged is rebuilt, and its copy is kept."""
        ledger, note = await to_thread.run_sync(self.ledger_place.open)
        self.resources.callback(ledger.close)
        self.notes += [note] if note else []
        if note and self._copies is not None:
            self.notes += await to_thread.run_sync(self._copies.keep_earlier)
        self._ledger = ledger

    async def _lock(self, made: Sequence[Path]) -> None:
        try:
            self.resources.enter_context(output_lock(self.state.lock))
        except StoreError as error:
            if has_no_locks(error):  # no other run works in the folder, then
                await to_thread.run_sync(self._leave_nothing, made)
            raise
        self.resources.callback(self._leave_nothing, made)
        if not self.ledger_place.is_shared:
            self.state.claim()

    async def _prepare(self) -> bool:
        """Prepare the store; return False if the run was stopped meanwhile."""
        is_prepared = False
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_stopped, tasks.cancel_scope)
                await to_thread.run_sync(self.check_place)
                await to_thread.run_sync(self.store.prepare)
                is_prepared = True
                tasks.cancel_scope.cancel()
        return is_prepared

    async def _until_stopped(self, scope: anyio.CancelScope) -> None:
        while True:
            if self.is_stopped():
                scope.cancel()
            await anyio.sleep(_LOOKS_EVERY_S)

    async def _take_lease(self) -> bool:
        """Take the lease of an object store; return False if the run was stopped meanwhile.

        Runs whose ledger is shared may work side by side.
        """
        if self.ledger_place.is_shared:
            return True
        keeper = await to_thread.run_sync(lease_keeper, self.state, self.store, self.run_id)
        if keeper is None:
            self.notes += [NO_CONDITIONS] if isinstance(self.store, ObjectStore) else []
            return True
        self._keeper = keeper
        self.resources.push_async_callback(to_thread.run_sync, keeper.stop)
        is_taken = await self._take(partial(to_thread.run_sync, keeper.take))
        if is_taken:
            self.resources.enter_context(writing_under(keeper, self.store))
        self.notes += [keeper.lease.takeover] if keeper.lease.takeover else []
        return is_taken

    async def _restore_ledger(self) -> None:
        """Fetch the ledger's copy from an object store if the ledger is lost."""
        if not self.ledger_place.is_shared:
            self._copies = await to_thread.run_sync(ledger_copies, self.state, self.store)
        if self._copies is not None:
            self.notes += await to_thread.run_sync(self._copies.restore)

    async def copy_ledger(self, *, has_changed: bool) -> str:
        """Copy the ledger to an object store at the end of a run.

        Args:
            has_changed: Whether the run has recorded more than that nothing has changed.

        Returns:
            Why it was not copied, for the user; empty if it was, or needs not be.
        """
        copies = self._copies
        if copies is None or (copies.copy.is_there and not has_changed):
            return ""
        return (await to_thread.run_sync(copies.make))[1]

    @asynccontextmanager
    async def held(self, moved_bytes: Callable[[], int]) -> AsyncIterator[None]:
        """Hold the output: what is inside is cancelled if the lease is lost.

        The ledger of an object store is copied now and then.

        Args:
            moved_bytes: Returns the bytes that the run has received.

        Raises:
            StoreError: The lease is lost.
        """
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_lost)
                if self._copies is not None:
                    tasks.start_soon(self._copies.keep, moved_bytes)
                yield
                tasks.cancel_scope.cancel()

    async def _until_lost(self) -> None:
        while self._keeper is not None:
            self._keeper.check()
            await anyio.sleep(_LOOKS_EVERY_S)

    def check(self) -> None:
        """Check that the lease is held, if there is one.

        Raises:
            StoreError: The lease is lost.
        """
        if self._keeper is not None:
            self._keeper.check()

    async def _lock_ledger(self) -> None:
        held = self.ledger_place.locked(alone=False)
        await to_thread.run_sync(self.resources.enter_context, held)

    async def _take(self, take: Callable[[], Awaitable[object]]) -> bool:
        return await take_when_free(take, self.on_held, self.is_stopped)

    def _leave_nothing(self, made: Sequence[Path]) -> None:
        """Remove the folders of a run that failed before it had a plan."""
        if not self.has_begun:
            self.state.unmake(made)
