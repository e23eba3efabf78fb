"""The rows that a ledger stores for events."""

from __future__ import annotations

import json

from crypto_lakehouse.core.events import ArchiveFinished, FillFinished, RunStarted
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.soundness import is_size

__all__ = ["archive_row", "fill_row", "newer_version", "run_row", "unrecorded_version"]


def newer_version(event: ArchiveFinished) -> tuple[object, ...]:
    """Return what is stored of a version that could not take the stored one's place."""
    return event.verdict, event.reason, event.facts.etag, event.facts.sidecar_etag


def unrecorded_version(event: ArchiveFinished, now: str) -> dict[str, object] | None:
    """Return the row of a replaced version that is not in `archives`; None if there is none."""
    version = event.unrecorded
    if version is None:
        return None
    facts = version.facts
    return {
        "folder": event.archive.folder,
        "name": event.archive.name,
        "now": now,
        "kept_as": version.kept_as,
        "verdict": _recorded(version.verdict),
        "size_bytes": facts.size_bytes,
        "sha256": facts.sha256,
        "published_sha256": facts.published_sha256,
        "etag": facts.etag,
        "last_modified": facts.last_modified,
    }


def archive_row(event: ArchiveFinished, now: str) -> tuple[object, ...]:
    """Return the row of an archive."""
    verdict = _recorded(event.verdict)
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
        event.size_bytes if event.sha256 is not None else None,
        event.mark,
    )


def _recorded(verdict: Verdict) -> Verdict:
    """Return the verdict of a row: an unchanged archive was verified earlier."""
    return Verdict.VERIFIED if verdict is Verdict.UNCHANGED else verdict


def run_row(event: RunStarted) -> tuple[object, ...]:
    """Return the row of a run that begins."""
    selection = event.selection
    text = None if selection is None else json.dumps(selection, sort_keys=True)
    urls = (event.source_url or None, event.listing_url or None)
    return event.run_id, event.workflow, event.planned, event.at.isoformat(), text, *urls
