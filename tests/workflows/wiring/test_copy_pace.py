"""How often a ledger is copied: all copies together cost a twentieth of a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.workflows.wiring.copy_pace import CopyPace

STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 500.0),  # seconds that pass
        st.integers(0, 10**9),  # bytes that are received
        st.floats(0.001, 30.0),  # what the next copy takes
        st.integers(1, 10**8),  # what it sends
    ),
    max_size=60,
)


@given(size_bytes=st.integers(0, 10**9), steps=STEPS)
def test_copies_cost_a_twentieth_at_most(
    size_bytes: int, steps: list[tuple[float, int, float, int]]
) -> None:
    pace = CopyPace(size_bytes)
    elapsed_s, moved, spent_s, spent_bytes, last_s, last_bytes = 0.0, 0, 0.0, 0, 0.0, 0
    for passed_s, received, cost_s, cost_bytes in steps:
        elapsed_s, moved = elapsed_s + passed_s, moved + received
        if not pace.is_due(elapsed_s, moved):
            continue
        # One more copy like the last one keeps to the share.
        assert (spent_s + last_s) <= elapsed_s / 20
        assert (spent_bytes + last_bytes) <= moved / 20
        elapsed_s += cost_s
        spent_s, spent_bytes = spent_s + cost_s, spent_bytes + cost_bytes
        last_s, last_bytes = cost_s, cost_bytes
        pace.add(elapsed_s, cost_s, cost_bytes)
        assert not pace.is_due(elapsed_s, moved)


def test_a_long_run_is_copied_again_and_again() -> None:
    pace, copies = CopyPace(1_000_000), 0
    for second in range(3_600):
        if pace.is_due(second, second * 5_000_000):
            pace.add(second, 0.5, 400_000)
            copies += 1
    assert 100 <= copies <= 120  # every 30 seconds


def test_an_expensive_copy_is_made_less_often() -> None:
    pace, copies = CopyPace(1_000_000), 0
    for second in range(3_600):
        if pace.is_due(second, second * 5_000_000):
            pace.add(second, 20.0, 400_000)
            copies += 1
    assert copies == 8  # 160 seconds of 3,600


def test_a_run_that_receives_nothing_copies_nothing() -> None:
    assert not CopyPace(100_000).is_due(10_000.0, 0)
