"""The same tape as archives: what the publisher would have made of it.

An `ArchiveServer` that serves these and an `ExchangeServer` with the same tape have the same truth,
so that a test can compare a table from archives with one from REST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.testing.exchange.clock import microseconds
from crypto_lakehouse.testing.exchange.rest.statistics import interest_value, ratio_text
from crypto_lakehouse.testing.exchange.tape.derivatives import FUNDING_HOURS, STATISTIC_US
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.tape import Listed, Tape
from crypto_lakehouse.testing.made_up.generator import zip_bytes
from crypto_lakehouse.testing.made_up.rows.derivatives import UM_LABELS_AT_START
from crypto_lakehouse.testing.made_up.rows.values import decimal

__all__ = ["tape_archive"]


def tape_archive(tape: Tape, key: str) -> bytes:
    """Make the zip of an archive out of a tape: whole days, whatever an exchange's clock says.

    Args:
        tape: What happened.
        key: The archive's key: bars of the four kinds, trades, aggTrades, fundingRate or metrics.

    Raises:
        ArchiveKeyError: The tape has no such symbol or data type.
    """
    archive = Archive.published(key)
    row = load_matrix().row(archive.market, archive.data_type)
    write = _WRITERS.get(archive.data_type)
    if archive.data_type is DataType.INDEX_PRICE_KLINES:
        found = tape.of_pair(archive.market, archive.symbol)
    else:
        one = tape.get(archive.market, archive.symbol)
        found = [] if one is None else [one]
    if row is None or write is None or not found:
        raise ArchiveKeyError(key, "the tape has no such symbol or data type")
    return zip_bytes(archive.member, archive.period, _chunks(archive, row, write, found[0]))


@frozen
class _Day:
    """One UTC day of an archive.

    Attributes:
        end_us: The first microsecond of the next day.
        us_per_unit: How many microseconds a unit of the archive's times has.
    """

    archive: Archive
    listed: Listed
    date: date
    us_per_unit: int

    @property
    def start_us(self) -> int:
        return microseconds(datetime.combine(self.date, time(), UTC))

    @property
    def end_us(self) -> int:
        return microseconds(datetime.combine(self.date + timedelta(days=1), time(), UTC))

    def time_out(self, moment_us: int) -> int:
        return moment_us // self.us_per_unit

    def flags(self, is_buyer_maker: bool) -> str:
        """Write `is_buyer_maker`, and on spot `is_best_match`, as the market spells them."""
        if self.archive.market is Market.SPOT:
            return f"{is_buyer_maker},True"
        return str(is_buyer_maker).lower()


def _chunks(
    archive: Archive, row: MatrixRow, write: Callable[[_Day], Iterator[str]], listed: Listed
) -> Iterator[bytes]:
    if row.has_header(archive.period.last_day):
        yield (",".join(row.columns) + "\n").encode()
    day = archive.period.first_day
    while day <= archive.period.last_day:
        unit = 1 if row.time_unit(day) == "us" else 1000
        lines = write(_Day(archive, listed, day, unit))
        yield "".join(f"{line}\n" for line in lines).encode()
        day += timedelta(days=1)


def _bar_lines(day: _Day) -> Iterator[str]:
    interval = Interval((day.archive.interval or "").replace("1mo", "1M"))
    bars = day.listed.bars(day.archive.data_type)
    first = interval.number(day.start_us)
    first += interval.opens(first) < day.start_us
    first = max(first, bars.first_number(interval))
    for number in range(first, interval.number(day.end_us - 1) + 1):
        end_us = interval.opens(number + 1)
        bar = bars.bar(interval, number, end_us - 1)
        yield (
            f"{day.time_out(bar.open_us)},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume},"
            f"{day.time_out(end_us) - 1},{bar.other_volume},{bar.count},{bar.taker_volume},"
            f"{bar.taker_other_volume},0"
        )


def _trade_lines(day: _Day) -> Iterator[str]:
    one, trades = day.listed.instrument, day.listed.trades
    for index in range(trades.count_before(day.start_us), trades.count_before(day.end_us)):
        trade = trades.trade(index)
        yield (
            f"{trade.id},{one.price_text(trade.price)},{one.quantity_text(trade.quantity)},"
            f"{one.other_text(trade.other)},{day.time_out(trade.time_us)},"
            f"{day.flags(trade.is_buyer_maker)}"
        )


def _agg_lines(day: _Day) -> Iterator[str]:
    one, trades = day.listed.instrument, day.listed.trades
    for index in range(trades.agg_count_before(day.start_us), trades.agg_count_before(day.end_us)):
        agg = trades.agg(index)
        yield (
            f"{agg.id},{one.price_text(agg.price)},{one.quantity_text(agg.quantity)},"
            f"{agg.first_id},{agg.last_id},{day.time_out(agg.time_us)},"
            f"{day.flags(agg.is_buyer_maker)}"
        )


def _funding_lines(day: _Day) -> Iterator[str]:
    for each in day.listed.derivatives.fundings(day.start_us, day.end_us - 1):
        yield f"{day.time_out(each.time_us)},{FUNDING_HOURS},{decimal(each.rate, 8)}"


def _metric_lines(day: _Day) -> Iterator[str]:
    """Write open interest and ratios, labelled as that day's files were."""
    is_um = day.archive.market is Market.FUTURES_UM
    late_us = STATISTIC_US if is_um and day.date < UM_LABELS_AT_START else 0
    width = 16 if is_um else None
    one = day.listed.instrument
    first, last = day.start_us + late_us, day.end_us + late_us - 1
    for each in day.listed.derivatives.statistics(first, last, STATISTIC_US):
        moment = datetime.fromtimestamp(each.time_us // 1_000_000, UTC)
        ratios = [
            ratio_text(share, 8)
            for share in (each.accounts_long, each.positions_long, each.all_long)
        ]
        takers = decimal(each.buys * 10**8 // each.sells, 8)
        yield ",".join(
            [
                f"{moment:%Y-%m-%d %H:%M:%S}",
                one.symbol,
                decimal(each.open_interest, one.quantity_places, width),
                decimal(interest_value(day.listed, each), 8, width),
                *ratios,
                takers,
            ]
        )


_WRITERS: Mapping[DataType, Callable[[_Day], Iterator[str]]] = {
    DataType.KLINES: _bar_lines,
    DataType.MARK_PRICE_KLINES: _bar_lines,
    DataType.INDEX_PRICE_KLINES: _bar_lines,
    DataType.PREMIUM_INDEX_KLINES: _bar_lines,
    DataType.TRADES: _trade_lines,
    DataType.AGG_TRADES: _agg_lines,
    DataType.FUNDING_RATE: _funding_lines,
    DataType.METRICS: _metric_lines,
}
