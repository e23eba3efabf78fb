"""What is freed is not given back to the system while an agent works."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from crypto_lakehouse.executors.dask.memory import keeping_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        bodies = [bytearray(100_000) for _ in range(4)]
        del bodies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = [faults()]
with keeping_freed_memory():
    found.append(faults())
found.append(faults())
print(*found)
"""


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)
@pytest.mark.parametrize(("threshold", "is_kept"), [("65536", False), ("99999999", True)])
def test_freed_memory_is_kept_as_long_as_an_agent_works(threshold: str, is_kept: bool) -> None:
    settings = {**os.environ, "MALLOC_TRIM_THRESHOLD_": threshold}
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    outside, inside, later = map(int, done.stdout.split())
    assert inside < 2000
    assert (outside < 2000, later < 2000) == (is_kept, is_kept)
