"""Ingest a tree in a process that ends itself with SIGKILL at a chosen step.

    python -m tests.tables.ingest.killed_ingest ROOT STEP [files|workflow]

STEP is a number: the process is killed at that call, counted over all places below. With `files`
the tree becomes plain Parquet. With `workflow` the whole workflow runs, which mends files that are
gone or cut.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tables.sample_data import ingest

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.stores import whole_file
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.files import partition_writer, row_groups
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest import (
    ingestion,
    journal,
    mending,
    parquet_folder,
    plain_parquet,
    publish,
)
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.reading.batch import Source

#: Where a run may be ended: before and behind each of these.
PLACES = (
    (journal.Journal, "__init__"),
    (journal.Journal, "announce"),
    (partition_writer.PartitionWriter, "write"),
    (partition_writer.PartitionWriter, "close"),
    (publish, "plan_removal"),
    (journal.Journal, "intend"),
    (ingestion, "record_differences"),
    (publish, "commit_change"),
    (ingestion, "record"),
    (journal.Journal, "forget"),
)


#: The same of plain Parquet.
PLACES_OF_FILES = (
    (whole_file.PartFile, "commit"),
    (row_groups.RowGroups, "finish"),
    (plain_parquet, "part_file"),
    (plain_parquet, "delete_below"),
    (parquet_folder, "delete_below"),
)


#: The same of a workflow that mends.
PLACES_OF_MENDING = (
    *PLACES,
    (mending, "live_files"),
    (mending, "rows_by_archive"),
    (mending, "plan_ingestion"),
)

PLACES_OF = {"files": PLACES_OF_FILES, "workflow": PLACES_OF_MENDING}


def kill_at(step: int, places: tuple[tuple[Any, str], ...]) -> Callable[[], int]:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            tick()
            result = function(*args, **named)
            tick()
            return result

        return call

    for owner, name in places:
        setattr(owner, name, wrapped(getattr(owner, name)))
    return lambda: count


def main(root: Path, step: int, form: str) -> None:
    counted = kill_at(step, PLACES_OF.get(form, PLACES))
    # Each process imports what it needs alone: they are many, and each lives for a second.
    if form == "files":
        from tests.tables.ingest.lake_contents import ParquetFiles

        ParquetFiles(root / "files").ingest(sources_of(root))
    elif form == "workflow":
        from tests.workflows.lakes import ingested

        asyncio.run(ingested(root))
    else:
        ingest_tree(root, lambda: None)
    sys.stdout.write(f"{counted()}\n")


def ingest_tree(root: Path, check: Callable[[], None]) -> None:
    """What a run does: put in order what others left, then ingest all there is."""
    catalog = LakeCatalog(root / "lake", create=True)
    recover(catalog)
    ingest(catalog, sources_of(root), IngestSettings(layout=FileLayout(row_group_rows=30)), check)
    catalog.close()


def sources_of(root: Path) -> list[Source]:
    """All archives of a tree."""
    zips = sorted((root / "data").rglob("*.zip"))
    return [
        Source(Archive.parse(path.relative_to(root).as_posix()), LocalFiles(root), _digest(path))
        for path in zips
    ]


def _digest(path: Path) -> str:
    return path.with_name(f"{path.name}.CHECKSUM").read_text().split()[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[3:]))
