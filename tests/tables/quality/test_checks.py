"""Each check finds its defect, says it, and finds nothing else; batches change nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.quality.defects import (
    AGGREGATES,
    BARS,
    COIN,
    COIN_TRADES,
    DEPTH,
    FUNDING,
    LIQUIDATIONS,
    MARK,
    METRICS,
    METRICS_NEW,
    MONTHS,
    OPTIONS,
    PREMIUM,
    THREE_DAYS,
    TICKER,
    TRADES,
    VOLATILITY,
    WEEKS,
    Edit,
    at_no_price,
    at_the_market,
    double,
    drop,
    edited,
    empty_side,
    ends_as_labels,
    findings,
    freeze,
    inspect,
    month_from_second,
    put_field,
    put_prices,
    repeat,
    shift,
    starts_as_labels,
    swap,
    tiny_volume,
    unfilled,
    without_trades,
)
from tests.tables.sample_data import archive_of, every_schema, put

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.tables.quality.checks import CHECK_NAMES, checked_policies, checks_of
from crypto_lakehouse.tables.quality.findings import Policy, Severity
from crypto_lakehouse.tables.quality.frozen import FROZEN_CHECK
from crypto_lakehouse.tables.quality.inspector import Inspector
from crypto_lakehouse.tables.quality.known_row_holes import KnownRowHoles
from crypto_lakehouse.tables.quality.seams import SEAM_CHECKS
from crypto_lakehouse.tables.reading.batch import Batch
from crypto_lakehouse.tables.reading.reader import read_batches
from crypto_lakehouse.tables.schema.schemas import schema_of

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

CASES: list[tuple[str, Edit, str, int, Severity, str]] = [
    (BARS, swap, "order", 1, WARNING, "2023-07-15 03:00:00"),
    (BARS, repeat, "duplicates", 1, WARNING, "2023-07-15 03:00:00"),
    (BARS, drop(5, 6, 9), "continuity", 3, WARNING, "before 2023-07-15 07:00:00"),
    (BARS, drop(0, 1), "coverage", 2, WARNING, "2 rows are missing at the beginning"),
    (BARS, drop(22, 23), "coverage", 2, WARNING, "2 rows are missing at the end"),
    (BARS, put_field(4, 6, "1689397199998"), "close_time", 1, WARNING, "2023-07-15 04:00:00"),
    (BARS, put_field(4, 2, "0.1"), "price_bounds", 1, ERROR, "2023-07-15 04:00:00"),
    (BARS, put_field(4, 3, "9999999"), "price_bounds", 1, ERROR, "2023-07-15 04:00:00"),
    (BARS, put_field(4, 9, "-1"), "taker_bounds", 1, ERROR, "2023-07-15 04:00:00"),
    (BARS, put_field(4, 10, "9e15"), "taker_bounds", 1, ERROR, "2023-07-15 04:00:00"),
    (BARS, put_field(4, 8, "0"), "empty_bars", 1, WARNING, "2023-07-15 04:00:00"),
    (COIN, put_field(4, 10, "9e15"), "taker_bounds", 1, ERROR, "2023-07-15 04:00:00"),
    (MARK, put_field(4, 5, "1"), "fillers", 1, WARNING, "2023-07-15 04:00:00"),
    (WEEKS, shift(0, 86_400_000, 0), "alignment", 1, WARNING, "2023-07-04 00:00:00"),
    (TRADES, drop(10, 11, 20), "id_continuity", 3, WARNING, "3 ids are missing"),
    (TRADES, put_field(10, 3, "1"), "worth", 1, WARNING, "price times quantity"),
    (TRADES, put_field(10, 4, "1689379200000"), "time_order", 1, WARNING, "earlier"),
    (TRADES, put_field(999, 4, "1689465600000"), "period", 1, ERROR, "2023-07-16 00:00:00"),
    (AGGREGATES, shift(4, 5, 10), "trade_id_continuity", 1, WARNING, "where the one before"),
    (AGGREGATES, put_field(0, 3, "99999999999"), "trade_id_order", 1, ERROR, "before it begins"),
    (FUNDING, drop(10), "continuity", 1, WARNING, "by its interval"),
    (FUNDING, put_field(10, 1, "5"), "interval", 1, WARNING, "unusual interval"),
    (FUNDING, shift(0, 5_000, 3), "lateness", 1, INFO, "more than a second"),
    (METRICS, drop(100), "continuity", 1, WARNING, "1 period of five minutes is missing, before"),
    (METRICS, put_field(5, 2, "-1"), "positive", 1, ERROR, "negative"),
    (METRICS, put_field(5, 0, "2023-07-15 00:31:00"), "alignment", 1, WARNING, "multiple of five"),
    (METRICS, starts_as_labels, "label_shift", 288, WARNING, "by the start of their period"),
    (METRICS_NEW, ends_as_labels, "label_shift", 288, WARNING, "by the end of their period"),
    (DEPTH, freeze, "frozen_bands", 288, ERROR, "+1 %"),
    (DEPTH, drop(3), "bands", 1, WARNING, "neither 10 nor 12"),
    (DEPTH, put_field(5, 2, "9e15"), "cumulative", 1, WARNING, "narrower band"),
    (DEPTH, put_field(5, 3, "-1"), "positive", 1, ERROR, "less than nothing"),
    (TICKER, put_field(7, 1, "9e15"), "spread", 1, WARNING, "bids as much as it asks"),
    (LIQUIDATIONS, double, "doubled_rows", 48, INFO, "each of 48 rows occurs twice"),
    (VOLATILITY, put_field(7, 4, "0"), "positive", 1, ERROR, "not above zero"),
    (OPTIONS, put_field(7, 1, "24"), "hour", 1, ERROR, "no hour of the day"),
    (OPTIONS, put_field(7, 8, "9e15"), "price_bounds", 1, ERROR, "low above its high"),
    (OPTIONS, put_field(7, 11, "-1"), "positive", 1, ERROR, "impossibly small"),
    (BARS, put_prices("0.0"), "positive", 1, ERROR, "2023-07-15 04:00:00"),
    (BARS, put_prices("-5.0"), "positive", 1, ERROR, "not above zero"),
    (BARS, put_prices("5.5E-17"), "positive", 1, ERROR, "not above zero"),
    (BARS, tiny_volume, "positive", 1, ERROR, "impossibly small volume"),
    (BARS, put_field(4, 8, "-1"), "positive", 1, ERROR, "2023-07-15 04:00:00"),
    (MARK, put_prices("0"), "positive", 1, ERROR, "not above zero"),
    (TRADES, put_field(10, 1, "0.0"), "positive", 1, ERROR, "too near to zero"),
    (TRADES, put_field(10, 2, "-1"), "positive", 1, ERROR, "too near to zero"),
    (COIN_TRADES, put_field(10, 3, "-1"), "positive", 1, ERROR, "too near to zero"),
    (COIN_TRADES, put_field(10, 3, "0"), "positive", 1, ERROR, "too near to zero"),
    (AGGREGATES, put_field(10, 2, "0.0"), "positive", 1, ERROR, "not above zero"),
    (AGGREGATES, put_field(10, 2, "5.551115123125783E-17"), "positive", 1, ERROR, "not above"),
    (TICKER, put_field(7, 2, "0"), "positive", 1, ERROR, "not above zero"),
    (TICKER, put_field(7, 4, "-1"), "positive", 1, ERROR, "not above zero"),
    (LIQUIDATIONS, put_field(7, 4, "0"), "positive", 1, ERROR, "not above zero"),
    (BARS, put_field(4, 9, "1e-17"), "positive", 1, ERROR, "2023-07-15 04:00:00"),
    (BARS, put_field(4, 10, "5.55E-17"), "positive", 1, ERROR, "2023-07-15 04:00:00"),
    (COIN, put_field(4, 10, "1e-17"), "positive", 1, ERROR, "2023-07-15 04:00:00"),
    (DEPTH, put_field(0, 2, "1e-17"), "positive", 1, ERROR, "impossibly little"),
    (DEPTH, put_field(0, 3, "1e-17"), "positive", 1, ERROR, "impossibly little"),
    (VOLATILITY, put_field(7, 4, "1e-17"), "positive", 1, ERROR, "not above zero"),
    *(
        (METRICS, put_field(5, place, "1e-17"), "positive", 1, ERROR, "impossibly small")
        for place in range(2, 8)
    ),
    (LIQUIDATIONS, put_field(7, 6, "0"), "positive", 1, ERROR, "filled at none"),
    (LIQUIDATIONS, put_field(7, 5, "0"), "positive", 1, ERROR, "no limit"),
    (OPTIONS, at_no_price(6), "positive", 1, ERROR, "traded at no price"),
    (OPTIONS, at_no_price(6, 7, 8, 9), "positive", 1, ERROR, "traded at no price"),
    (MONTHS, month_from_second, "alignment", 1, WARNING, "2023-02-02 00:00:00"),
    (MONTHS, month_from_second, "close_time", 1, WARNING, "2023-02-02 00:00:00"),
    (MONTHS, shift(6, -86_400_000), "close_time", 1, WARNING, "2023-02-01 00:00:00"),
    (WEEKS, drop(0), "coverage", 1, WARNING, "at the beginning"),
    (WEEKS, drop(-1), "coverage", 1, WARNING, "1 row is missing at the end"),
    (THREE_DAYS, drop(0, 1), "coverage", 2, WARNING, "at the beginning"),
    (THREE_DAYS, drop(8, 9), "coverage", 2, WARNING, "2 rows are missing at the end"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "edit", "check", "rows", "severity", "words"),
    CASES,
    ids=[f"{number}-{case[2]}" for number, case in enumerate(CASES)],
)
def test_a_defect_is_found(
    key: str, edit: Edit, check: str, rows: int, severity: Severity, words: str, tmp_path: Path
) -> None:
    clean = findings(edited(tmp_path / "clean", key, lambda _rows: None))
    assert check not in clean
    found = findings(edited(tmp_path / "edited", key, edit))
    assert (found[check].rows, found[check].severity) == (rows, severity)
    assert words in found[check].sentence
    assert not re.search(r"\{|\[|^1 [a-z]+s |^[2-9]\d* [a-z]+[^s] ", found[check].sentence)
    assert found[check].key == key
    assert not any(each.severity is ERROR for each in found.values() if each.check != check)


@pytest.mark.parametrize(
    ("key", "edit"),
    [
        (BARS, without_trades),
        (BARS, put_field(4, 10, "0")),
        (PREMIUM, put_prices("0")),
        (PREMIUM, put_prices("-0.00012")),
        (TRADES, put_field(10, 3, "0")),
        (TRADES, put_field(10, 2, "0.00000001")),
        (TICKER, empty_side),
        (DEPTH, put_field(5, 3, "0")),
        (FUNDING, put_field(3, 2, "-0.0001")),
        (OPTIONS, put_field(7, 11, "0")),
        (OPTIONS, put_field(7, 6, "")),
        (LIQUIDATIONS, unfilled),
        (LIQUIDATIONS, at_the_market),
        (METRICS, put_field(5, 2, "0")),
        (METRICS, put_field(5, 7, "0")),
        (MONTHS, lambda _rows: None),
    ],
    ids=lambda value: value.split("/")[-2] if isinstance(value, str) else "",
)
def test_what_may_be_zero_or_negative_is_no_error(key: str, edit: Edit, tmp_path: Path) -> None:
    assert "positive" not in findings(edited(tmp_path, key, edit))


def test_every_made_up_archive_has_honest_values(tmp_path: Path) -> None:
    for schema in every_schema():
        source = put(tmp_path, archive_of(schema))
        assert not [each for each in findings(source).values() if each.severity is ERROR]


def test_every_check_has_a_case() -> None:
    of_cases = {case[2] for case in CASES}
    assert set(CHECK_NAMES) - of_cases == {"blanks", *SEAM_CHECKS, FROZEN_CHECK}


def test_blanks_are_null_and_counted(tmp_path: Path) -> None:
    found = findings(edited(tmp_path, METRICS, put_field(9, 7, "")))
    assert found["blanks"].severity is INFO


@settings(max_examples=examples(60), deadline=None)
@given(number=st.integers(0, len(CASES) - 1), size=st.integers(1_500, 60_000))
def test_findings_do_not_depend_on_batches(
    number: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key, edit, check, *_ = CASES[number]
    if check in {"doubled_rows", "bands", "frozen_bands", "order"}:
        return  # these look at a batch; their archives are small
    source = edited(tmp_path_factory.mktemp("size"), key, edit)
    whole, parts = findings(source), findings(source, size)
    assert {name: found.rows for name, found in parts.items() if name != "bands"} == {
        name: found.rows for name, found in whole.items() if name != "bands"
    }


@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_findings_do_not_depend_on_neighbours(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("many")
    of_bars = [case for case in CASES if case[0] == BARS]
    chosen = data.draw(st.lists(st.integers(-1, len(of_bars) - 1), min_size=1, max_size=12))
    sources = []
    for day, number in enumerate(chosen, 1):
        edit = of_bars[number][1] if number >= 0 else lambda _rows: None
        key = BARS.replace("2023-07-15", f"2023-07-{day:02}")
        sources.append(edited(root, key, edit))
    together, _ = inspect(sources)
    for source in sources:
        alone, _ = inspect([source])
        assert together[source.archive.key] == alone[source.archive.key]


def test_a_week_over_new_year_closes_in_microseconds(tmp_path: Path) -> None:
    weeks = WEEKS.replace("2023-07", "2024-12")
    good = findings(edited(tmp_path / "good", weeks, put_field(4, 6, "1736121599999999")))
    assert not good
    bad = findings(edited(tmp_path / "bad", weeks, put_field(4, 6, "1736121599999998")))
    assert bad["close_time"].rows == 1


def test_known_holes_are_told_apart_from_fresh_ones(tmp_path: Path) -> None:
    known = findings(edited(tmp_path, BARS.replace("2023-07-15", "2021-08-13"), drop(5, 6)))
    assert known["continuity"].severity is INFO
    assert known["continuity"].source == "binance-public-data#135"
    assert "known: outage of the venue" in known["continuity"].sentence
    fresh = findings(edited(tmp_path, BARS, drop(5, 6)))
    assert fresh["continuity"].severity is WARNING
    assert fresh["continuity"].source == ""


def test_doubled_liquidations_are_halved(tmp_path: Path) -> None:
    source = edited(tmp_path, LIQUIDATIONS, double)
    (quality,), kept = inspect([source])[0].values(), inspect([source])[1]
    assert (quality.rows, kept) == (96, 48)
    assert quality.findings[0].policy is Policy.DROP
    _, reported = inspect([source], policies={"doubled_rows": Policy.REPORT})
    assert reported == 96


def test_rows_that_stand_twice_by_chance_stay(tmp_path: Path) -> None:
    found, kept = inspect([edited(tmp_path, LIQUIDATIONS, repeat)])
    assert kept == 49
    assert not next(iter(found.values())).findings


def test_duplicates_can_be_dropped(tmp_path: Path) -> None:
    source = edited(tmp_path, BARS, repeat)
    assert inspect([source])[1] == 25
    assert inspect([source], policies={"duplicates": Policy.DROP})[1] == 24
    assert inspect([source], policies={"duplicates": Policy.DROP}, size=2000)[1] == 24


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    source = edited(tmp_path, BARS, swap)
    schema = schema_of(source.archive)
    (batch,) = read_batches([source], schema)
    assert isinstance(batch, Batch)
    checked = Inspector(schema, {}, KnownRowHoles()).check(batch)
    times = checked.frame["open_time"].to_list()
    assert times == sorted(times)


def test_an_archive_without_rows_is_told(tmp_path: Path) -> None:
    found = findings(edited(tmp_path, FUNDING, list.clear))
    assert found["coverage"].sentence == "the archive has no row"


def test_policies_are_read_with_all_their_faults() -> None:
    assert checked_policies({"order": "quarantine"}) == {"order": Policy.QUARANTINE}
    with pytest.raises(ConfigurationError) as refused:
        checked_policies({"ordr": "report", "order": "delete", "period": "drop"})
    text = str(refused.value)
    assert "did you mean `order`?" in text
    assert "no policy `delete`" in text
    assert "`drop` is only for checks of repeated rows: doubled_rows, duplicates" in text


def test_every_type_has_checks_and_knows_its_period() -> None:
    for schema in every_schema():
        names = [check.name for check in checks_of(schema)]
        assert "period" in names
        assert len(names) == len(set(names))
