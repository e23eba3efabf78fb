"""Parses CSV text to a typed frame with Polars, and verifies that every field was read.

The parser fills short lines with NULL, skips blank lines or reads them as NULL, and accepts `nan`;
all of that is detected by counting. Polars was chosen by measurement (ARCHITECTURE.md, "Tables").
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import polars as pl

from crypto_lakehouse.tables.reading.sniff import UNIT_BOUNDS
from crypto_lakehouse.tables.schema.schemas import DECIMAL_SCALE, Column

__all__ = ["NotReadable", "frame_of"]

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_DECIMAL = pl.Decimal(38, DECIMAL_SCALE)

_PARSED: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": pl.Int64,
    "id": pl.Int64,
    "count": pl.Int64,
    "number": pl.Float64,
    "flag": pl.Boolean,
    "datetime": pl.String,
    "date": pl.String,
    "text": pl.String,
}


class NotReadable(Exception):
    """A field is not valid in its column; `fault_finder` can find which one."""


def frame_of(
    text: bytes, rows: int, columns: Sequence[Column], unit: str, *, exact: bool
) -> pl.DataFrame:
    """Parse whole lines without a header.

    Args:
        text: The lines; the last one ends with a line feed as well.
        rows: The number of lines.
        columns: The file's columns, in its order.
        unit: `ms` or `us`, or `text`.
        exact: Whether numbers become decimal(38, 18) instead of float64.

    Returns:
        All columns that are stored or checked, by their table names; constants as text.

    Raises:
        NotReadable: A field is not valid, blank, or missing.
    """
    if text.startswith(codecs.BOM_UTF8):
        raise NotReadable  # Polars skips it here, and refuses it in any other line
    last = columns[-1]
    if last.nullable and text.count(b",") != rows * (len(columns) - 1):
        raise NotReadable  # a line that is too short has NULL in its last column as well
    read = [place for place, column in enumerate(columns) if _is_read(column, last)]
    try:
        frame = pl.read_csv(
            text,
            has_header=False,
            quote_char=None,
            schema={column.name: _parsed(column, exact=exact) for column in columns},
            columns=read,
            low_memory=False,
        )
        frame = _typed(frame, [columns[place] for place in read], unit, exact=exact)
    except pl.exceptions.PolarsError as error:
        raise NotReadable from error
    if frame.height != rows:
        raise NotReadable
    return frame if _has_meaning(last) else frame.drop(last.name)


def _has_meaning(column: Column) -> bool:
    return column.stored or column.kind != "text" or column.constant is not None


def _is_read(column: Column, last: Column) -> bool:
    """Whether a column is parsed; the last one always is, because short lines leave it blank."""
    return column is last or _has_meaning(column)


def _parsed(column: Column, *, exact: bool) -> pl.DataType | type[pl.DataType]:
    return pl.String if exact and column.kind == "number" else _PARSED[column.kind]


def _typed(
    frame: pl.DataFrame, columns: Sequence[Column], unit: str, *, exact: bool
) -> pl.DataFrame:
    _check(frame, columns, unit, exact=exact)
    factor = 1000 if unit == "ms" else 1
    changed: list[pl.Expr] = []
    for column in columns:
        value = pl.col(column.name)
        if column.kind == "time":
            changed.append((value * factor).cast(UTC_MICROSECONDS))
        elif column.kind == "datetime":
            changed.append(
                value.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC")
            )
        elif column.kind == "date":
            changed.append(value.str.to_date("%Y-%m-%d"))
        elif column.kind == "number" and exact:
            changed.append(value.cast(_DECIMAL))
    return frame.with_columns(changed) if changed else frame


def _check(frame: pl.DataFrame, columns: Sequence[Column], unit: str, *, exact: bool) -> None:
    """Refuse faults that the parser accepts: blanks, infinite numbers, times of another unit."""
    if frame.is_empty():
        return
    found = frame.select(_faults(columns, unit, exact=exact)).row(0)
    if any(found):
        raise NotReadable


def _may_lose(value: pl.Expr) -> pl.Expr:
    """Whether a text has more decimal places than the decimals of tables."""
    point = value.str.find(".", literal=True)
    return (value.str.len_bytes() - point > DECIMAL_SCALE + 1).fill_null(value=False)


def _faults(columns: Sequence[Column], unit: str, *, exact: bool) -> list[pl.Expr]:
    low, high = UNIT_BOUNDS.get(unit, (0, 0))
    faults: list[pl.Expr] = []
    for column in columns:
        value = pl.col(column.name)
        if not column.nullable:
            faults.append((value.null_count() > 0).alias(f"{column.name} blank"))
        if column.kind == "number" and exact:
            exponent = value.str.contains("e", literal=True) | value.str.contains("E", literal=True)
            faults.append((exponent | _may_lose(value)).any().alias(f"{column.name} inexact"))
        elif column.kind == "number":
            # A sum is finite only where all its terms are: one pass instead of a mask.
            finite = value.sum().is_finite() | value.is_finite().all()
            faults.append((~finite).fill_null(value=False).alias(f"{column.name} not finite"))
        elif column.kind == "time":
            outside = (value.min() < low) | (value.max() >= high)
            faults.append(outside.alias(f"{column.name} unit"))
    return faults
