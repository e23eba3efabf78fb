"""Where the rows of a table come from: published archives, REST fills, live recordings."""

from __future__ import annotations

from enum import StrEnum

from crypto_lakehouse.core.errors import ArchiveKeyError

__all__ = ["Origin"]


class Origin(StrEnum):
    """Where rows come from, most trusted first; it decides the first folder of a key."""

    ARCHIVE = "archive"
    """A zip of the publisher."""

    FILL = "fill"
    """A segment with the responses of REST endpoints for one UTC day."""

    LIVE = "live"
    """Recorded streams: a segment is of an hour and many symbols, and no `Archive` has its key."""

    @property
    def folder(self) -> str:
        """The first folder of its keys."""
        return _ORIGIN_FOLDERS[self]

    @property
    def suffix(self) -> str:
        """The end of the file names of its keys, but for sidecars."""
        return ".zip" if self is Origin.ARCHIVE else ".jsonl.zst"

    @classmethod
    def of(cls, key: str) -> Origin:
        """The origin that a key's first folder names.

        Raises:
            ArchiveKeyError: It names none.
        """
        folder = key.partition("/")[0]
        for origin, each in _ORIGIN_FOLDERS.items():
            if each == folder:
                return origin
        raise ArchiveKeyError(key, "a key begins with `data/`, `rest/` or `live/`")


_ORIGIN_FOLDERS = {Origin.ARCHIVE: "data", Origin.FILL: "rest", Origin.LIVE: "live"}
