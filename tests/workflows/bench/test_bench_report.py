"""What follows from a sweep: percentiles, when to stop, and what to recommend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.workflows.bench.bench_report import (
    BenchReport,
    SettingResult,
    Stop,
    percentiles_ms,
)


def result(
    setting: int, rate: float, errors: Mapping[str, int] | None = None, **more: Any
) -> SettingResult:
    basic: dict[str, Any] = {"seconds": 1, "archives": 1, "requests": 100}
    given = {**basic, **more, "errors": Counter(errors or {})}
    return SettingResult(setting=setting, goodput_bytes=int(rate), **given)


def recommend(found: Sequence[SettingResult]) -> int | None:
    return BenchReport(results=tuple(found)).recommendation


def why_stop(found: Sequence[SettingResult], *, is_exhaustive: bool = False) -> Stop | None:
    return BenchReport(results=tuple(found)).why_stop(is_exhaustive=is_exhaustive)


def results(*rates: float) -> list[SettingResult]:
    return [result(2**place, rate) for place, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ((100, 200, 400, 420, 430), 8),
        ((100, 200, 400, 410, 415), 4),
        ((100, 100), 1),
        ((100,), None),
        ((), None),
        ((0, 0), None),
        ((100, 50, 25), 1),
    ],
)
def test_the_smallest_that_is_as_good_as_the_best(rates: tuple[float, ...], best: int) -> None:
    assert recommend(results(*rates)) == best


def test_settings_with_errors_or_too_little_do_not_count() -> None:
    good = results(100, 200)
    assert recommend([*good, result(4, 400, errors={"503": 1})]) == 2
    assert recommend([*good, result(4, 400, is_measured=False)]) == 2
    assert recommend([*good, result(4, 400, requests=101, errors={"timeout": 1})]) == 4


_RESULTS = st.lists(
    st.builds(
        result,
        setting=st.integers(1, 256),
        rate=st.integers(0, 10**9),
        errors=st.dictionaries(st.sampled_from(["503", "timeout"]), st.integers(0, 3)),
        is_measured=st.booleans(),
        seconds=st.floats(0, 100),
    ),
    max_size=10,
)


@given(_RESULTS)
def test_a_recommendation_is_sound(found: list[SettingResult]) -> None:
    best = recommend(found)
    usable = [one for one in found if one.is_measured and one.error_share() < 0.01]
    if best is None:
        fast = [one for one in usable if one.bytes_per_second]
        assert not fast or sum(one.is_measured for one in found) < 2
        return
    chosen = max(one.bytes_per_second for one in usable if one.setting == best)
    fastest = max(one.bytes_per_second for one in usable)
    assert chosen >= 0.95 * fastest
    smaller = [one for one in usable if one.setting < best]
    assert all(one.bytes_per_second < 0.95 * fastest for one in smaller)


@given(_RESULTS, st.randoms())
def test_a_recommendation_does_not_depend_on_the_order(
    found: list[SettingResult], random: Any
) -> None:
    shuffled = found.copy()
    random.shuffle(shuffled)
    assert recommend(shuffled) == recommend(found)


@given(_RESULTS.filter(bool), st.integers(2, 9))
def test_a_recommendation_does_not_depend_on_the_unit(
    found: list[SettingResult], factor: int
) -> None:
    from attrs import evolve

    scaled = [evolve(one, goodput_bytes=one.goodput_bytes * 2**factor) for one in found]
    assert recommend(scaled) == recommend(found)


@pytest.mark.parametrize(
    ("rates", "stop"),
    [
        ((100,), None),
        ((100, 100), None),
        ((100, 100, 104), "plateau"),
        ((100, 100, 105), None),
        ((100, 105, 100), None),
        ((100, 200, 208, 205), "plateau"),
        ((100, 0), "nothing_came"),
    ],
)
def test_a_sweep_ends_where_more_at_once_brings_nothing(
    rates: tuple[float, ...], stop: Stop | None
) -> None:
    assert why_stop(results(*rates)) == stop
    flat = stop == "plateau"
    assert why_stop(results(*rates), is_exhaustive=True) == (None if flat else stop)


@pytest.mark.parametrize(("refused", "stop"), [(5, None), (6, "refused")])
def test_a_sweep_ends_where_more_than_5_percent_are_refused(
    refused: int, stop: Stop | None
) -> None:
    errors = {"429": refused - 1, "503": 1, "500": 0}
    assert why_stop([result(1, 100, errors=errors)], is_exhaustive=True) == stop


def test_a_result_of_no_time_has_no_rate() -> None:
    nothing = result(1, 100, seconds=0, requests=0)
    assert (nothing.bytes_per_second, nothing.error_share()) == (0, 0)
    assert nothing.to_mapping()["archives_per_second"] == 0


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_percentiles_are_durations_that_occurred(durations: list[float]) -> None:
    found = percentiles_ms(durations)
    assert found is not None
    occurred = [round(1000 * duration, 1) for duration in durations]
    assert set(found.values()) <= set(occurred)
    assert found["p50"] <= found["p95"]
    assert sum(one <= found["p95"] for one in occurred) >= 0.95 * len(durations)


def test_there_are_no_percentiles_of_nothing() -> None:
    assert percentiles_ms([]) is None
