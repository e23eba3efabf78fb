"""`kill -9` of an ingestion at a request to the store: the next run completes, each row is once.

The proxy in front of the store kills the client at a request: before the server has it, or after
the server has done it. The next run has the local folder of the killed one, or a new one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from queue import Queue

import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, Request, behind_faults
from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.ingest.killed_ingest import sources_of
from tests.tables.sample_data import bars, changed_text, days, month_of, put

from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import sweep

ROOT = Path(__file__).parents[3]
FIRST = date(2023, 12, 28)
LATER = datetime.now(UTC) + timedelta(days=1)


class Scene:
    """A tree, and a lake at a URL that has a part of it."""

    def __init__(self, proxy: FaultProxy, bucket: Bucket, url: str, folder: Path) -> None:
        self.proxy, self.bucket, self.url, self.tree = proxy, bucket, url, folder / "tree"
        self.lake = LakeAtUrl.in_bucket(bucket, folder, url)
        for day in days(FIRST, 4):
            put(self.tree, bars(day))
            put(self.tree, bars(day, "ETHUSDT"))
        self.lake.ingest(sources_of(self.tree), "first")
        self.saved = {
            each.key: self.lake.client.read(each.key) or b""
            for each in self.lake.client.objects("")
        }
        changed = bars(FIRST, "ETHUSDT")
        put(self.tree, changed, changed_text(changed))
        put(self.tree, month_of(bars(FIRST)))
        put(self.tree, bars(date(2024, 1, 3)))

    def put_back(self) -> None:
        there = {each.key for each in self.lake.client.objects("")}
        self.lake.client.delete(*(there - self.saved.keys()))
        for key, data in self.saved.items():
            self.lake.client.put(key, data)

    def run(self, machine: str, fault_at: int = 0, *, is_done: bool = False) -> int:
        """Run an ingestion; return how many requests of it change something."""
        pids: Queue[int] = Queue()
        count = 0

        def fault(request: Request, forward: Forward) -> Answer | None:
            nonlocal count
            if request.kind in {"put", "delete", "part", "complete"}:
                count += 1
                if count == fault_at:
                    if is_done:
                        forward()
                    os.kill(pids.get(), signal.SIGKILL)
                    return None
            return forward()

        self.proxy.clear()
        self.proxy.fault = fault
        command = [sys.executable, "-m", "tests.tables.at_url.killed_ingest"]
        given = [self.url, json.dumps(dict(self.bucket.storage))]
        place = [str(self.lake.folder / machine), str(self.tree)]
        with subprocess.Popen([*command, *given, *place], cwd=ROOT, stderr=subprocess.PIPE) as run:
            pids.put(run.pid)
            _, err = run.communicate(timeout=200)
        self.proxy.clear()
        assert run.returncode == (-signal.SIGKILL if fault_at else 0), err.decode()
        return count

    def check(self, machine: str) -> None:
        """Ingest again, and check that all rows are there once, and recorded."""
        place = LakeAtUrl(self.lake.client, self.lake.folder / machine)
        place.ingest(sources_of(self.tree))
        with Lake(place.catalog(create=False)) as lake:
            columns = ["symbol", "open_time", "volume", "archive"]
            found = lake.scan("spot.klines", columns=columns).polars().collect()
            assert found.height == (31 + 1 + 4) * 24
            assert found.select("symbol", "open_time").n_unique() == found.height
            changed = found.filter(found["archive"] == bars(FIRST, "ETHUSDT").key)
            assert set(changed["volume"]) == {7.0}
            query = "SELECT archive, rows FROM lakehouse.archives WHERE state = 'ingested'"
            counts = dict(found["archive"].value_counts().iter_rows())
            assert dict(lake.sql(query).fetchall()) == counts
            for name in lake.tables:
                sweep(lake.catalog, name, before=LATER)
        assert place.orphans() == set()
        assert not [*(place.folder / "here" / "journal").glob("*")]


@pytest.fixture
def scene(
    ministack_bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uncovered_children: None,
) -> Iterator[Scene]:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        yield Scene(proxy, bucket, ministack_bucket.fresh_prefix(), tmp_path)


@pytest.mark.timeout(600)
def test_an_ingestion_killed_at_any_request_is_completed(scene: Scene) -> None:
    requests = scene.run("whole")
    scene.check("whole")
    assert requests > 10
    apart = int(os.environ.get("KILLED_STEPS_APART", max(1, requests // 7)))
    for number in range(1, requests + 1, apart):
        for is_done in (False, True) if apart == 1 else (bool(number % 2),):
            scene.put_back()
            machine = f"killed-{number}-{is_done}"
            scene.run(machine, number, is_done=is_done)
            is_new = number // apart % 2
            scene.check(f"new-{machine}" if is_new else machine)
