"""What a store keeps beside the archives: quarantined bytes and replaced versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import Archive

__all__ = ["KEPT_FOLDER", "KeptVersion", "Quarantined"]

#: Where the output directory keeps replaced versions, in a folder named after the key.
KEPT_FOLDER = ".lakehouse/replaced/"


@frozen
class Quarantined:
    """One archive's bytes in quarantine.

    Attributes:
        note: What was known when they were quarantined; empty if it cannot be read.
    """

    archive: Archive
    note: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """Why they were quarantined."""
        verdict, reason = self.note.get("verdict", "?"), self.note.get("reason", "its note is gone")
        return f"{verdict}: {reason}"


@frozen
class KeptVersion:
    """The bytes of a replaced version.

    Attributes:
        key: The archive's key.
        sha256: Digest of the bytes.
        size_bytes: The number of bytes.
        place: What `Store.keep_replaced` returned for them.
    """

    key: str
    sha256: str
    size_bytes: int
    place: str
