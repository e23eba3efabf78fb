"""The bytes at the final name, before another version replaces them."""

from __future__ import annotations

from attrs import evolve, frozen

from crypto_lakehouse.collection.verdicts.earlier_proof import kept_digest
from crypto_lakehouse.collection.verdicts.outcome import ArchiveOutcome
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.events import UnrecordedVersion
from crypto_lakehouse.core.object_facts import NO_FACTS
from crypto_lakehouse.core.protocols import Store

__all__ = ["EarlierBytes", "keep_earlier", "with_recorded"]


@frozen
class EarlierBytes:
    """What became of the bytes of the version before.

    Attributes:
        kept_as: Where those of the version in the ledger's row are kept; empty if they are not.
        unrecorded: The version at the final name, if it is another one and is kept.
        are_same: Whether they are those that replace them: the recorded digest is wrong.
    """

    kept_as: str = ""
    unrecorded: UnrecordedVersion | None = None
    are_same: bool = False


async def keep_earlier(
    store: Store, work: Work, present: ArchiveOutcome, before: str, arriving: str
) -> EarlierBytes:
    """Keep the bytes at the final name before others replace them.

    Args:
        store: Has them.
        work: The archive, with the ledger's row. It may be of another version: a run that ended
            before it wrote its rows has replaced that one.
        present: What is known about them.
        before: The digest that the ledger or the sidecar names. A ledger may have been altered:
            if the bytes have another digest, it is their own that decides.
        arriving: The digest of the bytes that replace them.

    Raises:
        StoreError: The store fails.
    """
    key, actual = work.archive.key, before
    kept_as = await store.keep_replaced(key, before)
    if not kept_as:
        found = await store.sha256(key)
        if found == arriving:
            return EarlierBytes(are_same=True)
        if found is not None and found == await kept_digest(store, work.archive):
            actual, kept_as = found, await store.keep_replaced(key, found)
    if _recorded(work) == actual:
        return EarlierBytes(kept_as)
    is_known = actual == before
    facts = present.facts if is_known else NO_FACTS._replace(sha256=actual, published_sha256=actual)
    verdict = present.decision.verdict
    version = UnrecordedVersion(verdict=verdict, facts=facts, kept_as=kept_as) if kept_as else None
    return EarlierBytes(await _kept_before(store, work), version)


async def with_recorded(store: Store, work: Work, outcome: ArchiveOutcome) -> ArchiveOutcome:
    """Return an outcome with the change that a run made before it ended without writing its rows.

    If the ledger's row is of another version than the one at the final name, and that version was
    kept, it has been replaced.

    Raises:
        StoreError: The store fails.
    """
    actual, recorded = outcome.facts.sha256, _recorded(work)
    if outcome.change or outcome.stands or None in {actual, recorded} or actual == recorded:
        return outcome
    kept_as = await _kept_before(store, work)
    return evolve(outcome, change="replaced", kept_as=kept_as) if kept_as else outcome


def _recorded(work: Work) -> str | None:
    return work.row.facts.sha256 if work.row is not None else None


async def _kept_before(store: Store, work: Work) -> str:
    """Return where an earlier run kept the version of the ledger's row; empty if none did."""
    recorded = _recorded(work)
    return "" if recorded is None else await store.keep_replaced(work.archive.key, recorded)
