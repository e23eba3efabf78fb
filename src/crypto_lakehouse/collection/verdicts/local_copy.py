"""Prove the file that stands at an archive's final name, with as few requests as can be."""

from __future__ import annotations

from attrs import evolve, frozen

from crypto_lakehouse.collection.download.fetcher import Transfer
from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.collection.verdicts.inspect_download import (
    DownloadInspector,
    Published,
    md5_of,
)
from crypto_lakehouse.collection.verdicts.outcome import ArchiveOutcome
from crypto_lakehouse.collection.verdicts.verdict_rules import NO_SIDECAR, Decision
from crypto_lakehouse.collection.work import Action, Work, is_other_version
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import SidecarMalformed, StoreError, TransferError
from crypto_lakehouse.core.listed import ListedArchive, md5_of_etag, same_etag, same_moment
from crypto_lakehouse.core.object_facts import NO_FACTS, FileStat
from crypto_lakehouse.core.protocols import LedgerRow, Store
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.zips.check import check_zip

__all__ = ["ACCEPTED", "NOTHING", "LocalCopy", "LocalCopyChecker", "kept_digest"]

#: Why bytes that disagree with their sidecar are at their final name.
ACCEPTED = "its sidecar disagrees; a policy let it in"


@frozen
class LocalCopy:
    """What the file at an archive's final name is worth.

    Attributes:
        present: What is known of its bytes, where the ledger, the sidecar beside it or the source
            says what they are. They are not lost when another version takes their place.
        digest: Of the bytes, where they were read and are no broken archive.
        kept: The archive's outcome if the file can stay; None if the archive must be fetched.
        failure: Why the check ended early. What is known by then holds all the same.
    """

    present: ArchiveOutcome | None = None
    digest: str | None = None
    kept: ArchiveOutcome | None = None
    failure: TransferError | StoreError | OSError | None = None

    @property
    def sha256(self) -> str | None:
        """The digest of bytes that are known, None where there are none."""
        return self.present.facts.sha256 if self.present is not None else None

    @property
    def is_verified(self) -> bool:
        """Whether the bytes are proven to be a published version."""
        return self.present is not None and self.present.decision.verdict in SUCCESSES


UNCHANGED = Decision(Verdict.UNCHANGED)

#: There is no file, or one that is worth nothing.
NOTHING = LocalCopy()


@frozen
class LocalCopyChecker:
    """Tells what the file at an archive's final name is worth.

    Args:
        store: Where it lies.
        inspector: Fetches sidecars.
        keep_sidecars: Whether sidecars are wanted beside their zips.
    """

    store: Store
    inspector: DownloadInspector
    keep_sidecars: bool

    async def check(self, work: Work, transfer: Transfer) -> LocalCopy:
        """Find out what the file at an archive's final name is worth, and whether it can stay.

        1. Without a request: by the ledger and the sidecar beside the file.
        2. If these prove nothing: by the sidecar that the source publishes.
        3. If the file is known: compare it with what the source lists, or fetch its sidecar again.

        Raises:
            StoreError: The store refused before anything was known.
        """
        if work.stat is None:
            return NOTHING
        local_copy = await self._check_here(work, work.stat)
        try:
            local_copy = await self._check_at_source(work, transfer, local_copy)
            kept = await self._kept(work, transfer, local_copy)
        except (TransferError, StoreError, OSError) as error:
            return evolve(local_copy, failure=error)
        return evolve(local_copy, kept=kept)

    async def _check_here(self, work: Work, stat: FileStat) -> LocalCopy:
        """What is known without a request; the file is read if it may be another one."""
        row = work.verified_row
        if row is not None and work.action is not Action.CHECK:
            return LocalCopy(ArchiveOutcome(decision=UNCHANGED, facts=row.facts))
        digest = await self.store.sha256(work.archive.key)
        if digest is None:
            return NOTHING
        present = await self._known_here(work, stat, digest)
        if present is not None and await self._is_unreadable(work, stat):
            return NOTHING
        return LocalCopy(present, digest)

    async def _check_at_source(
        self, work: Work, transfer: Transfer, local_copy: LocalCopy
    ) -> LocalCopy:
        """Compare a file that nothing here proves with the source's sidecar."""
        digest, stat = local_copy.digest, work.stat
        is_open = work.action is Action.CHECK and not local_copy.is_verified
        if not is_open or digest is None or stat is None:
            return local_copy
        published = await self.inspector.published(transfer)
        present = _as_published(_known(work.row, stat, digest), published, transfer)
        if present is None:
            return _still_disagreeing(local_copy, published, transfer)
        if await self._is_unreadable(work, stat):
            return NOTHING
        if published.data is not None and self.keep_sidecars:
            await self.store.put(work.archive.sidecar_key, published.data)
        return LocalCopy(present, digest)

    async def _kept(
        self, work: Work, transfer: Transfer, local_copy: LocalCopy
    ) -> ArchiveOutcome | None:
        """The outcome if the file can stay; None if the archive must be fetched."""
        present = local_copy.present
        if present is None or work.action is Action.FETCH:
            return None
        if work.action is Action.FETCH_SIDECAR:
            return await self._fetch_sidecar(present, transfer)
        known = _seen(present, work.planned.listed)
        return known or await self._compare_with_listing(work, transfer, present)

    async def _known_here(self, work: Work, stat: FileStat, digest: str) -> ArchiveOutcome | None:
        """What ledger and kept sidecar say of these bytes."""
        row, known = work.row, _known(work.row, stat, digest)
        is_recorded = row is not None and row.facts.sha256 == digest
        if row is not None and is_recorded and row.verdict in SUCCESSES:
            return known
        if await kept_digest(self.store, work.archive) == digest:
            return known.learned(published_sha256=digest)
        if row is not None and is_recorded and row.accepted:
            decision = Decision(Verdict.UPSTREAM_MISMATCH, ACCEPTED)
            return evolve(known, decision=decision, accepted=True)
        if row is not None and is_recorded and row.verdict is Verdict.SIDECAR_MISSING:
            return evolve(known, decision=NO_SIDECAR)
        return None

    async def _is_unreadable(self, work: Work, stat: FileStat) -> bool:
        """A right digest is not enough for the file that is there: it must be a zip, too."""
        archive = work.archive
        fault = await check_zip(
            lambda: self.store.reader(archive.key), archive.member, stat.size_bytes
        )
        return bool(fault)

    async def _compare_with_listing(
        self, work: Work, transfer: Transfer, present: ArchiveOutcome
    ) -> ArchiveOutcome | None:
        """Whether a known file without a known ETag is the listed version; None where not."""
        listed = work.planned.listed
        if listed is None or present.facts.size_bytes != listed.size_bytes:
            return None
        key, md5 = work.archive.key, md5_of_etag(listed.etag)
        if md5 is not None:
            same = await md5_of(lambda: self.store.reader(key), listed.size_bytes) == md5
        elif present.decision.verdict is Verdict.VERIFIED:  # by the published sidecar, just now
            same = True
        else:  # a multipart ETag says nothing of the bytes; the published digest does
            same = (await self.inspector.published(transfer)).sha256 == present.facts.sha256
        return _with_listed(present, listed) if same else None

    async def _fetch_sidecar(
        self, present: ArchiveOutcome, transfer: Transfer
    ) -> ArchiveOutcome | None:
        """Fetch the sidecar of a zip that is verified; None where it speaks of another one."""
        published = await self.inspector.published(transfer)
        if published.data is None:
            reason = "the source has no sidecar of it any more; it was verified before"
            return evolve(present, decision=Decision(Verdict.UNCHANGED, reason))
        if published.sha256 is None or published.sha256 != present.facts.sha256:
            return None
        if self.keep_sidecars:
            await self.store.put(transfer.archive.sidecar_key, published.data)
        found = present.learned(
            published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag
        )
        return evolve(found, decision=Decision(Verdict.UNCHANGED, "its sidecar was fetched again"))


def _known(row: LedgerRow | None, stat: FileStat, digest: str) -> ArchiveOutcome:
    """What the ledger knows of the bytes with this digest, if it knows them."""
    facts = row.facts if row is not None and row.facts.sha256 == digest else NO_FACTS
    return ArchiveOutcome(decision=UNCHANGED, facts=facts._replace(sha256=digest).of_file(stat))


def _as_published(
    known: ArchiveOutcome, published: Published, transfer: Transfer
) -> ArchiveOutcome | None:
    """What the source's sidecar makes of stored bytes; None if it names others."""
    if published.data is None:
        return evolve(known.learned(published_sha256=None), decision=NO_SIDECAR)
    if published.sha256 != known.facts.sha256:
        return None
    found = known.learned(published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag)
    return evolve(found, decision=Decision(Verdict.VERIFIED))


def _still_disagreeing(
    local_copy: LocalCopy, published: Published, transfer: Transfer
) -> LocalCopy:
    """What a policy let in stays let in; the ledger learns what the sidecar says now."""
    if local_copy.present is None:
        return local_copy
    present = local_copy.present.learned(
        published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag
    )
    return evolve(local_copy, present=present)


async def kept_digest(store: Store, archive: Archive) -> str | None:
    """The digest in the sidecar beside a stored archive, None where there is no good one."""
    data = await store.read(archive.sidecar_key, SIDECAR_LIMIT_BYTES + 1)
    try:
        return None if data is None else parse_sidecar(data, archive.sidecar_key)
    except SidecarMalformed:
        return None


def _seen(outcome: ArchiveOutcome, listed: ListedArchive | None) -> ArchiveOutcome | None:
    """The outcome if it needs no comparison with a listing; None if it does."""
    if listed is None:
        return outcome
    if outcome.facts.etag is None or listed.etag is None:
        return None
    return None if is_other_version(outcome.facts, listed) else _with_listed(outcome, listed)


def _with_listed(outcome: ArchiveOutcome, listed: ListedArchive) -> ArchiveOutcome:
    """Let the ledger learn what the listing says of the very object that is stored."""
    facts = outcome.facts
    same = listed.etag is None or same_etag(facts.etag, listed.etag)
    same = same and same_moment(facts.last_modified, listed.last_modified)
    restamped = facts.etag is not None and not same
    change = "restamped" if restamped else ""
    return evolve(outcome, facts=listed.over(facts), change=change, seen=True)
