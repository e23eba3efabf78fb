"""The plots of a validation's page, as inline SVG."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from html import escape
from importlib.util import find_spec
from math import nan
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from crypto_lakehouse.charts.pictures import drawing, rendered
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.visible import visible
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Severity, ValidationReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "VARIABLES",
    "VERDICTS",
    "html_text",
    "news_of",
    "plots_of",
    "rank_of",
    "verdict_mark",
    "visible",
]

#: Worst first.
VERDICTS = ("unreadable", "quarantined", *map(str, Severity), "good")

#: The most bars, series and panels of a plot, and lines of a panel.
_MOST_BARS, _MOST_SERIES, _MOST_PANELS, _MOST_LINES = 30, 60, 6, 20

_INK, _FAINT, _LINE, _TRACK, _GOOD = "#24292f", "#57606a", "#c9d1d9", "#eaeef2", "#93c3e3"
VARIABLES = {_INK: "--ink", _FAINT: "--faint", _LINE: "--line", _TRACK: "--track",
              _GOOD: "--good"}  # fmt: skip
COLOURS = dict(zip(VERDICTS, (_INK, "#cc79a7", "#d55e00", "#e69f00", "#8c959f", _GOOD),
                    strict=True))  # fmt: skip

_EPOCH = date(1970, 1, 1).toordinal()


def rank_of(verdict: str) -> int:
    """Return the rank of a verdict, worst first."""
    return VERDICTS.index(verdict)


def news_of(archive: ArchiveQuality) -> str:
    """Return the verdict without the findings that are known upstream."""
    new = tuple(finding for finding in archive.findings if not finding.source)
    return evolve(archive, findings=new).verdict


def html_text(value: object) -> str:
    """Return a value as escaped text of a page."""
    return escape(visible(str(value)))


def verdict_mark(name: str) -> str:
    """Return a verdict with its colour beside it, as HTML."""
    return f'<span class="v {html_text(name)}"><i></i>{html_text(name)}</span>'


@frozen(order=True)
class _PlotEntry:
    """One archive of a plot."""

    archive: Archive
    rows: int
    verdict: str
    news: str

    @property
    def days(self) -> tuple[int, int]:
        """Its first day and the day after its last, as matplotlib counts them: from 1970-01-01."""
        first, last = self.archive.period.first_day, self.archive.period.last_day
        return first.toordinal() - _EPOCH, last.toordinal() - _EPOCH + 1


_Groups = dict[str, list[_PlotEntry]]


def _entries(report: ValidationReport) -> Iterator[_PlotEntry]:
    """Yield what can be plotted: archives with a valid key and a plausible day."""
    for each in report.archives:
        try:
            archive = Archive.parse(each.key)
        except ArchiveKeyError:
            continue
        if 2000 <= archive.period.first_day.year < 2100:
            yield _PlotEntry(archive, each.rows, each.verdict, news_of(each))


def plots_of(report: ValidationReport) -> Iterator[str]:
    """Yield the plots of a page; without matplotlib, the command that installs it."""
    entries = sorted(_entries(report))
    if not entries:
        return
    yield "<h2>Pictures</h2>\n"
    if find_spec("matplotlib") is None:
        yield "<p>They need matplotlib, and it is not installed: run <code>"
        yield "pip install &quot;crypto-lakehouse[plot]&quot;</code>.</p>\n"
        return
    found = {name for each in entries for name in (each.verdict, each.news)}
    legend = " ".join(verdict_mark(name) for name in VERDICTS if name in found)
    for number, plot in enumerate((_shares, _calendar, _rows)):
        with drawing():
            figure, said = plot(entries)
        svg = _inline(rendered(figure, "svg").decode(), number, said)
        yield f"<figure><figcaption>{html_text(said)}<br>{legend}</figcaption>{svg}</figure>\n"


def _inline(svg: str, number: int, alternative: str) -> str:
    """Adapt a picture to the page: its colours, unique ids, and no external address."""
    head, rest = svg[svg.index("<svg") :].split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    rest = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>plot{number}-", rest)
    for colour, variable in (*VARIABLES.items(), ("xlink:href", "")):
        rest = rest.replace(colour, f"var({variable})" if variable else "href")
    return f'<svg role="img" aria-label="{html_text(alternative)}" {box and box[0]}>{rest}'


def _axes(figure: Figure, top: float, height: float, left: float) -> Axes:
    """Add axes, in inches from the upper left corner."""
    width, whole = figure.get_size_inches()
    box = (left / width, 1 - (top + height) / whole, 1 - (left + 1.2) / width, height / whole)
    axes = figure.add_axes(box, facecolor="none")
    axes.tick_params(length=0, labelsize=8.5, labelcolor=_FAINT)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=_LINE)
    return axes


def _lines(groups: _Groups) -> tuple[Figure, Axes]:
    """Make a figure with one line for each group, its name, and how many are not good."""
    from matplotlib.figure import Figure

    height, longest = 0.25 * len(groups), max(map(len, groups))
    figure = Figure(figsize=(11, 0.5 + height), facecolor="none")
    axes = _axes(figure, 0.1, height, min(5.5, 0.3 + 0.075 * longest))
    axes.set(ylim=(len(groups), 0), yticks=[])
    look: dict[str, Any] = {"size": 8.5, "va": "center", "transform": axes.get_yaxis_transform()}
    for y, (label, group) in enumerate(groups.items()):
        axes.text(-0.012, y + 0.5, label, color=_INK, ha="right", **look)
        note = f"{_bad(group):,} of {len(group):,}"
        axes.text(1.012, y + 0.5, note, color=_FAINT, **look)
    return figure, axes


def _days(axes: Axes, entries: Sequence[_PlotEntry]) -> tuple[float, float]:
    """Scale the axis to all days in UTC; return the first day and the number of days."""
    from matplotlib import rcParams

    first, last = min(of.days[0] for of in entries), max(of.days[1] for of in entries)
    rcParams["date.converter"] = "concise"
    axes.xaxis_date("UTC")
    axes.set_xlim(first, last)
    return first, last - first


def _bad(entries: Iterable[_PlotEntry]) -> int:
    return sum(of.verdict != "good" for of in entries)


def _grouped(entries: Iterable[_PlotEntry], name: Callable[[Archive], str]) -> _Groups:
    groups: _Groups = defaultdict(list)
    for each in entries:
        groups[name(each.archive)].append(each)
    return groups


def _worst(groups: _Groups, most: int) -> _Groups:
    """Return the groups with the most archives that are not good, in their order."""
    kept = set(sorted(groups, key=lambda name: -_bad(groups[name]))[:most])
    return {name: group for name, group in groups.items() if name in kept}


def _shares(entries: Sequence[_PlotEntry]) -> tuple[Figure, str]:
    import numpy as np

    groups = _grouped(entries, lambda of: f"{of.market} {of.data_type} {of.symbol}")
    if len(groups) > _MOST_BARS:
        groups = _grouped(entries, lambda of: f"{of.market} {of.data_type}")
    figure, axes = _lines(groups)
    found = [Counter(of.verdict for of in group) for group in groups.values()]
    counts = np.array([[each[name] for name in VERDICTS] for each in found])
    # One bad archive among thousands must be wide enough to be seen.
    shares = np.maximum(counts / counts.sum(1, keepdims=True), 0.006 * (counts > 0))
    shares /= shares.sum(1, keepdims=True)
    left = shares.cumsum(1) - shares
    for name, x, width in zip(VERDICTS, left.T, shares.T, strict=True):
        axes.barh(np.arange(len(groups)) + 0.5, width, 0.76, x, color=COLOURS[name])
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0 %", "50 %", "100 %"])
    return figure, "Verdicts by data type and symbol; on the right, how many are not good."


def _calendar(entries: Sequence[_PlotEntry]) -> tuple[Figure, str]:
    groups = _grouped(entries, lambda of: str(of.series))
    shown = _worst(groups, _MOST_SERIES)
    figure, axes = _lines(shown)
    first, days = _days(axes, entries)
    for y, group in enumerate(shown.values()):
        axes.broken_barh([(first, days)], (y + 0.44, 0.12), fc=_TRACK, lw=0)
        for layer, height in enumerate((0.76, 0.38)):
            for name, runs in _runs(group, news=bool(layer)).items():
                # A single bad day in years must be wide enough to be seen.
                least = 0.0 if name == "good" else days / 300
                wide = [(a, b, max(0.0, least - (b - a))) for a, b in runs]
                places = [(a - more / 2, b - a + more) for a, b, more in wide]
                z = 10 * (layer + 1) - rank_of(name)
                axes.broken_barh(places, (y + 0.12, height), fc=COLOURS[name], lw=0, zorder=z)
    said = f"Days of {len(shown):,} of {len(groups):,} series. Lower half: the worst of a day; "
    return figure, f"{said}upper half: the worst not known upstream; thin line: no archive."


def _runs(group: Iterable[_PlotEntry], *, news: bool) -> dict[str, list[tuple[int, int]]]:
    """Return first days and ends by verdict; adjacent days are merged."""
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for of in group:
        (begin, end), run = of.days, runs[of.news if news else of.verdict]
        if run and run[-1][1] >= begin:
            first, last = run.pop()
            begin, end = first, max(end, last)
        run.append((begin, end))
    return runs


def _rows(entries: Sequence[_PlotEntry]) -> tuple[Figure, str]:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    groups = _grouped(entries, lambda of: f"{of.market} {of.partition} {of.data_type} "
                                          f"{of.interval or ''}".rstrip())  # fmt: skip
    shown = _worst(groups, _MOST_PANELS)
    figure = Figure(figsize=(11, 0.2 + 1.8 * len(shown)), facecolor="none")
    for number, (name, group) in enumerate(shown.items()):
        axes = _axes(figure, 0.35 + 1.8 * number, 1.2, 0.8)
        _days(axes, entries)
        symbols = _grouped(group, lambda of: of.symbol)
        lines = _worst(symbols, _MOST_LINES)
        _draw_rows(axes, lines)
        which = (
            ", ".join(lines)
            if len(symbols) <= 4
            else f"{len(lines)} of {plural(len(symbols), 'symbol')}"
        )
        axes.set_title(f"{name}: {which}", size=8.5, color=_INK, loc="left")
        axes.yaxis.set(major_formatter=EngFormatter(sep=""), major_locator=MaxNLocator(3))
    kinds = plural(len(groups), "kind", form=",")
    said = f"Rows per archive over time, {len(shown):,} of {kinds} of archives. "
    return figure, f"{said}Dots: archives that are not good."


def _draw_rows(axes: Axes, lines: _Groups) -> None:
    for line in lines.values():
        points: list[tuple[float, float]] = []
        for of in line:
            if points and of.days[0] > points[-1][0]:
                points.append((nan, nan))
            points += [(day, of.rows) for day in of.days]
        axes.plot(*zip(*points, strict=True), color=_FAINT, lw=0.6, alpha=0.6)
        for name in VERDICTS[:-1]:
            dots = [(of.days[0] + 0.5, of.rows) for of in line if of.verdict == name]
            if dots:
                axes.plot(*zip(*dots, strict=True), "o", ms=5, mew=0, color=COLOURS[name],
                          zorder=10 - rank_of(name), clip_on=False)  # fmt: skip
    most = max(of.rows for line in lines.values() for of in line)
    axes.set_ylim(0, most * 1.12 or 1)
    axes.grid(axis="y", color=_LINE, lw=0.6)
