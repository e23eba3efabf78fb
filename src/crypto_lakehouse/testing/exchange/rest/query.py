"""Reading the parameters of a request, with the errors that the exchange has for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from crypto_lakehouse.testing.exchange.rest.errors import (
    ApiError,
    illegal,
    invalid,
    invalid_symbol,
    missing,
)
from crypto_lakehouse.testing.exchange.rules import MarketRules
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.tape import Listed, Tape

__all__ = ["Query", "page_size"]

_NUMBER = "^[0-9]{1,20}$"
_SYMBOL = "^[A-Z0-9-_.]{1,20}$"

#: Times from here on are in microseconds, if the market understands them.
_MICROSECONDS_FROM = 10**14


def page_size(rules: MarketRules, endpoint: str, values: Mapping[str, str]) -> int | None:
    """The page size that a request is charged for; None if the endpoint has no pages."""
    pages = rules.pages.get(endpoint)
    if pages is None:
        return None
    text = values.get("limit", "")
    return min(int(text), pages.most) if re.fullmatch(_NUMBER, text) else pages.default


@frozen(kw_only=True)
class Query:
    """One request.

    Attributes:
        endpoint: The last part of the path.
        values: The parameters.
        headers: The headers; names are compared without regard to case.
        now_us: The time at which it is answered.
        us_per_unit: How many microseconds a unit of the answer's times has.
    """

    rules: MarketRules
    tape: Tape
    endpoint: str
    values: Mapping[str, str]
    headers: Mapping[str, str]
    now_us: int
    us_per_unit: int = 1000

    def time_out(self, moment_us: int) -> int:
        """Write a time in the unit of the answer."""
        return moment_us // self.us_per_unit

    def text(self, name: str) -> str:
        """A parameter that must be there.

        Raises:
            ApiError: It is not, or is empty.
        """
        if not self.values.get(name):
            raise missing(name)
        return self.values[name]

    def listed(self) -> Listed:
        """The symbol.

        Raises:
            ApiError: It is missing, malformed or unknown.
        """
        symbol = self.text("symbol")
        if self.rules.knows_parameters and not re.fullmatch(_SYMBOL, symbol):
            raise illegal("symbol", _SYMBOL)
        found = self.tape.get(self.rules.market, symbol)
        if found is None:
            raise invalid_symbol()
        return found

    def contracts(self, contract_type: str = "ALL") -> list[Listed]:
        """The contracts of the pair.

        Raises:
            ApiError: It is missing or unknown.
        """
        found = self.tape.of_pair(self.rules.market, self.text("pair"), contract_type)
        if not found:
            raise invalid_symbol()
        return found

    def interval(self) -> Interval:
        """The interval.

        Raises:
            ApiError: It is missing, or the market has no such bars.
        """
        name = self.text("interval")
        if name not in self.rules.intervals:
            raise ApiError(-1120, "Invalid interval.")
        return Interval(name)

    def limit(self) -> int:
        """The page size.

        Raises:
            ApiError: It is no number or out of range.
        """
        pages = self.rules.pages[self.endpoint]
        limit = self.number("limit")
        if limit is None:
            return pages.default
        if pages.choices and limit not in pages.choices:
            raise ApiError(-4021, f"'{limit}' is not valid depth limit.")
        if limit == 0 or (limit > pages.most and not self.rules.clamps_limit):
            raise invalid("limit")
        return min(limit, pages.most)

    def number(self, name: str) -> int | None:
        """A whole number; None if it was not sent.

        Raises:
            ApiError: It is no number.
        """
        text = self.values.get(name)
        if text is None:
            return None
        if not re.fullmatch(_NUMBER, text):
            raise illegal(name, _NUMBER)
        return int(text)

    def span(self) -> tuple[int | None, int | None]:
        """`startTime` and `endTime` in microseconds, both inclusive; None if not sent.

        Raises:
            ApiError: One is no number, or they are the wrong way round.
        """
        start, end = self.number("startTime"), self.number("endTime")
        if start is not None and end is not None and start > end:
            raise ApiError(-1023, "Start time is greater than end time.")
        start_us = None if start is None else self._microseconds(start, 0)
        return start_us, None if end is None else self._microseconds(end, 999)

    def _microseconds(self, moment: int, rest: int) -> int:
        """Read a time; `rest` is what it includes beyond a whole millisecond."""
        if self.rules.microseconds and moment >= _MICROSECONDS_FROM:
            return moment
        return moment * 1000 + rest

    def check_names(self, known: tuple[str, ...]) -> None:
        """Refuse parameters that the endpoint does not have, if the market does.

        Raises:
            ApiError: There is one.
        """
        read = sum(name in known for name in self.values)
        if self.rules.knows_parameters and read < len(self.values):
            text = (
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent "
                f"'{len(self.values)}'."
            )
            raise ApiError(-1104, text)
