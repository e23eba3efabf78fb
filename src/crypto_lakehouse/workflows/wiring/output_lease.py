"""The lease that a run takes of an output in an object store, beside the local lock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.ledger.lock import configured_lock
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.stores.objects.conditions import knows_conditions
from crypto_lakehouse.stores.objects.fence import Fence
from crypto_lakehouse.stores.objects.lease import Lease
from crypto_lakehouse.stores.objects.lease_keeper import LeaseKeeper
from crypto_lakehouse.stores.objects.lease_memory import LeaseMemory
from crypto_lakehouse.stores.objects.opening import impatient
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.stores.state import StateFolder

__all__ = ["NO_CONDITIONS", "fenced", "held_output", "holder_of", "lease_keeper", "writing_under"]

_log = logging.getLogger(__name__)

NO_CONDITIONS = (
    "the object store ignores conditions, so that only the lock in the state folder protects the "
    "output; let one machine alone collect into it, or share a ledger in PostgreSQL"
)

#: The part of a lease that one request for it may take.
_OF_A_LEASE = 1 / 6


def lease_keeper(state: StateFolder, store: Store, run_id: str) -> LeaseKeeper | None:
    """Return what takes and keeps the lease; blocking.

    The caller must hold the local lock.

    Returns:
        None if the archives are in a directory, or in a store without conditions.

    Raises:
        StoreError: The store fails.
    """
    if not isinstance(store, ObjectStore):
        return None
    if not knows_conditions(store.client, state.conditions):
        return None
    lease = Lease(store.client, run_id, LeaseMemory(state.lease, state.lock))
    lease.client = impatient(store.client, lease.lease_s * _OF_A_LEASE)
    return LeaseKeeper(lease)


@contextmanager
def writing_under(keeper: LeaseKeeper, store: Store) -> Iterator[None]:
    """Let a store write for the run that has taken the lease, and for no other one."""
    if not isinstance(store, ObjectStore):
        raise TypeError(f"only an object store has a lease, not {store!r}")
    store.fence = Fence(store.client, keeper.lease.holder, keeper.check)
    try:
        yield
    finally:
        store.fence = None


def holder_of(store: Store) -> str:
    """Return which run a store writes for, as its worker processes must know; else empty."""
    fence = store.fence if isinstance(store, ObjectStore) else None
    return "" if fence is None else fence.holder


def fenced(store: Store, holder: str) -> Store:
    """Return the store of a worker process with the fence of its run.

    Args:
        store: The store.
        holder: The run, as `holder_of` returns it.
    """
    if holder and isinstance(store, ObjectStore):
        store.fence = Fence(store.client, holder)
    return store


@contextmanager
def held_output(output: Output, ledger: LedgerPlace) -> Iterator[None]:
    """Hold the local lock of an output, its ledger's, and the lease that it may have; blocking.

    Raises:
        ConfigurationError: The lock cannot be taken, or the folder is another store's.
        LockHeldError: Another run holds the lock or the lease.
        StoreError: The store fails.
    """
    output.state.refuse_links()
    with ExitStack() as held:
        held.enter_context(configured_lock(output.state.lock, "$.output_directory"))
        if not ledger.is_shared:
            output.state.claim()
        held.enter_context(ledger.locked())
        keeper = None if ledger.is_shared else lease_keeper(output.state, output.store, uuid4().hex)
        if keeper is not None:
            held.callback(keeper.stop)
            keeper.take()
            held.enter_context(writing_under(keeper, output.store))
            if keeper.lease.takeover:
                _log.warning("%s", keeper.lease.takeover)
        yield
