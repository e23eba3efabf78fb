"""The page of a validation: read back as a browser reads it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from crypto_lakehouse.charts.validation_html import (
    MOST_ARCHIVES,
    VERDICTS,
    check_totals,
    headline,
    visible,
    worst_first,
    write_html,
)
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.tables.quality.findings import (
    ArchiveQuality,
    Finding,
    Policy,
    Severity,
    ValidationReport,
)

needs_matplotlib = pytest.mark.skipif(
    not find_spec("matplotlib"),
    reason="matplotlib is not installed: the pictures of validations are NOT tested",
)

#: Elements that have no end.
VOID = {"meta", "br"}

HOSTILE = "</td><script src=https://evil.example/x.js>alert(1)</script><img onerror=x> \" ' & \x00"


class Page(HTMLParser):
    """Reads a page, and does not accept what is not well-formed."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in {"td", "th", "p"}:
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, "only there an end within the tag is one"
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] == "style":
            return
        self.text += data
        if {"td", "th", "p"} & set(self.open):
            self.cells[-1] += data


def key(symbol: str, day: date, data_type: str = "trades") -> str:
    return f"data/spot/daily/{data_type}/{symbol}/{symbol}-{data_type}-{day}.zip"


def finding(
    of: str, severity: Severity = Severity.WARNING, check: str = "gaps", **more: Any
) -> Finding:
    given = {"rows": 3, "sentence": f"3 rows are absent in {check}", **more}
    return Finding(check=check, severity=severity, key=of, **given)


def archive(of: str, *findings: Finding, **more: Any) -> ArchiveQuality:
    return ArchiveQuality(**{"key": of, "rows": 1440, "findings": findings, **more})


def report(*archives: ArchiveQuality) -> ValidationReport:
    ordered: Any = sorted(archives, key=lambda of: of.key)
    return ValidationReport(archives=ordered)


def mixed() -> ValidationReport:
    """Two symbols, 40 days, one archive of each verdict, and one day that is absent."""
    days = [date(2024, 1, 1) + timedelta(number) for number in range(40) if number != 30]
    keys = [key(symbol, day) for symbol in ("BTCUSDT", "币安人生USDT") for day in days]
    found: dict[int, tuple[Finding, ...]] = {
        3: (finding(keys[3], Severity.ERROR, "ohlc", source="binance-public-data#365"),),
        5: (finding(keys[5], Severity.ERROR, "ohlc"), finding(keys[5])),
        7: (finding(keys[7], Severity.ERROR, "order", policy=Policy.QUARANTINE),),
        9: (
            finding(
                keys[9], Severity.INFO, "era", rows=0, source="docs/archive-rows.md#data-types"
            ),
        ),
        50: (finding(keys[50]),),
    }
    good = [archive(each, *found.get(number, ())) for number, each in enumerate(keys)]
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    good[1] = archive(keys[1], first_at=moment, last_at=moment, time_unit="us", header=True)
    good[60] = archive(keys[60], rows=0, fault="line 7, column `id`: <no number>")
    return report(*good)


def page(tmp_path: Path, of: ValidationReport) -> Page:
    return Page(write_html(tmp_path / "report.html", of))


def test_the_page_says_all_of_a_report(tmp_path: Path) -> None:
    of = mixed()
    read = page(tmp_path, of)
    assert read.cells[0] == headline(of)
    assert read.cells[0] == (
        "Of 78 archives with 110,880 rows: 1 unreadable, 1 quarantined, 2 with errors, 1 with "
        "warnings, 73 good. 6 findings: 2 known upstream, 4 new."
    )
    for each in of.findings:
        at = next(i for i, cell in enumerate(read.cells) if each.key in cell)
        rest = read.cells[at:]
        assert rest.index(each.sentence) < 15, each
    for text in ("line 7, column `id`: <no number>", "binance-public-data#365", "new",
                 "quarantine", "docs/archive-rows.md#data-types"):  # fmt: skip
        assert text in read.cells
    assert any("币安人生USDT" in cell for cell in read.cells)
    start = read.cells.index("ohlc")
    assert read.cells[start : start + 5] == ["ohlc", "error", "2", "6", "1"]


def test_facts_stand_beside_an_archive(tmp_path: Path) -> None:
    of = key("BTCUSDT", date(2024, 1, 1))
    first = datetime(2024, 1, 1, tzinfo=UTC)
    facts = {"first_at": first, "last_at": first + timedelta(hours=3), "time_unit": "us"}
    read = page(tmp_path, report(archive(of, finding(of), header=True, **facts)))
    heading = next(cell for cell in read.cells if of in cell)
    assert heading == (
        f"warning {of} 1,440 rows, with a header, "
        "2024-01-01 00:00:00 to 2024-01-01 03:00:00, times in us"
    )


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    of = key("BTCUSDT", date(2024, 1, 1))
    text = write_html(tmp_path / "r.html", report(*mixed().archives)).read_text("utf-8")
    assert "://" not in text
    assert "@import" not in text
    read = page(tmp_path, report(archive(of, finding(of, sentence=HOSTILE))))
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "a"} & set(read.tags)
    for tag, name, value in read.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in {"src", "srcset", "action", "xlink:href"}
        assert name != "href" or (value or "").startswith("#plot")
    policy = [value for _, _, value in read.attributes if value and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    for address in re.findall(r"url\(([^)]*)", text):
        assert address.startswith("#plot")


@needs_matplotlib
def test_pictures_are_within_and_described(tmp_path: Path) -> None:
    text = write_html(tmp_path / "r.html", mixed()).read_text("utf-8")
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 3
    names: list[str] = []
    for picture in pictures:
        tree = ET.fromstring(picture)
        assert tree.get("role") == "img"
        assert len(tree.get("aria-label", "")) > 40
        names += [each.get("id", "") for each in tree.iter() if each.get("id")]
    assert len(names) == len(set(names)), "no id is twice in a page"
    shares, calendar, rows = ("".join(ET.fromstring(each).itertext()) for each in pictures)
    for label in ("spot trades BTCUSDT", "spot trades 币安人生USDT", "3 of 39"):
        assert label in shares
        assert label in calendar
    assert "spot daily trades: BTCUSDT, 币安人生USDT" in rows
    assert "1.2k" in rows
    for picture in pictures:
        assert "#24292f" not in picture, "ink is the page's, dark or light"
        assert "var(--ink)" in picture
        for colour in ("#d55e00", "#cc79a7", "#e69f00"):
            assert colour in picture
    legend = re.findall(r'<span class="v (\w+)"', text)
    assert set(VERDICTS) <= set(legend)


@needs_matplotlib
def test_the_calendar_keeps_known_and_new_apart() -> None:
    from crypto_lakehouse.charts.validation_plots import _calendar, _entries

    figure, _ = _calendar(sorted(_entries(mixed())))
    from matplotlib.colors import to_hex

    found = []
    for collection in figure.axes[0].collections:
        colours: Any = collection.get_facecolor()
        for path in collection.get_paths() if to_hex(colours[0]) == "#d55e00" else ():
            box = path.get_extents()
            if box.y0 < 1:
                found.append((int(box.x0) - 19_723, round(box.height, 2)))
    # Of 2024-01-04 only the whole is an error, of 2024-01-06 also what is not known upstream.
    assert sorted(found) == [(3, 0.76), (5, 0.38), (5, 0.76)]


@needs_matplotlib
def test_years_of_good_days_are_one_shape_and_a_bad_day_is_seen() -> None:
    from crypto_lakehouse.charts.validation_plots import _calendar, _entries

    keys = [key("BTCUSDT", date(2018, 1, 1) + timedelta(number)) for number in range(2500)]
    archives = [archive(each, *[finding(each)] * (number == 1000))
                for number, each in enumerate(keys)]  # fmt: skip
    figure, said = _calendar(sorted(_entries(report(*archives))))
    assert said.startswith("Days of 1 of 1 series.")
    shapes = [path for each in figure.axes[0].collections for path in each.get_paths()]
    assert len(shapes) == 7, "the track, and for each half one bad day and what is around it"
    assert min(path.get_extents().width for path in shapes) > 5


@needs_matplotlib
def test_many_series_are_cut_to_the_worst(tmp_path: Path) -> None:
    keys = [key(f"X{number}USDT", date(2024, 1, 1)) for number in range(90)]
    archives = [archive(each, *[finding(each)] * (number > 80)) for number, each in enumerate(keys)]
    text = write_html(tmp_path / "r.html", report(*archives)).read_text("utf-8")
    shares, calendar, rows = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert "X85USDT" in calendar
    assert "Days of 60 of 90 series" in calendar
    assert ">spot trades<" in shares
    assert "spot daily trades: 20 of 90 symbols" in rows


def test_the_worst_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    keys = [key(f"X{number:03}USDT", date(2024, 1, 1)) for number in range(MOST_ARCHIVES + 20)]
    archives = [archive(each, finding(each, Severity.INFO, "era")) for each in keys]
    archives[400] = archive(keys[400], finding(keys[400], Severity.ERROR, "ohlc", source="known"))
    archives[500] = archive(keys[500], finding(keys[500], Severity.ERROR, "ohlc"))
    archives[519] = archive(keys[519], fault="cut off")
    of = report(*archives)
    assert [each.key for each in worst_first(of)][:4] == [keys[519], keys[500], keys[400], keys[0]]
    read = page(tmp_path, of)
    listed = [cell for cell in read.cells if "data/spot" in cell]
    assert len(listed) == MOST_ARCHIVES
    assert keys[519] in listed[0]
    assert read.cells[-1] == "and 20 archives more; the report as JSON has them all"


def test_within_an_archive_errors_and_news_come_first() -> None:
    of = key("BTCUSDT", date(2024, 1, 1))
    given = (
        finding(of, Severity.INFO, "a"),
        finding(of, Severity.ERROR, "b", source="known"),
        finding(of, Severity.ERROR, "c"),
    )
    (only,) = worst_first(report(archive(of, *given)))
    assert [each.check for each in only.findings] == ["c", "b", "a"]


def test_checks_are_summed_up_by_archive() -> None:
    of, other = key("A", date(2024, 1, 1)), key("B", date(2024, 1, 1))
    twice = archive(of, finding(of), finding(of, Severity.ERROR, source="known"))
    (gaps,) = check_totals(report(twice, archive(other, finding(other))))
    assert (gaps.check, gaps.severity, gaps.archives, gaps.rows, gaps.new) == (
        "gaps", Severity.ERROR, 2, 9, 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("archives", "said"),
    [
        ((), "No archive was checked."),
        ((archive("k"),), "Nothing was found in 1 archive with 1,440 rows."),
        (
            (archive("k", finding("k")), archive("l")),
            "Of 2 archives with 2,880 rows: 1 with warnings, 1 good. "
            "1 finding: 0 known upstream, 1 new.",
        ),
    ],
    ids=["none", "good", "warning"],
)
def test_the_headline_fits(tmp_path: Path, archives: Iterable[ArchiveQuality], said: str) -> None:
    of = report(*archives)
    assert headline(of) == said
    assert page(tmp_path, of).cells[0] == said


@given(text=st.text(st.characters(), max_size=60) | st.just(HOSTILE))
@settings(max_examples=examples(60))
def test_any_text_comes_back_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Keys, checks and sentences may be anybody's, half characters included."""
    given = Finding(check=text, severity=Severity.ERROR, key=text, rows=1, sentence=text,
                    source=text)  # fmt: skip
    broken = ArchiveQuality(key=f"{text}!", fault=text, time_unit=text)
    of = report(ArchiveQuality(key=text, findings=(given,)), broken)
    file = write_html(tmp_path_factory.getbasetemp() / "any.html", of)
    read = Page(file)
    shown = visible(text)
    assert shown.isprintable()
    assert sum(cell == shown for cell in read.cells) >= 4 - (not text)
    assert any(f" {shown} 0 rows" in cell for cell in read.cells)
    assert "script" not in read.tags
    assert "img" not in read.tags


@given(text=st.text(st.characters()))
def test_what_is_seen_stays_and_the_rest_is_spelled_out(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


def test_keys_that_are_not_the_publishers_have_no_place_in_pictures(tmp_path: Path) -> None:
    strange = [key("BTCUSDT", date(year, 12, 31)) for year in (1, 9999)]
    others = [archive(each, finding(each)) for each in strange]
    read = page(tmp_path, report(archive("mine/file.csv", finding("mine/file.csv")), *others))
    assert "svg" not in read.tags
    assert "Pictures" not in read.text
    for each in ("mine/file.csv", *strange):
        assert each in read.text


def test_without_matplotlib_a_sentence_is_in_the_pictures_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    read = page(tmp_path, mixed())
    assert "svg" not in read.tags
    assert 'pip install "crypto-lakehouse[plot]"' in read.text
    assert "3 rows are absent in gaps" in read.text


def test_the_same_report_is_the_same_file(tmp_path: Path) -> None:
    one = write_html(tmp_path / "one.html", mixed()).read_bytes()
    assert write_html(str(tmp_path / "other.html"), mixed()).read_bytes() == one


def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent" / "r.html", tmp_path / "\x00"):
        with pytest.raises(ConfigurationError, match=r"cannot be written: .*; choose another"):
            write_html(place, report())
    assert not list(tmp_path.iterdir())


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in parts]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_have_contrast(tmp_path: Path, theme: int) -> None:
    """4.5 to 1 at least, as WCAG 2.2 asks of texts (1.4.3)."""
    style = write_html(tmp_path / "r.html", report()).read_text("utf-8")
    colours = dict(re.findall(r"--(\w+):(#\w+)", re.findall(r":root\{[^}]*\}", style)[theme]))
    full = {name: value if len(value) == 7 else "#" + "".join(2 * each for each in value[1:])
            for name, value in colours.items()}  # fmt: skip
    for name in ("ink", "faint"):
        light, dark = sorted((_luminance(full[name]), _luminance(full["page"])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5
