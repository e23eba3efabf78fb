"""Verdicts that need no worker: made from the plan, the ledger and a directory scan."""

from __future__ import annotations

from attrs import evolve

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.listed import same_moment
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["not_listed", "not_published", "of_row", "refused", "still_wrong", "unchanged"]

_NOT_LISTED = "the source does not list it, although the calendar says that it must exist"
_GONE = "the source lists it no more; the copy here is verified, and is kept"
_STILL_WRONG = "the source has the same zip and the same sidecar as when it was quarantined"


def not_published(item: PlannedArchive) -> ArchiveFinished:
    """Make the verdict on an archive that cannot exist, or is known not to."""
    return ArchiveFinished(
        archive=item.archive, verdict=Verdict.NOT_PUBLISHED, reason=item.not_published
    )


def not_listed(item: PlannedArchive) -> ArchiveFinished:
    """Make the verdict on an archive that is missing in the source's listing."""
    return ArchiveFinished(archive=item.archive, verdict=Verdict.MISSING, reason=_NOT_LISTED)


def refused(item: PlannedArchive, reason: str) -> ArchiveFinished:
    """Make the verdict on an archive whose folder cannot be read."""
    if item.not_published:
        return not_published(item)
    return ArchiveFinished(archive=item.archive, verdict=Verdict.FAILED, reason=reason)


def still_wrong(archive: Archive, row: LedgerRow, *, stands: bool) -> ArchiveFinished:
    """Make the verdict on an archive that still disagrees with its sidecar."""
    event = of_row(archive, row, Verdict.UPSTREAM_MISMATCH, _STILL_WRONG)
    if not stands:
        return event
    facts = row.facts._replace(etag=row.newer_etag, sidecar_etag=row.newer_sidecar_etag)
    return evolve(event, facts=facts, stands=True)


def unchanged(item: PlannedArchive, row: LedgerRow) -> ArchiveFinished:
    """Make the verdict on an unchanged archive, with the listing's facts for the ledger."""
    if item.unlisted:
        return of_row(item.archive, row, Verdict.UNCHANGED, _GONE)
    event = of_row(item.archive, row, Verdict.UNCHANGED)
    listed = item.listed
    if listed is None:
        return event
    restamped = not same_moment(row.facts.last_modified, listed.last_modified)
    return evolve(
        event,
        facts=listed.over(row.facts),
        change="restamped" if restamped else "",
        seen=True,
    )


def of_row(
    archive: Archive, row: LedgerRow, verdict: Verdict, reason: str = "", *, seen: bool = False
) -> ArchiveFinished:
    """Make a verdict in this run from the ledger's row."""
    return ArchiveFinished(
        archive=archive,
        verdict=verdict,
        reason=reason,
        facts=row.facts,
        seen=seen,
    )
