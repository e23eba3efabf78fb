"""Recorded books: equal to those of the exchange, or broken by name and begun anew."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import IS_THOROUGH
from tests.live.recording import MARKETS, Recording, recording

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.books import Book
from crypto_lakehouse.live.replay import replay_book
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.segments.live_segment import LiveMessage
from crypto_lakehouse.segments.live_writer import MESSAGE_BYTES
from crypto_lakehouse.testing import ExchangeServer, faults

SYMBOLS = {Market.SPOT: "BTCUSDT", Market.FUTURES_UM: "BTCUSDT", Market.FUTURES_CM: "BTCUSD_PERP"}


def depth(market: Market) -> LiveStream:
    return LiveStream(market, StreamKind.DEPTH, SYMBOLS[market])


def in_order(recorded: Recording) -> list[LiveMessage]:
    """The messages of changes and snapshots; what came at once is in the order of the segments."""
    return sorted(recorded.messages(), key=lambda each: each.received_at_us)


def confirm(exchange: ExchangeServer, book: Book) -> None:
    """Compare a book with that of the exchange."""
    assert book.update_id is not None
    listed = exchange.tape.get(book.market, book.symbol)
    assert listed is not None
    state = listed.book.state(book.update_id // 5 - 1)
    assert state.update_id == book.update_id
    for levels, known in ((state.bids, book.bids()), (state.asks, book.asks())):
        one = listed.instrument
        wanted = [
            (Decimal(one.price_text(price)), Decimal(one.quantity_text(quantity)))
            for price, quantity in levels.items()
        ]
        assert known == wanted


PLACES = st.integers(1, 24)
ALTERED = (
    None, faults.PlainNumbers(), faults.MissingField("b"), faults.MissingField("u"),
)  # fmt: skip
FAULTS = st.one_of(
    st.builds(faults.SkipMessages, PLACES, st.integers(1, 3)),
    st.builds(faults.RepeatMessage, PLACES),
    st.builds(faults.SwapMessages, PLACES),
    st.builds(faults.AlterMessage, PLACES, st.sampled_from(ALTERED)),
)
ENDS = st.one_of(st.builds(faults.DropConnection, PLACES), st.builds(faults.ShutDown, PLACES))
SCRIPTS = st.builds(
    lambda some, end: [*(each for each in some if each.at != end.at), end],
    st.lists(FAULTS, max_size=3, unique_by=lambda each: each.at),
    ENDS,
)


@pytest.mark.timeout(1800)  # for 1,000 examples beside other work
@settings(max_examples=1000 if IS_THOROUGH else 2, deadline=None)
@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=2),
    market=st.sampled_from(MARKETS),
)
async def test_a_recorded_book_is_that_of_the_exchange_or_broken(
    scripts: list[list[faults.ConnectionFault]], market: Market
) -> None:
    stream = depth(market)
    with TemporaryDirectory() as folder:
        async with ExchangeServer() as exchange:
            for script in scripts:
                exchange.script_connection(f"{market}/*", *script)
            async with recording(exchange, Path(folder), [stream]) as recorded:
                # Each script ends its connection; the one behind the last of them has no faults.
                await recorded.until(lambda: len(exchange.connections) > len(scripts))
                await recorded.advance(4)  # then what is missing is known to be missing
                [series] = recorded.recorder.series.values()
                await recorded.until(lambda: series.depth and series.depth.book.is_proven)
                await recorded.advance(8)
            check(exchange, recorded, stream)


def check(exchange: ExchangeServer, recorded: Recording, stream: LiveStream) -> None:
    proven = 0
    book = Book(stream.market, stream.symbol)
    for _, book in replay_book(stream.market, stream.symbol, in_order(recorded)):
        if book.is_proven:
            confirm(exchange, book)
            proven += 1
    [series] = recorded.recorder.series.values()
    assert series.depth is not None
    assert book.update_id == series.depth.book.update_id
    assert book.update_id is not None
    assert book.update_id >= series.depth.chain.last  # a snapshot may be newer than the last change
    assert proven
    counts = recorded.recorder.counts
    assert len(recorded.marks("broken_book")) == counts.broken_books
    assert len(recorded.marks("book")) == counts.broken_books + 1
    assert len(recorded.marks("gap")) == counts.hole_count >= counts.broken_books


async def test_snapshots_are_stored_as_they_came(tmp_path: Path) -> None:
    """One that fails is asked for again, and another one comes after some time."""
    stream = depth(Market.FUTURES_CM)
    path = "futures_cm/dapi/v1/depth"
    async with ExchangeServer() as exchange:
        large = b'{"lastUpdateId":1,"bids":[],"asks":[],"more":"%b"}' % (b"x" * MESSAGE_BYTES)
        script = [*[faults.Status(503)] * 2, faults.PlainNumbers(), faults.Body(large)]
        exchange.inject(path, *script)
        async with recording(exchange, tmp_path, [stream]) as recorded:
            await recorded.until(lambda: recorded.recorder.counts.snapshots == 2)
        assert exchange.count(path, status=503) == 2
        check(exchange, recorded, stream)
        snapshots = [each for each in recorded.messages() if not each.connection]
        assert len(snapshots) == recorded.recorder.counts.snapshots == 2
        for each in snapshots:
            value = json.loads(each.body)
            assert value["stream"] == "btcusd_perp@depth_snapshot"
            assert value["request"].endswith("/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000")
            assert value["data"]["bids"][0][0].count(".") == 1
        assert not recorded.recorder.counts.holes


async def test_a_book_without_a_snapshot_is_a_hole(tmp_path: Path) -> None:
    stream, path = depth(Market.SPOT), "spot/api/v3/depth"
    async with ExchangeServer() as exchange:
        exchange.inject(path, *[faults.Status(400)] * 99)
        async with recording(exchange, tmp_path, [stream]) as recorded:
            await recorded.until(lambda: exchange.count(path, status=400) == 2)
        [hole] = recorded.recorder.counts.holes
        assert "no snapshot came for these changes of the book: " in hole.cause
        assert "400" in hole.cause
        updates = [json.loads(each.body)["data"] for each in recorded.messages()]
        assert (hole.first, hole.last) == (updates[0]["U"], updates[-1]["u"])
        exchange.heal()
        exchange.inject(path, faults.Status(451))
        async with recording(exchange, tmp_path / "2", [stream]) as recorded:
            await recorded.until(lambda: exchange.count(path, status=451) == 1)
        [hole] = recorded.recorder.counts.holes
        assert "does not serve the place" in hole.cause
