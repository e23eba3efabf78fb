"""The current data files of a table, and those that hold rows of given archives."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping

from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.data_files import archives_in
from crypto_lakehouse.tables.iceberg.filters import ALWAYS, among
from crypto_lakehouse.tables.iceberg.manifest_check import check_manifests

__all__ = ["archives_between", "bounds_of_archives", "files_holding", "live_files"]

#: pyiceberg does not compare bounds with more values than this.
_MOST_SYMBOLS = 200


def live_files(
    table: Table, row_filter: BooleanExpression = ALWAYS, snapshot_id: int | None = None
) -> Iterator[DataFile]:
    """The data files of a table that may have rows which match a filter.

    Args:
        table: The table.
        row_filter: The filter.
        snapshot_id: The snapshot; None for the newest.

    Raises:
        LakeError: A manifest is gone or cut; or another program has added delete files, which are
            not supported.
    """
    scan = table.scan(row_filter=row_filter, snapshot_id=snapshot_id)
    check_manifests(table, scan.snapshot())
    for task in scan.plan_files():
        if task.delete_files:
            reason = (
                f"`{'.'.join(table.name())}` has delete files of another program, which are not "
                "supported; rewrite its data files with that program first"
            )
            raise LakeError(table.location(), reason)
        yield task.file


def files_holding(
    table: Table, archives: Iterable[Archive], without: Container[str] = ()
) -> Iterator[tuple[DataFile, frozenset[str]]]:
    """The data files with rows of any of these archives, and the keys of those found in each.

    The table's files are listed once. A file is opened, for its column `archive` alone, only if its
    bounds may include one of the keys.

    Args:
        table: The table.
        archives: The archives.
        without: The locations of files to leave out, which cannot be read.
    """
    wanted: dict[str, set[bytes]] = defaultdict(set)
    for archive in archives:
        wanted[archive.symbol].add(archive.key.encode())
    if not wanted:
        return
    everything = sorted(set().union(*wanted.values()))
    by_symbol = {symbol.encode(): sorted(keys) for symbol, keys in wanted.items()}
    few = len(wanted) <= _MOST_SYMBOLS
    for file in live_files(table, among("symbol", sorted(wanted)) if few else ALWAYS):
        if file.file_path in without:
            continue
        symbols = _bounds(table, file, "symbol")
        one = symbols is not None and symbols[0] == symbols[1]
        keys = by_symbol.get(symbols[0], []) if one and symbols else everything
        candidates = _between(keys, _bounds(table, file, "archive"))
        held = candidates and candidates & archives_in(table, file)
        if held:
            yield file, held


def archives_between(table: Table, file: DataFile, keys: Iterable[str]) -> frozenset[str]:
    """Those of some sorted keys that a data file may have rows of, by its bounds."""
    return _between([key.encode() for key in keys], _bounds(table, file, "archive"))


def bounds_of_archives(table: Table, file: DataFile) -> tuple[str, str] | None:
    """The smallest and the largest key of the archives in a data file; None if unknown."""
    bounds = _bounds(table, file, "archive")
    return None if bounds is None else (bounds[0].decode(), bounds[1].decode())


def _bounds(table: Table, file: DataFile, column: str) -> tuple[bytes, bytes] | None:
    number = table.schema().find_field(column).field_id
    low, high = _bound(file.lower_bounds, number), _bound(file.upper_bounds, number)
    return None if low is None or high is None else (low, high)


def _bound(bounds: Mapping[int, bytes] | None, number: int) -> bytes | None:
    return (bounds or {}).get(number)


def _between(keys: list[bytes], bounds: tuple[bytes, bytes] | None) -> frozenset[str]:
    chosen = (
        keys
        if bounds is None
        else keys[bisect_left(keys, bounds[0]) : bisect_right(keys, bounds[1])]
    )
    return frozenset(key.decode() for key in chosen)
