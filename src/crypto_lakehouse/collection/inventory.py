"""Compare the plan with what is here already, one series at a time.

One ledger query and one directory scan answer for all archives of a folder: no stat per file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto

from attrs import define, frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.core.ports import FileStat, Ledger, LedgerRow, PartRow, Store
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

__all__ = ["Action", "Inventory", "Work", "decide"]


class Action(Enum):
    """What to do for one archive."""

    NOTHING = auto()
    """It is verified, and the file is the one that was verified."""
    CHECK = auto()
    """A file is there: hash it before anything is requested."""
    FETCH = auto()
    """Fetch zip and sidecar."""
    FETCH_SIDECAR = auto()
    """The zip is verified, its published sidecar is wanted beside it and is gone."""


@frozen(kw_only=True)
class Work:
    """One archive for a worker.

    Attributes:
        row: What the ledger knows of it.
        stat: What lies at its final name.
        part: The validators of a body that began to arrive earlier.
    """

    planned: PlannedArchive
    action: Action
    row: LedgerRow | None = None
    stat: FileStat | None = None
    part: PartRow | None = None

    @property
    def archive(self) -> Archive:
        """The archive itself."""
        return self.planned.archive


def decide(
    row: LedgerRow | None, stat: FileStat | None, *, has_sidecar: bool, force: bool
) -> Action:
    """Decide what one archive needs.

    | file    | ledger says           | file is the ledger's | action                          |
    |---------|-----------------------|----------------------|---------------------------------|
    | absent  | anything              | -                    | FETCH                           |
    | present | verified              | yes                  | NOTHING, or FETCH_SIDECAR       |
    | present | verified              | touched or truncated | CHECK                           |
    | present | something else        | -                    | CHECK                           |
    | present | nothing (ledger lost) | -                    | CHECK                           |
    | any     | any, with `force`     | -                    | FETCH                           |

    Args:
        row: What the ledger knows.
        stat: What lies at the final name.
        has_sidecar: Whether the sidecar lies beside it, or is not wanted there.
        force: Whether everything is to be fetched again.
    """
    if force or stat is None:
        return Action.FETCH
    if row is None or row.verdict not in SUCCESSES or not row.describes(stat):
        return Action.CHECK
    if has_sidecar or row.published_sha256 is None:
        return Action.NOTHING
    return Action.FETCH_SIDECAR


@frozen
class _Folder:
    """What is here of one key prefix."""

    files: Mapping[str, FileStat]
    rows: Mapping[str, LedgerRow]
    parts: Mapping[str, PartRow]


@define
class Inventory:
    """Sorts the plan into what is settled and what is work.

    Args:
        store: Where files lie.
        ledger: What earlier runs found out.
        keep_sidecars: Whether sidecars are wanted beside their zips.
        force: Whether everything is to be fetched again.
    """

    store: Store
    ledger: Ledger
    keep_sidecars: bool = True
    force: bool = False

    async def sort(
        self, planned: Iterable[PlannedArchive]
    ) -> tuple[list[ArchiveFinished], list[Work]]:
        """Return the verdicts that need no worker, and the work that does, in plan order.

        Args:
            planned: Archives of one series; held in memory.

        Raises:
            StoreError: The store refuses, and would refuse for every other folder, too.
        """
        settled: list[ArchiveFinished] = []
        work: list[Work] = []
        folders: dict[str, _Folder | StoreError] = {}
        for item in planned:
            if item.not_published:
                settled.append(_not_published(item))
                continue
            prefix = item.archive.folder
            if prefix not in folders:
                folders[prefix] = await self._folder(prefix)
            folder = folders[prefix]
            if isinstance(folder, StoreError):
                settled.append(_refused(item.archive, folder))
                continue
            todo = self._work_for(item, folder)
            if todo.action is Action.NOTHING and todo.row is not None:
                settled.append(_unchanged(item.archive, todo.row))
            else:
                work.append(todo)
        return settled, work

    async def _folder(self, prefix: str) -> _Folder | StoreError:
        """What is here of a key prefix, or why that cannot be told."""
        try:
            files = await self.store.scan(prefix)
        except StoreError as error:
            if error.stops_run:
                raise
            return error
        return _Folder(files, await self.ledger.rows(prefix), await self.ledger.parts(prefix))

    def _work_for(self, item: PlannedArchive, folder: _Folder) -> Work:
        name = item.archive.name
        row = folder.rows.get(name)
        has_sidecar = not self.keep_sidecars or name + SIDECAR_SUFFIX in folder.files
        stat = folder.files.get(name)
        action = decide(row, stat, has_sidecar=has_sidecar, force=self.force)
        part = None if self.force else folder.parts.get(name)
        return Work(planned=item, action=action, row=row, stat=stat, part=part)


def _not_published(item: PlannedArchive) -> ArchiveFinished:
    return ArchiveFinished(
        archive=item.archive, verdict=Verdict.NOT_PUBLISHED, reason=item.not_published
    )


def _refused(archive: Archive, error: StoreError) -> ArchiveFinished:
    return ArchiveFinished(archive=archive, verdict=Verdict.FAILED, reason=str(error))


def _unchanged(archive: Archive, row: LedgerRow) -> ArchiveFinished:
    return ArchiveFinished(
        archive=archive,
        verdict=Verdict.UNCHANGED,
        size_bytes=row.size_bytes,
        mtime_ns=row.mtime_ns,
        sha256=row.sha256,
        published_sha256=row.published_sha256,
        etag=row.etag,
        last_modified=row.last_modified,
    )
