"""Parses CSV text to a typed frame with Polars, and verifies that every field was read.

The parser fills short lines with NULL, skips blank lines or reads them as NULL, and accepts `nan`;
all of that is detected by counting. Polars was chosen by measurement (ARCHITECTURE.md, "Tables").
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import polars as pl

from crypto_lakehouse.tables.reading.exact_numbers import plain_digits
from crypto_lakehouse.tables.reading.number_forms import has_odd_numbers
from crypto_lakehouse.tables.reading.sniff import MICROSECONDS_SINCE, UNIT_BOUNDS
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
        if _may_be_uneven(frame, columns) and text.count(b",") != rows * (len(columns) - 1):
            raise NotReadable
        if has_odd_numbers(text, columns):
            raise NotReadable
        frame = _typed(frame, [columns[place] for place in read], unit, exact=exact)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise NotReadable from error  # a panic of Polars must not end the run either
    if frame.height != rows:
        raise NotReadable
    return frame if _has_meaning(last) else frame.drop(last.name)


def _may_be_uneven(frame: pl.DataFrame, columns: Sequence[Column]) -> bool:
    """Whether a line may have had too few or too many fields.

    One that is too short has NULL in the last column, as one has whose last field is blank. One
    that is too long is refused by Polars only if it reads every column.
    """
    last = columns[-1]
    blank = last.nullable and frame[last.name].null_count() > 0
    return blank or frame.width < len(columns)


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
    if exact:
        frame = frame.with_columns(
            _with_plain_digits(frame[column.name]) for column in columns if column.kind == "number"
        )
    _check(frame, columns, unit)
    changed: list[pl.Expr] = []
    for column in columns:
        value = pl.col(column.name)
        if column.kind == "time":
            changed.append(_in_microseconds(frame[column.name], unit).cast(UTC_MICROSECONDS))
        elif column.kind == "datetime":
            changed.append(
                value.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC")
            )
        elif column.kind == "date":
            changed.append(value.str.to_date("%Y-%m-%d"))
        elif column.kind == "number" and exact:
            changed.append(value.cast(_DECIMAL))
    return frame.with_columns(changed) if changed else frame


def _in_microseconds(times: pl.Series, unit: str) -> pl.Expr:
    """Epoch times in microseconds; a file of milliseconds may also have some in microseconds."""
    value = pl.col(times.name)
    if unit != "ms":
        return value
    if (times.max() or 0) < UNIT_BOUNDS["ms"][1]:  # type: ignore[operator]
        return value * 1000
    return pl.when(value < UNIT_BOUNDS["ms"][1]).then(value * 1000).otherwise(value)


def _with_plain_digits(numbers: pl.Series) -> pl.Series:
    """Numbers as text that the decimals of tables hold without loss, and without exponents.

    Raises:
        NotReadable: A number would lose digits.
    """
    texts = numbers.str
    exponent = texts.contains("e", literal=True) | texts.contains("E", literal=True)
    places = texts.len_bytes() - texts.find(".", literal=True)
    odd = numbers.filter(exponent | (places > DECIMAL_SCALE + 1).fill_null(value=False)).unique()
    if odd.is_empty():
        return numbers
    plain = [plain_digits(text) for text in odd]
    if None in plain:
        raise NotReadable
    return numbers.replace(odd, pl.Series(plain, dtype=pl.String))


def _check(frame: pl.DataFrame, columns: Sequence[Column], unit: str) -> None:
    """Refuse faults that the parser accepts: blanks, infinite numbers, times of another unit."""
    faults = _faults(frame, columns, unit)
    if faults and not frame.is_empty() and any(frame.select(faults).row(0)):
        raise NotReadable


def _faults(frame: pl.DataFrame, columns: Sequence[Column], unit: str) -> list[pl.Expr]:
    low, high = UNIT_BOUNDS.get(unit, (0, 0))
    faults: list[pl.Expr] = []
    for column in columns:
        value = pl.col(column.name)
        if not column.nullable:
            faults.append((value.null_count() > 0).alias(f"{column.name} blank"))
        if frame.schema[column.name] == pl.Float64:
            # A sum is finite only where all its terms are: one pass instead of a mask.
            finite = value.sum().is_finite() | value.is_finite().all()
            faults.append((~finite).fill_null(value=False).alias(f"{column.name} not finite"))
        elif column.kind == "time":
            late = value.filter(value >= high).min() < MICROSECONDS_SINCE
            outside = (value.min() < low) | late | (value.max() >= UNIT_BOUNDS["us"][1])
            faults.append(outside.fill_null(value=False).alias(f"{column.name} unit"))
    return faults
