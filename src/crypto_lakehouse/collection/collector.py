"""Settle one archive. No byte is at its final name before it is verified."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime

from attrs import define, evolve, field, frozen

from crypto_lakehouse.collection.download.bodies import MemoryBody
from crypto_lakehouse.collection.download.fetcher import Fetched, Fetcher, Transfer
from crypto_lakehouse.collection.lost_claims import ClaimLost
from crypto_lakehouse.collection.verdicts.earlier_bytes import (
    EarlierBytes,
    keep_earlier,
    with_recorded,
)
from crypto_lakehouse.collection.verdicts.earlier_proof import drop_foreign_sidecar, earlier_digests
from crypto_lakehouse.collection.verdicts.inspect_download import Download, DownloadInspector
from crypto_lakehouse.collection.verdicts.local_copy import (
    ACCEPTED,
    NOTHING,
    LocalCopy,
    LocalCopyChecker,
)
from crypto_lakehouse.collection.verdicts.outcome import ArchiveOutcome
from crypto_lakehouse.collection.verdicts.verdict_rules import (
    BY_ETAG_ALONE,
    Decision,
    decide,
    decide_on_second_fetch,
    decide_without_sidecar,
)
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError, StoreError, TransferError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.listed import ListedArchive, same_etag, same_moment
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.protocols import PART_SUFFIX, PutsArchives, Store
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.core.visible import visible
from crypto_lakehouse.http.content_encoding import sent_encoded

__all__ = ["ArchiveCollector"]


_GONE = "the source has it no more; the copy here is verified, and is kept"

#: Headers that are secrets whatever is in them, beside those that `redact` knows by name.
_COOKIES = frozenset({"cookie", "set-cookie"})


@define(kw_only=True)
class ArchiveCollector:
    """Settles one archive at a time; many may be settled concurrently.

    Args:
        fetcher: Fetches zips and sidecars.
        store: Keeps verified bytes.
        integrity: `sidecar`, `listing` or `both` (ARCHITECTURE.md#integrity).
        keep_sidecars: Whether the sidecar is kept beside its zip.
        keep_replaced: Whether bytes that another version replaces are kept.
        known_hole: Returns why an archive is known to be missing at the source, or an empty string.
        accept_mismatch: Whether readable archives that disagree with their sidecar are accepted.
        today: The UTC day, which distinguishes late archives from missing ones.
        clock: Returns seconds, monotonic.
    """

    fetcher: Fetcher
    store: Store
    integrity: str
    keep_sidecars: bool
    keep_replaced: bool = True
    accept_mismatch: bool = False
    known_hole: Callable[[Archive], str] = field(default=lambda _: "")
    today: date
    clock: Callable[[], float] = time.monotonic
    _inspector: DownloadInspector = field(init=False)
    _checker: LocalCopyChecker = field(init=False)
    _puts_archives: PutsArchives | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Asked once: that takes a percent of the time of a small archive.
        self._puts_archives = self.store if isinstance(self.store, PutsArchives) else None
        self._inspector = DownloadInspector(self.fetcher, self.integrity, self.keep_sidecars)
        self._checker = LocalCopyChecker(self.store, self._inspector, self.keep_sidecars)

    async def collect(self, work: Work) -> ArchiveFinished:
        """Settle one archive.

        Raises:
            ClaimLost: Another run may have settled it meanwhile.
            LakehouseError: The error concerns every archive, like a full disk; all other errors
                become a verdict.
        """
        started = self.clock()
        listed = work.planned.listed
        transfer = self.fetcher.transfer(
            work.archive, work.part, listed.size_bytes if listed else None
        )
        try:
            outcome = await self._outcome(work, transfer)
        finally:
            await transfer.close()
        return ArchiveFinished(
            archive=work.archive,
            verdict=outcome.decision.verdict,
            reason=outcome.decision.reason,
            facts=outcome.facts,
            fetched_bytes=transfer.fetched_bytes,
            requests=transfer.requests,
            elapsed_s=self.clock() - started,
            change=outcome.change,
            kept_as=outcome.kept_as,
            unrecorded=outcome.unrecorded,
            stands=outcome.stands,
            seen=outcome.seen,
            accepted=outcome.accepted,
            unavailable=outcome.unavailable and not _has_answer(transfer),
            answers=tuple(transfer.answers),
        )

    async def _outcome(self, work: Work, transfer: Transfer) -> ArchiveOutcome:
        """Check the file at the final name, and fetch the archive unless the file can stay."""
        local_copy = NOTHING
        try:
            local_copy = await self._checker.check(work, transfer)
            if local_copy.failure is not None:
                raise local_copy.failure
            outcome = local_copy.kept or await self._fetch(_Fetch(work, transfer, local_copy))
            outcome = await with_recorded(self.store, work, outcome)
            if work.part is not None or transfer.has_part:
                # An unused part: the object is gone, or was fetched in another way.
                await self.store.remove(work.archive.key + PART_SUFFIX)
        except TransferError as error:
            failed = _failed(local_copy, redact(str(error)))
            return evolve(failed, unavailable=error.unavailable)
        except StoreError as error:
            if error.stops_run:
                raise
            return _failed(local_copy, str(error))
        except OSError as error:  # a stored file that cannot be read back
            return _failed(local_copy, f"cannot be read back: {error}")
        except (ClaimLost, LedgerError):
            raise
        except Exception as error:  # noqa: BLE001 - one archive must not end the run
            return _failed(local_copy, unforeseen(error, work.archive.key))
        return outcome

    async def _fetch(self, fetch: _Fetch) -> ArchiveOutcome:
        download, decision = await self._inspect(fetch)
        if download is None:
            return self._absent(fetch)
        if decision.verdict is Verdict.SIDECAR_MISSING:
            download, decision = await self._by_earlier_proof(fetch, download)
        decision = self._policy(decision, download, fetch.local_copy)
        replaces_verified = fetch.local_copy.is_verified
        if not _is_let_in(decision) or (replaces_verified and _is_doubtful(decision)):
            return await self._set_aside(fetch, download, decision)
        return await self._let_in(fetch, download, decision)

    async def _inspect(self, fetch: _Fetch) -> tuple[Download | None, Decision]:
        """Fetch and decide; if the bytes are not clearly good, fetch and decide again."""
        transfer, listed = fetch.transfer, fetch.work.planned.listed
        first = await self._inspector.inspect(transfer, listed)
        if first is None:
            return None, Decision(Verdict.MISSING)
        decision = decide(first.evidence)
        if decision is not None:
            return first, decision
        await first.body.discard()
        second = await self._inspect_again(transfer, listed)
        if second is None:
            return None, Decision(Verdict.MISSING)
        return second, _as_sent(decide_on_second_fetch(first.evidence, second.evidence), second)

    async def _inspect_again(
        self, transfer: Transfer, listed: ListedArchive | None
    ) -> Download | None:
        """Fetch again, from the second source if there is one and it has the archive."""
        if self.fetcher.ask_elsewhere(transfer):
            with suppress(TransferError):
                elsewhere = await self._inspector.inspect(transfer, listed)
                if elsewhere is not None:
                    return elsewhere
            self.fetcher.ask_first(transfer)
        return await self._inspector.inspect(transfer, listed)

    async def _by_earlier_proof(
        self, fetch: _Fetch, download: Download
    ) -> tuple[Download, Decision]:
        """Decide on bytes whose sidecar is absent, by what was verified here before."""
        work, evidence = fetch.work, download.evidence
        earlier = await earlier_digests(self.store, work.archive, work.row)
        decision = decide_without_sidecar(
            evidence.sha256, earlier, stands=fetch.local_copy.is_verified
        )
        if decision.verdict is Verdict.VERIFIED:
            evidence = evolve(evidence, published_sha256=evidence.sha256)
        return evolve(download, evidence=evidence), decision

    def _policy(self, decision: Decision, download: Download, local_copy: LocalCopy) -> Decision:
        """Adapt a decision to the policy, and to the version at the final name."""
        evidence = download.evidence
        if decision.verdict is Verdict.UPSTREAM_MISMATCH and self.accept_mismatch:
            return Decision(Verdict.UPSTREAM_MISMATCH, ACCEPTED)
        if (
            evidence.is_stale
            and decision.verdict is Verdict.VERIFIED
            and local_copy.present is not None
        ):
            return Decision(Verdict.FAILED, decision.reason)
        return decision

    def _absent(self, fetch: _Fetch) -> ArchiveOutcome:
        planned, present = fetch.work.planned, fetch.local_copy.present
        if present is not None:
            is_verified = fetch.local_copy.is_verified
            decision = Decision(Verdict.UNCHANGED, _GONE)
            return evolve(present, decision=decision) if is_verified else present
        if planned.may_be_late(self.today):
            days = planned.lag_days
            reason = f"not there yet; up to {plural(days, 'day')} after the period that is normal"
            return ArchiveOutcome(decision=Decision(Verdict.NOT_PUBLISHED, reason))
        if hole := self.known_hole(planned.archive):
            return ArchiveOutcome(decision=Decision(Verdict.NOT_PUBLISHED, hole))
        reason = "the source has no such archive, although the calendar says that it must exist"
        return ArchiveOutcome(decision=Decision(Verdict.MISSING, reason))

    # What is fetched goes to its final name, or to quarantine ----------------------------------

    async def _let_in(
        self, fetch: _Fetch, download: Download, decision: Decision
    ) -> ArchiveOutcome:
        """Move the bytes to their final name, and keep those of a replaced version."""
        before, arriving = fetch.local_copy.sha256, download.evidence.sha256
        present = fetch.local_copy.present
        replaced, earlier = before not in {None, arriving}, EarlierBytes()
        if replaced and self.keep_replaced and before is not None and present is not None:
            earlier = await keep_earlier(self.store, fetch.work, present, before, arriving)
            replaced = not earlier.are_same
        stat, decision = await self._commit(fetch.work, download, decision)
        return ArchiveOutcome(
            decision=decision,
            facts=_facts_of(download, fetch.transfer).of_file(stat),
            change="replaced" if replaced else _restamped(fetch.work, download.fetched),
            kept_as=earlier.kept_as,
            unrecorded=earlier.unrecorded,
            accepted=decision.verdict is Verdict.UPSTREAM_MISMATCH,
        )

    async def _commit(
        self, work: Work, download: Download, decision: Decision
    ) -> tuple[FileStat, Decision]:
        """Move zip and sidecar to their final names.

        The sidecar comes first, so that no zip is ever without its proof. If a zip is replaced,
        the sidecar comes second, as the next run checks a file that the ledger does not know.
        A replacement is synced first: a power loss leaves one of the two files.
        """
        stands = work.stat is not None
        data = download.sidecar if self.keep_sidecars else None
        agrees = download.evidence.published_sha256 == download.evidence.sha256
        if data is not None and not agrees and decision.verdict is Verdict.VERIFIED:
            decision = Decision(decision.verdict, BY_ETAG_ALONE)
        if data is None or not agrees:
            stat = await download.body.commit(sync=stands)
            await drop_foreign_sidecar(self.store, work.archive, download.evidence.sha256)
            return stat, decision
        if stands:
            stat = await download.body.commit(sync=True)
            await self.store.put(work.archive.sidecar_key, data, sync=True)
            return stat, decision
        body, sha256 = download.body, download.evidence.sha256
        if self._puts_archives is not None and isinstance(body, MemoryBody):
            put = self._puts_archives.put_archive
            return await put(work.archive.key, body.data, data, sha256=sha256), decision
        await self.store.put(work.archive.sidecar_key, data)
        return await body.commit(), decision

    async def _set_aside(
        self, fetch: _Fetch, download: Download, decision: Decision
    ) -> ArchiveOutcome:
        local_copy = fetch.local_copy
        is_same = download.evidence.sha256 == local_copy.sha256
        # Bytes that are only old, or are there already, do not belong in quarantine.
        if decision.verdict is Verdict.FAILED or (is_same and _is_doubtful(decision)):
            await download.body.discard()
        else:
            await self._quarantine(fetch, download, decision)
        stands = local_copy.present is not None
        if stands:
            what = "was verified" if local_copy.is_verified else "stood here"
            reason = f"{decision.reason}; the version that {what} before stays"
            decision = Decision(decision.verdict, reason)
        facts = await self._facts_of_refused(fetch, download)
        return ArchiveOutcome(decision=decision, facts=facts, stands=stands)

    async def _facts_of_refused(self, fetch: _Fetch, download: Download) -> ObjectFacts:
        """Return the facts of bytes that are set aside.

        If a version was verified before, its digest is recorded instead of theirs: it decides
        later, if the source has no sidecar any more. ETags tell whether the source has changed.
        """
        facts, work = _facts_of(download, fetch.transfer), fetch.work
        if fetch.local_copy.present is not None:  # its row in the ledger stays
            return facts
        earlier = await earlier_digests(self.store, work.archive, work.row)
        return facts._replace(sha256=None, published_sha256=min(earlier)) if earlier else facts

    async def _quarantine(self, fetch: _Fetch, download: Download, decision: Decision) -> None:
        """Put bytes in quarantine; bytes that the store had to remove are fetched once more."""
        if await download.body.quarantine(_note(fetch.work, download, decision)):
            return
        with suppress(TransferError):
            self.fetcher.ask_first(fetch.transfer)
            again = await self._inspector.inspect(fetch.transfer, fetch.work.planned.listed)
            if again is not None:
                await again.body.quarantine(_note(fetch.work, again, decision))


@frozen
class _Fetch:
    """One archive that must be fetched: the work, its requests, and the file at its final name."""

    work: Work
    transfer: Transfer
    local_copy: LocalCopy


def _has_answer(transfer: Transfer) -> bool:
    return transfer.answered or transfer.fetched_bytes > 0


def _is_let_in(decision: Decision) -> bool:
    good = decision.verdict in {Verdict.VERIFIED, Verdict.SIDECAR_MISSING}
    return good or decision.reason == ACCEPTED


def _as_sent(decision: Decision, download: Download) -> Decision:
    """Name the cause if the zip came with a Content-Encoding that was not requested."""
    sent = sent_encoded(download.fetched.headers, "the zip")
    wrong = {Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH}
    is_of_sidecar = decision.reason == download.evidence.sidecar_fault
    if decision.verdict not in wrong or not sent or is_of_sidecar:
        return decision
    return Decision(Verdict.CORRUPT, f"{decision.reason}{sent}")


def _is_doubtful(decision: Decision) -> bool:
    """Whether bytes are good enough for a free name, but must not replace verified ones."""
    return decision.verdict is Verdict.SIDECAR_MISSING


def _failed(local_copy: LocalCopy, reason: str) -> ArchiveOutcome:
    decision = Decision(Verdict.FAILED, reason)
    return ArchiveOutcome(decision=decision, stands=local_copy.present is not None)


def _facts_of(download: Download, transfer: Transfer) -> ObjectFacts:
    """Return the facts of a fetched body and its sidecar, without a stored file."""
    return ObjectFacts(
        sha256=download.evidence.sha256,
        published_sha256=download.evidence.published_sha256,
        etag=download.fetched.etag,
        last_modified=download.fetched.last_modified,
        sidecar_etag=transfer.sidecar_etag,
    )


def _restamped(work: Work, fetched: Fetched) -> str:
    """Return `restamped` if the same bytes came with other dates or ETags; empty otherwise."""
    row = work.verified_row
    if row is None or row.facts.etag is None:
        return ""
    same = same_etag(row.facts.etag, fetched.etag)
    same = same and same_moment(row.facts.last_modified, fetched.last_modified)
    return "" if same else "restamped"


def _note(work: Work, download: Download, decision: Decision) -> dict[str, object]:
    """Return the note for quarantined bytes."""
    fetched = download.fetched
    return {
        "key": work.archive.key,
        "verdict": str(decision.verdict),
        "reason": decision.reason,
        "sha256": download.evidence.sha256,
        "published_sha256": download.evidence.published_sha256,
        "size_bytes": download.body.size_bytes,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "url": redact(fetched.url),
        "headers": {_printable(name): _value(name, text) for name, text in fetched.headers.items()},
        "quarantined_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _value(name: str, text: str) -> str:
    """Return a header's value, masked if the header's name is that of a secret."""
    line = f"{name}: x"
    is_secret = name.lower() in _COOKIES or redact(line) != line
    return "***" if is_secret else _printable(text)


def _printable(text: str) -> str:
    """Return a header's text without secrets, and with what is not text escaped."""
    return redact(visible(text))
