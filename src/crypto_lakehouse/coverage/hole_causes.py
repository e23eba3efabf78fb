"""The causes of holes in a series' coverage."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["UNEXPECTED", "HoleCause"]


class HoleCause(StrEnum):
    """Why a day is not covered, most important first."""

    FAILED = "failed"
    """A network or server error after all retries; the next run may succeed."""
    QUARANTINED = "quarantined"
    """The source served a damaged archive, or one that does not match its sidecar."""
    MISSING = "missing"
    """The source has no such archive, although it should."""
    NOT_COLLECTED = "not_collected"
    """No run has settled it."""
    UNPROVEN = "unproven"
    """The archive is stored and readable, but no published checksum confirms it."""
    UPSTREAM_HOLE = "upstream_hole"
    """The publisher is known to lack it (`matrix/holes.json`)."""
    ACKNOWLEDGED = "acknowledged"
    """It is missing or quarantined, and the user knows it (`acknowledge`, `holes_path`)."""
    NOT_PUBLISHED_YET = "not_published_yet"
    """The publication lag has not passed."""
    RETIRED = "retired"
    """The publisher has ended or removed the feed."""
    OUTSIDE_LIFE = "outside_life"
    """The series had not begun, or had ended."""
    NOT_ASKED = "not_asked"
    """No run was asked for it."""


#: Days that cannot be collected, or were not asked for; they do not count against coverage.
UNEXPECTED = frozenset(
    {
        HoleCause.UPSTREAM_HOLE,
        HoleCause.ACKNOWLEDGED,
        HoleCause.NOT_PUBLISHED_YET,
        HoleCause.RETIRED,
        HoleCause.OUTSIDE_LIFE,
        HoleCause.NOT_ASKED,
    }
)
