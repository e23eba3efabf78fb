"""Reads the next item of an iterator in a thread while the caller works on the current one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["ahead_of"]

_Item = TypeVar("_Item")

_END: Any = object()


@contextmanager
def ahead_of(items: Iterator[_Item], *, ahead: bool) -> Iterator[Iterator[_Item]]:
    """Iterate one item ahead; an exception of `items` is raised at its place in the iteration.

    Args:
        items: The iterator; the caller must not use it elsewhere.
        ahead: Whether to read ahead; if false, `items` is returned unchanged.
    """
    if not ahead:
        yield items
        return
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        yield _one_ahead(items, pool)


def _one_ahead(items: Iterator[_Item], pool: ThreadPoolExecutor) -> Iterator[_Item]:
    coming = pool.submit(next, items, _END)
    while (item := coming.result()) is not _END:
        coming = pool.submit(next, items, _END)
        yield item
