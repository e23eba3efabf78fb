"""What became of one archive (ARCHITECTURE.md#verdicts)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["SUCCESSES", "Verdict"]


class Verdict(StrEnum):
    """The one word that a run says of each archive of its plan."""

    VERIFIED = "verified"
    """The bytes on disk match the published digest."""
    UNCHANGED = "unchanged"
    """Verified already, the same object at the source; nothing was fetched."""
    NOT_PUBLISHED = "not_published"
    """Absent, inside its publication lag or outside its series' life."""
    MISSING = "missing"
    """Absent, although the calendar says that it must exist."""
    SIDECAR_MISSING = "sidecar_missing"
    """The zip is there and readable, its sidecar is not; kept, never counted as verified."""
    UPSTREAM_MISMATCH = "upstream_mismatch"
    """The source serves the same bytes twice and they are not what it published a digest of."""
    CORRUPT = "corrupt"
    """The bytes differ between tries or from their size or ETag, or are no readable zip."""
    FAILED = "failed"
    """A network or server error after all retries."""


#: What counts as success in `success_rate`.
SUCCESSES = frozenset({Verdict.VERIFIED, Verdict.UNCHANGED})
