"""`kill -9` of `lake relocate` at a request to the store: the next one completes.

As in `test_kills`, the proxy in front of the store kills the client: before the server has a
request that changes something, or after it has done it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, Request, behind_faults
from tests.tables.at_url.relocated import (
    LATER,
    contents,
    ingest_at,
    make_at,
    naming,
    versions_at,
)
from tests.tables.lake import conftest
from tests.tables.sample_data import bars, put

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import NoLakeError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.lake.copied_lake import relocate_lake
from crypto_lakehouse.tables.lake.maintenance import sweep

ROOT = Path(__file__).parents[3]


def run(
    proxy: FaultProxy, arguments: list[str], fault_at: int = 0, *, is_done: bool = False
) -> int:
    """Relocate; return how many requests change something."""
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

    proxy.clear()
    proxy.fault = fault
    command = [sys.executable, "-m", "tests.tables.at_url.killed_relocation", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        pids.put(process.pid)
        _, err = process.communicate(timeout=200)
    proxy.clear()
    assert process.returncode == (-signal.SIGKILL if fault_at else 0), err.decode()
    return count


def restore(client: ObjectClient, objects: dict[str, bytes]) -> None:
    client.delete(*({each.key for each in client.objects("")} - objects.keys()))
    for key, data in objects.items():
        client.put(key, data)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["of a directory", "of a URL"])
def test_a_relocation_killed_at_any_request_is_completed(
    ministack_bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uncovered_children: None,
    kind: str,
) -> None:
    ministack_bucket.give_credentials(monkeypatch)

    def at(url: str, machine: str, storage: Any) -> LakePlace:
        return LakePlace.at_url(StoreUrl.parse(url), storage, None, str(tmp_path / machine))

    storage = dict(ministack_bucket.storage)
    made = LakePlace(tmp_path / "lake")
    if kind == "of a URL":
        made = at(ministack_bucket.fresh_prefix(), "first", storage)
    make_at(made, tmp_path)
    expected = versions_at(made)
    copied = conftest.contents(made.folder) if made.client is None else contents(made.client)
    url = ministack_bucket.fresh_prefix()
    with behind_faults(ministack_bucket) as (proxy, bucket):
        given = [url, json.dumps(dict(bucket.storage))]
        place = at(url, "here", storage)
        assert place.client is not None
        restore(place.client, copied)
        requests = run(proxy, [*given, str(tmp_path / "whole")])
        assert requests > 20
        apart = int(os.environ.get("KILLED_STEPS_APART", max(1, requests // 3)))
        # The last requests are those that make the tables known, and remove what is not needed.
        steps = sorted({*range(1, requests + 1, apart), *range(requests - 2, requests + 1)})
        for number in steps:
            for is_done in (False, True) if apart == 1 else (bool(number % 2),):
                restore(place.client, copied)
                machine = f"{number}-{is_done}"
                run(proxy, [*given, str(tmp_path / machine)], number, is_done=is_done)
                check(at(url, f"new-{machine}" if number % 3 else machine, storage), expected)
                sweep_all(place)
                left = contents(place.client)
                assert "catalog.db" not in left
                assert not [each for each in naming(left, made.root) if "warehouse/" in each]
    ingest_at(place, [put(tmp_path, bars(LATER))])


def check(place: LakePlace, expected: dict[str, list[tuple[Any, ...]]]) -> None:
    """A lake is read whole or not at all, and relocated by the next command."""
    try:
        found = versions_at(place)
    except NoLakeError:
        assert place.has_copied_tables()
    else:
        assert all(expected[name] == rows for name, rows in found.items())
        assert found.keys() == expected.keys() or place.has_copied_tables()
    relocate_lake(place)
    assert versions_at(place) == expected


def sweep_all(place: LakePlace) -> None:
    catalog = LakeCatalog(place)
    for name in catalog.names():
        sweep(catalog, name, before=datetime.now(UTC) + timedelta(days=1))
    catalog.close()
