"""What is known about one version of an archive: one value, from the download to the ledger."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NO_FACTS", "FileStat", "ObjectFacts"]


class FileStat(NamedTuple):
    """The size and mark of a stored file, which change with the file.

    Attributes:
        size_bytes: Its size.
        mark: A number, chosen by the store, that changes with the file, such as a version or a
            modification time; a signed 64-bit integer. Runs only compare it.
    """

    size_bytes: int
    mark: int


class ObjectFacts(NamedTuple):
    """What is known about one version of an archive; a fact is None if it is not known.

    A named tuple for speed: a run over a large tree makes one for each archive.

    Attributes:
        size_bytes: The zip's size, as stored or at the source.
        mark: That of the stored file when it was last proven, as in `FileStat`; None if no file is
            stored.
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
        """Size and mark of the stored file; None if no file is stored."""
        if self.size_bytes is None or self.mark is None:
            return None
        return FileStat(self.size_bytes, self.mark)

    def describes(self, stat: FileStat) -> bool:
        """Whether these facts are about this file."""
        return (self.size_bytes, self.mark) == stat

    def of_file(self, stat: FileStat) -> ObjectFacts:
        """Return the same facts with size and mark of a file that was stored or proven now."""
        return self._replace(size_bytes=stat.size_bytes, mark=stat.mark)


#: Nothing is known.
NO_FACTS = ObjectFacts()
