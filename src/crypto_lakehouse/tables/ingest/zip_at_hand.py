"""Finds the zip of an archive in the version that a lake has."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from attrs import evolve

from crypto_lakehouse.core.archive import Archive, Origin
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.tables.ingest.provenance import Standing
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["zip_at_hand"]


def zip_at_hand(archive: Archive, standing: Standing, files: StoredFiles) -> Source | None:
    """Find the zip of an archive among the files of others; blocking.

    Args:
        archive: The archive.
        standing: Its version; a zip with another digest is not used.
        files: Where the archives are.

    Returns:
        The archive; None if there is no such zip.
    """
    if archive.origin is Origin.LIVE:
        return _excerpt(archive, standing, files)
    unread = Source(archive, files, standing.sha256)  # reading it says why it cannot be read
    try:
        if files.identity(archive.key) is None:
            return None
        with files.open(archive.key) as opened:
            identity = opened.identity()
            digest = hashlib.file_digest(cast("Any", opened.file), "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, StoreError):
        return unread
    return evolve(unread, identity=identity) if digest == standing.sha256 else None


def _excerpt(archive: Archive, standing: Standing, files: StoredFiles) -> Source | None:
    """An excerpt, which has the digest of its segment."""
    unread = Source(archive, files, standing.sha256)
    try:
        found = files.digest(archive.key, lambda: None)
    except StoreError:
        return unread
    if found is None or found[0] != standing.sha256:
        return None
    return evolve(unread, identity=found[1])
