"""Read from a source's listing which symbols and intervals each row of a matrix has.

Only folders are listed, never files: one or two requests for each data type, and one for each
symbol of klines in each partition. The listing includes delisted symbols, so the result has no
survivorship bias; the exchange's own list of symbols has (docs/archive.md#delisted-symbols).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition, check_symbol
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.errors import ArchiveKeyError, NoListing
from crypto_lakehouse.core.messages import shown, some_of
from crypto_lakehouse.core.protocols import Listing, ignore
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.matrix.model import Matrix, MatrixRow

__all__ = ["CrawlProgress", "CrawledMatrix", "crawl"]

_ROOT = "data/"

#: How many names a note lists; the rest are counted.
_NAMED = 3

_MARKETS = {f"{_ROOT}{market.path}/": market for market in Market}

_Item = TypeVar("_Item")


@frozen(kw_only=True)
class CrawlProgress:
    """The progress of a crawl.

    Attributes:
        listed: How many prefixes have been listed.
        expected: How many prefixes there are to list, as far as is known.
        prefix: The prefix that was listed last.
    """

    listed: int
    expected: int
    prefix: str


@frozen(kw_only=True)
class CrawledMatrix:
    """The result of a crawl.

    Attributes:
        matrix: The base matrix with the symbols and intervals that the source has.
        notes: Differences from the base that are not in any row, a sentence each.
        listed: How many prefixes were listed.
    """

    matrix: Matrix
    notes: tuple[str, ...]
    listed: int


async def crawl(
    listing: Listing,
    matrix: Matrix,
    *,
    today: date,
    workers: int,
    on_progress: Callable[[CrawlProgress], None] = ignore,
) -> CrawledMatrix:
    """List the folders of every row, and make the matrix that they show.

    A row gets the symbols and intervals that are listed; its other facts stay. If nothing of a row
    or partition is listed any more, its facts are kept, and a note says so. Markets, partitions
    and types that the base lacks are named in the notes and do not become rows.

    Args:
        listing: The source's listing.
        matrix: The base.
        today: The date of the new matrix.
        workers: How many prefixes are listed at once.
        on_progress: Called after each prefix.

    Raises:
        ListingError: A prefix could not be listed, or the source lists nothing at all. No partial
            matrix is returned.
    """
    crawler = _Crawler(listing, workers, on_progress)
    top = await _list_top(crawler, matrix)
    folders = await _list_types(crawler, matrix, top)
    seen = {(folder.row.name, folder.partition): folder for folder in folders}
    notes = [
        *top.notes,
        *_changed_states(matrix, seen),
        *(note for folder in folders for note in folder.notes()),
    ]
    rows = tuple(_refreshed(row, seen) for row in matrix.rows)
    return CrawledMatrix(
        matrix=evolve(matrix, rows=rows, observed=today, corrections=()),
        notes=tuple(notes),
        listed=crawler.listed,
    )


@define
class _Crawler:
    """Lists prefixes, several at once."""

    listing: Listing
    workers: int
    on_progress: Callable[[CrawlProgress], None]
    listed: int = field(init=False, default=0)
    expected: int = field(init=False, default=0)

    async def names(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix."""
        self.expected = max(self.expected, self.listed + 1)
        folders = await self.listing.folders(prefix)
        self.listed += 1
        progress = CrawlProgress(listed=self.listed, expected=self.expected, prefix=prefix)
        self.on_progress(progress)
        return [folder.removeprefix(prefix).removesuffix("/") for folder in folders]

    async def each(self, items: Iterable[_Item], act: Callable[[_Item], Awaitable[None]]) -> None:
        """Call `act` for each item, with a bounded number of items in memory."""

        async def work(received: MemoryObjectReceiveStream[_Item]) -> None:
            async with received:
                async for item in received:
                    await act(item)

        send, receive = anyio.create_memory_object_stream[_Item](0)
        with one_error():
            async with anyio.create_task_group() as tasks, send, receive:
                for _ in range(self.workers):
                    tasks.start_soon(work, receive.clone())
                receive.close()
                for item in items:
                    await send.send(item)
                send.close()


@define
class _Top:
    """The folders above those of symbols.

    Attributes:
        found: Data types of the base that have a folder.
        notes: Folders that the base lacks, a sentence each.
    """

    found: set[tuple[Market, Partition, DataType]] = field(factory=set)
    notes: list[str] = field(factory=list)


async def _list_top(crawler: _Crawler, matrix: Matrix) -> _Top:
    """List the folders down to those of data types, one request after another."""
    top = _Top()
    pending = [_ROOT]
    while pending:
        prefix = pending.pop(0)
        names = await crawler.names(prefix)
        if prefix == _ROOT and not names:
            raise NoListing(_ROOT, "the source lists no folders at all")
        for name in names:
            path = f"{prefix}{name}/"
            if _MARKETS.get(path) in matrix.markets():
                await _list_market(crawler, matrix, path, top)
            elif path not in _MARKETS and any(market.startswith(path) for market in _MARKETS):
                pending.append(path)
            else:
                top.notes.append(_unknown(path, "a market"))
    return top


async def _list_market(crawler: _Crawler, matrix: Matrix, prefix: str, top: _Top) -> None:
    market = _MARKETS[prefix]
    for partition in await crawler.names(prefix):
        path = f"{prefix}{partition}/"
        if partition not in list(Partition):
            top.notes.append(_unknown(path, "a partition"))
            continue
        for data_type in await crawler.names(path):
            is_known = data_type in PUBLISHED_TYPES
            row = matrix.row(market, DataType(data_type)) if is_known else None
            if row is not None and Partition(partition) in row.partitions:
                top.found.add((market, Partition(partition), row.data_type))
            else:
                kind = "a data type" if row is None else f"a partition of {row.name}"
                top.notes.append(_unknown(f"{path}{data_type}/", kind))


def _unknown(path: str, kind: str) -> str:
    return f"the source has `{shown(path)}`, {kind} that the matrix does not have"


async def _list_types(crawler: _Crawler, matrix: Matrix, top: _Top) -> list[_TypeFolder]:
    """List the symbols and intervals in every data type's folder."""
    folders = [
        _TypeFolder(row, partition)
        for row in matrix.rows
        for partition in row.partitions
        if (row.market, partition, row.data_type) in top.found
    ]
    crawler.expected += len(folders)
    await crawler.each(folders, lambda folder: _list_symbols(crawler, folder))
    below = [folder for folder in folders if folder.row.data_type.has_interval]
    crawler.expected += sum(len(folder.symbols) for folder in below)
    pairs = ((folder, symbol) for folder in below for symbol in folder.symbols)
    await crawler.each(pairs, lambda pair: _list_intervals(crawler, *pair))
    return folders


@define
class _TypeFolder:
    """What is listed of one row in one partition.

    Attributes:
        symbols: Folders that may belong to a symbol.
        intervals: The intervals of any symbol.
        no_symbols: Names of folders that cannot belong to a symbol.
        no_intervals: Paths of folders whose names are not intervals, by name.
    """

    row: MatrixRow
    partition: Partition
    symbols: list[str] = field(init=False, factory=list)
    intervals: set[str] = field(init=False, factory=set)
    no_symbols: list[str] = field(init=False, factory=list)
    no_intervals: dict[str, list[str]] = field(init=False, factory=dict)

    @property
    def prefix(self) -> str:
        """The folder's key prefix."""
        return _prefix(self.row, self.partition)

    def notes(self) -> Iterator[str]:
        """What is listed but left out of the matrix, or is in the matrix but looks wrong."""
        name = f"{self.row.name} {self.partition}"
        odd = [
            symbol
            for symbol in self.symbols
            if re.fullmatch(self.row.symbol_pattern, symbol) is None
        ]
        if self.row.state == "removed":
            yield f"{name}: the matrix calls it removed, but the source lists it"
        if self.no_symbols:
            yield f"{name}: left out, as these are not symbols: {some_of(self.no_symbols, _NAMED)}"
        if odd:
            listed = some_of(odd, _NAMED)
            yield f"{name}: symbols that do not fit the row's symbol_pattern: {listed}"
        for interval, paths in sorted(self.no_intervals.items()):
            listed = some_of(sorted(paths), _NAMED)
            yield f"{name}: left out, as `{shown(interval)}` is not an interval: {listed}"


def _prefix(row: MatrixRow, partition: Partition) -> str:
    return f"{_ROOT}{row.market.path}/{partition}/{row.data_type}/"


async def _list_symbols(crawler: _Crawler, folder: _TypeFolder) -> None:
    for name in await crawler.names(folder.prefix):
        try:
            check_symbol(name)
        except ArchiveKeyError:
            folder.no_symbols.append(name)
        else:
            folder.symbols.append(name)


async def _list_intervals(crawler: _Crawler, folder: _TypeFolder, symbol: str) -> None:
    prefix = f"{folder.prefix}{symbol}/"
    for name in await crawler.names(prefix):
        if name in INTERVALS:
            folder.intervals.add(name)
        else:
            folder.no_intervals.setdefault(name, []).append(f"{prefix}{name}/")


_Seen = Mapping[tuple[str, Partition], _TypeFolder]


def _changed_states(matrix: Matrix, seen: _Seen) -> Iterator[str]:
    """Partitions that are no longer listed, although the matrix does not call them removed."""
    for row in matrix.rows:
        for partition in row.partitions:
            if (row.name, partition) not in seen and row.state != "removed":
                path = _prefix(row, partition)
                yield f"{row.name} {partition}: the source has no folder `{path}` any more"


def _refreshed(row: MatrixRow, seen: _Seen) -> MatrixRow:
    """The row with what is listed of it."""
    listed = {
        partition: seen[row.name, partition]
        for partition in row.partitions
        if (row.name, partition) in seen
    }
    notes = _marked(row, listed)
    if not listed:
        return evolve(row, notes=notes)
    symbols = {partition: set(folder.symbols) for partition, folder in listed.items()}
    return evolve(
        row,
        partitions={
            partition: evolve(facts, intervals=_intervals(listed.get(partition), facts.intervals))
            for partition, facts in row.partitions.items()
        },
        symbols=tuple(sorted(set().union(*symbols.values()))),
        partition_symbols=_in_one_only(symbols) if len(row.partitions) > 1 else {},
        notes=notes,
    )


def _marked(row: MatrixRow, listed: Mapping[Partition, object]) -> tuple[str, ...]:
    """The row's notes; they say which partitions are gone, and no longer where one is back."""
    if row.state == "removed":
        return row.notes
    marks = {partition: f"no {partition} folder is listed any more" for partition in row.partitions}
    others = tuple(note for note in row.notes if note not in marks.values())
    return others + tuple(mark for partition, mark in marks.items() if partition not in listed)


def _intervals(folder: _TypeFolder | None, known: tuple[str, ...]) -> tuple[str, ...]:
    found = folder.intervals if folder is not None else set()
    return tuple(interval for interval in INTERVALS if interval in found) or known


def _in_one_only(
    symbols: Mapping[Partition, set[str]],
) -> dict[Partition, tuple[str, ...]]:
    """Symbols that one partition has and no other."""
    alone = {
        partition: names.difference(
            *(rest for other, rest in symbols.items() if other != partition)
        )
        for partition, names in symbols.items()
    }
    return {partition: tuple(sorted(names)) for partition, names in alone.items() if names}
