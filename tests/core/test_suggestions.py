"""A refused word comes back with the allowed ones, and the nearest of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market
from crypto_lakehouse.core.suggestions import allowed_values


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


def test_nothing_near_means_no_guess() -> None:
    assert allowed_values("xyz", ["daily", "monthly"]) == "allowed: daily, monthly"


@given(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
def test_anything_can_be_refused(word: object) -> None:
    assert allowed_values(word, ["daily", "monthly"]).startswith("allowed: daily, monthly")
