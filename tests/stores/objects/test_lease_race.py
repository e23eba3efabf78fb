"""Processes that take one lease at the same moment: one of them gets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from tests.services.bucket import Bucket

RACERS = 8

#: Says that it is ready, waits for the start, and says what became of it.
PROGRAM = """
import json, sys
from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.stores.objects.lease import Lease
from crypto_lakehouse.stores.objects.opening import open_objects

url, storage = json.loads(sys.argv[1])
lease = Lease(open_objects(StoreUrl.parse(url), storage).client)
print("ready", flush=True)
sys.stdin.readline()
try:
    lease.take()
except LockHeldError:
    print("refused", flush=True)
else:
    print("held", flush=True)
"""


@pytest.mark.parametrize("is_first", [True, False], ids=["no lease", "released lease"])
def test_one_of_many_processes_takes_it(
    ministack_bucket: Bucket, is_first: bool, uncovered_children: None
) -> None:
    from crypto_lakehouse.stores.objects.lease import Lease

    url = ministack_bucket.fresh_prefix()
    if not is_first:
        lease = Lease(ministack_bucket.open(url).client)
        lease.take()
        lease.release()
    given = json.dumps([url, dict(ministack_bucket.storage)])
    with ExitStack() as opened:
        racers = [
            opened.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, given],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **ministack_bucket.environment},
                    text=True,
                )
            )
            for _ in range(RACERS)
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        said = sorted(racer.communicate(timeout=60)[0] for racer in racers)
    assert said == ["held\n", *["refused\n"] * (RACERS - 1)]
