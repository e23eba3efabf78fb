"""A directory as a store: `<root>/<object key>`, complete files only.

A file is complete or absent: bytes are written to `NAME.part` beside the final name and renamed.
A small body is written without a thread hop, which would cost more than the write
(ARCHITECTURE.md#thread-hops).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from uuid import uuid4

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.core.kept import KEPT_FOLDER, KeptVersion, Quarantined
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import PART_SUFFIX, FolderScan, Watch, ignore
from crypto_lakehouse.stores.confined import files_below, has_link, leads_out
from crypto_lakehouse.stores.disk import Disk, file_stat, mark_of
from crypto_lakehouse.stores.keys import checked_key
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.stores.os_errors import as_store_errors
from crypto_lakehouse.stores.parts import ONE_FILE, LocalPart, hash_file, no_link
from crypto_lakehouse.stores.quarantine import note_bytes, quarantined_in, remove_quarantined
from crypto_lakehouse.stores.replaced import kept_as, kept_in, remove_version
from crypto_lakehouse.stores.tree import key_folders
from crypto_lakehouse.stores.user_path import absolute_path

__all__ = ["LocalStore"]

#: Where this package's own files are written before they are renamed.
_UNFINISHED = "unfinished"

_ZIP = ".zip"

_REPLACED = "replaced"

_QUARANTINE = "quarantine"

#: The folder of the archives.
_DATA = "data"

_DATA_LINK = (
    "it is a symbolic link that leads out of the output directory, and nothing is written where it "
    "leads; make the output directory itself the link, or mount the other disk there"
)

_OWN_LINK = "it is a symbolic link; nothing is changed where it leads: remove it"


@define
class LocalStore:
    """Files below one directory; nothing outside it is ever written.

    Args:
        root: The output directory; it is created if it is absent.
        disk: Makes the system calls that change the disk.
    """

    root: Path = field(converter=absolute_path)
    disk: Disk = field(factory=Disk, repr=False)
    _root_text: str = field(init=False)
    _made: set[str] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self._root_text = str(self.root)

    def path(self, key: str) -> str:
        """Return the path of a key.

        Raises:
            StoreError: The key would leave the store.
        """
        return f"{self._root_text}/{checked_key(key)}"

    @property
    def files(self) -> StoredFiles:
        """The files as threads read them."""
        return LocalFiles(self.root)

    def own_path(self, *parts: str) -> Path:
        """Return a path in the folder of this package's own files."""
        return self.root.joinpath(OWN_FOLDER, *parts)

    async def scan(self, folder: str) -> Mapping[str, FileStat]:
        """Return name and stat of every regular file in a key prefix, by one directory scan."""
        return await to_thread.run_sync(self._scan, self.path(folder.rstrip("/")))

    def _scan(self, path: str) -> dict[str, FileStat]:
        found: dict[str, FileStat] = {}
        with (
            as_store_errors(path, reads=True),
            suppress(FileNotFoundError),
            os.scandir(path) as entries,
        ):
            for entry in entries:
                with suppress(FileNotFoundError):  # removed meanwhile
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = file_stat(entry.stat(follow_symlinks=False))
        return found

    def scan_now(self, folder: str) -> FolderScan:
        """List a directory once, and stat the archives in it; blocking.

        By the descriptor of the directory, if the system supports that: then each name is looked
        up in one directory instead of along the whole path.
        """
        path = self.path(folder.rstrip("/"))
        if os.stat not in os.supports_dir_fd or os.listdir not in os.supports_fd:
            found = self._scan(path)
            zips = {
                name: (stat.size_bytes, stat.mark)
                for name, stat in found.items()
                if name.endswith(_ZIP)
            }
            return FolderScan(zips, found.keys() - zips.keys(), marks_are_times=True)
        with as_store_errors(path, reads=True):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                return FolderScan({}, frozenset(), marks_are_times=True)
            try:
                return _scan_descriptor(descriptor)
            finally:
                os.close(descriptor)

    def folders(self, on_unreadable: Callable[[str], None] = ignore) -> Iterator[str]:
        """Yield the folders below `data/`, in the order of their text; blocking."""
        return key_folders(self.root, on_unreadable)

    def segments(
        self, on_unreadable: Callable[[str, str], None], origin: Origin = Origin.FILL
    ) -> Iterator[tuple[str, FileStat]]:
        """Yield key and stat of every segment of an origin; blocking."""
        for folder in key_folders(self.root, top=origin.folder):
            try:
                found = self._scan(self.path(folder.rstrip("/")))
            except StoreError as error:
                if error.stops_run:
                    raise
                on_unreadable(folder, f"it cannot be read: {error.reason}")
                continue
            for name in sorted(found):
                if name.endswith(origin.suffix):
                    yield folder + name, found[name]

    def live_parts(self) -> Iterator[str]:
        """Yield the key of each segment of a recording that has a part; blocking.

        Raises:
            StoreError: A folder cannot be read.
        """
        suffix = Origin.LIVE.suffix + PART_SUFFIX
        for folder in key_folders(self.root, top=Origin.LIVE.folder):
            for name in sorted(self._scan(self.path(folder.rstrip("/")))):
                if name.endswith(suffix):
                    yield folder + name.removesuffix(PART_SUFFIX)

    def cut_part(self, key: str, size_bytes: int) -> None:
        """Cut what follows the first bytes off a part; blocking."""
        path = self.path(key)
        with as_store_errors(path):
            self._make_folder(path)
            self.disk.cut(path + PART_SUFFIX, size_bytes)

    async def sha256(self, key: str) -> str | None:
        """Return the digest of a stored file, hashed in a thread; None if there is no file."""
        return await to_thread.run_sync(hash_file, self.path(key))

    async def read(self, key: str, limit: int) -> bytes | None:
        """Return the first bytes of a small stored file; None if there is no file."""
        path = self.path(key)
        with as_store_errors(path, ONE_FILE, reads=True):
            try:
                with open(path, "rb", opener=no_link) as file:  # noqa: ASYNC230 - small
                    return file.read(limit)
            except FileNotFoundError:
                return None

    def reader(self, key: str) -> BinaryIO:
        """Open a stored file for reading."""
        path = self.path(key)
        with as_store_errors(path, reads=True):
            return open(path, "rb")  # noqa: PTH123

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        """Write a small body and rename it to its final name."""
        path = self.path(key)
        with as_store_errors(path):
            self._make_folder(path)
            return self.disk.write(path, data, path + PART_SUFFIX, sync=sync)

    async def open_part(
        self, key: str, *, resume: bool, watch: Watch | None = None, doubtful: bool = False
    ) -> LocalPart:
        """Begin `NAME.part`, or hash what an earlier try left of it and go on."""
        path = self.path(key)
        with as_store_errors(path):
            self._make_folder(path)
        part = LocalPart(self.disk, path, partial(self._set_aside, key), watch)
        await to_thread.run_sync(part.resume if resume else part.begin)
        return part

    async def quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        """Write a body and a note to `.lakehouse/quarantine/<key>`."""
        path = self.quarantine_path(key)
        self._make_folder_for(path)
        self._write_own(path, data)
        self._write_note(path, note)

    def _set_aside(self, key: str, path: str, note: Mapping[str, object]) -> None:
        """Move a file to quarantine, with a note."""
        target = self.quarantine_path(key)
        self._make_folder_for(target)
        with as_store_errors(target):
            self.disk.rename(path, target)
            self._write_note(target, note)

    async def keep_replaced(self, key: str, sha256: str) -> str:
        """Link a stored file to `.lakehouse/replaced/<key>/<UTC moment>-<sha256>.zip`.

        A link takes no space, and there is always a file at the final name. If the file system
        has no links, the bytes are copied. They survive a power loss once this returns.

        Returns:
            The path below the root. If the file has other bytes now, because a worker that ended
            has replaced it, the path of an earlier copy; empty if there is none.
        """
        if await self.sha256(key) != sha256:
            return self._kept_before(key, sha256)
        kept = kept_as(key, sha256)
        targets = []
        for suffix in ("", SIDECAR_SUFFIX):
            source, target = self.path(key + suffix), self.path(kept + suffix)
            with as_store_errors(target):
                self._make_folder(target)
                await self._link_or_copy(source, target)
            targets.append(target)
        with as_store_errors(targets[0]):
            await to_thread.run_sync(self.disk.sync, self._root_text, targets)
        return kept

    def _kept_before(self, key: str, sha256: str) -> str:
        folder = f"{KEPT_FOLDER}{key}"
        found = self._scan(self.path(folder))
        names = sorted(name for name in found if name.endswith(f"-{sha256}{_ZIP}"))
        return f"{folder}/{names[-1]}" if names else ""

    async def _link_or_copy(self, source: str, target: str) -> None:
        """Give a file's bytes a second name, unless the file is absent or the name exists."""
        if not os.path.lexists(source):  # noqa: ASYNC240 - as fast as the rename that follows
            return
        try:
            self.disk.link(source, target)
        except FileExistsError:
            return
        except OSError:
            part = self._own_part()
            try:
                await to_thread.run_sync(self.disk.copy, source, part)
            except OSError:
                self.disk.unlink(part)
                raise
            self.disk.rename(part, target)

    def make_durable(self, keys: Collection[str]) -> None:
        """Sync archives and their sidecars, so that they survive a power loss; blocking.

        Raises:
            StoreError: They cannot be synced.
        """
        paths = [self.path(key + suffix) for key in keys for suffix in ("", SIDECAR_SUFFIX)]
        with as_store_errors(self._root_text):
            self.disk.sync(self._root_text, paths)

    async def remove(self, key: str) -> None:
        """Remove a stored file, if there is one."""
        path = self.path(key)
        with as_store_errors(path):
            self.disk.remove(self._root_text, path, follow=True)

    def remove_now(self, key: str) -> None:
        """As `remove`; blocking."""
        path = self.path(key)
        with as_store_errors(path, ONE_FILE):
            self.disk.remove(self._root_text, path, follow=True)

    def kept_versions(self) -> Iterator[KeptVersion]:
        """Yield every replaced version that is kept; blocking."""
        return kept_in(self.root, self.own_path(_REPLACED))

    def remove_kept(self, place: str) -> int | None:
        """Remove a kept version and its sidecar; return its size, None if it is gone; blocking."""
        return remove_version(self.root, self.path(place), self.own_path(_REPLACED))

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield everything in quarantine, in the order of keys; blocking."""
        return quarantined_in(self.root, self.own_path("quarantine"))

    def release(self, key: str) -> None:
        """Remove an archive's bytes and note from quarantine; blocking."""
        remove_quarantined(self.root, self.quarantine_path(key))

    def prepare(self) -> None:
        """Remove unfinished own files of a killed run; blocking, and before any other work.

        Raises:
            StoreError: The folder of archives leads out of the output directory, a link is in the
                place of a folder of this package, or a file cannot be removed.
        """
        if leads_out(self._root_text, self.path(_DATA)):
            raise StoreError(self.path(_DATA), _DATA_LINK)
        for name in (_UNFINISHED, _REPLACED, _QUARANTINE):
            folder = self.path(f"{OWN_FOLDER}/{name}")
            if Path(folder).is_symlink():
                raise StoreError(folder, _OWN_LINK)
        folder = self.path(f"{OWN_FOLDER}/{_UNFINISHED}")
        with as_store_errors(folder):
            for entry in files_below(self._root_text, folder):
                self.disk.remove(self._root_text, entry.path, follow=False)

    def quarantine_path(self, key: str) -> str:
        """Return the path of a quarantined body; the key is checked."""
        return self.path(f"{OWN_FOLDER}/{_QUARANTINE}/{key}")

    def _write_note(self, path: str, note: Mapping[str, object]) -> None:
        """Write the note of quarantined bytes beside them."""
        self._write_own(path + ".json", note_bytes(note))

    def _write_own(self, path: str, data: bytes) -> None:
        with as_store_errors(path):
            self.disk.write(path, data, self._own_part())

    def _own_part(self) -> str:
        """Return a new path for an own file that is unfinished; all of them are in one folder."""
        path = self.path(f"{OWN_FOLDER}/{_UNFINISHED}/{uuid4().hex}")
        self._make_folder(path)
        return path

    def _make_folder_for(self, path: str) -> None:
        """Create the folder of an own file."""
        with as_store_errors(path):
            self._make_folder(path)

    def _make_folder(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        if folder in self._made:
            return
        if leads_out(self._root_text, folder):
            raise StoreError(folder, "a symbolic link leads out of the output directory; remove it")
        if folder.startswith(f"{self._root_text}/{OWN_FOLDER}/") and has_link(
            self._root_text, folder
        ):
            raise StoreError(folder, "a symbolic link is on its path; remove it")
        self.disk.make_folders(folder)
        self._made.add(folder)


def _scan_descriptor(descriptor: int) -> FolderScan:
    zips: dict[str, tuple[int, int]] = {}
    others: set[str] = set()
    lookup = os.stat
    for name in os.listdir(descriptor):
        if not name.endswith(_ZIP):
            others.add(name)
            continue
        try:
            stat = lookup(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:  # removed meanwhile
            continue
        if S_ISREG(stat.st_mode):
            zips[name] = (stat.st_size, mark_of(stat))
    return FolderScan(zips, others, marks_are_times=True)
