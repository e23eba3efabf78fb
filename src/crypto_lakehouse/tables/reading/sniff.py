"""Detects the form of a file: whether it has a header, its columns, and the unit of its times.

Source: docs/archive-rows.md#headers and docs/archive-rows.md#time-units. Headers depend on
the upload and not on the date, and spot changed from milliseconds to microseconds at 2025-01-01, so
the form is detected from the file alone.
"""

from __future__ import annotations

from crypto_lakehouse.core.errors import ArchiveRefused
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.tables.reading.batch import CsvForm
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema

__all__ = ["MICROSECONDS_SINCE", "UNIT_BOUNDS", "form_of", "form_without_rows"]

#: The range of epoch times in each unit (docs/archive-rows.md#time-units); smaller numbers would be
#: seconds, larger ones nanoseconds. The range is 1973-03-03 to 5138-11-16 in either unit.
UNIT_BOUNDS = {"ms": (10**11, 10**14), "us": (10**14, 10**17)}

#: Spot has microseconds in times from 2025-01-01 on, so that a bar that opens before that day and
#: closes after it has both units.
MICROSECONDS_SINCE = 1_735_689_600_000_000

#: Python refuses to convert a text of thousands of digits; no time has so many.
_MOST_DIGITS = 40


def form_of(first_lines: bytes, schema: TableSchema, key: str) -> CsvForm:
    """Detect the form of a file from its beginning.

    Args:
        first_lines: At least its first two lines, or all of a shorter file.
        schema: The schema of its table.
        key: The archive's key, for errors.

    Returns:
        Its form; the time unit of a file without rows is `ms`.

    Raises:
        ArchiveRefused: The first line is neither the header nor a row with the right number of
            fields, or the first time is in no known unit.
    """
    lines = first_lines.split(b"\n", 2)
    first = _fields(lines[0], key)
    header = _is_header(first, schema)
    columns = _columns(first, schema, key, header=header)
    row = lines[1] if header and len(lines) > 1 else (b"" if header else lines[0])
    names = tuple(column.published for column in columns)
    return CsvForm(names, header, _unit(row, columns, key, 2 if header else 1))


def form_without_rows(schema: TableSchema) -> CsvForm:
    """The form of a text that has neither a header nor a row."""
    usual = tuple(column for column in schema.columns if not column.optional)
    names = tuple(column.published for column in usual)
    return CsvForm(names, header=False, time_unit=_unit(b"", usual, "", 1))


def _fields(line: bytes, key: str) -> list[str]:
    if line.startswith(b"\xef\xbb\xbf"):
        raise ArchiveRefused(key, "the file begins with a byte order mark", 1)
    try:
        return line.decode().split(",")
    except UnicodeDecodeError:
        raise ArchiveRefused(key, "the line is not UTF-8", 1) from None


def _is_header(first: list[str], schema: TableSchema) -> bool:
    """Whether any field is the name of a column; a header may have an unknown name besides."""
    known = {column.published for column in schema.columns}
    return any(name.strip().lower() in known for name in first)


def _columns(
    first: list[str], schema: TableSchema, key: str, *, header: bool
) -> tuple[Column, ...]:
    usual = tuple(column for column in schema.columns if not column.optional)
    if not header:
        if len(first) != len(usual):
            wanted = f"{plural(len(usual), 'field')} as `{schema.data_type}` of {schema.market} has"
            raise ArchiveRefused(key, f"{plural(len(first), 'field')} instead of the {wanted}", 1)
        return usual
    names = [name.strip().lower() for name in first]
    for columns in (usual, schema.columns):
        if names == [column.published for column in columns]:
            return columns
    raise _strange_header(names, schema, key)


def _strange_header(names: list[str], schema: TableSchema, key: str) -> ArchiveRefused:
    wanted = [column.published for column in schema.columns]
    for place, name in enumerate(names):
        if name not in wanted:
            reason = f"the header names a column that is not known, the {place + 1}. one"
            return ArchiveRefused(key, reason, 1, name[:80])
    reason = f"the header is not `{','.join(wanted)}`: a column is missing, or out of place"
    return ArchiveRefused(key, reason, 1)


def _unit(row: bytes, columns: tuple[Column, ...], key: str, line: int) -> str:
    times = [place for place, column in enumerate(columns) if column.kind == "time"]
    if not times:
        return "text"
    fields = row.split(b",")
    if not row or len(fields) <= times[0]:
        return "ms"
    text = fields[times[0]]
    name = columns[times[0]].published
    shown = text[:40].decode(errors="replace")
    if not text.isdigit():
        raise ArchiveRefused(key, f"`{shown}` is not a time in epoch units", line, name)
    for unit, (low, high) in UNIT_BOUNDS.items():
        if len(text) < _MOST_DIGITS and low <= int(text) < high:
            return unit
    raise ArchiveRefused(
        key, f"`{shown}` is a time neither in milliseconds nor in microseconds", line, name
    )
