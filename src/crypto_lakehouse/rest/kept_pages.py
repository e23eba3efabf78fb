"""The newest page of each series, which may have the rows of further days."""

from __future__ import annotations

from collections import OrderedDict

import anyio
from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.rest.answers import Row
from crypto_lakehouse.rest.fetched_day import Span
from crypto_lakehouse.segments.fill_segment import FillResponse

__all__ = ["KeptPage", "KeptPages"]

#: Of so many series a page is kept, those that were asked for last.
_MOST = 256


@frozen
class KeptPage:
    """A page of a series.

    Attributes:
        span: The first and the last microsecond that were asked for; nothing was missing in it that
            can come later.
    """

    span: Span
    response: FillResponse
    rows: list[Row]

    def within(self, span: Span) -> list[Row]:
        """The rows of a shorter span."""
        return [row for row in self.rows if span.start_us <= row.time_us <= span.end_us]


@define
class KeptPages:
    """Pages by series; the oldest ones are dropped."""

    _pages: OrderedDict[Series, KeptPage] = field(init=False, factory=OrderedDict)
    _turns: dict[Series, anyio.Lock] = field(init=False, factory=dict)

    def turn(self, series: Series) -> anyio.Lock:
        """The turn of a series: days that are fetched at once wait for the page of the first."""
        return self._turns.setdefault(series, anyio.Lock())

    def find(self, series: Series, span: Span) -> KeptPage | None:
        """The page of a series, if it has all of a span."""
        page = self._pages.get(series)
        if page is None or span.start_us < page.span.start_us or span.end_us > page.span.end_us:
            return None
        return page

    def keep(self, series: Series, page: KeptPage) -> None:
        """Keep a page instead of the one before."""
        self._pages.pop(series, None)
        self._pages[series] = page
        if len(self._pages) > _MOST:
            self._pages.popitem(last=False)
