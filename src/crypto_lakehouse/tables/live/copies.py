"""Removes the copies of events, which come over two connections, from sorted rows."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from crypto_lakehouse.tables.live.live_columns import LINE, LiveColumns

__all__ = ["Cleaned", "without_copies"]

_DECIMAL = pl.Decimal(38, 18)

_FIRST = "_first"


class Cleaned(NamedTuple):
    """Rows without copies.

    Attributes:
        frame: The rows, in the order they had.
        copies: How many messages were left out.
        differing: The numbers of those among them that have the id of another event, and say
            something else.
    """

    frame: pl.DataFrame
    copies: int
    differing: list[int]


def without_copies(frame: pl.DataFrame, columns: LiveColumns) -> Cleaned:
    """Keep of each event the message that was received first.

    Args:
        frame: Rows of one series, sorted by `LiveColumns.order`.
        columns: The columns of its table.
    """
    event = list(columns.event)
    if not columns.has_books and not _has_copies(frame, event):
        return Cleaned(frame, 0, [])
    first = (
        pl.col(LINE).min().over(event) if columns.has_books else pl.col(LINE).first().over(event)
    )
    marked = frame.with_columns(first.alias(_FIRST))
    is_copy = pl.col(LINE) != pl.col(_FIRST)
    copies = marked.filter(is_copy)
    if copies.is_empty():
        return Cleaned(frame, 0, [])
    kept = marked.filter(~is_copy).drop(_FIRST)
    lines = copies[LINE].unique()
    originals = kept.join(copies.select(event).unique(), on=event, how="semi")
    return Cleaned(kept, len(lines), _differing(copies, originals, columns))


def _has_copies(frame: pl.DataFrame, event: list[str]) -> bool:
    """Whether two rows that follow one another are of one event."""
    is_copy = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in event)
    return bool(frame.select(is_copy.any()).item())


def _differing(copies: pl.DataFrame, originals: pl.DataFrame, columns: LiveColumns) -> list[int]:
    """The messages among copies whose content is not that of the original."""
    if columns.has_books:
        return _differing_books(copies, originals, columns)
    both = copies.join(originals, on=columns.event, how="inner", suffix="_kept")
    if not columns.content:
        return []
    numbers = {each.name for each in columns.columns if each.kind == "number"}
    differs = [
        _differ(pl.col(name), pl.col(f"{name}_kept"), is_number=name in numbers)
        for name in columns.content
    ]
    return both.filter(pl.any_horizontal(differs))[LINE].sort().to_list()


def _differ(one: pl.Expr, other: pl.Expr, *, is_number: bool) -> pl.Expr:
    """Whether two values differ; one that is missing differs from none."""
    differs = one != other
    if is_number:  # as texts they may differ in trailing zeros
        differs &= one.cast(_DECIMAL) != other.cast(_DECIMAL)
    return differs.fill_null(value=False)


def _differing_books(
    copies: pl.DataFrame, originals: pl.DataFrame, columns: LiveColumns
) -> list[int]:
    event, level = list(columns.event), list(columns.content)
    text = pl.concat_str(
        pl.col(name).cast(_DECIMAL).cast(pl.String) if name != "side" else pl.col(name)
        for name in level
    )
    said = [
        rows.group_by([*event, LINE]).agg(text.sort().str.join(" ").alias("said"))
        for rows in (copies, originals)
    ]
    both = said[0].join(said[1], on=event, how="inner", suffix="_kept")
    return both.filter(pl.col("said") != pl.col("said_kept"))[LINE].sort().to_list()
