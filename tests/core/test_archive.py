"""Keys are read and written without loss, and what is no key is refused by name."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.conftest import ARCHIVE, KEY, archives, days, periods, series, symbols

from crypto_lakehouse.core.archive import (
    INTERVALS,
    Archive,
    DataType,
    Market,
    Origin,
    Partition,
    Period,
    Series,
    check_symbol,
)
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES, kind_of
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.live_keys import live_name, live_name_of

SPOT, UM, CM, OPTIONS = Market
DAILY, MONTHLY = Partition

#: A key of every kind that the archive holds, and what it says.
PUBLISHED = {
    "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip":
        (SPOT, DAILY, DataType.KLINES, "BTCUSDT", "1h", "2026-05-08"),
    "data/spot/daily/klines/BTCUSDT/1s/BTCUSDT-1s-2017-08-17.zip":
        (SPOT, DAILY, DataType.KLINES, "BTCUSDT", "1s", "2017-08-17"),
    "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2020-02.zip":
        (SPOT, MONTHLY, DataType.KLINES, "BTCUSDT", "1mo", "2020-02"),
    "data/spot/monthly/klines/ADABKRW/1h/ADABKRW-1h-2020-08.zip":
        (SPOT, MONTHLY, DataType.KLINES, "ADABKRW", "1h", "2020-08"),
    "data/spot/monthly/klines/ADABKRW/1d/ADABKRW-1d-2020-08.zip":
        (SPOT, MONTHLY, DataType.KLINES, "ADABKRW", "1d", "2020-08"),
    "data/spot/monthly/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip":
        (SPOT, MONTHLY, DataType.KLINES, "ADABKRW", "1d", "2020-8"),
    "data/spot/daily/trades/1INCHBTC/1INCHBTC-trades-2021-01-01.zip":
        (SPOT, DAILY, DataType.TRADES, "1INCHBTC", None, "2021-01-01"),
    "data/spot/monthly/aggTrades/BTCDOWNUSDT/BTCDOWNUSDT-aggTrades-2021-01.zip":
        (SPOT, MONTHLY, DataType.AGG_TRADES, "BTCDOWNUSDT", None, "2021-01"),
    "data/spot/daily/klines/币安人生USDT/1m/币安人生USDT-1m-2025-10-20.zip":
        (SPOT, DAILY, DataType.KLINES, "币安人生USDT", "1m", "2025-10-20"),
    "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2023-01-24.zip":
        (UM, DAILY, DataType.TRADES, "BTCUSDT", None, "2023-01-24"),
    "data/futures/um/daily/klines/BTCUSDT_240628/1d/BTCUSDT_240628-1d-2024-06-28.zip":
        (UM, DAILY, DataType.KLINES, "BTCUSDT_240628", "1d", "2024-06-28"),
    "data/futures/um/daily/klines/CVCUSDTSETTLED/1m/CVCUSDTSETTLED-1m-2023-01-01.zip":
        (UM, DAILY, DataType.KLINES, "CVCUSDTSETTLED", "1m", "2023-01-01"),
    "data/futures/um/daily/klines/ICPUSDT_SETTLED/1m/ICPUSDT_SETTLED-1m-2022-09-01.zip":
        (UM, DAILY, DataType.KLINES, "ICPUSDT_SETTLED", "1m", "2022-09-01"),
    "data/futures/um/monthly/trades/ICPUSDT_SETTLED1/ICPUSDT_SETTLED1-trades-2022-09.zip":
        (UM, MONTHLY, DataType.TRADES, "ICPUSDT_SETTLED1", None, "2022-09"),
    "data/futures/um/daily/klines/1000000MOGUSDT/8h/1000000MOGUSDT-8h-2024-11-20.zip":
        (UM, DAILY, DataType.KLINES, "1000000MOGUSDT", "8h", "2024-11-20"),
    "data/futures/um/daily/aggTrades/0GUSDT/0GUSDT-aggTrades-2025-10-01.zip":
        (UM, DAILY, DataType.AGG_TRADES, "0GUSDT", None, "2025-10-01"),
    "data/futures/um/daily/markPriceKlines/BTCUSDT/5m/BTCUSDT-5m-2023-11-10.zip":
        (UM, DAILY, DataType.MARK_PRICE_KLINES, "BTCUSDT", "5m", "2023-11-10"),
    "data/futures/um/daily/indexPriceKlines/BTCUSDT/5m/BTCUSDT-5m-2023-11-10.zip":
        (UM, DAILY, DataType.INDEX_PRICE_KLINES, "BTCUSDT", "5m", "2023-11-10"),
    "data/futures/um/monthly/premiumIndexKlines/BTCUSDT/1w/BTCUSDT-1w-2023-11.zip":
        (UM, MONTHLY, DataType.PREMIUM_INDEX_KLINES, "BTCUSDT", "1w", "2023-11"),
    "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-04.zip":
        (UM, MONTHLY, DataType.FUNDING_RATE, "BTCUSDT", None, "2026-04"),
    "data/futures/um/daily/bookDepth/BTCUSDT/BTCUSDT-bookDepth-2026-09-01.zip":
        (UM, DAILY, DataType.BOOK_DEPTH, "BTCUSDT", None, "2026-09-01"),
    "data/futures/um/daily/bookTicker/1000BONKUSDT/1000BONKUSDT-bookTicker-2024-03-30.zip":
        (UM, DAILY, DataType.BOOK_TICKER, "1000BONKUSDT", None, "2024-03-30"),
    "data/futures/um/daily/metrics/STXXUSDT/STXXUSDT-metrics-2026-07-09.zip":
        (UM, DAILY, DataType.METRICS, "STXXUSDT", None, "2026-07-09"),
    "data/futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2026-05-08.zip":
        (CM, DAILY, DataType.AGG_TRADES, "BTCUSD_PERP", None, "2026-05-08"),
    "data/futures/cm/monthly/klines/BTCUSD_200925/3d/BTCUSD_200925-3d-2020-08.zip":
        (CM, MONTHLY, DataType.KLINES, "BTCUSD_200925", "3d", "2020-08"),
    "data/futures/cm/daily/indexPriceKlines/BTCUSD/1m/BTCUSD-1m-2024-01-01.zip":
        (CM, DAILY, DataType.INDEX_PRICE_KLINES, "BTCUSD", "1m", "2024-01-01"),
    "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/"
    "BTCUSD_PERP-liquidationSnapshot-2024-07-10.zip":
        (CM, DAILY, DataType.LIQUIDATION_SNAPSHOT, "BTCUSD_PERP", None, "2024-07-10"),
    "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2023-09-25.zip":
        (OPTIONS, DAILY, DataType.BVOL_INDEX, "BTCBVOLUSDT", None, "2023-09-25"),
    "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-10-23.zip":
        (OPTIONS, DAILY, DataType.EOH_SUMMARY, "BTCUSDT", None, "2023-10-23"),
}  # fmt: skip

#: What a segment of a recording has of a series and a day.
EXCERPT = (
    "live/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2026-05-08.2026-05-08T12-0003-9f3c01ab.jsonl.zst"
)

#: Text that is nearly a key, and a word of the reason.
REFUSED = {
    "": "begins with `data/`",
    "data": "begins with `data/`",
    "/" + KEY: "begins with `data/`",
    "DATA" + KEY.removeprefix("data"): "begins with `data/`",
    KEY + ".CHECKSUM": "ends with `.zip`",
    KEY + "\n": "ends with `.zip`",
    KEY + " ": "ends with `.zip`",
    KEY.replace(".zip", ".ZIP"): "ends with `.zip`",
    KEY.replace("spot", "margin"): "unknown market folder",
    KEY.replace("spot", "options"): "unknown market folder",
    KEY.replace("spot", "futures"): "unknown market folder",
    KEY.replace("spot", "futures/xm"): "unknown market folder",
    KEY.replace("spot", "%73pot"): "unknown market folder",
    KEY.replace("data/", "data//"): "unknown market folder",
    "data/.zip": "unknown market folder",
    "data/spot/.zip": "folders",
    "data/spot/daily/klines/BTCUSDT-1h-2025-07-15.zip": "folders",
    KEY.replace("daily", "weekly"): "weekly",
    KEY.replace("daily", "Daily"): "Daily",
    KEY.replace("daily", "monthly"): "does not fit the `monthly` folder",
    KEY.replace("2025-07-15", "2025-07"): "does not fit the `daily` folder",
    KEY.replace("klines", "kline"): "kline",
    KEY.replace("/1h/", "/"): "needs an interval",
    KEY.replace("/1h/", "/1h/1h/"): "too many folders",
    KEY.replace("1h", "1M"): "unknown interval",
    KEY.replace("1h", ""): "unknown interval",
    KEY.replace("/1h/", "/2h/"): "must begin with `BTCUSDT-2h-`",
    KEY.replace("/BTCUSDT/", "/ETHUSDT/"): "must begin with `ETHUSDT-1h-`",
    KEY.replace("BTCUSDT-1h", "BTCUSDT-klines"): "must begin with `BTCUSDT-1h-`",
    KEY.replace("BTCUSDT", ".."): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "."): "letters, digits and underscores",
    KEY.replace("BTCUSDT", ""): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "../../etc"): "too many folders",
    KEY.replace("BTCUSDT", "BTC-USDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTC\\USDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTC\0USDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTC\x1bUSDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTCUSDT\n"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTC\u202eUSDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTC\ud800USDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "%42TCUSDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "BTC USDT"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "B*"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "e\u0301"): "letters, digits and underscores",
    KEY.replace("BTCUSDT", "\u212b"): "NFC",
    KEY.replace("BTCUSDT", "B" * 129): "at most 128 bytes",
    KEY.replace("BTCUSDT", "币" * 43): "at most 128 bytes",
    KEY.replace("2025-07-15", "2025-7-15"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "2025-07-5"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "25-07-15"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "20250715"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "2025-07-15\n"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "2025-07-15.zip"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "２０２５-07-15"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "2025-07-١٥"): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", ""): "must be YYYY-MM-DD",
    KEY.replace("2025-07-15", "2025-02-29"): "no such period",
    KEY.replace("2025-07-15", "2025-13-01"): "no such period",
    KEY.replace("2025-07-15", "0000-01-01"): "no such period",
    "data/futures/um/daily/trades/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip": "has no interval",
    "data/futures/um/daily/trades/BTCUSDT/1h/BTCUSDT-trades-2025-07-15.zip": "has no interval",
    "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2020-0.zip": "no such period",
    KEY * 20_000: "too many folders",
    "rest" + KEY.removeprefix("data"): "begins with `rest/` and ends with `.jsonl.zst`",
    KEY.replace(".zip", ".jsonl.zst"): "begins with `data/` and ends with `.zip`",
    "live" + KEY.removeprefix("data").replace(".zip", ".jsonl.zst"): "a segment is named",
    EXCERPT + ".CHECKSUM": "begins with `live/` and ends with `.jsonl.zst`",
    EXCERPT.replace("T12", "T25"): "a segment is named",
    EXCERPT.replace("12-0003", "12-0060"): "a segment is named",
    EXCERPT.replace("9f3c01ab", "9f3c01a"): "a segment is named",
    EXCERPT.replace("9f3c01ab", "9f3c01ab55"): "a segment is named",
    EXCERPT.replace("9f3c01ab", "9f3c01ab."): "a segment is named",
    EXCERPT.replace("2026-05-08T", "２０２６-05-08T"): "a segment is named",
    EXCERPT.replace("trades", "metrics"): "no stream has such rows",
    EXCERPT.replace("trades", "mark_price"): "no stream has such rows",
    EXCERPT.replace("live/spot", "live/option"): "no stream has such rows",
    EXCERPT.replace("daily", "monthly").replace("05-08.", "05."): "a segment holds a day",
    "live/spot/trade/2026-05-08/trade-2026-05-08T12-0003-9f3c01ab.jsonl.zst": "too few folders",
    KEY.replace("klines", "depth_updates").replace("1h", "depth_updates"): "no interval",
    "data/spot/daily/depth_updates/BTCUSDT/BTCUSDT-depth_updates-2025-07-15.zip": "only recorded",
    "rest/spot/daily/liquidations/X/X-liquidations-2025-07-15.jsonl.zst": "only recorded",
    "rest/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07.jsonl.zst": "a segment holds a day",
    "/" * 100_000: "begins with `data/`",
}  # fmt: skip


@pytest.mark.parametrize(("key", "parts"), PUBLISHED.items(), ids=PUBLISHED)
def test_every_published_pattern_is_understood(
    key: str, parts: tuple[Market, Partition, DataType, str, str | None, str]
) -> None:
    archive = Archive.parse(key)
    assert (
        archive.market,
        archive.partition,
        archive.data_type,
        archive.symbol,
        archive.interval,
        str(archive.period),
    ) == parts
    assert archive.key == str(archive) == key


def test_the_padded_and_the_unpadded_month_are_two_archives_of_the_same_days() -> None:
    padded = Archive.parse("data/spot/monthly/klines/ADABKRW/1d/ADABKRW-1d-2020-08.zip")
    stray = Archive.parse("data/spot/monthly/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip")
    assert padded != stray
    assert padded.key != stray.key
    assert padded.series == stray.series
    assert (padded.period.first_day, padded.period.last_day) == (
        stray.period.first_day,
        stray.period.last_day,
    )


def test_names_of_an_archive_are_parts_of_its_key() -> None:
    assert ARCHIVE.folder == "data/spot/daily/klines/BTCUSDT/1h/"
    assert ARCHIVE.name == "BTCUSDT-1h-2025-07-15.zip"
    assert ARCHIVE.member == "BTCUSDT-1h-2025-07-15.csv"
    assert ARCHIVE.sidecar_key == KEY + ".CHECKSUM"
    assert str(ARCHIVE.series) == "spot klines BTCUSDT 1h"


def test_one_file_name_in_two_type_folders_means_two_archives() -> None:
    plain, mark = (
        Archive.parse(f"data/futures/um/daily/{folder}/BTCUSDT/5m/BTCUSDT-5m-2023-11-10.zip")
        for folder in ("klines", "markPriceKlines")
    )
    assert plain.name == mark.name
    assert plain.key != mark.key


#: Segments beside the archives.
segments = st.builds(Archive, series(), days.map(Period.day), st.just(Origin.FILL))


def _at_noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, 0, 3, tzinfo=UTC)


_STREAMED = [each for each in DataType if kind_of(UM, each)]

#: What segments of recordings have of a series and a day.
excerpts = st.builds(
    Archive,
    series(_STREAMED, (UM, CM)) | series(_STREAMED[:5], (SPOT,)),
    days.map(Period.day),
    st.just(Origin.LIVE),
    st.builds(live_name, days.map(_at_noon), st.text("0123456789abcdef", min_size=8, max_size=9)),
)


@given(archives | segments | excerpts)
def test_an_archive_is_found_again_in_its_key(archive: Archive) -> None:
    assert Archive.parse(archive.key) == archive
    assert Origin.of(archive.key) is archive.origin
    assert archive.key == archive.folder + archive.name
    assert archive.key.encode().decode() == archive.key


def test_a_segment_is_named_as_the_archive_of_its_day_is() -> None:
    segment = Archive(ARCHIVE.series, ARCHIVE.period, Origin.FILL)
    assert segment.key == "rest/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.jsonl.zst"
    assert segment.sidecar_key == segment.key + ".CHECKSUM"
    assert sorted([segment, ARCHIVE]) == [ARCHIVE, segment]


@given(segments)
def test_a_segment_is_no_published_archive(segment: Archive) -> None:
    with pytest.raises(ArchiveKeyError, match="begins with `data/`"):
        Archive.published(segment.key)
    assert Archive.published(Archive(segment.series, segment.period).key).origin is Origin.ARCHIVE


def test_a_segment_holds_a_day() -> None:
    with pytest.raises(ArchiveKeyError, match="a segment holds a day"):
        Archive(ARCHIVE.series, Period.month(date(2025, 7, 1)), Origin.FILL)
    with pytest.raises(ArchiveKeyError, match="`data/`, `rest/` or `live/`"):
        Origin.of("replaced/x")


def test_an_excerpt_names_its_segment() -> None:
    excerpt = Archive.parse(EXCERPT)
    assert (excerpt.origin, excerpt.market, excerpt.symbol) == (Origin.LIVE, SPOT, "BTCUSDT")
    key = "live/spot/trade/2026-05-08/trade-2026-05-08T12-0003-9f3c01ab.jsonl.zst"
    assert excerpt.segment_key == key
    assert live_name_of(key) == excerpt.segment
    assert ARCHIVE.segment_key == KEY
    with pytest.raises(ArchiveKeyError, match="only an excerpt"):
        Archive(excerpt.series, excerpt.period, Origin.FILL, excerpt.segment)


def test_only_published_types_have_archives_and_numbers_of_types_are_kept() -> None:
    recorded = [each for each in DataType if not each.is_published]
    assert [*PUBLISHED_TYPES, *recorded] == list(DataType)
    assert recorded == ["depth_updates", "depth_snapshots", "mark_price", "liquidations"]
    for data_type in recorded:
        with pytest.raises(ArchiveKeyError, match="only recorded"):
            Archive(Series(UM, data_type, "BTCUSDT"), ARCHIVE.period)


@given(archives | segments | excerpts, archives | segments | excerpts)
def test_different_archives_have_different_keys(one: Archive, other: Archive) -> None:
    assert (one.key == other.key) == (one == other)
    assert (hash(one) == hash(other)) or one != other
    assert (one < other) or (one > other) or one == other


@given(archives | segments | excerpts)
def test_no_part_of_a_key_leaves_its_folder(archive: Archive) -> None:
    parts = archive.sidecar_key.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert all(part.isprintable() and "\\" not in part for part in parts)
    assert all(len(part.encode()) <= 255 for part in parts)


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_key_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ArchiveKeyError) as refused:
        Archive.parse(text)
    assert refused.value.key == text
    assert reason in refused.value.reason
    assert str(refused.value).startswith(f"{text!r} is not an archive key: ")


def mutated(draw: st.DrawFn) -> str:
    """A good key with a piece of it replaced by something else."""
    key = draw(archives | segments | excerpts).key
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(key))] * 2)))
    nasty = st.sampled_from(
        [
            "..",
            "/",
            "//",
            "\0",
            "\n",
            "\r",
            "\\",
            "%2e%2e",
            "%",
            "\x7f",
            "e\u0301",
            "０",
            "-",
            ".zip",
        ]
    )
    return key[:start] + draw(nasty | st.text(max_size=5)) + key[end:]


pieces = st.sampled_from(
    ["data", "rest", "live", "spot", "futures", "um", "option", "daily", "monthly", "klines",
     "trades", "BTCUSDT", "..", ".", "", "1h", "BTCUSDT-1h-2025-07-15.zip",
     "BTCUSDT-1h-2025-07-15.jsonl.zst",
     "BTCUSDT-1h-2025-07-15.2025-07-15T12-0003-9f3c01ab.jsonl.zst",
     "BTCUSDT-trades-2025-07.zip", "a\0.zip"]
)  # fmt: skip


@given(
    st.composite(mutated)()
    | st.text()
    | st.text(max_size=200).map(lambda text: f"data/spot/daily/{text}.zip")
    | st.lists(pieces, max_size=9).map("/".join)
)
@example("data/spot/daily/klines/../1h/..-1h-2025-07-15.zip")
@example("data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip\n")
@example("data/spot/daily/trades/ＢＴＣ/ＢＴＣ-trades-2025-07-15.zip")
def test_any_text_is_a_key_exactly_or_refused_by_name(text: str) -> None:
    try:
        archive = Archive.parse(text)
    except ArchiveKeyError as error:
        assert error.key == text
        assert repr(text) in str(error)
        assert error.reason
    else:
        assert archive.key == text


@given(series(), days)
def test_a_series_names_the_folder_and_the_stem_of_its_archives(of: Series, day: date) -> None:
    for period in (Period.day(day), Period.month(day)):
        archive = Archive(of, period)
        assert archive.key == f"{of.folder(period.partition)}{of.stem}{period}.zip"
        assert archive.key.startswith(f"data/{of.market.path}/{period.partition}/")


@pytest.mark.parametrize("data_type", list(DataType))
@pytest.mark.parametrize("interval", [None, "1h"])
def test_exactly_the_kline_family_has_an_interval(
    data_type: DataType, interval: str | None
) -> None:
    if data_type.has_interval == (interval is not None):
        assert Series(SPOT, data_type, "BTCUSDT", interval).interval == interval
    else:
        with pytest.raises(ArchiveKeyError, match=f"`{data_type}`"):
            Series(SPOT, data_type, "BTCUSDT", interval)


@pytest.mark.parametrize("interval", ["1M", "1mO", "", "1H", "60m", "1h/"])
def test_an_unknown_interval_is_refused_with_the_known_ones(interval: str) -> None:
    with pytest.raises(ArchiveKeyError, match=", ".join(INTERVALS)):
        Series(SPOT, DataType.KLINES, "BTCUSDT", interval)


@given(symbols)
def test_letters_and_digits_of_any_script_make_a_symbol(symbol: str) -> None:
    check_symbol(symbol)


@given(days)
def test_a_day_is_a_period_of_its_own(day: date) -> None:
    period = Period.day(day)
    assert (period.first_day, period.last_day, period.partition) == (day, day, DAILY)
    assert str(period) == day.isoformat()


@given(days)
@example(date(2024, 2, 29))
@example(date(1900, 2, 28))
@example(date(9999, 12, 31))
def test_a_month_holds_all_its_days(day: date) -> None:
    period = Period.month(day)
    assert period.first_day.day == 1
    assert period.first_day <= day <= period.last_day
    assert period == Period.month(period.last_day)
    assert period.last_day == date.max or (
        Period.month(date.fromordinal(period.last_day.toordinal() + 1)) > period
    )


@given(periods())
def test_a_period_is_found_again_in_its_text(period: Period) -> None:
    assert Period.parse(str(period)) == period


@given(st.text("0123456789-/ \n０", max_size=12))
def test_any_text_is_a_period_exactly_or_refused_by_name(text: str) -> None:
    try:
        period = Period.parse(text)
    except ArchiveKeyError as error:
        assert error.key == text
    else:
        assert str(period) == text


@pytest.mark.parametrize(
    ("first_day", "partition", "padded"),
    [
        (date(2025, 7, 15), MONTHLY, True),
        (date(2025, 7, 15), DAILY, False),
        (date(2025, 7, 1), DAILY, False),
        (date(2025, 10, 1), MONTHLY, False),
    ],
)
def test_a_period_that_no_text_spells_cannot_be_made(
    first_day: date, partition: Partition, padded: bool
) -> None:
    with pytest.raises(ArchiveKeyError, match=str(first_day)):
        Period(first_day, partition, padded=padded)
