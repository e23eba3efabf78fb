"""How often a process of ours looks for garbage."""

from __future__ import annotations

import gc

__all__ = ["rare_collections"]

#: New containers between two looks; Python's own is 700.
_NEW_CONTAINERS = 100_000


def rare_collections() -> None:
    """Let the collector look for cycles seldom; only for processes that are ours alone.

    An archive makes some hundred objects and no cycle: with Python's threshold the collector
    takes about 6 % of the processor time of small archives (workload S of the benchmarks) and
    finds nothing. An application that embeds the engine keeps its own setting.
    """
    gc.set_threshold(_NEW_CONTAINERS, *gc.get_threshold()[1:])
