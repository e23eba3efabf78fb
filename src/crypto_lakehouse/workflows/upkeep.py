"""The commands that change what is stored, as functions: `run_prune` and `run_repair`.

Each is an async function in the manner of `run_collection`. Blocking work is done in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from anyio import to_thread

from crypto_lakehouse.collection.verifier import REPAIRABLE, StoredArchive
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.errors import ArchiveKeyError, ConfigurationError, Problem
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait, take_when_free
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.workflows.history import PruneResult, ledger_of, prune_replaced
from crypto_lakehouse.workflows.repair import RepairReport, repair_archives
from crypto_lakehouse.workflows.verification import verify_tree
from crypto_lakehouse.workflows.wiring.load_config import AnyConfig, load_config_of_output
from crypto_lakehouse.workflows.wiring.output_lease import held_output

if TYPE_CHECKING:
    import aiohttp

__all__ = ["run_prune", "run_repair"]


async def run_prune(
    config: AnyConfig,
    older_than_days: int,
    *,
    store: Store | None = None,
    on_held: OnHeld = do_not_wait,
) -> PruneResult:
    """Remove the bytes of versions replaced long ago; the history still lists them.

    Args:
        config: Names the output directory.
        older_than_days: How long ago a version must have been replaced; 0 removes all.
        store: Where the archives are; the output directory by default.
        on_held: Called if another run holds the lock or the lease; returns whether to try again.

    Raises:
        ConfigurationError: There is no ledger, the directory cannot be written, or
            `older_than_days` is negative.
        LockHeldError: A run works on the directory.
        StoreError: The disk fails.
    """
    if older_than_days < 0:
        reason = f"must be 0 or more, not {older_than_days}"
        raise ConfigurationError([Problem("older_than_days", reason)])
    ready = await load_config_of_output(config)
    output = output_of(ready, store)

    def prune() -> PruneResult:
        ledger = ledger_of(output)  # without one there is nothing to lock
        with held_output(output, ledger):
            return prune_replaced(
                output, older_than_days=older_than_days, today=datetime.now(UTC).date()
            )

    results: list[PruneResult] = []

    async def attempt() -> None:
        results.append(await to_thread.run_sync(prune))

    with naming_origins(ready):
        await take_when_free(attempt, on_held, lambda: False)
    return results[0]


async def run_repair(
    config: AnyConfig,
    archives: Iterable[Archive] | None = None,
    *,
    sinks: Iterable[AnySink] = (),
    session: aiohttp.ClientSession | None = None,
    store: Store | None = None,
    retry: RetryPolicy | None = None,
    meter: ByteMeter | None = None,
    on_held: OnHeld = do_not_wait,
) -> RepairReport:
    """Fetch again what is damaged or in quarantine.

    Args:
        config: Names the output directory and the source; what it selects is not used.
        archives: Exactly these; by default everything is verified to find the damaged ones.
        sinks: As `run_collection` takes them.
        session: An aiohttp session of the application's own; it is used and not closed.
        store: Where the archives are; the output directory by default.
        retry: When to try again; by the configuration's `max_retries` by default.
        meter: Counts bytes as they arrive, for displays.
        on_held: Called if another run holds the lock; returns whether to try again. By default the
            repair is refused.

    Raises:
        ConfigurationError: The configuration cannot be run.
        LockHeldError: Another run works on the directory.
    """
    ready = await load_config_of_output(config)
    with naming_origins(ready):
        wanted = await _damaged(output_of(ready, store)) if archives is None else archives
    return await repair_archives(
        ready, wanted, sinks=sinks, session=session, store=store, retry=retry, meter=meter,
        on_held=on_held,
    )  # fmt: skip


async def _damaged(output: Output) -> set[Archive]:
    aside = await to_thread.run_sync(lambda: list(output.store.quarantined()))
    found = {item.archive for item in aside}

    async def look(stored: StoredArchive) -> None:
        if stored.state in REPAIRABLE:
            with suppress(ArchiveKeyError):  # a file that is not an archive cannot be fetched
                found.add(Archive.published(stored.key))

    await verify_tree(output, look)
    return found
