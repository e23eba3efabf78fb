"""How often the garbage collector runs in this package's own processes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collecting_rarely", "rare_collections"]

#: New container objects between two collections; Python's default is 700.
_NEW_CONTAINERS = 100_000


def rare_collections() -> None:
    """Run the garbage collector rarely; only for processes of this package.

    An archive makes some hundred objects and no cycle: with Python's default the collector
    takes about 6 % of the processor time of small archives (workload S of the benchmarks) and
    finds nothing. An application that embeds the engine keeps its own setting.
    """
    gc.set_threshold(_NEW_CONTAINERS, *gc.get_threshold()[1:])


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Run the garbage collector rarely for a while, in a process that works for this package."""
    before = gc.get_threshold()
    rare_collections()
    try:
        yield
    finally:
        gc.set_threshold(*before)
