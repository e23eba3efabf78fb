"""Draw bars as candles, with their volume below.

Needs matplotlib (`pip install "crypto-lakehouse[plot]"`), and no display.

Rising candles are blue and hollow, falling ones vermilion and filled. The colours are from Okabe
and Ito's palette: colour-blind readers can distinguish them, and so can readers of a grey print.
Time is to scale: where the data has no bar, the chart has a shaded gap.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from crypto_lakehouse.charts.coverage_plot import check_picture
from crypto_lakehouse.charts.pictures import DPI, drawing, rendered, write_whole
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import plural

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

__all__ = ["MOST_BARS", "Bars", "candle_figure", "draw_candles", "too_many"]

#: With more bars, each would be less than a pixel wide.
MOST_BARS = 5000

_INK, _FAINT, _GRID, _NO_BARS = "#24292f", "#57606a", "#e4e8ec", "#eef0f3"
_UP, _DOWN = "#0072b2", "#d55e00"
_PALE = {"up": "#7fb8d8", "down": "#eaae7f"}

_PRICES = ("open", "high", "low", "close")

#: Width of one bar, and the least and greatest width of the plot, in inches.
_BAR, _NARROWEST, _WIDEST = 0.013, 10.0, 34.0
_HEIGHT, _LEFT, _TOP, _BOTTOM = 6.6, 0.35, 0.85, 0.5
_VOLUME_HEIGHT, _BETWEEN = 1.15, 0.12

#: The margin at each end, as a share of the time shown.
_MARGIN = 0.006

#: Candles narrower than this, in points, have no room for a hollow body or a space between them.
_ROOM_FOR_BODY = 2.0


class Bars(Protocol):
    """Columns by name: a mapping of sequences, or a frame of polars or pandas."""

    def __contains__(self, name: Any, /) -> bool: ...
    def __getitem__(self, name: str, /) -> Any: ...


def draw_candles(path: str | os.PathLike[str], bars: Bars, title: str) -> Path:
    """Draw the bars of one symbol and interval; blocking.

    The same bars give the same file, byte for byte, with one version of matplotlib. The file gets
    its name once it is complete.

    Args:
        path: Ends with .svg or .png.
        bars: At most `MOST_BARS`; `open_time` (datetimes, those without a zone are UTC), `open`,
            `high`, `low`, `close` and, optionally, `volume`. The order is free; a bar without one
            of its prices is left out.
        title: The first line of the picture.

    Returns:
        The file that was written.

    Raises:
        ConfigurationError: There is no bar or there are too many, a column is absent or has the
            wrong type, two bars have the same time, the suffix is unknown, or the file cannot be
            written.
        MatplotlibMissing: matplotlib is not installed.
    """
    file = check_picture(path)
    figure = candle_figure(bars, title)
    write_whole(file, rendered(figure, file.suffix.lower().removeprefix(".")))
    return file


def candle_figure(bars: Bars, title: str) -> Figure:
    """Lay the picture out without writing it; arguments and errors as in `draw_candles`.

    Its collections have the ids `up-bodies`, `up-wicks`, `up-volume`, the same with `down-`, and
    `gaps`.
    """
    from matplotlib.figure import Figure

    candles = _Candles.read(bars)
    plot_width = min(_WIDEST, max(_NARROWEST, candles.slots * _BAR))
    # Prices such as 0.0000121597 need more room.
    right = max(0.85, 0.3 + 0.068 * len(_number(candles.close[-1])))
    width, height = _LEFT + plot_width + right, _HEIGHT + (plot_width - _NARROWEST) * 0.12
    slot = plot_width * 72 / candles.slots / (1 + 2 * _MARGIN)

    def axes(bottom: float, top: float, **shared: Any) -> Axes:
        box = (_LEFT / width, bottom / height, plot_width / width, (top - bottom) / height)
        return figure.add_axes(box, **shared)

    with drawing():
        figure = Figure(figsize=(width, height), facecolor="white", dpi=DPI)
        below = 0.0 if candles.volume is None else _VOLUME_HEIGHT + _BETWEEN
        last = prices = axes(_BOTTOM + below, height - _TOP)
        span = candles.slots * candles.step
        prices.set_xlim(candles.at[0] - span * _MARGIN, candles.at[0] + span * (1 + _MARGIN))
        _draw_prices(prices, candles, slot)
        if candles.volume is not None:
            last = axes(_BOTTOM, _BOTTOM + _VOLUME_HEIGHT, sharex=prices)
            _draw_volume(last, candles, candles.volume, slot)
            prices.tick_params(labelbottom=False)
        _label_time(last)
        _head(figure, candles, title, right, hollow=slot >= _ROOM_FOR_BODY)
    return figure


def too_many(count: int) -> ConfigurationError:
    """The error for more bars than a picture takes."""
    many = f"{plural(count, 'bar')} are too many for a picture, which takes {MOST_BARS}"
    return _unusable(f"{many}; choose a longer interval or a shorter time")


@frozen(eq=False)
class _Candles:
    """Bars in the order of time; times and the step are in days."""

    at: Numbers
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers | None
    step: float

    @classmethod
    def read(cls, bars: Bars) -> _Candles:
        """Check the columns and sort them."""
        import numpy as np

        absent = [name for name in ("open_time", *_PRICES) if name not in bars]
        if absent:
            raise _unusable(f"no column {', '.join(f'`{name}`' for name in absent)}")
        at: Numbers = _dates().date2num([_utc(value) for value in bars["open_time"]])
        columns = {name: _numbers(bars, name) for name in _PRICES}
        volume = _numbers(bars, "volume") if "volume" in bars else None
        lengths = {len(column) for column in (at, *columns.values(), volume) if column is not None}
        if len(lengths) > 1:
            raise _unusable("its columns differ in length")
        good = np.flatnonzero(np.all(np.isfinite(list(columns.values())), axis=0))
        order = good[np.argsort(at[good], kind="stable")]
        if not len(order):
            raise _unusable("there is no bar to draw; choose another time, symbol or interval")
        if len(order) > MOST_BARS:
            raise too_many(len(order))
        at, prices = at[order], {name: column[order] for name, column in columns.items()}
        volume = None if volume is None else np.nan_to_num(volume[order])
        return cls(at=at, **prices, volume=volume, step=_step(at))

    @property
    def slots(self) -> int:
        """How many bars there would be without gaps."""
        return round(float(self.at[-1] - self.at[0]) / self.step) + 1

    @property
    def rises(self) -> NDArray[np.bool_]:
        """Which bars close at or above their opening price."""
        return self.close >= self.open

    def gaps(self) -> list[tuple[float, float]]:
        """Where bars are absent: from the end of one to the beginning of the next."""
        pairs = zip(self.at[:-1].tolist(), self.at[1:].tolist(), strict=True)
        # Months differ in length by a factor of up to 1.11.
        return [(one + self.step, two) for one, two in pairs if two - one > 1.5 * self.step]


def _step(at: Numbers) -> float:
    """Return the usual distance between two bars, which is the length of a bar."""
    import numpy as np

    distances = np.diff(at)
    if not len(distances):
        return 1 / 24
    if not distances.all():
        twice = _moment(at[:-1][distances == 0][0])
        raise _unusable(f"two bars begin at {twice}; draw one interval of one symbol")
    return float(np.median(distances))


def _draw_prices(axes: Axes, candles: _Candles, slot: float) -> None:
    """Draw candles, `slot` points for each."""
    import numpy as np
    from matplotlib.collections import LineCollection, PolyCollection

    _scale_prices(axes, candles)
    _draw_gaps(axes, candles)
    hollow = slot >= _ROOM_FOR_BODY
    line = min(0.9, max(0.2, slot * 0.25))
    middle = candles.at + candles.step / 2
    # One line from low to high: the body covers its middle part.
    wicks = np.stack([np.stack([middle, end], -1) for end in (candles.low, candles.high)], 1)
    boxes = _boxes(candles, slot, candles.open, candles.close)
    for name, of, colour in (("up", candles.rises, _UP), ("down", ~candles.rises, _DOWN)):
        lines = LineCollection(list(wicks[of]), colors=colour, linewidths=line, zorder=2)
        face = "white" if hollow and name == "up" else colour
        bodies = PolyCollection(list(boxes[of]), facecolors=face, edgecolors=colour,
                                linewidths=line, zorder=3)  # fmt: skip
        for kind, collection in (("wicks", lines), ("bodies", bodies)):
            collection.set_gid(f"{name}-{kind}")
            axes.add_collection(collection, autolim=False)
    _mark_last(axes, candles)


def _scale_prices(axes: Axes, candles: _Candles) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high, last = candles.low.min(), candles.high.max(), candles.close[-1]
    room = (high - low) * 0.05 or abs(high) * 0.01 or 1.0
    axes.set_ylim(low - room, high + room)
    if low > 0 and high / low > 10:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.1, high * 1.1)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    height = axes.transScale + axes.transLimits

    def label(value: float, _: object) -> str:
        """Leave out labels that would overlap that of the last price."""
        apart = abs(height.transform((0, value))[1] - height.transform((0, last))[1])
        return _number(value) if apart > 0.035 else ""

    axes.yaxis.set_major_formatter(FuncFormatter(label))
    _dress(axes)


def _draw_volume(axes: Axes, candles: _Candles, volume: Numbers, slot: float) -> None:
    import numpy as np
    from matplotlib.collections import PolyCollection
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_ylim(0, float(volume.max()) * 1.08 or 1.0)
    _draw_gaps(axes, candles)
    boxes = _boxes(candles, slot, np.zeros_like(volume), volume)
    for name, of in (("up", candles.rises), ("down", ~candles.rises)):
        look: dict[str, Any] = {"facecolors": _PALE[name], "linewidths": 0, "zorder": 3}
        columns = PolyCollection(list(boxes[of]), gid=f"{name}-volume", **look)
        axes.add_collection(columns, autolim=False)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.text(0.006, 0.9, "volume", transform=axes.transAxes, size=8, color=_FAINT, va="top")
    _dress(axes)


def _boxes(candles: _Candles, slot: float, begin: Numbers, end: Numbers) -> Numbers:
    """The corners of a box for each bar; without room for space between them they touch."""
    import numpy as np

    space = 0.14 * candles.step if slot >= _ROOM_FOR_BODY else 0.0
    left, right = candles.at + space, candles.at + candles.step - space
    corners = ((left, begin), (left, end), (right, end), (right, begin))
    return np.stack([np.stack(corner, -1) for corner in corners], 1)


def _draw_gaps(axes: Axes, candles: _Candles) -> None:
    places = [(start, end - start) for start, end in candles.gaps()]
    axes.broken_barh(places, (0, 1), transform=axes.get_xaxis_transform(), fc=_NO_BARS, lw=0,
                     gid="gaps", zorder=0.5)  # fmt: skip


def _mark_last(axes: Axes, candles: _Candles) -> None:
    """Point at the last price, on the axis."""
    last = float(candles.close[-1])
    colour = _UP if candles.rises[-1] else _DOWN
    axes.axhline(last, color=colour, lw=0.6, ls=(0, (2, 3)), zorder=1)
    axes.annotate(
        _number(last), (1, last), xycoords=axes.get_yaxis_transform(), xytext=(5.5, 0),
        textcoords="offset points", size=8, color="white", va="center", weight="bold",
        bbox={"boxstyle": "round,pad=0.25", "fc": colour, "lw": 0}, annotation_clip=False,
    )  # fmt: skip


def _dress(axes: Axes) -> None:
    axes.yaxis.tick_right()
    axes.grid(color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=_FAINT, pad=5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#afb8c1")


def _label_time(axes: Axes) -> None:
    locator = _dates().AutoDateLocator(tz=UTC, minticks=5, maxticks=11)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_dates().ConciseDateFormatter(locator, tz=UTC))
    axes.xaxis.get_offset_text().set(size=8.5, color=_FAINT)


def _head(figure: Figure, candles: _Candles, title: str, right: float, *, hollow: bool) -> None:
    gaps, absent = len(candles.gaps()), candles.slots - len(candles.at)
    first, last = _moment(candles.at[0]), _moment(candles.at[-1])
    said = f"bars: {len(candles.at):,}, from {first} to {last} UTC"
    if gaps:
        said += f"; gaps (shaded): {gaps:,}, with {plural(absent, 'bar', form=',')} absent"
    width, height = figure.get_size_inches()
    up, down, end = ("up" + " (hollow)" * hollow, "down" + " (filled)" * hollow, width - right)
    # Characters that are not valid in a font or in XML are removed from text of unknown origin.
    shown = "".join(each if each.isprintable() else " " for each in title)

    def say(x: float, y: float, text: str, **look: Any) -> None:
        look = {"size": 8.5, "va": "center", "parse_math": False, **look}
        figure.text(x / width, 1 - y / height, text, **look)

    say(_LEFT, 0.3, shown, size=13, weight="bold", color=_INK)
    say(_LEFT, 0.57, said, color=_FAINT)
    say(end - 0.2 - 0.075 * len(down), 0.57, up, weight="bold", color=_UP, ha="right")
    say(end, 0.57, down, weight="bold", color=_DOWN, ha="right")


def _number(value: float) -> str:
    """Spell a price without an exponent: some symbols cost 0.00000712."""
    return f"{Decimal(f'{value:.9g}').normalize() + 0:,f}"


def _moment(days: float) -> str:
    return f"{_dates().num2date(days, tz=UTC):%Y-%m-%d %H:%M}"


def _dates() -> Any:
    from matplotlib import dates

    return dates


def _utc(value: Any) -> datetime:
    """Return the moment in UTC, without a zone."""
    if hasattr(value, "astype"):  # a datetime64
        value = value.astype("datetime64[us]").item()
    if not isinstance(value, datetime) or not 1971 <= value.year < 2200:
        raise _unusable(f"`open_time` must be datetimes of 1971 to 2199, and one is {value!r}")
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def _numbers(bars: Bars, name: str) -> Numbers:
    import numpy as np

    try:
        values = [np.nan if value is None else float(value) for value in bars[name]]
    except (TypeError, ValueError) as error:
        raise _unusable(f"`{name}` must be numbers: {error}") from error
    return np.asarray(values, float)


def _unusable(reason: str) -> ConfigurationError:
    return ConfigurationError([Problem("bars", reason)])
