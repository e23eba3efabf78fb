"""Finds the line and column of a fault in text that `parse` has refused.

It has no rules of its own: it calls the same parser with ever smaller parts of the text, until one
field is left. All in all that costs about as much as parsing the text once more.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.tables.reading.number_forms import is_lost
from crypto_lakehouse.tables.reading.parse import NotReadable, frame_of
from crypto_lakehouse.tables.schema.schemas import DECIMAL_SCALE, Column

__all__ = ["Fault", "first_fault"]

#: Line within the text, counted from 0, the column's published name, and what is wrong.
Fault = tuple[int, str, str]

_FAULTS = {
    "time": "is not a whole number of 64 bits",
    "id": "is not a whole number of 64 bits",
    "count": "is not a whole number of 64 bits",
    "number": "is not a number",
    "flag": "is not true or false",
    "text": "where a text must be",
    "datetime": "is not a time as YYYY-MM-DD HH:MM:SS",
    "date": "is not a day as YYYY-MM-DD",
}


def first_fault(
    text: bytes, columns: Sequence[Column], unit: str, archive: Archive, *, exact: bool
) -> Fault | None:
    """Find the first field that is not valid in its column.

    Args:
        text: Whole lines; the last one ends with a line feed as well.
        columns: The file's columns, in its order.
        unit: The file's time unit.
        archive: The archive of the text.
        exact: Whether numbers must fit decimal(38, 18) without loss.

    Returns:
        The fault; None if every field is valid.
    """
    parser = _Parser(unit, archive, exact=exact)
    begin, end = 0, len(text)
    while (middle := _line_end(text, begin, end)) < end:
        if parser.accepts(text[begin:middle], columns):
            begin = middle
        else:
            end = middle
    line = text[begin:end]
    if parser.accepts(line, columns):
        return None
    fields = line.removesuffix(b"\n").split(b",")
    number = text.count(b"\n", 0, begin)
    if len(fields) != len(columns):
        return number, "", f"{plural(len(fields), 'field')} instead of {len(columns)}"
    for place, column in enumerate(columns):
        if not parser.accepts(*_alone(fields, columns, place)):
            return number, column.published, parser.fault(fields, columns, place)
    return number, "", "the line cannot be read"


def _line_end(text: bytes, begin: int, end: int) -> int:
    """The line end nearest to the middle of some lines, `end` only if they are one line."""
    middle = (begin + end) // 2
    before = text.rfind(b"\n", begin, middle) + 1
    return before or text.find(b"\n", middle, end) + 1


def _alone(
    fields: list[bytes], columns: Sequence[Column], place: int
) -> tuple[bytes, list[Column]]:
    """A line with all fields but one blank, and columns that allow these blanks."""
    blanks = [evolve(column, kind="text", nullable=True, constant=None) for column in columns]
    blanks[place] = columns[place]
    line = [b""] * len(fields)
    line[place] = fields[place]
    return b",".join(line) + b"\n", blanks


@frozen
class _Parser:
    """Says whether the parser accepts some lines, and why it refuses a field."""

    unit: str
    archive: Archive
    exact: bool

    def accepts(self, text: bytes, columns: Sequence[Column]) -> bool:
        try:
            frame = frame_of(text, text.count(b"\n"), columns, self.unit, exact=self.exact)
        except NotReadable:
            return False
        return all(
            (frame[column.name] == str(getattr(self.archive, column.constant))).all()
            for column in columns
            if column.constant
        )

    def fault(self, fields: list[bytes], columns: Sequence[Column], place: int) -> str:
        """Describe the fault of a field that the parser refuses."""
        column = columns[place]
        try:
            text = fields[place].decode()
        except UnicodeDecodeError:
            return f"`{fields[place][:40].decode(errors='replace')}` is not UTF-8"
        shown = f"`{text[:40]}`" if text else "a blank"
        if column.constant:
            return f"{shown} instead of `{getattr(self.archive, column.constant)}`"
        if column.kind == "time":
            others = [*columns]
            others[place] = evolve(column, kind="id")
            if self.accepts(*_alone(fields, others, place)):
                return f"{shown} is not in the unit of the file's first time, `{self.unit}`"
        inexact = evolve(self, exact=False)
        if column.kind == "number" and inexact.accepts(*_alone(fields, columns, place)):
            return f"{shown} does not fit decimal(38, {DECIMAL_SCALE})"
        if column.kind == "number" and is_lost(text):
            return f"{shown} is nearer to zero than any number of 64 bits"
        return f"{shown} {_FAULTS[column.kind]}"
