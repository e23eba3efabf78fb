"""Prove the file that stands at an archive's final name, with as few requests as can be."""

from __future__ import annotations

from attrs import evolve, frozen

from crypto_lakehouse.collection.examination import Examiner, md5_of
from crypto_lakehouse.collection.inventory import Action, Work, is_other_version
from crypto_lakehouse.collection.judgement import NO_SIDECAR, Ruling
from crypto_lakehouse.collection.outcome import Outcome
from crypto_lakehouse.collection.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.collection.transfer import Transfer
from crypto_lakehouse.collection.zip_check import check_zip
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import SidecarMalformed
from crypto_lakehouse.core.listing import ListedArchive, md5_of_etag, same_moment
from crypto_lakehouse.core.ports import FileStat, LedgerRow, Store
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

__all__ = ["ACCEPTED", "Standing", "StandingProver", "kept_digest"]

#: Why bytes that disagree with their sidecar are at their final name.
ACCEPTED = "its sidecar disagrees; a policy let it in"


@frozen
class Standing:
    """What checking a stored file came to.

    Attributes:
        outcome: The end of the matter, None where the archive must be fetched.
        sha256: The digest of the stored bytes, where they are proven to be a published version.
            They are not lost when another version takes their place.
    """

    outcome: Outcome | None = None
    sha256: str | None = None


_UNPROVEN = Standing()


@frozen
class StandingProver:
    """Tells what a stored file is worth.

    Args:
        store: Where it lies.
        examiner: Fetches sidecars.
        keep_sidecars: Whether sidecars are wanted beside their zips.
    """

    store: Store
    examiner: Examiner
    keep_sidecars: bool

    async def prove(self, work: Work, transfer: Transfer) -> Standing:
        """Look at the stored file, where there is one.

        Raises:
            TransferError: The sidecar could not be asked for.
            StoreError: The store refused.
        """
        row = work.standing
        if work.action is Action.CHECK and work.stat is not None:
            return await self._check(work, work.stat, transfer)
        if work.action is Action.FETCH_SIDECAR and row is not None and work.stat is not None:
            outcome = await self._fetch_sidecar(row, work.stat, transfer)
            return Standing(outcome, row.sha256)
        return Standing(None, row.sha256) if row is not None else _UNPROVEN

    async def _check(self, work: Work, stat: FileStat, transfer: Transfer) -> Standing:
        actual = await self.store.sha256(work.archive.key)
        if actual is None:
            return _UNPROVEN
        outcome = await self._recognise(work, stat, transfer, actual)
        if outcome is None or await self._is_unreadable(work, stat):
            return _UNPROVEN
        known = _seen(outcome, work.planned.listed)
        if known is None:
            known = await self._compare_with_listing(work, transfer, outcome)
        return Standing(known, actual)

    async def _recognise(
        self, work: Work, stat: FileStat, transfer: Transfer, actual: str
    ) -> Outcome | None:
        """Find what says that these bytes were published: ledger, kept sidecar, source."""
        row = work.row
        if row is not None and row.sha256 == actual and row.verdict in SUCCESSES:
            return Outcome.of_row(row, Ruling(Verdict.UNCHANGED), stat)
        present = Outcome(ruling=Ruling(Verdict.UNCHANGED), stat=stat, sha256=actual)
        if await kept_digest(self.store, work.archive) == actual:
            return evolve(present, published_sha256=actual)
        published = await self.examiner.published(transfer)
        present = evolve(
            present, published_sha256=published.sha256, sidecar_etag=transfer.sidecar_etag
        )
        if published.data is None:
            return evolve(present, ruling=NO_SIDECAR)
        if published.sha256 == actual:
            if self.keep_sidecars:
                await self.store.put(work.archive.sidecar_key, published.data)
            return evolve(present, ruling=Ruling(Verdict.VERIFIED))
        if row is not None and row.accepted and row.sha256 == actual:
            ruling = Ruling(Verdict.UPSTREAM_MISMATCH, ACCEPTED)
            return evolve(Outcome.of_row(row, ruling, stat), accepted=True)
        return None

    async def _is_unreadable(self, work: Work, stat: FileStat) -> bool:
        """A right digest is not enough for the file that is there: it must be a zip, too."""
        archive = work.archive
        fault = await check_zip(
            lambda: self.store.reader(archive.key), archive.member, stat.size_bytes
        )
        return bool(fault)

    async def _compare_with_listing(
        self, work: Work, transfer: Transfer, outcome: Outcome
    ) -> Outcome | None:
        """Whether a proven file without a known ETag is the listed version; None where not."""
        listed, stat = work.planned.listed, outcome.stat
        if listed is None or stat is None or stat.size_bytes != listed.size_bytes:
            return None
        key, digest = work.archive.key, md5_of_etag(listed.etag)
        if digest is not None:
            same = await md5_of(lambda: self.store.reader(key), stat.size_bytes) == digest
        else:  # a multipart ETag says nothing of the bytes; the published digest does
            same = (await self.examiner.published(transfer)).sha256 == outcome.sha256
        return _with_listed(outcome, listed) if same else None

    async def _fetch_sidecar(
        self, row: LedgerRow, stat: FileStat, transfer: Transfer
    ) -> Outcome | None:
        """Fetch the sidecar of a zip that is verified; None where it speaks of another one."""
        published = await self.examiner.published(transfer)
        if published.data is None:
            reason = "the source has no sidecar of it any more; it was verified before"
            return Outcome.of_row(row, Ruling(Verdict.UNCHANGED, reason), stat)
        if published.sha256 is None or published.sha256 != row.sha256:
            return None
        if self.keep_sidecars:
            await self.store.put(transfer.archive.sidecar_key, published.data)
        ruling = Ruling(Verdict.UNCHANGED, "its sidecar was fetched again")
        return evolve(
            Outcome.of_row(row, ruling, stat),
            published_sha256=published.sha256,
            sidecar_etag=transfer.sidecar_etag,
        )


async def kept_digest(store: Store, archive: Archive) -> str | None:
    """The digest in the sidecar beside a stored archive, None where there is no good one."""
    data = await store.read(archive.sidecar_key, SIDECAR_LIMIT_BYTES + 1)
    try:
        return None if data is None else parse_sidecar(data, archive.sidecar_key)
    except SidecarMalformed:
        return None


def _seen(outcome: Outcome, listed: ListedArchive | None) -> Outcome | None:
    """The outcome where it needs no comparison with a listing; None where it does."""
    if listed is None:
        return outcome
    if outcome.etag is None or listed.etag is None:
        return None
    size = outcome.stat.size_bytes if outcome.stat else None
    other = is_other_version(size, outcome.etag, listed)
    return None if other else _with_listed(outcome, listed)


def _with_listed(outcome: Outcome, listed: ListedArchive) -> Outcome:
    """Let the ledger learn what the listing says of the very object that is stored."""
    restamped = outcome.etag is not None and not same_moment(
        outcome.last_modified, listed.last_modified
    )
    return evolve(
        outcome,
        etag=listed.etag or outcome.etag,
        last_modified=listed.last_modified or outcome.last_modified,
        sidecar_etag=listed.sidecar_etag or outcome.sidecar_etag,
        change="restamped" if restamped else "",
        seen=True,
    )
