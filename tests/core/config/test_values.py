"""Each kind of value is taken exactly or refused with what is allowed; nothing is guessed."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import days, faults, read, symbols

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.config.values import Choice, DateRange, is_glob, structure_value

LISTS = ["markets", "symbols", "data_types", "intervals", "partitions", "redirect_hosts"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # Numbers are numbers: no text, no truth values, no rounding.
        ("max_retries", "5", "must be a whole number, not text (`5`)"),
        ("max_retries", True, "must be a whole number, not true or false (`True`)"),
        ("max_retries", 5.0, "must be a whole number, not float (`5.0`)"),
        ("max_retries", -1, "must be at least 0, not -1"),
        ("max_retries", 21, "must be at most 20, not 21"),
        ("max_bytes_per_second", 0, "must be at least 1, not 0"),
        ("max_bytes_per_second", [1], "must be a whole number, not a list (`[1]`)"),
        ("timeout_seconds", "300", "must be a number, not text (`300`)"),
        ("timeout_seconds", False, "must be a number, not true or false (`False`)"),
        ("timeout_seconds", 0, "must be more than 0, not 0.0"),
        ("timeout_seconds", -0.5, "must be more than 0, not -0.5"),
        ("timeout_seconds", float("nan"), "must be a finite number"),
        ("timeout_seconds", float("inf"), "must be a finite number"),
        ("timeout_seconds", float("-inf"), "must be a finite number"),
        ("timeout_seconds", 10**400, "must be a finite number"),
        ("max_parallel_downloads", 0, "must be 1 to 256, or `auto`, not 0"),
        ("max_parallel_downloads", 257, "must be 1 to 256, or `auto`, not 257"),
        ("max_parallel_downloads", True, "must be a whole number, not true or false (`True`)"),
        ("max_parallel_downloads", "many", "must be a whole number, not text (`many`)"),
        # Truth values are no text and no numbers.
        ("download_checksum", "true", "must be true or false, not text (`true`)"),
        ("download_checksum", 1, "must be true or false, not int (`1`)"),
        ("force_redownload", {}, "must be true or false, not a mapping (`{}`)"),
        # Text is text, and holds something.
        ("output_directory", "", "must not be empty"),
        ("output_directory", " \u3000", "must not be empty"),
        ("output_directory", 7, "must be text, not int (`7`)"),
        ("output_directory", "a\0b", "must not contain control characters"),
        ("output_directory", "a\nb", "must not contain control characters"),
        ("matrix_path", b"m.json", "must be text, not bytes (`b'm.json'`)"),
        ("source_url", ["https://h"], "must be text, not a list (`['https://h']`)"),
        # Days are days of the calendar, without a time.
        ("default_date", "2025-02-29", "`2025-02-29` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", "20250715", "`20250715` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", "2025-W29-2", "`2025-W29-2` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", "2025-7-15", "`2025-7-15` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", "0d", "`0d` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", True, "`True` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", 999, "`999` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        # Quantities have known units.
        ("max_bytes_per_second", "10Mb",
         "`10Mb` has an unknown unit; allowed: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; "
         "did you mean `MB`?"),
        ("max_bytes_per_second", "0.5B", "`0.5B` must be a whole number of bytes"),
        ("max_bytes_per_second", "0MB", "must be at least 1, not 0"),
        ("timeout_seconds", "5 parsecs",
         "`5 parsecs` has an unknown unit; allowed: ms, s, min, m, h, d"),
        ("timeout_seconds", "0s", "must be more than 0, not 0.0"),
        ("replaced_retention_days", "1.5d", "`1.5d` must be a whole number of days"),
        ("default_date", 20250715, "`20250715` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", "２０２５-07-15",
         "`２０２５-07-15` is not a day; write "
         "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"),
        ("default_date", datetime(2025, 7, 15, tzinfo=UTC),
         "must be a day, YYYY-MM-DD, without a time"),
        ("date_range", "2025-07", "must be a mapping with start and end, not text (`2025-07`)"),
        ("date_range", [], "must be a mapping with start and end, not a list (`[]`)"),
        # Lists hold something.
        ("markets", [], "must not be empty; leave the key out for the default"),
        ("symbols", [], "must not be empty; leave the key out for the default"),
        ("symbols", {}, "must not be empty; leave the key out for the default"),
        ("symbols", 7, "must be a list, not int (`7`)"),
        ("markets", {"spot": 1}, "must be a list, not a mapping (`{'spot': 1}`)"),
        # Words are allowed ones.
        ("workflow_type", "archive-collection",
         "unknown value `archive-collection`; allowed: archive_collection; "
         "did you mean `archive_collection`?"),
        ("integrity", "sidecars",
         "unknown value `sidecars`; allowed: sidecar, listing, both; did you mean `sidecar`?"),
        ("environment", None, "must not be null"),
        ("environment", True, "must be text, not true or false (`True`)"),
        ("discovery", "s3", "unknown value `s3`; allowed: listing, calendar"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(key: str, value: Any, message: str) -> None:
    assert faults({key: value}) == {f"$.{key}": message}


@pytest.mark.parametrize(
    ("key", "value", "path", "message"),
    [
        ("markets", ["spot", "um_futures"], "$.markets[1]",
         "unknown market `um_futures`; allowed: spot, futures_um, futures_cm, options; "
         "did you mean `futures_um`?"),
        ("markets", [["spot"]], "$.markets[0]",
         "unknown market `['spot']`; allowed: spot, futures_um, futures_cm, options; "
         "did you mean `spot`?"),
        ("data_types", "Kline", "$.data_types[0]", "did you mean `klines`?"),
        ("data_types", ["funding_rate"], "$.data_types[0]", "did you mean `fundingRate`?"),
        ("data_types", ["depth_updates"], "$.data_types[0]", "unknown data type `depth_updates`; "),
        ("data_types", [None], "$.data_types[0]", "unknown data type `None`; allowed: klines, "),
        ("partitions", ["auto", "daily"], "$.partitions[0]",
         "unknown partition `auto`; allowed: daily, monthly"),
        ("partitions", "weekly", "$.partitions[0]",
         "unknown partition `weekly`; allowed: daily, monthly"),
        ("intervals", ["1H"], "$.intervals[0]", "did you mean `1h`?"),
        ("intervals", ["60m"], "$.intervals[0]", "did you mean `1h`?"),
        ("intervals", ["3600s"], "$.intervals[0]", "did you mean `1h`?"),
        ("intervals", ["24H"], "$.intervals[0]", "did you mean `1d`?"),
        ("intervals", ["7d"], "$.intervals[0]", "did you mean `1w`?"),
        ("intervals", [1], "$.intervals[0]", "unknown interval `1`; allowed: 1s, 1m, "),
        ("intervals", {"klines": ["1h", "2M"]}, "$.intervals['klines'][1]",
         "unknown interval `2M`; allowed: "),
        ("intervals", {"kline": ["1h"]}, "$.intervals['kline']", "did you mean `klines`?"),
        ("intervals", {"klines": []}, "$.intervals['klines']", "must not be empty"),
        ("symbols", ["BTC/USDT"], "$.symbols[0]",
         "`BTC/USDT`: a symbol consists of letters, digits and underscores"),
        ("symbols", ["BTCUSDT", "ETH-USDT"], "$.symbols[1]", "letters, digits and underscores"),
        ("symbols", ["../*"], "$.symbols[0]", "letters, digits and underscores"),
        ("symbols", ["B" * 129], "$.symbols[0]", "a symbol is at most 128 bytes long"),
        ("symbols", [""], "$.symbols[0]", "must not be empty"),
        ("symbols", ["BTC\nUSDT"], "$.symbols[0]", "must not contain control characters"),
        ("symbols", [1000], "$.symbols[0]", "must be text, not int (`1000`)"),
        ("symbols", {"spto": ["BTCUSDT"]}, "$.symbols['spto']", "did you mean `spot`?"),
        ("symbols", {"spot": None}, "$.symbols['spot']", "must be a list, not NoneType (`None`)"),
        ("symbols", {"spot": {"a": 1}}, "$.symbols['spot']", "must be a list, not a mapping"),
        ("symbols", {" @ ": ["BTCUSDT"]}, "$.symbols[' @ ']", "unknown market ` @ `; allowed: "),
        ("symbols", {7: ["BTCUSDT"]}, "$.symbols", "keys must be text, not int (`7`)"),
        ("redirect_hosts", ["h", 7], "$.redirect_hosts[1]", "must be text, not int (`7`)"),
        ("date_range", {"end": "2025-07-01"}, "$.date_range.start", "required, and missing"),
        ("date_range", {"start": None, "end": "2025-07-01"}, "$.date_range.start",
         "`None` is not a day; write YYYY-MM-DD, YYYY-MM, "),
        ("date_range", {"start": "2025-07-01", "end": "2025-13"}, "$.date_range.end",
         "`2025-13` is not a day; write YYYY-MM-DD, YYYY-MM, "),
        ("date_range", {"start": "2025-07-01", "end": "2025-07-02", "to": 1, "stop": 2},
         "$.date_range", "unknown key `stop`, `to`; allowed: start, end"),
        ("date_range", {"start": "2025-07-01", "end": "2025-07-02", 7: 1},
         "$.date_range", "unknown key `7`; allowed: start, end"),
    ],
)  # fmt: skip
def test_a_fault_inside_a_value_is_named_by_its_place(
    key: str, value: Any, path: str, message: str
) -> None:
    found = faults({key: value})
    assert list(found) == [path]
    assert message in found[path]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("markets", "spot", (Market.SPOT,)),
        ("markets", Market.SPOT, (Market.SPOT,)),
        ("markets", ["options", "spot", "options"], (Market.OPTIONS, Market.SPOT)),
        ("markets", {"spot", "options"}, (Market.OPTIONS, Market.SPOT)),
        ("markets", frozenset({Market.SPOT}), (Market.SPOT,)),
        ("data_types", ("trades", DataType.KLINES), (DataType.TRADES, DataType.KLINES)),
        ("partitions", "monthly", (Partition.MONTHLY,)),
        ("partitions", ["auto"], "auto"),
        ("partitions", ("auto",), "auto"),
        ("partitions", ["monthly", "daily"], (Partition.MONTHLY, Partition.DAILY)),
        ("intervals", "1M", ("1mo",)),
        ("intervals", ["1mo", "1M", "1m"], ("1mo", "1m")),
        ("intervals", OrderedDict(klines="1M"), {DataType.KLINES: ("1mo",)}),
        ("symbols", "BTCUSDT", ("BTCUSDT",)),
        ("symbols", ["BTCUSDT", "BTCUSDT"], ("BTCUSDT",)),
        ("symbols", ["*", "?SDT", "[BE]T*", "BTC[!A-D]*", "*_PERP"],
         ("*", "?SDT", "[BE]T*", "BTC[!A-D]*", "*_PERP")),
        ("symbols", ["\u212bUSDT"], ("ÅUSDT",)),
        ("symbols", ["A\u030aUSDT"], ("ÅUSDT",)),
        ("symbols", {"spot": "BTCUSDT", Market.OPTIONS: ["BTC*"]},
         {Market.SPOT: ("BTCUSDT",), Market.OPTIONS: ("BTC*",)}),
        ("default_date", date(2025, 7, 14), date(2025, 7, 14)),
        ("max_parallel_downloads", "auto", "auto"),
        ("max_parallel_downloads", 1, 1),
        ("redirect_hosts", [], ()),
        ("timeout_seconds", 5e-324, 5e-324),
        ("output_directory", "data:2025", "data:2025"),
        ("output_directory", "C:\\archive", "C:\\archive"),
    ],
)  # fmt: skip
def test_every_way_to_write_a_value_is_understood(key: str, value: Any, expected: Any) -> None:
    assert getattr(read({key: value}), key) == expected


@pytest.mark.parametrize("key", LISTS)
def test_every_list_takes_a_single_word(key: str) -> None:
    word = {"markets": "spot", "data_types": "klines", "intervals": "1h", "partitions": "daily"}
    assert getattr(read({key: word.get(key, "word")}), key) == (word.get(key, "word"),)


@given(st.lists(symbols, min_size=1, max_size=5))
def test_symbols_keep_their_order_and_lose_repeats(wanted: list[str]) -> None:
    assert read(symbols=wanted).symbols == tuple(dict.fromkeys(wanted))


@given(days)
def test_a_day_is_read_from_its_text_and_from_a_date(day: date) -> None:
    assert read(default_date=day.isoformat()).default_date == day
    assert read(default_date=day).default_date == day


@given(st.sets(st.sampled_from(INTERVALS), min_size=1))
def test_every_interval_of_the_archive_is_understood(wanted: set[str]) -> None:
    intervals = read(intervals=wanted).intervals
    assert isinstance(intervals, tuple)
    assert set(intervals) == wanted


@pytest.mark.parametrize(
    ("symbol", "glob"),
    [("BTCUSDT", False), ("BTC_240628", False), ("*", True), ("BTC?", True), ("[AB]", True)],
)
def test_a_glob_is_known_by_its_wildcards(symbol: str, glob: bool) -> None:
    assert is_glob(symbol) is glob


def test_a_choice_shows_its_words() -> None:
    assert Choice("a", "b") == ("a", "b")
    value, problems = structure_value("a", {"kind": Choice("a", "b")}, "$.x")
    assert (value, problems) == ("a", [])


def test_a_long_value_is_quoted_in_part() -> None:
    (message,) = faults(environment="x" * 10_000).values()
    assert len(message) < 200
    assert "`xxx" in message


def test_a_quoted_value_stays_on_its_line() -> None:
    found = faults(environment="a\nb\x1b[2J")
    assert r"`a\nb\x1b[2J`" in found["$.environment"]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("max_bytes_per_second", "10MB", 10_000_000),
        ("max_bytes_per_second", "10 mb", 10_000_000),
        ("max_bytes_per_second", "1GiB", 2**30),
        ("max_bytes_per_second", "1.5kb", 1500),
        ("timeout_seconds", "30s", 30.0),
        ("timeout_seconds", "5m", 300.0),
        ("timeout_seconds", "1.5h", 5400.0),
        ("timeout_seconds", "250ms", 0.25),
        ("replaced_retention_days", "2w", 14),
        ("replaced_retention_days", "30d", 30),
    ],
)
def test_sizes_and_durations_are_read_alike_from_files_variables_and_options(
    key: str, text: str, value: float
) -> None:
    variable = f"CRYPTO_LAKEHOUSE_{key.upper()}"
    sources: list[dict[str, Any]] = [
        {"values": {key: text}}, {"environ": {variable: text}}, {"overrides": {key: text}}
    ]  # fmt: skip
    assert [getattr(read(**source), key) for source in sources] == [value] * 3


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2024-01", "2024-02", date(2024, 1, 1), date(2024, 2, 29)),
        ("2023", "2024", date(2023, 1, 1), date(2024, 12, 31)),
        (2023, 2024, date(2023, 1, 1), date(2024, 12, 31)),
        (" 2023-12-31 ", date(2024, 1, 2), date(2023, 12, 31), date(2024, 1, 2)),
        ("2023", None, date(2023, 1, 1), None),
    ],
)
def test_edges_of_a_range_are_days_months_or_years(
    start: Any, end: Any, first: date, last: date | None
) -> None:
    found = read(date_range={"start": start, "end": end}).date_range
    assert found == DateRange(first, last)


def test_a_range_without_an_end_is_open_and_found_again_in_its_mapping() -> None:
    config = read(date_range={"start": "2024"})
    assert config.to_mapping()["date_range"] == {"start": "2024-01-01"}
    assert read(config.to_mapping()) == config


@pytest.mark.parametrize("period", ["2024-02", 2024])
def test_a_period_as_the_default_date_is_the_range(period: Any) -> None:
    config = read({"default_date": period})
    end = date(2024, 2, 29) if period == "2024-02" else date(2024, 12, 31)
    assert (config.default_date, config.date_range) == (
        None,
        DateRange(date(2024, 2 if period == "2024-02" else 1, 1), end),
    )
    assert config.origins["date_range"] == "mapping"
    given = read({"default_date": period, "date_range": {"start": "2023-05-01"}})
    assert given.date_range == DateRange(date(2023, 5, 1))


def test_words_are_days_of_the_utc_day_on_which_they_are_read() -> None:
    before = datetime.now(UTC).date()
    found = read(date_range={"start": "7d", "end": "yesterday"}).date_range
    after = datetime.now(UTC).date()
    assert found in [
        DateRange(today - timedelta(days=7), today - timedelta(days=1)) for today in (before, after)
    ]
