"""An object of the archive as the server holds it."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import ClassVar, Protocol

from attrs import field, frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.core.errors import ArchiveKeyError

__all__ = [
    "ZIP_TYPE",
    "BytesContent",
    "Content",
    "Entry",
    "FileContent",
    "StoredObject",
    "published_at",
    "quoted",
]

ZIP_TYPE = "application/zip"

#: The time of day of a publication, UTC; one that was observed (docs/archive.md#last-modified and
#: docs/archive.md#publication-times).
_PUBLISHED_AT = time(8, 6, 34, tzinfo=UTC)

#: The date of objects whose keys name no period.
_UNDATED = datetime(2026, 1, 1, 8, 6, 34, tzinfo=UTC)


class Content(Protocol):
    """The bytes of an object, wherever they are."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `read` returns at once, without a disk or much computing."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes from `start` up to but not including `stop`; may block."""
        ...


@frozen
class BytesContent:
    """Content in memory."""

    body: bytes = field(repr=False)

    ready: ClassVar[bool] = True

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.body)

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes from `start` up to but not including `stop`."""
        return self.body[start:stop]


@frozen
class FileContent:
    """Content in a file, of the size that it had when it was looked up."""

    path: Path
    size: int

    ready: ClassVar[bool] = False

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes from `start` up to but not including `stop`; blocks on the disk."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def md5(self) -> str:
        """Hash the whole file; blocks on the disk."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest()


@frozen
class Entry:
    """The listing entry of an object."""

    size: int
    etag: str
    last_modified: datetime


@frozen
class StoredObject:
    """One object: its content and what S3 says about it.

    Attributes:
        etag: With quotes, as in the header.
        last_modified: Aware, whole seconds, UTC.
    """

    content: Content
    etag: str
    last_modified: datetime
    content_type: str

    @classmethod
    def of(
        cls,
        key: str,
        body: bytes,
        *,
        etag: str | None = None,
        last_modified: datetime | None = None,
    ) -> StoredObject:
        """Make an object of `body`; what is not given follows from the key and the body."""
        return cls(
            BytesContent(body),
            quoted(etag if etag is not None else _md5(body).hexdigest()),
            (last_modified or published_at(key)).astimezone(UTC).replace(microsecond=0),
            content_type(key),
        )

    @classmethod
    def of_file(cls, key: str, path: Path, status: os.stat_result) -> StoredObject:
        """Make an object of a file; hashes it, and so blocks on the disk."""
        content = FileContent(path, status.st_size)
        modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
        return cls(content, quoted(content.md5()), modified, content_type(key))

    @property
    def entry(self) -> Entry:
        """The listing entry of it."""
        return Entry(self.content.size, self.etag, self.last_modified)

    def read(self) -> bytes:
        """Read the whole body."""
        return self.content.read(0, self.content.size)


def _md5(data: bytes = b"") -> hashlib._Hash:
    """MD5 is S3's ETag of an object uploaded in one part (docs/archive.md#etags)."""
    return hashlib.md5(data, usedforsecurity=False)


def quoted(etag: str) -> str:
    """Put an ETag in quotes unless it has them."""
    return etag if etag.endswith('"') else f'"{etag}"'


def content_type(key: str) -> str:
    """The content type that the archive sends; S3's default for other files than zips."""
    return ZIP_TYPE if key.endswith(".zip") else "binary/octet-stream"


def published_at(key: str) -> datetime:
    """When an object was published: the day after its period, at a fixed time of day."""
    try:
        period = Archive.published(key.removesuffix(SIDECAR_SUFFIX)).period
    except ArchiveKeyError:
        return _UNDATED
    return datetime.combine(period.last_day + timedelta(days=1), _PUBLISHED_AT)
