"""The rows that a ledger stores for events."""

from __future__ import annotations

import json

from crypto_lakehouse.core.events import ArchiveFinished, FillFinished, RunStarted
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.soundness import is_size

__all__ = ["archive_row", "fill_row", "newer_version", "run_row"]


def newer_version(event: ArchiveFinished) -> tuple[object, ...]:
    """Return what is stored of a version that could not take the stored one's place."""
    return event.verdict, event.reason, event.facts.etag, event.facts.sidecar_etag


def archive_row(event: ArchiveFinished, now: str) -> tuple[object, ...]:
    """Return the row of an archive."""
    # An unchanged archive was verified earlier; the ledger keeps that verdict.
    verdict = Verdict.VERIFIED if event.verdict is Verdict.UNCHANGED else event.verdict
    facts = event.facts
    if not is_size(facts.size_bytes):  # as a source may list it
        facts = facts._replace(size_bytes=None)
    return (
        event.archive.folder,
        event.archive.name,
        verdict,
        event.reason,
        *facts,
        now if event.accepted else None,
        now,
        now,
    )


def fill_row(event: FillFinished) -> tuple[object, ...]:
    """Return the row of a filled day, or of one that cannot be filled."""
    return (
        event.archive.folder,
        event.archive.name,
        event.verdict,
        event.reason,
        event.rows,
        event.sha256,
        int(event.complete),
        event.proven_by,
        event.at.isoformat(timespec="seconds"),
    )


def run_row(event: RunStarted) -> tuple[object, ...]:
    """Return the row of a run that begins."""
    selection = event.selection
    text = None if selection is None else json.dumps(selection, sort_keys=True)
    urls = (event.source_url or None, event.listing_url or None)
    return event.run_id, event.workflow, event.planned, event.at.isoformat(), text, *urls
