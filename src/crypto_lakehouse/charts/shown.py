"""Pictures of a lake's bars and of an output's coverage, for notebooks and for `draw`."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from crypto_lakehouse.charts.candle_chart import MOST_BARS, candle_figure, too_many
from crypto_lakehouse.charts.coverage_plot import (
    MatplotlibMissing,
    check_picture,
    coverage_pages,
    page_paths,
)
from crypto_lakehouse.charts.pictures import rendered, write_whole
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import plural

if TYPE_CHECKING:
    from crypto_lakehouse.stores.output import Place
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.tables.lake.time_range import Instant

__all__ = ["NEWEST_BARS", "Picture", "candles", "coverage"]

#: How many bars are drawn if no time is given.
NEWEST_BARS = 300

_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


@frozen(repr=False, eq=False)
class Picture:
    """A picture, which a notebook shows by itself.

    Attributes:
        title: What it shows, for `repr`.
        pages: Draws the pages, as `svg` or `png`.
    """

    title: str
    pages: Callable[[str], list[bytes]] = field()

    def __repr__(self) -> str:
        return f"<Picture: {self.title}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: each page as an image within the text."""
        sources = (
            f"data:image/png;base64,{b64encode(page).decode()}" for page in self.pages("png")
        )
        return "".join(
            f'<img src="{source}" alt="{escape(self.title)}" style="max-width:100%">'
            for source in sources
        )

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write it to a file; several pages become `NAME-1.svg`, `NAME-2.svg` and so on.

        Args:
            path: Ends with .svg or .png.

        Returns:
            The files that were written.

        Raises:
            ConfigurationError: The suffix is unknown, or the file cannot be written.
        """
        file = check_picture(path)
        pages = self.pages(file.suffix.lower().removeprefix("."))
        files = page_paths(file, len(pages))
        for place, page in zip(files, pages, strict=True):
            write_whole(place, page)
        return files


def candles(
    lake: Lake | str | os.PathLike[str],
    symbol: str,
    interval: str,
    *,
    market: str = "spot",
    start: Instant | None = None,
    end: Instant | None = None,
) -> Picture:
    """Draw the bars of a symbol as candles; blocking.

    Args:
        lake: The lake, or where it is.
        symbol: The symbol.
        interval: The interval of the bars.
        market: The market.
        start: The first instant or day; with neither `start` nor `end` the newest 300 bars are
            drawn.
        end: The first instant after the bars, or the last day.

    Raises:
        ConfigurationError: There are no bars of these times, or more than 5,000.
        MatplotlibMissing: matplotlib is not installed.
        QueryError: The lake has no such bars.
    """
    _need_matplotlib()
    from crypto_lakehouse.tables.lake.lake import Lake

    if not isinstance(lake, Lake):
        with Lake.open(lake) as opened:
            return candles(opened, symbol, interval, market=market, start=start, end=end)
    scan = lake.scan(
        f"{market}.klines", symbols=symbol, interval=interval, start=start, end=end,
        columns=_COLUMNS,
    )  # fmt: skip
    if scan.symbols is not None and len(scan.symbols) > 1:
        reason = f"`{symbol}` stands for {plural(len(scan.symbols), 'symbol')}; name one of them"
        raise ConfigurationError([Problem("symbol", reason)])
    rows = scan.polars()
    if start is None and end is None:
        bars = rows.top_k(NEWEST_BARS, by="open_time").collect()
    else:
        if (count := len(rows.select("open_time").collect())) > MOST_BARS:
            raise too_many(count)
        bars = rows.collect()
    title = f"{symbol} {market}, {interval}"
    figure = candle_figure(bars.sort("open_time"), title)
    return Picture(
        f"{title}, {plural(len(bars), 'bar', form=',')}", lambda kind: [rendered(figure, kind)]
    )


def coverage(place: Place, selection: Mapping[str, object] | None = None) -> Picture:
    """Draw how complete an output is, as a calendar of months; blocking.

    Args:
        place: The output.
        selection: As `status_of` takes it: `markets`, `data_types`, `symbols`, `intervals`,
            `start`, `end`.

    Raises:
        ConfigurationError: There is no output, the selection cannot be read, or it has more than
            1,200 series.
        MatplotlibMissing: matplotlib is not installed.
        SelectionError: The ledger has no series that is selected.
    """
    _need_matplotlib()
    from crypto_lakehouse.workflows.status import status_of

    status = status_of(place, selection)
    series = list(status)
    title = f"coverage of {len(series):,} series, as of {status.today}"
    return Picture(title, lambda kind: coverage_pages(series, kind, today=status.today))


def _need_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise MatplotlibMissing
