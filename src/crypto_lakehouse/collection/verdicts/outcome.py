"""What settling one archive came to, before it becomes an event."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.collection.verdicts.verdict_rules import Decision
from crypto_lakehouse.core.protocols import FileStat, LedgerRow

__all__ = ["Outcome"]


@frozen(kw_only=True)
class Outcome:
    """A decision, and the facts that the ledger keeps with it.

    Attributes:
        stat: The file at the final name, None if the decision put none there.
        change, kept_as, stands, seen, accepted: As in `ArchiveFinished`.
    """

    decision: Decision
    stat: FileStat | None = None
    sha256: str | None = None
    published_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    sidecar_etag: str | None = None
    change: str = ""
    kept_as: str = ""
    stands: bool = False
    seen: bool = False
    accepted: bool = False

    @classmethod
    def of_row(cls, row: LedgerRow, decision: Decision, stat: FileStat) -> Outcome:
        """What the ledger knew already, of a file that is proven to be the same."""
        return cls(
            decision=decision,
            stat=stat,
            sha256=row.sha256,
            published_sha256=row.published_sha256,
            etag=row.etag,
            last_modified=row.last_modified,
            sidecar_etag=row.sidecar_etag,
        )
