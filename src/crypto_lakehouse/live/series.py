"""One recorded series: how its messages are linked by ids, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.books import Book
from crypto_lakehouse.live.chain import Chain
from crypto_lakehouse.live.depth import DepthFollower
from crypto_lakehouse.live.streams import LiveStream, bar_step

__all__ = ["LiveSeries"]

#: The id of the event before a message's, and its own last id; None if the message has none.
Link = tuple[int, int] | None

#: Ids have less than 64 bits.
_TOO_LARGE = 1 << 63


@define
class LiveSeries:
    """One stream of a recording.

    Attributes:
        stream: The stream.
        keeps_levels: Whether a book has its levels, and is not only proven.
        chain: Its ids; None if it has none.
        depth: Proves the book of which it has the changes; None if there is none.
        messages: How many messages came, duplicates included.
    """

    stream: LiveStream
    keeps_levels: bool = False
    chain: Chain | None = field(init=False)
    depth: DepthFollower | None = field(init=False, default=None)
    messages: int = field(init=False, default=0)
    _link: Callable[[Any], Link] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._link = _linker(self.stream)
        self.chain = None if self._link is None else Chain()
        if self.stream.kind is StreamKind.DEPTH:
            book = Book(self.stream.market, self.stream.symbol, keeps_levels=self.keeps_levels)
            self.depth = DepthFollower(book)
            self.chain = self.depth.chain

    @property
    def name(self) -> str:
        """The market and the kind of stream, as the report counts them."""
        return f"{self.stream.market} {self.stream.kind}"

    @property
    def duplicates(self) -> int:
        """How many messages came again, by their ids."""
        return 0 if self.chain is None else self.chain.duplicates

    def take(self, data: bytes, now: float) -> None:
        """Follow the ids of a message.

        Raises:
            ValueError: The message is no JSON, or has no ids where there should be some.
        """
        self.messages += 1
        if self._link is None or self.chain is None:
            return
        try:
            payload = json.loads(data)["data"]
            link = self._link(payload)
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        if self.depth is not None and link is not None:
            self.depth.take(*link, payload, now)
        elif link is not None:
            self.chain.take(*link, now)


def _linker(stream: LiveStream) -> Callable[[Any], Link] | None:
    """Return what reads the link of a message's payload; None if the kind has no ids."""
    match stream.kind:
        case StreamKind.AGG_TRADE:
            return lambda payload: _one(payload["a"])
        case StreamKind.TRADE:
            return lambda payload: _one(payload["t"])
        case StreamKind.DEPTH if stream.market is Market.SPOT:
            return lambda payload: _span(_whole(payload["U"]) - 1, payload)
        case StreamKind.DEPTH:
            return lambda payload: _span(_whole(payload["pu"]), payload)
        case StreamKind.KLINE:
            return _bars(stream)
        case _:
            return None


def _one(value: object) -> Link:
    number = _whole(value)
    return number - 1, number


def _span(before: int, payload: Mapping[str, Any]) -> Link:
    last = _whole(payload["u"])
    if before >= last:
        raise ValueError(f"its ids go back from {before} to {last}")
    return before, last


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < _TOO_LARGE:
        raise ValueError(f"an id is {str(value)[:40]}")
    return value


def _bars(stream: LiveStream) -> Callable[[Mapping[str, Any]], Link] | None:
    """Return what links finished bars by their open times; months have no fixed length."""
    length = bar_step(stream)
    if length is None:
        return None
    step = length // timedelta(microseconds=1 if stream.market is Market.SPOT else 1000)

    def link(payload: Mapping[str, Any]) -> Link:
        bar = payload["k"]
        opened = _whole(bar["t"])
        return (opened - step, opened) if bar["x"] is True else None

    return link
