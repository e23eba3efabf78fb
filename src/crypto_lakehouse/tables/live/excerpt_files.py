"""The files of an output as threads read them, in which the excerpts of recordings are files, too.

An excerpt is no file of a store: its segment is split when the first of its excerpts is read.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive, Origin
from crypto_lakehouse.core.errors import ArchiveKeyError, SegmentError
from crypto_lakehouse.core.file_identity import FileIdentity, OpenedVersion, StoredFiles
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.tables.live.excerpts import Split, split_segment

__all__ = ["ExcerptFiles", "SplitSegment"]

#: Excerpts of segments beyond this size are removed, the earliest first; they are split again if
#: they are needed again.
MOST_BYTES = 16 << 30

_SIDECAR_BYTES = 4096


@frozen(eq=False)
class SplitSegment:
    """A segment that was split.

    Attributes:
        split: What it holds.
        sha256: Its digest, as its sidecar names it.
        identity: Of the version that was split.
        folder: Where its excerpts are.
        size_bytes: The size of its excerpts.
    """

    split: Split
    sha256: str
    identity: FileIdentity
    folder: Path
    size_bytes: int


@frozen
class _Opened:
    file: BinaryIO
    version: FileIdentity

    def identity(self) -> FileIdentity | None:
        return self.version


@define(eq=False)
class ExcerptFiles:
    """The files of an output, and the excerpts of its segments of recordings; threads may share it.

    An excerpt has the identity and the digest of its segment.

    Attributes:
        files: The files of the output.
        make_folder: Makes the folder for excerpts, once there is one; the caller removes it at the
            end.
        most_bytes: How many bytes of excerpts are kept for segments that were split before.
    """

    files: StoredFiles
    make_folder: Callable[[], Path]
    most_bytes: int = MOST_BYTES
    _split: OrderedDict[str, SplitSegment] = field(init=False, factory=OrderedDict)
    _digests: dict[str, tuple[str, FileIdentity | None] | None] = field(init=False, factory=dict)
    _folder: Path | None = field(init=False, default=None)
    _count: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    @property
    def requests_ahead(self) -> int:
        """As that of the output."""
        return self.files.requests_ahead

    def place(self, key: str) -> str:
        """The path or the URL of a key; that of an excerpt is its segment's."""
        return self.files.place(_stored_key(key))

    def identity(self, key: str, listed: FileStat | None = None) -> FileIdentity | None:
        """The identity of a file; that of an excerpt is its segment's."""
        return self.files.identity(_stored_key(key), listed)

    def open(
        self, key: str, expected: FileIdentity | None = None
    ) -> AbstractContextManager[OpenedVersion]:
        """Open a file; for an excerpt, its segment is split if that was not done.

        Raises:
            SegmentError: The segment is damaged.
            OSError, StoreError: As of the files of the output; also if the segment does not have
                the excerpt.
        """
        archive = _excerpt(key)
        return self.files.open(key, expected) if archive is None else self._opened(archive)

    def digest(self, key: str, check: Callable[[], None]) -> tuple[str, FileIdentity | None] | None:
        """The digest of a file, and the identity of the version that has it, as of the output.

        That of a segment is found once for all of its excerpts.
        """
        stored = _stored_key(key)
        if stored == key:
            return self.files.digest(key, check)
        with self._lock:
            if stored not in self._digests:
                self._digests[stored] = self.files.digest(stored, check)
            return self._digests[stored]

    def read(self, key: str, limit: int) -> bytes | None:
        """The first bytes of a file of the output."""
        return self.files.read(key, limit)

    def split(self, segment: str) -> SplitSegment:
        """Split a segment, unless its excerpts are there; blocking.

        Args:
            segment: Its key.

        Raises:
            SegmentError: It is damaged, or is not the one that its sidecar names.
            OSError, StoreError: It cannot be read, or an excerpt cannot be written.
        """
        with self._lock:
            return self._split_once(segment)

    def forget(self, segment: str) -> None:
        """Remove the excerpts of a segment, if they are there."""
        with self._lock:
            found = self._split.pop(segment, None)
            if found is not None:
                shutil.rmtree(found.folder)

    @contextmanager
    def _opened(self, archive: Archive) -> Iterator[_Opened]:
        with self._lock:
            found = self._split_once(archive.segment_key)
            paths = {each.archive: each.path for each in found.split.excerpts}
            path = paths.get(archive)
            if path is None:
                raise FileNotFoundError(f"`{archive.segment_key}` has no rows of `{archive.key}`")
            # Open files survive their removal.
            file = path.open("rb")
        with file:
            yield _Opened(file, found.identity)

    def _split_once(self, segment: str) -> SplitSegment:
        found = self._split.get(segment)
        if found is None:
            found = self._split[segment] = self._made(segment)
            self._make_room()
        return found

    def _made(self, segment: str) -> SplitSegment:
        sidecar = self.files.read(segment + SIDECAR_SUFFIX, _SIDECAR_BYTES)
        if sidecar is None:
            raise SegmentError(segment, "it has no sidecar")
        self._count += 1
        self._folder = self._folder or self.make_folder()
        folder = self._folder / str(self._count)
        folder.mkdir()
        try:
            with self.files.open(segment) as opened:
                identity = opened.identity()
                split = split_segment(opened.file, segment, sidecar, folder)
                if identity is None or opened.identity() != identity:
                    raise SegmentError(segment, "it changed while it was read")
        except BaseException:
            shutil.rmtree(folder)
            raise
        size = sum(each.path.stat().st_size for each in split.excerpts)
        digest = sidecar.split(b" ", 1)[0].decode()
        return SplitSegment(split, digest, identity, folder, size)

    def _make_room(self) -> None:
        while len(self._split) > 1 and self._bytes() > self.most_bytes:
            _, oldest = self._split.popitem(last=False)
            shutil.rmtree(oldest.folder)

    def _bytes(self) -> int:
        return sum(each.size_bytes for each in self._split.values())


def _excerpt(key: str) -> Archive | None:
    """The excerpt that a key names; None if it names a file of the output."""
    if not key.startswith(f"{Origin.LIVE.folder}/"):
        return None
    try:
        return Archive.parse(key)
    except ArchiveKeyError:
        return None


def _stored_key(key: str) -> str:
    archive = _excerpt(key)
    return key if archive is None else archive.segment_key
