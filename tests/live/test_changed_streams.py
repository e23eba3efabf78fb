"""Streams that are added and removed while others are recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from tests.live.recording import Recording, recording

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.testing import ExchangeServer

BITCOIN, ETHER = (
    LiveStream(Market.SPOT, StreamKind.TRADE, name) for name in ("BTCUSDT", "ETHUSDT")
)
BOOK = LiveStream(Market.SPOT, StreamKind.DEPTH, "BTCUSDT")
BARS = LiveStream(Market.FUTURES_CM, StreamKind.KLINE, "BTCUSD_PERP", "1m")


async def change(recorded: Recording, streams: Sequence[LiveStream]) -> None:
    """Change the streams while time goes on."""
    async with anyio.create_task_group() as tasks:

        async def act() -> None:
            await recorded.recorder.change(streams)
            tasks.cancel_scope.cancel()

        tasks.start_soon(act)
        await recorded.advance(200)
        raise AssertionError("it takes more than 200 s")


async def test_streams_that_stay_lose_nothing(tmp_path: Path) -> None:
    async with ExchangeServer() as exchange:
        async with recording(exchange, tmp_path, [BITCOIN, BOOK, BARS]) as recorded:
            series = recorded.recorder.series[BITCOIN]
            await recorded.until(lambda: recorded.recorder.counts.snapshots)
            await change(recorded, [BITCOIN, ETHER, BOOK, BARS])
            await recorded.advance(30)
            third = exchange.connections[2]
            first, bars = sorted(exchange.connections[:2], key=lambda each: -len(each.streams))
            assert (first.closed_us, bars.closed_us) != (None, None)
            assert bars.closed_us is None  # none of its streams has changed
            assert first.closed_us is not None
            assert third.opened_us < first.closed_us
            await change(recorded, [ETHER, BARS])
            await recorded.advance(30)
            assert recorded.recorder.series.keys() == {ETHER, BARS}
            assert not recorded.recorder.counts.holes
        ids = [
            json.loads(each.body)["data"]["t"]
            for each in recorded.messages()
            if each.body.startswith(b'{"stream":"btcusdt@trade"')
        ]
        chain = series.chain
        assert chain is not None
        assert chain.first is not None
        assert set(ids) == set(range(chain.first + 1, chain.last + 1))
        counts = recorded.recorder.counts
        assert counts.past_messages["spot trade"] == len(ids)
        assert counts.past_duplicates > 0
        closed = [mark.facts["cause"] for mark in recorded.marks("closed")]
        assert closed.count("other streams were chosen") == 4  # of two lines, by kind


async def test_what_is_missing_of_a_removed_stream_is_said(tmp_path: Path) -> None:
    async with ExchangeServer() as exchange:
        async with recording(exchange, tmp_path, [BITCOIN, BOOK], fills=False) as recorded:
            await recorded.advance(10)
            await change(recorded, [BITCOIN])
            [hole] = recorded.recorder.counts.holes
            assert hole.stream == "btcusdt@depth"
            assert "no snapshot came" in hole.cause
        with pytest.raises(RuntimeError, match="only while they are recorded"):
            await recorded.recorder.change([BITCOIN])
