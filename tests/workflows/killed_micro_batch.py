"""Run a micro-batch in a process that ends itself with SIGKILL at a chosen step.

python -m tests.workflows.killed_micro_batch ROOT STEP
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.tables.ingest.killed_ingest import PLACES, kill_at
from tests.workflows.test_micro_batches import batch

from crypto_lakehouse.tables.ingest import recordings, records
from crypto_lakehouse.tables.lake import maintenance, upkeep

#: Where a run may be ended: before and behind each of these.
PLACES_OF_BATCH = (
    *PLACES,
    (records, "commit_change"),
    (recordings, "write_records"),
    (maintenance, "commit_change"),
    (upkeep, "spare_snapshots"),
    (upkeep, "sweep_table"),
)


def main(root: Path, step: int) -> None:
    counted = kill_at(step, PLACES_OF_BATCH)
    result = asyncio.run(batch(root))
    sys.stdout.write(f"{counted()} {result.upkeep_fault}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
