"""Draw coverage as a calendar of months, a line for each series.

Needs matplotlib (`pip install "crypto-lakehouse[plot]"`), and no display.

A month is as blue as it is complete. A month without a verified day has the colour and the pattern
of the most frequent cause; in any other month a corner shows the most important cause. The colours
are from Okabe and Ito's palette, which nearly all readers can distinguish; every cause has its own
pattern as well.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from crypto_lakehouse.charts.pictures import settings, write_whole
from crypto_lakehouse.core.errors import ConfigurationError, LakehouseError, Problem
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.coverage.coverage import HoleCause, SeriesCoverage
from crypto_lakehouse.coverage.months import MonthCoverage, months_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "MOST_SERIES",
    "MatplotlibMissing",
    "check_picture",
    "coverage_pages",
    "page_paths",
    "plot_coverage",
]

#: How many series a page takes; more series are drawn on more pages.
SERIES_PER_PAGE = 60

#: The layout, in inches; the height of a group's heading is in rows.
_TOP, _ROW_HEIGHT, _GROUP_ROWS = 1.3, 0.215, 1.5

#: Months wider than this have their initials above them.
_ROOM_FOR_INITIALS = 0.16
_INITIALS = "JFMAMJJASOND"

_SUBTITLE = (
    "blue: the verified share of what the source should have; "
    "other colours: why a month is not verified or, in a corner, why some of its days are not"
)

#: How many series are drawn at most: twenty pages.
MOST_SERIES = 1200

_SUFFIXES = (".svg", ".png")
_DPI = 150

_INK, _FAINT, _LINE, _DARK, _PALE = "#24292f", "#6e7781", "#c9d1d9", "#424a53", "#afb8c1"
#: Colours of months, by the least share of their days that is verified.
_SHARES = ((1.0, "#0b4f8a", "all days verified"), (0.9, "#3f8fc5", "90 % or more"),
           (0.5, "#93c3e3", "50 % or more"), (0.0, "#d5e7f4", "less"))  # fmt: skip


@frozen
class _Look:
    """How a cause is shown."""

    label: str
    colour: str
    hatch: str = ""
    edge: str = _DARK


#: No dots among the patterns: an .svg draws hundreds of circles for each.
_LOOKS = {
    HoleCause.FAILED: _Look("failed", "#d55e00", "xxxx"),
    HoleCause.QUARANTINED: _Look("quarantined", "#cc79a7", "////"),
    HoleCause.MISSING: _Look("missing", "#e69f00", r"\\\\"),
    HoleCause.NOT_COLLECTED: _Look("not collected", "#ffffff", edge=_PALE),
    HoleCause.UNPROVEN: _Look("unproven", "#f0e442", "----"),
    HoleCause.UPSTREAM_HOLE: _Look("known upstream hole", "#8c959f", "||||"),
    HoleCause.ACKNOWLEDGED: _Look("acknowledged", "#57606a", "++++", edge=_PALE),
    HoleCause.NOT_PUBLISHED_YET: _Look("not published yet", "#f0f3f6", "//", edge=_PALE),
}

_Polygon = list[tuple[float, float]]


class MatplotlibMissing(LakehouseError):
    """A picture was requested, but matplotlib is not installed."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "pictures need matplotlib, and it is not installed; "
            'run `pip install "crypto-lakehouse[plot]"`'
        )


def check_picture(path: str | os.PathLike[str]) -> Path:
    """Check before the work begins whether a picture can be written to a path.

    Raises:
        ConfigurationError: The suffix is neither .svg nor .png, or there is no such directory.
        MatplotlibMissing: matplotlib is not installed.
    """
    file = Path(path)
    if file.suffix.lower() not in _SUFFIXES:
        reason = f"unknown kind of picture; {allowed_values(file.suffix, _SUFFIXES)}"
        raise ConfigurationError([Problem(str(file), reason)])
    if not file.parent.is_dir():
        raise ConfigurationError([Problem(str(file), f"`{file.parent}` is not a directory")])
    if find_spec("matplotlib") is None:
        raise MatplotlibMissing
    return file


def plot_coverage(
    coverages: Sequence[SeriesCoverage], path: str | os.PathLike[str], *, today: date
) -> list[Path]:
    """Draw series in their order; blocking.

    The same coverage gives the same file, byte for byte, with one version of matplotlib.

    Args:
        coverages: At most `MOST_SERIES`.
        path: Ends with .svg or .png. If the series need more than one page, the pages are
            `NAME-1.svg`, `NAME-2.svg` and so on.
        today: The UTC day that the title names.

    Returns:
        The files that were written.

    Raises:
        ConfigurationError: There are too many series, the suffix is unknown, or the file cannot
            be written.
        MatplotlibMissing: matplotlib is not installed.
    """
    file = check_picture(path)
    pages = coverage_pages(coverages, file.suffix.lower().removeprefix("."), today=today)
    files = page_paths(file, len(pages))
    for target, page in zip(files, pages, strict=True):
        write_whole(target, page)
    return files


def coverage_pages(coverages: Sequence[SeriesCoverage], kind: str, *, today: date) -> list[bytes]:
    """Draw series in their order, as pages of `svg` or `png`; arguments as in `plot_coverage`.

    Raises:
        ConfigurationError: There are too many series.
    """
    if len(coverages) > MOST_SERIES:
        reason = f"{len(coverages)} series are too many for a picture, which takes {MOST_SERIES}"
        raise ConfigurationError([Problem("coverage", f"{reason}; choose some of them")])
    starts = range(0, max(1, len(coverages)), SERIES_PER_PAGE)
    rows = [
        [_Row.of(coverage) for coverage in coverages[start : start + SERIES_PER_PAGE]]
        for start in starts
    ]
    span = _span([row for page in rows for row in page])
    drawn = []
    for number, page in enumerate(rows, 1):
        part = f" (page {number} of {len(rows)})" if len(rows) > 1 else ""
        title = f"Verified days by month, as of {today}{part}"
        drawn.append(_rendered(kind, _CalendarPage(title, page, *span).draw))
    return drawn


def page_paths(file: Path, count: int) -> list[Path]:
    """The files of pages: `NAME.svg`, or `NAME-1.svg` and so on if there are several."""
    if count == 1:
        return [file]
    return [file.with_stem(f"{file.stem}-{number}") for number in range(1, count + 1)]


@frozen
class _Row:
    """One series, ready to be drawn."""

    group: str
    label: str
    note: str
    cells: tuple[_Cell, ...]

    @classmethod
    def of(cls, coverage: SeriesCoverage) -> _Row:
        series = coverage.series
        percent = int(1000 * coverage.ratio) / 10  # rounded down, so that 100 % means complete
        return cls(
            f"{series.market} {series.data_type}",
            f"{series.symbol} {series.interval or ''}".rstrip(),
            f"{percent:.1f} %" if coverage.expected_days else "-",
            tuple(cell for month in months_of(coverage) if (cell := _cell(month)) is not None),
        )


@frozen
class _Cell:
    """One month of a series.

    Attributes:
        month: Counted from year 0.
        fill: A colour of `_SHARES`, or the cause of the whole month.
        corner: The cause shown in the corner; None if there is none.
    """

    month: int
    fill: str | HoleCause
    corner: HoleCause | None = None


def _cell(month: MonthCoverage) -> _Cell | None:
    """Return the cell of a month; None if nothing was expected."""
    number = 12 * month.first_day.year + month.first_day.month - 1
    if month.verified_days:
        fill = next(colour for least, colour, _ in _SHARES if month.ratio >= least)
        pointed_at = month.worst in _LOOKS and month.worst is not HoleCause.NOT_PUBLISHED_YET
        return _Cell(number, fill, month.worst if pointed_at else None)
    shown = [cause for cause in month.causes() if cause in _LOOKS]
    return _Cell(number, shown[0]) if shown else None


def _span(rows: Sequence[_Row]) -> tuple[int, int]:
    """Return the first month with a cell, and the number of months from it to the last."""
    months = [cell.month for row in rows for cell in row.cells]
    return (min(months), max(months) - min(months) + 1) if months else (0, 0)


@define
class _CalendarPage:
    """One figure. It is laid out in inches, from the upper left corner down."""

    title: str
    rows: Sequence[_Row]
    first: int
    months: int
    _box: tuple[float, float] = field(init=False)
    _left: float = field(init=False)
    _size: tuple[float, float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        width = min(0.34, max(0.055, 15.5 / max(1, self.months)))
        self._box = (width, _ROW_HEIGHT)
        texts = [text for row in self.rows for text in (row.label, row.group)]
        self._left = 0.55 + 0.078 * max((len(text) for text in texts), default=0)
        right = self._left + width * self.months + 0.95
        self._size = (max(9.2, right), self._bottom() + 1.0)

    def _bottom(self) -> float:
        groups = len({row.group for row in self.rows})
        return _TOP + _ROW_HEIGHT * (len(self.rows) + _GROUP_ROWS * groups)

    def draw(self) -> Figure:
        """Return the figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=self._size, facecolor="white", dpi=_DPI)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, self._size[0])
        axes.set_ylim(self._size[1], 0)
        axes.text(0.3, 0.36, self.title, size=13, weight="bold", color=_INK, va="center")
        axes.text(0.3, 0.62, _SUBTITLE, size=8.5, color=_FAINT, va="center")
        if not self.months:
            axes.text(0.3, _TOP, "nothing to show", size=10, color=_INK, va="center")
        self._draw_rows(axes)
        self._draw_time(axes)
        self._draw_legend(axes)
        return figure

    def _draw_rows(self, axes: Axes) -> None:
        shapes = _Shapes()
        y, group = _TOP, ""
        for row in self.rows:
            if row.group != group:
                group = row.group
                baseline = y + _ROW_HEIGHT * _GROUP_ROWS * 0.68
                axes.text(0.3, baseline, group, size=9, weight="bold", color=_INK, va="center")
                y += _ROW_HEIGHT * _GROUP_ROWS
            middle = y + _ROW_HEIGHT / 2
            axes.text(0.42, middle, row.label, size=8.5, color=_INK, va="center")
            right = self._left + self._box[0] * self.months + 0.1
            axes.text(right, middle, row.note, size=8.5, color=_FAINT, va="center")
            for cell in row.cells:
                x = self._left + self._box[0] * (cell.month - self.first)
                shapes.add(x, y, self._box, cell)
            y += _ROW_HEIGHT
        shapes.draw(axes)

    def _draw_time(self, axes: Axes) -> None:
        """Draw years above the months, and the months' initials if there is room."""
        width = self._box[0]
        for number in range(self.months):
            year, month = divmod(self.first + number, 12)
            x = self._left + width * number
            if month == 0 or number == 0:
                axes.plot([x, x], [_TOP - 0.32, self._bottom()], color=_LINE, lw=0.8, zorder=0)
            if month == 0 or (number == 0 and month < 9):
                axes.text(x + 0.04, _TOP - 0.24, str(year), size=8.5, color=_INK, va="center")
            if width > _ROOM_FOR_INITIALS:
                middle = x + width / 2
                text = _INITIALS[month]
                axes.text(middle, _TOP - 0.07, text, size=7, color=_FAINT, ha="center", va="center")

    def _draw_legend(self, axes: Axes) -> None:
        used = {
            look for row in self.rows for cell in row.cells for look in (cell.fill, cell.corner)
        }
        shapes = _Shapes()
        y = self._bottom() + 0.32
        x = 0.3
        for _, colour, label in _SHARES:
            x = _draw_key(axes, shapes, x, y, colour, label)
        y, x = y + 0.3, 0.3
        for cause, look in _LOOKS.items():
            if cause in used:
                x = _draw_key(axes, shapes, x, y, cause, look.label)
        shapes.draw(axes)


def _draw_key(
    axes: Axes, shapes: _Shapes, x: float, y: float, fill: str | HoleCause, label: str
) -> float:
    """Draw one entry of the legend; return where the next one begins."""
    shapes.add(x, y, (0.3, _ROW_HEIGHT), _Cell(0, fill))
    axes.text(x + 0.36, y + _ROW_HEIGHT / 2, label, size=8.5, color=_INK, va="center")
    return x + 0.62 + 0.072 * len(label)


@define
class _Shapes:
    """Collects polygons by their look, so that thousands of cells are drawn at once."""

    _cells: dict[str | HoleCause, list[_Polygon]] = field(init=False, factory=dict)
    _corners: dict[HoleCause, list[_Polygon]] = field(init=False, factory=dict)

    def add(self, x: float, y: float, box: tuple[float, float], cell: _Cell) -> None:
        """Add a month whose upper left corner is at (x, y)."""
        gap = min(0.015, box[0] / 10)
        left, right, top, bottom = x + gap, x + box[0] - gap, y + 0.02, y + box[1] - 0.02
        square = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self._cells.setdefault(cell.fill, []).append(square)
        if cell.corner is not None:
            size = min(right - left, bottom - top) * 0.8
            corner = [(right, bottom), (right - size, bottom), (right, bottom - size)]
            self._corners.setdefault(cell.corner, []).append(corner)

    def draw(self, axes: Axes) -> None:
        """Draw everything."""
        for fill, squares in self._cells.items():
            if isinstance(fill, HoleCause):
                look = _LOOKS[fill]
                _draw_polygons(axes, squares, fc=look.colour, hatch=look.hatch, ec=look.edge,
                               lw=0.5)  # fmt: skip
            else:
                _draw_polygons(axes, squares, fc=fill, lw=0)
        for cause, corners in self._corners.items():
            _draw_polygons(axes, corners, fc=_LOOKS[cause].colour, ec="white", lw=0.5, zorder=3)


def _draw_polygons(axes: Axes, polygons: Sequence[_Polygon], **style: Any) -> None:
    """Draw polygons of one look as one path, so that a picture of thousands stays small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    points = [point for polygon in polygons for point in (*polygon, polygon[0])]
    codes = [
        code
        for polygon in polygons
        for code in (Outline.MOVETO, *[Outline.LINETO] * (len(polygon) - 1), Outline.CLOSEPOLY)
    ]
    axes.add_patch(PathPatch(Outline(points, codes), clip_on=False, **style))


def _rendered(kind: str, draw: Callable[[], Figure]) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    data = io.BytesIO()
    with mpl.rc_context(settings()), warnings.catch_warnings():
        # A symbol in a script that no installed font has is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = draw()
        if kind == "svg":
            FigureCanvasSVG(figure)
            figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
        else:
            FigureCanvasAgg(figure)
            figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
    return data.getvalue()
