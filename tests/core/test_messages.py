"""A refused value comes back quoted, with the allowed ones and the nearest of them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market
from crypto_lakehouse.core.messages import allowed_values, nearest, shown


@pytest.mark.parametrize(
    ("given_word", "allowed", "meant"),
    [
        ("kline", DataType, "klines"),
        ("AGGTRADES", DataType, "aggTrades"),
        ("funding_rate", DataType, "fundingRate"),
        ("um_futures", Market, "futures_um"),
        ("Spot", Market, "spot"),
        ("1H", INTERVALS, "1h"),
        ("15min", INTERVALS, "15m"),
    ],
)
def test_the_nearest_word_is_named(given_word: str, allowed: list[str], meant: str) -> None:
    hint = allowed_values(given_word, allowed)
    assert hint == f"allowed: {', '.join(allowed)}; did you mean `{meant}`?"


@pytest.mark.parametrize(
    ("typed", "options", "near"),
    [
        ("BTCUSTD", ["BTCUSDT", "ETHUSDT"], "BTCUSDT"),
        ("ETHUSD", ["BTCUSDT", "ETHUSDT"], "ETHUSDT"),
        ("btc", ["BTCUSDT", "BTCB"], "BTCB"),
        ("statsu", ["status", "verify"], "status"),
        ("max_retry", ["markets", "max_retries"], "max_retries"),
        ("15 min", ["15m", "5m"], "15m"),
        (["spot"], ["spot"], "spot"),
        ("XB", ["B", "kB", "MB", "GB"], None),
        ("10XB", ["B", "kB"], None),
        ("FOO", ["OF", "FX"], None),
        ("anything", [], None),
    ],
)
def test_a_suggestion_has_most_of_what_was_typed(
    typed: object, options: list[str], near: str | None
) -> None:
    assert nearest(typed, options) == near


def test_nothing_near_means_no_guess() -> None:
    assert allowed_values("xyz", ["daily", "monthly"]) == "allowed: daily, monthly"


@given(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
def test_anything_can_be_refused(word: object) -> None:
    assert allowed_values(word, ["daily", "monthly"]).startswith("allowed: daily, monthly")


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("BTC USDT", "BTC USDT"),
        ("币安人生", "币安人生"),
        (None, "None"),
        (date(2025, 7, 15), "2025-07-15"),
        ([1, {"a": "b"}], "[1, {'a': 'b'}]"),
        ("a\nb\x1b[2J\u202e", r"a\nb\x1b[2J\u202e"),
        ("\ud800", r"\ud800"),
        (10**5000, "a number with thousands of digits"),
        ({"a": 10**5000}, "a number with thousands of digits"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 80 + "…"),
        ("https://me:hunter2@h/a", "https://***@h/a"),
        ({"url": "https://me:hunter2@h/a"}, "{'url': 'https://***@h/a'}"),
        ("https://me:" + "hunter2" * 99 + "@h", "https://***@h"),
        (["https://me:" + "hunter2" * 99 + "@h"], "['https://***@h']"),
    ],
    ids=range(15),
)
def test_a_value_is_quoted_short_plain_and_without_secrets(value: object, quoted: str) -> None:
    assert shown(value) == quoted


@given(st.text() | st.binary() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_a_quoted_value_fits_in_a_line(value: object) -> None:
    quoted = shown(value)
    assert quoted.isprintable()
    assert len(quoted) <= 81 * len(r"\U0001f600")
