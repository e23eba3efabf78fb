"""A commit names only what is on the disk, and nothing is written outside the lake."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import event
from tests.tables.sample_data import bars, days, ingest, month_of, put, text_of

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.stores.disk import Disk
from crypto_lakehouse.tables.iceberg import local_io
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest import journal, plain_parquet
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig

FIRST = date(2023, 7, 30)


class Remembering(Disk):
    """Syncs, and remembers what: files as they were then, and folders with the names in them."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.names: set[str] = set()
        self._lock = threading.Lock()

    def sync(self, root: str, paths: Collection[str]) -> None:
        super().sync(root, paths)
        with self._lock:
            for path in map(Path, paths):
                self.files[str(path)] = path.stat().st_size
                for folder in path.parents:
                    if folder.is_relative_to(root):
                        self.names |= set(map(str, folder.iterdir()))

    def sync_each(self, paths: Iterable[str]) -> None:
        paths = [*paths]
        super().sync_each(paths)
        for path in filter(os.path.isdir, paths):
            self.names |= set(map(str, Path(path).iterdir()))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Remembering:
    remembering = Remembering()
    for module in (local_io, journal, plain_parquet):
        monkeypatch.setattr(module, "DISK", remembering)
    return remembering


def torn(disk: Remembering, root: Path) -> list[str]:
    """What a power loss now could take away, of the files there are."""
    return [
        str(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and (
            disk.files.get(str(path)) != path.stat().st_size
            or any(
                str(each) not in disk.names
                for each in (path, *path.parents)
                if each != root and each.is_relative_to(root)
            )
        )
    ]


@pytest.mark.parametrize("symbols", [1, 20], ids=["few files", "many files"])
@pytest.mark.parametrize("workers", [1, 2])
def test_at_no_commit_is_a_file_not_on_the_disk(
    disk: Remembering, tmp_path: Path, symbols: int, workers: int
) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    warehouse = tmp_path / "lake" / "warehouse"
    commits: list[list[str]] = []
    engine = catalog.catalog.engine  # type: ignore[attr-defined]
    event.listen(engine, "commit", lambda _connection: commits.append(torn(disk, warehouse)))
    settings = IngestSettings(workers=workers)
    for day in days(FIRST, 3):
        ingest(catalog, [put(tmp_path, bars(day, f"S{n}")) for n in range(symbols)], settings)
    archive = bars(FIRST, "S0")
    half = "".join(text_of(archive).splitlines(keepends=True)[:12])
    ingest(catalog, [put(tmp_path, archive, half)], settings)
    month = month_of(archive)
    ingest(catalog, [put(tmp_path, month)], settings)
    compact(catalog, "spot.klines", tool_version="1")
    snapshots = Lake(catalog).snapshots("spot.klines")
    expire(catalog, "spot.klines", before=snapshots[-1].at)
    assert len(commits) > 10
    assert [found for found in commits if found] == []


def test_what_has_run_is_known_to_have_run(disk: Remembering, tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "journal"
    notes = journal.Journal(folder, "one", "spot.klines")
    assert torn(disk, tmp_path / "lake") == []
    notes.close()


def test_plain_parquet_is_on_the_disk_before_days_go(
    disk: Remembering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "files"
    removals: list[list[str]] = []
    delete = local_io.delete_below

    def watched(root: str, path: str) -> bool:
        if Path(path).is_file():
            removals.append([name for name in names(files) if name not in disk.names])
        return delete(root, path)

    def names(root: Path) -> list[str]:
        return [str(path) for path in root.rglob("*.parquet")]

    monkeypatch.setattr(plain_parquet, "delete_below", watched)
    archives = [bars(day) for day in days(date(2023, 7, 1), 2)]
    for each in (*archives, month_of(archives[0])):
        put(tmp_path, each)
        config = LakeConfig(output_directory=str(tmp_path), lake=str(files), format="parquet")
        assert IngestWorkflow(config).execute().report.problem_count == 0
    assert removals == [[], []]
    assert len(names(files)) == 1


LINKS = [
    ".lakehouse/lake",
    ".lakehouse/lake/catalog.db",
    ".lakehouse/lake/journal",
    ".lakehouse/lake/warehouse",
    ".lakehouse/lake/warehouse/spot",
    ".lakehouse/lake/warehouse/spot/klines/data",
    ".lakehouse/lake/warehouse/spot/klines/metadata",
    ".lakehouse/lake/warehouse/spot/klines/data/interval=1h",
    ".lakehouse/lake/warehouse/spot/klines/data/interval=1h/symbol=BTCUSDT",
]


@pytest.mark.parametrize("link", LINKS, ids=range(len(LINKS)))
def test_a_symbolic_link_is_not_written_through(link: str, tmp_path: Path) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    put(root, bars(FIRST))
    outside.mkdir()
    place = root / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / "x" if place.suffix else outside)
    with pytest.raises(LakeError, match="a symbolic link leads out of"):
        IngestWorkflow(LakeConfig(output_directory=str(root))).execute()
    assert [*outside.iterdir()] == []


@pytest.mark.parametrize("link", ["spot", "spot/klines/interval=1h/symbol=BTCUSDT"])
def test_plain_parquet_is_not_written_through_one(link: str, tmp_path: Path) -> None:
    outside, files = tmp_path / "outside", tmp_path / "files"
    put(tmp_path, bars(FIRST))
    outside.mkdir()
    (files / link).parent.mkdir(parents=True)
    (files / link).symlink_to(outside)
    config = LakeConfig(output_directory=str(tmp_path), lake=str(files), format="parquet")
    with pytest.raises(LakeError, match="a symbolic link leads out of"):
        IngestWorkflow(config).execute()
    assert [*outside.iterdir()] == []


def test_a_lake_that_was_asked_for_may_lie_behind_a_link(tmp_path: Path) -> None:
    put(tmp_path, bars(FIRST))
    (tmp_path / "disk").mkdir()
    (tmp_path / "lake").symlink_to(tmp_path / "disk")
    config = LakeConfig(output_directory=str(tmp_path), lake=str(tmp_path / "lake"))
    assert IngestWorkflow(config).execute().report.rows == 24
    with Lake.open(tmp_path / "lake") as lake:
        assert lake.scan("spot.klines").polars().collect().height == 24
