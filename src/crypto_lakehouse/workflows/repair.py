"""Fetch again what is damaged or quarantined, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyio import to_thread
from attrs import define, evolve, field, frozen

from crypto_lakehouse.collection.verifier import DAMAGE, FileState, StoredArchive
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.kept import Quarantined
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import SUCCESSES
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.verification import verify_archives
from crypto_lakehouse.workflows.wiring.load_config import load_config

__all__ = ["RepairReport", "list_quarantine", "repair_tree"]


@frozen(kw_only=True)
class RepairReport:
    """What became of archives that were fetched again.

    Attributes:
        repaired: Keys that are good now.
        remaining: Those that are not, as they are now.
        collection: The report of fetching them.
    """

    repaired: tuple[str, ...]
    remaining: tuple[StoredArchive, ...]
    collection: CollectionReport

    @property
    def exit_code(self) -> int:
        """4 where damage remains, else as the collection's."""
        is_damaged = any(item.state in DAMAGE for item in self.remaining)
        return 4 if is_damaged else self.collection.exit_code

    def to_mapping(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "repaired": list(self.repaired),
            "remaining": [
                {"key": item.key, "state": str(item.state), "reason": item.reason}
                for item in self.remaining
            ],
        }


async def list_quarantine(root: str | Path) -> list[Quarantined]:
    """Everything that lies in a tree's quarantine."""
    store = LocalStore(Path(root))
    return await to_thread.run_sync(lambda: list(store.quarantined()))


async def repair_tree(
    root: str | Path,
    archives: Iterable[Archive],
    *,
    config_file: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> RepairReport:
    """Fetch exactly these archives again, and look at them once more.

    What was in quarantine leaves it once a verified version stands in its place.

    Args:
        root: The output directory.
        archives: What is damaged, or in quarantine.
        config_file: Names the source, and how to ask it; what it selects does not count.
        overrides: Configuration values that win over the file's.
        **options: As `ArchiveCollectionWorkflow` takes them.

    Raises:
        ConfigurationError: The configuration cannot be run.
        LockHeldError: A run works on the directory.
    """
    wanted = sorted(set(archives))
    # A file that looks as the ledger knows it may be rotten all the same: nothing is trusted.
    chosen = {**(overrides or {}), "output_directory": str(root)}
    chosen |= {"only": "quarantined", "force_redownload": True}
    config = await load_config(config_file, chosen)
    verdicts = _Verdicts()
    sinks = [*options.pop("sinks", ()), verdicts]
    workflow = ArchiveCollectionWorkflow(config, archives=wanted, sinks=sinks, **options)
    report = (await workflow.run()).report
    repaired: list[str] = []
    remaining: list[StoredArchive] = []
    for item in await verify_archives(root, wanted):
        # An older version may stand there, and be good, while the newer one stays quarantined.
        if item.state is FileState.OK and verdicts.is_good(item.key):
            repaired.append(item.key)
            await to_thread.run_sync(LocalStore(Path(root)).release, item.key)
        else:
            remaining.append(evolve(item, reason=verdicts.reason(item.key) or item.reason))
    return RepairReport(repaired=tuple(repaired), remaining=tuple(remaining), collection=report)


@define
class _Verdicts:
    """Remembers the verdict on each archive; there are as many as are to be repaired."""

    name: str = "verdicts"
    required: bool = True
    _events: dict[str, ArchiveFinished] = field(init=False, factory=dict)

    def is_good(self, key: str) -> bool:
        """Whether the source's present version stands at its final name, verified."""
        event = self._events.get(key)
        return event is not None and event.verdict in SUCCESSES

    def reason(self, key: str) -> str:
        """Why not."""
        event = self._events.get(key)
        return f"{event.verdict}: {event.reason}" if event and event.reason else ""

    async def handle(self, events: Sequence[Event]) -> None:
        """Remember verdicts."""
        for event in events:
            if isinstance(event, ArchiveFinished):
                self._events[event.archive.key] = event

    async def flush(self) -> None:
        """Nothing is held back."""

    async def close(self) -> None:
        """Nothing is open."""
