"""What happened: the same whichever way it is read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.testing import GivenTrades, Instrument, Tape
from crypto_lakehouse.testing.exchange.tape.instruments import DEFAULT_INSTRUMENTS
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.trades import Trade, Trades

TAPE = Tape(seed=3)
START = TAPE.start_us
DAY = 86_400_000_000
HUGE = START + 400 * DAY

each_symbol = pytest.mark.parametrize(
    "one", DEFAULT_INSTRUMENTS, ids=lambda one: f"{one.market} {one.symbol}"
)


def listed(one: Instrument) -> Trades:
    found = TAPE.get(one.market, one.symbol)
    assert found is not None
    return found.trades


@each_symbol
def test_ids_are_contiguous_and_times_do_not_go_back(one: Instrument) -> None:
    trades = listed(one)
    made = [trades.trade(index) for index in range(2000)]
    assert [trade.id for trade in made] == list(range(1, 2001))
    assert made == sorted(made, key=lambda trade: trade.time_us)
    assert all(trade.price > 0 and trade.quantity > 0 and trade.other > 0 for trade in made)
    if one.market is not Market.SPOT:
        assert {trade.time_us % 1000 for trade in made} == {0}


@each_symbol
def test_agg_trades_are_the_trades_joined(one: Instrument) -> None:
    trades = listed(one)
    first = 0
    for index in range(900):
        agg = trades.agg(index)
        members = [trades.trade(at) for at in range(first, agg.last_id)]
        assert (agg.id, agg.first_id) == (index + 1, members[0].id)
        assert agg.quantity == sum(trade.quantity for trade in members)
        facts = {(trade.time_us, trade.price, trade.is_buyer_maker) for trade in members}
        assert facts == {(agg.time_us, agg.price, agg.is_buyer_maker)}
        first = agg.last_id


@each_symbol
@settings(max_examples=60)
@given(moment=st.integers(START - DAY, HUGE))
def test_counts_before_a_moment_divide_the_trades(one: Instrument, moment: int) -> None:
    trades = listed(one)
    count, aggs = trades.count_before(moment), trades.agg_count_before(moment)
    assert trades.trade(count).time_us >= moment
    assert trades.agg(aggs).time_us >= moment
    assert trades.agg(aggs).first_id == trades.trade(count).id
    if count:
        assert trades.trade(count - 1).time_us < moment


@each_symbol
@settings(max_examples=40)
@given(first=st.integers(0, 50_000), length=st.integers(1, 1500))
def test_sums_and_extremes_are_those_of_the_trades(
    one: Instrument, first: int, length: int
) -> None:
    trades = listed(one)
    made = [trades.trade(index) for index in range(first, first + length)]
    totals = trades.totals(first, first + length)
    bought = [trade for trade in made if not trade.is_buyer_maker]
    assert totals.quantity == sum(trade.quantity for trade in made)
    assert totals.other == sum(trade.other for trade in made)
    assert totals.taker_buy_quantity == sum(trade.quantity for trade in bought)
    assert totals.taker_buy_other == sum(trade.other for trade in bought)
    prices = [trade.price for trade in made]
    assert trades.price_range(first, first + length) == (min(prices), max(prices))


@each_symbol
@settings(max_examples=40)
@given(
    name=st.sampled_from(["1s", "1m", "5m", "1h", "4h", "1d"]),
    moment=st.integers(START + DAY, START + 90 * DAY),
    known=st.integers(0, DAY),
)
def test_bars_are_aggregates_of_the_trades(
    one: Instrument, name: str, moment: int, known: int
) -> None:
    trades, interval = listed(one), Interval(name)
    found = TAPE.get(one.market, one.symbol)
    assert found is not None
    number = interval.number(moment)
    now = interval.opens(number) + known
    bar = found.bars(DataType.KLINES).bar(interval, number, now)
    assert bar.open_us <= moment < bar.end_us
    first = trades.count_before(bar.open_us)
    end = trades.count_before(min(bar.end_us, now + 1))
    made = [trades.trade(index) for index in range(first, end)]
    prices = [one.price_text(trade.price) for trade in made]
    assert bar.count == len(made)
    if not made:
        last = one.price_text(trades.trade(first - 1).price)
        assert (bar.open, bar.high, bar.low, bar.close) == (last,) * 4
        assert Decimal(bar.volume) == Decimal(bar.other_volume) == 0
        return
    assert (bar.open, bar.close) == (prices[0], prices[-1])
    assert Decimal(bar.high) == max(map(Decimal, prices))
    assert Decimal(bar.low) == min(map(Decimal, prices))
    assert bar.volume == one.quantity_text(sum(trade.quantity for trade in made))
    assert bar.other_volume == one.other_text(sum(trade.other for trade in made))
    taken = sum(trade.quantity for trade in made if not trade.is_buyer_maker)
    assert bar.taker_volume == one.quantity_text(taken)
    assert (bar.first_id, bar.last_id) == (made[0].id, made[-1].id)


@pytest.mark.parametrize(
    "kind",
    [
        DataType.MARK_PRICE_KLINES,
        DataType.INDEX_PRICE_KLINES,
        DataType.PREMIUM_INDEX_KLINES,
    ],
)
@pytest.mark.parametrize("name", ["1m", "5m", "1h", "1d", "1w", "1M"])
def test_a_longer_price_bar_is_its_shorter_ones(kind: DataType, name: str) -> None:
    found = TAPE.get(Market.FUTURES_UM, "BTCUSDT")
    assert found is not None
    bars, interval = found.bars(kind), Interval(name)
    part_s, shorter = (3600, Interval("1h")) if name in {"1w", "1M"} else (60, Interval("1m"))
    number = interval.number(START + 40 * DAY)
    opens, ends = interval.opens(number), interval.opens(number + 1)
    bar = bars.bar(interval, number, ends)
    numbers = range(shorter.number(opens), shorter.number(ends - 1) + 1)
    parts = [bars.bar(shorter, at, ends) for at in numbers]
    assert {part.count for part in parts} == {part_s}
    assert bar.count == sum(part.count for part in parts)
    assert (bar.open, bar.close) == (parts[0].open, parts[-1].close)
    assert Decimal(bar.high) == max(Decimal(part.high) for part in parts)
    assert Decimal(bar.low) == min(Decimal(part.low) for part in parts)


@pytest.mark.parametrize(
    ("name", "opens", "ends"),
    [
        ("1m", "2026-05-08T12:34", "2026-05-08T12:35"),
        ("8h", "2026-05-08T08:00", "2026-05-08T16:00"),
        ("3d", "2026-05-07T00:00", "2026-05-10T00:00"),
        ("1w", "2026-05-04T00:00", "2026-05-11T00:00"),
        ("1M", "2026-05-01T00:00", "2026-06-01T00:00"),
    ],
)
def test_bars_open_where_the_exchange_opens_them(name: str, opens: str, ends: str) -> None:
    moment = datetime(2026, 5, 8, 12, 34, 56, tzinfo=UTC)
    interval = Interval(name)
    number = interval.number(int(moment.timestamp()) * 1_000_000)
    for at, text in ((number, opens), (number + 1, ends)):
        assert datetime.fromtimestamp(interval.opens(at) / 1e6, UTC).isoformat()[:16] == text


def test_a_seed_makes_the_same_and_another_one_something_else() -> None:
    one = DEFAULT_INSTRUMENTS[0]
    first = [Tape(seed=seed).get(one.market, one.symbol) for seed in (3, 3, 4)]
    made = [each.trades.trade(7) for each in first if each is not None]
    assert made[0] == made[1] != made[2]


def test_given_trades_are_served_as_they_are() -> None:
    one = Instrument.of(Market.SPOT, "BTCUSDT")
    start = START + 1_000_000
    rows = [
        (10, start, "100.00", "1.5", False),
        (11, start, "100.00", "0.5", False),
        (14, start + 1, "101.00", "0.00001", True),
        (15, start + 1, "100.50", "2", True),
    ]
    given_trades = GivenTrades.of(one, rows)
    tape = Tape([one], trades={(Market.SPOT, "BTCUSDT"): given_trades})
    found = tape.get(Market.SPOT, "BTCUSDT")
    assert found is not None
    assert found.trades is given_trades
    aggs = [given_trades.agg(index) for index in range(3)]
    assert [(agg.first_id, agg.last_id) for agg in aggs] == [(10, 11), (14, 14), (15, 15)]
    assert aggs[0].quantity == 200_000
    assert (given_trades.index_of_id(12), given_trades.index_of_agg_id(2)) == (2, 1)
    assert given_trades.agg_count_before(start + 1) == 1
    bar = found.bars(DataType.KLINES).bar(Interval("1m"), Interval("1m").number(start), HUGE)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.count) == (
        "100.00000000", "101.00000000", "100.00000000", "100.50000000", "4.00001000", 4,
    )  # fmt: skip
    assert (bar.taker_volume, bar.taker_other_volume) == ("2.00000000", "200.00000000")


def test_bad_trades_and_symbols_are_refused() -> None:
    one = Instrument.of(Market.SPOT, "BTCUSDT")
    with pytest.raises(ValueError, match=r"0\.000001 has more places after the point than 5"):
        GivenTrades.of(one, [(1, START, "1", "0.000001", True)])
    with pytest.raises(ValueError, match="trade 1 does not follow trade 1"):
        GivenTrades([Trade(1, START, 1, 1, 1, True)] * 2)
    with pytest.raises(ValueError, match="trade 2 does not follow trade 1"):
        GivenTrades([Trade(1, START, 1, 1, 1, True), Trade(2, START - 1, 1, 1, 1, True)])
    with pytest.raises(ValueError, match="spot ETHUSDT has trades"):
        Tape([one], trades={(Market.SPOT, "ETHUSDT"): GivenTrades([])})
    with pytest.raises(ValueError, match="the end of USDT is none of USDT"):
        Instrument.of(Market.SPOT, "USDT")


@each_symbol
def test_the_book_is_its_changes_summed_up(one: Instrument) -> None:
    found = TAPE.get(one.market, one.symbol)
    assert found is not None
    book, begin = found.book, 7_000
    state = book.state(begin)
    bids, asks = dict(state.bids), dict(state.asks)
    for step in range(begin + 1, begin + 300):
        assert book.ids_of(step)[0] == book.ids_of(step - 1)[1] + 1
        for side, changed in zip((bids, asks), book.changes(step - 1, step), strict=True):
            side.update(changed)
        now = book.state(step)
        assert {price: amount for price, amount in bids.items() if amount} == now.bids
        assert {price: amount for price, amount in asks.items() if amount} == now.asks
        assert now.update_id == book.ids_of(step)[1]
        assert max(now.bids) < min(now.asks)
        assert list(now.bids) == sorted(now.bids, reverse=True)
        assert list(now.asks) == sorted(now.asks)


def test_the_book_changes_at_every_step_and_follows_the_trades() -> None:
    found = TAPE.get(Market.SPOT, "BTCUSDT")
    assert found is not None
    book = found.book
    assert all(any(book.changes(step, step + 1)) for step in range(50))
    middles = {max(book.state(step).bids) for step in range(0, 9000, 300)}
    assert len(middles) > 10


def test_fundings_are_eight_hours_apart_and_a_little_late() -> None:
    found = TAPE.get(Market.FUTURES_UM, "BTCUSDT")
    assert found is not None
    made = found.derivatives.fundings(0, START + 3 * DAY)
    assert len(made) == 9
    assert {each.time_us % (DAY // 3) for each in made} <= {1000, 2000}
    dated = Instrument.of(Market.FUTURES_CM, "BTCUSD_261225")
    other = Tape([dated]).get(Market.FUTURES_CM, "BTCUSD_261225")
    assert other is not None
    assert other.derivatives.fundings(0, HUGE) == []
