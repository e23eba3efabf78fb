"""An output directory in memory, and what is known of the archives in it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from attrs import define, field
from tests.stores.memory import KeepsNothing

from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.core.protocols import FolderScan, Part, Watch, ignore
from crypto_lakehouse.core.verdicts import Verdict

STAT = FileStat(7, 1_000)

TOUCHED = FileStat(7, 1_001)

TRUNCATED = FileStat(6, 1_000)

FACTS = ObjectFacts(
    size_bytes=7,
    mark=1_000,
    sha256="a" * 64,
    published_sha256="a" * 64,
    etag='"e"',
    last_modified="Tue, 15 Jul 2025 03:00:00 GMT",
)

ROW = LedgerRow(Verdict.VERIFIED, FACTS)

PART = ObjectFacts(etag='"e"', size_bytes=9)


def knowing(row: LedgerRow, **facts: Any) -> LedgerRow:
    """A row of the ledger with other facts."""
    return row._replace(facts=row.facts._replace(**facts))


@define
class MemoryStore(KeepsNothing):
    """Files in a dict; counts its scans. A stored file's mtime is how many were put before."""

    files: dict[str, tuple[bytes, FileStat]] = field(factory=dict)
    scanned: list[str] = field(factory=list)
    refuses: dict[str, StoreError] = field(factory=dict)

    async def scan(self, folder: str) -> Mapping[str, FileStat]:
        return {
            key.removeprefix(folder): stat
            for key, (_, stat) in self.files.items()
            if key.startswith(folder) and "/" not in key.removeprefix(folder)
        }

    def scan_now(self, folder: str) -> FolderScan:
        self.scanned.append(folder)
        if folder in self.refuses:
            raise self.refuses[folder]
        names = [key for key in self.files if key.startswith(folder)]
        zips = [key for key in names if key.endswith(".zip")]
        return FolderScan(
            {key.removeprefix(folder): self.files[key][1] for key in zips},
            {key.removeprefix(folder) for key in set(names) - set(zips)},
        )

    def folders(self, on_unreadable: Callable[[str], None] = ignore) -> Iterator[str]:
        return iter(sorted({key.rpartition("/")[0] + "/" for key in self.files}))

    async def sha256(self, key: str) -> str | None:
        return hashlib.sha256(self.files[key][0]).hexdigest() if key in self.files else None

    async def read(self, key: str, limit: int) -> bytes | None:
        return self.files[key][0][:limit] if key in self.files else None

    def reader(self, key: str) -> BinaryIO:
        return io.BytesIO(self.files[key][0])

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        stat = FileStat(len(data), len(self.files))
        self.files[key] = (data, stat)
        return stat

    async def open_part(
        self, key: str, *, resume: bool, watch: Watch | None = None, doubtful: bool = False
    ) -> Part:
        raise NotImplementedError("an inventory opens no part")

    async def keep_replaced(self, key: str, sha256: str) -> str:
        raise NotImplementedError("an inventory replaces nothing")

    async def remove(self, key: str) -> None:
        raise NotImplementedError("an inventory does not wait")

    def remove_now(self, key: str) -> None:
        if key in self.refuses:
            raise self.refuses[key]
        del self.files[key]

    async def quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        raise NotImplementedError("an inventory sets nothing aside")


@define
class MemoryLedger:
    """Rows in dicts, by key; counts its queries."""

    known: dict[str, LedgerRow] = field(factory=dict)
    unfinished: dict[str, ObjectFacts] = field(factory=dict)
    asked: list[str] = field(factory=list)

    async def rows(self, folder: str) -> Mapping[str, LedgerRow]:
        return self.rows_now(folder)

    def verified_now(self, folder: str) -> Mapping[str, tuple[int, int]]:
        self.asked.append(f"verified of {folder}")
        return {
            name: (row.facts.size_bytes or 0, row.facts.mark or 0)
            for name, row in self._verified(folder).items()
        }

    def objects_now(self, folder: str) -> Mapping[str, ObjectFacts]:
        self.asked.append(f"objects of {folder}")
        return {name: row.facts for name, row in self._verified(folder).items()}

    def _verified(self, folder: str) -> dict[str, LedgerRow]:
        return {
            key.removeprefix(folder): row
            for key, row in self.known.items()
            if key.startswith(folder) and row.verdict is Verdict.VERIFIED and row.newer is None
        }

    def rows_now(self, folder: str) -> Mapping[str, LedgerRow]:
        self.asked.append(f"rows of {folder}")
        return {
            key.removeprefix(folder): row
            for key, row in self.known.items()
            if key.startswith(folder)
        }

    def parts_now(self, folder: str) -> Mapping[str, ObjectFacts]:
        self.asked.append(f"parts of {folder}")
        return {
            key.removeprefix(folder): part
            for key, part in self.unfinished.items()
            if key.startswith(folder)
        }


def archive_of(day: int, partition: str = "daily") -> Archive:
    period = f"2025-07-{day:02}" if partition == "daily" else f"2025-{day:02}"
    return Archive.parse(f"data/spot/{partition}/trades/BTCUSDT/BTCUSDT-trades-{period}.zip")


@define
class Here:
    """An output directory and what is known of it."""

    store: MemoryStore = field(factory=MemoryStore)
    ledger: MemoryLedger = field(factory=MemoryLedger)

    async def holds(
        self,
        archive: Archive,
        *,
        row: LedgerRow | None = ROW,
        sidecar: bool = True,
    ) -> FileStat:
        """Store an archive; its row, where there is one, describes the file."""
        stat = await self.store.put(archive.key, b"content of a zip")
        if sidecar:
            await self.store.put(archive.sidecar_key, b"digest")
        if row is not None:
            self.ledger.known[archive.key] = row._replace(facts=row.facts.of_file(stat))
        return stat

    def inventory(self, *, keep_sidecars: bool = True, force: bool = False) -> Inventory:
        return Inventory(self.store, self.ledger, keep_sidecars=keep_sidecars, force=force)

    async def sort(
        self, *archives: Archive, keep_sidecars: bool = True, force: bool = False
    ) -> tuple[list[ArchiveFinished], list[Work]]:
        inventory = self.inventory(keep_sidecars=keep_sidecars, force=force)
        return await sort(inventory, [PlannedPeriod(archive.period) for archive in archives])


async def sort(
    inventory: Inventory, periods: Sequence[PlannedPeriod]
) -> tuple[list[ArchiveFinished], list[Work]]:
    """Sort periods of the one series; what is told together is written out."""
    events, work = inventory.sort(PlannedSeries(archive_of(1).series, periods))
    settled: list[ArchiveFinished] = []
    for event in events:
        assert isinstance(event, ArchiveFinished | ArchivesUnchanged)
        settled += event.each() if isinstance(event, ArchivesUnchanged) else [event]
    return settled, work
