"""Candles: that each is where its bar is, that gaps stay empty, and that files are whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_lakehouse.charts.candle_chart import (
    MOST_BARS,
    candle_figure,
    draw_candles,
)
from crypto_lakehouse.charts.coverage_plot import MatplotlibMissing
from crypto_lakehouse.charts.pictures import write_whole
from crypto_lakehouse.core.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

needs_matplotlib = pytest.mark.skipif(
    not find_spec("matplotlib"),
    reason="matplotlib is not installed: the pictures of candles are NOT tested",
)

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

Columns = dict[str, Any]


def bars(count: int, *, absent: Sequence[int] = (), step: timedelta = HOUR) -> Columns:
    """Bars that rise and fall by turns; the hours in `absent` have none."""
    rows = [
        (START + number * step, low := 100.0 + number % 7, low + 3, low - 1, low + (-0.5, 2)[even])
        for number in range(count)
        if number not in absent
        for even in [number % 2 == 0]
    ]
    names = ("open_time", "open", "high", "low", "close")
    columns: Columns = {
        name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return columns | {"volume": [10.0 + number for number in range(len(rows))]}


def shapes(figure: Figure, name: str) -> list[list[tuple[float, float]]]:
    """The corners that a collection draws, in days since 1970 and in prices."""
    found = [
        collection
        for axes in figure.axes
        for collection in axes.collections
        if collection.get_gid() == name
    ]
    assert found, name
    return [[(x, y) for x, y in path.vertices.tolist()] for path in found[0].get_paths()]  # type: ignore[union-attr]


def days(moment: datetime) -> float:
    return moment.timestamp() / 86_400


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


@needs_matplotlib
def test_each_candle_is_where_its_bar_is() -> None:
    figure = candle_figure(bars(10), "BTCUSDT 1h")
    up, down = shapes(figure, "up-bodies"), shapes(figure, "down-bodies")
    assert (len(up), len(down)) == (5, 5)
    body = up[1]  # of 02:00
    times, prices = {x for x, _ in body}, {y for _, y in body}
    assert days(START + 2 * HOUR) < min(times) < max(times) < days(START + 3 * HOUR)
    assert prices == {102.0, 104.0}, "from open to close"
    (x, low), (x_again, high) = shapes(figure, "down-wicks")[0]  # of 01:00
    assert x == x_again == pytest.approx(days(START + 1.5 * HOUR))
    assert (low, high) == (100.0, 104.0)
    heights = [max(y for _, y in column) for column in shapes(figure, "up-volume")]
    assert heights == [10, 12, 14, 16, 18]
    assert texts(figure)[:2] == [
        "BTCUSDT 1h", "bars: 10, from 2024-01-01 00:00 to 2024-01-01 09:00 UTC",
    ]  # fmt: skip


@needs_matplotlib
def test_a_gap_stays_empty_and_is_shaded() -> None:
    figure = candle_figure(bars(48, absent=[10, 11, 12, 30]), "BTCUSDT")
    first, last = days(START + 10 * HOUR), days(START + 13 * HOUR)
    drawn = [x for name in ("up-bodies", "down-bodies", "up-wicks", "down-wicks", "up-volume")
             for shape in shapes(figure, name) for x, _ in shape]  # fmt: skip
    assert not [x for x in drawn if first < x < last]
    shaded = [(min(x for x, _ in gap), max(x for x, _ in gap)) for gap in shapes(figure, "gaps")]
    assert shaded[0] == pytest.approx((first, last))
    assert len(shaded) == 2
    assert texts(figure)[1].endswith("; gaps (shaded): 2, with 4 bars absent")


@needs_matplotlib
def test_months_of_31_and_28_days_are_no_gaps() -> None:
    months = [datetime(2023 + month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(20)]
    figure = candle_figure(bars(20) | {"open_time": months}, "BTCUSDT 1mo")
    assert "gaps" not in texts(figure)[1]


@needs_matplotlib
def test_colours_hold_for_those_who_see_no_red_or_green() -> None:
    """Blue and vermilion are apart in brightness as well, and rising bodies are hollow."""
    from matplotlib.colors import to_hex

    looks = {
        collection.get_gid(): collection
        for collection in candle_figure(bars(20), "").axes[0].collections
    }
    up, down = looks["up-bodies"], looks["down-bodies"]
    assert to_hex(up.get_facecolor()[0]) == "#ffffff"  # type: ignore[arg-type]
    assert to_hex(up.get_edgecolor()[0]) == "#0072b2"  # type: ignore[arg-type]
    assert to_hex(down.get_facecolor()[0]) == "#d55e00"  # type: ignore[arg-type]


@needs_matplotlib
@pytest.mark.parametrize("count", [1, 10, 300, MOST_BARS])
def test_a_png_has_a_place_for_every_bar(tmp_path: Path, count: int) -> None:
    import numpy as np
    from matplotlib.image import imread

    file = draw_candles(tmp_path / "c.png", bars(count), "BTCUSDT")
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(file)[..., :3]
    height, width, _ = pixels.shape
    assert 900 < height < 1600
    assert width > max(1500, count), "a bar has a pixel at least"
    upper = pixels[: int(height * 0.7)]
    bluish = (upper[..., 2] - upper[..., 0] > 0.2).any(axis=0)
    reddish = (upper[..., 0] - upper[..., 2] > 0.2).any(axis=0)
    across = np.flatnonzero(bluish | reddish)
    assert across.min() < width * 0.1
    assert across.max() > width * 0.9
    assert bluish.any()
    assert [name.name for name in tmp_path.iterdir()] == ["c.png"], "no part is left"


@needs_matplotlib
def test_a_gap_is_empty_in_the_pixels() -> None:
    import io

    from matplotlib.image import imread

    from crypto_lakehouse.charts.pictures import rendered

    figure = candle_figure(bars(60, absent=range(20, 40)), "")
    pixels = imread(io.BytesIO(rendered(figure, "png")))[..., :3]
    box = figure.axes[0].get_position()
    height, width, _ = pixels.shape
    left = int(width * (box.x0 + box.width * 0.36))
    right = int(width * (box.x0 + box.width * 0.64))
    top, bottom = int(height * (1 - box.y1)) + 3, int(height * (1 - box.y0)) - 3
    inside = pixels[top:bottom, left:right]
    colour = inside.max(axis=-1) - inside.min(axis=-1)
    rows = (colour > 0.2).any(axis=1).sum()
    assert rows <= 4, "only the line of the last price crosses it"


@needs_matplotlib
@pytest.mark.parametrize("suffix", ["svg", "png", "PNG"])
def test_the_same_bars_are_the_same_file(tmp_path: Path, suffix: str) -> None:
    import matplotlib as mpl

    one = draw_candles(tmp_path / f"one.{suffix}", bars(30), "BTCUSDT").read_bytes()
    changed: Any = {"font.size": 30, "axes.facecolor": "black", "timezone": "Asia/Tokyo"}
    with mpl.rc_context(changed):
        other = draw_candles(tmp_path / f"other.{suffix}", bars(30), "BTCUSDT").read_bytes()
        assert mpl.rcParams["font.size"] == 30, "and a user's settings stay what they were"
    assert one == other
    assert b"matplotlib.org" not in one.lower(), "no version, no address"


@needs_matplotlib
@given(title=st.text(max_size=40))
@settings(max_examples=15)
def test_any_title_is_drawn_as_it_is(title: str) -> None:
    from crypto_lakehouse.charts.pictures import rendered

    tree = ET.fromstring(rendered(candle_figure(bars(10), title), "svg"))
    found = ["".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    shown = "".join(each if each.isprintable() else " " for each in title).strip()
    assert not shown or any(shown in text for text in found)


@needs_matplotlib
def test_titles_of_any_script_and_with_dollars_are_no_formulas(tmp_path: Path) -> None:
    figure = candle_figure(bars(10), "币安人生USDT <$x_1$> \x00\ud800")
    assert texts(figure)[0] == "币安人生USDT <$x_1$>   "
    draw_candles(tmp_path / "c.png", bars(10), "币安人生USDT $\\frac{1}$")


@needs_matplotlib
def test_prices_have_no_exponents() -> None:
    tiny = {name: [value * 1e-7 if name in {"open", "high", "low", "close"} else value
                   for value in column] for name, column in bars(10).items()}  # fmt: skip
    figure = candle_figure(tiny, "")
    labels = [figure.axes[0].yaxis.get_major_formatter()(value, 0) for value in (1e-5, 1.05e-5)]
    assert labels == ["0.00001", "0.0000105"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.00001015"], "the last price"


@needs_matplotlib
def test_a_price_that_grew_tenfold_has_a_logarithmic_axis() -> None:
    grown = bars(10)
    assert candle_figure(grown, "").axes[0].get_yscale() == "linear"
    grown["high"][-1] = 5000.0
    assert candle_figure(grown, "").axes[0].get_yscale() == "log"
    grown["low"][0] = -1.0
    assert candle_figure(grown, "").axes[0].get_yscale() == "linear", "premiums are below zero"


@needs_matplotlib
def test_order_zone_and_kind_of_numbers_are_free() -> None:
    import numpy as np

    plain = bars(12)
    expected = shapes(candle_figure(plain, ""), "up-bodies")
    backwards = {name: column[::-1] for name, column in plain.items()}
    tokyo = timezone(9 * HOUR)
    in_tokyo = plain | {"open_time": [time.astimezone(tokyo) for time in plain["open_time"]]}
    naive = [time.replace(tzinfo=None) for time in plain["open_time"]]
    as_numpy = plain | {"open_time": np.array(naive, "datetime64[ns]")}
    as_text = plain | {"high": [str(value) for value in plain["high"]],
                       "low": [Decimal(value) for value in plain["low"]]}  # fmt: skip
    others = (backwards, in_tokyo, plain | {"open_time": naive}, as_numpy, as_text)
    for other in others:
        assert shapes(candle_figure(other, ""), "up-bodies") == expected


@needs_matplotlib
def test_a_frame_of_polars_is_drawn() -> None:
    polars = pytest.importorskip("polars")
    plain = bars(12)
    frame = polars.DataFrame(plain)
    expected = shapes(candle_figure(plain, ""), "up-bodies")
    assert shapes(candle_figure(frame, ""), "up-bodies") == expected
    with pytest.raises(ConfigurationError, match="no column `open`, `close`"):
        candle_figure(frame.drop("open", "close"), "")


@needs_matplotlib
def test_a_bar_without_a_price_is_left_out() -> None:
    some = bars(20)
    some["close"][5], some["low"][6], some["volume"][7] = None, float("nan"), None
    figure = candle_figure(some, "")
    assert texts(figure)[1].endswith("; gaps (shaded): 1, with 2 bars absent")


@needs_matplotlib
def test_prices_without_volume_have_no_panel_for_it() -> None:
    some = bars(20)
    del some["volume"]
    assert len(candle_figure(some, "").axes) == 1
    assert len(candle_figure(bars(20) | {"volume": [0.0] * 20}, "").axes) == 2


@needs_matplotlib
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"close": [None] * 10}, "there is no bar to draw; choose"),
        ({name: [] for name in bars(1)}, "there is no bar to draw; choose"),
        ({"open_time": range(10)}, "`open_time` must be datetimes of 1971 to 2199, and one is 0"),
        ({"open_time": [START.replace(year=9999)] * 10}, "must be datetimes of 1971 to 2199"),
        ({"open_time": [START, START, *bars(8)["open_time"]]}, "two bars begin at 2024-01-01"),
        ({"open": ["one"] * 10}, "`open` must be numbers"),
        ({"low": [1.0]}, "its columns differ in length"),
    ],
    ids=["no price", "no row", "no time", "late", "twice", "no number", "lengths"],
)
def test_what_cannot_be_drawn_is_said(tmp_path: Path, changed: Columns, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        draw_candles(tmp_path / "c.png", bars(10) | changed, "BTCUSDT")
    assert not list(tmp_path.iterdir())


@needs_matplotlib
def test_too_many_bars_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"5001 bars are too many .* longer interval"):
        candle_figure(bars(MOST_BARS + 1), "")


@needs_matplotlib
def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.svg").mkdir()
    with pytest.raises(ConfigurationError, match="it is a directory; name a file; choose another"):
        draw_candles(tmp_path / "c.svg", bars(10), "")
    with pytest.raises(ConfigurationError, match="is not a directory"):
        draw_candles(tmp_path / "absent" / "c.svg", bars(10), "")
    with pytest.raises(ConfigurationError, match=r"allowed: \.svg, \.png"):
        draw_candles(tmp_path / "c.pdf", bars(10), "")
    with pytest.raises(ConfigurationError, match=r"cannot be written: .*; choose another file"):
        draw_candles(tmp_path / f"{'n' * 252}.svg", bars(10), "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.svg"]


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "report"
    write_whole(file, b"old")
    with pytest.raises(TypeError):
        write_whole(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"old"
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, crypto_lakehouse.charts.validation_html;"
        "assert not {'matplotlib', 'numpy', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MatplotlibMissing, match="pip install"):
        draw_candles(tmp_path / "c.svg", bars(10), "")
