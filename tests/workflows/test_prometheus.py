"""A real Prometheus scrapes a run, and answers questions about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.services.prometheus import prometheus
from tests.services.running import free_port
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.events import ArchiveFinished, Event


async def test_it_answers_what_a_run_has_done_while_it_goes_on(
    collection: Collection, tmp_path: Path
) -> None:
    port = free_port()
    asked: list[str] = []
    verified = 'crypto_lakehouse_archives_total{data_type="klines",verdict="verified"}'
    quantile = "histogram_quantile(0.9, crypto_lakehouse_request_seconds_bucket)"

    async def ask(events: Sequence[Event]) -> None:
        """Ask while the run waits for its sinks."""
        finished.extend(event for event in events if isinstance(event, ArchiveFinished))
        if len(finished) < 3 or asked:
            return
        await server.until(verified, [3])
        assert await server.values("sum(crypto_lakehouse_requests_total)") == [6]
        assert await server.values("up") == [1]
        (p90,) = await server.values(quantile)
        assert p90 > 0
        asked.append("all")

    finished: list[ArchiveFinished] = []
    days = {"start": "2025-07-13", "end": "2025-07-15"}
    with prometheus(tmp_path, port) as server:
        await collection.run(default_date=None, date_range=days, serve=port, sinks=[ask])
        assert asked
        await server.until("up", [0])
