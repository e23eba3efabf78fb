"""What is tallied in an archive batch by batch, and checked at its end.

`frozen` says what is tallied to find columns that are frozen. An archive of trades or quotes is
cut off if it ends long before its period does, or begins long after, compared with the gaps between
its own rows: a symbol that is rarely traded has gaps of hours. If the archive has under 100 rows,
the silence must be 100 times the longest gap, and the other end be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from crypto_lakehouse.core.archive import Archive, DataType
from crypto_lakehouse.tables.quality.archive_checks import Found, Span, bounds_of
from crypto_lakehouse.tables.quality.findings import Severity
from crypto_lakehouse.tables.quality.frozen import end_tally, frozen_tally, tally_of_ends
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["Tally", "cut_off_findings", "merged", "tallied"]

_WITHOUT_STEP = frozenset({DataType.TRADES, DataType.AGG_TRADES, DataType.BOOK_TICKER})

#: Rows before their gaps say anything about how an archive should end.
_MANY_ROWS = 100
_SHORT = timedelta(hours=1)
_GAPS = 4
#: Of fewer rows, moments that are enough if the silence is this many of their longest gaps.
_FEW_MOMENTS = 20
_GAPS_OF_FEW = 100

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
    values = frozen_tally(schema)
    if schema.data_type in _WITHOUT_STEP:
        values |= {
            "gap_most": pl.col("_passed").max(),
            "moments_sum": (pl.col("_passed") != 0).sum(),
        }
    if not values:
        return
    same = pl.col("_piece") == pl.col("_piece").shift(1)
    when = pl.col(schema.time).cast(pl.Int64)
    passed = pl.when(same).then(when - when.shift(1)).alias("_passed")
    rows = seen.with_columns(passed).slice(extra)
    ends = end_tally(schema)
    is_one = not rows.is_empty() and rows["_piece"][0] == rows["_piece"][-1]
    known = (tally_of_ends(ends, rows) if ends and is_one else None) or {}
    if not known:
        values |= ends
    for part in rows.group_by("_piece").agg(**values).to_dicts():
        yield part.pop("_piece"), {**part, **known}


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
    if span.first is None or span.last is None or gap is None:
        return
    start, end = bounds_of(archive.period)
    own = timedelta(microseconds=gap)
    late, early = span.first - start, end - span.last
    if span.rows < _MANY_ROWS:
        limit = max(_SHORT, _GAPS_OF_FEW * own)
        # All trades of a thin symbol may be in one hour of the day; what is cut off has one end.
        has_an_end = min(late, early) <= _GAPS * own
        if tally["moments_sum"] + 1 < _FEW_MOMENTS or not has_an_end:
            return
    else:
        limit = max(_SHORT, _GAPS * own)
    parts, holes = [], []
    if late > limit and (first_id is None or first_id > 1):
        parts.append(f"begins {_shown(late)} late, at {span.first:%Y-%m-%d %H:%M:%S}")
        holes.append((start, span.first))
    if early > limit:
        parts.append(f"ends {_shown(early)} early, at {span.last:%Y-%m-%d %H:%M:%S}")
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
