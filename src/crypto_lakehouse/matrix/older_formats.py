"""Reads the two older matrix formats, and corrects them to what the archive really has.

Both are still in use. Their rows are compared with the shipped matrix: the author's selection is
kept, and wrong facts are corrected. Source:
docs/archive-older-formats.md#older-formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, evolve, field

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.matrix.corrections import Correction, Corrections
from crypto_lakehouse.matrix.current_format import FORMAT
from crypto_lakehouse.matrix.model import Matrix, MatrixRow, PartitionFacts
from crypto_lakehouse.matrix.older_rows import PATTERNS, OlderRow, read_rows

__all__ = ["is_older", "read_older"]

_Partitions = dict[Partition, PartitionFacts]

#: What the first format's rows leave out by mistake (docs/archive-older-formats.md#errors).
_OMITTED = {
    Market.FUTURES_UM: (
        DataType.TRADES,
        DataType.AGG_TRADES,
        DataType.BOOK_TICKER,
        DataType.METRICS,
    ),
    Market.FUTURES_CM: (
        DataType.TRADES,
        DataType.AGG_TRADES,
        DataType.INDEX_PRICE_KLINES,
        DataType.MARK_PRICE_KLINES,
        DataType.PREMIUM_INDEX_KLINES,
        DataType.FUNDING_RATE,
        DataType.BOOK_DEPTH,
        DataType.BOOK_TICKER,
        DataType.METRICS,
    ),
}


def is_older(data: Mapping[str, Any]) -> bool:
    """Whether a parsed file is in one of the older formats, whose rows have patterns."""
    return data.get("format") != FORMAT and any(
        isinstance(row, Mapping) and any(name in row for name in PATTERNS)
        for row in data["availability_matrix"]
    )


def read_older(data: Mapping[str, Any], origin: str, shipped: Matrix) -> Matrix:
    """Read a parsed file of either older format.

    Args:
        data: The file; only `availability_matrix` is required of it.
        origin: Its name.
        shipped: The matrix that says what the archive has.

    Raises:
        MatrixError: A row has unknown names, or a pattern that could lead elsewhere; every fault
            is named.
    """
    rows, problems = read_rows(data["availability_matrix"])
    if problems:
        raise MatrixError(origin, problems)
    corrector = _Corrector(shipped)
    for row in rows:
        corrector.take(row)
    if any(row.is_first_format for row in rows):
        corrector.add_omitted(data.get("markets"))
    corrector.tell_lacking()
    corrector.tell_symbols(data.get("symbols"))
    found = tuple(corrector.rows[fact.name] for fact in shipped.rows if fact.name in corrector.rows)
    sentences = tuple(corrector.corrections.sentences())
    return evolve(shipped, origin=origin, rows=found, corrections=sentences)


@define
class _Corrector:
    """Turns older rows into rows of the archive.

    Attributes:
        rows: Corrected rows by name.
        mentioned: Names of the rows that the file is for, taken or not.
    """

    shipped: Matrix
    rows: dict[str, MatrixRow] = field(init=False, factory=dict)
    mentioned: set[str] = field(init=False, factory=set)
    corrections: Corrections = field(init=False, factory=Corrections)

    def _note(self, kind: Correction, fact: MatrixRow, detail: str = "") -> None:
        self.corrections.tell(kind, fact.market, fact.data_type, detail)

    def take(self, row: OlderRow) -> None:
        """Correct and add one row; a row that is marked as not available is ignored."""
        fact = self.shipped.row(row.market, row.type)
        if fact is not None:
            self.mentioned.add(fact.name)
        if not row.available:
            return
        if fact is None:
            self.corrections.tell(Correction.NEVER, row.market, row.data_type)
            return
        if row.is_renamed:
            self._note(Correction.RENAMED, fact)
        wanted = self._wanted_intervals(row, fact)
        if fact.data_type.has_interval and not wanted:
            self._note(Correction.EMPTY, fact, " ".join(row.named_intervals))
            return
        partitions = self._partitions(row, fact)
        if fact.data_type.has_interval:
            partitions = self._with_intervals(row, partitions, wanted, fact)
        self._compare_pattern(row, fact)
        self._compare_life(row, fact)
        self.rows[fact.name] = evolve(fact, partitions=partitions)

    def _wanted_intervals(self, row: OlderRow, fact: MatrixRow) -> tuple[str, ...]:
        """The row's intervals, those that are published; all of them where it names none."""
        named, offered = row.named_intervals, fact.intervals()
        if named and not fact.data_type.has_interval:
            words = " ".join(item for item in row.intervals if item is not None)
            self._note(Correction.FOLDER, fact, shown(words))
            return ()
        if row.is_respelled:
            self._note(Correction.RESPELLED, fact)
        absent = [item for item in named if item not in offered]
        wanted = tuple(item for item in offered if item in named or not named)
        if absent and wanted:
            self._note(Correction.INTERVAL, fact, " ".join(absent))
        return wanted

    def _partitions(self, row: OlderRow, fact: MatrixRow) -> _Partitions:
        """The row's partitions, those that are published; all where none of them is."""
        for partition in row.partitions:
            if partition not in fact.partitions:
                self._note(Correction.PARTITION, fact, partition)
        chosen = {
            partition: facts
            for partition, facts in fact.partitions.items()
            if partition in row.partitions
        } or dict(fact.partitions)
        # The second format has bookTicker by the day only, yet a day of it is in a month alone.
        is_known_error = fact.data_type is DataType.BOOK_TICKER and not row.is_first_format
        if is_known_error and Partition.MONTHLY not in chosen:
            chosen[Partition.MONTHLY] = fact.partitions[Partition.MONTHLY]
            self._note(Correction.MONTHS_ADDED, fact)
        return chosen

    def _with_intervals(
        self, row: OlderRow, chosen: _Partitions, wanted: tuple[str, ...], fact: MatrixRow
    ) -> _Partitions:
        """Give each partition the wanted intervals that it has.

        | long intervals (3d 1w 1mo)     | partitions    | result                           |
        |--------------------------------|---------------|----------------------------------|
        | not wanted                     | any           | as wanted                        |
        | not wanted, row else complete  | with monthly  | spot, first format: added, noted |
        | wanted                         | with daily    | monthly alone has them, noted    |
        | wanted                         | daily only    | monthly added for them, noted    |
        """
        monthly = fact.partitions[Partition.MONTHLY]
        short = fact.partitions[Partition.DAILY].intervals
        long = tuple(item for item in monthly.intervals if item not in short)
        moved = tuple(item for item in wanted if item in long and item in row.named_intervals)
        chosen = dict(chosen)
        if moved and Partition.DAILY in row.partitions:
            self._note(Correction.MONTHLY_ONLY, fact)
            chosen.setdefault(Partition.MONTHLY, evolve(monthly, intervals=moved))
        is_spot = row.is_first_format and fact.market is Market.SPOT
        if is_spot and Partition.MONTHLY in chosen and wanted == short:
            self._note(Correction.LONG_ADDED, fact)
            wanted += long
        result = {
            partition: evolve(facts, intervals=tuple(i for i in facts.intervals if i in wanted))
            for partition, facts in chosen.items()
        }
        return {partition: facts for partition, facts in result.items() if facts.intervals}

    def _compare_pattern(self, row: OlderRow, fact: MatrixRow) -> None:
        """Note a wrong layout, unless it follows from a wrong name, which is noted already."""
        folder, _, name = fact.key_pattern.rpartition("/")
        is_layout = row.folder() in (None, folder) and row.file_name() in (None, name)
        if not is_layout and not row.is_renamed:
            self._note(Correction.PATTERN, fact)

    def _compare_life(self, row: OlderRow, fact: MatrixRow) -> None:
        first = min(facts.available_from for facts in fact.partitions.values())
        daily = fact.partitions.get(Partition.DAILY)
        first_daily = daily.available_from if daily else first
        if row.available_from not in (None, first, first_daily):
            self._note(Correction.FIRST_DAY, fact, f"{first_daily}, not {row.available_from}")
        ends = [facts.available_to for facts in fact.partitions.values() if facts.available_to]
        if fact.state == "removed":
            self._note(Correction.REMOVED, fact)
        elif ends:
            self._note(Correction.ENDED, fact, str(min(ends)))

    def add_omitted(self, tree: object) -> None:
        """Add what the first format's tree of markets has and its rows leave out.

        A market without any row is its author's choice, and stays so.
        """
        listed = {row.market for row in self.rows.values()}
        for fact in self.shipped.rows:
            is_omitted = fact.data_type in _OMITTED.get(fact.market, ())
            is_new = fact.market in listed and fact.name not in self.mentioned
            if is_omitted and is_new and _tree_has(tree, fact.market, fact.data_type):
                self.mentioned.add(fact.name)
                self.rows[fact.name] = fact
                self._note(Correction.ADDED, fact)

    def tell_lacking(self) -> None:
        """Report the published rows that the file lacks; a market without rows is one entry."""
        for market in self.shipped.markets():
            facts = [row for row in self.shipped.rows if row.market is market]
            if not any(fact.name in self.mentioned for fact in facts):
                self.corrections.tell(Correction.LACKING, market, "altogether")
                continue
            for fact in facts:
                if fact.name not in self.mentioned and fact.state != "removed":
                    self._note(Correction.LACKING, fact)

    def tell_symbols(self, symbols: object) -> None:
        """Report option symbols that are not folders; no other list of symbols is used."""
        options = symbols.get("options") if isinstance(symbols, Mapping) else None
        known = {symbol for row in self.shipped.rows for symbol in row.symbols}
        for symbol in options if isinstance(options, list) else ():
            if not isinstance(symbol, str) or symbol not in known:
                self.corrections.tell(Correction.SYMBOLS, Market.OPTIONS, shown(symbol))


def _tree_has(tree: object, market: Market, data_type: DataType) -> bool:
    """Whether the tree has a data type; a branch that lists none is taken to have all."""
    branch = tree
    for name in market.split("_"):  # futures_um is at futures, um
        branch = branch.get(name) if isinstance(branch, Mapping) else None
    if not isinstance(branch, Mapping):
        return False
    data_types = branch.get("data_types")
    return not isinstance(data_types, Mapping) or data_type in data_types
