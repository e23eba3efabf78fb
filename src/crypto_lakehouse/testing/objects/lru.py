"""A cache that evicts the least recently used values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Lru"]

V = TypeVar("V")


class Lru(Generic[V]):
    """Values by key, up to a total weight; may be used from several threads.

    Args:
        limit: The greatest total weight. A value heavier than that is not kept at all.
        weigh: A value's weight.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int]) -> None:
        self._limit = limit
        self._weigh = weigh
        self._values: OrderedDict[str, V] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        """The value of a key; None if it is not cached."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: V) -> None:
        """Keep a value, and evict old ones to make room."""
        with self._lock:
            if key in self._values:
                self._total -= self._weigh(self._values.pop(key))
            self._values[key] = value
            self._total += self._weigh(value)
            while self._total > self._limit:
                _, oldest = self._values.popitem(last=False)
                self._total -= self._weigh(oldest)
