"""Plan a collection by the source's own listing: symbols, intervals, dates and sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, evolve, field

from crypto_lakehouse.core.archive import INTERVALS, Partition, Series
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ListingError,
    Problem,
    SelectionError,
)
from crypto_lakehouse.core.events import FolderListed
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.plan import PlannedSeries, PlanTotals
from crypto_lakehouse.core.protocols import Listing
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.planning.calendar_plan import window_of
from crypto_lakehouse.planning.emptied import EmptiedFolders, no_symbols
from crypto_lakehouse.planning.listed_cover import ListedSeries, cover_listed
from crypto_lakehouse.planning.listed_folders import (
    ListedFolder,
    folder_names,
    list_folder,
    symbol_names,
    type_folder,
)
from crypto_lakehouse.planning.listing_tasks import (
    ListingTask,
    all_named,
    has_series,
    life_of,
    offered_intervals,
    partitions_of,
)
from crypto_lakehouse.planning.periods import Window
from crypto_lakehouse.planning.selection import SelectedRow, Selection, select_rows
from crypto_lakehouse.planning.selection_faults import (
    SymbolCounts,
    empty_selection,
    reference_rows,
    unknown_symbols,
)
from crypto_lakehouse.planning.spool import Place, SeriesSpool
from crypto_lakehouse.planning.undue import UndueSymbols
from crypto_lakehouse.planning.unlisted import SymbolNames, UnlistedSeries

__all__ = ["Discovery", "ListedPlan"]

Tell = Callable[[FolderListed], Awaitable[None]]

_NOTHING = ListedFolder(archives={})


def _narrowest(config: WorkflowConfig, rows: tuple[SelectedRow, ...]) -> str:
    """The key that leaves nothing of symbols which the source has."""
    if config.intervals is not None and any(item.row.data_type.has_interval for item in rows):
        return "$.intervals"
    return "$.symbols" if config.data_types is None else "$.data_types"


@define
class ListedPlan:
    """A plan made from a listing; its series are kept on disk. The caller must close it.

    Attributes:
        today: The UTC day on which the plan was made.
        notes: What the user should know, a sentence each.
        failures: What could not be listed and is not in the plan, a sentence each.
        undue: The symbols that have nothing to be requested.
    """

    today: date
    spool: SeriesSpool = field(factory=SeriesSpool)
    notes: list[str] = field(factory=list)
    failures: list[str] = field(factory=list)
    undue: UndueSymbols = field(factory=UndueSymbols)
    _counts: Counter[str] = field(init=False, factory=Counter)

    def add(self, place: Place, planned: PlannedSeries) -> None:
        """Add one series."""
        self.spool.add(place, planned)
        self._counts["archives"] += len(planned.periods)
        due = sum(not item.not_published for item in planned.periods)
        self._counts["due"] += due
        self.undue.add(planned, due)
        self._counts["size_bytes"] += sum(
            item.listed.size_bytes for item in planned.periods if item.listed
        )

    def each_series(self) -> Iterator[PlannedSeries]:
        """Every series, in the order of rows, symbols and intervals."""
        return iter(self.spool)

    async def series(self) -> AsyncIterator[PlannedSeries]:
        """As `each_series`."""
        for planned in self.spool:
            yield planned

    def totals(self) -> PlanTotals:
        """The size of the plan."""
        return PlanTotals(
            archives=self._counts["archives"],
            due=self._counts["due"],
            size_bytes=self._counts["size_bytes"],
            notes=self.undue.notes(),
        )

    def why_empty(self) -> str:
        """Explain a plan without archives; empty for a plan with some."""
        return "" if self._counts["archives"] else "the selected archives could not be listed"

    def close(self) -> None:
        """Free the disk space."""
        self.spool.close()


@define
class Discovery:
    """Lists what a configuration selects: many prefixes at once, in bounded memory.

    Args:
        config: What to collect.
        matrix: What the publisher is known to offer.
        listing: The source's listing.
        holes: The known holes of the publisher.
        today: The UTC day to plan for.
        workers: How many symbols are listed at once.
        tell: Called with each folder that was listed.
        is_stored: Returns whether the ledger has a verified archive below a prefix.
    """

    config: WorkflowConfig
    matrix: Matrix
    listing: Listing
    holes: KnownHoles
    today: date
    workers: int
    tell: Tell
    is_stored: Callable[[str], Awaitable[bool]]
    _plan: ListedPlan = field(init=False)
    _window: Window | None = field(init=False)
    _is_open: bool = field(init=False)
    _names: SymbolNames = field(init=False)
    _unlisted: UnlistedSeries = field(init=False)
    _counts: SymbolCounts = field(init=False)
    _emptied: EmptiedFolders = field(init=False)
    _lists_any: bool = field(init=False, default=False)

    async def plan(self) -> ListedPlan:
        """List the source, and plan what it lists.

        Prefixes that cannot be listed are named in the plan's `failures`.

        Raises:
            ConfigurationError: The configuration selects something that the matrix lacks.
            SelectionError: The source has no such symbol, or nothing fits the selection.
        """
        selection = select_rows(self.config, self.matrix)
        self._counts = SymbolCounts(self.config.symbol_filter.accepts)
        self._plan = ListedPlan(self.today, undue=UndueSymbols(self.config.all_symbols))
        self._names = SymbolNames(self.config.symbols)
        self._unlisted = UnlistedSeries(self._names)
        self._emptied = EmptiedFolders(self.listing, self.is_stored)
        self._plan.notes.extend(selection.notes)
        days = self.config.date_range
        self._is_open = days is not None and days.end is None
        dated = days is not None or self.config.default_date is not None
        self._window = window_of(self.config, self.today) if dated else None
        try:
            await self._run(selection.rows)
            await self._refuse_unknown(selection.rows)
            self._finish(selection)
        except BaseException:
            self._plan.close()
            raise
        return self._plan

    def _finish(self, selection: Selection) -> None:
        """Add what is not listed, and the notes; refuse a selection that nothing fits."""
        offered = tuple(filter(has_series, selection.rows))
        is_searched = not all(map(all_named, offered))
        if is_searched and not (self._lists_any or self._counts.names or self._plan.failures):
            self._plan.failures.append(str(no_symbols()))
        for place, planned in self._unlisted.nowhere():
            self._plan.add(place, planned)
        self._plan.notes += self._unlisted.notes()
        if not self._plan.failures:
            self._plan.notes += self._names.unmatched(offered)
        self._plan.failures[:] = sorted(set(self._plan.failures))
        if self._plan.totals().archives == 0 and not self._plan.failures:
            raise SelectionError(self._empty(selection.rows))

    def _empty(self, rows: tuple[SelectedRow, ...]) -> list[Problem]:
        """Say why nothing that is listed fits the selection."""
        if not rows:
            return [Problem("$.symbols", "no series fits the markets, data types and symbols")]
        if not any(has_series(item) for item in rows):
            return [Problem("$.partitions", "; ".join(self._plan.notes))]
        if problems := empty_selection(self.config, self._counts):
            return problems
        notes = "; ".join(self._unlisted.notes())
        path = _narrowest(self.config, rows)
        return [Problem(path, notes or "the source lists none of the selected series")]

    async def _refuse_unknown(self, rows: tuple[SelectedRow, ...]) -> None:
        """Refuse symbols that are named exactly, and that no market of the source has.

        A symbol that exists, but not in the selected data types or days, is not unknown.
        """
        if names := self._unlisted.unknown():
            references = reference_rows((item.row for item in rows), self.matrix)
            try:
                problems = await unknown_symbols(names, references, self.listing)
            except ListingError as error:
                self._plan.failures.append(str(error))
                self._unlisted.forget()
            else:
                if problems:
                    raise SelectionError(problems)

    async def _run(self, rows: tuple[SelectedRow, ...]) -> None:
        send, receive = anyio.create_memory_object_stream[ListingTask](2 * self.workers)
        with one_error():
            async with anyio.create_task_group() as tasks:
                async with receive:
                    for _ in range(self.workers):
                        tasks.start_soon(self._work, receive.clone())
                await self._produce(rows, send)

    async def _produce(
        self, rows: tuple[SelectedRow, ...], queue: MemoryObjectSendStream[ListingTask]
    ) -> None:
        async with queue:
            for number, item in enumerate(rows):
                for symbol in await self._symbols(item):
                    await queue.send(ListingTask(number, item, symbol))

    async def _work(self, queue: MemoryObjectReceiveStream[ListingTask]) -> None:
        async with queue:
            async for task in queue:
                with self._recorded_failure(task):
                    await self._symbol(task)

    @contextmanager
    def _recorded_failure(self, task: ListingTask) -> Iterator[None]:
        """Record a failed listing; its symbol is not reported as unlisted.

        So is an unforeseen error: one series must not end the run.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001
            what = f"{task.item.row.name} {task.symbol}"
            is_listing = isinstance(error, ListingError)
            reason = str(error) if is_listing else f"{what}: {unforeseen(error, what)}"
            self._plan.failures.append(reason)
            self._names.see(task.item.row, task.symbol)

    # Which symbols ------------------------------------------------------------------------------

    async def _symbols(self, item: SelectedRow) -> list[str]:
        """The selected symbols of a row: as configured, or as the source lists them."""
        market = item.row.market
        named = [name for name in item.symbols if not is_glob(name)]
        patterns = [name for name in item.symbols if is_glob(name)]
        if not item.takes_all and not patterns:
            return self._counts.filtered(dict.fromkeys(named), market)
        found = set(named)
        for partition in partitions_of(item):
            for symbol in await self._folders(type_folder(item.row, partition)):
                self._counts.names.add(symbol)
                fitting = [pattern for pattern in patterns if item.row.fits(symbol, pattern)]
                if fitting or item.takes_all:
                    found.add(symbol)
                    # The symbol has a folder, so it is listed, whatever is in the folder.
                    for name in (symbol, *fitting):
                        self._names.see(item.row, name)
        return sorted(self._counts.filtered(found, market))

    async def _folders(self, prefix: str) -> list[str]:
        """The symbols that have a folder below a prefix; a failure is recorded."""
        try:
            found = await symbol_names(self.listing, prefix)
            if not found:
                await self._emptied.refuse(prefix)
        except ListingError as error:
            self._plan.failures.append(str(error))
            return []
        return found

    # One symbol ---------------------------------------------------------------------------------

    async def _symbol(self, task: ListingTask) -> None:
        row, partitions = task.item.row, partitions_of(task.item)
        if not partitions:
            return
        if not row.data_type.has_interval:
            await self._series(task, None, partitions)
        elif self._names_intervals(row):
            for interval, offered in offered_intervals(task.item, partitions).items():
                await self._series(task, interval, offered)
        elif found := await self._intervals(task, partitions):
            for interval, listed in found.items():
                await self._series(task, interval, listed)
        else:  # the symbol has no folder, so no interval has one
            for interval, offered in offered_intervals(task.item, partitions).items():
                self._cover(task, interval, dict.fromkeys(offered, _NOTHING))

    def _names_intervals(self, row: MatrixRow) -> bool:
        """Whether the intervals of a row are configured, and not left to the source."""
        wanted = self.config.intervals
        return row.data_type in wanted if isinstance(wanted, Mapping) else wanted is not None

    async def _intervals(
        self, task: ListingTask, partitions: list[Partition]
    ) -> dict[str, list[Partition]]:
        """The intervals that the source has of a symbol, with their partitions."""
        found: dict[str, list[Partition]] = {}
        for partition in partitions:
            all_symbols = type_folder(task.item.row, partition)
            prefix = f"{all_symbols}{task.symbol}/"
            names = await folder_names(self.listing, prefix)
            if not names:
                await self._emptied.refuse(all_symbols)
            for name in names:
                if name in INTERVALS:
                    found.setdefault(name, []).append(partition)
                else:
                    self._unlisted.strays.append(f"{prefix}{name}/")
        return found

    async def _series(
        self, task: ListingTask, interval: str | None, partitions: list[Partition]
    ) -> None:
        """List one series and cover it; a failure does not stop the other series."""
        with self._recorded_failure(task):
            series = task.series(interval)
            folders = {}
            for partition in partitions:
                folders[partition] = found = await self._list(series, partition)
                if found.first is None and not found.archives:
                    await self._emptied.refuse(type_folder(task.item.row, partition))
            self._cover(task, interval, folders)

    async def _list(self, series: Series, partition: Partition) -> ListedFolder:
        folder = await list_folder(self.listing, series, partition, self._window)
        self._unlisted.strays.extend(folder.strays)
        name = f"{series.stem}{{}}.zip".format
        await self.tell(
            FolderListed(
                folder=series.folder(partition),
                first=name(folder.first) if folder.first else None,
                last=name(folder.last) if folder.last else None,
                archives=len(folder.archives),
                size_bytes=folder.size_bytes,
                at=datetime.now(UTC),
            )
        )
        return folder

    def _cover(
        self, task: ListingTask, interval: str | None, folders: dict[Partition, ListedFolder]
    ) -> None:
        row, series = task.item.row, task.series(interval)
        place = (task.number, task.symbol, INTERVALS.index(interval) if interval else 0)
        lives = {partition: life_of(row, series, partition) for partition in folders}
        listed = ListedSeries(
            folders=folders,
            lives=lives,
            known_hole=partial(self.holes.reason_for_period, series),
        )
        window = self._window or listed.span(self.today)
        if window is not None and self._is_open:
            window = evolve(window, end=listed.open_end(window))
        if window is None:  # no days are configured, and the source lists none
            self._unlisted.add_undated(row, series.symbol)
            return
        planned = PlannedSeries(series, cover_listed(listed, window, task.item.partitions))
        if listed.is_listed:
            self._lists_any = True
            self._names.see(row, task.symbol)
            self._plan.add(place, planned)
        else:
            self._unlisted.add(row, place, planned)
