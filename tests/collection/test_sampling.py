"""Samples are even, exact where a number is asked for, and the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.collection.sampling import Sample, choose

KEYS = [f"data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-{number:05}.zip" for number in range(5000)]


def taken(sample: Sample, keys: list[str]) -> list[str]:
    chosen = choose(sample, iter(keys))
    return [key for key in keys if chosen.holds(key)]


@given(st.sets(st.text(min_size=1), max_size=50), st.integers(1, 60), st.text())
def test_a_number_is_exact_where_there_are_as_many(keys: set[str], count: int, seed: str) -> None:
    ordered = sorted(keys)
    found = taken(Sample(seed, count=count), ordered)
    assert len(found) == min(count, len(ordered))
    assert taken(Sample(seed, count=count), ordered[::-1]) == found[::-1]


@given(st.text(), st.sampled_from([0.01, 0.05, 0.5, 0.99]))
def test_a_share_is_about_that_share_for_any_seed(seed: str, share: float) -> None:
    found = len(taken(Sample(seed, share=share), KEYS)) / len(KEYS)
    spread = (share * (1 - share) / len(KEYS)) ** 0.5
    assert abs(found - share) < 8 * spread


def test_all_is_all() -> None:
    assert taken(Sample("s", share=1.0), KEYS) == KEYS


def test_seeds_take_different_parts() -> None:
    assert taken(Sample("a", count=10), KEYS) != taken(Sample("b", count=10), KEYS)


def test_a_larger_share_holds_the_smaller_one() -> None:
    small = set(taken(Sample("s", share=0.1), KEYS))
    assert small < set(taken(Sample("s", share=0.2), KEYS))


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        ("5%", Sample("s", share=0.05)),
        ("0.5%", Sample("s", share=0.005)),
        ("100%", Sample("s", share=1.0)),
        ("1000", Sample("s", count=1000)),
    ],
)
def test_a_sample_is_read(text: str, sample: Sample) -> None:
    assert Sample.parse(text, "s") == sample


@pytest.mark.parametrize("text", ["", "%", "0", "0%", "-1", "-5%", "101%", "five", "nan%", "1e9%"])
def test_what_is_no_sample_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no sample; give a share as 5%"):
        Sample.parse(text, "s")
