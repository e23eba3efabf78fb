"""Fetch again what is damaged or quarantined, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from attrs import define, evolve, field, frozen

from crypto_lakehouse.collection.verifier import REPAIRABLE, FileState, StoredArchive
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.verdicts import SUCCESSES
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.verification import verify_archives

if TYPE_CHECKING:
    import aiohttp

__all__ = ["RepairReport", "repair_archives"]


@frozen(kw_only=True)
class RepairReport:
    """How the repair of archives ended.

    Attributes:
        repaired: Keys of archives that are good now.
        remaining: The archives that are not, in their present state.
        collection: The report of fetching them.
    """

    repaired: tuple[str, ...]
    remaining: tuple[StoredArchive, ...]
    collection: CollectionReport

    @property
    def exit_code(self) -> int:
        """That of a collection that was ended early, as 5 if the source is unavailable.

        Otherwise 4 if damage remains, else the collection's, or 3 if an archive is not proven.
        """
        if self.collection.stop_code is not None:
            return self.collection.stop_code
        states = {item.state for item in self.remaining}
        if states & REPAIRABLE:
            return 4
        return self.collection.exit_code or (3 if states - {FileState.OK} else 0)

    def to_mapping(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        error = self.collection.error
        return {
            **({"error": error} if error else {}),
            "repaired": list(self.repaired),
            "remaining": [
                {"key": item.key, "state": str(item.state), "reason": item.reason}
                for item in self.remaining
            ],
        }


async def repair_archives(
    config: WorkflowConfig,
    archives: Iterable[Archive],
    *,
    sinks: Iterable[AnySink] = (),
    session: aiohttp.ClientSession | None = None,
    store: Store | None = None,
    retry: RetryPolicy | None = None,
    meter: ByteMeter | None = None,
    on_held: OnHeld = do_not_wait,
) -> RepairReport:
    """Fetch exactly these archives again, and verify them once more.

    An archive leaves the quarantine when a verified version is stored.

    Args:
        config: Names the output directory and the source; what it selects is not used.
        archives: The damaged and quarantined archives.
        sinks: As `run_collection` takes them, like the following ones.
        session: An aiohttp session of the application's own.
        store: Where the archives are; the output directory by default.
        retry: When to try again.
        meter: Counts bytes as they arrive.
        on_held: Called if another run holds the lock; returns whether to try again.

    Raises:
        ConfigurationError: The configuration cannot be run.
        LockHeldError: Another run works on the directory.
    """
    wanted = sorted(set(archives))
    verdicts = _Verdicts()
    workflow = ArchiveCollectionWorkflow(
        # A file with the size and date in the ledger may still be damaged: trust none.
        # The caller names the directory again: it is no value of a file that needs a note.
        config.replace(
            output_directory=config.output_directory, only="quarantined", force_redownload=True
        ),
        archives=wanted,
        sinks=[*sinks, verdicts],
        session=session,
        store=store,
        retry=retry,
        meter=meter,
        on_held=on_held,
    )
    with naming_origins(config):
        report = (await workflow.run()).report
    output = output_of(config, store)
    repaired: list[str] = []
    remaining: list[StoredArchive] = []
    for item in await verify_archives(output, wanted):
        # An older version may be stored, and good, while the newer one stays in quarantine.
        if item.state is FileState.OK and verdicts.is_good(item.key):
            repaired.append(item.key)
            await to_thread.run_sync(output.store.release, item.key)
        else:
            remaining.append(evolve(item, reason=verdicts.reason(item.key) or item.reason))
    return RepairReport(repaired=tuple(repaired), remaining=tuple(remaining), collection=report)


@define
class _Verdicts:
    """A sink that keeps the verdict on each archive; repairs are few."""

    name: str = "verdicts"
    required: bool = True
    _events: dict[str, ArchiveFinished] = field(init=False, factory=dict)

    def is_good(self, key: str) -> bool:
        """Whether the source's present version is stored and verified."""
        event = self._events.get(key)
        return event is not None and event.verdict in SUCCESSES

    def reason(self, key: str) -> str:
        """Return why it is not, or an empty string."""
        event = self._events.get(key)
        return f"{event.verdict}: {event.reason}" if event and event.reason else ""

    async def handle(self, events: Sequence[Event]) -> None:
        """Keep the verdicts."""
        for event in events:
            if isinstance(event, ArchiveFinished):
                self._events[event.archive.key] = event

    async def flush(self) -> None:
        """Do nothing: verdicts are kept at once."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""
