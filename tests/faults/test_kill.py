"""`kill -9` at every stage of a run: the next one completes, and nothing was lost or is untrue."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.kills import KEYS, LARGE, STAGES, KilledRuns

from crypto_lakehouse.testing import ArchiveServer


@pytest.mark.timeout(900)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_may_be_killed_at_every_stage(tmp_path: Path, processes: int) -> None:
    rng = random.Random(processes)
    with ArchiveServer(generate=False) as server:
        runs = KilledRuns(tmp_path / "out", server, processes, rng)
        for stage in STAGES:
            for is_after in (False, True):
                # Each run has something to do: what is published anew is fetched and replaced.
                for key in rng.sample(KEYS, 4):
                    runs.publish(key)
                nth = rng.randrange(1, 4)
                if not runs.run_to_stage(stage, nth, is_after=is_after):
                    # The run ended before: how often it comes to some stages, such as the ledger's
                    # transactions, depends on the machine. Every run comes there once.
                    for key in (*LARGE, *rng.sample(KEYS, 4)):
                        runs.publish(key)
                    assert runs.run_to_stage(stage, 1, is_after=is_after), stage
        runs.finish()
        runs.finish()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_may_be_killed_at_any_request(tmp_path: Path, processes: int) -> None:
    rng = random.Random(10 + processes)
    with ArchiveServer(generate=False) as server:
        runs = KilledRuns(tmp_path / "out", server, processes, rng)
        for _ in range(6):
            runs.publish(rng.choice(KEYS))
            runs.run_to_request(rng.randrange(1, 40))
        runs.finish()
