"""Read a source's listing of one folder of archives, as far as a window of days requires."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from datetime import date, timedelta
from functools import lru_cache

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import (
    SIDECAR_SUFFIX,
    Partition,
    Period,
    Series,
    check_symbol,
)
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.listed import ListedArchive, ListedObject
from crypto_lakehouse.core.protocols import Listing
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.planning.periods import Window

__all__ = [
    "SILENT_DAYS",
    "ListedFolder",
    "folder_names",
    "is_silent",
    "list_folder",
    "symbol_names",
    "type_folder",
]

#: No live feed has been late by more days (docs/archive.md#publication-times); a series that has
#: published nothing for longer counts as ended.
SILENT_DAYS = 35

#: The most days between two archives of a live series, besides the lag: a month has to end first.
_QUIET_DAYS = {Partition.DAILY: 0, Partition.MONTHLY: 31}

#: The most entries in a page of S3 (docs/archive.md#page-size).
PAGE_KEYS = 1000

_ZIP = ".zip"

#: Sorts behind everything that can follow a period in a file name.
_BEHIND = "~"


def is_silent(last_day: date, partition: Partition, today: date) -> bool:
    """Whether a series has ended, because nothing followed an archive that ends on `last_day`."""
    return last_day < today - timedelta(days=SILENT_DAYS + _QUIET_DAYS[partition])


@frozen(kw_only=True)
class ListedFolder:
    """What a source lists of one series in one partition.

    Attributes:
        archives: By period; those in the window, and some after it.
        first, last: The first and last period that the source has at all; None if the listing did
            not reach that end because the window did not require it.
        ended_before: Whether the source has archives, but all of them so long before the window
            that the series has ended.
        strays: Keys that are not archives of the series, or have only a sidecar.
    """

    archives: Mapping[Period, ListedArchive]
    first: Period | None = None
    last: Period | None = None
    ended_before: bool = False
    strays: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The total size of the listed zips."""
        return sum(archive.size_bytes for archive in self.archives.values())


def type_folder(row: MatrixRow, partition: Partition) -> str:
    """Return the prefix below which a row's symbols have their folders."""
    return f"data/{row.market.path}/{partition}/{row.data_type}/"


async def folder_names(listing: Listing, prefix: str) -> list[str]:
    """List the names of the folders directly below a prefix.

    Raises:
        ListingError: The prefix could not be listed.
    """
    return [folder[len(prefix) : -1] for folder in await listing.folders(prefix)]


async def symbol_names(listing: Listing, prefix: str) -> list[str]:
    """List the folders below a prefix whose names may be symbols.

    Raises:
        ListingError: The prefix could not be listed.
    """
    return [name for name in await folder_names(listing, prefix) if _is_symbol(name)]


def _is_symbol(name: str) -> bool:
    try:
        check_symbol(name)
    except ArchiveKeyError:
        return False
    return True


async def list_folder(
    listing: Listing, series: Series, partition: Partition, window: Window | None
) -> ListedFolder:
    """List a folder, or the part of it that covers a window of days.

    Folders are flat and their names are in the order of time, so that a marker is a cursor
    (docs/archive.md#marker-as-cursor). Names with unpadded months are the exception: they are
    reported as strays if they are listed.

    Args:
        listing: The source's listing.
        series: The series.
        partition: The partition of the series.
        window: The days to list, None for all.

    Raises:
        ListingError: The folder could not be listed; an empty folder is not an error.
    """
    if window is None:
        return await _list_all(listing, series, partition)
    folder = series.folder(partition)
    stem = folder + series.stem
    reader = _FolderReader(stem, partition)
    is_whole = await _read_window(listing, folder, reader, window)
    archives, strays = reader.result()
    earliest = min(archives, default=None)
    first, last = None, max(archives, default=None) if is_whole else None
    if earliest is None or earliest.first_day > window.start:
        first = await _first_of(listing, folder, stem, partition)
    is_gone = is_whole and not archives and first is not None
    if is_gone:
        last = await _last_before(listing, folder, stem, partition, window)
    return ListedFolder(
        archives=archives,
        first=first,
        last=last,
        ended_before=is_gone and last is None,
        strays=strays,
    )


async def _list_all(listing: Listing, series: Series, partition: Partition) -> ListedFolder:
    folder = series.folder(partition)
    reader = _FolderReader(folder + series.stem, partition)
    await _read(listing, folder, reader)
    archives, strays = reader.result()
    first, last = min(archives, default=None), max(archives, default=None)
    return ListedFolder(archives=archives, first=first, last=last, strays=strays)


async def _read_window(
    listing: Listing, folder: str, reader: _FolderReader, window: Window
) -> bool:
    """Read the pages that cover a window; return whether the folder's end was reached."""
    partition = reader.partition
    return await _read(
        listing,
        folder,
        reader,
        after=reader.stem + _text(window.start, partition),
        end=reader.stem + _text(window.end, partition) + _BEHIND,
        page_keys=_page_keys(window, partition),
    )


async def _read(
    listing: Listing,
    folder: str,
    reader: _FolderReader,
    *,
    after: str = "",
    end: str = "",
    page_keys: int = PAGE_KEYS,
) -> bool:
    """Read a folder's pages up to a key; return whether the folder's end was reached."""
    async with aclosing(listing.pages(folder, after=after, page_keys=page_keys)) as pages:
        async for page in pages:
            for item in page.objects:
                reader.take(item)
            if end and page.has_more and page.objects and page.objects[-1].key > end:
                return False
    return True


async def _first_of(
    listing: Listing, folder: str, stem: str, partition: Partition
) -> Period | None:
    """The first period that a folder has at all: usually one request of two keys."""
    reader = _FolderReader(stem, partition)
    async with aclosing(listing.pages(folder, page_keys=2)) as pages:
        async for page in pages:
            for item in page.objects:
                reader.take(item)
            if reader.zips:
                return min(reader.zips)
    return None


async def _last_before(
    listing: Listing, folder: str, stem: str, partition: Partition, window: Window
) -> Period | None:
    """The last period before a window that has none; None if the series has ended.

    If the window began long ago, the series has ended; else the days before the window are listed.
    """
    days = SILENT_DAYS + _QUIET_DAYS[partition]
    since = window.today - timedelta(days=days)
    if window.start <= since:
        return None
    reader = _FolderReader(stem, partition)
    await _read_window(listing, folder, reader, Window(since, window.end, window.today))
    return max(reader.zips, default=None)


def _text(day: object, partition: Partition) -> str:
    """The period that holds a day, as keys spell it."""
    text = str(day)
    return text if partition is Partition.DAILY else text[:7]


def _page_keys(window: Window, partition: Partition) -> int:
    """How many entries hold the window, each archive with its sidecar, and what follows it."""
    days = (window.end - window.start).days + 1
    periods = days if partition is Partition.DAILY else days // 28 + 2
    return min(PAGE_KEYS, 2 * periods + 2)


@define
class _FolderReader:
    """Sorts objects into archives, their sidecars, and strays."""

    stem: str
    partition: Partition
    zips: dict[Period, ListedObject] = field(init=False, factory=dict)
    sidecars: dict[Period, ListedObject] = field(init=False, factory=dict)
    strays: list[str] = field(init=False, factory=list)

    def take(self, item: ListedObject) -> None:
        """Sort in one object."""
        key = item.key
        name = key.removesuffix(SIDECAR_SUFFIX)
        period = None
        if name.startswith(self.stem) and name.endswith(_ZIP):
            period = _period(name[len(self.stem) : -len(_ZIP)], self.partition)
        if period is None:
            self.strays.append(key)
        elif name is key or len(name) == len(key):
            self.zips[period] = item
        else:
            self.sidecars[period] = item

    def result(self) -> tuple[dict[Period, ListedArchive], tuple[str, ...]]:
        """The archives, and the keys that are not archives."""
        lonely = [
            f"{self.stem}{period.text}{_ZIP}{SIDECAR_SUFFIX}"
            for period in self.sidecars
            if period not in self.zips
        ]
        archives = {
            period: _archive(item, self.sidecars.get(period)) for period, item in self.zips.items()
        }
        return archives, (*self.strays, *lonely)


def _archive(item: ListedObject, sidecar: ListedObject | None) -> ListedArchive:
    return ListedArchive(
        size_bytes=item.size_bytes,
        etag=item.etag,
        last_modified=item.last_modified,
        sidecar_etag=sidecar.etag if sidecar else None,
        sidecar_bytes=sidecar.size_bytes if sidecar else 0,
    )


@lru_cache(maxsize=65_536)
def _period(text: str, partition: Partition) -> Period | None:
    """Parse a period of a file name; None if it is not valid or not padded."""
    try:
        period = Period.parse(text)
    except ArchiveKeyError:
        return None
    return period if period.partition is partition and period.padded else None
