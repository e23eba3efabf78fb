"""The exchange's clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crypto_lakehouse.testing import ExchangeClock

START = datetime(2026, 5, 8, 12, tzinfo=UTC)


def test_it_stands_still_until_it_is_advanced() -> None:
    machine = iter([0.0, 5.0, 9.0, 20.0])
    clock = ExchangeClock(START, monotonic=lambda: next(machine))
    assert clock.now == START
    clock.advance(90.5)
    assert clock.now_ms == 1778241600000 + 90_500
    assert clock.now_us == 1778241600000000 + 90_500_000


def test_it_runs_at_its_speed() -> None:
    machine = [100.0]
    clock = ExchangeClock(START, speed=60, monotonic=lambda: machine[0])
    machine[0] += 2.5
    assert clock.now_us == 1778241600000000 + 150_000_000
    clock.advance(1)
    machine[0] += 0.5
    assert clock.now_us == 1778241600000000 + 181_000_000


def test_it_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="no time zone; give tzinfo=UTC"):
        ExchangeClock(START.replace(tzinfo=None))
    with pytest.raises(ValueError, match="speed is -1"):
        ExchangeClock(START, speed=-1)
    with pytest.raises(ValueError, match=r"cannot go back by 0\.5 s"):
        ExchangeClock(START).advance(-0.5)
