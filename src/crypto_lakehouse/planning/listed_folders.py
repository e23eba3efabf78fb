"""Read what a source lists of one folder of archives, as far as a window of days needs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from datetime import date, timedelta
from functools import lru_cache

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Partition, Period, Series
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.listed import ListedArchive, ListedObject
from crypto_lakehouse.core.protocols import Listing
from crypto_lakehouse.planning.periods import Window

__all__ = ["SILENT_DAYS", "ListedFolder", "is_silent", "list_folder"]

#: A live feed has never been late by more (docs/archive.md#publication-times); after as long a
#: silence a series is taken for ended.
SILENT_DAYS = 35

#: For how many days a live series has no new archive to be late with: a month has to end first.
_QUIET_DAYS = {Partition.DAILY: 0, Partition.MONTHLY: 31}

#: The most entries that a page of S3 has (docs/archive.md#page-size).
PAGE_KEYS = 1000

_ZIP = ".zip"

#: Sorts behind everything that can follow a period in a file name.
_BEHIND = "~"


def is_silent(last_day: date, partition: Partition, today: date) -> bool:
    """Whether a series whose last archive ends on a day has ended, as nothing followed since."""
    return last_day < today - timedelta(days=SILENT_DAYS + _QUIET_DAYS[partition])


@frozen(kw_only=True)
class ListedFolder:
    """What a source lists of one series in one partition.

    Attributes:
        archives: By period; those in the window, and some behind it.
        first, last: The first and the last period that the source has at all; None where the
            listing did not reach that end, as the window did not need it.
        ended_before: Whether the source has archives, and all of them so long before the window
            that the series has ended.
        strays: Keys that are no archives of the series, or have a sidecar only.
    """

    archives: Mapping[Period, ListedArchive]
    first: Period | None = None
    last: Period | None = None
    ended_before: bool = False
    strays: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Of the listed zips together."""
        return sum(archive.size_bytes for archive in self.archives.values())


async def list_folder(
    listing: Listing, series: Series, partition: Partition, window: Window | None
) -> ListedFolder:
    """List a folder, or the part of it that a window of days is in.

    Folders are flat and their names in the order of time, so that a marker is a cursor
    (docs/archive.md#marker-as-cursor). The exception are the stray names with unpadded months,
    which are told where they are met.

    Args:
        listing: The source's.
        series: The series, and
        partition: which of its folders.
        window: The days wanted, None for all.

    Raises:
        ListingError: It could not be listed; that is not an empty listing.
    """
    folder = series.folder(partition)
    stem = folder + series.stem
    reader = _Reader(stem, partition)
    if window is None:
        await _read(listing, folder, reader)
        archives, strays = reader.result()
        ends = (min(archives, default=None), max(archives, default=None))
        return ListedFolder(archives=archives, first=ends[0], last=ends[1], strays=strays)
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


async def _read_window(listing: Listing, folder: str, reader: _Reader, window: Window) -> bool:
    """Read the pages that a window is in; whether the folder's end was reached."""
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
    reader: _Reader,
    *,
    after: str = "",
    end: str = "",
    page_keys: int = PAGE_KEYS,
) -> bool:
    """Read a folder's pages up to a key; whether its end was reached."""
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
    """The first period that a folder has at all: one request of two keys, where all is well."""
    reader = _Reader(stem, partition)
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
    """The last period before a window that nothing is in; None where the series has ended.

    A window that begins long ago shows that by itself; else the days before it tell.
    """
    days = SILENT_DAYS + _QUIET_DAYS[partition]
    since = window.today - timedelta(days=days)
    if window.start <= since:
        return None
    reader = _Reader(stem, partition)
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
class _Reader:
    """Sorts objects into archives, their sidecars, and strays."""

    stem: str
    partition: Partition
    zips: dict[Period, ListedObject] = field(init=False, factory=dict)
    sidecars: dict[Period, str | None] = field(init=False, factory=dict)
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
            self.sidecars[period] = item.etag

    def result(self) -> tuple[dict[Period, ListedArchive], tuple[str, ...]]:
        """The archives, and what is none."""
        lonely = [
            f"{self.stem}{period.text}{_ZIP}{SIDECAR_SUFFIX}"
            for period in self.sidecars
            if period not in self.zips
        ]
        archives = {
            period: ListedArchive(
                size_bytes=item.size_bytes,
                etag=item.etag,
                last_modified=item.last_modified,
                sidecar_etag=self.sidecars.get(period),
            )
            for period, item in self.zips.items()
        }
        return archives, (*self.strays, *lonely)


@lru_cache(maxsize=65_536)
def _period(text: str, partition: Partition) -> Period | None:
    """Read a period as it is spelled in names; None for one that cannot be or lacks padding."""
    try:
        period = Period.parse(text)
    except ArchiveKeyError:
        return None
    return period if period.partition is partition and period.padded else None
