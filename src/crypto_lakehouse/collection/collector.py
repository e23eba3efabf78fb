"""Bring one archive from decision to verdict. No byte is at its final name before its proof."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from attrs import define, evolve, field

from crypto_lakehouse.collection.download.fetcher import Fetched, Fetcher, Transfer
from crypto_lakehouse.collection.inventory import Work
from crypto_lakehouse.collection.verdicts.inspect_download import Examiner, Exhibit
from crypto_lakehouse.collection.verdicts.local_copy import (
    ACCEPTED,
    NOTHING,
    Standing,
    StandingProver,
    kept_digest,
)
from crypto_lakehouse.collection.verdicts.outcome import Outcome
from crypto_lakehouse.collection.verdicts.verdict_rules import Ruling, judge, judge_again
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError, TransferError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.listed import ListedArchive, same_etag, same_moment
from crypto_lakehouse.core.protocols import PART_SUFFIX, FileStat, Store
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["ArchiveCollector"]


_GONE = "the source has it no more; the copy here is verified, and is kept"

#: Headers that are secrets whatever is in them, beside those that `redact` knows by name.
_COOKIES = frozenset({"cookie", "set-cookie"})


@define(kw_only=True)
class ArchiveCollector:
    """Settles one archive at a time; many may be settled concurrently.

    Args:
        fetcher: Fetches zips and sidecars.
        store: Where verified bytes go.
        integrity: `sidecar`, `listing` or `both` (design 3.2).
        keep_sidecars: Whether the sidecar is kept beside its zip.
        keep_replaced: Whether bytes that another version replaces are kept.
        known_hole: Says why an archive is known to be missing at the source, empty where not.
        accept_mismatch: Whether readable archives that disagree with their sidecar are let in.
        today: The UTC day, which tells late archives from missing ones.
        clock: Seconds, monotonic.
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
    _examiner: Examiner = field(init=False)
    _prover: StandingProver = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._examiner = Examiner(self.fetcher, self.integrity, self.keep_sidecars)
        self._prover = StandingProver(self.store, self._examiner, self.keep_sidecars)

    async def collect(self, work: Work) -> ArchiveFinished:
        """Settle one archive.

        Raises:
            StoreError: Only one that concerns every archive; anything else is a verdict.
        """
        started = self.clock()
        transfer = self.fetcher.transfer(work.archive, work.part)
        standing = NOTHING
        try:
            known = None
            if work.stat is not None:
                standing = await self._prover.recognise(work)
                standing = await self._prover.ask(work, transfer, standing)
                known = await self._prover.settle(work, transfer, standing)
            outcome = known or await self._fetch(work, transfer, standing)
            if work.part is not None or transfer.streamed is not None:
                # A beginning that became nothing: the object is gone, or came whole in another way.
                await self.store.remove(work.archive.key + PART_SUFFIX)
        except TransferError as error:
            outcome = _failed(standing, redact(str(error)))
        except StoreError as error:
            if error.stops_run:
                raise
            outcome = _failed(standing, str(error))
        except OSError as error:  # a stored file that cannot be read back
            outcome = _failed(standing, f"cannot be read back: {error}")
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
            sidecar_etag=outcome.sidecar_etag,
            change=outcome.change,
            kept_as=outcome.kept_as,
            stands=outcome.stands,
            seen=outcome.seen,
            accepted=outcome.accepted,
        )

    async def _fetch(self, work: Work, transfer: Transfer, standing: Standing) -> Outcome:
        exhibit, ruling = await self._look(work, transfer)
        if exhibit is None:
            return self._absent(work, standing)
        ruling = self._policy(ruling, exhibit, standing)
        if not _is_let_in(ruling) or (standing.is_verified and _is_doubtful(ruling)):
            return await self._set_aside(work, transfer, exhibit, ruling, standing)
        return await self._let_in(work, transfer, exhibit, ruling, standing)

    async def _look(self, work: Work, transfer: Transfer) -> tuple[Exhibit | None, Ruling]:
        """Fetch and judge; what is not clearly good is fetched anew and judged again."""
        listed = work.planned.listed
        first = await self._examiner.examine(transfer, listed)
        if first is None:
            return None, Ruling(Verdict.MISSING)
        ruling = judge(first.look)
        if ruling is not None:
            return first, ruling
        await first.body.discard()
        second = await self._look_again(transfer, listed)
        if second is None:
            return None, Ruling(Verdict.MISSING)
        return second, _as_sent(judge_again(first.look, second.look), second.fetched)

    async def _look_again(self, transfer: Transfer, listed: ListedArchive | None) -> Exhibit | None:
        """Look afresh, at the second source where there is one and it has the archive."""
        if self.fetcher.ask_elsewhere(transfer):
            with suppress(TransferError):
                elsewhere = await self._examiner.examine(transfer, listed)
                if elsewhere is not None:
                    return elsewhere
            self.fetcher.ask_first(transfer)
        return await self._examiner.examine(transfer, listed)

    def _policy(self, ruling: Ruling, exhibit: Exhibit, standing: Standing) -> Ruling:
        """What the owner's policy and the version that stands make of a ruling."""
        look = exhibit.look
        if ruling.verdict is Verdict.UPSTREAM_MISMATCH and self.accept_mismatch:
            return Ruling(Verdict.UPSTREAM_MISMATCH, ACCEPTED)
        if look.is_stale and ruling.verdict is Verdict.VERIFIED and standing.present is not None:
            return Ruling(Verdict.FAILED, ruling.reason)
        return ruling

    def _absent(self, work: Work, standing: Standing) -> Outcome:
        if standing.present is not None:
            ruling = Ruling(Verdict.UNCHANGED, _GONE)
            return (
                evolve(standing.present, ruling=ruling)
                if standing.is_verified
                else standing.present
            )
        if work.planned.may_be_late(self.today):
            days = work.planned.lag_days
            reason = f"not there yet; up to {days} days after the period that is normal"
            return Outcome(ruling=Ruling(Verdict.NOT_PUBLISHED, reason))
        if hole := self.known_hole(work.archive):
            return Outcome(ruling=Ruling(Verdict.NOT_PUBLISHED, hole))
        reason = "the source has no such archive, although the calendar says that it must exist"
        return Outcome(ruling=Ruling(Verdict.MISSING, reason))

    # What is fetched goes to its final name, or to quarantine ----------------------------------

    async def _let_in(
        self,
        work: Work,
        transfer: Transfer,
        exhibit: Exhibit,
        ruling: Ruling,
        standing: Standing,
    ) -> Outcome:
        """Swap the bytes in. Those of another version that stood there are kept aside."""
        replaced = standing.sha256 not in {None, exhibit.look.sha256}
        kept_as = ""
        if replaced and self.keep_replaced and standing.sha256 is not None:
            kept_as = await self.store.keep_replaced(work.archive.key, standing.sha256)
        stat, ruling = await self._commit(work, exhibit, ruling)
        return _of_exhibit(
            exhibit,
            ruling,
            transfer,
            stat=stat,
            change="replaced" if replaced else _restamped(work, exhibit.fetched),
            kept_as=kept_as,
            accepted=ruling.verdict is Verdict.UPSTREAM_MISMATCH,
        )

    async def _commit(
        self, work: Work, exhibit: Exhibit, ruling: Ruling
    ) -> tuple[FileStat, Ruling]:
        """Move zip and sidecar to their final names.

        Sidecar first, so that no zip is ever without its proof; but behind a zip that it takes
        the place of, as a file that is not the ledger's is looked at again by the next run.
        What takes a good file's place is synced before: a power loss leaves one of the two.
        """
        stands = work.stat is not None
        data = exhibit.sidecar if self.keep_sidecars else None
        agrees = exhibit.look.published_sha256 == exhibit.look.sha256
        if data is not None and not agrees and ruling.verdict is Verdict.VERIFIED:
            reason = "the ETag proves it; its sidecar disagrees and is not kept"
            ruling = Ruling(ruling.verdict, reason)
        if data is None or not agrees:
            stat = await exhibit.body.commit(sync=stands)
            await self._drop_foreign_sidecar(work, exhibit.look.sha256)
            return stat, ruling
        if stands:
            stat = await exhibit.body.commit(sync=True)
            await self.store.put(work.archive.sidecar_key, data, sync=True)
            return stat, ruling
        await self.store.put(work.archive.sidecar_key, data)
        return await exhibit.body.commit(), ruling

    async def _drop_foreign_sidecar(self, work: Work, sha256: str) -> None:
        """Remove the sidecar of another version; beside this one it would be a lie."""
        if await kept_digest(self.store, work.archive) not in {None, sha256}:
            await self.store.remove(work.archive.sidecar_key)

    async def _set_aside(
        self,
        work: Work,
        transfer: Transfer,
        exhibit: Exhibit,
        ruling: Ruling,
        standing: Standing,
    ) -> Outcome:
        is_same = exhibit.look.sha256 == standing.sha256
        # Nothing is wrong with bytes that are only old, or that stand there already.
        if ruling.verdict is Verdict.FAILED or (is_same and _is_doubtful(ruling)):
            await exhibit.body.discard()
        else:
            await exhibit.body.quarantine(_note(work, exhibit, ruling))
        stands = standing.present is not None
        if stands:
            what = "was verified" if standing.is_verified else "stood here"
            reason = f"{ruling.reason}; the version that {what} before stays"
            ruling = Ruling(ruling.verdict, reason)
        return _of_exhibit(exhibit, ruling, transfer, stands=stands)


def _is_let_in(ruling: Ruling) -> bool:
    good = ruling.verdict in {Verdict.VERIFIED, Verdict.SIDECAR_MISSING}
    return good or ruling.reason == ACCEPTED


def _as_sent(ruling: Ruling, fetched: Fetched) -> Ruling:
    """Blame whoever encoded the bytes on their way, although they were asked for as they are."""
    encoding = fetched.headers.get("Content-Encoding", "identity")
    wrong = {Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH}
    if ruling.verdict not in wrong or encoding == "identity":
        return ruling
    reason = f"{ruling.reason}; it was sent with Content-Encoding: {_printable(encoding)}, unasked"
    return Ruling(Verdict.CORRUPT, reason)


def _is_doubtful(ruling: Ruling) -> bool:
    """Whether bytes are good enough for an empty place, but not for that of verified ones."""
    return ruling.verdict is Verdict.SIDECAR_MISSING


def _failed(standing: Standing, reason: str) -> Outcome:
    return Outcome(ruling=Ruling(Verdict.FAILED, reason), stands=standing.present is not None)


def _of_exhibit(
    exhibit: Exhibit,
    ruling: Ruling,
    transfer: Transfer,
    **facts: Any,  # noqa: ANN401 - further fields of `Outcome`
) -> Outcome:
    look, fetched = exhibit.look, exhibit.fetched
    return Outcome(
        ruling=ruling,
        sha256=look.sha256,
        published_sha256=look.published_sha256,
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        sidecar_etag=transfer.sidecar_etag,
        **facts,
    )


def _restamped(work: Work, fetched: Fetched) -> str:
    """Whether the same bytes came under other dates or ETags than the ledger knows."""
    row = work.standing
    if row is None or row.etag is None:
        return ""
    same = same_etag(row.etag, fetched.etag) and same_moment(
        row.last_modified, fetched.last_modified
    )
    return "" if same else "restamped"


def _note(work: Work, exhibit: Exhibit, ruling: Ruling) -> dict[str, object]:
    """What quarantine says of the bytes that it keeps."""
    fetched = exhibit.fetched
    return {
        "key": work.archive.key,
        "verdict": str(ruling.verdict),
        "reason": ruling.reason,
        "sha256": exhibit.look.sha256,
        "published_sha256": exhibit.look.published_sha256,
        "size_bytes": exhibit.body.size_bytes,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "url": redact(fetched.url),
        "headers": {_printable(name): _value(name, text) for name, text in fetched.headers.items()},
        "quarantined_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _value(name: str, text: str) -> str:
    """A header's value; nothing of one whose name says that it is a secret."""
    line = f"{name}: x"
    is_secret = name.lower() in _COOKIES or redact(line) != line
    return "***" if is_secret else _printable(text)


def _printable(text: str) -> str:
    """A header's text without secrets, and without bytes that no file in UTF-8 can hold."""
    return redact(text.encode(errors="backslashreplace").decode())
