"""Reads ahead in threads: the next item of an iterator, and the zips of the archives to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

from attrs import define, field

from crypto_lakehouse.core.file_identity import OpenedVersion
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["ahead_of", "opened_ahead"]

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


#: How many bytes of zips may be in memory ahead of the one that is read.
_AHEAD_BYTES = 16 << 20

_Opening = tuple[ExitStack, OpenedVersion]


@contextmanager
def opened_ahead(
    sources: Iterable[Source],
) -> Iterator[Iterator[tuple[Source, Callable[[], AbstractContextManager[OpenedVersion]]]]]:
    """Iterate archives with what opens each; it is called before the next one is taken.

    If to open a zip costs a request, as in an object store, the next ones are requested in threads,
    so that the caller does not wait for each.

    Args:
        sources: Archives of one store.
    """
    pending = iter(sources)
    first = next(pending, None)
    if first is None or first.files.requests_ahead == 0:
        yield ((source, source.open) for source in _chain(first, pending))
        return
    with ThreadPoolExecutor(first.files.requests_ahead, "zips-ahead") as pool:
        ahead = _OpenedAhead(_chain(first, pending), pool, first.files.requests_ahead)
        try:
            yield iter(ahead)
        finally:
            ahead.close()


def _chain(first: Source | None, rest: Iterator[Source]) -> Iterator[Source]:
    if first is not None:
        yield first
        yield from rest


@define(eq=False)
class _OpenedAhead:
    """Archives whose zips are requested ahead of the one that is read."""

    sources: Iterator[Source]
    pool: ThreadPoolExecutor
    most: int
    _waiting: deque[tuple[Source, Future[_Opening]]] = field(init=False, factory=deque)

    def __iter__(
        self,
    ) -> Iterator[tuple[Source, Callable[[], AbstractContextManager[OpenedVersion]]]]:
        self._request()
        while self._waiting:
            source, opening = self._waiting[0]

            @contextmanager
            def opened(opening: Future[_Opening] = opening) -> Iterator[OpenedVersion]:
                stack, version = opening.result()
                with stack:
                    yield version

            yield source, opened
            self._waiting.popleft()
            self._request()

    def _request(self) -> None:
        """Request the next zips, as many as may be waiting; at least one."""
        held = sum(source.size_bytes for source, _ in self._waiting)
        while len(self._waiting) < self.most and (not self._waiting or held < _AHEAD_BYTES):
            source = next(self.sources, None)
            if source is None:
                return
            self._waiting.append((source, self.pool.submit(_open, source)))
            held += source.size_bytes

    def close(self) -> None:
        """Close what was requested and not read."""
        for _, opening in self._waiting:
            if not opening.cancel() and opening.exception() is None:
                opening.result()[0].close()


def _open(source: Source) -> _Opening:
    with ExitStack() as stack:
        version = stack.enter_context(source.open())
        return stack.pop_all(), version
