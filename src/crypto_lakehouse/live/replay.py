"""Rebuild an order book from recorded messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.books import Book
from crypto_lakehouse.live.chain import PATIENCE_S
from crypto_lakehouse.live.series import LiveSeries
from crypto_lakehouse.live.snapshots import SNAPSHOT_LEVELS
from crypto_lakehouse.live.streams import LiveStream, stream_name
from crypto_lakehouse.segments.live_segment import LiveMessage

__all__ = ["replay_book"]


def replay_book(
    market: Market, symbol: str, messages: Iterable[LiveMessage]
) -> Iterator[tuple[int, Book]]:
    """Rebuild a book from the messages of its changes and snapshots.

    Args:
        market: The market.
        symbol: The symbol, in capitals.
        messages: Of segments of the kinds `depth` and `depth_snapshot`, in the order in which they
            were received; those of other symbols are left out.

    Yields:
        The book after each message, with the time when that was received, in microseconds since
        1970. It is the same object each time. It has no levels while it is not proven: before its
        first snapshot, and from a break to the next one.
    """
    series = LiveSeries(LiveStream(market, StreamKind.DEPTH, symbol), keeps_levels=True)
    follower = series.depth
    assert follower is not None  # noqa: S101 - for the type checker
    changes = series.stream.name.encode()
    snapshots = LiveStream(market, StreamKind.DEPTH_SNAPSHOT, symbol).name.encode()
    for message in messages:
        name = stream_name(message.body)
        if name not in {changes, snapshots}:
            continue
        now_s = message.received_at_us / 1_000_000
        while follower.chain.break_at(now_s, PATIENCE_S):
            pass
        follower.release()
        try:
            if name == changes:
                series.take(message.body, now_s)
            else:
                value = json.loads(message.body)["data"]
                follower.book.snapshot(value, limit=SNAPSHOT_LEVELS)
        except ValueError:
            continue  # it cannot be read, and its ids are missing
        follower.breaks.clear()
        yield message.received_at_us, follower.book
