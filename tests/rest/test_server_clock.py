"""The server's time is never taken to be later than it is, and soon known closely."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.rest.server_clock import ServerClock

EXCHANGES = st.lists(
    st.tuples(st.floats(0, 90), st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=30
)


@given(EXCHANGES, st.floats(-1e6, 1e6), st.floats(-1e-4, 1e-4))
def test_it_is_a_lower_bound_that_dates_make_closer(
    steps: list[tuple[float, float, float]], ahead_s: float, drift: float
) -> None:
    """Whatever the latencies, the machine's clock, and how its speed differs a little."""
    begin, passed = 1_778_241_600.0, 0.0

    def local() -> float:
        return begin + passed * (1 + drift) + ahead_s

    clock = ServerClock(local)
    assert not clock.is_known
    widest = 0.0
    for wait_s, there_s, back_s in steps:
        passed += wait_s
        sent = local()
        passed += there_s
        date = float(int(begin + passed))
        passed += back_s
        clock.saw(date, 1.0, sent, local())
        server = begin + passed
        assert clock.now() <= server + 1e-3
        widest = 1 + there_s + back_s
        assert server - clock.now() <= widest + 1e-3


def test_one_wrong_date_changes_nothing_and_a_clock_that_was_set_is_followed() -> None:
    here = [100.0]
    clock = ServerClock(lambda: here[0])
    clock.saw(5000.0, 0.001, 100.0, 100.0)
    clock.saw(1000.0, 1.0, 100.0, 100.0)
    assert abs(clock.now() - 5000) < 0.01
    for _ in range(3):
        clock.saw(1000.0, 1.0, 100.0, 100.0)
    assert abs(clock.now() - 1000) < 0.01
