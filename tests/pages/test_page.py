"""The page of an output: what it says, and what a text in it cannot do."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html.parser import HTMLParser

from attrs import evolve
from tests.pages.samples import HOSTILE, NOW, covered, hole, sample

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.coverage.hole_causes import HoleCause
from crypto_lakehouse.pages.calendar import MOST_DAYS
from crypto_lakehouse.pages.figures import PageFigures
from crypto_lakehouse.pages.page import page, policy
from crypto_lakehouse.pages.progress import SHOWN
from crypto_lakehouse.workflows.page_figures import CoverageFold, coverage_figures

MINUTES = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1m")


class Read(HTMLParser):
    """Reads a page, and does not accept what is not well-formed."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(data.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def figures_of(fold: CoverageFold) -> PageFigures:
    by_days, span, groups = fold.figures(NOW)
    return PageFigures(
        place="out", at=NOW, of="what runs were asked for", by_days=by_days, span=span,
        total=coverage_figures(fold.totals), groups=groups,
    )  # fmt: skip


def paths(figures: PageFigures) -> list[tuple[str, str]]:
    return re.findall(r'<path class="(\w+)" d="([^"]*)"/>', page(figures).decode())


def test_a_text_is_shown_and_never_markup() -> None:
    made = page(sample())
    read = Read(made)
    assert made == page(sample())
    shown = HOSTILE.replace("\x00", r"\x00")
    assert read.text.count(shown) == 5  # title, heading, note, run and check
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    links = [value for name, value in read.attributes if name in {"href", "src", "action"}]
    assert links == ["data:,"]
    assert policy(is_live=False) in dict.fromkeys(value for _, value in read.attributes)
    assert "script-src" not in policy(is_live=False)
    assert "4 more series are not shown, 1 of them complete" in read.text


def test_a_live_page_shows_what_the_run_has_and_one_script() -> None:
    progress = dict.fromkeys((name for name, *_ in SHOWN), 3) | {"rows": None, "workflow": "a_b"}
    made = page(evolve(sample(), place=""), progress)
    read = Read(made)
    assert "Live status – crypto-lakehouse" in read.text
    assert "a b connecting" in read.text
    assert made.count(b"<script>") == 1
    hidden = re.findall(rb"<div hidden><dt>([^<]*)<", made)
    assert hidden == [b"rows into tables"]
    assert "connect-src 'self'" in policy(is_live=True)


def test_what_is_nearly_complete_is_never_shown_as_complete() -> None:
    begin = date(2020, 1, 1)
    lacking = [hole(begin + timedelta(day), 1, HoleCause.MISSING) for day in (10,)]
    lacking.append(hole(date(2020, 2, 2), 28, HoleCause.FAILED))
    lacking.append(hole(date(2020, 3, 1), 31, HoleCause.NOT_PUBLISHED_YET))
    fold = CoverageFold()
    fold.add(covered(MINUTES, begin, date(2020, 4, 30), *lacking))
    strips = dict(paths(figures_of(fold)))
    # January is a level short of the top, one day of February is a level, March is not expected.
    assert strips == {
        "v": "M0 1h1v19h-1zM1 19h1v1h-1zM3 0h1v20h-1z",
        "source": "M0 0h1v1h-1z",
        "again": "M1 0h1v19h-1z",
        "idle": "M2 19h1v1h-1z",
    }
    assert "99.99 %" not in page(figures_of(fold)).decode()


def test_few_days_are_shown_as_days_and_more_as_months() -> None:
    begin = date(2026, 7, 1)
    for days, is_by_days in ((1, True), (MOST_DAYS, True), (MOST_DAYS + 1, False)):
        fold = CoverageFold()
        end = begin + timedelta(days - 1)
        lacking = hole(end, 1, HoleCause.MISSING)
        fold.add(covered(MINUTES, begin, end, lacking))
        figures = figures_of(fold)
        assert figures.by_days == is_by_days
        cells = figures.groups[0].cells
        assert len(cells) == (days if is_by_days else 4)
        assert sum(cell.verified for cell in cells.values()) == days - 1
        assert sum(cell.expected for cell in cells.values()) == days
        assert f"A column is a {'day' if is_by_days else 'month'}" in page(figures).decode()


def test_thousands_of_series_make_a_page_of_bounded_size() -> None:
    fold = CoverageFold(most_series=200)
    end = date(2026, 11, 26)
    for number in range(300):
        series = Series(Market.SPOT, DataType.TRADES, f"A{number}USDT")
        lacking = [hole(date(2026, 3, 1), number % 7, HoleCause.MISSING)] if number % 7 else []
        fold.add(covered(series, date(2026, 1, 1), end, *lacking))
    figures = figures_of(fold)
    (group,) = figures.groups
    assert len(group.series) == 200
    assert group.left_out == (100, 43), "the complete ones are the first to be left out"
    shares = [each.verified_days / each.expected_days for each in group.series]
    assert shares == sorted(shares)
    assert len(page(figures)) < 200_000


def test_an_output_without_days_or_without_a_ledger_has_a_page() -> None:
    empty = figures_of(CoverageFold())
    assert "No series has a day." in Read(page(empty)).text
    alone = evolve(empty, total=None, origins=sample().origins, findings=())
    text = Read(page(alone)).text
    assert "There is no ledger yet." in text
    assert "12,345 segments" in text
    assert "The checks have found nothing." in text
