"""Where the folders of tests are: in memory, for the short tests.

The product waits for the disk after each file that it writes, which took up to half of the time of
these tests. No outcome depends on it: what a disk holds after a loss of power is tested by the
calls that were made. The long tests write to the disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["keep_in_memory"]

#: A file system in memory, as Linux has it.
_MEMORY = Path("/dev/shm")

#: How much must be free there, in bytes: a few times of what the short tests take at once.
_ROOM = 2 * 1024**3


def keep_in_memory(config: pytest.Config) -> None:
    """Let pytest make the folders of the short tests in memory, if there is room for them."""
    if config.option.markexpr == "not slow" and not config.option.basetemp and _has_room():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def _has_room() -> bool:
    return (
        _MEMORY.is_dir()
        and os.access(_MEMORY, os.W_OK | os.X_OK)
        and shutil.disk_usage(_MEMORY).free >= _ROOM
    )
