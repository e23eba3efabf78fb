"""Chains of ids against a plain model: nothing that is missing is overlooked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.live.chain import Chain, Gap


def gaps(chain: Chain, now: float, patience_s: float = 0.0) -> list[Gap]:
    found = []
    while gap := chain.break_at(now, patience_s):
        found.append(gap)
    return found


def test_a_late_id_is_no_gap_and_a_missing_one_is() -> None:
    chain = Chain()
    for number in (5, 6, 8, 7, 8, 11, 10):
        chain.take(number - 1, number, 0.0)
    assert (chain.first, chain.last, chain.duplicates) == (4, 8, 1)
    assert chain.break_at(2.9, 3.0) is None
    assert gaps(chain, 3.0, 3.0) == [Gap(8, 9)]
    assert chain.last == 11
    assert not chain.take(8, 9, 4.0)  # it is in a gap already


def test_each_gap_is_waited_for() -> None:
    chain = Chain()
    for number, now in ((1, 0.0), (3, 1.0), (5, 2.0)):
        chain.take(number - 1, number, now)
    assert gaps(chain, 4.0, 3.0) == [Gap(1, 2)]
    assert gaps(chain, 7.0, 3.0) == [Gap(3, 4)]


def test_a_flood_behind_a_gap_does_not_wait() -> None:
    chain = Chain()
    for number in (1, *range(3, 10_003)):
        chain.take(number - 1, number, 0.0)
    assert gaps(chain, 0.0, 3.0) == [Gap(1, 2)]
    assert chain.last == 10_002


@given(
    width=st.integers(1, 3),
    events=st.lists(st.tuples(st.integers(0, 30), st.integers(-4, 4)), max_size=60),
)
def test_what_came_and_what_is_missing_are_all(width: int, events: list[tuple[int, int]]) -> None:
    """Events with `width` ids each come in about their order, some never, some twice."""
    chain = Chain()
    came: set[int] = set()
    found: list[Gap] = []
    for now, (place, shift) in enumerate(sorted(events, key=lambda each: each[0] + each[1])):
        before = 100 + place * width
        chain.take(before, before + width, now)
        came.update(range(before + 1, before + width + 1))
        if shift == 4:
            found += gaps(chain, now)
    found += gaps(chain, 1000.0)
    missing = {number for gap in found for number in range(gap.first, gap.until + 1)}
    if chain.first is not None:
        assert set(range(chain.first + 1, chain.last + 1)) <= came | missing
    assert chain.break_at(1e9, 0.0) is None
