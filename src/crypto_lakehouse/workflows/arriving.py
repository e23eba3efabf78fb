"""Files that a collection has just stored, and that its ledger does not know yet.

A collection writes its rows in batches, so that for a while a file has no row, or that of the
version that it replaced. A command that reads the tree at that time must not call it damaged.
"""

from __future__ import annotations

from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.ledger.place import RunLedger

__all__ = ["ARRIVING", "is_replaced"]

#: Why nothing can be said of such a file.
ARRIVING = "a collection that runs, or that was killed, has stored it and not settled it yet"


def is_replaced(store: Store, ledger: RunLedger, key: str, sha256: str | None) -> bool:
    """Whether a run that has not ended has replaced a version of an archive; blocking.

    It keeps the old bytes before the new ones get the final name.

    Args:
        store: Has the archives.
        ledger: Its ledger.
        key: The archive.
        sha256: The digest of the version.
    """
    return ledger.has_open_run() and any(
        (kept.key, kept.sha256) == (key, sha256) for kept in store.kept_versions()
    )
