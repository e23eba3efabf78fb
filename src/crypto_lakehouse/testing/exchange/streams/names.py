"""Finding the stream of a name: `btcusdt@kline_1m`, `btcusdt@depth5@100ms`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.rules import MarketRules
from crypto_lakehouse.testing.exchange.streams.kinds import (
    BOOK_TICK_US,
    AggTradeStream,
    BarStream,
    BookTickerStream,
    DepthStream,
    ForceOrderStream,
    JoinedStream,
    MarkPriceStream,
    PartialDepthStream,
    Stream,
    TradeStream,
)
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.tape import Listed, Tape

__all__ = ["find_stream"]

_NAME = re.compile(r"(?P<symbol>[^A-Z@!]+)@(?P<kind>[a-zA-Z]+)(?P<rest>.*)")
_DEPTH = re.compile(r"(?P<levels>5|10|20)?(?:@(?P<every>\d+)ms)?")

#: The liquidations of all symbols; despite its name each event is one object.
_ALL_LIQUIDATIONS = "!forceOrder@arr"

#: The speeds of depth streams that can be chosen, in milliseconds.
_SPEEDS = {Market.SPOT: (100, 1000)}
_FUTURES_SPEEDS = (100, 250, 500)


def find_stream(rules: MarketRules, tape: Tape, name: str, kinds: frozenset[str]) -> Stream | None:
    """Find a stream by its name.

    Args:
        rules: The market's rules.
        tape: What happens.
        name: The stream's name, with its symbol in lower case.
        kinds: The kinds that there are on this path.

    Returns:
        None if there is none: the exchange accepts such a subscription, and sends nothing.
    """
    if name == _ALL_LIQUIDATIONS and "forceOrder" in kinds:
        return JoinedStream(tuple(ForceOrderStream(each) for each in tape.listed(rules.market)))
    match = _NAME.fullmatch(name)
    if match is None or match["kind"] not in kinds:
        return None
    listed = tape.get(rules.market, match["symbol"].upper())
    if listed is None:
        return None
    return _MAKERS[match["kind"]](rules, listed, match["rest"])


def _bars(rules: MarketRules, listed: Listed, rest: str) -> Stream | None:
    name = rest.removeprefix("_")
    if name not in rules.intervals or name == rest:
        return None
    every_ms = 1000 if name == "1s" else rules.live.kline_every_ms
    return BarStream(listed, every_ms * 1000, Interval(name))


def _depth(rules: MarketRules, listed: Listed, rest: str) -> Stream | None:
    match = _DEPTH.fullmatch(rest)
    if match is None:
        return None
    every_ms = int(match["every"] or rules.live.depth_every_ms)
    if every_ms not in _SPEEDS.get(rules.market, _FUTURES_SPEEDS):
        return None
    if match["levels"]:
        return PartialDepthStream(listed, every_ms * 1000, int(match["levels"]))
    return DepthStream(listed, every_ms * 1000)


def _mark(_rules: MarketRules, listed: Listed, rest: str) -> Stream | None:
    seconds = {"": 3, "@1s": 1}.get(rest)
    return None if seconds is None else MarkPriceStream(listed, seconds * 1_000_000)


def _plain(make: Callable[[Listed], Stream]) -> Callable[[MarketRules, Listed, str], Stream | None]:
    return lambda _rules, listed, rest: None if rest else make(listed)


_MAKERS: Mapping[str, Callable[[MarketRules, Listed, str], Stream | None]] = {
    "trade": _plain(TradeStream),
    "aggTrade": _plain(AggTradeStream),
    "bookTicker": _plain(lambda listed: BookTickerStream(listed, BOOK_TICK_US)),
    "forceOrder": _plain(ForceOrderStream),
    "kline": _bars,
    "depth": _depth,
    "markPrice": _mark,
}
