"""Archives are told in order, however long each takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from crypto_lakehouse.collection.sampling import Chosen
from crypto_lakehouse.collection.verifier import FileState, StoredArchive, StoredSegment, Verifier
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.protocols import FolderScan
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.stores.directory import LocalStore

FOLDER = "data/spot/daily/trades/BTCUSDT/"
NAMES = [f"BTCUSDT-trades-2025-07-{day:02}.zip" for day in range(1, 20)]


class Rows:
    """A ledger that knows one archive, which a policy let in."""

    async def rows(self, _folder: str) -> dict[str, LedgerRow]:
        facts = ObjectFacts(1, 1, "a" * 64)
        return {NAMES[3]: LedgerRow(Verdict.UPSTREAM_MISMATCH, facts, accepted=True)}


class Slow(LocalStore):
    """Hashes the first archive last."""

    async def sha256(self, key: str) -> str | None:
        self.started += 1
        if self.started > 3:
            self.rest.set()
        if key.endswith(NAMES[0]):
            await self.rest.wait()
        return await super().sha256(key)

    rest: anyio.Event
    started = 0


async def never(_key: str, _sha256: str) -> bool:
    raise AssertionError("no file is damaged")


async def folders() -> AsyncIterator[str]:
    yield FOLDER


@pytest.mark.parametrize("room", [3, 1000])
async def test_the_order_is_that_of_names(tmp_path: Path, room: int) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    for name in NAMES:
        (tmp_path / FOLDER / name).write_bytes(b"zip")
    store = Slow(tmp_path)
    store.rest = anyio.Event()
    told: list[StoredArchive] = []

    async def tell(archive: StoredArchive) -> None:
        await anyio.lowlevel.checkpoint()
        told.append(archive)

    verifier = Verifier(store, Rows(), 4, never, waiting_results=room)
    report = await verifier.verify(folders(), tell)
    assert [archive.key for archive in told] == [FOLDER + name for name in NAMES]
    assert report.totals == {FileState.UNPROVEN: len(NAMES)}
    assert "a policy let it in" in told[3].reason


class Closed(LocalStore):
    """Cannot list the folder."""

    def scan_now(self, folder: str) -> FolderScan:
        raise StoreError(folder, "no such luck")


async def test_a_folder_that_cannot_be_listed_is_one_problem(tmp_path: Path) -> None:
    told: list[StoredArchive] = []

    async def tell(archive: StoredArchive) -> None:
        told.append(archive)

    async def segments() -> AsyncIterator[StoredSegment]:
        yield StoredSegment("rest/spot/", fault="no luck")
        yield StoredSegment("rest/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-01.jsonl.zst")

    verifier = Verifier(Closed(tmp_path), Rows(), 2, never)
    nothing = Chosen("1", 0)  # a folder that cannot be read is said whatever is chosen
    report = await verifier.verify(folders(), tell, segments=segments(), chosen=nothing)
    assert report.problems == told
    assert [(problem.key, problem.state) for problem in told] == [
        (FOLDER, FileState.UNREADABLE), ("rest/spot/", FileState.UNREADABLE),
    ]  # fmt: skip
    assert "no such luck" in told[0].reason
    assert told[1].reason == "no luck"
    assert report.exit_code == 4
