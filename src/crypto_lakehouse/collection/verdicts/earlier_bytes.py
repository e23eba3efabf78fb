"""The bytes at the final name, before another version replaces them."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.collection.verdicts.earlier_proof import kept_digest
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.protocols import Store

__all__ = ["EarlierBytes", "keep_earlier"]


@frozen
class EarlierBytes:
    """What became of the bytes of the version before.

    Attributes:
        kept_as: Where they are kept; empty if they are not.
        are_same: Whether they are those that replace them: the recorded digest is wrong.
    """

    kept_as: str = ""
    are_same: bool = False


async def keep_earlier(
    store: Store, archive: Archive, recorded: str, arriving: str
) -> EarlierBytes:
    """Keep the bytes at the final name before others replace them.

    Args:
        store: Has them.
        archive: What they are.
        recorded: The digest that the ledger or the sidecar names. A ledger may have been altered:
            if the bytes have another digest, it is their own that decides.
        arriving: The digest of the bytes that replace them.

    Raises:
        StoreError: The store fails.
    """
    if kept_as := await store.keep_replaced(archive.key, recorded):
        return EarlierBytes(kept_as)
    actual = await store.sha256(archive.key)
    if actual == arriving:
        return EarlierBytes(are_same=True)
    if actual is None or actual != await kept_digest(store, archive):
        return EarlierBytes()  # what was verified is gone
    return EarlierBytes(await store.keep_replaced(archive.key, actual))
