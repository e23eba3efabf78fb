"""Which runs on a Dask cluster are never at work at the same time."""

from __future__ import annotations

import socket
from pathlib import Path

__all__ = ["runs_with_lock"]


def runs_with_lock(url: str, folder: Path) -> str:
    """Return what the runs on a URL have in common that lock one local folder; blocking.

    A run ends what the agents of an earlier one with the same name still do. Other runs with this
    URL may be at work: those of other machines, or on a store with another endpoint.

    Args:
        url: The output or the lake.
        folder: The local folder, which this run has locked.
    """
    return f"{url} {socket.gethostname()} {folder} {folder.stat().st_ino}"
