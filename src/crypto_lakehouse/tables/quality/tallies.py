"""What is tallied in an archive batch by batch, and checked at its end.

A flag or amount is frozen if it has one value in many rows while others change. An archive of
trades or quotes is cut off if it ends long before its period does, or begins long after, compared
with the gaps between its own rows: a symbol that is rarely traded has gaps of hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from crypto_lakehouse.core.archive import Archive, DataType
from crypto_lakehouse.tables.quality.archive_checks import Found, Span, bounds_of
from crypto_lakehouse.tables.quality.findings import Severity
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["FROZEN_CHECK", "cut_off_findings", "frozen_findings", "merged", "tallied"]

FROZEN_CHECK = "frozen"

_TRADES = frozenset({DataType.TRADES, DataType.AGG_TRADES})
_WITHOUT_STEP = _TRADES | {DataType.BOOK_TICKER}

#: Moments with trades, or trades in bars, before all of them can hardly be on one side.
_MANY_TRADES = 1000
#: Bars with trades before one of their columns can be called frozen.
_MANY_BARS = 24

#: Rows before their gaps say anything about how an archive should end.
_MANY_ROWS = 100
_SHORT = timedelta(hours=1)
_GAPS = 4

Tally = Mapping[str, Any]

#: How the values of two parts of an archive become one, by the end of their name.
_MERGES: Mapping[str, Callable[[Any, Any], Any]] = {
    "least": min,
    "most": max,
    "sum": lambda one, other: one + other,
}


def merged(one: Tally, other: Tally) -> Tally:
    """The tally of two parts of an archive; an empty tally adds nothing."""
    return {name: _merged(name, one.get(name), other.get(name)) for name in {**one, **other}}


def _merged(name: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return _MERGES[name.rpartition("_")[2]](one, other)


def tallied(schema: TableSchema, seen: pl.DataFrame, extra: int) -> Iterator[tuple[int, Tally]]:
    """Tally the rows of each piece of a batch.

    Args:
        schema: The table.
        seen: The rows, with `_piece`.
        extra: How many of the first rows were tallied before, and only precede the others.

    Yields:
        The number of the piece, and its tally.
    """
    if schema.data_type is DataType.KLINES:
        values = _of_bars(schema)
    elif schema.data_type in _WITHOUT_STEP:
        values = _of_moments(schema)
    else:
        return
    same = pl.col("_piece") == pl.col("_piece").shift(1)
    when = pl.col(schema.time).cast(pl.Int64)
    passed = pl.when(same).then(when - when.shift(1)).alias("_passed")
    rows = seen.with_columns(passed).slice(extra)
    for part in rows.group_by("_piece").agg(**values).to_dicts():
        yield part.pop("_piece"), part


def _of_moments(schema: TableSchema) -> dict[str, pl.Expr]:
    values = {"gap_most": pl.col("_passed").max(), "moments_sum": (pl.col("_passed") != 0).sum()}
    for flag in _flags(schema):
        values |= {f"{flag}_least": pl.col(flag).min(), f"{flag}_most": pl.col(flag).max()}
    return values


def _flags(schema: TableSchema) -> list[str]:
    names = {column.name for column in schema.columns}
    return [name for name in ("is_buyer_maker", "is_best_match") if name in names]


def _of_bars(schema: TableSchema) -> dict[str, pl.Expr]:
    active = pl.col("volume") > 0
    values = {
        "active_sum": active.sum(),
        "trades_sum": pl.col("count").sum(),
        "ranges_most": (active & (pl.col("high") > pl.col("low"))).any(),
    }
    amounts = {name: pl.col(name) for pair in _amounts(schema) for name in pair}
    amounts |= {f"other {taken}": pl.col(all_) - pl.col(taken) for all_, taken in _takers(schema)}
    for name, amount in amounts.items():
        traded = amount.filter(active)
        values |= {f"{name}_least": traded.min(), f"{name}_most": traded.max()}
    return values


def _takers(schema: TableSchema) -> list[tuple[str, str]]:
    """The columns of volumes, each with that of what takers bought of it."""
    names = {column.name for column in schema.columns}
    quote = "quote_volume" if "quote_volume" in names else "base_volume"
    return [("volume", "taker_buy_volume"), (quote, f"taker_buy_{quote}")]


def _amounts(schema: TableSchema) -> list[tuple[str, str]]:
    """Columns that change, each with one that must change with it."""
    return [*_takers(schema), ("volume", "count")]


def frozen_findings(schema: TableSchema, tally: Tally) -> Iterator[Found]:
    """Check whether a column has one value while others change."""
    if tally.get("moments_sum", 0) >= _MANY_TRADES:
        frozen = [*_frozen_flags(schema, tally)]
    elif tally.get("active_sum", 0) >= _MANY_BARS:
        frozen = [*_frozen_amounts(schema, tally)]
    else:
        frozen = []
    if frozen:
        rows = tally.get("moments_sum") or tally["active_sum"]
        sentence = f"{{rows}} row[s] [changes|change], except for {', '.join(frozen)}"
        yield Found(FROZEN_CHECK, Severity.WARNING, rows, sentence)


def _frozen_flags(schema: TableSchema, tally: Tally) -> Iterator[str]:
    for flag in _flags(schema):
        value = tally[f"{flag}_least"]
        # Trades at the best price are the rule, so that only the opposite is odd.
        if value == tally[f"{flag}_most"] and not (flag == "is_best_match" and value):
            yield f"`{flag}`, which is always {str(value).lower()}"


def _frozen_amounts(schema: TableSchema, tally: Tally) -> Iterator[str]:
    many = tally["trades_sum"] >= _MANY_TRADES
    for moving, name in _amounts(schema):
        value = tally[f"{name}_least"]
        if _still(tally, moving) or not _still(tally, name):
            if tally.get(f"other {name}_most") == 0 and many:
                yield f"`{name}`, which is always all of `{moving}`"
        elif name == "count":
            # One trade in each bar is possible, but then each bar has one price.
            if value > 1 or tally["ranges_most"]:
                yield f"`{name}`, which is always {value}"
        elif value > 0 or many:
            yield f"`{name}`, which is always {value}"


def _still(tally: Tally, name: str) -> bool:
    return bool(tally[f"{name}_least"] == tally[f"{name}_most"])


def cut_off_findings(
    archive: Archive, span: Span, first_id: int | None, tally: Tally
) -> Iterator[Found]:
    """Check whether an archive without a fixed step ends early or begins late.

    Args:
        archive: The archive.
        span: Its rows.
        first_id: Its smallest id; an archive that has the first trade of a symbol may begin late.
        tally: The tally of all its rows.
    """
    gap = tally.get("gap_most")
    if span.first is None or span.last is None or span.rows < _MANY_ROWS or gap is None:
        return
    start, end = bounds_of(archive.period)
    own = timedelta(microseconds=gap)
    limit = max(_SHORT, _GAPS * own)
    parts, holes = [], []
    if span.first - start > limit and (first_id is None or first_id > 1):
        parts.append(f"begins {_shown(span.first - start)} late, at {span.first:%Y-%m-%d %H:%M:%S}")
        holes.append((start, span.first))
    if end - span.last > limit:
        parts.append(f"ends {_shown(end - span.last)} early, at {span.last:%Y-%m-%d %H:%M:%S}")
        holes.append((span.last, end))
    if parts:
        sentence = (
            f"the archive {' and '.join(parts)}; its own rows are at most {_shown(own)} apart"
        )
        hole = holes[0] if len(holes) == 1 else None
        yield Found("coverage", Severity.WARNING, 0, sentence, hole=hole)


def _shown(length: timedelta) -> str:
    """A length of time in hours, minutes and seconds, rounded up."""
    seconds = -(-length // timedelta(seconds=1))
    return f"{seconds // 3600} h {seconds // 60 % 60:02} min {seconds % 60:02} s"
