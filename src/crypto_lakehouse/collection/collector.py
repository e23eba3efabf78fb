"""Bring one archive from decision to verdict. No byte is at its final name before its proof."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import date
from typing import BinaryIO

from anyio import from_thread, to_thread
from attrs import define, evolve, frozen

from crypto_lakehouse.collection.inventory import Action, Work
from crypto_lakehouse.collection.judgement import (
    NO_SIDECAR,
    Look,
    Ruling,
    judge,
    judge_again,
    md5_of_etag,
)
from crypto_lakehouse.collection.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.collection.transfer import Body, Fetched, Fetcher, Transfer
from crypto_lakehouse.collection.zip_check import INLINE_BYTES, check_zip
from crypto_lakehouse.core.errors import SidecarMalformed, StoreError, TransferError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.ports import FileStat, LedgerRow, Store
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

__all__ = ["ArchiveCollector"]


@frozen(kw_only=True)
class _Outcome:
    """A ruling, and the facts that the ledger keeps with it."""

    ruling: Ruling
    stat: FileStat | None = None
    sha256: str | None = None
    published_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of_row(cls, row: LedgerRow, ruling: Ruling, stat: FileStat) -> _Outcome:
        """What the ledger knew already, of a file that is proven to be the same."""
        return cls(
            ruling=ruling,
            stat=stat,
            sha256=row.sha256,
            published_sha256=row.published_sha256,
            etag=row.etag,
            last_modified=row.last_modified,
        )


@frozen(kw_only=True)
class _Exhibit:
    """A fetched body with what a look at it showed, and its sidecar as published."""

    fetched: Fetched
    look: Look
    sidecar: bytes | None

    @property
    def body(self) -> Body:
        return self.fetched.body


@define
class ArchiveCollector:
    """Settles one archive at a time; many may be settled concurrently.

    Args:
        fetcher: Fetches zips and sidecars.
        store: Where verified bytes go.
        integrity: `sidecar`, `listing` or `both` (design 3.2).
        keep_sidecars: Whether the sidecar is kept beside its zip.
        today: The UTC day, which tells late archives from missing ones.
        clock: Seconds, monotonic.
    """

    fetcher: Fetcher
    store: Store
    integrity: str
    keep_sidecars: bool
    today: date
    clock: Callable[[], float] = time.monotonic

    async def collect(self, work: Work) -> ArchiveFinished:
        """Settle one archive.

        Raises:
            StoreError: Only one that concerns every archive; anything else is a verdict.
        """
        started = self.clock()
        transfer = self.fetcher.transfer(work.archive, work.part)
        try:
            outcome = await self._settle(work, transfer)
        except TransferError as error:
            outcome = _Outcome(ruling=Ruling(Verdict.FAILED, redact(str(error))))
        except StoreError as error:
            if error.stops_run:
                raise
            outcome = _Outcome(ruling=Ruling(Verdict.FAILED, str(error)))
        except OSError as error:  # a stored file that cannot be read back
            outcome = _Outcome(ruling=Ruling(Verdict.FAILED, f"cannot be read back: {error}"))
        return ArchiveFinished(
            archive=work.archive,
            verdict=outcome.ruling.verdict,
            reason=outcome.ruling.reason,
            size_bytes=outcome.stat.size_bytes if outcome.stat else None,
            mtime_ns=outcome.stat.mtime_ns if outcome.stat else None,
            sha256=outcome.sha256,
            published_sha256=outcome.published_sha256,
            etag=outcome.etag,
            last_modified=outcome.last_modified,
            fetched_bytes=transfer.fetched_bytes,
            requests=transfer.requests,
            elapsed_s=self.clock() - started,
        )

    async def _settle(self, work: Work, transfer: Transfer) -> _Outcome:
        outcome = None
        if work.action is Action.CHECK and work.stat is not None:
            outcome = await self._check(work, work.stat, transfer)
        elif work.action is Action.FETCH_SIDECAR and work.row is not None:
            outcome = await self._restore_sidecar(work.row, transfer)
        return outcome or await self._fetch(work, transfer)

    # A file is there already -----------------------------------------------------------------

    async def _check(self, work: Work, stat: FileStat, transfer: Transfer) -> _Outcome | None:
        """Prove the file that is there; None where it cannot be, and must be fetched."""
        key = work.archive.key
        actual = await self.store.sha256(key)
        if actual is None:
            return None
        row = work.row if work.row and work.row.verdict in SUCCESSES else None
        if row is not None and row.sha256 == actual:
            known = _Outcome.of_row(row, Ruling(Verdict.UNCHANGED), stat)
            return await self._if_readable(work, known)
        kept = await self._kept_sidecar(work)
        if kept is not None:
            ruling = Ruling(Verdict.UNCHANGED)
        else:
            ruling, kept = await self._check_with_source(work, transfer, actual)
        if ruling.verdict is not Verdict.SIDECAR_MISSING and kept != actual:
            return None
        present = _Outcome(ruling=ruling, stat=stat, sha256=actual, published_sha256=kept)
        return await self._if_readable(work, present)

    async def _check_with_source(
        self, work: Work, transfer: Transfer, actual: str
    ) -> tuple[Ruling, str | None]:
        """Ask for the published sidecar: one small request instead of the whole zip."""
        data, published, _ = await self._published(transfer)
        if data is None:
            return NO_SIDECAR, None
        if published == actual and self.keep_sidecars:
            await self.store.put(work.archive.sidecar_key, data)
        return Ruling(Verdict.VERIFIED), published

    async def _if_readable(self, work: Work, outcome: _Outcome) -> _Outcome | None:
        """A right digest is not enough for the file that is there: it must be a zip, too."""
        archive = work.archive
        size = outcome.stat.size_bytes if outcome.stat else 0
        fault = await check_zip(lambda: self.store.reader(archive.key), archive.member, size)
        return None if fault else outcome

    async def _kept_sidecar(self, work: Work) -> str | None:
        """The digest in the sidecar on disk, None where there is no good one."""
        key = work.archive.sidecar_key
        data = await self.store.read(key, SIDECAR_LIMIT_BYTES + 1)
        try:
            return None if data is None else parse_sidecar(data, key)
        except SidecarMalformed:
            return None

    async def _restore_sidecar(self, row: LedgerRow, transfer: Transfer) -> _Outcome | None:
        data, published, _ = await self._published(transfer)
        if data is None or published is None or published != row.sha256:
            return None
        await self.store.put(transfer.archive.sidecar_key, data)
        stat = FileStat(row.size_bytes or 0, row.mtime_ns or 0)
        ruling = Ruling(Verdict.UNCHANGED, "its sidecar was fetched again")
        return evolve(_Outcome.of_row(row, ruling, stat), published_sha256=published)

    # Nothing is there, or it is no good --------------------------------------------------------

    async def _fetch(self, work: Work, transfer: Transfer) -> _Outcome:
        first = await self._examine(transfer)
        if first is None:
            return self._absent(work)
        ruling = judge(first.look)
        if ruling is not None:
            return await self._file(work, first, ruling)
        await first.body.discard()
        transfer.resume = None
        second = await self._examine(transfer)
        if second is None:
            return self._absent(work)
        return await self._file(work, second, judge_again(first.look, second.look))

    def _absent(self, work: Work) -> _Outcome:
        if work.planned.may_be_late(self.today):
            days = work.planned.lag_days
            reason = f"not there yet; up to {days} days after the period that is normal"
            return _Outcome(ruling=Ruling(Verdict.NOT_PUBLISHED, reason))
        reason = "the source has no such archive, although the calendar says that it must exist"
        return _Outcome(ruling=Ruling(Verdict.MISSING, reason))

    async def _examine(self, transfer: Transfer) -> _Exhibit | None:
        """Fetch an archive with its sidecar, and look at it; None where there is none."""
        fetched = await self.fetcher.archive(transfer)
        if fetched is None:
            return None
        needs_sidecar = (
            self.keep_sidecars or self.integrity != "listing" or not md5_of_etag(fetched.etag)
        )
        data, published, fault = (
            await self._published(transfer) if needs_sidecar else (None, None, "")
        )
        body, member = fetched.body, transfer.archive.member
        zip_fault = await check_zip(body.reader, member, body.size_bytes)
        look = Look(
            sha256=body.sha256(),
            integrity=self.integrity,
            etag_agrees=None,
            published_sha256=published,
            sidecar_fault=fault,
            zip_fault=zip_fault,
        )
        if self.integrity != "sidecar" or not look.is_proven:
            look = evolve(look, etag_agrees=await _etag_agrees(fetched))
        return _Exhibit(fetched=fetched, look=look, sidecar=data)

    async def _published(self, transfer: Transfer) -> tuple[bytes | None, str | None, str]:
        """Fetch the sidecar: its bytes, its digest, and why it has none."""
        data = await self.fetcher.sidecar(transfer)
        if data is None:
            return None, None, ""
        try:
            return data, parse_sidecar(data, transfer.archive.sidecar_key), ""
        except SidecarMalformed as error:
            return data, None, str(error)

    async def _file(self, work: Work, exhibit: _Exhibit, ruling: Ruling) -> _Outcome:
        """Put the bytes where the ruling says: at the final name, or in quarantine."""
        look, fetched = exhibit.look, exhibit.fetched
        stat = None
        if ruling.verdict in {Verdict.VERIFIED, Verdict.SIDECAR_MISSING}:
            if exhibit.sidecar is not None and self.keep_sidecars:
                ruling = await self._keep_sidecar(work, exhibit, ruling)
            stat = await exhibit.body.commit()
        else:
            await exhibit.body.quarantine(_note(work, exhibit, ruling))
        return _Outcome(
            ruling=ruling,
            stat=stat,
            sha256=look.sha256,
            published_sha256=look.published_sha256,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
        )

    async def _keep_sidecar(self, work: Work, exhibit: _Exhibit, ruling: Ruling) -> Ruling:
        """Store the sidecar before its zip, so that no zip is ever without its proof."""
        if exhibit.sidecar is None or exhibit.look.published_sha256 != exhibit.look.sha256:
            return Ruling(
                ruling.verdict, "the ETag proves it; its sidecar disagrees and is not kept"
            )
        await self.store.put(work.archive.sidecar_key, exhibit.sidecar)
        return ruling


def _note(work: Work, exhibit: _Exhibit, ruling: Ruling) -> dict[str, object]:
    """What quarantine says of the bytes that it keeps."""
    return {
        "key": work.archive.key,
        "verdict": str(ruling.verdict),
        "reason": ruling.reason,
        "sha256": exhibit.look.sha256,
        "published_sha256": exhibit.look.published_sha256,
        "size_bytes": exhibit.body.size_bytes,
        "etag": exhibit.fetched.etag,
        "last_modified": exhibit.fetched.last_modified,
    }


async def _etag_agrees(fetched: Fetched) -> bool | None:
    """Whether the body's MD5 is the object's ETag; None where the ETag is no MD5."""
    expected = md5_of_etag(fetched.etag)
    if expected is None:
        return None
    if fetched.body.size_bytes <= INLINE_BYTES:
        with fetched.body.reader() as file:
            return _md5(file, lambda: None) == expected
    return await to_thread.run_sync(_md5_in_thread, fetched.body) == expected


def _md5_in_thread(body: Body) -> str:
    with body.reader() as file:
        return _md5(file, from_thread.check_cancelled)


def _md5(file: BinaryIO, step: Callable[[], None]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
        step()
    return digest.hexdigest()
