"""The event of what a recording has seen."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.events import RecordingSeen
from crypto_lakehouse.live.recorder import Recorder
from crypto_lakehouse.rest.server_clock import ServerClock
from crypto_lakehouse.segments.live_segment import moment_of

__all__ = ["seen_event"]


def seen_event(
    recorder: Recorder, clocks: Mapping[Market, ServerClock], now_us: int, *, segments: int
) -> RecordingSeen:
    """What a recorder has seen up to now.

    Args:
        recorder: The recorder.
        clocks: The time of each market's server.
        now_us: This machine's time, in microseconds since 1970.
        segments: How many segments are finished.
    """
    counts, series = recorder.counts, recorder.series.values()
    skews = {
        market: now_us - round(clock.now() * 1_000_000)
        for market, clock in clocks.items()
        if clock.is_known
    }
    lags = {market: recorder.lag_us(market) for market in clocks}
    late = [lag - skews.get(market, 0) for market, lag in lags.items() if lag is not None]
    return RecordingSeen(
        streams=len(recorder.series),
        messages=sum(counts.messages_of(series).values()),
        size_bytes=counts.size_bytes,
        duplicates=counts.duplicates_of(series),
        unreadable=counts.unreadable,
        filled=counts.filled,
        holes=counts.hole_count,
        connections=counts.connections,
        reconnects=counts.ends.total(),
        segments=segments,
        lag_us=max(late, default=None),
        skew_us=max(skews.values(), key=abs, default=None),
        at=moment_of(now_us),
    )
