"""Compare the plan with the disk and the ledger, one series at a time.

One ledger query and one directory scan suffice for all archives of a folder. Unchanged archives are
one event for the whole folder: a second run over a million archives does little else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from attrs import define, field

from crypto_lakehouse.collection.verdicts.from_ledger import (
    not_listed,
    not_published,
    of_row,
    refused,
    still_wrong,
    unchanged,
)
from crypto_lakehouse.collection.work import Action, Work, is_other_version
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive, Partition, Series
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.ledger_protocols import InventoryLedger, LedgerRow
from crypto_lakehouse.core.listed import ListedArchive, same_etag, same_moment
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.plan import PlannedArchive, PlannedPeriod, PlannedSeries
from crypto_lakehouse.core.protocols import PART_SUFFIX, FolderScan, Store
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

__all__ = ["FolderState", "Inventory", "decide"]

_Groups = dict[Partition, list[PlannedPeriod]]


def decide(
    row: LedgerRow | None,
    stat: FileStat | None,
    *,
    has_sidecar: bool,
    force: bool,
    listed: ListedArchive | None = None,
    by_listing: bool = False,
) -> Action:
    """Decide what one archive needs.

    | file    | ledger says           | listing says         | action                          |
    |---------|-----------------------|----------------------|---------------------------------|
    | absent  | anything              | anything             | FETCH                           |
    | present | nothing (ledger lost) | anything             | CHECK                           |
    | present | something else        | anything             | CHECK                           |
    | present | verified, but touched or truncated since | -   | CHECK                           |
    | present | verified, no ETag     | an ETag              | CHECK, to learn the ETag        |
    | present | verified              | other ETag or size   | FETCH, a new version            |
    | present | verified, a newer one was refused | -        | FETCH, the newer one            |
    | present | verified              | other sidecar        | FETCH_SIDECAR                   |
    | present | verified              | the same, or nothing | NOTHING, or FETCH_SIDECAR       |
    | present | verified by its ETag, `by_listing` | the same sidecar | NOTHING                |
    | any     | any, with `force`     | anything             | FETCH                           |

    Args:
        row: What the ledger knows.
        stat: The file at the final name.
        has_sidecar: Whether the sidecar is beside it, or is not wanted.
        force: Whether everything is fetched again.
        listed: What the source's listing says; None if no listing was read.
        by_listing: Whether an ETag is proof enough; its sidecar may disagree, and is not kept then.
    """
    if force or stat is None:
        return Action.FETCH
    if row is None or row.verdict not in SUCCESSES or not row.facts.describes(stat):
        return Action.CHECK
    if listed is not None and listed.etag is not None and row.facts.etag is None:
        return Action.CHECK
    if listed is not None and is_other_version(row.facts, listed):
        return Action.FETCH
    if listed is None and row.newer is not None:
        return Action.FETCH
    published = row.facts.published_sha256
    disagrees = by_listing and published != row.facts.sha256
    if has_sidecar or published is None or disagrees:
        return Action.FETCH_SIDECAR if _has_other_sidecar(row, listed) else Action.NOTHING
    return Action.FETCH_SIDECAR


def _has_other_sidecar(row: LedgerRow, listed: ListedArchive | None) -> bool:
    known = row.facts.sidecar_etag
    if listed is None or listed.sidecar_etag is None or known is None:
        return False
    return not same_etag(known, listed.sidecar_etag)


@define
class FolderState:
    """What disk and ledger have of one key prefix; rarely needed rows are read on demand."""

    prefix: str
    scan: FolderScan
    ledger: InventoryLedger
    _rows: Mapping[str, LedgerRow] | None = None
    _parts: Mapping[str, ObjectFacts] | None = None

    def stat(self, name: str) -> FileStat | None:
        """Return size and mark of the file at an archive's final name."""
        pair = self.scan.zips.get(name)
        return FileStat(*pair) if pair else None

    def row(self, name: str) -> LedgerRow | None:
        """Return everything that the ledger knows about an archive."""
        return self._all_rows().get(name)

    def is_empty(self) -> bool:
        """Whether neither disk nor ledger has an archive of it."""
        return not self.scan.zips and not self._all_rows()

    def _all_rows(self) -> Mapping[str, LedgerRow]:
        if self._rows is None:
            self._rows = self.ledger.rows_now(self.prefix)
        return self._rows

    def part(self, name: str) -> ObjectFacts | None:
        """Return size, ETag and date of an unfinished body."""
        if self._parts is None:
            self._parts = self.ledger.parts_now(self.prefix)
        return self._parts.get(name)


@define
class Inventory:
    """Divides the plan into settled archives and work.

    Args:
        store: Has the files.
        ledger: What earlier runs have found out.
        keep_sidecars: Whether sidecars are kept beside their zips.
        force: Whether everything is fetched again.
        by_listing: Whether an archive's ETag is proof enough, whatever its sidecar says.
        retry_mismatch: Whether archives that disagree with their sidecar are fetched again even if
            the source has changed neither, as a policy may accept them now.
        reads_only: Whether leftovers of a killed run stay, as nothing is to be changed.
    """

    store: Store
    ledger: InventoryLedger
    keep_sidecars: bool = True
    force: bool = False
    by_listing: bool = False
    retry_mismatch: bool = False
    reads_only: bool = False
    _grouped: tuple[Sequence[PlannedPeriod], _Groups] = field(init=False, default=((), {}))
    _read: dict[str, FolderState] = field(init=False, factory=dict)

    def has_nothing_of(self, planned: PlannedSeries) -> bool:
        """Whether disk and ledger have no archive of a series; blocking.

        If so, `sort` leaves a FETCH for each archive that is neither `not_published` nor
        `unlisted`. A caller that only counts need not make a million values to know that.
        """
        self._read.clear()
        for partition, periods in self._by_partition(planned.periods).items():
            prefix = planned.series.folder(partition)
            if all(item.not_published for item in periods):
                continue
            try:
                self._read[prefix] = self._folder(prefix)
            except StoreError:  # `sort` makes verdicts of it
                return False
            if not self._read[prefix].is_empty():
                return False
        return True

    def sort(self, planned: PlannedSeries) -> tuple[list[Event], list[Work]]:
        """Return the verdicts that need no worker, and the work that does, in plan order.

        Verdicts come folder by folder, unchanged archives first. Blocking: one directory scan and
        usually one query for each folder.

        Raises:
            StoreError: The store fails, and would fail for every other folder, too.
            LedgerError: The ledger cannot be read.
        """
        settled: list[Event] = []
        work: list[Work] = []
        for partition, periods in self._by_partition(planned.periods).items():
            if all(item.not_published for item in periods):
                settled += [not_published(planned.archive(item)) for item in periods]
                continue
            prefix = planned.series.folder(partition)
            try:
                done, todo = self._sort_folder(planned, periods, self._folder(prefix))
            except Exception as error:  # noqa: BLE001 - one folder must not end the run
                is_store_error = isinstance(error, StoreError) and not error.stops_run
                reason = str(error) if is_store_error else unforeseen(error, prefix)
                settled += [refused(planned.archive(item), reason) for item in periods]
                continue
            settled += done
            work += todo
        if work:
            place = {item.period: number for number, item in enumerate(planned.periods)}
            work.sort(key=lambda item: place[item.archive.period])
        return settled, work

    def judge_again(
        self, item: PlannedArchive, folders: dict[str, FolderState]
    ) -> ArchiveFinished | Work:
        """Return the verdict on one archive, or its work, when other work is under way; blocking.

        Args:
            item: The archive.
            folders: The folders that were read before, to which its own is added.

        Raises:
            StoreError: As `sort`.
            LedgerError: As `sort`.
        """
        prefix = item.archive.folder
        try:
            if prefix not in folders:
                scan = self.store.scan_now(prefix)
                folders[prefix] = FolderState(prefix, scan, self.ledger)
        except StoreError as error:
            if error.stops_run:
                raise
            return refused(item, str(error))
        return self._judge(item, folders[prefix])

    def _by_partition(self, periods: Sequence[PlannedPeriod]) -> _Groups:
        """Group periods; series with one calendar share a tuple, which is grouped once."""
        if self._grouped[0] is not periods:
            groups: _Groups = {}
            for item in periods:
                groups.setdefault(item.period.partition, []).append(item)
            self._grouped = periods, groups
        return self._grouped[1]

    def _folder(self, prefix: str) -> FolderState:
        """Return the state of a key prefix."""
        if prefix in self._read:
            return self._read.pop(prefix)
        folder = FolderState(prefix, self.store.scan_now(prefix), self.ledger)
        if not self.reads_only:
            self._clear_leftovers(folder)
        return folder

    def _clear_leftovers(self, folder: FolderState) -> None:
        """Remove unfinished bodies of a killed run that cannot be resumed.

        This comes before any work in the folder: a plan names each series once.
        """
        for name in [name for name in folder.scan.others if name.endswith(PART_SUFFIX)]:
            if folder.part(name.removesuffix(PART_SUFFIX)) is None:
                with suppress(StoreError):  # the fetch that needs the name raises its own error
                    self.store.remove_now(folder.prefix + name)

    def _sort_folder(
        self, planned: PlannedSeries, periods: list[PlannedPeriod], folder: FolderState
    ) -> tuple[list[Event], list[Work]]:
        settled: list[Event] = []
        work: list[Work] = []
        same, others = self._plainly_unchanged(planned.series.stem, periods, folder)
        if same:
            settled.append(self._unchanged(planned.series, same, folder.prefix))
        for item in others:
            outcome = self._judge(planned.archive(item), folder)
            if isinstance(outcome, Work):
                work.append(outcome)
            else:
                settled.append(outcome)
        return settled, work

    def _plainly_unchanged(
        self, stem: str, periods: list[PlannedPeriod], folder: FolderState
    ) -> tuple[list[PlannedPeriod], list[PlannedPeriod]]:
        """Split off unchanged archives, in as few steps as possible: nearly all in a second run."""
        if self.force or not folder.scan.zips:
            return [], periods
        zips, sidecars = folder.scan.zips, folder.scan.others
        verified = self.ledger.verified_now(folder.prefix)
        keep_sidecars = self.keep_sidecars
        same: list[PlannedPeriod] = []
        others: list[PlannedPeriod] = []
        for item in periods:
            name = f"{stem}{item.period.text}.zip"
            stat = verified.get(name)
            if (
                stat is not None
                and stat == zips.get(name)
                and (not keep_sidecars or f"{name}.CHECKSUM" in sidecars)
                and not item.not_published
                and not item.unlisted
            ):
                same.append(item)
            else:
                others.append(item)
        if any(item.listed is not None for item in same):
            return self._same_at_source(stem, same, others, folder.prefix)
        return same, others

    def _same_at_source(
        self,
        stem: str,
        same: list[PlannedPeriod],
        others: list[PlannedPeriod],
        prefix: str,
    ) -> tuple[list[PlannedPeriod], list[PlannedPeriod]]:
        """Move archives to `others` if the source has another object, or was not listed."""
        objects = self.ledger.objects_now(prefix)
        still: list[PlannedPeriod] = []
        for item in same:
            known, listed = objects[f"{stem}{item.period.text}.zip"], item.listed
            if listed is not None and _is_listed_version(known, listed):
                still.append(item)
            else:
                others.append(item)
        return still, others

    def _unchanged(
        self, series: Series, same: list[PlannedPeriod], prefix: str
    ) -> ArchivesUnchanged:
        seen = same[0].listed is not None  # as it is of all of them

        def details() -> Iterator[ArchiveFinished]:
            rows = self.ledger.rows_now(prefix)
            for item in same:
                archive = Archive(series, item.period)
                yield of_row(archive, rows[archive.name], Verdict.UNCHANGED, seen=seen)

        size = sum(item.listed.size_bytes for item in same if item.listed) if seen else 0
        return ArchivesUnchanged(prefix, len(same), details, seen, size)

    def _judge(self, item: PlannedArchive, folder: FolderState) -> ArchiveFinished | Work:
        name = item.archive.name
        if item.not_published:
            return not_published(item)
        row, stat = folder.row(name), folder.stat(name)
        if item.unlisted and stat is None:
            return not_listed(item)
        has_sidecar = not self.keep_sidecars or name + SIDECAR_SUFFIX in folder.scan.others
        listed = item.listed
        action = decide(
            row,
            stat,
            has_sidecar=has_sidecar,
            force=self.force,
            listed=listed,
            by_listing=self.by_listing,
        )
        is_enough = action is Action.NOTHING or (item.unlisted and action is Action.FETCH_SIDECAR)
        if row is not None and is_enough:
            return unchanged(item, row)
        is_new = action in {Action.FETCH, Action.FETCH_SIDECAR}
        if row is not None and is_new and self._is_known_wrong(row, stat, listed):
            return still_wrong(item.archive, row, stands=stat is not None)
        part = None if self.force else folder.part(name)
        return Work(planned=item, action=action, row=row, stat=stat, part=part)

    def _is_known_wrong(
        self, row: LedgerRow, stat: FileStat | None, listed: ListedArchive | None
    ) -> bool:
        """Whether zip and sidecar are those that disagreed before: a fetch would not help."""
        if listed is None or self.force or self.retry_mismatch:
            return False
        verdict, etag, sidecar_etag = (
            (row.verdict, row.facts.etag, row.facts.sidecar_etag)
            if stat is None
            else (row.newer, row.newer_etag, row.newer_sidecar_etag)
        )
        if verdict is not Verdict.UPSTREAM_MISMATCH:
            return False
        return same_etag(etag, listed.etag) and same_etag(sidecar_etag, listed.sidecar_etag)


def _is_listed_version(known: ObjectFacts, listed: ListedArchive) -> bool:
    return (
        known.etag == listed.etag
        and known.size_bytes == listed.size_bytes
        and known.sidecar_etag == listed.sidecar_etag
        and same_moment(known.last_modified, listed.last_modified)
    )
