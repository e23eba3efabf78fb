"""Archives that are cut off, and columns that are frozen while others change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tables.quality.defects import (
    AGGREGATES,
    BARS,
    COIN,
    MARK,
    METRICS,
    PREMIUM,
    TICKER,
    TRADES,
    Edit,
    Rows,
    edited,
    findings,
)
from tests.tables.sample_data import put

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.quality.findings import Finding, Severity
from crypto_lakehouse.tables.quality.frozen import end_tally, tally_of_ends
from crypto_lakehouse.tables.quality.tallies import merged
from crypto_lakehouse.tables.reading.batch import Batch, Source
from crypto_lakehouse.tables.reading.reader import read_batches
from crypto_lakehouse.tables.schema.schemas import schema_of

MONTH = "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2023-07.zip"
MINUTES = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2023-07-15.zip"

DAY = 86_400
START = 1_689_379_200  # 2023-07-15
OF_DAY = range(0, DAY, 60)


def trades(
    root: Path,
    seconds: range | list[int],
    key: str = TRADES,
    *,
    first_id: int = 500,
    start: int = START,
    makers: tuple[str, ...] = ("True", "False"),
    best: str = "True",
) -> Source:
    """Trades at some seconds after a start."""
    lines = []
    for place, second in enumerate(seconds):
        number, when = first_id + place, (start + second) * 1000
        maker = makers[place % len(makers)]
        if "/aggTrades/" in key:
            lines.append(f"{number},10,1,{number},{number},{when},{maker}\n")
        elif "/bookTicker/" in key:
            lines.append(f"{number},10,1,11,1,{when},{when}\n")
        else:
            lines.append(f"{number},10,1,10,{when},{maker},{best}\n")
    return put(root, Archive.parse(key), "".join(lines))


def of(source: Source, check: str, size: int = 1 << 24) -> Finding | None:
    return findings(source, size).get(check)


@pytest.mark.parametrize("key", [TRADES, AGGREGATES, TICKER], ids=["trades", "agg", "ticker"])
@pytest.mark.parametrize("size", [1 << 24, 2_000], ids=["one batch", "many batches"])
def test_a_day_that_is_cut_off_is_found(key: str, size: int, tmp_path: Path) -> None:
    assert of(trades(tmp_path, OF_DAY, key), "coverage", size) is None
    ended = of(trades(tmp_path, range(0, 7 * 3600, 60), key), "coverage", size)
    assert ended is not None
    assert ended.severity is Severity.WARNING
    assert ended.sentence == (
        "the archive ends 17 h 01 min 00 s early, at 2023-07-15 06:59:00; "
        "its own rows are at most 0 h 01 min 00 s apart"
    )
    began = of(trades(tmp_path, range(5 * 3600, DAY, 60), key), "coverage", size)
    assert began is not None
    assert "begins 5 h 00 min 00 s late, at 2023-07-15 05:00:00" in began.sentence
    both = of(trades(tmp_path, range(5 * 3600, 7 * 3600, 60), key), "coverage", size)
    assert both is not None
    assert "late, at 2023-07-15 05:00:00 and ends 17 h" in both.sentence


def test_a_month_that_ends_days_early_is_found(tmp_path: Path) -> None:
    start = START - 14 * DAY
    whole, part = range(0, 31 * DAY, 600), range(0, 24 * DAY, 600)
    assert of(trades(tmp_path, whole, MONTH, start=start), "coverage") is None
    found = of(trades(tmp_path, part, MONTH, start=start), "coverage")
    assert found is not None
    assert "ends 168 h 10 min 00 s early" in found.sentence


@pytest.mark.parametrize(
    "seconds",
    [
        [*range(0, 12_000, 60), *range(33_600, 45_600, 60)],  # a gap of six hours, an end of twelve
        range(0, DAY - 3_500, 60),
        range(0, 19 * 60, 60),
        range(12 * 3600, 12 * 3600 + 50 * 60, 60),
        [*range(0, 2_400, 60), 3_300],
        [*[0] * 60, *range(0, 600, 60)],
    ],
    ids=[
        "gaps of hours",
        "less than an hour",
        "few trades",
        "one burst within the day",
        "a gap of 15 minutes",
        "few moments",
    ],
)
def test_a_thin_symbol_is_not_cut_off(seconds: range | list[int], tmp_path: Path) -> None:
    assert of(trades(tmp_path, seconds), "coverage") is None


@pytest.mark.parametrize("key", [TRADES, AGGREGATES, TICKER], ids=["trades", "agg", "ticker"])
def test_a_day_that_is_cut_off_within_its_first_hour_is_found(key: str, tmp_path: Path) -> None:
    ended = of(trades(tmp_path, range(0, 3600, 90), key), "coverage")
    assert ended is not None
    assert ended.sentence.startswith("the archive ends 23 h 01 min 30 s early, at 2023-07-15 00:58")
    began = of(trades(tmp_path, range(DAY - 1800, DAY, 60), key), "coverage")
    assert began is not None
    assert "begins 23 h 30 min 00 s late" in began.sentence


def test_a_month_that_has_its_first_hour_only_is_found(tmp_path: Path) -> None:
    found = of(trades(tmp_path, range(0, 3600, 60), MONTH, start=START - 14 * DAY), "coverage")
    assert found is not None
    assert "ends 743 h" in found.sentence


def test_the_first_day_of_a_symbol_may_begin_late(tmp_path: Path) -> None:
    for first_id in (0, 1):
        source = trades(tmp_path, range(5 * 3600, DAY, 60), first_id=first_id)
        assert of(source, "coverage") is None


def test_a_known_outage_explains_an_early_end(tmp_path: Path) -> None:
    key, start = TRADES.replace("2023-07-15", "2018-02-08"), 1_518_048_000
    ended = of(trades(tmp_path, range(0, 1_700, 60), key, start=start), "coverage")
    assert ended is not None
    assert ended.severity is Severity.INFO
    assert "known: outage of the venue" in ended.sentence


def test_an_outage_of_six_hours_does_not_explain_a_longer_silence(tmp_path: Path) -> None:
    key, start = TRADES.replace("2023-07-15", "2021-08-13"), 1_628_812_800
    found = of(trades(tmp_path, range(0, 2 * 3600, 60), key, start=start), "coverage")
    assert found is not None
    assert found.severity is Severity.WARNING
    assert "known" not in found.sentence


@pytest.mark.parametrize("size", [1 << 24, 2_000], ids=["one batch", "many batches"])
@pytest.mark.parametrize("flag", ["true", "false"])
def test_a_flag_that_never_changes_is_found(flag: str, size: int, tmp_path: Path) -> None:
    for key in (TRADES, AGGREGATES):
        assert of(trades(tmp_path, OF_DAY, key), "frozen", size) is None
        found = of(trades(tmp_path, OF_DAY, key, makers=(flag,)), "frozen", size)
        assert found is not None
        assert (found.rows, found.severity) == (1440, Severity.WARNING)
        assert found.sentence == (
            f"1,440 rows change, except for `is_buyer_maker`, which is always {flag}"
        )


def test_trades_that_are_never_the_best_match_are_found(tmp_path: Path) -> None:
    found = of(trades(tmp_path, OF_DAY, best="False"), "frozen")
    assert found is not None
    assert "`is_best_match`, which is always false" in found.sentence


@pytest.mark.parametrize(
    "seconds", [range(0, DAY, 100), [0] * 900 + [*range(1, DAY, 120)]], ids=["few", "one order"]
)
def test_few_orders_may_all_be_on_one_side(seconds: range | list[int], tmp_path: Path) -> None:
    assert of(trades(tmp_path, seconds, makers=("True",)), "frozen") is None


def set_all(**texts: str) -> Edit:
    """Other values in all bars, by column."""
    places = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote": 7, "count": 8,
              "taker": 9, "taker_quote": 10}  # fmt: skip

    def edit(rows: Rows) -> None:
        for row in rows:
            for name, text in texts.items():
                row[places[name]] = text

    return edit


def all_by_takers(rows: Rows) -> None:
    for row in rows:
        row[8], row[9] = "100", row[5]
    rows[3][8] = "101"


FLAT = {"open": "5", "high": "5", "low": "5", "close": "5"}

FROZEN: list[tuple[Edit, str]] = [
    (set_all(count="7"), "`count`, which is always 7"),
    (set_all(count="1"), "`count`, which is always 1"),
    (set_all(taker="0.00000001"), "`taker_buy_volume`, which is always 1e-08"),
    (set_all(taker="0"), "`taker_buy_volume`, which is always 0.0"),
    (all_by_takers, "`taker_buy_volume`, which is always all of `volume`"),
    (set_all(volume="9999999"), "`volume`, which is always 9999999.0"),
    (set_all(quote="999999999999"), "`quote_volume`, which is always 999999999999.0"),
    (set_all(**dict.fromkeys(FLAT, "21801.55")), "prices, which are always 21801.55"),
]


@pytest.mark.parametrize(("edit", "words"), FROZEN, ids=[words for _, words in FROZEN])
@pytest.mark.parametrize("size", [1 << 24, 4_000], ids=["one batch", "many batches"])
def test_a_frozen_column_of_bars_is_found(
    edit: Edit, words: str, size: int, tmp_path: Path
) -> None:
    assert of(edited(tmp_path, MINUTES, lambda _rows: None), "frozen", size) is None
    found = of(edited(tmp_path, MINUTES, edit), "frozen", size)
    assert found is not None
    assert words in found.sentence


@pytest.mark.parametrize(
    ("key", "edit"),
    [
        (BARS, set_all(count="1", taker="0", taker_quote="0", **FLAT)),
        (BARS, set_all(volume="5", quote="50", count="3", taker="1", taker_quote="10")),
        (BARS, set_all(volume="0", quote="0", count="0", taker="0", taker_quote="0")),
    ],
    ids=["one trade in each bar", "all columns alike", "no trades"],
)
def test_bars_of_a_thin_symbol_are_not_frozen(key: str, edit: Edit, tmp_path: Path) -> None:
    assert of(edited(tmp_path, key, edit), "frozen") is None


@pytest.mark.parametrize("price", ["0.9998", "0.00000012"], ids=["stable pair", "large step"])
def test_a_price_that_may_stand_still_is_not_frozen(price: str, tmp_path: Path) -> None:
    flat = set_all(**dict.fromkeys(FLAT, price))
    assert of(edited(tmp_path, MINUTES, flat), "frozen") is None
    for key in (TRADES, AGGREGATES):
        assert of(lines(tmp_path, key, price=price), "frozen") is None


@pytest.mark.parametrize("key", [MARK, PREMIUM], ids=["mark", "premium"])
def test_frozen_prices_of_an_index_are_found(key: str, tmp_path: Path) -> None:
    minutes = key.replace("1h", "1m")
    assert of(edited(tmp_path, minutes, lambda _rows: None), "frozen") is None
    still = set_all(**dict.fromkeys(FLAT, "0.0001"))
    found = of(edited(tmp_path, minutes, still), "frozen")
    assert found is not None
    assert "`open`, `high`, `low` and `close`, which are always 0.0001" in found.sentence
    assert of(edited(tmp_path, key, still), "frozen") is None  # 24 bars are few


@pytest.mark.parametrize("place", range(2, 8))
def test_a_frozen_column_of_metrics_is_found(place: int, tmp_path: Path) -> None:
    def freeze(rows: Rows) -> None:
        for row in rows:
            row[place] = "1.5"

    assert of(edited(tmp_path, METRICS, lambda _rows: None), "frozen") is None
    found = of(edited(tmp_path, METRICS, freeze), "frozen")
    assert found is not None
    assert "which is always 1.5" in found.sentence


def test_metrics_that_all_stand_still_or_are_blank_are_not_frozen(tmp_path: Path) -> None:
    def stand(rows: Rows) -> None:
        for row in rows:
            row[2:8] = ["1", "2", "", "", "1", "1"]

    assert of(edited(tmp_path, METRICS, stand), "frozen") is None


def lines(root: Path, key: str, count: int = 1000, **still: str) -> Source:
    """Trades or quotes at as many moments, of which some columns stand still."""
    text = []
    for number in range(count):
        when = START * 1000 + number * 86_000
        moving = {
            "price": f"{21801 + number % 7}.55",
            "qty": f"0.{1 + number % 5}",
            "ask": f"{21900 + number % 4}.75",
            "ask_qty": f"0.{1 + number % 3}",
            "maker": str(bool(number % 2)),
        } | still
        price, qty, ask = moving["price"], moving["qty"], moving["ask"]
        if "/bookTicker/" in key:
            text.append(f"{number},{price},{qty},{ask},{moving['ask_qty']},{when},{when}\n")
        elif "/aggTrades/" in key:
            text.append(f"{number},{price},{qty},{number},{number},{when},{moving['maker']}\n")
        else:
            worth = f"{float(price) * float(qty):.10f}"
            text.append(f"{number},{price},{qty},{worth},{when},{moving['maker']},True\n")
    return put(root, Archive.parse(key), "".join(text))


@pytest.mark.parametrize(
    ("key", "still", "name"),
    [
        (TRADES, {"price": "21801.55"}, "price"),
        (TRADES, {"qty": "1"}, "qty"),
        (TRADES, {"maker": "True"}, "is_buyer_maker"),
        (AGGREGATES, {"price": "21801.55"}, "price"),
        (AGGREGATES, {"qty": "1"}, "quantity"),
        (TICKER, {"price": "21801.55"}, "best_bid_price"),
        (TICKER, {"qty": "1"}, "best_bid_qty"),
        (TICKER, {"ask": "21901.55"}, "best_ask_price"),
        (TICKER, {"ask_qty": "1"}, "best_ask_qty"),
    ],
)
def test_a_frozen_column_of_a_thousand_moments_is_found(
    key: str, still: dict[str, str], name: str, tmp_path: Path
) -> None:
    assert of(lines(tmp_path, key), "frozen") is None
    found = of(lines(tmp_path, key, 1000, **still), "frozen")
    assert found is not None
    assert found.rows == 1000
    assert f"`{name}`, which is always" in found.sentence
    assert of(lines(tmp_path, key, 999, **still), "frozen") is None


@pytest.mark.parametrize("key", [TRADES, AGGREGATES, TICKER], ids=["trades", "agg", "ticker"])
def test_the_ends_of_a_long_part_show_that_nothing_is_frozen(key: str, tmp_path: Path) -> None:
    schema = schema_of(Archive.parse(key))
    stills: list[dict[str, str]] = [{}, {"qty": "1"}, {"price": "21801.55"}]
    for still in stills:
        source = lines(tmp_path, key, 5_000, **still)
        (batch,) = read_batches([source], schema)
        assert isinstance(batch, Batch)
        values = end_tally(schema)
        known = tally_of_ends(values, batch.frame)
        assert (known is None) == bool(still)
        if known is not None:
            assert known == batch.frame.select(**values).row(0, named=True)
        assert tally_of_ends(values, batch.frame.head(4_000)) is None
        assert (of(source, "frozen") is None) == (not still)


def test_a_quiet_book_is_not_frozen(tmp_path: Path) -> None:
    assert of(lines(tmp_path, TICKER, price="21801.55", ask="21901.55", qty="1"), "frozen") is None


@pytest.mark.parametrize("size", [1 << 24, 4_000], ids=["one batch", "many batches"])
@pytest.mark.parametrize("makers", [("true", "false"), ("false", "true")])
def test_a_flag_that_is_frozen_in_half_of_an_archive_is_found(
    makers: tuple[str, str], size: int, tmp_path: Path
) -> None:
    value, _ = makers
    for key in (TRADES, AGGREGATES):
        half = (*makers * 1000, *[value] * 2000)
        found = of(trades(tmp_path, range(4000), key, makers=half), "frozen", size)
        assert found is not None
        # The last of those that change has the other value.
        assert f"`is_buyer_maker`, which is always {value} after id 2499" in found.sentence
        found = of(trades(tmp_path, range(4000), key, makers=half[::-1]), "frozen", size)
        assert found is not None
        assert f"`is_buyer_maker`, which is always {value} before id 2500" in found.sentence
        less = (*makers * 1001, *[value] * 1998)
        assert of(trades(tmp_path, range(4000), key, makers=less), "frozen", size) is None


def test_a_frozen_base_volume_is_found(tmp_path: Path) -> None:
    found = of(edited(tmp_path, COIN, set_all(taker_quote="0.00000001")), "frozen")
    assert found is not None
    assert "`taker_buy_base_volume`, which is always 1e-08" in found.sentence


def test_tallies_of_parts_are_one_tally() -> None:
    one = {"gap_most": 5, "x_least": True, "active_sum": 1, "y_most": None}
    other = {"gap_most": 7, "x_least": False, "active_sum": 2, "y_most": 3}
    assert merged(one, other) == {"gap_most": 7, "x_least": False, "active_sum": 3, "y_most": 3}
    assert merged({}, one) == one
