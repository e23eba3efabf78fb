"""Finds the zip of an archive in the version that a lake has."""

from __future__ import annotations

import hashlib

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.stores.file_identity import identity_of
from crypto_lakehouse.tables.ingest.provenance import Standing
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["zip_at_hand"]


def zip_at_hand(archive: Archive, standing: Standing, neighbour: Source) -> Source | None:
    """Find the zip of an archive in the tree of another one; blocking.

    Args:
        archive: The archive.
        standing: Its version; a zip with another digest is not used.
        neighbour: An archive of the same tree.

    Returns:
        The archive with its path; None if there is no such zip.
    """
    key = neighbour.archive.key
    place = neighbour.path.as_posix()
    if not place.endswith(f"/{key}"):
        return None
    path = neighbour.path.parents[key.count("/")] / archive.key
    try:
        with path.open("rb") as file:
            identity = identity_of(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return Source(archive, path, standing.sha256)  # reading it says why it cannot be read
    return Source(archive, path, digest, identity) if digest == standing.sha256 else None
