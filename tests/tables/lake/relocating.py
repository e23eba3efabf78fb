"""Relocate a lake in a process that ends itself with SIGKILL at a chosen step.

python -m tests.tables.lake.relocating LAKE STEP
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.tables.ingest.killed_ingest import kill_at

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.local_io import DISK
from crypto_lakehouse.tables.lake.lake_files import DirectoryFiles
from crypto_lakehouse.tables.lake.relocation import Relocated, relocate

#: Where it may be ended: before and behind each of these.
PLACES = (
    (DirectoryFiles, "create"),
    (DISK, "sync"),
    (LakeCatalog, "set_locations"),
    (DirectoryFiles, "delete"),
)


def relocate_all(root: Path, *, dry_run: bool = False) -> list[Relocated]:
    """Relocate all tables of a lake; those that were elsewhere."""
    catalog = LakeCatalog(root)
    try:
        return relocate(catalog, catalog.names(), dry_run=dry_run)
    finally:
        catalog.close()


if __name__ == "__main__":
    counted = kill_at(int(sys.argv[2]), PLACES)
    relocate_all(Path(sys.argv[1]))
    sys.stdout.write(f"{counted()}\n")
