"""Return the memory of large bodies to the system as soon as it is free.

The allocator of glibc begins to keep large blocks once it has seen some, in a heap for each thread.
With four large bodies under way that were 50 MB of 190 (benchmarks/large_bodies.py).
"""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD = -3

#: Parts and buffers are larger, or as large.
_LARGE_BYTES = 1 << 20


@cache
def return_large_blocks() -> bool:
    """Let the allocator map large blocks one by one, for the whole process.

    Returns:
        Whether the allocator has such a setting; only that of glibc has.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES) == 1
