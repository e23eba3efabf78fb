"""Weights, windows, refusals and bans: against a plain model, and case by case."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import exchange_rules
from crypto_lakehouse.testing.exchange.limits import Admission, Limits
from crypto_lakehouse.testing.exchange.rules import Bucket

IP = "192.0.2.1"
SECOND = 1_000_000
MINUTE = 60 * SECOND

SMALL = evolve(
    exchange_rules(Market.FUTURES_UM),
    weight_per_minute=20,
    refusals_before_ban=2,
    buckets={"funding": Bucket(3, 300), "statistics": Bucket(1000, 300)},
    raw=Bucket(9, 300),
)


class Model:
    """The rules once more, over a list of everything that was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[int, int, str | None]] = []
        self.refused: list[int] = []
        self.refused_until = -1
        self.banned_until = -1
        self.bans = 0

    def admit(self, now: int, weight: int, bucket: str | None) -> tuple[int, int | None]:
        if now < self.banned_until:
            return 418, -(-(self.banned_until - now) // SECOND)
        self.counted.append((now, weight, bucket))
        minute = [w for t, w, _ in self.counted if t // MINUTE == now // MINUTE]
        five = [b for t, _, b in self.counted if t // (5 * MINUTE) == now // (5 * MINUTE)]
        ends = []
        if sum(minute) > 20:
            ends.append((now // MINUTE + 1) * MINUTE)
        if len(five) > 9 or (bucket and five.count(bucket) > 3):
            ends.append((now // (5 * MINUTE) + 1) * 5 * MINUTE)
        if not ends:
            return 200, None
        if now >= self.refused_until:
            self.refused = []
        self.refused_until = max(ends)
        self.refused.append(now)
        if len(self.refused) <= 2:
            return 429, -(-(max(ends) - now) // SECOND)
        self.refused = []
        if now - self.banned_until > 3 * 86_400 * SECOND:
            self.bans = 0
        length = min(120 * 2**self.bans, 3 * 86_400)
        self.bans += 1
        self.banned_until = now + length * SECOND
        return 418, length


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, SECOND, 20 * SECOND, MINUTE, 10 * MINUTE, 4 * 86_400 * SECOND]),
        st.sampled_from([0, 1, 5, 21]),
        st.sampled_from([None, "funding"]),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(STEPS)
def test_every_decision_is_that_of_the_model(steps: list[tuple[int, int, str | None]]) -> None:
    limits, model, now = Limits(SMALL), Model(), 1778241600000000
    for wait, weight, bucket in steps:
        now += wait
        admission = limits.admit(now, IP, weight, bucket)
        assert (admission.status, admission.retry_after_s) == model.admit(now, weight, bucket)


def test_the_window_is_the_clock_minute() -> None:
    limits = Limits(exchange_rules(Market.SPOT))
    assert limits.admit(59 * SECOND, IP, 6000) == Admission(200, 6000)
    assert limits.admit(59 * SECOND + 1, IP, 2) == Admission(429, 6002, 1)
    assert limits.admit(MINUTE, IP, 2) == Admission(200, 2)


def test_ips_have_budgets_of_their_own_and_programs_share_one() -> None:
    limits = Limits(exchange_rules(Market.SPOT), other_weight=1000)
    limits.spend(0, IP, 4990)
    assert limits.admit(1, IP, 10) == Admission(200, 6000)
    assert limits.admit(1, "192.0.2.2", 10) == Admission(200, 1010)
    assert limits.admit(2, IP, 10).status == 429
    assert limits.used(MINUTE, IP) == 1000


def test_bans_grow_from_two_minutes_to_three_days_and_are_forgiven() -> None:
    rules = exchange_rules(Market.FUTURES_CM)
    limits, now, lengths = Limits(rules), 0, []
    for _ in range(14):
        while (admission := limits.admit(now, IP, 2401)).status != 418:
            now += SECOND
        assert admission.until_us is not None
        assert limits.banned_until(now, IP) == admission.until_us
        lengths.append((admission.until_us - now) // SECOND)
        now = admission.until_us
        assert limits.banned_until(now, IP) is None
    assert lengths[:4] == [120, 240, 480, 960]
    assert lengths[-3:] == [245_760, 259_200, 259_200]
    now += 3 * 86_400 * SECOND + 1
    while (admission := limits.admit(now, IP, 2401)).status != 418:
        now += SECOND
    assert admission.retry_after_s == 120


def test_a_ban_is_not_counted_and_not_lengthened() -> None:
    limits = Limits(SMALL)
    statuses = [limits.admit(0, IP, 21).status for _ in range(3)]
    assert statuses == [429, 429, 418]
    assert limits.admit(119 * SECOND + 1, IP, 1).retry_after_s == 1
    assert limits.admit(120 * SECOND, IP, 1) == Admission(200, 1)
