"""The verdicts on archives (ARCHITECTURE.md#verdicts)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["NOT_RECORDED", "SUCCESSES", "UNREMARKABLE", "Verdict"]


class Verdict(StrEnum):
    """The result of a run for one archive of its plan."""

    VERIFIED = "verified"
    """The bytes on disk match the published digest."""
    UNCHANGED = "unchanged"
    """It was verified earlier, and the source has the same object; nothing was fetched."""
    NOT_PUBLISHED = "not_published"
    """It is absent, within its publication lag or outside the life of its series."""
    MISSING = "missing"
    """It is absent, although it must exist by the calendar."""
    SIDECAR_MISSING = "sidecar_missing"
    """The zip is readable, but has no sidecar; it is kept, and never counted as verified."""
    UPSTREAM_MISMATCH = "upstream_mismatch"
    """The source served the same bytes twice, and they do not match the published digest."""
    CORRUPT = "corrupt"
    """The bytes differ between fetches, or from their size or ETag, or are not a readable zip."""
    FAILED = "failed"
    """A network or server error after all retries."""

    def __repr__(self) -> str:
        """Return the word in quotes, so that a mapping of counts can be read."""
        return repr(self.value)


#: What counts as success in `success_rate`.
SUCCESSES = frozenset({Verdict.VERIFIED, Verdict.UNCHANGED})

#: Verdicts that tell a ledger nothing that it must record.
NOT_RECORDED = frozenset({Verdict.UNCHANGED, Verdict.NOT_PUBLISHED})

#: Verdicts that need no attention.
UNREMARKABLE = SUCCESSES | {Verdict.NOT_PUBLISHED}
