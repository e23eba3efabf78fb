"""A store to write to, and short ways to make what a ledger is told."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, BodyStarted, RunFinished, RunStarted
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.protocols import Part
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.stores.directory import LocalStore

FOLDER = "data/spot/daily/trades/BTCUSDT/"
NAME = "BTCUSDT-trades-2025-07-15.zip"
KEY = FOLDER + NAME
ARCHIVE = Archive.parse(FOLDER + NAME)
OTHER = Archive.parse("data/spot/monthly/trades/币安人生USDT/币安人生USDT-trades-2025-07.zip")
NOON = datetime(2025, 7, 15, 12, tzinfo=UTC)


def finished(
    verdict: Verdict = Verdict.VERIFIED, archive: Archive = ARCHIVE, **changes: Any
) -> ArchiveFinished:
    """The verdict on an archive, every fact of it known."""
    facts = ObjectFacts(
        size_bytes=7,
        mark=1_752_580_800_123_456_789,
        sha256="a" * 64,
        published_sha256="a" * 64,
        etag='"e"',
        last_modified="Tue, 15 Jul 2025 03:00:00 GMT",
    )
    facts = facts._replace(**{name: changes.pop(name) for name in facts._fields & changes.keys()})
    return ArchiveFinished(archive=archive, verdict=verdict, facts=facts, **changes)


def body_started(archive: Archive = ARCHIVE, **changes: Any) -> BodyStarted:
    """A large body that begins to arrive."""
    facts = ObjectFacts(etag='"e"', size_bytes=5_000_000_000)
    return BodyStarted(archive=archive, facts=facts._replace(**changes))


def run_started(run_id: str = "one") -> RunStarted:
    """The beginning of a run."""
    return RunStarted(run_id=run_id, workflow="test", planned=3, at=NOON)


def run_finished(run_id: str = "one", status: str = "complete") -> RunFinished:
    """The end of a run."""
    return RunFinished(run_id=run_id, status=status, at=NOON)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(root: Path) -> set[str]:
    """Every file below a directory, as text."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


async def part_of(store: LocalStore, *buffers: bytes, resume: bool = False) -> Part:
    part = await store.open_part(KEY, resume=resume)
    for buffer in buffers:
        await part.append(buffer)
    return part
