"""The calendar of a page: a strip for each group and, on demand, for each of its series."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.coverage.hole_causes import UNEXPECTED
from crypto_lakehouse.pages.figures import GroupFigures, PageFigures, SeriesFigures
from crypto_lakehouse.pages.markup import Markup, element, joined
from crypto_lakehouse.pages.sections import percent, section
from crypto_lakehouse.pages.strips import strip, time_axis

__all__ = ["coverage_calendar"]

_LEGEND = (
    ("v", "verified"),
    ("again", "a further run can get it"),
    ("source", "the source lacks it, or it is damaged"),
    ("idle", "nothing is expected"),
)


def coverage_calendar(figures: PageFigures) -> Markup:
    """Make the section."""
    if figures.span is None:
        return section("Coverage", element("p", "No series has a day.", class_="nothing"))
    legend = element(
        "ul",
        *(element("li", element("i", class_=f"mark {tone}"), text) for tone, text in _LEGEND),
        class_="legend",
    )
    unit = "day" if figures.by_days else "month"
    remark = f"A column is a {unit}, as high as it is verified. A data type opens its series."
    axis = time_axis(figures.span, by_days=figures.by_days)
    return section(
        "Coverage",
        legend,
        element("div", element("span"), axis, element("span"), class_="line head"),
        joined(_group(group, figures.span) for group in figures.groups),
        remark=remark,
    )


def _group(group: GroupFigures, span: tuple[int, int]) -> Markup:
    share = percent(group.coverage.ratio)
    name = f"{group.data_type}, {group.market}"
    cells = ((number, group.cells[number]) for number in sorted(group.cells))
    line = element(
        "div",
        element(
            "span", element("b", group.data_type), element("small", group.market), class_="name"
        ),
        strip(cells, span, f"{name}: {share} verified"),
        element("span", share, class_="n"),
        class_="line group",
    )
    series = joined(_series(each, span) for each in group.series)
    return element(
        "details", element("summary", line), series, joined(_left_out(group)),
    )  # fmt: skip


def _series(series: SeriesFigures, span: tuple[int, int]) -> Markup:
    expected = series.expected_days
    share = percent(series.verified_days / expected if expected else 1.0)
    cells = enumerate(series.strip, series.strip.first)
    return element(
        "div",
        element("span", series.name, _missing(series), class_="name"),
        strip(cells, span, f"{series.name}: {share} verified"),
        element("span", share, class_="n"),
        class_="line",
    )


def _missing(series: SeriesFigures) -> Markup | None:
    """Say how many days are missing, by cause."""
    due = [
        f"{days:,} {cause.replace('_', ' ')}"
        for cause, days in series.holes.items()
        if cause not in UNEXPECTED
    ]
    return element("small", ", ".join(due)) if due else None


def _left_out(group: GroupFigures) -> Iterator[Markup]:
    more, complete = group.left_out
    if more:
        text = f"{more:,} more series [is|are] not shown, {complete:,} of them complete; "
        text += "choose with --symbols, or see `crypto-lakehouse status`."
        yield element("p", agreeing(more, text), class_="remark")
