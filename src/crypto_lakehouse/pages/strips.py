"""Strips of months or days, as inline SVG, and the names of the years or days above them.

A cell is as high as the verified part of it, in the accent colour; the rest has the colour of the
cause of most of its holes. So a strip can be read without its colours, too. Cells of one colour are
one path, which keeps thousands of strips small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import groupby
from math import floor

from attrs import frozen

from crypto_lakehouse.coverage.hole_causes import HoleCause
from crypto_lakehouse.pages.calendar import Cell
from crypto_lakehouse.pages.markup import Markup, element, joined

__all__ = ["TONES", "strip", "time_axis"]

#: The colour of a cause in strips: what a further run can get, and what the source lacks.
TONES: Mapping[HoleCause, str] = {
    HoleCause.FAILED: "again",
    HoleCause.NOT_COLLECTED: "again",
    HoleCause.QUARANTINED: "source",
    HoleCause.MISSING: "source",
    HoleCause.UNPROVEN: "source",
}

_HEIGHT = 20
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

#: The least distance of two names above a strip, as a part of its width; and where the last begins.
_LEAST_APART, _LAST_NAME = 0.13, 0.9


@frozen(order=True)
class _Look:
    """How a cell is drawn: the height of what is verified, and the colour of the rest."""

    level: int
    tone: str


def strip(cells: Iterable[tuple[int, Cell]], span: tuple[int, int], label: str) -> Markup:
    """Draw cells.

    Args:
        cells: Numbers and cells, in order.
        span: The first and the last number of the whole strip.
        label: What it shows, in a few words.
    """
    first, last = span
    paths: dict[str, list[str]] = {}
    place = first
    for look, run in groupby(cells, key=lambda item: _look(item[1])):
        numbers = [number for number, _ in run]
        for begin, length in _unbroken(numbers):
            place = begin - first
            _draw(paths, look, place, length)
    drawn = (f'<path class="{tone}" d="{"".join(parts)}"/>' for tone, parts in paths.items())
    return Markup(
        f'<svg viewBox="0 0 {last - first + 1} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f"{_label(label)}>{''.join(drawn)}</svg>"
    )


def _label(label: str) -> str:
    return element("i", aria_label=label).removeprefix("<i").removesuffix("></i>")


def _look(cell: Cell) -> _Look:
    if not cell.expected:
        return _Look(0, "idle")
    # Rounded down and up, so that neither a full nor an empty cell is one that is nearly so.
    level = floor(_HEIGHT * cell.verified / cell.expected)
    level = max(level, 1) if cell.verified else 0
    return _Look(level, TONES.get(cell.cause, "source") if cell.cause else "")


def _unbroken(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """Yield begin and length of each run of numbers that follow each other."""
    for _, run in groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        found = [number for _, number in run]
        yield found[0], len(found)


def _draw(paths: dict[str, list[str]], look: _Look, place: int, length: int) -> None:
    if look.tone == "idle":
        paths.setdefault("idle", []).append(f"M{place} 19h{length}v1h-{length}z")
        return
    rest = _HEIGHT - look.level
    if look.level:
        paths.setdefault("v", []).append(f"M{place} {rest}h{length}v{look.level}h-{length}z")
    if rest and look.tone:
        paths.setdefault(look.tone, []).append(f"M{place} 0h{length}v{rest}h-{length}z")


def time_axis(span: tuple[int, int], *, by_days: bool) -> Markup:
    """Name years, months or days above strips."""
    first, last = span
    whole = last - first + 1
    names: list[Markup] = []
    next_free = 0.0
    for number, name in _names(span, by_days=by_days):
        left = (number - first) / whole
        if next_free <= left <= _LAST_NAME:
            names.append(element("span", name, style=f"left:{100 * left:.2f}%"))
            next_free = left + _LEAST_APART
    return element("div", joined(names), class_="axis", aria_hidden="true")


def _names(span: tuple[int, int], *, by_days: bool) -> Iterable[tuple[int, str]]:
    first, last = span
    numbers = range(first, last + 1)
    if by_days:
        return ((number, _day(date.fromordinal(number))) for number in numbers)
    if last - first < 24:
        return ((number, _month(number, first)) for number in numbers)
    return (
        (number, str(number // 12)) for number in numbers if number % 12 == 0 or number == first
    )


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _month(number: int, first: int) -> str:
    year, month = divmod(number, 12)
    return f"{_MONTHS[month]} {year}" if number == first or not month else _MONTHS[month]
