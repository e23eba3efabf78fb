"""The sections of a page: what is complete, what is missing, and what has been done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from math import floor

from attrs import frozen

from crypto_lakehouse.core.amounts import bytes_text, duration_text
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.hole_causes import UNEXPECTED, HoleCause
from crypto_lakehouse.pages.figures import (
    CoverageFigures,
    FindingFigures,
    GroupFigures,
    OriginFigures,
    PageFigures,
    Progress,
    RunFigure,
)
from crypto_lakehouse.pages.markup import Content, Markup, element, joined
from crypto_lakehouse.pages.strips import TONES

__all__ = ["findings", "freshness", "holes", "list_of_pages", "origins", "percent", "runs",
           "section", "tiles", "verdicts"]  # fmt: skip

_MEANINGS: Mapping[HoleCause, str] = {
    HoleCause.FAILED: "a network or server error; the next run asks again",
    HoleCause.QUARANTINED: "damaged at the source, or disagrees with its sidecar",
    HoleCause.MISSING: "absent at the source, although it should be there",
    HoleCause.NOT_COLLECTED: "no run has settled it",
    HoleCause.UNPROVEN: "stored, but no published checksum confirms it",
    HoleCause.UPSTREAM_HOLE: "known to be missing at the source",
    HoleCause.ACKNOWLEDGED: "missing or damaged, and acknowledged",
    HoleCause.NOT_PUBLISHED_YET: "too new to be published",
    HoleCause.RETIRED: "the feed has ended",
    HoleCause.OUTSIDE_LIFE: "before the series began, or after its end",
    HoleCause.NOT_ASKED: "no run was asked for it",
}

_VERDICT_TONES = {
    Verdict.VERIFIED: "v",
    Verdict.UNCHANGED: "v",
    Verdict.NOT_PUBLISHED: "idle",
    Verdict.FAILED: "again",
}


def percent(ratio: float) -> str:
    """Return a share, rounded down, so that 100 % means complete."""
    return f"{floor(10_000 * ratio) / 100:.2f} %"


def words(name: str) -> str:
    """Return a name without its underscores."""
    return name.replace("_", " ")


def section(
    heading: str, *contents: Content, remark: str = "", class_: str | None = None
) -> Markup:
    """Make a section with a heading and, below it, a remark."""
    return element(
        "section",
        element("h2", heading),
        element("p", remark, class_="remark") if remark else None,
        *contents,
        class_=class_,
    )


def tiles(figures: PageFigures, total: CoverageFigures) -> Markup:
    """Return the main figures."""
    open_days = sum(days for cause, days in total.open_holes.items() if cause not in UNEXPECTED)
    ages = [group.age_s for group in figures.groups if group.age_s is not None]
    oldest = f"{_age(max(ages))} ago" if ages else "–"
    return element(
        "dl",
        _tile("complete", percent(total.ratio), class_="main"),
        _tile("verified days", f"{total.verified_days:,}", f"of {total.expected_days:,}"),
        _tile("open days", f"{open_days:,}", "missing, and not filled"),
        _tile("series", f"{total.series:,}", plural(len(figures.groups), "data type")),
        _tile("stored", bytes_text(total.size_bytes), "of archives"),
        _tile("least fresh", oldest, "newest day ended"),
        class_="tiles",
    )


def _tile(name: str, value: str, more: str = "", class_: str | None = None) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", element("b", value), element("small", more) if more else None),
        class_=class_,
    )


def freshness(groups: Iterable[GroupFigures]) -> Markup:
    """Return the newest verified day of each group, and how far it is behind."""
    rows = (
        _row(
            _group(group.market, group.data_type),
            _day(group.newest),
            "–" if group.age_s is None else f"{_age(group.age_s)} ago",
            plural(group.lag_days, "day") if group.lag_days else "none",
            class_="behind" if group.lag_days else None,
        )
        for group in groups
    )
    remark = (
        "Lag: from the newest verified day of the series that is furthest behind to the newest "
    )
    return section(
        "Freshness",
        _table("data type|newest day|ended#|lag#", rows),
        remark=f"{remark}that the source should have.",
    )


def holes(total: CoverageFigures) -> Markup:
    """Return the days of holes by cause; those that need nothing are apart."""
    due = {cause: days for cause, days in total.holes.items() if cause not in UNEXPECTED and days}
    rest = {cause: days for cause, days in total.holes.items() if cause in UNEXPECTED and days}
    most = max(due.values(), default=1)
    rows = [_hole(total, cause, most) for cause in HoleCause if cause in due]
    rows += [_hole(total, cause, 0) for cause in HoleCause if cause in rest]
    body: Markup = _table("cause|days#|filled#|", rows) if rows else _nothing("There are none.")
    return section("Holes by cause", body)


def _hole(total: CoverageFigures, cause: HoleCause, most: int) -> _Row:
    days, filled = total.holes[cause], total.holes[cause] - total.open_holes.get(cause, 0)
    tone = TONES.get(cause, "idle")
    return _row(
        joined([
            element("i", class_=f"mark {tone}"), words(cause),
            element("small", _MEANINGS[cause]),
        ]),
        days,
        filled or "–",
        _bar(days, most, tone) if most else "",
    )  # fmt: skip


def verdicts(total: CoverageFigures) -> Markup:
    """Return how many archives have each verdict."""
    most = max(total.verdicts.values(), default=1)
    rows = [
        _row(
            joined([element("i", class_=f"mark {_verdict_tone(verdict)}"), words(verdict)]),
            total.verdicts[verdict],
            _bar(total.verdicts[verdict], most, _verdict_tone(verdict)),
        )
        for verdict in Verdict
        if total.verdicts.get(verdict)
    ]
    body = _table("verdict|archives#|", rows) if rows else _nothing("No archive has one yet.")
    return section("Verdicts", body, remark="The latest on each daily and monthly archive.")


def _verdict_tone(verdict: Verdict) -> str:
    return _VERDICT_TONES.get(verdict, "source")


def runs(found: Iterable[RunFigure]) -> Markup:
    """Return when the last runs were, and how fast."""
    listed = list(found)
    most = max((run.rate or 0 for run in listed), default=0)
    rows = [
        _row(
            joined([_moment(run.started_at), element("small", words(run.workflow))]),
            element("span", words(run.status or "not ended"), class_=_run_class(run)),
            run.planned,
            "–" if run.seconds is None else duration_text(run.seconds),
            "–" if run.rate is None else _rate(run.rate),
            _bar(run.rate or 0, most, "v"),
        )
        for run in listed
    ]
    columns = "begun, UTC|ended|planned#|took#|a second#|"
    body = _table(columns, rows) if rows else _nothing("There was none.")
    remark = (
        "Archives, or days to fill, in the plan of each run, with those that were here already."
    )
    return section("Recent runs", body, remark=remark, class_="runs")


def _run_class(run: RunFigure) -> str | None:
    return None if run.status in {"complete", None} else "bad"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def origins(found: Iterable[OriginFigures]) -> Markup:
    """Return the days of archive, fill and live of each group."""
    rows = [
        _row(
            _group(each.market, each.data_type),
            _span(each.archive),
            _span(each.fill),
            joined([_span(each.live), *_live(each)]),
        )
        for each in found
    ]
    body = _table("data type|archive|filled|live", rows) if rows else _nothing("There are no rows.")
    remark = (
        "The first and the last day of what was verified, filled from the exchange, and recorded."
    )
    return section("Origins", body, remark=remark)


def _live(origin: OriginFigures) -> Iterator[Markup]:
    if origin.segments:
        yield element("small", plural(origin.segments, "segment", form=","))
    if origin.score is not None:
        yield element("small", f"{percent(origin.score)} of the archive's rows")


def findings(found: Iterable[FindingFigures]) -> Markup:
    """Return what the checks have found in the archives of the lake."""
    rows = [
        _row(
            joined([element("code", each.check), element("small", each.table)]),
            joined([element("i", class_=f"mark {_severity_tone(each.severity)}"), each.severity]),
            each.archives,
            each.rows,
        )
        for each in found
    ]
    columns = "check|severity|archives#|rows#"
    body = _table(columns, rows) if rows else _nothing("The checks have found nothing.")
    return section("Quality findings", body, remark="In the archives that the tables have.")


def _severity_tone(severity: str) -> str:
    return {"error": "source", "warning": "again"}.get(severity, "idle")


def list_of_pages(pages: Iterable[tuple[str, str, Progress]]) -> Markup:
    """Return links to pages, by name and address, with what the run of each has done."""
    rows = (
        _row(
            element("a", name, href=address),
            joined([run or "–", element("small", str(progress["state"])) if run else None]),
            _count(progress["done"]),
            _count(progress["problems"]),
        )
        for name, address, progress in pages
        for run in [str(progress["workflow"] or "")]
    )
    return section("Pages", _table("page|newest run|settled#|problems#", rows))


def _count(value: float | str | None) -> str:
    return f"{value:,}"


def _nothing(text: str) -> Markup:
    return element("p", text, class_="nothing")


def _group(market: str, data_type: str) -> Markup:
    return joined([element("span", data_type), element("small", market)])


def _day(day: date | None) -> Markup:
    return joined(["–"]) if day is None else element("time", str(day))


def _moment(moment: datetime) -> Markup:
    return element("time", f"{moment:%Y-%m-%d %H:%M}")


def _span(span: tuple[date, date] | None) -> Markup:
    if span is None:
        return joined(["–"])
    first, last = span
    return joined([_day(first), element("small", "to ", _day(last)) if last > first else None])


def _age(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours < 100 else f"{hours / 24:,.0f} d"


def _bar(value: float, most: float, tone: str) -> Markup:
    width = 100 * value / most if most else 0
    return element("div", element("i", class_=tone, style=f"width:{max(width, 0.5):.1f}%"),
                   class_="bar", aria_hidden="true")  # fmt: skip


@frozen
class _Row:
    cells: tuple[Content, ...]
    class_: str | None


def _row(*cells: Content, class_: str | None = None) -> _Row:
    return _Row(cells, class_)


def _table(columns: str, rows: Iterable[_Row]) -> Markup:
    """Make a table; names that end with `#` are of numeric columns, one without a name has bars."""
    names = columns.split("|")
    classes = ["n" if name.endswith("#") else None if name else "b" for name in names]
    heads = (
        element("th", name.removesuffix("#"), scope="col", class_=class_)
        if name
        else element("td", class_=class_)
        for name, class_ in zip(names, classes, strict=True)
    )
    body = (
        element(
            "tr",
            *(element("td", cell, class_=of) for cell, of in zip(row.cells, classes, strict=True)),
            class_=row.class_,
        )
        for row in rows
    )
    return element("table", element("thead", element("tr", *heads)), element("tbody", *body))
