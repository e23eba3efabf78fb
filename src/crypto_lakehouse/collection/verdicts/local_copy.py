"""Check the file at an archive's final name, with as few requests as possible."""

from __future__ import annotations

from attrs import evolve, frozen

from crypto_lakehouse.collection.download.fetcher import Transfer
from crypto_lakehouse.collection.verdicts.earlier_proof import (
    drop_foreign_sidecar,
    earlier_digests,
    kept_digest,
)
from crypto_lakehouse.collection.verdicts.inspect_download import (
    DownloadInspector,
    Published,
    md5_of,
)
from crypto_lakehouse.collection.verdicts.outcome import ArchiveOutcome
from crypto_lakehouse.collection.verdicts.verdict_rules import (
    BY_ETAG_ALONE,
    NO_SIDECAR,
    Decision,
)
from crypto_lakehouse.collection.work import Action, Work, is_other_version
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError, TransferError
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.listed import ListedArchive, md5_of_etag, same_etag, same_moment
from crypto_lakehouse.core.object_facts import NO_FACTS, FileStat
from crypto_lakehouse.core.protocols import KnownDigests, KnowsDigests, Store
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.zips.check import check_zip

__all__ = ["ACCEPTED", "NOTHING", "LocalCopy", "LocalCopyChecker"]

#: The reason for bytes at their final name that disagree with their sidecar.
ACCEPTED = "its sidecar disagrees; a policy let it in"


@frozen
class LocalCopy:
    """The result of checking the file at an archive's final name.

    Attributes:
        present: What is known about its bytes, if the ledger, the sidecar beside it or the source
            identifies them. Such bytes are kept if another version replaces them.
        digest: The digest of the bytes, if they were read and are not a broken archive.
        is_disputed: Whether the source has published a sidecar, for bytes that had none, and it
            names other bytes.
        md5: What may be the MD5 of the bytes, as the store says; None if it says nothing.
        kept: The archive's outcome if the file can stay; None if the archive must be fetched.
        failure: Why the check ended early; the other attributes are valid all the same.
    """

    present: ArchiveOutcome | None = None
    digest: str | None = None
    is_disputed: bool = False
    md5: str | None = None
    kept: ArchiveOutcome | None = None
    failure: TransferError | StoreError | OSError | None = None

    @property
    def sha256(self) -> str | None:
        """The digest of known bytes; None if there are none."""
        return self.present.facts.sha256 if self.present is not None else None

    @property
    def is_verified(self) -> bool:
        """Whether the bytes are proven to be a published version."""
        return self.present is not None and self.present.decision.verdict in SUCCESSES


UNCHANGED = Decision(Verdict.UNCHANGED)

#: There is no file, or a broken one.
NOTHING = LocalCopy()


@frozen
class LocalCopyChecker:
    """Checks the file at an archive's final name.

    Args:
        store: Has the file.
        inspector: Fetches sidecars.
        keep_sidecars: Whether sidecars are wanted beside their zips.
    """

    store: Store
    inspector: DownloadInspector
    keep_sidecars: bool

    async def check(self, work: Work, transfer: Transfer) -> LocalCopy:
        """Check the file at an archive's final name, and whether it can stay.

        1. Without a request: by the ledger and the sidecar beside the file.
        2. If these prove nothing: by the listed ETag if `integrity` says that it is enough, else
           by the sidecar that the source publishes.
        3. If the file is known: compare it with what the source lists, or fetch its sidecar again.

        Raises:
            StoreError: The store failed before anything was known.
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
        """Check without a request; the file is read if it may have changed."""
        row = work.verified_row
        if row is not None and work.action is not Action.CHECK:
            return LocalCopy(ArchiveOutcome(decision=UNCHANGED, facts=row.facts))
        known = await self._known_digests(work, stat)
        digest = known.sha256 or await self.store.sha256(work.archive.key)
        if digest is None:
            return NOTHING
        present = await self._known_here(work, stat, digest)
        # What was stored with its digest had been read as a zip before.
        is_read = present is not None and known.sha256 is None
        if is_read and await self._is_unreadable(work, stat):
            return NOTHING
        return LocalCopy(present, digest, md5=known.md5)

    async def _known_digests(self, work: Work, stat: FileStat) -> KnownDigests:
        """Return what the store knows without reading; for a repair, it must be read."""
        if work.action is Action.CHECK and isinstance(self.store, KnowsDigests):
            return await self.store.known_digests(work.archive.key, stat)
        return KnownDigests()

    async def _check_at_source(
        self, work: Work, transfer: Transfer, local_copy: LocalCopy
    ) -> LocalCopy:
        """Compare a file without a local proof with what the source lists, or with its sidecar."""
        digest, stat = local_copy.digest, work.stat
        is_open = work.action is Action.CHECK and not local_copy.is_verified
        if not is_open or digest is None or stat is None:
            return local_copy
        proof = await self._listed_proof(work, stat, local_copy.md5)
        needs_sidecar = self.keep_sidecars or proof is None
        published = await self.inspector.published(transfer) if needs_sidecar else Published()
        known = _known(work.row, stat, digest)
        if proof is not None:
            present: ArchiveOutcome | None = _as_listed(known, proof, published, transfer)
        elif published.data is None and await self._is_disproven(work, digest):
            return local_copy
        else:
            present = _as_published(known, published, transfer)
        if present is None:
            return _still_disagreeing(local_copy, published, transfer)
        if await self._is_unreadable(work, stat):
            return NOTHING
        if published.sha256 == digest and published.data is not None and self.keep_sidecars:
            await self.store.put(work.archive.sidecar_key, published.data)
        elif proof is not None:
            await drop_foreign_sidecar(self.store, work.archive, digest)
        return LocalCopy(present, digest, md5=local_copy.md5)

    async def _listed_proof(
        self, work: Work, stat: FileStat, known_md5: str | None
    ) -> ListedArchive | None:
        """Return what the source lists if that alone proves the file, by `integrity`."""
        listed = work.planned.listed
        if self.inspector.integrity != "listing" or listed is None:
            return None
        md5 = md5_of_etag(listed.etag)
        if md5 is None or stat.size_bytes != listed.size_bytes:
            return None
        return (
            listed if await self._has_md5(work.archive, stat.size_bytes, md5, known_md5) else None
        )

    async def _has_md5(
        self, archive: Archive, size_bytes: int, md5: str, known_md5: str | None
    ) -> bool:
        """Whether a file has the listed MD5; it is read if the store does not say so."""
        if known_md5 == md5:
            return True
        return await md5_of(lambda: self.store.reader(archive.key), size_bytes) == md5

    async def _is_disproven(self, work: Work, digest: str) -> bool:
        """Whether another version was verified here, and nothing says that there is a new one."""
        earlier = await earlier_digests(self.store, work.archive, work.row)
        return bool(earlier) and digest not in earlier

    async def _kept(
        self, work: Work, transfer: Transfer, local_copy: LocalCopy
    ) -> ArchiveOutcome | None:
        """The outcome if the file can stay; None if the archive must be fetched."""
        present = local_copy.present
        if present is None or local_copy.is_disputed or work.action is Action.FETCH:
            return None
        if present.seen:
            return present
        if work.action is Action.FETCH_SIDECAR:
            return await self._fetch_sidecar(present, transfer, work.planned.listed)
        known = _seen(present, work.planned.listed)
        return known or await self._compare_with_listing(work, transfer, local_copy, present)

    async def _known_here(self, work: Work, stat: FileStat, digest: str) -> ArchiveOutcome | None:
        """Return what ledger and kept sidecar say about these bytes."""
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
        """Whether the file is not a readable zip, which a matching digest alone does not show."""
        archive = work.archive
        fault = await check_zip(
            lambda: self.store.reader(archive.key), archive.member, stat.size_bytes
        )
        return bool(fault)

    async def _compare_with_listing(
        self, work: Work, transfer: Transfer, local_copy: LocalCopy, present: ArchiveOutcome
    ) -> ArchiveOutcome | None:
        """Return the outcome if a file without a known ETag is the listed version; else None."""
        listed = work.planned.listed
        if listed is None or present.facts.size_bytes != listed.size_bytes:
            return None
        md5 = md5_of_etag(listed.etag)
        if md5 is not None:
            same = await self._has_md5(work.archive, listed.size_bytes, md5, local_copy.md5)
        elif present.decision.verdict is Verdict.VERIFIED:  # by the published sidecar, just now
            same = True
        else:  # a multipart ETag does not identify the bytes; the published digest does
            same = (await self.inspector.published(transfer)).sha256 == present.facts.sha256
        return _with_listed(present, listed) if same else None

    async def _fetch_sidecar(
        self, present: ArchiveOutcome, transfer: Transfer, listed: ListedArchive | None
    ) -> ArchiveOutcome | None:
        """Fetch the sidecar of a verified zip; None if it names other bytes.

        With `integrity: listing` the zip stays all the same if its ETag is the listed one, which
        the inventory has compared.
        """
        published = await self.inspector.published(transfer)
        if published.data is None:
            reason = "the source has no sidecar of it any more; it was verified before"
            return evolve(present, decision=Decision(Verdict.UNCHANGED, reason))
        if published.sha256 is None or published.sha256 != present.facts.sha256:
            is_proven = listed is not None and md5_of_etag(listed.etag) is not None
            if self.inspector.integrity != "listing" or not is_proven:
                return None
            found = present.learned(
                published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag
            )
            return evolve(found, decision=Decision(Verdict.UNCHANGED, BY_ETAG_ALONE))
        if self.keep_sidecars:
            await self.store.put(transfer.archive.sidecar_key, published.data)
        found = present.learned(
            published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag
        )
        return evolve(found, decision=Decision(Verdict.UNCHANGED, "its sidecar was fetched again"))


def _known(row: LedgerRow | None, stat: FileStat, digest: str) -> ArchiveOutcome:
    """Return what the ledger knows about the bytes with this digest."""
    facts = row.facts if row is not None and row.facts.sha256 == digest else NO_FACTS
    return ArchiveOutcome(decision=UNCHANGED, facts=facts._replace(sha256=digest).of_file(stat))


def _as_listed(
    known: ArchiveOutcome, listed: ListedArchive, published: Published, transfer: Transfer
) -> ArchiveOutcome:
    """Return the outcome by the listed ETag, with what the sidecar says if it was fetched."""
    found = known
    if published.data is not None:
        found = known.learned(published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag)
    disagrees = published.data is not None and published.sha256 != known.facts.sha256
    decision = Decision(Verdict.VERIFIED, BY_ETAG_ALONE if disagrees else "")
    return _with_listed(evolve(found, decision=decision), listed)


def _as_published(
    known: ArchiveOutcome, published: Published, transfer: Transfer
) -> ArchiveOutcome | None:
    """Return the outcome by the source's sidecar; None if it names other bytes."""
    if published.data is None:
        return evolve(known.learned(published_sha256=None), decision=NO_SIDECAR)
    if published.sha256 != known.facts.sha256:
        return None
    found = known.learned(published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag)
    return evolve(found, decision=Decision(Verdict.VERIFIED))


def _still_disagreeing(
    local_copy: LocalCopy, published: Published, transfer: Transfer
) -> LocalCopy:
    """Keep accepted bytes accepted, with the sidecar's present digest for the ledger.

    Bytes that had no sidecar are disputed: the archive is fetched, and its verdict decides.
    """
    if local_copy.present is None:
        return local_copy
    if not local_copy.present.accepted:
        return evolve(local_copy, is_disputed=True)
    present = local_copy.present.learned(
        published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag
    )
    return evolve(local_copy, present=present)


def _seen(outcome: ArchiveOutcome, listed: ListedArchive | None) -> ArchiveOutcome | None:
    """The outcome if it needs no comparison with a listing; None if it does."""
    if listed is None:
        return outcome
    if outcome.facts.etag is None or listed.etag is None:
        return None
    return None if is_other_version(outcome.facts, listed) else _with_listed(outcome, listed)


def _with_listed(outcome: ArchiveOutcome, listed: ListedArchive) -> ArchiveOutcome:
    """Add the listing's facts about the stored object to an outcome."""
    facts = outcome.facts
    same = listed.etag is None or same_etag(facts.etag, listed.etag)
    same = same and same_moment(facts.last_modified, listed.last_modified)
    restamped = facts.etag is not None and not same
    change = "restamped" if restamped else ""
    return evolve(outcome, facts=listed.over(facts), change=change, seen=True)
