"""The faults that are scripted for future requests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase

from attrs import define

from crypto_lakehouse.testing.faults.kinds import Fault

__all__ = ["FaultScripts"]

_GLOB = frozenset("*?[")


@define
class _Script:
    number: int
    pattern: str
    faults: deque[Fault]
    endless: bool


class FaultScripts:
    """Scripted faults by key or glob; may be used from several threads.

    Those for one key are found at once, as there may be thousands.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, list[_Script]] = {}
        self._globs: list[_Script] = []
        self._count = 0
        self._lock = threading.Lock()

    def add(self, pattern: str, faults: Iterable[Fault], *, endless: bool = False) -> None:
        """Script faults for the next requests that match; endless ones start over at the end."""
        with self._lock:
            self._count += 1
            script = _Script(self._count, pattern, deque(faults), endless)
            if _GLOB & set(pattern):
                self._globs.append(script)
            else:
                self._by_key.setdefault(pattern, []).append(script)

    def clear(self) -> None:
        """Remove all of them."""
        with self._lock:
            self._by_key.clear()
            self._globs.clear()

    def take(self, name: str) -> Fault:
        """Take the next fault for a request, from the first unfinished script that matches."""
        with self._lock:
            found = [script for script in self._by_key.get(name, ()) if script.faults]
            found += [
                script
                for script in self._globs
                if script.faults and fnmatchcase(name, script.pattern)
            ]
            if not found:
                return Fault()
            script = min(found, key=lambda script: script.number)
            fault = script.faults.popleft()
            if script.endless:
                script.faults.append(fault)
            return fault
