"""What worker processes may ask of the source together is what the configuration allows."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.executors.processes.support import DAYS
from tests.workflows.conftest import Collection

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.workflows.wiring.caps import Caps
from crypto_lakehouse.workflows.wiring.transport_stack import share_of
from crypto_lakehouse.workflows.wiring.worker_jobs import process_count


@given(
    st.integers(1, 256) | st.just("auto"),
    st.integers(1, 64),
    st.none() | st.integers(1, 10**9),
    st.none() | st.floats(0.01, 1e6),
)
def test_shares_are_what_the_configuration_allows(
    parallel: int | str, wanted: int, byte_rate: int | None, request_rate: float | None
) -> None:
    values = {
        "output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15",
        "max_parallel_downloads": parallel, "processes": wanted,
        "max_bytes_per_second": byte_rate, "max_requests_per_second": request_rate,
    }  # fmt: skip
    config = WorkflowConfig(
        {name: value for name, value in values.items() if value is not None}, environ={}
    )
    processes = process_count(config)
    shares = [share_of(config, processes, number) for number in range(processes)]
    most = 256 if parallel == "auto" else int(parallel)
    assert sum(share.parallel for share in shares) == most
    assert all(share.parallel >= 1 for share in shares)
    assert all(share.is_adaptive == (parallel == "auto") for share in shares)
    if byte_rate:
        assert sum(share.bytes_per_second or 0 for share in shares) == pytest.approx(byte_rate)
    if request_rate:
        assert sum(share.requests_per_second or 0 for share in shares) == pytest.approx(
            request_rate
        )


@pytest.mark.parametrize("parallel", [2, 5])
async def test_a_shared_run_asks_no_more_at_once_than_it_may(
    collection: Collection, parallel: int
) -> None:
    report = await collection.run(**DAYS, processes=2, max_parallel_downloads=parallel)
    assert report.totals["verified"] == 20
    assert collection.server.peak_concurrency <= parallel


def test_auto_is_a_process_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15",
        "processes": "auto",
    }  # fmt: skip
    config = WorkflowConfig(values, environ={})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2}, raising=False)
    assert process_count(config) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert process_count(config) == 5


@pytest.mark.parametrize("parallel", [8, "auto"])
def test_limits_become_those_of_another_share(parallel: int | str) -> None:
    values = {
        "output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15",
        "max_parallel_downloads": parallel, "max_bytes_per_second": 1000,
        "max_requests_per_second": 10.0,
    }  # fmt: skip
    config, meter = WorkflowConfig(values, environ={}), ByteMeter()
    caps = Caps.of(share_of(config), meter)
    share = share_of(config, 4, 1)
    caps.change(share)
    assert caps.byte_rate is not None
    assert caps.request_rate is not None
    assert caps.byte_rate.bytes_per_second == 250.0
    assert caps.request_rate.requests_per_second == 2.5
    assert caps.requests.workers == share.parallel
    assert meter.parallel == caps.requests.limit <= share.parallel


def test_a_configuration_without_caps_has_none_to_change() -> None:
    values = {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
    config = WorkflowConfig(values, environ={})
    caps = Caps.of(share_of(config), ByteMeter())
    caps.change(share_of(config, 2, 0))
    assert (caps.byte_rate, caps.request_rate, caps.requests.limit) == (None, None, 8)
