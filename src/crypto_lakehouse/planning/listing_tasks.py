"""What is to be listed of a selection: one symbol of one row at a time."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.core.archive import Partition, Series
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.planning.periods import Life
from crypto_lakehouse.planning.selection import SelectedRow

__all__ = [
    "ListingTask",
    "all_named",
    "has_series",
    "life_of",
    "offered_intervals",
    "partitions_of",
]


@frozen
class ListingTask:
    """One symbol of one row to be listed.

    Attributes:
        number: The place of the row in the selection.
    """

    number: int
    item: SelectedRow
    symbol: str

    def series(self, interval: str | None) -> Series:
        """Return one series of the symbol."""
        return Series(self.item.row.market, self.item.row.data_type, self.symbol, interval)


def all_named(item: SelectedRow) -> bool:
    """Whether no listing is needed to find the symbols of a row."""
    return not item.takes_all and not any(map(is_glob, item.symbols))


def partitions_of(item: SelectedRow) -> list[Partition]:
    """The selected partitions that a row has."""
    return [
        partition
        for partition in item.row.partitions
        if item.partitions is None or partition in item.partitions
    ]


def offered_intervals(item: SelectedRow, partitions: list[Partition]) -> dict[str, list[Partition]]:
    """The selected intervals of a row, with the partitions that the matrix has them in."""
    facts = item.row.partitions
    offered = {
        interval: [part for part in partitions if interval in facts[part].intervals]
        for interval in filter(None, item.intervals)
    }
    return {interval: found for interval, found in offered.items() if found}


def has_series(item: SelectedRow) -> bool:
    """Whether the selected partitions of a row have any of the selected intervals."""
    partitions = partitions_of(item)
    if not item.row.data_type.has_interval:
        return bool(partitions)
    return bool(offered_intervals(item, partitions))


def life_of(row: MatrixRow, series: Series, partition: Partition) -> Life:
    """When a series exists in one partition, according to the matrix."""
    lag_days, is_removed = row.partitions[partition].lag_days, row.state == "removed"
    return Life(*row.life(series.symbol, partition), lag_days, removed=is_removed)
