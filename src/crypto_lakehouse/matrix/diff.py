"""Compares two matrices: what was added, removed and changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from attrs import asdict, evolve, frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.matrix.model import Matrix, MatrixRow, PartitionFacts

__all__ = ["MatrixChange", "MatrixDiff", "diff_matrices"]

_SIGNS = {"added": "+", "removed": "-", "changed": "*"}

_Value = str | int | date | None


@frozen(kw_only=True)
class MatrixChange:
    """One difference.

    Attributes:
        change: `added`, `removed` or `changed`.
        what: `row`, `partition`, `interval`, `symbol`, or the name of the fact that changed.
        partition: The partition; None if the change applies to the whole row.
        name: The partition, the interval or the symbol; empty for rows and facts.
        old, new: A changed fact, as text; None if it is absent.
    """

    change: str
    what: str
    market: Market
    data_type: DataType
    partition: Partition | None = None
    name: str = ""
    old: str | None = None
    new: str | None = None

    def __str__(self) -> str:
        fact = self.what if self.change == "changed" else ""
        words = [self.market, self.data_type, self.partition or "", self.name, fact]
        line = " ".join([_SIGNS[self.change], *(word for word in words if word)])
        return f"{line}: {self.old or '-'} -> {self.new or '-'}" if fact else line


@frozen(kw_only=True)
class MatrixDiff:
    """All differences, in the order of markets and data types.

    Attributes:
        old, new: Where the matrices were read from.
    """

    old: str
    new: str
    changes: tuple[MatrixChange, ...]

    def to_mapping(self) -> dict[str, object]:
        """Return plain JSON types, without empty fields."""
        return {
            "old": self.old,
            "new": self.new,
            "changes": [
                {name: str(value) for name, value in asdict(change).items() if value}
                for change in self.changes
            ],
        }

    def lines(self) -> Iterator[str]:
        """Yield a readable line for each change, for example `+ spot klines NEWUSDT`."""
        return map(str, self.changes)


def diff_matrices(old: Matrix, new: Matrix) -> MatrixDiff:
    """Compare what is published according to two matrices.

    If the older matrix has no list of symbols for a row, the symbols do not count as added: the new
    list is one change of the row.
    """
    markets, types = list(Market), list(DataType)
    before = {(row.market, row.data_type): row for row in old.rows}
    after = {(row.market, row.data_type): row for row in new.rows}
    places = sorted(
        before.keys() | after.keys(),
        key=lambda place: (markets.index(place[0]), types.index(place[1])),
    )
    changes = tuple(
        change
        for market, data_type in places
        for change in _Comparison(market, data_type).rows(
            before.get((market, data_type)), after.get((market, data_type))
        )
    )
    return MatrixDiff(old=old.origin, new=new.origin, changes=changes)


@frozen
class _Comparison:
    """Finds the changes of one data type in one market, or of one partition of it."""

    market: Market
    data_type: DataType
    partition: Partition | None = None

    def rows(self, old: MatrixRow | None, new: MatrixRow | None) -> Iterator[MatrixChange]:
        if old is None or new is None:
            yield self._change("removed" if new is None else "added", "row")
            return
        yield from self._fact("state", old.state, new.state)
        yield from self._names("partition", old.partitions, new.partitions)
        for partition in [name for name in old.partitions if name in new.partitions]:
            below = evolve(self, partition=partition)
            yield from below.facts(old.partitions[partition], new.partitions[partition])
        yield from self._symbols(old, new)

    def facts(self, old: PartitionFacts, new: PartitionFacts) -> Iterator[MatrixChange]:
        yield from self._names("interval", old.intervals, new.intervals)
        for fact in ("available_from", "available_to", "lag_days"):
            yield from self._fact(fact, getattr(old, fact), getattr(new, fact))

    def _symbols(self, old: MatrixRow, new: MatrixRow) -> Iterator[MatrixChange]:
        if bool(old.symbols) != bool(new.symbols):
            yield from self._fact("symbols", _count(old.symbols), _count(new.symbols))
            return
        yield from self._names("symbol", old.symbols, new.symbols)
        if old.partitions.keys() != new.partitions.keys():
            return
        before, after = _homes(old), _homes(new)
        for symbol in old.symbols:
            if symbol in after:
                yield from self._fact("partitions", before[symbol], after[symbol], symbol)

    def _names(self, what: str, old: Iterable[str], new: Iterable[str]) -> Iterator[MatrixChange]:
        """Names that were added, then those that were removed."""
        before, after = dict.fromkeys(old), dict.fromkeys(new)
        for name in after:
            if name not in before:
                yield self._change("added", what, name)
        for name in before:
            if name not in after:
                yield self._change("removed", what, name)

    def _fact(self, what: str, old: _Value, new: _Value, name: str = "") -> Iterator[MatrixChange]:
        if old != new:
            yield evolve(self._change("changed", what, name), old=_text(old), new=_text(new))

    def _change(self, change: str, what: str, name: str = "") -> MatrixChange:
        return MatrixChange(
            change=change,
            what=what,
            market=self.market,
            data_type=self.data_type,
            partition=self.partition,
            name=name,
        )


def _text(value: _Value) -> str | None:
    return None if value is None else str(value)


def _count(symbols: tuple[str, ...]) -> str:
    return f"{len(symbols)} listed" if symbols else "not listed"


def _homes(row: MatrixRow) -> Mapping[str, str]:
    """The partitions that each symbol is in."""
    everywhere = " ".join(partition for partition in Partition if partition in row.partitions)
    alone = {name: str(home) for home, names in row.partition_symbols.items() for name in names}
    return {symbol: alone.get(symbol, everywhere) for symbol in row.symbols}
