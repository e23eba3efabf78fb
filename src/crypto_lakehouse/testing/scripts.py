"""The faults that wait for their requests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase

from attrs import define

from crypto_lakehouse.testing.faults import Fault

__all__ = ["Scripts"]


@define
class _Script:
    pattern: str
    faults: deque[Fault]
    endless: bool


class Scripts:
    """Scripted faults by key or glob; may be used from several threads."""

    def __init__(self) -> None:
        self._scripts: list[_Script] = []
        self._lock = threading.Lock()

    def add(self, pattern: str, faults: Iterable[Fault], *, endless: bool = False) -> None:
        """Script faults for the next requests that match; endless ones begin anew at the end."""
        with self._lock:
            self._scripts.append(_Script(pattern, deque(faults), endless))

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._scripts.clear()

    def take(self, name: str) -> Fault:
        """Take the next fault for a request: of the first script that matches and is not over."""
        with self._lock:
            for script in self._scripts:
                if script.faults and fnmatchcase(name, script.pattern):
                    fault = script.faults.popleft()
                    if script.endless:
                        script.faults.append(fault)
                    return fault
        return Fault()
