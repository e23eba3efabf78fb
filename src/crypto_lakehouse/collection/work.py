"""The work on one archive: the value that goes from the inventory to a worker."""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.listed import ListedArchive, same_etag
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.core.verdicts import SUCCESSES

__all__ = ["Action", "Work", "is_other_version"]


class Action(Enum):
    """What to do for one archive."""

    NOTHING = auto()
    """It is verified, and the file is the one that was verified."""
    CHECK = auto()
    """There is a file: hash it before anything is requested."""
    FETCH = auto()
    """Fetch zip and sidecar."""
    FETCH_SIDECAR = auto()
    """The zip is verified; its sidecar is missing here, or has changed at the source."""


@frozen(kw_only=True)
class Work:
    """One archive for a worker.

    Attributes:
        row: What the ledger knows about it.
        stat: The file at its final name.
        part: Size, ETag and date of a body that began to arrive earlier.
    """

    planned: PlannedArchive
    action: Action
    row: LedgerRow | None = None
    stat: FileStat | None = None
    part: ObjectFacts | None = None

    @property
    def archive(self) -> Archive:
        """The archive itself."""
        return self.planned.archive

    @property
    def verified_row(self) -> LedgerRow | None:
        """The ledger's row of the verified version at the final name, if there is one."""
        row, stat = self.row, self.stat
        if row is None or stat is None or row.verdict not in SUCCESSES:
            return None
        return row if row.facts.describes(stat) else None


def is_other_version(facts: ObjectFacts, listed: ListedArchive) -> bool:
    """Whether the source has other bytes than the known ones; dates alone do not count."""
    if facts.size_bytes is not None and facts.size_bytes != listed.size_bytes:
        return True
    return listed.etag is not None and not same_etag(facts.etag, listed.etag)
