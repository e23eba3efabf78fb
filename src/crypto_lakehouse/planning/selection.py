"""The series that a configuration selects from a matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.origins import name_origins
from crypto_lakehouse.core.config.values import AUTO, is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import MOST_NAMED, allowed_values, did_you_mean
from crypto_lakehouse.matrix.model import Matrix, MatrixRow

__all__ = ["SelectedRow", "Selection", "select", "select_rows", "unfiltered_symbols"]


@frozen
class SelectedRow:
    """One row of the matrix with the symbols and intervals that the run selects.

    Attributes:
        symbols: Folder symbols, without repeats, in the order configured.
        intervals: Intervals shortest first; `(None,)` where the type has none.
        partitions: What to take, None for `auto`.
        takes_all: Whether no symbols are configured, and the source is to name them.
    """

    row: MatrixRow
    symbols: tuple[str, ...]
    intervals: tuple[str | None, ...]
    partitions: tuple[Partition, ...] | None
    takes_all: bool = False


@frozen
class Selection:
    """Everything that a configuration selects, with notes for the user."""

    rows: tuple[SelectedRow, ...]
    notes: tuple[str, ...]


def select(config: WorkflowConfig, matrix: Matrix) -> Selection:
    """Match the configuration with the matrix.

    A choice that only some of the chosen markets offer is left out in the others; a choice that no
    market offers is an error.

    Raises:
        ConfigurationError: A market, data type, interval or symbol that the matrix does not
            have where it is wanted; all of them at once.
    """
    rows = _checked_rows(config, matrix, listed=False)
    partitions = None if config.partitions == AUTO else _partitions(config)
    selected = [
        SelectedRow(row, _symbols(config, row), _intervals(config, row), partitions) for row in rows
    ]
    return Selection(
        tuple(item for item in selected if item.symbols), tuple(_notes(selected, config))
    )


def select_rows(config: WorkflowConfig, matrix: Matrix) -> Selection:
    """Match the configuration with the matrix, for a source that is to name its symbols itself.

    Symbols named exactly must fit a row; patterns stay patterns, and what the source has of
    intervals and symbols is not known here.

    Raises:
        ConfigurationError: As `select`.
    """
    rows = _checked_rows(config, matrix, listed=True)
    partitions = None if config.partitions == AUTO else _partitions(config)
    selected = [
        SelectedRow(
            row,
            tuple(_named(config, row)),
            _intervals(config, row),
            partitions,
            takes_all=config.symbols is None,
        )
        for row in rows
    ]
    wanted = [item for item in selected if item.symbols or item.takes_all]
    return Selection(tuple(wanted), tuple(_notes(selected, config)))


def _named(config: WorkflowConfig, row: MatrixRow) -> Iterator[str]:
    """Folder symbols as they are named, and patterns as they are."""
    for symbol in _configured_symbols(config, row.market):
        folder = symbol if is_glob(symbol) else row.folder_symbol(symbol)
        if folder is not None:
            yield folder


def _partitions(config: WorkflowConfig) -> tuple[Partition, ...]:
    return tuple(Partition(partition) for partition in config.partitions)


def _checked_rows(config: WorkflowConfig, matrix: Matrix, *, listed: bool) -> list[MatrixRow]:
    """The rows wanted; `listed` is whether a listing is to name the symbols."""
    rows = _wanted_rows(config, matrix)
    problems = [
        *_absent_markets(config, matrix),
        *_absent_data_types(config, matrix, rows),
        *_absent_intervals(config, rows),
        *_symbol_problems(config, rows, listed=listed),
    ]
    if problems:
        raise ConfigurationError(name_origins(problems, config.origins))
    return rows


def _wanted_rows(config: WorkflowConfig, matrix: Matrix) -> list[MatrixRow]:
    markets = _markets(config, matrix)
    return [
        row
        for row in matrix.rows
        if row.market in markets
        and (config.data_types is None or row.data_type in config.data_types)
    ]


def _markets(config: WorkflowConfig, matrix: Matrix) -> tuple[Market, ...]:
    """The markets configured, else those that symbols are given for, else all."""
    if config.markets is not None:
        return config.markets
    if isinstance(config.symbols, Mapping):
        return tuple(config.symbols)
    return matrix.markets()


def _absent_markets(config: WorkflowConfig, matrix: Matrix) -> Iterator[Problem]:
    for market in _markets(config, matrix):
        if market not in matrix.markets():
            hint = allowed_values(market, matrix.markets())
            yield Problem("$.markets", f"the matrix `{matrix.origin}` has no `{market}`; {hint}")


def _absent_data_types(
    config: WorkflowConfig, matrix: Matrix, rows: list[MatrixRow]
) -> Iterator[Problem]:
    markets = [market for market in _markets(config, matrix) if market in matrix.markets()]
    offered = dict.fromkeys(
        data_type for market in markets for data_type in matrix.data_types(market)
    )
    for data_type in config.data_types or ():
        if markets and not any(row.data_type is data_type for row in rows):
            hint = allowed_values(data_type, offered)
            where = " or ".join(markets)
            yield Problem("$.data_types", f"{where} has no `{data_type}`; {hint}")


def _absent_intervals(config: WorkflowConfig, rows: list[MatrixRow]) -> Iterator[Problem]:
    kline_rows = [row for row in rows if row.data_type.has_interval]
    if config.intervals is None or (not kline_rows and not isinstance(config.intervals, Mapping)):
        return
    wanted: Iterable[tuple[DataType | None, tuple[str, ...]]] = (
        config.intervals.items()
        if isinstance(config.intervals, Mapping)
        else [(None, config.intervals)]
    )
    for data_type, intervals in wanted:
        path = "$.intervals" if data_type is None else f"$.intervals.{data_type}"
        if data_type is not None and not data_type.has_interval:
            yield Problem(path, f"`{data_type}` has no intervals; leave it out")
            continue
        offered = dict.fromkeys(
            interval
            for row in kline_rows
            if data_type in (None, row.data_type)
            for interval in row.intervals()
        )
        for interval in intervals:
            if interval not in offered:
                where = " or ".join(dict.fromkeys(row.market for row in kline_rows))
                hint = allowed_values(interval, offered)
                yield Problem(path, f"{where} has no interval `{interval}`; {hint}")


def _configured_symbols(config: WorkflowConfig, market: Market) -> tuple[str, ...]:
    if isinstance(config.symbols, Mapping):
        return config.symbols.get(market, ())
    return config.symbols or ()


def _symbol_problems(
    config: WorkflowConfig, rows: list[MatrixRow], *, listed: bool
) -> Iterator[Problem]:
    """Find symbols that no row has: per market for a mapping, else in all markets.

    Args:
        config: Names the symbols.
        rows: The rows that they are wanted of.
        listed: Whether a listing names the symbols; then only their form is judged.
    """
    per_market = isinstance(config.symbols, Mapping)
    groups: dict[Market | None, list[MatrixRow]] = {}
    for row in rows:
        groups.setdefault(row.market if per_market else None, []).append(row)
    for market, group in groups.items():
        path = f"$.symbols.{market}" if market else "$.symbols"
        for symbol in _configured_symbols(config, group[0].market):
            if listed and (is_glob(symbol) or any(row.folder_symbol(symbol) for row in group)):
                continue
            if not any(_resolve(row, symbol) for row in group):
                yield Problem(path, _refusal(symbol, group))


def _refusal(symbol: str, rows: list[MatrixRow]) -> str:
    listed = dict.fromkeys(name for row in rows for name in row.symbols)
    if is_glob(symbol) and not listed:
        return (
            f"`{symbol}` is a pattern, and the matrix lists no symbols to match it with; "
            "name the symbols, or use `discovery: listing`"
        )
    markets = " or ".join(dict.fromkeys(row.market for row in rows))
    if len(listed) > MOST_NAMED:
        return f"no such symbol in {markets}: `{symbol}`{did_you_mean(symbol, listed)}"
    rules = " or ".join(dict.fromkeys(row.symbol_pattern for row in rows))
    upper = [name for name in (symbol.upper(),) if any(_resolve(row, name) for row in rows)]
    near = did_you_mean(symbol, upper)
    hint = allowed_values(symbol, listed) if listed else f"its symbols match {rules}{near}"
    return f"`{symbol}` is not a symbol of {markets}; {hint}"


def _resolve(row: MatrixRow, symbol: str) -> tuple[str, ...]:
    """The row's folder symbols that one configured symbol stands for."""
    if is_glob(symbol):
        return tuple(name for name in row.symbols if row.fits(name, symbol))
    folder = row.folder_symbol(symbol)
    if folder is None or (row.symbols and folder not in row.symbols):
        return ()
    return (folder,)


def _symbols(config: WorkflowConfig, row: MatrixRow) -> tuple[str, ...]:
    accepts = config.symbol_filter.accepts
    return tuple(name for name in _unfiltered(config, row) if accepts(name, row.market))


def _unfiltered(config: WorkflowConfig, row: MatrixRow) -> Iterable[str]:
    return dict.fromkeys(
        folder
        for symbol in _configured_symbols(config, row.market)
        for folder in _resolve(row, symbol)
    )


def unfiltered_symbols(config: WorkflowConfig, matrix: Matrix) -> set[tuple[str, Market]]:
    """Return the symbols that a configuration names, before its filters, with their markets."""
    rows = _wanted_rows(config, matrix)
    return {(name, row.market) for row in rows for name in _unfiltered(config, row)}


def _intervals(config: WorkflowConfig, row: MatrixRow) -> tuple[str | None, ...]:
    if not row.data_type.has_interval:
        return (None,)
    wanted = config.intervals
    if isinstance(wanted, Mapping):
        wanted = wanted.get(row.data_type)
    return tuple(item for item in row.intervals() if wanted is None or item in wanted)


def _notes(selected: list[SelectedRow], config: WorkflowConfig) -> Iterator[str]:
    """What was selected and is left out of the plan, a sentence each."""
    for item in selected:
        name = f"{item.row.market} {item.row.data_type}"
        if not item.symbols and not item.takes_all:
            yield f"{name}: none of the symbols fits, it is left out"
        elif item.partitions is not None and not set(item.partitions) & set(item.row.partitions):
            offered = ", ".join(item.row.partitions)
            yield f"{name}: published only {offered}, it is left out"
        else:
            if item.row.state != "live":
                yield f"{name}: this feed is {item.row.state}"
            if config.intervals is not None:
                yield from _left_out_intervals(item, name)


def _left_out_intervals(item: SelectedRow, name: str) -> Iterator[str]:
    """The intervals that are named, and that no selected partition has."""
    partitions = item.row.partitions
    for interval in filter(None, item.intervals):
        offered = [each for each in partitions if interval in partitions[each].intervals]
        if item.partitions is not None and not set(item.partitions) & set(offered):
            yield f"{name} {interval}: published only {', '.join(offered)}, it is left out"
