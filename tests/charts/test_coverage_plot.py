"""The picture of coverage: what is drawn, and that it is always the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from crypto_lakehouse.charts.coverage_plot import (
    MOST_SERIES,
    MatplotlibMissing,
    check_picture,
    plot_coverage,
)
from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.coverage.coverage import Hole, HoleCause, SeriesCoverage

TODAY = date(2026, 11, 23)
needs_matplotlib = pytest.mark.skipif(
    not find_spec("matplotlib"),
    reason="matplotlib is not installed: the pictures of coverage are NOT tested",
)

YEAR = (date(2025, 1, 1), date(2025, 12, 31))


def coverage(
    *holes: tuple[str, str, HoleCause],
    symbol: str = "BTCUSDT",
    window: tuple[date, date] = YEAR,
    data_type: DataType = DataType.TRADES,
) -> SeriesCoverage:
    found = []
    for first, last, cause in holes:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
        found.append(
            Hole(first_day=begin, last_day=end, days=(end - begin).days + 1, cause=cause, reason="")
        )
    total = (window[1] - window[0]).days + 1
    verified = total - sum(hole.days for hole in found)
    return SeriesCoverage(
        series=Series(Market.SPOT, data_type, symbol), start=window[0], end=window[1],
        first_day=None, last_day=None, verified_days=verified, expected_days=total, size_bytes=0,
        refused_newer=0, holes=tuple(found),
    )  # fmt: skip


EVERY_CAUSE = [
    coverage(
        (f"2025-{month:02d}-01", f"2025-{month:02d}-28", cause),
        (f"2025-{month:02d}-{29 if month != 2 else 28}", f"2025-{month + 1:02d}-05", cause),
        symbol=f"{cause.replace('_', '').upper()}USDT",
    )
    for month, cause in enumerate(HoleCause, 1)
    if month != 2
]


def draw(path: Path, coverages: Sequence[SeriesCoverage]) -> bytes:
    assert plot_coverage(coverages, path, today=TODAY) == [path]
    return path.read_bytes()


def texts(svg: bytes) -> list[str]:
    """The texts of a picture, in their order."""
    tree = ET.fromstring(svg)
    return ["".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text")]


@needs_matplotlib
def test_a_picture_names_series_months_and_what_colours_mean(tmp_path: Path) -> None:
    svg = draw(tmp_path / "c.svg", [coverage(), *EVERY_CAUSE])
    found = texts(svg)
    assert found[0] == "Verified days by month, as of 2026-11-23"
    for text in ("spot trades", "BTCUSDT", "MISSINGUSDT", "2025", "100.0 %", "all days verified",
                 "failed", "missing", "not collected", "known upstream hole"):  # fmt: skip
        assert text in found
    assert found.count("spot trades") == 1, "a heading for each kind of series"
    initials = [text for text in found if len(text) == 1]
    assert initials == list("JFMAMJJASOND")
    assert "retired" not in found
    assert "outside life" not in found
    assert "quarantined" not in texts(draw(tmp_path / "d.svg", [coverage()])), "only what is there"


@needs_matplotlib
@pytest.mark.parametrize("suffix", ["svg", "png", "PNG"])
def test_the_same_coverage_is_the_same_file(tmp_path: Path, suffix: str) -> None:
    one = draw(tmp_path / f"one.{suffix}", EVERY_CAUSE)
    assert draw(tmp_path / f"other.{suffix}", EVERY_CAUSE) == one
    magic = b"<?xml" if suffix == "svg" else b"\x89PNG\r\n"
    assert one.startswith(magic)
    assert b"dc:date" not in one
    assert b"matplotlib" not in one.lower(), "no version, no address"


@needs_matplotlib
def test_a_users_settings_change_nothing(tmp_path: Path) -> None:
    import matplotlib as mpl

    plain = draw(tmp_path / "plain.svg", EVERY_CAUSE)
    changed: Any = {"font.size": 30, "hatch.linewidth": 9, "savefig.bbox": "tight",
                    "svg.fonttype": "path", "svg.hashsalt": "mine"}  # fmt: skip
    with mpl.rc_context(changed):
        assert draw(tmp_path / "other.svg", EVERY_CAUSE) == plain
        assert mpl.rcParams["hatch.linewidth"] == 9, "and they stay what they were"


@needs_matplotlib
def test_long_histories_have_years_only(tmp_path: Path) -> None:
    long = coverage(window=(date(2017, 8, 17), date(2026, 11, 19)))
    found = texts(draw(tmp_path / "c.svg", [long]))
    assert [text for text in found if len(text) == 4 and text.isdigit()] == [
        str(year) for year in range(2017, 2027)
    ]
    assert not [text for text in found if len(text) == 1]
    late = coverage(window=(date(2024, 11, 1), date(2025, 3, 31)))
    found = texts(draw(tmp_path / "d.svg", [late]))
    assert "2024" not in found, "no room for it beside 2025"
    assert "2025" in found


@needs_matplotlib
def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    assert "nothing to show" in texts(draw(tmp_path / "c.svg", []))
    gone = coverage(("2025-01-01", "2025-12-31", HoleCause.RETIRED))
    assert "nothing to show" in texts(draw(tmp_path / "d.svg", [gone]))


@needs_matplotlib
def test_symbols_of_any_script_are_drawn(tmp_path: Path) -> None:
    assert "币安人生USDT" in texts(draw(tmp_path / "c.svg", [coverage(symbol="币安人生USDT")]))
    assert draw(tmp_path / "c.png", [coverage(symbol="币安人生USDT")])


@needs_matplotlib
def test_many_series_take_several_pages(tmp_path: Path) -> None:
    series = [coverage(symbol=f"X{number}USDT") for number in range(61)]
    pages = plot_coverage(series, tmp_path / "c.svg", today=TODAY)
    assert [page.name for page in pages] == ["c-1.svg", "c-2.svg"]
    assert "Verified days by month, as of 2026-11-23 (page 2 of 2)" in texts(pages[1].read_bytes())
    assert "X60USDT" in texts(pages[1].read_bytes())
    with pytest.raises(ConfigurationError, match="1201 series are too many for a picture"):
        plot_coverage([coverage()] * (MOST_SERIES + 1), tmp_path / "d.svg", today=TODAY)


@needs_matplotlib
def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.svg").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        plot_coverage([coverage()], tmp_path / "c.svg", today=TODAY)


@needs_matplotlib
def test_no_display_and_no_state_of_pyplot_is_needed() -> None:
    code = (
        "import sys, crypto_lakehouse.cli.main, crypto_lakehouse.charts.coverage_plot as c;"
        "assert 'matplotlib' not in sys.modules;"
        "import datetime, tempfile, pathlib;"
        "c.plot_coverage([], pathlib.Path(tempfile.mkdtemp()) / 'c.png', today=datetime.date.max);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_without_matplotlib_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        MatplotlibMissing, match=r'pip install "crypto-lakehouse\[plot\]"'
    ) as caught:
        check_picture(tmp_path / "c.svg")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["c.pdf", "c", "c.svgz"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed: \.svg, \.png"):
        check_picture(tmp_path / name)


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        check_picture(tmp_path / "absent" / "c.svg")
