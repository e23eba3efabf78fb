"""What proved an archive earlier, for when the source has no sidecar of it any more.

A sidecar that is absent proves nothing, and contradicts nothing. If it was there before, its digest
is known here, and decides on what the source sends now.
"""

from __future__ import annotations

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import SidecarMalformed
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.verdicts import SUCCESSES

__all__ = ["drop_foreign_sidecar", "earlier_digests", "kept_digest"]


async def earlier_digests(store: Store, archive: Archive, row: LedgerRow | None) -> frozenset[str]:
    """Return the digests by which ledger and stored sidecar know the archive as verified.

    Args:
        store: Has the sidecar.
        archive: The archive; its zip may be damaged or gone.
        row: What the ledger knows about it.
    """
    known = {await kept_digest(store, archive)}
    if row is not None:
        known.add(_recorded(row))
    return frozenset(digest for digest in known if digest is not None)


def _recorded(row: LedgerRow) -> str | None:
    """Return the digest of the last verified version in a row; None if there is none."""
    if row.verdict in SUCCESSES:
        return row.facts.sha256
    # A row without bytes of its own keeps the digest of the version that was verified before.
    return row.facts.published_sha256 if row.facts.sha256 is None else None


async def kept_digest(store: Store, archive: Archive) -> str | None:
    """Return the digest in the sidecar beside a stored archive; None if there is no valid one."""
    data = await store.read(archive.sidecar_key, SIDECAR_LIMIT_BYTES + 1)
    try:
        return None if data is None else parse_sidecar(data, archive.sidecar_key)
    except SidecarMalformed:
        return None


async def drop_foreign_sidecar(store: Store, archive: Archive, sha256: str) -> None:
    """Remove the stored sidecar of another version, which would contradict the one with a digest.

    Raises:
        StoreError: The sidecar cannot be removed.
    """
    if await kept_digest(store, archive) not in {None, sha256}:
        await store.remove(archive.sidecar_key)
