"""What is known of one version of an archive: one value, from the download to the ledger."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NO_FACTS", "FileStat", "ObjectFacts"]


class FileStat(NamedTuple):
    """What tells a stored file from a changed one without reading it.

    Attributes:
        size_bytes: Its size.
        mark: A number of the store's own that changes with the file, as a version or a
            modification time; it fits into 64 bits with a sign. Runs only compare it.
    """

    size_bytes: int
    mark: int


class ObjectFacts(NamedTuple):
    """What is known of one version of an archive; each fact is None if it is not known.

    A plain tuple, as a run over a large tree makes one for each archive.

    Attributes:
        size_bytes: The zip's size, as stored or at the source.
        mark: The stored file's, as in `FileStat`, when it was last proven; None if none is stored.
        sha256: Digest of the bytes seen, 64 lower-case hex characters.
        published_sha256: Digest that the sidecar names.
        etag, last_modified: Of the zip, as the source sent them.
        sidecar_etag: The published sidecar's ETag.
    """

    size_bytes: int | None = None
    mark: int | None = None
    sha256: str | None = None
    published_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    sidecar_etag: str | None = None

    @property
    def stat(self) -> FileStat | None:
        """The stored file; None if none is stored."""
        if self.size_bytes is None or self.mark is None:
            return None
        return FileStat(self.size_bytes, self.mark)

    def describes(self, stat: FileStat) -> bool:
        """Whether the stored file is the one that these facts were found out of."""
        return (self.size_bytes, self.mark) == stat

    def of_file(self, stat: FileStat) -> ObjectFacts:
        """The same facts, of a file that was stored or proven now."""
        return self._replace(size_bytes=stat.size_bytes, mark=stat.mark)


#: Nothing is known.
NO_FACTS = ObjectFacts()
