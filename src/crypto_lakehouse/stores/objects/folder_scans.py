"""Scan folders by listings that walk beside the plan.

A request for each folder would be 32,000 requests for 2,000 symbols with 16 intervals; pages of a
listing have 1,000 keys, and a plan asks for the folders of a data type nearly in their order.

1. `scan` looks for the listing of the folder's data type, or begins one at the folder's symbol.
2. Pages are read until the folder's end. What they have of other folders is remembered.
3. The next folder is among these, or the listing goes on, or a new one begins elsewhere.
4. If an object has a key that the client refuses, the folders of its data type are asked for one by
   one, and only its own cannot be scanned.
5. A folder that is absent between two others is looked for among the names in the folder above, as
   some servers sort by folder, not by key: one request for all absent folders of a symbol. None is
   needed if the listing has ended and was in order.

A folder is remembered until it is asked for; a key that is written before that ends the listing.
So no answer is older than a change by this process. The lock of a run keeps others from writing; if
they share a ledger, a folder is asked for again where the ledger knows more (`collection.sharing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Lock

from attrs import define, field

from crypto_lakehouse.core.protocols import FolderScan, ignore
from crypto_lakehouse.stores.objects.errors import UnusableKey
from crypto_lakehouse.stores.objects.folder_listing import folder_of, folders_of, symbol_of, type_of
from crypto_lakehouse.stores.objects.folder_names import FolderNames, Names
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

__all__ = ["Below", "FolderScans", "Pages", "scan_of"]

Pages = Callable[[str, str], Iterator[list[ObjectInfo]]]
"""Yields the pages of a listing: below a prefix, after a key."""

Below = Callable[[str], tuple[list[str], bool]]
"""Returns the folders directly below a prefix, and whether there are objects, too."""

_ZIP = ".zip"

#: How many pages a listing is read on for a folder before a new one begins at that folder.
_MOST_PAGES = 2

#: A listing that has read so many keys of folders that were not asked for is left for a new one.
_MOST_REMEMBERED = 200_000

#: Follows an empty name, `.` and `..` in the order of keys, and precedes all letters and digits.
_AFTER_UNUSABLE = "0"

#: How many folders that `folders` has yielded may wait for their scan; usually it is one.
_MOST_AHEAD = 64


@define
class _Walk:
    """One listing of a prefix, as far as it was read.

    Attributes:
        pages: The pages that follow.
        start: Folders before this one are not known.
        stop: The last key that was read; None once the listing has ended.
        folders: What is known of the folders that were not asked for.
        asked: The folders that were asked for.
        in_order: Whether all keys so far were in the order of their UTF-8 bytes.
    """

    pages: Iterator[list[ObjectInfo]]
    start: str
    stop: str | None = ""
    folders: dict[str, list[ObjectInfo]] = field(factory=dict)
    asked: set[str] = field(factory=set)
    in_order: bool = True
    _remembered: int = 0

    def has_read(self, folder: str) -> bool:
        """Whether the listing was read beyond a folder."""
        if folder.encode() < self.start.encode():
            return False
        return self.stop is None or self.stop.encode() > _end_of(folder)

    def read_towards(self, folder: str, pages: int | None) -> bool:
        """Read on, at most so many pages; return whether the folder is known then."""
        while self.in_order and not self.has_read(folder) and pages != 0:
            self._read_page()
            pages = None if pages is None else pages - 1
        return self.in_order and self.has_read(folder) and self._remembered < _MOST_REMEMBERED

    def _read_page(self) -> None:
        page = next(self.pages, None)
        if page is None:
            self.stop = None
            return
        self._remembered += len(page)
        for info in page:
            if self.stop is not None and info.key.encode() < self.stop.encode():
                self.in_order = False
            self.stop = info.key
            self.folders.setdefault(folder_of(info.key), []).append(info)

    def take(self, folder: str) -> list[ObjectInfo] | None:
        """Return what is known of a folder, once; None if that is nothing, and it may be there."""
        found = self.folders.pop(folder, None)
        self._remembered -= len(found or ())
        self.asked.add(folder)
        return found or ([] if self.stop is None else None)


@define
class FolderScans:
    """Answers what is in a folder; thread-safe.

    Args:
        pages: Lists the objects of the store.
        names: Lists the names in one of its folders.
    """

    pages: Pages
    names: Names
    _named: FolderNames = field(init=False)
    _walks: dict[str, _Walk] = field(init=False, factory=dict)
    _alone_in: set[str] = field(init=False, factory=set)
    _ahead: dict[str, list[ObjectInfo]] = field(init=False, factory=dict)
    _lock: Lock = field(init=False, factory=Lock)

    def __attrs_post_init__(self) -> None:
        self._named = FolderNames(self.names)

    def scan(self, folder: str) -> list[ObjectInfo]:
        """Return the objects directly in a folder; its name ends with a slash."""
        with self._lock:
            if (ahead := self._ahead.pop(folder, None)) is not None:
                return ahead
            try:
                walk = self._walk_to(folder)
            except UnusableKey:  # it may be of another folder
                self._alone_in.add(type_of(folder))
                walk = None
            except BaseException:  # a listing that failed has not ended: a new one must begin
                self._walks.pop(type_of(folder), None)
                raise
            found = walk.take(folder) if walk is not None else None
            if found is None and walk is not None and self._named.lack(folder):
                return []
        return self._alone(folder) if found is None else found

    def folders(
        self, prefix: str, below: Below, on_unreadable: Callable[[str], None] = ignore
    ) -> Iterator[str]:
        """Yield the folders below a prefix, by one listing, which the scans of them use.

        If an object there has a key that the client refuses, the folders above it are listed one by
        one, and only the one that it is in cannot be read; it is yielded, too. Folders in that one
        are yielded if the store can list from their names on.

        Args:
            prefix: A prefix that ends with a slash.
            below: Returns what is directly in a folder.
            on_unreadable: Called with each folder that cannot be read, before it is yielded.

        Raises:
            StoreError: The listing is in no order, so that it does not say when a folder ends.
        """
        seen: set[str] = set()
        for folder, found in self._walk_down(prefix, below, on_unreadable):
            if folder in seen:
                continue
            seen.add(folder)
            with self._lock:
                if len(self._ahead) == _MOST_AHEAD:
                    self._ahead.clear()
                if found is not None:
                    self._ahead[folder] = found
            yield folder

    def _walk_down(
        self, prefix: str, below: Below, on_unreadable: Callable[[str], None]
    ) -> Iterator[tuple[str, list[ObjectInfo] | None]]:
        """Yield folders with their objects, if these are known; some folders twice."""
        try:
            yield from folders_of(self.pages(prefix, ""))
        except UnusableKey:
            pass
        else:
            return
        try:
            folders, has_objects = below(prefix)
        except UnusableKey:
            on_unreadable(prefix)
            yield prefix, None
            with suppress(UnusableKey):
                yield from folders_of(self.pages(prefix, f"{prefix}{_AFTER_UNUSABLE}"))
            return
        if has_objects:
            yield prefix, None
        for folder in folders:
            yield from self._walk_down(folder, below, on_unreadable)

    def forget(self, key: str) -> None:
        """Take note that a key is written or removed."""
        self._named.note(key)
        folder = folder_of(key)
        if folder in self._ahead:
            with self._lock:
                self._ahead.pop(folder, None)
        walk = self._walks.get(type_of(folder))
        if walk is not None and folder not in walk.asked:
            with self._lock:
                self._walks.pop(type_of(folder), None)

    def _walk_to(self, folder: str) -> _Walk | None:
        """Return a walk that has read a folder; None if the folder must be asked for itself."""
        prefix = type_of(folder)
        if prefix in self._alone_in:
            return None
        walk = self._walks.get(prefix)
        if walk is not None and (folder in walk.asked or not walk.in_order):
            return None
        if walk is None or not walk.read_towards(folder, _MOST_PAGES):
            start = symbol_of(folder, prefix)
            walk = self._walks[prefix] = _Walk(self.pages(prefix, start), start=start)
            if not walk.read_towards(folder, None):
                return None
        return walk

    def _alone(self, folder: str) -> list[ObjectInfo]:
        """Return the objects of a folder by a listing of its own."""
        found = []
        for page in self.pages(folder, ""):
            found += [info for info in page if "/" not in info.key[len(folder) :]]
        return found


def scan_of(found: list[ObjectInfo], folder: str) -> FolderScan:
    """Return the objects of a folder as the scan of a directory."""
    zips: dict[str, tuple[int, int]] = {}
    written: dict[str, int] = {}
    others: set[str] = set()
    for info in found:
        name = info.key[len(folder) :]
        if name.endswith(_ZIP):
            zips[name] = (info.size_bytes, info.mark)
            written[name] = info.written_ns
        else:
            others.add(name)
    return FolderScan(zips, others, written_ns=written)


def _end_of(folder: str) -> bytes:
    """Return a text that follows every key of a folder."""
    return folder.encode() + b"\xff"
