"""What runs with the same state folder know about a lease: who held it, and since when it rests.

It shortens a wait, and is never needed: a run that was killed on this machine needs no watching, as
its local lock is free, and a wait that was given up counts for the next run, too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from crypto_lakehouse.stores.state_note import forget, recall, remember

__all__ = ["LeaseMemory"]

#: So many runs that were killed one after the other are remembered.
_MOST_HOLDERS = 20


@define
class LeaseMemory:
    """Remembers in a note in the state folder; without one, only for as long as it exists.

    Args:
        path: The note.
        lock: The local lock of the output, which the caller must hold.
    """

    path: Path | None = None
    lock: Path | None = None
    _facts: dict[str, Any] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.path is not None:
            found = recall(self.path)
            if (epoch := self._epoch()) is not None and found.get("epoch") == epoch:
                self._facts = found

    def dead_holders(self) -> list[str]:
        """Return runs that were killed with the local lock, and perhaps with the lease."""
        holders = self._facts.get("holders")
        found = holders if isinstance(holders, list) else []
        return [holder for holder in found if isinstance(holder, str) and holder]

    def watched_since(self, etag: str, now: float) -> float | None:
        """Return the moment since which a version was seen; None if it was not.

        A moment that `now`, a time of the same clock, has not reached cannot be one.
        """
        since = self._facts.get("since")
        if self._facts.get("etag") != etag or not isinstance(since, int | float):
            return None
        return float(since) if since is not True and 0 <= since <= now else None

    def watch(self, etag: str, now: float) -> None:
        """Remember that a version of another run's lease was seen."""
        self._store({"etag": etag, "since": now})

    def hold(self, holder: str) -> None:
        """Remember that this run, which holds the local lock, is about to take the lease."""
        others = [each for each in self.dead_holders() if each != holder]
        self._store({"holders": [*others, holder][-_MOST_HOLDERS:]})

    def forget(self) -> None:
        """Forget everything, as the lease is released."""
        self._facts = {}
        if self.path is not None:
            forget(self.path)

    def _store(self, facts: dict[str, Any]) -> None:
        self._facts = facts
        if self.path is not None and (epoch := self._epoch()) is not None:
            remember(self.path, {**facts, "epoch": epoch})

    def _epoch(self) -> list[Any] | None:
        """Identify the machine since it was started, and the file of the local lock.

        Only within these do the clock and the lock of an earlier run mean anything: the state
        folder may have been copied. None if the operating system does not say it.
        """
        if self.lock is None:
            return None
        with suppress(OSError, ValueError):
            stat = self.lock.stat()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            clocks = os.readlink("/proc/self/ns/time")  # noqa: PTH115 - it names no file
            return [boot, clocks, stat.st_dev, stat.st_ino]
        return None
