"""What every test may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from crypto_lakehouse.collection.retry import RetryPolicy

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _no_configuration_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no CRYPTO_LAKEHOUSE_ variable of the machine."""
    import os

    for name in list(os.environ):
        if name.startswith("CRYPTO_LAKEHOUSE_"):
            monkeypatch.delenv(name)


class SleepRecorder:
    """A sleep that takes no time and remembers what was asked of it."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def sleeps() -> SleepRecorder:
    """What back-off asked to wait, in seconds."""
    return SleepRecorder()


@pytest.fixture
def retry(sleeps: SleepRecorder) -> RetryPolicy:
    """Back-off that takes no time; three retries."""
    return RetryPolicy(max_retries=3, sleep=sleeps)


@pytest.fixture
def collection_config(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make a small configuration: one spot symbol, one day of 1h klines."""

    def make(server: Any, **changes: Any) -> dict[str, Any]:
        return {
            "output_directory": str(tmp_path / "out"),
            "source_url": server.url,
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "data_types": ["klines"],
            "intervals": ["1h"],
            "default_date": "2025-07-15",
            **changes,
        }

    yield make
